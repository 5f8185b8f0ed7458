/*
 * fault_alloc.c - preloaded into a program under test: counts its calls for memory (those of the libraries that it uses
 * are not its own) and writes a line with their number to the file ALLOC_LOG each time that it asks for the time.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t nbytes);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

static atomic_long n_call;

/* Whether the caller at this address belongs to the program itself: where its entry point is. */
static void count(const void *caller)
{
	static void *base;
	static atomic_flag busy = ATOMIC_FLAG_INIT; /* dladdr might ask for memory */
	Dl_info a;
	if (atomic_flag_test_and_set(&busy))
		return;
	if (!base && dladdr((void *)getauxval(AT_ENTRY), &a))
		base = a.dli_fbase;
	if (dladdr(caller, &a) && a.dli_fbase == base)
		atomic_fetch_add(&n_call, 1);
	atomic_flag_clear(&busy);
}

void *malloc(size_t n)
{
	count(__builtin_return_address(0));
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t nbytes)
{
	count(__builtin_return_address(0));
	return __libc_calloc(n, nbytes);
}

void *realloc(void *p, size_t n)
{
	count(__builtin_return_address(0));
	return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	count(__builtin_return_address(0));
	return __libc_memalign(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
	count(__builtin_return_address(0));
	*p = __libc_memalign(align, n);
	return *p ? 0 : ENOMEM;
}

void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	void *(*real)(void *, size_t, int, int, int, off_t);
	count(__builtin_return_address(0));
	*(void **)&real = dlsym(RTLD_NEXT, "mmap");
	return real(at, n, protection, flags, fd, offset);
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	static int log = -1;
	int (*real)(clockid_t, struct timespec *);
	const char *name = getenv("ALLOC_LOG");
	char line[32];
	if (log < 0 && name)
		log = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int n = snprintf(line, sizeof line, "%ld\n", atomic_exchange(&n_call, 0));
	if (log >= 0 && write(log, line, (size_t)n) != n)
		abort();
	*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	return real(clock, t);
}
