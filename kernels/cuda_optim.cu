/* cuda_optim.cu - sums over all entries, and Adam in one pass. */
#include "cuda.cuh"

/* part[chunk] = sum of the chunk's entries, or of their squares, in double. */
static __global__ void sum_chunks(const real *x, int64_t n, bool square, double *part)
{
	CUDA_SHARED(double, shared); /* [CUDA_WARPS] */
	int64_t from = (int64_t)blockIdx.x * CUDA_ENTRIES, to = from + CUDA_ENTRIES;
	double sum = 0;
	for (int64_t i = from + threadIdx.x; i < n && i < to; i += CUDA_THREADS)
		sum += square ? (double)x[i] * (double)x[i] : (double)x[i];
	sum = cuda_block_sum(sum, shared);
	if (threadIdx.x == 0)
		part[blockIdx.x] = sum;
}

/* The sum of all chunks, as double and (where wanted) as real. */
static __global__ void sum_parts(const double *part, int64_t n, double *total, real *out)
{
	CUDA_SHARED(double, shared); /* [CUDA_WARPS] */
	double sum = 0;
	for (int64_t i = threadIdx.x; i < n; i += CUDA_THREADS)
		sum += part[i];
	sum = cuda_block_sum(sum, shared);
	if (threadIdx.x)
		return;
	*total = sum;
	if (out)
		*out = (real)sum;
}

static double *sum_all(const real *x, int64_t n, bool square, real *out)
{
	unsigned n_chunk = cuda_n_block(n, CUDA_ENTRIES);
	double *part = (double *)cuda_scratch(CUDA_SLOT_PART, (n_chunk + 1) * sizeof *part);
	double *total = (double *)cuda_scratch(CUDA_SLOT_TOTAL, sizeof *total);
	CUDA_BLOCKS(sum_chunks, n_chunk, CUDA_WARPS * sizeof(double), x, n, square, part);
	CUDA_BLOCKS(sum_parts, 1, CUDA_WARPS * sizeof(double), part, (int64_t)n_chunk, total, out);
	return total;
}

static void sum(const struct kernels *, const real *x, int64_t n, real *out)
{
	sum_all(x, n, false, out);
}

static double sum_squares(const struct kernels *, const real *x, int64_t n)
{
	double total;
	cuda_download(&total, sum_all(x, n, true, NULL), sizeof total);
	return total;
}

struct adam_step {
	real b1, b2, c1, c2, step, root, eps, scale, through, keep;
};

static __global__ void adam_each(struct adam_step a, real *p, const real *g, real *m, real *v, int64_t n)
{
	int64_t i = cuda_index();
	if (i >= n)
		return;
	real d = g[i] * a.scale + a.through * p[i];
	m[i] = a.b1 * m[i] + a.c1 * d;
	v[i] = a.b2 * v[i] + a.c2 * d * d;
	p[i] = a.keep * p[i] - a.step * m[i] / (sqrt(v[i]) * a.root + a.eps);
}

static void adam(const struct kernels *, const struct k_adam *a, real *p, const real *g, real *m, real *v, int64_t n)
{
	struct adam_step j;
	j.b1 = (real)a->beta1;
	j.b2 = (real)a->beta2;
	j.c1 = (real)(1 - a->beta1);
	j.c2 = (real)(1 - a->beta2);
	j.step = (real)(a->lr / a->correction1);
	j.root = (real)(1 / sqrt(a->correction2));
	j.eps = (real)a->eps;
	j.scale = (real)a->grad_scale;
	j.through = a->decoupled ? 0 : (real)a->decay;
	j.keep = a->decoupled ? (real)(1 - a->lr * a->decay) : 1;
	CUDA_EACH(adam_each, n, j, p, g, m, v, n);
}

void cuda_optim(struct kernels *k)
{
	k->sum = sum;
	k->sum_squares = sum_squares;
	k->adam = adam;
}
