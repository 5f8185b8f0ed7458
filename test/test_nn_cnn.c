/* The network of pictures as one rule against the chain of plain layers; threads, steps and neighbours change nothing.
 */
#include "nn_layer.h"
#include "tap.h"

#include <math.h>
#include <stdlib.h>

struct shape {
	int64_t n, height, width;
	struct nn_cnn_config c;
	int64_t first; /* number of the first picture */
};
static const struct shape shapes[] = {
    {1, 65, 97, {.n_block = {1, 1, 1, 1}, .width = 1}},
    {3, 50, 41, {.n_block = {1, 1, 1, 1}, .width = 5}},
    {2, 96, 96, {.n_block = {2, 2, 2, 2}, .width = 8}},
    {5, 33, 70, {.n_block = {1, 2, 1, 3}, .width = 24}},
};
enum { N_SHAPE = sizeof shapes / sizeof *shapes, MAX_PARAM = 200 };

/* Outputs, gradients and running statistics of one pass. */
struct result {
	int64_t n;
	real *y;
	int n_param;
	struct {
		int64_t n;
		bool is_state;
		real *x;
	} param[MAX_PARAM];
};

static real *copy_of(const real *x, int64_t n)
{
	real *y = malloc((size_t)(n + 1) * sizeof *y);
	memcpy(y, x, (size_t)n * sizeof *y);
	return y;
}

static void result_free(struct result *r)
{
	free(r->y);
	for (int i = 0; i < r->n_param; i++)
		free(r->param[i].x);
}

static real *pictures(const struct shape *s)
{
	int64_t n = s->height * s->width * 3;
	real *x = malloc((size_t)(s->n * n) * sizeof *x);
	for (int64_t p = 0; p < s->n; p++) {
		struct rng r;
		rng_init(&r, 3, (uint64_t)(s->first + p));
		for (int64_t i = 0; i < n; i++)
			x[p * n + i] = (real)rng_normal(&r);
	}
	return x;
}

static struct nn_params *network(const struct kernels *k, const struct shape *s)
{
	struct nn_params *ps = nn_params_new(k);
	nn_cnn_build(ps, "", &s->c, 7);
	for (int i = 0; i < nn_params_count(ps); i++) { /* BatchNorms as training leaves them, not as they begin */
		struct nn_param *p = nn_params_at(ps, i);
		struct rng r;
		rng_init(&r, 5, (uint64_t)i);
		if (p->n_dim == 1)
			for (int64_t j = 0; j < p->n; j++)
				p->value[j] = (real)(strstr(p->name, "running_mean") || strstr(p->name, "bias")
							 ? 0.3 * rng_normal(&r)
							 : 0.5 + rng_uniform(&r));
	}
	return ps;
}

enum mode { INFERENCE, TRAINING, FROZEN, N_MODE }; /* FROZEN: gradients through running statistics */
static const char *const mode_names[] = {"inference", "training", "frozen statistics"};

/* n_step passes; the last one's results. */
static struct result run(const struct kernels *k, const struct shape *s, enum mode mode, int n_step)
{
	struct nn_params *ps = network(k, s);
	struct nn_tape *t = nn_tape_new(k);
	real *x = pictures(s);
	struct result r = {0};
	for (int step = 0; step < n_step; step++) {
		nn_tape_begin(t, mode != INFERENCE, 1, 0);
		if (mode == FROZEN)
			nn_tape_use_running(t, true);
		nn_params_zero_grad(ps);
		struct nn_var *img = nn_input(t, x, s->n * s->height * s->width, 3);
		struct nn_var *y = nn_cnn(t, ps, "", &s->c, img, s->n, s->height, s->width);
		real *g = malloc((size_t)(y->n * y->d) * sizeof *g);
		for (int64_t i = 0; i < y->n * y->d; i++)
			g[i] = (real)sin((double)i);
		if (mode != INFERENCE) {
			nn_seed_grad(t, y, g);
			nn_backward_run(t);
		}
		free(g);
		free(r.y);
		r.n = y->n * y->d;
		r.y = copy_of(y->v, r.n);
	}
	r.n_param = nn_params_count(ps);
	nn_params_settle_grad(ps);
	for (int i = 0; i < r.n_param; i++) {
		const struct nn_param *p = nn_params_at(ps, i);
		r.param[i].n = p->n;
		r.param[i].is_state = p->is_state;
		r.param[i].x = copy_of(p->is_state ? p->value : p->grad, p->n);
	}
	free(x);
	nn_tape_free(t);
	nn_params_free(ps);
	return r;
}

