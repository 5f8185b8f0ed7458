/* nn_comenet.c - ComENet (Wang et al., NeurIPS 2022): complete message passing in local frames. */
#include "nn_layer.h"

#include <math.h>

enum { N_ELEMENT = 95, N_READOUT = 3, N_RESIDUAL = 3 };
enum { N_FEATURE1 = 12, N_FEATURE2 = 6 };

static struct nn_var *swish_linear(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_var *x)
{
	return nn_activate(t, nn_linear_named(t, ps, name, x), NN_SWISH);
}

static struct nn_var *use(struct nn_tape *t, struct nn_params *ps, const char *prefix, const char *name)
{
	return nn_use(t, nn_params_find(ps, nn_name("%s%s", prefix, name).s));
}

/* ---- the plain path: layer by layer, as the formulas stand ------------------------------------------------ */

/* Convolution c of a block: filters from features, neighbours, root, and a layer. */
static struct nn_var *plain_conv(struct nn_tape *t, struct nn_params *ps, const char *prefix, int c, struct nn_var *x,
				 struct nn_var *feature, const struct nn_pair_lists *pairs)
{
	struct nn_var *f = nn_linear_named(t, ps, nn_name("%slin_feature%d.lin1", prefix, c).s, feature);
	f = nn_linear_named(t, ps, nn_name("%slin_feature%d.lin2", prefix, c).s, f);
	struct nn_var *h = nn_filter_sum(t, pairs, x, f);
	h = nn_add(t, nn_linear_named(t, ps, nn_name("%sconv%d.lin_rel", prefix, c).s, h),
		   nn_linear_named(t, ps, nn_name("%sconv%d.lin_root", prefix, c).s, x));
	return swish_linear(t, ps, nn_name("%slin%d", prefix, c).s, h);
}

static struct nn_var *plain_block(struct nn_tape *t, struct nn_params *ps, const char *prefix, struct nn_var *x,
				  struct nn_var *f1, struct nn_var *f2, const struct nn_pair_lists *pairs,
				  const int64_t *mol, int64_t n_mol)
{
	x = swish_linear(t, ps, nn_name("%slin", prefix).s, x);
	struct nn_var *both[2] = {plain_conv(t, ps, prefix, 1, x, f1, pairs),
				  plain_conv(t, ps, prefix, 2, x, f2, pairs)};
	struct nn_var *h = nn_add(t, nn_linear_named(t, ps, nn_name("%slin_cat", prefix).s, nn_concat(t, 2, both)), x);
	for (int l = 0; l < N_RESIDUAL; l++)
		h = nn_add(t, swish_linear(t, ps, nn_name("%slins.%d", prefix, l).s, h), h);
	h = nn_graph_norm(t, ps, nn_name("%snorm", prefix).s, h, mol, n_mol);
	return nn_linear_named(t, ps, nn_name("%sfinal", prefix).s, h);
}

/* ---- the quick path: the same function with fewer operations ------------------------------------------------ */

/*
 * Two layers with nothing between them, A (B x + b) + a = (A B) x + (A b + a): their product costs as much as one layer
 * over as many rows as they are wide.
 */
static struct nn_var *fold(struct nn_tape *t, struct nn_var *a, struct nn_var *b)
{
	return nn_var_unset(nn_matmul(t, a, false, b, false));
}
static struct nn_var *fold_bias(struct nn_tape *t, struct nn_var *a_weight, struct nn_var *b_bias,
				struct nn_var *a_bias)
{
	return nn_add(t, nn_matmul(t, b_bias, false, a_weight, true), a_bias);
}
/* Where that pays. Blocks of inference never fold: a row's bytes must not depend on how many there are. */
static bool folds(const struct kernels *k, const struct nn_var *x, int64_t width)
{
	return !k->fixed_rows && x->n >= 2 * width;
}

static struct nn_var *filter_weights(struct nn_tape *t, struct nn_params *ps, const char *prefix, int c)
{
	struct nn_name in = nn_name("%slin_feature%d", prefix, c);
	return nn_matmul(t, nn_weight(t, ps, nn_name("%s.lin1", in.s).s), true,
			 nn_weight(t, ps, nn_name("%s.lin2", in.s).s), true);
}

