/* Products against the reference: each transposition, each rest of a tile, numbers that are none, what a row's bytes
 * may depend on; A and B end where memory does. And what memory arrays take. */
#include "kernels.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOLERANCE 3e-7
enum { MOST = 1 << 20, PAD = 5 };

struct product {
	bool ta, tb, add;
	int64_t m, n, inner, lda, ldb, ldc;
};
static real *a, *b, *start, *want, *got;
static real *a_end, *b_end; /* no memory from here on */

static struct product make(int64_t m, int64_t n, int64_t inner, int kind)
{
	struct product p = {.ta = kind & 1, .tb = kind & 2, .add = kind & 4, .m = m, .n = n, .inner = inner};
	p.lda = p.ta ? m : inner;
	p.ldb = p.tb ? inner : n;
	p.ldc = n + PAD;
	if (kind & 8) { /* rows that begin with lines of the cache */
		p.lda = (p.lda + 15) / 16 * 16;
		p.ldb = (p.ldb + 15) / 16 * 16;
	}
	return p;
}

/* What is not added to is no number before. */
static void draw(const struct product *p, uint64_t seed)
{
	struct rng r;
	rng_init(&r, seed, 0);
	a = a_end - p->lda * (p->ta ? p->inner : p->m);
	b = b_end - p->ldb * (p->tb ? p->n : p->inner);
	for (int64_t i = 0; i < p->lda * (p->ta ? p->inner : p->m); i++)
		a[i] = (real)rng_normal(&r);
	for (int64_t i = 0; i < p->ldb * (p->tb ? p->n : p->inner); i++)
		b[i] = (real)rng_normal(&r);
	for (int64_t i = 0; i < p->m * p->ldc + PAD; i++)
		start[i] = p->add || i % p->ldc >= p->n ? (real)rng_normal(&r) : (real)NAN;
}

static void run(const struct kernels *k, const struct product *p, real *c)
{
	memcpy(c, start, (size_t)(p->m * p->ldc + PAD) * sizeof *c);
	k->gemm(k, p->ta, p->tb, p->m, p->n, p->inner, 1, a, p->lda, b, p->ldb, p->add, c, p->ldc);
}

static bool equal(const struct product *p)
{
	return !memcmp(want, got, (size_t)(p->m * p->ldc + PAD) * sizeof *got);
}

/*
 * Largest difference from the reference by inner + 8 (the rounding of a sum of that many normal numbers has a deviation
 * of 2.4e-8 by its length), infinite where what lies between the rows or behind them changed.
 */
static double error(const struct kernels *ref, const struct kernels *k, struct product p, uint64_t seed)
{
	double most = 0;
	draw(&p, seed);
	run(ref, &p, want);
	run(k, &p, got);
	for (int64_t i = 0; i < p.m * p.ldc + PAD; i++) {
		bool inside = i < p.m * p.ldc && i % p.ldc < p.n;
		double e = fabs((double)got[i] - (double)want[i]) / (double)(p.inner + 8);
		if (inside ? !(e < HUGE_VAL) : memcmp(&got[i], &start[i], sizeof *got) != 0)
			return HUGE_VAL;
		most = inside && e > most ? e : most;
	}
	return most;
}

static void test_sizes(const struct kernels *ref, const struct kernels *k)
{
	static const int64_t side[] = {1, 2, 13, 14, 15, 16, 17, 31, 32, 33, 100};
	enum { N = sizeof side / sizeof *side };
	for (int kind = 0; kind < 16; kind++) {
		double most = 0;
		for (int i = 0; i < N * N; i++)
			most = fmax(most,
				    error(ref, k, make(side[i / N], side[i % N], 1 + i * 7 % 90, kind), (uint64_t)i));
		tap_ok(most <= TOLERANCE, "%d x %d sides, kind %d (%.1e)", N, N, kind, most);
		most = 0;
		for (int64_t inner = 1; inner <= 700;
		     inner += inner < 36 || inner % 64 > 60 || inner % 320 > 316 ? 1 : 3)
			most = fmax(most, error(ref, k, make(15, 35, inner, kind), (uint64_t)inner));
		tap_ok(most <= TOLERANCE, "sums of up to 700 terms, kind %d (%.1e)", kind, most);
		double large =
		    fmax(error(ref, k, make(731, 40, 50, kind), 1), error(ref, k, make(30, 1050, 40, kind), 2));
		large = fmax(large, error(ref, k, make(128, 301, 700, kind), 3));
		tap_ok(large <= TOLERANCE, "many rows, many columns, kind %d (%.1e)", kind, large);
	}
}

