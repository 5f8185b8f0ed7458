/* cpu_pairs.c - sums over pairs of atoms whose filters are never stored: from a table, or from features, on the CPU. */
#include "cpu.h"

#include <string.h>

/* One register's worth of columns; `strip` may lie anywhere an entry may. */
enum { WIDE = 64 / sizeof(real) };
typedef real wide __attribute__((vector_size(64)));
typedef real strip __attribute__((vector_size(64), aligned(sizeof(real)), may_alias));
#define STRIP(p) (*(strip *)(uintptr_t)(p))

static void zero(real *y, int64_t n)
{
	memset(y, 0, (size_t)n * sizeof *y);
}

/* ---- filters from a table ------------------------------------------------------ */

struct table_job {
	const struct k_table *t;
	const real *x, *table, *g_y;
	real *out;
	int64_t d, rows;
	bool add;
};

/* The filter of weights w over four rows of the table. */
#define FILTER(t, w) (STRIP(t) * w[0] + STRIP(t + d) * w[1] + (STRIP(t + 2 * d) * w[2] + STRIP(t + 3 * d) * w[3]))

/*
 * Each filter is made once and serves both directions. Two strips at a time, all read before any is written: one after
 * the other takes a fifth longer.
 */
K_SIMD static void sum_pairs(const struct table_job *j, int64_t from, int64_t to)
{
	const struct k_table *t = j->t;
	const int64_t d = j->d;
	for (int64_t e = from; e < to; e++) {
		const real *row = j->table + t->first[e] * d, *xa = j->x + t->a[e] * d, *xb = j->x + t->b[e] * d;
		real *ya = j->out + t->a[e] * d, *yb = j->out + t->b[e] * d;
		const real *w = t->w + 4 * e;
		int64_t c = 0;
		for (; c + 2 * WIDE <= d; c += 2 * WIDE) {
			const wide f = FILTER((row + c), w), g = FILTER((row + c + WIDE), w);
			const wide a0 = STRIP(ya + c) + STRIP(xb + c) * f, b0 = STRIP(yb + c) + STRIP(xa + c) * f;
			const wide a1 = STRIP(ya + c + WIDE) + STRIP(xb + c + WIDE) * g,
				   b1 = STRIP(yb + c + WIDE) + STRIP(xa + c + WIDE) * g;
			STRIP(ya + c) = a0;
			STRIP(yb + c) = b0;
			STRIP(ya + c + WIDE) = a1;
			STRIP(yb + c + WIDE) = b1;
		}
		for (; c < d; c++) {
			const real *r = row + c, f = r[0] * w[0] + r[d] * w[1] + (r[2 * d] * w[2] + r[3 * d] * w[3]);
			ya[c] += xb[c] * f;
			yb[c] += xa[c] * f;
		}
	}
}

static void sum_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct table_job *j = ctx;
	const struct k_table *t = j->t;
	int64_t from = chunk * j->rows, to = cpu_min(t->n_group, from + j->rows);
	int64_t row = t->atom[from], n_row = t->atom[to] - row;
	if (!j->add)
		zero(j->out + row * j->d, n_row * j->d);
	sum_pairs(j, t->pair[from], t->pair[to]);
}

/* Groups of a chunk: some 2^20 entries of filters where groups are of one size. */
static int64_t group_rows(const struct k_table *t, int64_t d)
{
	int64_t each = t->n_group ? t->n_pair * d / t->n_group + 1 : 1;
	return each < 1 << 18 ? (1 << 18) / each : 1;
}

static void table_sum(const struct kernels *k, const struct k_table *t, const real *x, const real *table, real *y,
		      int64_t d, bool add)
{
	struct table_job j = {.t = t, .x = x, .table = table, .out = y, .d = d, .rows = group_rows(t, d), .add = add};
	cpu_run(k, cpu_n_chunk(t->n_group, j.rows), sum_chunk, &j);
}

enum { AHEAD = 8 }; /* pairs that are fetched early */

/* The pairs of a target of by_first, into four rows of the table's gradient: strips [c, c + n WIDE) of them in
 * registers; n is a constant where this is used. */
