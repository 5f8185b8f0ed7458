/*
 * util_workers.c - jobs in forked processes, results in the order of jobs.
 *
 * A worker gets one parcel of jobs at a time and answers it job by job. Jobs wait in a ring in the parent from the
 * moment they are read until their results have been handed on, so memory is bounded by the ring. A worker that passes
 * its time loses the job that it was at; what was left of its parcel goes back to the front. One that dies may have
 * been damaged by an earlier job: the job that it was at is done once more, alone, by its fresh successor, and is lost
 * only when that one dies too.
 */
#include "util_worker.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	PARCEL_JOBS = 32,         /* jobs in one message at most */
	PARCEL_NBYTES = 64 << 10, /* and bytes, unless one job alone is larger */
	RING_PARCELS = 4,         /* parcels in the ring for each worker */
	MAX_MESSAGE = 1 << 28,
	HELD_NBYTES = 8 << 20,  /* results that wait for an earlier one: past this only the earliest job goes out */
	KEEP_NBYTES = 64 << 10, /* a slot gives larger buffers back */
};

enum slot_state { SLOT_FREE, SLOT_WAITING, SLOT_SENT, SLOT_READY };
struct slot {
	enum slot_state state;
	struct buf job, result;
	size_t n_head; /* bytes before the result in its buffer */
	enum worker_status status;
	int detail;
	bool retried; /* one worker has died of it already */
};
struct worker {
	pid_t pid;
	int fd;
	int64_t first, n_sent; /* jobs of its parcel still to be answered: first .. first + n_sent - 1 */
	double since_s;        /* when it began the first of them, or was last heard of */
	double begun_s;        /* when it began the first of them */
	struct buf in;         /* bytes of an answer that is not whole yet */
	struct share *share;   /* memory for large answers */
};
struct run {
	const struct workers *w;
	struct err *e;
	struct worker *worker;
	int n_worker;
	struct slot *ring;
	int64_t n_ring, n_read, n_done; /* jobs read so far, handed on so far */
	size_t held_nbytes;             /* of results not handed on */
	struct buf spare;               /* the buffer of a large result that has been handed on */
	bool no_more;
};

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct slot *slot_of(struct run *r, int64_t job)
{
	return &r->ring[job % r->n_ring];
}

/* ---- starting and ending workers ------------------------------------------------ */

