/*
 * cpu_winograd.c - 3 x 3 convolutions of stride 1 by F(4 x 4, 3 x 3): 36 products instead of 9 for 16 pixels, forward
 * and both ways back.
 *
 * Products are kept so small (TILES x LANES x channels) that OpenBLAS takes them without repacking. Where the
 * transformed filters are few they are made once and each block of tiles goes the whole way within the cache (narrow);
 * else the tiles of a group are transformed first, and filters are made LANES channels at a time, used for all the
 * group's tiles and forgotten (wide).
 */
#include "cpu_winograd.h"

#include <string.h>

enum {
	LANES = WINO_LANES,
	TAPS = WINO_TAPS,
	NARROW = 128 * 128, /* entries of a tap of all filters, at most */
	GROUP = 3 << 20,    /* entries of a group's transformed tiles, about */
	WEIGHT_TILES = 240, /* of a group where the weights' gradient is made */
	PAD = 16,           /* entries between taps, so that they do not fall upon each other in the cache */
	SMALLEST = 3,       /* side of a picture: below, most of a tile is outside */
	FEW = 256,          /* pixels */
	N_PART = 4,         /* partial sums of a narrow weight gradient */
};

/* One pass over tiles: from x (co_in channels) through filters to y. */
struct pass {
	const struct kernels *k;
	const struct k_conv *c; /* its sizes of pictures, what it reads and how it ends */
	bool back;              /* from the output's gradient to the input's: filters turned round */
	int64_t n_in, n_out;    /* channels of x and y */
	const real *x, *g_y, *weight;
	real *y, *g_weight;
	int64_t across, per_picture, n_tile, n_block, block; /* tiles */
	int64_t first, count;                                /* tiles of the group */
	real *u, *v, *w;                                     /* transformed filters, input, output's gradient */
	int64_t n_part;
};

static const real zeros[LANES];

static int64_t padded(int64_t n)
{
	return n + PAD;
}

static struct pass pass_of(const struct kernels *k, const struct k_conv *c, int64_t n_in, int64_t n_out)
{
	struct pass p = {.k = k, .c = c, .n_in = n_in, .n_out = n_out};
	p.across = cpu_n_chunk(c->width, 4);
	p.per_picture = p.across * cpu_n_chunk(c->height, 4);
	p.n_tile = c->n * p.per_picture;
	p.block = n_in < 64 ? 64 : cpu_min(32, CPU_SMALL / (LANES * n_in));
	p.block = p.block < 8 ? 8 : p.block;
	p.n_block = cpu_n_chunk(p.n_tile, p.block);
	return p;
}

static bool is_narrow(const struct pass *p)
{
	return p->n_in * p->n_out <= NARROW;
}

/* Row of the pictures' pixels for pixel (dy, dx) of a tile, or -1 outside. */
static int64_t pixel_of(const struct pass *p, int64_t tile, int64_t dy, int64_t dx)
{
	int64_t img = tile / p->per_picture, at = tile % p->per_picture;
	int64_t row = at / p->across * 4 + dy, column = at % p->across * 4 + dx;
	if (row < 0 || row >= p->c->height || column < 0 || column >= p->c->width)
		return -1;
	return (img * p->c->height + row) * p->c->width + column;
}

/* ---- tiles ------------------------------------------------------------------------------------------------------ */

/* Transformed input of `count` tiles into v: taps `stride` apart, a row of n_in a tile. */
static void input_tiles(const struct pass *p, const real *x, int64_t first, int64_t count, real *v, int64_t stride)
{
	bool read = !p->back && p->c->in_scale;
	real patch[TAPS * LANES];
	for (int64_t t = 0; t < count; t++) {
		int64_t row[TAPS];
		for (int i = 0; i < TAPS; i++)
			row[i] = pixel_of(p, first + t, i / 6 - 1, i % 6 - 1);
		for (int64_t from = 0; from < p->n_in; from += LANES) {
			int64_t n = cpu_min(LANES, p->n_in - from);
			const real *d[TAPS];
			for (int i = 0; i < TAPS; i++)
				d[i] = row[i] < 0 ? zeros : x + row[i] * p->n_in + from;
			if (read)
				wino_read(p->c->in_scale + from, p->c->in_shift + from, d, zeros, patch, n);
			wino_input(d, v + t * p->n_in + from, stride, n);
		}
	}
}

