/* cuda.cu - the CUDA table: one device, its memory, products by cuBLAS, and the plug-in's door. */
#include "cuda.cuh"

#include <stdio.h>
#include <string.h>

static_assert(sizeof(real) == sizeof(float), "the plug-in computes in float");

/* One device a process: memory operations know no table. */
static struct {
	cublasHandle_t blas;
	void *scratch[CUDA_N_SLOT];
	size_t nbytes[CUDA_N_SLOT];
	char build[320], fault[200];
	char nowhere[64]; /* an address that is nobody's */
	int n_open;
} cuda;

bool cuda_good(cudaError_t e)
{
	if (e != cudaSuccess && !*cuda.fault)
		snprintf(cuda.fault, sizeof cuda.fault, "the CUDA device: %s", cudaGetErrorString(e));
	return e == cudaSuccess;
}

bool cuda_works(void)
{
	return !*cuda.fault;
}

static const char *fault(const struct kernels *k)
{
	(void)k;
	return *cuda.fault ? cuda.fault : NULL;
}

/* ---- memory --------------------------------------------------------------- */

/* After a failure nothing is read or written any more; what asks for memory then gets an address for form's sake, goes
 * on and is told of the failure by `fault`. */
static void *device_alloc(size_t nbytes)
{
	void *p = NULL;
	return cuda_works() && cuda_good(cudaMalloc(&p, nbytes ? nbytes : 1)) ? p : cuda.nowhere;
}

static void device_release(void *p)
{
	if (p != cuda.nowhere)
		cuda_good(cudaFree(p));
}

void cuda_upload(void *dst, const void *host, size_t nbytes)
{
	if (nbytes && cuda_works())
		cuda_good(cudaMemcpy(dst, host, nbytes, cudaMemcpyHostToDevice));
}

void cuda_download(void *host, const void *src, size_t nbytes)
{
	if (nbytes && (!cuda_works() || !cuda_good(cudaMemcpy(host, src, nbytes, cudaMemcpyDeviceToHost))))
		memset(host, 0, nbytes);
}

static void device_copy(void *dst, const void *src, size_t nbytes)
{
	if (nbytes && cuda_works())
		cuda_good(cudaMemcpy(dst, src, nbytes, cudaMemcpyDeviceToDevice));
}

static __global__ void fill_each(real *x, int64_t n, real value)
{
	int64_t i = cuda_index();
	if (i < n)
		x[i] = value;
}

static void device_fill(const struct kernels *, real *x, int64_t n, real value)
{
	if (value == 0 && n > 0 && cuda_works())
		cuda_good(cudaMemset(x, 0, (size_t)n * sizeof *x));
	else
		CUDA_EACH(fill_each, n, x, n, value);
}

void *cuda_scratch(int slot, size_t nbytes)
{
	if (cuda.nbytes[slot] < nbytes) {
		device_release(cuda.scratch[slot]);
		cuda.scratch[slot] = device_alloc(nbytes);
		cuda.nbytes[slot] = nbytes;
	}
	return cuda.scratch[slot];
}

/* ---- products --------------------------------------------------------------- */

/* Row by row, C = op(A) op(B); cuBLAS goes by columns, where the same memory holds C^T = op(B)^T op(A)^T. */
static void product(bool ta, bool tb, int64_t m, int64_t n, int64_t kk, double alpha, const real *a, int64_t lda,
		    const real *b, int64_t ldb, double beta, real *c, int64_t ldc)
{
	const float one = (float)alpha, two = (float)beta;
	if (m <= 0 || n <= 0 || !cuda_works())
		return;
	cublasStatus_t s = cublasSgemm(cuda.blas, tb ? CUBLAS_OP_T : CUBLAS_OP_N, ta ? CUBLAS_OP_T : CUBLAS_OP_N,
				       (int)n, (int)m, (int)kk, &one, b, (int)ldb, a, (int)lda, &two, c, (int)ldc);
	if (s != CUBLAS_STATUS_SUCCESS && !*cuda.fault)
		snprintf(cuda.fault, sizeof cuda.fault, "the CUDA device: cuBLAS failed with status %d", (int)s);
}

