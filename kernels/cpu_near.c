/*
 * cpu_near.c - nearest rows on the CPU: products of blocks in float choose candidates, distances in double decide.
 *
 * A row's list holds a few more candidates than are asked for. What the products can be off by at most is known, so
 * that a list can be proved complete: every row outside it is too far. Where the proof fails (many rows at one
 * distance, numbers out of range) the row's distances are all computed. The result is exact, whatever the order of the
 * work.
 */
#include "cpu.h"
#include "cpu_math.h"

#include <string.h>

enum { SPARE = 6, GROUP = 64 }; /* GROUP divides a block */

struct job {
	const struct kernels *k;
	const real *x;
	real *y;    /* [n, d]: rows less their mean (l2), of unit length (cosine) */
	real *half; /* [n]: half their squared length; 0 for cosine. Score: y_i . y_j - half_i - half_j */
	real *score;
	int32_t *who;
	int32_t *held;
	const double *norm; /* [n]: lengths, of y (l2) or of x (cosine) */
	double longest;
	int64_t n, d, kk, n_list, block, n_block, round;
	bool cosine;
	int64_t *idx;
	double *key, *mean;
};

/* ---- exact keys, which are also the order: squared distance, or 1 - cosine ------------------------------------- */

K_SIMD static double squared_distance(const real *a, const real *b, int64_t d)
{
	double s[K_LANES] = {0};
	int64_t i = 0;
	for (; i + K_LANES <= d; i += K_LANES)
		for (int l = 0; l < K_LANES; l++) {
			double v = (double)a[i + l] - (double)b[i + l];
			s[l] += v * v;
		}
	for (; i < d; i++) {
		double v = (double)a[i] - (double)b[i];
		s[i % K_LANES] += v * v;
	}
	return k_lanes_sum(s);
}

K_SIMD static double dot(const real *a, const real *b, int64_t d)
{
	return k_dot(a, b, d);
}

/* What is no number is farther than all else. */
static double key_of(const struct job *j, int64_t a, int64_t b)
{
	const real *x = j->x + a * j->d, *y = j->x + b * j->d;
	double key = j->cosine ? 1 - dot(x, y, j->d) / (j->norm[a] * j->norm[b]) : squared_distance(x, y, j->d);
	return key == key ? key : HUGE_VAL;
}

static bool leaves_off(const struct job *j)
{
	return j->k->leaves_off && io_stop_signal();
}

/* Puts (key, index) among the sorted `have` of at most kk. */
static int64_t key_insert(double *key, int64_t *idx, int64_t have, int64_t kk, double r, int64_t at)
{
	int64_t p = have < kk ? have : kk - 1;
	if (!kk)
		return 0;
	if (have == kk && !(r < key[p] || (r == key[p] && at < idx[p])))
		return have;
	for (; p > 0 && (r < key[p - 1] || (r == key[p - 1] && at < idx[p - 1])); p--) {
		key[p] = key[p - 1];
		idx[p] = idx[p - 1];
	}
	key[p] = r;
	idx[p] = at;
	return have < kk ? have + 1 : kk;
}

/* ---- every key of some rows: the plain path, and what is left where proofs fail ---------------------------------- */

enum { SEARCH_ROWS = 32 }; /* stay in cache while all others pass by */

static void search_rows(const struct job *j, int64_t from, int64_t to)
{
	int64_t have[SEARCH_ROWS] = {0};
	double sum[SEARCH_ROWS] = {0};
	for (int64_t o = 0; o < j->n; o++)
		for (int64_t i = from; i < to; i++) {
			if (o == i)
				continue;
			double key = key_of(j, i, o);
			sum[i - from] += j->cosine ? key : sqrt(key);
			have[i - from] =
			    key_insert(j->key + i * j->kk, j->idx + i * j->kk, have[i - from], j->kk, key, o);
		}
	for (int64_t i = from; i < to && j->mean; i++)
		j->mean[i] = sum[i - from] / (double)j->n;
}

static void search_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct job *j = ctx;
	if (!leaves_off(j))
		search_rows(j, chunk * SEARCH_ROWS, cpu_min(j->n, (chunk + 1) * SEARCH_ROWS));
}

/* ---- candidates -------------------------------------------------------------------------------------------------- */

static void list_insert(const struct job *j, int64_t row, int64_t other, real s)
{
	real *score = j->score + row * j->n_list;
	int32_t *who = j->who + row * j->n_list;
	int64_t p = j->held[row];
	if (p < j->n_list)
		j->held[row]++;
	else
		p--;
	for (; p > 0 && s > score[p - 1]; p--) {
		score[p] = score[p - 1];
		who[p] = who[p - 1];
	}
	score[p] = s;
	who[p] = (int32_t)other;
}

