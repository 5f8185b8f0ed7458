/* cuda_norm.cu - BatchNorm on the device: sums of columns by chunks of rows, then a thread an entry. */
#include "cuda.cuh"

/* Sums of x - shift, of its square, and of how often rows count; shift: the first row, near the mean. */
struct moments {
	const real *x;
	const int64_t *mult;
	int64_t d;
	__device__ void operator()(int64_t i, int64_t c, double *sum) const
	{
		double z = (double)x[i * d + c] - (double)x[c], m = mult ? (double)mult[i] : 1;
		sum[0] += m * z;
		sum[1] += m * z * z;
		sum[2] += m;
	}
};

/* What the kernels need of struct k_batch_norm. */
struct norm {
	int64_t n, d;
	double eps, momentum;
	int64_t train, relu; /* no padding, whose bytes would be nobody's */
	const int64_t *mult;
	const real *weight, *bias, *residual;
	real *run_mean, *run_var, *mean, *inv;
};

static struct norm norm_of(const struct k_batch_norm *b)
{
	struct norm s;
	s.n = b->n;
	s.d = b->d;
	s.eps = b->eps;
	s.momentum = b->momentum;
	s.train = b->train;
	s.relu = b->relu;
	s.mult = b->mult;
	s.weight = b->weight;
	s.bias = b->bias;
	s.residual = b->residual;
	s.run_mean = b->run_mean;
	s.run_var = b->run_var;
	s.mean = b->mean;
	s.inv = b->inv;
	return s;
}

static __global__ void statistics_each(struct norm b, const real *x, const double *part)
{
	int64_t c = cuda_index();
	if (c >= b.d)
		return;
	if (!b.train) {
		b.mean[c] = b.run_mean[c];
		b.inv[c] = (real)(1 / sqrt((double)b.run_var[c] + b.eps));
		return;
	}
	double n = cuda_column_total<3>(part, b.n, b.d, 2, c), s = cuda_column_total<3>(part, b.n, b.d, 0, c) / n;
	double var = cuda_column_total<3>(part, b.n, b.d, 1, c) / n - s * s, mean = (double)x[c] + s;
	var = var > 0 ? var : 0;
	b.mean[c] = (real)mean;
	b.inv[c] = (real)(1 / sqrt(var + b.eps));
	b.run_mean[c] = (real)((1 - b.momentum) * (double)b.run_mean[c] + b.momentum * mean);
	if (n > 1)
		b.run_var[c] = (real)((1 - b.momentum) * (double)b.run_var[c] + b.momentum * var * n / (n - 1));
}

static __global__ void normalise_each(struct norm b, const real *x, real *y)
{
	int64_t i = cuda_index(), c = i % b.d;
	if (i >= b.n * b.d)
		return;
	real z = (x[i] - b.mean[c]) * (b.weight[c] * b.inv[c]) + b.bias[c];
	if (b.residual)
		z += b.residual[i];
	y[i] = b.relu && !(z > 0) ? 0 : z;
}

static void batch_norm(const struct kernels *, const struct k_batch_norm *b, const real *x, real *y)
{
	struct norm s = norm_of(b);
	struct moments f;
	f.x = x;
	f.mult = b->mult;
	f.d = b->d;
	if (!b->n)
		return;
	const double *part = b->train ? cuda_columns<3>(f, b->n, b->d) : NULL;
	CUDA_EACH(statistics_each, b->d, s, x, part);
	CUDA_EACH(normalise_each, b->n * b->d, s, x, y);
}

/* Sums of g and of g xhat, g = g_y where y was not cut by the ReLU, and of how often rows count. */
struct back_sums {
	const real *x, *y, *g, *mean, *inv;
	const int64_t *mult;
	int64_t d, relu;
	__device__ void operator()(int64_t i, int64_t c, double *sum) const
	{
		int64_t at = i * d + c;
		real gc = !relu || y[at] > 0 ? g[at] : 0;
		sum[0] += (double)gc;
		sum[1] += (double)(gc * ((x[at] - mean[c]) * inv[c]));
		sum[2] += mult ? (double)mult[i] : 1;
	}
};

/* Gradients of weight and bias; the means of g and of g xhat, which the rows' gradients need, to mean_g [2, d]. */
static __global__ void back_sums_each(struct norm b, const double *part, real *g_weight, real *g_bias, real *mean_g)
{
	int64_t c = cuda_index();
	if (c >= b.d)
		return;
	double s = cuda_column_total<3>(part, b.n, b.d, 0, c), q = cuda_column_total<3>(part, b.n, b.d, 1, c);
	double n = cuda_column_total<3>(part, b.n, b.d, 2, c);
	if (g_bias)
		g_bias[c] += (real)s;
	if (g_weight)
		g_weight[c] += (real)q;
	mean_g[c] = b.train ? (real)(s / n) : 0; /* running statistics do not depend on x */
	mean_g[b.d + c] = b.train ? (real)(q / n) : 0;
}

static __global__ void back_each(struct norm b, const real *x, const real *y, const real *g_y, const real *mean_g,
				 real *g_x, real *g_residual)
{
	int64_t i = cuda_index(), c = i % b.d;
	if (i >= b.n * b.d)
		return;
	real g = !b.relu || y[i] > 0 ? g_y[i] : 0;
	if (g_residual)
		g_residual[i] += g;
	if (!g_x)
		return;
	real xhat = (x[i] - b.mean[c]) * b.inv[c], m = b.mult ? (real)b.mult[i / b.d] : 1;
	g_x[i] += b.weight[c] * b.inv[c] * (g - m * (mean_g[c] + xhat * mean_g[b.d + c]));
}

static void batch_norm_back(const struct kernels *, const struct k_batch_norm *b, const real *x, const real *y,
			    const real *g_y, real *g_x, real *g_weight, real *g_bias, real *g_residual)
{
	struct norm s = norm_of(b);
	struct back_sums f;
	f.x = x;
	f.y = y;
	f.g = g_y;
	f.mean = b->mean;
	f.inv = b->inv;
	f.mult = b->mult;
	f.d = b->d;
	f.relu = b->relu;
	if (!b->n)
		return;
	const double *part = cuda_columns<3>(f, b->n, b->d);
	real *mean_g = (real *)cuda_scratch(CUDA_SLOT_BLOCK, (size_t)(2 * b->d) * sizeof *mean_g);
	CUDA_EACH(back_sums_each, b->d, s, part, g_weight, g_bias, mean_g);
	CUDA_EACH(back_each, b->n * b->d, s, x, y, g_y, (const real *)mean_g, g_x, g_residual);
}

void cuda_norm(struct kernels *k)
{
	k->batch_norm = batch_norm;
	k->batch_norm_back = batch_norm_back;
}
