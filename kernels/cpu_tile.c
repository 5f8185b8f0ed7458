/*
 * cpu_tile.c - tiles of products of floats, with AVX-512, and panels of what they read.
 *
 * A tile of 14 x 32 entries is summed over the inner index: 28 registers of sums, two of B, one of A. An entry's sum
 * has one order, that of the inner index, whatever tile it lies in.
 */
#include "cpu_tile.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f")))
#define AVX512_INLINE AVX512 static inline __attribute__((always_inline))

/* The first n lanes, none where n < 0. */
AVX512_INLINE __mmask16 first(int64_t n)
{
	return n >= TILE_LANES ? (__mmask16)0xffff : n > 0 ? (__mmask16)((1U << n) - 1) : 0;
}

AVX512_INLINE __m512 load(const float *p, bool full, __mmask16 mask)
{
	return full ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(mask, p);
}

AVX512_INLINE void put(float *c, bool full, __mmask16 mask, bool add, __m512 sum)
{
	if (add)
		sum = _mm512_add_ps(sum, load(c, full, mask));
	if (full)
		_mm512_storeu_ps(c, sum);
	else
		_mm512_mask_storeu_ps(c, mask, sum);
}

/* rows, two (registers a row) and full (all TILE_COLUMNS are there) are constants where this is used. */
AVX512_INLINE void tile(const struct cpu_tile *t, const int rows, const bool two, const bool full)
{
	__m512 sum[TILE_ROWS][2];
	const float *a[(TILE_ROWS + 2) / 3], *b = t->b;
	const char *ahead = t->ahead;
	const int64_t step = t->a_row;
	const __mmask16 mask[2] = {first(t->n), first(t->n - TILE_LANES)};
	for (int i = 0; i < rows; i++)
		sum[i][0] = sum[i][1] = _mm512_setzero_ps();
	for (int i = 0; i < rows; i += 3)
		a[i / 3] = t->a + i * step;
	for (int64_t l = 0; l < t->inner; l++, b += t->b_inner, ahead += t->ahead_step) {
		_mm_prefetch(ahead, _MM_HINT_T0);
		const __m512 b0 = load(b, full, mask[0]), b1 = two ? load(b + TILE_LANES, full, mask[1]) : b0;
#pragma GCC unroll 14
		for (int i = 0; i < rows; i++) {
			const __m512 x = _mm512_set1_ps(a[i / 3][i % 3 * step]);
			sum[i][0] = _mm512_fmadd_ps(x, b0, sum[i][0]);
			if (two)
				sum[i][1] = _mm512_fmadd_ps(x, b1, sum[i][1]);
		}
#pragma GCC unroll 5
		for (int i = 0; i < rows; i += 3)
			a[i / 3] += t->a_inner;
	}
	float *c = t->c;
#pragma GCC unroll 14
	for (int i = 0; i < rows; i++, c += t->ldc) {
		put(c, full, mask[0], t->add, sum[i][0]);
		if (two)
			put(c + TILE_LANES, full, mask[1], t->add, sum[i][1]);
	}
}

#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#define DEFINE(rows)                                                                                                   \
	AVX512 static void tile_##rows(const struct cpu_tile *t)                                                       \
	{                                                                                                              \
		if (t->n == TILE_COLUMNS)                                                                              \
			tile(t, rows, true, true);                                                                     \
		else if (t->n > TILE_LANES)                                                                            \
			tile(t, rows, true, false);                                                                    \
		else                                                                                                   \
			tile(t, rows, false, false);                                                                   \
	}
#define NAME(rows) tile_##rows,
EACH_HEIGHT(DEFINE)
static void (*const tiles[])(const struct cpu_tile *t) = {NULL, EACH_HEIGHT(NAME)};

bool cpu_tile_works(void)
{
	return __builtin_cpu_supports("avx512f");
}

void cpu_tile(const struct cpu_tile *t, int rows)
{
	tiles[rows](t);
}

static inline float *place(const struct cpu_panels *p, float *packed, int64_t l, int64_t j)
{
	return packed + (j / TILE_COLUMNS * p->inner + l) * TILE_COLUMNS + j % TILE_COLUMNS;
}

/* Rows that are called near; into the second cache, as all that is packed or turned, since the first waits for fewer
 * lines at once. */
enum { PACK_AHEAD = 8 };

