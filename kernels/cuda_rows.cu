/* cuda_rows.cu - rows and columns on the device: a thread an entry, or a warp a row where a row is summed. */
#include "cuda.cuh"

static __global__ void copy_each(const real *src, int64_t ld_src, real *dst, int64_t ld_dst, int64_t n, int64_t d,
				 bool add)
{
	int64_t i = cuda_index();
	if (i >= n * d)
		return;
	real *to = dst + i / d * ld_dst + i % d;
	*to = (add ? *to : 0) + src[i / d * ld_src + i % d];
}

static void copy_block(const struct kernels *, const real *src, int64_t ld_src, real *dst, int64_t ld_dst, int64_t n,
		       int64_t d, bool add)
{
	CUDA_EACH(copy_each, n * d, src, ld_src, dst, ld_dst, n, d, add);
}

/* A block turns a tile of 32 x 32 over in shared memory, so that reads and writes both go along rows. */
static __global__ void transpose_tile(const real *x, real *y, int64_t n, int64_t d, bool add)
{
	CUDA_SHARED(real, tile); /* [CUDA_WARP, CUDA_WARP + 1] */
	int64_t n_tile = (d + CUDA_WARP - 1) / CUDA_WARP;
	int64_t row = blockIdx.x / n_tile * CUDA_WARP, column = blockIdx.x % n_tile * CUDA_WARP;
	int lane = cuda_lane(), warp = (int)(threadIdx.x / CUDA_WARP);
	for (int r = warp; r < CUDA_WARP; r += CUDA_WARPS)
		if (row + r < n && column + lane < d)
			tile[r * (CUDA_WARP + 1) + lane] = x[(row + r) * d + column + lane];
	__syncthreads();
	for (int r = warp; r < CUDA_WARP; r += CUDA_WARPS) {
		if (column + r >= d || row + lane >= n)
			continue;
		real *to = y + (column + r) * n + row + lane;
		*to = (add ? *to : 0) + tile[lane * (CUDA_WARP + 1) + r];
	}
}

static void transpose(const struct kernels *, const real *x, real *y, int64_t n, int64_t d, bool add)
{
	unsigned n_tile = cuda_n_block(n, CUDA_WARP) * cuda_n_block(d, CUDA_WARP);
	CUDA_BLOCKS(transpose_tile, n_tile, CUDA_WARP * (CUDA_WARP + 1) * sizeof(real), x, y, n, d, add);
}

static __global__ void scale_each(const real *x, const real *w, real *y, int64_t n, int64_t d, bool add)
{
	int64_t i = cuda_index();
	if (i < n * d)
		y[i] = (add ? y[i] : 0) + w[i / d] * x[i];
}

static void scale_rows(const struct kernels *, const real *x, const real *w, real *y, int64_t n, int64_t d, bool add)
{
	CUDA_EACH(scale_each, n * d, x, w, y, n, d, add);
}

static __global__ void add_row_each(const real *row, real *y, int64_t n, int64_t d)
{
	int64_t i = cuda_index();
	if (i < n * d)
		y[i] += row[i % d];
}

static void add_row(const struct kernels *, const real *row, real *y, int64_t n, int64_t d)
{
	CUDA_EACH(add_row_each, n * d, row, y, n, d);
}

static __global__ void bias_relu_each(const real *row, real *y, int64_t n, int64_t d)
{
	int64_t i = cuda_index();
	if (i >= n * d)
		return;
	real x = y[i] + row[i % d];
	y[i] = x > 0 ? x : 0;
}

static void bias_relu(const struct kernels *, const real *row, real *y, int64_t n, int64_t d)
{
	CUDA_EACH(bias_relu_each, n * d, row, y, n, d);
}

static __global__ void mask_each(const real *y, real *g, int64_t n)
{
	int64_t i = cuda_index();
	if (i < n && !(y[i] > 0))
		g[i] = 0;
}

static __global__ void add_column_each(const real *col, real *y, int64_t n, int64_t d)
{
	int64_t i = cuda_index();
	if (i < n * d)
		y[i] += col[i / d];
}

static void add_column(const struct kernels *, const real *col, real *y, int64_t n, int64_t d)
{
	CUDA_EACH(add_column_each, n * d, col, y, n, d);
}

