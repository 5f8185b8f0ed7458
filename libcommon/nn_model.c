/* nn_model.c - forward through the whole model: encoders, codes, unified embedding, memory, head. */
#include "nn_model_parts.h"

#include <math.h>
#include <string.h>

/* ImageNet's channel means and deviations, as torchvision's ResNets are fed. */
static const double img_mean[3] = {0.485, 0.456, 0.406}, img_sd[3] = {0.229, 0.224, 0.225};

static struct nn_param *param(const struct nn_model *m, const char *fmt, int index)
{
	char name[64];
	snprintf(name, sizeof name, fmt, index);
	return nn_params_find(m->ps, name);
}

const uint8_t *nn_model_has(const struct nn_model *m, const struct nn_batch *b, struct arena *a)
{
	uint8_t *has = arena_alloc(a, (size_t)(b->n_mol * NN_N_VIEW) + 1);
	for (int64_t i = 0; i < b->n_mol * NN_N_VIEW; i++)
		has[i] = b->has[i] && m->views & 1u << i % NN_N_VIEW;
	return has;
}

struct levels {
	real of[3][256];
	const uint8_t *img;
	real *x;
	int64_t n_px; /* of a picture */
};
static void set_levels(void *ctx, int64_t picture, int thread)
{
	(void)thread;
	const struct levels *l = ctx;
	for (int64_t i = picture * l->n_px; i < (picture + 1) * l->n_px; i++)
		for (int ch = 0; ch < 3; ch++)
			l->x[3 * i + ch] = l->of[ch][l->img[3 * i + ch]];
}

static struct nn_var *encode_pictures(struct nn_model *m, struct nn_tape *t, const struct nn_cnn_config *c,
				      const struct nn_batch *b)
{
	int64_t s = b->img_size_px, n_px = b->n_img * s * s;
	real *x = arena_alloc(nn_tape_arena(t), (size_t)(3 * n_px + 1) * sizeof *x);
	struct levels l = {.img = b->img, .x = x, .n_px = s * s};
	for (int ch = 0; ch < 3; ch++)
		for (int p = 0; p < 256; p++)
			l.of[ch][p] = (real)((p / 255.0 - img_mean[ch]) / img_sd[ch]);
	pool_run(m->k->pool, b->n_img, set_levels, &l);
	return nn_cnn(t, m->ps, "cnn.", c, nn_input(t, x, n_px, 3), b->n_img, s, s);
}

struct nn_var *nn_model_atoms(struct nn_model *m, struct nn_tape *t, const struct nn_graphs *g)
{
	struct nn_encoders e = nn_encoders_of(&m->cfg);
	return nn_gnn(t, m->ps, "gnn.", &e.gnn, g, NULL);
}

void nn_model_encode(struct nn_model *m, struct nn_tape *t, const struct nn_batch *b, unsigned views,
		     struct nn_var *x[NN_N_VIEW])
{
	struct nn_encoders e = nn_encoders_of(&m->cfg);
	memset(x, 0, NN_N_VIEW * sizeof *x);
	views &= m->views;
	if (views & 1u << NN_2D && b->graph.n_mol)
		x[NN_2D] = nn_segment_mean(t, nn_model_atoms(m, t, &b->graph), b->graph.mol, b->n_mol);
	if (views & 1u << NN_3D && b->points.n_mol)
		x[NN_3D] = nn_geom(t, m->ps, "geom.", &e.geom, &b->points);
	if (views & 1u << NN_IMG && b->n_img)
		x[NN_IMG] = encode_pictures(m, t, &e.cnn, b);
}

/* Rows of a view to rows of the batch; absent rows are 0 and never read. */
static struct nn_var *spread(struct nn_tape *t, const struct nn_batch *b, int view, struct nn_var *x)
{
	if (!x || view == NN_2D)
		return x;
	return nn_scatter(t, x, view == NN_3D ? b->mol3d : b->molimg, b->n_mol);
}

static struct nn_var *tanh_linear(struct nn_model *m, struct nn_tape *t, struct nn_var *x, const char *stem, int v)
{
	char weight[64], bias[64];
	snprintf(weight, sizeof weight, "%s.%d.weight", stem, v);
	snprintf(bias, sizeof bias, "%s.%d.bias", stem, v);
	return nn_activate(t, nn_linear(t, x, nn_params_find(m->ps, weight), nn_params_find(m->ps, bias)), NN_TANH);
}