/* The score that the next candidate must pass. */
static real list_bar(const struct job *j, int64_t row)
{
	return j->held[row] < j->n_list ? -(real)HUGE_VALF : j->score[(row + 1) * j->n_list - 1];
}

/* Products to scores; whether any passes its row's bar or its column's. */
K_SIMD static int group_scan(real *c, const real *half, real row_half, real row_bar, const real *bar)
{
	int any = 0;
	for (int l = 0; l < GROUP; l++) {
		c[l] = (c[l] - row_half) - half[l];
		any |= (c[l] > row_bar) | (c[l] > bar[l]);
	}
	return any;
}

/* Rows from .. from + n against rows at .. at + m; within one block only the row's side counts. */
static void tile_search(const struct job *j, int64_t from, int64_t n, int64_t at, int64_t m, real *c)
{
	bool own = from == at;
	int64_t ld = j->block;
	real *bar = c + ld * ld, *half = bar + ld;
	cpu_gemm_serial(false, true, n, m, j->d, 1, j->y + from * j->d, j->d, j->y + at * j->d, j->d, 0, c, ld);
	for (int64_t o = 0; o < ld; o++) {
		bar[o] = o < m && !own ? list_bar(j, at + o) : (real)HUGE_VALF;
		half[o] = o < m ? j->half[at + o] : 0;
	}
	for (int64_t i = 0; i < n; i++, c += ld) {
		real row_bar = list_bar(j, from + i);
		for (int64_t o = m; o < ld; o++)
			c[o] = -(real)HUGE_VALF;
		if (own)
			c[i] = -(real)HUGE_VALF;
		for (int64_t g = 0; g < m; g += GROUP) {
			if (!group_scan(c + g, half + g, j->half[from + i], row_bar, bar + g))
				continue;
			for (int64_t o = g; o < g + GROUP; o++) {
				if (c[o] > row_bar) {
					list_insert(j, from + i, at + o, c[o]);
					row_bar = list_bar(j, from + i);
				}
				if (c[o] > bar[o]) {
					list_insert(j, at + o, from + i, c[o]);
					bar[o] = list_bar(j, at + o);
				}
			}
		}
	}
}

/*
 * Round 0: each block by itself. Round r: pairs of blocks, no block in two of them, as a tournament is arranged (one
 * stands still, the others turn).
 */
static void round_chunk(void *ctx, int64_t chunk, int thread)
{
	const struct job *j = ctx;
	int64_t a = chunk, b = chunk, even = j->n_block + j->n_block % 2, turn = even - 1;
	if (j->round) {
		a = chunk ? (j->round + chunk) % turn : turn;
		b = (j->round - chunk + turn) % turn;
	}
	if (a >= j->n_block || b >= j->n_block || leaves_off(j))
		return;
	if (a > b) {
		int64_t t = a;
		a = b;
		b = t;
	}
	real *c = cpu_scratch(j->k, 2 + thread, (size_t)(j->block * (j->block + 2)) * sizeof *c);
	tile_search(j, a * j->block, cpu_min(j->block, j->n - a * j->block), b * j->block,
		    cpu_min(j->block, j->n - b * j->block), c);
}

/* ---- proof ------------------------------------------------------------------------------------------------------- */

/* How far a score of row i can be off: rounding of d products and sums, of centring or scaling, of two differences, of
 * the exact key itself; and products below the smallest float. */
static double score_error(const struct job *j, int64_t i)
{
	const double u = sizeof(real) == sizeof(float) ? 0x1p-24 : 0x1p-53, d = (double)j->d;
	double reach = j->cosine ? 2 : j->norm[i] + j->longest;
	return reach * reach * (u * (0.26 * d + 8) + 0x1p-53 * (d + 8)) + d * 0x1p-140;
}

static void prove_row(const struct job *j, int64_t i)
{
	const real *score = j->score + i * j->n_list;
	const int32_t *who = j->who + i * j->n_list;
	const double off = score_error(j, i), unit = j->cosine ? 1 : 2, base = j->cosine ? 1 : 0;
	double *key = j->key + i * j->kk;
	int64_t *idx = j->idx + i * j->kk, have = 0, c = 0;
	bool all = j->held[i] == j->n - 1, complete;
	for (; c < j->held[i]; c++) {
		if (have == j->kk && base - unit * ((double)score[c] + off) > key[j->kk - 1])
			break;
		have = key_insert(key, idx, have, j->kk, key_of(j, i, who[c]), who[c]);
	}
	complete = have == j->kk && (all || c < j->held[i] ||
				     (c == j->n_list && base - unit * ((double)score[c - 1] + off) > key[j->kk - 1]));
	if (!complete)
		search_rows(j, i, i + 1);
}

