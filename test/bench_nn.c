/*
 * bench_nn OP: time of one operation of the learning side, through the code that train uses. bench_nn --help.
 *
 * Sizes and meaning of the operations are those of the scripts that time PyTorch; test/bench_nn.py runs both in turn.
 * Outside the timed part: reading molecules, pictures, starting values. Inside: all else that a step does.
 */
#include "bench_nn.h"

#include <inttypes.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const mode_names[] = {"fwd", "fwd+bwd", "fwd+bwd+adam", NULL};

#define AT(member) offsetof(struct conf, member)
static const struct opt options[] = {
    {"help", 'h', OPT_FLAG, NULL, "this text", AT(help)},
    {"size", 0, OPT_INT, "N", "molecules, pictures, rows or anchors (default 32)", AT(size), 0, NULL, 1, 1 << 20},
    {"mode", 0, OPT_CHOICE, "MODE", "fwd (inference), fwd+bwd (the default), fwd+bwd+adam", AT(mode), 0, mode_names},
    {"molecules", 0, OPT_STR, "FILE", "a stream with features hu and conformers", AT(molecules)},
    {"with-hydrogens", 0, OPT_FLAG, NULL, "conformers with hydrogens (field pos_h)", AT(with_hydrogens)},
    {"pixels", 0, OPT_INT, "N", "side of a picture (default 224; step-cpu 96)", AT(pixels), 0, NULL, 8, 4096},
    {"reps", 0, OPT_INT, "N", "repetitions that are timed (default 7)", AT(reps), 0, NULL, 1, 100000},
    {"warm", 0, OPT_INT, "N", "repetitions before them (default 3)", AT(warm), 0, NULL, 1, 100000},
    {"threads", 'j', OPT_INT, "N", "threads (default 1)", AT(n_thread), 0, NULL, 1, 64},
    {"wall", 0, OPT_FLAG, NULL, "wall time (default: CPU time of all threads)", AT(wall)},
    {"serve", 0, OPT_FLAG, NULL, "print \"ready\"; then each line read makes a repetition and answers its ms",
     AT(serve)},
    {0}};
static const struct opt *const tables[] = {options, NULL};

void bench_die(const char *what, const struct err *e)
{
	fprintf(stderr, "bench_nn: %s%s%s\n", what, e ? ": " : "", e ? e->msg : "");
	exit(1);
}

/* ---- counted products: floating-point operations, a convolution by its definition --------------------------- */

static const struct kernels *counted;
static double n_flop;

static void count_gemm(const struct kernels *k, bool ta, bool tb, int64_t m, int64_t n, int64_t kk, double alpha,
		       const real *a, int64_t lda, const real *b, int64_t ldb, double beta, real *c, int64_t ldc)
{
	n_flop += 2.0 * (double)m * (double)n * (double)kk;
	counted->gemm(k, ta, tb, m, n, kk, alpha, a, lda, b, ldb, beta, c, ldc);
}

static void count_dense(const struct kernels *k, const struct k_dense *l, real *pre, real *y, bool add)
{
	n_flop += l->x ? 2.0 * (double)l->n * (double)l->d * (double)l->d_x : 0;
	counted->dense(k, l, pre, y, add);
}

static void count_dense_back(const struct kernels *k, const struct k_dense *l, const real *pre, real *g, real *g_bias,
			     real *g_before, real *g_after, real *g_x, bool add)
{
	n_flop += g_x ? 2.0 * (double)l->n * (double)l->d * (double)l->d_x : 0;
	counted->dense_back(k, l, pre, g, g_bias, g_before, g_after, g_x, add);
}

static double conv_flop(const struct k_conv *c)
{
	return 2.0 * (double)(c->n * c->out_height * c->out_width) *
	       (double)(c->kernel * c->kernel * c->c_in * c->c_out);
}

static void count_conv(const struct kernels *k, const struct k_conv *c, const real *x, const real *weight, real *y)
{
	n_flop += conv_flop(c);
	counted->conv(k, c, x, weight, y);
}

