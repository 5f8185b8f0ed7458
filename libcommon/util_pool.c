/* util_pool.c - a pool of threads that share out numbered chunks. */
#include "util.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct member {
	struct pool *pool;
	int index;
	pthread_t thread;
};
/*
 * Chunks of a round that a thread takes first, [next, end); then it helps the others. Rounds of as many chunks often go
 * over the same rows, which are then in this thread's cache.
 */
struct share {
	_Alignas(128) _Atomic int64_t next;
	int64_t end;
};
/* One piece of work that a thread without chunks takes. */
enum aside { NO_ASIDE, ASIDE_WAITS, ASIDE_RUNS };
struct pool {
	int n_thread;
	struct member *members; /* [n_thread]; member 0 is the caller */
	int n_spin;             /* looks at what a thread waits for before it sleeps */
	pthread_mutex_t lock;
	pthread_cond_t wake, finished;
	_Atomic uint64_t news; /* raised by one for each round, each piece aside, and the end */
	bool is_open;          /* a round: threads may join */
	_Atomic int n_inside;  /* threads that joined it, but for the caller */
	bool quit;
	void (*fn)(void *ctx, int64_t chunk, int thread);
	void *ctx;
	struct share *shares; /* [n_thread] */
	_Atomic int aside;    /* enum aside */
	void (*aside_fn)(void *ctx);
	void *aside_ctx;
};

/*
 * A thread sleeps and wakes in tens of microseconds, as long as many a round takes: it looks about first. Not where
 * there are more threads than cores, whose time it would take.
 */
enum { N_SPIN = 10000 };

static void rest(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

int pool_core_count(void)
{
	cpu_set_t set;
	if (!sched_getaffinity(0, sizeof set, &set) && CPU_COUNT(&set) > 0)
		return CPU_COUNT(&set);
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 ? (int)n : 1;
}

static void take_chunks(struct pool *p, int thread)
{
	for (int t = 0; t < p->n_thread; t++) {
		struct share *s = &p->shares[(thread + t) % p->n_thread];
		for (int64_t i; s->next < s->end && (i = atomic_fetch_add(&s->next, 1)) < s->end;)
			p->fn(p->ctx, i, thread);
	}
}

static bool has_chunks(const struct pool *p)
{
	bool any = false;
	for (int t = 0; t < p->n_thread; t++)
		any |= p->shares[t].next < p->shares[t].end;
	return any;
}

/* The lock is held; it is let go while fn runs. */
static void run_aside(struct pool *p)
{
	p->aside = ASIDE_RUNS;
	pthread_mutex_unlock(&p->lock);
	p->aside_fn(p->aside_ctx);
	pthread_mutex_lock(&p->lock);
	p->aside = NO_ASIDE;
	pthread_cond_signal(&p->finished);
}

static void *member_main(void *arg)
{
	struct member *m = arg;
	struct pool *p = m->pool;
	uint64_t seen = 0;
	pthread_mutex_lock(&p->lock);
	while (!p->quit) {
		if (p->aside == ASIDE_WAITS) {
			run_aside(p);
			continue;
		}
		if (p->is_open && has_chunks(p)) {
			p->n_inside++;
			pthread_mutex_unlock(&p->lock);
			take_chunks(p, m->index);
			pthread_mutex_lock(&p->lock);
			if (!--p->n_inside)
				pthread_cond_signal(&p->finished);
			continue;
		}
		seen = p->news;
		pthread_mutex_unlock(&p->lock);
		for (int i = 0; i < p->n_spin && p->news == seen; i++)
			rest();
		pthread_mutex_lock(&p->lock);
		while (p->news == seen)
			pthread_cond_wait(&p->wake, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct pool *pool_new(int n_thread)
{
	if (n_thread <= 0)
		n_thread = pool_core_count();
	struct pool *p = calloc(1, sizeof *p);
	if (p) {
		p->members = calloc((size_t)n_thread, sizeof *p->members);
		p->shares = aligned_alloc(_Alignof(struct share), (size_t)n_thread * sizeof *p->shares);
	}
	if (!p || !p->members || !p->shares) {
		if (p) {
			free(p->members);
			free(p->shares);
		}
		free(p);
		return NULL;
	}
	memset(p->shares, 0, (size_t)n_thread * sizeof *p->shares);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	pthread_cond_init(&p->finished, NULL);
	p->n_thread = 1;
	p->n_spin = n_thread <= pool_core_count() ? N_SPIN : 0;
	/* Signals are the caller's: its blocking reads must be the ones that they interrupt. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (int i = 1; i < n_thread; i++) {
		p->members[i] = (struct member){.pool = p, .index = i};
		if (pthread_create(&p->members[i].thread, NULL, member_main, &p->members[i]))
			break; /* fewer threads give the same results */
		p->n_thread++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return p;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->quit = true;
	p->news++;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (int i = 1; i < p->n_thread; i++)
		pthread_join(p->members[i].thread, NULL);
	pthread_cond_destroy(&p->finished);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p->members);
	free(p->shares);
	free(p);
}

int pool_size(const struct pool *p)
{
	return p ? p->n_thread : 1;
}

void pool_run(struct pool *p, int64_t n_chunk, void (*fn)(void *ctx, int64_t chunk, int thread), void *ctx)
{
	if (!p || p->n_thread == 1 || n_chunk <= 1) {
		for (int64_t i = 0; i < n_chunk; i++)
			fn(ctx, i, 0);
		return;
	}
	pthread_mutex_lock(&p->lock);
	p->fn = fn;
	p->ctx = ctx;
	for (int t = 0; t < p->n_thread; t++) {
		p->shares[t].next = n_chunk * t / p->n_thread;
		p->shares[t].end = n_chunk * (t + 1) / p->n_thread;
	}
	p->is_open = true;
	p->news++;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	take_chunks(p, 0);
	for (int i = 0; i < p->n_spin && p->n_inside; i++)
		rest();
	pthread_mutex_lock(&p->lock);
	p->is_open = false;
	while (p->n_inside)
		pthread_cond_wait(&p->finished, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void pool_aside(struct pool *p, void (*fn)(void *ctx), void *ctx)
{
	pthread_mutex_lock(&p->lock);
	p->aside_fn = fn;
	p->aside_ctx = ctx;
	p->aside = ASIDE_WAITS;
	p->news++;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

void pool_aside_wait(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	if (p->aside == ASIDE_WAITS)
		run_aside(p);
	while (p->aside != NO_ASIDE)
		pthread_cond_wait(&p->finished, &p->lock);
	pthread_mutex_unlock(&p->lock);
}
