/* nn_geometry.c - encoders of conformers: ComENet (Wang et al., NeurIPS 2022) and SchNet (Schuett et al., 2018). */
#include "nn_layer.h"

#include <math.h>

enum { N_ELEMENT_COMENET = 95, N_ELEMENT_SCHNET = 100, N_READOUT = 3, N_RESIDUAL = 3 };
enum { N_FEATURE1 = 12, N_FEATURE2 = 6 };

static struct nn_var *embed_elements(struct nn_tape *t, struct nn_params *ps, const char *name,
				     const struct nn_points *p)
{
	struct nn_param *table = nn_params_find(ps, name);
	int64_t *z = arena_alloc(nn_tape_arena(t), (size_t)(p->n_atom + 1) * sizeof *z);
	for (int64_t i = 0; i < p->n_atom; i++) /* an element beyond the table is its last */
		z[i] = p->z[i] < 0 ? 0 : p->z[i] < table->shape[0] ? p->z[i] : table->shape[0] - 1;
	return nn_embedding_sum(t, 1, &table, z, p->n_atom);
}

/* ---- ComENet ---------------------------------------------------------------- */

static struct nn_var *swish_linear(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_var *x)
{
	return nn_activate(t, nn_linear_named(t, ps, name, x), NN_SWISH);
}

/* Convolution c of a block: filters from features, neighbours, root, and a layer. */
static struct nn_var *comenet_conv(struct nn_tape *t, struct nn_params *ps, const char *prefix, int c, struct nn_var *x,
				   struct nn_var *feature, const struct nn_pair_lists *pairs)
{
	struct nn_var *w1 = nn_use(t, nn_params_find(ps, nn_name("%slin_feature%d.lin1.weight", prefix, c).s));
	struct nn_var *w2 = nn_use(t, nn_params_find(ps, nn_name("%slin_feature%d.lin2.weight", prefix, c).s));
	/* nothing stands between the two layers: multiplied once, a pair costs one small product */
	struct nn_var *f = nn_matmul(t, feature, false, nn_matmul(t, w2, false, w1, false), true);
	struct nn_var *h = nn_filter_sum(t, pairs, x, f);
	h = nn_add(t, nn_linear_named(t, ps, nn_name("%sconv%d.lin_rel", prefix, c).s, h),
		   nn_linear_named(t, ps, nn_name("%sconv%d.lin_root", prefix, c).s, x));
	return swish_linear(t, ps, nn_name("%slin%d", prefix, c).s, h);
}

struct nn_var *nn_comenet_block(struct nn_tape *t, struct nn_params *ps, const char *prefix, struct nn_var *x,
				struct nn_var *f1, struct nn_var *f2, const struct nn_pair_lists *pairs,
				const int64_t *mol, int64_t n_mol)
{
	x = swish_linear(t, ps, nn_name("%slin", prefix).s, x);
	struct nn_var *both[2] = {comenet_conv(t, ps, prefix, 1, x, f1, pairs),
				  comenet_conv(t, ps, prefix, 2, x, f2, pairs)};
	struct nn_var *h = nn_add(t, nn_linear_named(t, ps, nn_name("%slin_cat", prefix).s, nn_concat(t, 2, both)), x);
	for (int l = 0; l < N_RESIDUAL; l++)
		h = nn_add(t, swish_linear(t, ps, nn_name("%slins.%d", prefix, l).s, h), h);
	h = nn_graph_norm(t, ps, nn_name("%snorm", prefix).s, h, mol, n_mol);
	return nn_linear_named(t, ps, nn_name("%sfinal", prefix).s, h);
}

struct nn_var *nn_comenet(struct nn_tape *t, struct nn_params *ps, const char *prefix, int n_block, double cutoff_ang,
			  const struct nn_points *p)
{
	struct nn_comenet_features f = nn_comenet_features_of(nn_tape_arena(t), p, cutoff_ang);
	const struct nn_pair_lists *pairs = nn_pair_lists_new(t, &f.pairs, p->n_atom);
	struct nn_var *f1 = nn_input(t, f.feature1, f.pairs.n, N_FEATURE1);
	struct nn_var *f2 = nn_input(t, f.feature2, f.pairs.n, N_FEATURE2);
	struct nn_var *x = nn_activate(t, embed_elements(t, ps, nn_name("%semb.emb.weight", prefix).s, p), NN_SWISH);
	for (int b = 0; b < n_block; b++)
		x = nn_comenet_block(t, ps, nn_name("%sinteraction_blocks.%d.", prefix, b).s, x, f1, f2, pairs, p->mol,
				     p->n_mol);
	for (int l = 0; l < N_READOUT; l++)
		x = swish_linear(t, ps, nn_name("%slins.%d", prefix, l).s, x);
	if (nn_params_find(ps, nn_name("%slin_out.weight", prefix).s))
		return nn_segment_sum(t, nn_linear_named(t, ps, nn_name("%slin_out", prefix).s, x), p->mol, p->n_mol);
	return nn_segment_mean(t, x, p->mol, p->n_mol);
}