static void count_conv_back(const struct kernels *k, const struct k_conv *c, const real *x, const real *weight,
			    const real *g_y, real *g_x, real *g_weight)
{
	n_flop += conv_flop(c) * ((g_x != NULL) + (g_weight != NULL));
	counted->conv_back(k, c, x, weight, g_y, g_x, g_weight);
}

static void count_info_nce(const struct kernels *k, const real *u, const real *v, int64_t n, int64_t d, double tau,
			   real *e, real *row, real *col, real *loss)
{
	n_flop += 2.0 * (double)n * (double)n * (double)d;
	counted->info_nce(k, u, v, n, d, tau, e, row, col, loss);
}

/* Of its two products one is counted as it calls. */
static void count_info_nce_back(const struct kernels *k, const real *u, const real *v, int64_t n, int64_t d, double tau,
				real *e, const real *row, const real *col, const real *g_loss, real *g_u, real *g_v)
{
	n_flop += g_u ? 2.0 * (double)n * (double)n * (double)d : 0;
	counted->info_nce_back(k, u, v, n, d, tau, e, row, col, g_loss, g_u, g_v);
}

/* Of one triangle. */
static void count_nearest(const struct kernels *k, const real *x, int64_t n, int64_t d, bool cosine, int64_t kk,
			  int64_t *idx, double *key, double *mean)
{
	n_flop += (double)n * (double)n * (double)d;
	counted->nearest(k, x, n, d, cosine, kk, idx, key, mean);
}

/* ---- repetitions ------------------------------------------------------------------------------------------ */

static real *seed_of(const struct nn_var *y)
{
	int64_t n = y->n * y->d;
	real *g = malloc((size_t)n * sizeof *g);
	struct rng r;
	rng_init(&r, 2, 0);
	for (int64_t i = 0; i < n; i++)
		g[i] = n == 1 ? 1 : (real)rng_normal(&r);
	return g;
}

static void repeat(struct bench *b)
{
	nn_tape_begin(b->tape, b->c.mode != FWD, 1, b->step);
	if (b->c.mode != FWD)
		nn_params_zero_grad(b->ps);
	struct nn_var *y = b->op->forward(b);
	if (y && b->c.mode != FWD) {
		if (!b->seed)
			b->seed = seed_of(y);
		nn_seed_grad(b->tape, y, b->seed);
		nn_backward_run(b->tape);
	}
	if (b->c.mode == FWD_BWD_ADAM && nn_optim_step(b->optim, 1e-3, NULL, &b->e))
		bench_die("optimiser", &b->e);
	if (b->model && b->c.mode != FWD)
		nn_model_after_step(b->model, b->tape);
	b->step++;
}

static double time_ms(struct bench *b, int many)
{
	const clockid_t clock = b->c.wall ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID;
	struct timespec from, to;
	clock_gettime(clock, &from);
	for (int i = 0; i < many; i++)
		repeat(b);
	clock_gettime(clock, &to);
	return ((double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) * 1e-6) / many;
}

/* Peak resident set in MiB; with reset, gives free memory back and begins a new peak (Linux). */
static double peak_mib(bool reset)
{
	char line[256];
	double mib = 0;
	if (reset) {
		malloc_trim(0);
		FILE *clear = fopen("/proc/self/clear_refs", "w");
		if (clear && fputs("5", clear) >= 0 && fclose(clear))
			bench_die("no peak of memory here", NULL);
	}
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, "VmHWM:", 6))
			mib = atof(line + 6) / 1024;
	if (f)
		fclose(f);
	return mib;
}

