/*
 * ref.c - the reference: every operation as its formula says, one entry at a time, sums in double.
 *
 * Never optimised. Tests hold each back end against it; ref_graph.c has the operations on graphs and pictures.
 */
#include "kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOOP(i, n) for (int64_t i = 0; i < (n); i++)

static void *ref_alloc(size_t nbytes)
{
	return malloc(nbytes + 1);
}
static void ref_copy(void *dst, const void *src, size_t nbytes)
{
	if (nbytes)
		memcpy(dst, src, nbytes);
}
static void ref_fill(const struct kernels *k, real *x, int64_t n, real value)
{
	LOOP (i, n)
		x[i] = value;
}

/* ---- entries ------------------------------------------------------------------ */

static void affine(const struct kernels *k, real *y, const real *x, double a, double b, int64_t n)
{
	LOOP (i, n)
		y[i] = (real)(a * (double)x[i] + b);
}
static void axpy(const struct kernels *k, real *y, const real *x, double a, int64_t n)
{
	LOOP (i, n)
		y[i] = (real)((double)y[i] + a * (double)x[i]);
}
static void combine(const struct kernels *k, real *y, const real *a, const real *b, double s, int64_t n)
{
	LOOP (i, n)
		y[i] = (real)((double)a[i] + s * (double)b[i]);
}
static void mul(const struct kernels *k, real *y, const real *a, const real *b, int64_t n)
{
	LOOP (i, n)
		y[i] = (real)((double)a[i] * (double)b[i]);
}
static void mul_add(const struct kernels *k, real *y, const real *a, const real *b, int64_t n)
{
	LOOP (i, n)
		y[i] = (real)((double)y[i] + (double)a[i] * (double)b[i]);
}

static double act_value(enum k_act f, double x)
{
	switch (f) {
	case K_RELU:
		return x > 0 ? x : 0;
	case K_TANH:
		return tanh(x);
	case K_SWISH:
		return x / (1 + exp(-x));
	case K_SSP:
		return (x > 0 ? x : 0) + log1p(exp(-fabs(x))) - log(2);
	case K_SOFTPLUS:
		return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
	case K_SIGMOID:
		return 1 / (1 + exp(-x));
	default:
		return x * x;
	}
}
static double act_slope(enum k_act f, double x)
{
	double s = 1 / (1 + exp(-x));
	switch (f) {
	case K_RELU:
		return x > 0;
	case K_TANH:
		return 1 - tanh(x) * tanh(x);
	case K_SWISH:
		return s + x * s * (1 - s);
	case K_SSP:
	case K_SOFTPLUS:
		return s;
	case K_SIGMOID:
		return s * (1 - s);
	default:
		return 2 * x;
	}
}
static void act(const struct kernels *k, enum k_act f, const real *x, real *y, int64_t n)
{
	LOOP (i, n)
		y[i] = (real)act_value(f, (double)x[i]);
}
static void act_back(const struct kernels *k, enum k_act f, const real *x, const real *y, const real *g_y, real *g_x,
		     int64_t n)
{
	LOOP (i, n)
		g_x[i] = (real)((double)g_x[i] + (double)g_y[i] * act_slope(f, (double)x[i]));
}

