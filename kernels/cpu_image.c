/* cpu_image.c - pictures on the CPU, NHWC: convolutions as products of gathered windows. */
#include "cpu.h"

#include <string.h>

enum {
	N_PART = 4, /* partial sums of a weight gradient: their number depends on the pictures alone */
	/* Multiplications of a convolution that is summed in double: on the way forward, where rounding is handed on
	 * to all that follows, and back. */
	EXACT = 2200000,
	EXACT_BACK = 1 << 18,
};

/* The same weights with the channel innermost: packed [o, ky, kx, i] from OIHW, or back (adding). */
static void pack_weight(const struct k_conv *c, const real *weight, real *packed)
{
	int64_t taps = c->kernel * c->kernel;
	for (int64_t o = 0; o < c->c_out; o++)
		for (int64_t i = 0; i < c->c_in; i++)
			for (int64_t t = 0; t < taps; t++)
				packed[(o * taps + t) * c->c_in + i] = weight[(o * c->c_in + i) * taps + t];
}

static void unpack_weight_add(const struct k_conv *c, const real *packed, real *weight)
{
	int64_t taps = c->kernel * c->kernel;
	for (int64_t o = 0; o < c->c_out; o++)
		for (int64_t i = 0; i < c->c_in; i++)
			for (int64_t t = 0; t < taps; t++)
				weight[(o * c->c_in + i) * taps + t] += packed[(o * taps + t) * c->c_in + i];
}

static int64_t window_size(const struct k_conv *c)
{
	return c->kernel * c->kernel * c->c_in;
}

/* The columns kx of a window that lie within the picture, for a window that starts at x0. */
static void clip(int64_t x0, int64_t kernel, int64_t width, int64_t *from, int64_t *to)
{
	*from = x0 < 0 ? -x0 : 0;
	*to = x0 + kernel > width ? width - x0 : kernel;
	if (*to < *from)
		*to = *from;
}

K_SIMD static void read_line(real *restrict z, const real *restrict x, const real *restrict scale,
			     const real *restrict shift, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		double v = (double)scale[i] * (double)x[i] + (double)shift[i];
		z[i] = v > 0 ? (real)v : 0;
	}
}

void cpu_conv_read(const struct k_conv *c, const real *x, int64_t from, int64_t n, real *z)
{
	read_line(z, x, c->in_scale + from, c->in_shift + from, n);
}

K_SIMD static void bias_line(real *restrict y, const real *restrict bias, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] += bias[i];
}

K_SIMD static void relu_line(real *y, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = y[i] > 0 ? y[i] : 0;
}

void cpu_conv_finish(const struct k_conv *c, real *y, int64_t row, int64_t from, int64_t n)
{
	if (c->out_bias)
		bias_line(y, c->out_bias + from, n);
	if (c->residual)
		cpu_line_add(y, c->residual + row * c->c_out + from, n);
	if (c->relu)
		relu_line(y, n);
}

/* n lines x, `step` apart, into col, `size` apart. Short ones by vectors of 8, the last of which begins early. */
K_SIMD static void copy_lines(const real *x, int64_t step, int64_t line, int64_t n, real *col, int64_t size)
{
	typedef real vec __attribute__((vector_size(8 * sizeof(real)), aligned(sizeof(real))));
	for (int64_t i = 0; i < n; i++, x += step, col += size) {
		if (line < 8 || line > 64) {
			memcpy(col, x, (size_t)line * sizeof *col);
			continue;
		}
		for (int64_t c = 0; c + 8 < line; c += 8)
			*(vec *)(col + c) = *(const vec *)(x + c);
		*(vec *)(col + line - 8) = *(const vec *)(x + line - 8);
	}
}

