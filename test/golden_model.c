/* golden_model.c - the whole model in one step, through the code of `train`. */
#include "golden.h"

#include "nn_model.h"
#include "nn_neighbours.h"
#include "nn_optim.h"

#include <math.h>
#include <string.h>

enum { STEPS_MAX = 16, PARTS = NN_PART_ENCODERS | NN_PART_CODES | NN_PART_STRUCTURE };

static void configure(struct golden *g, struct nn_config *c)
{
	nn_config_preset(c, NN_PRESET_TINY);
	c->gnn_layers = (int64_t)golden_number(g, "gnn_layers");
	c->gnn_width = (int64_t)golden_number(g, "gnn_width");
	c->geom_blocks = (int64_t)golden_number(g, "geom_blocks");
	c->geom_width = (int64_t)golden_number(g, "geom_width");
	c->geom_middle = (int64_t)golden_number(g, "geom_middle");
	c->cutoff_ang = golden_number(g, "cutoff");
	c->cnn_width = (int64_t)golden_number(g, "cnn_width");
	c->img_size_px = golden_shape(g, "img", 1);
	c->head_width = (int64_t)golden_number(g, "head");
	c->code_width = (int64_t)golden_number(g, "d");
	c->hyper_width = (int64_t)golden_number(g, "hyper");
	c->hyper_k = (int64_t)golden_number(g, "k");
	c->memory_slots = (int64_t)golden_number(g, "slots");
	c->tau_con = golden_number(g, "tau_con");
	c->tau_mem = golden_number(g, "tau_mem");
	c->tau_swap = golden_number(g, "tau_swap");
	c->sinkhorn_eps = golden_number(g, "eps_sinkhorn");
	c->sinkhorn_queue = 0;
	c->mask_statistics = true; /* as the reference has it */
	c->anchor_init = 1;        /* the file's anchors are all there from the start */
	c->beta = golden_number(g, "beta");
	c->w_swap = golden_number(g, "w_swap");
	c->w_con = golden_number(g, "w_con");
	c->w_self = golden_number(g, "w_self");
	c->w_cross = golden_number(g, "w_cross");
	c->w_mask = golden_number(g, "w_mask");
	c->w_align = golden_number(g, "w_align");
	c->dropout = golden_number(g, "dropout");
}

static void fill_batch(struct golden *g, struct nn_batch *b)
{
	int64_t n;
	*b = (struct nn_batch){.n_mol = golden_shape(g, "has", 0)};
	b->has = (uint8_t *)golden_bytes(g, "has", NULL);
	b->graph = (struct nn_graphs){.n_mol = b->n_mol,
				      .n_atom = golden_shape(g, "x", 0),
				      .n_edge = golden_shape(g, "edge_index", 1),
				      .x = golden_ints(g, "x", NULL),
				      .edge_index = golden_ints(g, "edge_index", NULL),
				      .edge_attr = golden_ints(g, "edge_attr", NULL),
				      .mol = golden_ints(g, "batch", NULL)};
	b->points = (struct nn_points){.n_atom = golden_shape(g, "z", 0),
				       .z = golden_ints(g, "z", NULL),
				       .pos = golden_reals(g, "pos", NULL),
				       .mol = golden_ints(g, "batch3d", NULL)};
	b->mol3d = golden_ints(g, "mol3d", &b->points.n_mol);
	b->molimg = golden_ints(g, "molimg", &b->n_img);
	b->img = golden_bytes(g, "img", &n);
	b->img_size_px = golden_shape(g, "img", 1);
}

/* Parameters of the file into the model; every one of them must be there. */
static void set_params(struct golden *g, struct nn_params *to)
{
	const struct kernels *k = nn_params_kernels(to);
	for (int i = 0; i < nn_params_count(golden_params(g)); i++) {
		const struct nn_param *p = nn_params_at(golden_params(g), i);
		struct nn_param *q = nn_params_find(to, p->name);
		if (!q || q->n != p->n) {
			golden_fail(g, "the model has no parameter %s of that size", p->name);
			continue;
		}
		real *x = arena_alloc(golden_arena(g), (size_t)(p->n + 1) * sizeof *x);
		k->download(x, p->value, (size_t)p->n * sizeof *x);
		k->upload(q->value, x, (size_t)p->n * sizeof *x);
	}
}

static const real *values(struct golden *g, const struct nn_param *p, const real *at)
{
	real *x = arena_alloc(golden_arena(g), (size_t)(p->n + 1) * sizeof *x);
	nn_params_kernels(golden_params(g))->download(x, at, (size_t)p->n * sizeof *x);
	return x;
}

