/*
 * emulation.h - as much of CUDA as kernels/ needs, on the CPU, in C++17: the same text that nvcc compiles runs here.
 *
 * A kernel's threads are fibers of one thread of the system, run in an order that a test chooses and parked at barriers
 * alone. Device memory is handed out under addresses that the host can not touch; a launch puts the addresses of the
 * kernels' own view in their place, where pages without access lie between the arrays. Fresh memory, device and shared,
 * is full of NaN. Faults name the kernel, block and thread and end the process.
 *
 * It shows logic: not speed, not the weak order of memory, not the limits of a device.
 */
#ifndef EMULATION_H
#define EMULATION_H

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>

using std::log;

/* ---- the language --------------------------------------------------------- */

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline

struct dim3 {
	unsigned x, y, z;
	dim3(unsigned nx = 1, unsigned ny = 1, unsigned nz = 1) : x(nx), y(ny), z(nz)
	{
	}
};
struct emulation_position {
	dim3 thread, block, n_thread, n_block;
};
extern emulation_position emulation_at; /* of the thread that runs */
#define threadIdx emulation_at.thread
#define blockIdx emulation_at.block
#define blockDim emulation_at.n_thread
#define gridDim emulation_at.n_block

void *emulation_shared(void); /* the block's dynamic shared memory */
#define CUDA_SHARED(type, name) type *name = static_cast<type *>(emulation_shared())

/* Barriers are numbered by their place in the source, so that a test can leave out any of them. */
int emulation_site(const char *file, int line);
void emulation_barrier(int site);
#define __syncthreads()                                                                                                \
	do {                                                                                                           \
		static const int emulation_here = emulation_site(__FILE__, __LINE__);                                  \
		emulation_barrier(emulation_here);                                                                     \
	} while (0)
/* Value of the lane whose number differs by the bits of mask; the whole warp takes part. */
uint64_t emulation_exchange(uint64_t bits, int mask);
template <class T> T __shfl_xor_sync(unsigned lanes, T value, int mask)
{
	static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffle moves at most 8 bytes");
	uint64_t bits = 0;
	(void)lanes;
	memcpy(&bits, &value, sizeof value);
	bits = emulation_exchange(bits, mask);
	memcpy(&value, &bits, sizeof value);
	return value;
}

inline unsigned __umulhi(unsigned a, unsigned b)
{
	return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}

/* ---- launches ------------------------------------------------------------- */

/* The kernels' address of a pointer into device memory; a host pointer is a fault. NULL stays NULL. */
void *emulation_translate(const char *kernel, const void *p);
/* The same for whatever in a structure handed over by value looks like a pointer. */
void emulation_translate_words(const char *kernel, void *object, size_t nbytes);
void emulation_run(const char *kernel, dim3 n_block, dim3 n_thread, size_t nbytes_shared, void (*body)(void *),
		   void *ctx);

template <class P> void emulation_argument(const char *kernel, P &p)
{
	if constexpr (std::is_pointer_v<P>)
		p = static_cast<P>(emulation_translate(kernel, p));
	else if constexpr (std::is_class_v<P>)
		emulation_translate_words(kernel, &p, sizeof p);
	else
		(void)kernel;
}

template <class... P, class... A>
void emulation_launch(const char *name, void (*kernel)(P...), dim3 n_block, dim3 n_thread, size_t nbytes_shared,
		      A... args)
{
	std::tuple<P...> given(static_cast<P>(args)...);
	std::apply([&](P &...p) { (emulation_argument(name, p), ...); }, given);
	auto body = [&] { std::apply(kernel, given); };
	emulation_run(
	    name, n_block, n_thread, nbytes_shared, [](void *ctx) { (*static_cast<decltype(body) *>(ctx))(); }, &body);
}
#define CUDA_LAUNCH(kernel, n_block, n_thread, nbytes_shared, ...)                                                     \
	emulation_launch(#kernel, kernel, n_block, n_thread, nbytes_shared, __VA_ARGS__)

/* ---- the runtime's functions ------------------------------------------------ */

enum cudaError_t {
	cudaSuccess = 0,
	cudaErrorInvalidValue = 1,
	cudaErrorMemoryAllocation = 2,
	cudaErrorInsufficientDriver = 35,
	cudaErrorNoDevice = 100,
	cudaErrorLaunchFailure = 719
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
struct cudaDeviceProp {
	char name[256];
	int major, minor;
};
cudaError_t cudaGetDeviceCount(int *n); /* one; none where EMULATION_DEVICES=0 */
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device);
cudaError_t cudaMalloc(void **p, size_t nbytes);
cudaError_t cudaFree(void *p);
cudaError_t cudaMemcpy(void *dst, const void *src, size_t nbytes, cudaMemcpyKind kind);
cudaError_t cudaMemset(void *p, int byte, size_t nbytes);
cudaError_t cudaGetLastError(void);
const char *cudaGetErrorString(cudaError_t e);

/* ---- cuBLAS, by CBLAS --------------------------------------------------------- */

enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_NOT_INITIALIZED = 1 };
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
using cublasHandle_t = struct emulation_blas *;
cublasStatus_t cublasCreate(cublasHandle_t *h);
cublasStatus_t cublasDestroy(cublasHandle_t h);
cublasStatus_t cublasGetVersion(cublasHandle_t h, int *version);
cublasStatus_t cublasSgemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
			   const float *alpha, const float *a, int lda, const float *b, int ldb, const float *beta,
			   float *c, int ldc);

/* ---- for tests ---------------------------------------------------------------- */

enum { EMULATION_ASCENDING, EMULATION_DESCENDING, EMULATION_PERMUTED };
extern "C" {
/* Order of threads within blocks and of blocks from now on; at first that of EMULATION_ORDER, else ascending.
 * EMULATION_SKIP: the barrier left out from the start. */
void emulation_set_order(int order);
int emulation_n_site(void);                /* barriers met so far */
const char *emulation_site_name(int site); /* "cuda_rows.cu:31" */
void emulation_skip(int site);             /* that barrier lets everyone pass; -1: none does */
}

#endif