AVX512 static void pack(const struct cpu_panels *p, float *packed, int64_t from, int64_t to, int64_t j0, int64_t j1)
{
	for (int64_t l = from; l < to; l++)
		for (int64_t j = j0; j < j1; j += TILE_LANES) {
			_mm_prefetch((const char *)(p->b + (l + PACK_AHEAD) * p->ldb + j), _MM_HINT_T1);
			_mm512_storeu_ps(place(p, packed, l, j),
					 _mm512_maskz_loadu_ps(first(p->n - j), p->b + l * p->ldb + j));
		}
}

/* Sixteen rows of sixteen floats, transposed. */
AVX512_INLINE void transpose(__m512 r[TILE_LANES])
{
	__m512 t[TILE_LANES];
	for (int i = 0; i < TILE_LANES; i += 2) {
		t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
		t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
	}
	for (int i = 0; i < TILE_LANES; i += 4)
		for (int h = 0; h < 2; h++) {
			r[i + 2 * h] = _mm512_shuffle_ps(t[i + h], t[i + h + 2], 0x44);
			r[i + 2 * h + 1] = _mm512_shuffle_ps(t[i + h], t[i + h + 2], 0xee);
		}
	for (int i = 0; i < 4; i++) {
		const __m512 low0 = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88),
			     low1 = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd),
			     high0 = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88),
			     high1 = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
		t[i] = _mm512_shuffle_f32x4(low0, high0, 0x88);
		t[i + 4] = _mm512_shuffle_f32x4(low1, high1, 0x88);
		t[i + 8] = _mm512_shuffle_f32x4(low0, high0, 0xdd);
		t[i + 12] = _mm512_shuffle_f32x4(low1, high1, 0xdd);
	}
	for (int i = 0; i < TILE_LANES; i++)
		r[i] = t[i];
}

AVX512 static void turn(const float *x, int64_t ldx, int64_t n_row, int64_t n, bool add, float *y, int64_t ldy)
{
	for (int64_t j = 0; j < n; j += TILE_LANES)
		for (int64_t i = 0; i < n_row; i += TILE_LANES) {
			__m512 r[TILE_LANES];
			for (int l = 0; l < TILE_LANES; l++)
				_mm_prefetch((const char *)(y + (j + TILE_LANES + l) * ldy + i), _MM_HINT_T1);
			const __mmask16 there = first(n_row - i);
			for (int l = 0; l < TILE_LANES; l++)
				r[l] = i + l < n_row ? _mm512_maskz_loadu_ps(first(n - j), x + (i + l) * ldx + j)
						     : _mm512_setzero_ps();
			transpose(r);
			for (int l = 0; l < TILE_LANES && j + l < n; l++)
				put(y + (j + l) * ldy + i, false, there, add, r[l]);
		}
}

void cpu_turn(const float *x, int64_t ldx, int64_t n_row, int64_t n, bool add, float *y, int64_t ldy)
{
	turn(x, ldx, n_row, n, add, y, ldy);
}

AVX512 static void pack_turned(const struct cpu_panels *p, float *packed, int64_t from, int64_t to, int64_t j0,
			       int64_t j1)
{
	for (int64_t j = j0; j < j1; j += TILE_LANES)
		for (int64_t l = from; l < to; l += TILE_LANES) {
			__m512 r[TILE_LANES];
			for (int i = 0; i < TILE_LANES; i++)
				_mm_prefetch((const char *)(p->b + (j + TILE_LANES + i) * p->ldb + l), _MM_HINT_T1);
			for (int i = 0; i < TILE_LANES; i++)
				r[i] = j + i < p->n ? _mm512_maskz_loadu_ps(first(to - l), p->b + (j + i) * p->ldb + l)
						    : _mm512_setzero_ps();
			transpose(r);
			for (int i = 0; i < TILE_LANES && l + i < to; i++)
				_mm512_storeu_ps(place(p, packed, l + i, j), r[i]);
		}
}

void cpu_pack(const struct cpu_panels *p, float *packed, int64_t from, int64_t to, int64_t j0, int64_t j1)
{
	(p->turned ? pack_turned : pack)(p, packed, from, to, j0, j1);
}

#else

bool cpu_tile_works(void)
{
	return false;
}

void cpu_tile(const struct cpu_tile *t, int rows)
{
	(void)t, (void)rows;
}

void cpu_pack(const struct cpu_panels *p, float *packed, int64_t from, int64_t to, int64_t j0, int64_t j1)
{
	(void)p, (void)packed, (void)from, (void)to, (void)j0, (void)j1;
}

void cpu_turn(const float *x, int64_t ldx, int64_t n_row, int64_t n, bool add, float *y, int64_t ldy)
{
	(void)x, (void)ldx, (void)n_row, (void)n, (void)add, (void)y, (void)ldy;
}

#endif