/* What lies between pictures and losses, on a model of its own: BatchNorm in training mode moves its state. */
static void compare_inside(struct golden *g, const struct nn_config *c, const struct nn_batch *b)
{
	struct arena *a = golden_arena(g);
	struct nn_tape *t = golden_tape(g);
	struct nn_model *m;
	struct nn_outputs o;
	struct err e = {0};
	int64_t n = b->n_mol, k = c->hyper_k, *idx = arena_alloc(a, (size_t)(n * k) * sizeof *idx);
	double *dist = arena_alloc(a, (size_t)(n * k) * sizeof *dist);
	real *u = arena_alloc(a, (size_t)(n * c->code_width) * sizeof *u),
	     *eye = arena_calloc(a, (size_t)(n * n), sizeof *eye);
	if (nn_model_new(&m, nn_tape_kernels(t), c, PARTS, 1, &e)) {
		golden_fail(g, "no model: %s", e.msg);
		return;
	}
	set_params(g, m->ps);
	nn_tape_begin(t, true, 1, 0);
	if (nn_model_outputs(m, t, b, &o, &e)) {
		golden_fail(g, "%s", e.msg);
		nn_model_free(m);
		return;
	}
	golden_output(g, "x_2d", o.h[NN_2D]);
	golden_output(g, "x_3d", o.h[NN_3D]);
	golden_output(g, "x_img", o.h[NN_IMG]);
	golden_output(g, "unified", o.unified);
	nn_download(t, o.unified, u);
	nn_neighbours(nn_tape_kernels(t), u, n, c->code_width, NN_L2, k, idx, dist, NULL);
	golden_output_ints(g, "knn", idx, n * k);
	for (int64_t i = 0; i < n; i++)
		eye[i * n + i] = 1;
	struct nn_hyper h = nn_hyper_knn(nn_tape_kernels(t), u, n, c->code_width, k, false, 1, a);
	golden_output(g, "G", nn_hyper_apply(t, nn_input(t, eye, n, n), &h, NULL, false));
	nn_model_free(m);
}

/* Balanced assignments of each view's codes, absent ones 0. */
static void compare_balance(struct golden *g, struct nn_model *m, const struct nn_batch *b)
{
	struct nn_tape *t = golden_tape(g);
	int64_t n = b->n_mol, slots = m->cfg.memory_slots;
	double *all = arena_calloc(golden_arena(g), (size_t)(n * NN_N_VIEW * slots), sizeof *all);
	double *q = arena_alloc(golden_arena(g), (size_t)(n * slots) * sizeof *q);
	real *scores = arena_alloc(golden_arena(g), (size_t)(n * slots) * sizeof *scores);
	real *rows = arena_alloc(golden_arena(g), (size_t)(n * slots) * sizeof *rows);
	struct nn_var *anchors = nn_unit(t, nn_use(t, nn_params_find(m->ps, "memory.weight")));
	for (int v = 0; v < NN_N_VIEW; v++) {
		struct nn_var *x = nn_linear(t, m->last.code[v], nn_params_find(m->ps, "hyper.theta.weight"), NULL);
		int64_t n_row = 0;
		nn_download(t, nn_matmul(t, nn_unit(t, x), false, anchors, true), scores);
		for (int64_t i = 0; i < n; i++)
			if (b->has[i * NN_N_VIEW + v])
				memcpy(rows + n_row++ * slots, scores + i * slots, (size_t)slots * sizeof *rows);
		nn_sinkhorn(rows, n_row, slots, m->cfg.sinkhorn_eps, (int)m->cfg.sinkhorn_steps, q, nn_tape_arena(t));
		for (int64_t i = n - 1; i >= 0; i--)
			if (b->has[i * NN_N_VIEW + v])
				memcpy(all + (i * NN_N_VIEW + v) * slots, q + --n_row * slots,
				       (size_t)slots * sizeof *all);
	}
	golden_output_doubles(g, "q", all, n * NN_N_VIEW * slots);
}

static void compare_first(struct golden *g, struct nn_model *m, const struct nn_batch *b, const struct nn_losses *l)
{
	struct nn_var *assign, *r;
	struct {
		const char *name;
		double value;
	} term[] = {{"L_con", l->con},     {"L_self", l->self}, {"L_cross", l->cross},
		    {"L_mask", l->mask},   {"L_read", l->read}, {"L_swap", l->swap},
		    {"L_align", l->align}, {"loss", l->total},  {"usage", l->usage}};
	for (size_t i = 0; i < sizeof term / sizeof *term; i++)
		golden_output_doubles(g, term[i].name, &term[i].value, 1);
	golden_output(g, "codes", nn_concat(golden_tape(g), NN_N_VIEW, m->last.code));
	golden_output(g, "g", m->last.g);
	golden_output(g, "assign", m->last.assign);
	nn_model_read(m, golden_tape(g), m->last.g, &assign, &r);
	golden_output(g, "r", r);
	golden_output(g, "aligned", nn_add(golden_tape(g), m->last.g, r));
	compare_balance(g, m, b);
	nn_params_settle_grad(m->ps);
	for (int i = 0; i < nn_params_count(m->ps); i++) {
		const struct nn_param *p = nn_params_at(m->ps, i);
		if (!p->is_state)
			golden_gradient(g, p->name, values(g, p, p->grad), p->n);
	}
	for (int i = 0; i < nn_params_count(m->ps); i++) {
		const struct nn_param *p = nn_params_at(m->ps, i);
		if (p->is_state && strstr(p->name, ".running_"))
			golden_output_reals(g, arena_printf(golden_arena(g), "running/%s", p->name),
					    values(g, p, p->value), p->n);
	}
}

