/* cpu_pairs.c - sums over pairs of atoms whose filters are never stored: from a table, or from features, on the CPU. */
#include "cpu.h"
#include "cpu_math.h"

#include <string.h>

static void zero(real *y, int64_t n)
{
	memset(y, 0, (size_t)n * sizeof *y);
}

/* ---- filters from a table ------------------------------------------------------ */

enum { STRIPS = 2, BLOCK = STRIPS * CPU_WIDE }; /* columns of a chunk */

struct table_job {
	const struct k_table *t;
	const real *x, *table, *g_y;
	real *y, *g_x, *g_table, *g_dist;
	int64_t d, rows, run_atoms;
	bool add, add_table;
	const struct kernels *k;
};

/*
 * What a chunk works on: its columns of the table, of its gradient, and of a run's rows, which begin with atom `atom`.
 * Copies of BLOCK columns each, the last ones filled up with zeros: the first cache holds them, but few lines of rows
 * that lie far apart.
 */
struct block {
	real *table, *g_table, *x, *g_y, *sum;
	int64_t atom;
	const real *next[3]; /* what is taken and given next: n_next rows each, d entries apart */
	int64_t n_next, d;
};

/* Columns [c, c + BLOCK) of n rows. */
K_SIMD static void take_columns(real *restrict to, const real *restrict from, int64_t n, int64_t c, int64_t d)
{
	const int64_t width = cpu_min(BLOCK, d - c);
	for (int64_t i = 0; i < n; i++, to += BLOCK)
		if (width == BLOCK)
			for (int l = 0; l < BLOCK; l += CPU_WIDE)
				CPU_STRIP(to + l) = CPU_STRIP(from + i * d + c + l);
		else
			for (int l = 0; l < BLOCK; l++)
				to[l] = l < width ? from[i * d + c + l] : 0;
}

/* And back, added or written. */
K_SIMD static void give_columns(real *restrict to, const real *restrict from, int64_t n, int64_t c, int64_t d, bool add)
{
	const int64_t width = cpu_min(BLOCK, d - c);
	for (int64_t i = 0; i < n; i++, from += BLOCK) {
		real *row = to + i * d + c;
		for (int l = 0; l < BLOCK && width == BLOCK; l += CPU_WIDE)
			CPU_STRIP(row + l) =
			    add ? (cpu_wide)CPU_STRIP(row + l) + CPU_STRIP(from + l) : (cpu_wide)CPU_STRIP(from + l);
		for (int l = 0; l < width && width < BLOCK; l++)
			row[l] = add ? row[l] + from[l] : from[l];
	}
}

/* Next is the run after this one, or the first one of the columns after these. */
static void look_ahead(const struct table_job *j, int64_t run, int64_t c, struct block *b)
{
	const bool last = run + 1 == j->t->n_run;
	const int64_t *atom = j->t->atom + (last ? 0 : run + 1), column = last ? c + BLOCK : c;
	const int64_t at = atom[0] * j->d + column;
	const real *sum = j->g_y ? j->g_x : j->y;
	b->n_next = column + BLOCK <= j->d ? atom[1] - atom[0] : 0;
	b->d = j->d;
	if (!b->n_next)
		return;
	b->next[0] = j->x + at;
	b->next[1] = (sum ? sum : j->x) + at;
	b->next[2] = j->g_y ? j->g_y + at : b->next[0];
}

/* One row of what is next: it comes from afar while sums are made of what is near. */
K_INLINE void fetch_row(const struct block *b, int64_t i, const int n)
{
	for (int q = 0; q < n; q++)
		for (int l = 0; l < BLOCK; l += CPU_WIDE)
			__builtin_prefetch(b->next[q] + i * b->d + l, 0, 2);
}

/*
 * Of the pairs [from, to), n at a time of one first row: the sum of x, or, with `back`, of g_y, which with x gives the
 * table's gradient. A filter is made once and serves both directions. The run's pairs begin with `start`.
 */
