/* Sums over pairs whose filters are not stored, from a table or from features, against the reference. */
#include "trial.h"

enum { N_NODE = 32, N_ROW = K_FINER * (N_NODE - K_WINDOW + 1) }; /* of a table, of its rows */

enum { MOST = 5 }; /* pairs of an atom */

/* Some pairs of n atoms; first rows crowd in a few places and leave others empty. */
static int64_t some_pairs(struct trial *t, int64_t n, struct k_pair *pair, int64_t *first)
{
	int64_t n_pair = 0;
	for (int64_t b = 0; b < n; b++)
		for (int64_t a = b > MOST ? b - MOST : 0; a < b; a++)
			if (rng_below(&t->rng, 3)) {
				pair[n_pair] = (struct k_pair){.a = (uint16_t)a, .b = (uint16_t)b};
				for (int r = 0; r < 3; r++)
					pair[n_pair].w[r] = (real)rng_normal(&t->rng);
				first[n_pair++] = rng_below(&t->rng, 2) ? 31 : rng_below(&t->rng, N_ROW - 3);
			}
	return n_pair;
}

/* Runs of 0 to 30 atoms; a group for each first row that has pairs, and for some that have none. */
static struct k_table table(struct trial *t, int64_t n_atom)
{
	const size_t n = (size_t)n_atom + 2, most = n * MOST, most_groups = n * N_ROW;
	int64_t *atom = hold_host(t, n * sizeof *atom), *run = hold_host(t, n * sizeof *run);
	int64_t *group = hold_host(t, most_groups * sizeof *group), *row = hold_host(t, most_groups * sizeof *row);
	int64_t *first = hold_host(t, most * sizeof *first), n_run = 0, n_group = 0, n_pair = 0;
	struct k_pair *own = hold_host(t, most * sizeof *own), *pair = hold_host(t, most * sizeof *pair);
	atom[0] = run[0] = group[0] = 0;
	while (atom[n_run] < n_atom && n_run < n_atom) {
		int64_t left = n_atom - atom[n_run], size = n_run == n_atom - 1 ? left : rng_below(&t->rng, 31);
		size = size < left ? size : left;
		int64_t n_own = some_pairs(t, size, own, first);
		for (int64_t v = 0; v < N_ROW - 3; v++) {
			for (int64_t e = 0; e < n_own; e++)
				if (first[e] == v)
					pair[n_pair++] = own[e];
			if (n_pair > group[n_group] || v % 8 == 0) {
				row[n_group] = v;
				group[++n_group] = n_pair;
			}
		}
		atom[n_run + 1] = atom[n_run] + size;
		run[++n_run] = n_group;
	}
	struct k_table tab = {.n_node = N_NODE,
			      .n_row = N_ROW,
			      .fade = in(t, N_NODE),
			      .n_pair = n_pair,
			      .n_run = n_run,
			      .atom = atom,
			      .run = run,
			      .group = group,
			      .first = put(t, row, (size_t)n_group * sizeof *row),
			      .pair = put(t, pair, (size_t)n_pair * sizeof *pair),
			      .slope = in(t, 4 * n_pair)};
	for (int i = 0; i < K_FINER - 1; i++)
		for (int r = 0; r < K_WINDOW; r++)
			tab.window[i][r] = (real)rng_normal(&t->rng);
	return tab;
}

static void op_table(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n < 100 ? s.n : 100, d = s.d < 150 ? s.d : 150;
	struct k_table tab = table(t, n);
	const real *x = in(t, n * d), *rows = in(t, N_NODE * d), *g = in(t, n * d);
	n = tab.atom[tab.n_run];
	k->table_sum(k, &tab, x, rows, out(t, n * d), d, false);
	k->table_sum(k, &tab, x, rows, out(t, n * d), d, true);
	k->table_slope(k, &tab, x, rows, g, out(t, tab.n_pair), d);
}

static void op_table_back(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n < 100 ? s.n : 100, d = s.d < 150 ? s.d : 150;
	struct k_table tab = table(t, n);
	const real *x = in(t, n * d), *rows = in(t, N_NODE * d), *g = in(t, n * d);
	n = tab.atom[tab.n_run];
	for (int add = 0; add < 2; add++) {
		k->table_back(k, &tab, x, rows, g, out(t, n * d), add, out(t, N_NODE * d), !add, d);
		k->table_back(k, &tab, x, rows, g, out(t, n * d), add, NULL, true, d);
		k->table_back(k, &tab, x, rows, g, NULL, true, out(t, N_NODE * d), add, d);
	}
}

static void op_features(const struct kernels *k, struct trial *t, struct size s, int n_feature)
{
	int64_t n = s.n < 300 ? s.n : 300;
	struct k_csr c = csr(t, s.n_target, 2 * n, 2 * n);
	const int64_t *other = index_below(t, c.n_item, n);
	const real *f = in(t, c.n_item * n_feature), *w = in(t, n_feature * s.d), *x = in(t, n * s.d);
	k->feature_sum(k, &c, other, f, w, n_feature, x, out(t, c.n * s.d), s.d, false);
	k->feature_sum(k, &c, other, f, w, n_feature, x, out(t, c.n * s.d), s.d, true);
	k->feature_back(k, &c, other, f, w, n_feature, in(t, c.n * s.d), x, out(t, c.n * s.d), out(t, n_feature * s.d),
			s.d);
}
#define FEATURES(n)                                                                                                    \
	static void op_features##n(const struct kernels *k, struct trial *t, struct size s)                            \
	{                                                                                                              \
		op_features(k, t, s, n);                                                                               \
	}
FEATURES(1)
FEATURES(6)
FEATURES(12)
FEATURES(16)

static const struct named ops[] = {
    {"filters from a table", op_table}, {"their gradients", op_table_back}, {"1 feature", op_features1},
    {"6 features", op_features6},       {"12 features", op_features12},     {"16 features", op_features16},
};

/* ---- wrong variants that the harness must reject ---------------------------------------- */

static const struct kernels *right;

static void one_way(const struct kernels *k, const struct k_table *t, const real *x, const real *rows, real *y,
		    int64_t d, bool add)
{
	struct k_table less = *t;
	struct k_pair *pair = malloc((size_t)(t->n_pair + 1) * sizeof *pair);
	for (int64_t e = 0; e < t->n_pair; e++) {
		pair[e] = t->pair[e];
		pair[e].b = pair[e].a; /* the second atom hears itself */
	}
	less.pair = pair;
	right->table_sum(right, &less, x, rows, y, d, add);
	free(pair);
}

static void start_anew(const struct kernels *k, const struct k_csr *c, const int64_t *other, const real *f,
		       const real *w, int n_feature, const real *x, real *y, int64_t d, bool add)
{
	right->feature_sum(right, c, other, f, w, n_feature, x, y, d, false);
}

static void test_mutants(const struct tables *t)
{
	struct kernels m = t->tested;
	right = &t->tested;
	m.table_sum = one_way;
	tap_ok(!(worst_error(t, op_table, &m, NULL) <= 1e-5), "mutant: pairs of one direction are caught");
	m.feature_sum = start_anew;
	tap_ok(!(worst_error(t, op_features6, &m, NULL) <= 1e-5),
	       "mutant: a sum that forgets what was there is caught");
}

int main(int argc, char **argv)
{
	struct tables t;
	if (!tables_open(&t, argc, argv))
		return 1;
	if (t.twins)
		return test_twin_mutants(&t, ops, sizeof ops / sizeof *ops);
	test_ops(&t, ops, sizeof ops / sizeof *ops);
	test_mutants(&t);
	tables_close(&t);
	return tap_done();
}