static struct nn_var *quick_conv(struct nn_tape *t, struct nn_params *ps, const char *prefix, int c, struct nn_var *x,
				 struct nn_var *feature, const struct nn_pair_lists *pairs)
{
	struct nn_name conv = nn_name("%sconv%d", prefix, c), lin = nn_name("%slin%d", prefix, c);
	/* filters are linear in the features, so that none needs to be stored */
	struct nn_var *h = nn_var_unset(nn_feature_sum(t, pairs, x, feature, filter_weights(t, ps, prefix, c)));
	struct nn_var *rel = nn_weight(t, ps, nn_name("%s.lin_rel", conv.s).s);
	struct nn_var *root = nn_weight(t, ps, nn_name("%s.lin_root", conv.s).s);
	struct nn_var *bias = use(t, ps, conv.s, ".lin_rel.bias"), *last = nn_weight(t, ps, lin.s);
	bool folded = folds(nn_tape_kernels(t), h, last->n);
	struct nn_dense l = {.n_in = 2,
			     .in = {{h, folded ? fold(t, last, rel) : rel}, {x, folded ? fold(t, last, root) : root}},
			     .bias = folded ? fold_bias(t, last, bias, use(t, ps, lin.s, ".bias")) : bias,
			     .linear = !folded,
			     .f = NN_SWISH};
	h = nn_dense(t, &l);
	return folded ? h : nn_dense_named(t, ps, lin.s, nn_var_unset(h), NN_SWISH, NULL);
}

/* table[e] w[q], entry by entry, as row e n_feature + q. */
static struct nn_var *each_with_each(struct nn_tape *t, struct nn_var *table, struct nn_var *w)
{
	int64_t n = table->n * w->n, *of = arena_alloc(nn_tape_arena(t), (size_t)(2 * n + 1) * sizeof *of);
	for (int64_t i = 0; i < n; i++) {
		of[i] = i / w->n;
		of[n + i] = i % w->n;
	}
	return nn_mul(t, nn_gather(t, table, of, n), nn_gather(t, w, of + n, n));
}

/*
 * The same where the rows of x are those of elements: the sum over an atom's pairs of x_j (f_ij w) is one over elements
 * e and features q of sum[e, q] (x_e w_q), sum[e, q] that of the features over the neighbours of element e, a constant.
 * So all layers up to the activation are applied to the few rows x_e w_q, and no product is as wide as the network is.
 */
static struct nn_var *first_conv(struct nn_tape *t, struct nn_params *ps, const char *prefix, int c,
				 const struct nn_elements *e, struct nn_var *x, const real *sum, int n_feature)
{
	struct nn_name conv = nn_name("%sconv%d", prefix, c), lin = nn_name("%slin%d", prefix, c);
	struct nn_var *last = nn_weight(t, ps, lin.s);
	struct nn_var *rel = nn_matmul(t, each_with_each(t, x, filter_weights(t, ps, prefix, c)), false,
				       use(t, ps, conv.s, ".lin_rel.weight"), true);
	struct nn_var *root = nn_dense(t, &(struct nn_dense){.n_in = 1,
							     .in = {{x, use(t, ps, conv.s, ".lin_root.weight")}},
							     .bias = use(t, ps, conv.s, ".lin_rel.bias"),
							     .linear = true});
	return nn_dense(t, &(struct nn_dense){.n_in = 1,
					      .in = {{nn_input(t, sum, e->n_atom, x->n * n_feature),
						      nn_matmul(t, last, false, rel, true)}},
					      .bias = use(t, ps, lin.s, ".bias"),
					      .before = nn_elements_spread(t, e, nn_matmul(t, root, false, last, true)),
					      .f = NN_SWISH});
}

