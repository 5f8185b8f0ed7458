/* Operations on pictures against the reference: convolutions by both paths, pooling. */
#include "trial.h"

/* One convolution with everything that it may do on the way in and out, and both gradients, added and written. */
static void conv_all(const struct kernels *k, struct trial *t, struct k_conv c)
{
	k_conv_set_out(&c);
	int64_t n_x = c.n * c.height * c.width * c.c_in, n_y = c.n * c.out_height * c.out_width * c.c_out;
	int64_t n_w = c.c_out * c.c_in * c.kernel * c.kernel;
	const real *x = in(t, n_x), *w = in(t, n_w), *g = in(t, n_y), *res = in(t, n_y);
	const real *in_affine = in(t, 2 * c.c_in), *out_affine = in(t, 2 * c.c_out);
	k->conv(k, &c, x, w, out(t, n_y));
	k->conv_back(k, &c, x, w, g, out(t, n_x), out(t, n_w));
	c.in_scale = in_affine;
	c.in_shift = in_affine + c.c_in;
	c.g_x_set = true;
	k->conv_back(k, &c, x, w, g, out(t, n_x), out(t, n_w));
	c.out_scale = out_affine;
	c.out_bias = out_affine + c.c_out;
	k->conv(k, &c, x, w, out(t, n_y));
	c.residual = res;
	c.relu = true;
	k->conv(k, &c, x, w, out(t, n_y));
}

static void op_conv(const struct kernels *k, struct trial *t, struct size s, int64_t kernel, int64_t stride)
{
	conv_all(k, t,
		 (struct k_conv){.n = 1 + s.n % 5,
				 .height = 1 + s.n % 13,
				 .width = 1 + s.n_target % 11,
				 .c_in = 1 + s.d % 6,
				 .c_out = 1 + s.n % 7,
				 .kernel = kernel,
				 .stride = stride});
}
#define CONV(name, kernel, stride)                                                                                     \
	static void name(const struct kernels *k, struct trial *t, struct size s)                                      \
	{                                                                                                              \
		op_conv(k, t, s, kernel, stride);                                                                      \
	}
CONV(op_conv1, 1, 1)
CONV(op_conv1_2, 1, 2)
CONV(op_conv3, 3, 1)
CONV(op_conv3_2, 3, 2)
CONV(op_conv7_2, 7, 2)

static size_t number_of(struct size s)
{
	size_t i = 0;
	while (sizes[i].n != s.n || sizes[i].d != s.d)
		i++;
	return i;
}

/* Windows of more than one chunk and of more pictures than partial sums; the smallest are summed in double. One size of
 * the harness draws one of them. */
static void op_windows(const struct kernels *k, struct trial *t, struct size s)
{
	static const struct k_conv sizes_of[] = {
	    {.n = 1, .height = 1, .width = 1, .c_in = 1, .c_out = 1, .kernel = 1, .stride = 1},
	    {.n = 7, .height = 31, .width = 27, .c_in = 12, .c_out = 9, .kernel = 1, .stride = 1},
	    {.n = 9, .height = 24, .width = 19, .c_in = 33, .c_out = 40, .kernel = 1, .stride = 2},
	    {.n = 6, .height = 17, .width = 22, .c_in = 14, .c_out = 21, .kernel = 3, .stride = 2},
	    {.n = 5, .height = 25, .width = 30, .c_in = 3, .c_out = 11, .kernel = 7, .stride = 2},
	    {.n = 3, .height = 6, .width = 5, .c_in = 70, .c_out = 131, .kernel = 3, .stride = 2},
	    {.n = 2, .height = 9, .width = 7, .c_in = 40, .c_out = 17, .kernel = 5, .stride = 1},
	    {.n = 40, .height = 2, .width = 2, .c_in = 33, .c_out = 18, .kernel = 3, .stride = 1},
	};
	conv_all(k, t, sizes_of[number_of(s)]);
}

/* The quick path of 3 x 3 has blocks of tiles and of channels, and another order where channels are many: sizes on both
 * sides of each. One size of the harness draws one of them. */
static void op_blocks(const struct kernels *k, struct trial *t, struct size s)
{
	static const struct k_conv sizes_of[] = {
	    {.n = 1, .height = 3, .width = 3, .c_in = 1, .c_out = 1},
	    {.n = 9, .height = 5, .width = 7, .c_in = 3, .c_out = 65},     /* more than a slice of channels */
	    {.n = 2, .height = 23, .width = 17, .c_in = 64, .c_out = 2},   /* more than a block of tiles */
	    {.n = 60, .height = 13, .width = 14, .c_in = 2, .c_out = 3},   /* and one picture across two */
	    {.n = 18, .height = 5, .width = 3, .c_in = 140, .c_out = 130}, /* wide */
	    {.n = 4, .height = 9, .width = 8, .c_in = 530, .c_out = 33},   /* fewer tiles a block */
	    {.n = 6, .height = 7, .width = 9, .c_in = 129, .c_out = 128},  /* more than a block of tiles */
	    {.n = 3, .height = 4, .width = 4, .c_in = 33, .c_out = 520},   /* the weights' gradient by the plain path */
	};
	struct k_conv c = sizes_of[number_of(s)];
	c.kernel = 3;
	c.stride = 1;
	conv_all(k, t, c);
}

