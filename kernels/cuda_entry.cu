/* cuda_entry.cu - entry-wise work on the device: a thread an entry. */
#include "cuda.cuh"

static __global__ void affine_each(real *y, const real *x, real a, real b, int64_t n)
{
	int64_t i = cuda_index();
	if (i < n)
		y[i] = a * x[i] + b;
}

static __global__ void axpy_each(real *y, const real *x, real a, int64_t n)
{
	int64_t i = cuda_index();
	if (i < n)
		y[i] += a * x[i];
}

static __global__ void axpy_var_each(real *y, const real *x, const real *s, int64_t n)
{
	int64_t i = cuda_index();
	if (i < n)
		y[i] += s[0] * x[i];
}

static __global__ void combine_each(real *y, const real *a, const real *b, real s, int64_t n)
{
	int64_t i = cuda_index();
	if (i < n)
		y[i] = a[i] + s * b[i];
}

static __global__ void mul_each(real *y, const real *a, const real *b, bool add, int64_t n)
{
	int64_t i = cuda_index();
	if (i < n)
		y[i] = (add ? y[i] : 0) + a[i] * b[i];
}

static void affine(const struct kernels *, real *y, const real *x, double a, double b, int64_t n)
{
	CUDA_EACH(affine_each, n, y, x, (real)a, (real)b, n);
}

static void axpy(const struct kernels *, real *y, const real *x, double a, int64_t n)
{
	CUDA_EACH(axpy_each, n, y, x, (real)a, n);
}

static void axpy_var(const struct kernels *, real *y, const real *x, const real *s, int64_t n)
{
	CUDA_EACH(axpy_var_each, n, y, x, s, n);
}

static void combine(const struct kernels *, real *y, const real *a, const real *b, double s, int64_t n)
{
	CUDA_EACH(combine_each, n, y, a, b, (real)s, n);
}

static void mul(const struct kernels *, real *y, const real *a, const real *b, int64_t n)
{
	CUDA_EACH(mul_each, n, y, a, b, false, n);
}

static void mul_add(const struct kernels *, real *y, const real *a, const real *b, int64_t n)
{
	CUDA_EACH(mul_each, n, y, a, b, true, n);
}

/* ---- activations ------------------------------------------------------------ */

static __device__ real sigmoid(real x)
{
	return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* log(1 + e^x) without overflow */
static __device__ real softplus(real x)
{
	return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static __device__ real value_of(enum k_act f, real x)
{
	switch (f) {
	case K_RELU:
		return x > 0 ? x : 0;
	case K_TANH:
		return tanh(x);
	case K_SWISH:
		return x * sigmoid(x);
	case K_SSP:
		return softplus(x) - (real)0.69314718055994530942;
	case K_SOFTPLUS:
		return softplus(x);
	case K_SIGMOID:
		return sigmoid(x);
	case K_SQUARE:
		return x * x;
	}
	return x;
}

static __device__ real slope_of(enum k_act f, real x, real y)
{
	switch (f) {
	case K_RELU:
		return y > 0 ? 1 : 0;
	case K_TANH:
		return 1 - y * y;
	case K_SWISH:
		return sigmoid(x) + y * (1 - sigmoid(x));
	case K_SSP:
	case K_SOFTPLUS:
		return sigmoid(x);
	case K_SIGMOID:
		return y * (1 - y);
	case K_SQUARE:
		return 2 * x;
	}
	return 1;
}

static __global__ void act_each(enum k_act f, const real *x, real *y, int64_t n)
{
	int64_t i = cuda_index();
	if (i < n)
		y[i] = value_of(f, x[i]);
}

static __global__ void act_back_each(enum k_act f, const real *x, const real *y, const real *g_y, real *g_x, int64_t n)
{
	int64_t i = cuda_index();
	if (i < n)
		g_x[i] += g_y[i] * slope_of(f, x[i], y[i]);
}

static void act(const struct kernels *, enum k_act f, const real *x, real *y, int64_t n)
{
	CUDA_EACH(act_each, n, f, x, y, n);
}

static void act_back(const struct kernels *, enum k_act f, const real *x, const real *y, const real *g_y, real *g_x,
		     int64_t n)
{
	CUDA_EACH(act_back_each, n, f, x, y, g_y, g_x, n);
}

/* ---- dropout: the numbers that the CPU draws --------------------------------------- */

enum { LANES = 64, GROUP = 4 * LANES }; /* counter c gives one word to each quarter of a group of 256 entries */

/* Philox4x32-10 (Salmon et al., SC 2011). */
static __device__ void philox(uint32_t c[4], uint64_t counter, uint64_t seed, uint64_t stream)
{
	uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
	c[0] = (uint32_t)counter;
	c[1] = (uint32_t)(counter >> 32);
	c[2] = (uint32_t)stream;
	c[3] = (uint32_t)(stream >> 32);
	for (int round = 0; round < 10; round++) {
		uint32_t low0 = 0xD2511F53u * c[0], high0 = __umulhi(0xD2511F53u, c[0]);
		uint32_t low1 = 0xCD9E8D57u * c[2], high1 = __umulhi(0xCD9E8D57u, c[2]);
		c[0] = high1 ^ c[1] ^ k0;
		c[1] = low1;
		c[2] = high0 ^ c[3] ^ k1;
		c[3] = low0;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
}

static __global__ void dropout_each(const real *x, real *y, uint8_t *mask, int64_t n, uint32_t limit, real scale,
				    uint64_t seed, uint64_t stream)
{
	int64_t counter = cuda_index();
	uint32_t u[4];
	philox(u, (uint64_t)counter, seed, stream);
	for (int w = 0; w < 4; w++) {
		int64_t i = counter / LANES * GROUP + w * LANES + counter % LANES;
		if (i >= n)
			return;
		mask[i] = u[w] >= limit;
		y[i] = u[w] >= limit ? x[i] * scale : 0;
	}
}

static __global__ void dropout_back_each(const real *g_y, const uint8_t *mask, real *g_x, int64_t n, real scale)
{
	int64_t i = cuda_index();
	if (i < n)
		g_x[i] += mask[i] ? g_y[i] * scale : 0;
}

static void dropout(const struct kernels *, const real *x, real *y, uint8_t *mask, int64_t n, double p, uint64_t seed,
		    uint64_t stream)
{
	int64_t n_counter = (n + GROUP - 1) / GROUP * LANES;
	CUDA_EACH(dropout_each, n_counter, x, y, mask, n, (uint32_t)(p * 4294967296.0), (real)(1 / (1 - p)), seed,
		  stream);
}

static void dropout_back(const struct kernels *, const real *g_y, const uint8_t *mask, real *g_x, int64_t n, double p)
{
	CUDA_EACH(dropout_back_each, n, g_y, mask, g_x, n, (real)(1 / (1 - p)));
}

void cuda_entry(struct kernels *k)
{
	k->affine = affine;
	k->axpy = axpy;
	k->axpy_var = axpy_var;
	k->combine = combine;
	k->mul = mul;
	k->mul_add = mul_add;
	k->act = act;
	k->act_back = act_back;
	k->dropout = dropout;
	k->dropout_back = dropout_back;
}
