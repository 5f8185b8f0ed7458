/* cpu_dense.c - linear layers: what stands around their products is done while these have the rows near, on the CPU. */
#include "cpu.h"
#include "cpu_math.h"

#include <string.h>

struct job {
	const struct k_dense *l;
	real *pre, *y, *g, *g_before, *g_after;
	double *part; /* [parts, d] sums for the gradient of the bias */
};

#define VALUES(value)                                                                                                  \
	for (int64_t i = 0; i < n; i++) {                                                                              \
		const real x = pre[i];                                                                                 \
		y[i] = value;                                                                                          \
	}                                                                                                              \
	break

K_SIMD static void row_value(enum k_act f, const real *pre, real *y, int64_t n)
{
	switch (f) {
	case K_RELU:
		VALUES(x > 0 ? x : 0);
	case K_TANH:
		VALUES(k_tanh(x));
	case K_SWISH:
		VALUES(x * k_sigmoid(x));
	case K_SSP:
		VALUES(k_softplus(x) - (real)0.69314718055994530942);
	case K_SOFTPLUS:
		VALUES(k_softplus(x));
	case K_SIGMOID:
		VALUES(k_sigmoid(x));
	case K_SQUARE:
		VALUES(x * x);
	}
}

#define SLOPES(slope)                                                                                                  \
	for (int64_t i = 0; i < n; i++) {                                                                              \
		const real x = pre[i];                                                                                 \
		g[i] *= slope;                                                                                         \
	}                                                                                                              \
	break

K_INLINE real swish_slope(real x)
{
	const real s = k_sigmoid(x);
	return s + x * s * (1 - s);
}
K_INLINE real tanh_slope(real x)
{
	const real y = k_tanh(x);
	return 1 - y * y;
}
K_INLINE real sigmoid_slope(real x)
{
	const real y = k_sigmoid(x);
	return y * (1 - y);
}

K_SIMD static void row_slope(enum k_act f, const real *restrict pre, real *restrict g, int64_t n)
{
	switch (f) {
	case K_RELU:
		SLOPES((x > 0 ? 1 : 0));
	case K_TANH:
		SLOPES(tanh_slope(x));
	case K_SWISH:
		SLOPES(swish_slope(x));
	case K_SSP:
	case K_SOFTPLUS:
		SLOPES(k_sigmoid(x));
	case K_SIGMOID:
		SLOPES(sigmoid_slope(x));
	case K_SQUARE:
		SLOPES(2 * x);
	}
}

K_SIMD static void add_both(real *restrict y, const real *restrict a, const real *restrict b, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = y[i] + a[i] + b[i];
}

static void finish(void *ctx, int64_t part, int64_t from, int64_t to)
{
	(void)part;
	const struct job *j = ctx;
	const struct k_dense *l = j->l;
	const int64_t at = from * l->d, n = (to - from) * l->d;
	real *pre = j->pre + at, *y = j->y + at;
	if (l->by_value && l->f == K_SSP && !l->before && cpu_ssp(pre, l->bias, y, to - from, l->d))
		return;
	const bool both = l->linear && l->bias && l->after && !l->before && y == pre;
	for (int64_t i = 0; i < n && l->bias; i += l->d)
		if (both)
			add_both(pre + i, l->bias, l->after + at + i, l->d);
		else
			cpu_line_add(pre + i, l->bias, l->d);
	if (both)
		return;
	if (l->before)
		cpu_line_add(pre, l->before + at, n);
	if (!l->linear)
		row_value(l->f, pre, y, n);
	else if (y != pre)
		memcpy(y, pre, (size_t)n * sizeof *y);
	if (l->after)
		cpu_line_add(y, l->after + at, n);
}

static void dense(const struct kernels *k, const struct k_dense *l, real *pre, real *y, bool add)
{
	struct job j = {.l = l, .pre = pre, .y = y};
	const struct cpu_around around = {
	    .after = finish, .ctx = &j, .rows = {l->before, l->after, y == pre ? NULL : y}, .d = l->d};
	if (l->x)
		cpu_gemm_around(k, true, l->n, l->d, l->d_x, l->x, l->d_x, l->w, l->ld_w, add, pre, l->d, &around);
	else
		cpu_each_part(k, l->n, finish, &j);
}

