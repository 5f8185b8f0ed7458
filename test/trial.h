/*
 * trial.h - the harness of kernel tests: every operation of a table against the reference, on odd sizes, with guard
 * values around each output, and the same bytes however the work is cut: with no pool, with two threads and with three.
 *
 * Tensors live in the memory of the table under test, which the host may be unable to read: an operation's test draws
 * numbers on the host (draw, indices) and puts them there (put), or asks for both in one (in, index_below).
 */
#ifndef MOLRILL_TRIAL_H
#define MOLRILL_TRIAL_H

#include "tap.h"
#include "twins.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GUARD = 16, MAX_OUT = 8, MAX_HELD = 128 };
static const real guard_value = (real)12345.5;

/* One run of one operation on one table: inputs drawn by seed, outputs kept for comparison. */
struct trial {
	const struct kernels *k;
	struct rng rng;
	int n_out, n_held, n_host;
	real *out[MAX_OUT]; /* on the host, once the run is over */
	real *at[MAX_OUT];  /* where they are written: memory of the table */
	int64_t n[MAX_OUT];
	void *held[MAX_HELD], *host[MAX_HELD]; /* memory of the table; of the host */
};
struct size {
	int64_t n, d, n_target;
};

/* Memory of the table under test, and of the host: both until the run is compared. A mutant changes the first entry of
 * an empty array too. */
__attribute__((unused)) static void *hold(struct trial *t, size_t nbytes)
{
	void *p = t->k->alloc(nbytes + sizeof(double));
	if (!p || t->n_held == MAX_HELD)
		abort();
	return t->held[t->n_held++] = p;
}

__attribute__((unused)) static void *hold_host(struct trial *t, size_t nbytes)
{
	void *p = malloc(nbytes + sizeof(double));
	if (!p || t->n_host == MAX_HELD)
		abort();
	return t->host[t->n_host++] = p;
}

/* A copy of host memory in that of the table. */
__attribute__((unused)) static void *put(struct trial *t, const void *host, size_t nbytes)
{
	void *p = hold(t, nbytes);
	t->k->upload(p, host, nbytes);
	return p;
}

__attribute__((unused)) static real *draw(struct trial *t, int64_t n)
{
	real *x = hold_host(t, (size_t)n * sizeof *x);
	for (int64_t i = 0; i < n; i++)
		x[i] = (real)rng_normal(&t->rng);
	return x;
}

__attribute__((unused)) static real *draw_positive(struct trial *t, int64_t n)
{
	real *x = hold_host(t, (size_t)n * sizeof *x);
	for (int64_t i = 0; i < n; i++)
		x[i] = (real)(0.2 + rng_uniform(&t->rng));
	return x;
}

__attribute__((unused)) static int64_t *indices(struct trial *t, int64_t n, int64_t limit)
{
	int64_t *x = hold_host(t, (size_t)n * sizeof *x);
	for (int64_t i = 0; i < n; i++)
		x[i] = rng_below(&t->rng, (uint32_t)limit);
	return x;
}

__attribute__((unused)) static real *in(struct trial *t, int64_t n)
{
	return put(t, draw(t, n), (size_t)n * sizeof(real));
}

__attribute__((unused)) static real *in_positive(struct trial *t, int64_t n)
{
	return put(t, draw_positive(t, n), (size_t)n * sizeof(real));
}

__attribute__((unused)) static int64_t *index_below(struct trial *t, int64_t n, int64_t limit)
{
	return put(t, indices(t, n, limit), (size_t)n * sizeof(int64_t));
}

/* An output that starts as x (host, NULL: random), guarded on both sides. */
__attribute__((unused)) static real *out_from(struct trial *t, const real *x, int64_t n)
{
	real *y = hold_host(t, (size_t)(n + 2 * GUARD) * sizeof *y);
	if (t->n_out == MAX_OUT)
		abort();
	for (int64_t i = 0; i < n + 2 * GUARD; i++)
		y[i] = i < GUARD || i >= n + GUARD ? guard_value : x ? x[i - GUARD] : (real)rng_normal(&t->rng);
	t->at[t->n_out] = put(t, y, (size_t)(n + 2 * GUARD) * sizeof *y);
	t->out[t->n_out] = y + GUARD;
	t->n[t->n_out] = n;
	return t->at[t->n_out++] + GUARD;
}