static inline __attribute__((always_inline)) void spread_strips(const struct table_job *j, int64_t target, int64_t c,
								const int n)
{
	const struct k_table *t = j->t;
	const int64_t d = j->d, *item = t->by_first.item, from = t->by_first.start[target],
		      to = t->by_first.start[target + 1];
	real *out = j->out + target % t->n_row * d + c;
	wide s[4][4];
#pragma GCC unroll 4
	for (int r = 0; r < 4; r++)
#pragma GCC unroll 4
		for (int i = 0; i < n; i++)
			s[r][i] = STRIP(out + r * d + i * WIDE);
	for (int64_t p = from; p < to; p++) {
		const int64_t e = item[p], a = t->a[e] * d + c, b = t->b[e] * d + c;
		const real *w = t->w + 4 * e, *xa = j->x + a, *xb = j->x + b, *ga = j->g_y + a, *gb = j->g_y + b;
		const int64_t later = item[cpu_min(p + AHEAD, t->by_first.n_item - 1)]; /* items lie anywhere */
		__builtin_prefetch(t->a + later);
		__builtin_prefetch(t->b + later);
		__builtin_prefetch(t->w + 4 * later);
#pragma GCC unroll 4
		for (int i = 0; i < n; i++) {
			const int o = i * WIDE;
			const wide q = STRIP(ga + o) * STRIP(xb + o) + STRIP(gb + o) * STRIP(xa + o);
#pragma GCC unroll 4
			for (int r = 0; r < 4; r++)
				s[r][i] += q * w[r];
		}
	}
#pragma GCC unroll 4
	for (int r = 0; r < 4; r++)
#pragma GCC unroll 4
		for (int i = 0; i < n; i++)
			STRIP(out + r * d + i * WIDE) = s[r][i];
}

enum { SPREAD_COLUMNS = 4 * WIDE }; /* of a chunk */

K_SIMD static void spread_columns(const struct table_job *j, int64_t from, int64_t to)
{
	const struct k_table *t = j->t;
	const int64_t *start = t->by_first.start, d = j->d;
	for (int64_t v = 0; v < t->by_first.n; v++) {
		int64_t c = from;
		if (start[v] == start[v + 1])
			continue;
		if (to - c == 4 * WIDE)
			spread_strips(j, v, c, 4), c = to;
		for (; c + WIDE <= to; c += WIDE)
			spread_strips(j, v, c, 1);
		for (; c < to; c++)
			for (int64_t i = start[v]; i < start[v + 1]; i++) {
				int64_t e = t->by_first.item[i], a = t->a[e] * d + c, b = t->b[e] * d + c;
				real q = j->g_y[a] * j->x[b] + j->g_y[b] * j->x[a];
				for (int r = 0; r < 4; r++)
					j->out[(v % t->n_row + r) * d + c] += q * t->w[4 * e + r];
			}
	}
}

static void spread_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct table_job *j = ctx;
	int64_t from = chunk * SPREAD_COLUMNS;
	spread_columns(j, from, cpu_min(j->d, from + SPREAD_COLUMNS));
}

static void table_back(const struct kernels *k, const struct k_table *t, const real *x, const real *g_y, real *g_table,
		       int64_t d)
{
	struct table_job j = {.t = t, .x = x, .g_y = g_y, .out = g_table, .d = d};
	cpu_run(k, cpu_n_chunk(d, SPREAD_COLUMNS), spread_chunk, &j);
}

static void slope_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct table_job *j = ctx;
	const struct k_table *t = j->t;
	int64_t d = j->d;
	for (int64_t e = chunk * j->rows, to = cpu_min(t->n_pair, e + j->rows); e < to; e++) {
		const real *f = j->table + t->first[e] * d, *w = t->slope + 4 * e;
		const real *xa = j->x + t->a[e] * d, *xb = j->x + t->b[e] * d;
		const real *ga = j->g_y + t->a[e] * d, *gb = j->g_y + t->b[e] * d;
		double sum = 0;
		for (int64_t c = 0; c < d; c++) {
			double slope = 0;
			for (int r = 0; r < 4; r++)
				slope += (double)w[r] * (double)f[r * d + c];
			sum += slope * ((double)ga[c] * (double)xb[c] + (double)gb[c] * (double)xa[c]);
		}
		j->out[e] += (real)sum;
	}
}

