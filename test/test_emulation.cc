/*
 * The emulated device itself: kernels that are right run right in every order, and each of the faults that it is there
 * to find is found: a missing barrier, an index out of bounds, a barrier that not all reach, memory that was never
 * written, host memory in a kernel, device memory on the host.
 */
#include "emulation.h"

#include "tap.h"

#include <sys/wait.h>
#include <unistd.h>
#include <vector>

enum { N = 200, THREADS = 64 };

static __global__ void square(const float *x, float *y, int n)
{
	int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
	if (i < n)
		y[i] = x[i] * x[i];
}

/* Without the test of its bound. */
static __global__ void square_unbounded(const float *x, float *y)
{
	int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
	y[i] = x[i] * x[i];
}

/* Each block turns its part over. */
static __global__ void reverse(const float *x, float *y)
{
	CUDA_SHARED(float, part);
	part[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
	__syncthreads();
	y[blockIdx.x * blockDim.x + threadIdx.x] = part[blockDim.x - 1 - threadIdx.x];
}

static __global__ void reverse_unfenced(const float *x, float *y)
{
	CUDA_SHARED(float, part);
	part[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
	y[blockIdx.x * blockDim.x + threadIdx.x] = part[blockDim.x - 1 - threadIdx.x];
}

/* Every thread hands on what its left neighbour has: a missing barrier that ascending order alone hides. */
static __global__ void shift_unfenced(const float *x, float *y)
{
	CUDA_SHARED(float, part);
	part[threadIdx.x] = x[threadIdx.x];
	y[threadIdx.x] = threadIdx.x ? part[threadIdx.x - 1] : 0;
}

static __global__ void half_a_barrier(float *y)
{
	if (threadIdx.x < blockDim.x / 2)
		__syncthreads();
	y[threadIdx.x] = 1;
}

static __global__ void two_barriers(float *y)
{
	if (threadIdx.x < blockDim.x / 2)
		__syncthreads();
	else
		__syncthreads();
	y[threadIdx.x] = 1;
}

static __global__ void warp_sums(const float *x, float *y)
{
	float sum = x[threadIdx.x];
	for (int step = 16; step; step /= 2)
		sum += __shfl_xor_sync(0xffffffffu, sum, step);
	y[threadIdx.x] = sum;
}

struct pair {
	const float *a;
	float *b;
};
static __global__ void copy_pair(struct pair p)
{
	p.b[threadIdx.x] = p.a[threadIdx.x];
}

static float *device(const std::vector<float> &x)
{
	void *p = nullptr;
	cudaMalloc(&p, x.size() * sizeof(float));
	cudaMemcpy(p, x.data(), x.size() * sizeof(float), cudaMemcpyHostToDevice);
	return static_cast<float *>(p);
}

static float *device_new(size_t n)
{
	void *p = nullptr;
	cudaMalloc(&p, n * sizeof(float));
	return static_cast<float *>(p);
}

static std::vector<float> host(const float *p, size_t n)
{
	std::vector<float> x(n);
	cudaMemcpy(x.data(), p, n * sizeof(float), cudaMemcpyDeviceToHost);
	return x;
}

static std::vector<float> counted(size_t n)
{
	std::vector<float> x(n);
	for (size_t i = 0; i < n; i++)
		x[i] = (float)i;
	return x;
}

static void test_right(int order, const char *name)
{
	std::vector<float> x = counted(N);
	float *dx = device(x), *dy = device_new(N);
	emulation_set_order(order);
	CUDA_LAUNCH(square, (N + THREADS - 1) / THREADS, THREADS, 0, dx, dy, N);
	std::vector<float> y = host(dy, N);
	bool good = true;
	for (size_t i = 0; i < N; i++)
		good &= y[i] == (float)(i * i);
	tap_ok(good, "%s: a thread an entry", name);
	CUDA_LAUNCH(reverse, 3, THREADS, THREADS * sizeof(float), dx, dy);
	y = host(dy, N);
	good = true;
	for (size_t i = 0; i < 3 * THREADS; i++)
		good &= y[i] == (float)(i / THREADS * THREADS + THREADS - 1 - i % THREADS);
	tap_ok(good, "%s: shared memory and a barrier", name);
	CUDA_LAUNCH(warp_sums, 1, THREADS, 0, dx, dy);
	y = host(dy, THREADS);
	tap_ok(y[0] == 496 && y[31] == 496 && y[32] == 1520 && y[63] == 1520, "%s: sums by shuffles", name);
	struct pair p = {dx, dy};
	CUDA_LAUNCH(copy_pair, 1, THREADS, 0, p);
	tap_ok(host(dy, THREADS) == counted(THREADS), "%s: addresses in a structure", name);
	cudaFree(dx);
	cudaFree(dy);
}

static void test_missing_barrier(void)
{
	std::vector<float> x = counted(THREADS);
	float *dx = device(x), *dy = device_new(THREADS);
	bool wrong[3];
	for (int order = 0; order < 3; order++) {
		emulation_set_order(order);
		CUDA_LAUNCH(reverse_unfenced, 1, THREADS, THREADS * sizeof(float), dx, dy);
		std::vector<float> y = host(dy, THREADS);
		wrong[order] = false;
		for (size_t i = 0; i < THREADS; i++)
			wrong[order] |= !(y[i] == (float)(THREADS - 1 - i));
	}
	tap_ok(wrong[0] && wrong[1] && wrong[2], "mutant: a missing barrier gives wrong numbers");
	for (int order = 0; order < 3; order++) {
		emulation_set_order(order);
		CUDA_LAUNCH(shift_unfenced, 1, THREADS, THREADS * sizeof(float), dx, dy);
		std::vector<float> y = host(dy, THREADS);
		wrong[order] = false;
		for (size_t i = 1; i < THREADS; i++)
			wrong[order] |= !(y[i] == (float)(i - 1));
	}
	tap_ok(!wrong[0] && wrong[1] && wrong[2], "mutant: one that ascending order hides is found by the others");
	emulation_set_order(EMULATION_ASCENDING);
}

/* The child's message holds the text, and it ended with the fault's status. */
template <class F> static void dies(const char *want, const char *what, F f)
{
	int fd[2], status = 0;
	char text[600] = "";
	fflush(stdout);
	if (pipe(fd))
		return;
	pid_t child = fork();
	if (child == 0) {
		dup2(fd[1], 2);
		f();
		_exit(0);
	}
	close(fd[1]);
	size_t n = 0;
	for (ssize_t got; (got = read(fd[0], text + n, sizeof text - 1 - n)) > 0;)
		n += (size_t)got;
	close(fd[0]);
	waitpid(child, &status, 0);
	bool good = WIFEXITED(status) && WEXITSTATUS(status) == 70 && strstr(text, want);
	good |= strstr(text, "ERROR: AddressSanitizer") != nullptr; /* which sees some of them first */
	tap_ok(good, "mutant: %s: %s", what, want);
	if (!good)
		printf("# status %d, %s\n", status, text);
}

int main(void)
{
	test_right(EMULATION_ASCENDING, "ascending");
	test_right(EMULATION_DESCENDING, "descending");
	test_right(EMULATION_PERMUTED, "permuted");
	test_missing_barrier();
	float *dx = device(counted(N)), *dy = device_new(N);
	std::vector<float> on_host(N);
	dies("square_unbounded, block 16, thread 0: reached outside of its arrays", "an index out of bounds", [&] {
		float *x = device_new(16 * THREADS), *y = device_new(16 * THREADS);
		CUDA_LAUNCH(square_unbounded, 17, THREADS, 0, x, y);
	});
	dies("written past its end", "a write into the last bytes of a page", [&] {
		float *y = device_new(50);
		CUDA_LAUNCH(square_unbounded, 1, THREADS, 0, dx, y);
		cudaFree(y);
	});
	dies("half_a_barrier, block 0, thread 63: a barrier that 32 of 64 threads never reach",
	     "a barrier that not all reach", [&] { CUDA_LAUNCH(half_a_barrier, 1, THREADS, 0, dy); });
	dies("threads wait at different barriers", "two barriers",
	     [&] { CUDA_LAUNCH(two_barriers, 1, THREADS, 0, dy); });
	dies("is no device memory", "host memory in a kernel",
	     [&] { CUDA_LAUNCH(square, 1, THREADS, 0, on_host.data(), dy, THREADS); });
	dies("is no device memory", "host memory in a kernel's structure", [&] {
		struct pair p = {on_host.data(), dy};
		CUDA_LAUNCH(copy_pair, 1, THREADS, 0, p);
	});
	dies("the host reached into device memory", "device memory on the host",
	     [&] { on_host[0] = *(volatile float *)dx; });
	dies("past the end of an allocation", "a copy that is too long",
	     [&] { cudaMemcpy(on_host.data(), dx, (N + 1) * sizeof(float), cudaMemcpyDeviceToHost); });
	dies("reached outside of its arrays", "memory that was given back", [&] {
		cudaFree(dx);
		emulation_run(
		    "late", 1, 1, 0, [](void *p) { *static_cast<volatile float *>(p) = 1; },
		    emulation_translate("late", dx));
	});
	std::vector<float> fresh = host(device_new(4), 4);
	tap_ok(std::isnan(fresh[0]) && std::isnan(fresh[3]), "memory that was never written is NaN");
	return tap_done();
}
