/*
 * fault_write.c - preloaded into a program under test: its FAULT_AT-th write
 * (counted from 1, standard error apart) fails with the error number FAULT_ERRNO,
 * and so do all after it. When that came to pass, the file FAULT_MARK is there.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t write(int fd, const void *data, size_t n);
ssize_t pwrite(int fd, const void *data, size_t n, off_t at);
ssize_t writev(int fd, const struct iovec *v, int n);

static int fails(int fd)
{
	static atomic_long n_write;
	const char *at = getenv("FAULT_AT"), *number = getenv("FAULT_ERRNO"), *mark = getenv("FAULT_MARK");
	if (fd == STDERR_FILENO || !at || atomic_fetch_add(&n_write, 1) + 1 < atol(at))
		return 0;
	if (mark)
		close(open(mark, O_WRONLY | O_CREAT, 0600));
	errno = number ? atoi(number) : EIO;
	return 1;
}

ssize_t write(int fd, const void *data, size_t n)
{
	ssize_t (*real)(int, const void *, size_t);
	*(void **)&real = dlsym(RTLD_NEXT, "write");
	return fails(fd) ? -1 : real(fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
	ssize_t (*real)(int, const void *, size_t, off_t);
	*(void **)&real = dlsym(RTLD_NEXT, "pwrite");
	return fails(fd) ? -1 : real(fd, data, n, at);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	ssize_t (*real)(int, const struct iovec *, int);
	*(void **)&real = dlsym(RTLD_NEXT, "writev");
	return fails(fd) ? -1 : real(fd, v, n);
}
