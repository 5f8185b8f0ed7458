/*
 * bench_nn OP: CPU time of one operation of the learning side, through the code that train uses. bench_nn --help.
 *
 * Sizes and meaning of the operations are those of the scripts that time PyTorch; test/bench_nn.py runs both in turn.
 * Outside the timed part: reading molecules, pictures, starting values. Inside: all else that a step does.
 */
#include "nn_batch.h"
#include "nn_layer.h"
#include "nn_neighbours.h"
#include "nn_optim.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum mode { FWD, FWD_BWD, FWD_BWD_ADAM };
static const char *const mode_names[] = {"fwd", "fwd+bwd", "fwd+bwd+adam", NULL};

struct conf {
	bool help, serve;
	int mode;
	int64_t size, pixels, reps, warm, n_thread;
	const char *molecules;
};
#define AT(member) offsetof(struct conf, member)
static const struct opt options[] = {
    {"help", 'h', OPT_FLAG, NULL, "this text", AT(help)},
    {"size", 0, OPT_INT, "N", "molecules, pictures, rows or anchors (default 32)", AT(size), 0, NULL, 1, 1 << 20},
    {"mode", 0, OPT_CHOICE, "MODE", "fwd (inference), fwd+bwd (the default), fwd+bwd+adam", AT(mode), 0, mode_names},
    {"molecules", 0, OPT_STR, "FILE", "a stream with features hu and conformers", AT(molecules)},
    {"pixels", 0, OPT_INT, "N", "side of a picture (default 224; step-cpu 96)", AT(pixels), 0, NULL, 8, 4096},
    {"reps", 0, OPT_INT, "N", "repetitions that are timed (default 7)", AT(reps), 0, NULL, 1, 100000},
    {"warm", 0, OPT_INT, "N", "repetitions before them (default 3)", AT(warm), 0, NULL, 1, 100000},
    {"threads", 'j', OPT_INT, "N", "threads (default 1); times are those of all", AT(n_thread), 0, NULL, 1, 64},
    {"serve", 0, OPT_FLAG, NULL, "print \"ready\"; then each line read makes a repetition and answers its ms",
     AT(serve)},
    {0}};
static const struct opt *const tables[] = {options, NULL};

struct bench {
	struct conf c;
	const struct op *op;
	struct kernels cpu, k; /* k: cpu, with its products counted */
	struct pool *pool;
	struct arena *arena, *step_arena;
	struct nn_params *ps;
	struct nn_model *model; /* of whole steps; ps is then its own */
	struct nn_optim *optim;
	struct nn_tape *tape;
	struct nn_batch b;
	real *img, *seed; /* pictures; the gradient of the output */
	int64_t *idx;
	double *dist;
	uint64_t step;
	struct err e;
};
struct op {
	const char *name, *what;
	bool molecules, forward_only, adam_only;
	void (*build)(struct bench *b);
	struct nn_var *(*forward)(struct bench *b); /* NULL: nothing to differentiate */
};

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "bench_nn: %s%s%s\n", what, e ? ": " : "", e ? e->msg : "");
	exit(1);
}

/* ---- counted products: floating-point operations, a convolution by its definition ---------------------------------
 */

static const struct kernels *counted;
static double n_flop;

