/* golden_loss.c - cases of losses, the structure module, training and metrics. */
#include "golden.h"

#include "nn_loss.h"
#include "nn_metric.h"
#include "nn_neighbours.h"
#include "nn_optim.h"

#include <math.h>
#include <string.h>

enum { N_VIEW = 3 };

/* Codes [B, M, d] of the file as one matrix a view; the gradient goes to the whole. */
static void take_views(struct golden *g, const char *name, struct nn_var *c[N_VIEW])
{
	struct nn_var *all = golden_input(g, name);
	int64_t d = all->d / N_VIEW;
	for (int m = 0; m < N_VIEW; m++)
		c[m] = nn_columns(golden_tape(g), all, m * d, d);
}

static struct nn_param *param(struct golden *g, const char *name)
{
	struct nn_param *p = nn_params_find(golden_params(g), name);
	if (!p)
		golden_fail(g, "the file has no parameter %s", name);
	return p;
}

static void finish_loss(struct golden *g, struct nn_var *loss)
{
	golden_output(g, "loss", loss);
	golden_backward_loss(g, loss);
}

/* ---- contrast ---------------------------------------------------------------- */

static enum nn_contrast contrast_kind(const struct golden *g)
{
	const char *name = golden_name(g);
	if (!strncmp(name, "infonce", 7))
		return NN_INFONCE;
	if (!strncmp(name, "ebm_nce_raw", 11))
		return NN_EBM_RAW;
	return !strncmp(name, "ebm_nce", 7) ? NN_EBM : NN_MSE;
}

static void run_pair(struct golden *g)
{
	enum nn_contrast kind = contrast_kind(g);
	struct nn_var *x = golden_input(g, "x"), *y = golden_input(g, "y");
	finish_loss(g, nn_contrast_pair(golden_tape(g), kind, x, y, kind == NN_MSE ? 1 : golden_number(g, "tau")));
}

static void run_masked(struct golden *g)
{
	enum nn_contrast kind = contrast_kind(g);
	struct nn_var *c[N_VIEW];
	take_views(g, "c", c);
	finish_loss(g, nn_contrast_views(golden_tape(g), kind, c, golden_bytes(g, "has", NULL), c[0]->n, N_VIEW,
					 kind == NN_MSE ? 1 : golden_number(g, "tau")));
}

/* ---- reconstruction, masking, fusing ------------------------------------------- */

static struct nn_var *tanh_linear(struct golden *g, const char *stem, int m, struct nn_var *x)
{
	struct nn_param *w = param(g, arena_printf(golden_arena(g), "%s.%d.weight", stem, m));
	struct nn_param *b = param(g, arena_printf(golden_arena(g), "%s.%d.bias", stem, m));
	return nn_activate(golden_tape(g), nn_linear(golden_tape(g), x, w, b), NN_TANH);
}

static void run_reconstruction(struct golden *g)
{
	struct nn_tape *t = golden_tape(g);
	struct nn_var *h[N_VIEW], *c[N_VIEW], *own, *cross;
	struct nn_param *weight[N_VIEW], *bias[N_VIEW];
	for (int m = 0; m < N_VIEW; m++) {
		h[m] = tanh_linear(g, "heads", m, golden_input(g, arena_printf(golden_arena(g), "x%d", m)));
		c[m] = tanh_linear(g, "encoders", m, h[m]);
		weight[m] = param(g, arena_printf(golden_arena(g), "decoders.%d.weight", m));
		bias[m] = param(g, arena_printf(golden_arena(g), "decoders.%d.bias", m));
	}
	golden_output(g, "h", nn_concat(t, N_VIEW, h)); /* [B, M, width] is [B, M width] */
	golden_output(g, "c", nn_concat(t, N_VIEW, c));
	nn_reconstruct(t, h, c, weight, bias, golden_bytes(g, "has", NULL), golden_ints(g, "perm", NULL), h[0]->n,
		       N_VIEW, &own, &cross);
	golden_output(g, "L_self", own);
	golden_output(g, "L_cross", cross);
	finish_loss(g, nn_add(t, own, nn_scale(t, cross, 2)));
}

static void run_mask(struct golden *g)
{
	struct nn_tape *t = golden_tape(g);
	struct nn_var *y = nn_linear(t, golden_input(g, "h"), param(g, "mask_head.weight"), param(g, "mask_head.bias"));
	const int64_t *label = golden_ints(g, "label", NULL);
	finish_loss(g,
		    strcmp(golden_name(g), "mask_ce") ? nn_scaled_cosine(t, y, label) : nn_cross_entropy(t, y, label));
}

