/*
 * cpu_exact.c - small products whose sums are made in double: of the product of two floats nothing is lost there, and
 * an entry is rounded once for INNER terms. Nothing is copied but four rows and a panel of columns at a time. A row's
 * bytes do not depend on the other rows.
 */
#include "cpu.h"
#include "cpu_math.h"

#include <string.h>

enum { V = 8, WIDE = 2 * V, ROWS = 4, INNER = 256 }; /* of a vector, of a panel; rows at a time; terms of a sum */
typedef double vec __attribute__((vector_size(V * sizeof(double)), aligned(sizeof(double))));

/* Sums of rows with a panel [kk, WIDE]: out [ROWS, WIDE], of which n_vec vectors a row are made. Entry l of row r is
 * rows[r * row + l * step]. */
K_INLINE void sums(const double *rows, const int64_t row, const int64_t step, const double *panel, int64_t kk,
		   const int n_vec, double *out)
{
	vec s[ROWS][2];
	for (int r = 0; r < ROWS; r++)
		s[r][0] = s[r][1] = (vec){0};
	for (int64_t l = 0; l < kk; l++, panel += WIDE) {
		const vec b0 = *(const vec *)panel, b1 = *(const vec *)(panel + V);
		for (int r = 0; r < ROWS; r++) {
			const double x = rows[r * row + l * step];
			s[r][0] += x * b0;
			if (n_vec > 1)
				s[r][1] += x * b1;
		}
	}
	memcpy(out, s, sizeof s);
}

/* Rows (columns where turned) at[0] to at[ROWS - 1] of a in double: [ROWS][INNER], where turned [INNER][ROWS]. */
K_INLINE void rows_copy(const bool turned, const real *const *at, int64_t lda, int64_t kk, double *rows)
{
	if (turned)
		for (int64_t l = 0; l < kk; l++)
			for (int r = 0; r < ROWS; r++)
				rows[l * ROWS + r] = (double)at[r][l * lda];
	else
		for (int r = 0; r < ROWS; r++)
			for (int64_t l = 0; l < kk; l++)
				rows[r * INNER + l] = (double)at[r][l];
}

/* Columns (rows where turned) [0, n) of b, zeros beyond them. */
K_INLINE void panel_copy(bool turned, const real *b, int64_t ldb, int64_t kk, int64_t n, double *panel)
{
	if (turned) {
		for (int64_t j = 0; j < WIDE; j++)
			for (int64_t l = 0; l < kk; l++)
				panel[l * WIDE + j] = j < n ? (double)b[j * ldb + l] : 0;
		return;
	}
	for (int64_t l = 0; l < kk; l++, panel += WIDE, b += ldb)
		if (n == WIDE)
			for (int64_t j = 0; j < WIDE; j++)
				panel[j] = (double)b[j];
		else
			for (int64_t j = 0; j < WIDE; j++)
				panel[j] = j < n ? (double)b[j] : 0;
}

K_INLINE void put(const double *sum, int64_t n, bool add, real *c)
{
	if (n == WIDE)
		for (int64_t j = 0; j < WIDE; j++)
			c[j] = (real)((add ? (double)c[j] : 0) + sum[j]);
	else
		for (int64_t j = 0; j < n; j++)
			c[j] = (real)((add ? (double)c[j] : 0) + sum[j]);
}

/* c [m, n] = op(a) op(b) or added to c; n <= WIDE, kk <= INNER. */
K_SIMD static void columns(bool ta, bool tb, int64_t m, int64_t n, int64_t kk, const real *a, int64_t lda,
			   const real *b, int64_t ldb, bool add, real *c, int64_t ldc)
{
	_Alignas(64) double panel[INNER * WIDE], rows[INNER * ROWS], out[ROWS * WIDE];
	panel_copy(tb, b, ldb, kk, n, panel);
	for (int64_t i = 0; i < m; i += ROWS) {
		const real *at[ROWS];
		for (int r = 0; r < ROWS; r++) /* the last one again beyond m */
			at[r] = a + cpu_min(i + r, m - 1) * (ta ? 1 : lda);
		if (ta)
			rows_copy(true, at, lda, kk, rows);
		else
			rows_copy(false, at, lda, kk, rows);
		if (ta && n > V)
			sums(rows, 1, ROWS, panel, kk, 2, out);
		else if (ta)
			sums(rows, 1, ROWS, panel, kk, 1, out);
		else if (n > V)
			sums(rows, INNER, 1, panel, kk, 2, out);
		else
			sums(rows, INNER, 1, panel, kk, 1, out);
		for (int64_t r = 0; r < cpu_min(ROWS, m - i); r++)
			put(out + r * WIDE, n, add, c + (i + r) * ldc);
	}
}

/*
 * Small batches blow rounding up: BatchNorms of few rows do, and after them Adam makes whole steps of gradients that
 * are nearly zero. What is as small as they are takes hardly longer in double, and large batches have little of it.
 */
bool cpu_is_exact(const struct kernels *k, int64_t m, int64_t n, int64_t kk, int64_t most)
{
	const int64_t made = cpu_n_chunk(m, ROWS) * ROWS * cpu_n_chunk(n, WIDE) * WIDE * kk;
	return sizeof(real) == sizeof(float) && !k->fixed_rows && kk > 0 && m * n * kk <= most && made <= 4 * most;
}

void cpu_gemm_exact(bool ta, bool tb, int64_t m, int64_t n, int64_t kk, const real *a, int64_t lda, const real *b,
		    int64_t ldb, bool add, real *c, int64_t ldc)
{
	const int64_t n_block = cpu_n_chunk(kk, INNER);
	for (int64_t j = 0; j < n; j += WIDE)
		for (int64_t h = 0; h < n_block; h++) {
			const int64_t l = kk * h / n_block;
			columns(ta, tb, m, cpu_min(WIDE, n - j), kk * (h + 1) / n_block - l, ta ? a + l * lda : a + l,
				lda, tb ? b + j * ldb + l : b + l * ldb + j, ldb, add || h, c + j, ldc);
		}
}
