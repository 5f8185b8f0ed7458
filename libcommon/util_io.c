/* util_io.c - reads and writes that miss no failure, files that appear whole, signals, digests. */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* ---- signals ---- */

static volatile sig_atomic_t stop_signal;
/* A byte is put in when a signal comes, so that a poll which has not begun yet sees it too. Never drained. */
static int stop_pipe[2] = {-1, -1};

static void note_signal(int number)
{
	int keep = errno;
	if (!stop_signal)
		stop_signal = number;
	if (stop_pipe[1] >= 0)
		(void)!write(stop_pipe[1], "", 1);
	errno = keep;
}

void io_catch_signals(void)
{
	if (stop_pipe[0] < 0 && pipe2(stop_pipe, O_CLOEXEC | O_NONBLOCK))
		stop_pipe[0] = stop_pipe[1] = -1;
	struct sigaction sa = {.sa_handler = note_signal}; /* no SA_RESTART: blocking calls return */
	sigemptyset(&sa.sa_mask);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
}

int io_stop_signal(void)
{
	return stop_signal;
}

int io_stop_fd(void)
{
	return stop_pipe[0];
}

static int stopped(struct err *e)
{
	return err_set(e, ERR_STOPPED, "stopped by signal %d", (int)stop_signal);
}

/* ---- reading and writing ---- */

int io_write_all(int fd, const void *data, size_t n, struct err *e)
{
	const char *p = data;
	while (n) {
		ssize_t k = write(fd, p, n);
		if (k < 0 && errno == EINTR) {
			if (stop_signal)
				return stopped(e);
			continue;
		}
		if (k < 0 && errno == EPIPE)
			return err_set(e, ERR_PIPE, "the reader of the output went away");
		if (k <= 0) {
			errno = k ? errno : EIO;
			return err_set_errno(e, ERR_IO, "cannot write");
		}
		p += k;
		n -= (size_t)k;
		/* A write cut short by a signal was blocked: the next would block again, unnoticed. */
		if (n && stop_signal)
			return stopped(e);
	}
	return 0;
}

int64_t io_read(int fd, void *data, size_t n, struct err *e)
{
	for (;;) {
		if (stop_signal)
			return stopped(e);
		if (stop_pipe[0] >= 0) {
			struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = stop_pipe[0], .events = POLLIN}};
			if (poll(p, 2, -1) < 0 && errno != EINTR)
				return err_set_errno(e, ERR_IO, "cannot wait for input");
			if (!p[0].revents)
				continue;
		}
		ssize_t k = read(fd, data, n);
		if (k >= 0)
			return k;
		if (errno != EINTR)
			return err_set_errno(e, ERR_IO, "cannot read");
	}
}

/* ---- files ---- */

int io_temp_open(struct err *e)
{
	const char *dir = getenv("TMPDIR");
	if (!dir || !*dir)
		dir = "/tmp";
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	/* Some file systems have no unnamed files. */
	char path[PATH_MAX];
	if (snprintf(path, sizeof path, "%s/molrill.XXXXXX", dir) >= (int)sizeof path)
		return err_set(e, ERR_IO, "the path in TMPDIR is too long");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(e, ERR_IO, "cannot make a temporary file in %s", dir);
	unlink(path);
	return fd;
}

int io_atomic_open(struct io_atomic *f, const char *path, struct err *e)
{
	*f = (struct io_atomic){.fd = -1};
	struct stat st;
	bool there = !stat(path, &st);
	if (there && S_ISDIR(st.st_mode))
		return err_set(e, ERR_IO, "cannot write %s: it is a directory", path);
	/* The target of a symbolic link is what is replaced. */
	char *real = there ? realpath(path, NULL) : NULL;
	int n = snprintf(f->path, sizeof f->path, "%s", real ? real : path);
	free(real);
	if (n >= (int)sizeof f->path - 32)
		return err_set(e, ERR_IO, "cannot write %.100s...: the path is too long", path);
	if (there && !S_ISREG(st.st_mode)) { /* a device or a named pipe cannot be replaced */
		f->fd = open(f->path, O_WRONLY | O_CLOEXEC);
	} else {
		for (int i = 0; i < 1000 && f->fd < 0; i++) {
			snprintf(f->temp, sizeof f->temp, "%.*s.%ld-%d.tmp", (int)sizeof f->temp - 32, f->path,
				 (long)getpid(), i);
			f->fd =
			    open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, there ? st.st_mode & 0777 : 0666);
			if (f->fd < 0 && errno != EEXIST)
				break;
		}
	}
	if (f->fd < 0) {
		f->temp[0] = 0;
		return err_set_errno(e, ERR_IO, "cannot write %s", path);
	}
	return 0;
}

