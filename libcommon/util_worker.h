/*
 * util_worker.h - what a worker process and its parent say to each other; nobody but util_worker*.c includes it.
 *
 * Large results go through memory that both see: the worker fills a cell and says so; the parent copies what it holds
 * and gives it back. Nobody waits: a worker that finds no cell free sends its result instead.
 */
#ifndef MOLRILL_UTIL_WORKER_H
#define MOLRILL_UTIL_WORKER_H

#include "util.h"

/* Message heads, both ways. Parent to child: job; child to parent: result, where it lies, or failure of the run. */
enum { MSG_JOB = 1, MSG_DONE, MSG_FAILED, MSG_SHARED };
struct head {
	uint32_t kind, nbytes;
};
struct lies {
	uint32_t cell, nbytes;
};

void worker_message(struct buf *b, uint32_t kind, const void *data, size_t n);

/* ---- cells ---- */

enum { SHARE_CELLS = 4, SHARE_CELL_NBYTES = 1 << 20 };
struct share;

/* Before the fork. NULL without memory: everything is sent then. Pages that nobody touches cost nothing. */
struct share *worker_share_new(void);
void worker_share_free(struct share *s); /* takes NULL */

/*
 * Worker: makes *b an empty buffer in a free cell, which moves to the heap when it outgrows it, and returns the cell's
 * number; -1, and *b as it was, without a free one. What *b held before is the caller's.
 */
int worker_share_borrow(struct share *s, struct buf *b);
/* Worker: what the cell holds is the parent's from now on. */
void worker_share_give(struct share *s, int cell);

/* Parent. */
const uint8_t *worker_share_cell(const struct share *s, int cell);
void worker_share_release(struct share *s, int cell);
bool worker_share_is_given(const struct share *s, int cell);

/* The life of a worker whose messages come and go through fd. Never returns. */
_Noreturn void worker_main(const struct workers *w, int fd, struct share *share);

#endif
