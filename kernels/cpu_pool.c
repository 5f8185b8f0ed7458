/* cpu_pool.c - max pooling on the CPU, NHWC, of pixels as they are or as a BatchNorm and a ReLU would leave them. */
#include "cpu.h"

#include <string.h>

enum { LANES = 16 };

struct pool_job {
	const struct k_conv *c;
	const real *x, *g_y;
	real *y, *g_x;
	uint8_t *arg;
	const uint8_t *from;
};

/* Of n_tap pixels x[t], channels [from, from + n): the largest, and the number tap[t] of the first that is so large. */
K_SIMD static void largest(const struct k_conv *c, const real *const *x, const int *tap, int n_tap, int64_t from,
			   int64_t n, real *y, uint8_t *arg)
{
	const real *scale = c->in_scale ? c->in_scale + from : NULL, *shift = c->in_scale ? c->in_shift + from : NULL;
	real best[LANES], z[LANES];
	int best_tap[LANES];
	for (int t = 0; t < n_tap; t++) {
		for (int64_t i = 0; i < n; i++)
			z[i] = x[t][from + i];
		if (scale)
			for (int64_t i = 0; i < n; i++) {
				real v = scale[i] * z[i] + shift[i];
				z[i] = v > 0 ? v : 0;
			}
		int at = tap[t];
		if (!t)
			for (int64_t i = 0; i < n; i++) {
				best[i] = z[i];
				best_tap[i] = at;
			}
		else
			for (int64_t i = 0; i < n; i++) {
				best_tap[i] = z[i] > best[i] ? at : best_tap[i];
				best[i] = z[i] > best[i] ? z[i] : best[i];
			}
	}
	for (int64_t i = 0; i < n; i++) {
		y[i] = best[i];
		arg[i] = (uint8_t)best_tap[i];
	}
}

static void max_pixel(const struct pool_job *j, int64_t img, int64_t oy, int64_t ox)
{
	const struct k_conv *c = j->c;
	const real *x[UINT8_MAX];
	int tap[UINT8_MAX], n_tap = 0;
	int64_t pad = c->kernel / 2, o = ((img * c->out_height + oy) * c->out_width + ox) * c->c_in;
	for (int64_t ky = 0; ky < c->kernel; ky++)
		for (int64_t kx = 0; kx < c->kernel; kx++) {
			int64_t row = oy * c->stride - pad + ky, column = ox * c->stride - pad + kx;
			if (row < 0 || row >= c->height || column < 0 || column >= c->width)
				continue;
			x[n_tap] = j->x + ((img * c->height + row) * c->width + column) * c->c_in;
			tap[n_tap++] = (int)(ky * c->kernel + kx);
		}
	for (int64_t from = 0; from < c->c_in; from += LANES)
		largest(c, x, tap, n_tap, from, cpu_min(LANES, c->c_in - from), j->y + o + from, j->arg + o + from);
}

static void max_chunk(void *ctx, int64_t img, int thread)
{
	(void)thread;
	const struct pool_job *j = ctx;
	for (int64_t oy = 0; oy < j->c->out_height; oy++)
		for (int64_t ox = 0; ox < j->c->out_width; ox++)
			max_pixel(j, img, oy, ox);
}

static void max_pool(const struct kernels *k, const struct k_conv *c, const real *x, real *y, uint8_t *arg)
{
	struct pool_job j = {.c = c, .x = x, .y = y, .arg = arg};
	cpu_run(k, c->n, max_chunk, &j);
}

/* g_x += g where arg is this tap. */
K_SIMD static void add_where(real *restrict g_x, const real *restrict g, const uint8_t *restrict arg, uint8_t tap,
			     int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		g_x[i] += arg[i] == tap ? g[i] : 0;
}

/* Each pixel of a row gathers from the windows that it lies in. */
static void back_row(const struct pool_job *j, int64_t img, int64_t iy)
{
	const struct k_conv *c = j->c;
	int64_t pad = c->kernel / 2, d = c->c_in;
	for (int64_t ix = 0; ix < c->width; ix++) {
		real *g_x = j->g_x + ((img * c->height + iy) * c->width + ix) * d;
		if (c->g_x_set)
			memset(g_x, 0, (size_t)d * sizeof *g_x);
		for (int64_t ky = c->kernel - 1; ky >= 0; ky--)
			for (int64_t kx = c->kernel - 1; kx >= 0; kx--) {
				int64_t ty = iy + pad - ky, tx = ix + pad - kx;
				if (ty < 0 || tx < 0 || ty % c->stride || tx % c->stride)
					continue;
				ty /= c->stride;
				tx /= c->stride;
				if (ty >= c->out_height || tx >= c->out_width)
					continue;
				int64_t o = ((img * c->out_height + ty) * c->out_width + tx) * d;
				add_where(g_x, j->g_y + o, j->from + o, (uint8_t)(ky * c->kernel + kx), d);
			}
	}
}

static void max_back_chunk(void *ctx, int64_t img, int thread)
{
	(void)thread;
	const struct pool_job *j = ctx;
	for (int64_t iy = 0; iy < j->c->height; iy++)
		back_row(j, img, iy);
}

static void max_pool_back(const struct kernels *k, const struct k_conv *c, const uint8_t *arg, const real *g_y,
			  real *g_x)
{
	struct pool_job j = {.c = c, .g_y = g_y, .g_x = g_x, .from = arg};
	cpu_run(k, c->n, max_back_chunk, &j);
}

void kernels_cpu_pool(struct kernels *k)
{
	k->max_pool = max_pool;
	k->max_pool_back = max_pool_back;
}
