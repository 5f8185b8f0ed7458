/* cpu.c - the CPU's table: memory, chunks, products through CBLAS, and the check that this machine can multiply. */
#include "cpu.h"

#include <cblas.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	EXACT = 1 << 17, /* multiplications of a product that is summed in double: training has many that are small */
};
struct scratch {
	void *data;
	size_t nbytes;
};
struct cpu {
	struct scratch *slots; /* [n_slot], slot 0 behind that of products */
	int n_slot;
	_Atomic size_t most; /* that a thread has asked for */
	size_t level;        /* that all threads hold */
	bool has_tiles; /* cpu_product works: where OpenBLAS has kernels for AVX-512 too, so that its core type tells */
};

enum { HUGE_PAGE = 2 << 20 };

static void *huge_alloc(size_t nbytes)
{
	void *p;
	if (posix_memalign(&p, HUGE_PAGE, nbytes))
		return NULL;
	madvise(p, nbytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* small ones do where it is refused */
	return p;
}

/* Large arrays by huge pages: a step that grows touches hundreds of megabytes for the first time, 4 KiB by 4 KiB. None
 * is rounded up to them: a model has hundreds of arrays that fill half of one. */
static void *host_alloc(size_t nbytes)
{
	if (nbytes >= 2 * (size_t)HUGE_PAGE)
		return huge_alloc(nbytes);
	return aligned_alloc(64, (nbytes + 64) / 64 * 64);
}

/* What a product packs is rounded up: it is few arrays, read again and again. */
static void *scratch_alloc(size_t nbytes)
{
	if (nbytes >= (size_t)HUGE_PAGE / 4)
		return huge_alloc((nbytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
	return host_alloc(nbytes);
}

static void host_copy(void *dst, const void *src, size_t nbytes)
{
	if (nbytes)
		memcpy(dst, src, nbytes);
}

void *cpu_scratch(const struct kernels *k, int slot, size_t nbytes)
{
	struct cpu *c = k->self;
	struct scratch *s = &c->slots[slot - CPU_SLOT_FIRST];
	if (slot - CPU_SLOT_FIRST >= c->n_slot)
		abort();
	if (s->nbytes < nbytes) {
		size_t most = c->most;
		while (slot >= CPU_SLOT_THREAD && most < nbytes)
			if (atomic_compare_exchange_weak(&c->most, &most, nbytes))
				break;
		free(s->data);
		*s = (struct scratch){scratch_alloc(nbytes), nbytes};
		if (!s->data)
			abort();
	}
	return s->data;
}

/* Which thread takes a chunk is chance: what one has asked for all get, lest another asks for it in a later step. */
static void scratch_level(const struct kernels *k)
{
	struct cpu *c = k->self;
	size_t most = c->most;
	if (c->level == most)
		return;
	for (int t = 0; t < pool_size(k->pool); t++)
		cpu_scratch(k, CPU_SLOT_THREAD + t, most);
	c->level = most;
}

void cpu_run(const struct kernels *k, int64_t n_chunk, void (*fn)(void *ctx, int64_t chunk, int thread), void *ctx)
{
	if (k->pool && n_chunk > 1) {
		scratch_level(k);
		pool_run(k->pool, n_chunk, fn, ctx);
	} else {
		for (int64_t i = 0; i < n_chunk; i++)
			fn(ctx, i, 0);
	}
}

void cpu_gemm_serial(bool ta, bool tb, int64_t m, int64_t n, int64_t kk, double alpha, const real *a, int64_t lda,
		     const real *b, int64_t ldb, double beta, real *c, int64_t ldc)
{
	const int fa = ta ? CblasTrans : CblasNoTrans, fb = tb ? CblasTrans : CblasNoTrans;
	if (m <= 0 || n <= 0)
		return;
	if (sizeof(real) == sizeof(float))
		cblas_sgemm(CblasRowMajor, fa, fb, (int)m, (int)n, (int)kk, (float)alpha, (const void *)a, (int)lda,
			    (const void *)b, (int)ldb, (float)beta, (void *)c, (int)ldc);
	else
		cblas_dgemm(CblasRowMajor, fa, fb, (int)m, (int)n, (int)kk, alpha, (const void *)a, (int)lda,
			    (const void *)b, (int)ldb, beta, (void *)c, (int)ldc);
}

void cpu_gemm_pieces(bool ta, int64_t m, int64_t n, int64_t kk, const real *a, int64_t lda, const real *b, int64_t ldb,
		     double beta, real *c, int64_t ldc)
{
	int64_t by_n = ta ? 64 : 128, by_k = ta ? 128 : 256, by_m = CPU_SMALL / (by_n * cpu_min(kk > 0 ? kk : 1, by_k));
	by_m = cpu_min(by_m, ta ? 64 : CPU_ROWS);
	for (int64_t l = 0; l < kk; l += by_k)
		for (int64_t j = 0; j < n; j += by_n)
			for (int64_t i = 0; i < m; i += by_m)
				cpu_gemm_serial(ta, false, cpu_min(by_m, m - i), cpu_min(by_n, n - j),
						cpu_min(by_k, kk - l), 1, ta ? a + l * lda + i : a + i * lda + l, lda,
						b + l * ldb + j, ldb, l ? 1 : beta, c + i * ldc + j, ldc);
}

/*
 * Chunks of a product: PRODUCT_ROWS rows (or columns) at most, since above it threads wait, and few, since each packs
 * the other matrix anew. Their number is even and they differ by SIDE_UNIT rows at most, so that two threads end
 * together.
 */
enum {
	PRODUCT_ROWS = 320,
	SIDE_UNIT = 16, /* chunks begin at multiples of it */
	LEAST_SIDE = 64,
	FEW_SIDE = 4,         /* chunks of a product of one chunk's sides */
	LEAST_WORK = 1 << 21, /* multiplications of such a chunk, some 50 microseconds */
	LONG_SUM = 1024,      /* terms of a chunk of a small product with a long sum */
	SMALL_SIDE = 128,
	MANY_SUMS = 8,
};

struct gemm_job {
	bool ta, tb, by_column;
	int64_t m, n, kk, lda, ldb, ldc, n_chunk;
	double alpha, beta;
	const real *a, *b;
	real *c, *part; /* part: sums over a chunk's share of kk, [n_chunk, m, n] */
};

/* Where chunk i of a side begins. */
static int64_t side_at(const struct gemm_job *j, int64_t side, int64_t i)
{
	return cpu_min(side, cpu_n_chunk(side, SIDE_UNIT) * i / j->n_chunk * SIDE_UNIT);
}

static void gemm_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct gemm_job *j = ctx;
	int64_t side = j->by_column ? j->n : j->m, from = side_at(j, side, chunk),
		n = side_at(j, side, chunk + 1) - from;
	if (j->by_column)
		cpu_gemm_serial(j->ta, j->tb, j->m, n, j->kk, j->alpha, j->a, j->lda,
				j->b + (j->tb ? from * j->ldb : from), j->ldb, j->beta, j->c + from, j->ldc);
	else
		cpu_gemm_serial(j->ta, j->tb, n, j->n, j->kk, j->alpha, j->a + (j->ta ? from : from * j->lda), j->lda,
				j->b, j->ldb, j->beta, j->c + from * j->ldc, j->ldc);
}

static void block_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct gemm_job *j = ctx;
	int64_t from = chunk * CPU_ROWS;
	cpu_gemm_blocks(j->tb, cpu_min(CPU_ROWS, j->m - from), j->n, j->kk, j->alpha, j->a + from * j->lda, j->lda,
			j->b, j->ldb, j->c + from * j->ldc, j->ldc);
}

static void sum_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct gemm_job *j = ctx;
	int64_t from = side_at(j, j->kk, chunk), n = side_at(j, j->kk, chunk + 1) - from;
	cpu_gemm_serial(true, false, j->m, j->n, n, j->alpha, j->a + from * j->lda, j->lda, j->b + from * j->ldb,
			j->ldb, 0, j->part + chunk * j->m * j->n, j->n);
}