/* Pixels [0, n) of a row of a picture, as the convolution reads them. */
static void copy_pixels(const struct k_conv *c, const real *x, int64_t n, real *z)
{
	if (!c->in_scale)
		memcpy(z, x, (size_t)(n * c->c_in) * sizeof *z);
	else
		for (int64_t i = 0; i < n; i++)
			cpu_conv_read(c, x + i * c->c_in, 0, c->c_in, z + i * c->c_in);
}

/* Windows [ox, ox + n) of one row of outputs, one by one: with what lies outside the picture. */
static void gather_edge(const struct k_conv *c, const real *x, int64_t y0, int64_t ox, int64_t n, real *col)
{
	int64_t line = c->kernel * c->c_in;
	for (; n > 0; n--, ox++, col += window_size(c)) {
		int64_t x0 = ox * c->stride - c->kernel / 2, from, to;
		clip(x0, c->kernel, c->width, &from, &to);
		for (int64_t ky = 0; ky < c->kernel; ky++) {
			real *dst = col + ky * line;
			if (y0 + ky < 0 || y0 + ky >= c->height) {
				memset(dst, 0, (size_t)line * sizeof *dst);
				continue;
			}
			memset(dst, 0, (size_t)(from * c->c_in) * sizeof *dst);
			copy_pixels(c, x + ((y0 + ky) * c->width + x0 + from) * c->c_in, to - from,
				    dst + from * c->c_in);
			memset(dst + to * c->c_in, 0, (size_t)((c->kernel - to) * c->c_in) * sizeof *dst);
		}
	}
}

/* Windows [ox, ox + n) of output row oy of a picture x into col [n, window]. */
static void gather_row(const struct k_conv *c, const real *x, int64_t oy, int64_t ox, int64_t n, real *col)
{
	int64_t pad = c->kernel / 2, y0 = oy * c->stride - pad, size = window_size(c), step = c->stride * c->c_in;
	int64_t left = cpu_n_chunk(pad, c->stride), right = (c->width + pad - c->kernel) / c->stride + 1; /* inside */
	left = cpu_min(ox > left ? ox : left, ox + n);
	right = cpu_min(right > left ? right : left, ox + n);
	if (c->in_scale || y0 < 0 || y0 + c->kernel > c->height || c->width + pad < c->kernel)
		left = right = ox + n;
	gather_edge(c, x, y0, ox, left - ox, col);
	for (int64_t ky = 0; ky < c->kernel && left < right; ky++)
		copy_lines(x + ((y0 + ky) * c->width + left * c->stride - pad) * c->c_in, step, c->kernel * c->c_in,
			   right - left, col + (left - ox) * size + ky * c->kernel * c->c_in, size);
	gather_edge(c, x, y0, right, ox + n - right, col + (right - ox) * size);
}

/* Windows of output rows [first, first + n) of the batch into col [n, window]. */
static void gather_windows(const struct k_conv *c, const real *x, int64_t first, int64_t n, real *col)
{
	int64_t out_px = c->out_height * c->out_width;
	for (int64_t r = first, took; r < first + n; r += took, col += took * window_size(c)) {
		int64_t img = r / out_px, ox = r % c->out_width;
		took = cpu_min(c->out_width - ox, first + n - r);
		gather_row(c, x + img * c->height * c->width * c->c_in, r % out_px / c->out_width, ox, took, col);
	}
}

K_SIMD void cpu_line_add(real *restrict y, const real *restrict x, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] += x[i];
}

/* The transpose of gather_windows, adding. */
static void scatter_windows(const struct k_conv *c, const real *col, int64_t first, int64_t n, real *g_x)
{
	int64_t pad = c->kernel / 2, line = c->kernel * c->c_in, out_px = c->out_height * c->out_width;
	for (int64_t r = first; r < first + n; r++, col += window_size(c)) {
		int64_t img = r / out_px, oy = r % out_px / c->out_width, ox = r % c->out_width;
		int64_t x0 = ox * c->stride - pad, from, to;
		clip(x0, c->kernel, c->width, &from, &to);
		for (int64_t ky = 0; ky < c->kernel; ky++) {
			int64_t y = oy * c->stride - pad + ky;
			if (y >= 0 && y < c->height)
				cpu_line_add(g_x + ((img * c->height + y) * c->width + x0 + from) * c->c_in,
					     col + ky * line + from * c->c_in, (to - from) * c->c_in);
		}
	}
}