static void run_fuse(struct golden *g)
{
	struct nn_tape *t = golden_tape(g);
	struct nn_var *c[N_VIEW], *y;
	const uint8_t *has = golden_bytes(g, "has", NULL);
	take_views(g, "c", c);
	if (!strcmp(golden_name(g), "fuse_mean"))
		y = nn_fuse_mean(t, c, has, c[0]->n, N_VIEW);
	else if (!strcmp(golden_name(g), "fuse_attention"))
		y = nn_fuse_attention(t, c, has, c[0]->n, N_VIEW, param(g, "fuse.score.weight"),
				      param(g, "fuse.score.bias"));
	else
		y = nn_fuse_concat(t, c, has, c[0]->n, N_VIEW, param(g, "fuse.concat.weight"),
				   param(g, "fuse.concat.bias"));
	golden_output(g, "y", y);
	golden_backward_from(g, "y", y);
}

/* ---- structure ------------------------------------------------------------------ */

static void run_knn(struct golden *g)
{
	int64_t n = golden_shape(g, "x", 0), d = golden_shape(g, "x", 1), k = (int64_t)golden_number(g, "k");
	int64_t *idx = arena_alloc(golden_arena(g), (size_t)(n * k) * sizeof *idx);
	double *dist = arena_alloc(golden_arena(g), (size_t)(n * k) * sizeof *dist);
	nn_neighbours(nn_tape_kernels(golden_tape(g)), golden_reals(g, "x", NULL), n, d, NN_L2, k, idx, dist, NULL);
	golden_output_ints(g, "idx", idx, n * k);
	golden_output_doubles(g, "dist", dist, n * k);
}

/* H [node, hyperedge] and G as dense matrices: G column by column through the operator itself. */
static void compare_operator(struct golden *g, const struct nn_hyper *h, struct nn_var *w, bool sym)
{
	struct arena *a = golden_arena(g);
	int64_t n = h->n_node;
	real *dense = arena_calloc(a, (size_t)(n * h->n_edge), sizeof *dense);
	real *eye = arena_calloc(a, (size_t)(n * n), sizeof *eye);
	for (int64_t j = 0; j < h->n_edge; j++)
		for (int64_t e = h->start[j]; e < h->start[j + 1]; e++)
			dense[h->node[e] * h->n_edge + j] = h->value[e];
	golden_output_reals(g, "H", dense, n * h->n_edge);
	for (int64_t i = 0; i < n; i++)
		eye[i * n + i] = 1;
	struct nn_tape *t = golden_tape(g);
	golden_output(g, "G", nn_hyper_apply(t, nn_input(t, eye, n, n), h, nn_detach(t, w), sym));
}

static void run_hyper(struct golden *g)
{
	struct nn_tape *t = golden_tape(g);
	struct arena *a = golden_arena(g);
	int64_t k = (int64_t)golden_number(g, "k");
	bool groups = golden_has(g, "fp"), soft = golden_flag(g, "soft"),
	     sym = !strcmp(golden_string(g, "norm"), "sym");
	struct nn_var *c = golden_input(g, "c"), *w = golden_input(g, "w");
	struct nn_hyper h = nn_hyper_knn(nn_tape_kernels(t), golden_reals(g, "c", NULL), c->n, c->d, k, soft,
					 groups ? 1 : golden_number(g, "m"), a);
	if (groups) {
		struct nn_hyper fp = nn_hyper_knn(nn_tape_kernels(t), golden_reals(g, "fp", NULL), c->n,
						  golden_shape(g, "fp", 1), k + 1, soft, 1, a);
		h = nn_hyper_concat((const struct nn_hyper *[]){&h, &fp}, 2, a);
	}
	compare_operator(g, &h, w, sym);
	struct nn_var *f =
	    nn_batch_norm(t, golden_params(g), "bn", nn_linear(t, c, param(g, "theta.weight"), NULL), NULL, true);
	struct nn_var *y = nn_hyper_apply(t, f, &h, w, sym);
	golden_output(g, "y", y);
	golden_running(g, "");
	golden_backward_from(g, "y", y);
}

static void run_memory(struct golden *g)
{
	struct nn_tape *t = golden_tape(g);
	struct nn_memory_config c = {.dot = !strcmp(golden_string(g, "sim"), "dot"),
				     .tau = golden_number(g, "tau"),
				     .shrink = golden_number(g, "shrink")};
	struct nn_var *assign, *r;
	nn_memory_read(t, golden_input(g, "g"), nn_use(t, param(g, "memory.weight")), &c, &assign, &r);
	golden_output(g, "assign", assign);
	golden_output(g, "r", r);
	golden_backward_from(g, "r", r);
}

static void run_align(struct golden *g)
{
	struct nn_var *r = golden_input(g, "r"), *x = golden_input(g, "g");
	finish_loss(g, nn_align(golden_tape(g), r, x, golden_number(g, "beta")));
}