enum { PROOF_ROWS = 64 };
static void prove_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct job *j = ctx;
	for (int64_t i = chunk * PROOF_ROWS, to = cpu_min(j->n, i + PROOF_ROWS); i < to && !leaves_off(j); i++)
		prove_row(j, i);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

K_SIMD static void row_minus(real *y, const real *x, const real *mean, int64_t d)
{
	for (int64_t c = 0; c < d; c++)
		y[c] = x[c] - mean[c];
}

K_SIMD static void row_times(real *y, const real *x, real s, int64_t d)
{
	for (int64_t c = 0; c < d; c++)
		y[c] = x[c] * s;
}

K_SIMD static void row_sum(double *sum, const real *x, int64_t d)
{
	for (int64_t c = 0; c < d; c++)
		sum[c] += (double)x[c];
}

/* Distances do not change when all rows move, and products of short rows have small errors. */
static void rows_centre(struct job *j, double *norm)
{
	double *sum = cpu_scratch(j->k, 1, (size_t)(2 * j->d + 1) * sizeof *sum);
	real *mean = (void *)(sum + j->d);
	memset(sum, 0, (size_t)j->d * sizeof *sum);
	for (int64_t i = 0; i < j->n; i++)
		row_sum(sum, j->x + i * j->d, j->d);
	for (int64_t c = 0; c < j->d; c++)
		mean[c] = (real)(sum[c] / (double)j->n);
	j->longest = 0;
	for (int64_t i = 0; i < j->n; i++) {
		real *y = j->y + i * j->d;
		row_minus(y, j->x + i * j->d, mean, j->d);
		double square = dot(y, y, j->d);
		norm[i] = sqrt(square);
		j->half[i] = (real)(square / 2);
		j->longest = norm[i] > j->longest ? norm[i] : j->longest;
	}
}

/* For cosine: lengths, and rows of unit length where y is given. */
static void rows_unit(struct job *j, double *norm)
{
	for (int64_t i = 0; i < j->n; i++) {
		const real *x = j->x + i * j->d;
		double length = sqrt(dot(x, x, j->d));
		norm[i] = length > 1e-12 ? length : 1e-12;
		if (!j->y)
			continue;
		row_times(j->y + i * j->d, x, (real)(1 / norm[i]), j->d);
		j->half[i] = 0;
	}
}

static void search_all(struct job *j)
{
	double *norm = cpu_scratch(j->k, 0, (size_t)(j->n + 1) * sizeof *norm);
	j->norm = norm;
	if (j->cosine)
		rows_unit(j, norm);
	cpu_run(j->k, cpu_n_chunk(j->n, SEARCH_ROWS), search_chunk, j);
}

static void nearest(const struct kernels *k, const real *x, int64_t n, int64_t d, bool cosine, int64_t kk, int64_t *idx,
		    double *key, double *mean)
{
	struct job j = {
	    .k = k, .x = x, .n = n, .d = d, .kk = kk, .cosine = cosine, .idx = idx, .key = key, .mean = mean};
	if (k->plain || mean || n < 2 || !kk) {
		search_all(&j);
		return;
	}
	j.n_list = cpu_min(kk + SPARE, n - 1);
	j.block = n <= 512 ? 64 : n <= 1024 ? 128 : 256; /* small: less of the other triangle; large: better products */
	j.n_block = cpu_n_chunk(n, j.block);
	size_t n_rows = (size_t)n, n_entry = n_rows * (size_t)j.n_list;
	char *memory = cpu_scratch(k, 0,
				   (n_rows * (size_t)d + n_rows + n_entry) * sizeof(real) + n_rows * sizeof(double) +
				       (n_entry + n_rows) * sizeof(int32_t));
	double *norm = (void *)memory;
	j.norm = norm;
	j.y = (void *)(norm + n);
	j.half = j.y + n * d;
	j.score = j.half + n;
	j.who = (void *)(j.score + n_entry);
	j.held = j.who + n_entry;
	memset(j.held, 0, n_rows * sizeof *j.held);
	(cosine ? rows_unit : rows_centre)(&j, norm);
	cpu_run(k, j.n_block, round_chunk, &j);
	int64_t even = j.n_block + j.n_block % 2;
	for (j.round = 1; j.round < even; j.round++)
		cpu_run(k, even / 2, round_chunk, &j);
	cpu_run(k, cpu_n_chunk(n, PROOF_ROWS), prove_chunk, &j);
}

void kernels_cpu_near(struct kernels *k)
{
	k->nearest = nearest;
}
