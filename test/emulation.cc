/* emulation.cc - fibers, device memory and cuBLAS of the emulated device; see emulation.h. */
#include "emulation.h"

#include <cblas.h>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)0)
#endif
/* Fibers switch by a few lines of assembly, and far slower by the C library on other processors. */
#if defined(__x86_64__) && !defined(EMULATION_UCONTEXT)
#define EMULATION_ASM
#else
#include <ucontext.h>
#endif

emulation_position emulation_at;

namespace
{

enum { WARP = 32, STACK = 64 << 10, ALIGN = 64, MAX_THREADS = 1024, MAX_SHARED = 48 << 10 };
const char *running; /* the kernel, while one runs */

[[noreturn]] void fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void fault(const char *fmt, ...)
{
	char text[500];
	va_list ap;
	int n = 0;
	if (running)
		n = snprintf(text, sizeof text, "emulation: %s, block %u, thread %u: ", running, emulation_at.block.x,
			     emulation_at.thread.x);
	else
		n = snprintf(text, sizeof text, "emulation: ");
	va_start(ap, fmt);
	n += vsnprintf(text + n, sizeof text - (size_t)n - 1, fmt, ap);
	va_end(ap);
	text[n++] = '\n';
	if (write(2, text, (size_t)n) < 0)
		_exit(71);
	_exit(70);
}

/* ---- memory: what the host is given, and what kernels see ------------------------ */

const size_t room = (size_t)1 << 40;
char *given, *seen; /* the same offsets in both */
size_t used, page;
struct allocation {
	size_t nbytes;
};
std::map<size_t, allocation> live; /* by offset */
const unsigned char fresh = 0xff;  /* NaN in floating point, -1 in integers */

bool is_given(const void *p)
{
	const char *c = static_cast<const char *>(p);
	return c >= given && c < given + room;
}

void on_segv(int, siginfo_t *info, void *)
{
	const char *p = static_cast<const char *>(info->si_addr);
	if (given && is_given(p))
		fault("the host reached into device memory");
	if (seen && p >= seen && p < seen + room)
		fault("reached outside of its arrays");
	fault("reached for memory that is nobody's");
}

void memory_open(void)
{
	static char stack[64 << 10];
	stack_t alternative = {};
	struct sigaction act = {};
	if (given)
		return;
	page = (size_t)sysconf(_SC_PAGESIZE);
	void *a = mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	void *b = mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (a == MAP_FAILED || b == MAP_FAILED)
		fault("no room for device memory");
	given = static_cast<char *>(a);
	seen = static_cast<char *>(b);
	alternative.ss_sp = stack;
	alternative.ss_size = sizeof stack;
	sigaltstack(&alternative, nullptr);
	act.sa_sigaction = on_segv;
	act.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigaction(SIGSEGV, &act, nullptr);
}

size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* The allocation that holds nbytes from p on, or a fault. */
size_t offset_of(const char *what, const void *p, size_t nbytes)
{
	if (!given || !is_given(p))
		fault("%s: %p is no device memory", what, p);
	size_t at = (size_t)(static_cast<const char *>(p) - given);
	auto next = live.upper_bound(at);
	if (next == live.begin())
		fault("%s: device memory that is not allocated", what);
	const auto &[start, a] = *std::prev(next);
	if (at + nbytes > start + a.nbytes)
		fault("%s: past the end of an allocation of %zu bytes", what, a.nbytes);
	return at;
}

/* ---- fibers ------------------------------------------------------------------------ */

enum state { NEW, READY, AT_BARRIER, AT_SHUFFLE, DONE };
struct fiber {
	state at;
	char *stack;
	int site;
	uint64_t bits;
#if defined(EMULATION_ASM)
	void *sp;
#else
	ucontext_t context;
#endif
};
std::vector<fiber> fibers;
std::vector<char *> stacks; /* free ones */
int current;
void (*body)(void *);
void *body_ctx;
std::vector<std::pair<const char *, int>> sites;
int skipped = -1, order = -1, launches_left = -1;
cudaError_t sticky = cudaSuccess; /* what every call answers after a launch that failed */
alignas(16) unsigned char shared[MAX_SHARED];
size_t n_shared;

#if defined(EMULATION_ASM)
void *scheduler_sp;
extern "C" void emulation_switch(void **from, void *to);
asm(R"(
.text
.type emulation_switch, @function
emulation_switch:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, (%rdi)
	mov %rsi, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
.size emulation_switch, . - emulation_switch
)");
#else
ucontext_t scheduler_context;
#endif

#if defined(__SANITIZE_ADDRESS__)
const void *scheduler_stack;
size_t scheduler_size;
#endif

void to_scheduler(fiber &f)
{
#if defined(__SANITIZE_ADDRESS__)
	void *fake;
	__sanitizer_start_switch_fiber(f.at == DONE ? nullptr : &fake, scheduler_stack, scheduler_size);
#endif
#if defined(EMULATION_ASM)
	emulation_switch(&f.sp, scheduler_sp);
#else
	swapcontext(&f.context, &scheduler_context);
#endif
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_size);
#endif
}