/* c = beta c + the chunks' sums, in their order. */
static void sums_add(const struct gemm_job *j)
{
	for (int64_t i = 0; i < j->m; i++) {
		real *c = j->c + i * j->ldc;
		for (int64_t x = 0; x < j->n; x++)
			c[x] = j->beta == 0 ? 0 : (real)j->beta * c[x];
		for (int64_t p = 0; p < j->n_chunk; p++)
			cpu_line_add(c, j->part + (p * j->m + i) * j->n, j->n);
	}
}

static int64_t even(int64_t n)
{
	return n > 1 ? (n + 1) / 2 * 2 : 1;
}

static bool by_tiles(const struct kernels *k, bool ta, int64_t kk, int64_t lda)
{
	return ((const struct cpu *)k->self)->has_tiles && !k->plain && kk > 0 && (ta || lda < CPU_FAR);
}

static void gemm(const struct kernels *k, bool ta, bool tb, int64_t m, int64_t n, int64_t kk, double alpha,
		 const real *a, int64_t lda, const real *b, int64_t ldb, double beta, real *c, int64_t ldc)
{
	struct gemm_job j = {.ta = ta,
			     .tb = tb,
			     .m = m,
			     .n = n,
			     .kk = kk,
			     .lda = lda,
			     .ldb = ldb,
			     .ldc = ldc,
			     .alpha = alpha,
			     .beta = beta,
			     .a = a,
			     .b = b,
			     .c = c};
	if (m <= 0 || n <= 0)
		return;
	if (cpu_is_exact(k, m, n, kk, EXACT) && alpha == 1 && (beta == 0 || beta == 1)) {
		cpu_gemm_exact(ta, tb, m, n, kk, a, lda, b, ldb, beta == 1, c, ldc);
		return;
	}
	bool long_sum = ta && !tb && m <= SMALL_SIDE && n <= SMALL_SIDE && kk > LONG_SUM;
	if (!long_sum && alpha == 1 && (beta == 0 || beta == 1) && by_tiles(k, ta, kk, lda)) {
		cpu_product(k, ta, tb, m, n, kk, a, lda, b, ldb, beta == 1, c, ldc, NULL);
		return;
	}
	if (k->fixed_rows && !ta && beta == 0 && kk > 0) {
		cpu_run(k, cpu_n_chunk(m, CPU_ROWS), block_chunk, &j);
		return;
	}
	if (long_sum) {
		j.n_chunk = cpu_min(even(cpu_n_chunk(kk, LONG_SUM)), MANY_SUMS);
		j.part = cpu_scratch(k, 0, (size_t)(j.n_chunk * m * n) * sizeof *j.part);
		cpu_run(k, j.n_chunk, sum_chunk, &j);
		sums_add(&j);
		return;
	}
	j.by_column = m <= PRODUCT_ROWS && n > m;
	int64_t side = j.by_column ? n : m, n_chunk = cpu_n_chunk(side, PRODUCT_ROWS);
	int64_t few = cpu_min(cpu_min(side / LEAST_SIDE, FEW_SIDE), m * n * kk / LEAST_WORK);
	j.n_chunk = n_chunk > 1 ? even(n_chunk) : few > 1 ? few / 2 * 2 : 1;
	cpu_run(k, j.n_chunk, gemm_chunk, &j);
}

