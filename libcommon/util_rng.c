/*
 * util_rng.c - Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011).
 */
#include "util.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

#define N_ROUND 10
#define TWO_PI 6.283185307179586

static void philox_block(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4])
{
	uint32_t c[4] = {ctr[0], ctr[1], ctr[2], ctr[3]}, k[2] = {key[0], key[1]};
	for (int i = 0; i < N_ROUND; i++) {
		uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
		uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k[0], n2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k[1];
		c[1] = (uint32_t)p1;
		c[3] = (uint32_t)p0;
		c[0] = n0;
		c[2] = n2;
		k[0] += 0x9E3779B9u;
		k[1] += 0xBB67AE85u;
	}
	memcpy(out, c, sizeof c);
}

void rng_init(struct rng *r, uint64_t seed, uint64_t stream)
{
	*r = (struct rng){
	    .key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
	    .ctr = {0, 0, (uint32_t)stream, (uint32_t)(stream >> 32)},
	};
}

uint32_t rng_u32(struct rng *r)
{
	if (!r->n_left) {
		philox_block(r->ctr, r->key, r->out);
		r->ctr[1] += !++r->ctr[0];
		r->n_left = 4;
	}
	return r->out[4 - r->n_left--];
}

uint64_t rng_u64(struct rng *r)
{
	uint64_t low = rng_u32(r);
	return low | (uint64_t)rng_u32(r) << 32;
}

/* Lemire's multiplication: the high half is uniform once the biased low values are refused. */
uint32_t rng_below(struct rng *r, uint32_t n)
{
	uint32_t bias = -n % n;
	uint64_t m;
	do
		m = (uint64_t)rng_u32(r) * n;
	while ((uint32_t)m < bias);
	return (uint32_t)(m >> 32);
}

double rng_uniform(struct rng *r)
{
	return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

double rng_normal(struct rng *r)
{
	double u = 1 - rng_uniform(r), v = rng_uniform(r);
	return sqrt(-2 * log(u)) * cos(TWO_PI * v);
}

void rng_shuffle(struct rng *r, int64_t *items, int64_t n)
{
	for (int64_t i = n - 1; i > 0; i--) {
		/* Below 2^32 items the draws are those of rng_below; more are drawn by 64 bits. */
		int64_t j = i < UINT32_MAX ? (int64_t)rng_below(r, (uint32_t)i + 1)
					   : (int64_t)(((unsigned __int128)rng_u64(r) * (uint64_t)(i + 1)) >> 64);
		int64_t t = items[i];
		items[i] = items[j];
		items[j] = t;
	}
}

uint64_t rng_hash(const void *data, size_t nbytes)
{
	return XXH3_64bits(data, nbytes);
}
