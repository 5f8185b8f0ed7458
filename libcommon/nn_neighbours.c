/* Exact nearest neighbours by blocks of rows. */
#include "nn_neighbours.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 32 /* rows that stay in cache while all others pass by */
#define LANES 8

/* Versions of a loop for wider registers, chosen at start; the order of sums is fixed, so all give the same bytes. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(MOLRILL_SAN)
#define SIMD __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4"), optimize("O3")))
#else
#define SIMD
#endif

const char *const nn_distance_names[] = {"l2", "cosine", "tanimoto", NULL};

struct search {
	const float *x;
	const uint8_t *bits;
	int64_t n, d, k;
	enum nn_distance metric;
	const double *norm; /* [n]: length of a row (cosine), number of its bits (tanimoto) */
	int64_t *idx;
	double *dist, *mean;
};

/* Eight partial sums: the order of additions is fixed, and the compiler can use vectors without changing it. */
SIMD static double squared_distance(const float *a, const float *b, int64_t d)
{
	double s[LANES] = {0};
	int64_t i = 0;
	for (; i + LANES <= d; i += LANES)
		for (int l = 0; l < LANES; l++) {
			double v = (double)a[i + l] - (double)b[i + l];
			s[l] += v * v;
		}
	for (; i < d; i++) {
		double v = (double)a[i] - (double)b[i];
		s[0] += v * v;
	}
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

SIMD static double dot(const float *a, const float *b, int64_t d)
{
	double s[LANES] = {0};
	int64_t i = 0;
	for (; i + LANES <= d; i += LANES)
		for (int l = 0; l < LANES; l++)
			s[l] += (double)a[i + l] * (double)b[i + l];
	for (; i < d; i++)
		s[0] += (double)a[i] * (double)b[i];
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

SIMD static int64_t bits_shared(const uint8_t *a, const uint8_t *b, int64_t d)
{
	int64_t both = 0, i = 0;
	for (; i + 8 <= d; i += 8) {
		uint64_t u, v;
		memcpy(&u, a + i, 8);
		memcpy(&v, b + i, 8);
		both += __builtin_popcountll(u & v);
	}
	for (; i < d; i++)
		both += __builtin_popcount(a[i] & b[i]);
	return both;
}

static double tanimoto_distance(double both, double any)
{
	return any > 0 ? 1 - both / any : 0;
}

/* What the order is by: for l2 the square, which needs no root. */
static double rank_of(const struct search *s, int64_t i, int64_t j)
{
	if (s->metric == NN_L2)
		return squared_distance(s->x + i * s->d, s->x + j * s->d, s->d);
	if (s->metric == NN_COSINE)
		return 1 - dot(s->x + i * s->d, s->x + j * s->d, s->d) / (s->norm[i] * s->norm[j]);
	double both = (double)bits_shared(s->bits + i * s->d, s->bits + j * s->d, s->d);
	return tanimoto_distance(both, s->norm[i] + s->norm[j] - both);
}

/* The least distance that rows with as many bits can have: the fewer bits all within the more. */
static bool too_far(const struct search *s, int64_t i, int64_t j, double worst)
{
	if (s->metric != NN_TANIMOTO || s->mean)
		return false;
	double a = s->norm[i], b = s->norm[j];
	return !(tanimoto_distance(fmin(a, b), fmax(a, b)) < worst);
}

/* Puts (rank, j) among the `have` sorted entries of row i after the first, itself. j ascends, so equal ranks stay. */
static int64_t insert(double *rank, int64_t *idx, int64_t have, int64_t k, double r, int64_t j)
{
	int64_t at = have < k ? have : k - 1;
	if (have == k && !(r < rank[k - 1]))
		return have;
	for (; at > 1 && r < rank[at - 1]; at--) {
		rank[at] = rank[at - 1];
		idx[at] = idx[at - 1];
	}
	rank[at] = r;
	idx[at] = j;
	return have < k ? have + 1 : k;
}

static void block_search(void *ctx, int64_t chunk, int thread)
{
	const struct search *s = ctx;
	if (io_stop_signal())
		return;
	int64_t from = chunk * BLOCK, to = from + BLOCK < s->n ? from + BLOCK : s->n, have[BLOCK];
	double sum[BLOCK] = {0};
	for (int64_t i = from; i < to; i++) {
		have[i - from] = 1;
		s->idx[i * s->k] = i;
		s->dist[i * s->k] = 0;
	}
	for (int64_t j = 0; j < s->n; j++)
		for (int64_t i = from; i < to; i++) {
			bool full = have[i - from] == s->k;
			if (i == j || (full && s->k > 1 && too_far(s, i, j, s->dist[i * s->k + s->k - 1])))
				continue;
			double r = rank_of(s, i, j);
			if (s->mean)
				sum[i - from] += s->metric == NN_L2 ? sqrt(r) : r;
			if (s->k > 1)
				have[i - from] =
				    insert(s->dist + i * s->k, s->idx + i * s->k, have[i - from], s->k, r, j);
		}
	for (int64_t i = from; i < to; i++) {
		for (int64_t k = 0; k < s->k && s->metric == NN_L2; k++)
			s->dist[i * s->k + k] = sqrt(s->dist[i * s->k + k]);
		if (s->mean)
			s->mean[i] = sum[i - from] / (double)s->n;
	}
}

void nn_neighbours(const void *x, int64_t n, int64_t d, enum nn_distance metric, int64_t k, struct pool *pool,
		   int64_t *idx, double *dist, double *mean)
{
	struct search s = {x, x, n, d, k, metric, NULL, idx, dist, mean};
	double *norm = malloc((size_t)(n ? n : 1) * sizeof *norm);
	if (!norm)
		abort(); /* as the arena does */
	for (int64_t i = 0; i < n && metric == NN_COSINE; i++)
		norm[i] = fmax(sqrt(dot(s.x + i * d, s.x + i * d, d)), 1e-12);
	for (int64_t i = 0; i < n && metric == NN_TANIMOTO; i++)
		norm[i] = (double)bits_shared(s.bits + i * d, s.bits + i * d, d);
	s.norm = norm;
	int64_t n_chunk = (n + BLOCK - 1) / BLOCK;
	if (pool)
		pool_run(pool, n_chunk, block_search, &s);
	else
		for (int64_t c = 0; c < n_chunk; c++)
			block_search(&s, c, 0);
	free(norm);
}
