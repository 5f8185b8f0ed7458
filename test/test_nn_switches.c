/*
 * Every switch of the model: its losses and its parameters after a few steps are those of the reference table in double
 * sums, and it changes something. A weight of zero is the model without that term, to the bit; the gradient of the
 * whole loss is the sum of its terms'. Built in float and, from the same sources, in double.
 */
#include "toy_train.h"
#include "twins.h"

#include <stdlib.h>

enum { N_STEP = 4 };

/* Where a switch has no golden case of its own, and where it has: each with a value that is not the default. */
static const struct trial {
	const char *option; /* "name=value", several split by blanks */
	bool finetune;
} trials[] = {
    {"gnn=gcn", false},
    {"gnn=sage", false},
    {"gnn=gat", false},
    {"gnn-layers=2", false},
    {"gnn-width=20", false},
    {"geom=schnet", false},
    {"geom=schnet geom-filters=12", false},
    {"geom=schnet geom-gaussians=9", false},
    {"geom-blocks=2", false},
    {"geom-width=12", false},
    {"geom-middle=8", false},
    {"cutoff=3", false},
    {"cnn=resnet18", false},
    {"cnn-width=8", false},
    {"img-size=16 cnn-width=2", false},
    {"head-width=12", false},
    {"code-width=12", false},
    {"fuse=attention", false},
    {"fuse=concat", false},
    {"contrast=ebm", false},
    {"contrast=ebm-raw", false},
    {"contrast=mse", false},
    {"tau-con=0.3", false},
    {"w-con=0.5", false},
    {"w-self=0.5", false},
    {"w-cross=0.5", false},
    {"w-mask=0.5", false},
    {"w-align=0.5", false},
    {"w-swap=0.5", false},
    {"mask=0.5", false},
    {"mask-loss=cosine", false},
    {"hyper-by=view", false},
    {"hyper-by=fp", false},
    {"hyper-by=scaffold", false},
    {"hyper-k=5", false},
    {"hyper-width=24", false},
    {"hyper-layers=2", false},
    {"hyper-norm=sym", false},
    {"hyper-soft", false},
    {"hyper-dropout=0.3", false},
    {"memory-slots=8", false},
    {"memory-sim=dot", false},
    {"tau-mem=0.5", false},
    {"memory-shrink=0.05", false},
    {"anchor-momentum=0.9", false},
    {"anchor-init=normal", false},
    {"beta=1", false},
    {"tau-swap=0.3", false},
    {"sinkhorn-eps=0.2", false},
    {"sinkhorn-steps=1", false},
    {"sinkhorn-queue=20", false},
    {"dropout=0.4", false},
    {"use-structure", true},
    {"use-views=2d,3d,img", true},
    {"class-weights", true},
};
/* Switches of another place than the loss of a batch: sizes of all parts, what is read, what comes after what. */
static const char *const elsewhere[] = {"preset", "views", "with-hydrogens", "stages", "labels-are", "mask-statistics"};

static void config_set(struct nn_config *cfg, const char *options)
{
	static struct arena *a;
	const struct opt *tables[] = {nn_config_options, NULL};
	char *argv[8] = {"test"}, *text, *rest = NULL;
	const char **operand;
	struct err e = {0};
	int argc = 1, n;
	a = a ? a : arena_new(0);
	text = arena_printf(a, "%s", options);
	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = arena_printf(a, "--%s", word);
	if (opt_parse(tables, cfg, argc, argv, a, &n, &operand, &e)) {
		printf("Bail out! %s: %s\n", options, e.msg);
		exit(1);
	}
}