static void run_sinkhorn(struct golden *g)
{
	int64_t n = golden_shape(g, "scores", 0), k = golden_shape(g, "scores", 1);
	double *q = arena_alloc(golden_arena(g), (size_t)(n * k) * sizeof *q);
	nn_sinkhorn(golden_reals(g, "scores", NULL), n, k, golden_number(g, "eps"), (int)golden_number(g, "steps"), q,
		    golden_arena(g));
	golden_output_doubles(g, "q", q, n * k);
}

static void run_swapped(struct golden *g)
{
	struct nn_tape *t = golden_tape(g);
	struct nn_var *c[N_VIEW], *scores[N_VIEW], *anchors = nn_unit(t, nn_use(t, param(g, "memory.weight")));
	double *q[N_VIEW];
	take_views(g, "c", c);
	int64_t n = c[0]->n, k = anchors->n;
	for (int m = 0; m < N_VIEW; m++) {
		scores[m] =
		    nn_matmul(t, nn_unit(t, nn_linear(t, c[m], param(g, "theta.weight"), NULL)), false, anchors, true);
		q[m] = arena_alloc(golden_arena(g), (size_t)(n * k) * sizeof(double));
	}
	struct nn_var *loss = nn_swapped(t, scores, golden_bytes(g, "has", NULL), n, N_VIEW, golden_number(g, "tau"),
					 golden_number(g, "eps"), (int)golden_number(g, "steps"), NULL, NULL, q);
	double *all = arena_alloc(golden_arena(g), (size_t)(n * N_VIEW * k) * sizeof *all);
	for (int64_t i = 0; i < n * N_VIEW; i++)
		memcpy(all + i * k, q[i % N_VIEW] + i / N_VIEW * k, (size_t)k * sizeof *all);
	golden_output_doubles(g, "q", all, n * N_VIEW * k);
	golden_output(g, "scores", nn_concat(t, N_VIEW, scores));
	finish_loss(g, loss);
}

static void run_momentum(struct golden *g)
{
	int64_t n_slot = golden_shape(g, "A", 0), d = golden_shape(g, "A", 1), n = golden_shape(g, "g", 0);
	real *anchors = arena_alloc(golden_arena(g), (size_t)(n_slot * d) * sizeof *anchors);
	memcpy(anchors, golden_reals(g, "A", NULL), (size_t)(n_slot * d) * sizeof *anchors);
	nn_anchor_momentum(anchors, n_slot, d, golden_reals(g, "assign", NULL), golden_reals(g, "g", NULL), n,
			   golden_number(g, "momentum"), golden_arena(g));
	golden_output_reals(g, "A_new", anchors, n_slot * d);
}

/* ---- training and metrics --------------------------------------------------------- */

static void run_bce(struct golden *g)
{
	finish_loss(g, nn_bce_masked(golden_tape(g), golden_input(g, "x"), golden_floats(g, "y", NULL), NULL));
}

static void run_mse(struct golden *g)
{
	int64_t n = golden_shape(g, "y", 0), n_task = golden_shape(g, "y", 1);
	double *mean = arena_alloc(golden_arena(g), 2 * (size_t)n_task * sizeof *mean), *sd = mean + n_task;
	const float *y = golden_floats(g, "y", NULL);
	nn_target_scale(y, n, (int)n_task, mean, sd);
	golden_output_doubles(g, "mean", mean, n_task);
	golden_output_doubles(g, "std", sd, n_task);
	finish_loss(g, nn_mse_masked(golden_tape(g), golden_input(g, "x"), y, mean, sd));
}

static void run_adam(struct golden *g)
{
	const struct kernels *k = nn_tape_kernels(golden_tape(g));
	struct nn_params *ps = nn_params_new(k);
	int64_t n = golden_shape(g, "p0", 0), n_step = golden_shape(g, "g", 0);
	struct nn_param *p = nn_params_add(ps, "p", false, 1, &n);
	struct nn_optim_config c = {.beta1 = golden_number(g, "beta1"),
				    .beta2 = golden_number(g, "beta2"),
				    .eps = golden_number(g, "eps"),
				    .weight_decay = golden_number(g, "weight_decay")};
	struct nn_optim *o = nn_optim_new(ps, &c);
	const real *grad = golden_reals(g, "g", NULL);
	real *all = arena_alloc(golden_arena(g), (size_t)(n_step * n) * sizeof *all), *m, *v;
	real *moment = arena_alloc(golden_arena(g), (size_t)n * sizeof *moment);
	k->upload(p->value, golden_reals(g, "p0", NULL), (size_t)n * sizeof *all);
	for (int64_t s = 0; s < n_step; s++) {
		struct err e = {0};
		k->upload(p->grad, grad + s * n, (size_t)n * sizeof *grad);
		if (nn_optim_step(o, golden_number(g, "lr"), NULL, &e))
			golden_fail(g, "%s", e.msg);
		k->download(all + s * n, p->value, (size_t)n * sizeof *all);
	}
	golden_output_reals(g, "p", all, n_step * n);
	nn_optim_moments(o, 0, &m, &v);
	k->download(moment, m, (size_t)n * sizeof *moment);
	golden_output_reals(g, "m", moment, n);
	k->download(moment, v, (size_t)n * sizeof *moment);
	golden_output_reals(g, "v", moment, n);
	nn_optim_free(o);
	nn_params_free(ps);
}