/* Number i of the stream: word i / 64 % 4 of the counter i / 256 * 64 + i % 64. */
static uint32_t philox(uint64_t i, uint64_t seed, uint64_t stream)
{
	uint64_t at = i / 256 * 64 + i % 64;
	uint32_t c[4] = {(uint32_t)at, (uint32_t)(at >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)};
	for (uint32_t round = 0; round < 10; round++) {
		uint32_t k0 = (uint32_t)seed + round * 0x9E3779B9u, k1 = (uint32_t)(seed >> 32) + round * 0xBB67AE85u;
		uint64_t p0 = (uint64_t)c[0] * 0xD2511F53u, p1 = (uint64_t)c[2] * 0xCD9E8D57u;
		uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k0, (uint32_t)p1, (uint32_t)(p0 >> 32) ^ c[3] ^ k1,
				    (uint32_t)p0};
		memcpy(c, next, sizeof c);
	}
	return c[i / 64 % 4];
}
static void gemm(const struct kernels *k, bool ta, bool tb, int64_t m, int64_t n, int64_t kk, double alpha,
		 const real *a, int64_t lda, const real *b, int64_t ldb, double beta, real *c, int64_t ldc)
{
	LOOP (i, m)
		LOOP (j, n) {
			double s = 0;
			LOOP (l, kk)
				s += (double)a[ta ? l * lda + i : i * lda + l] *
				     (double)b[tb ? j * ldb + l : l * ldb + j];
			c[i * ldc + j] = (real)(alpha * s + (beta != 0 ? beta * (double)c[i * ldc + j] : 0));
		}
}
static void dense(const struct kernels *k, const struct k_dense *l, real *pre, real *y, bool add)
{
	if (l->x)
		gemm(k, false, true, l->n, l->d, l->d_x, 1, l->x, l->d_x, l->w, l->ld_w, add, pre, l->d);
	LOOP (i, l->n * l->d) {
		pre[i] = (real)((double)pre[i] + (l->bias ? (double)l->bias[i % l->d] : 0) +
				(l->before ? (double)l->before[i] : 0));
		y[i] = (real)((l->linear ? (double)pre[i] : act_value(l->f, (double)pre[i])) +
			      (l->after ? (double)l->after[i] : 0));
	}
}
/* Of f's value y: the argument that it comes from would be lost where f is flat. */
static double slope_by_value(enum k_act f, double y)
{
	switch (f) {
	case K_RELU:
		return y > 0;
	case K_TANH:
		return 1 - y * y;
	case K_SSP:
		return 1 - exp(-y) / 2;
	case K_SOFTPLUS:
		return 1 - exp(-y);
	case K_SIGMOID:
		return y * (1 - y);
	default:
		return NAN;
	}
}
static void dense_back(const struct kernels *k, const struct k_dense *l, const real *pre, real *g, real *g_bias,
		       real *g_before, real *g_after, real *g_x, bool add)
{
	LOOP (i, l->n * l->d) {
		double slope = l->linear     ? 1
			       : l->by_value ? slope_by_value(l->f, (double)pre[i])
					     : act_slope(l->f, (double)pre[i]);
		if (g_after)
			g_after[i] = (real)((double)g_after[i] + (double)g[i]);
		g[i] = (real)((double)g[i] * slope);
		if (g_before)
			g_before[i] = (real)((double)g_before[i] + (double)g[i]);
	}
	LOOP (c, g_bias ? l->d : 0) {
		double sum = (double)g_bias[c];
		LOOP (i, l->n)
			sum += (double)g[i * l->d + c];
		g_bias[c] = (real)sum;
	}
	if (g_x)
		gemm(k, false, false, l->n, l->d_x, l->d, 1, g, l->d, l->w, l->ld_w, add, g_x, l->d_x);
}
static void dropout(const struct kernels *k, const real *x, real *y, uint8_t *mask, int64_t n, double p, uint64_t seed,
		    uint64_t stream)
{
	LOOP (i, n) {
		mask[i] = philox((uint64_t)i, seed, stream) / 4294967296.0 >= p;
		y[i] = mask[i] ? (real)((double)x[i] / (1 - p)) : 0;
	}
}
static void dropout_back(const struct kernels *k, const real *g_y, const uint8_t *mask, real *g_x, int64_t n, double p)
{
	LOOP (i, n)
		g_x[i] += mask[i] ? (real)((double)g_y[i] / (1 - p)) : 0;
}
static void sum(const struct kernels *k, const real *x, int64_t n, real *out)
{
	double s = 0;
	LOOP (i, n)
		s += (double)x[i];
	*out = (real)s;
}
static double sum_squares(const struct kernels *k, const real *x, int64_t n)
{
	double s = 0;
	LOOP (i, n)
		s += (double)x[i] * (double)x[i];
	return s;
}
static void adam(const struct kernels *k, const struct k_adam *a, real *p, const real *g, real *m, real *v, int64_t n)
{
	LOOP (i, n) {
		double w = (double)p[i], d = (double)g[i] * a->grad_scale + (a->decoupled ? 0 : a->decay * w);
		double mi = a->beta1 * (double)m[i] + (1 - a->beta1) * d;
		double vi = a->beta2 * (double)v[i] + (1 - a->beta2) * d * d;
		m[i] = (real)mi;
		v[i] = (real)vi;
		w *= a->decoupled ? 1 - a->lr * a->decay : 1;
		p[i] = (real)(w - a->lr * (mi / a->correction1) / (sqrt(vi / a->correction2) + a->eps));
	}
}
static void axpy_var(const struct kernels *k, real *y, const real *x, const real *s, int64_t n)
{
	axpy(k, y, x, (double)*s, n);
}