static struct nn_model *model_new(const char *options, bool finetune, unsigned parts, const struct kernels *k)
{
	struct nn_config cfg;
	struct nn_model *m;
	struct err e = {0};
	nn_config_preset(&cfg, NN_PRESET_TINY);
	cfg.features = "hu";
	cfg.gnn_width = cfg.code_width = cfg.head_width = cfg.geom_width = cfg.geom_filters = 16;
	cfg.geom_gaussians = 12;
	cfg.cnn_width = 4;
	cfg.img_size_px = SIDE;
	cfg.hyper_k = 3;
	config_set(&cfg, options);
	int rc = nn_model_new(&m, k, &cfg, parts, 1, &e);
	if (!rc && finetune)
		rc = nn_model_add_head(m, 1, (const char *const[]){"y"}, false, 1, &e);
	if (rc) {
		printf("Bail out! %s: %s\n", options, e.msg);
		exit(1);
	}
	return m;
}

enum { ALL = NN_PART_ENCODERS | NN_PART_CODES | NN_PART_STRUCTURE };

struct result {
	double loss[N_STEP + 1];
	struct nn_losses terms; /* of the first step */
	double *value, *grad;   /* parameters (state too) at the end, gradients of the first step: [n] */
	int64_t n;
};

static double *gather(struct nn_params *ps, bool grad, int64_t *n)
{
	double *out = NULL;
	*n = 0;
	for (int i = 0; i < nn_params_count(ps); i++) {
		const struct nn_param *p = nn_params_at(ps, i);
		real *x = malloc((size_t)p->n * sizeof *x + 1);
		out = realloc(out, (size_t)(*n + p->n) * sizeof *out);
		if (!x || !out)
			abort();
		if (!grad || !p->is_state)
			nn_params_kernels(ps)->download(x, grad ? p->grad : p->value, (size_t)p->n * sizeof *x);
		for (int64_t j = 0; j < p->n; j++)
			out[(*n)++] = grad && p->is_state ? 0 : (double)x[j];
		free(x);
	}
	return out;
}

static void train(struct result *out, const char *options, bool finetune, unsigned parts, const struct kernels *k,
		  const struct nn_batch *b)
{
	static const double weight[1] = {3};
	struct nn_model *m = model_new(options, finetune, parts, k);
	struct toy_run r = toy_begin(m, !finetune, m->cfg.class_weights ? weight : NULL);
	struct nn_losses terms;
	for (int step = 0; step <= N_STEP; step++) {
		out->loss[step] = toy_loss(&r, b, (uint64_t)step, &terms);
		if (step == 0) {
			out->terms = terms;
			out->grad = gather(m->ps, true, &out->n);
		}
		if (isnan(out->loss[step]) || step == N_STEP || !toy_move(&r, 1e-3))
			break;
	}
	out->value = gather(m->ps, false, &out->n);
	toy_end(&r);
}

static void result_free(struct result *r)
{
	free(r->value);
	free(r->grad);
}

static double apart(const struct result *a, const struct result *b)
{
	return toy_apart(a->loss, b->loss, N_STEP + 1);
}

/* The parameters at the end: the largest difference as a share of the largest entry. */
static double parameters_apart(const struct result *a, const struct result *b)
{
	double worst = 0, top = 0;
	for (int64_t i = 0; i < a->n; i++) {
		double d = a->n == b->n ? fabs(a->value[i] - b->value[i]) : NAN;
		top = fmax(top, fabs(b->value[i]));
		if (!(d <= worst))
			worst = d;
		if (isnan(d))
			break;
	}
	return worst / top;
}

static bool same_values(const struct result *a, const struct result *b, int64_t n)
{
	return !memcmp(a->loss, b->loss, sizeof a->loss) && !memcmp(a->value, b->value, (size_t)n * sizeof *a->value);
}

/* The bytes of f again, over memory that only the table's operations can touch. */
static void check_fence(const struct trial *c, const struct result *f, const struct nn_batch *b)
{
	struct kernels k;
	struct result r;
	struct err e = {0};
	if (fence_table(&k, false, &e)) {
		printf("Bail out! %s\n", e.msg);
		exit(1);
	}
	train(&r, c->option, c->finetune, ALL, &k, b);
	tap_ok(r.n == f->n && same_values(&r, f, r.n), "%s: the same where only the table reaches its memory",
	       c->option);
	result_free(&r);
	kernels_close(&k);
}

