/* cpu_entry.c - entry-wise work on the CPU. */
#include "cpu.h"
#include "cpu_math.h"

#include <string.h>

/* One job for all: the kind of work, its arrays, and where they end. */
struct job {
	void (*work)(const struct job *j, int64_t from, int64_t n);
	real *y;
	const real *a, *b, *c;
	double s, t;
	int64_t n;
	enum k_act f;
	uint8_t *mask;
	uint64_t seed, stream;
};

static void job_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct job *j = ctx;
	j->work(j, chunk * CPU_ENTRIES, cpu_min(CPU_ENTRIES, j->n - chunk * CPU_ENTRIES));
}

static void run(const struct kernels *k, struct job j)
{
	cpu_run(k, cpu_n_chunk(j.n, CPU_ENTRIES), job_chunk, &j);
}

K_SIMD static void fill_loop(real *y, real value, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = value;
}

K_SIMD static void affine_loop(real *y, const real *x, real a, real b, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = a * x[i] + b;
}

K_SIMD static void axpy_loop(real *y, const real *x, real a, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] += a * x[i];
}

K_SIMD static void combine_loop(real *y, const real *a, const real *b, real s, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = a[i] + s * b[i];
}

K_SIMD static void mul_loop(real *y, const real *a, const real *b, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = a[i] * b[i];
}

K_SIMD static void mul_add_loop(real *y, const real *a, const real *b, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] += a[i] * b[i];
}

K_SIMD static void relu_loop(real *y, const real *x, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = x[i] > 0 ? x[i] : 0;
}

K_SIMD static void relu_back_loop(real *g_x, const real *g_y, const real *y, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		g_x[i] += y[i] > 0 ? g_y[i] : 0;
}

static void fill_work(const struct job *j, int64_t o, int64_t n)
{
	if (j->s == 0)
		memset(j->y + o, 0, (size_t)n * sizeof *j->y);
	else
		fill_loop(j->y + o, (real)j->s, n);
}
static void affine_work(const struct job *j, int64_t o, int64_t n)
{
	affine_loop(j->y + o, j->a + o, (real)j->s, (real)j->t, n);
}
static void axpy_work(const struct job *j, int64_t o, int64_t n)
{
	axpy_loop(j->y + o, j->a + o, (real)j->s, n);
}
static void combine_work(const struct job *j, int64_t o, int64_t n)
{
	combine_loop(j->y + o, j->a + o, j->b + o, (real)j->s, n);
}
static void mul_work(const struct job *j, int64_t o, int64_t n)
{
	mul_loop(j->y + o, j->a + o, j->b + o, n);
}
static void mul_add_work(const struct job *j, int64_t o, int64_t n)
{
	mul_add_loop(j->y + o, j->a + o, j->b + o, n);
}

K_INLINE real swish_slope(real x, real y)
{
	real s = k_sigmoid(x);
	return s + y * (1 - s);
}

#define ACT_LOOP(name, value)                                                                                          \
	K_SIMD static void name(real *y, const real *x, int64_t n)                                                     \
	{                                                                                                              \
		for (int64_t i = 0; i < n; i++)                                                                        \
			y[i] = value;                                                                                  \
	}
#define ACT_BACK_LOOP(name, slope)                                                                                     \
	K_SIMD static void name(real *g_x, const real *g_y, const real *x, const real *y, int64_t n)                   \
	{                                                                                                              \
		for (int64_t i = 0; i < n; i++)                                                                        \
			g_x[i] += g_y[i] * (slope);                                                                    \
	}
ACT_LOOP(tanh_loop, k_tanh(x[i]))
ACT_LOOP(swish_loop, x[i] * k_sigmoid(x[i]))
ACT_LOOP(ssp_loop, k_softplus(x[i]) - (real)0.69314718055994530942)
ACT_LOOP(softplus_loop, k_softplus(x[i]))
ACT_LOOP(sigmoid_loop, k_sigmoid(x[i]))
ACT_BACK_LOOP(tanh_back_loop, 1 - y[i] * y[i])
ACT_BACK_LOOP(swish_back_loop, swish_slope(x[i], y[i]))
ACT_BACK_LOOP(softplus_back_loop, k_sigmoid(x[i]))
ACT_BACK_LOOP(sigmoid_back_loop, y[i] * (1 - y[i]))
ACT_BACK_LOOP(square_back_loop, 2 * x[i])