/* What follows the convolutions h1 and h2 of x, up to the norm: `final` is left to the layer that follows. */
static struct nn_var *after_convs(struct nn_tape *t, struct nn_params *ps, const char *prefix, struct nn_var *x,
				  struct nn_var *h1, struct nn_var *h2, const int64_t *mol, int64_t n_mol)
{
	struct nn_var *cat = use(t, ps, prefix, "lin_cat.weight");
	struct nn_var *h =
	    nn_dense(t, &(struct nn_dense){.n_in = 2,
					   .in = {{nn_var_unset(h1), cat, 0}, {nn_var_unset(h2), cat, h1->d}},
					   .bias = use(t, ps, prefix, "lin_cat.bias"),
					   .after = x,
					   .after_ends = true,
					   .linear = true});
	for (int l = 0; l < N_RESIDUAL; l++)
		h = nn_dense_named(t, ps, nn_name("%slins.%d", prefix, l).s, h, NN_SWISH, h);
	return nn_var_unset(nn_graph_norm(t, ps, nn_name("%snorm", prefix).s, h, mol, n_mol));
}

static struct nn_var *quick_block(struct nn_tape *t, struct nn_params *ps, const char *prefix, struct nn_var *x,
				  struct nn_var *f1, struct nn_var *f2, const struct nn_pair_lists *pairs,
				  const int64_t *mol, int64_t n_mol)
{
	struct nn_var *h1 = quick_conv(t, ps, prefix, 1, x, f1, pairs),
		      *h2 = quick_conv(t, ps, prefix, 2, x, f2, pairs);
	return after_convs(t, ps, prefix, x, h1, h2, mol, n_mol);
}

/* swish of layer NAME after `final` of the block PREFIX. */
static struct nn_var *after_final(struct nn_tape *t, struct nn_params *ps, const char *prefix, const char *name,
				  struct nn_var *h)
{
	struct nn_var *w = nn_weight(t, ps, name);
	if (!folds(nn_tape_kernels(t), h, w->n)) {
		h = nn_dense_named(t, ps, nn_name("%sfinal", prefix).s, h, -1, NULL);
		return nn_dense_named(t, ps, name, nn_var_unset(h), NN_SWISH, NULL);
	}
	struct nn_var *final = nn_weight(t, ps, nn_name("%sfinal", prefix).s), *bias = use(t, ps, prefix, "final.bias");
	return nn_dense(t, &(struct nn_dense){.n_in = 1,
					      .in = {{.x = h, .w = fold(t, w, final)}},
					      .bias = fold_bias(t, w, bias, use(t, ps, name, ".bias")),
					      .f = NN_SWISH});
}

static bool is_quick(const struct kernels *k) /* a device may lack these operations */
{
	return !k->plain && k->feature_sum && k->dense;
}

/* ---- either ------------------------------------------------------------------------------------------------- */

struct nn_var *nn_comenet_block(struct nn_tape *t, struct nn_params *ps, const char *prefix, struct nn_var *x,
				struct nn_var *f1, struct nn_var *f2, const struct nn_pair_lists *pairs,
				const int64_t *mol, int64_t n_mol)
{
	if (!is_quick(nn_tape_kernels(t)) || f1->g || f2->g)
		return plain_block(t, ps, prefix, x, f1, f2, pairs, mol, n_mol);
	x = nn_dense_named(t, ps, nn_name("%slin", prefix).s, x, NN_SWISH, NULL);
	x = quick_block(t, ps, prefix, x, f1, f2, pairs, mol, n_mol);
	return nn_dense_named(t, ps, nn_name("%sfinal", prefix).s, x, -1, NULL);
}

static struct nn_var *plain_net(struct nn_tape *t, struct nn_params *ps, const char *prefix, int n_block,
				const struct nn_points *p, const struct nn_comenet_features *f)
{
	const struct nn_pair_lists *pairs = nn_pair_lists_new(t, &f->pairs, p->n_atom);
	struct nn_var *f1 = nn_input(t, f->feature1, f->pairs.n, N_FEATURE1);
	struct nn_var *f2 = nn_input(t, f->feature2, f->pairs.n, N_FEATURE2);
	struct nn_elements e = nn_embed_elements(t, ps, nn_name("%semb.emb.weight", prefix).s, p);
	struct nn_var *x = nn_elements_spread(t, &e, nn_activate(t, e.x, NN_SWISH));
	for (int b = 0; b < n_block; b++)
		x = plain_block(t, ps, nn_name("%sinteraction_blocks.%d.", prefix, b).s, x, f1, f2, pairs, p->mol,
				p->n_mol);
	for (int l = 0; l < N_READOUT; l++)
		x = swish_linear(t, ps, nn_name("%slins.%d", prefix, l).s, x);
	return x;
}

