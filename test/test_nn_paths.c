/*
 * Three ways through the same training: the reference table in double sums on the plain paths, the CPU's table on the
 * plain paths, and the CPU's table with all that makes it quick. Their losses agree step by step.
 *
 * Built in float and, from the same sources, in double. Adam divides a gradient by its size, also one that is nothing
 * but rounding (that of a bias before BatchNorm); its eps is large in float, so that such steps stay small.
 */
#include "nn_model.h"
#include "nn_optim.h"
#include "tap.h"

#include <stdlib.h>

static const bool is_double = sizeof(real) == sizeof(double);
enum { N_MOL = 12, SIDE = 16, N_STEP = 50, MAX_ATOM = 12 * N_MOL };

/* Molecules of few kinds, with conformers and pictures; labels that depend on the kind. */
struct set {
	struct nn_batch b;
	int64_t x[2 * MAX_ATOM], edge[4 * MAX_ATOM], attr[4 * MAX_ATOM], mol[MAX_ATOM], z[MAX_ATOM], all[N_MOL];
	real pos[3 * MAX_ATOM];
	uint8_t img[N_MOL * SIDE * SIDE * 3], has[N_MOL * NN_N_VIEW];
	float y[N_MOL];
};

static void add_bond(struct set *s, int64_t ends[][2], int64_t u, int64_t v, int64_t kind)
{
	int64_t at = s->b.graph.n_edge;
	for (int side = 0; side < 2; side++) {
		ends[at + side][side] = u;
		ends[at + side][!side] = v;
		s->attr[2 * (at + side)] = kind;
	}
	s->b.graph.n_edge += 2;
}

static void set_fill(struct set *s)
{
	static int64_t ends[2 * MAX_ATOM][2];
	struct rng r;
	memset(s, 0, sizeof *s);
	rng_init(&r, 8, 0);
	int64_t n = 0;
	for (int m = 0; m < N_MOL; m++) {
		int64_t ring = 5 + m % 2, chain = m % 4, from = n;
		for (int64_t i = 0; i < ring + chain; i++, n++) {
			bool hetero = i == 2 && m % 3;
			s->x[2 * n] = hetero ? 6 : 5;
			s->z[n] = hetero ? 7 : 6;
			s->mol[n] = m;
			if (i)
				add_bond(s, ends, n - 1, n, i < ring ? 3 : 0);
			for (int k = 0; k < 3; k++)
				s->pos[3 * n + k] =
				    (real)(1.3 * (double)(k == (i & 1) ? i : 0) + 0.3 * rng_uniform(&r));
		}
		add_bond(s, ends, from, from + ring - 1, 3);
		s->y[m] = (float)(m % 2);
		s->all[m] = m;
		memset(s->has + m * NN_N_VIEW, 1, NN_N_VIEW);
	}
	int64_t n_edge = s->b.graph.n_edge;
	for (int64_t e = 0; e < n_edge; e++) {
		s->edge[e] = ends[e][0];
		s->edge[n_edge + e] = ends[e][1];
	}
	for (size_t i = 0; i < sizeof s->img; i++)
		s->img[i] = (uint8_t)rng_below(&r, 256);
	s->b = (struct nn_batch){.n_mol = N_MOL,
				 .has = s->has,
				 .graph = {.n_mol = N_MOL,
					   .n_atom = n,
					   .n_edge = n_edge,
					   .x = s->x,
					   .edge_index = s->edge,
					   .edge_attr = s->attr,
					   .mol = s->mol,
					   .hu = true},
				 .points = {.n_mol = N_MOL, .n_atom = n, .z = s->z, .pos = s->pos, .mol = s->mol},
				 .mol3d = s->all,
				 .n_img = N_MOL,
				 .molimg = s->all,
				 .img = s->img,
				 .img_size_px = SIDE,
				 .n_task = 1,
				 .y = s->y};
}

struct trial {
	const char *name;
	const char *views;
	int gnn, geom;
	double dropout, lr;
	bool pretrain;
	double tolerance[2]; /* of a loss, as a share of it: float, double */
};

static struct nn_model *model_new(const struct trial *c, const struct kernels *k)
{
	struct nn_config cfg;
	struct nn_model *m;
	struct err e = {0};
	nn_config_preset(&cfg, NN_PRESET_TINY);
	cfg.features = "hu";
	cfg.views = c->views;
	cfg.gnn = c->gnn;
	cfg.geom = c->geom;
	cfg.dropout = c->dropout;
	cfg.gnn_width = 24;
	cfg.geom_width = cfg.geom_filters = 16;
	cfg.geom_gaussians = 12;
	cfg.cnn_width = 4;
	cfg.img_size_px = SIDE;
	cfg.code_width = cfg.head_width = 16;
	cfg.hyper_k = 3;
	int rc =
	    nn_model_new(&m, k, &cfg, NN_PART_ENCODERS | (c->pretrain ? NN_PART_CODES | NN_PART_STRUCTURE : 0), 1, &e);
	if (!rc && !c->pretrain)
		rc = nn_model_add_head(m, 1, (const char *const[]){"y"}, false, 1, &e);
	if (rc) {
		printf("Bail out! %s\n", e.msg);
		exit(1);
	}
	return m;
}