void cpu_gemm_around(const struct kernels *k, bool tb, int64_t m, int64_t n, int64_t kk, const real *a, int64_t lda,
		     const real *b, int64_t ldb, bool add, real *c, int64_t ldc, const struct cpu_around *around)
{
	if (!cpu_is_exact(k, m, n, kk, EXACT) && by_tiles(k, false, kk, lda) && m > 0 && n > 0) {
		cpu_product(k, false, tb, m, n, kk, a, lda, b, ldb, add, c, ldc, around);
		return;
	}
	if (around->before)
		cpu_each_part(k, m, around->before, around->ctx);
	gemm(k, false, tb, m, n, kk, 1, a, lda, b, ldb, add, c, ldc);
	if (around->after)
		cpu_each_part(k, m, around->after, around->ctx);
}

/* op(a) op(b) / 2 + c by the library and by k, with sides that are no multiple of any register, against a double loop.
 */
static bool can_multiply_so(const struct kernels *k, bool ta, bool tb, int m, int n, int kk)
{
	enum { MOST = 140 };
	static real a[MOST * MOST], b[MOST * MOST], c[MOST * MOST], d[MOST * MOST];
	static double sum[MOST];
	for (int i = 0; i < m * kk; i++)
		a[i] = (real)(i * 37 % 101 - 50) / 64;
	for (int i = 0; i < kk * n; i++)
		b[i] = (real)(i * 53 % 97 - 48) / 64;
	for (int i = 0; i < m * n; i++)
		c[i] = d[i] = (real)(i % 31 - 15) / 16;
	cpu_gemm_serial(ta, tb, m, n, kk, 0.5, a, ta ? m : kk, b, tb ? kk : n, 1, c, n);
	gemm(k, ta, tb, m, n, kk, 0.5, a, ta ? m : kk, b, tb ? kk : n, 1, d, n);
	for (int i = 0; i < m; i++) {
		for (int j = 0; j < n; j++)
			sum[j] = (double)((i * n + j) % 31 - 15) / 16;
		for (int l = 0; l < kk; l++) {
			double x = 0.5 * (double)a[ta ? l * m + i : i * kk + l];
			for (int j = 0; j < n; j++)
				sum[j] += x * (double)b[tb ? j * kk + l : l * n + j];
		}
		for (int j = 0; j < n; j++)
			if (!(fabs(sum[j] - (double)c[i * n + j]) <= 1e-6 * kk) ||
			    !(fabs(sum[j] - (double)d[i * n + j]) <= 1e-6 * kk))
				return false;
	}
	return true;
}