/* ---- rows ------------------------------------------------------------------------ */

static void copy_block(const struct kernels *k, const real *src, int64_t ld_src, real *dst, int64_t ld_dst, int64_t n,
		       int64_t d, bool add)
{
	LOOP (i, n)
		LOOP (j, d)
			dst[i * ld_dst + j] = (add ? dst[i * ld_dst + j] : 0) + src[i * ld_src + j];
}
static void transpose(const struct kernels *k, const real *x, real *y, int64_t n, int64_t d, bool add)
{
	LOOP (i, n)
		LOOP (j, d)
			y[j * n + i] = (add ? y[j * n + i] : 0) + x[i * d + j];
}
static void scale_rows(const struct kernels *k, const real *x, const real *w, real *y, int64_t n, int64_t d, bool add)
{
	LOOP (i, n)
		LOOP (j, d)
			y[i * d + j] = (real)((add ? (double)y[i * d + j] : 0) + (double)w[i] * (double)x[i * d + j]);
}
static void add_row(const struct kernels *k, const real *row, real *y, int64_t n, int64_t d)
{
	LOOP (i, n)
		LOOP (j, d)
			y[i * d + j] += row[j];
}
static void bias_relu(const struct kernels *k, const real *row, real *y, int64_t n, int64_t d)
{
	LOOP (i, n)
		LOOP (j, d) {
			double x = (double)y[i * d + j] + (double)row[j];
			y[i * d + j] = x > 0 ? (real)x : 0;
		}
}
static void bias_relu_back(const struct kernels *k, const real *y, real *g_y, real *g_row, int64_t n, int64_t d)
{
	LOOP (i, n * d)
		if (!(y[i] > 0))
			g_y[i] = 0;
	LOOP (j, g_row ? d : 0) {
		double s = 0;
		LOOP (i, n)
			s += (double)g_y[i * d + j];
		g_row[j] = (real)((double)g_row[j] + s);
	}
}
static void add_column(const struct kernels *k, const real *col, real *y, int64_t n, int64_t d)
{
	LOOP (i, n)
		LOOP (j, d)
			y[i * d + j] += col[i];
}
static void column_sum(const struct kernels *k, const real *x, real *out, int64_t n, int64_t d)
{
	LOOP (j, d) {
		double s = 0;
		LOOP (i, n)
			s += (double)x[i * d + j];
		out[j] = (real)((double)out[j] + s);
	}
}
static void row_sum(const struct kernels *k, const real *x, real *out, int64_t n, int64_t d)
{
	LOOP (i, n)
		sum(k, x + i * d, d, out + i);
}
static void unit(const struct kernels *k, const real *x, real *y, real *norm, int64_t n, int64_t d)
{
	LOOP (i, n) {
		double length = fmax(sqrt(sum_squares(k, x + i * d, d)), 1e-12);
		norm[i] = (real)length;
		LOOP (j, d)
			y[i * d + j] = (real)((double)x[i * d + j] / length);
	}
}
/* The Jacobian of x / |x| written out: (delta_jc - y_j y_c) / |x|. */
static void unit_back(const struct kernels *k, const real *y, const real *norm, const real *g_y, real *g_x, int64_t n,
		      int64_t d)
{
	LOOP (i, n)
		LOOP (c, d) {
			double s = 0;
			LOOP (j, d) {
				double through =
				    (double)norm[i] > 1e-12 ? (double)y[i * d + j] * (double)y[i * d + c] : 0;
				s += (double)g_y[i * d + j] * ((j == c) - through) / (double)norm[i];
			}
			g_x[i * d + c] = (real)((double)g_x[i * d + c] + s);
		}
}
static void softmax(const struct kernels *k, const real *x, real *y, int64_t n, int64_t d, bool log_too)
{
	LOOP (i, n) {
		double top = -INFINITY, s = 0;
		LOOP (j, d)
			top = fmax(top, (double)x[i * d + j]);
		LOOP (j, d)
			s += exp((double)x[i * d + j] - top);
		LOOP (j, d) {
			double l = (double)x[i * d + j] - top - log(s);
			y[i * d + j] = (real)(log_too ? l : exp(l));
		}
	}
}
static void softmax_back(const struct kernels *k, const real *y, const real *g_y, real *g_x, int64_t n, int64_t d,
			 bool log_too)
{
	LOOP (i, n)
		LOOP (c, d) {
			double s = 0;
			LOOP (j, d) {
				double yj = (double)y[i * d + j], yc = (double)y[i * d + c];
				s += (double)g_y[i * d + j] * (log_too ? (j == c) - exp(yc) : yj * ((j == c) - yc));
			}
			g_x[i * d + c] = (real)((double)g_x[i * d + c] + s);
		}
}
static void pick(const struct kernels *k, const real *x, const int64_t *col, real *y, int64_t n, int64_t d)
{
	LOOP (i, n)
		y[i] = x[i * d + col[i]];
}
static void pick_back(const struct kernels *k, const real *g_y, const int64_t *col, real *g_x, int64_t n, int64_t d)
{
	LOOP (i, n)
		g_x[i * d + col[i]] += g_y[i];
}

