/* Forked workers: order, crashes, hangs, failures, bounded memory, speed; threads. */
#include "tap.h"
#include "util.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* A job is a number; its result is the number's square, except as the special jobs say. */
struct plan {
	int64_t n_job, crash_at, hang_at, fail_at, exit_at, damage_at, lie_at, stop_after;
	size_t result_nbytes;
	bool start_fails;
	int64_t n_next, n_done, most_ahead;
	bool in_order, right, damaged; /* damaged: in the worker alone */
	int n_crash, n_timeout, last_detail;
	uint64_t digest;
};

static int plan_next(void *ctx, struct buf *b, struct err *e)
{
	struct plan *p = ctx;
	if (p->n_next == p->n_job)
		return 0;
	buf_put(b, &p->n_next, sizeof p->n_next);
	p->n_next++;
	if (p->n_next - p->n_done > p->most_ahead)
		p->most_ahead = p->n_next - p->n_done;
	return 1;
}
static int plan_start(void *ctx, struct err *e)
{
	struct plan *p = ctx;
	return p->start_fails ? err_set(e, ERR_FORMAT, "no tables") : 0;
}
static int plan_work(void *ctx, const uint8_t *job, size_t n, struct buf *result, struct err *e)
{
	struct plan *p = ctx;
	int64_t i;
	memcpy(&i, job, sizeof i);
	if (i == p->crash_at || (p->crash_at == -2 && i % 7 == 3))
		raise(SIGKILL);
	if (p->damaged)
		raise(SIGSEGV);
	if (i == p->damage_at)
		p->damaged = true;
	if (i == p->exit_at)
		_exit(9);
	if (i == p->hang_at)
		for (;;)
			pause();
	if (i == p->fail_at)
		return err_set(e, ERR_NUMERIC, "job %d went wrong", (int)i);
	int64_t square = i * i + (i == p->lie_at);
	buf_put(result, &square, sizeof square);
	if (p->result_nbytes)
		memset(buf_reserve(result, p->result_nbytes), (int)i, p->result_nbytes), result->n += p->result_nbytes;
	return 0;
}
static bool plan_check(void *ctx, const uint8_t *job, size_t n_job, const uint8_t *result, size_t n)
{
	int64_t i, square;
	if (n < sizeof square)
		return false;
	memcpy(&i, job, sizeof i);
	memcpy(&square, result, sizeof square);
	return square == i * i;
}
static int plan_done(void *ctx, const uint8_t *job, size_t n_job, enum worker_status s, int detail,
		     const uint8_t *result, size_t n, struct err *e)
{
	struct plan *p = ctx;
	int64_t i, square = 0;
	memcpy(&i, job, sizeof i);
	p->in_order &= i == p->n_done;
	p->n_done++;
	if (s == WORKER_OK) {
		p->right &= n == sizeof square + p->result_nbytes;
		memcpy(&square, result, sizeof square);
		p->right &= square == i * i;
		const uint8_t *fill = result + sizeof square;
		p->right &=
		    !p->result_nbytes || (fill[0] == (uint8_t)i && !memcmp(fill, fill + 1, p->result_nbytes - 1));
	} else {
		p->right &= n == 0;
		p->last_detail = detail;
	}
	p->n_crash += s == WORKER_CRASHED;
	p->n_timeout += s == WORKER_TIMEOUT;
	p->digest = p->digest * 31 + (uint64_t)(i + square) + (uint64_t)s;
	if (p->n_done == p->stop_after)
		return err_set(e, ERR_IO, "the caller has enough");
	return 0;
}

static const struct plan usual = {.crash_at = -1,
				  .hang_at = -1,
				  .fail_at = -1,
				  .exit_at = -1,
				  .damage_at = -1,
				  .lie_at = -1,
				  .in_order = true,
				  .right = true};

