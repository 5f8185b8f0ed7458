/*
 * Merged atoms: numbers of colours that are known, the partition of a naive refinement on random graphs whatever the
 * hashes, and items of a row that are those of each of its atoms.
 */
#include "nn_quotient.h"
#include "tap.h"

enum { MAX_ATOM = 400, MAX_BOND = 1000, LEVELS = 6 };

struct graph {
	int n, n_bond, end[MAX_BOND][2], kind[MAX_BOND];
	int64_t class[MAX_ATOM];
};

static void bond(struct graph *g, int a, int b, int kind)
{
	g->end[g->n_bond][0] = a;
	g->end[g->n_bond][1] = b;
	g->kind[g->n_bond++] = kind;
}

/* n more atoms in a ring or chain; the number of the first. */
static int add(struct graph *g, int n, bool ring, int kind)
{
	int first = g->n;
	for (int i = 0; i + 1 < n + ring; i++)
		bond(g, first + i, first + (i + 1) % n, kind);
	g->n += n;
	return first;
}

enum { LOOP = 9 };

static struct nn_links links_of(struct arena *a, const struct graph *g)
{
	int64_t n_item = 2 * g->n_bond + g->n, at = 0, *start = arena_calloc(a, (size_t)g->n + 1, sizeof *start);
	int64_t *source = arena_alloc(a, (size_t)(3 * n_item) * sizeof *source), *kind = source + n_item;
	int64_t *degree = kind + n_item;
	for (int v = 0; v < g->n; v++) {
		for (int b = 0; b < g->n_bond; b++)
			for (int side = 0; side < 2; side++)
				if (g->end[b][side] == v) {
					source[at] = g->end[b][!side];
					kind[at++] = g->kind[b];
				}
		source[at] = v;
		kind[at++] = LOOP;
		start[v + 1] = at;
	}
	for (int64_t p = 0; p < n_item; p++)
		degree[p] = start[source[p] + 1] - start[source[p]];
	return (struct nn_links){.n = g->n,
				 .n_source = g->n,
				 .n_item = n_item,
				 .start = start,
				 .source = source,
				 .kind = kind,
				 .degree = degree};
}

/* ---- known numbers ---------------------------------------------------------------------- */

/* want -1: not known */
static void count(const char *what, const struct graph *g, const int64_t want[LEVELS + 1])
{
	struct arena *a = arena_new(0);
	struct nn_links l = links_of(a, g);
	const struct nn_level *level = nn_levels_new(a, &l, g->class, 1, false, LEVELS, UINT64_MAX);
	bool good = true;
	for (int i = 0; i <= LEVELS; i++) {
		int64_t atoms = 0;
		good &= want[i] < 0 || level[i].n == want[i];
		for (int64_t v = 0; v < level[i].n; v++)
			atoms += level[i].mult[v];
		good &= atoms == g->n;
	}
	tap_ok(good, "%s: %lld rows at last", what, (long long)level[LEVELS].n);
	arena_free(a);
}

static void test_known(void)
{
	static struct graph benzene, toluene, naphthalene, pair, both;
	add(&benzene, 6, true, 3);
	count("benzene, all atoms alike", &benzene, (const int64_t[]){1, 1, 1, 1, 1, 1, 1});
	add(&toluene, 6, true, 3);
	bond(&toluene, 0, add(&toluene, 1, false, 0), 0);
	count("toluene, one carbon more a level", &toluene, (const int64_t[]){1, 3, 4, 5, 5, 5, 5});
	add(&naphthalene, 10, true, 3);
	bond(&naphthalene, 0, 5, 3);
	count("naphthalene, three kinds of carbon", &naphthalene, (const int64_t[]){1, 2, 3, 3, 3, 3, 3});
	/* Decalin and bicyclopentyl: no refinement of this kind tells them apart. */
	add(&pair, 10, true, 0);
	bond(&pair, 0, 5, 0);
	count("decalin", &pair, (const int64_t[]){1, 2, 3, 3, 3, 3, 3});
	both = pair;
	int left = add(&both, 5, true, 0), right = add(&both, 5, true, 0);
	bond(&both, left, right, 0);
	count("decalin and bicyclopentyl, known not to be told apart", &both, (const int64_t[]){1, 2, 3, 3, 3, 3, 3});
	both.class[0] = 1;
	both.class[15] = 1;
	count("a bridging atom of each marked, six kinds each", &both, (const int64_t[]){2, -1, -1, -1, -1, 12, 12});
}

/* ---- against a naive refinement ----------------------------------------------------------- */

/* Molecules of a few kinds and odd ones, with bonds in any order. */
static void draw(struct graph *g, struct rng *r)
{
	memset(g, 0, sizeof *g);
	while (g->n < MAX_ATOM - 30) {
		int shape = (int)rng_below(r, 4), n = 3 + (int)rng_below(r, 5), first = g->n;
		add(g, n, shape % 2, (int)rng_below(r, 2));
		if (shape > 1)
			bond(g, first + (int)rng_below(r, (uint32_t)n), add(g, 1 + (int)rng_below(r, 4), false, 0), 0);
		for (int i = first; i < g->n; i++)
			g->class[i] = rng_below(r, 8) == 0;
	}
	for (int i = g->n_bond - 1; i > 0; i--) {
		int j = (int)rng_below(r, (uint32_t)i + 1), t[3] = {g->end[i][0], g->end[i][1], g->kind[i]};
		memcpy(g->end[i], g->end[j], sizeof g->end[i]);
		g->kind[i] = g->kind[j];
		g->end[j][0] = t[0];
		g->end[j][1] = t[1];
		g->kind[j] = t[2];
	}
}