__attribute__((unused)) static real *out(struct trial *t, int64_t n)
{
	return out_from(t, NULL, n);
}

/* A number, or integers in memory of the table, become an output of reals. */
__attribute__((unused)) static void out_value(struct trial *t, double x)
{
	real y = (real)x;
	out_from(t, &y, 1);
}

__attribute__((unused)) static void out_ints(struct trial *t, const int64_t *x, int64_t n)
{
	int64_t *host = hold_host(t, (size_t)n * sizeof *host);
	real *y = hold_host(t, (size_t)n * sizeof *y);
	t->k->download(host, x, (size_t)n * sizeof *host);
	for (int64_t i = 0; i < n; i++)
		y[i] = (real)host[i];
	out_from(t, y, n);
}

/* Random items by target; about one target in three is empty. Items are rows below n_row. */
__attribute__((unused)) static struct k_csr csr(struct trial *t, int64_t n_target, int64_t n_item, int64_t n_row)
{
	int64_t *start = hold_host(t, (size_t)(n_target + 1) * sizeof *start);
	start[0] = 0;
	for (int64_t v = 0; v < n_target; v++) {
		int64_t left = n_item - start[v], take = rng_below(&t->rng, 3) ? rng_below(&t->rng, 5) : 0;
		start[v + 1] = start[v] + (v == n_target - 1 || take > left ? left : take);
	}
	return (struct k_csr){.n = n_target,
			      .n_item = n_item,
			      .start = put(t, start, (size_t)(n_target + 1) * sizeof *start),
			      .item = index_below(t, n_item, n_row)};
}

enum { N_SMALL = 4 }; /* small sizes, which come first */
typedef void op(const struct kernels *k, struct trial *t, struct size s);
struct named {
	const char *name;
	op *run;
};

static const struct size sizes[] = {{1, 1, 1},       {2, 3, 5},    {37, 17, 29},  {300, 5, 257},
				    {1001, 70, 300}, {5, 600, 31}, {513, 131, 7}, {64, 8, 1000}};

__attribute__((unused)) static void trial_run(struct trial *t, op *run, const struct kernels *k, struct size s)
{
	memset(t, 0, sizeof *t);
	t->k = k;
	rng_init(&t->rng, 11, (uint64_t)(s.n * 1000 + s.d));
	run(k, t, s);
	for (int o = 0; o < t->n_out; o++)
		k->download(t->out[o] - GUARD, t->at[o], (size_t)(t->n[o] + 2 * GUARD) * sizeof(real));
}

static void trial_free(struct trial *t)
{
	for (int i = 0; i < t->n_held; i++)
		t->k->release(t->held[i]);
	for (int i = 0; i < t->n_host; i++)
		free(t->host[i]);
}

/* The larger of two errors; NaN counts as infinite. */
__attribute__((unused)) static double worse(double a, double b)
{
	return isnan(a) || isnan(b) ? INFINITY : a > b ? a : b;
}

/* Largest error over the outputs of a run, each relative to its largest entry; infinite where a guard fell. */
__attribute__((unused)) static double trial_error(const struct trial *got, const struct trial *want)
{
	double worst = 0;
	for (int o = 0; o < want->n_out; o++) {
		double top = 1, diff = 0;
		const real *a = got->out[o], *b = want->out[o];
		for (int64_t i = 0; i < want->n[o]; i++) {
			diff = worse(diff, fabs((double)a[i] - (double)b[i]));
			top = fmax(top, fabs((double)b[i]));
		}
		for (int64_t i = 1; i <= GUARD; i++)
			if (a[-i] != guard_value || a[want->n[o] + i - 1] != guard_value)
				return INFINITY;
		worst = worse(worst, diff / top);
	}
	return worst;
}

__attribute__((unused)) static bool trial_same(const struct trial *a, const struct trial *b)
{
	for (int o = 0; o < a->n_out; o++)
		if (memcmp(a->out[o], b->out[o], (size_t)a->n[o] * sizeof(real)))
			return false;
	return true;
}