struct entries {
	const real *x;
	int64_t d;
	__device__ void operator()(int64_t i, int64_t c, double *sum) const
	{
		sum[0] += (double)x[i * d + c];
	}
};

static __global__ void column_sum_each(const double *part, real *out, int64_t n, int64_t d)
{
	int64_t c = cuda_index();
	if (c < d)
		out[c] += (real)cuda_column_total<1>(part, n, d, 0, c);
}

static void column_sum(const struct kernels *, const real *x, real *out, int64_t n, int64_t d)
{
	struct entries f;
	f.x = x;
	f.d = d;
	CUDA_EACH(column_sum_each, d, cuda_columns<1>(f, n, d), out, n, d);
}

static void bias_relu_back(const struct kernels *k, const real *y, real *g_y, real *g_row, int64_t n, int64_t d)
{
	CUDA_EACH(mask_each, n * d, y, g_y, n * d);
	if (g_row)
		column_sum(k, g_y, g_row, n, d);
}

static __global__ void sum_row(const real *x, real *out, int64_t n, int64_t d)
{
	int64_t i = cuda_row();
	double sum = 0;
	if (i >= n)
		return;
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP)
		sum += (double)x[i * d + c];
	sum = cuda_warp_sum(sum);
	if (cuda_lane() == 0)
		out[i] = (real)sum;
}

static void row_sum(const struct kernels *, const real *x, real *out, int64_t n, int64_t d)
{
	CUDA_EACH_ROW(sum_row, n, x, out, n, d);
}

/* ---- unit rows ------------------------------------------------------------------ */

static __global__ void unit_row(const real *x, real *y, real *norm, int64_t n, int64_t d)
{
	int64_t i = cuda_row();
	double sum = 0;
	if (i >= n)
		return;
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP)
		sum += (double)x[i * d + c] * (double)x[i * d + c];
	double length = sqrt(cuda_warp_sum(sum));
	length = length > 1e-12 ? length : 1e-12;
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP)
		y[i * d + c] = (real)((double)x[i * d + c] / length);
	if (cuda_lane() == 0)
		norm[i] = (real)length;
}

static void unit(const struct kernels *, const real *x, real *y, real *norm, int64_t n, int64_t d)
{
	CUDA_EACH_ROW(unit_row, n, x, y, norm, n, d);
}

static __global__ void unit_back_row(const real *y, const real *norm, const real *g_y, real *g_x, int64_t n, int64_t d)
{
	int64_t i = cuda_row();
	double dot = 0;
	if (i >= n)
		return;
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP)
		dot += (double)y[i * d + c] * (double)g_y[i * d + c];
	dot = cuda_warp_sum(dot);
	double length = (double)norm[i];
	if (length <= 1e-12) /* there the divisor is a constant */
		dot = 0;
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP)
		g_x[i * d + c] += (real)(((double)g_y[i * d + c] - dot * (double)y[i * d + c]) / length);
}

static void unit_back(const struct kernels *, const real *y, const real *norm, const real *g_y, real *g_x, int64_t n,
		      int64_t d)
{
	CUDA_EACH_ROW(unit_back_row, n, y, norm, g_y, g_x, n, d);
}

/* ---- softmax -------------------------------------------------------------------- */

static __global__ void softmax_row(const real *x, real *y, int64_t n, int64_t d, bool log_too)
{
	int64_t i = cuda_row();
	double top = -INFINITY, sum = 0;
	if (i >= n)
		return;
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP)
		top = (double)x[i * d + c] > top ? (double)x[i * d + c] : top;
	top = cuda_warp_max(top);
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP)
		sum += exp((double)x[i * d + c] - top);
	sum = cuda_warp_sum(sum);
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP) {
		double z = (double)x[i * d + c] - top;
		y[i * d + c] = (real)(log_too ? z - log(sum) : exp(z) / sum);
	}
}

static void softmax(const struct kernels *, const real *x, real *y, int64_t n, int64_t d, bool log_too)
{
	CUDA_EACH_ROW(softmax_row, n, x, y, n, d, log_too);
}

static __global__ void softmax_back_row(const real *y, const real *g_y, real *g_x, int64_t n, int64_t d, bool log_too)
{
	int64_t i = cuda_row();
	double sum = 0;
	if (i >= n)
		return;
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP)
		sum += (double)g_y[i * d + c] * (log_too ? 1 : (double)y[i * d + c]);
	sum = cuda_warp_sum(sum);
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP) {
		double g = (double)g_y[i * d + c], p = (double)y[i * d + c];
		g_x[i * d + c] += (real)(log_too ? g - exp(p) * sum : p * (g - sum));
	}
}