static double difference(const real *a, const real *b, int64_t n, double least)
{
	double top = least, off = 0;
	for (int64_t i = 0; i < n; i++) {
		double d = fabs((double)a[i] - (double)b[i]);
		off = isnan(d) ? INFINITY : fmax(off, d);
		top = fmax(top, fabs((double)b[i]));
	}
	return off / top;
}

/* Largest difference of any tensor over its largest entry (of gradients: at least a thousandth of the largest one). */
static double worst_of(const struct result *a, const struct result *b)
{
	double worst = difference(a->y, b->y, a->n, 0), top = 0;
	for (int i = 0; i < a->n_param; i++)
		for (int64_t j = 0; j < a->param[i].n; j++)
			top = fmax(top, fabs((double)b->param[i].x[j]));
	for (int i = 0; i < a->n_param; i++)
		worst = fmax(worst, difference(a->param[i].x, b->param[i].x, a->param[i].n, 1e-3 * top));
	return worst;
}

/* But for running statistics where `later`: they have moved on. */
static bool same(const struct result *a, const struct result *b, bool later)
{
	bool equal = !memcmp(a->y, b->y, (size_t)a->n * sizeof *a->y);
	for (int i = 0; i < a->n_param; i++)
		if (!later || !a->param[i].is_state)
			equal &= !memcmp(a->param[i].x, b->param[i].x, (size_t)a->param[i].n * sizeof(real));
	return equal;
}

static void test_plain(const struct kernels *k)
{
	struct kernels plain = *k;
	plain.plain = true;
	for (int i = 0; i < N_SHAPE; i++)
		for (int mode = 0; mode < N_MODE; mode++) {
			struct result a = run(k, &shapes[i], mode, 1), b = run(&plain, &shapes[i], mode, 1);
			double off = worst_of(&a, &b);
			tap_ok(off <= 5e-4, "shape %d, %s: as the plain layers (%.1e)", i, mode_names[mode], off);
			tap_ok(!same(&a, &b, false), "and by another way");
			a.param[1].x[0] += (real)0.01 * (real)fabs((double)a.param[1].x[0]) + (real)0.1;
			tap_ok(!(worst_of(&a, &b) <= 5e-4), "mutant: another number in one tensor is caught");
			result_free(&a);
			result_free(&b);
		}
}

static void test_steps(const struct kernels *k)
{
	for (int i = 0; i < N_SHAPE; i++) {
		struct result a = run(k, &shapes[i], TRAINING, 1), b = run(k, &shapes[i], TRAINING, 3);
		tap_ok(same(&a, &b, true), "shape %d: the third step gives the first one's bytes", i);
		result_free(&a);
		result_free(&b);
	}
}

static void test_threads(const struct kernels *k)
{
	static const int counts[] = {2, 3, 8};
	for (int c = 0; c < 3; c++) {
		struct pool *pool = pool_new(counts[c]);
		struct kernels threaded;
		struct err e = {0};
		bool equal = !kernels_cpu(&threaded, pool, &e);
		for (int i = 0; i < N_SHAPE && equal; i++)
			for (int mode = 0; mode < N_MODE; mode++) {
				struct result a = run(k, &shapes[i], mode, 1);
				struct result b = run(&threaded, &shapes[i], mode, 1);
				equal &= same(&a, &b, false);
				result_free(&a);
				result_free(&b);
			}
		tap_ok(equal, "%d threads: the same bytes", counts[c]);
		kernels_close(&threaded);
		pool_free(pool);
	}
}

/* With fixed_rows a picture's bytes are its own, wherever it stands. */
static void test_neighbours(const struct kernels *k, const struct shape *s, int64_t n)
{
	struct kernels fixed = *k;
	struct shape many = *s, one = *s;
	fixed.fixed_rows = true;
	many.n = n;
	one.n = 1;
	struct result all = run(&fixed, &many, INFERENCE, 1);
	int64_t d = all.n / n;
	for (one.first = 0; one.first < n; one.first += n - 1) {
		struct result alone = run(&fixed, &one, INFERENCE, 1);
		tap_ok(!memcmp(all.y + one.first * d, alone.y, (size_t)d * sizeof *alone.y),
		       "picture %d of %d has the bytes of that picture alone", (int)one.first, (int)n);
		result_free(&alone);
	}
	result_free(&all);
}

int main(void)
{
	struct kernels k;
	struct err e = {0};
	if (kernels_cpu(&k, NULL, &e)) {
		printf("Bail out! %s\n", e.msg);
		return 1;
	}
	test_plain(&k);
	test_steps(&k);
	test_threads(&k);
	test_neighbours(&k, &shapes[3], 5);
	test_neighbours(&k, &shapes[1], 9); /* alone its convolutions are small */
	kernels_close(&k);
	return tap_done();
}
