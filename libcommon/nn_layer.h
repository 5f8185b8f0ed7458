/*
 * nn_layer.h - layer 3: the parts of which the encoders are made.
 *
 * Parameters are found by name; `ps` holds them under NAME.weight, NAME.bias
 * and so on, and the builders add them with PyTorch's own starting values.
 */
#ifndef MOLRILL_NN_LAYER_H
#define MOLRILL_NN_LAYER_H

#include "nn.h"
#include "nn_quotient.h"

/* A name made by a format, in the tape's arena or the caller's: "%sgnns.%d.mlp.0". */
struct nn_name {
	char s[160];
};
struct nn_name nn_name(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- linear, embedding, norms (nn_layer.c) -------------------------------- */

/* kaiming_uniform(a = sqrt 5), that is uniform within 1 / sqrt(fan in), weight and bias alike. */
void nn_linear_build(struct nn_params *ps, const char *name, int64_t n_in, int64_t n_out, bool bias, uint64_t seed);
/* Uniform within sqrt(6 / (in + out)), bias 0 (Glorot and Bengio 2010). */
void nn_linear_build_glorot(struct nn_params *ps, const char *name, int64_t n_in, int64_t n_out, bool bias,
			    uint64_t seed);
/* The table itself is NAME; Glorot. */
void nn_embedding_build(struct nn_params *ps, const char *name, int64_t rows, int64_t d, uint64_t seed);
void nn_batch_norm_build(struct nn_params *ps, const char *name, int64_t d);
void nn_graph_norm_build(struct nn_params *ps, const char *name, int64_t d);
/* x through NAME.weight and NAME.bias (if there is one). */
struct nn_var *nn_linear_named(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_var *x);
/*
 * A linear layer and what stands around it (nn_dense.c): y = f(sum over inputs of x w^T + bias + before) + after, with
 * the gradients of all. x [n, d_in]; w [d, at least column + d_in], of which the columns from `column` on are taken;
 * bias [1, d], before and after [n, d], or NULL. The gradient of y is overwritten on the way back.
 */
struct nn_dense_in {
	struct nn_var *x, *w;
	int64_t column;
};
struct nn_dense {
	int n_in;
	struct nn_dense_in in[2];
	struct nn_var *bias, *before, *after;
	bool linear;     /* f is the identity */
	bool after_ends; /* nothing that comes later reads `after`: its gradient and y's may be one */
	enum nn_act f;
};
struct nn_var *nn_dense(struct nn_tape *t, const struct nn_dense *l);
/* NAME.weight with its gradient unset (nn_var_unset): for nn_dense, all columns at once, and nn_matmul. */
struct nn_var *nn_weight(struct nn_tape *t, struct nn_params *ps, const char *name);
/* f(x through NAME) + after; act: an enum nn_act, or -1 for the identity; after may be NULL. */
struct nn_var *nn_dense_named(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_var *x, int act,
			      struct nn_var *after);
/* BatchNorm of x, plus residual, then ReLU: what ends a block of a ResNet. residual may be NULL. */
struct nn_var *nn_batch_norm_add(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_var *x,
				 struct nn_var *residual, bool relu);
/* GraphNorm over rows mol (ascending, host) [x->n] of n_mol graphs: NAME.weight, .bias, .mean_scale. */
struct nn_var *nn_graph_norm(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_var *x,
			     const int64_t *mol, int64_t n_mol);

/* ---- message passing (nn_message.c, nn_graph.c) --------------------------- */

/*
 * Edges and self-loops of a batch, by target in the order of the edges, self-loops last; kinds number the combinations
 * of bond features (a value beyond its table is the last). n_value [n_feature]: rows of the bond tables; loop: the bond
 * type of a self-loop (other features 0). In a.
 */
struct nn_links nn_links_new(struct arena *a, const struct nn_graphs *g, int n_feature, const int *n_value, int loop);
/* Messages into n_row rows from n_source rows, sorted in three ways. In tape memory. */
struct nn_messages {
	int64_t n_row, n_source, n_item, n_kind;
	const struct nn_links *links;
	bool product_first;     /* fewer sources than targets: products go before sums where they may */
	struct k_csr in;        /* by target: sources */
	const int64_t *kind;    /* [n_item] by position in `in` */
	struct k_csr own;       /* by target: positions */
	struct k_csr out;       /* by source: targets */
	const int64_t *out_at;  /* [n_item] position in `in` */
	struct k_csr by_kind;   /* by kind: targets */
	const int64_t *kind_at; /* [n_item] position in `in` */
};
/* links must live as long. */
struct nn_messages *nn_messages_new(struct nn_tape *t, const struct nn_links *links, int64_t n_kind);
/* [n_item] by position: 1 / sqrt(deg u deg v) of GCN, or 1 / deg v; degrees with the self-loop. */
struct nn_var *nn_message_weights(struct nn_tape *t, const struct nn_messages *m, bool gcn);
/* y[v] = sum over edges (u, v) of w (x_u + table[kind]); w [n_item, n_head] by position, NULL: 1. */
struct nn_var *nn_message_sum(struct nn_tape *t, const struct nn_messages *m, struct nn_var *x, struct nn_var *table,
			      struct nn_var *w, int n_head);
/* [n_item, n_head]: softmax over the edges into v of leaky(a_v + b_u + c_kind); a, b [n_atom, n_head], c [n_kind,
 * n_head].
 */
struct nn_var *nn_attention(struct nn_tape *t, const struct nn_messages *m, struct nn_var *a, struct nn_var *b,
			    struct nn_var *c, double slope);
struct nn_messages *nn_gnn_messages(struct nn_tape *t, const struct nn_graphs *g); /* of the atoms, none merged */
/* One layer NAME before its BatchNorm. */
struct nn_var *nn_gnn_layer(struct nn_tape *t, struct nn_params *ps, const char *name, enum nn_gnn_kind kind, bool hu,
			    const struct nn_messages *m, struct nn_var *h);

/* ---- pictures (nn_image.c) ------------------------------------------------ */

/* n pictures in NHWC: x [n * height * width, channels]. */
struct nn_picture {
	struct nn_var *x;
	int64_t n, height, width;
};
/* NAME.weight [out, in, k, k] without bias, padding k / 2. */
struct nn_picture nn_conv(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_picture p, int stride);
/* Mean over the pixels of each picture: [n, channels]. */
struct nn_var *nn_picture_mean(struct nn_tape *t, struct nn_picture p);
/* nn_cnn as a chain of the layers here: what nn_cnn is tested against, and runs where the table is plain. */
struct nn_var *nn_cnn_plain(struct nn_tape *t, struct nn_params *ps, const char *prefix, const struct nn_cnn_config *c,
			    struct nn_var *img, int64_t n, int64_t height, int64_t width);
struct nn_picture nn_max_pool(struct nn_tape *t, struct nn_picture p); /* 3 x 3, stride 2, padding 1 */
/* relu(BN(conv3x3(relu(BN(conv3x3_stride x)))) + x), x through PREFIXdownsample where there is one. */
struct nn_picture nn_residual_block(struct nn_tape *t, struct nn_params *ps, const char *prefix, struct nn_picture p,
				    int stride);

/* ---- geometry (nn_pairs.c, nn_filters.c, nn_comenet*.c, nn_schnet.c, nn_geometry.c) ------------------- */

/* Ordered pairs (j -> i) of one molecule closer than a cutoff, sorted by (i, j). Host memory. */
struct nn_pairs {
	int64_t n;
	int64_t *j, *i;
};
struct nn_pairs nn_pairs_within(struct arena *a, const struct nn_points *p, double cutoff_ang);
/* The same pairs on the back end, by target and by source. In tape memory. */
struct nn_pair_lists {
	int64_t n, n_atom;
	const int64_t *j, *i;
	struct k_csr by_i, by_j; /* items: pairs */
};
struct nn_pair_lists *nn_pair_lists_new(struct nn_tape *t, const struct nn_pairs *p, int64_t n_atom);
/* Continuous filters: y_i = sum over pairs (j -> i) of x_j f, entry by entry; f [n pairs, d]. */
struct nn_var *nn_filter_sum(struct nn_tape *t, const struct nn_pair_lists *p, struct nn_var *x, struct nn_var *f);

/*
 * Filters that depend on the distance alone and fade to 0 at the cutoff, f(d) (cos(pi d / cutoff) + 1) / 2, by table: f
 * is asked for at equal steps, faded and made three times as dense (Lagrange, ten nodes), and cubic between (four
 * nodes). All of that is linear, gradients take the same weights: the exact gradient of the interpolated model. Each
 * unordered pair of a molecule once. In tape memory.
 */
struct nn_filter_table {
	struct k_table t;
	struct nn_var *dist;         /* [n, 1] distances (angstrom) at which f is wanted, beyond both ends too */
	struct nn_pair_lists *pairs; /* of pair_dist */
	struct nn_var *pair_dist;    /* [n_pair, 1], or NULL where no gradient of positions is wanted */
};
/* f is asked for at n_cell steps from 0 to the cutoff, where no pair reads it less. pos [n_atom, 3]: p->pos as a
 * variable, NULL: no gradient. */
struct nn_filter_table *nn_filter_table_new(struct nn_tape *t, const struct nn_points *p, struct nn_var *pos,
					    double cutoff_ang, int64_t n_cell);
/* y_i = sum over other atoms j within the cutoff of x_j f_ij; table [n, d]: f at dist. */
struct nn_var *nn_table_sum(struct nn_tape *t, const struct nn_filter_table *f, struct nn_var *x, struct nn_var *table);
/* y_i = sum over pairs (j -> i) of x_j (f w), entry by entry; f [pairs, n] constant, n <= 16, w [n, d]. */
struct nn_var *nn_feature_sum(struct nn_tape *t, const struct nn_pair_lists *p, struct nn_var *x, struct nn_var *f,
			      struct nn_var *w);

/* Rows of an element table: one an element that occurs, of [n_atom] (host) being each atom's; by the plain paths one an
 * atom, of NULL. */
struct nn_elements {
	int64_t n_atom;
	const int64_t *of;
	struct nn_var *x;
};
struct nn_elements nn_embed_elements(struct nn_tape *t, struct nn_params *ps, const char *name,
				     const struct nn_points *p);
struct nn_var *nn_elements_spread(struct nn_tape *t, const struct nn_elements *e, struct nn_var *x); /* to atoms */

/*
 * What ComENet sees of the pairs of a batch (Wang et al., NeurIPS 2022), invariant under rotation: angles are 2 pi
 * periodic, and 0 where a plane is undefined (a sine of at most 1e-4). Neighbours at equal distance: the lowest index.
 * All in the arena; computed in double.
 */
struct nn_comenet_features {
	double cutoff_ang;
	struct nn_pairs pairs;
	int64_t *n0, *n1;          /* [n_atom] nearest and second nearest; a lone one twice, -1 for none */
	int64_t *iref, *jref;      /* [pairs] reference atoms of tau */
	double *dist;              /* angstrom */
	double *theta, *phi, *tau; /* radians; phi and tau in [0, 2 pi) */
	real *feature1, *feature2; /* [pairs, 12], [pairs, 6] */
};
/* theta, phi and tau are NULL without `angles`: their cosines and sines are all that the features need. */
struct nn_comenet_features nn_comenet_features_of(struct arena *a, const struct nn_points *p, double cutoff_ang,
						  bool angles);
/* [n_atom, by->x->n, n_feature]: sums of a feature (f->feature1 or 2) over the neighbours of each element. In a. */
real *nn_comenet_sums(struct arena *a, const struct nn_comenet_features *f, const real *feature, int n_feature,
		      const struct nn_elements *by);
/* One interaction block; f1, f2 [pairs, 12], [pairs, 6]. PREFIX ends with a dot or is empty. */
struct nn_var *nn_comenet_block(struct nn_tape *t, struct nn_params *ps, const char *prefix, struct nn_var *x,
				struct nn_var *f1, struct nn_var *f2, const struct nn_pair_lists *pairs,
				const int64_t *mol, int64_t n_mol);
/* The whole: mean over atoms of the last hidden layer, or, where PREFIXlin_out exists, the sum of lin_out. */
struct nn_var *nn_comenet(struct nn_tape *t, struct nn_params *ps, const char *prefix, int n_block, double cutoff_ang,
			  const struct nn_points *p);

/* One interaction of SchNet (Schuett et al., 2018), without the residual sum; dist [pairs, 1]. */
struct nn_var *nn_schnet_block(struct nn_tape *t, struct nn_params *ps, const char *prefix, struct nn_var *x,
			       struct nn_var *dist, const struct nn_pair_lists *pairs, double cutoff_ang,
			       int n_gaussian);
/* The whole; pos [n_atom, 3] may want a gradient (NULL: p->pos). read_sum: sum over atoms, else mean. */
struct nn_var *nn_schnet(struct nn_tape *t, struct nn_params *ps, const char *prefix, int n_block, double cutoff_ang,
			 int n_gaussian, const struct nn_points *p, struct nn_var *pos, bool read_sum);
void nn_comenet_build(struct nn_params *ps, const char *prefix, const struct nn_geom_config *c, uint64_t seed);
void nn_schnet_build(struct nn_params *ps, const char *prefix, const struct nn_geom_config *c, uint64_t seed);
struct nn_var *nn_distances(struct nn_tape *t, struct nn_var *pos, const struct nn_pair_lists *pairs); /* [pairs, 1] */

#endif