/* Transformed gradients of the output, as input_tiles. */
static void gradient_tiles(const struct pass *p, int64_t first, int64_t count, real *w, int64_t stride)
{
	for (int64_t t = 0; t < count; t++) {
		int64_t row[16];
		for (int i = 0; i < 16; i++)
			row[i] = pixel_of(p, first + t, i / 4, i % 4);
		for (int64_t from = 0; from < p->n_out; from += LANES) {
			const real *g[16];
			for (int i = 0; i < 16; i++)
				g[i] = row[i] < 0 ? zeros : p->g_y + row[i] * p->n_out + from;
			wino_output_back(g, w + t * p->n_out + from, stride, cpu_min(LANES, p->n_out - from));
		}
	}
}

/* Products m [TAPS][count, n] back to the pixels of y, channels [from, from + n). */
static void output_tiles(const struct pass *p, const real *m, int64_t stride, int64_t first, int64_t count,
			 int64_t from, int64_t n)
{
	real nowhere[LANES] = {0};
	bool add = p->back && !p->c->g_x_set;
	for (int64_t t = 0; t < count; t++) {
		real *out[16];
		int64_t row[16];
		for (int i = 0; i < 16; i++) {
			row[i] = pixel_of(p, first + t, i / 4, i % 4);
			out[i] = row[i] < 0 ? nowhere : p->y + row[i] * p->n_out + from;
		}
		wino_output(m + t * n, stride, out, add, n);
		for (int i = 0; i < 16 && !p->back; i++)
			if (row[i] >= 0)
				cpu_conv_finish(p->c, out[i], row[i], from, n);
	}
}

/* ---- filters ---------------------------------------------------------------------------------------------------- */

/* Filters to outputs [from, from + n) of inputs [i0, i1): u [TAPS][n_in, n], weights OIHW, turned round for the way
 * back. */
static void filters(const struct pass *p, int64_t from, int64_t n, int64_t i0, int64_t i1, real *u, int64_t stride)
{
	const real *scale = p->back ? NULL : p->c->out_scale;
	real w[9 * LANES];
	for (int64_t i = i0; i < i1; i++) {
		for (int64_t o = 0; o < n; o++) {
			const real *src =
			    p->weight + (p->back ? i * p->n_out + from + o : (from + o) * p->n_in + i) * 9;
			for (int t = 0; t < 9; t++)
				w[t * LANES + o] = src[p->back ? 8 - t : t];
		}
		for (int t = 0; t < 9 && scale; t++)
			for (int64_t o = 0; o < n; o++)
				w[t * LANES + o] *= scale[from + o];
		wino_filter(w, u + i * n, stride, n);
	}
}

/*
 * m = v u for the taps of a block of tiles. With fixed_rows blocks are filled up, which is enough where the library
 * gives a row the same bytes wherever in a block it stands (cpu_blocks.c).
 */
static void products(const struct pass *p, const real *v, int64_t v_stride, const real *u, int64_t u_stride, int64_t n,
		     int64_t count, real *m, int64_t m_stride)
{
	const bool apart = p->k->fixed_rows && !cpu_library_is_wide();
	for (int t = 0; t < TAPS; t++)
		if (apart)
			cpu_gemm_blocks(false, count, n, p->n_in, 1, v + t * v_stride, p->n_in, u + t * u_stride, n,
					m + t * m_stride, n);
		else
			cpu_gemm_serial(false, false, count, n, p->n_in, 1, v + t * v_stride, p->n_in, u + t * u_stride,
					n, 0, m + t * m_stride, n);
}

