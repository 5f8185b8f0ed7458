/*
 * mol_mmff_aromatic.c - which rings are aromatic in MMFF94's sense (part I, p. 505).
 *
 * A ring of flat atoms with 4n + 2 electrons: two for each double bond in it, one for an atom whose double bond leads
 * into another aromatic ring, two for the lone pair of N, O or S in a ring of odd size from which no other double bond
 * leads away. A ring waits while one is undecided into which its double bonds lead. Types exist for rings of five and
 * six alone; in larger ones (tropone) the bonds are aromatic and the types are not.
 */
#include "mol_mmff.h"

#include <string.h>

static bool holds(const int32_t *ring, int n, int32_t i)
{
	for (int p = 0; p < n; p++)
		if (ring[p] == i)
			return true;
	return false;
}

static bool has_double(const struct mol *m, int32_t i)
{
	for (int32_t s = m->adj_start[i]; s < m->adj_start[i + 1]; s++)
		if (m->bond[m->adj_bond[s]].order == 2)
			return true;
	return false;
}

/* Carbon and nitrogen must be flat: in a double bond, or a nitrogen beside one. */
static bool is_flat(const struct mol *m, int32_t i)
{
	const struct mol_atom *a = &m->atom[i];
	if (a->z != 6 && a->z != 7)
		return true;
	if (a->degree > 3)
		return false;
	if (has_double(m, i))
		return true;
	for (int32_t s = m->adj_start[i]; s < m->adj_start[i + 1] && a->z == 7; s++)
		if (has_double(m, m->adj_atom[s]))
			return true;
	return false;
}

struct count {
	int n_electron;
	bool hetero, away,
	    waits; /* N, O, S in it; a double bond that leads away; one that leads to what is undecided */
};

/* What a double bond of atom i adds that leads out of the ring. */
static void look_away(const struct mmff_types *t, const bool *decided, const int32_t *ring, int n, int32_t i,
		      struct count *c)
{
	const struct mol *m = t->m;
	for (int32_t s = m->adj_start[i]; s < m->adj_start[i + 1]; s++) {
		int32_t j = m->adj_atom[s];
		if (m->bond[m->adj_bond[s]].order != 2 || holds(ring, n, j))
			continue;
		if (m->atom[j].in_ring && !decided[j])
			c->waits = true;
		else if (t->aromatic[j])
			c->n_electron++;
		else
			c->away = true;
	}
}

static struct count count_electrons(const struct mmff_types *t, const bool *decided, const int32_t *ring, int n)
{
	const struct mol *m = t->m;
	struct count c = {0};
	for (int p = 0; p < n; p++) {
		int32_t i = ring[p], z = m->atom[i].z;
		c.hetero |= z == 7 || z == 8 || (z == 16 && m->atom[i].degree == 2);
		if (m->bond[mmff_bond_between(m, i, ring[(p + 1) % n])].order == 2)
			c.n_electron += 2;
		else if (z == 6 || (z == 7 && mmff_valence(m, i) == 4))
			look_away(t, decided, ring, n, i, &c);
	}
	return c;
}

static void add_ring(struct mmff_types *t, const int32_t *ring, int n)
{
	if (n < 7) {
		memcpy(t->ring_atom[t->n_ring], ring, (size_t)n * sizeof *ring);
		t->ring_size[t->n_ring++] = n;
	}
	for (int p = 0; p < n; p++) {
		t->aromatic[ring[p]] = true;
		t->bond_aromatic[mmff_bond_between(t->m, ring[p], ring[(p + 1) % n])] = true;
	}
}

void mmff_find_aromatic(struct mmff_types *t, struct arena *a)
{
	const struct mol *m = t->m;
	bool *done = arena_calloc(a, (size_t)m->n_ring + 1, sizeof *done), changed = true;
	bool *decided = arena_calloc(a, (size_t)m->n_atom + 1, sizeof *decided);
	t->aromatic = arena_calloc(a, (size_t)m->n_atom + 1, sizeof *t->aromatic);
	t->bond_aromatic = arena_calloc(a, (size_t)m->n_bond + 1, sizeof *t->bond_aromatic);
	t->ring_size = arena_alloc(a, ((size_t)m->n_ring + 1) * sizeof *t->ring_size);
	t->ring_atom = arena_alloc(a, ((size_t)m->n_ring + 1) * sizeof *t->ring_atom);
	while (changed) {
		changed = false;
		for (int32_t r = 0; r < m->n_ring; r++) {
			const int32_t *ring = m->ring_atom + m->ring_start[r];
			int n = m->ring_start[r + 1] - m->ring_start[r];
			bool flat = true;
			if (done[r])
				continue;
			struct count c = count_electrons(t, decided, ring, n);
			if (c.waits)
				continue;
			for (int p = 0; p < n; p++) {
				flat &= is_flat(m, ring[p]);
				changed |= !decided[ring[p]];
				decided[ring[p]] = true;
			}
			if (c.hetero && !c.away && n % 2)
				c.n_electron += 2;
			if (!flat || c.n_electron < 6 || c.n_electron % 4 != 2)
				continue;
			add_ring(t, ring, n);
			done[r] = changed = true;
		}
	}
}