[[noreturn]] void fiber_main(void)
{
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
	body(body_ctx);
	fibers[(size_t)current].at = DONE;
	to_scheduler(fibers[(size_t)current]);
	abort();
}

void start(fiber &f)
{
	if (stacks.empty())
		stacks.push_back(static_cast<char *>(malloc(STACK)));
	f.stack = stacks.back();
	stacks.pop_back();
#if defined(EMULATION_ASM)
	void **sp = reinterpret_cast<void **>(f.stack + STACK);
	*--sp = nullptr; /* the return address of fiber_main, which has none: keeps its stack aligned */
	*--sp = reinterpret_cast<void *>(fiber_main);
	for (int i = 0; i < 6; i++)
		*--sp = nullptr;
	f.sp = sp;
#else
	getcontext(&f.context);
	f.context.uc_stack.ss_sp = f.stack;
	f.context.uc_stack.ss_size = STACK;
	f.context.uc_link = nullptr;
	makecontext(&f.context, fiber_main, 0);
#endif
}

void resume(int i)
{
	fiber &f = fibers[(size_t)i];
	current = i;
	emulation_at.thread = dim3((unsigned)i % emulation_at.n_thread.x, (unsigned)i / emulation_at.n_thread.x);
	if (f.at == NEW)
		start(f);
	f.at = READY;
#if defined(__SANITIZE_ADDRESS__)
	void *fake;
	__sanitizer_start_switch_fiber(&fake, f.stack, STACK);
#endif
#if defined(EMULATION_ASM)
	emulation_switch(&scheduler_sp, f.sp);
#else
	swapcontext(&scheduler_context, &f.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
	if (f.at == DONE)
		stacks.push_back(f.stack);
}

/* True: the whole warp waits in a shuffle, and goes on. */
bool release_warp(int from, int to)
{
	int there = 0, gone = 0;
	for (int i = from; i < to; i++) {
		there += fibers[(size_t)i].at == AT_SHUFFLE;
		gone += fibers[(size_t)i].at == DONE;
	}
	if (there && gone)
		fault("a shuffle that some threads of the warp do not take part in");
	if (there < to - from)
		return false;
	for (int i = from; i < to; i++)
		fibers[(size_t)i].at = READY;
	return true;
}

/* Lets a whole block go on that waits at a barrier. False: all have ended. */
bool release_block(int n)
{
	int waiting = 0, ended = 0, site = -1;
	for (int i = 0; i < n; i++) {
		const fiber &f = fibers[(size_t)i];
		ended += f.at == DONE;
		if (f.at != AT_BARRIER)
			continue;
		if (waiting++ && f.site != site)
			fault("threads wait at different barriers");
		site = f.site;
	}
	if (ended == n)
		return false;
	if (waiting + ended < n)
		fault("threads wait for each other for ever");
	if (ended)
		fault("a barrier that %d of %d threads never reach", ended, n);
	for (int i = 0; i < n; i++)
		fibers[(size_t)i].at = READY;
	return true;
}

/* The i-th of n in the order asked for; permuted: multiplication by a number without a common factor. */
int in_order(int i, int n)
{
	static const int primes[] = {7919, 7907, 7901};
	if (order == EMULATION_DESCENDING)
		return n - 1 - i;
	if (order != EMULATION_PERMUTED)
		return i;
	for (int p : primes)
		if (n % p)
			return (int)(((int64_t)i * p + n / 3) % n);
	return i;
}

/* A warp runs ahead of the others, through its shuffles, to the next barrier. */
void run_warp(int from, int n)
{
	int to = from + WARP < n ? from + WARP : n;
	do
		for (int i = 0; i < to - from; i++) {
			int t = from + in_order(i, to - from);
			if (fibers[(size_t)t].at == NEW || fibers[(size_t)t].at == READY)
				resume(t);
		}
	while (release_warp(from, to));
}

void run_block(int n)
{
	ASAN_UNPOISON_MEMORY_REGION(shared, n_shared);
	memset(shared, fresh, n_shared);
	ASAN_POISON_MEMORY_REGION(shared + n_shared, sizeof shared - n_shared);
	for (int i = 0; i < n; i++)
		fibers[(size_t)i].at = NEW;
	do
		for (int w = 0, n_warp = (n + WARP - 1) / WARP; w < n_warp; w++)
			run_warp(in_order(w, n_warp) * WARP, n);
	while (release_block(n));
}

void park(state at)
{
	fiber &f = fibers[(size_t)current];
	int self = current;
	f.at = at;
	to_scheduler(f);
	current = self;
}

} // namespace