static void count_gemm(const struct kernels *k, bool ta, bool tb, int64_t m, int64_t n, int64_t kk, double alpha,
		       const real *a, int64_t lda, const real *b, int64_t ldb, double beta, real *c, int64_t ldc)
{
	n_flop += 2.0 * (double)m * (double)n * (double)kk;
	counted->gemm(k, ta, tb, m, n, kk, alpha, a, lda, b, ldb, beta, c, ldc);
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

/* ---- inputs -------------------------------------------------------------------------------------------------------
 */

/* A parameter of normal numbers: a matrix that a model would have made. */
static struct nn_param *leaf(struct bench *b, const char *name, int64_t n, int64_t d)
{
	struct nn_param *p = nn_params_add(b->ps, name, false, 2, (int64_t[]){n, d});
	nn_init_normal(b->ps, p, 1, 0, 1);
	return p;
}

static struct nn_var *use(struct bench *b, const char *name)
{
	return nn_use(b->tape, nn_params_find(b->ps, name));
}

/* The first records of the stream that have a conformer. */
static void molecules_read(struct bench *b)
{
	struct ts_reader *r = NULL;
	struct ts_map *rec = arena_alloc(b->arena, (size_t)b->c.size * sizeof *rec);
	const struct ts_map **at = arena_alloc(b->arena, (size_t)b->c.size * sizeof *at);
	struct nn_reading reading = {.views = 1u << NN_2D | 1u << NN_3D, .hu = true, .img_size_px = 1};
	struct nn_picture_choice choice = {.fixed = 0};
	int64_t n = 0;
	int fd = b->c.molecules ? open(b->c.molecules, O_RDONLY) : -1, item = 1;
	if (fd < 0)
		die("this operation needs --molecules FILE", NULL);
	if (ts_reader_new(&r, fd, b->c.molecules, NULL, 0, &b->e))
		die("molecules", &b->e);
	while (n < b->c.size && (item = ts_reader_next(r, b->arena, &rec[n], &b->e)) > 0)
		if (item == TS_RECORD && ts_get(&rec[n], "pos")) {
			at[n] = &rec[n];
			n++;
		}
	if (n < b->c.size)
		die(item < 0 ? "molecules" : "too few molecules with a conformer", item < 0 ? &b->e : NULL);
	if (nn_batch_collate(&reading, at, n, &choice, b->arena, &b->b, &b->e))
		die("molecules", &b->e);
	ts_reader_free(r);
	close(fd);
}

static struct nn_gnn_config gnn(const struct bench *b, double dropout)
{
	static const char *const names[] = {"gin", "gcn", "sage", "gat"};
	struct nn_gnn_config c = {.kind = NN_GIN, .n_layer = 5, .width = 300, .hu = true, .dropout = dropout};
	for (int i = 0; i < 4; i++)
		if (!strcmp(b->op->name, names[i]))
			c.kind = (enum nn_gnn_kind)i;
	return c;
}

static void gnn_build(struct bench *b)
{
	struct nn_gnn_config c = gnn(b, 0);
	nn_gnn_build(b->ps, "", &c, 1);
}

static struct nn_var *gnn_forward(struct bench *b)
{
	struct nn_gnn_config c = gnn(b, 0);
	return nn_segment_mean(b->tape, nn_gnn(b->tape, b->ps, "", &c, &b->b.graph, NULL), b->b.graph.mol, b->b.n_mol);
}

static struct nn_geom_config geom(const struct bench *b)
{
	return strcmp(b->op->name, "schnet")
		   ? (struct nn_geom_config){.n_block = 4, .width = 256, .middle = 64, .cutoff_ang = 8}
		   : (struct nn_geom_config){.schnet = true,
					     .bare = true, /* as the peer's script has it */
					     .n_block = 6,
					     .width = 300,
					     .cutoff_ang = 10,
					     .n_gaussian = 50,
					     .n_filter = 128};
}

static void geom_build(struct bench *b)
{
	struct nn_geom_config c = geom(b);
	nn_geom_build(b->ps, "", &c, 1);
}

static struct nn_var *geom_forward(struct bench *b)
{
	struct nn_geom_config c = geom(b);
	return nn_geom(b->tape, b->ps, "", &c, &b->b.points);
}

static struct nn_cnn_config cnn(const struct bench *b)
{
	bool big = !strcmp(b->op->name, "resnet18");
	int n = big ? 2 : 1;
	return (struct nn_cnn_config){.n_block = {n, n, n, n}, .width = big ? 64 : 16, .size_px = (int)b->c.pixels};
}

static void cnn_build(struct bench *b)
{
	struct nn_cnn_config c = cnn(b);
	int64_t n = b->c.size * b->c.pixels * b->c.pixels * 3;
	struct rng r;
	rng_init(&r, 1, 0);
	b->img = malloc((size_t)n * sizeof *b->img);
	for (int64_t i = 0; i < n; i++)
		b->img[i] = (real)rng_uniform(&r);
	nn_cnn_build(b->ps, "", &c, 1);
}

static struct nn_var *cnn_forward(struct bench *b)
{
	struct nn_cnn_config c = cnn(b);
	int64_t px = b->c.pixels;
	return nn_cnn(b->tape, b->ps, "", &c, nn_input(b->tape, b->img, b->c.size * px * px, 3), b->c.size, px, px);
}

static void infonce_build(struct bench *b)
{
	leaf(b, "u", b->c.size, 256);
	leaf(b, "v", b->c.size, 256);
}

static struct nn_var *infonce_forward(struct bench *b)
{
	return nn_contrast_pair(b->tape, NN_INFONCE, use(b, "u"), use(b, "v"), 0.1);
}

static void bank_build(struct bench *b)
{
	leaf(b, "g", 256, 256);
	leaf(b, "anchors", b->c.size, 256);
}

static struct nn_var *bank_forward(struct bench *b)
{
	struct nn_memory_config c = {.tau = 0.1};
	struct nn_var *assign, *r;
	nn_memory_read(b->tape, use(b, "g"), use(b, "anchors"), &c, &assign, &r);
	return r;
}

enum { NEAR = 9 }; /* itself and 8 others */
static void topk_build(struct bench *b)
{
	leaf(b, "x", b->c.size, 256);
	b->idx = malloc((size_t)(b->c.size * NEAR) * sizeof *b->idx);
	b->dist = malloc((size_t)(b->c.size * NEAR) * sizeof *b->dist);
}

static struct nn_var *topk_forward(struct bench *b)
{
	const real *x = nn_params_find(b->ps, "x")->value;
	nn_neighbours(&b->k, x, b->c.size, 256, NN_L2, NEAR, b->idx, b->dist, NULL);
	return NULL;
}

static void sgemm_build(struct bench *b)
{
	leaf(b, "a", 1024, 1024);
	leaf(b, "b", 1024, 1024);
}

static struct nn_var *sgemm_forward(struct bench *b)
{
	return nn_matmul(b->tape, use(b, "a"), false, use(b, "b"), false);
}

/* ---- whole steps --------------------------------------------------------------------------------------------------
 */

/* The network that the peer's script has: no masking, heads as wide as codes, anchors all there. */
static void whole_build(struct bench *b)
{
	struct nn_config c;
	bool tune = !strcmp(b->op->name, "gin-tune");
	nn_config_preset(&c, strcmp(b->op->name, "step-cpu") ? NN_PRESET_PAPER : NN_PRESET_CPU);
	c.features = "hu";
	c.head_width = c.code_width;
	c.anchor_init = 1;
	c.w_mask = c.mask = 0;
	c.w_swap = 0.5;
	if (tune) {
		c.views = "2d";
		c.dropout = 0.5;
	}
	unsigned parts = NN_PART_ENCODERS | (tune ? 0 : NN_PART_CODES | NN_PART_STRUCTURE);
	if (nn_model_new(&b->model, &b->k, &c, parts, 1, &b->e))
		die("model", &b->e);
	if (tune && nn_model_add_head(b->model, 1, (const char *const[]){"label"}, false, 1, &b->e))
		die("model", &b->e);
	nn_params_free(b->ps);
	b->ps = b->model->ps;
	if (tune)
		return;
	int64_t n_byte = b->c.size * c.img_size_px * c.img_size_px * 3,
		*molimg = malloc((size_t)b->c.size * sizeof *molimg);
	uint8_t *img = malloc((size_t)n_byte);
	struct rng r;
	rng_init(&r, 1, 0);
	for (int64_t i = 0; i < n_byte; i++)
		img[i] = (uint8_t)rng_below(&r, 256);
	for (int64_t i = 0; i < b->c.size; i++) {
		molimg[i] = i;
		b->b.has[i * NN_N_VIEW + NN_IMG] = 1;
	}
	b->b.img = img;
	b->b.img_size_px = c.img_size_px;
	b->b.molimg = molimg;
	b->b.n_img = b->c.size;
}

static struct nn_var *whole_forward(struct bench *b)
{
	struct nn_draws d;
	struct nn_losses l;
	struct nn_var *loss;
	arena_reset(b->step_arena);
	nn_model_draw(b->model, &b->b, 1, b->step, b->step_arena, &d);
	if (nn_model_pretrain(b->model, b->tape, &b->b, &d, &loss, &l, &b->e))
		die("step", &b->e);
	return loss;
}

static struct nn_var *tune_forward(struct bench *b)
{
	struct nn_var *logits;
	float y[1 << 12];
	for (int64_t i = 0; i < b->c.size && i < 1 << 12; i++)
		y[i] = (float)(i % 2);
	if (nn_model_logits(b->model, b->tape, &b->b, &logits, &b->e))
		die("step", &b->e);
	return nn_model_task_loss(b->model, b->tape, logits, y, NULL);
}

static const struct op ops[] = {
    {"gin", "GIN of 5 layers of 300, mean pooling", .molecules = true, .build = gnn_build, .forward = gnn_forward},
    {"gcn", "the same with GCN layers", .molecules = true, .build = gnn_build, .forward = gnn_forward},
    {"sage", "the same with GraphSAGE layers", .molecules = true, .build = gnn_build, .forward = gnn_forward},
    {"gat", "the same with GAT layers of 2 heads", .molecules = true, .build = gnn_build, .forward = gnn_forward},
    {"gin-tune", "fine-tuning of GIN: dropout 0.5, a head, its loss", .molecules = true, .build = whole_build,
     .forward = tune_forward},
    {"schnet", "6 interactions, 300 wide, 128 filters, cutoff 10 A, the mean over atoms", .molecules = true,
     .build = geom_build, .forward = geom_forward},
    {"comenet", "4 blocks, 256 wide, cutoff 8 A, features inside", .molecules = true, .build = geom_build,
     .forward = geom_forward},
    {"resnet18", "64 to 512 channels", .build = cnn_build, .forward = cnn_forward},
    {"resnet10", "16 to 128 channels", .build = cnn_build, .forward = cnn_forward},
    {"infonce", "symmetric, rows of 256", .build = infonce_build, .forward = infonce_forward},
    {"bank", "256 queries of 256, both gradients; --size is the number of anchors", .build = bank_build,
     .forward = bank_forward},
    {"topk", "8 nearest other rows of 256", .forward_only = true, .build = topk_build, .forward = topk_forward},
    {"sgemm", "1024 x 1024 x 1024", .forward_only = true, .build = sgemm_build, .forward = sgemm_forward},
    {"step-cpu", "whole step of the preset cpu, three views", .molecules = true, .adam_only = true,
     .build = whole_build, .forward = whole_forward},
    {"step-paper", "whole step of the preset paper", .molecules = true, .adam_only = true, .build = whole_build,
     .forward = whole_forward},
    {0}};

/* ---- repetitions --------------------------------------------------------------------------------------------------
 */

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
		die("optimiser", &b->e);
	if (b->model && b->c.mode != FWD)
		nn_model_after_step(b->model, b->tape);
	b->step++;
}

