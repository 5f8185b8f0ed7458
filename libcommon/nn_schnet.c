/* nn_schnet.c - SchNet (Schuett et al., 2018): continuous filters over distances. */
#include "nn_layer.h"

#include <math.h>

enum { N_ELEMENT = 100 };

struct schnet {
	int n_block, n_gaussian;
	double cutoff_ang;
	const struct nn_points *p;
	struct nn_var *pos;
	bool sum, bare; /* read by sum over atoms; no layers after the last interaction */
};

struct radial_rule {
	struct nn_var *dist, *y;
	double cutoff;
};

/* Steps of the filters' table: 180 for 50 Gaussians, as many to a Gaussian otherwise. */
static int64_t table_cells(int n_gaussian)
{
	return (180 * ((int64_t)n_gaussian - 1) + 48) / 49;
}

static void gaussians_back(struct nn_tape *t, void *ctx)
{
	const struct radial_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->gaussians_back(k, r->dist->v, r->y->v, r->y->g, r->dist->g, r->y->n, r->y->d, r->cutoff);
}

static void cosine_back(struct nn_tape *t, void *ctx)
{
	const struct radial_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->cosine_cutoff_back(k, r->dist->v, r->y->g, r->dist->g, r->y->n, r->cutoff);
}

/* Gaussians of the distances [n, n_gaussian], or their cosine cutoff [n, 1] where n_gaussian is 0. */
static struct nn_var *radial(struct nn_tape *t, struct nn_var *dist, int n_gaussian, double cutoff)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct radial_rule *r = arena_calloc(nn_tape_arena(t), 1, sizeof *r);
	*r = (struct radial_rule){
	    .dist = dist, .cutoff = cutoff, .y = nn_var_new(t, dist->n, n_gaussian ? n_gaussian : 1, dist->g != NULL)};
	if (n_gaussian)
		k->gaussians(k, dist->v, r->y->v, dist->n, n_gaussian, cutoff);
	else
		k->cosine_cutoff(k, dist->v, r->y->v, dist->n, cutoff);
	if (r->y->g)
		nn_tape_push_named(t, n_gaussian ? "gaussians" : "cosine", n_gaussian ? gaussians_back : cosine_back,
				   r);
	return r->y;
}

struct fade_rule {
	struct nn_var *x, *w, *y;
};

static void fade_back(struct nn_tape *t, void *ctx)
{
	const struct fade_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	int64_t n = r->x->n, d = r->x->d;
	if (r->x->g)
		k->scale_rows(k, r->y->g, r->w->v, r->x->g, n, d, true);
	if (r->w->g) {
		real *product = nn_tape_alloc(t, (size_t)(n * d) * sizeof *product);
		real *sum = nn_tape_alloc(t, (size_t)n * sizeof *sum);
		k->mul(k, product, r->y->g, r->x->v, n * d);
		k->row_sum(k, product, sum, n, d);
		k->axpy(k, r->w->g, sum, 1, n);
	}
}

/* Row i of x times w[i], with the gradient of both. */
static struct nn_var *fade(struct nn_tape *t, struct nn_var *x, struct nn_var *w)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct fade_rule *r = arena_calloc(nn_tape_arena(t), 1, sizeof *r);
	*r = (struct fade_rule){.x = x, .w = w, .y = nn_var_new(t, x->n, x->d, x->g || w->g)};
	k->scale_rows(k, x->v, w->v, r->y->v, x->n, x->d, false);
	if (r->y->g)
		nn_tape_push(t, fade_back, r);
	return r->y;
}

static struct nn_var *ssp_linear(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_var *x)
{
	return nn_activate(t, nn_linear_named(t, ps, name, x), NN_SSP);
}

struct nn_var *nn_schnet_block(struct nn_tape *t, struct nn_params *ps, const char *prefix, struct nn_var *x,
			       struct nn_var *dist, const struct nn_pair_lists *pairs, double cutoff_ang,
			       int n_gaussian)
{
	struct nn_var *w = ssp_linear(t, ps, nn_name("%smlp.0", prefix).s, radial(t, dist, n_gaussian, cutoff_ang));
	w = fade(t, nn_linear_named(t, ps, nn_name("%smlp.2", prefix).s, w), radial(t, dist, 0, cutoff_ang));
	x = nn_filter_sum(t, pairs, nn_linear_named(t, ps, nn_name("%sconv.lin1", prefix).s, x), w);
	x = ssp_linear(t, ps, nn_name("%sconv.lin2", prefix).s, x);
	return nn_linear_named(t, ps, nn_name("%slin", prefix).s, x);
}