struct tables {
	struct kernels tested, ref, pools[2]; /* pools: the CPU's with two threads and with three */
	struct pool *pool[2];
	bool on_cpu, twins;
	/* Of an emulated device: order of its threads; its barriers, any of which can be left out. */
	void (*set_order)(int);
	int (*n_site)(void);
	const char *(*site_name)(int);
	void (*skip)(int);
};

/* Another way to cut the same work: more threads, or the device's threads in another order. */
static void trial_variant(struct trial *t, const struct tables *all, op *run, const struct kernels *k, int v,
			  struct size s)
{
	if (all->set_order)
		all->set_order(v + 1);
	trial_run(t, run, all->on_cpu ? &all->pools[v] : k, s);
	if (all->set_order)
		all->set_order(0);
}

/* Of the first n_size sizes. same: whether all variants gave the same bytes; NULL: they are not run. */
static double worst_error_of(size_t n_size, const struct tables *all, op *run, const struct kernels *k, bool *same)
{
	double worst = 0;
	for (size_t i = 0; i < n_size; i++) {
		struct trial want, got, other;
		trial_run(&want, run, &all->ref, sizes[i]);
		trial_run(&got, run, k, sizes[i]);
		worst = worse(worst, trial_error(&got, &want));
		for (int v = 0; v < 2 && same; v++) {
			trial_variant(&other, all, run, k, v, sizes[i]);
			*same &= trial_same(&got, &other);
			trial_free(&other);
		}
		trial_free(&want);
		trial_free(&got);
	}
	return worst;
}

__attribute__((unused)) static double worst_error(const struct tables *all, op *run, const struct kernels *k,
						  bool *same)
{
	return worst_error_of(sizeof sizes / sizeof *sizes, all, run, k, same);
}

/* ---- operations that a device does not offer ---------------------------------------------- */

static jmp_buf no_operation;

__attribute__((noreturn)) static void missing(void)
{
	longjmp(no_operation, 1);
}

/* Members of the table that are NULL jump back to where an operation was tried. */
static void trap_missing(struct kernels *k)
{
	void (*trap)(void) = missing;
	for (size_t at = offsetof(struct kernels, affine); at < sizeof *k; at += sizeof trap) {
		void *member = (char *)k + at, *held;
		memcpy(&held, member, sizeof held);
		if (!held)
			memcpy(member, &trap, sizeof trap);
	}
}

/* ---- which table is tested -------------------------------------------------------------------- */

static void find_symbol(void *plugin, const char *name, void *function)
{
	void *f = plugin ? dlsym(plugin, name) : NULL;
	memcpy(function, &f, sizeof f);
}

/* PROGRAM [cuda|mutants]: the CPU's table, or a device's; mutants of the CPU's. */
__attribute__((unused)) static bool tables_open(struct tables *t, int argc, char **argv)
{
	struct err e = {0};
	Dl_info where;
	memset(t, 0, sizeof *t);
	t->twins = argc > 1 && !strcmp(argv[1], "mutants");
	t->on_cpu = argc < 2 || t->twins;
	t->pool[0] = pool_new(2);
	t->pool[1] = pool_new(3);
	kernels_ref(&t->ref);
	int rc = kernels_open(&t->tested, t->on_cpu ? KERNELS_CPU : KERNELS_CUDA, NULL, &e);
	for (int i = 0; i < 2 && !rc; i++)
		rc = kernels_cpu(&t->pools[i], t->pool[i], &e);
	if (rc) {
		printf("Bail out! %s\n", e.msg);
		return false;
	}
	void *alloc;
	memcpy(&alloc, &t->tested.alloc, sizeof alloc);
	if (!t->on_cpu && dladdr(alloc, &where)) {
		void *plugin = dlopen(where.dli_fname, RTLD_NOW | RTLD_NOLOAD);
		find_symbol(plugin, "emulation_set_order", &t->set_order);
		find_symbol(plugin, "emulation_n_site", &t->n_site);
		find_symbol(plugin, "emulation_site_name", &t->site_name);
		find_symbol(plugin, "emulation_skip", &t->skip);
	}
	trap_missing(&t->tested);
	return true;
}