/* Tiles that block b computes with: its own, or a whole block where the bytes of a tile may not depend on others. */
static int64_t rows_of(const struct pass *p, int64_t own)
{
	return p->k->fixed_rows ? p->block : own;
}

/* ---- forward, and back to the input: narrow -----------------------------------------------------------------------
 */

static int64_t narrow_u(const struct pass *p)
{
	return TAPS * padded(p->n_in * LANES);
}

static void narrow_filters(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct pass *p = ctx;
	int64_t n = cpu_min(LANES, p->n_out - chunk * LANES);
	filters(p, chunk * LANES, n, 0, p->n_in, p->u + chunk * narrow_u(p), padded(p->n_in * LANES));
}

static void narrow_block(void *ctx, int64_t chunk, int thread)
{
	const struct pass *p = ctx;
	int64_t first = chunk * p->block, count = cpu_min(p->block, p->n_tile - first);
	int64_t v_stride = padded(p->block * p->n_in), m_stride = padded(p->block * LANES);
	real *v = cpu_scratch(p->k, 2 + thread, (size_t)(TAPS * (v_stride + m_stride)) * sizeof *v);
	real *m = v + TAPS * v_stride;
	if (count < rows_of(p, count))
		memset(v, 0, (size_t)(TAPS * v_stride) * sizeof *v);
	input_tiles(p, p->x, first, count, v, v_stride);
	for (int64_t from = 0; from < p->n_out; from += LANES) {
		int64_t n = cpu_min(LANES, p->n_out - from);
		products(p, v, v_stride, p->u + from / LANES * narrow_u(p), padded(p->n_in * LANES), n,
			 rows_of(p, count), m, m_stride);
		output_tiles(p, m, m_stride, first, count, from, n);
	}
}

/* ---- forward, and back to the input: wide -------------------------------------------------------------------------
 */

static int64_t group_stride(const struct pass *p, int64_t d)
{
	return padded(cpu_n_chunk(p->count, p->block) * p->block * d);
}

static void wide_tiles(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct pass *p = ctx;
	int64_t at = chunk * p->block;
	input_tiles(p, p->x, p->first + at, cpu_min(p->block, p->count - at), p->v + at * p->n_in,
		    group_stride(p, p->n_in));
}

static void wide_lanes(void *ctx, int64_t chunk, int thread)
{
	const struct pass *p = ctx;
	int64_t from = chunk * LANES, n = cpu_min(LANES, p->n_out - from);
	int64_t u_stride = padded(p->n_in * LANES), m_stride = padded(p->block * LANES);
	real *u = cpu_scratch(p->k, 2 + thread, (size_t)(TAPS * (u_stride + m_stride)) * sizeof *u);
	real *m = u + TAPS * u_stride;
	filters(p, from, n, 0, p->n_in, u, u_stride);
	for (int64_t at = 0; at < p->count; at += p->block) {
		int64_t count = cpu_min(p->block, p->count - at);
		products(p, p->v + at * p->n_in, group_stride(p, p->n_in), u, u_stride, n, rows_of(p, count), m,
			 m_stride);
		output_tiles(p, m, m_stride, p->first + at, count, from, n);
	}
}

static void wide(struct pass *p)
{
	int64_t most = GROUP / (TAPS * p->n_in * p->block);
	most = (most > 0 ? most : 1) * p->block;
	for (p->first = 0; p->first < p->n_tile; p->first += most) {
		p->count = cpu_min(most, p->n_tile - p->first);
		size_t n_v = (size_t)(TAPS * group_stride(p, p->n_in));
		p->v = cpu_scratch(p->k, 1, n_v * sizeof *p->v);
		if (p->count % p->block && p->k->fixed_rows)
			memset(p->v, 0, n_v * sizeof *p->v);
		cpu_run(p->k, cpu_n_chunk(p->count, p->block), wide_tiles, p);
		cpu_run(p->k, cpu_n_chunk(p->n_out, LANES), wide_lanes, p);
	}
}