/* The same from f's value: softplus has e^-y = 1 / (1 + e^x), K_SSP twice that. */
K_SIMD static void row_slope_by_value(enum k_act f, const real *restrict pre, real *restrict g, int64_t n)
{
	switch (f) {
	case K_RELU:
		SLOPES((x > 0 ? 1 : 0));
	case K_TANH:
		SLOPES((1 - x * x));
	case K_SSP:
		SLOPES((1 - k_exp(-x) / 2));
	case K_SOFTPLUS:
		SLOPES((1 - k_exp(-x)));
	case K_SIGMOID:
		SLOPES(x * (1 - x));
	case K_SWISH:
	case K_SQUARE:
		break; /* no value tells */
	}
}

enum { STRIP = 16 };

/* Of n columns; four rows at once before they become double. */
K_INLINE void strip_sums(double *restrict sum, const real *restrict x, int64_t n_row, int64_t d, int n)
{
	double s[STRIP] = {0};
	int64_t i = 0;
	for (; i + 4 <= n_row; i += 4, x += 4 * d)
		for (int l = 0; l < n; l++)
			s[l] += (double)((x[l] + x[d + l]) + (x[2 * d + l] + x[3 * d + l]));
	for (; i < n_row; i++, x += d)
		for (int l = 0; l < n; l++)
			s[l] += (double)x[l];
	for (int l = 0; l < n; l++)
		sum[l] = s[l];
}

/* sum [d] over rows x [n, d]; a strip of columns stays in registers. */
K_SIMD static void column_sums(double *restrict sum, const real *restrict x, int64_t n, int64_t d)
{
	int64_t c = 0;
	for (; c + STRIP <= d; c += STRIP)
		strip_sums(sum + c, x + c, n, d, STRIP);
	for (; c < d; c++)
		strip_sums(sum + c, x + c, n, d, 1);
}

static void start_back(void *ctx, int64_t part, int64_t from, int64_t to)
{
	const struct job *j = ctx;
	const struct k_dense *l = j->l;
	const int64_t at = from * l->d, n = (to - from) * l->d;
	real *g = j->g + at;
	if (j->g_after)
		cpu_line_add(j->g_after + at, g, n);
	if (!l->linear && (!l->by_value || l->f != K_SSP || !cpu_ssp_slope(j->pre + at, g, n)))
		(l->by_value ? row_slope_by_value : row_slope)(l->f, j->pre + at, g, n);
	if (j->g_before)
		cpu_line_add(j->g_before + at, g, n);
	if (j->part)
		column_sums(j->part + part * l->d, g, to - from, l->d);
}

K_SIMD static void sum_up(double *restrict sum, const double *restrict x, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		sum[i] += x[i];
}

static void dense_back(const struct kernels *k, const struct k_dense *l, const real *pre, real *g, real *g_bias,
		       real *g_before, real *g_after, real *g_x, bool add)
{
	const int64_t n_part = cpu_parts(l->n);
	struct job j = {.l = l,
			.pre = (real *)(uintptr_t)pre,
			.g = g,
			.g_before = g_before,
			.g_after = g_after,
			.part = g_bias ? cpu_scratch(k, 0, (size_t)(n_part * l->d + 1) * sizeof(double)) : NULL};
	const struct cpu_around around = {
	    .before = start_back, .ctx = &j, .rows = {l->linear ? NULL : pre, g_before, g_after}, .d = l->d};
	if (g_x)
		cpu_gemm_around(k, false, l->n, l->d_x, l->d, g, l->d, l->w, l->ld_w, add, g_x, l->d_x, &around);
	else
		cpu_each_part(k, l->n, start_back, &j);
	if (!g_bias || !n_part)
		return;
	for (int64_t i = 1; i < n_part; i++)
		sum_up(j.part, j.part + i * l->d, l->d);
	for (int64_t c = 0; c < l->d; c++)
		g_bias[c] += (real)j.part[c];
}

void kernels_cpu_dense(struct kernels *k)
{
	k->dense = dense;
	k->dense_back = dense_back;
}