static void table_slope(const struct kernels *k, const struct k_table *t, const real *x, const real *table,
			const real *g_y, real *g_dist, int64_t d)
{
	struct table_job j = {
	    .t = t, .x = x, .table = table, .g_y = g_y, .out = g_dist, .d = d, .rows = cpu_rows_of(4 * d)};
	cpu_run(k, cpu_n_chunk(t->n_pair, j.rows), slope_chunk, &j);
}

/* ---- filters from features ------------------------------------------------------- */

enum { MAX_FEATURE = 16, FEATURE_ROWS = 64 }; /* rows of a chunk */

struct feature_job {
	const struct k_csr *c;
	const int64_t *other;
	const real *f, *w, *x, *g_y;
	real *y, *g_x, *part;
	int64_t d;
	int n_feature;
	bool add;
};

/*
 * A filter is linear in its features, so it can wait outside of the sum: z[q] = sum over the items e of row v of
 * f[e, q] x[other[e]], for a strip of columns, and only then the weights. q < n, a constant where this is used.
 */
static inline __attribute__((always_inline)) void gather_strip(const struct feature_job *j, const real *x, int64_t v,
							       int64_t c, const int n, wide *z)
{
	const int64_t from = j->c->start[v], to = j->c->start[v + 1];
	for (int q = 0; q < n; q++)
		z[q] = (wide){0};
	for (int64_t i = from; i < to; i++) {
		const int64_t e = j->c->item[i];
		const real *f = j->f + e * n;
		const wide row = STRIP(x + j->other[e] * j->d + c);
#pragma GCC unroll 16
		for (int q = 0; q < n; q++)
			z[q] += row * f[q];
	}
}

/* The same for the columns that fill no strip, one by one. */
static inline void gather_column(const struct feature_job *j, const real *x, int64_t v, int64_t c, int n, real *z)
{
	memset(z, 0, (size_t)n * sizeof *z);
	for (int64_t i = j->c->start[v]; i < j->c->start[v + 1]; i++) {
		const int64_t e = j->c->item[i];
		const real row = x[j->other[e] * j->d + c];
		for (int q = 0; q < n; q++)
			z[q] += row * j->f[e * n + q];
	}
}

static inline __attribute__((always_inline)) void feature_sum_row(const struct feature_job *j, int64_t v, const int n)
{
	real *y = j->y + v * j->d;
	int64_t c = 0;
	for (; c + WIDE <= j->d; c += WIDE) {
		wide z[MAX_FEATURE], sum = {0};
		gather_strip(j, j->x, v, c, n, z);
#pragma GCC unroll 16
		for (int q = 0; q < n; q++)
			sum += z[q] * STRIP(j->w + q * j->d + c);
		if (j->add)
			sum += STRIP(y + c);
		STRIP(y + c) = sum;
	}
	for (; c < j->d; c++) {
		real z[MAX_FEATURE], sum = 0;
		gather_column(j, j->x, v, c, n, z);
		for (int q = 0; q < n; q++)
			sum += z[q] * j->w[q * j->d + c];
		y[c] = j->add ? y[c] + sum : sum;
	}
}

K_SIMD static void feature_sum_rows(const struct feature_job *j, int64_t from, int64_t to)
{
	for (int64_t v = from; v < to; v++)
		if (j->n_feature == 12)
			feature_sum_row(j, v, 12);
		else if (j->n_feature == 6)
			feature_sum_row(j, v, 6);
		else
			feature_sum_row(j, v, j->n_feature);
}

static void feature_sum_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct feature_job *j = ctx;
	feature_sum_rows(j, chunk * FEATURE_ROWS, cpu_min(j->c->n, (chunk + 1) * FEATURE_ROWS));
}

