/* Approximate neighbours against exact ones: a stated share is found, distances are exact, small sets are found whole.
 */
#include "nn_approx.h"
#include "tap.h"

#include <stdlib.h>

enum { N = 3000, D = 24, K = 10, N_CLUSTER = 40 };

struct found {
	int64_t idx[N * K];
	double dist[N * K];
};

/* Rows around N_CLUSTER places: vectors, and bits that they decide. */
static void rows_draw(float *x, uint8_t *bits)
{
	struct rng r;
	float place[N_CLUSTER * D];
	rng_init(&r, 9, 0);
	for (int i = 0; i < N_CLUSTER * D; i++)
		place[i] = (float)rng_normal(&r);
	for (int i = 0; i < N; i++)
		for (int c = 0; c < D; c++) {
			float v = place[i % N_CLUSTER * D + c] + 0.4F * (float)rng_normal(&r);
			x[i * D + c] = v;
			bits[i * D + c] = (uint8_t)(v > 0.5F ? 0x11 << (int)(rng_u32(&r) % 2) : v > -0.5F ? 2 : 0);
		}
}

static void search(const struct kernels *k, enum nn_distance metric, const void *rows, int64_t n, int64_t n_near,
		   struct found *f, double *recall)
{
	struct nn_approx *a = NULL;
	struct err e = {0};
	size_t nbytes = metric == NN_TANIMOTO ? D : D * sizeof(float);
	int rc = nn_approx_new(&a, k, metric, D, &e);
	for (int64_t i = 0; i < n && !rc; i++)
		rc = nn_approx_add(a, (const char *)rows + (size_t)i * nbytes, 1, &e);
	if (rc || nn_approx_search(a, n_near, f->idx, f->dist, NULL, &e))
		printf("Bail out! %s\n", e.msg);
	else if (recall)
		*recall = nn_approx_recall(a, n_near, f->idx, f->dist, n);
	nn_approx_free(a);
}

/* Share of the neighbours of `want` that `got` holds. */
static double share(const struct found *got, const struct found *want)
{
	int64_t n = 0;
	for (int64_t i = 0; i < N; i++)
		for (int64_t c = 1; c < K; c++)
			n += got->idx[i * K + c] >= 0 && got->dist[i * K + c] <= want->dist[i * K + K - 1] + 1e-12;
	return (double)n / (N * (K - 1));
}

static void test_metric(const struct kernels *k, int n_kernels, enum nn_distance metric, const void *rows, double bound)
{
	struct found *want = calloc(1, sizeof *want), *got = calloc(1, sizeof *got),
		     *random = calloc(1, sizeof *random);
	const char *name = nn_distance_names[metric];
	double recall = NAN;
	struct rng r;
	bool same = true, exact = true;
	rng_init(&r, 4, 0);
	nn_neighbours(&k[0], rows, N, D, metric, K, want->idx, want->dist, NULL);
	search(&k[0], metric, rows, N, K, got, &recall);
	tap_ok(share(got, want) >= bound, "%s: %.4f of the neighbours are found (bound %.2f)", name, share(got, want),
	       bound);
	tap_near(recall, share(got, want), 1e-12, "its own recall says the same");
	for (int64_t i = 0; i < N; i++)
		for (int64_t c = 0; c < K; c++) {
			for (int64_t w = 0; w < K; w++)
				exact &= got->idx[i * K + c] != want->idx[i * K + w] ||
					 fabs(got->dist[i * K + c] - want->dist[i * K + w]) <= 1e-12;
			random->idx[i * K + c] = rng_below(&r, N);
		}
	tap_ok(exact, "%s: distances are exact", name);
	for (int64_t i = 0; i < N; i++) /* distances of a stranger's neighbours: what random ones would have at least */
		for (int64_t c = 1; c < K; c++) {
			const float *x = (const float *)rows + i * D,
				    *y = (const float *)rows + random->idx[i * K + c] * D;
			double s = 0;
			for (int d = 0; d < D && metric == NN_L2; d++)
				s += ((double)x[d] - (double)y[d]) * ((double)x[d] - (double)y[d]);
			random->dist[i * K + c] = sqrt(s);
		}
	if (metric == NN_L2)
		tap_ok(!(share(random, want) >= bound), "mutant: random neighbours are %.4f", share(random, want));
	for (int p = 1; p < n_kernels; p++) {
		search(&k[p], metric, rows, N, K, random, NULL);
		same &= !memcmp(random, got, sizeof *got);
	}
	tap_ok(same, "%s: the same bytes for 1, 2, 3 and 8 threads", name);
	nn_neighbours(&k[0], rows, 200, D, metric, 7, want->idx, want->dist, NULL);
	search(&k[0], metric, rows, 200, 7, got, NULL);
	tap_ok(!memcmp(got->idx, want->idx, 200 * 7 * sizeof *got->idx), "%s: of few rows all are seen", name);
	nn_neighbours(&k[0], rows, 3, D, metric, 3, want->idx, want->dist, NULL);
	search(&k[0], metric, rows, 3, 3, got, NULL);
	tap_ok(!memcmp(got->idx, want->idx, 9 * sizeof *got->idx), "%s: three rows", name);
	free(want);
	free(got);
	free(random);
}

int main(void)
{
	static const int n_thread[] = {1, 2, 3, 8};
	static float x[N * D];
	static uint8_t bits[N * D];
	struct kernels k[4];
	struct pool *pool[4];
	struct err e;
	for (int i = 0; i < 4; i++) {
		pool[i] = i ? pool_new(n_thread[i]) : NULL;
		if (kernels_open(&k[i], KERNELS_CPU, pool[i], &e))
			return 1;
	}
	rows_draw(x, bits);
	test_metric(k, 4, NN_L2, x, 0.95);
	test_metric(k, 4, NN_COSINE, x, 0.95);
	test_metric(k, 4, NN_TANIMOTO, bits, 0.8);
	for (int i = 0; i < 4; i++) {
		kernels_close(&k[i]);
		pool_free(pool[i]);
	}
	return tap_done();
}
