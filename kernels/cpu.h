/*
 * cpu.h - layer 2b, private: what the files of the CPU's table share.
 */
#ifndef MOLRILL_CPU_H
#define MOLRILL_CPU_H

#include "kernels.h"

/*
 * K_SIMD in front of a static function of plain loops makes versions for wider registers, chosen when the program
 * starts. Sums keep their order and nothing is contracted (but in cpu_table.c), so that all versions
 * give the same bytes. Nothing on other compilers and processors, and under sanitizers (which cannot run before the
 * choice).
 */
#define K_SIMD UTIL_CLONES("default", "arch=x86-64-v3", "arch=x86-64-v4")

/* In front of a loop whose rounds do not touch each other's memory, which the compiler cannot see. */
#if defined(__GNUC__) && !defined(__clang__)
#define K_APART _Pragma("GCC ivdep")
#else
#define K_APART
#endif

/* One register's worth of entries, as a value; CPU_STRIP: in memory, wherever an entry may lie. */
enum { CPU_WIDE = 64 / sizeof(real) };
typedef real cpu_wide __attribute__((vector_size(64)));
typedef real cpu_strip __attribute__((vector_size(64), aligned(sizeof(real)), may_alias));
#define CPU_STRIP(p) (*(cpu_strip *)(uintptr_t)(p))

enum {
	CPU_ENTRIES = 1 << 15, /* of a chunk of entry-wise work */
	CPU_ROWS = 256,        /* of a chunk of rows with a product or a sum */
	CPU_SMALL = 1000000,   /* multiplications of a product that OpenBLAS takes without repacking, and at its best */
	CPU_FAR = 1024,        /* rows this far apart share lines of the first cache */
	CPU_BLOCK = 64,        /* rows of a product where fixed_rows is set; divides CPU_ROWS */
};

/* Calls fn once for each chunk, by the pool where there is one. */
void cpu_run(const struct kernels *k, int64_t n_chunk, void (*fn)(void *ctx, int64_t chunk, int thread), void *ctx);
/* Memory of the caller (slots 0 and 1), of a pool thread (slot 2 + thread) or of cpu_product, kept and grown; valid
 * until the next call for the same slot. Aborts without memory. */
void *cpu_scratch(const struct kernels *k, int slot, size_t nbytes);
enum { CPU_SLOT_FIRST = -2, CPU_SLOT_TURNED = -2, CPU_SLOT_PRODUCT = -1, CPU_SLOT_THREAD = 2 };
/*
 * What is done to rows while a product has them near: `before` on rows [from, to) of A, `after` on those of C (each may
 * be NULL), once for each of cpu_parts(m) parts, from any thread. Not with a transposed A.
 */
enum { CPU_AROUND = 3 };
struct cpu_around {
	void (*before)(void *ctx, int64_t part, int64_t from, int64_t to);
	void (*after)(void *ctx, int64_t part, int64_t from, int64_t to);
	void *ctx;
	const real *rows[CPU_AROUND]; /* [m, d] what else they read or write, to be called near; or NULL */
	int64_t d;
};
int64_t cpu_parts(int64_t m);
/* Calls fn for all parts of m rows. */
void cpu_each_part(const struct kernels *k, int64_t m, void (*fn)(void *ctx, int64_t part, int64_t from, int64_t to),
		   void *ctx);
/* C [m, n] (+)= op(A) op(B) in float, kk > 0, where it works: with AVX-512, not in double (cpu_product.c). around: or
 * NULL. */
void cpu_product(const struct kernels *k, bool ta, bool tb, int64_t m, int64_t n, int64_t kk, const real *a,
		 int64_t lda, const real *b, int64_t ldb, bool add, real *c, int64_t ldc,
		 const struct cpu_around *around);
bool cpu_product_works(void);
/* k->gemm with alpha = 1 and A as it lies, and what is done around its rows. */
void cpu_gemm_around(const struct kernels *k, bool tb, int64_t m, int64_t n, int64_t kk, const real *a, int64_t lda,
		     const real *b, int64_t ldb, bool add, real *c, int64_t ldc, const struct cpu_around *around);
