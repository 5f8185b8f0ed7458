/* Neighbours against a sort of all distances; the split's rules on small cases. */
#include "nn_loss.h"
#include "nn_neighbours.h"
#include "nn_split.h"
#include "tap.h"

#include <signal.h>
#include <stdlib.h>

struct pair {
	double dist;
	int64_t index;
};
static int pair_compare(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	if (x->dist != y->dist)
		return x->dist < y->dist ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

static double distance(enum nn_distance m, const real *a, const real *b, int64_t d)
{
	double s = 0, aa = 0, bb = 0, ab = 0;
	for (int64_t i = 0; i < d; i++) {
		s += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
		aa += (double)a[i] * (double)a[i];
		bb += (double)b[i] * (double)b[i];
		ab += (double)a[i] * (double)b[i];
	}
	return m == NN_L2 ? sqrt(s) : 1 - ab / (fmax(sqrt(aa), 1e-12) * fmax(sqrt(bb), 1e-12));
}

/* Multiples of 1/4: distances tie often, and their squares are exact. */
static void test_search(const struct kernels *k, enum nn_distance metric, int64_t kk)
{
	enum { N = 101, D = 11 };
	real x[N * D];
	int64_t idx[N * N];
	double dist[N * N], mean[N];
	struct pair p[N];
	struct rng rng;
	bool good = true, mutant = true;
	rng_init(&rng, 3, 0);
	for (int i = 0; i < N * D; i++)
		x[i] = (real)rng_below(&rng, 5) / 4;
	nn_neighbours(k, x, N, D, metric, kk, idx, dist, mean);
	for (int64_t i = 0; i < N; i++) {
		double sum = 0;
		for (int64_t j = 0; j < N; j++) {
			p[j] = (struct pair){i == j ? -1 : distance(metric, x + i * D, x + j * D, D), j};
			sum += i == j ? 0 : p[j].dist;
		}
		qsort(p, N, sizeof *p, pair_compare);
		good &= fabs(mean[i] - sum / N) <= 1e-12;
		for (int64_t j = 0; j < kk; j++) {
			good &= metric == NN_COSINE || idx[i * kk + j] == p[j].index;
			good &= fabs(dist[i * kk + j] - (j ? p[j].dist : 0)) <= 1e-12;
			mutant &= idx[i * kk + j] == p[kk - 1 - j].index;
		}
	}
	tap_ok(good, "%s, k = %d: as a sort says, mean distance too", nn_distance_names[metric], (int)kk);
	if (kk > 1)
		tap_ok(!mutant, "mutant: the reverse order is told apart");
}

/* ---- by products of blocks: the same bytes as by every distance ---------------------------- */

enum { N_ROW = 1100, N_COLUMN = 37, N_NEAR = 9 };
enum kind { NORMAL, FAR, ALIKE, TINY, BROKEN, N_KIND };
static const char *const kind_names[] = {"normal numbers", "rows far from the origin", "many rows at one place",
					 "numbers near the smallest", "rows that are no numbers"};

static void rows_draw(real *x, enum kind kind)
{
	struct rng rng;
	rng_init(&rng, 7, kind);
	for (int i = 0; i < N_ROW * N_COLUMN; i++)
		x[i] = (real)rng_normal(&rng) * (kind == TINY ? (real)1e-21 : 1) + (kind == FAR ? 3000 : 0);
	for (int i = 0; i < N_ROW; i++) {
		if (kind == ALIKE)
			memcpy(x + i * N_COLUMN, x + i % 5 * N_COLUMN, N_COLUMN * sizeof *x);
		if (kind == BROKEN && i % 50 == 3)
			x[i * N_COLUMN] = i % 100 == 3 ? (real)NAN : (real)INFINITY;
		if (kind == NORMAL && i % 90 == 0)
			memset(x + i * N_COLUMN, 0, N_COLUMN * sizeof *x);
	}
}

struct found {
	int64_t idx[N_ROW * N_NEAR];
	double dist[N_ROW * N_NEAR];
};

static bool found_same(const struct found *a, const struct found *b)
{
	return !memcmp(a->idx, b->idx, sizeof a->idx) && !memcmp(a->dist, b->dist, sizeof a->dist);
}

/* What single precision alone finds: the bound on its errors is not idle. */
static bool float_is_wrong(const real *x, const struct found *want)
{
	for (int64_t i = 0; i < N_ROW; i++)
		for (int64_t j = 0; j < N_ROW; j++) {
			float ii = 0, jj = 0, ij = 0;
			for (int c = 0; c < N_COLUMN; c++) {
				ii += (float)x[i * N_COLUMN + c] * (float)x[i * N_COLUMN + c];
				jj += (float)x[j * N_COLUMN + c] * (float)x[j * N_COLUMN + c];
				ij += (float)x[i * N_COLUMN + c] * (float)x[j * N_COLUMN + c];
			}
			double last = want->dist[i * N_NEAR + N_NEAR - 1];
			bool listed = false;
			for (int k = 0; k < N_NEAR; k++)
				listed |= want->idx[i * N_NEAR + k] == j;
			if (!listed && (double)(ii + jj - 2 * ij) < last * last)
				return true;
		}
	return false;
}

static void test_fast(const struct kernels *k, const struct kernels *pools, int n_pool)
{
	struct kernels plain = *k;
	struct found *want = calloc(1, sizeof *want), *got = calloc(1, sizeof *got);
	real *x = malloc(N_ROW * N_COLUMN * sizeof *x);
	plain.plain = true;
	for (int kind = 0; kind < N_KIND; kind++)
		for (int metric = NN_L2; metric <= NN_COSINE; metric++) {
			bool same = true;
			rows_draw(x, kind);
			nn_neighbours(&plain, x, N_ROW, N_COLUMN, metric, N_NEAR, want->idx, want->dist, NULL);
			for (int p = -1; p < n_pool; p++) {
				nn_neighbours(p < 0 ? k : &pools[p], x, N_ROW, N_COLUMN, metric, N_NEAR, got->idx,
					      got->dist, NULL);
				same &= found_same(got, want);
			}
			tap_ok(same, "%s, %s: as by every distance, for 1, 2, 3 and 8 threads",
			       nn_distance_names[metric], kind_names[kind]);
			if (kind == FAR && metric == NN_L2)
				tap_ok(float_is_wrong(x, want), "mutant: products in float alone would find others");
		}
	free(want);
	free(got);
	free(x);
}

static void test_tanimoto(const struct kernels *kernels)
{
	static const uint8_t bits[4][9] = {{1}, {3}, {0, 0, 0, 0, 0, 0, 0, 0, 7}, {0}};
	int64_t idx[8];
	double dist[8];
	nn_neighbours(kernels, bits, 4, 9, NN_TANIMOTO, 2, idx, dist, NULL);
	tap_ok(idx[1] == 1 && dist[1] == 0.5, "one bit of two shared");
	tap_ok(idx[5] == 0 && dist[5] == 1, "nothing shared: the lowest index");
	tap_ok(idx[7] == 0 && dist[7] == 1, "an empty row is far from others");
}

/* Many rows of bits, against a sort; with k rows kept and with all, where nothing can be skipped. */
static void test_bits(const struct kernels *kernels, int64_t k, bool with_mean)
{
	enum { N = 150, D = 17 };
	uint8_t x[N * D] = {0};
	int64_t idx[N * N];
	double dist[N * N], mean[N];
	struct pair p[N];
	struct rng rng;
	bool good = true;
	rng_init(&rng, 5, 0);
	for (int i = 0; i < N; i++)
		for (uint32_t n = rng_below(&rng, 40); n; n--) {
			uint32_t bit = rng_below(&rng, 8 * D / (1 + (uint32_t)i % 3));
			x[i * D + (int)bit / 8] |= (uint8_t)(1 << bit % 8);
		}
	nn_neighbours(kernels, x, N, D, NN_TANIMOTO, k, idx, dist, with_mean ? mean : NULL);
	for (int64_t i = 0; i < N; i++) {
		for (int64_t j = 0; j < N; j++) {
			int both = 0, any = 0;
			for (int b = 0; b < D; b++) {
				both += __builtin_popcount(x[i * D + b] & x[j * D + b]);
				any += __builtin_popcount(x[i * D + b] | x[j * D + b]);
			}
			p[j] = (struct pair){i == j ? -1 : any ? 1 - (double)both / any : 0, j};
		}
		qsort(p, N, sizeof *p, pair_compare);
		for (int64_t j = 0; j < k; j++)
			good &= idx[i * k + j] == p[j].index && dist[i * k + j] == (j ? p[j].dist : 0);
	}
	tap_ok(good, "tanimoto, k = %d: as a sort says", (int)k);
}

/* Distances of the first to all: 0, 1/2, 1, with a mean of 1/2. */
static void test_soft_fingerprints(void)
{
	static const uint8_t fp[3 * 256] = {[0] = 1, [256] = 3, [512] = 8};
	struct arena *a = arena_new(0);
	const struct nn_hyper hard = nn_hyper_fp(fp, 3, 3, false, a), soft = nn_hyper_fp(fp, 3, 3, true, a);
	bool right = true;
	for (int j = 0; j < 3; j++)
		right = right && soft.node[j] == j && hard.node[j] == j && hard.value[j] == 1 &&
			fabs((double)soft.value[j] - exp(-j * j)) < 1e-7;
	tap_ok(right, "soft incidence of fingerprints falls with the distance as that of vectors does");
	arena_free(a);
}

static void test_split(void)
{
	/* sizes 3 (first 1), 2 (first 5), 2 (first 0), 1 (first 7), 1 (8), 1 (9): in the order 3, 5.., 0.., 9, 8, 7 */
	static const int64_t group[10] = {0, 1, 1, 1, 0, 2, 2, 3, 4, 5};
	static const double usual[3] = {0.8, 0.1, 0.1}, half[3] = {0.5, 0.3, 0.2};
	static const uint8_t want[10] = {0, 0, 0, 0, 0, 0, 0, NN_TEST, NN_VALID, 0};
	uint8_t part[10], again[1000], other[1000];
	nn_split_groups(group, 10, 6, usual, part);
	tap_ok(!memcmp(part, want, 10), "groups whole, largest first, later first index first");
	nn_split_groups(group, 10, 6, half, part);
	tap_ok(part[1] == NN_TRAIN && part[5] == NN_TRAIN && part[0] == NN_VALID, "fractions bound the parts");
	nn_split_random(1000, 1, usual, again);
	nn_split_random(1000, 2, usual, other);
	int n[NN_PARTS] = {0};
	for (int i = 0; i < 1000; i++)
		n[again[i]]++;
	tap_ok(n[0] == 800 && n[1] == 100 && n[2] == 100, "a random split has the sizes asked for");
	tap_ok(memcmp(again, other, 1000) != 0, "mutant: another seed is another split");
	struct nn_names t = {0};
	char name[16];
	bool good = true;
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof name, "%d", i % 2500);
		good &= nn_names_add(&t, name) == i % 2500;
	}
	tap_ok(good && t.n == 2500 && nn_names_find(&t, "2499") == 2499 && nn_names_find(&t, "x") == -1,
	       "names keep their numbers");
	nn_names_free(&t);
}