static void act_work(const struct job *j, int64_t o, int64_t n)
{
	const real *x = j->a + o;
	real *y = j->y + o;
	switch (j->f) {
	case K_RELU:
		relu_loop(y, x, n);
		break;
	case K_TANH:
		tanh_loop(y, x, n);
		break;
	case K_SWISH:
		swish_loop(y, x, n);
		break;
	case K_SSP:
		ssp_loop(y, x, n);
		break;
	case K_SOFTPLUS:
		softplus_loop(y, x, n);
		break;
	case K_SIGMOID:
		sigmoid_loop(y, x, n);
		break;
	case K_SQUARE:
		mul_loop(y, x, x, n);
		break;
	}
}

static void act_back_work(const struct job *j, int64_t o, int64_t n)
{
	const real *x = j->a + o, *y = j->b + o, *g_y = j->c + o;
	real *g_x = j->y + o;
	switch (j->f) {
	case K_RELU:
		relu_back_loop(g_x, g_y, y, n);
		break;
	case K_TANH:
		tanh_back_loop(g_x, g_y, x, y, n);
		break;
	case K_SWISH:
		swish_back_loop(g_x, g_y, x, y, n);
		break;
	case K_SSP:
	case K_SOFTPLUS:
		softplus_back_loop(g_x, g_y, x, y, n);
		break;
	case K_SIGMOID:
		sigmoid_back_loop(g_x, g_y, x, y, n);
		break;
	case K_SQUARE:
		square_back_loop(g_x, g_y, x, y, n);
		break;
	}
}

/*
 * Philox4x32-10 (Salmon et al., SC 2011) over LANES counters at once: out[4][LANES] for counters base .. base + LANES.
 */
enum { LANES = 64 };
K_SIMD static void philox(uint32_t out[4][LANES], uint64_t base, uint64_t seed, uint64_t stream)
{
	uint32_t c[4][LANES], k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
	for (int i = 0; i < LANES; i++) {
		uint64_t at = base + (uint64_t)i;
		c[0][i] = (uint32_t)at;
		c[1][i] = (uint32_t)(at >> 32);
		c[2][i] = (uint32_t)stream;
		c[3][i] = (uint32_t)(stream >> 32);
	}
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < LANES; i++) {
			uint64_t p0 = (uint64_t)c[0][i] * 0xD2511F53u, p1 = (uint64_t)c[2][i] * 0xCD9E8D57u;
			c[0][i] = (uint32_t)(p1 >> 32) ^ c[1][i] ^ k0;
			c[1][i] = (uint32_t)p1;
			c[2][i] = (uint32_t)(p0 >> 32) ^ c[3][i] ^ k1;
			c[3][i] = (uint32_t)p0;
		}
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	for (int w = 0; w < 4; w++)
		for (int i = 0; i < LANES; i++)
			out[w][i] = c[w][i];
}

K_SIMD static void mask_loop(real *y, uint8_t *mask, const real *x, const uint32_t *u, uint32_t limit, real scale,
			     int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		mask[i] = u[i] >= limit;
		y[i] = u[i] >= limit ? x[i] * scale : 0;
	}
}

K_SIMD static void mask_back_loop(real *g_x, const real *g_y, const uint8_t *mask, real scale, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		g_x[i] += mask[i] ? g_y[i] * scale : 0;
}

static void dropout_work(const struct job *j, int64_t o, int64_t n)
{
	uint32_t u[4][LANES];
	const uint32_t limit = (uint32_t)(j->s * 4294967296.0);
	for (int64_t i = 0; i < n; i += 4 * LANES) {
		philox(u, (uint64_t)(o + i) / 4, j->seed, j->stream);
		mask_loop(j->y + o + i, j->mask + o + i, j->a + o + i, u[0], limit, (real)(1 / (1 - j->s)),
			  cpu_min(4 * LANES, n - i));
	}
}

