/*
 * The tape, parameters and layers by their properties: adjoints of linear operations, dropout, frozen parameters and
 * statistics, starting values, memory, and the same bytes for any number of threads.
 */
#include "nn_layer.h"
#include "nn_loss.h"
#include "tap.h"

#include <math.h>
#include <stdlib.h>

struct world {
	struct kernels k;
	struct nn_params *ps;
	struct nn_tape *t;
	struct rng rng;
	struct arena *a; /* the host's own: the tape's is forgotten with each step */
};

static void world_open(struct world *w, struct pool *pool)
{
	struct err e = {0};
	if (kernels_cpu(&w->k, pool, &e)) {
		printf("Bail out! %s\n", e.msg);
		exit(1);
	}
	w->ps = nn_params_new(&w->k);
	w->t = nn_tape_new(&w->k);
	w->a = arena_new(0);
	rng_init(&w->rng, 5, 0);
	nn_tape_begin(w->t, true, 1, 0);
}

static void world_close(struct world *w)
{
	nn_tape_free(w->t);
	nn_params_free(w->ps);
	kernels_cpu_free(&w->k);
	arena_free(w->a);
}

static real *draw(struct world *w, int64_t n)
{
	real *x = arena_alloc(w->a, (size_t)(n + 1) * sizeof *x);
	for (int64_t i = 0; i < n; i++)
		x[i] = (real)rng_normal(&w->rng);
	return x;
}

static double dot(const real *a, const real *b, int64_t n)
{
	double s = 0;
	for (int64_t i = 0; i < n; i++)
		s += (double)a[i] * (double)b[i];
	return s;
}

/* ---- linear operations: <u, A x> = <A^T u, x> ------------------------------------------- */

enum { N = 23, D = 7, M = 11 };
static int64_t row_of[N], column_of[N];
static real weight_of[N];

static struct nn_var *gather_op(struct world *w, struct nn_var *x)
{
	return nn_gather(w->t, x, row_of, N);
}
static struct nn_var *scatter_op(struct world *w, struct nn_var *x)
{
	return nn_scatter(w->t, x, row_of, M);
}
static struct nn_var *mean_op(struct world *w, struct nn_var *x)
{
	return nn_segment_mean(w->t, x, row_of, M);
}
static struct nn_var *pick_op(struct world *w, struct nn_var *x)
{
	return nn_pick(w->t, x, column_of);
}
static struct nn_var *fold_op(struct world *w, struct nn_var *x)
{
	return nn_fold(w->t, nn_reshape(w->t, x, D, N), N);
}
static struct nn_var *transpose_op(struct world *w, struct nn_var *x)
{
	return nn_transpose(w->t, x);
}
static struct nn_var *columns_op(struct world *w, struct nn_var *x)
{
	struct nn_var *both[2] = {nn_columns(w->t, x, 2, 3), x};
	return nn_concat(w->t, 2, both);
}
static struct nn_var *rows_op(struct world *w, struct nn_var *x)
{
	return nn_row_sum(w->t, nn_scale_rows(w->t, x, weight_of));
}
static struct nn_var *sums_op(struct world *w, struct nn_var *x)
{
	return nn_add(w->t, nn_sum(w->t, x), nn_scale(w->t, nn_mean(w->t, nn_sub(w->t, x, nn_scale(w->t, x, 3))), 2));
}
/* Mutant: the gradient of a detached branch is missing, as it must be; the identity then fails. */
static struct nn_var *detached_op(struct world *w, struct nn_var *x)
{
	return nn_add(w->t, x, nn_detach(w->t, x));
}

static double adjoint_gap(struct nn_var *(*op)(struct world *w, struct nn_var *x), int64_t n)
{
	struct world w;
	world_open(&w, NULL);
	real *x = draw(&w, n * D);
	struct nn_var *xv = nn_input_grad(w.t, x, n, D), *y = op(&w, xv);
	real *u = draw(&w, y->n * y->d);
	double forward = dot(u, y->v, y->n * y->d);
	nn_seed_grad(w.t, y, u);
	nn_backward_run(w.t);
	double gap = fabs(forward - dot(xv->g, x, n * D)) / (1 + fabs(forward));
	world_close(&w);
	return gap;
}

