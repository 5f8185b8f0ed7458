/*
 * cuda.cuh - layer 2b, private: what the files of the CUDA table share.
 *
 * The same text is compiled by nvcc, and by a C++17 compiler over an emulated device for tests (test/emulation.h,
 * forced in before this). Sums run in an order that depends on the problem alone: no atomics, the same bytes on every
 * run.
 */
#ifndef MOLRILL_CUDA_CUH
#define MOLRILL_CUDA_CUH

#ifdef __CUDACC__
#include <cublas_v2.h>
#include <cuda_runtime.h>
#define CUDA_LAUNCH(kernel, n_block, n_thread, nbytes_shared, ...)                                                     \
	kernel<<<n_block, n_thread, nbytes_shared>>>(__VA_ARGS__)
#define CUDA_SHARED(type, name)                                                                                        \
	extern __shared__ __align__(16) unsigned char cuda_shared_bytes[];                                             \
	type *name = reinterpret_cast<type *>(cuda_shared_bytes)
#endif

#include "kernels.h"

#include <math.h>

enum {
	CUDA_THREADS = 256, /* of a block */
	CUDA_WARP = 32,
	CUDA_WARPS = CUDA_THREADS / CUDA_WARP,
	CUDA_ROWS = 256,     /* of a chunk of rows whose sums are added in chunk order */
	CUDA_ENTRIES = 4096, /* of a chunk of entries, likewise */
	CUDA_BLOCK = 64,     /* rows of a product where fixed_rows is set */
};
enum { CUDA_SLOT_PART, CUDA_SLOT_TOTAL, CUDA_SLOT_BLOCK, CUDA_SLOT_HYPER, CUDA_N_SLOT }; /* of scratch memory */

/* Operations of the table, one set a file; kernels_cuda calls them. */
void cuda_entry(struct kernels *k);
void cuda_rows(struct kernels *k);
void cuda_graph(struct kernels *k);
void cuda_norm(struct kernels *k);
void cuda_optim(struct kernels *k);
void cuda_hyper(struct kernels *k);
void cuda_near(struct kernels *k);

/* Device memory of one purpose, kept and grown; valid until the next call for the same slot. */
void *cuda_scratch(int slot, size_t nbytes);
/* Notes the first failure of a call or a launch, for `fault`. True: this one went well. */
bool cuda_good(cudaError_t e);
bool cuda_works(void); /* no failure so far */
void cuda_upload(void *dst, const void *host, size_t nbytes);
void cuda_download(void *host, const void *src, size_t nbytes);

static inline unsigned cuda_n_block(int64_t n, int64_t size)
{
	return n > 0 ? (unsigned)((n + size - 1) / size) : 0;
}

/* Blocks of CUDA_THREADS threads, none after a failure: what they would read may not be there. */
#define CUDA_BLOCKS(kernel, n_block, nbytes_shared, ...)                                                               \
	do {                                                                                                           \
		if ((n_block) > 0 && cuda_works()) {                                                                   \
			CUDA_LAUNCH(kernel, n_block, CUDA_THREADS, nbytes_shared, __VA_ARGS__);                        \
			cuda_good(cudaGetLastError());                                                                 \
		}                                                                                                      \
	} while (0)