static void dropout_back_work(const struct job *j, int64_t o, int64_t n)
{
	mask_back_loop(j->y + o, j->a + o, j->mask + o, (real)(1 / (1 - j->s)), n);
}

static void fill(const struct kernels *k, real *x, int64_t n, real value)
{
	run(k, (struct job){.work = fill_work, .y = x, .s = (double)value, .n = n});
}
static void affine(const struct kernels *k, real *y, const real *x, double a, double b, int64_t n)
{
	run(k, (struct job){.work = affine_work, .y = y, .a = x, .s = a, .t = b, .n = n});
}
static void axpy(const struct kernels *k, real *y, const real *x, double a, int64_t n)
{
	run(k, (struct job){.work = axpy_work, .y = y, .a = x, .s = a, .n = n});
}
static void combine(const struct kernels *k, real *y, const real *a, const real *b, double s, int64_t n)
{
	run(k, (struct job){.work = combine_work, .y = y, .a = a, .b = b, .s = s, .n = n});
}
static void mul(const struct kernels *k, real *y, const real *a, const real *b, int64_t n)
{
	run(k, (struct job){.work = mul_work, .y = y, .a = a, .b = b, .n = n});
}
static void mul_add(const struct kernels *k, real *y, const real *a, const real *b, int64_t n)
{
	run(k, (struct job){.work = mul_add_work, .y = y, .a = a, .b = b, .n = n});
}
static void act(const struct kernels *k, enum k_act f, const real *x, real *y, int64_t n)
{
	run(k, (struct job){.work = act_work, .y = y, .a = x, .f = f, .n = n});
}
static void act_back(const struct kernels *k, enum k_act f, const real *x, const real *y, const real *g_y, real *g_x,
		     int64_t n)
{
	run(k, (struct job){.work = act_back_work, .y = g_x, .a = x, .b = y, .c = g_y, .f = f, .n = n});
}
static void dropout(const struct kernels *k, const real *x, real *y, uint8_t *mask, int64_t n, double p, uint64_t seed,
		    uint64_t stream)
{
	run(k, (struct job){
		   .work = dropout_work, .y = y, .a = x, .mask = mask, .n = n, .s = p, .seed = seed, .stream = stream});
}
static void dropout_back(const struct kernels *k, const real *g_y, const uint8_t *mask, real *g_x, int64_t n, double p)
{
	run(k, (struct job){
		   .work = dropout_back_work, .y = g_x, .a = g_y, .mask = (uint8_t *)(uintptr_t)mask, .n = n, .s = p});
}

struct sum_job {
	const real *x;
	int64_t n;
	double *part;
};

static void sum_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct sum_job *j = ctx;
	double sum = 0;
	for (int64_t i = chunk * CPU_ENTRIES, to = cpu_min(j->n, i + CPU_ENTRIES); i < to; i++)
		sum += (double)j->x[i];
	j->part[chunk] = sum;
}

static void sum(const struct kernels *k, const real *x, int64_t n, real *out)
{
	int64_t n_chunk = cpu_n_chunk(n, CPU_ENTRIES);
	struct sum_job j = {.x = x, .n = n, .part = cpu_scratch(k, 0, (size_t)(n_chunk + 1) * sizeof(double))};
	double total = 0;
	cpu_run(k, n_chunk, sum_chunk, &j);
	for (int64_t i = 0; i < n_chunk; i++)
		total += j.part[i];
	*out = (real)total;
}

void kernels_cpu_entry(struct kernels *k)
{
	k->fill = fill;
	k->affine = affine;
	k->axpy = axpy;
	k->combine = combine;
	k->mul = mul;
	k->mul_add = mul_add;
	k->act = act;
	k->act_back = act_back;
	k->dropout = dropout;
	k->dropout_back = dropout_back;
	k->sum = sum;
}