static void test_adjoints(void)
{
	static const struct {
		const char *name;
		struct nn_var *(*op)(struct world *w, struct nn_var *x);
		int64_t n;
	} ops[] = {{"gather", gather_op, M},           {"scatter", scatter_op, N},
		   {"segment_mean", mean_op, N},       {"pick", pick_op, N},
		   {"transpose", transpose_op, N},     {"fold of a reshaped matrix", fold_op, N},
		   {"columns, concat", columns_op, N}, {"scale_rows, row_sum", rows_op, N},
		   {"sum, mean, sub", sums_op, N}};
	for (int i = 0; i < N; i++) {
		row_of[i] = i * i % M; /* some rows never */
		column_of[i] = i % D;
		weight_of[i] = (real)(i - 4) / 8;
	}
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		tap_near(adjoint_gap(ops[i].op, ops[i].n), 0, 2e-6, ops[i].name);
	tap_ok(!(adjoint_gap(detached_op, N) <= 2e-6), "mutant: a branch without gradient breaks the identity");
}

/* ---- dropout, frozen things --------------------------------------------------------------- */

static void test_dropout(void)
{
	enum { BIG = 40000 };
	struct world w;
	world_open(&w, NULL);
	real *ones = arena_alloc(w.a, BIG * sizeof *ones);
	for (int i = 0; i < BIG; i++)
		ones[i] = 1;
	struct nn_var *x = nn_input_grad(w.t, ones, BIG, 1), *y = nn_dropout(w.t, x, 0.25),
		      *z = nn_dropout(w.t, x, 0.25);
	int kept = 0, differ = 0;
	bool scaled = true;
	for (int i = 0; i < BIG; i++) {
		kept += y->v[i] != 0;
		differ += y->v[i] != z->v[i];
		scaled &= y->v[i] == 0 || fabs((double)y->v[i] - 1 / 0.75) <= 1e-6;
	}
	tap_near(kept, 0.75 * BIG, 4 * sqrt(0.25 * 0.75 * BIG), "dropout keeps three of four");
	tap_ok(scaled, "what is kept is scaled by 1 / (1 - p)");
	tap_near(differ, 2 * 0.25 * 0.75 * BIG, 500, "a second dropout draws other numbers");
	nn_seed_grad(w.t, y, ones);
	nn_backward_run(w.t);
	tap_ok(!memcmp(x->g, y->v, BIG * sizeof *ones), "the gradient goes where the value went");
	nn_tape_begin(w.t, false, 1, 0);
	x = nn_input(w.t, ones, 3, 1);
	tap_ok(nn_dropout(w.t, x, 0.25) == x, "nothing is dropped when the tape does not train");
	world_close(&w);
}

static void test_statistics(void)
{
	struct world w;
	world_open(&w, NULL);
	nn_batch_norm_build(w.ps, "bn", D);
	struct nn_param *var = nn_params_find(w.ps, "bn.running_var"), *mean = nn_params_find(w.ps, "bn.running_mean");
	real *x = draw(&w, N * D), before[D];
	nn_batch_norm(w.t, w.ps, "bn", nn_input(w.t, x, 1, D), NULL, false);
	tap_ok(var->value[0] == 1 && mean->value[0] != 0, "one row moves the running mean, not the variance");
	memcpy(before, mean->value, sizeof before);
	nn_tape_begin(w.t, true, 1, 0);
	nn_tape_use_running(w.t, true);
	struct nn_var *y = nn_batch_norm(w.t, w.ps, "bn", nn_input(w.t, x, N, D), NULL, false);
	tap_ok(y->g && !memcmp(before, mean->value, sizeof before), "frozen statistics stay, gradients flow");
	nn_linear_build(w.ps, "lin", D, 3, true, 1);
	struct nn_param *weight = nn_params_find(w.ps, "lin.weight"), *bias = nn_params_find(w.ps, "lin.bias");
	weight->frozen = true;
	nn_params_zero_grad(w.ps);
	nn_tape_begin(w.t, true, 1, 0);
	y = nn_linear_named(w.t, w.ps, "lin", nn_input(w.t, x, N, D));
	nn_seed_grad(w.t, y, x);
	nn_backward_run(w.t);
	nn_params_settle_grad(w.ps);
	tap_ok(weight->grad[0] == 0 && bias->grad[0] != 0, "a frozen weight gets no gradient, its bias does");
	world_close(&w);
}

