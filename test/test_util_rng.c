/* Philox4x32-10 against the known answers of its authors (Random123, kat_vectors), then its distributions. */
#include "tap.h"
#include "util.h"

#include <stdlib.h>

static const struct {
	uint32_t ctr[4], key[2], out[4];
} known[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static bool gives(struct rng r, const uint32_t out[4])
{
	bool good = true;
	for (int i = 0; i < 4; i++)
		good &= rng_u32(&r) == out[i];
	return good;
}

static void test_known(void)
{
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		struct rng r = {.n_left = 0};
		memcpy(r.ctr, known[i].ctr, sizeof r.ctr);
		memcpy(r.key, known[i].key, sizeof r.key);
		tap_ok(gives(r, known[i].out), "known answer %zu", i);
		r.key[1] ^= 1; /* the mutant: one bit of the key */
		tap_ok(!gives(r, known[i].out), "another key gives another answer (%zu)", i);
	}
	struct rng a, b;
	rng_init(&a, 0, 0);
	tap_ok(gives(a, known[0].out), "seed 0, stream 0 begins at the zero counter");
	rng_init(&a, 1ull << 32 | 2, 3ull << 32 | 4);
	tap_ok(a.key[0] == 2 && a.key[1] == 1 && a.ctr[2] == 4 && a.ctr[3] == 3 && !a.ctr[0] && !a.ctr[1],
	       "seed is the key, stream the high half of the counter");
	rng_init(&a, 7, 1);
	rng_init(&b, 7, 2);
	tap_ok(rng_u64(&a) != rng_u64(&b), "streams differ");
	a.ctr[0] = 0xffffffff;
	a.ctr[1] = 5;
	a.n_left = 0;
	rng_u32(&a);
	tap_ok(a.ctr[0] == 0 && a.ctr[1] == 6, "the counter carries");
}

static void test_distributions(void)
{
	enum { N = 200000, BINS = 10 };
	struct rng r;
	int64_t count[BINS] = {0};
	double sum = 0, sum2 = 0, sum4 = 0, least = 1, most = 0, chi2 = 0;
	rng_init(&r, 42, 0);
	for (int i = 0; i < N; i++)
		count[rng_below(&r, BINS)]++;
	for (int i = 0; i < BINS; i++)
		chi2 += pow((double)count[i] - N / BINS, 2) / (N / BINS);
	tap_ok(chi2 < 27.9, "rng_below: chi squared %.1f of 9 degrees (0.999 quantile 27.9)", chi2);
	bool one = true;
	for (int i = 0; i < 100; i++)
		one &= rng_below(&r, 1) == 0 && rng_below(&r, 0xffffffff) < 0xffffffff;
	tap_ok(one, "rng_below at its bounds");
	for (int i = 0; i < N; i++) {
		double u = rng_uniform(&r);
		least = u < least ? u : least;
		most = u > most ? u : most;
		sum += u;
	}
	tap_ok(least >= 0 && most < 1, "uniform numbers lie in [0, 1)");
	tap_near(sum / N, 0.5, 0.003, "mean of uniform numbers");
	sum = 0;
	for (int i = 0; i < N; i++) {
		double x = rng_normal(&r);
		sum += x;
		sum2 += x * x;
		sum4 += x * x * x * x;
	}
	tap_near(sum / N, 0, 0.01, "mean of normal numbers");
	tap_near(sum2 / N, 1, 0.015, "their variance");
	tap_near(sum4 / N, 3, 0.1, "their fourth moment");
}

static void test_shuffle(void)
{
	enum { N = 5, ROUNDS = 24000 };
	struct rng r;
	int64_t where[N][N] = {{0}}, items[N], worst = 0;
	rng_init(&r, 3, 9);
	for (int i = 0; i < ROUNDS; i++) {
		for (int64_t j = 0; j < N; j++)
			items[j] = j;
		rng_shuffle(&r, items, N);
		for (int j = 0; j < N; j++)
			where[items[j]][j]++;
	}
	bool rows = true;
	for (int i = 0; i < N; i++) {
		int64_t sum = 0;
		for (int j = 0; j < N; j++) {
			sum += where[i][j];
			int64_t off = llabs(where[i][j] - ROUNDS / N);
			worst = off > worst ? off : worst;
		}
		rows &= sum == ROUNDS;
	}
	tap_ok(rows, "shuffling loses nothing");
	tap_ok(worst < 300, "each item comes to each place alike (worst count off by %d)", (int)worst);
	rng_shuffle(&r, items, 0);
	rng_shuffle(&r, items, 1);
	tap_ok(rng_hash("benzene", 7) == rng_hash("benzene", 7) && rng_hash("benzene", 7) != rng_hash("benzenf", 7) &&
		   rng_hash("", 0) == 0x2d06800538d394c2ull,
	       "rng_hash is XXH3-64 (known answer of the empty string)");
}

int main(void)
{
	test_known();
	test_distributions();
	test_shuffle();
	return tap_done();
}