/* cuBLAS takes other paths for other sizes, and their sums differ in the last bit: here all have one size. */
static void product_blocks(const struct kernels *k, bool tb, int64_t m, int64_t n, int64_t kk, double alpha,
			   const real *a, int64_t lda, const real *b, int64_t ldb, real *c, int64_t ldc)
{
	int64_t whole = m / CUDA_BLOCK * CUDA_BLOCK, rest = m - whole;
	for (int64_t i = 0; i < whole; i += CUDA_BLOCK)
		product(false, tb, CUDA_BLOCK, n, kk, alpha, a + i * lda, lda, b, ldb, 0, c + i * ldc, ldc);
	if (!rest)
		return;
	real *in = (real *)cuda_scratch(CUDA_SLOT_BLOCK, (size_t)(CUDA_BLOCK * (kk + n)) * sizeof *in);
	real *out = in + CUDA_BLOCK * kk;
	device_fill(k, in, CUDA_BLOCK * kk, 0);
	k->copy_block(k, a + whole * lda, lda, in, kk, rest, kk, false);
	product(false, tb, CUDA_BLOCK, n, kk, alpha, in, kk, b, ldb, 0, out, n);
	k->copy_block(k, out, n, c + whole * ldc, ldc, rest, n, false);
}

static void gemm(const struct kernels *k, bool ta, bool tb, int64_t m, int64_t n, int64_t kk, double alpha,
		 const real *a, int64_t lda, const real *b, int64_t ldb, double beta, real *c, int64_t ldc)
{
	if (k->fixed_rows && !ta && beta == 0 && n > 0 && kk > 0)
		product_blocks(k, tb, m, n, kk, alpha, a, lda, b, ldb, c, ldc);
	else
		product(ta, tb, m, n, kk, alpha, a, lda, b, ldb, beta, c, ldc);
}

/* ---- the door ------------------------------------------------------------------ */

static void close_table(struct kernels *k)
{
	(void)k;
	if (--cuda.n_open)
		return;
	for (int i = 0; i < CUDA_N_SLOT; i++) {
		device_release(cuda.scratch[i]);
		cuda.scratch[i] = NULL;
		cuda.nbytes[i] = 0;
	}
	cublasDestroy(cuda.blas);
}

static int open_device(char *why, size_t n_why)
{
	int n_device = 0, version = 0;
	cudaDeviceProp device;
	cudaError_t e = cudaGetDeviceCount(&n_device);
	if (e != cudaSuccess || n_device < 1) {
		snprintf(why, n_why, "no CUDA device (%s)", e != cudaSuccess ? cudaGetErrorString(e) : "none counted");
		return ERR_IO;
	}
	if ((e = cudaGetDeviceProperties(&device, 0)) != cudaSuccess) {
		snprintf(why, n_why, "the CUDA device cannot be used (%s)", cudaGetErrorString(e));
		return ERR_IO;
	}
	if (cublasCreate(&cuda.blas) != CUBLAS_STATUS_SUCCESS ||
	    cublasGetVersion(cuda.blas, &version) != CUBLAS_STATUS_SUCCESS) {
		snprintf(why, n_why, "cuBLAS does not start on the CUDA device");
		return ERR_IO;
	}
	snprintf(cuda.build, sizeof cuda.build, "cuBLAS %d on %s, compute capability %d.%d", version, device.name,
		 device.major, device.minor);
	return 0;
}

static int open_table(struct kernels *k, char *why, size_t n_why)
{
	int rc = cuda.n_open ? 0 : open_device(why, n_why);
	if (rc)
		return rc;
	cuda.n_open++;
	memset(k, 0, sizeof *k);
	k->name = "cuda";
	k->blas = "cuBLAS";
	k->build = cuda.build;
	k->plain = true; /* the quicker paths are the CPU's */
	k->close = close_table;
	k->fault = fault;
	k->alloc = device_alloc;
	k->release = device_release;
	k->upload = cuda_upload;
	k->download = cuda_download;
	k->copy = device_copy;
	k->fill = device_fill;
	k->gemm = gemm;
	cuda_entry(k);
	cuda_rows(k);
	cuda_graph(k);
	cuda_norm(k);
	cuda_optim(k);
	cuda_hyper(k);
	cuda_near(k);
	return 0;
}

extern "C" {
extern const struct kernels_plugin kernels_plugin;
const struct kernels_plugin kernels_plugin = {KERNELS_ABI, open_table};
}