static void op_max_pool(const struct kernels *k, struct trial *t, struct size s)
{
	struct k_conv c = {.n = 1 + s.n % 4,
			   .height = 1 + s.n % 12,
			   .width = 1 + s.n_target % 9,
			   .c_in = s.d,
			   .c_out = s.d,
			   .kernel = 3,
			   .stride = 2};
	k_conv_set_out(&c);
	int64_t n_x = c.n * c.height * c.width * c.c_in, n_y = c.n * c.out_height * c.out_width * c.c_in;
	real *x = draw(t, n_x);
	uint8_t *arg = hold(t, (size_t)n_y);
	for (int64_t i = 0; i < n_x; i++)
		x[i] = x[i] > 0 ? x[i] : 0; /* ties, as after a ReLU */
	k->max_pool(k, &c, put(t, x, (size_t)n_x * sizeof *x), out(t, n_y), arg);
	k->max_pool_back(k, &c, arg, in(t, n_y), out(t, n_x));
	c.in_scale = in(t, c.c_in);
	c.in_shift = in(t, c.c_in);
	c.g_x_set = true;
	k->max_pool(k, &c, in(t, n_x), out(t, n_y), arg);
	k->max_pool_back(k, &c, arg, in(t, n_y), out(t, n_x));
}

/* A block's end: two BatchNorms that are not written, their sum, and the way back through both. */
static void op_fold(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n, d = s.d;
	const real *x = in(t, n * d), *r = in(t, n * d);
	real *affine = out(t, 4 * d), *state = out(t, 4 * d), *y = out(t, n * d), *g_wb = out(t, 2 * d);
	struct k_batch_norm b = {.n = n, .d = d, .eps = 1e-5, .momentum = 0.1, .train = n > 1 && n % 2};
	b.weight = in(t, d);
	b.bias = in(t, d);
	b.run_mean = state;
	b.run_var = out_from(t, draw_positive(t, d), d);
	b.mean = state + d;
	b.inv = state + 2 * d;
	k->norm_fold(k, &b, x, affine, affine + d);
	k->norm_fold(k, &b, r, affine + 2 * d, affine + 3 * d);
	k->norm_fold(k, &b, x, affine, affine + d);
	struct k_join j = {.n = n, .d = d, .x = x, .scale = affine, .shift = affine + d, .residual = r};
	if (s.n_target % 2) {
		j.res_scale = affine + 2 * d;
		j.res_shift = affine + 3 * d;
	}
	k->norm_join(k, &j, y);
	b.relu = s.n_target % 3;
	real *g = out(t, n * d), *g_x = out(t, n * d);
	k->norm_fold_back(k, &b, x, affine, affine + d, y, g, g_x, g_wb, g_wb + d);
	k->norm_fold_back(k, &b, x, affine, affine + d, NULL, g_x, g_x, g_wb, NULL);
}

static const struct named ops[] = {
    {"conv 1x1", op_conv1},          {"conv 1x1 / 2", op_conv1_2}, {"conv 3x3", op_conv3},
    {"conv 3x3 / 2", op_conv3_2},    {"conv 7x7 / 2", op_conv7_2}, {"conv 3x3 in blocks", op_blocks},
    {"conv in windows", op_windows}, {"max_pool", op_max_pool},    {"folded norm", op_fold},
};

/* ---- wrong variants that the harness must reject ---------------------------------------- */

static const struct kernels *right;

static void conv_corner_off(const struct kernels *k, const struct k_conv *c, const real *x, const real *weight, real *y)
{
	right->conv(right, c, x, weight, y);
	y[0] *= (real)1.001;
}

static void test_mutants(const struct tables *t)
{
	struct kernels m = t->tested;
	right = &t->tested;
	m.conv = conv_corner_off;
	tap_ok(!(worst_error(t, op_conv3, &m, NULL) <= 1e-5), "mutant: a corner off by 1e-3 is caught");
}

/* The plain path is another computation, not the same one by another name. */
static void test_plain(const struct tables *t)
{
	struct kernels plain = t->tested;
	struct trial a, b;
	plain.plain = true;
	double err = worst_error(t, op_blocks, &plain, NULL);
	tap_ok(err <= 1e-5, "plain 3x3: as the reference (%.1e)", err);
	trial_run(&a, op_blocks, &t->tested, sizes[4]);
	trial_run(&b, op_blocks, &plain, sizes[4]);
	tap_ok(!trial_same(&a, &b), "plain 3x3 rounds otherwise than the quick path");
	trial_free(&a);
	trial_free(&b);
}

/* Of a small convolution each sum is rounded once for 256 terms; nine such results meet in a pixel of g_x. */
static void test_exact(const struct tables *t)
{
	double err = worst_error(t, op_conv3, &t->tested, NULL);
	err = worse(err, worst_error(t, op_conv7_2, &t->tested, NULL));
	tap_ok(err <= 3e-7, "small convolutions: summed in double (%.1e)", err);
}

int main(int argc, char **argv)
{
	struct tables t;
	if (!tables_open(&t, argc, argv))
		return 1;
	if (t.twins)
		return test_twin_mutants(&t, ops, sizeof ops / sizeof *ops);
	test_ops(&t, ops, sizeof ops / sizeof *ops);
	test_plain(&t);
	if (t.on_cpu)
		test_exact(&t);
	test_mutants(&t);
	tables_close(&t);
	return tap_done();
}
