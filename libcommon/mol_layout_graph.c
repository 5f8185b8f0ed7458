/* The copy of a molecule that the layout works on: atoms ordered by their surroundings, rings, ring systems. */
#include <stdlib.h>
#include <string.h>

#include "mol_layout.h"

/* A bijective scrambler of 64 bits (the finaliser of SplitMix64, Steele et al., OOPSLA 2014). */
static uint64_t mix(uint64_t h)
{
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
	h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
	return h ^ (h >> 31);
}

struct key {
	uint64_t hash;
	int32_t index;
};
static int key_compare(const void *pa, const void *pb)
{
	const struct key *a = pa, *b = pb;
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return a->index - b->index;
}

/* Atoms of m ordered by a hash of what surrounds them, eight bonds far. */
static struct key *atoms_ordered(const struct mol *m, struct arena *arena)
{
	int32_t n = m->n_atom;
	struct key *k = arena_alloc(arena, (size_t)n * sizeof *k);
	uint64_t *h = arena_alloc(arena, (size_t)n * sizeof *h), *h2 = arena_alloc(arena, (size_t)n * sizeof *h2);
	for (int32_t i = 0; i < n; i++) {
		const struct mol_atom *a = &m->atom[i];
		h[i] = mix((uint64_t)a->z | (uint64_t)(uint8_t)a->charge << 8 | (uint64_t)a->isotope << 16 |
			   (uint64_t)a->n_h << 32 | (uint64_t)a->degree << 40 | (uint64_t)a->in_ring << 63);
	}
	for (int round = 0; round < 8; round++) {
		for (int32_t i = 0; i < n; i++) {
			uint64_t sum = 0;
			for (int32_t j = m->adj_start[i]; j < m->adj_start[i + 1]; j++) {
				const struct mol_bond *b = &m->bond[m->adj_bond[j]];
				sum += mix(h[m->adj_atom[j]] + (b->aromatic ? 8 : b->order));
			}
			h2[i] = mix(h[i] * 3 + sum);
		}
		uint64_t *t = h;
		h = h2, h2 = t;
	}
	for (int32_t i = 0; i < n; i++)
		k[i] = (struct key){h[i], i};
	qsort(k, (size_t)n, sizeof *k, key_compare);
	return k;
}

int32_t lay_bond_find(const struct lay *l, int32_t a, int32_t b)
{
	for (int32_t j = l->start[a]; j < l->start[a + 1]; j++)
		if (l->nbr[j] == b)
			return l->nbr_bond[j];
	return -1;
}

static void neighbours_fill(struct lay *l)
{
	int32_t n = l->n_atom, *fill = arena_calloc(l->arena, (size_t)n + 1, sizeof *fill);
	l->start = arena_calloc(l->arena, (size_t)n + 1, sizeof *l->start);
	l->nbr = arena_alloc(l->arena, (size_t)(2 * l->n_bond + 1) * sizeof *l->nbr);
	l->nbr_bond = arena_alloc(l->arena, (size_t)(2 * l->n_bond + 1) * sizeof *l->nbr_bond);
	for (int32_t i = 0; i < l->n_bond; i++)
		l->start[l->bond[i].a + 1]++, l->start[l->bond[i].b + 1]++;
	for (int32_t i = 0; i < n; i++)
		l->start[i + 1] += l->start[i];
	memcpy(fill, l->start, ((size_t)n + 1) * sizeof *fill);
	for (int32_t i = 0; i < l->n_bond; i++) {
		int32_t a = l->bond[i].a, b = l->bond[i].b;
		l->nbr[fill[a]] = b, l->nbr_bond[fill[a]++] = i;
		l->nbr[fill[b]] = a, l->nbr_bond[fill[b]++] = i;
	}
	for (int32_t i = 0; i < n; i++)
		for (int32_t j = l->start[i] + 1; j < l->start[i + 1]; j++)
			for (int32_t k = j; k > l->start[i] && l->nbr[k - 1] > l->nbr[k]; k--) {
				int32_t t = l->nbr[k], u = l->nbr_bond[k];
				l->nbr[k] = l->nbr[k - 1], l->nbr_bond[k] = l->nbr_bond[k - 1];
				l->nbr[k - 1] = t, l->nbr_bond[k - 1] = u;
			}
}

/* Each ring starts at its first atom and turns towards the lesser neighbour; rings by size, then by atoms. */
static void rings_fill(struct lay *l, const struct mol *m, const int32_t *place)
{
	int32_t n = m->n_ring, total = n ? m->ring_start[n] : 0;
	struct key *k = arena_alloc(l->arena, (size_t)(n + 1) * sizeof *k);
	l->n_ring = n;
	l->ring_start = arena_calloc(l->arena, (size_t)n + 1, sizeof *l->ring_start);
	l->ring_atom = arena_alloc(l->arena, ((size_t)total + 1) * sizeof *l->ring_atom);
	for (int32_t r = 0; r < n; r++) {
		uint64_t sum = 0;
		for (int32_t j = m->ring_start[r]; j < m->ring_start[r + 1]; j++)
			sum += (uint64_t)place[m->ring_atom[j]];
		k[r] = (struct key){(uint64_t)(m->ring_start[r + 1] - m->ring_start[r]) << 40 | sum, r};
	}
	qsort(k, (size_t)n, sizeof *k, key_compare);
	int32_t at = 0;
	for (int32_t r = 0; r < n; r++) {
		const int32_t *from = m->ring_atom + m->ring_start[k[r].index];
		int32_t size = m->ring_start[k[r].index + 1] - m->ring_start[k[r].index], first = 0;
		for (int32_t j = 1; j < size; j++)
			if (place[from[j]] < place[from[first]])
				first = j;
		int32_t step = place[from[(first + 1) % size]] < place[from[(first + size - 1) % size]] ? 1 : size - 1;
		for (int32_t j = 0; j < size; j++)
			l->ring_atom[at + j] = place[from[(first + j * step) % size]];
		at += size;
		l->ring_start[r + 1] = at;
	}
}

