/* cpu_graph.c - rows by index on the CPU: embeddings, sums over neighbours, attention, continuous filters. */
#include "cpu.h"
#include "cpu_math.h"

#include <math.h>
#include <string.h>

enum { SUM_COLUMNS = 64, MANY_ITEMS = 8 }; /* of a chunk; of a target on the average */

/* One job for all: `work` is handed a range of targets. */
struct job {
	void (*work)(const struct job *j, int64_t from, int64_t to);
	const struct k_csr *c;
	const int64_t *kind, *idx;
	const real *x, *w, *g, *a, *b, *t;
	const real *const *table;
	real *y;
	int64_t *arg;
	int64_t n, d, rows;
	int n_head;
	double slope;
	bool add;
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

K_SIMD static void row_axpy(real *restrict y, const real *restrict x, real w, int64_t d)
{
	for (int64_t i = 0; i < d; i++)
		y[i] += w * x[i];
}

K_SIMD static void row_add_two(real *restrict y, const real *restrict x, const real *restrict t, int64_t d)
{
	for (int64_t i = 0; i < d; i++)
		y[i] += x[i] + t[i];
}

K_SIMD static void row_axpy_two(real *restrict y, const real *restrict x, const real *restrict t, real w, int64_t d)
{
	for (int64_t i = 0; i < d; i++)
		y[i] += w * (x[i] + t[i]);
}

K_SIMD static void row_mul_add(real *restrict y, const real *restrict a, const real *restrict b, int64_t d)
{
	for (int64_t i = 0; i < d; i++)
		y[i] += a[i] * b[i];
}

static void zero(real *y, int64_t d)
{
	memset(y, 0, (size_t)d * sizeof *y);
}

static void gather_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++) {
		real *y = j->y + i * j->d;
		const real *x = j->x + j->idx[i] * j->d;
		if (j->add)
			cpu_line_add(y, x, j->d);
		else
			memcpy(y, x, (size_t)j->d * sizeof *y);
	}
}

static void gather(const struct kernels *k, const real *x, const int64_t *idx, real *y, int64_t n, int64_t d, bool add)
{
	run(k, (struct job){.work = gather_work, .x = x, .idx = idx, .y = y, .n = n, .d = d, .add = add});
}

/* n vectors of columns of a target from column c on, in registers while its items are summed; n and weighted are
 * constants where this is used. */
K_INLINE void sum_vectors(const struct job *j, int64_t v, int64_t c, const int n, const bool weighted)
{
	const int64_t *item = j->c->item, d = j->d, to = j->c->start[v + 1];
	const real *x = j->x + c, *w = j->w;
	real *y = j->y + v * d + c;
	cpu_wide sum[4];
#pragma GCC unroll 4
	for (int l = 0; l < n; l++)
		sum[l] = j->add ? (cpu_wide)CPU_STRIP(y + l * CPU_WIDE) : (cpu_wide){0};
	for (int64_t i = j->c->start[v]; i < to; i++)
#pragma GCC unroll 4
		for (int l = 0; l < n; l++) {
			const cpu_wide row = CPU_STRIP(x + item[i] * d + l * CPU_WIDE);
			if (weighted)
				sum[l] += row * w[i];
			else
				sum[l] += row;
		}
#pragma GCC unroll 4
	for (int l = 0; l < n; l++)
		CPU_STRIP(y + l * CPU_WIDE) = sum[l];
}

K_INLINE void sum_column(const struct job *j, int64_t v, int64_t c, const bool weighted)
{
	real *y = j->y + v * j->d + c, sum = j->add ? *y : 0;
	for (int64_t i = j->c->start[v]; i < j->c->start[v + 1]; i++) {
		const real x = j->x[j->c->item[i] * j->d + c];
		sum += weighted ? x * j->w[i] : x;
	}
	*y = sum;
}

