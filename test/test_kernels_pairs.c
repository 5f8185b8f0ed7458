/* Sums over pairs whose filters are not stored, from a table or from features, against the reference. */
#include "trial.h"

enum { N_ROW = 70 }; /* of a table */

/* Groups of 0 to 5 atoms with some of their pairs; first rows crowd in a few places and leave others empty. */
static struct k_table table(struct trial *t, int64_t n_atom, int64_t *n_pair)
{
	enum { MOST = 5 };
	int64_t *pair = hold_host(t, (size_t)(2 * n_atom + 2) * sizeof *pair), *atom = pair + n_atom + 1, n_group = 0;
	int64_t *a = hold_host(t, (size_t)(n_atom * MOST) * sizeof *a),
		*b = hold_host(t, (size_t)(n_atom * MOST) * sizeof *b);
	int64_t *first = hold_host(t, (size_t)(n_atom * MOST) * sizeof *first),
		*key = hold_host(t, (2 * N_ROW + 1) * sizeof *key);
	int64_t n = 0;
	pair[0] = atom[0] = 0;
	while (atom[n_group] < n_atom && n_group < n_atom) {
		int64_t from = atom[n_group], more = n_group == n_atom - 1 ? n_atom : rng_below(&t->rng, MOST + 1);
		int64_t to = from + more < n_atom ? from + more : n_atom;
		for (int64_t v = from; v < to && v < from + MOST; v++)
			for (int64_t u = from; u < v; u++)
				if (rng_below(&t->rng, 3)) {
					a[n] = u;
					b[n] = v;
					first[n++] = rng_below(&t->rng, 2) ? 31 : rng_below(&t->rng, N_ROW - 3);
				}
		atom[++n_group] = to;
		pair[n_group] = n;
	}
	int64_t *item = hold_host(t, (size_t)(n + 1) * sizeof *item), at = 0;
	for (int64_t v = 0; v <= 2 * N_ROW; v++) { /* two runs of groups */
		key[v] = at;
		for (int64_t e = 0; e < n && v < 2 * N_ROW; e++)
			if ((e >= pair[n_group / 2]) * N_ROW + first[e] == v)
				item[at++] = e;
	}
	*n_pair = n;
	return (struct k_table){.n_pair = n,
				.n_row = N_ROW,
				.n_group = n_group,
				.pair = pair,
				.atom = atom,
				.a = put(t, a, (size_t)n * sizeof *a),
				.b = put(t, b, (size_t)n * sizeof *b),
				.first = put(t, first, (size_t)n * sizeof *first),
				.w = in(t, 4 * n),
				.slope = in(t, 4 * n),
				.by_first = {.n = 2 * N_ROW,
					     .n_item = n,
					     .start = put(t, key, (2 * N_ROW + 1) * sizeof *key),
					     .item = put(t, item, (size_t)n * sizeof *item)}};
}

static void op_table(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n < 100 ? s.n : 100, d = s.d < 150 ? s.d : 150, n_pair;
	struct k_table tab = table(t, n, &n_pair);
	const real *x = in(t, n * d), *rows = in(t, N_ROW * d), *g = in(t, n * d);
	n = tab.atom[tab.n_group];
	k->table_sum(k, &tab, x, rows, out(t, n * d), d, false);
	k->table_sum(k, &tab, x, rows, out(t, n * d), d, true);
	k->table_back(k, &tab, x, g, out(t, N_ROW * d), d);
	k->table_slope(k, &tab, x, rows, g, out(t, n_pair), d);
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
    {"filters from a table", op_table}, {"1 feature", op_features1},    {"6 features", op_features6},
    {"12 features", op_features12},     {"16 features", op_features16},
};

/* ---- wrong variants that the harness must reject ---------------------------------------- */

static const struct kernels *right;

static void one_way(const struct kernels *k, const struct k_table *t, const real *x, const real *rows, real *y,
		    int64_t d, bool add)
{
	struct k_table less = *t;
	less.b = t->a; /* the second atom hears itself */
	right->table_sum(right, &less, x, rows, y, d, add);
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
