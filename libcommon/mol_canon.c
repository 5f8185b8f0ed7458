/*
 * mol_canon.c - canonical order of the atoms of a molecule, with or without stereo.
 *
 * Partition refinement (McKay, Congressus Numerantium 1981, 45): classes of atoms are split by the bonds they have
 * into a splitting class until nothing splits; ties are then broken one by one. With stereo, the parity of each
 * centre and double bond whose neighbours are told apart splits further, and of a tie that leaves one undecided each
 * member is tried, so that the string does not depend on which one was taken.
 */
#include "mol_canon.h"

#include <stdlib.h>
#include <string.h>

struct partition {
	const struct mol *m;
	int32_t n;
	int32_t *order, *place, *class; /* class: place of its first member */
	int32_t *size;                  /* of the class that starts at a place */
	uint64_t *key;                  /* per atom */
	int32_t *queue, n_queue, head;  /* places of splitting classes, a ring of n + 1 */
	uint8_t *queued;
	int32_t *touched;
	bool stereo;
};

static uint64_t mix(uint64_t h)
{
	h ^= h >> 33;
	h *= UINT64_C(0xff51afd7ed558ccd);
	h ^= h >> 33;
	h *= UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ (h >> 33);
}

static uint64_t bond_kind(const struct mol_bond *b)
{
	return b->aromatic ? 5 : b->order;
}

static int by_key(const void *pa, const void *pb, void *ctx)
{
	const struct partition *p = ctx;
	int32_t a = *(const int32_t *)pa, b = *(const int32_t *)pb;
	if (p->key[a] != p->key[b])
		return p->key[a] < p->key[b] ? -1 : 1;
	return a < b ? -1 : a > b;
}

static void enqueue(struct partition *p, int32_t start)
{
	if (p->queued[start])
		return;
	p->queued[start] = 1;
	p->queue[(p->head + p->n_queue++) % (p->n + 1)] = start;
}

/* Splits the class at `start` by p->key of its members; the parts join the queue, but for the largest if the whole
 * was not there. */
static bool split_class(struct partition *p, int32_t start)
{
	int32_t n = p->size[start], largest = start, n_part = 0;
	int32_t *o = p->order + start;
	if (n < 2)
		return false;
	bool alike = true;
	for (int32_t k = 1; k < n && alike; k++)
		alike = p->key[o[k]] == p->key[o[0]];
	if (alike)
		return false;
	qsort_r(o, (size_t)n, sizeof *o, by_key, p);
	bool waited = p->queued[start];
	for (int32_t k = 0, first = 0; k <= n; k++) {
		if (k < n && p->key[o[k]] == p->key[o[first]])
			continue;
		p->size[start + first] = k - first;
		for (int32_t q = first; q < k; q++) {
			p->place[o[q]] = start + q;
			p->class[o[q]] = start + first;
		}
		if (p->size[start + first] > p->size[largest] || first == 0)
			largest = start + first;
		n_part++;
		first = k;
	}
	for (int32_t k = start; k < start + n; k += p->size[k])
		if (waited || k != largest)
			enqueue(p, k);
	return n_part > 1;
}

static int by_class(const void *pa, const void *pb, void *ctx)
{
	const struct partition *p = ctx;
	int32_t a = *(const int32_t *)pa, b = *(const int32_t *)pb;
	if (p->class[a] != p->class[b])
		return p->class[a] < p->class[b] ? -1 : 1;
	return by_key(pa, pb, ctx);
}

/*
 * Splits one class by the n of its members that have keys, sorted by them. The others stay in front, untouched, so
 * that the work is that of the n.
 */
static void split_touched(struct partition *p, const int32_t *member, int32_t n)
{
	int32_t start = p->class[member[0]], size = p->size[start], end = start + size;
	bool waited = p->queued[start];
	if (n == size && p->key[member[0]] == p->key[member[n - 1]])
		return;
	for (int32_t k = n - 1; k >= 0; k--) {
		int32_t to = end - n + k, at = p->place[member[k]], other = p->order[to];
		p->order[to] = member[k];
		p->place[member[k]] = to;
		p->order[at] = other;
		p->place[other] = at;
	}
	int32_t largest = start;
	p->size[start] = size - n;
	for (int32_t k = 0, first = 0; k <= n; k++) {
		if (k < n && p->key[member[k]] == p->key[member[first]])
			continue;
		int32_t at = end - n + first;
		p->size[at] = k - first;
		for (int32_t q = first; q < k; q++)
			p->class[member[q]] = at;
		if (p->size[at] > p->size[largest])
			largest = at;
		first = k;
	}
	for (int32_t k = start; k < end; k += p->size[k])
		if (waited || k != largest)
			enqueue(p, k);
}

