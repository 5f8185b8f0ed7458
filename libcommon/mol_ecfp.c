/*
 * mol_ecfp.c - extended-connectivity fingerprint of radius 2 (Rogers & Hahn, J. Chem. Inf. Model. 2010, 742), with
 * RDKit's Morgan invariants and 32-bit hash (seed ^= value + 0x9e3779b9 + (seed << 6) + (seed >> 2), Boost's), so
 * that the folded bits are RDKit's.
 *
 * Environments that cover the same bonds count once. A set of bonds is known by the sum of 64-bit keys of its bonds,
 * which needs no memory of its own.
 */
#include "mol_work.h"

#include <stdlib.h>
#include <string.h>

#define RADIUS 2

struct environment {
	uint64_t bonds;
	uint32_t code;
	int32_t atom;
};

static uint32_t combine(uint32_t seed, uint32_t v)
{
	return seed ^ (v + 0x9e3779b9u + (seed << 6) + (seed >> 2));
}

static uint64_t bond_key(int32_t k)
{
	uint64_t h = (uint64_t)k + 1;
	h *= UINT64_C(0x9e3779b97f4a7c15);
	h ^= h >> 30;
	h *= UINT64_C(0xbf58476d1ce4e5b9);
	h ^= h >> 27;
	h *= UINT64_C(0x94d049bb133111eb);
	return h ^ (h >> 31);
}

/* Implied ones and neighbours. */
static uint32_t count_hydrogens(const struct mol *m, int32_t i)
{
	uint32_t n = m->atom[i].n_h;
	for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++)
		n += m->atom[m->adj_atom[p]].z == 1;
	return n;
}

static uint32_t atom_invariant(const struct mol *m, int32_t i)
{
	const struct mol_atom *a = &m->atom[i];
	int excess = a->isotope ? (int)(a->isotope - mol_element_weight(a->z)) : 0;
	uint32_t h = 0;
	h = combine(h, a->z);
	h = combine(h, (uint32_t)(a->degree + a->n_h));
	h = combine(h, count_hydrogens(m, i));
	h = combine(h, (uint32_t)a->charge);
	h = combine(h, (uint32_t)excess);
	return a->in_ring ? combine(h, 1) : h;
}

static uint32_t bond_type(const struct mol_bond *b)
{
	return b->aromatic ? 12 : b->order ? b->order : 17;
}

struct pair {
	uint32_t type, code;
};
static int by_pair(const void *pa, const void *pb)
{
	const struct pair *a = pa, *b = pb;
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	return a->code < b->code ? -1 : a->code > b->code;
}
static int by_bonds(const void *pa, const void *pb)
{
	const struct environment *a = pa, *b = pb;
	if (a->bonds != b->bonds)
		return a->bonds < b->bonds ? -1 : 1;
	if (a->code != b->code)
		return a->code < b->code ? -1 : 1;
	return a->atom < b->atom ? -1 : a->atom > b->atom;
}

static bool are_neighbours(const struct mol *m, int32_t i, int32_t j)
{
	int32_t low = m->adj_start[i], high = m->adj_start[i + 1];
	while (low < high) {
		int32_t mid = (low + high) / 2;
		if (m->adj_atom[mid] == j)
			return true;
		if (m->adj_atom[mid] < j)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

/* Keys of the bonds within one and two steps of each atom. */
static void key_sets(const struct mol *m, uint64_t *one, uint64_t *two)
{
	for (int32_t i = 0; i < m->n_atom; i++) {
		one[i] = two[i] = 0;
		for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++)
			one[i] += bond_key(m->adj_bond[p]);
	}
	/* Sum over the neighbours counts the atom's own bonds once, and a bond between two neighbours twice. */
	for (int32_t k = 0; k < m->n_bond; k++) {
		int32_t a = m->bond[k].a, b = m->bond[k].b;
		two[a] += one[b];
		two[b] += one[a];
		if (m->atom[a].degree > m->atom[b].degree) {
			int32_t t = a;
			a = b;
			b = t;
		}
		if (!m->bond[k].in_ring)
			continue;
		for (int32_t p = m->adj_start[a]; p < m->adj_start[a + 1]; p++) {
			int32_t apex = m->adj_atom[p];
			if (apex != b && are_neighbours(m, b, apex))
				two[apex] -= bond_key(k);
		}
	}
}

static bool find_set(const struct environment *known, int32_t n, uint64_t bonds)
{
	int32_t low = 0, high = n;
	while (low < high) {
		int32_t mid = (low + high) / 2;
		if (known[mid].bonds == bonds)
			return true;
		if (known[mid].bonds < bonds)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

int32_t mol_ecfp_codes(const struct mol *m, struct arena *a, uint32_t **codes)
{
	size_t n = (size_t)m->n_atom + 1;
	uint32_t *now = arena_alloc(a, sizeof *now * n), *next = arena_alloc(a, sizeof *next * n);
	uint32_t *out = arena_alloc(a, sizeof *out * (RADIUS + 1) * n);
	uint64_t *set[RADIUS] = {arena_alloc(a, sizeof **set * n), arena_alloc(a, sizeof **set * n)};
	bool *dead = arena_calloc(a, n, sizeof *dead);
	struct environment *fresh = arena_alloc(a, sizeof *fresh * n), *known = arena_alloc(a, sizeof *known * n);
	int32_t n_out = 0, n_known = 0, most = 0;
	for (int32_t i = 0; i < m->n_atom; i++) {
		now[i] = out[n_out++] = atom_invariant(m, i);
		most = m->atom[i].degree > most ? m->atom[i].degree : most;
	}
	struct pair *pair = arena_alloc(a, sizeof *pair * (size_t)(most + 1));
	key_sets(m, set[0], set[1]);
	for (uint32_t layer = 0; layer < RADIUS; layer++) {
		int32_t n_fresh = 0, n_before = n_known;
		for (int32_t i = 0; i < m->n_atom; i++) {
			int32_t n_pair = 0;
			next[i] = 0;
			if (dead[i] || !m->atom[i].degree)
				continue;
			for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++)
				pair[n_pair++] =
				    (struct pair){bond_type(&m->bond[m->adj_bond[p]]), now[m->adj_atom[p]]};
			if (n_pair > 1)
				qsort(pair, (size_t)n_pair, sizeof *pair, by_pair);
			uint32_t h = combine(layer, now[i]);
			for (int32_t p = 0; p < n_pair; p++)
				h = combine(h, combine(combine(0, pair[p].type), pair[p].code));
			next[i] = h;
			fresh[n_fresh++] = (struct environment){set[layer][i], h, i};
		}
		qsort(fresh, (size_t)n_fresh, sizeof *fresh, by_bonds);
		for (int32_t k = 0; k < n_fresh; k++) {
			bool twin = k && fresh[k].bonds == fresh[k - 1].bonds;
			if (twin || find_set(known, n_before, fresh[k].bonds)) {
				dead[fresh[k].atom] = true;
				continue;
			}
			out[n_out++] = fresh[k].code;
			if (layer == 0)
				known[n_known++] = fresh[k];
		}
		memcpy(now, next, sizeof *now * n);
	}
	*codes = out;
	return n_out;
}

void mol_ecfp(const struct mol *m, struct arena *a, uint8_t fp[256])
{
	uint32_t *code;
	int32_t n = mol_ecfp_codes(m, a, &code);
	memset(fp, 0, 256);
	for (int32_t k = 0; k < n; k++)
		fp[code[k] % 2048 / 8] |= (uint8_t)(1 << (code[k] % 8));
}
