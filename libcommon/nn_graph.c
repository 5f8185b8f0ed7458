/* nn_graph.c - encoders of 2D graphs: GIN, GCN, GraphSAGE, GAT with bond features (Hu et al., ICLR 2020). */
#include "nn_layer.h"

#include <math.h>
#include <string.h>

/* Rows of the tables of the two feature sets; the first atom table ends with the mask, the first bond table holds the
 * self-loop. hu: pretrain-gnns; ogb: Open Graph Benchmark, one row more in both first tables. */
static const struct feature_set {
	int n_atom, n_bond, loop;
	int atom[9], bond[3];
	const char *atom_name, *bond_name; /* of the tables, numbered from `first` */
	int first;
} sets[2] = {
    {.n_atom = 9,
     .n_bond = 3,
     .loop = 5,
     .atom = {120, 5, 12, 12, 10, 6, 6, 2, 2},
     .bond = {6, 6, 2},
     .atom_name = "atom_encoder.atom_embedding_list.",
     .bond_name = "bond_encoder.bond_embedding_list."},
    {.n_atom = 2,
     .n_bond = 2,
     .loop = 4,
     .atom = {120, 3},
     .bond = {6, 3},
     .atom_name = "x_embedding",
     .bond_name = "edge_embedding",
     .first = 1},
};
enum { N_HEAD = 2 }; /* of GAT, as pretrain-gnns has it */
static const double gat_slope = 0.2;

static struct nn_name table_name(const struct feature_set *s, bool atom, const char *prefix, int i)
{
	return nn_name("%s%s%d.weight", prefix, atom ? s->atom_name : s->bond_name, i + s->first);
}

static void build_layer(struct nn_params *ps, const char *name, const struct nn_gnn_config *c, uint64_t seed)
{
	const struct feature_set *s = &sets[c->hu];
	int64_t d = c->width, wide = c->kind == NN_GAT ? N_HEAD * d : d;
	for (int i = 0; i < s->n_bond; i++)
		nn_embedding_build(ps, table_name(s, false, nn_name("%s.", name).s, i).s, s->bond[i], wide, seed);
	switch (c->kind) {
	case NN_GIN:
		nn_linear_build(ps, nn_name("%s.mlp.0", name).s, d, 2 * d, true, seed);
		nn_linear_build(ps, nn_name("%s.mlp.2", name).s, 2 * d, d, true, seed);
		break;
	case NN_GCN:
	case NN_SAGE:
		nn_linear_build(ps, nn_name("%s.linear", name).s, d, d, true, seed);
		break;
	case NN_GAT:
		nn_linear_build(ps, nn_name("%s.weight_linear", name).s, d, wide, true, seed);
		nn_init_uniform(
		    ps, nn_params_add(ps, nn_name("%s.att", name).s, false, 3, (const int64_t[]){1, N_HEAD, 2 * d}),
		    seed, sqrt(6 / (double)(N_HEAD + 2 * d)));
		nn_init_constant(ps, nn_params_add(ps, nn_name("%s.bias", name).s, false, 1, &d), 0);
		break;
	}
}

void nn_gnn_build(struct nn_params *ps, const char *prefix, const struct nn_gnn_config *c, uint64_t seed)
{
	const struct feature_set *s = &sets[c->hu];
	for (int i = 0; i < s->n_atom; i++)
		nn_embedding_build(ps, table_name(s, true, prefix, i).s, s->atom[i], c->width, seed);
	for (int l = 0; l < c->n_layer; l++) {
		build_layer(ps, nn_name("%sgnns.%d", prefix, l).s, c, seed);
		nn_batch_norm_build(ps, nn_name("%sbatch_norms.%d", prefix, l).s, c->width);
	}
}

static int64_t count_kinds(const struct feature_set *s)
{
	int64_t n = 1;
	for (int f = 0; f < s->n_bond; f++)
		n *= s->bond[f];
	return n;
}