static struct nn_var *read_out(struct nn_tape *t, struct nn_var *x, const struct nn_points *p, bool sum)
{
	return sum ? nn_segment_sum(t, x, p->mol, p->n_mol) : nn_segment_mean(t, x, p->mol, p->n_mol);
}

/* A filter for each ordered pair, layer by layer as the formulas stand. */
static struct nn_var *schnet_plain(struct nn_tape *t, struct nn_params *ps, const char *prefix, const struct schnet *c)
{
	const struct nn_points *p = c->p;
	struct nn_pairs within = nn_pairs_within(nn_tape_arena(t), p, c->cutoff_ang);
	const struct nn_pair_lists *pairs = nn_pair_lists_new(t, &within, p->n_atom);
	struct nn_var *dist = nn_distances(t, c->pos, pairs);
	struct nn_elements e = nn_embed_elements(t, ps, nn_name("%sembedding.weight", prefix).s, p);
	struct nn_var *h = nn_elements_spread(t, &e, e.x);
	for (int b = 0; b < c->n_block; b++)
		h = nn_add(t, h,
			   nn_schnet_block(t, ps, nn_name("%sinteractions.%d.", prefix, b).s, h, dist, pairs,
					   c->cutoff_ang, c->n_gaussian));
	if (c->bare)
		return read_out(t, h, p, c->sum);
	h = ssp_linear(t, ps, nn_name("%slin1", prefix).s, h);
	return read_out(t, nn_linear_named(t, ps, nn_name("%slin2", prefix).s, h), p, c->sum);
}

/* Where the product of two layers costs less than it saves. Blocks of inference never fold: a row's bytes must not
 * depend on how many there are. */
static bool fold_pays(struct nn_tape *t, const struct schnet *c, const struct nn_var *s)
{
	return c->n_block > 1 && !nn_tape_kernels(t)->fixed_rows && s->n >= s->d;
}

/* conv.lin1 of an interaction whose input is before + L s, L the layer `lin`: (A L) s costs less than L s and A of it.
 */
static struct nn_var *lin1_folded(struct nn_tape *t, struct nn_params *ps, const char *lin1, const char *lin,
				  struct nn_var *before, struct nn_var *s)
{
	struct nn_var *a = nn_weight(t, ps, lin1), *l = nn_weight(t, ps, lin);
	struct nn_var *bias = nn_use(t, nn_params_find(ps, nn_name("%s.bias", lin).s));
	return nn_dense(t, &(struct nn_dense){.n_in = 2,
					      .in = {{.x = before, .w = a},
						     {.x = s, .w = nn_var_unset(nn_matmul(t, a, false, l, false))}},
					      .bias = nn_matmul(t, bias, false, a, true),
					      .linear = true});
}

/* h + lin s, of which nothing reads h later. */
static struct nn_var *residual(struct nn_tape *t, struct nn_params *ps, const char *lin, struct nn_var *s,
			       struct nn_var *h)
{
	return nn_dense(t, &(struct nn_dense){.n_in = 1,
					      .in = {{.x = s, .w = nn_weight(t, ps, lin)}},
					      .bias = nn_use(t, nn_params_find(ps, nn_name("%s.bias", lin).s)),
					      .after = h,
					      .after_ends = true,
					      .linear = true});
}

/*
 * The same with fewer operations: filters come from a table of the filter network, which is a function of the distance
 * alone, each unordered pair once; what depends on the element alone is computed once an element, and what is linear
 * up to the mean over atoms after it: the last two layers `lin`, where nothing but the mean and one layer reads them.
 */