void *emulation_shared(void)
{
	return shared;
}

int emulation_site(const char *file, int line)
{
	const char *slash = strrchr(file, '/');
	sites.emplace_back(slash ? slash + 1 : file, line);
	return (int)sites.size() - 1;
}

void emulation_barrier(int site)
{
	if (site == skipped)
		return;
	fibers[(size_t)current].site = site;
	park(AT_BARRIER);
}

uint64_t emulation_exchange(uint64_t bits, int mask)
{
	int self = current, other = self ^ mask;
	fibers[(size_t)self].bits = bits;
	park(AT_SHUFFLE);
	if (other >= (int)(emulation_at.n_thread.x * emulation_at.n_thread.y))
		fault("a shuffle with a lane that is not there");
	uint64_t value = fibers[(size_t)other].bits;
	park(AT_SHUFFLE); /* nobody writes anew before all have read */
	return value;
}

void emulation_run(const char *kernel, dim3 n_block, dim3 n_thread, size_t nbytes_shared, void (*fn)(void *), void *ctx)
{
	int n = (int)(n_thread.x * n_thread.y), blocks = (int)(n_block.x * n_block.y);
	if (order < 0) {
		const char *name = getenv("EMULATION_ORDER"), *skip = getenv("EMULATION_SKIP"),
			   *fail = getenv("EMULATION_FAIL");
		if (skip && skipped < 0)
			skipped = atoi(skip);
		launches_left = fail ? atoi(fail) : -1;
		order = name && !strcmp(name, "descending") ? EMULATION_DESCENDING
			: name && !strcmp(name, "permuted") ? EMULATION_PERMUTED
							    : EMULATION_ASCENDING;
	}
	if (n < 1 || n > MAX_THREADS || blocks < 1 || n_block.y > 65535 || nbytes_shared > MAX_SHARED)
		fault("%s: a launch that no device takes: %d blocks of %d threads, %zu bytes", kernel, blocks, n,
		      nbytes_shared);
	if (fibers.size() < (size_t)n)
		fibers.resize((size_t)n);
	if (launches_left == 0 || (launches_left > 0 && !--launches_left)) {
		sticky = cudaErrorLaunchFailure;
		return;
	}
	running = kernel;
	body = fn;
	body_ctx = ctx;
	n_shared = nbytes_shared;
	emulation_at.n_block = n_block;
	emulation_at.n_thread = n_thread;
	for (int i = 0; i < blocks; i++) {
		int b = in_order(i, blocks);
		emulation_at.block = dim3((unsigned)b % n_block.x, (unsigned)b / n_block.x);
		run_block(n);
	}
	running = nullptr;
}

void *emulation_translate(const char *kernel, const void *p)
{
	if (!p)
		return nullptr;
	if (!given || !is_given(p))
		fault("%s: %p is handed to a kernel and is no device memory", kernel, p);
	return seen + (static_cast<const char *>(p) - given);
}

void emulation_translate_words(const char *kernel, void *object, size_t nbytes)
{
	for (size_t i = 0; i + sizeof(void *) <= nbytes; i += sizeof(void *)) {
		char *word = static_cast<char *>(object) + i;
		uintptr_t value;
		memcpy(&value, word, sizeof value);
		void *p = reinterpret_cast<void *>(value);
#if defined(__x86_64__) /* where stacks, heaps and maps lie, and no number of ours does */
		bool is_host = value >= (uintptr_t)0x500000000000 && value < (uintptr_t)0x800000000000;
#else
		bool is_host = false;
#endif
		if (!is_host && !(given && is_given(p)))
			continue;
		p = emulation_translate(kernel, p);
		memcpy(word, &p, sizeof p);
	}
}

/* ---- the runtime's functions --------------------------------------------------------- */

