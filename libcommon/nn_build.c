/* nn_build.c - the parameters of the whole model: which exist, their names, shapes and starting values. */
#include "nn_model_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_ATOM_CLASS = 119 }; /* classes that a masked atom is one of: atomic numbers and "other" */

static struct nn_gnn_config gnn_config(const struct nn_config *c)
{
	return (struct nn_gnn_config){.kind = (enum nn_gnn_kind)c->gnn,
				      .n_layer = (int)c->gnn_layers,
				      .width = (int)c->gnn_width,
				      .hu = !strcmp(c->features, "hu"),
				      .dropout = c->dropout};
}

static struct nn_geom_config geom_config(const struct nn_config *c)
{
	return (struct nn_geom_config){.schnet = c->geom == 1,
				       .n_block = (int)c->geom_blocks,
				       .width = (int)c->geom_width,
				       .middle = (int)c->geom_middle,
				       .cutoff_ang = c->cutoff_ang,
				       .n_gaussian = (int)c->geom_gaussians,
				       .n_filter = (int)c->geom_filters};
}

static struct nn_cnn_config cnn_config(const struct nn_config *c)
{
	int n = c->cnn == 1 ? 2 : 1;
	return (struct nn_cnn_config){
	    .n_block = {n, n, n, n}, .width = (int)c->cnn_width, .size_px = (int)c->img_size_px};
}

struct nn_encoders nn_encoders_of(const struct nn_config *c)
{
	return (struct nn_encoders){.gnn = gnn_config(c), .geom = geom_config(c), .cnn = cnn_config(c)};
}

int64_t nn_view_width(const struct nn_config *c, int view)
{
	return view == NN_2D ? c->gnn_width : view == NN_3D ? c->geom_width : 8 * c->cnn_width;
}

static struct nn_param *add(struct nn_model *m, bool is_state, int n_dim, int64_t rows, int64_t cols, const char *fmt,
			    int index)
{
	char name[64];
	int64_t shape[2] = {rows, cols};
	snprintf(name, sizeof name, fmt, index);
	return nn_params_add(m->ps, name, is_state, n_dim, shape);
}

/* Linear layer, PyTorch's default start: uniform within 1 / sqrt(fan in). fmt holds one %d. */
static void add_linear(struct nn_model *m, const char *fmt, int index, int64_t in, int64_t out, bool bias,
		       uint64_t seed)
{
	char name[64];
	double bound = 1 / sqrt((double)in);
	snprintf(name, sizeof name, "%s.weight", fmt);
	nn_init_uniform(m->ps, add(m, false, 2, out, in, name, index), seed, bound);
	if (!bias)
		return;
	snprintf(name, sizeof name, "%s.bias", fmt);
	nn_init_uniform(m->ps, add(m, false, 1, out, 0, name, index), seed, bound);
}

static void add_batch_norm(struct nn_model *m, const char *fmt, int index, int64_t width)
{
	static const struct {
		const char *suffix;
		bool is_state;
		double start;
	} part[] = {{".weight", false, 1}, {".bias", false, 0}, {".running_mean", true, 0}, {".running_var", true, 1}};
	for (int i = 0; i < 4; i++) {
		char name[64];
		snprintf(name, sizeof name, "%s%s", fmt, part[i].suffix);
		nn_init_constant(m->ps, add(m, part[i].is_state, 1, width, 0, name, index), part[i].start);
	}
}

static void build_encoders(struct nn_model *m, uint64_t seed)
{
	struct nn_encoders e = nn_encoders_of(&m->cfg);
	if (m->views & 1u << NN_2D)
		nn_gnn_build(m->ps, "gnn.", &e.gnn, seed);
	if (m->views & 1u << NN_3D)
		nn_geom_build(m->ps, "geom.", &e.geom, seed);
	if (m->views & 1u << NN_IMG)
		nn_cnn_build(m->ps, "cnn.", &e.cnn, seed);
}

static void build_codes(struct nn_model *m, uint64_t seed)
{
	const struct nn_config *c = &m->cfg;
	for (int v = 0; v < NN_N_VIEW; v++) {
		if (!(m->views & 1u << v))
			continue;
		add_linear(m, "mm.heads.%d", v, nn_view_width(c, v), c->head_width, true, seed);
		add_linear(m, "mm.encoders.%d", v, c->head_width, c->code_width, true, seed);
		add_linear(m, "mm.decoders.%d", v, c->code_width, c->head_width, true, seed);
	}
	if (c->fuse == NN_FUSE_ATTENTION) {
		nn_init_uniform(m->ps, add(m, false, 2, NN_N_VIEW, c->code_width, "mm.fuse.score.weight", 0), seed,
				1 / sqrt((double)c->code_width));
		nn_init_constant(m->ps, add(m, false, 1, NN_N_VIEW, 0, "mm.fuse.score.bias", 0), 0);
	} else if (c->fuse == NN_FUSE_CONCAT) {
		add_linear(m, "mm.fuse.concat", 0, NN_N_VIEW * c->code_width, c->code_width, true, seed);
	}
	if (m->views & 1u << NN_2D)
		add_linear(m, "mask_head", 0, c->gnn_width, N_ATOM_CLASS, true, seed);
}