static void test_loss_not_finite(void)
{
	struct world w;
	struct err e = {0};
	const real bad = (real)NAN;
	world_open(&w, NULL);
	tap_ok(nn_backward(w.t, nn_input_grad(w.t, &bad, 1, 1), &e) == ERR_NUMERIC, "a loss that is NaN is an error");
	world_close(&w);
}

/* x through "once" and twice through "both", whose weight is also multiplied by 2, backward `times` times. */
static void run_linear(struct world *w, const real *x, int times)
{
	const char *names[] = {"both", "both", "once"};
	for (int i = 0; i < times; i++) {
		nn_tape_begin(w->t, true, 1, 0);
		struct nn_var *sum =
		    nn_sum(w->t, nn_scale(w->t, nn_use(w->t, nn_params_find(w->ps, "both.weight")), 2));
		for (int l = 0; l < 3; l++) {
			struct nn_var *in = nn_input(w->t, x + l, N, D);
			struct nn_var *y = l ? nn_linear_named(w->t, w->ps, names[l], in)
					     : nn_dense_named(w->t, w->ps, names[l], in, -1, NULL);
			sum = nn_add(w->t, sum, nn_sum(w->t, nn_mul(w->t, y, y)));
		}
		struct err e = {0};
		nn_backward(w->t, sum, &e);
	}
}

/* What stands in the memory of gradients before they are zeros. */
static void spoil(struct nn_params *ps)
{
	for (int i = 0; i < nn_params_count(ps); i++)
		for (int64_t j = 0; j < nn_params_at(ps, i)->n; j++)
			nn_params_at(ps, i)->grad[j] = (real)NAN;
}

static void test_zero_grad(void)
{
	static const char *const names[] = {"both", "once", "never"};
	struct world w;
	real first[3 * D * D];
	double sum = 0, off = 0, unused = 0;
	world_open(&w, NULL);
	for (int i = 0; i < 3; i++)
		nn_linear_build(w.ps, names[i], D, D, false, 1);
	const real *x = draw(&w, N * D + 2);
	run_linear(&w, x, 1); /* onto the zeros of new parameters */
	for (int i = 0; i < 3 * D * D; i++)
		first[i] = nn_params_at(w.ps, i / (D * D))->grad[i % (D * D)];
	for (int times = 1; times <= 2; times++) {
		spoil(w.ps);
		nn_params_zero_grad(w.ps);
		run_linear(&w, x, times);
		nn_params_settle_grad(w.ps);
		for (int i = 0; i < 3 * D * D; i++) {
			double g = (double)nn_params_at(w.ps, i / (D * D))->grad[i % (D * D)],
			       want = times * (double)first[i];
			off = g == want ? off : fmax(off, isnan(g) ? HUGE_VAL : fabs(g - want) / fabs(want));
			sum += fabs(want);
			unused += i / (D * D) == 2 ? fabs(want) : 0;
		}
	}
	tap_ok(off < 1e-5 && sum > 0 && unused == 0,
	       "gradients start from zeros, are added to, and are zeros where unused (%.1e)", off);
	spoil(w.ps);
	run_linear(&w, x, 1);
	tap_ok(isnan(nn_params_at(w.ps, 1)->grad[0]), "and without that they are added to what is there");
	world_close(&w);
}

/* ---- starting values ------------------------------------------------------------------------- */