static struct nn_links links_of(struct arena *a, const struct nn_graphs *g)
{
	const struct feature_set *s = &sets[g->hu];
	return nn_links_new(a, g, s->n_bond, s->bond, s->loop);
}

struct nn_messages *nn_gnn_messages(struct nn_tape *t, const struct nn_graphs *g)
{
	struct nn_links *l = arena_alloc(nn_tape_arena(t), sizeof *l);
	*l = links_of(nn_tape_arena(t), g);
	return nn_messages_new(t, l, count_kinds(&sets[g->hu]));
}

/* [n_kind, d]: the sum of bond embeddings of each combination of bond features. */
static struct nn_var *bond_table(struct nn_tape *t, struct nn_params *ps, const char *name, bool hu)
{
	const struct feature_set *s = &sets[hu];
	struct nn_param *table[3];
	int64_t n = count_kinds(s), *value = arena_alloc(nn_tape_arena(t), (size_t)(n * s->n_bond) * sizeof *value);
	for (int i = 0; i < s->n_bond; i++)
		table[i] = nn_params_find(ps, table_name(s, false, nn_name("%s.", name).s, i).s);
	for (int64_t c = 0; c < n; c++)
		for (int64_t f = s->n_bond - 1, rest = c; f >= 0; rest /= s->bond[f--])
			value[c * s->n_bond + f] = rest % s->bond[f];
	return nn_embedding_sum(t, s->n_bond, table, value, n);
}

static struct nn_var *gin(struct nn_tape *t, struct nn_params *ps, const char *name, const struct nn_messages *m,
			  struct nn_var *h, struct nn_var *bonds)
{
	struct nn_param *weight = nn_params_find(ps, nn_name("%s.mlp.0.weight", name).s);
	struct nn_param *bias = nn_params_find(ps, nn_name("%s.mlp.0.bias", name).s);
	struct nn_var *x;
	/* The product is linear: it may come before the sum, over the rows of the level below, or after it. */
	if (m->product_first)
		x = nn_message_sum(t, m, nn_linear(t, h, weight, NULL), nn_linear(t, bonds, weight, NULL), NULL, 1);
	else
		x = nn_linear(t, nn_message_sum(t, m, h, bonds, NULL, 1), weight, NULL);
	return nn_linear_named(t, ps, nn_name("%s.mlp.2", name).s, nn_bias_relu(t, x, bias));
}

/*
 * att . [x_v, x_u + e] splits into a term of v, one of u and one of the bond's kind. [2 N_HEAD, wide], so that a
 * product with rows of all heads gives the terms of v, then those of u, head by head.
 */
static struct nn_var *head_weights(struct nn_tape *t, struct nn_param *att, int64_t d)
{
	int64_t wide = N_HEAD * d, *to = arena_alloc(nn_tape_arena(t), (size_t)(2 * wide) * sizeof *to);
	for (int64_t h = 0; h < N_HEAD; h++)
		for (int64_t j = 0; j < 2 * d; j++)
			to[h * 2 * d + j] = (j < d ? h : N_HEAD + h) * wide + h * d + j % d;
	struct nn_var *column = nn_reshape(t, nn_use(t, att), 2 * wide, 1);
	return nn_reshape(t, nn_scatter(t, column, to, 2 * N_HEAD * wide), 2 * N_HEAD, wide);
}

static struct nn_var *add_row(struct nn_tape *t, struct nn_var *x, struct nn_var *row)
{
	struct nn_var *ones = nn_var_new(t, x->n, 1, false);
	nn_tape_kernels(t)->fill(nn_tape_kernels(t), ones->v, x->n, 1);
	return nn_add(t, x, nn_matmul(t, ones, false, row, false));
}

/* The row of the level below that each target itself is. */
static const int64_t *own_rows(struct nn_tape *t, const struct nn_links *l)
{
	int64_t *row = arena_alloc(nn_tape_arena(t), (size_t)(l->n + 1) * sizeof *row);
	for (int64_t v = 0; v < l->n; v++)
		row[v] = l->source[l->start[v]];
	return row;
}