__attribute__((unused)) static void tables_close(struct tables *t)
{
	kernels_close(&t->tested);
	for (int i = 0; i < 2; i++) {
		kernels_close(&t->pools[i]);
		pool_free(t->pool[i]);
	}
}

static void test_op(const struct tables *t, const struct named *tried, const char *ways)
{
	bool same = true;
	if (setjmp(no_operation)) {
		printf("# %s: not offered by the device %s\n", tried->name, t->tested.name);
		return;
	}
	double err = worst_error(t, tried->run, &t->tested, &same);
	tap_ok(err <= 1e-5, "%s: as the reference (%.1e)", tried->name, err);
	tap_ok(same, "%s: the same bytes %s", tried->name, ways);
}

__attribute__((unused)) static void test_ops(const struct tables *t, const struct named *ops, size_t n)
{
	const char *ways = t->on_cpu      ? "for 1, 2 and 3 threads"
			   : t->set_order ? "in three orders of the device's threads"
					  : "in three runs";
	for (size_t i = 0; i < n; i++)
		test_op(t, &ops[i], ways);
	struct err e = {0};
	tap_ok(!kernels_check(&t->tested, &e), "the device has no fault %s", e.msg);
}

/* Whether an operation's run by way of a mutant goes wrong, within its bounds; *called: whether it calls that one. */
static bool mutant_is_seen(const struct tables *t, const struct twin *m, const struct named *tried,
			   const struct trial *want, bool *called)
{
	struct kernels k = t->tested;
	bool seen = false;
	twin_put(&k, m);
	twin_called = false;
	for (size_t i = 0; i < N_SMALL && !seen && (!i || twin_called); i++) {
		struct trial got;
		trial_run(&got, tried->run, &k, sizes[i]);
		double err = trial_error(&got, &want[i]);
		seen = err > 1e-5 && err < INFINITY;
		trial_free(&got);
	}
	*called |= twin_called;
	return seen;
}

/* Each operation that is tried here, a thousandth off in the first entry of one of its outputs: a trial goes wrong. */
__attribute__((unused)) static int test_twin_mutants(const struct tables *t, const struct named *ops, size_t n)
{
	bool *seen = calloc((size_t)twin_n_mutant, sizeof *seen),
	     *called = calloc((size_t)twin_n_mutant, sizeof *called);
	if (!seen || !called)
		abort();
	twin_right = &t->tested;
	for (size_t i = 0; i < n; i++) {
		struct trial want[N_SMALL];
		for (size_t j = 0; j < N_SMALL; j++)
			trial_run(&want[j], ops[i].run, &t->ref, sizes[j]);
		for (int m = 0; m < twin_n_mutant; m++)
			seen[m] = seen[m] || mutant_is_seen(t, &twin_mutants[m], &ops[i], want, &called[m]);
		for (size_t j = 0; j < N_SMALL; j++)
			trial_free(&want[j]);
	}
	for (int m = 0; m < twin_n_mutant; m++)
		if (called[m])
			tap_ok(seen[m], "mutant: %s with %s off by a thousandth is caught", twin_mutants[m].op,
			       twin_mutants[m].output);
	free(seen);
	free(called);
	return tap_done();
}

/* One operation in a process of its own, with one barrier left out: what it makes of that. */
static bool notices(const struct tables *t, const struct named *tried, int site)
{
	int status;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		bool same = true;
		if (!freopen("/dev/null", "w", stderr) || setjmp(no_operation))
			_exit(0);
		t->skip(site);
		_exit(worst_error_of(N_SMALL, t, tried->run, &t->tested, &same) <= 1e-5 && same ? 0 : 1);
	}
	return child > 0 && waitpid(child, &status, 0) == child && (!WIFEXITED(status) || WEXITSTATUS(status));
}

/* Every barrier of an emulated device that these operations meet: without it, one of them goes wrong. */
__attribute__((unused)) static void test_barriers(const struct tables *t, const struct named *ops, size_t n)
{
	for (int site = 0; t->skip && site < t->n_site(); site++) {
		size_t i = 0;
		while (i < n && !notices(t, &ops[i], site))
			i++;
		tap_ok(i < n, "mutant: without the barrier at %s, %s goes wrong", t->site_name(site),
		       i < n ? ops[i].name : "nothing");
	}
}

#endif
