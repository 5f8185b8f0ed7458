/* cpu_rows.c - work by rows and columns of matrices on the CPU. */
#include "cpu.h"
#include "cpu_math.h"

#include <math.h>
#include <string.h>

/* One job for all: n rows of d entries; the work is handed a range of rows. */
struct job {
	void (*work)(const struct job *j, int64_t from, int64_t to);
	const real *x, *w, *y, *g;
	real *out, *out2;
	const int64_t *idx;
	int64_t n, d, ld_x, ld_out, rows;
	bool add, log;
};

static void job_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct job *j = ctx;
	j->work(j, chunk * j->rows, cpu_min(j->n, (chunk + 1) * j->rows));
}

static void run(const struct kernels *k, struct job j)
{
	j.rows = cpu_rows_of(j.d);
	cpu_run(k, cpu_n_chunk(j.n, j.rows), job_chunk, &j);
}

K_SIMD static void row_scale(real *y, const real *x, real w, int64_t d, bool add)
{
	if (add)
		for (int64_t i = 0; i < d; i++)
			y[i] += w * x[i];
	else
		for (int64_t i = 0; i < d; i++)
			y[i] = w * x[i];
}

static void copy_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++)
		row_scale(j->out + i * j->ld_out, j->x + i * j->ld_x, 1, j->d, j->add);
}

static void copy_block(const struct kernels *k, const real *src, int64_t ld_src, real *dst, int64_t ld_dst, int64_t n,
		       int64_t d, bool add)
{
	run(k,
	    (struct job){
		.work = copy_work, .x = src, .out = dst, .n = n, .d = d, .ld_x = ld_src, .ld_out = ld_dst, .add = add});
}

static void transpose_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++)
		for (int64_t c = 0; c < j->d; c++) {
			real *y = j->out + c * j->n + i;
			*y = (j->add ? *y : 0) + j->x[i * j->d + c];
		}
}

static void transpose(const struct kernels *k, const real *x, real *y, int64_t n, int64_t d, bool add)
{
	run(k, (struct job){.work = transpose_work, .x = x, .out = y, .n = n, .d = d, .add = add});
}

static void scale_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++)
		row_scale(j->out + i * j->d, j->x + i * j->d, j->w[i], j->d, j->add);
}

static void scale_rows(const struct kernels *k, const real *x, const real *w, real *y, int64_t n, int64_t d, bool add)
{
	run(k, (struct job){.work = scale_work, .x = x, .w = w, .out = y, .n = n, .d = d, .add = add});
}

static void add_row_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++)
		row_scale(j->out + i * j->d, j->x, 1, j->d, true);
}

static void add_row(const struct kernels *k, const real *row, real *y, int64_t n, int64_t d)
{
	run(k, (struct job){.work = add_row_work, .x = row, .out = y, .n = n, .d = d});
}

K_SIMD static void row_bias_relu(real *restrict y, const real *restrict row, int64_t d)
{
	for (int64_t c = 0; c < d; c++) {
		real x = y[c] + row[c];
		y[c] = x > 0 ? x : 0;
	}
}

static void bias_relu_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++)
		row_bias_relu(j->out + i * j->d, j->x, j->d);
}

static void bias_relu(const struct kernels *k, const real *row, real *y, int64_t n, int64_t d)
{
	run(k, (struct job){.work = bias_relu_work, .x = row, .out = y, .n = n, .d = d});
}

static void add_column_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++)
		for (int64_t c = 0; c < j->d; c++)
			j->out[i * j->d + c] += j->x[i];
}

static void add_column(const struct kernels *k, const real *col, real *y, int64_t n, int64_t d)
{
	run(k, (struct job){.work = add_column_work, .x = col, .out = y, .n = n, .d = d});
}

static void row_sum_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++) {
		double sum = 0;
		for (int64_t c = 0; c < j->d; c++)
			sum += (double)j->x[i * j->d + c];
		j->out[i] = (real)sum;
	}
}

static void row_sum(const struct kernels *k, const real *x, real *out, int64_t n, int64_t d)
{
	run(k, (struct job){.work = row_sum_work, .x = x, .out = out, .n = n, .d = d});
}

struct column_job {
	const real *x, *y;
	real *g;
	double *part;
	int64_t n, d;
};