enum { FEW = 2000 };

/*
 * Parameters and state after all steps. In float64 by the tolerance of all else. In float32 Adam, which divides by
 * sqrt(v), goes either way where the gradient is rounding: within 6 lr (3 steps, both signs). Where the file's gradient
 * is above 1e-7 of its largest, the oracle's bound is 1e-3 lr, which one entry in FEW may pass, within 2e-2 lr.
 *
 * For nothing that keeps activations in float32 meets that bound for every seed, not even the reference's operations in
 * double whose results are rounded. Past it are single entries whose gradients happen to be small; and hundreds where
 * some weight's gradient is so near 0 by accident, as eps is, that its first step has another length, by which it moves
 * the gradients of others, or where a ReLU's input is. Such seeds are not let through.
 */
static void compare_after(struct golden *g, struct nn_model *m, double lr)
{
	double top = 0, worst = 0;
	int64_t n, n_sure = 0, n_past = 0;
	for (int i = 0; i < nn_params_count(m->ps); i++) {
		const double *grad = golden_expected_gradient(g, nn_params_at(m->ps, i)->name, &n);
		for (int64_t j = 0; j < n; j++)
			top = fmax(top, fabs(grad[j]));
	}
	for (int i = 0; i < nn_params_count(m->ps); i++) {
		const struct nn_param *p = nn_params_at(m->ps, i);
		const char *name = arena_printf(golden_arena(g), "after/%s", p->name);
		const real *got = values(g, p, p->value);
		const double *grad = golden_expected_gradient(g, p->name, &n), *want;
		if (p->is_state && !strstr(p->name, ".running_"))
			continue;
		if (sizeof(real) == sizeof(double)) {
			golden_output_reals(g, name, got, p->n);
			continue;
		}
		bool has_grad = n == p->n;
		want = golden_expected(g, name, &n);
		if (n != p->n || has_grad == p->is_state) {
			golden_fail(g, "the file has no %s, or no gradient of it", name);
			continue;
		}
		for (int64_t j = 0; j < n; j++) {
			bool sure = !p->is_state && fabs(grad[j]) > 1e-7 * top;
			double off = fabs((double)got[j] - want[j]) / lr;
			if (!(off <= (sure ? 2e-2 : 6)))
				golden_fail(g, "%s[%lld] is off by %.3g lr", name, (long long)j, off);
			n_sure += sure;
			n_past += sure && !(off <= 1e-3);
			worst = sure && !(off <= worst) ? off : worst;
		}
	}
	if (n_past * FEW > n_sure)
		golden_fail(g, "after/*: %lld of %lld entries are off by more than 1e-3 lr, one by %.3g lr",
			    (long long)n_past, (long long)n_sure, worst);
	if (sizeof(real) == sizeof(float))
		printf("# %s: after/*: largest difference %.2g lr, %lld of %lld entries past 1e-3 lr\n", golden_name(g),
		       worst, (long long)n_past, (long long)n_sure);
}

static void run_mmsa(struct golden *g)
{
	struct nn_config c;
	struct nn_model *m = NULL;
	struct nn_batch b;
	struct nn_draws d = {.perm = golden_ints(g, "perm", NULL)};
	struct nn_losses l;
	struct nn_var *loss;
	struct err e = {0};
	struct nn_tape *t = golden_tape(g);
	const struct kernels *k = nn_tape_kernels(t);
	double losses[STEPS_MAX + 1], lr = golden_number(g, "lr");
	int n_step = (int)golden_number(g, "steps");
	d.mask = golden_ints(g, "mask", &d.n_mask);
	configure(g, &c);
	fill_batch(g, &b);
	if (n_step > STEPS_MAX || nn_model_new(&m, k, &c, PARTS, 1, &e)) {
		golden_fail(g, "no model: %s", e.msg);
		return;
	}
	set_params(g, m->ps);
	compare_inside(g, &c, &b);
	struct nn_optim *o = nn_optim_new(m->ps, &(struct nn_optim_config){.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8});
	for (int step = 0; step <= n_step; step++) {
		nn_tape_begin(t, true, 1, (uint64_t)step);
		nn_params_zero_grad(m->ps);
		if (nn_model_pretrain(m, t, &b, &d, &loss, &l, &e) || nn_backward(t, loss, &e)) {
			golden_fail(g, "%s", e.msg);
			break;
		}
		losses[step] = l.total;
		if (step == 0)
			compare_first(g, m, &b, &l);
		if (step == n_step)
			break;
		nn_model_after_step(m, t);
		if (nn_optim_step(o, lr, NULL, &e))
			golden_fail(g, "%s", e.msg);
		if (step == n_step - 1)
			compare_after(g, m, lr);
	}
	golden_output_doubles(g, "losses", losses, n_step + 1);
	golden_gradients_compared(g);
	golden_waive(g, "after/", "compared by the bounds of three Adam steps");
	nn_optim_free(o);
	nn_model_free(m);
}

const struct golden_case golden_model[] = {
    {"mmsa_step", GOLDEN_DEEP, run_mmsa},
    {0},
};
