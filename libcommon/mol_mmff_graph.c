/* mol_mmff_graph.c - small questions about a molecule's graph that MMFF's rules ask. */
#include "mol_mmff.h"

int32_t mmff_bond_between(const struct mol *m, int32_t i, int32_t j)
{
	for (int32_t s = m->adj_start[i]; s < m->adj_start[i + 1]; s++)
		if (m->adj_atom[s] == j)
			return m->adj_bond[s];
	return -1;
}

int mmff_order(const struct mmff_types *t, int32_t i, int32_t j)
{
	int32_t b = mmff_bond_between(t->m, i, j);
	return b < 0 ? 0 : t->bond_aromatic[b] ? 5 : t->m->bond[b].order;
}

int mmff_valence(const struct mol *m, int32_t i)
{
	int sum = 0;
	for (int32_t s = m->adj_start[i]; s < m->adj_start[i + 1]; s++)
		sum += m->bond[m->adj_bond[s]].order;
	return sum;
}

int mmff_count(const struct mol *m, int32_t i, int z, int degree)
{
	int n = 0;
	for (int32_t s = m->adj_start[i]; s < m->adj_start[i + 1]; s++) {
		const struct mol_atom *a = &m->atom[m->adj_atom[s]];
		n += a->z == z && (degree < 0 || a->degree == degree);
	}
	return n;
}

int mmff_n_ring_of(const struct mol *m, int32_t i, int size)
{
	int n = 0;
	for (int32_t r = 0; r < m->n_ring; r++) {
		if (size && m->ring_start[r + 1] - m->ring_start[r] != size)
			continue;
		for (int32_t p = m->ring_start[r]; p < m->ring_start[r + 1]; p++)
			n += m->ring_atom[p] == i;
	}
	return n;
}

bool mmff_is_in_aromatic(const struct mmff_types *t, int32_t i, int size)
{
	for (int32_t r = 0; r < t->n_ring && t->aromatic[i]; r++)
		for (int p = 0; p < size && t->ring_size[r] == size; p++)
			if (t->ring_atom[r][p] == i)
				return true;
	return false;
}

bool mmff_is_n_oxide(const struct mol *m, int32_t i)
{
	return m->atom[i].z == 7 && m->atom[i].degree >= 3 && mmff_count(m, i, 8, 1) > 0;
}

int mmff_angle_ring(const struct mol *m, int32_t i, int32_t j, int32_t k)
{
	if (mmff_bond_between(m, i, k) >= 0)
		return 3;
	for (int32_t s = m->adj_start[i]; s < m->adj_start[i + 1]; s++)
		if (m->adj_atom[s] != j && mmff_bond_between(m, m->adj_atom[s], k) >= 0)
			return 4;
	return 0;
}

int mmff_row(int z)
{
	static const int8_t last[] = {2, 10, 18, 36, 54, 86};
	int row = 0;
	while (row < 6 && z > last[row])
		row++;
	return row;
}