static struct nn_var *first_block(struct nn_tape *t, struct nn_params *ps, const char *prefix,
				  const struct nn_elements *e, struct nn_var *x, const struct nn_points *p,
				  const struct nn_comenet_features *f)
{
	struct arena *a = nn_tape_arena(t);
	const real *sum1 = nn_comenet_sums(a, f, f->feature1, N_FEATURE1, e),
		   *sum2 = nn_comenet_sums(a, f, f->feature2, N_FEATURE2, e);
	struct nn_var *h1 = first_conv(t, ps, prefix, 1, e, x, sum1, N_FEATURE1),
		      *h2 = first_conv(t, ps, prefix, 2, e, x, sum2, N_FEATURE2);
	return after_convs(t, ps, prefix, nn_elements_spread(t, e, x), h1, h2, p->mol, p->n_mol);
}

static struct nn_var *quick_net(struct nn_tape *t, struct nn_params *ps, const char *prefix, int n_block,
				const struct nn_points *p, const struct nn_comenet_features *f)
{
	const struct nn_pair_lists *pairs = nn_pair_lists_new(t, &f->pairs, p->n_atom);
	struct nn_var *f1 = nn_input(t, f->feature1, f->pairs.n, N_FEATURE1);
	struct nn_var *f2 = nn_input(t, f->feature2, f->pairs.n, N_FEATURE2);
	struct nn_elements e = nn_embed_elements(t, ps, nn_name("%semb.emb.weight", prefix).s, p);
	struct nn_name at = nn_name("%sinteraction_blocks.0.", prefix);
	struct nn_var *x =
	    nn_dense_named(t, ps, nn_name("%slin", at.s).s, nn_activate(t, e.x, NN_SWISH), NN_SWISH, NULL);
	for (int b = 0; b < n_block; b++) {
		struct nn_var *h = NULL;
		if (b)
			h = quick_block(t, ps, at.s, x, f1, f2, pairs, p->mol, p->n_mol);
		else if (nn_tape_kernels(t)->fixed_rows) /* sums over elements would depend on which there are */
			h = quick_block(t, ps, at.s, nn_elements_spread(t, &e, x), f1, f2, pairs, p->mol, p->n_mol);
		else
			h = first_block(t, ps, at.s, &e, x, p, f);
		struct nn_name next =
		    b < n_block - 1 ? nn_name("%sinteraction_blocks.%d.", prefix, b + 1) : nn_name("%slins.0", prefix);
		x = after_final(t, ps, at.s, b < n_block - 1 ? nn_name("%slin", next.s).s : next.s, h);
		at = next;
	}
	for (int l = 1; l < N_READOUT; l++)
		x = nn_dense_named(t, ps, nn_name("%slins.%d", prefix, l).s, nn_var_unset(x), NN_SWISH, NULL);
	return x;
}

struct nn_var *nn_comenet(struct nn_tape *t, struct nn_params *ps, const char *prefix, int n_block, double cutoff_ang,
			  const struct nn_points *p)
{
	bool is_there = p->features && p->features->cutoff_ang == cutoff_ang;
	struct nn_comenet_features f =
	    is_there ? *p->features : nn_comenet_features_of(nn_tape_arena(t), p, cutoff_ang, false);
	struct nn_var *x = (is_quick(nn_tape_kernels(t)) ? quick_net : plain_net)(t, ps, prefix, n_block, p, &f);
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

void nn_comenet_build(struct nn_params *ps, const char *prefix, const struct nn_geom_config *c, uint64_t seed)
{
	const int64_t shape[2] = {N_ELEMENT, c->width};
	/* uniform in +-sqrt(3), as its authors start the element embedding */
	nn_init_uniform(ps, nn_params_add(ps, nn_name("%semb.emb.weight", prefix).s, false, 2, shape), seed, sqrt(3));
	for (int b = 0; b < c->n_block; b++)
		build_comenet_block(ps, nn_name("%sinteraction_blocks.%d.", prefix, b).s, c->width, c->middle, seed);
	for (int l = 0; l < N_READOUT; l++)
		nn_linear_build_glorot(ps, nn_name("%slins.%d", prefix, l).s, c->width, c->width, true, seed);
}