static struct nn_var *schnet_quick(struct nn_tape *t, struct nn_params *ps, const char *prefix, const struct schnet *c)
{
	const struct nn_points *p = c->p;
	/* the slope of an interpolation is one order less exact than its value */
	int64_t n_cell = table_cells(c->n_gaussian) * (c->pos->g ? 2 : 1);
	const struct nn_filter_table *f = nn_filter_table_new(t, p, c->pos, c->cutoff_ang, n_cell);
	struct nn_var *gaussians = radial(t, f->dist, c->n_gaussian, c->cutoff_ang);
	struct nn_elements e = nn_embed_elements(t, ps, nn_name("%sembedding.weight", prefix).s, p);
	struct nn_var *first = nn_elements_spread(t, &e, e.x), *h = first, *s = NULL, *mean = NULL;
	bool mean_only = c->bare && !c->sum;
	for (int b = 0; b < c->n_block; b++) {
		struct nn_name at = nn_name("%sinteractions.%d.", prefix, b), lin1 = nn_name("%sconv.lin1", at.s);
		struct nn_name lin = nn_name("%slin", at.s), last = nn_name("%sinteractions.%d.lin", prefix, b - 1);
		struct nn_var *u = !b      ? nn_elements_spread(t, &e, nn_linear_named(t, ps, lin1.s, e.x))
				   : !mean ? nn_linear_named(t, ps, lin1.s, h)
					   : lin1_folded(t, ps, lin1.s, last.s, h, s);
		struct nn_var *w = nn_dense_named(t, ps, nn_name("%smlp.0", at.s).s, gaussians, NN_SSP, NULL);
		w = nn_dense_named(t, ps, nn_name("%smlp.2", at.s).s, nn_var_unset(w), -1, NULL);
		u = nn_var_unset(nn_table_sum(t, f, nn_var_unset(u), nn_var_unset(w)));
		s = nn_var_unset(nn_dense_named(t, ps, nn_name("%sconv.lin2", at.s).s, u, NN_SSP, NULL));
		if (mean_only && b >= c->n_block - 2 && (b == c->n_block - 1 || fold_pays(t, c, s))) {
			struct nn_var *part = nn_linear_named(t, ps, lin.s, read_out(t, s, p, false));
			mean = nn_add(t, mean ? mean : read_out(t, h, p, false), part);
		} else {
			h = residual(t, ps, lin.s, s, h);
		}
	}
	nn_var_unset(first); /* all h have one gradient, of which what reads the last is the first to write */
	nn_var_unset(h);
	if (c->bare)
		return mean ? mean : read_out(t, h, p, c->sum);
	h = nn_dense_named(t, ps, nn_name("%slin1", prefix).s, h, NN_SSP, NULL);
	if (c->sum)
		return read_out(t, nn_linear_named(t, ps, nn_name("%slin2", prefix).s, h), p, true);
	return nn_linear_named(t, ps, nn_name("%slin2", prefix).s, read_out(t, h, p, false));
}

/* Of a molecule. */
static int64_t most_atoms(const struct nn_points *p)
{
	int64_t most = 0;
	for (int64_t i = 0, from = 0; i < p->n_atom; i++) {
		from = p->mol[i] == p->mol[from] ? from : i;
		most = i - from + 1 > most ? i - from + 1 : most;
	}
	return most;
}

struct nn_var *nn_schnet(struct nn_tape *t, struct nn_params *ps, const char *prefix, int n_block, double cutoff_ang,
			 int n_gaussian, const struct nn_points *p, struct nn_var *pos, bool read_sum)
{
	const struct schnet c = {.n_block = n_block,
				 .n_gaussian = n_gaussian,
				 .cutoff_ang = cutoff_ang,
				 .p = p,
				 .pos = pos ? pos : nn_input(t, p->pos, p->n_atom, 3),
				 .sum = read_sum,
				 .bare = !nn_params_find(ps, nn_name("%slin1.weight", prefix).s)};
	const struct kernels *k = nn_tape_kernels(t);
	bool offered = k->table_sum && k->dense && most_atoms(p) <= K_RUN_MOST; /* a device may lack them */
	/* in double the interpolation would be the largest error by far */
	if (k->plain || !offered || sizeof(real) > sizeof(float))
		return schnet_plain(t, ps, prefix, &c);
	return schnet_quick(t, ps, prefix, &c);
}

void nn_schnet_build(struct nn_params *ps, const char *prefix, const struct nn_geom_config *c, uint64_t seed)
{
	const int64_t shape[2] = {N_ELEMENT, c->width};
	nn_init_normal(ps, nn_params_add(ps, nn_name("%sembedding.weight", prefix).s, false, 2, shape), seed, 0, 1);
	for (int b = 0; b < c->n_block; b++) {
		struct nn_name s = nn_name("%sinteractions.%d", prefix, b);
		nn_linear_build_glorot(ps, nn_name("%s.mlp.0", s.s).s, c->n_gaussian, c->n_filter, true, seed);
		nn_linear_build_glorot(ps, nn_name("%s.mlp.2", s.s).s, c->n_filter, c->n_filter, true, seed);
		nn_linear_build_glorot(ps, nn_name("%s.conv.lin1", s.s).s, c->width, c->n_filter, false, seed);
		nn_linear_build_glorot(ps, nn_name("%s.conv.lin2", s.s).s, c->n_filter, c->width, true, seed);
		nn_linear_build_glorot(ps, nn_name("%s.lin", s.s).s, c->width, c->width, true, seed);
	}
	if (c->bare)
		return;
	nn_linear_build_glorot(ps, nn_name("%slin1", prefix).s, c->width, c->width, true, seed);
	nn_linear_build_glorot(ps, nn_name("%slin2", prefix).s, c->width, c->width, true, seed);
}