static int class_of(real x)
{
	return isnan(x) ? 1 : isinf(x) ? (x > 0 ? 2 : 3) : 0;
}

/* Of a small product each sum is rounded once: by the reference, whose sums are in double, the same but for that. */
static void test_exact(const struct kernels *ref, const struct kernels *k)
{
	double most = 0;
	for (int kind = 0; kind < 16; kind++)
		for (int64_t side = 1; side < 40; side++) {
			struct product p = make(side, 40 - side, 190, kind);
			double off = 0, top = 0;
			draw(&p, (uint64_t)side);
			run(ref, &p, want);
			run(k, &p, got);
			for (int64_t i = 0; i < p.m * p.ldc + PAD; i++)
				if (i < p.m * p.ldc && i % p.ldc < p.n) {
					off = fmax(off, fabs((double)got[i] - (double)want[i]));
					top = fmax(top, fabs((double)want[i]));
				}
			most = fmax(most, off / top);
		}
	tap_ok(most <= 6e-8, "small products: summed in double (%.1e)", most);
}

static void test_no_numbers(const struct kernels *ref, const struct kernels *k)
{
	int n_wrong = 0, n_seen = 0;
	for (int kind = 0; kind < 8; kind++) {
		struct product p = make(45, 50, 70, kind);
		draw(&p, 3);
		a[p.ta ? 5 * p.lda + 20 : 20 * p.lda + 5] = (real)NAN;
		a[p.ta ? 69 * p.lda + 44 : 44 * p.lda + 69] = (real)INFINITY;
		b[p.tb ? 49 * p.ldb + 7 : 7 * p.ldb + 49] = (real)-INFINITY;
		run(ref, &p, want);
		run(k, &p, got);
		for (int64_t i = 0; i < p.m * p.ldc; i++) {
			n_wrong += class_of(want[i]) != class_of(got[i]);
			n_seen += i % p.ldc < p.n && class_of(want[i]) != 0;
		}
	}
	tap_ok(!n_wrong && n_seen > 8 * 100, "NaN and infinities arrive where they belong (%d of %d do not)", n_wrong,
	       n_seen);
}

static void test_threads(const struct kernels *one, const struct kernels *more, int n_thread)
{
	bool good = true;
	for (int kind = 0; kind < 8; kind++) {
		struct product p = make(kind & 1 ? 256 : 531, 256, 300, kind);
		draw(&p, 4);
		run(one, &p, want);
		run(more, &p, got);
		good &= equal(&p);
		p = make(128, 300, 531, kind); /* A has whole lines, B has not */
		draw(&p, 5);
		run(one, &p, want);
		run(more, &p, got);
		good &= equal(&p);
	}
	tap_ok(good, "the same bytes for %d threads", n_thread);
}

/* In blocks of inference: each row alone has the bytes that it has among others. */
static void test_rows(const struct kernels *k)
{
	struct kernels fixed = *k;
	int n_other = 0;
	fixed.fixed_rows = true;
	for (int tb = 0; tb < 2; tb++) {
		struct product p = make(67, 90, 333, 2 * tb);
		draw(&p, 5);
		run(&fixed, &p, want);
		for (int64_t i = 0; i < p.m; i++) {
			fixed.gemm(&fixed, false, p.tb, 1, p.n, p.inner, 1, a + i * p.lda, p.lda, b, p.ldb, 0, got,
				   p.ldc);
			n_other += memcmp(got, want + i * p.ldc, (size_t)p.n * sizeof *got) != 0;
		}
	}
	tap_ok(!n_other, "a row's bytes do not depend on the others");
}

