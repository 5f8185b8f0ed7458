/* Linear layers, with what stands around their product, against the reference. */
#include "trial.h"

enum { WITH_SIDES = 1, WITH_PRODUCT = 2, WIDE = 4 };

/* n rows of d entries, of a product with rows of d_x entries; weights lie in wider rows. WIDE: more of them than are
 * multiplied at once, forward and backward. */
static void op_dense(const struct kernels *k, struct trial *t, struct size s, struct k_dense l, int with)
{
	const bool all = with & WITH_SIDES, product = with & WITH_PRODUCT;
	const int64_t n = s.n * s.d, d_x = !product ? 0 : with & WIDE ? 601 : s.n % 90 + 1, ld_w = d_x + 3;
	const real *bias = in(t, s.d), *before = in(t, n), *after = in(t, n);
	l.n = s.n;
	l.d = s.d;
	l.bias = all ? bias : NULL;
	l.before = all ? before : NULL;
	l.after = all && !l.by_value ? after : NULL;
	l.x = product ? in(t, s.n * d_x) : NULL;
	l.w = product ? in(t, s.d * ld_w) : NULL;
	l.d_x = d_x;
	l.ld_w = ld_w;
	real *pre = out(t, n);
	k->dense(k, &l, pre, l.by_value || (l.linear && s.d % 2) ? pre : out(t, n), s.d % 3);
	k->dense_back(k, &l, pre, out(t, n), all ? out(t, s.d) : NULL, all ? out(t, n) : NULL, all ? out(t, n) : NULL,
		      product ? out(t, s.n * d_x) : NULL, s.d % 2);
}
#define DENSE(name, with, ...)                                                                                         \
	static void name(const struct kernels *k, struct trial *t, struct size s)                                      \
	{                                                                                                              \
		op_dense(k, t, s, (struct k_dense){__VA_ARGS__}, with);                                                \
	}
DENSE(op_relu, WITH_SIDES, .f = K_RELU)
DENSE(op_tanh, WITH_SIDES, .f = K_TANH)
DENSE(op_swish, WITH_SIDES, .f = K_SWISH)
DENSE(op_ssp, WITH_SIDES, .f = K_SSP)
DENSE(op_softplus, WITH_SIDES, .f = K_SOFTPLUS)
DENSE(op_sigmoid, WITH_SIDES, .f = K_SIGMOID)
DENSE(op_square, WITH_SIDES, .f = K_SQUARE)
DENSE(op_linear, WITH_SIDES, .linear = true)
DENSE(op_alone, 0, .f = K_SWISH)
DENSE(op_relu_value, WITH_SIDES, .f = K_RELU, .by_value = true)
DENSE(op_tanh_value, WITH_SIDES, .f = K_TANH, .by_value = true)
DENSE(op_ssp_value, WITH_SIDES, .f = K_SSP, .by_value = true)
DENSE(op_softplus_value, WITH_SIDES, .f = K_SOFTPLUS, .by_value = true)
DENSE(op_sigmoid_value, WITH_SIDES, .f = K_SIGMOID, .by_value = true)
DENSE(op_swish_product, WITH_SIDES | WITH_PRODUCT, .f = K_SWISH)
DENSE(op_ssp_product, WITH_SIDES | WITH_PRODUCT, .f = K_SSP, .by_value = true)
DENSE(op_linear_product, WITH_SIDES | WITH_PRODUCT, .linear = true)
DENSE(op_wide, WITH_SIDES | WITH_PRODUCT | WIDE, .f = K_SQUARE)
DENSE(op_product_alone, WITH_PRODUCT, .f = K_SSP, .by_value = true)

static const struct named ops[] = {
    {"relu", op_relu},
    {"tanh", op_tanh},
    {"swish", op_swish},
    {"shifted softplus", op_ssp},
    {"softplus", op_softplus},
    {"sigmoid", op_sigmoid},
    {"square", op_square},
    {"linear", op_linear},
    {"without bias, before and after", op_alone},
    {"relu by value", op_relu_value},
    {"tanh by value", op_tanh_value},
    {"shifted softplus by value", op_ssp_value},
    {"softplus by value", op_softplus_value},
    {"sigmoid by value", op_sigmoid_value},
    {"swish with its product", op_swish_product},
    {"shifted softplus with its product", op_ssp_product},
    {"linear with its product", op_linear_product},
    {"square with a wide product", op_wide},
    {"a product alone", op_product_alone},
};

/* ---- a wrong variant that the harness must reject ---------------------------------------- */

static const struct kernels *right;

static void slope_of_value(const struct kernels *k, const struct k_dense *l, const real *pre, real *g, real *g_bias,
			   real *g_before, real *g_after, real *g_x, bool add)
{
	struct k_dense m = *l;
	m.f = K_SIGMOID; /* in place of softplus */
	right->dense_back(right, &m, pre, g, g_bias, g_before, g_after, g_x, add);
}

/* What is done to rows after their product has read them comes too late. */
static void slopes_late(const struct kernels *k, const struct k_dense *l, const real *pre, real *g, real *g_bias,
			real *g_before, real *g_after, real *g_x, bool add)
{
	if (g_x)
		right->gemm(right, false, false, l->n, l->d_x, l->d, 1, g, l->d, l->w, l->ld_w, add, g_x, l->d_x);
	right->dense_back(right, l, pre, g, g_bias, g_before, g_after, NULL, false);
}

int main(int argc, char **argv)
{
	struct tables t;
	if (!tables_open(&t, argc, argv))
		return 1;
	if (t.twins)
		return test_twin_mutants(&t, ops, sizeof ops / sizeof *ops);
	test_ops(&t, ops, sizeof ops / sizeof *ops);
	struct kernels m = t.tested;
	right = &t.tested;
	m.dense_back = slope_of_value;
	tap_ok(!(worst_error(&t, op_softplus, &m, NULL) <= 1e-5), "mutant: another function's slope is caught");
	m.dense_back = slopes_late;
	tap_ok(!(worst_error(&t, op_swish_product, &m, NULL) <= 1e-5),
	       "mutant: a product of gradients before the slope is caught");
	tables_close(&t);
	return tap_done();
}