static double gradients_mib(const struct bench *b)
{
	double n = 0;
	for (int i = 0; i < nn_params_count(b->ps); i++)
		n += nn_params_at(b->ps, i)->grad ? (double)nn_params_at(b->ps, i)->n : 0;
	return n * sizeof(real) / (1 << 20);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void measure(struct bench *b)
{
	double base = peak_mib(true) - gradients_mib(b), last = 0; /* the peer has none before its first step */
	if (b->c.mode == FWD_BWD_ADAM)
		b->optim = nn_optim_new(b->ps, &(struct nn_optim_config){.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8});
	for (int i = 0; i < b->c.warm; i++)
		last = time_ms(b, 1);
	int many = last > 20 ? 1 : (int)(20 / (last > 0.01 ? last : 0.01)); /* short ones: as many as fill 20 ms */
	n_flop = 0;
	repeat(b);
	double flop = n_flop, peak = peak_mib(false);
	if (b->c.serve) {
		char line[64];
		printf("ready\n");
		fflush(stdout);
		while (fgets(line, sizeof line, stdin)) {
			printf("%.4f\n", time_ms(b, many));
			fflush(stdout);
		}
		return;
	}
	double *ms = malloc((size_t)b->c.reps * sizeof *ms);
	for (int i = 0; i < b->c.reps; i++)
		ms[i] = time_ms(b, many);
	qsort(ms, (size_t)b->c.reps, sizeof *ms, by_value);
	double mid = ms[b->c.reps / 2];
	const char *clock = b->c.wall ? "wall" : "cpu";
	int64_t n_pair = b->op->cutoff_ang > 0 ? nn_pairs_within(b->arena, &b->b.points, b->op->cutoff_ang).n : 0;
	printf("{\"op\": \"%s\", \"size\": %" PRId64 ", \"mode\": \"%s\", \"pixels\": %" PRId64 ", \"atoms\": %" PRId64
	       ", \"pairs\": %" PRId64
	       ", \"%s_ms\": %.4f, \"%s_ms_min\": %.4f, \"flop\": %.0f, \"peak_rss_mib\": %.1f, \"base_rss_mib\": "
	       "%.1f, \"blas\": \"%s\"}\n",
	       b->op->name, b->c.size, mode_names[b->c.mode], b->c.pixels, b->b.graph.n_atom, n_pair, clock, mid, clock,
	       ms[0], flop, peak, base, b->cpu.build);
	free(ms);
}

static int usage(FILE *out)
{
	fprintf(out, "usage: bench_nn OP [options]: time in ms of an operation as JSON, or --serve\n\n");
	opt_write_help(out, tables);
	fprintf(out, "\nOP:\n");
	for (const struct op *o = bench_ops; o->name; o++)
		fprintf(out, "  %-12s %s%s\n", o->name, o->what, o->molecules ? " (--molecules)" : "");
	fprintf(out, "\n  mol2graph --features hu FILE | conf3d --method dg --hydrogens -o mols.ts\n"
		     "  bench_nn gin --size 128 --molecules mols.ts\n");
	return out == stderr ? 2 : 0;
}

int main(int argc, char **argv)
{
	struct bench b = {.c = {.size = 32, .mode = FWD_BWD, .pixels = 224, .reps = 7, .warm = 3, .n_thread = 1}};
	const char **operand;
	int n_operand;
	kernels_begin(argv);
	b.arena = arena_new(1 << 20);
	b.step_arena = arena_new(1 << 20);
	if (opt_parse(tables, &b.c, argc, argv, b.arena, &n_operand, &operand, &b.e)) {
		fprintf(stderr, "bench_nn: %s\n", b.e.msg);
		return 2;
	}
	if (b.c.help)
		return usage(stdout);
	for (const struct op *o = bench_ops; o->name && n_operand == 1; o++)
		if (!strcmp(o->name, operand[0]))
			b.op = o;
	if (!b.op)
		return usage(stderr);
	b.c.mode = b.op->adam_only ? FWD_BWD_ADAM : b.op->forward_only ? FWD : b.c.mode;
	b.pool = b.c.n_thread > 1 ? pool_new((int)b.c.n_thread) : NULL;
	if (kernels_cpu(&b.cpu, b.pool, &b.e))
		bench_die("arithmetic", &b.e);
	counted = &b.cpu;
	b.k = b.cpu;
	b.k.gemm = count_gemm;
	b.k.dense = count_dense;
	b.k.dense_back = count_dense_back;
	b.k.conv = count_conv;
	b.k.conv_back = count_conv_back;
	b.k.nearest = count_nearest;
	b.k.info_nce = count_info_nce;
	b.k.info_nce_back = count_info_nce_back;
	b.ps = nn_params_new(&b.k);
	if (b.op->molecules)
		bench_read(&b);
	b.op->build(&b);
	b.tape = nn_tape_new(&b.k);
	measure(&b);
	return 0;
}