K_INLINE void sum_columns(const struct job *j, int64_t from, int64_t to, int64_t column, int64_t width,
			  const bool weighted)
{
	for (int64_t v = from; v < to; v++) {
		int64_t c = column;
		for (; c + 4 * CPU_WIDE <= column + width; c += 4 * CPU_WIDE)
			sum_vectors(j, v, c, 4, weighted);
		for (; c + CPU_WIDE <= column + width; c += CPU_WIDE)
			sum_vectors(j, v, c, 1, weighted);
		for (; c < column + width; c++)
			sum_column(j, v, c, weighted);
	}
}

/* Columns [column, column + width) of targets [from, to). */
K_SIMD static void csr_sum_part(const struct job *j, int64_t from, int64_t to, int64_t column, int64_t width)
{
	if (j->w)
		sum_columns(j, from, to, column, width, true);
	else
		sum_columns(j, from, to, column, width, false);
}

static void csr_sum_work(const struct job *j, int64_t from, int64_t to)
{
	csr_sum_part(j, from, to, 0, j->d);
}

static void csr_sum_columns(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct job *j = ctx;
	csr_sum_part(j, 0, j->n, chunk * SUM_COLUMNS, cpu_min(SUM_COLUMNS, j->d - chunk * SUM_COLUMNS));
}

/* Few targets of many items (tables of embeddings, kinds of bonds) go by columns: one of them may have half of the
 * items. */
static void csr_sum(const struct kernels *k, const struct k_csr *c, const real *x, const real *w, real *y, int64_t d,
		    bool add)
{
	struct job j = {.work = csr_sum_work, .c = c, .x = x, .w = w, .y = y, .n = c->n, .d = d, .add = add};
	if (c->n_item * d > CPU_ENTRIES && c->n_item > MANY_ITEMS * c->n)
		cpu_run(k, cpu_n_chunk(d, SUM_COLUMNS), csr_sum_columns, &j);
	else
		run(k, j);
}

static void csr_max_work(const struct job *j, int64_t from, int64_t to)
{
	const struct k_csr *c = j->c;
	for (int64_t v = from; v < to; v++)
		for (int64_t f = 0; f < j->d; f++) {
			int64_t best = -1;
			for (int64_t i = c->start[v]; i < c->start[v + 1]; i++) {
				int64_t r = c->item[i];
				if (best < 0 || j->x[r * j->d + f] > j->x[best * j->d + f])
					best = r;
			}
			j->arg[v * j->d + f] = best;
			j->y[v * j->d + f] = best < 0 ? 0 : j->x[best * j->d + f];
		}
}

static void csr_max(const struct kernels *k, const struct k_csr *c, const real *x, real *y, int64_t *arg, int64_t d)
{
	run(k, (struct job){.work = csr_max_work, .c = c, .x = x, .y = y, .arg = arg, .n = c->n, .d = d});
}

static void csr_max_back_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t i = from * j->d; i < to * j->d; i++)
		if (j->idx[i] >= 0)
			j->y[j->idx[i] * j->d + i % j->d] += j->g[i];
}

static void csr_max_back(const struct kernels *k, const int64_t *arg, const real *g_y, real *g_x, int64_t n, int64_t d)
{
	run(k, (struct job){.work = csr_max_back_work, .idx = arg, .g = g_y, .y = g_x, .n = n, .d = d});
}

static void embed_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++) {
		real *y = j->y + i * j->d;
		memcpy(y, j->table[0] + j->idx[i * j->n_head] * j->d, (size_t)j->d * sizeof *y);
		for (int t = 1; t < j->n_head; t++)
			cpu_line_add(y, j->table[t] + j->idx[i * j->n_head + t] * j->d, j->d);
	}
}

static void embed(const struct kernels *k, int n_table, const real *const *table, const int64_t *idx, real *y,
		  int64_t n, int64_t d)
{
	run(k, (struct job){.work = embed_work, .table = table, .idx = idx, .y = y, .n = n, .d = d, .n_head = n_table});
}