K_INLINE void block_pairs(const struct k_table *t, struct block k, int64_t from, int64_t to, const int n,
			  const bool back, int64_t start)
{
	const int64_t *first = t->first, *ta = t->a, *tb = t->b; /* not read again at each store */
	const real *tw = t->w, *g = back ? k.g_y : k.x;
	for (int64_t e = from; e < to; e += n) {
		const real *row = k.table + first[e] * BLOCK;
		if ((e - start) / 4 < k.n_next)
			fetch_row(&k, (e - start) / 4, back ? 3 : 2);
		cpu_wide f[4][STRIPS], s[4][STRIPS];
#pragma GCC unroll 8
		for (int i = 0; i < 4 * STRIPS; i++)
			f[i / STRIPS][i % STRIPS] = CPU_STRIP(row + i * CPU_WIDE);
#pragma GCC unroll 4
		for (int p = 0; p < n; p++) {
			const real *w = tw + 4 * (e + p), w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
			const int64_t a = (ta[e + p] - k.atom) * BLOCK, b = (tb[e + p] - k.atom) * BLOCK;
#pragma GCC unroll 4
			for (int i = 0; i < STRIPS; i++) {
				const int64_t at_a = a + i * CPU_WIDE, at_b = b + i * CPU_WIDE;
				const cpu_wide filter = (f[0][i] * w0 + f[1][i] * w1) + (f[2][i] * w2 + f[3][i] * w3);
				const cpu_wide ga = CPU_STRIP(g + at_a), gb = CPU_STRIP(g + at_b);
				CPU_STRIP(k.sum + at_a) += gb * filter;
				CPU_STRIP(k.sum + at_b) += ga * filter;
				if (!back)
					continue;
				const cpu_wide q = ga * CPU_STRIP(k.x + at_b) + gb * CPU_STRIP(k.x + at_a);
				s[0][i] = p ? s[0][i] + q * w0 : q * w0;
				s[1][i] = p ? s[1][i] + q * w1 : q * w1;
				s[2][i] = p ? s[2][i] + q * w2 : q * w2;
				s[3][i] = p ? s[3][i] + q * w3 : q * w3;
			}
		}
		real *g_row = k.g_table + first[e] * BLOCK;
#pragma GCC unroll 8
		for (int i = 0; i < 4 * STRIPS && back; i++)
			CPU_STRIP(g_row + i * CPU_WIDE) += s[i / STRIPS][i % STRIPS];
	}
}

K_SIMD static void block_sum(const struct k_table *t, const struct block *k, const int64_t *pair)
{
	block_pairs(t, *k, pair[0], pair[1], 4, false, pair[0]);
	block_pairs(t, *k, pair[1], pair[2], 2, false, pair[0]);
	block_pairs(t, *k, pair[2], pair[3], 1, false, pair[0]);
}

K_SIMD static void block_back(const struct k_table *t, const struct block *k, const int64_t *pair)
{
	block_pairs(t, *k, pair[0], pair[1], 4, true, pair[0]);
	block_pairs(t, *k, pair[1], pair[2], 2, true, pair[0]);
	block_pairs(t, *k, pair[2], pair[3], 1, true, pair[0]);
}

static void table_chunk(void *ctx, int64_t chunk, int thread)
{
	const struct table_job *j = ctx;
	const struct k_table *t = j->t;
	const int64_t c = chunk * BLOCK, d = j->d, rows = t->n_row * BLOCK, atoms = j->run_atoms * BLOCK;
	real *p = cpu_scratch(j->k, 2 + thread, (size_t)(2 * rows + 3 * atoms) * sizeof *p);
	struct block b = {.table = p,
			  .g_table = p + rows,
			  .x = p + 2 * rows,
			  .g_y = p + 2 * rows + atoms,
			  .sum = p + 2 * rows + 2 * atoms};
	real *sum = j->g_y ? j->g_x : j->y; /* or NULL */
	take_columns(b.table, j->table, t->n_row, c, d);
	if (j->g_y)
		zero(b.g_table, rows);
	for (int64_t r = 0; r < t->n_run; r++) {
		const int64_t n = t->atom[r + 1] - t->atom[r], first = t->atom[r] * d;
		b.atom = t->atom[r];
		look_ahead(j, r, c, &b);
		zero(b.sum, n * BLOCK);
		take_columns(b.x, j->x + first, n, c, d);
		if (j->g_y) {
			take_columns(b.g_y, j->g_y + first, n, c, d);
			block_back(t, &b, t->pair + 3 * r);
		} else {
			block_sum(t, &b, t->pair + 3 * r);
		}
		if (sum)
			give_columns(sum + first, b.sum, n, c, d, j->add);
	}
	if (j->g_y)
		give_columns(j->g_table, b.g_table, t->n_row, c, d, j->add_table);
}