static void pass_run(struct pass *p)
{
	int64_t n_lanes = cpu_n_chunk(p->n_out, LANES);
	if (!is_narrow(p)) {
		wide(p);
		return;
	}
	p->u = cpu_scratch(p->k, 0, (size_t)(n_lanes * narrow_u(p)) * sizeof *p->u);
	cpu_run(p->k, n_lanes, narrow_filters, p);
	cpu_run(p->k, p->n_block, narrow_block, p);
}

bool cpu_winograd_fits(const struct kernels *k, const struct k_conv *c)
{
	return !k->plain && c->kernel == 3 && c->stride == 1 && c->height >= SMALLEST && c->width >= SMALLEST;
}

/*
 * Where a filter's tap has met nothing but zeros its gradient is 0, and here it is rounding, which Adam blows up to a
 * whole step. With few pixels in all that happens.
 */
bool cpu_winograd_fits_weight(const struct kernels *k, const struct k_conv *c)
{
	return cpu_winograd_fits(k, c) && c->n * c->height * c->width >= FEW;
}

void cpu_winograd(const struct kernels *k, const struct k_conv *c, const real *x, const real *weight, real *y)
{
	struct pass p = pass_of(k, c, c->c_in, c->c_out);
	p.x = x;
	p.weight = weight;
	p.y = y;
	pass_run(&p);
}

void cpu_winograd_back_input(const struct kernels *k, const struct k_conv *c, const real *weight, const real *g_y,
			     real *g_x)
{
	struct pass p = pass_of(k, c, c->c_out, c->c_in);
	p.back = true;
	p.x = g_y;
	p.weight = weight;
	p.y = g_x;
	pass_run(&p);
}

/* ---- back to the weights: transformed input^T transformed gradient, summed over tiles, then back by G -------------
 */

/* g_weight += G^T g_u G for inputs [i0, i0 + n_i) and outputs [o0, o0 + n_o); g_u [TAPS][n_i, n_o]. */
static void filters_back(const struct pass *p, const real *g_u, int64_t stride, int64_t i0, int64_t n_i, int64_t o0,
			 int64_t n_o)
{
	real w[9 * LANES];
	for (int64_t i = 0; i < n_i; i++) {
		wino_filter_back(g_u + i * n_o, stride, w, n_o);
		for (int64_t o = 0; o < n_o; o++)
			for (int t = 0; t < 9; t++)
				p->g_weight[((o0 + o) * p->n_in + i0 + i) * 9 + t] += w[t * LANES + o];
	}
}

static int64_t part_size(const struct pass *p)
{
	return TAPS * padded(p->n_in * p->n_out);
}

/* A part of the tiles: its sum of all filters. */
static void narrow_weight(void *ctx, int64_t chunk, int thread)
{
	const struct pass *p = ctx;
	int64_t from = p->n_block * chunk / p->n_part * p->block, u_stride = padded(p->n_in * p->n_out);
	int64_t to = cpu_min(p->n_tile, p->n_block * (chunk + 1) / p->n_part * p->block);
	int64_t v_stride = padded(p->block * p->n_in), w_stride = padded(p->block * p->n_out);
	real *v = cpu_scratch(p->k, 2 + thread, (size_t)(TAPS * (v_stride + w_stride)) * sizeof *v);
	real *w = v + TAPS * v_stride, *u = p->u + chunk * part_size(p);
	for (int64_t first = from; first < to; first += p->block) {
		int64_t count = cpu_min(p->block, to - first);
		input_tiles(p, p->x, first, count, v, v_stride);
		gradient_tiles(p, first, count, w, w_stride);
		for (int t = 0; t < TAPS; t++)
			cpu_gemm_serial(true, false, p->n_in, p->n_out, count, 1, v + t * v_stride, p->n_in,
					w + t * w_stride, p->n_out, first > from, u + t * u_stride, p->n_out);
	}
}

