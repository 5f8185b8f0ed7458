/*
 * Three ways through the same training: the reference table in double sums on the plain paths, the CPU's table on the
 * plain paths, and the CPU's table with all that makes it quick. Their losses agree step by step.
 *
 * Built in float and, from the same sources, in double. Adam divides a gradient by its size, also one that is nothing
 * but rounding (that of a bias before BatchNorm); its eps is large in float, so that such steps stay small.
 */
#include "nn_layer.h"
#include "toy_train.h"

#include <stdlib.h>

enum { N_STEP = 50 };

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
	cfg.anchor_init =
	    1; /* which rows become anchors is decided by a threshold: a rounding may decide it otherwise */
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
	struct toy_run r = toy_begin(model_new(c, k), c->pretrain, NULL);
	struct nn_losses terms;
	for (int step = 0; step < N_STEP; step++) {
		loss[step] = toy_loss(&r, b, (uint64_t)step, &terms);
		toy_move(&r, c->lr);
	}
	toy_end(&r);
}

static double apart(const double *a, const double *b)
{
	return toy_apart(a, b, N_STEP);
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
	double loss[2][N_STEP];
	for (int i = 0; i < 5; i++) { /* atoms merged beforehand: the same bytes */
		struct nn_batch ready = s.b;
		struct arena *a = arena_new(0);
		nn_gnn_merge(a, &(struct nn_gnn_config){.kind = (enum nn_gnn_kind)trials[i].gnn, .n_layer = 3},
			     &ready.graph);
		train(&trials[i], &fast, &s.b, loss[0]);
		train(&trials[i], &fast, &ready, loss[1]);
		tap_ok(!memcmp(loss[0], loss[1], sizeof loss[0]), "%s, atoms merged with the batch: the same losses",
		       trials[i].name);
		arena_free(a);
	}
	/* features of conformers made beforehand: the same bytes, and they are what is read */
	struct nn_batch ready = s.b;
	struct arena *a = arena_new(0);
	const struct trial *comenet = &trials[6];
	struct nn_model *m = model_new(comenet, &fast);
	nn_geom_prepare(a, &(struct nn_geom_config){.cutoff_ang = m->cfg.cutoff_ang}, &ready.points);
	nn_model_free(m);
	train(comenet, &fast, &s.b, loss[0]);
	train(comenet, &fast, &ready, loss[1]);
	tap_ok(!memcmp(loss[0], loss[1], sizeof loss[0]), "%s, features made with the batch: the same losses",
	       comenet->name);
	ready.points.features->feature1[0] += (real)0.01;
	train(comenet, &fast, &ready, loss[1]);
	tap_ok(loss[0][0] != loss[1][0], "mutant: another feature is another loss");
	arena_free(a);
	/* mutant: a slightly different rate */
	struct trial other = trials[0];
	train(&other, &plain, &s.b, loss[0]);
	other.lr *= 1.01;
	train(&other, &fast, &s.b, loss[1]);
	tap_ok(!(apart(loss[1], loss[0]) <= other.tolerance[is_double]), "mutant: a rate 1 %% larger is caught");
	kernels_cpu_free(&plain);
	kernels_cpu_free(&fast);
	return tap_done();
}