K_SIMD static void add_to_double(double *sum, const real *x, int64_t d)
{
	for (int64_t c = 0; c < d; c++)
		sum[c] += (double)x[c];
}

static void column_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct column_job *j = ctx;
	double *sum = j->part + chunk * j->d;
	memset(sum, 0, (size_t)j->d * sizeof *sum);
	for (int64_t i = chunk * CPU_ROWS, to = cpu_min(j->n, i + CPU_ROWS); i < to; i++)
		add_to_double(sum, j->x + i * j->d, j->d);
}

/* out += the parts of all chunks, in their order. */
static void column_parts(const double *part, int64_t n_chunk, real *out, int64_t d)
{
	for (int64_t c = 0; c < d; c++) {
		double sum = 0;
		for (int64_t i = 0; i < n_chunk; i++)
			sum += part[i * d + c];
		out[c] += (real)sum;
	}
}

static void column_sum(const struct kernels *k, const real *x, real *out, int64_t n, int64_t d)
{
	int64_t n_chunk = cpu_n_chunk(n, CPU_ROWS);
	struct column_job j = {
	    .x = x, .n = n, .d = d, .part = cpu_scratch(k, 0, (size_t)(n_chunk * d + 1) * sizeof(double))};
	cpu_run(k, n_chunk, column_chunk, &j);
	column_parts(j.part, n_chunk, out, d);
}

K_SIMD static void row_mask_sum(real *restrict g, const real *restrict y, double *restrict sum, int64_t d)
{
	for (int64_t c = 0; c < d; c++) {
		g[c] = y[c] > 0 ? g[c] : 0;
		sum[c] += (double)g[c];
	}
}

static void bias_relu_back_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct column_job *j = ctx;
	double *sum = j->part + chunk * j->d;
	memset(sum, 0, (size_t)j->d * sizeof *sum);
	for (int64_t i = chunk * CPU_ROWS, to = cpu_min(j->n, i + CPU_ROWS); i < to; i++)
		row_mask_sum(j->g + i * j->d, j->y + i * j->d, sum, j->d);
}

static void bias_relu_back(const struct kernels *k, const real *y, real *g_y, real *g_row, int64_t n, int64_t d)
{
	int64_t n_chunk = cpu_n_chunk(n, CPU_ROWS);
	struct column_job j = {
	    .y = y, .g = g_y, .n = n, .d = d, .part = cpu_scratch(k, 0, (size_t)(n_chunk * d + 1) * sizeof(double))};
	cpu_run(k, n_chunk, bias_relu_back_chunk, &j);
	if (g_row)
		column_parts(j.part, n_chunk, g_row, d);
}

K_SIMD static real unit_row(const real *x, real *y, int64_t d)
{
	double norm = sqrt(k_dot(x, x, d));
	norm = norm > 1e-12 ? norm : 1e-12;
	const real scale = (real)(1 / norm);
	for (int64_t c = 0; c < d; c++)
		y[c] = x[c] * scale;
	return (real)norm;
}

static void unit_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++)
		j->out2[i] = unit_row(j->x + i * j->d, j->out + i * j->d, j->d);
}

static void unit(const struct kernels *k, const real *x, real *y, real *norm, int64_t n, int64_t d)
{
	run(k, (struct job){.work = unit_work, .x = x, .out = y, .out2 = norm, .n = n, .d = d});
}

K_SIMD static void unit_back_row(const real *y, const real *g, real norm, real *out, int64_t d)
{
	const real along = norm <= (real)1e-12 ? 0 : (real)k_dot(y, g, d); /* there the divisor is a constant */
	const real scale = (real)(1 / (double)norm);
	for (int64_t c = 0; c < d; c++)
		out[c] += (g[c] - along * y[c]) * scale;
}

static void unit_back_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++)
		unit_back_row(j->y + i * j->d, j->g + i * j->d, j->w[i], j->out + i * j->d, j->d);
}

static void unit_back(const struct kernels *k, const real *y, const real *norm, const real *g_y, real *g_x, int64_t n,
		      int64_t d)
{
	run(k, (struct job){.work = unit_back_work, .y = y, .w = norm, .g = g_y, .out = g_x, .n = n, .d = d});
}

