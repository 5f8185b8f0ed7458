/* bench_nn_ops.c - the operations that bench_nn times, of the sizes and meaning that the scripts timing PyTorch have.
 */
#include "bench_nn.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- inputs ---------------------------------------------------------------------------------------------- */

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

static struct nn_geom_config geom(const struct bench *b)
{
	return strcmp(b->op->name, "schnet")
		   ? (struct nn_geom_config){.n_block = 4, .width = 256, .middle = 64, .cutoff_ang = b->op->cutoff_ang}
		   : (struct nn_geom_config){.schnet = true,
					     .bare = true, /* as the peer's script has it */
					     .n_block = 6,
					     .width = 300,
					     .cutoff_ang = b->op->cutoff_ang,
					     .n_gaussian = 50,
					     .n_filter = 128};
}

void bench_read(struct bench *b)
{
	struct ts_reader *r = NULL;
	struct ts_map *rec = arena_alloc(b->arena, (size_t)b->c.size * sizeof *rec);
	const struct ts_map **at = arena_alloc(b->arena, (size_t)b->c.size * sizeof *at);
	struct nn_reading reading = {
	    .views = 1u << NN_2D | 1u << NN_3D, .hu = true, .with_hydrogens = b->c.with_hydrogens, .img_size_px = 1};
	struct nn_picture_choice choice = {.fixed = 0};
	int64_t n = 0;
	if (!strcmp(b->op->name, "comenet-kept"))
		reading.geom = geom(b);
	int fd = b->c.molecules ? open(b->c.molecules, O_RDONLY) : -1, item = 1;
	if (fd < 0)
		bench_die("this operation needs --molecules FILE", NULL);
	if (ts_reader_new(&r, fd, b->c.molecules, NULL, 0, &b->e))
		bench_die("molecules", &b->e);
	while (n < b->c.size && (item = ts_reader_next(r, b->arena, &rec[n], &b->e)) > 0)
		if (item == TS_RECORD && ts_get(&rec[n], "pos")) {
			at[n] = &rec[n];
			n++;
		}
	if (n < b->c.size)
		bench_die(item < 0 ? "molecules" : "too few molecules with a conformer", item < 0 ? &b->e : NULL);
	if (nn_batch_collate(&reading, at, n, &choice, b->arena, &b->b, &b->e))
		bench_die("molecules", &b->e);
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

static void none_build(struct bench *b)
{
	(void)b;
}

static struct nn_var *features_forward(struct bench *b)
{
	arena_reset(b->step_arena);
	nn_comenet_features_of(b->step_arena, &b->b.points, b->op->cutoff_ang, false);
	return NULL;
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

/* What threads that work together wait for: a word that one core wrote and the other reads. */
enum { N_TOSS = 1000 };

static void toss_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	_Atomic int64_t *turn = ctx;
	for (int64_t i = 0; i < N_TOSS; i++) {
		while (*turn != 2 * i + chunk)
			;
		*turn = 2 * i + chunk + 1;
	}
}

static void toss_build(struct bench *b)
{
	if (pool_size(b->pool) < 2)
		bench_die("toss takes two threads", NULL);
}

static struct nn_var *toss_forward(struct bench *b)
{
	static _Alignas(128) _Atomic int64_t turn;
	turn = 0;
	pool_run(b->pool, 2, toss_chunk, &turn);
	return NULL;
}

/* ---- whole steps ----------------------------------------------------------------------------------------- */

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
	c.cutoff_ang = tune ? c.cutoff_ang : b->op->cutoff_ang;
	if (tune) {
		c.views = "2d";
		c.dropout = 0.5;
	}
	unsigned parts = NN_PART_ENCODERS | (tune ? 0 : NN_PART_CODES | NN_PART_STRUCTURE);
	if (nn_model_new(&b->model, &b->k, &c, parts, 1, &b->e))
		bench_die("model", &b->e);
	if (tune && nn_model_add_head(b->model, 1, (const char *const[]){"label"}, false, 1, &b->e))
		bench_die("model", &b->e);
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
		bench_die("step", &b->e);
	return loss;
}

static struct nn_var *tune_forward(struct bench *b)
{
	struct nn_var *logits;
	float y[1 << 12];
	for (int64_t i = 0; i < b->c.size && i < 1 << 12; i++)
		y[i] = (float)(i % 2);
	if (nn_model_logits(b->model, b->tape, &b->b, &logits, &b->e))
		bench_die("step", &b->e);
	return nn_model_task_loss(b->model, b->tape, logits, y, NULL);
}

const struct op bench_ops[] = {
    {"gin", "GIN of 5 layers of 300, mean pooling", .molecules = true, .build = gnn_build, .forward = gnn_forward},
    {"gcn", "the same with GCN layers", .molecules = true, .build = gnn_build, .forward = gnn_forward},
    {"sage", "the same with GraphSAGE layers", .molecules = true, .build = gnn_build, .forward = gnn_forward},
    {"gat", "the same with GAT layers of 2 heads", .molecules = true, .build = gnn_build, .forward = gnn_forward},
    {"gin-tune", "fine-tuning of GIN: dropout 0.5, a head, its loss", .molecules = true, .build = whole_build,
     .forward = tune_forward},
    {"schnet", "6 interactions, 300 wide, 128 filters, cutoff 10 A, the mean over atoms", .molecules = true,
     .cutoff_ang = 10, .build = geom_build, .forward = geom_forward},
    {"comenet", "4 blocks, 256 wide, cutoff 8 A, features inside", .molecules = true, .cutoff_ang = 8,
     .build = geom_build, .forward = geom_forward},
    {"comenet-kept", "the same, features made with the batch", .molecules = true, .cutoff_ang = 8, .build = geom_build,
     .forward = geom_forward},
    {"comenetfeat", "its features alone", .molecules = true, .forward_only = true, .cutoff_ang = 8, .build = none_build,
     .forward = features_forward},
    {"resnet18", "64 to 512 channels", .build = cnn_build, .forward = cnn_forward},
    {"resnet10", "16 to 128 channels", .build = cnn_build, .forward = cnn_forward},
    {"infonce", "symmetric, rows of 256", .build = infonce_build, .forward = infonce_forward},
    {"bank", "256 queries of 256, both gradients; --size is the number of anchors", .build = bank_build,
     .forward = bank_forward},
    {"topk", "8 nearest other rows of 256", .forward_only = true, .build = topk_build, .forward = topk_forward},
    {"sgemm", "1024 x 1024 x 1024", .forward_only = true, .build = sgemm_build, .forward = sgemm_forward},
    {"toss", "1000 words from one thread to another and back (-j 2)", .forward_only = true, .build = toss_build,
     .forward = toss_forward},
    {"step-cpu", "whole step of the preset cpu, three views", .molecules = true, .adam_only = true, .cutoff_ang = 8,
     .build = whole_build, .forward = whole_forward},
    {"step-paper", "whole step of the preset paper", .molecules = true, .adam_only = true, .cutoff_ang = 8,
     .build = whole_build, .forward = whole_forward},
    {0}};