static struct nn_var *gat(struct nn_tape *t, struct nn_params *ps, const char *name, const struct nn_messages *m,
			  struct nn_var *h, struct nn_var *bonds)
{
	struct nn_param *weight = nn_params_find(ps, nn_name("%s.weight_linear.weight", name).s);
	struct nn_param *shift = nn_params_find(ps, nn_name("%s.weight_linear.bias", name).s);
	struct nn_var *x = nn_linear(t, h, weight, shift);
	struct nn_var *heads = head_weights(t, nn_params_find(ps, nn_name("%s.att", name).s), x->d / N_HEAD);
	/* scores of x = h W^T + b, by way of h: half as wide */
	struct nn_var *scores = nn_matmul(t, h, false, nn_matmul(t, heads, false, nn_use(t, weight), false), true);
	scores = add_row(t, scores, nn_matmul(t, nn_use(t, shift), false, heads, true));
	struct nn_var *own = nn_columns(t, scores, 0, N_HEAD);
	if (m->links->own_first)
		own = nn_gather(t, own, own_rows(t, m->links), m->n_row);
	struct nn_var *of_bond = nn_columns(t, nn_matmul(t, bonds, false, heads, true), N_HEAD, N_HEAD);
	struct nn_var *alpha = nn_attention(t, m, own, nn_columns(t, scores, N_HEAD, N_HEAD), of_bond, gat_slope);
	struct nn_var *y = nn_message_sum(t, m, x, bonds, nn_scale(t, alpha, 1.0 / N_HEAD), N_HEAD);
	return nn_bias(t, nn_fold(t, y, N_HEAD), nn_params_find(ps, nn_name("%s.bias", name).s));
}

struct nn_var *nn_gnn_layer(struct nn_tape *t, struct nn_params *ps, const char *name, enum nn_gnn_kind kind, bool hu,
			    const struct nn_messages *m, struct nn_var *h)
{
	struct nn_var *bonds = bond_table(t, ps, name, hu);
	if (kind == NN_GIN)
		return gin(t, ps, name, m, h, bonds);
	if (kind == NN_GAT)
		return gat(t, ps, name, m, h, bonds);
	struct nn_var *x = nn_linear_named(t, ps, nn_name("%s.linear", name).s, h);
	x = nn_message_sum(t, m, x, bonds, nn_message_weights(t, m, kind == NN_GCN), 1);
	return kind == NN_GCN ? x : nn_unit(t, x);
}

/* Atom features within their tables: a value beyond a table is its last. [n_atom, n_atom features] */
static const int64_t *atom_classes(struct arena *a, const struct nn_graphs *g)
{
	const struct feature_set *s = &sets[g->hu];
	int64_t *x = arena_alloc(a, (size_t)(g->n_atom * s->n_atom + 1) * sizeof *x);
	for (int64_t i = 0; i < g->n_atom * s->n_atom; i++) {
		int64_t last = s->atom[i % s->n_atom] - 1;
		x[i] = g->x[i] < 0 ? 0 : g->x[i] < last ? g->x[i] : last;
	}
	return x;
}

static const struct nn_merged *merged_new(struct arena *a, const struct nn_graphs *g, bool with_degree, int n_level)
{
	struct nn_merged *m = arena_calloc(a, 1, sizeof *m);
	m->links = links_of(a, g);
	m->class = atom_classes(a, g);
	m->n_level = n_level;
	m->with_degree = with_degree;
	if (n_level)
		m->level = nn_levels_new(a, &m->links, m->class, sets[g->hu].n_atom, with_degree, n_level, UINT64_MAX);
	return m;
}

void nn_gnn_merge(struct arena *a, const struct nn_gnn_config *c, struct nn_graphs *g)
{
	g->merged = merged_new(a, g, c->kind == NN_GCN, c->n_layer);
}