static void message_work(const struct job *j, int64_t from, int64_t to)
{
	const struct k_csr *c = j->c;
	int64_t part = j->d / j->n_head;
	for (int64_t v = from; v < to; v++) {
		real *y = j->y + v * j->d;
		zero(y, j->d);
		for (int64_t i = c->start[v]; i < c->start[v + 1]; i++) {
			const real *x = j->x + c->item[i] * j->d, *t = j->table[0] + j->kind[i] * j->d;
			if (!j->w)
				row_add_two(y, x, t, j->d);
			for (int h = 0; j->w && h < j->n_head; h++)
				row_axpy_two(y + h * part, x + h * part, t + h * part, j->w[i * j->n_head + h], part);
		}
	}
}

static void message_sum(const struct kernels *k, const struct k_csr *c, const int64_t *kind, const real *x,
			const real *table, const real *w, int n_head, real *y, int64_t d)
{
	run(k, (struct job){.work = message_work,
			    .c = c,
			    .kind = kind,
			    .x = x,
			    .table = &table,
			    .w = w,
			    .n_head = n_head,
			    .y = y,
			    .n = c->n,
			    .d = d});
}

/* g . (x + t) in lanes, as k_dot has them. */
K_SIMD static double row_dot_two(const real *g, const real *x, const real *t, int64_t d)
{
	double s[K_LANES] = {0};
	int64_t i = 0;
	for (; i + K_LANES <= d; i += K_LANES)
		for (int l = 0; l < K_LANES; l++)
			s[l] += (double)g[i + l] * (double)(x[i + l] + t[i + l]);
	for (; i < d; i++)
		s[i % K_LANES] += (double)g[i] * (double)(x[i] + t[i]);
	return k_lanes_sum(s);
}

static void message_dot_work(const struct job *j, int64_t from, int64_t to)
{
	const struct k_csr *c = j->c;
	int64_t part = j->d / j->n_head;
	for (int64_t v = from; v < to; v++)
		for (int64_t i = c->start[v]; i < c->start[v + 1]; i++)
			for (int h = 0; h < j->n_head; h++) {
				const real *x = j->x + c->item[i] * j->d + h * part;
				const real *t = j->t + j->kind[i] * j->d + h * part, *g = j->g + v * j->d + h * part;
				j->y[i * j->n_head + h] += (real)row_dot_two(g, x, t, part);
			}
}

static void message_dot(const struct kernels *k, const struct k_csr *c, const int64_t *kind, const real *x,
			const real *table, const real *g_y, int n_head, real *g_w, int64_t d)
{
	run(k, (struct job){.work = message_dot_work,
			    .c = c,
			    .kind = kind,
			    .x = x,
			    .t = table,
			    .g = g_y,
			    .n_head = n_head,
			    .y = g_w,
			    .n = c->n,
			    .d = d});
}

static void heads_work(const struct job *j, int64_t from, int64_t to)
{
	const struct k_csr *c = j->c;
	int64_t part = j->d / j->n_head;
	for (int64_t v = from; v < to; v++)
		for (int64_t i = c->start[v]; i < c->start[v + 1]; i++)
			for (int h = 0; h < j->n_head; h++)
				row_axpy(j->y + v * j->d + h * part, j->x + c->item[i] * j->d + h * part,
					 j->w[j->idx[i] * j->n_head + h], part);
}

static void csr_sum_heads(const struct kernels *k, const struct k_csr *c, const int64_t *edge, const real *x,
			  const real *w, int n_head, real *y, int64_t d)
{
	run(k,
	    (struct job){
		.work = heads_work, .c = c, .idx = edge, .x = x, .w = w, .n_head = n_head, .y = y, .n = c->n, .d = d});
}

/* The score before the leaky ReLU. */
static real score(const struct job *j, int64_t v, int64_t i, int h)
{
	return j->a[v * j->n_head + h] + j->b[j->c->item[i] * j->n_head + h] + j->t[j->kind[i] * j->n_head + h];
}

static void attention_work(const struct job *j, int64_t from, int64_t to)
{
	const struct k_csr *c = j->c;
	for (int64_t v = from; v < to; v++)
		for (int h = 0; h < j->n_head; h++) {
			double top = -INFINITY, sum = 0;
			for (int64_t i = c->start[v]; i < c->start[v + 1]; i++) {
				double s = (double)score(j, v, i, h);
				s = s > 0 ? s : j->slope * s;
				top = s > top ? s : top;
			}
			for (int pass = 0; pass < 2; pass++)
				for (int64_t i = c->start[v]; i < c->start[v + 1]; i++) {
					double s = (double)score(j, v, i, h);
					double w = exp((s > 0 ? s : j->slope * s) - top);
					if (pass)
						j->y[i * j->n_head + h] = (real)(w / sum);
					else
						sum += w;
				}
		}
}