static void build_structure(struct nn_model *m, uint64_t seed)
{
	const struct nn_config *c = &m->cfg;
	int64_t queue = c->sinkhorn_queue < 0 ? 2 * c->memory_slots : c->sinkhorn_queue;
	for (int l = 0; l < c->hyper_layers; l++) {
		add_linear(m, l ? "hyper.%d.theta" : "hyper.theta", l, l ? c->hyper_width : c->code_width,
			   c->hyper_width, false, seed);
		add_batch_norm(m, l ? "hyper.%d.bn" : "hyper.bn", l, c->hyper_width);
	}
	/* Anchors that follow by momentum are state: neither gradients nor decay move them. */
	bool follow = c->anchor_momentum > 0;
	nn_init_normal(m->ps, add(m, follow, 2, c->memory_slots, c->hyper_width, "memory.weight", 0), seed, 0, 1);
	nn_init_constant(m->ps, add(m, true, 1, 1, 0, "memory.filled", 0),
			 c->anchor_init ? (double)c->memory_slots : 0);
	for (int v = 0; v < NN_N_VIEW && queue; v++) {
		if (!(m->views & 1u << v))
			continue;
		add(m, true, 2, queue, c->code_width, "queue.%d", v);
		add(m, true, 1, 2, 0, "queue.%d.at", v); /* rows held, next row to write */
	}
}

static int check_config(const struct nn_config *c, unsigned views, unsigned parts, struct err *e)
{
	if (!views)
		return err_set(e, ERR_USAGE, "no view is in use: --views 2d,3d,img");
	if (parts & NN_PART_STRUCTURE && !(parts & NN_PART_CODES))
		return err_set(e, ERR_USAGE, "a structure module needs codes: pre-train the views first");
	if (c->use_structure && !(views & 1u << NN_2D))
		return err_set(e, ERR_USAGE, "--use-structure needs the view 2d");
	return 0;
}

int nn_model_add_parts(struct nn_model *m, unsigned parts, uint64_t seed, struct err *e)
{
	unsigned missing = parts & ~m->parts;
	int rc = check_config(&m->cfg, m->views, parts | m->parts, e);
	if (!rc)
		rc = nn_model_offered(m->k, &m->cfg, parts | m->parts, e);
	if (rc)
		return rc;
	if (missing & NN_PART_ENCODERS)
		build_encoders(m, seed);
	if (missing & NN_PART_CODES)
		build_codes(m, seed);
	if (missing & NN_PART_STRUCTURE)
		build_structure(m, seed);
	m->parts |= missing & ~(unsigned)NN_PART_HEAD;
	return 0;
}

int nn_model_new(struct nn_model **out, const struct kernels *k, const struct nn_config *c, unsigned parts,
		 uint64_t seed, struct err *e)
{
	struct nn_model *m = calloc(1, sizeof *m);
	int rc;
	*out = NULL;
	if (!m)
		return err_set(e, ERR_MEMORY, "no memory for a model");
	m->cfg = *c;
	m->k = k;
	m->arena = arena_new(0);
	m->ps = nn_params_new(k);
	m->cfg.views = arena_strdup(m->arena, c->views);
	m->cfg.use_views = arena_strdup(m->arena, c->use_views);
	m->cfg.features = arena_strdup(m->arena, c->features);
	rc = nn_views_parse(c->views, &m->views, e);
	if (!rc)
		rc = nn_model_add_parts(m, parts, seed, e);
	if (rc) {
		nn_model_free(m);
		return rc;
	}
	*out = m;
	return 0;
}

/* Columns of the head: the views that feed it side by side, then the memory read. */
static int head_width(const struct nn_model *m, int64_t *width, struct err *e)
{
	unsigned views;
	int rc = nn_head_views(m, &views, e);
	*width = m->cfg.use_structure ? m->cfg.hyper_width : 0;
	for (int v = 0; !rc && v < NN_N_VIEW; v++)
		if (views & 1u << v)
			*width += nn_view_width(&m->cfg, v);
	return rc;
}

int nn_head_views(const struct nn_model *m, unsigned *views, struct err *e)
{
	int rc = nn_views_parse(*m->cfg.use_views        ? m->cfg.use_views
				: m->views & 1u << NN_2D ? "2d"
							 : m->cfg.views,
				views, e);
	if (!rc && *views & ~m->views)
		rc = err_set(e, ERR_USAGE, "--use-views names a view that the model does not have");
	return rc;
}

int nn_model_add_head(struct nn_model *m, int n_task, const char *const *tasks, bool regression, uint64_t seed,
		      struct err *e)
{
	int64_t width;
	int rc = head_width(m, &width, e);
	if (rc)
		return rc;
	if (n_task < 1)
		return err_set(e, ERR_SCHEMA, "the stream has no labels: run mol2graph with --labels");
	if (m->parts & NN_PART_HEAD)
		return err_set(e, ERR_USAGE, "the model has a head already");
	m->n_task = n_task;
	m->tasks = arena_alloc(m->arena, (size_t)n_task * sizeof *m->tasks);
	m->target_mean = arena_calloc(m->arena, (size_t)n_task, sizeof *m->target_mean);
	m->target_sd = arena_calloc(m->arena, (size_t)n_task, sizeof *m->target_sd);
	for (int i = 0; i < n_task; i++) {
		m->tasks[i] = arena_strdup(m->arena, tasks[i]);
		m->target_sd[i] = 1;
	}
	m->regression = regression;
	add_linear(m, "head", 0, width, n_task, true, seed);
	m->parts |= NN_PART_HEAD;
	return 0;
}

void nn_model_free(struct nn_model *m)
{
	if (!m)
		return;
	nn_params_free(m->ps);
	arena_free(m->arena);
	free(m);
}
