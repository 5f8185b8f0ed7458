/* Operations on graphs, norms and distances against the reference. */
#include "trial.h"

static void op_gather(const struct kernels *k, struct trial *t, struct size s)
{
	const real *x = in(t, s.n * s.d);
	const int64_t *idx = index_below(t, s.n_target, s.n);
	k->gather(k, x, idx, out(t, s.n_target * s.d), s.n_target, s.d, false);
	k->gather(k, x, idx, out(t, s.n_target * s.d), s.n_target, s.d, true);
	const real *table[3] = {x, in(t, s.n * s.d), in(t, s.n * s.d)};
	k->embed(k, 3, table, index_below(t, 3 * s.n_target, s.n), out(t, s.n_target * s.d), s.n_target, s.d);
}

static void op_csr(const struct kernels *k, struct trial *t, struct size s)
{
	struct k_csr c = csr(t, s.n_target, 3 * s.n, s.n);
	const real *x = in(t, s.n * s.d), *w = in(t, c.n_item);
	k->csr_sum(k, &c, x, NULL, out(t, c.n * s.d), s.d, false);
	k->csr_sum(k, &c, x, NULL, out(t, c.n * s.d), s.d, true);
	k->csr_sum(k, &c, x, w, out(t, c.n * s.d), s.d, true);
}

static void op_csr_max(const struct kernels *k, struct trial *t, struct size s)
{
	struct k_csr c = csr(t, s.n_target, s.n, s.n);
	real *host = draw(t, s.n * s.d);
	int64_t *rows = indices(t, s.n, 1), *arg = hold(t, (size_t)(c.n * s.d) * sizeof *arg);
	for (int64_t i = 0; i < s.n; i++)
		rows[i] = i;
	c.item = put(t, rows, (size_t)s.n * sizeof *rows); /* each row in one target */
	for (int64_t i = 0; i < s.n * s.d; i++)
		host[i] = (real)(int)host[i]; /* many equal values */
	const real *x = put(t, host, (size_t)(s.n * s.d) * sizeof *x);
	k->csr_max(k, &c, x, out(t, c.n * s.d), arg, s.d);
	out_ints(t, arg, c.n * s.d);
	k->csr_max_back(k, arg, in(t, c.n * s.d), out(t, s.n * s.d), c.n, s.d);
}

static void op_message(const struct kernels *k, struct trial *t, struct size s)
{
	enum { N_KIND = 5, HEADS = 2 };
	int64_t d = 2 * s.d;
	struct k_csr c = csr(t, s.n_target, 2 * s.n, s.n);
	const int64_t *kind = index_below(t, c.n_item, N_KIND), *edge = index_below(t, c.n_item, c.n_item);
	const real *x = in(t, s.n * d), *table = in(t, N_KIND * d), *w = in(t, c.n_item * HEADS);
	k->message_sum(k, &c, kind, x, table, NULL, 1, out(t, c.n * d), d);
	k->message_sum(k, &c, kind, x, table, w, HEADS, out(t, c.n * d), d);
	k->message_dot(k, &c, kind, x, table, in(t, c.n * d), HEADS, out(t, c.n_item * HEADS), d);
	k->csr_sum_heads(k, &c, edge, x, w, HEADS, out(t, c.n * d), d);
}

static void op_attention(const struct kernels *k, struct trial *t, struct size s)
{
	enum { N_KIND = 4 };
	int heads = (int)s.d;
	struct k_csr c = csr(t, s.n_target, 2 * s.n, s.n);
	const int64_t *kind = index_below(t, c.n_item, N_KIND);
	const real *a = in(t, c.n * heads), *b = in(t, s.n * heads), *e = in(t, N_KIND * heads);
	real *alpha = out(t, c.n_item * heads);
	k->attention(k, &c, kind, a, b, e, 0.2, heads, alpha);
	k->attention_back(k, &c, kind, a, b, e, 0.2, heads, alpha, in(t, c.n_item * heads), out(t, c.n_item * heads));
}

static void op_filter(const struct kernels *k, struct trial *t, struct size s)
{
	struct k_csr c = csr(t, s.n_target, 2 * s.n, 2 * s.n);
	const int64_t *other = index_below(t, c.n_item, s.n), *target = index_below(t, c.n_item, s.n_target);
	const real *x = in(t, s.n * s.d), *f = in(t, c.n_item * s.d);
	k->filter_sum(k, &c, other, x, f, out(t, c.n * s.d), s.d, false);
	k->filter_sum(k, &c, other, x, f, out(t, c.n * s.d), s.d, true);
	k->filter_back(k, target, in(t, s.n_target * s.d), other, x, out(t, c.n_item * s.d), c.n_item, s.d);
}

static void op_batch_norm(const struct kernels *k, struct trial *t, struct size s)
{
	const real *x = in(t, s.n * s.d), *g = in(t, s.n * s.d), *residual = in(t, s.n * s.d);
	const int64_t *mult = index_below(t, s.n, 4);
	struct k_batch_norm b = {.n = s.n, .d = s.d, .eps = 1e-5, .momentum = 0.1};
	b.weight = in(t, s.d);
	b.bias = in(t, s.d);
	b.run_mean = out(t, s.d);
	b.run_var = out_from(t, draw_positive(t, s.d), s.d);
	b.train = s.n > 1 && s.n % 2;
	b.relu = s.d % 2;
	b.mult = s.d > 4 ? mult : NULL;
	b.residual = s.d > 2 ? residual : NULL;
	b.mean = out(t, s.d);
	b.inv = out(t, s.d);
	real *y = out(t, s.n * s.d), *g_wb = out(t, 2 * s.d);
	k->batch_norm(k, &b, x, y);
	k->batch_norm_back(k, &b, x, y, g, out(t, s.n * s.d), g_wb, g_wb + s.d, out(t, s.n * s.d));
}

