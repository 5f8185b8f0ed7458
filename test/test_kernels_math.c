/* exp and its kin: errors in units of the last place against libm in double, and the same bytes by vectors of any
 * width. */
#include "cpu.h"
#include "cpu_math.h"
#include "tap.h"

#include <stdlib.h>

enum { STEP = 4001, N = 1 << 14 }; /* every 4001st float is tried */

/* Without the last term of its polynomial: what the bounds must reject. */
static float exp_short(float x)
{
	float n = rintf(x * 1.44269504F), r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
	float p = 8.368780411180533e-3F;
	p = p * r + 4.166839421089387e-2F;
	p = p * r + 1.666652010781959e-1F;
	p = p * r + 4.999999341250156e-1F;
	return ldexpf(p * (r * r) + r + 1, (int)n);
}

static double ulps(double got, double want)
{
	int e;
	frexp(want, &e);
	return fabs(got - want) / ldexp(1, (e < -125 ? -125 : e) - 24);
}

static float exp_of(float x)
{
	return k_exp_float(x);
}
static float log1p_of(float x)
{
	return k_log1p_float(x);
}
static float tanh_of(float x)
{
	return k_tanh_float(x);
}
static float sigmoid_of(float x)
{
	return k_sigmoid(x);
}
static float softplus_of(float x)
{
	return k_softplus(x);
}
static double sigmoid_true(double x)
{
	return 1 / (1 + exp(-x));
}
static double softplus_true(double x)
{
	return fmax(x, 0) + log1p(exp(-fabs(x)));
}

struct function {
	const char *name;
	float (*got)(float);
	double (*want)(double);
	double from, to, bound;
};

static double largest(const struct function *f)
{
	double worst = 0;
	for (uint64_t b = 0; b < UINT64_C(1) << 32; b += STEP) {
		union {
			uint32_t bits;
			float value;
		} x = {.bits = (uint32_t)b};
		if (!((double)x.value >= f->from && (double)x.value <= f->to))
			continue;
		double e = ulps((double)f->got(x.value), f->want((double)x.value));
		worst = !(e <= worst) ? e : worst;
	}
	return worst;
}

static float from_bits(uint32_t bits)
{
	union {
		uint32_t bits;
		float value;
	} x = {.bits = bits};
	return x.value;
}

/* NaN is more than the one that arithmetic makes: files and memory that nobody wrote have others. */
static int lost_nans(void)
{
	int n = 0;
	for (uint32_t low = 0; low < 1U << 22; low += 1 + low / 64)
		for (int sign = 0; sign < 2; sign++) {
			float x = from_bits(0x7fc00000U + low + ((uint32_t)sign << 31));
			n += !isnan(k_exp_float(x)) + !isnan(k_tanh_float(x)) + !isnan(k_softplus(x)) +
			     !isnan(k_sigmoid(x));
		}
	return n;
}

/* Floats around `at` whose e^x is neither finite as it should be nor infinite. */
static int wrong_ends(float at)
{
	int n = 0;
	union {
		float value;
		uint32_t bits;
	} x = {.value = at};
	for (uint32_t i = x.bits - 100; i != x.bits + 100; i++) {
		float y = k_exp_float(from_bits(i)), want = (float)exp((double)from_bits(i));
		n += isnan(y) || isinf(y) != isinf(want);
	}
	return n;
}

static void test_errors(void)
{
	static const struct function f[] = {{"exp", exp_of, exp, -86.9, 88.72, 1.5},
					    {"log1p", log1p_of, log1p, 0, 1, 1.9},
					    {"tanh", tanh_of, tanh, -1e30, 1e30, 1.5},
					    {"sigmoid", sigmoid_of, sigmoid_true, -86, 1e30, 2.4},
					    {"softplus", softplus_of, softplus_true, -86, 1e30, 2.7}};
	for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
		double worst = largest(&f[i]);
		tap_ok(worst <= f[i].bound, "%s is off by %.2f ulp at most (bound %.1f)", f[i].name, worst, f[i].bound);
	}
	struct function mutant = {"", exp_short, exp, -86.9, 88, 1.5};
	tap_ok(!(largest(&mutant) <= mutant.bound), "mutant: a polynomial that is one term short is seen");
	tap_ok(k_exp_float(-HUGE_VALF) == 0 && k_exp_float(-87) == 0 && isinf(k_exp_float(88.73F)) &&
		   k_exp_float(0) == 1 && isnan(k_exp_float(NAN)) && isnan(k_tanh_float(NAN)) &&
		   isnan(k_softplus(NAN)) && isnan(k_sigmoid(NAN)),
	       "exp at its ends; NaN stays NaN");
	tap_ok(lost_nans() == 0, "whatever bits a NaN has");
	tap_ok(wrong_ends(88.7228F) == 0 && wrong_ends(-86.9F) == 0, "exp, float by float around its ends");
	tap_ok(isinf(k_exp_float(HUGE_VALF)) && isinf(k_softplus(HUGE_VALF)) && k_softplus(-HUGE_VALF) == 0,
	       "exp and softplus of infinity");
	tap_ok(k_tanh_float(HUGE_VALF) == 1 && k_tanh_float(-HUGE_VALF) == -1 && k_sigmoid(-HUGE_VALF) == 0 &&
		   k_softplus(1000) == 1000,
	       "tanh, sigmoid and softplus at theirs");
}