static void softmax_back(const struct kernels *, const real *y, const real *g_y, real *g_x, int64_t n, int64_t d,
			 bool log_too)
{
	CUDA_EACH_ROW(softmax_back_row, n, y, g_y, g_x, n, d, log_too);
}

static __global__ void pick_each(const real *x, const int64_t *col, real *y, int64_t n, int64_t d)
{
	int64_t i = cuda_index();
	if (i < n)
		y[i] = x[i * d + col[i]];
}

static void pick(const struct kernels *, const real *x, const int64_t *col, real *y, int64_t n, int64_t d)
{
	CUDA_EACH(pick_each, n, x, col, y, n, d);
}

static __global__ void pick_back_each(const real *g_y, const int64_t *col, real *g_x, int64_t n, int64_t d)
{
	int64_t i = cuda_index();
	if (i < n)
		g_x[i * d + col[i]] += g_y[i];
}

static void pick_back(const struct kernels *, const real *g_y, const int64_t *col, real *g_x, int64_t n, int64_t d)
{
	CUDA_EACH(pick_back_each, n, g_y, col, g_x, n, d);
}

/* ---- hard shrinkage ---------------------------------------------------------------- */

/* q of one entry and its derivative; eps as the CPU has it. */
static __device__ double shrink_entry(double a, double l, double *slope)
{
	double above = a - l, den = above + 1e-12;
	*slope = above > 0 ? ((2 * a - l) * den - above * a) / (den * den) : 0;
	return above > 0 ? above * a / den : 0;
}

static __device__ double shrink_sum(const real *a, int64_t d, double l)
{
	double sum = 0, slope;
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP)
		sum += shrink_entry((double)a[c], l, &slope);
	return cuda_warp_sum(sum);
}

static __global__ void shrink_row(const real *a, real *y, int64_t n, int64_t d, double l)
{
	int64_t i = cuda_row();
	double slope;
	if (i >= n)
		return;
	double sum = shrink_sum(a + i * d, d, l), scale = 1 / (sum > 1e-12 ? sum : 1e-12);
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP)
		y[i * d + c] = (real)(shrink_entry((double)a[i * d + c], l, &slope) * scale);
}

static void shrink(const struct kernels *, const real *a, real *y, int64_t n, int64_t d, double l)
{
	CUDA_EACH_ROW(shrink_row, n, a, y, n, d, l);
}

static __global__ void shrink_back_row(const real *a, const real *y, const real *g_y, real *g_a, int64_t n, int64_t d,
				       double l)
{
	int64_t i = cuda_row();
	double dot = 0, slope;
	if (i >= n)
		return;
	double sum = shrink_sum(a + i * d, d, l), scale = 1 / (sum > 1e-12 ? sum : 1e-12);
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP)
		dot += (double)g_y[i * d + c] * (double)y[i * d + c];
	dot = cuda_warp_sum(dot);
	if (!(sum > 1e-12)) /* there the divisor is a constant */
		dot = 0;
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP) {
		shrink_entry((double)a[i * d + c], l, &slope);
		g_a[i * d + c] += (real)(((double)g_y[i * d + c] - dot) * scale * slope);
	}
}

static void shrink_back(const struct kernels *, const real *a, const real *y, const real *g_y, real *g_a, int64_t n,
			int64_t d, double l)
{
	CUDA_EACH_ROW(shrink_back_row, n, a, y, g_y, g_a, n, d, l);
}

void cuda_rows(struct kernels *k)
{
	k->copy_block = copy_block;
	k->transpose = transpose;
	k->scale_rows = scale_rows;
	k->add_row = add_row;
	k->bias_relu = bias_relu;
	k->bias_relu_back = bias_relu_back;
	k->add_column = add_column;
	k->column_sum = column_sum;
	k->row_sum = row_sum;
	k->unit = unit;
	k->unit_back = unit_back;
	k->softmax = softmax;
	k->softmax_back = softmax_back;
	k->pick = pick;
	k->pick_back = pick_back;
	k->shrink = shrink;
	k->shrink_back = shrink_back;
}