int io_atomic_commit(struct io_atomic *f, struct err *e)
{
	int r = 0;
	if (f->fd < 0)
		return err_set(e, ERR_IO, "%s is not open", f->path);
	if (fsync(f->fd) && errno != EINVAL && errno != EROFS && errno != ENOTSUP)
		r = err_set_errno(e, ERR_IO, "cannot write %s", f->path);
	if (close(f->fd) && !r)
		r = err_set_errno(e, ERR_IO, "cannot write %s", f->path);
	f->fd = -1;
	if (!r && f->temp[0] && rename(f->temp, f->path))
		r = err_set_errno(e, ERR_IO, "cannot write %s", f->path);
	if (!r)
		f->temp[0] = 0;
	io_atomic_discard(f);
	return r;
}

void io_atomic_discard(struct io_atomic *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	if (f->temp[0])
		unlink(f->temp);
	f->temp[0] = 0;
}

/* Data into fd, which is closed whatever comes. */
static int write_and_close(int fd, const void *data, size_t n, struct err *e)
{
	int rc = io_write_all(fd, data, n, e);
	if (close(fd) && !rc)
		rc = err_set_errno(e, ERR_IO, "cannot write");
	return rc;
}

int io_file_put(int dir_fd, const char *name, const void *data, size_t n, struct err *e)
{
	char temp[NAME_MAX + 1], link[32];
	/* A file without a name costs least, but takes only a name that is free, and not all file systems have it. */
	int fd = openat(dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	if (fd >= 0) {
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		int rc = io_write_all(fd, data, n, e);
		bool named = !rc && !linkat(AT_FDCWD, link, dir_fd, name, AT_SYMLINK_FOLLOW);
		if (close(fd) && named) {
			rc = err_set_errno(e, ERR_IO, "cannot write %s", name);
			unlinkat(dir_fd, name, 0);
		}
		if (rc || named)
			return rc;
	}
	if (snprintf(temp, sizeof temp, ".%s.new", name) >= (int)sizeof temp)
		return err_set(e, ERR_IO, "the file name %.40s... is too long", name);
	fd = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return err_set_errno(e, ERR_IO, "cannot write %s", name);
	int rc = write_and_close(fd, data, n, e);
	if (!rc && renameat(dir_fd, temp, dir_fd, name))
		rc = err_set_errno(e, ERR_IO, "cannot write %s", name);
	if (rc)
		unlinkat(dir_fd, temp, 0);
	return rc;
}

/* ---- digests ---- */

static void hex_of(XXH128_hash_t h, char hex[33])
{
	snprintf(hex, 33, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}

void io_digest_hex(const void *data, size_t n, char hex[33])
{
	hex_of(XXH3_128bits(data, n), hex);
}

int io_digest_file(const char *path, char hex[33], struct err *e)
{
	int r = 0, fd = -1;
	uint8_t *block = NULL;
	size_t block_nbytes = 1 << 18;
	struct stat st;
	int64_t k;
	XXH3_state_t *state = XXH3_createState();
	if (!state || !(block = malloc(block_nbytes))) {
		r = err_set(e, ERR_MEMORY, "no memory to read %s", path);
		goto done;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		r = err_set_errno(e, ERR_IO, "cannot open %s", path);
		goto done;
	}
	if (!S_ISREG(st.st_mode)) { /* what is read from a pipe cannot be read again */
		r = err_set(e, ERR_USAGE, "%s is not a regular file: its digest cannot be taken", path);
		goto done;
	}
	XXH3_128bits_reset(state);
	while ((k = io_read(fd, block, block_nbytes, e)) > 0)
		XXH3_128bits_update(state, block, (size_t)k);
	if (k < 0) {
		r = err_add_place(e, path, -1, -1);
		r = r ? r : (int)k;
		goto done;
	}
	hex_of(XXH3_128bits_digest(state), hex);
done:
	if (fd >= 0)
		close(fd);
	free(block);
	XXH3_freeState(state);
	return r;
}