static void run_schedules(struct golden *g)
{
	int64_t n;
	const int64_t *t = golden_ints(g, "t", &n);
	double *y = arena_alloc(golden_arena(g), 2 * (size_t)n * sizeof *y);
	for (int64_t i = 0; i < n; i++) {
		y[i] = nn_schedule_lr(NN_SCHEDULE_COSINE, golden_number(g, "lr"), golden_number(g, "lr_min"), t[i],
				      (int64_t)golden_number(g, "T"), 0, 0, 0);
		y[n + i] = nn_schedule_lr(NN_SCHEDULE_STEP, golden_number(g, "lr"), 0, t[i], n,
					  (int64_t)golden_number(g, "step_size"), golden_number(g, "gamma"), 0);
	}
	golden_output_doubles(g, "cosine", y, n);
	golden_output_doubles(g, "step", y + n, n);
}

static const double *doubles(struct golden *g, const char *name, int64_t *n)
{
	const float *x = golden_floats(g, name, n);
	double *y = arena_alloc(golden_arena(g), (size_t)(*n + 1) * sizeof *y);
	for (int64_t i = 0; i < *n; i++)
		y[i] = (double)x[i];
	return y;
}

static void run_metrics_class(struct golden *g)
{
	int64_t n = golden_shape(g, "y", 0), n_task = golden_shape(g, "y", 1), size;
	const double *score = doubles(g, "score", &size), *y = doubles(g, "y", &size);
	double *task = arena_alloc(golden_arena(g), (size_t)n_task * sizeof *task);
	double mean = nn_metric_mean(NN_METRIC_ROC_AUC, score, y, n, (int)n_task, task);
	golden_output_doubles(g, "roc_auc", task, n_task);
	golden_output_doubles(g, "roc_auc_mean", &mean, 1);
	mean = nn_metric_mean(NN_METRIC_PR_AUC, score, y, n, (int)n_task, task);
	golden_output_doubles(g, "pr_auc", task, n_task);
	golden_output_doubles(g, "pr_auc_mean", &mean, 1);
}

static void run_metrics_reg(struct golden *g)
{
	int64_t n;
	const double *pred = doubles(g, "pred", &n), *y = doubles(g, "y", &n);
	double rmse = nn_rmse(pred, y, n), mae = nn_mae(pred, y, n), r2 = nn_r2(pred, y, n);
	golden_output_doubles(g, "rmse", &rmse, 1);
	golden_output_doubles(g, "mae", &mae, 1);
	golden_output_doubles(g, "r2", &r2, 1);
}

const struct golden_case golden_loss[] = {
    {"infonce_pair", GOLDEN_OP, run_pair},
    {"infonce_masked", GOLDEN_OP, run_masked},
    {"ebm_nce_pair", GOLDEN_OP, run_pair},
    {"ebm_nce_masked", GOLDEN_OP, run_masked},
    {"ebm_nce_raw_pair", GOLDEN_OP, run_pair},
    {"ebm_nce_raw_masked", GOLDEN_OP, run_masked},
    {"homology_pair", GOLDEN_OP, run_pair},
    {"homology_masked", GOLDEN_OP, run_masked},
    {"reconstruction", GOLDEN_OP, run_reconstruction},
    {"reconstruction_masked", GOLDEN_OP, run_reconstruction},
    {"mask_ce", GOLDEN_OP, run_mask},
    {"mask_sce", GOLDEN_OP, run_mask},
    {"fuse_*", GOLDEN_OP, run_fuse},
    {"knn", GOLDEN_OP, run_knn},
    {"hyper_*", GOLDEN_OP, run_hyper},
    {"memory_*", GOLDEN_OP, run_memory},
    {"align", GOLDEN_OP, run_align},
    {"sinkhorn", GOLDEN_OP, run_sinkhorn},
    {"swapped", GOLDEN_OP, run_swapped},
    {"anchor_momentum", GOLDEN_OP, run_momentum},
    {"bce_masked", GOLDEN_OP, run_bce},
    {"mse_masked", GOLDEN_OP, run_mse},
    {"adam", GOLDEN_OP, run_adam},
    {"adam_wd", GOLDEN_OP, run_adam},
    {"schedules", GOLDEN_OP, run_schedules},
    {"metrics_class", GOLDEN_OP, run_metrics_class},
    {"metrics_reg", GOLDEN_OP, run_metrics_reg},
    {0},
};