/* What the network computes one row of, layer by layer: the atoms of the batch, or what is left of them merged. */
struct stack {
	const struct nn_merged *merged;
	int depth;                       /* layers with merged rows; those above have one row an atom */
	const struct nn_messages *plain; /* of the layers above, once they are needed */
	int64_t n_kind;
};

static struct nn_var *embed_rows(struct nn_tape *t, struct nn_params *ps, const char *prefix, const struct nn_graphs *g,
				 const int64_t *class, const struct nn_level *level)
{
	const struct feature_set *s = &sets[g->hu];
	struct nn_param *table[9];
	for (int i = 0; i < s->n_atom; i++)
		table[i] = nn_params_find(ps, table_name(s, true, prefix, i).s);
	if (!level)
		return nn_embedding_sum(t, s->n_atom, table, class, g->n_atom);
	int64_t *own = arena_alloc(nn_tape_arena(t), (size_t)(level->n * s->n_atom + 1) * sizeof *own);
	for (int64_t i = 0; i < level->n; i++)
		memcpy(own + i * s->n_atom, class + level->first[i] * s->n_atom, (size_t)s->n_atom * sizeof *own);
	return nn_embedding_sum(t, s->n_atom, table, own, level->n);
}

/*
 * Rows stay merged up to the first dropout, which makes each atom's its own. Where dropout acts in all layers, that is
 * the first layer alone.
 */
static struct stack stack_new(struct nn_tape *t, const struct nn_gnn_config *c, const struct nn_graphs *g)
{
	bool drops = c->dropout > 0 && nn_tape_is_training(t), with_degree = c->kind == NN_GCN;
	int depth = nn_tape_kernels(t)->plain ? 0 : drops ? 1 : c->n_layer;
	bool is_there = g->merged && g->merged->with_degree == with_degree && g->merged->n_level >= depth;
	return (struct stack){.merged = is_there ? g->merged : merged_new(nn_tape_arena(t), g, with_degree, depth),
			      .depth = depth,
			      .n_kind = count_kinds(&sets[g->hu])};
}

/* The colours of drug-like molecules still part in the first layers, which have fewer rows below than above. By number
 * alone: what a molecule's bytes are may not depend on the others of its batch. */
enum { N_PARTING = 4 };

static const struct nn_messages *stack_messages(struct nn_tape *t, struct stack *s, int layer)
{
	if (layer < s->depth) {
		struct nn_messages *m = nn_messages_new(t, &s->merged->level[layer + 1].in, s->n_kind);
		m->product_first = layer < N_PARTING;
		return m;
	}
	if (!s->plain)
		s->plain = nn_messages_new(t, &s->merged->links, s->n_kind);
	return s->plain;
}

struct nn_var *nn_gnn(struct nn_tape *t, struct nn_params *ps, const char *prefix, const struct nn_gnn_config *c,
		      const struct nn_graphs *g, struct nn_var **each)
{
	struct stack s = stack_new(t, c, g);
	struct nn_var *h = embed_rows(t, ps, prefix, g, s.merged->class, s.depth ? s.merged->level : NULL);
	for (int l = 0; l < c->n_layer; l++) {
		const struct nn_level *level = l < s.depth ? &s.merged->level[l + 1] : NULL;
		h = nn_gnn_layer(t, ps, nn_name("%sgnns.%d", prefix, l).s, c->kind, g->hu, stack_messages(t, &s, l), h);
		h = nn_batch_norm(t, ps, nn_name("%sbatch_norms.%d", prefix, l).s, h, level ? level->mult : NULL,
				  l < c->n_layer - 1);
		struct nn_var *atoms = level && (each || l == s.depth - 1) ? nn_gather(t, h, level->row, g->n_atom) : h;
		if (l == s.depth - 1)
			h = atoms;
		h = nn_dropout(t, h, c->dropout);
		if (each)
			each[l] = l < s.depth - 1 ? atoms : h;
	}
	return h;
}
