/*
 * molprobe - a program over the framework of those that read molecules, for its tests alone. Adds `probe`, the number
 * of atoms. What it does is told by the id: crash-* dies of a signal, hang-* never ends, refuse-* is refused, warn-*
 * goes on with a warning, fail-* fails the run, big-* makes a record that is too large, sleep-* takes a tenth of a
 * second; lie-N sends the parent what no honest worker sends, in the way that lies[N] says; open-*, exec-*, connect-*
 * and write-* (to standard output) do so and are refused with what came of it.
 */
#include "molprog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct probe {
	struct molprog base;
	const char *side;
	FILE *file;
};
static const struct opt OPTIONS[] = {
    {"side", 0, OPT_STR, "FILE", "write row and id of each record to FILE", offsetof(struct probe, side), 0, NULL, 0,
     0},
    {0},
};

static bool is(const struct molprog_job *j, const char *what)
{
	return !strncmp(j->id, what, strlen(what));
}

/* Does what a worker may not do, if the id says so; answers how it went, NULL when nothing was to be done. */
static const char *misbehave(const struct molprog_job *j)
{
	int rc = 0;
	errno = 0;
	if (is(j, "open-"))
		rc = open("/etc/passwd", O_RDONLY);
	else if (is(j, "exec-"))
		rc = execl("/bin/true", "true", (char *)NULL);
	else if (is(j, "connect-"))
		rc = socket(AF_INET, SOCK_STREAM, 0);
	else if (is(j, "write-"))
		rc = (int)write(STDOUT_FILENO, "x", 1);
	else
		return NULL;
	return rc < 0 ? strerror(errno) : "it went well";
}

/* ---- a worker that was taken over ---- */

static int socket_fd = -1;

/* The worker's end of the wire, while it may still look for it. */
static int start(void *ctx, struct err *e)
{
	for (int fd = 3; fd < 256; fd++) {
		int domain;
		socklen_t n = sizeof domain;
		if (!getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) && domain == AF_UNIX)
			socket_fd = fd;
	}
	return socket_fd < 0 ? err_set(e, ERR_IO, "no socket") : 0;
}

/* As util_worker.h and molprog_item.c have them. */
struct message {
	uint32_t kind, nbytes;
	int64_t item, row;
	uint32_t outcome, column, n_text, n_side;
	char rest[16];
};
enum { DONE = 2, FAILED = 3, SHARED = 4, HEAD = 32, RECORD = 0, WARNED = 1, REJECT = 2 };

static const struct message lies[] = {
    {DONE, 0},                                                                       /* nothing at all */
    {DONE, HEAD - 1},                                                                /* a cut head */
    {DONE, HEAD + 3, .outcome = RECORD, .n_side = 4000000000u, .rest = "\x81\xa1x"}, /* lengths past the end */
    {DONE, HEAD + 3, .outcome = REJECT, .n_text = 0x7fffffff, .rest = "abc"},
    {DONE, HEAD + 3, .outcome = REJECT, .n_text = 3, .rest = {'a', 'b', 'c'}}, /* texts without an end */
    {DONE, HEAD + 2, .outcome = REJECT, .n_text = 2, .rest = {0, 0}},          /* too few of them */
    {DONE, HEAD, .outcome = 7},                                                /* no such outcome */
    {DONE, HEAD + 8, .outcome = RECORD,
     .rest = "\x81\xa3"
	     "end\xc3"},                                                           /* ends the stream */
    {DONE, HEAD + 4, .outcome = RECORD, .rest = "\x81\xa1x\xdd"},                  /* a record cut off */
    {DONE, HEAD + 8, .outcome = RECORD, .rest = "\x81\xa1x\x01\x81\xa1x\x01"},     /* two of them */
    {DONE, HEAD + 4, .item = 1 << 20, .outcome = RECORD, .rest = "\x81\xa1x\x01"}, /* of another row */
    {DONE, 0xfffffff0},                                                            /* a message without end */
    {FAILED, 5},
    {77, HEAD},
    {SHARED, 8, .item = 9},                      /* in no cell */
    {SHARED, 8, .item = (int64_t)0x7ffff << 32}, /* past the end of one */
    {SHARED, 4, .item = 1},
    {SHARED, 8, .item = (int64_t)(HEAD - 1) << 32},                   /* in one that holds nothing */
    {DONE, HEAD + 8, .outcome = RECORD, .rest = "\x81\xa5probe\x09"}, /* the truth, so that all this says something */
};

static void lie(const struct molprog_job *j)
{
	struct message m = lies[(size_t)atoi(j->id + 4) % (sizeof lies / sizeof *lies)];
	m.item += m.item ? 0 : j->row;
	m.row = j->row;
	if (send(socket_fd, &m, m.nbytes < sizeof m ? 8 + m.nbytes : sizeof m, MSG_NOSIGNAL) < 0)
		raise(SIGKILL);
	_exit(0);
}

static int work(void *ctx, struct molprog_job *j, struct err *e)
{
	if (is(j, "lie-"))
		lie(j);
	if (is(j, "crash-"))
		raise(SIGKILL);
	while (is(j, "hang-"))
		pause();
	if (is(j, "sleep-"))
		usleep(100000);
	if (is(j, "refuse-"))
		return molprog_refuse(j, "probe", "refused for the test");
	const char *outcome = misbehave(j);
	if (outcome)
		return molprog_refuse(j, "probe", "%s", outcome);
	if (is(j, "fail-"))
		return err_set(e, ERR_NUMERIC, "failed for the test");
	if (is(j, "warn-")) {
		molprog_refuse(j, "probe", "goes on for the test");
		j->warned = true;
	}
	if (is(j, "big-"))
		ts_set_tensor(j->out, "z", TS_I64, arena_calloc(j->arena, 1 << 22, 8), 1, (int64_t)1 << 22);
	ts_set_int(j->out, "probe", j->m->n_atom);
	buf_printf(j->side, "%s", j->id);
	return 0;
}

static int begin(void *ctx, struct err *e)
{
	struct probe *c = ctx;
	if (c->side && !(c->file = fopen(c->side, "w")))
		return err_set_errno(e, ERR_IO, "%s", c->side);
	return 0;
}

static int header(void *ctx, struct ts_header *h, struct err *e)
{
	struct probe *c = ctx;
	(void)e;
	ts_header_add_field(h, "probe", c->base.cli.arena);
	return 0;
}

static int each(void *ctx, int64_t row, const uint8_t *side, size_t n, struct err *e)
{
	struct probe *c = ctx;
	(void)e;
	if (c->file)
		fprintf(c->file, "%" PRId64 " %.*s\n", row, (int)n, (const char *)side);
	return 0;
}

static int finish(void *ctx, bool success, struct err *e)
{
	struct probe *c = ctx;
	if (c->file && (fprintf(c->file, "%s\n", success ? "good" : "bad") < 0 || fclose(c->file)))
		return err_set_errno(e, ERR_IO, "%s", c->side);
	return 0;
}

int main(int argc, char **argv)
{
	struct probe c = {.base = MOLPROG_DEFAULTS};
	static const struct molprog_program program = {
	    .name = "molprobe",
	    .own = OPTIONS,
	    .begin = begin,
	    .header = header,
	    .start = start,
	    .work = work,
	    .each = each,
	    .finish = finish,
	};
	return molprog_main(&program, &c, sizeof c, argc, argv);
}
