/* What a confined worker can do, and what it cannot. */
#include "tap.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each answers 0 when it went well, else errno. */
static int open_file(void)
{
	return open("/etc/passwd", O_RDONLY) < 0 ? errno : 0;
}
static int make_file(void)
{
	FILE *f = fopen("/dev/shm/molrill-sandbox-test", "w");
	int rc = f ? 0 : errno;
	if (f)
		fclose(f);
	unlink("/dev/shm/molrill-sandbox-test");
	return rc;
}
static int look_around(void)
{
	return access("/etc/passwd", R_OK) ? errno : 0;
}
static int other_fd[2]; /* a pipe of the parent's, open before */
static int write_elsewhere(void)
{
	return write(other_fd[1], "x", 1) == 1 ? 0 : errno;
}
static int read_elsewhere(void)
{
	char c;
	return read(other_fd[0], &c, 1) == 1 ? 0 : errno;
}
static int make_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
}
static int signal_parent(void)
{
	return kill(getppid(), 0) ? errno : 0;
}
static int connect_out(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int rc = fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) ? errno : 0;
	close(fd);
	return rc;
}
static int execute(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return errno;
}
static int fork_child(void)
{
	pid_t pid = fork();
	if (!pid)
		_exit(0);
	return pid < 0 || waitpid(pid, NULL, 0) < 0 ? errno : 0;
}
static int use_memory(void)
{
	for (size_t n = 1; n <= (size_t)64 << 20; n *= 4) {
		char *p = malloc(n);
		if (!p)
			return ENOMEM;
		memset(p, 1, n);
		p = realloc(p, 3 * n);
		free(p);
	}
	return 0;
}
static int deepen(volatile char *above, int depth)
{
	volatile char here[4096];
	here[0] = above[0];
	return depth ? deepen(here, depth - 1) : here[0];
}
static int use_stack(void)
{
	volatile char zero[1] = {0};
	return deepen(zero, 1500);
}
static int use_much_memory(void)
{
	void *p = malloc((size_t)3 << 30);
	int rc = p ? 0 : errno;
	free(p);
	return rc;
}
static int complain(void)
{
	return fprintf(stderr, "# a confined worker can be heard\n") > 0 ? 0 : errno;
}

static const struct deed {
	const char *name;
	int (*act)(void);
	int refused; /* errno; 0: permitted; -1: killed */
} DEEDS[] = {
    {"opens a file", open_file, EPERM},
    {"makes a file", make_file, EPERM},
    {"looks for a file", look_around, EPERM},
    {"writes to another descriptor", write_elsewhere, EPERM},
    {"reads from another descriptor", read_elsewhere, EPERM},
    {"has memory that is code", make_code, EPERM},
    {"signals another process", signal_parent, EPERM},
    {"asks for more memory than its bound", use_much_memory, ENOMEM},
    {"connects", connect_out, -1},
    {"executes", execute, -1},
    {"forks", fork_child, -1},
    {"uses memory", use_memory, 0},
    {"uses stack", use_stack, 0},
    {"writes to standard error", complain, 0},
};
enum { N_DEED = sizeof DEEDS / sizeof *DEEDS };

struct plan {
	int n_next, n_done;
	bool confined, right;
};
static int plan_next(void *ctx, struct buf *b, struct err *e)
{
	struct plan *p = ctx;
	if (p->n_next == N_DEED)
		return 0;
	buf_put(b, &p->n_next, sizeof p->n_next);
	p->n_next++;
	return 1;
}
static int plan_work(void *ctx, const uint8_t *job, size_t n, struct buf *result, struct err *e)
{
	int i, rc;
	memcpy(&i, job, sizeof i);
	rc = DEEDS[i].act();
	buf_put(result, &rc, sizeof rc);
	return 0;
}
static int plan_done(void *ctx, const uint8_t *job, size_t n_job, enum worker_status s, int detail,
		     const uint8_t *result, size_t n, struct err *e)
{
	struct plan *p = ctx;
	const struct deed *d = &DEEDS[p->n_done++];
	bool killed = s == WORKER_CRASHED && detail == SIGSYS;
	int answer = 0;
	if (s == WORKER_OK)
		memcpy(&answer, result, sizeof answer);
	bool good = d->refused == -1 ? killed : s == WORKER_OK && answer == d->refused;
	if (p->confined)
		tap_ok(good, "confined: %s: %s (%s)", d->name, d->refused ? "refused" : "permitted",
		       killed ? "killed" : strerror(answer));
	p->right &= good;
	return 0;
}
static int run(struct plan *p, size_t mem_nbytes)
{
	struct workers w = {.n_worker = 1,
			    .timeout_s = 20,
			    .mem_nbytes = mem_nbytes,
			    .confined = p->confined,
			    .ctx = p,
			    .next = plan_next,
			    .work = plan_work,
			    .done = plan_done};
	struct err e = {0};
	int rc = workers_run(&w, &e);
	if (rc)
		printf("# %s\n", e.msg);
	return rc;
}

int main(void)
{
	struct plan confined = {.confined = true, .right = true}, free_one = {.right = true};
	if (!sandbox_available()) {
		tap_ok(true, "sandbox # SKIP sanitizer build, or a kernel without seccomp");
		return tap_done();
	}
	if (pipe(other_fd) || write(other_fd[1], "xyz", 3) != 3)
		return 1;
	tap_ok(!run(&confined, (size_t)2 << 30) && confined.n_done == N_DEED, "all was tried");
	/* The mutant: a worker that is not confined does what is refused above, and the checks see it. */
	tap_ok(!run(&free_one, 0) && free_one.n_done == N_DEED && !free_one.right, "a free worker would be seen");
	return tap_done();
}