static void test_init(void)
{
	struct world a, b;
	world_open(&a, NULL);
	world_open(&b, NULL);
	nn_linear_build(a.ps, "lin", 50, 40, true, 9);
	nn_batch_norm_build(b.ps, "first", 4); /* another layer before it */
	nn_linear_build(b.ps, "lin", 50, 40, true, 9);
	const struct nn_param *p = nn_params_find(a.ps, "lin.weight"), *q = nn_params_find(b.ps, "lin.weight");
	double top = 0, sum = 0;
	for (int64_t i = 0; i < p->n; i++) {
		top = fmax(top, fabs((double)p->value[i]));
		sum += (double)p->value[i] * (double)p->value[i];
	}
	tap_ok(!memcmp(p->value, q->value, (size_t)p->n * sizeof *p->value), "adding a layer changes no other");
	tap_ok(top <= 1 / sqrt(50) && top > 0.98 / sqrt(50), "a linear layer starts within 1 / sqrt(fan in)");
	tap_near(sum / (double)p->n, 1.0 / 150, 0.0005, "and its variance is that of a uniform number");
	tap_ok(p->n_dim == 2 && p->shape[0] == 40 && p->shape[1] == 50, "its shape is [out, in]");
	world_close(&a);
	world_close(&b);
}

/* ---- whole encoders: same bytes for any number of threads, no memory asked for in a later step ------ */

enum { N_MOL = 9, PER = 31, ATOMS = N_MOL * PER, EDGES = 2 * N_MOL * (PER - 1) };
struct batch {
	int64_t x[ATOMS * 9], edge[2 * EDGES], attr[3 * EDGES], mol[ATOMS], z[ATOMS];
	real pos[3 * ATOMS], img[4 * 40 * 40 * 3];
};

static void batch_fill(struct batch *b)
{
	struct rng r;
	int64_t e = 0;
	memset(b, 0, sizeof *b);
	rng_init(&r, 3, 1);
	for (int64_t i = 0; i < ATOMS; i++) {
		b->mol[i] = i / PER;
		b->z[i] = 1 + rng_below(&r, 9);
		b->x[9 * i] = rng_below(&r, 20);
		for (int c = 0; c < 3; c++)
			b->pos[3 * i + c] = (real)(6 * rng_uniform(&r));
		if (i % PER) /* a random tree */
			for (int side = 0; side < 2; side++, e++) {
				int64_t other = i / PER * PER + (int64_t)rng_below(&r, (uint32_t)(i % PER));
				b->edge[e] = side ? b->edge[EDGES + e - 1] : i;
				b->edge[EDGES + e] = side ? i : other;
				b->attr[3 * e] = i % 4;
			}
	}
	for (size_t i = 0; i < sizeof b->img / sizeof *b->img; i++)
		b->img[i] = (real)rng_normal(&r);
}

static struct nn_var *encode_all(struct world *w, const struct batch *b)
{
	static const struct nn_gnn_config gnn = {.kind = NN_GAT, .n_layer = 2, .width = 40, .dropout = 0.3};
	static const struct nn_gnn_config gin = {.kind = NN_GIN, .n_layer = 3, .width = 300}; /* merged atoms */
	static const struct nn_geom_config geom = {.n_block = 1, .width = 40, .middle = 16, .cutoff_ang = 4};
	static const struct nn_cnn_config cnn = {.n_block = {1, 1, 1, 1}, .width = 4};
	if (!nn_params_count(w->ps)) {
		nn_gnn_build(w->ps, "gnn.", &gnn, 1);
		nn_gnn_build(w->ps, "gin.", &gin, 1);
		nn_geom_build(w->ps, "geom.", &geom, 1);
		nn_cnn_build(w->ps, "cnn.", &cnn, 1);
	}
	struct nn_graphs g = {.n_mol = N_MOL,
			      .n_atom = ATOMS,
			      .n_edge = EDGES,
			      .x = b->x,
			      .edge_index = b->edge,
			      .edge_attr = b->attr,
			      .mol = b->mol};
	struct nn_points p = {.n_mol = N_MOL, .n_atom = ATOMS, .z = b->z, .pos = b->pos, .mol = b->mol};
	struct nn_var *x = nn_mean(w->t, nn_activate(w->t, nn_gnn(w->t, w->ps, "gnn.", &gnn, &g, NULL), NN_SQUARE));
	x = nn_add(w->t, x, nn_mean(w->t, nn_activate(w->t, nn_gnn(w->t, w->ps, "gin.", &gin, &g, NULL), NN_SQUARE)));
	x = nn_add(w->t, x, nn_mean(w->t, nn_activate(w->t, nn_geom(w->t, w->ps, "geom.", &geom, &p), NN_SQUARE)));
	struct nn_var *img = nn_input(w->t, b->img, 4 * 40 * 40, 3);
	return nn_add(w->t, x,
		      nn_mean(w->t, nn_activate(w->t, nn_cnn(w->t, w->ps, "cnn.", &cnn, img, 4, 40, 40), NN_SQUARE)));
}

