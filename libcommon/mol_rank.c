/*
 * mol_rank.c - CIP-like ranks of atoms, as RDKit's stereo perception uses them: element, isotope and atom class
 * first, then the sorted ranks of neighbours (each as often as twice the bond order), until nothing splits any more.
 *
 * A rank is the place of its class in the order of all atoms, so that equal ranks mean alike and lower means junior.
 */
#include "mol_work.h"

#include <stdlib.h>
#include <string.h>

#define MAX_WORK 100000000 /* comparisons; a chain of 10,000 alike atoms stays below */

struct ranking {
	struct work *w;
	int64_t *key;          /* first round */
	int32_t *start, *list; /* neighbours' ranks, descending, of each atom */
	int32_t *order;
	int64_t n_work;
};

static int64_t isotope_key(const struct work_atom *a)
{
	int delta = 0;
	if (a->isotope) {
		delta = a->isotope - mol_element_isotope(a->z);
		delta += delta >= 0;
	}
	return delta + 512;
}

static int by_key(const void *pa, const void *pb, void *ctx)
{
	struct ranking *r = ctx;
	int32_t a = *(const int32_t *)pa, b = *(const int32_t *)pb;
	if (r->key[a] != r->key[b])
		return r->key[a] < r->key[b] ? -1 : 1;
	return a < b ? -1 : a > b;
}

static int compare_lists(const struct ranking *r, int32_t a, int32_t b)
{
	int32_t na = r->start[a + 1] - r->start[a], nb = r->start[b + 1] - r->start[b];
	const int32_t *la = r->list + r->start[a], *lb = r->list + r->start[b];
	for (int32_t k = 0; k < na && k < nb; k++)
		if (la[k] != lb[k])
			return la[k] < lb[k] ? -1 : 1;
	if (na != nb)
		return na < nb ? -1 : 1;
	int ha = work_n_h(r->w, a), hb = work_n_h(r->w, b);
	return ha < hb ? -1 : ha > hb;
}

static int by_list(const void *pa, const void *pb, void *ctx)
{
	struct ranking *r = ctx;
	int32_t a = *(const int32_t *)pa, b = *(const int32_t *)pb;
	int c = compare_lists(r, a, b);
	r->n_work++;
	return c ? c : a < b ? -1 : a > b;
}

static int count_of(const struct work *w, const struct work_bond *b, int32_t nbr)
{
	int degree = work_degree(w, nbr);
	if (b->type == WORK_DOUBLE && !b->aromatic && w->atom[nbr].z == 15 && (degree == 3 || degree == 4))
		return 1; /* the oxo bond of phosphorus is none */
	if (b->type == WORK_DATIVE)
		return 2;
	return b->aromatic ? 3 : 2 * b->type;
}

static void list_neighbours(struct ranking *r, int32_t i)
{
	struct work *w = r->w;
	int32_t *list = r->list + r->start[i], n = 0;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++) {
		const struct work_bond *b = &w->bond[w->adj[k]];
		int32_t j = work_other_end(b, i);
		int count = count_of(w, b, j);
		int32_t p = n;
		while (p > 0 && list[p - 1] < w->rank[j])
			p--;
		memmove(list + p + count, list + p, sizeof *list * (size_t)(n - p));
		for (int q = 0; q < count; q++)
			list[p + q] = w->rank[j];
		n += count;
		r->n_work += n;
	}
}

int work_rank_atoms(struct work *w, bool seeded)
{
	struct ranking r = {.w = w};
	size_t n = (size_t)w->n_atom + 1;
	int32_t n_atom = 0, n_class = 0;
	r.key = arena_calloc(w->arena, n, sizeof *r.key);
	r.order = arena_alloc(w->arena, sizeof *r.order * n);
	r.start = arena_calloc(w->arena, n + 1, sizeof *r.start);
	for (int32_t i = 0; i < w->n_atom; i++) {
		const struct work_atom *a = &w->atom[i];
		r.start[i + 1] = r.start[i];
		if (a->gone)
			continue;
		r.order[n_atom++] = i;
		for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++) {
			const struct work_bond *b = &w->bond[w->adj[k]];
			r.start[i + 1] += count_of(w, b, work_other_end(b, i));
			if (seeded && b->type == WORK_DOUBLE && b->stereo)
				r.key[i] += b->stereo == MOL_STEREO_E ? 1 : 2;
		}
		if (seeded)
			r.key[i] += (int64_t)w->rank[i] * 1000 + (a->cip == 'S' ? 10 : a->cip == 'R' ? 20 : 0);
		else
			r.key[i] = ((int64_t)a->z << 40) | (isotope_key(a) << 20) | (a->map + 1);
	}
	r.list = arena_alloc(w->arena, sizeof *r.list * (size_t)(r.start[w->n_atom] + 1));
	if (!w->rank)
		w->rank = arena_calloc(w->arena, n, sizeof *w->rank);
	qsort_r(r.order, (size_t)n_atom, sizeof *r.order, by_key, &r);
	for (int32_t k = 0, place = 0; k < n_atom; k++) {
		if (!k || r.key[r.order[k]] != r.key[r.order[k - 1]]) {
			place = k;
			n_class++;
		}
		w->rank[r.order[k]] = place;
	}
	int32_t *fresh = arena_alloc(w->arena, sizeof *fresh * n);
	for (int32_t round = 0, last = -1; n_class < n_atom && n_class != last && round <= n_atom / 2; round++) {
		last = n_class;
		for (int32_t k = 0, end; k < n_atom; k = end) {
			end = k + 1;
			while (end < n_atom && w->rank[r.order[end]] == k)
				end++;
			if (end - k > 1)
				for (int32_t p = k; p < end; p++)
					list_neighbours(&r, r.order[p]);
		}
		for (int32_t k = 0, end; k < n_atom; k = end) {
			end = k + 1;
			while (end < n_atom && w->rank[r.order[end]] == k)
				end++;
			fresh[r.order[k]] = k;
			if (end - k == 1)
				continue;
			qsort_r(r.order + k, (size_t)(end - k), sizeof *r.order, by_list, &r);
			for (int32_t p = k + 1, place = k; p < end; p++) {
				if (compare_lists(&r, r.order[p], r.order[p - 1])) {
					place = p;
					n_class++;
				}
				fresh[r.order[p]] = place;
			}
			fresh[r.order[k]] = k;
		}
		memcpy(w->rank, fresh, sizeof *fresh * (size_t)w->n_atom);
		if (r.n_work > MAX_WORK)
			return work_refuse(w, "too-large", 0, "too many alike atoms to tell stereo by");
	}
	return 0;
}