/* In training without multiplicities and a single row too, of which the running variance learns nothing; what is not
 * wanted is NULL. */
static void op_batch_norm_bare(const struct kernels *k, struct trial *t, struct size s)
{
	const real *x = in(t, s.n * s.d), *g = in(t, s.n * s.d);
	struct k_batch_norm b = {.n = s.n, .d = s.d, .eps = 1e-2, .momentum = 0.1, .train = true, .relu = s.d % 2};
	b.weight = in(t, s.d);
	b.bias = in(t, s.d);
	b.run_mean = out(t, s.d);
	b.run_var = out_from(t, draw_positive(t, s.d), s.d);
	b.mean = out(t, s.d);
	b.inv = out(t, s.d);
	real *y = out(t, s.n * s.d);
	k->batch_norm(k, &b, x, y);
	k->batch_norm_back(k, &b, x, y, g, out(t, s.n * s.d), NULL, NULL, NULL);
	k->batch_norm_back(k, &b, x, y, g, NULL, out(t, s.d), NULL, NULL);
}

static void op_graph_norm(const struct kernels *k, struct trial *t, struct size s)
{
	struct k_csr c = csr(t, s.n_target, s.n, 1);
	const real *x = in(t, s.n * s.d), *g_y = in(t, s.n * s.d);
	struct k_graph_norm g = {.n_graph = c.n, .d = s.d, .start = c.start, .eps = 1e-2};
	g.weight = in(t, s.d);
	g.bias = in(t, s.d);
	g.mean_scale = in(t, s.d);
	g.mean = in(t, c.n * s.d);
	g.inv = in(t, c.n * s.d);
	real *g_param = out(t, 3 * s.d);
	k->graph_norm(k, &g, x, out(t, s.n * s.d));
	k->graph_norm_back(k, &g, x, g_y, out(t, s.n * s.d), g_param, g_param + s.d, g_param + 2 * s.d);
}

/* Hyperedges of one to four nodes; the last node is in none but by a value of 0, which may be all that its hyperedge
 * has. */
static void op_hyper(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n < 40 ? s.n : 40, d = s.d < 9 ? s.d : 9, *start = indices(t, n + 1, 1);
	int64_t *node = indices(t, 4 * n, n);
	real *value = draw_positive(t, 4 * n), *weight = draw_positive(t, n);
	start[0] = 0;
	for (int64_t j = 0; j < n; j++) {
		node[start[j]] = j;
		start[j + 1] = start[j] + 1 + j % 4;
	}
	for (int64_t e = 0; e < start[n] && n > 2; e++)
		value[e] = node[e] == n - 1 ? 0 : value[e];
	struct k_hyper h = {.n_node = n,
			    .n_edge = n,
			    .start = start,
			    .node = node,
			    .value = value,
			    .weight = s.n_target % 2 ? weight : NULL};
	const real *x = in(t, n * d), *g = in(t, n * d);
	for (int sym = 0; sym < 2; sym++) {
		real *y = out(t, n * d);
		h.sym = sym;
		k->hyper(k, &h, x, y, d);
		k->hyper_back(k, &h, x, y, g, out(t, n * d), out(t, n), d);
	}
}

static void op_distance(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n + 1, *j = indices(t, s.n_target, n), *i = indices(t, s.n_target, 1);
	const real *pos = in(t, 3 * n), *g = in(t, s.n_target);
	real *dist = out(t, s.n_target), *y = out(t, s.n_target * (s.d + 1));
	for (int64_t e = 0; e < s.n_target; e++)
		i[e] = (j[e] + 1) % n;
	j = put(t, j, (size_t)s.n_target * sizeof *j);
	i = put(t, i, (size_t)s.n_target * sizeof *i);
	k->distance(k, pos, j, i, dist, s.n_target);
	k->distance_back(k, pos, j, i, dist, g, out(t, 3 * n), s.n_target);
	k->gaussians(k, dist, y, s.n_target, s.d + 1, 5);
	k->gaussians_back(k, dist, y, in(t, s.n_target * (s.d + 1)), out(t, s.n_target), s.n_target, s.d + 1, 5);
	k->cosine_cutoff(k, dist, out(t, s.n_target), s.n_target, 5);
	k->cosine_cutoff_back(k, dist, g, out(t, s.n_target), s.n_target, 5);
}

static const struct named ops[] = {
    {"gather and embed", op_gather}, {"csr_sum", op_csr},
    {"csr_max", op_csr_max},         {"messages", op_message},
    {"attention", op_attention},     {"filters", op_filter},
    {"batch_norm", op_batch_norm},   {"bare batch_norm", op_batch_norm_bare},
    {"graph_norm", op_graph_norm},   {"hyper", op_hyper},
    {"distances", op_distance},
};

/* ---- wrong variants that the harness must reject ---------------------------------------- */

static const struct kernels *right;

static void csr_sum_short(const struct kernels *k, const struct k_csr *c, const real *x, const real *w, real *y,
			  int64_t d, bool add)
{
	struct k_csr less = *c;
	less.n -= c->n > 1; /* the last target is forgotten */
	right->csr_sum(right, &less, x, w, y, d, add);
}

static void test_mutants(const struct tables *t)
{
	struct kernels m = t->tested;
	right = &t->tested;
	m.csr_sum = csr_sum_short;
	tap_ok(!(worst_error(t, op_csr, &m, NULL) <= 1e-5), "mutant: a sum without its last target is caught");
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
	test_barriers(&t, ops, sizeof ops / sizeof *ops);
	tables_close(&t);
	return tap_done();
}
