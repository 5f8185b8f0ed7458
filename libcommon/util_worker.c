/* util_worker.c - the worker's side: jobs in, results out by the socket or through cells of shared memory. */
#include "util_worker.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Smaller results are sent though there is a cell for them. */
#define SEND_NBYTES (16u << 10)

void worker_message(struct buf *b, uint32_t kind, const void *data, size_t n)
{
	struct head h = {kind, (uint32_t)n};
	buf_put(b, &h, sizeof h);
	buf_put(b, data, n);
}

/* ---- cells, each owned by one of two processes at a time ---- */

enum { HEAD_NBYTES = 4096, NBYTES = HEAD_NBYTES + SHARE_CELLS * SHARE_CELL_NBYTES };

struct share {
	atomic_int given[SHARE_CELLS]; /* the parent's */
};

struct share *worker_share_new(void)
{
	void *p = mmap(NULL, NBYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void worker_share_free(struct share *s)
{
	if (s)
		munmap(s, NBYTES);
}

const uint8_t *worker_share_cell(const struct share *s, int cell)
{
	return (const uint8_t *)s + HEAD_NBYTES + (size_t)cell * SHARE_CELL_NBYTES;
}

int worker_share_borrow(struct share *s, struct buf *b)
{
	for (int i = 0; s && i < SHARE_CELLS; i++)
		if (!worker_share_is_given(s, i)) {
			*b = (struct buf){
			    .data = (uint8_t *)worker_share_cell(s, i), .cap = SHARE_CELL_NBYTES, .borrowed = true};
			return i;
		}
	return -1;
}

void worker_share_give(struct share *s, int cell)
{
	atomic_store_explicit(&s->given[cell], 1, memory_order_release);
}
void worker_share_release(struct share *s, int cell)
{
	atomic_store_explicit(&s->given[cell], 0, memory_order_release);
}
bool worker_share_is_given(const struct share *s, int cell)
{
	return atomic_load_explicit(&((struct share *)s)->given[cell], memory_order_acquire);
}

/* ---- the process ---- */

/* 1: all n bytes; 0: the parent has closed; it never fails otherwise. */
static int child_read(int fd, void *data, size_t n)
{
	char *p = data;
	while (n) {
		ssize_t k = read(fd, p, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return 0;
		p += k;
		n -= (size_t)k;
	}
	return 1;
}

static void child_write(int fd, const struct buf *b)
{
	for (size_t at = 0; at < b->n;) {
		ssize_t k = send(fd, b->data + at, b->n - at, MSG_NOSIGNAL);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			_exit(0); /* nobody listens */
		at += (size_t)k;
	}
}

/* A result stands behind room for its head: given where it lies, or sent. */
static void child_answer(int fd, struct share *share, int cell, struct buf *out)
{
	struct head h = {MSG_DONE, (uint32_t)(out->n - sizeof h)};
	struct lies l = {(uint32_t)cell, h.nbytes};
	if (!out->borrowed || h.nbytes <= SEND_NBYTES) {
		memcpy(out->data, &h, sizeof h);
		child_write(fd, out);
		return;
	}
	struct buf message = {0};
	worker_share_give(share, cell);
	worker_message(&message, MSG_SHARED, &l, sizeof l);
	child_write(fd, &message);
	buf_free(&message);
}

void worker_main(const struct workers *w, int fd, struct share *share)
{
	struct buf job = {0}, out = {0}, own = {0};
	struct err e = {0};
	struct head h;
	int rc = w->start ? w->start(w->ctx, &e) : 0;
	if (!rc && w->confined)
		rc = sandbox_enter(fd, &e);
	while (!rc && child_read(fd, &h, sizeof h)) {
		job.n = 0;
		buf_reserve(&job, h.nbytes);
		if (!child_read(fd, job.data, h.nbytes))
			break;
		job.n = h.nbytes;
		int cell = worker_share_borrow(share, &out);
		if (cell < 0)
			out = own, out.n = 0;
		buf_put(&out, &h, sizeof h); /* results may be large: they are made where they are sent from */
		rc = w->work(w->ctx, job.data, job.n, &out, &e);
		if (rc < 0)
			break;
		rc = 0;
		child_answer(fd, share, cell, &out);
		if (cell < 0)
			own = out;
		else
			buf_free(&out);
	}
	if (rc < 0) {
		e.code = rc;
		out = (struct buf){0};
		worker_message(&out, MSG_FAILED, &e, sizeof e);
		child_write(fd, &out);
	}
	_exit(0);
}