/* One product without chunks, by the thread that calls. */
void cpu_gemm_serial(bool ta, bool tb, int64_t m, int64_t n, int64_t kk, double alpha, const real *a, int64_t lda,
		     const real *b, int64_t ldb, double beta, real *c, int64_t ldc);
/* c = op(a) b + beta c in pieces of at most CPU_SMALL multiplications: for many rows at once, of a few hundred entries.
 */
void cpu_gemm_pieces(bool ta, int64_t m, int64_t n, int64_t kk, const real *a, int64_t lda, const real *b, int64_t ldb,
		     double beta, real *c, int64_t ldc);
/* Whether a product is to be summed in double: one of `most` multiplications at most, and of four times as many where
 * rows and columns are filled up. Not where a row's bytes may not depend on how many there are. */
bool cpu_is_exact(const struct kernels *k, int64_t m, int64_t n, int64_t kk, int64_t most);
/* c = op(a) op(b), or added to c, by sums in double (cpu_exact.c). */
void cpu_gemm_exact(bool ta, bool tb, int64_t m, int64_t n, int64_t kk, const real *a, int64_t lda, const real *b,
		    int64_t ldb, bool add, real *c, int64_t ldc);
/* Whether the core type that OpenBLAS uses has AVX-512 (cpu_library.c). */
bool cpu_library_is_wide(void);
/* "OpenBLAS 0.3.21 Zen" and the like: version and core type in use; static. */
const char *cpu_library_name(void);
/* c = a op(b) where a row's bytes may not depend on the other rows, nor on how many there are (cpu_blocks.c). */
void cpu_gemm_blocks(bool tb, int64_t m, int64_t n, int64_t kk, double alpha, const real *a, int64_t lda, const real *b,
		     int64_t ldb, real *c, int64_t ldc);

/* Sum over chunks of part[chunk * stride], in their order. */
double cpu_over_chunks(const double *part, int64_t n_chunk, int64_t stride);
/*
 * Mean, inverse deviation and running statistics of b from the sums part [n_chunk, 2, d] of x - first and of its square
 * over n rows; first [d]. The first row of part becomes the means, in double.
 */
void cpu_norm_settle(const struct k_batch_norm *b, const real *first, double *part, int64_t n_chunk, double n);
/* y = log(1 + e^z) - log 2 of n_row rows z = x + bias [d] (NULL: 0), y may be x; g times its slope, 1 - e^-y / 2
 * (cpu_ssp.c). False, and nothing is done, without AVX-512 or in double. */
bool cpu_ssp(const real *x, const real *bias, real *y, int64_t n_row, int64_t d);
bool cpu_ssp_slope(const real *y, real *g, int64_t n);
/* y += x */
void cpu_line_add(real *restrict y, const real *restrict x, int64_t n);
/* What a convolution reads at a pixel, channels [from, from + n): z of struct k_conv, of x (at channel from). */
void cpu_conv_read(const struct k_conv *c, const real *x, int64_t from, int64_t n, real *z);
/* Bias, residual and ReLU on row `row` of y (at channel from), channels [from, from + n). */
void cpu_conv_finish(const struct k_conv *c, real *y, int64_t row, int64_t from, int64_t n);
/* 3 x 3 of stride 1 (cpu_winograd.c). */
bool cpu_winograd_fits(const struct kernels *k, const struct k_conv *c);
bool cpu_winograd_fits_weight(const struct kernels *k, const struct k_conv *c);
void cpu_winograd(const struct kernels *k, const struct k_conv *c, const real *x, const real *weight, real *y);
void cpu_winograd_back_input(const struct kernels *k, const struct k_conv *c, const real *weight, const real *g_y,
			     real *g_x);
void cpu_winograd_back_weight(const struct kernels *k, const struct k_conv *c, const real *x, const real *g_y,
			      real *g_weight);

static inline int64_t cpu_n_chunk(int64_t n, int64_t size)
{
	return (n + size - 1) / size;
}
static inline int64_t cpu_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}
/* Rows of d entries in a chunk of entry-wise work: depends on d alone. */
static inline int64_t cpu_rows_of(int64_t d)
{
	return d > 0 && d < CPU_ENTRIES ? CPU_ENTRIES / d : 1;
}

#endif