/* OpenBLAS has kernels of their own for each order of the operands, and for products below and above CPU_SMALL. */
static bool can_multiply(const struct kernels *k)
{
	bool right = true;
	for (int order = 0; order < 4 && right; order++)
		right = can_multiply_so(k, order & 1, order & 2, 37, 29, 67) &&
			can_multiply_so(k, order & 1, order & 2, 113, 131, 83);
	return right;
}

void k_conv_set_out(struct k_conv *c)
{
	int64_t pad = c->kernel / 2;
	c->out_height = (c->height + 2 * pad - c->kernel) / c->stride + 1;
	c->out_width = (c->width + 2 * pad - c->kernel) / c->stride + 1;
}

int kernels_cpu(struct kernels *k, struct pool *pool, struct err *e)
{
	memset(k, 0, sizeof *k);
	k->name = "cpu";
	k->blas = "OpenBLAS";
	k->build = cpu_library_name();
	/* Other builds of OpenBLAS than that of POSIX threads bear no calls by several threads at once: the serial one
	 * shares its buffers among them, and OpenMP's starts its own threads from each. */
	k->pool = openblas_get_parallel() == OPENBLAS_THREAD ? pool : NULL;
	struct cpu *c = k->self = calloc(1, sizeof *c);
	const int n_slot = CPU_SLOT_THREAD - CPU_SLOT_FIRST + pool_size(k->pool);
	if (!c || !(c->slots = calloc((size_t)n_slot, sizeof *c->slots))) {
		kernels_cpu_free(k);
		return err_set(e, ERR_MEMORY, "no memory for the arithmetic");
	}
	c->n_slot = n_slot;
	openblas_set_num_threads(1);
	c->has_tiles = cpu_library_is_wide() && cpu_product_works();
	if (!can_multiply(k)) {
		kernels_cpu_free(k);
		return err_set(e, ERR_NUMERIC, "%s multiplies matrices wrongly on this machine: set OPENBLAS_CORETYPE",
			       k->build);
	}
	k->close = kernels_cpu_free;
	k->alloc = host_alloc;
	k->release = free;
	k->upload = host_copy;
	k->download = host_copy;
	k->copy = host_copy;
	k->gemm = gemm;
	kernels_cpu_entry(k);
	kernels_cpu_rows(k);
	kernels_cpu_graph(k);
	kernels_cpu_pairs(k);
	kernels_cpu_table(k);
	kernels_cpu_dense(k);
	kernels_cpu_norm(k);
	kernels_cpu_image(k);
	kernels_cpu_pool(k);
	kernels_cpu_fold(k);
	kernels_cpu_geometry(k);
	kernels_cpu_optim(k);
	kernels_cpu_loss(k);
	kernels_cpu_hyper(k);
	kernels_cpu_contrast(k);
	kernels_cpu_near(k);
	return 0;
}

void kernels_cpu_free(struct kernels *k)
{
	if (!k || !k->self)
		return;
	struct cpu *c = k->self;
	for (int i = 0; i < c->n_slot; i++)
		free(c->slots[i].data);
	free(c->slots);
	free(c);
	k->self = NULL;
}
