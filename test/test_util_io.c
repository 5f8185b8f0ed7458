/* Failures of input and output, files that appear whole, signals, errors, arenas, buffers. */
#include "tap.h"
#include "util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/molrill-test.XXXXXX";

static const char *in_folder(const char *name)
{
	static char path[4][200];
	static int i;
	i = (i + 1) % 4;
	snprintf(path[i], sizeof path[i], "%s/%s", folder, name);
	return path[i];
}
static bool holds(const char *path, const char *text)
{
	char got[200] = "";
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof got - 1);
	close(fd);
	return n >= 0 && !strcmp(got, text);
}

static void test_errors(void)
{
	struct err e = {0};
	char text[500];
	tap_ok(err_set(&e, ERR_FORMAT, "bad %d", 1) == ERR_FORMAT && err_set(&e, ERR_IO, "later") == ERR_IO &&
		   e.code == ERR_FORMAT && !strcmp(e.msg, "bad 1"),
	       "the first failure stays");
	tap_ok(err_add_place(&e, "a.mts", 17, -1) == ERR_FORMAT, "place");
	err_add_place(&e, "b.mts", 3, 99);
	tap_str(err_text(&e, text, sizeof text), "a.mts: record 17: byte 99: bad 1",
		"what is known of the place, once");
	e = (struct err){0};
	err_set(&e, ERR_CHEM, "a\nb\033c");
	tap_ok(!strchr(e.msg, '\n') && !strchr(e.msg, '\033'), "a message is one line without control characters");
	e = (struct err){0};
	errno = ENOSPC;
	err_set_errno(&e, ERR_IO, "cannot write");
	tap_str(e.msg, "cannot write: No space left on device", "errno's text");
	tap_ok(err_set(NULL, ERR_IO, "x") == ERR_IO, "no struct at all");
}

static void test_memory(void)
{
	struct arena *a = arena_new(100);
	bool aligned = true, kept = true;
	char *p[200];
	for (int i = 0; i < 200; i++) {
		p[i] = arena_alloc(a, (size_t)i * 37);
		memset(p[i], i, (size_t)i * 37);
		aligned &= (uintptr_t)p[i] % 64 == 0;
	}
	for (int i = 0; i < 200; i++)
		for (int j = 0; j < i * 37; j++)
			kept &= (unsigned char)p[i][j] == i;
	tap_ok(aligned && kept && arena_used(a) >= 199 * 100 * 37, "an arena's pieces are aligned and apart");
	arena_reset(a);
	tap_ok(arena_used(a) == 0, "a reset forgets");
	void *first = arena_alloc(a, 100000);
	arena_reset(a);
	tap_ok(arena_alloc(a, 100000) == first, "and keeps the memory");
	tap_str(arena_printf(a, "%s-%d", "x", 5), "x-5", "arena_printf");
	tap_str(arena_strndup(a, "abcdef", 3), "abc", "arena_strndup");
	uint64_t *zero = arena_calloc(a, 100, 8), sum = 0;
	for (int i = 0; i < 100; i++)
		sum |= zero[i];
	tap_ok(!sum, "arena_calloc");
	arena_free(a);
	arena_free(NULL);
	struct buf b = {0};
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i);
	tap_ok(b.n == 3890 && !memcmp(b.data + b.n - 4, "999,", 4), "a buffer grows");
	buf_free(&b);
	buf_free(&b);
}

static void test_files(void)
{
	struct io_atomic f;
	struct err e = {0};
	const char *path = in_folder("out");
	tap_ok(!io_atomic_open(&f, path, &e) && !io_write_all(f.fd, "new", 3, &e) && access(path, F_OK),
	       "not there yet");
	tap_ok(!io_atomic_commit(&f, &e) && holds(path, "new"), "there when committed");
	tap_ok(!io_atomic_open(&f, path, &e) && !io_write_all(f.fd, "half", 4, &e), "open again");
	io_atomic_discard(&f);
	tap_ok(holds(path, "new"), "a discarded file leaves the old one");
	chmod(path, 0640);
	const char *link = in_folder("link");
	tap_ok(!symlink("out", link) && !io_atomic_open(&f, link, &e) && !io_write_all(f.fd, "via", 3, &e) &&
		   !io_atomic_commit(&f, &e) && holds(path, "via"),
	       "through a symbolic link");
	struct stat st;
	tap_ok(!lstat(link, &st) && S_ISLNK(st.st_mode) && !stat(path, &st) && (st.st_mode & 0777) == 0640,
	       "which stays one; the mode stays too");
	tap_ok(io_atomic_open(&f, in_folder("no/such"), &e) == ERR_IO && strstr(e.msg, "no/such"), "no such folder");
	e = (struct err){0};
	tap_ok(io_atomic_open(&f, folder, &e) == ERR_IO, "a folder is no file");
	e = (struct err){0};
	tap_ok(!io_atomic_open(&f, "/dev/full", &e) && io_write_all(f.fd, "x", 1, &e) == ERR_IO &&
		   strstr(e.msg, "No space"),
	       "a full device");
	io_atomic_discard(&f);
	tap_ok(!access("/dev/full", F_OK), "which a discard does not remove");
	e = (struct err){0};
	int fd = io_temp_open(&e);
	tap_ok(fd >= 0 && !io_write_all(fd, "abc", 3, &e) && lseek(fd, 0, SEEK_END) == 3, "a temporary file");
	close(fd);
	char hex[33], other[33];
	io_digest_hex("via", 3, hex);
	tap_ok(!io_digest_file(path, other, &e) && !strcmp(hex, other), "digest of a file");
	io_digest_hex("", 0, hex);
	tap_str(hex, "99aa06d3014798d86001c324468d497f", "XXH3-128 of nothing (known answer)");
	io_digest_hex("vib", 3, hex);
	tap_ok(strcmp(hex, other) != 0, "another file has another digest");
}

