/*
 * fault_blas.c - preloaded into a program under test: another OpenBLAS. Where BLAS_WRONG names the kind of a product
 * (any; ta, tb: an operand transposed; large; beta: added to what is there) the last entry of such products is off by
 * a hundredth. Where BLAS_BUILD is a number it says that it was built so (openblas_get_parallel), and it ends the
 * program when another thread than the first calls it; the first one rests at each call, so that others get a turn.
 * Where BLAS_OLD is set it takes this processor for one of 2004, unless OPENBLAS_CORETYPE names a core.
 */
#include <cblas.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int openblas_get_parallel(void)
{
	int (*real)(void);
	const char *build = getenv("BLAS_BUILD");
	*(void **)&real = dlsym(RTLD_NEXT, "openblas_get_parallel");
	return build ? atoi(build) : real();
}

char *openblas_get_corename(void)
{
	static char old[] = "Prescott";
	char *(*real)(void);
	*(void **)&real = dlsym(RTLD_NEXT, "openblas_get_corename");
	return getenv("BLAS_OLD") && !getenv("OPENBLAS_CORETYPE") ? old : real();
}

static int is_wrong(const char *kind, int ta, int tb, double n_mul, float beta)
{
	return kind && (!strcmp(kind, "any") || (!strcmp(kind, "ta") && ta == CblasTrans) ||
			(!strcmp(kind, "tb") && tb == CblasTrans) || (!strcmp(kind, "large") && n_mul > 1e6) ||
			(!strcmp(kind, "beta") && beta != 0));
}

void cblas_sgemm(const enum CBLAS_ORDER order, const enum CBLAS_TRANSPOSE ta, const enum CBLAS_TRANSPOSE tb,
		 const int m, const int n, const int k, const float alpha, const float *a, const int lda,
		 const float *b, const int ldb, const float beta, float *c, const int ldc)
{
	void (*real)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
	if (getenv("BLAS_BUILD")) {
		if (gettid() != getpid())
			_exit(97);
		usleep(200);
	}
	*(void **)&real = dlsym(RTLD_NEXT, "cblas_sgemm");
	real(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
	if (m > 0 && n > 0 && is_wrong(getenv("BLAS_WRONG"), ta, tb, (double)m * n * k, beta)) {
		float *last = c + (size_t)(m - 1) * (size_t)ldc + n - 1;
		*last += 0.01F * (1 + *last);
	}
}
