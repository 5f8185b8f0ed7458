/* util_pool.c - a pool of threads that share out numbered chunks. */
#include "util.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct member {
	struct pool *pool;
	int index;
	pthread_t thread;
};
struct pool {
	int n_thread;
	struct member *members; /* [n_thread]; member 0 is the caller */
	pthread_mutex_t lock;
	pthread_cond_t wake, finished;
	uint64_t round; /* raised by one for each pool_run */
	int n_busy;
	bool quit;
	void (*fn)(void *ctx, int64_t chunk, int thread);
	void *ctx;
	int64_t n_chunk;
	_Atomic int64_t next;
};

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
	for (int64_t i; (i = atomic_fetch_add(&p->next, 1)) < p->n_chunk;)
		p->fn(p->ctx, i, thread);
}

static void *member_main(void *arg)
{
	struct member *m = arg;
	struct pool *p = m->pool;
	uint64_t seen = 0;
	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (p->round == seen && !p->quit)
			pthread_cond_wait(&p->wake, &p->lock);
		if (p->quit)
			break;
		seen = p->round;
		pthread_mutex_unlock(&p->lock);
		take_chunks(p, m->index);
		pthread_mutex_lock(&p->lock);
		if (!--p->n_busy)
			pthread_cond_signal(&p->finished);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct pool *pool_new(int n_thread)
{
	if (n_thread <= 0)
		n_thread = pool_core_count();
	struct pool *p = calloc(1, sizeof *p);
	if (!p || !(p->members = calloc((size_t)n_thread, sizeof *p->members))) {
		free(p);
		return NULL;
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	pthread_cond_init(&p->finished, NULL);
	p->n_thread = 1;
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
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (int i = 1; i < p->n_thread; i++)
		pthread_join(p->members[i].thread, NULL);
	pthread_cond_destroy(&p->finished);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p->members);
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
	p->n_chunk = n_chunk;
	atomic_store(&p->next, 0);
	p->n_busy = p->n_thread - 1;
	p->round++;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	take_chunks(p, 0);
	pthread_mutex_lock(&p->lock);
	while (p->n_busy)
		pthread_cond_wait(&p->finished, &p->lock);
	pthread_mutex_unlock(&p->lock);
}