static int run(struct plan *p, int n_worker, double timeout_s, struct err *e)
{
	struct workers w = {.n_worker = n_worker,
			    .timeout_s = timeout_s,
			    .ctx = p,
			    .next = plan_next,
			    .start = plan_start,
			    .work = plan_work,
			    .check = plan_check,
			    .done = plan_done};
	return workers_run(&w, e);
}
static bool whole(const struct plan *p)
{
	return p->n_done == p->n_job && p->in_order && p->right;
}
static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void test_order(void)
{
	uint64_t digest = 0;
	for (int n_worker = 1; n_worker <= 3; n_worker++) {
		struct plan p = usual;
		struct err e = {0};
		p.n_job = 3000;
		int rc = run(&p, n_worker, 5, &e);
		tap_ok(!rc && whole(&p), "%d workers: every result, in order (%s)", n_worker, e.msg);
		tap_ok(n_worker == 1 || p.digest == digest, "%d workers: the results of one", n_worker);
		digest = p.digest;
	}
	struct plan none = usual, big = usual;
	struct err e = {0};
	tap_ok(!run(&none, 2, 0, &e) && whole(&none), "no job at all");
	big.n_job = 60;
	big.result_nbytes = 3 << 20;
	tap_ok(!run(&big, 2, 10, &e) && whole(&big), "results of 3 MiB");
	tap_ok(big.most_ahead <= 512, "jobs in flight are bounded (%d)", (int)big.most_ahead);
}

/* Results of these sizes lie in memory that the worker shares, or are sent where there is no room. */
static void test_shared(void)
{
	static const size_t sizes[] = {16 << 10, 150 << 10, (1 << 20) - 16, (1 << 20) - 15, (1 << 20) + 1};
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
		for (int n_worker = 1; n_worker <= 3; n_worker++) {
			struct plan p = usual;
			struct err e = {0};
			p.n_job = 210;
			p.result_nbytes = sizes[k];
			p.crash_at = n_worker == 2 ? -2 : -1;
			tap_ok(!run(&p, n_worker, 10, &e) && whole(&p) && p.n_crash == (n_worker == 2 ? 30 : 0),
			       "%d workers: results of %zu bytes%s", n_worker, sizes[k],
			       n_worker == 2 ? ", every seventh job crashes" : "");
		}
}

static void test_crash(void)
{
	for (int n_worker = 1; n_worker <= 2; n_worker++) {
		struct plan p = usual;
		struct err e = {0};
		p.n_job = 200;
		p.crash_at = 77;
		tap_ok(!run(&p, n_worker, 5, &e) && whole(&p) && p.n_crash == 1 && p.last_detail == SIGKILL,
		       "%d workers: a crash costs one job and names its signal", n_worker);
		p = usual;
		p.n_job = 140;
		p.crash_at = -2;
		tap_ok(!run(&p, n_worker, 5, &e) && whole(&p) && p.n_crash == 20,
		       "%d workers: every seventh job crashes (%d)", n_worker, p.n_crash);
		p = usual;
		p.n_job = 50;
		p.exit_at = 0;
		tap_ok(!run(&p, n_worker, 5, &e) && whole(&p) && p.n_crash == 1, "%d workers: a job that exits",
		       n_worker);
		p = usual;
		p.n_job = 100;
		p.damage_at = 40;
		tap_ok(!run(&p, n_worker, 5, &e) && whole(&p) && !p.n_crash,
		       "%d workers: what one job damages costs none after it (%d)", n_worker, p.n_crash);
		p.n_next = p.n_done = 0;
		p.crash_at = 41;
		tap_ok(!run(&p, n_worker, 5, &e) && whole(&p) && p.n_crash == 1 && p.last_detail == SIGKILL,
		       "%d workers: nor spares the one after it that crashes by itself", n_worker);
		p = usual;
		p.n_job = 60;
		p.lie_at = 33;
		p.last_detail = -1;
		tap_ok(!run(&p, n_worker, 5, &e) && whole(&p) && p.n_crash == 1 && !p.last_detail,
		       "%d workers: an answer that is none counts as a crash", n_worker);
		p = usual;
		p.n_job = 50;
		p.hang_at = 13;
		double t0 = now_s();
		tap_ok(!run(&p, n_worker, 0.2, &e) && whole(&p) && p.n_timeout == 1, "%d workers: a hang costs one job",
		       n_worker);
		tap_ok(now_s() - t0 < 3, "and its time limit");
	}
}