static void refine(struct partition *p)
{
	const struct mol *m = p->m;
	while (p->n_queue) {
		int32_t start = p->queue[p->head], n_touched = 0, size = p->size[start];
		p->head = (p->head + 1) % (p->n + 1);
		p->n_queue--;
		p->queued[start] = 0;
		for (int32_t k = start; k < start + size; k++) {
			int32_t i = p->order[k];
			for (int32_t q = m->adj_start[i]; q < m->adj_start[i + 1]; q++) {
				int32_t j = m->adj_atom[q];
				if (p->size[p->class[j]] == 1)
					continue;
				if (!p->key[j])
					p->touched[n_touched++] = j;
				p->key[j] += mix(bond_kind(&m->bond[m->adj_bond[q]]) + 1) | 1;
			}
		}
		/* Classes in order of place: the order of splitting must not depend on the order of atoms. */
		qsort_r(p->touched, (size_t)n_touched, sizeof *p->touched, by_class, p);
		for (int32_t k = 0, end; k < n_touched; k = end) {
			int32_t class = p->class[p->touched[k]];
			for (end = k + 1; end < n_touched && p->class[p->touched[end]] == class;)
				end++;
			split_touched(p, p->touched + k, end - k);
		}
		for (int32_t k = 0; k < n_touched; k++)
			p->key[p->touched[k]] = 0;
	}
}

/* 1 or 2: the sense in which the classes of a centre's neighbours run; 0 when two are alike. */
static uint64_t center_parity(const struct partition *p, const struct mol_center *c)
{
	int32_t n_swap = 0;
	for (int x = 0; x < 4; x++)
		for (int y = x + 1; y < 4; y++) {
			int32_t a = c->nbr[x] < 0 ? -1 : p->class[c->nbr[x]],
				b = c->nbr[y] < 0 ? -1 : p->class[c->nbr[y]];
			if (a == b)
				return 0;
			n_swap += a > b;
		}
	return 1 + (n_swap & 1);
}

/* 1 or 2: whether the senior substituents lie on the same side; 0 when two of one end are alike. */
static uint64_t side_parity(const struct partition *p, const struct mol_cistrans *c)
{
	const struct mol *m = p->m;
	bool cis = c->cis;
	for (int end = 0; end < 2; end++) {
		int32_t i = c->atom[end];
		for (int32_t q = m->adj_start[i]; q < m->adj_start[i + 1]; q++) {
			int32_t j = m->adj_atom[q];
			if (j == c->atom[1 - end] || j == c->nbr[end])
				continue;
			if (p->class[j] == p->class[c->nbr[end]])
				return 0;
			if (p->class[j] > p -> class[c->nbr[end]])
				cis = !cis;
		}
	}
	return cis ? 1 : 2;
}

static void refine_all(struct partition *p)
{
	refine(p);
	if (!p->stereo)
		return;
	for (bool changed = true; changed;) {
		const struct mol *m = p->m;
		changed = false;
		for (int32_t c = 0; c < m->n_center; c++)
			p->key[m->center[c].atom] += center_parity(p, &m->center[c]);
		for (int32_t c = 0; c < m->n_cistrans; c++)
			for (int end = 0; end < 2; end++)
				p->key[m->cistrans[c].atom[end]] += 4 * side_parity(p, &m->cistrans[c]);
		for (int32_t k = 0; k < p->n;) {
			int32_t size = p->size[k];
			changed |= split_class(p, k);
			k += size;
		}
		for (int32_t c = 0; c < m->n_center; c++)
			p->key[m->center[c].atom] = 0;
		for (int32_t c = 0; c < m->n_cistrans; c++)
			p->key[m->cistrans[c].atom[0]] = p->key[m->cistrans[c].atom[1]] = 0;
		refine(p);
	}
}

/* Makes atom i a class of its own, behind the others of its class (which need not be touched then). */
static void single_out(struct partition *p, int32_t i)
{
	int32_t start = p->class[i], end = start + p->size[start] - 1, other = p->order[end], at = p->place[i];
	p->order[end] = i;
	p->order[at] = other;
	p->place[other] = at;
	p->place[i] = end;
	p->size[start]--;
	p->size[end] = 1;
	p->class[i] = end;
	enqueue(p, end);
	if (p->stereo)
		enqueue(p, start);
}

static int32_t first_tie(const struct partition *p, int32_t from)
{
	while (from < p->n && p->size[from] == 1)
		from++;
	return from;
}

static uint64_t invariant(const struct mol *m, int32_t i)
{
	const struct mol_atom *a = &m->atom[i];
	uint64_t v = (uint64_t)(a->degree > 255 ? 255 : a->degree);
	v = v << 7 | a->z;
	v = v << 1 | a->aromatic;
	v = v << 1 | a->in_ring;
	v = v << 8 | a->n_h;
	v = v << 8 | (uint8_t)(a->charge + 128);
	v = v << 10 | a->isotope;
	return v << 4 | (a->n_radical & 15);
}