static void check_switches(const struct kernels *ref, const struct kernels *fast, const struct nn_batch *b)
{
	const double most = is_double ? 1e-8 : 3e-3;
	struct result base[2];
	train(&base[0], "", false, ALL, fast, b);
	train(&base[1], "", true, ALL, fast, b);
	for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
		const struct trial *c = &trials[i];
		struct result r, f;
		train(&r, c->option, c->finetune, ALL, ref, b);
		train(&f, c->option, c->finetune, ALL, fast, b);
		double d = apart(&f, &r), p = parameters_apart(&f, &r);
		tap_ok(d <= most && p <= most,
		       "%s: losses of %d steps %.1e apart from the reference, parameters %.1e, at most %.0e", c->option,
		       N_STEP + 1, d, p, most);
		check_fence(c, &f, b);
		const struct result *o = &base[c->finetune];
		tap_ok(f.n != o->n || memcmp(f.value, o->value, (size_t)f.n * sizeof *f.value), "%s changes something",
		       c->option);
		result_free(&r);
		result_free(&f);
	}
	/* mutant: a switch that is not passed on */
	struct result r;
	train(&r, "tau-con=0.3", false, ALL, ref, b);
	tap_ok(!(apart(&base[0], &r) <= most), "mutant: a switch left at its default is caught");
	result_free(&r);
	result_free(&base[0]);
	result_free(&base[1]);
	for (const struct opt *o = nn_config_options; o->name; o++) {
		bool seen = false;
		for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
			size_t n = strlen(o->name);
			const char *at = strstr(trials[i].option, o->name);
			seen |= at && (at[n] == '=' || !at[n]) && (at == trials[i].option || at[-1] == ' ');
		}
		for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
			seen |= !strcmp(o->name, elsewhere[i]);
		if (!seen)
			tap_ok(false, "--%s has no trial here", o->name);
	}
}

static void check_zero(const struct kernels *k, const struct nn_batch *b)
{
	struct result zero, without;
	train(&zero, "w-mask=0", false, ALL, k, b);
	train(&without, "mask=0", false, ALL, k, b);
	tap_ok(zero.n == without.n && same_values(&zero, &without, zero.n),
	       "w-mask=0 is the model without masking, to the bit");
	result_free(&zero);
	result_free(&without);
	train(&zero, "w-align=0", false, ALL, k, b);
	train(&without, "", false, ALL & ~NN_PART_STRUCTURE, k, b);
	/* the structure's parameters come last */
	tap_ok(zero.n > without.n && same_values(&zero, &without, without.n),
	       "w-align=0 is the model without memory, to the bit");
	result_free(&zero);
	result_free(&without);
	train(&zero, "w-swap=0", false, ALL, k, b);
	tap_ok(zero.terms.align == zero.terms.read, "w-swap=0 leaves the alignment with its first term");
	result_free(&zero);
}

