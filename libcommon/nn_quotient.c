/* nn_quotient.c - colour refinement of a batch of graphs, level by level, by hashing and exact comparison. */
#include "nn_quotient.h"

#include <string.h>

/* An item of an atom's list: what decides its place, and what it is. */
struct item {
	uint64_t key;
	int64_t source, kind, degree;
};

/* Everything of one refinement; rows of the level that is being made grow in start, source, kind, degree. */
struct refinement {
	const struct nn_links *links;
	uint64_t mask;
	uint64_t *colour[2]; /* [n_atom] hashes of the level below and of this one */
	int64_t *slot;       /* open addressing: row + 1, 0: free */
	int64_t n_slot;
	struct item *item; /* of one atom */
	uint64_t *hash;    /* [rows] */
	int64_t *row, *first, *mult, *start, *source, *kind, *degree;
	int64_t n;
};

/* The finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014). */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static bool before(const struct item *a, const struct item *b)
{
	if (a->key != b->key)
		return a->key < b->key;
	return a->source != b->source ? a->source < b->source : a->kind < b->kind;
}

/* The items of atom v as the level below has them: its own (the last of links) first, the others sorted. */
static int64_t gather_items(struct refinement *r, const int64_t *below, int64_t v)
{
	const struct nn_links *l = r->links;
	int64_t n = l->start[v + 1] - l->start[v];
	for (int64_t i = 0; i < n; i++) {
		int64_t p = i ? l->start[v] + i - 1 : l->start[v + 1] - 1, u = l->source[p], at = i;
		struct item x = {.key = mix(r->colour[0][u] ^ mix((uint64_t)l->kind[p])) & r->mask,
				 .source = below[u],
				 .kind = l->kind[p],
				 .degree = l->degree[p]};
		for (; at > 1 && before(&x, &r->item[at - 1]); at--)
			r->item[at] = r->item[at - 1];
		r->item[at] = x;
	}
	return n;
}

static bool same_items(const struct refinement *r, int64_t row, int64_t n)
{
	int64_t from = r->start[row];
	if (r->start[row + 1] - from != n)
		return false;
	for (int64_t i = 0; i < n; i++)
		if (r->source[from + i] != r->item[i].source || r->kind[from + i] != r->item[i].kind)
			return false;
	return true;
}

static void add_row(struct refinement *r, int64_t v, uint64_t hash, int64_t n_item)
{
	int64_t at = r->start[r->n];
	for (int64_t i = 0; i < n_item; i++) {
		r->source[at + i] = r->item[i].source;
		r->kind[at + i] = r->item[i].kind;
		r->degree[at + i] = r->item[i].degree;
	}
	r->start[r->n + 1] = at + n_item;
	r->hash[r->n] = hash;
	r->first[r->n] = v;
	r->mult[r->n++] = 0;
}

/* Puts atom v into the row with its items, or into a new one. */
static void place(struct refinement *r, int64_t v, uint64_t hash, int64_t n_item)
{
	int64_t at = (int64_t)(hash & (uint64_t)(r->n_slot - 1));
	while (r->slot[at] && (r->hash[r->slot[at] - 1] != hash || !same_items(r, r->slot[at] - 1, n_item)))
		at = (at + 1) & (r->n_slot - 1);
	if (!r->slot[at]) {
		add_row(r, v, hash, n_item);
		r->slot[at] = r->n;
	}
	r->row[v] = r->slot[at] - 1;
	r->mult[r->row[v]]++;
	r->colour[1][v] = hash;
}

static void begin_level(struct refinement *r, struct arena *a, int64_t n_item_at_most)
{
	size_t n = (size_t)r->links->n + 1, n_item = (size_t)n_item_at_most + 1;
	r->row = arena_alloc(a, n * sizeof *r->row);
	r->first = arena_alloc(a, n * sizeof *r->first);
	r->mult = arena_alloc(a, n * sizeof *r->mult);
	r->start = arena_alloc(a, (n + 1) * sizeof *r->start);
	r->source = arena_alloc(a, n_item * sizeof *r->source);
	r->kind = arena_alloc(a, n_item * sizeof *r->kind);
	r->degree = arena_alloc(a, n_item * sizeof *r->degree);
	memset(r->slot, 0, (size_t)r->n_slot * sizeof *r->slot);
	r->start[0] = 0;
	r->n = 0;
}

static struct nn_level end_level(struct refinement *r, int64_t n_below)
{
	uint64_t *below = r->colour[0];
	r->colour[0] = r->colour[1];
	r->colour[1] = below;
	return (struct nn_level){.n = r->n,
				 .row = r->row,
				 .mult = r->mult,
				 .first = r->first,
				 .in = {.n = r->n,
					.n_source = n_below,
					.n_item = r->start[r->n],
					.start = r->start,
					.source = r->source,
					.kind = r->kind,
					.degree = r->degree,
					.own_first = true}};
}

/* Level 0: the classes of an atom stand where sources will, so that one comparison serves all levels. */
static void level_zero(struct refinement *r, const int64_t *class, int n_class, bool with_degree)
{
	for (int64_t v = 0; v < r->links->n; v++) {
		uint64_t hash = 0;
		int64_t degree = with_degree ? r->links->start[v + 1] - r->links->start[v] : 0;
		for (int i = 0; i <= n_class; i++) {
			r->item[i] = (struct item){.source = i < n_class ? class[v * n_class + i] : degree};
			hash = mix(hash ^ (uint64_t)r->item[i].source);
		}
		place(r, v, hash & r->mask, n_class + 1);
	}
}

static int64_t most_items(const struct nn_links *l)
{
	int64_t most = 0;
	for (int64_t v = 0; v < l->n; v++) {
		int64_t n = l->start[v + 1] - l->start[v];
		most = n > most ? n : most;
	}
	return most;
}

struct nn_level *nn_levels_new(struct arena *a, const struct nn_links *links, const int64_t *class, int n_class,
			       bool with_degree, int n_level, uint64_t hash_mask)
{
	struct nn_level *level = arena_calloc(a, (size_t)n_level + 1, sizeof *level);
	struct refinement r = {.links = links, .mask = hash_mask, .n_slot = 1};
	int64_t most = most_items(links) > n_class ? most_items(links) : n_class;
	while (r.n_slot < 2 * links->n)
		r.n_slot *= 2;
	r.slot = arena_alloc(a, (size_t)r.n_slot * sizeof *r.slot);
	r.item = arena_alloc(a, (size_t)(most + 1) * sizeof *r.item);
	r.hash = arena_alloc(a, (size_t)(links->n + 1) * sizeof *r.hash);
	for (int i = 0; i < 2; i++)
		r.colour[i] = arena_alloc(a, (size_t)(links->n + 1) * sizeof *r.colour[i]);
	begin_level(&r, a, links->n * (n_class + 1));
	level_zero(&r, class, n_class, with_degree);
	level[0] = end_level(&r, 0);
	level[0].in = (struct nn_links){0};
	for (int l = 1; l <= n_level; l++) {
		begin_level(&r, a, links->n_item);
		for (int64_t v = 0; v < links->n; v++) {
			uint64_t hash = 0;
			int64_t n = gather_items(&r, level[l - 1].row, v);
			for (int64_t i = 0; i < n; i++)
				hash = mix(hash ^ r.item[i].key);
			place(&r, v, hash & r.mask, n);
		}
		level[l] = end_level(&r, level[l - 1].n);
	}
	return level;
}