static int n_alloc;
static void *(*plain_alloc)(size_t nbytes);
static void *counted_alloc(size_t nbytes)
{
	n_alloc++;
	return plain_alloc(nbytes);
}

static uint64_t gradient_hash(struct nn_params *ps)
{
	uint64_t h = 0;
	nn_params_settle_grad(ps);
	for (int i = 0; i < nn_params_count(ps); i++) {
		const struct nn_param *p = nn_params_at(ps, i);
		if (p->grad)
			h = h * 31 + rng_hash(p->grad, (size_t)p->n * sizeof *p->grad);
	}
	return h;
}

static void test_threads(void)
{
	static struct batch b;
	static const int threads[] = {0, 1, 2, 3, 8};
	uint64_t first = 0;
	batch_fill(&b);
	for (int i = 0; i < 5; i++) {
		int n = threads[i];
		struct pool *pool = n ? pool_new(n) : NULL;
		struct world w;
		struct err e = {0};
		world_open(&w, pool);
		plain_alloc = w.k.alloc;
		w.k.alloc = counted_alloc;
		for (int step = 0; step < 3; step++) {
			n_alloc = 0;
			nn_tape_begin(w.t, true, 1, (uint64_t)step);
			nn_params_zero_grad(w.ps);
			nn_backward(w.t, encode_all(&w, &b), &e);
		}
		first = n ? first : gradient_hash(w.ps);
		tap_ok(!e.code && gradient_hash(w.ps) == first, "encoders, %d threads: the same bytes", n);
		tap_ok(!n_alloc, "and no memory is asked for in the third step");
		nn_tape_begin(w.t, true, 1, 7);
		nn_params_zero_grad(w.ps);
		nn_backward(w.t, encode_all(&w, &b), &e);
		tap_ok(gradient_hash(w.ps) != first, "mutant: another step drops other entries");
		world_close(&w);
		pool_free(pool);
	}
}

/* ---- the largest cosine between two rows -------------------------------------------------- */

static double cosine_of(const real *a, const real *b, int64_t d)
{
	return dot(a, b, d) / sqrt(dot(a, a, d) * dot(b, b, d));
}

static void test_largest_cosine(void)
{
	enum { ROWS = 530, WIDTH = 19 };
	static const int64_t pairs[][2] = {{1, 0}, {529, 3}, {300, 299}, {256, 255}};
	struct world w;
	world_open(&w, NULL);
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		real *x = draw(&w, ROWS * WIDTH), *a = x + pairs[i][0] * WIDTH, *b = x + pairs[i][1] * WIDTH;
		double top = -1;
		for (int64_t c = 0; c < WIDTH; c++)
			a[c] = 3 * b[c] + (c == 2 ? (real)0.25 : 0);
		for (int64_t r = 0; r < ROWS; r++)
			for (int64_t q = 0; q < r; q++)
				top = fmax(top, cosine_of(x + r * WIDTH, x + q * WIDTH, WIDTH));
		tap_ok(top == cosine_of(a, b, WIDTH), "rows %d and %d are the most alike", (int)pairs[i][0],
		       (int)pairs[i][1]);
		tap_near(nn_largest_cosine(w.t, nn_input(w.t, x, ROWS, WIDTH)), top, 1e-6, "so they are found");
	}
	tap_near(nn_largest_cosine(w.t, nn_input(w.t, draw(&w, WIDTH), 1, WIDTH)), -1, 0, "one row has no other");
	world_close(&w);
}

int main(void)
{
	test_largest_cosine();
	test_adjoints();
	test_dropout();
	test_statistics();
	test_loss_not_finite();
	test_zero_grad();
	test_init();
	test_threads();
	return tap_done();
}