static void test_failure(void)
{
	struct plan p = usual;
	struct err e = {0};
	p.n_job = 100;
	p.fail_at = 40;
	tap_ok(run(&p, 2, 5, &e) == ERR_NUMERIC && strstr(e.msg, "job 40"), "a failing job fails the run: %s", e.msg);
	p = usual;
	e = (struct err){0};
	p.n_job = 10;
	p.start_fails = true;
	tap_ok(run(&p, 2, 5, &e) == ERR_FORMAT && !strcmp(e.msg, "no tables"), "so does a failing start");
	p = usual;
	e = (struct err){0};
	p.n_job = 1000;
	p.stop_after = 5;
	tap_ok(run(&p, 2, 5, &e) == ERR_IO && p.n_done == 5, "and a caller that has enough");
	/* The mutant: a plan whose results are wrong is seen by the checks above. */
	p = usual;
	p.n_job = 3;
	p.in_order = p.right = true;
	p.n_done = 1;
	run(&p, 1, 5, &e);
	tap_ok(!whole(&p), "results out of order would be seen");
}

static void test_many(void)
{
	struct plan p = usual;
	struct err e = {0};
	p.n_job = 100000;
	tap_ok(!run(&p, 2, 5, &e) && whole(&p), "100,000 small jobs");
}

struct squares {
	int64_t out[1000];
	int n_call[1000];
};
static void square_chunk(void *ctx, int64_t chunk, int thread)
{
	struct squares *s = ctx;
	s->out[chunk] = chunk * chunk;
	s->n_call[chunk]++;
}

struct apart {
	struct pool *p;
	_Atomic int n_run;
	_Atomic bool go;
};
static void wait_for_go(void *ctx)
{
	struct apart *a = ctx;
	while (!a->go)
		sched_yield();
	a->n_run++;
}

/* Rounds end while a thread is busy aside; with one thread the piece waits for its wait. */
static void test_aside(void)
{
	for (int n = 1; n <= 4; n++) {
		struct apart a = {.p = pool_new(n)};
		bool good = true;
		pool_aside_wait(a.p); /* nothing there */
		for (int round = 0; round < 50; round++) {
			struct squares s = {0};
			a.go = false;
			pool_aside(a.p, wait_for_go, &a);
			for (int i = 0; i < 20; i++) {
				s = (struct squares){0};
				pool_run(a.p, 1000, square_chunk, &s);
				for (int64_t c = 0; c < 1000; c++)
					good &= s.n_call[c] == 1 && s.out[c] == c * c;
			}
			good &= a.n_run == round;
			a.go = true;
			pool_aside_wait(a.p);
			good &= a.n_run == round + 1;
		}
		pool_free(a.p);
		tap_ok(good, "%d threads: a piece aside once, rounds without its thread", n);
	}
}

static void test_pool(void)
{
	for (int n = 1; n <= 4; n++) {
		struct pool *p = pool_new(n);
		bool good = pool_size(p) == n;
		for (int round = 0; round < 50; round++) {
			struct squares s = {0};
			int64_t n_chunk = round % 3 ? 1000 : round;
			pool_run(p, n_chunk, square_chunk, &s);
			for (int64_t i = 0; i < 1000; i++)
				good &= s.n_call[i] == (i < n_chunk) && (i >= n_chunk || s.out[i] == i * i);
		}
		pool_free(p);
		tap_ok(good, "%d threads: each chunk once", n);
	}
	pool_free(NULL);
	tap_ok(pool_core_count() >= 1, "cores");
}

int main(void)
{
	test_order();
	test_shared();
	test_crash();
	test_failure();
	test_many();
	test_pool();
	test_aside();
	return tap_done();
}