static void build_comenet_block(struct nn_params *ps, const char *prefix, int64_t d, int64_t middle, uint64_t seed)
{
	static const char *const layers[] = {"lin1", "lin2", "lin", "lins.0", "lins.1", "lins.2", "final"};
	for (int c = 1; c <= 2; c++) {
		nn_linear_build_glorot(ps, nn_name("%sconv%d.lin_rel", prefix, c).s, d, d, true, seed);
		nn_linear_build_glorot(ps, nn_name("%sconv%d.lin_root", prefix, c).s, d, d, false, seed);
	}
	for (int l = 0; l < 7; l++)
		nn_linear_build_glorot(ps, nn_name("%s%s", prefix, layers[l]).s, d, d, true, seed);
	nn_linear_build_glorot(ps, nn_name("%slin_cat", prefix).s, 2 * d, d, true, seed);
	nn_graph_norm_build(ps, nn_name("%snorm", prefix).s, d);
	for (int c = 1; c <= 2; c++) {
		int64_t n_in = c == 1 ? N_FEATURE1 : N_FEATURE2;
		nn_linear_build_glorot(ps, nn_name("%slin_feature%d.lin1", prefix, c).s, n_in, middle, false, seed);
		nn_linear_build_glorot(ps, nn_name("%slin_feature%d.lin2", prefix, c).s, middle, d, false, seed);
	}
}

static void build_comenet(struct nn_params *ps, const char *prefix, const struct nn_geom_config *c, uint64_t seed)
{
	const int64_t shape[2] = {N_ELEMENT_COMENET, c->width};
	/* uniform in +-sqrt(3), as its authors start the element embedding */
	nn_init_uniform(ps, nn_params_add(ps, nn_name("%semb.emb.weight", prefix).s, false, 2, shape), seed, sqrt(3));
	for (int b = 0; b < c->n_block; b++)
		build_comenet_block(ps, nn_name("%sinteraction_blocks.%d.", prefix, b).s, c->width, c->middle, seed);
	for (int l = 0; l < N_READOUT; l++)
		nn_linear_build_glorot(ps, nn_name("%slins.%d", prefix, l).s, c->width, c->width, true, seed);
}

/* ---- SchNet ------------------------------------------------------------------ */

struct radial_rule {
	struct nn_var *dist, *y;
	double cutoff;
};

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
		nn_tape_push(t, n_gaussian ? gaussians_back : cosine_back, r);
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

struct nn_var *nn_schnet(struct nn_tape *t, struct nn_params *ps, const char *prefix, int n_block, double cutoff_ang,
			 int n_gaussian, const struct nn_points *p, struct nn_var *pos, bool read_sum)
{
	struct nn_pairs within = nn_pairs_within(nn_tape_arena(t), p, cutoff_ang);
	const struct nn_pair_lists *pairs = nn_pair_lists_new(t, &within, p->n_atom);
	struct nn_var *dist = nn_distances(t, pos ? pos : nn_input(t, p->pos, p->n_atom, 3), pairs);
	struct nn_var *h = embed_elements(t, ps, nn_name("%sembedding.weight", prefix).s, p);
	for (int b = 0; b < n_block; b++)
		h = nn_add(t, h,
			   nn_schnet_block(t, ps, nn_name("%sinteractions.%d.", prefix, b).s, h, dist, pairs,
					   cutoff_ang, n_gaussian));
	h = ssp_linear(t, ps, nn_name("%slin1", prefix).s, h);
	h = nn_linear_named(t, ps, nn_name("%slin2", prefix).s, h);
	return read_sum ? nn_segment_sum(t, h, p->mol, p->n_mol) : nn_segment_mean(t, h, p->mol, p->n_mol);
}

static void build_schnet(struct nn_params *ps, const char *prefix, const struct nn_geom_config *c, uint64_t seed)
{
	const int64_t shape[2] = {N_ELEMENT_SCHNET, c->width};
	nn_init_normal(ps, nn_params_add(ps, nn_name("%sembedding.weight", prefix).s, false, 2, shape), seed, 0, 1);
	for (int b = 0; b < c->n_block; b++) {
		struct nn_name s = nn_name("%sinteractions.%d", prefix, b);
		nn_linear_build_glorot(ps, nn_name("%s.mlp.0", s.s).s, c->n_gaussian, c->n_filter, true, seed);
		nn_linear_build_glorot(ps, nn_name("%s.mlp.2", s.s).s, c->n_filter, c->n_filter, true, seed);
		nn_linear_build_glorot(ps, nn_name("%s.conv.lin1", s.s).s, c->width, c->n_filter, false, seed);
		nn_linear_build_glorot(ps, nn_name("%s.conv.lin2", s.s).s, c->n_filter, c->width, true, seed);
		nn_linear_build_glorot(ps, nn_name("%s.lin", s.s).s, c->width, c->width, true, seed);
	}
	nn_linear_build_glorot(ps, nn_name("%slin1", prefix).s, c->width, c->width, true, seed);
	nn_linear_build_glorot(ps, nn_name("%slin2", prefix).s, c->width, c->width, true, seed);
}

/* ---- either --------------------------------------------------------------------- */

void nn_geom_build(struct nn_params *ps, const char *prefix, const struct nn_geom_config *c, uint64_t seed)
{
	if (c->schnet)
		build_schnet(ps, prefix, c, seed);
	else
		build_comenet(ps, prefix, c, seed);
}

struct nn_var *nn_geom(struct nn_tape *t, struct nn_params *ps, const char *prefix, const struct nn_geom_config *c,
		       const struct nn_points *p)
{
	return c->schnet ? nn_schnet(t, ps, prefix, c->n_block, c->cutoff_ang, c->n_gaussian, p, NULL, false)
			 : nn_comenet(t, ps, prefix, c->n_block, c->cutoff_ang, p);
}