static double cpu_ms(struct bench *b, int many)
{
	struct timespec from, to;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (int i = 0; i < many; i++)
		repeat(b);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
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
			die("no peak of memory here", NULL);
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
		last = cpu_ms(b, 1);
	int many = last > 20 ? 1 : (int)(20 / (last > 0.01 ? last : 0.01)); /* short ones: as many as fill 20 ms */
	n_flop = 0;
	repeat(b);
	double flop = n_flop, peak = peak_mib(false);
	if (b->c.serve) {
		char line[64];
		printf("ready\n");
		fflush(stdout);
		while (fgets(line, sizeof line, stdin)) {
			printf("%.4f\n", cpu_ms(b, many));
			fflush(stdout);
		}
		return;
	}
	double *ms = malloc((size_t)b->c.reps * sizeof *ms);
	for (int i = 0; i < b->c.reps; i++)
		ms[i] = cpu_ms(b, many);
	qsort(ms, (size_t)b->c.reps, sizeof *ms, by_value);
	double mid = ms[b->c.reps / 2];
	printf("{\"op\": \"%s\", \"size\": %" PRId64 ", \"mode\": \"%s\", \"pixels\": %" PRId64 ", \"cpu_ms\": %.4f, "
	       "\"cpu_ms_min\": %.4f, \"flop\": %.0f, \"peak_rss_mib\": %.1f, \"base_rss_mib\": %.1f, \"blas\": "
	       "\"%s\"}\n",
	       b->op->name, b->c.size, mode_names[b->c.mode], b->c.pixels, mid, ms[0], flop, peak, base, b->cpu.build);
	free(ms);
}

