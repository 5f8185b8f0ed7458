/* cpu_norm.c - BatchNorm and GraphNorm on the CPU; sums in double, by chunks of rows added in their order. */
#include "cpu.h"
#include "cpu_math.h"

#include <math.h>
#include <string.h>

struct bn_job {
	const struct k_batch_norm *b;
	const real *x, *y, *g;
	real *out, *g_x, *g_residual;
	double *part;       /* [n_chunk, 2, d] */
	const double *norm; /* forward: means [d] and scales [d] */
	const real *scale;  /* [d] backward */
	const real *mean_g, *mean_gx;
};

/* Sums of x - shift and of its square: shift is near the mean, so that the difference of squares loses nothing. */
K_SIMD static void moments_row(double *restrict s, double *restrict q, const real *restrict x,
			       const real *restrict shift, double m, int64_t d)
{
	for (int64_t c = 0; c < d; c++) {
		double z = (double)x[c] - (double)shift[c];
		s[c] += m * z;
		q[c] += m * z * z;
	}
}

static void moments_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct bn_job *j = ctx;
	const struct k_batch_norm *b = j->b;
	double *part = j->part + chunk * 2 * b->d;
	memset(part, 0, (size_t)(2 * b->d) * sizeof *part);
	for (int64_t i = chunk * CPU_ROWS, to = cpu_min(b->n, i + CPU_ROWS); i < to; i++)
		moments_row(part, part + b->d, j->x + i * b->d, j->x, b->mult ? (double)b->mult[i] : 1, b->d);
}

static double count_rows(const struct k_batch_norm *b)
{
	double n = (double)b->n;
	if (b->mult) {
		n = 0;
		for (int64_t i = 0; i < b->n; i++)
			n += (double)b->mult[i];
	}
	return n;
}

double cpu_over_chunks(const double *part, int64_t n_chunk, int64_t stride)
{
	double sum = 0;
	for (int64_t i = 0; i < n_chunk; i++)
		sum += part[i * stride];
	return sum;
}

void cpu_norm_settle(const struct k_batch_norm *b, const real *first, double *part, int64_t n_chunk, double n)
{
	for (int64_t c = 0; c < b->d; c++) {
		double s = cpu_over_chunks(part + c, n_chunk, 2 * b->d) / n;
		double var = cpu_over_chunks(part + b->d + c, n_chunk, 2 * b->d) / n - s * s;
		double mean = (double)first[c] + s;
		var = var > 0 ? var : 0;
		b->mean[c] = (real)mean;
		b->inv[c] = (real)(1 / sqrt(var + b->eps));
		b->run_mean[c] = (real)((1 - b->momentum) * (double)b->run_mean[c] + b->momentum * mean);
		if (n > 1)
			b->run_var[c] =
			    (real)((1 - b->momentum) * (double)b->run_var[c] + b->momentum * var * n / (n - 1));
		part[c] = mean; /* its sum has been read */
	}
}

/* Means [d] in double, and as much memory after them: until the next use of scratch slot 0. */
static double *statistics(const struct kernels *k, const struct k_batch_norm *b, const real *x)
{
	const int64_t n_chunk = cpu_n_chunk(b->n, CPU_ROWS);
	struct bn_job j = {.b = b, .x = x};
	j.part = cpu_scratch(k, 0, (size_t)(n_chunk * 2 * b->d + 1) * sizeof *j.part);
	if (b->train) {
		cpu_run(k, n_chunk, moments_chunk, &j);
		cpu_norm_settle(b, x, j.part, n_chunk, count_rows(b));
		return j.part;
	}
	for (int64_t c = 0; c < b->d; c++) {
		j.part[c] = (double)b->run_mean[c];
		b->mean[c] = b->run_mean[c];
		b->inv[c] = (real)(1 / sqrt((double)b->run_var[c] + b->eps));
	}
	return j.part;
}

/* Rounded once: what follows a BatchNorm of few rows blows rounding up. */
K_INLINE void normalise(real *restrict y, const real *restrict x, const real *restrict residual,
			const double *restrict mean, const double *restrict scale, const real *restrict bias,
			const bool relu, int64_t d)
{
	for (int64_t c = 0; c < d; c++) {
		double v = ((double)x[c] - mean[c]) * scale[c] + (double)bias[c];
		if (residual)
			v += (double)residual[c];
		y[c] = !relu || v > 0 ? (real)v : 0;
	}
}

