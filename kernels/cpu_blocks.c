/*
 * cpu_blocks.c - products whose rows do not know of each other: inference must give a molecule the same bytes whatever
 * stands beside it.
 *
 * OpenBLAS takes other paths for other sizes, and their sums differ in the last bit. Its kernels for AVX-512 give a row
 * the same bytes wherever in a block it stands, so that blocks of one size do. Its other kernels do not: there the sums
 * are made here, each in the order of its inner index.
 */
#include "cpu.h"

#include <stdlib.h>
#include <string.h>

enum { V = 8, WIDE = 2 * V, ROWS = 4 }; /* entries of a vector, of a panel of columns; rows at a time */
typedef real vec __attribute__((vector_size(V * sizeof(real)), aligned(sizeof(real))));

/* Sums of the rows a[0] to a[ROWS - 1] with a panel [kk, WIDE] of the other factor: out [ROWS, WIDE]. */
K_SIMD static void panel_sums(const real *const *a, const real *panel, int64_t kk, real *out)
{
	vec s0[ROWS] = {{0}}, s1[ROWS] = {{0}};
	for (int64_t l = 0; l < kk; l++) {
		const vec b0 = *(const vec *)(panel + l * WIDE), b1 = *(const vec *)(panel + l * WIDE + V);
		for (int r = 0; r < ROWS; r++) {
			s0[r] += b0 * a[r][l];
			s1[r] += b1 * a[r][l];
		}
	}
	for (int r = 0; r < ROWS; r++) {
		memcpy(out + r * WIDE, &s0[r], sizeof s0[r]);
		memcpy(out + r * WIDE + V, &s1[r], sizeof s1[r]);
	}
}

/* Columns [from, from + n) of op(b) as a panel, zeros beyond them. */
static void panel_copy(bool tb, const real *b, int64_t ldb, int64_t kk, int64_t from, int64_t n, real *panel)
{
	memset(panel, 0, (size_t)(kk * WIDE) * sizeof *panel);
	for (int64_t l = 0; l < kk; l++)
		for (int64_t j = 0; j < n; j++)
			panel[l * WIDE + j] = tb ? b[(from + j) * ldb + l] : b[l * ldb + from + j];
}

static void rows_apart(bool tb, int64_t m, int64_t n, int64_t kk, double alpha, const real *a, int64_t lda,
		       const real *b, int64_t ldb, real *c, int64_t ldc)
{
	real *panel = malloc((size_t)(kk * WIDE + 1) * sizeof *panel), out[ROWS * WIDE];
	if (!panel)
		abort();
	for (int64_t j = 0; j < n; j += WIDE) {
		const int64_t wide = cpu_min(WIDE, n - j);
		panel_copy(tb, b, ldb, kk, j, wide, panel);
		for (int64_t i = 0; i < m; i += ROWS) {
			const real *row[ROWS];
			for (int r = 0; r < ROWS; r++)
				row[r] = a + cpu_min(i + r, m - 1) * lda;
			panel_sums(row, panel, kk, out);
			for (int64_t r = 0; r < cpu_min(ROWS, m - i); r++)
				for (int64_t x = 0; x < wide; x++)
					c[(i + r) * ldc + j + x] = (real)alpha * out[r * WIDE + x];
		}
	}
	free(panel);
}

/* Blocks of CPU_BLOCK rows, the last one filled up with zeros. */
static void blocks(bool tb, int64_t m, int64_t n, int64_t kk, double alpha, const real *a, int64_t lda, const real *b,
		   int64_t ldb, real *c, int64_t ldc)
{
	int64_t whole = m / CPU_BLOCK * CPU_BLOCK, rest = m - whole;
	for (int64_t i = 0; i < whole; i += CPU_BLOCK)
		cpu_gemm_serial(false, tb, CPU_BLOCK, n, kk, alpha, a + i * lda, lda, b, ldb, 0, c + i * ldc, ldc);
	if (!rest)
		return;
	real *in = calloc((size_t)(CPU_BLOCK * (kk + n)), sizeof *in);
	if (!in)
		abort();
	real *out = in + CPU_BLOCK * kk;
	for (int64_t i = 0; i < rest; i++)
		memcpy(in + i * kk, a + (whole + i) * lda, (size_t)kk * sizeof *in);
	cpu_gemm_serial(false, tb, CPU_BLOCK, n, kk, alpha, in, kk, b, ldb, 0, out, n);
	for (int64_t i = 0; i < rest; i++)
		memcpy(c + (whole + i) * ldc, out + i * n, (size_t)n * sizeof *c);
	free(in);
}

void cpu_gemm_blocks(bool tb, int64_t m, int64_t n, int64_t kk, double alpha, const real *a, int64_t lda, const real *b,
		     int64_t ldb, real *c, int64_t ldc)
{
	if (m > 0 && n > 0)
		(cpu_library_is_wide() ? blocks : rows_apart)(tb, m, n, kk, alpha, a, lda, b, ldb, c, ldc);
}