static void feature_sum(const struct kernels *k, const struct k_csr *c, const int64_t *other, const real *f,
			const real *w, int n_feature, const real *x, real *y, int64_t d, bool add)
{
	struct feature_job j = {
	    .c = c, .other = other, .f = f, .w = w, .x = x, .y = y, .d = d, .n_feature = n_feature, .add = add};
	cpu_run(k, cpu_n_chunk(c->n, FEATURE_ROWS), feature_sum_chunk, &j);
}

/*
 * Of sources [from, to): z from the gradients of a source's targets gives both its own gradient and its share of the
 * weights'. Strip by strip of columns, so that the weights' gradient stays in registers.
 */
static inline __attribute__((always_inline)) void feature_back_strip(const struct feature_job *j, int64_t from,
								     int64_t to, int64_t c, real *part, const int n)
{
	wide share[MAX_FEATURE];
	for (int q = 0; q < n; q++)
		share[q] = (wide){0};
	for (int64_t v = from; v < to; v++) {
		wide z[MAX_FEATURE], sum = {0};
		const wide row = STRIP(j->x + v * j->d + c);
		gather_strip(j, j->g_y, v, c, n, z);
#pragma GCC unroll 16
		for (int q = 0; q < n; q++) {
			sum += z[q] * STRIP(j->w + q * j->d + c);
			share[q] += z[q] * row;
		}
		if (j->g_x)
			STRIP(j->g_x + v * j->d + c) += sum;
	}
	for (int q = 0; q < n; q++)
		STRIP(part + q * j->d + c) = share[q];
}

static void feature_back_column(const struct feature_job *j, int64_t from, int64_t to, int64_t c, real *part)
{
	const int n = j->n_feature;
	for (int q = 0; q < n; q++)
		part[q * j->d + c] = 0;
	for (int64_t v = from; v < to; v++) {
		real z[MAX_FEATURE], sum = 0;
		gather_column(j, j->g_y, v, c, n, z);
		for (int q = 0; q < n; q++) {
			sum += z[q] * j->w[q * j->d + c];
			part[q * j->d + c] += z[q] * j->x[v * j->d + c];
		}
		if (j->g_x)
			j->g_x[v * j->d + c] += sum;
	}
}

K_SIMD static void feature_back_rows(const struct feature_job *j, int64_t from, int64_t to, real *part)
{
	int64_t c = 0;
	for (; c + WIDE <= j->d; c += WIDE)
		if (j->n_feature == 12)
			feature_back_strip(j, from, to, c, part, 12);
		else if (j->n_feature == 6)
			feature_back_strip(j, from, to, c, part, 6);
		else
			feature_back_strip(j, from, to, c, part, j->n_feature);
	for (; c < j->d; c++)
		feature_back_column(j, from, to, c, part);
}

static void feature_back_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct feature_job *j = ctx;
	real *part = j->part + chunk * j->n_feature * j->d;
	feature_back_rows(j, chunk * FEATURE_ROWS, cpu_min(j->c->n, (chunk + 1) * FEATURE_ROWS), part);
}

static void feature_back(const struct kernels *k, const struct k_csr *c, const int64_t *other, const real *f,
			 const real *w, int n_feature, const real *x, const real *g_y, real *g_x, real *g_w, int64_t d)
{
	int64_t n_chunk = cpu_n_chunk(c->n, FEATURE_ROWS), n = n_feature * d;
	struct feature_job j = {.c = c,
				.other = other,
				.f = f,
				.w = w,
				.x = x,
				.g_y = g_y,
				.g_x = g_x,
				.part = cpu_scratch(k, 0, (size_t)(n_chunk * n + 1) * sizeof(real)),
				.d = d,
				.n_feature = n_feature};
	cpu_run(k, n_chunk, feature_back_chunk, &j);
	for (int64_t i = 0; i < n && g_w; i++) {
		double sum = 0;
		for (int64_t h = 0; h < n_chunk; h++)
			sum += (double)j.part[h * n + i];
		g_w[i] += (real)sum;
	}
}

void kernels_cpu_pairs(struct kernels *k)
{
	k->table_sum = table_sum;
	k->table_back = table_back;
	k->table_slope = table_slope;
	k->feature_sum = feature_sum;
	k->feature_back = feature_back;
}