K_SIMD static void normalise_row(real *y, const real *x, const real *residual, const double *mean, const double *scale,
				 const real *bias, bool relu, int64_t d)
{
	if (residual && relu)
		normalise(y, x, residual, mean, scale, bias, true, d);
	else if (residual)
		normalise(y, x, residual, mean, scale, bias, false, d);
	else if (relu)
		normalise(y, x, NULL, mean, scale, bias, true, d);
	else
		normalise(y, x, NULL, mean, scale, bias, false, d);
}

static void normalise_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct bn_job *j = ctx;
	const struct k_batch_norm *b = j->b;
	for (int64_t i = chunk * CPU_ROWS, to = cpu_min(b->n, i + CPU_ROWS); i < to; i++)
		normalise_row(j->out + i * b->d, j->x + i * b->d, b->residual ? b->residual + i * b->d : NULL, j->norm,
			      j->norm + b->d, b->bias, b->relu, b->d);
}

static void batch_norm(const struct kernels *k, const struct k_batch_norm *b, const real *x, real *y)
{
	if (!b->n)
		return;
	double *norm = statistics(k, b, x);
	for (int64_t c = 0; c < b->d; c++)
		norm[b->d + c] = (double)b->weight[c] * (double)b->inv[c]; /* the way back reads it so */
	struct bn_job j = {.b = b, .x = x, .out = y, .norm = norm};
	cpu_run(k, cpu_n_chunk(b->n, CPU_ROWS), normalise_chunk, &j);
}

static const real *bn_scale(const struct kernels *k, const struct k_batch_norm *b, int64_t n_more)
{
	real *scale = cpu_scratch(k, 1, (size_t)((n_more + 1) * b->d + 1) * sizeof *scale);
	for (int64_t c = 0; c < b->d; c++)
		scale[c] = b->weight[c] * b->inv[c];
	return scale;
}

/* Sums of g and of g xhat, g = g_y where y was not cut by the ReLU. */
K_SIMD static void back_sums_row(double *restrict s, double *restrict q, const real *restrict g, const real *restrict x,
				 const real *restrict mean, const real *restrict inv, int64_t d)
{
	for (int64_t c = 0; c < d; c++) {
		s[c] += (double)g[c];
		q[c] += (double)(g[c] * ((x[c] - mean[c]) * inv[c]));
	}
}

K_SIMD static void back_sums_relu_row(double *restrict s, double *restrict q, const real *restrict g,
				      const real *restrict x, const real *restrict y, const real *restrict mean,
				      const real *restrict inv, int64_t d)
{
	for (int64_t c = 0; c < d; c++) {
		real gc = y[c] > 0 ? g[c] : 0;
		s[c] += (double)gc;
		q[c] += (double)(gc * ((x[c] - mean[c]) * inv[c]));
	}
}

static void back_sums_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct bn_job *j = ctx;
	const struct k_batch_norm *b = j->b;
	double *part = j->part + chunk * 2 * b->d;
	memset(part, 0, (size_t)(2 * b->d) * sizeof *part);
	for (int64_t i = chunk * CPU_ROWS, to = cpu_min(b->n, i + CPU_ROWS); i < to; i++) {
		int64_t o = i * b->d;
		if (b->relu)
			back_sums_relu_row(part, part + b->d, j->g + o, j->x + o, j->y + o, b->mean, b->inv, b->d);
		else
			back_sums_row(part, part + b->d, j->g + o, j->x + o, b->mean, b->inv, b->d);
	}
}

K_SIMD static void back_row(real *restrict g_x, const real *restrict g, const real *restrict x, const real *restrict y,
			    const real *restrict mean, const real *restrict inv, const real *restrict scale,
			    const real *restrict mean_g, const real *restrict mean_gx, real m, bool relu, int64_t d)
{
	if (relu)
		for (int64_t c = 0; c < d; c++) {
			real xhat = (x[c] - mean[c]) * inv[c], gc = y[c] > 0 ? g[c] : 0;
			g_x[c] += scale[c] * (gc - m * (mean_g[c] + xhat * mean_gx[c]));
		}
	else
		for (int64_t c = 0; c < d; c++) {
			real xhat = (x[c] - mean[c]) * inv[c];
			g_x[c] += scale[c] * (g[c] - m * (mean_g[c] + xhat * mean_gx[c]));
		}
}

K_SIMD static void masked_add_row(real *restrict out, const real *restrict g, const real *restrict y, bool relu,
				  int64_t d)
{
	for (int64_t c = 0; c < d; c++)
		out[c] += !relu || y[c] > 0 ? g[c] : 0;
}