struct results {
	float y[4][N];
	double dot, sum;
};
#define LOOPS(name, target)                                                                                            \
	target static void name(const float *x, struct results *r)                                                     \
	{                                                                                                              \
		for (int i = 0; i < N; i++) {                                                                          \
			r->y[0][i] = k_exp_float(x[i]);                                                                \
			r->y[1][i] = k_tanh_float(x[i]);                                                               \
			r->y[2][i] = k_softplus(x[i]);                                                                 \
			r->y[3][i] = k_sigmoid(x[i]);                                                                  \
		}                                                                                                      \
		r->dot = k_dot(x, x + 1, N - 5);                                                                       \
	}
LOOPS(loops_plain, )
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
LOOPS(loops_wide, __attribute__((target("arch=x86-64-v3"), optimize("O3"))))
LOOPS(loops_widest, __attribute__((target("arch=x86-64-v4"), optimize("O3"))))
/* Contracted to fused multiply-adds: other bytes, which the comparison must see. */
LOOPS(loops_contracted, __attribute__((target("arch=x86-64-v3"), optimize("O3", "fp-contract=fast"))))
#endif

static void test_widths(void)
{
	float *x = malloc((N + 1) * sizeof *x);
	struct results *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
	struct rng r;
	rng_init(&r, 1, 0);
	for (int i = 0; i <= N; i++)
		x[i] = (float)rng_normal(&r) * (i % 3 ? 2 : 40);
	loops_plain(x, a);
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
	if (__builtin_cpu_supports("x86-64-v3")) {
		loops_wide(x, b);
		tap_ok(!memcmp(a, b, sizeof *a), "vectors of 8: the bytes of plain loops");
		loops_contracted(x, b);
		tap_ok(memcmp(a, b, sizeof *a) != 0, "mutant: contracted products have other bytes");
	}
	if (__builtin_cpu_supports("x86-64-v4")) {
		loops_widest(x, b);
		tap_ok(!memcmp(a, b, sizeof *a), "vectors of 16: the bytes of plain loops");
	}
#endif
	free(x);
	free(a);
	free(b);
}

/* Of every 4001st float x: the largest errors of ssp(x), in units of 2^-24 of it or of its least, -log 2, and of its
 * slope, in units of 2^-24. Those that lose a NaN count as infinite. */
static void ssp_errors(double *value, double *slope)
{
	enum { MANY = 37 }; /* entries at once: not all registers are full */
	float x[MANY], y[MANY], g[MANY];
	*value = *slope = 0;
	for (uint64_t b = 0; b < UINT64_C(1) << 32;) {
		for (int i = 0; i < MANY; i++, b += STEP) {
			x[i] = from_bits((uint32_t)b);
			g[i] = 1;
		}
		cpu_ssp(x, NULL, y, 1, MANY);
		cpu_ssp_slope(y, g, MANY);
		for (int i = 0; i < MANY; i++) {
			double at = (double)x[i], want = softplus_true(at) - log(2);
			bool kept = isnan(at) ? isnan(y[i]) && isnan(g[i]) : !isnan(y[i]) && !isnan(g[i]);
			double e = isinf(x[i]) ? 0 : fabs((double)y[i] - want) / fmax(fabs(want), log(2));
			*value = fmax(*value, !kept ? HUGE_VAL : isnan(at) ? 0 : ldexp(e, 24));
			*slope = fmax(*slope, isnan(at) ? 0 : ldexp(fabs((double)g[i] - sigmoid_true(at)), 24));
		}
	}
}

static void test_ssp(void)
{
	float ends[4] = {0, HUGE_VALF, -HUGE_VALF, 1000}, y[4], g[4] = {2, 2, 2, 2};
	double value, slope;
	if (!cpu_ssp(ends, NULL, y, 1, 4)) {
		tap_ok(!cpu_ssp_slope(ends, g, 4) && g[0] == 2, "no AVX-512: ssp is that of softplus");
		return;
	}
	tap_ok(y[0] == 0 && isinf(y[1]) && y[2] == -0.693147181F && y[3] == 1000 - 0.693147181F, "ssp at its ends");
	tap_ok(cpu_ssp_slope(y, g, 4) && g[0] == 1 && g[1] == 2 && g[2] == 0 && g[3] == 2, "its slope there");
	ssp_errors(&value, &slope);
	tap_ok(value <= 2.4, "ssp is off by %.2f units at most (bound 2.4), NaN stays NaN", value);
	tap_ok(slope <= 2.4, "its slope by %.2f (bound 2.4)", slope);
}

int main(void)
{
	test_errors();
	test_ssp();
	test_widths();
	return tap_done();
}