static void attention(const struct kernels *k, const struct k_csr *c, const int64_t *kind, const real *a, const real *b,
		      const real *t, double slope, int n_head, real *alpha)
{
	run(k, (struct job){.work = attention_work,
			    .c = c,
			    .kind = kind,
			    .a = a,
			    .b = b,
			    .t = t,
			    .slope = slope,
			    .n_head = n_head,
			    .y = alpha,
			    .n = c->n,
			    .d = n_head});
}

static void attention_back_work(const struct job *j, int64_t from, int64_t to)
{
	const struct k_csr *c = j->c;
	for (int64_t v = from; v < to; v++)
		for (int h = 0; h < j->n_head; h++) {
			double dot = 0;
			for (int64_t i = c->start[v]; i < c->start[v + 1]; i++)
				dot += (double)j->w[i * j->n_head + h] * (double)j->g[i * j->n_head + h];
			for (int64_t i = c->start[v]; i < c->start[v + 1]; i++) {
				int64_t at = i * j->n_head + h;
				double g = (double)j->w[at] * ((double)j->g[at] - dot);
				j->y[at] = (real)(score(j, v, i, h) > 0 ? g : j->slope * g);
			}
		}
}

static void attention_back(const struct kernels *k, const struct k_csr *c, const int64_t *kind, const real *a,
			   const real *b, const real *t, double slope, int n_head, const real *alpha,
			   const real *g_alpha, real *g_s)
{
	run(k, (struct job){.work = attention_back_work,
			    .c = c,
			    .kind = kind,
			    .a = a,
			    .b = b,
			    .t = t,
			    .slope = slope,
			    .n_head = n_head,
			    .w = alpha,
			    .g = g_alpha,
			    .y = g_s,
			    .n = c->n,
			    .d = n_head});
}

static void filter_sum_work(const struct job *j, int64_t from, int64_t to)
{
	const struct k_csr *c = j->c;
	for (int64_t v = from; v < to; v++) {
		real *y = j->y + v * j->d;
		if (!j->add)
			zero(y, j->d);
		for (int64_t i = c->start[v]; i < c->start[v + 1]; i++) {
			int64_t e = c->item[i];
			row_mul_add(y, j->x + j->idx[e] * j->d, j->g + e * j->d, j->d);
		}
	}
}

static void filter_sum(const struct kernels *k, const struct k_csr *c, const int64_t *other, const real *x,
		       const real *f, real *y, int64_t d, bool add)
{
	run(k,
	    (struct job){
		.work = filter_sum_work, .c = c, .idx = other, .x = x, .g = f, .y = y, .n = c->n, .d = d, .add = add});
}

static void filter_back_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t e = from; e < to; e++)
		row_mul_add(j->y + e * j->d, j->a + j->idx[e] * j->d, j->b + j->kind[e] * j->d, j->d);
}

static void filter_back(const struct kernels *k, const int64_t *ia, const real *a, const int64_t *ib, const real *b,
			real *g_f, int64_t n_edge, int64_t d)
{
	run(k, (struct job){
		   .work = filter_back_work, .idx = ia, .a = a, .kind = ib, .b = b, .y = g_f, .n = n_edge, .d = d});
}

void kernels_cpu_graph(struct kernels *k)
{
	k->gather = gather;
	k->csr_sum = csr_sum;
	k->csr_max = csr_max;
	k->csr_max_back = csr_max_back;
	k->embed = embed;
	k->message_sum = message_sum;
	k->message_dot = message_dot;
	k->csr_sum_heads = csr_sum_heads;
	k->attention = attention;
	k->attention_back = attention_back;
	k->filter_sum = filter_sum;
	k->filter_back = filter_back;
}
