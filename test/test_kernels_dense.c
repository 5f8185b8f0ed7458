/* What stands around the product of a linear layer, against the reference. */
#include "trial.h"

static void op_dense(const struct kernels *k, struct trial *t, struct size s, struct k_dense l, bool all)
{
	int64_t n = s.n * s.d;
	const real *bias = in(t, s.d), *before = in(t, n), *after = in(t, n);
	l.n = s.n;
	l.d = s.d;
	l.bias = all ? bias : NULL;
	l.before = all ? before : NULL;
	l.after = all ? after : NULL;
	real *pre = out(t, n);
	k->dense(k, &l, pre, l.linear && s.d % 2 ? pre : out(t, n));
	k->dense_back(k, &l, pre, out(t, n), all ? out(t, s.d) : NULL, all ? out(t, n) : NULL, all ? out(t, n) : NULL);
}
#define DENSE(name, ...)                                                                                               \
	static void name(const struct kernels *k, struct trial *t, struct size s)                                      \
	{                                                                                                              \
		op_dense(k, t, s, (struct k_dense){__VA_ARGS__}, true);                                                \
	}
DENSE(op_relu, .f = K_RELU)
DENSE(op_tanh, .f = K_TANH)
DENSE(op_swish, .f = K_SWISH)
DENSE(op_ssp, .f = K_SSP)
DENSE(op_softplus, .f = K_SOFTPLUS)
DENSE(op_sigmoid, .f = K_SIGMOID)
DENSE(op_square, .f = K_SQUARE)
DENSE(op_linear, .linear = true)
static void op_alone(const struct kernels *k, struct trial *t, struct size s)
{
	op_dense(k, t, s, (struct k_dense){.f = K_SWISH}, false);
}

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
};

/* ---- a wrong variant that the harness must reject ---------------------------------------- */

static const struct kernels *right;

static void slope_of_value(const struct kernels *k, const struct k_dense *l, const real *pre, real *g, real *g_bias,
			   real *g_before, real *g_after)
{
	struct k_dense m = *l;
	m.f = K_SIGMOID; /* in place of softplus */
	right->dense_back(right, &m, pre, g, g_bias, g_before, g_after);
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
	tables_close(&t);
	return tap_done();
}