/* As many pairs (row below, kind) among the items of u as among those of v, for each pair. */
static bool same_surroundings(const struct nn_links *l, const int64_t *below, int64_t u, int64_t v)
{
	if (below[u] != below[v] || l->start[u + 1] - l->start[u] != l->start[v + 1] - l->start[v])
		return false;
	for (int64_t i = l->start[u]; i < l->start[u + 1]; i++) {
		int64_t n = 0;
		for (int64_t j = l->start[u]; j < l->start[u + 1]; j++)
			n += below[l->source[j]] == below[l->source[i]] && l->kind[j] == l->kind[i];
		for (int64_t j = l->start[v]; j < l->start[v + 1]; j++)
			n -= below[l->source[j]] == below[l->source[i]] && l->kind[j] == l->kind[i];
		if (n)
			return false;
	}
	return true;
}

/* Each level is the partition of the naive rule, with its first atoms, numbers of atoms and items. */
static bool as_naive(const struct nn_links *l, const struct nn_level *level, const int64_t *class, bool with_degree)
{
	for (int k = 0; k <= LEVELS; k++) {
		const struct nn_level *at = &level[k];
		int64_t n = 0;
		for (int64_t v = 0; v < l->n; v++) {
			int64_t u = 0, mult = 0;
			for (; u < v; u++)
				if (k ? same_surroundings(l, level[k - 1].row, u, v)
				      : class[u] == class[v] && (!with_degree || l->start[u + 1] - l->start[u] ==
										     l->start[v + 1] - l->start[v]))
					break;
			if (at->row[v] != (u < v ? at->row[u] : n) || (u == v && at->first[n] != v))
				return false;
			n += u == v;
			for (int64_t w = 0; w < l->n; w++)
				mult += at->row[w] == at->row[v];
			if (at->mult[at->row[v]] != mult)
				return false;
			if (!k)
				continue;
			const struct nn_links *in = &at->in;
			int64_t row = at->row[v], from = in->start[row], m = in->start[row + 1] - from;
			bool good = m == l->start[v + 1] - l->start[v] && in->source[from] == level[k - 1].row[v];
			for (int64_t i = from; good && i < from + m; i++) {
				int64_t here = 0, there = 0;
				for (int64_t j = from; j < from + m; j++)
					here += in->source[j] == in->source[i] && in->kind[j] == in->kind[i];
				for (int64_t j = l->start[v]; j < l->start[v + 1]; j++) {
					bool is = level[k - 1].row[l->source[j]] == in->source[i] &&
						  l->kind[j] == in->kind[i];
					there += is;
					if (is && with_degree)
						good &= l->degree[j] == in->degree[i];
				}
				good &= here == there;
			}
			if (!good)
				return false;
		}
		if (n != at->n)
			return false;
	}
	return true;
}

static void test_naive(void)
{
	static const uint64_t masks[] = {UINT64_MAX, 0, 7};
	static struct graph g;
	struct rng r;
	rng_init(&r, 4, 0);
	for (int with_degree = 0; with_degree < 2; with_degree++)
		for (size_t m = 0; m < sizeof masks / sizeof *masks; m++) {
			struct arena *a = arena_new(0);
			draw(&g, &r);
			struct nn_links l = links_of(a, &g);
			struct nn_level *level = nn_levels_new(a, &l, g.class, 1, with_degree, LEVELS, masks[m]);
			tap_ok(as_naive(&l, level, g.class, with_degree) && level[1].n < l.n / 4,
			       "random molecules, %lld of %d atoms, hashes of %s bits: as the naive refinement",
			       (long long)level[LEVELS].n, g.n,
			       m == 0   ? "64"
			       : m == 1 ? "no"
					: "3");
			/* mutant: rows of the level below */
			level[2] = level[1];
			tap_ok(!as_naive(&l, level, g.class, with_degree), "mutant: a level too few is caught");
			arena_free(a);
		}
}

/* The order of a row's items is that of its surroundings: the same wherever the molecule stands. */
static void test_order(void)
{
	static struct graph g[2];
	struct arena *a = arena_new(0);
	const struct nn_level *level[2];
	for (int i = 0; i < 2; i++) {
		if (i)
			add(&g[i], 7, true, 1);
		int ring = add(&g[i], 6, true, 3), chain = add(&g[i], 2, false, 0), tail = add(&g[i], 1, false, 0);
		bond(&g[i], i ? chain : ring, i ? ring : chain, 0);
		bond(&g[i], ring + 3, tail, 2);
		g[i].class[tail] = 1;
		struct nn_links l = links_of(a, &g[i]);
		level[i] = nn_levels_new(a, &l, g[i].class, 1, false, LEVELS, UINT64_MAX);
	}
	bool same = true;
	for (int k = 1; k <= LEVELS; k++)
		for (int v = 0; v < g[0].n; v++) {
			int64_t p = level[0][k].in.start[level[0][k].row[v]],
				q = level[1][k].in.start[level[1][k].row[v + 7]];
			int64_t n = level[0][k].in.start[level[0][k].row[v] + 1] - p;
			for (int64_t i = 0; i < n; i++) {
				/* the atoms that stand for the sources have equal rows in the first graph */
				int64_t x = level[0][k].in.source[p + i], y = level[1][k].in.source[q + i];
				bool found = false;
				for (int w = 0; w < g[0].n; w++)
					found |= level[0][k - 1].row[w] == x && level[1][k - 1].row[w + 7] == y;
				same &= found && level[0][k].in.kind[p + i] == level[1][k].in.kind[q + i];
			}
		}
	tap_ok(same, "another molecule before it leaves the order of a row's items");
	arena_free(a);
}

int main(void)
{
	test_known();
	test_naive();
	test_order();
	return tap_done();
}
