/* cpu_table.c - sums over pairs of atoms whose filters come from a table, on the CPU. */
#include "cpu.h"
#include "cpu_math.h"

#include <string.h>

static void zero(real *y, int64_t n)
{
	memset(y, 0, (size_t)n * sizeof *y);
}

enum { STRIPS = 2, BLOCK = STRIPS * CPU_WIDE }; /* columns of a chunk */

struct table_job {
	const struct k_table *t;
	const real *x, *table, *g_y;
	real *y, *g_x, *g_table;
	int64_t d, run_atoms;
	bool add, add_table;
	const struct kernels *k;
};

/*
 * What a chunk works on: its columns of the finer rows, of their gradient, and of what a run's atoms have. Copies of
 * BLOCK columns each, the last ones filled up with zeros: the first cache holds them, but few lines of rows that lie
 * far apart.
 */
struct block {
	real *rows, *g_rows, *x, *g_y, *sum;
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

enum { EDGE = K_FINER * (K_WINDOW - 1) }; /* rows of zeros before and after those of a gradient: no node lacks any */

K_INLINE void window_of(const struct k_table *t, cpu_wide (*w)[K_WINDOW])
{
	for (int i = 0; i < K_FINER - 1; i++)
		for (int r = 0; r < K_WINDOW; r++)
			w[i][r] = (cpu_wide){0} + t->window[i][r];
}

/* The finer rows of nodes, which become those that count. */
K_SIMD static void block_rows(const struct k_table *t, real *restrict node, real *restrict row)
{
	cpu_wide w[K_FINER - 1][K_WINDOW];
	window_of(t, w);
	for (int64_t v = 0; v < t->n_node; v++)
		for (int l = 0; l < BLOCK; l += CPU_WIDE)
			CPU_STRIP(node + v * BLOCK + l) *= t->fade[v];
	for (int l = 0; l < BLOCK; l += CPU_WIDE, node += CPU_WIDE, row += CPU_WIDE)
		for (int64_t k = 0; k < t->n_node - K_WINDOW + 1; k++) {
			cpu_wide sum[K_FINER - 1] = {0};
#pragma GCC unroll 16
			for (int r = 0; r < K_WINDOW; r++) {
				const cpu_wide x = CPU_STRIP(node + (k + r) * BLOCK);
				for (int i = 0; i < K_FINER - 1; i++)
					sum[i] += w[i][r] * x;
			}
			CPU_STRIP(row + K_FINER * k * BLOCK) = CPU_STRIP(node + (k + K_REACH) * BLOCK);
			for (int i = 0; i < K_FINER - 1; i++)
				CPU_STRIP(row + (K_FINER * k + i + 1) * BLOCK) = sum[i];
		}
}

/* The nodes' gradient from that of the rows. */
K_SIMD static void block_nodes(const struct k_table *t, const real *restrict row, real *restrict node)
{
	cpu_wide w[K_FINER - 1][K_WINDOW];
	window_of(t, w);
	for (int l = 0; l < BLOCK; l += CPU_WIDE, node += CPU_WIDE, row += CPU_WIDE)
		for (int64_t v = 0; v < t->n_node; v++) {
			cpu_wide sum[K_FINER - 1] = {CPU_STRIP(row + K_FINER * (v - K_REACH) * BLOCK)};
#pragma GCC unroll 16
			for (int r = 0; r < K_WINDOW; r++)
				for (int i = 0; i < K_FINER - 1; i++)
					sum[i] += w[i][r] * CPU_STRIP(row + (K_FINER * (v - r) + i + 1) * BLOCK);
			for (int i = 1; i < K_FINER - 1; i++)
				sum[0] += sum[i];
			CPU_STRIP(node + v * BLOCK) = sum[0] * t->fade[v];
		}
}

/* The gradient of three rows, the first of which is row `at`, to the first row `to`: what is passed is done with. */
K_INLINE void pass_rows(real *g_rows, cpu_wide (*g)[STRIPS], int64_t at, int64_t to)
{
	for (real *row = g_rows + at * BLOCK, *end = g_rows + to * BLOCK; row < end; row += BLOCK)
#pragma GCC unroll 4
		for (int i = 0; i < STRIPS; i++) {
			CPU_STRIP(row + i * CPU_WIDE) += g[0][i];
			g[0][i] = g[1][i];
			g[1][i] = g[2][i];
			g[2][i] = (cpu_wide){0};
		}
}

/*
 * Of the pairs of a run: the sum of x, or, with `back`, of g_y, which with x gives the rows' gradient. A filter is made
 * once and serves both directions.
 */
K_INLINE void block_pairs(const struct k_table *t, const struct block *k, int64_t run, const bool back)
{
	const int64_t from = t->run[run], to = t->run[run + 1];
	const real *x = k->x, *g = back ? k->g_y : x; /* in registers, while all else is read again after each group */
	real *sum = k->sum;
	cpu_wide passed[3][STRIPS] = {0};
	int64_t at = from < to ? t->first[from] : 0, fetched = 0;
	for (int64_t q = from; q < to; q++) {
		const struct k_pair *p = t->pair + t->group[q], *end = t->pair + t->group[q + 1];
		const real *row = k->rows + t->first[q] * BLOCK;
		for (int i = 0; i < 2 && fetched < k->n_next; i++)
			fetch_row(k, fetched++, back ? 3 : 2);
		if (back)
			pass_rows(k->g_rows, passed, at, t->first[q]);
		at = t->first[q];
		cpu_wide f[4][STRIPS], s[4][STRIPS] = {0};
#pragma GCC unroll 4
		for (int i = 0; i < STRIPS; i++, row += CPU_WIDE) {
			f[1][i] = CPU_STRIP(row + BLOCK);
			f[0][i] = CPU_STRIP(row) - f[1][i];
			f[2][i] = CPU_STRIP(row + 2 * BLOCK) - f[1][i];
			f[3][i] = CPU_STRIP(row + 3 * BLOCK) - f[1][i];
		}
		for (; p < end; p++) {
			const real w0 = p->w[0], w2 = p->w[1], w3 = p->w[2];
			const size_t a = (size_t)p->a * BLOCK, b = (size_t)p->b * BLOCK;
#pragma GCC unroll 4
			for (int i = 0; i < STRIPS; i++) {
				const int c = i * CPU_WIDE;
				const cpu_wide filter = (f[1][i] + f[0][i] * w0) + (f[2][i] * w2 + f[3][i] * w3);
				const cpu_wide ga = CPU_STRIP(g + a + c), gb = CPU_STRIP(g + b + c);
				CPU_STRIP(sum + a + c) += gb * filter;
				CPU_STRIP(sum + b + c) += ga * filter;
				if (!back)
					continue;
				const cpu_wide u = ga * CPU_STRIP(x + b + c) + gb * CPU_STRIP(x + a + c);
				s[0][i] += u * w0;
				s[1][i] += u;
				s[2][i] += u * w2;
				s[3][i] += u * w3;
			}
		}
		if (!back)
			continue;
#pragma GCC unroll 4
		for (int i = 0; i < STRIPS; i++) { /* one row is passed at least, the next group's first is another */
			CPU_STRIP(k->g_rows + at * BLOCK + i * CPU_WIDE) += passed[0][i] + s[0][i];
			passed[0][i] = passed[1][i] + (s[1][i] - ((s[0][i] + s[2][i]) + s[3][i]));
			passed[1][i] = passed[2][i] + s[2][i];
			passed[2][i] = s[3][i];
		}
		at++;
	}
	if (back && from < to)
		pass_rows(k->g_rows, passed, at, at + 3);
}

K_SIMD static void block_sum(const struct k_table *t, const struct block *k, int64_t run)
{
	block_pairs(t, k, run, false);
}

K_SIMD static void block_back(const struct k_table *t, const struct block *k, int64_t run)
{
	block_pairs(t, k, run, true);
}

static void table_chunk(void *ctx, int64_t chunk, int thread)
{
	const struct table_job *j = ctx;
	const struct k_table *t = j->t;
	const int64_t c = chunk * BLOCK, d = j->d, nodes = t->n_node * BLOCK, rows = t->n_row * BLOCK;
	const int64_t atoms = j->run_atoms * BLOCK;
	const int64_t edge = EDGE * BLOCK;
	real *table = cpu_scratch(j->k, CPU_SLOT_THREAD + thread,
				  (size_t)(nodes + 2 * rows + 2 * edge + 3 * atoms) * sizeof *table);
	struct block b = {.rows = table + nodes};
	b.g_rows = b.rows + rows + edge;
	b.x = b.g_rows + rows + edge;
	b.g_y = b.x + atoms;
	b.sum = b.g_y + atoms;
	real *sum = j->g_y ? j->g_x : j->y; /* or NULL */
	take_columns(table, j->table, t->n_node, c, d);
	block_rows(t, table, b.rows);
	if (j->g_y)
		zero(b.g_rows - edge, rows + 2 * edge);
	for (int64_t r = 0; r < t->n_run; r++) {
		const int64_t n = t->atom[r + 1] - t->atom[r], first = t->atom[r] * d;
		look_ahead(j, r, c, &b);
		zero(b.sum, n * BLOCK);
		take_columns(b.x, j->x + first, n, c, d);
		if (j->g_y) {
			take_columns(b.g_y, j->g_y + first, n, c, d);
			block_back(t, &b, r);
		} else {
			block_sum(t, &b, r);
		}
		if (sum)
			give_columns(sum + first, b.sum, n, c, d, j->add);
	}
	if (!j->g_y)
		return;
	block_nodes(t, b.g_rows, table);
	give_columns(j->g_table, table, t->n_node, c, d, j->add_table);
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

/* Of the finer rows y. */
static void rows_chunk(void *ctx, int64_t chunk, int thread)
{
	const struct table_job *j = ctx;
	const int64_t c = chunk * BLOCK, nodes = j->t->n_node * BLOCK, rows = j->t->n_row * BLOCK;
	real *table = cpu_scratch(j->k, CPU_SLOT_THREAD + thread, (size_t)(nodes + rows) * sizeof *table);
	take_columns(table, j->table, j->t->n_node, c, j->d);
	block_rows(j->t, table, table + nodes);
	give_columns(j->y, table + nodes, j->t->n_row, c, j->d, false);
}

struct slope_job {
	const struct k_table *t;
	const real *x, *rows, *g_y;
	real *g_dist;
	int64_t d;
};

static void slope_run(void *ctx, int64_t run, int thread)
{
	(void)thread;
	const struct slope_job *j = ctx;
	const struct k_table *t = j->t;
	const int64_t d = j->d, *group = t->group;
	const real *x = j->x + t->atom[run] * d, *g_y = j->g_y + t->atom[run] * d;
	for (int64_t q = t->run[run]; q < t->run[run + 1]; q++)
		for (int64_t e = group[q]; e < group[q + 1]; e++) {
			const real *f = j->rows + t->first[q] * d, *w = t->slope + 4 * e;
			const real *xa = x + t->pair[e].a * d, *xb = x + t->pair[e].b * d;
			const real *ga = g_y + t->pair[e].a * d, *gb = g_y + t->pair[e].b * d;
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
	real *rows = cpu_scratch(k, 0, (size_t)(t->n_row * d + 1) * sizeof *rows);
	struct table_job finer = {.t = t, .table = table, .y = rows, .d = d, .k = k};
	struct slope_job j = {.t = t, .x = x, .rows = rows, .g_y = g_y, .g_dist = g_dist, .d = d};
	cpu_run(k, cpu_n_chunk(d, BLOCK), rows_chunk, &finer);
	cpu_run(k, t->n_run, slope_run, &j);
}

void kernels_cpu_table(struct kernels *k)
{
	k->table_sum = table_sum;
	k->table_back = table_back;
	k->table_slope = table_slope;
}
