/*
 * mol_mmff_charge.c - formal charges shared out, and partial charges by bond charge increments (part II, equation 15).
 */
#include "mol_mmff.h"

/* Oxygen or sulphur at the end of a group that shares its charge. */
static double share_of_terminal(const struct mmff_types *t, int32_t i)
{
	const struct mol *m = t->m;
	int32_t x = m->adj_atom[m->adj_start[i]];
	int n_end = mmff_count(m, x, 8, 1) + mmff_count(m, x, 16, 1), n_amide = 0;
	for (int32_t p = m->adj_start[x]; p < m->adj_start[x + 1]; p++) {
		int32_t q = m->adj_atom[p];
		n_amide += m->atom[q].z == 7 && m->atom[q].degree == 2 && !t->aromatic[q];
	}
	if (m->atom[x].z == 16 && n_end == 2 && n_amide == 1)
		n_amide = 0; /* the nitrogen of a sulfonamide ion keeps its charge */
	if (m->atom[x].z == 6)
		return n_end == 1 ? -1 : -(n_end - 1.0) / n_end;
	switch (t->type[x]) {
	case 45: /* nitrate */
		return n_end == 3 ? -1 / 3. : 0;
	case 25: /* phosphates */
	case 73: /* sulfinates */
		return n_end == 1 ? 0 : -(n_end - 1.0) / n_end;
	case 18: /* sulfones to sulfates */
		return n_amide + n_end == 2 ? 0 : -(n_amide + n_end - 2.0) / n_end;
	case 77: /* perchlorate */
		return -1.0 / n_end;
	default:
		return 0;
	}
}

/* Nitrogens of an anionic ring of five share one charge. */
static double share_of_anion(const struct mmff_types *t, int32_t i)
{
	for (int32_t r = 0; r < t->n_ring; r++) {
		int n = 0;
		bool mine = false;
		for (int p = 0; p < t->ring_size[r]; p++) {
			n += t->type[t->ring_atom[r][p]] == 76;
			mine |= t->ring_atom[r][p] == i;
		}
		if (mine && t->ring_size[r] == 5)
			return -1.0 / n;
	}
	return 0;
}

static bool is_shared_cation(int type)
{
	return type == 55 || type == 56 || type == 81;
}

/* Nitrogens of amidinium, guanidinium and imidazolium that one carbon after the other joins share their charges. */
static void share_cations(struct mmff_types *t, struct arena *a)
{
	const struct mol *m = t->m;
	bool *seen = arena_calloc(a, (size_t)m->n_atom + 1, sizeof *seen);
	int32_t *group = arena_alloc(a, ((size_t)m->n_atom + 1) * sizeof *group);
	for (int32_t i = 0; i < m->n_atom; i++) {
		if (!is_shared_cation(t->type[i]) || seen[i])
			continue;
		int32_t n = 0;
		double sum = 0;
		seen[i] = true;
		group[n++] = i;
		for (int32_t k = 0; k < n; k++) {
			sum += m->atom[group[k]].charge;
			for (int32_t p = m->adj_start[group[k]]; p < m->adj_start[group[k] + 1]; p++) {
				int32_t c = m->adj_atom[p];
				if (t->type[c] != 57 && t->type[c] != 80)
					continue;
				for (int32_t q = m->adj_start[c]; q < m->adj_start[c + 1]; q++) {
					int32_t x = m->adj_atom[q];
					if (is_shared_cation(t->type[x]) && !seen[x]) {
						seen[x] = true;
						group[n++] = x;
					}
				}
			}
		}
		for (int32_t k = 0; k < n; k++)
			t->formal[group[k]] = sum / n;
	}
}

static double formal_charge(const struct mmff_types *t, int32_t i)
{
	switch (t->type[i]) {
	case 32:
	case 72:
		return share_of_terminal(t, i);
	case 76:
		return share_of_anion(t, i);
	case 61: /* diazonium */
		return mmff_count(t->m, i, 7, 1) ? 1 : 0;
	case 34:
	case 49:
	case 51:
	case 54:
	case 58:
	case 92:
	case 93:
	case 94:
	case 97:
		return 1;
	case 87:
	case 95:
	case 96:
	case 98:
	case 99:
		return 2;
	case 88:
		return 3;
	case 35:
	case 62:
	case 89:
	case 90:
	case 91:
		return -1;
	default:
		return 0;
	}
}

/* What atom i gains over the bond to j. */
static double increment(const struct mmff_types *t, int32_t i, int32_t j, int32_t bond)
{
	bool swapped;
	const double *v = mmff_find(MMFF_CHARGE, (int[]){mmff_bond_class(t, bond), t->type[j], t->type[i]}, &swapped);
	if (v)
		return swapped ? -*v : *v;
	return mmff_pbci(t->type[i]) - mmff_pbci(t->type[j]);
}

void mmff_assign_charges(struct mmff_types *t, struct arena *a)
{
	const struct mol *m = t->m;
	t->formal = arena_calloc(a, (size_t)m->n_atom + 1, sizeof *t->formal);
	t->charge = arena_calloc(a, (size_t)m->n_atom + 1, sizeof *t->charge);
	for (int32_t i = 0; i < m->n_atom; i++)
		t->formal[i] = formal_charge(t, i);
	share_cations(t, a);
	for (int32_t i = 0; i < m->n_atom; i++) {
		double q = (1 - mmff_prop(t->type[i])->crd * mmff_charge_share(t->type[i])) * t->formal[i];
		for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++) {
			int32_t j = m->adj_atom[p];
			q += mmff_charge_share(t->type[j]) * t->formal[j] + increment(t, i, j, m->adj_bond[p]);
		}
		t->charge[i] = q;
	}
}