static void run_table(const struct kernels *k, struct table_job j)
{
	const int64_t *atom = j.t->atom;
	j.k = k;
	for (int64_t r = 0; r < j.t->n_run; r++)
		j.run_atoms = atom[r + 1] - atom[r] > j.run_atoms ? atom[r + 1] - atom[r] : j.run_atoms;
	cpu_run(k, cpu_n_chunk(j.d, BLOCK), table_chunk, &j);
}

static void table_sum(const struct kernels *k, const struct k_table *t, const real *x, const real *table, real *y,
		      int64_t d, bool add)
{
	run_table(k, (struct table_job){.t = t, .x = x, .table = table, .y = y, .d = d, .add = add});
}

static void table_back(const struct kernels *k, const struct k_table *t, const real *x, const real *table,
		       const real *g_y, real *g_x, bool add_x, real *g_table, bool add_table, int64_t d)
{
	if (g_table)
		run_table(k, (struct table_job){.t = t,
						.x = x,
						.table = table,
						.g_y = g_y,
						.g_x = g_x,
						.g_table = g_table,
						.d = d,
						.add = add_x,
						.add_table = add_table});
	else if (g_x)
		table_sum(k, t, g_y, table, g_x, d, add_x);
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
		j->g_dist[e] += (real)sum;
	}
}

static void table_slope(const struct kernels *k, const struct k_table *t, const real *x, const real *table,
			const real *g_y, real *g_dist, int64_t d)
{
	struct table_job j = {
	    .t = t, .x = x, .table = table, .g_y = g_y, .g_dist = g_dist, .d = d, .rows = cpu_rows_of(4 * d)};
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
K_INLINE void gather_strip(const struct feature_job *j, const real *x, int64_t v, int64_t c, const int n, cpu_wide *z)
{
	const int64_t from = j->c->start[v], to = j->c->start[v + 1];
	for (int q = 0; q < n; q++)
		z[q] = (cpu_wide){0};
	for (int64_t i = from; i < to; i++) {
		const int64_t e = j->c->item[i];
		const real *f = j->f + e * n;
		const cpu_wide row = CPU_STRIP(x + j->other[e] * j->d + c);
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

K_INLINE void feature_sum_row(const struct feature_job *j, int64_t v, const int n)
{
	real *y = j->y + v * j->d;
	int64_t c = 0;
	for (; c + CPU_WIDE <= j->d; c += CPU_WIDE) {
		cpu_wide z[MAX_FEATURE], sum = {0};
		gather_strip(j, j->x, v, c, n, z);
#pragma GCC unroll 16
		for (int q = 0; q < n; q++)
			sum += z[q] * CPU_STRIP(j->w + q * j->d + c);
		if (j->add)
			sum += CPU_STRIP(y + c);
		CPU_STRIP(y + c) = sum;
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
K_INLINE void feature_back_strip(const struct feature_job *j, int64_t from, int64_t to, int64_t c, real *part,
				 const int n)
{
	cpu_wide share[MAX_FEATURE];
	for (int q = 0; q < n; q++)
		share[q] = (cpu_wide){0};
	for (int64_t v = from; v < to; v++) {
		cpu_wide z[MAX_FEATURE], sum = {0};
		const cpu_wide row = CPU_STRIP(j->x + v * j->d + c);
		gather_strip(j, j->g_y, v, c, n, z);
#pragma GCC unroll 16
		for (int q = 0; q < n; q++) {
			sum += z[q] * CPU_STRIP(j->w + q * j->d + c);
			share[q] += z[q] * row;
		}
		if (j->g_x)
			CPU_STRIP(j->g_x + v * j->d + c) += sum;
	}
	for (int q = 0; q < n; q++)
		CPU_STRIP(part + q * j->d + c) = share[q];
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
	for (; c + CPU_WIDE <= j->d; c += CPU_WIDE)
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