static void init(struct partition *p, const struct mol *m, bool stereo, struct arena *a)
{
	size_t n = (size_t)m->n_atom + 2;
	*p = (struct partition){.m = m, .n = m->n_atom, .stereo = stereo && (m->n_center || m->n_cistrans)};
	p->order = arena_alloc(a, sizeof *p->order * n);
	p->place = arena_alloc(a, sizeof *p->place * n);
	p->class = arena_calloc(a, n, sizeof *p->class);
	p->size = arena_calloc(a, n, sizeof *p->size);
	p->key = arena_calloc(a, n, sizeof *p->key);
	p->queue = arena_alloc(a, sizeof *p->queue * n);
	p->queued = arena_calloc(a, n, 1);
	p->touched = arena_alloc(a, sizeof *p->touched * n);
	for (int32_t i = 0; i < p->n; i++) {
		p->order[i] = p->place[i] = i;
		p->key[i] = invariant(m, i);
	}
	if (!p->n)
		return;
	p->size[0] = p->n;
	enqueue(p, 0);
	split_class(p, 0);
	for (int32_t k = 0; k < p->n; k += p->size[k])
		enqueue(p, k);
	memset(p->key, 0, sizeof *p->key * n);
	refine_all(p);
}

static void break_ties(struct partition *p)
{
	for (int32_t k = first_tie(p, 0); k < p->n; k = first_tie(p, k)) {
		single_out(p, p->order[k]);
		refine_all(p);
	}
}

static void copy_partition(struct partition *to, const struct partition *from, struct arena *a)
{
	size_t n = (size_t)from->n + 2;
	*to = *from;
	to->order = arena_alloc(a, sizeof *to->order * n);
	to->place = arena_alloc(a, sizeof *to->place * n);
	to->class = arena_alloc(a, sizeof *to->class * n);
	to->size = arena_alloc(a, sizeof *to->size * n);
	memcpy(to->order, from->order, sizeof *to->order * n);
	memcpy(to->place, from->place, sizeof *to->place * n);
	memcpy(to->class, from->class, sizeof *to->class * n);
	memcpy(to->size, from->size, sizeof *to->size * n);
}

/*
 * Place of the first class of alike neighbours about a centre or double bond that they leave undecided; p->n without.
 * Only such a tie can lead to two strings: which of its members goes first decides what the parities split later.
 */
static int32_t undecided_tie(const struct partition *p)
{
	const struct mol *m = p->m;
	int32_t best = p->n;
	for (int32_t c = 0; c < m->n_center; c++)
		for (int x = 1; x < 4; x++)
			for (int y = 0; y < x; y++) {
				int32_t i = m->center[c].nbr[x], j = m->center[c].nbr[y];
				if (i >= 0 && j >= 0 && p->class[i] == p->class[j] && p->class[i] < best)
					best = p->class[i];
			}
	for (int32_t c = 0; c < m->n_cistrans; c++)
		for (int end = 0; end < 2; end++) {
			int32_t i = m->cistrans[c].atom[end], senior = p->class[m->cistrans[c].nbr[end]];
			int32_t n_alike = 0;
			for (int32_t q = m->adj_start[i]; q < m->adj_start[i + 1]; q++)
				n_alike += p->class[m->adj_atom[q]] == senior;
			if (n_alike > 1 && senior < best)
				best = senior;
		}
	return best;
}

struct search {
	struct arena *arena;
	int flags;
	int32_t *order; /* of the best string, or NULL */
	int64_t budget; /* atoms of partitions that may still be tried: bounds the work on large symmetric cages */
	const char *best;
};

/* Tries each member of each undecided tie and keeps the least string. */
static void search(struct search *s, const struct partition *p)
{
	struct partition q;
	int32_t tie = p->stereo && s->budget > 0 ? undecided_tie(p) : p->n, n_try = tie < p->n ? p->size[tie] : 0;
	for (int32_t t = 0; t < n_try && (s->budget > 0 || !s->best); t++) {
		s->budget -= p->n;
		copy_partition(&q, p, s->arena);
		single_out(&q, q.order[tie + t]);
		refine_all(&q);
		search(s, &q);
	}
	if (n_try)
		return;
	q = *p;
	break_ties(&q);
	int32_t *o = s->order && s->best ? arena_alloc(s->arena, sizeof *o * (size_t)(p->n + 1)) : s->order;
	const char *string = mol_write_smiles(p->m, q.class, s->flags, s->arena, o);
	if (s->best && strcmp(string, s->best) >= 0)
		return;
	s->best = string;
	if (o != s->order)
		memcpy(s->order, o, sizeof *o * (size_t)p->n);
}

const char *mol_canonical_smiles(const struct mol *m, bool stereo, struct arena *a, int32_t *order)
{
	struct search s = {.arena = a, .flags = stereo ? MOL_WRITE_STEREO : 0, .order = order, .budget = 20000};
	struct partition p;
	init(&p, m, stereo, a);
	search(&s, &p);
	return s.best;
}

int mol_canonical_flat(const struct mol *m, struct arena *a, const char **smiles, struct err *e)
{
	*smiles = mol_canonical_smiles(m, false, a, NULL);
	return 0;
}
