/* Sums over pairs whose filters are not stored, from a table or from features, against the reference. */
#include "trial.h"

enum { N_ROW = 70 }; /* of a table */

enum { MOST = 5 }; /* pairs of an atom */

struct lists {
	int64_t n, *a, *b, *first;
};

/* Some pairs of the atoms [from, to); first rows crowd in a few places and leave others empty. */
static void some_pairs(struct trial *t, int64_t from, int64_t to, struct lists *l)
{
	for (int64_t v = from; v < to; v++)
		for (int64_t u = from > v - MOST ? from : v - MOST; u < v; u++)
			if (rng_below(&t->rng, 3)) {
				l->a[l->n] = u;
				l->b[l->n] = v;
				l->first[l->n++] = rng_below(&t->rng, 2) ? 31 : rng_below(&t->rng, N_ROW - 3);
			}
}

/* Adds those of each first row in as many groups of n as there are, `in` being what they are taken from. */
static void in_groups(struct lists *in, int64_t n, struct lists *to)
{
	for (int64_t row = 0; row < N_ROW; row++) {
		int64_t count = 0;
		for (int64_t e = 0; e < in->n; e++)
			count += in->first[e] == row;
		count -= count % n;
		for (int64_t e = 0; e < in->n && count; e++)
			if (in->first[e] == row) {
				to->a[to->n] = in->a[e];
				to->b[to->n] = in->b[e];
				to->first[to->n++] = row;
				in->first[e] = -1;
				count--;
			}
	}
}

static struct lists lists_of(struct trial *t, int64_t n)
{
	size_t nbytes = (size_t)n * sizeof(int64_t);
	return (struct lists){.a = hold_host(t, nbytes), .b = hold_host(t, nbytes), .first = hold_host(t, nbytes)};
}

/* Runs of 0 to 30 atoms. */
static struct k_table table(struct trial *t, int64_t n_atom)
{
	int64_t *pair = hold_host(t, (size_t)(4 * n_atom + 8) * sizeof *pair), *atom = pair + 3 * n_atom + 4, n_run = 0;
	struct lists all = lists_of(t, n_atom * MOST + 1), own = lists_of(t, n_atom * MOST + 1);
	pair[0] = atom[0] = 0;
	while (atom[n_run] < n_atom && n_run < n_atom) {
		int64_t from = atom[n_run], more = n_run == n_atom - 1 ? n_atom : rng_below(&t->rng, 31);
		int64_t to = from + more < n_atom ? from + more : n_atom;
		own.n = 0;
		some_pairs(t, from, to, &own);
		for (int64_t size = 4, of = 1; size; size /= 2, of++) {
			in_groups(&own, size, &all);
			pair[3 * n_run + of] = all.n;
		}
		atom[++n_run] = to;
	}
	const size_t nbytes = (size_t)all.n * sizeof(int64_t);
	return (struct k_table){.n_pair = all.n,
				.n_row = N_ROW,
				.n_run = n_run,
				.atom = atom,
				.pair = pair,
				.a = put(t, all.a, nbytes),
				.b = put(t, all.b, nbytes),
				.first = put(t, all.first, nbytes),
				.w = in(t, 4 * all.n),
				.slope = in(t, 4 * all.n)};
}

static void op_table(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n < 100 ? s.n : 100, d = s.d < 150 ? s.d : 150;
	struct k_table tab = table(t, n);
	const real *x = in(t, n * d), *rows = in(t, N_ROW * d), *g = in(t, n * d);
	n = tab.atom[tab.n_run];
	k->table_sum(k, &tab, x, rows, out(t, n * d), d, false);
	k->table_sum(k, &tab, x, rows, out(t, n * d), d, true);
	k->table_slope(k, &tab, x, rows, g, out(t, tab.n_pair), d);
}

static void op_table_back(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n < 100 ? s.n : 100, d = s.d < 150 ? s.d : 150;
	struct k_table tab = table(t, n);
	const real *x = in(t, n * d), *rows = in(t, N_ROW * d), *g = in(t, n * d);
	n = tab.atom[tab.n_run];
	for (int add = 0; add < 2; add++) {
		k->table_back(k, &tab, x, rows, g, out(t, n * d), add, out(t, N_ROW * d), !add, d);
		k->table_back(k, &tab, x, rows, g, out(t, n * d), add, NULL, true, d);
		k->table_back(k, &tab, x, rows, g, NULL, true, out(t, N_ROW * d), add, d);
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