static int spawn(struct run *r, struct worker *k)
{
	int fd[2];
	pid_t parent = getpid();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return err_set_errno(r->e, ERR_IO, "cannot start a worker");
	if (!k->share)
		k->share = worker_share_new();
	for (int i = 0; k->share && i < SHARE_CELLS; i++) /* one that died may have given some without a word */
		worker_share_release(k->share, i);
	pid_t pid = fork();
	if (pid < 0) {
		int rc = err_set_errno(r->e, ERR_IO, "cannot start a worker");
		close(fd[0]);
		close(fd[1]);
		return rc;
	}
	if (!pid) {
		/* Signals that end a run are the parent's business; a terminal sends them to the whole group. */
		signal(SIGINT, SIG_IGN);
		signal(SIGTERM, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		if (r->w->mem_nbytes && SANDBOX_BUILT) {
			struct rlimit limit = {r->w->mem_nbytes, r->w->mem_nbytes};
			setrlimit(RLIMIT_AS, &limit);
		}
		struct rlimit no_core = {0, 0};
		setrlimit(RLIMIT_CORE, &no_core);
		close(fd[0]);
		for (int i = 0; i < r->n_worker; i++)
			if (r->worker[i].pid > 0)
				close(r->worker[i].fd);
		for (int i = 0; i < r->n_worker; i++)
			if (&r->worker[i] != k)
				worker_share_free(r->worker[i].share);
		worker_main(r->w, fd[1], k->share);
	}
	close(fd[1]);
	k->pid = pid;
	k->fd = fd[0];
	k->n_sent = 0;
	k->in.n = 0;
	return 0;
}

/* Ends the worker, by force if need be, and waits for it. Returns its wait status. */
static int reap(struct worker *k, bool force)
{
	int status = 0;
	if (k->pid <= 0)
		return 0;
	if (force)
		kill(k->pid, SIGKILL);
	close(k->fd);
	while (waitpid(k->pid, &status, 0) < 0 && errno == EINTR)
		;
	k->pid = 0;
	return status;
}

/* ---- the parent: jobs out ----------------------------------------------------------- */

static int read_jobs(struct run *r)
{
	while (!r->no_more && r->n_read - r->n_done < r->n_ring) {
		struct slot *s = slot_of(r, r->n_read);
		s->job.n = s->result.n = 0;
		int rc = r->w->next(r->w->ctx, &s->job, r->e);
		if (rc < 0)
			return rc;
		if (!rc) {
			r->no_more = true;
			break;
		}
		s->state = SLOT_WAITING;
		s->retried = false;
		r->n_read++;
	}
	return 0;
}

/* Waiting jobs from `first` on, side by side, in one message; a worker has whole answers to give for them in order. */
static int send_jobs(struct run *r, struct worker *k, int64_t first, int64_t n_most)
{
	struct buf out = {0};
	int rc = 0;
	k->first = first;
	k->n_sent = 0;
	for (int64_t j = first; j < r->n_read && k->n_sent < n_most; j++) {
		struct slot *s = slot_of(r, j);
		if (s->state != SLOT_WAITING || (k->n_sent && out.n + s->job.n > PARCEL_NBYTES))
			break;
		worker_message(&out, MSG_JOB, s->job.data, s->job.n);
		s->state = SLOT_SENT;
		k->n_sent++;
	}
	k->since_s = k->begun_s = now_s();
	for (size_t at = 0; at < out.n;) {
		ssize_t n = send(k->fd, out.data + at, out.n - at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR) {
			if (io_stop_signal()) {
				rc = err_set(r->e, ERR_STOPPED, "stopped by signal %d", io_stop_signal());
				break;
			}
			continue;
		}
		if (n <= 0)
			break; /* it died: the poll will say so */
		at += (size_t)n;
	}
	buf_free(&out);
	return rc;
}

static int send_parcel(struct run *r, struct worker *k)
{
	int64_t first = r->n_done;
	while (first < r->n_read && slot_of(r, first)->state != SLOT_WAITING)
		first++;
	int64_t share = (r->n_read - first + r->n_worker - 1) / r->n_worker;
	return send_jobs(r, k, first, share < PARCEL_JOBS ? share : PARCEL_JOBS);
}

/* ---- the parent: results in ------------------------------------------------------------ */

/* The slot of the job that the worker was at, without its result yet. */
static struct slot *answer(struct run *r, struct worker *k, enum worker_status status, int detail)
{
	struct slot *s = slot_of(r, k->first);
	s->state = SLOT_READY;
	s->status = status;
	s->detail = detail;
	s->result.n = s->n_head = 0;
	k->first++;
	k->n_sent--;
	k->since_s = k->begun_s = now_s();
	return s;
}

static struct slot *answer_good(struct run *r, struct worker *k)
{
	double took_ms = 1e3 * (now_s() - k->begun_s);
	return answer(r, k, WORKER_OK, took_ms < INT_MAX ? (int)took_ms : INT_MAX);
}

/* The result is a message of the worker's buffer: a large one that stands there alone changes hands uncopied. */
static void answer_done(struct run *r, struct worker *k, const uint8_t *data, size_t n)
{
	struct slot *s = answer_good(r, k);
	size_t n_head = sizeof(struct head);
	if (n > KEEP_NBYTES && k->in.n == n_head + n) {
		buf_free(&s->result);
		s->result = k->in;
		s->n_head = n_head;
		k->in = r->spare;
		r->spare = (struct buf){0};
	} else {
		buf_put(&s->result, data, n);
	}
	r->held_nbytes += s->result.n;
}

/* The job that it was at gets its second chance or is lost; the rest of the parcel waits again. */
static int lose_worker(struct run *r, struct worker *k, enum worker_status status, bool lied)
{
	int wait_status = reap(k, true);
	int detail = WIFSIGNALED(wait_status) && !lied ? WTERMSIG(wait_status) : 0;
	bool again = status == WORKER_CRASHED && k->n_sent > 0 && !slot_of(r, k->first)->retried;
	if (k->n_sent > 0 && !again)
		answer(r, k, status, status == WORKER_TIMEOUT ? 0 : detail);
	for (int64_t j = k->first; j < k->first + k->n_sent; j++)
		slot_of(r, j)->state = SLOT_WAITING;
	k->n_sent = 0;
	int rc = spawn(r, k);
	if (rc || !again)
		return rc;
	slot_of(r, k->first)->retried = true;
	return send_jobs(r, k, k->first, 1);
}

/* The failure that a worker reports ends the run; negative, or 0 when it is none. */
static int take_failure(struct run *r, const uint8_t *data)
{
	struct err failure;
	memcpy(&failure, data, sizeof failure);
	failure.msg[sizeof failure.msg - 1] = failure.file[sizeof failure.file - 1] = 0;
	if (failure.code >= 0 || failure.code < ERR_PIPE)
		return 0;
	if (!r->e->code)
		*r->e = failure;
	return failure.code;
}

/* Whether the message can be what a worker says that has been given work. */
static bool may_say(struct run *r, const struct worker *k, const struct head *h, const uint8_t *data)
{
	if (h->kind == MSG_FAILED)
		return h->nbytes == sizeof *r->e;
	if (h->kind != MSG_DONE || k->n_sent < 1)
		return false;
	struct slot *s = slot_of(r, k->first);
	return !r->w->check || r->w->check(r->w->ctx, s->job.data, s->job.n, data, h->nbytes);
}

/* An answer in a cell, copied before it is judged: the worker could still write there. False: none says that. */
static bool answer_shared(struct run *r, struct worker *k, const struct head *h, const uint8_t *data)
{
	struct lies l;
	if (h->nbytes != sizeof l || k->n_sent < 1)
		return false;
	memcpy(&l, data, sizeof l);
	if (!k->share || l.cell >= SHARE_CELLS || l.nbytes > SHARE_CELL_NBYTES - sizeof *h)
		return false;
	struct buf b = r->spare;
	r->spare = (struct buf){0};
	buf_put(&b, worker_share_cell(k->share, (int)l.cell) + sizeof *h, l.nbytes);
	worker_share_release(k->share, (int)l.cell);
	if (!may_say(r, k, &(struct head){MSG_DONE, l.nbytes}, b.data)) {
		buf_free(&b);
		return false;
	}
	struct slot *s = answer_good(r, k);
	buf_free(&s->result);
	s->result = b;
	r->held_nbytes += b.n;
	return true;
}

/* Whole messages at the front of what has come. A worker that says what none says is taken for crashed. */
static int take_messages(struct run *r, struct worker *k)
{
	size_t at = 0;
	int rc = 0;
	while (!rc && k->in.n - at >= sizeof(struct head)) {
		struct head h;
		memcpy(&h, k->in.data + at, sizeof h);
		if (h.nbytes > MAX_MESSAGE)
			return lose_worker(r, k, WORKER_CRASHED, true);
		if (k->in.n - at - sizeof h < h.nbytes)
			break;
		const uint8_t *data = k->in.data + at + sizeof h;
		if (h.kind == MSG_SHARED ? !answer_shared(r, k, &h, data) : !may_say(r, k, &h, data))
			return lose_worker(r, k, WORKER_CRASHED, true);
		if (h.kind == MSG_FAILED) {
			rc = take_failure(r, data);
			if (!rc)
				return lose_worker(r, k, WORKER_CRASHED, true);
		} else if (h.kind == MSG_DONE) {
			answer_done(r, k, data, h.nbytes);
			if (!k->in.n)
				return 0; /* it went with its buffer */
		}
		at += sizeof h + h.nbytes;
	}
	if (at)
		memmove(k->in.data, k->in.data + at, k->in.n - at);
	k->in.n -= at;
	return rc;
}

static int receive(struct run *r, struct worker *k)
{
	size_t want = KEEP_NBYTES;
	struct head h;
	if (k->in.n >= sizeof h) {
		memcpy(&h, k->in.data, sizeof h);
		if (h.nbytes <= MAX_MESSAGE && h.nbytes > KEEP_NBYTES) /* to its end and no further */
			want = h.nbytes + sizeof h - k->in.n;
	}
	ssize_t n = recv(k->fd, buf_reserve(&k->in, want), want, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return lose_worker(r, k, WORKER_CRASHED, false);
	k->in.n += (size_t)n;
	k->since_s = now_s(); /* an answer is coming: what waits for us to read it is not late */
	return take_messages(r, k);
}

static int hand_on(struct run *r)
{
	while (r->n_done < r->n_read) {
		struct slot *s = slot_of(r, r->n_done);
		if (s->state != SLOT_READY)
			return 0;
		bool good = s->status == WORKER_OK;
		int rc = r->w->done(r->w->ctx, s->job.data, s->job.n, s->status, s->detail,
				    good ? s->result.data + s->n_head : NULL, good ? s->result.n - s->n_head : 0, r->e);
		if (rc < 0)
			return rc;
		s->state = SLOT_FREE;
		r->held_nbytes -= s->result.n;
		if (s->result.cap > KEEP_NBYTES) {
			buf_free(&r->spare);
			r->spare = s->result;
			r->spare.n = 0;
			s->result = (struct buf){0};
		}
		if (s->job.cap > KEEP_NBYTES)
			buf_free(&s->job);
		r->n_done++;
	}
	return 0;
}

/* ---- the loop ------------------------------------------------------------------------------ */

static int feed(struct run *r)
{
	for (int i = 0; i < r->n_worker; i++) {
		int64_t j = r->n_done;
		if (r->worker[i].n_sent)
			continue;
		while (j < r->n_read && slot_of(r, j)->state != SLOT_WAITING)
			j++;
		if (j == r->n_read || (r->held_nbytes > HELD_NBYTES && j != r->n_done))
			return 0;
		int rc = send_parcel(r, &r->worker[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Milliseconds until the first worker has had its time, -1: no limit. Kills those that have. */
static int watch_clock(struct run *r, int *wait_ms)
{
	double now = now_s(), first = -1;
	*wait_ms = -1;
	if (r->w->timeout_s <= 0)
		return 0;
	for (int i = 0; i < r->n_worker; i++) {
		struct worker *k = &r->worker[i];
		if (!k->n_sent)
			continue;
		double left = k->since_s + r->w->timeout_s - now;
		if (left <= 0) {
			int rc = receive(r, k); /* it may have answered while we were busy */
			if (rc < 0)
				return rc;
			if (k->n_sent && now_s() - k->since_s >= r->w->timeout_s) {
				rc = lose_worker(r, k, WORKER_TIMEOUT, false);
				if (rc < 0)
					return rc;
			}
			left = 0;
		}
		if (first < 0 || left < first)
			first = left;
	}
	if (first >= 0)
		*wait_ms = (int)(first * 1000) + 1;
	return 0;
}

static int wait_for_answers(struct run *r, int wait_ms)
{
	struct pollfd p[1 + r->n_worker];
	int n = 0, index[1 + r->n_worker];
	if (io_stop_signal())
		return err_set(r->e, ERR_STOPPED, "stopped by signal %d", io_stop_signal());
	if (io_stop_fd() >= 0)
		p[n++] = (struct pollfd){.fd = io_stop_fd(), .events = POLLIN};
	int first = n;
	for (int i = 0; i < r->n_worker; i++)
		if (r->worker[i].n_sent) {
			index[n] = i;
			p[n++] = (struct pollfd){.fd = r->worker[i].fd, .events = POLLIN};
		}
	if (poll(p, (nfds_t)n, wait_ms) < 0 && errno != EINTR)
		return err_set_errno(r->e, ERR_IO, "cannot wait for workers");
	if (io_stop_signal())
		return err_set(r->e, ERR_STOPPED, "stopped by signal %d", io_stop_signal());
	for (int i = first; i < n; i++)
		if (p[i].revents) {
			int rc = receive(r, &r->worker[index[i]]);
			if (rc < 0)
				return rc;
		}
	return 0;
}

int workers_run(const struct workers *w, struct err *e)
{
	struct err own = {0};
	struct run r = {.w = w, .e = e ? e : &own};
	int rc = 0, wait_ms;
	r.n_worker = w->n_worker > 0 ? w->n_worker : pool_core_count();
	r.n_ring = (int64_t)r.n_worker * PARCEL_JOBS * RING_PARCELS;
	r.worker = calloc((size_t)r.n_worker, sizeof *r.worker);
	r.ring = calloc((size_t)r.n_ring, sizeof *r.ring);
	if (!r.worker || !r.ring) {
		rc = err_set(r.e, ERR_MEMORY, "no memory for workers");
		goto done;
	}
	for (int i = 0; i < r.n_worker && !rc; i++)
		rc = spawn(&r, &r.worker[i]);
	while (!rc) {
		rc = read_jobs(&r);
		if (!rc)
			rc = feed(&r);
		if (rc || (r.no_more && r.n_done == r.n_read))
			break;
		rc = watch_clock(&r, &wait_ms);
		if (!rc)
			rc = wait_for_answers(&r, wait_ms);
		if (!rc)
			rc = hand_on(&r);
	}
done:
	for (int i = 0; r.worker && i < r.n_worker; i++) {
		reap(&r.worker[i], true);
		worker_share_free(r.worker[i].share);
		buf_free(&r.worker[i].in);
	}
	for (int64_t i = 0; r.ring && i < r.n_ring; i++) {
		buf_free(&r.ring[i].job);
		buf_free(&r.ring[i].result);
	}
	buf_free(&r.spare);
	free(r.ring);
	free(r.worker);
	return rc;
}
