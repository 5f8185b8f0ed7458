/* cpu_pool.c - max pooling on the CPU, NHWC, of pixels as they are or as a BatchNorm and a ReLU would leave them. */
#include "cpu.h"

#include <string.h>

enum {
	LANES = 16,    /* channels at a time */
	MAX_SIDE = 15, /* of a window */
	FEW = 1 << 13, /* maxima: with fewer pixels are read in double, since small batches blow rounding up */
};

struct pool_job {
	const struct kernels *k;
	const struct k_conv *c;
	bool exact; /* pixels are read in double */
	const real *x, *g_y;
	real *y, *g_x;
	uint8_t *arg;
	const uint8_t *from;
};

/* Of n_tap pixels x[t], channels [from, from + n): the largest, and the number tap[t] of the first that is so large. */
K_SIMD static void largest(const struct k_conv *c, bool exact, const real *const *x, const int *tap, int n_tap,
			   int64_t from, int64_t n, real *y, uint8_t *arg)
{
	const real *scale = c->in_scale ? c->in_scale + from : NULL, *shift = c->in_scale ? c->in_shift + from : NULL;
	real best[LANES], z[LANES];
	int best_tap[LANES];
	for (int t = 0; t < n_tap; t++) {
		for (int64_t i = 0; i < n; i++)
			z[i] = x[t][from + i];
		if (scale && exact)
			for (int64_t i = 0; i < n; i++) {
				double v = (double)scale[i] * (double)z[i] + (double)shift[i];
				z[i] = v > 0 ? (real)v : 0;
			}
		else if (scale)
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
		largest(c, j->exact, x, tap, n_tap, from, cpu_min(LANES, c->c_in - from), j->y + o + from,
			j->arg + o + from);
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
	j.exact = !k->fixed_rows && c->n * c->out_height * c->out_width * c->c_in < FEW;
	cpu_run(k, c->n, max_chunk, &j);
}

/* The windows that a pixel lies in along one axis, and the tap that it is there. */
struct covers {
	int n, out[MAX_SIDE], tap[MAX_SIDE];
};

static struct covers covers_of(int64_t i, int64_t n_out, const struct k_conv *c)
{
	struct covers v = {0};
	for (int64_t k = c->kernel - 1; k >= 0; k--) {
		int64_t at = i + c->kernel / 2 - k;
		if (at < 0 || at % c->stride || at / c->stride >= n_out)
			continue;
		v.out[v.n] = (int)(at / c->stride);
		v.tap[v.n++] = (int)k;
	}
	return v;
}

typedef real vec __attribute__((vector_size(LANES * sizeof(real)), aligned(sizeof(real))));
typedef __typeof__(_Generic((real)0, float : (int32_t)0, default : (int64_t)0)) lane; /* as wide as real */
typedef lane vec_mask __attribute__((vector_size(LANES * sizeof(lane))));
typedef int16_t vec_short __attribute__((vector_size(LANES * sizeof(int16_t)))); /* on the way: one instruction each */
typedef uint8_t vec_bytes __attribute__((vector_size(LANES), aligned(1)));

/* A row of pixels g_x, in the windows y of the picture g, arg: each gathers from those where it was the largest. */
K_SIMD static void back_row(const struct k_conv *c, const struct covers *y, const struct covers *x, const real *g,
			    const uint8_t *arg, real *g_x)
{
	int64_t d = c->c_in, at[MAX_SIDE * MAX_SIDE];
	int16_t tap[MAX_SIDE * MAX_SIDE];
	for (int64_t ix = 0; ix < c->width; ix++, g_x += d) {
		int64_t i = 0;
		int n = 0;
		for (int a = 0; a < y->n; a++)
			for (int b = 0; b < x[ix].n; b++) {
				at[n] = (y->out[a] * c->out_width + x[ix].out[b]) * d;
				tap[n++] = (int16_t)(y->tap[a] * (int)c->kernel + x[ix].tap[b]);
			}
		for (; i + LANES <= d; i += LANES) {
			vec sum = c->g_x_set ? (vec){0} : *(const vec *)(g_x + i);
			for (int w = 0; w < n; w++) {
				vec_short from =
				    __builtin_convertvector(*(const vec_bytes *)(arg + at[w] + i), vec_short);
				vec_mask here = __builtin_convertvector(from == tap[w], vec_mask);
				sum += (vec)((vec_mask) * (const vec *)(g + at[w] + i) & here);
			}
			*(vec *)(g_x + i) = sum;
		}
		for (; i < d; i++) {
			real sum = c->g_x_set ? 0 : g_x[i];
			for (int w = 0; w < n; w++)
				sum += arg[at[w] + i] == tap[w] ? g[at[w] + i] : 0;
			g_x[i] = sum;
		}
	}
}

static void max_back_chunk(void *ctx, int64_t img, int thread)
{
	const struct pool_job *j = ctx;
	const struct k_conv *c = j->c;
	int64_t n_out = c->out_height * c->out_width * c->c_in, n_in = c->width * c->c_in;
	struct covers *x = cpu_scratch(j->k, 2 + thread, (size_t)(c->width + 1) * sizeof *x);
	for (int64_t ix = 0; ix < c->width; ix++)
		x[ix] = covers_of(ix, c->out_width, c);
	for (int64_t iy = 0; iy < c->height; iy++) {
		struct covers y = covers_of(iy, c->out_height, c);
		back_row(c, &y, x, j->g_y + img * n_out, j->from + img * n_out, j->g_x + (img * c->height + iy) * n_in);
	}
}

static void max_pool_back(const struct kernels *k, const struct k_conv *c, const uint8_t *arg, const real *g_y,
			  real *g_x)
{
	struct pool_job j = {.k = k, .c = c, .g_y = g_y, .g_x = g_x, .from = arg};
	cpu_run(k, c->n, max_back_chunk, &j);
}

void kernels_cpu_pool(struct kernels *k)
{
	k->max_pool = max_pool;
	k->max_pool_back = max_pool_back;
}