void nn_model_codes(struct nn_model *m, struct nn_tape *t, const struct nn_batch *b, struct nn_var *const *x,
		    struct nn_var *h[NN_N_VIEW], struct nn_var *c[NN_N_VIEW])
{
	for (int v = 0; v < NN_N_VIEW; v++) {
		h[v] = c[v] = NULL;
		if (!x[v])
			continue;
		struct nn_var *hv = tanh_linear(m, t, x[v], "mm.heads", v);
		c[v] = spread(t, b, v, tanh_linear(m, t, hv, "mm.encoders", v));
		h[v] = spread(t, b, v, hv);
	}
}

struct nn_var *nn_model_fuse(struct nn_model *m, struct nn_tape *t, struct nn_var *const *c, const uint8_t *has,
			     int64_t n)
{
	if (m->cfg.fuse == NN_FUSE_ATTENTION)
		return nn_fuse_attention(t, c, has, n, NN_N_VIEW, param(m, "mm.fuse.score.weight", 0),
					 param(m, "mm.fuse.score.bias", 0));
	if (m->cfg.fuse == NN_FUSE_CONCAT)
		return nn_fuse_concat(t, c, has, n, NN_N_VIEW, param(m, "mm.fuse.concat.weight", 0),
				      param(m, "mm.fuse.concat.bias", 0));
	return nn_fuse_mean(t, c, has, n, NN_N_VIEW);
}

struct nn_var *nn_model_hyper(struct nn_model *m, struct nn_tape *t, struct nn_var *u, const struct nn_hyper *h)
{
	struct nn_var *g = u;
	for (int l = 0; l < m->cfg.hyper_layers; l++) {
		char name[32];
		snprintf(name, sizeof name, l ? "hyper.%d.bn" : "hyper.bn", l);
		g = nn_linear(t, g, param(m, l ? "hyper.%d.theta.weight" : "hyper.theta.weight", l), NULL);
		g = nn_batch_norm(t, m->ps, name, g, NULL, true);
		g = nn_dropout(t, g, m->cfg.hyper_dropout);
		if (h)
			g = nn_hyper_apply(t, g, h, NULL, m->cfg.hyper_norm == 1);
	}
	return g;
}

struct nn_var *nn_model_anchors(struct nn_model *m, struct nn_tape *t)
{
	struct nn_param *weight = param(m, "memory.weight", 0), *filled = param(m, "memory.filled", 0);
	real n = 0;
	m->k->download(&n, filled->value, sizeof n);
	struct nn_var *all = nn_use(t, weight);
	if ((int64_t)n >= m->cfg.memory_slots || n < 1)
		return all;
	int64_t *rows = arena_alloc(nn_tape_arena(t), (size_t)n * sizeof *rows);
	for (int64_t i = 0; i < (int64_t)n; i++)
		rows[i] = i;
	return nn_gather(t, all, rows, (int64_t)n);
}

void nn_model_read(struct nn_model *m, struct nn_tape *t, struct nn_var *g, struct nn_var **assign, struct nn_var **r)
{
	struct nn_memory_config c = {
	    .dot = m->cfg.memory_sim == 1, .tau = m->cfg.tau_mem, .shrink = m->cfg.memory_shrink};
	nn_memory_read(t, g, nn_model_anchors(m, t), &c, assign, r);
}

int nn_model_outputs(struct nn_model *m, struct nn_tape *t, const struct nn_batch *b, struct nn_outputs *out,
		     struct err *e)
{
	struct nn_var *h[NN_N_VIEW], *c[NN_N_VIEW];
	const uint8_t *has = nn_model_has(m, b, nn_tape_arena(t));
	memset(out, 0, sizeof *out);
	nn_model_encode(m, t, b, m->views, out->h);
	if (!(m->parts & NN_PART_CODES))
		return 0;
	nn_model_codes(m, t, b, out->h, h, c);
	for (int64_t i = 0; i < b->n_mol; i++) {
		bool any = false;
		for (int v = 0; v < NN_N_VIEW; v++)
			any |= has[i * NN_N_VIEW + v] != 0;
		if (!any)
			return err_set(e, ERR_SCHEMA, "row %lld has none of the views %s that the model reads",
				       (long long)(b->row ? b->row[i] : i), m->cfg.views);
	}
	for (int v = 0; v < NN_N_VIEW; v++)
		out->c[v] = c[v];
	out->unified = nn_model_fuse(m, t, c, has, b->n_mol);
	if (!(m->parts & NN_PART_STRUCTURE))
		return 0;
	out->f = nn_model_hyper(m, t, out->unified, NULL);
	nn_model_read(m, t, out->f, &out->assign, &out->r);
	out->aligned = nn_add(t, out->f, out->r);
	return 0;
}