/* A batch in which a loss lacks its views: no loss, and nothing moves, running statistics neither. */
static void check_lacking(const struct kernels *k, const struct nn_batch *b)
{
	/* n_two molecules have two views, n_one others one: what the loss wants, or one molecule less */
	static const struct {
		const char *options;
		int n_two, n_one;
		bool learns;
	} at[] = {
	    {"w-con=1 w-self=0 w-cross=0 w-mask=0 w-align=0", 1, 3, false},
	    {"w-con=1 w-self=0 w-cross=0 w-mask=0 w-align=0", 2, 0, true},
	    {"w-con=0 w-self=0 w-cross=1 w-mask=0 w-align=0", 0, 4, false},
	    {"w-con=0 w-self=0 w-cross=1 w-mask=0 w-align=0", 1, 0, true},
	    {"w-con=0 w-self=1 w-cross=0 w-mask=0 w-align=0", 0, 0, false},
	    {"w-con=0 w-self=1 w-cross=0 w-mask=0 w-align=0", 0, 1, true},
	};
	int n_right = 0;
	enum { N = sizeof at / sizeof *at };
	for (int i = 0; i < N; i++) {
		uint8_t has[N_MOL * NN_N_VIEW] = {0};
		struct nn_batch lacking = *b;
		struct nn_losses terms;
		struct nn_draws d;
		struct nn_var *loss;
		int64_t n;
		for (int j = 0; j < at[i].n_two + at[i].n_one; j++)
			has[j * NN_N_VIEW + NN_2D] = 1, has[j * NN_N_VIEW + NN_3D] = j < at[i].n_two;
		lacking.has = has;
		struct toy_run r = toy_begin(model_new(at[i].options, false, ALL, k), true, NULL);
		double *before = gather(r.m->ps, false, &n);
		nn_tape_begin(r.t, true, 1, 0);
		nn_model_draw(r.m, &lacking, 1, 0, r.a, &d);
		int rc = nn_model_pretrain(r.m, r.t, &lacking, &d, &loss, &terms, &r.e);
		double *after = gather(r.m->ps, false, &n);
		bool same = !memcmp(before, after, (size_t)n * sizeof *before);
		n_right += !rc && nn_model_can_pretrain(r.m) &&
			   (at[i].learns ? loss && terms.total > 0 && !same : !loss && isnan(terms.total) && same);
		free(before);
		free(after);
		toy_end(&r);
	}
	tap_ok(n_right == N, "batches that lack a loss's views (%d of %d)", n_right, N);
	struct nn_model *m = model_new("w-con=0 w-self=0 w-cross=0 w-mask=0 w-align=0", false, ALL, k);
	tap_ok(!nn_model_can_pretrain(m), "without weights nothing can be learned");
	nn_model_free(m);
}

/* The gradient is linear in the weights: what each term gives alone adds up to the whole. */
static void check_sum(const struct kernels *k, const struct nn_batch *b)
{
	static const char *const term[] = {"w-con", "w-self", "w-cross", "w-mask", "w-align"};
	enum { N_TERM = sizeof term / sizeof *term };
	struct result all, one[N_TERM];
	char options[200];
	train(&all, "", false, ALL, k, b);
	double *sum = calloc((size_t)all.n, sizeof *sum), loss = 0, top = 0, worst = 0;
	for (int i = 0; i < N_TERM; i++) {
		size_t at = 0;
		for (int j = 0; j < N_TERM; j++)
			at += (size_t)snprintf(options + at, sizeof options - at, "%s%s=%d", j ? " " : "", term[j],
					       i == j);
		train(&one[i], options, false, ALL, k, b);
		loss += one[i].loss[0];
		for (int64_t j = 0; j < all.n; j++)
			sum[j] += one[i].grad[j];
		result_free(&one[i]);
	}
	for (int64_t j = 0; j < all.n; j++) {
		top = fmax(top, fabs(all.grad[j]));
		double d = fabs(all.grad[j] - sum[j]);
		if (!(d <= worst))
			worst = d;
	}
	double most = is_double ? 1e-12 : 1e-5;
	tap_ok(fabs(loss - all.loss[0]) <= most * fabs(loss) && worst <= most * top,
	       "the terms' losses and gradients add up to the whole: %.1e of the largest apart, at most %.0e",
	       worst / top, most);
	result_free(&all);
	free(sum);
}

int main(void)
{
	static struct set s;
	struct kernels ref, fast;
	struct err e = {0};
	if (kernels_cpu(&fast, NULL, &e)) {
		printf("Bail out! %s\n", e.msg);
		return 1;
	}
	kernels_ref(&ref);
	ref.plain = true;
	set_fill(&s);
	check_switches(&ref, &fast, &s.b);
	check_zero(&fast, &s.b);
	check_lacking(&fast, &s.b);
	check_sum(&fast, &s.b);
	kernels_cpu_free(&fast);
	return tap_done();
}