K_SIMD static real row_top(const real *x, int64_t d)
{
	real top[K_LANES], most = x[0];
	int64_t c = 0;
	for (int l = 0; l < K_LANES; l++)
		top[l] = x[0];
	for (; c + K_LANES <= d; c += K_LANES)
		for (int l = 0; l < K_LANES; l++)
			top[l] = x[c + l] > top[l] ? x[c + l] : top[l];
	for (int l = 0; l < K_LANES; l++)
		most = top[l] > most ? top[l] : most;
	for (; c < d; c++)
		most = x[c] > most ? x[c] : most;
	return most;
}

/* y = exp(x - top); their sum */
K_SIMD static double row_exp(const real *x, real *y, real top, int64_t d)
{
	double s[K_LANES] = {0};
	int64_t c = 0;
	for (; c < d; c++)
		y[c] = k_exp(x[c] - top);
	for (c = 0; c + K_LANES <= d; c += K_LANES)
		for (int l = 0; l < K_LANES; l++)
			s[l] += (double)y[c + l];
	for (; c < d; c++)
		s[c % K_LANES] += (double)y[c];
	return k_lanes_sum(s);
}

K_SIMD static void row_shift(const real *x, real *y, double by, int64_t d)
{
	for (int64_t c = 0; c < d; c++)
		y[c] = (real)((double)x[c] - by);
}

static void softmax_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++) {
		const real *x = j->x + i * j->d;
		real *y = j->out + i * j->d, top = row_top(x, j->d);
		double sum = row_exp(x, y, top, j->d);
		if (j->log)
			row_shift(x, y, (double)top + log(sum), j->d);
		else
			row_scale(y, y, (real)(1 / sum), j->d, false);
	}
}

static void softmax(const struct kernels *k, const real *x, real *y, int64_t n, int64_t d, bool log_too)
{
	run(k, (struct job){.work = softmax_work, .x = x, .out = y, .n = n, .d = d, .log = log_too});
}

K_SIMD static void softmax_back_row(const real *y, const real *g, real *out, int64_t d)
{
	const real sum = (real)k_dot(y, g, d);
	for (int64_t c = 0; c < d; c++)
		out[c] += y[c] * (g[c] - sum);
}

K_SIMD static void log_softmax_back_row(const real *y, const real *g, real *out, int64_t d)
{
	double s[K_LANES] = {0};
	for (int64_t c = 0; c < d; c++)
		s[c % K_LANES] += (double)g[c];
	const real sum = (real)k_lanes_sum(s);
	for (int64_t c = 0; c < d; c++)
		out[c] += g[c] - k_exp(y[c]) * sum;
}

static void softmax_back_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++)
		(j->log ? log_softmax_back_row : softmax_back_row)(j->y + i * j->d, j->g + i * j->d, j->out + i * j->d,
								   j->d);
}

static void softmax_back(const struct kernels *k, const real *y, const real *g_y, real *g_x, int64_t n, int64_t d,
			 bool log_too)
{
	run(k, (struct job){.work = softmax_back_work, .y = y, .g = g_y, .out = g_x, .n = n, .d = d, .log = log_too});
}

static void pick(const struct kernels *k, const real *x, const int64_t *col, real *y, int64_t n, int64_t d)
{
	(void)k;
	for (int64_t i = 0; i < n; i++)
		y[i] = x[i * d + col[i]];
}

static void pick_back(const struct kernels *k, const real *g_y, const int64_t *col, real *g_x, int64_t n, int64_t d)
{
	(void)k;
	for (int64_t i = 0; i < n; i++)
		g_x[i * d + col[i]] += g_y[i];
}

void kernels_cpu_rows(struct kernels *k)
{
	k->copy_block = copy_block;
	k->transpose = transpose;
	k->scale_rows = scale_rows;
	k->add_row = add_row;
	k->bias_relu = bias_relu;
	k->bias_relu_back = bias_relu_back;
	k->add_column = add_column;
	k->row_sum = row_sum;
	k->column_sum = column_sum;
	k->unit = unit;
	k->unit_back = unit_back;
	k->softmax = softmax;
	k->softmax_back = softmax_back;
	k->pick = pick;
	k->pick_back = pick_back;
}