/* Outputs [LANES chunk ...) of the parts' sum. */
static void narrow_weight_sum(void *ctx, int64_t chunk, int thread)
{
	const struct pass *p = ctx;
	int64_t o0 = chunk * LANES, n_o = cpu_min(LANES, p->n_out - o0), u_stride = padded(p->n_in * p->n_out);
	real *sum = cpu_scratch(p->k, 2 + thread, (size_t)(TAPS * LANES) * sizeof *sum);
	for (int64_t i = 0; i < p->n_in; i++) {
		for (int t = 0; t < TAPS; t++) {
			const real *u = p->u + t * u_stride + i * p->n_out + o0;
			memcpy(sum + t * LANES, u, (size_t)n_o * sizeof *sum);
			for (int64_t part = 1; part < p->n_part; part++)
				cpu_line_add(sum + t * LANES, u + part * part_size(p), n_o);
		}
		filters_back(p, sum, LANES, i, 1, o0, n_o);
	}
}

static void wide_weight_tiles(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct pass *p = ctx;
	int64_t at = chunk * p->block, count = cpu_min(p->block, p->count - at);
	input_tiles(p, p->x, p->first + at, count, p->v + at * p->n_in, group_stride(p, p->n_in));
	gradient_tiles(p, p->first + at, count, p->w + at * p->n_out, group_stride(p, p->n_out));
}

/* LANES inputs by LANES outputs over the group's tiles. */
static void wide_weight_lanes(void *ctx, int64_t chunk, int thread)
{
	const struct pass *p = ctx;
	int64_t across = cpu_n_chunk(p->n_out, LANES), i0 = chunk / across * LANES, o0 = chunk % across * LANES;
	int64_t n_i = cpu_min(LANES, p->n_in - i0), n_o = cpu_min(LANES, p->n_out - o0), stride = padded(LANES * LANES);
	real *u = cpu_scratch(p->k, 2 + thread, (size_t)(TAPS * stride) * sizeof *u);
	for (int t = 0; t < TAPS; t++)
		cpu_gemm_serial(true, false, n_i, n_o, p->count, 1, p->v + t * group_stride(p, p->n_in) + i0, p->n_in,
				p->w + t * group_stride(p, p->n_out) + o0, p->n_out, 0, u + t * stride, n_o);
	filters_back(p, u, stride, i0, n_i, o0, n_o);
}

void cpu_winograd_back_weight(const struct kernels *k, const struct k_conv *c, const real *x, const real *g_y,
			      real *g_weight)
{
	struct pass p = pass_of(k, c, c->c_in, c->c_out);
	p.x = x;
	p.g_y = g_y;
	p.g_weight = g_weight;
	if (is_narrow(&p)) {
		p.n_part = cpu_min(N_PART, p.n_block);
		p.u = cpu_scratch(k, 0, (size_t)(p.n_part * part_size(&p)) * sizeof *p.u);
		cpu_run(k, p.n_part, narrow_weight, &p);
		cpu_run(k, cpu_n_chunk(p.n_out, LANES), narrow_weight_sum, &p);
		return;
	}
	int64_t wider = p.n_in > p.n_out ? p.n_in : p.n_out;
	int64_t most = cpu_min(WEIGHT_TILES, GROUP / (TAPS * wider)) / p.block * p.block;
	most = most > p.block ? most : p.block;
	for (p.first = 0; p.first < p.n_tile; p.first += most) {
		p.count = cpu_min(most, p.n_tile - p.first);
		int64_t n_v = TAPS * group_stride(&p, p.n_in), n_w = TAPS * group_stride(&p, p.n_out);
		p.v = cpu_scratch(k, 1, (size_t)(n_v + n_w) * sizeof *p.v);
		p.w = p.v + n_v;
		cpu_run(k, cpu_n_chunk(p.count, p.block), wide_weight_tiles, &p);
		cpu_run(k, cpu_n_chunk(p.n_in, LANES) * cpu_n_chunk(p.n_out, LANES), wide_weight_lanes, &p);
	}
}