/* Names in a folder, hidden ones too. */
static int names_count(const char *path)
{
	int n = 0;
	DIR *d = opendir(path);
	for (struct dirent *x; d && (x = readdir(d));)
		n += strcmp(x->d_name, ".") && strcmp(x->d_name, "..");
	closedir(d);
	return n;
}

static void test_small_files(void)
{
	struct err e = {0};
	const char *path = in_folder("many");
	char old[200], long_name[300] = "";
	mkdir(path, 0777);
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	snprintf(old, sizeof old, "%s/a", path);
	tap_ok(!io_file_put(dir, "a", "first", 5, &e) && holds(old, "first"), "a small file");
	tap_ok(!io_file_put(dir, "a", "second", 6, &e) && holds(old, "second") && names_count(path) == 1,
	       "replaced, with nothing beside it");
	struct rlimit keep, four;
	getrlimit(RLIMIT_FSIZE, &keep);
	four = keep, four.rlim_cur = 4;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &four); /* the write is cut after four bytes, and the next one fails */
	tap_ok(io_file_put(dir, "a", "third", 5, &e) == ERR_IO, "one that does not fit: %s", e.msg);
	e = (struct err){0};
	tap_ok(io_file_put(dir, "b", "third", 5, &e) == ERR_IO, "under a new name");
	setrlimit(RLIMIT_FSIZE, &keep);
	tap_ok(holds(old, "second") && names_count(path) == 1, "leaves the old one, and no part of itself");
	memset(long_name, 'x', sizeof long_name - 1);
	e = (struct err){0};
	tap_ok(io_file_put(dir, long_name, "x", 1, &e) == ERR_IO && names_count(path) == 1, "a name that is too long");
	e = (struct err){0};
	tap_ok(io_file_put(-1, "a", "x", 1, &e) == ERR_IO, "no folder");
	close(dir);
	unlink(old);
	rmdir(path);
}

static void test_pipes(void)
{
	int fd[2];
	struct err e = {0};
	char got[8];
	io_catch_signals();
	if (pipe(fd))
		return;
	tap_ok(!io_write_all(fd[1], "abc", 3, &e) && io_read(fd[0], got, sizeof got, &e) == 3, "a pipe");
	close(fd[0]);
	tap_ok(io_write_all(fd[1], "abc", 3, &e) == ERR_PIPE && e.code == ERR_PIPE, "a reader that went away");
	close(fd[1]);
	e = (struct err){0};
	tap_ok(io_write_all(fd[1], "x", 1, &e) == ERR_IO && io_read(fd[1], got, 1, &(struct err){0}) == ERR_IO,
	       "closed");
}

/* A child blocked in io_read, or in workers_run, that is told to end. */
static int sleepy_next(void *ctx, struct buf *b, struct err *e)
{
	buf_put(b, "x", 1);
	return 1;
}
static int sleepy_work(void *ctx, const uint8_t *job, size_t n, struct buf *result, struct err *e)
{
	for (;;)
		pause();
	return 0;
}
static int sleepy_done(void *ctx, const uint8_t *job, size_t n_job, enum worker_status s, int detail,
		       const uint8_t *result, size_t n, struct err *e)
{
	return 0;
}

static void test_signal(int which, const char *what)
{
	int fd[2], status = 0;
	if (pipe(fd))
		return;
	pid_t pid = fork();
	if (!pid) {
		struct err e = {0};
		char c;
		struct workers w = {.n_worker = 2, .next = sleepy_next, .work = sleepy_work, .done = sleepy_done};
		int rc = which ? workers_run(&w, &e) : (int)io_read(fd[0], &c, 1, &e);
		_exit(rc == ERR_STOPPED && io_stop_signal() == SIGTERM ? 42 : 1);
	}
	usleep(150000);
	kill(pid, SIGTERM);
	for (int i = 0; i < 300 && waitpid(pid, &status, WNOHANG) == 0; i++)
		usleep(10000);
	if (!tap_ok(WIFEXITED(status) && WEXITSTATUS(status) == 42, "SIGTERM ends %s with ERR_STOPPED", what))
		kill(pid, SIGKILL);
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	test_errors();
	test_memory();
	test_files();
	test_small_files();
	test_pipes();
	test_signal(0, "a blocked read");
	test_signal(1, "waiting for workers");
	unlink(in_folder("link"));
	unlink(in_folder("out"));
	tap_ok(!rmdir(folder), "nothing is left in the folder");
	return tap_done();
}