static const struct kernels *right;
static void short_sum(const struct kernels *k, bool ta, bool tb, int64_t m, int64_t n, int64_t kk, double alpha,
		      const real *x, int64_t lda, const real *y, int64_t ldb, double beta, real *c, int64_t ldc)
{
	right->gemm(right, ta, tb, m, n, kk > 69 ? kk - 1 : kk, alpha, x, lda, y, ldb, beta, c, ldc);
}
static void wide_row(const struct kernels *k, bool ta, bool tb, int64_t m, int64_t n, int64_t kk, double alpha,
		     const real *x, int64_t lda, const real *y, int64_t ldb, double beta, real *c, int64_t ldc)
{
	right->gemm(right, ta, tb, m, n, kk, alpha, x, lda, y, ldb, beta, c, ldc);
	c[n] += 1;
}
static void long_row(const struct kernels *k, bool ta, bool tb, int64_t m, int64_t n, int64_t kk, double alpha,
		     const real *x, int64_t lda, const real *y, int64_t ldb, double beta, real *c, int64_t ldc)
{
	right->gemm(right, ta, tb, m, n, kk, alpha, x + 1, lda, y, ldb, beta, c, ldc);
}

static void test_mutants(const struct kernels *ref, const struct kernels *k)
{
	struct kernels m = *k;
	struct product p = make(20, 20, 70, 0);
	right = k;
	m.gemm = short_sum;
	tap_ok(!(error(ref, &m, p, 1) <= TOLERANCE), "mutant: a term left out is caught");
	m.gemm = wide_row;
	tap_ok(!(error(ref, &m, p, 1) <= TOLERANCE), "mutant: an entry past the row's end is caught");
	int status = 0;
	pid_t child = fork();
	if (!child) {
		m.gemm = long_row;
		error(ref, &m, p, 1);
		_exit(0);
	}
	tap_ok(waitpid(child, &status, 0) == child && status, "mutant: an entry read past A's end is caught");
}

/* The end of MOST entries, behind which nothing may be read. */
static real *guarded(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE), nbytes = MOST * sizeof(real);
	char *p = mmap(NULL, nbytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || mprotect(p + nbytes, page, PROT_NONE))
		abort();
	return (real *)(void *)(p + nbytes);
}

/* Pages of this process that lie in memory. */
static double resident(void)
{
	long all, here = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%ld %ld", &all, &here) != 2)
		here = -1;
	if (f)
		fclose(f);
	return (double)here;
}

/* A model has hundreds of arrays of some 100,000 entries. */
static void test_memory(const struct kernels *k)
{
	enum { N = 64, NBYTES = 600 << 10 };
	real *x[N];
	const double before = resident();
	for (int i = 0; i < N; i++) {
		if (!(x[i] = k->alloc(NBYTES)))
			abort();
		memset(x[i], 1, NBYTES);
	}
	const double took = (resident() - before) * (double)sysconf(_SC_PAGESIZE) / N / NBYTES;
	tap_ok(before > 0 && took > 0.9 && took < 1.5, "arrays take the memory that they hold (%.2f times)", took);
	for (int i = 0; i < N; i++)
		k->release(x[i]);
}

int main(void)
{
	struct err e = {0};
	struct kernels ref, one, plain, tiles;
	real **array[] = {&start, &want, &got};
	kernels_ref(&ref);
	a_end = guarded();
	b_end = guarded();
	if (kernels_cpu(&one, NULL, &e)) {
		printf("Bail out! %s\n", e.msg);
		return 1;
	}
	for (int i = 0; i < 3; i++)
		if (!(*array[i] = one.alloc(MOST * sizeof(real))))
			return 1;
	test_memory(&one);
	test_sizes(&ref, &one);
	tiles = one;
	tiles.fixed_rows = true; /* small ones too by what large ones are made by */
	test_sizes(&ref, &tiles);
	test_exact(&ref, &one);
	plain = one;
	plain.plain = true; /* the library's own */
	tap_ok(error(&ref, &plain, make(300, 70, 200, 6), 1) <= TOLERANCE, "the plain path");
	test_no_numbers(&ref, &one);
	for (int n = 2; n <= 8; n += n == 3 ? 5 : 1) {
		struct kernels more;
		struct pool *pool = pool_new(n);
		if (kernels_cpu(&more, pool, &e))
			return 1;
		test_threads(&one, &more, n);
		kernels_cpu_free(&more);
		pool_free(pool);
	}
	test_rows(&one);
	test_mutants(&ref, &one);
	for (int i = 0; i < 3; i++)
		one.release(*array[i]);
	kernels_cpu_free(&one);
	return tap_done();
}