/* Training finishes the step at hand after a signal, and saves it: its hyperedges must be whole. */
static void test_signal(const struct kernels *k)
{
	enum { N = 150, D = 5, K = 6 };
	static real x[N * D];
	static struct {
		int64_t idx[N * K];
		double dist[N * K];
	} before, after;
	struct kernels hasty = *k;
	struct rng r;
	rng_init(&r, 4, 0);
	for (int i = 0; i < N * D; i++)
		x[i] = (real)rng_normal(&r);
	nn_neighbours(k, x, N, D, NN_L2, K, before.idx, before.dist, NULL);
	io_catch_signals();
	raise(SIGTERM);
	tap_ok(io_stop_signal() == SIGTERM, "a signal asks to stop");
	nn_neighbours(k, x, N, D, NN_L2, K, after.idx, after.dist, NULL);
	tap_ok(!memcmp(&before, &after, sizeof before), "and the neighbours are the same");
	hasty.leaves_off = true;
	nn_neighbours(&hasty, x, N, D, NN_L2, K, after.idx, after.dist, NULL);
	tap_ok(memcmp(&before, &after, sizeof before), "kernels that leave off leave off");
}

int main(void)
{
	static const int n_thread[] = {1, 2, 3, 8};
	struct kernels kernels[4];
	struct pool *pool[4];
	struct err e;
	for (int i = 0; i < 4; i++) {
		pool[i] = i ? pool_new(n_thread[i]) : NULL;
		if (kernels_open(&kernels[i], KERNELS_CPU, pool[i], &e))
			return 1;
	}
	test_search(&kernels[0], NN_L2, 7);
	test_search(&kernels[1], NN_L2, 101);
	test_search(&kernels[1], NN_L2, 1);
	test_search(&kernels[1], NN_COSINE, 9);
	test_fast(&kernels[0], kernels + 1, 3);
	test_tanimoto(&kernels[0]);
	test_bits(&kernels[0], 6, false);
	test_bits(&kernels[2], 6, true);
	test_bits(&kernels[0], 150, false);
	test_soft_fingerprints();
	test_split();
	test_signal(&kernels[0]);
	for (int i = 0; i < 4; i++) {
		kernels_close(&kernels[i]);
		pool_free(pool[i]);
	}
	return tap_done();
}