/* The same for the way forward, outputs innermost: packed [ky, kx, i, o], each times its scale. */
static void pack_forward(const struct k_conv *c, const real *weight, real *packed)
{
	int64_t taps = c->kernel * c->kernel;
	for (int64_t o = 0; o < c->c_out; o++)
		for (int64_t i = 0; i < c->c_in; i++)
			for (int64_t t = 0; t < taps; t++)
				packed[(t * c->c_in + i) * c->c_out + o] =
				    weight[(o * c->c_in + i) * taps + t] * (c->out_scale ? c->out_scale[o] : 1);
}

/* A 1 x 1 convolution at every pixel is a plain product: its windows are the rows of x themselves. */
static bool is_product(const struct k_conv *c)
{
	return c->kernel == 1 && c->stride == 1 && !c->in_scale;
}

static bool is_exact(const struct kernels *k, const struct k_conv *c, int64_t most)
{
	return cpu_is_exact(k, c->n * c->out_height * c->out_width, c->c_out, window_size(c), most);
}

struct job {
	const struct kernels *k;
	const struct k_conv *c;
	bool exact;
	const real *x, *w, *g_y;
	real *y, *g_x, *part;
	int n_part;
};

/* c = op(a) b, or added to c. */
static void product(const struct job *j, bool ta, int64_t m, int64_t n, int64_t kk, const real *a, int64_t lda,
		    const real *b, int64_t ldb, bool add, real *c, int64_t ldc)
{
	if (j->exact)
		cpu_gemm_exact(ta, false, m, n, kk, a, lda, b, ldb, add, c, ldc);
	else
		cpu_gemm_pieces(ta, m, n, kk, a, lda, b, ldb, add, c, ldc);
}

static void conv_chunk(void *ctx, int64_t chunk, int thread)
{
	const struct job *j = ctx;
	const struct k_conv *c = j->c;
	int64_t total = c->n * c->out_height * c->out_width, first = chunk * CPU_ROWS;
	int64_t n = cpu_min(CPU_ROWS, total - first), size = window_size(c);
	const real *col = j->x + first * size;
	if (!is_product(c)) {
		real *windows = cpu_scratch(j->k, 2 + thread, (size_t)(CPU_ROWS * size) * sizeof *windows);
		gather_windows(c, j->x, first, n, windows);
		col = windows;
	}
	if (j->k->fixed_rows)
		cpu_gemm_blocks(false, n, c->c_out, size, 1, col, size, j->w, c->c_out, j->y + first * c->c_out,
				c->c_out);
	else
		product(j, false, n, c->c_out, size, col, size, j->w, c->c_out, false, j->y + first * c->c_out,
			c->c_out);
	for (int64_t r = first; r < first + n; r++)
		cpu_conv_finish(c, j->y + r * c->c_out, r, 0, c->c_out);
}

static void conv(const struct kernels *k, const struct k_conv *c, const real *x, const real *weight, real *y)
{
	const bool exact = is_exact(k, c, EXACT);
	if (!exact && cpu_winograd_fits(k, c)) {
		cpu_winograd(k, c, x, weight, y);
		return;
	}
	real *packed = cpu_scratch(k, 0, (size_t)(c->c_out * window_size(c)) * sizeof *packed);
	struct job j = {.k = k, .c = c, .exact = exact, .x = x, .w = packed, .y = y};
	pack_forward(c, weight, packed);
	cpu_run(k, cpu_n_chunk(c->n * c->out_height * c->out_width, CPU_ROWS), conv_chunk, &j);
}