/* One thread for each of n: kernels ask cuda_index which one they are, and whether there is one. */
#define CUDA_EACH(kernel, n, ...) CUDA_BLOCKS(kernel, cuda_n_block(n, CUDA_THREADS), 0, __VA_ARGS__)
static __device__ __forceinline__ int64_t cuda_index(void)
{
	return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

/* One warp for each of n rows: the row, and the lane's first entry; the whole warp has the same row. */
#define CUDA_EACH_ROW(kernel, n, ...) CUDA_BLOCKS(kernel, cuda_n_block(n, CUDA_WARPS), 0, __VA_ARGS__)
static __device__ __forceinline__ int64_t cuda_row(void)
{
	return cuda_index() / CUDA_WARP;
}
static __device__ __forceinline__ int cuda_lane(void)
{
	return (int)(threadIdx.x % CUDA_WARP);
}
/* Sum and maximum over the warp, the same in every lane. */
static __device__ __forceinline__ double cuda_warp_sum(double x)
{
	for (int step = CUDA_WARP / 2; step; step /= 2)
		x += __shfl_xor_sync(0xffffffffu, x, step);
	return x;
}
static __device__ __forceinline__ double cuda_warp_max(double x)
{
	for (int step = CUDA_WARP / 2; step; step /= 2) {
		double other = __shfl_xor_sync(0xffffffffu, x, step);
		x = other > x ? other : x;
	}
	return x;
}

/*
 * part[chunk, which, c] = sum over the chunk's rows i of what f(i, c, sum) adds to sum[which], for N sums at most 8.
 * A block holds 32 columns of one chunk: each warp takes every eighth row.
 */
template <int N, class F> static __global__ void cuda_sum_columns(F f, int64_t n, int64_t d, double *part)
{
	CUDA_SHARED(double, shared); /* [N, CUDA_WARPS, CUDA_WARP] */
	int64_t n_tile = (d + CUDA_WARP - 1) / CUDA_WARP, chunk = blockIdx.x / n_tile;
	int64_t c = blockIdx.x % n_tile * CUDA_WARP + cuda_lane(), to = (chunk + 1) * CUDA_ROWS;
	int warp = (int)(threadIdx.x / CUDA_WARP);
	double sum[N] = {};
	for (int64_t i = chunk * CUDA_ROWS + warp; i < n && i < to && c < d; i += CUDA_WARPS)
		f(i, c, sum);
	for (int w = 0; w < N; w++)
		shared[(w * CUDA_WARPS + warp) * CUDA_WARP + cuda_lane()] = sum[w];
	__syncthreads();
	if (warp >= N || c >= d)
		return;
	double total = 0;
	for (int r = 0; r < CUDA_WARPS; r++)
		total += shared[(warp * CUDA_WARPS + r) * CUDA_WARP + cuda_lane()];
	part[(chunk * N + warp) * d + c] = total;
}

/* Launches it over x [n, d]; returns part [cuda_n_block(n, CUDA_ROWS), N, d]. */
template <int N, class F> static const double *cuda_columns(F f, int64_t n, int64_t d)
{
	unsigned n_chunk = cuda_n_block(n, CUDA_ROWS), n_tile = cuda_n_block(d, CUDA_WARP);
	double *part = (double *)cuda_scratch(CUDA_SLOT_PART, ((size_t)n_chunk * N * (size_t)d + 1) * sizeof *part);
	void (*kernel)(F, int64_t, int64_t, double *) = cuda_sum_columns<N, F>;
	CUDA_BLOCKS(kernel, n_chunk * n_tile, N * CUDA_THREADS * sizeof(double), f, n, d, part);
	return part;
}

/* Sum number `which` of column c over all chunks. */
template <int N>
static __device__ __forceinline__ double cuda_column_total(const double *part, int64_t n, int64_t d, int which,
							   int64_t c)
{
	double sum = 0;
	for (int64_t chunk = 0; chunk * CUDA_ROWS < n; chunk++)
		sum += part[(chunk * N + which) * d + c];
	return sum;
}

/* Sum over the threads of a block, in thread 0 alone; shared holds CUDA_WARPS numbers and is used once a kernel. */
static __device__ __forceinline__ double cuda_block_sum(double x, double *shared)
{
	x = cuda_warp_sum(x);
	if (cuda_lane() == 0)
		shared[threadIdx.x / CUDA_WARP] = x;
	__syncthreads();
	double sum = 0;
	for (int w = 0; threadIdx.x == 0 && w < CUDA_WARPS; w++)
		sum += shared[w];
	return sum;
}

#endif
