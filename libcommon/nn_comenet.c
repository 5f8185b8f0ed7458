/* nn_comenet.c - ComENet (Wang et al., NeurIPS 2022): complete message passing in local frames. */
#include "nn_layer.h"

#include <math.h>

enum { N_ELEMENT = 95, N_READOUT = 3, N_RESIDUAL = 3 };
enum { N_FEATURE1 = 12, N_FEATURE2 = 6 };

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
	struct nn_var *h;
	if (nn_tape_kernels(t)->plain || feature->g)
		h = nn_filter_sum(t, pairs, x, nn_matmul(t, nn_matmul(t, feature, false, w1, true), false, w2, true));
	else /* nothing stands between the two layers: multiplied once, the filters need not be stored */
		h = nn_feature_sum(t, pairs, x, feature, nn_matmul(t, w1, true, w2, true));
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
	struct nn_elements e = nn_embed_elements(t, ps, nn_name("%semb.emb.weight", prefix).s, p);
	struct nn_var *x = nn_elements_spread(t, &e, nn_activate(t, e.x, NN_SWISH));
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