static void back_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct bn_job *j = ctx;
	const struct k_batch_norm *b = j->b;
	for (int64_t i = chunk * CPU_ROWS, to = cpu_min(b->n, i + CPU_ROWS); i < to; i++) {
		int64_t o = i * b->d;
		if (j->g_x)
			back_row(j->g_x + o, j->g + o, j->x + o, j->y + o, b->mean, b->inv, j->scale, j->mean_g,
				 j->mean_gx, b->mult ? (real)b->mult[i] : 1, b->relu, b->d);
		if (j->g_residual)
			masked_add_row(j->g_residual + o, j->g + o, j->y + o, b->relu, b->d);
	}
}

static void batch_norm_back(const struct kernels *k, const struct k_batch_norm *b, const real *x, const real *y,
			    const real *g_y, real *g_x, real *g_weight, real *g_bias, real *g_residual)
{
	if (!b->n)
		return;
	int64_t n_chunk = cpu_n_chunk(b->n, CPU_ROWS);
	const real *scale = bn_scale(k, b, 2);
	real *mean_g = (real *)(uintptr_t)scale + b->d, *mean_gx = mean_g + b->d;
	struct bn_job j = {.b = b,
			   .x = x,
			   .y = y,
			   .g = g_y,
			   .g_x = g_x,
			   .g_residual = g_residual,
			   .scale = scale,
			   .mean_g = mean_g,
			   .mean_gx = mean_gx,
			   .part = cpu_scratch(k, 0, (size_t)(n_chunk * 2 * b->d + 1) * sizeof(double))};
	double n = count_rows(b);
	cpu_run(k, n_chunk, back_sums_chunk, &j);
	for (int64_t c = 0; c < b->d; c++) {
		double s = cpu_over_chunks(j.part + c, n_chunk, 2 * b->d);
		double q = cpu_over_chunks(j.part + b->d + c, n_chunk, 2 * b->d);
		if (g_bias)
			g_bias[c] += (real)s;
		if (g_weight)
			g_weight[c] += (real)q;
		mean_g[c] = b->train ? (real)(s / n) : 0; /* running statistics do not depend on x */
		mean_gx[c] = b->train ? (real)(q / n) : 0;
	}
	cpu_run(k, n_chunk, back_chunk, &j);
}

/* ---- GraphNorm: a chunk is one graph ------------------------------------ */

struct gn_job {
	const struct k_graph_norm *g;
	const real *x, *g_y;
	real *y, *g_x;
	double *part; /* backward: [n_graph, 3, d] */
};

enum { GRAPH_COLUMNS = 64 }; /* columns at a time: their sums stay in registers or nearby */

K_SIMD static void graph_columns(const struct gn_job *j, int64_t graph, int64_t c0, int64_t w)
{
	const struct k_graph_norm *g = j->g;
	const int64_t from = g->start[graph], to = g->start[graph + 1], d = g->d;
	const double n = (double)(to - from);
	double mean[GRAPH_COLUMNS] = {0}, var[GRAPH_COLUMNS] = {0}, shift[GRAPH_COLUMNS], scale[GRAPH_COLUMNS];
	for (int64_t i = from; i < to; i++)
		for (int64_t c = 0; c < w; c++)
			mean[c] += (double)j->x[i * d + c0 + c];
	for (int64_t c = 0; c < w; c++) {
		mean[c] /= n;
		shift[c] = (double)g->mean_scale[c0 + c] * mean[c];
	}
	for (int64_t i = from; i < to; i++)
		for (int64_t c = 0; c < w; c++) {
			const double o = (double)j->x[i * d + c0 + c] - shift[c];
			var[c] += o * o;
		}
	for (int64_t c = 0; c < w; c++) {
		const double inv = 1 / sqrt(var[c] / n + g->eps);
		g->mean[graph * d + c0 + c] = (real)mean[c];
		g->inv[graph * d + c0 + c] = (real)inv;
		scale[c] = (double)g->weight[c0 + c] * inv;
	}
	for (int64_t i = from; i < to; i++) {
		real *restrict y = j->y + i * d + c0;
		const real *restrict x = j->x + i * d + c0, *restrict bias = g->bias + c0;
		for (int64_t c = 0; c < w; c++)
			y[c] = (real)(((double)x[c] - shift[c]) * scale[c] + (double)bias[c]);
	}
}

