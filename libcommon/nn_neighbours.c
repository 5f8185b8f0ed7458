/* nn_neighbours.c - nearest neighbours: of vectors by the kernels, of fingerprints by counting bits. */
#include "nn_neighbours.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 32 /* rows that stay in cache while all others pass by */

const char *const nn_distance_names[] = {"l2", "cosine", "tanimoto", NULL};

/* From rows of the k - 1 nearest others, each row with itself before them: in place, from the end. */
static void put_rows(int64_t n, int64_t k, bool root, int64_t *idx, double *dist)
{
	for (int64_t i = n - 1; i >= 0; i--) {
		for (int64_t j = k - 1; j > 0; j--) {
			double q = dist[i * (k - 1) + j - 1];
			idx[i * k + j] = idx[i * (k - 1) + j - 1];
			dist[i * k + j] = root ? sqrt(q) : q;
		}
		idx[i * k] = i;
		dist[i * k] = 0;
	}
}

static void of_vectors(const struct kernels *kernels, const real *x, int64_t n, int64_t d, bool cosine, int64_t k,
		       int64_t *idx, double *dist, double *mean)
{
	/* A search that a signal ends leaves the rest as it was. */
	memset(idx, 0, (size_t)(n * k) * sizeof *idx);
	memset(dist, 0, (size_t)(n * k) * sizeof *dist);
	kernels->nearest(kernels, x, n, d, cosine, k - 1, idx, dist, mean);
	put_rows(n, k, !cosine, idx, dist);
}

/* ---- fingerprints ----------------------------------------------------------- */

struct search {
	const uint8_t *bits;
	int64_t n, d, k;
	const double *count; /* [n]: bits of a row */
	int64_t *idx;
	double *dist, *mean;
};

/* The processor's own instruction where it has one, chosen when the program starts. */
UTIL_CLONES("default", "popcnt") int64_t nn_bits_shared(const uint8_t *a, const uint8_t *b, int64_t d)
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

/* The least distance that rows with as many bits can have: the fewer bits all within the more. */
static bool too_far(const struct search *s, int64_t i, int64_t j, double worst)
{
	double a = s->count[i], b = s->count[j];
	return !s->mean && !(tanimoto_distance(fmin(a, b), fmax(a, b)) < worst);
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
			double both = (double)nn_bits_shared(s->bits + i * s->d, s->bits + j * s->d, s->d);
			double r = tanimoto_distance(both, s->count[i] + s->count[j] - both);
			if (s->mean)
				sum[i - from] += r;
			if (s->k > 1)
				have[i - from] =
				    insert(s->dist + i * s->k, s->idx + i * s->k, have[i - from], s->k, r, j);
		}
	for (int64_t i = from; i < to && s->mean; i++)
		s->mean[i] = sum[i - from] / (double)s->n;
}

static void of_fingerprints(struct pool *pool, const uint8_t *bits, int64_t n, int64_t d, int64_t k, int64_t *idx,
			    double *dist, double *mean)
{
	double *count = malloc((size_t)(n ? n : 1) * sizeof *count);
	if (!count)
		abort();
	for (int64_t i = 0; i < n; i++)
		count[i] = (double)nn_bits_shared(bits + i * d, bits + i * d, d);
	struct search s = {bits, n, d, k, count, idx, dist, mean};
	int64_t n_chunk = (n + BLOCK - 1) / BLOCK;
	if (pool)
		pool_run(pool, n_chunk, block_search, &s);
	else
		for (int64_t c = 0; c < n_chunk; c++)
			block_search(&s, c, 0);
	free(count);
}

void nn_neighbours(const struct kernels *kernels, const void *x, int64_t n, int64_t d, enum nn_distance metric,
		   int64_t k, int64_t *idx, double *dist, double *mean)
{
	if (metric == NN_TANIMOTO)
		of_fingerprints(kernels->pool, x, n, d, k, idx, dist, mean);
	else
		of_vectors(kernels, x, n, d, metric == NN_COSINE, k, idx, dist, mean);
}
