/*
 * mol_mmff_aromatic.c - which rings are aromatic in MMFF94's sense (part I, p. 505).
 *
 * Rings of six atoms, each with one electron in a double bond; and rings of five, four such and one lone pair of N, O
 * or S. A double bond counts when it lies in the ring or in another aromatic ring, so rings are found in turns.
 */
#include "mol_mmff.h"

#include <string.h>

enum gift { GIFT_NONE, GIFT_ELECTRON, GIFT_PAIR };

static int32_t double_partner(const struct mol *m, int32_t i)
{
	for (int32_t s = m->adj_start[i]; s < m->adj_start[i + 1]; s++)
		if (m->bond[m->adj_bond[s]].order == 2)
			return m->adj_bond[s];
	return -1;
}

static bool holds(const int32_t *ring, int n, int32_t i)
{
	for (int p = 0; p < n; p++)
		if (ring[p] == i)
			return true;
	return false;
}

/* What atom i gives to the ring. */
static enum gift gift_of(const struct mmff_types *t, const int32_t *ring, int n, int32_t i)
{
	const struct mol *m = t->m;
	const struct mol_atom *a = &m->atom[i];
	int32_t b = double_partner(m, i);
	if ((a->z == 6 || a->z == 7) && a->degree > 3)
		return GIFT_NONE;
	if (b >= 0) {
		int32_t other = m->bond[b].a == i ? m->bond[b].b : m->bond[b].a;
		return holds(ring, n, other) || t->bond_aromatic[b] ? GIFT_ELECTRON : GIFT_NONE;
	}
	if (mmff_valence(m, i) > 3 || (a->z != 7 && a->degree != 2))
		return GIFT_NONE;
	return a->z == 7 || a->z == 8 || a->z == 16 ? GIFT_PAIR : GIFT_NONE;
}

static bool is_aromatic(const struct mmff_types *t, const int32_t *ring, int n)
{
	int n_of[3] = {0};
	for (int p = 0; p < n; p++)
		n_of[gift_of(t, ring, n, ring[p])]++;
	return n == 6 ? n_of[GIFT_ELECTRON] == 6 : n_of[GIFT_ELECTRON] == 4 && n_of[GIFT_PAIR] == 1;
}

static void add_ring(struct mmff_types *t, const int32_t *ring, int n)
{
	memcpy(t->ring_atom[t->n_ring], ring, (size_t)n * sizeof *ring);
	t->ring_size[t->n_ring++] = n;
	for (int p = 0; p < n; p++) {
		t->aromatic[ring[p]] = true;
		t->bond_aromatic[mmff_bond_between(t->m, ring[p], ring[(p + 1) % n])] = true;
	}
}

void mmff_find_aromatic(struct mmff_types *t, struct arena *a)
{
	const struct mol *m = t->m;
	bool *done = arena_calloc(a, (size_t)m->n_ring + 1, sizeof *done), found = true;
	t->aromatic = arena_calloc(a, (size_t)m->n_atom + 1, sizeof *t->aromatic);
	t->bond_aromatic = arena_calloc(a, (size_t)m->n_bond + 1, sizeof *t->bond_aromatic);
	t->ring_size = arena_alloc(a, ((size_t)m->n_ring + 1) * sizeof *t->ring_size);
	t->ring_atom = arena_alloc(a, ((size_t)m->n_ring + 1) * sizeof *t->ring_atom);
	while (found) {
		found = false;
		for (int32_t r = 0; r < m->n_ring; r++) {
			const int32_t *ring = m->ring_atom + m->ring_start[r];
			int n = m->ring_start[r + 1] - m->ring_start[r];
			if (done[r] || (n != 5 && n != 6) || !is_aromatic(t, ring, n))
				continue;
			add_ring(t, ring, n);
			done[r] = found = true;
		}
	}
}