cudaError_t cudaGetDeviceCount(int *n)
{
	const char *env = getenv("EMULATION_DEVICES");
	*n = 0;
	if (env && !strcmp(env, "0"))
		return cudaErrorInsufficientDriver;
	*n = 1;
	return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int)
{
	*p = {"emulation", 0, 0};
	return cudaSuccess;
}

cudaError_t cudaMalloc(void **p, size_t nbytes)
{
	const char *limit = getenv("EMULATION_MEMORY");
	memory_open();
	if (sticky != cudaSuccess)
		return sticky;
	if (limit && used + nbytes > (size_t)atoll(limit))
		return cudaErrorMemoryAllocation;
	size_t whole = round_up(nbytes ? nbytes : 1, page), at = used + page, pad = whole - round_up(nbytes, ALIGN);
	if (at + whole + page > room)
		return cudaErrorMemoryAllocation;
	if (mprotect(seen + at, whole, PROT_READ | PROT_WRITE))
		return cudaErrorMemoryAllocation;
	used = at + whole;
	memset(seen + at, fresh, whole);
	at += pad;
	live[at] = {nbytes};
	ASAN_POISON_MEMORY_REGION(seen + at + nbytes, round_up(nbytes, ALIGN) - nbytes);
	*p = given + at;
	return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
	if (!p)
		return cudaSuccess;
	size_t at = offset_of("cudaFree", p, 0);
	auto it = live.find(at);
	if (it == live.end())
		fault("cudaFree: not the start of an allocation");
	size_t nbytes = it->second.nbytes, end = round_up(nbytes, ALIGN);
	ASAN_UNPOISON_MEMORY_REGION(seen + at, end);
	for (size_t i = nbytes; i < end; i++)
		if ((unsigned char)seen[at + i] != fresh)
			fault("an array of %zu bytes was written past its end", nbytes);
	size_t start = at / page * page, whole = round_up(at + end, page) - start;
	live.erase(it);
	/* Never handed out again: who uses it later is found out. */
	if (mmap(seen + start, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
	    MAP_FAILED)
		fault("cudaFree: the memory can not be returned");
	return cudaSuccess;
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t nbytes, cudaMemcpyKind kind)
{
	if (!nbytes || sticky != cudaSuccess)
		return sticky;
	void *to = kind == cudaMemcpyDeviceToHost ? dst : seen + offset_of("cudaMemcpy to", dst, nbytes);
	const void *from = kind == cudaMemcpyHostToDevice ? src : seen + offset_of("cudaMemcpy from", src, nbytes);
	memcpy(to, from, nbytes);
	return cudaSuccess;
}

cudaError_t cudaMemset(void *p, int byte, size_t nbytes)
{
	if (nbytes)
		memset(seen + offset_of("cudaMemset", p, nbytes), byte, nbytes);
	return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
	return sticky;
}

const char *cudaGetErrorString(cudaError_t e)
{
	return e == cudaSuccess                   ? "no error"
	       : e == cudaErrorLaunchFailure      ? "unspecified launch failure"
	       : e == cudaErrorMemoryAllocation   ? "out of memory"
	       : e == cudaErrorInsufficientDriver ? "CUDA driver version is insufficient for CUDA runtime version"
						  : "emulated error";
}

/* ---- cuBLAS ------------------------------------------------------------------------------ */

cublasStatus_t cublasCreate(cublasHandle_t *h)
{
	*h = nullptr;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t)
{
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion(cublasHandle_t, int *version)
{
	*version = 0;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSgemm(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
			   const float *alpha, const float *a, int lda, const float *b, int ldb, const float *beta,
			   float *c, int ldc)
{
	auto view = [](const void *p) { return static_cast<float *>(emulation_translate("cublasSgemm", p)); };
	if (m > 0 && n > 0)
		cblas_sgemm(CblasColMajor, ta == CUBLAS_OP_T ? CblasTrans : CblasNoTrans,
			    tb == CUBLAS_OP_T ? CblasTrans : CblasNoTrans, m, n, k, *alpha, view(a), lda, view(b), ldb,
			    *beta, view(c), ldc);
	return CUBLAS_STATUS_SUCCESS;
}

/* ---- for tests ----------------------------------------------------------------------------- */

void emulation_set_order(int o)
{
	order = o;
}

int emulation_n_site(void)
{
	return (int)sites.size();
}

const char *emulation_site_name(int site)
{
	static char name[200];
	snprintf(name, sizeof name, "%s:%d", sites[(size_t)site].first, sites[(size_t)site].second);
	return name;
}

void emulation_skip(int site)
{
	skipped = site;
}