static void train(const struct trial *c, const struct kernels *k, const struct nn_batch *b, double loss[N_STEP])
{
	struct nn_model *m = model_new(c, k);
	struct nn_tape *t = nn_tape_new(k);
	struct nn_optim *o = nn_optim_new(
	    m->ps, &(struct nn_optim_config){.beta1 = 0.9, .beta2 = 0.999, .eps = is_double ? 1e-8 : 1e-4});
	struct arena *a = arena_new(0);
	struct err e = {0};
	for (int step = 0; step < N_STEP; step++) {
		struct nn_var *x = NULL;
		struct nn_draws d;
		struct nn_losses terms;
		int rc;
		arena_reset(a);
		nn_tape_begin(t, true, 1, (uint64_t)step);
		nn_params_zero_grad(m->ps);
		if (c->pretrain) {
			nn_model_draw(m, b, 1, (uint64_t)step, a, &d);
			rc = nn_model_pretrain(m, t, b, &d, &x, &terms, &e);
		} else {
			rc = nn_model_logits(m, t, b, &x, &e);
			x = rc ? NULL : nn_model_task_loss(m, t, x, b->y, NULL);
		}
		loss[step] = rc ? NAN : nn_scalar(t, x);
		if (rc || nn_backward(t, x, &e) || nn_optim_step(o, c->lr, NULL, &e))
			printf("# %s\n", e.msg);
		else if (c->pretrain)
			nn_model_after_step(m, t);
	}
	arena_free(a);
	nn_optim_free(o);
	nn_tape_free(t);
	nn_model_free(m);
}

static double apart(const double *a, const double *b)
{
	double worst = 0;
	for (int i = 0; i < N_STEP; i++) {
		double d = fabs(a[i] - b[i]) / fabs(b[i]);
		worst = d <= worst ? worst : d;
	}
	return worst;
}

static const struct trial trials[] = {
    {"GIN", "2d", 0, 0, 0, 1e-3, false, {1e-4, 1e-9}},
    {"GCN", "2d", 1, 0, 0, 1e-3, false, {1e-4, 1e-9}},
    {"GraphSAGE", "2d", 2, 0, 0, 1e-3, false, {1e-4, 1e-9}},
    {"GAT", "2d", 3, 0, 0, 1e-3, false, {1e-4, 1e-9}},
    {"GIN with dropout", "2d", 0, 0, 0.5, 1e-3, false, {1e-4, 1e-9}},
    {"three views, SchNet", "2d,3d,img", 0, 1, 0, 3e-4, true, {1e-3, 1e-8}},
    {"three views, ComENet", "2d,3d,img", 0, 0, 0, 3e-4, true, {1e-3, 1e-8}},
};

int main(void)
{
	static struct set s;
	struct kernels ref, plain, fast;
	struct err e = {0};
	if (kernels_cpu(&plain, NULL, &e) || kernels_cpu(&fast, NULL, &e)) {
		printf("Bail out! %s\n", e.msg);
		return 1;
	}
	kernels_ref(&ref);
	ref.plain = plain.plain = true;
	set_fill(&s);
	for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
		const struct trial *c = &trials[i];
		double loss[3][N_STEP];
		train(c, &ref, &s.b, loss[0]);
		train(c, &plain, &s.b, loss[1]);
		train(c, &fast, &s.b, loss[2]);
		double p = apart(loss[1], loss[0]), f = apart(loss[2], loss[0]), most = c->tolerance[is_double];
		tap_ok(p <= most && f <= most,
		       "%s, %d steps: plain %.1e, fast %.1e apart from the reference, at most %.0e", c->name, N_STEP, p,
		       f, most);
		tap_ok(loss[2][N_STEP - 1] < 0.97 * loss[2][0], "and it learns: %.4f to %.4f", loss[2][0],
		       loss[2][N_STEP - 1]);
	}
	/* mutant: a slightly different rate */
	struct trial other = trials[0];
	double loss[2][N_STEP];
	train(&other, &plain, &s.b, loss[0]);
	other.lr *= 1.01;
	train(&other, &fast, &s.b, loss[1]);
	tap_ok(!(apart(loss[1], loss[0]) <= other.tolerance[is_double]), "mutant: a rate 1 %% larger is caught");
	kernels_cpu_free(&plain);
	kernels_cpu_free(&fast);
	return tap_done();
}