/* Assignments above l, weighted (a - l) a / (a - l + 1e-12), made to sum to 1. */
static double shrunk(double a, double l)
{
	return a > l ? (a - l) * a / (a - l + 1e-12) : 0;
}
static void shrink(const struct kernels *k, const real *a, real *y, int64_t n, int64_t d, double l)
{
	LOOP (i, n) {
		double s = 0;
		LOOP (j, d)
			s += shrunk((double)a[i * d + j], l);
		LOOP (j, d)
			y[i * d + j] = (real)(shrunk((double)a[i * d + j], l) / fmax(s, 1e-12));
	}
}
static void shrink_back(const struct kernels *k, const real *a, const real *y, const real *g_y, real *g_a, int64_t n,
			int64_t d, double l)
{
	LOOP (i, n) {
		double s = 0, dot = 0;
		LOOP (j, d)
			s += shrunk((double)a[i * d + j], l);
		LOOP (j, d)
			dot += (double)g_y[i * d + j] * shrunk((double)a[i * d + j], l) / fmax(s, 1e-12);
		LOOP (j, d) {
			double z = (double)a[i * d + j] - l, den = z + 1e-12;
			double slope = z > 0 ? ((2 * z + l) * den - z * (z + l)) / (den * den) : 0;
			double g = (double)g_y[i * d + j] - (s > 1e-12 ? dot : 0);
			g_a[i * d + j] = (real)((double)g_a[i * d + j] + g * slope / fmax(s, 1e-12));
		}
	}
}

void kernels_ref(struct kernels *k)
{
	*k = (struct kernels){.name = "ref",
			      .alloc = ref_alloc,
			      .release = free,
			      .upload = ref_copy,
			      .download = ref_copy,
			      .copy = ref_copy,
			      .fill = ref_fill,
			      .affine = affine,
			      .axpy = axpy,
			      .combine = combine,
			      .mul = mul,
			      .mul_add = mul_add,
			      .act = act,
			      .act_back = act_back,
			      .dense = dense,
			      .dense_back = dense_back,
			      .dropout = dropout,
			      .dropout_back = dropout_back,
			      .sum = sum,
			      .gemm = gemm,
			      .copy_block = copy_block,
			      .transpose = transpose,
			      .scale_rows = scale_rows,
			      .add_row = add_row,
			      .bias_relu = bias_relu,
			      .bias_relu_back = bias_relu_back,
			      .add_column = add_column,
			      .column_sum = column_sum,
			      .row_sum = row_sum,
			      .unit = unit,
			      .unit_back = unit_back,
			      .softmax = softmax,
			      .softmax_back = softmax_back,
			      .pick = pick,
			      .pick_back = pick_back,
			      .sum_squares = sum_squares,
			      .adam = adam,
			      .axpy_var = axpy_var,
			      .shrink = shrink,
			      .shrink_back = shrink_back};
	kernels_ref_graph(k);
	kernels_ref_pairs(k);
	kernels_ref_norm(k);
	kernels_ref_contrast(k);
	kernels_ref_near(k);
}