/* Gradient of the input, one picture a chunk: windows overlap within a picture only. */
static void input_chunk(void *ctx, int64_t chunk, int thread)
{
	const struct job *j = ctx;
	const struct k_conv *c = j->c;
	int64_t px = c->out_height * c->out_width, size = window_size(c);
	if (c->kernel == 1 && c->stride == 1) {
		product(j, false, px, size, c->c_out, j->g_y + chunk * px * c->c_out, c->c_out, j->w, size, !c->g_x_set,
			j->g_x + chunk * px * size, size);
		return;
	}
	if (c->g_x_set) {
		int64_t n = c->height * c->width * c->c_in;
		memset(j->g_x + chunk * n, 0, (size_t)n * sizeof *j->g_x);
	}
	real *windows = cpu_scratch(j->k, 2 + thread, (size_t)(CPU_ROWS * size) * sizeof *windows);
	for (int64_t first = chunk * px; first < (chunk + 1) * px; first += CPU_ROWS) {
		int64_t n = cpu_min(CPU_ROWS, (chunk + 1) * px - first);
		product(j, false, n, size, c->c_out, j->g_y + first * c->c_out, c->c_out, j->w, size, false, windows,
			size);
		scatter_windows(c, windows, first, n, j->g_x);
	}
}

/* Gradient of the weight: a chunk sums over its share of the pictures. */
static void weight_chunk(void *ctx, int64_t chunk, int thread)
{
	const struct job *j = ctx;
	const struct k_conv *c = j->c;
	int64_t px = c->out_height * c->out_width, size = window_size(c);
	int64_t from = c->n * chunk / j->n_part * px, to = c->n * (chunk + 1) / j->n_part * px;
	real *out = j->part + chunk * c->c_out * size;
	memset(out, 0, (size_t)(c->c_out * size) * sizeof *out);
	for (int64_t first = from; first < to; first += 2 * CPU_ROWS) {
		int64_t n = cpu_min(2 * CPU_ROWS, to - first);
		const real *col = j->x + first * size;
		if (!is_product(c)) {
			real *windows = cpu_scratch(j->k, 2 + thread, (size_t)(2 * CPU_ROWS * size) * sizeof *windows);
			gather_windows(c, j->x, first, n, windows);
			col = windows;
		}
		product(j, true, c->c_out, size, n, j->g_y + first * c->c_out, c->c_out, col, size, true, out, size);
	}
}

static void conv_back(const struct kernels *k, const struct k_conv *c, const real *x, const real *weight,
		      const real *g_y, real *g_x, real *g_weight)
{
	int64_t n_weight = c->c_out * window_size(c);
	struct job j = {.k = k, .c = c, .exact = is_exact(k, c, EXACT_BACK), .x = x, .g_y = g_y, .g_x = g_x};
	if (!c->n)
		return;
	if (g_x && !j.exact && cpu_winograd_fits(k, c)) {
		cpu_winograd_back_input(k, c, weight, g_y, g_x);
	} else if (g_x) {
		real *packed = cpu_scratch(k, 0, (size_t)n_weight * sizeof *packed);
		pack_weight(c, weight, packed);
		j.w = packed;
		cpu_run(k, c->n, input_chunk, &j);
	}
	if (g_weight && !j.exact && cpu_winograd_fits_weight(k, c)) {
		cpu_winograd_back_weight(k, c, x, g_y, g_weight);
	} else if (g_weight) {
		j.n_part = (int)cpu_min(N_PART, c->n);
		j.part = cpu_scratch(k, 1, (size_t)(j.n_part * n_weight) * sizeof *j.part);
		cpu_run(k, j.n_part, weight_chunk, &j);
		for (int p = 1; p < j.n_part; p++)
			cpu_line_add(j.part, j.part + p * n_weight, n_weight);
		unpack_weight_add(c, j.part, g_weight);
	}
}

void kernels_cpu_image(struct kernels *k)
{
	k->conv = conv;
	k->conv_back = conv_back;
}