static int usage(FILE *out)
{
	fprintf(out, "usage: bench_nn OP [options]: CPU time in ms of an operation as JSON, or --serve\n\n");
	opt_write_help(out, tables);
	fprintf(out, "\nOP:\n");
	for (const struct op *o = ops; o->name; o++)
		fprintf(out, "  %-11s %s%s\n", o->name, o->what, o->molecules ? " (--molecules)" : "");
	fprintf(out, "\n  mol2graph --features hu FILE | conf3d --method dg -o mols.ts\n"
		     "  bench_nn gin --size 128 --molecules mols.ts\n");
	return out == stderr ? 2 : 0;
}

int main(int argc, char **argv)
{
	struct bench b = {.c = {.size = 32, .mode = FWD_BWD, .pixels = 224, .reps = 7, .warm = 3, .n_thread = 1}};
	const char **operand;
	int n_operand;
	b.arena = arena_new(1 << 20);
	b.step_arena = arena_new(1 << 20);
	if (opt_parse(tables, &b.c, argc, argv, b.arena, &n_operand, &operand, &b.e)) {
		fprintf(stderr, "bench_nn: %s\n", b.e.msg);
		return 2;
	}
	if (b.c.help)
		return usage(stdout);
	for (const struct op *o = ops; o->name && n_operand == 1; o++)
		if (!strcmp(o->name, operand[0]))
			b.op = o;
	if (!b.op)
		return usage(stderr);
	b.c.mode = b.op->adam_only ? FWD_BWD_ADAM : b.op->forward_only ? FWD : b.c.mode;
	b.pool = b.c.n_thread > 1 ? pool_new((int)b.c.n_thread) : NULL;
	if (kernels_cpu(&b.cpu, b.pool, &b.e))
		die("arithmetic", &b.e);
	counted = &b.cpu;
	b.k = b.cpu;
	b.k.gemm = count_gemm;
	b.k.conv = count_conv;
	b.k.conv_back = count_conv_back;
	b.k.nearest = count_nearest;
	b.k.info_nce = count_info_nce;
	b.k.info_nce_back = count_info_nce_back;
	b.ps = nn_params_new(&b.k);
	if (b.op->molecules)
		molecules_read(&b);
	b.op->build(&b);
	b.tape = nn_tape_new(&b.k);
	measure(&b);
	return 0;
}