/* Ring systems: atoms joined by bonds of rings, or by a shared atom. */
static void systems_fill(struct lay *l)
{
	int32_t n = l->n_atom, *stack = arena_alloc(l->arena, ((size_t)n + 1) * sizeof *stack);
	l->system = arena_alloc(l->arena, ((size_t)n + 1) * sizeof *l->system);
	for (int32_t i = 0; i < n; i++)
		l->system[i] = -1;
	/* Bonds of the rings that are known; those that a ring search left out are drawn as bonds between systems. */
	for (int32_t i = 0; i < l->n_bond; i++)
		l->bond[i].ring = false;
	for (int32_t r = 0; r < l->n_ring; r++) {
		int32_t size = l->ring_start[r + 1] - l->ring_start[r];
		const int32_t *a = l->ring_atom + l->ring_start[r];
		for (int32_t j = 0; j < size; j++) {
			int32_t b = lay_bond_find(l, a[j], a[(j + 1) % size]);
			if (b >= 0)
				l->bond[b].ring = true;
		}
	}
	for (int32_t i = 0; i < n; i++) {
		if (l->system[i] >= 0)
			continue;
		int32_t top = 0;
		for (int32_t j = l->start[i]; j < l->start[i + 1] && !top; j++)
			if (l->bond[l->nbr_bond[j]].ring)
				stack[top++] = i, l->system[i] = l->n_system++;
		while (top) {
			int32_t a = stack[--top];
			for (int32_t j = l->start[a]; j < l->start[a + 1]; j++)
				if (l->bond[l->nbr_bond[j]].ring && l->system[l->nbr[j]] < 0)
					l->system[l->nbr[j]] = l->system[a], stack[top++] = l->nbr[j];
		}
	}
}

/* Members of each system as lists; a ring belongs to the system of its first atom. */
static void system_lists_fill(struct lay *l)
{
	size_t n = (size_t)l->n_system + 2;
	l->sys_start = arena_calloc(l->arena, n, sizeof *l->sys_start);
	l->sys_ring_start = arena_calloc(l->arena, n, sizeof *l->sys_ring_start);
	l->sys_atom = arena_alloc(l->arena, ((size_t)l->n_atom + 1) * sizeof *l->sys_atom);
	l->sys_ring = arena_alloc(l->arena, ((size_t)l->n_ring + 1) * sizeof *l->sys_ring);
	/* Counted two places further on, then summed: filling moves each start to its own place. */
	for (int32_t i = 0; i < l->n_atom; i++)
		if (l->system[i] >= 0)
			l->sys_start[l->system[i] + 2]++;
	for (int32_t k = 0; k < l->n_ring; k++)
		l->sys_ring_start[l->system[l->ring_atom[l->ring_start[k]]] + 2]++;
	for (size_t i = 2; i < n; i++) {
		l->sys_start[i] += l->sys_start[i - 1];
		l->sys_ring_start[i] += l->sys_ring_start[i - 1];
	}
	for (int32_t i = 0; i < l->n_atom; i++)
		if (l->system[i] >= 0)
			l->sys_atom[l->sys_start[l->system[i] + 1]++] = i;
	for (int32_t k = 0; k < l->n_ring; k++)
		l->sys_ring[l->sys_ring_start[l->system[l->ring_atom[l->ring_start[k]]] + 1]++] = k;
}

struct lay *lay_new(const struct mol *m, struct arena *arena)
{
	int32_t n = m->n_atom;
	struct lay *l = arena_calloc(arena, 1, sizeof *l);
	struct key *k = atoms_ordered(m, arena);
	int32_t *place = arena_alloc(arena, ((size_t)n + 1) * sizeof *place);
	l->arena = arena, l->n_atom = n, l->n_bond = m->n_bond;
	l->source = arena_alloc(arena, ((size_t)n + 1) * sizeof *l->source);
	l->z = arena_alloc(arena, (size_t)n + 1);
	for (int32_t i = 0; i < n; i++) {
		l->source[i] = k[i].index;
		l->z[i] = m->atom[k[i].index].z;
		place[k[i].index] = i;
	}
	l->bond = arena_alloc(arena, ((size_t)m->n_bond + 1) * sizeof *l->bond);
	for (int32_t i = 0; i < m->n_bond; i++)
		l->bond[i] = (struct lay_bond){place[m->bond[i].a], place[m->bond[i].b], m->bond[i].order, false};
	neighbours_fill(l);
	rings_fill(l, m, place);
	systems_fill(l);
	system_lists_fill(l);
	l->n_cistrans = m->n_cistrans;
	l->cistrans = arena_alloc(arena, ((size_t)m->n_cistrans + 1) * sizeof *l->cistrans);
	for (int32_t i = 0; i < m->n_cistrans; i++) {
		struct mol_cistrans c = m->cistrans[i];
		for (int side = 0; side < 2; side++)
			c.atom[side] = place[c.atom[side]], c.nbr[side] = place[c.nbr[side]];
		l->cistrans[i] = c;
	}
	l->pos = arena_calloc(arena, (size_t)n + 1, sizeof *l->pos);
	l->placed = arena_calloc(arena, (size_t)n + 1, sizeof *l->placed);
	l->seen = arena_calloc(arena, (size_t)n + 1, sizeof *l->seen);
	int32_t **ints[] = {&l->parent, &l->order, &l->from, &l->to};
	for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
		*ints[i] = arena_calloc(arena, (size_t)n + 1, sizeof **ints[i]);
	return l;
}