static void graph_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct gn_job *j = ctx;
	const struct k_graph_norm *g = j->g;
	for (int64_t c = 0; c < g->d && g->start[chunk] < g->start[chunk + 1]; c += GRAPH_COLUMNS)
		graph_columns(j, chunk, c, cpu_min(GRAPH_COLUMNS, g->d - c));
}

static void graph_norm(const struct kernels *k, const struct k_graph_norm *g, const real *x, real *y)
{
	struct gn_job j = {.g = g, .x = x, .y = y};
	cpu_run(k, g->n_graph, graph_chunk, &j);
}

K_SIMD static void graph_back_columns(const struct gn_job *j, int64_t graph, int64_t c0, int64_t w, double *part)
{
	const struct k_graph_norm *g = j->g;
	const int64_t from = g->start[graph], to = g->start[graph + 1], d = g->d;
	const double n = (double)(to - from);
	double sum_g[GRAPH_COLUMNS] = {0}, sum_go[GRAPH_COLUMNS] = {0}, sum_o[GRAPH_COLUMNS] = {0};
	double shift[GRAPH_COLUMNS], scale[GRAPH_COLUMNS], pull[GRAPH_COLUMNS], all[GRAPH_COLUMNS];
	for (int64_t c = 0; c < w; c++)
		shift[c] = (double)g->mean_scale[c0 + c] * (double)g->mean[graph * d + c0 + c];
	for (int64_t i = from; i < to; i++)
		for (int64_t c = 0; c < w; c++) {
			const double gy = (double)j->g_y[i * d + c0 + c], o = (double)j->x[i * d + c0 + c] - shift[c];
			sum_g[c] += gy;
			sum_go[c] += gy * o;
			sum_o[c] += o;
		}
	for (int64_t c = 0; c < w; c++) {
		const double inv = (double)g->inv[graph * d + c0 + c];
		scale[c] = (double)g->weight[c0 + c] * inv;
		pull[c] = scale[c] * inv * inv * sum_go[c] / n; /* times o: the gradient through the deviation */
		const double sum_do = scale[c] * sum_g[c] - pull[c] * sum_o[c];
		part[c0 + c] = sum_go[c] * inv;
		part[d + c0 + c] = sum_g[c];
		part[2 * d + c0 + c] = -(double)g->mean[graph * d + c0 + c] * sum_do;
		all[c] = (double)g->mean_scale[c0 + c] * sum_do / n;
	}
	for (int64_t i = from; i < to && j->g_x; i++) {
		real *restrict g_x = j->g_x + i * d + c0;
		const real *restrict x = j->x + i * d + c0, *restrict gy = j->g_y + i * d + c0;
		for (int64_t c = 0; c < w; c++)
			g_x[c] += (real)(scale[c] * (double)gy[c] - pull[c] * ((double)x[c] - shift[c]) - all[c]);
	}
}

static void graph_back_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct gn_job *j = ctx;
	const struct k_graph_norm *g = j->g;
	double *part = j->part + chunk * 3 * g->d;
	memset(part, 0, (size_t)(3 * g->d) * sizeof *part);
	for (int64_t c = 0; c < g->d && g->start[chunk] < g->start[chunk + 1]; c += GRAPH_COLUMNS)
		graph_back_columns(j, chunk, c, cpu_min(GRAPH_COLUMNS, g->d - c), part);
}

static void graph_norm_back(const struct kernels *k, const struct k_graph_norm *g, const real *x, const real *g_y,
			    real *g_x, real *g_weight, real *g_bias, real *g_mean_scale)
{
	int64_t d = g->d;
	struct gn_job j = {.g = g,
			   .x = x,
			   .g_y = g_y,
			   .g_x = g_x,
			   .part = cpu_scratch(k, 0, (size_t)(g->n_graph * 3 * d + 1) * sizeof(double))};
	real *out[3] = {g_weight, g_bias, g_mean_scale};
	cpu_run(k, g->n_graph, graph_back_chunk, &j);
	for (int w = 0; w < 3; w++)
		for (int64_t c = 0; c < d && out[w]; c++)
			out[w][c] += (real)cpu_over_chunks(j.part + w * d + c, g->n_graph, 3 * d);
}

void kernels_cpu_norm(struct kernels *k)
{
	k->batch_norm = batch_norm;
	k->batch_norm_back = batch_norm_back;
	k->graph_norm = graph_norm;
	k->graph_norm_back = graph_norm_back;
}