/* Rows that lack a view are weighted 0, the others by (views in use) / (views present): no view is filled in. */
static const real *view_weights(struct nn_tape *t, const uint8_t *has, int64_t n, unsigned views, int view)
{
	real *w = arena_alloc(nn_tape_arena(t), (size_t)(n + 1) * sizeof *w);
	for (int64_t i = 0; i < n; i++) {
		int in_use = 0, present = 0;
		for (int v = 0; v < NN_N_VIEW; v++)
			if (views & 1u << v) {
				in_use++;
				present += has[i * NN_N_VIEW + v] != 0;
			}
		w[i] = has[i * NN_N_VIEW + view] ? (real)in_use / (real)present : 0;
	}
	return w;
}

int nn_model_logits(struct nn_model *m, struct nn_tape *t, const struct nn_batch *b, struct nn_var **logits,
		    struct err *e)
{
	struct nn_outputs all = {0};
	struct nn_var *x[NN_N_VIEW], *sum = NULL;
	const uint8_t *has = nn_model_has(m, b, nn_tape_arena(t));
	unsigned views;
	int64_t at = 0;
	int rc = nn_head_views(m, &views, e);
	if (!rc && m->cfg.use_structure)
		rc = nn_model_outputs(m, t, b, &all, e);
	if (rc)
		return rc;
	if (m->cfg.use_structure)
		memcpy(x, all.h, sizeof x);
	else
		nn_model_encode(m, t, b, views, x);
	struct nn_var *weight = nn_use(t, param(m, "head.weight", 0));
	for (int v = 0; v < NN_N_VIEW; v++) {
		int64_t width = nn_view_width(&m->cfg, v);
		if (!(views & 1u << v))
			continue;
		if (x[v]) {
			struct nn_var *xv = spread(t, b, v, x[v]);
			if (views != 1u << NN_2D)
				xv = nn_scale_rows(t, xv, view_weights(t, has, b->n_mol, views, v));
			struct nn_var *part = nn_matmul(t, xv, false, nn_columns(t, weight, at, width), true);
			sum = sum ? nn_add(t, sum, part) : part;
		}
		at += width;
	}
	if (m->cfg.use_structure) {
		struct nn_var *part = nn_matmul(t, all.r, false, nn_columns(t, weight, at, m->cfg.hyper_width), true);
		sum = sum ? nn_add(t, sum, part) : part;
	}
	if (!sum)
		return err_set(e, ERR_SCHEMA, "no molecule of the batch has a view that the head reads");
	struct nn_var *ones = nn_var_new(t, b->n_mol, 1, false);
	m->k->fill(m->k, ones->v, b->n_mol, 1);
	*logits = nn_add(t, sum, nn_matmul(t, ones, false, nn_use(t, param(m, "head.bias", 0)), false));
	return 0;
}

struct nn_var *nn_model_task_loss(struct nn_model *m, struct nn_tape *t, struct nn_var *logits, const float *y,
				  const double *class_weight)
{
	return m->regression ? nn_mse_masked(t, logits, y, m->target_mean, m->target_sd)
			     : nn_bce_masked(t, logits, y, class_weight);
}

void nn_model_to_predictions(const struct nn_model *m, real *x, int64_t n)
{
	for (int64_t i = 0; i < n * m->n_task; i++) {
		double z = x[i];
		int task = (int)(i % m->n_task);
		if (m->regression)
			x[i] = (real)(m->target_mean[task] + z * m->target_sd[task]);
		else
			x[i] = (real)(z >= 0 ? 1 / (1 + exp(-z)) : exp(z) / (1 + exp(z)));
	}
}
