/*
 * nn.h - layer 3: parameters, the tape, operations and layers of models.
 *
 * A step of training: nn_tape_begin, a chain of operations that each return a
 * variable and push their backward rule, nn_backward, the optimiser. All
 * memory of a step is the tape's arena: nothing is allocated once it has
 * grown. Every variable is a matrix [n, d].
 */
#ifndef MOLRILL_NN_H
#define MOLRILL_NN_H

#include "kernels.h"
#include "nn_profile.h"
#include "ts.h"
#include "util.h"

/* ---- parameters (nn_param.c) -------------------------------------------- */

/* A named tensor of the model. Names and shapes are those of a PyTorch state_dict. */
struct nn_param {
	const char *name;
	int n_dim;
	int64_t shape[4];
	int64_t n;     /* number of entries */
	bool is_state; /* running statistics: no gradient, not for the optimiser, but saved */
	bool
	    frozen; /* the optimiser leaves it alone; a BatchNorm whose running mean is frozen works by what it holds */
	real *value; /* [n], back-end memory */
	real *grad;  /* [n], NULL for state */
	bool unset;  /* nobody has written the zeros of grad yet */
};
struct nn_params; /* ordered set of parameters; owns their memory */
struct nn_params *nn_params_new(const struct kernels *k);
void nn_params_free(struct nn_params *ps);
const struct kernels *nn_params_kernels(const struct nn_params *ps);
int nn_params_count(const struct nn_params *ps);
struct nn_param *nn_params_at(const struct nn_params *ps, int i);              /* in the order of nn_params_add */
struct nn_param *nn_params_find(const struct nn_params *ps, const char *name); /* NULL: none */
/* Adds a zeroed parameter; the name is copied and must be new. */
struct nn_param *nn_params_add(struct nn_params *ps, const char *name, bool is_state, int n_dim, const int64_t *shape);
/* Gradients are zeros, though what is in memory may be written only as they are added to. Who reads them settles them
 * first, as nn_optim_step does. */
void nn_params_zero_grad(struct nn_params *ps);
void nn_params_settle_grad(struct nn_params *ps);
/* Starting values; each parameter draws from its own stream of the seed, keyed by its name, so that adding a layer
 * changes no other. */
void nn_init_normal(struct nn_params *ps, struct nn_param *p, uint64_t seed, double mean, double sd);
void nn_init_uniform(struct nn_params *ps, struct nn_param *p, uint64_t seed, double bound);
void nn_init_constant(struct nn_params *ps, struct nn_param *p, double value);

/* ---- the tape (nn_tape.c) ----------------------------------------------- */

struct nn_var {
	int64_t n, d;
	real *v;              /* [n, d] value, back-end memory */
	real *g;              /* [n, d] gradient, NULL where none is wanted */
	bool unset;           /* nothing is in g yet: nn_var_unset */
	struct nn_param *of;  /* whose value and gradient these are, or NULL */
	struct nn_var *fresh; /* the tape's: the next whose g is still to be zeroed */
};
struct nn_tape;
struct nn_tape *nn_tape_new(const struct kernels *k);
void nn_tape_free(struct nn_tape *t);
/* Forgets the last step. `train` chooses batch statistics and dropout; dropout draws from (seed, step). */
void nn_tape_begin(struct nn_tape *t, bool train, uint64_t seed, uint64_t step);
/* After nn_tape_begin: BatchNorm reads and keeps its running statistics and nothing is dropped, though gradients may be
 * wanted (frozen statistics). */
void nn_tape_use_running(struct nn_tape *t, bool want_grad);
/* While keep is set, BatchNorm takes the statistics of its rows and leaves the running ones as they are. A new step
 * clears it. */
void nn_tape_keep_running(struct nn_tape *t, bool keep);
bool nn_tape_keeps_running(const struct nn_tape *t);
const struct kernels *nn_tape_kernels(const struct nn_tape *t);
bool nn_tape_is_training(const struct nn_tape *t);
/* Step memory: back-end memory for tensors; host memory for indices and rules. Both live until nn_tape_begin. */
void *nn_tape_alloc(struct nn_tape *t, size_t nbytes);
struct arena *nn_tape_arena(struct nn_tape *t);
/* Indices as back-end memory, copied. */
const int64_t *nn_tape_index(struct nn_tape *t, const int64_t *host, int64_t n);
/* Items by target (host target [n_item], in [0, n)), in their order; what stands there is value[i] (host), or i itself
 * where value is NULL. */
struct k_csr nn_tape_csr(struct nn_tape *t, const int64_t *target, int64_t n_item, int64_t n, const int64_t *value);
/* Items by key (in [0, n)), in their order, on the host: those of v are item[start[v]] .. item[start[v + 1] - 1]. */
struct nn_order {
	int64_t *start, *item; /* [n + 1], [n_item] */
};
struct nn_order nn_order_by(struct arena *a, const int64_t *key, int64_t n_item, int64_t n);
/* Number of the next stream of random numbers of this step, and its seed. */
uint64_t nn_tape_stream(struct nn_tape *t, uint64_t *seed);
/* New variable, value uninitialised; its gradient (if wanted and the tape trains) is zeroed before the first rule runs.
 */
struct nn_var *nn_var_new(struct nn_tape *t, int64_t n, int64_t d, bool want_grad);
/* Leaves the gradient of x as it is until then, since the first that adds to it writes it instead. For what is read by
 * nn_dense, nn_matmul, nn_scatter and nn_table_sum alone, and by one at least: no others ask. Returns x. */
struct nn_var *nn_var_unset(struct nn_var *x);
/* Whether x->g is to be added to; from now on it is. What reads x asks before it writes x->g. */
bool nn_var_adds(struct nn_var *x);
/* Registers the rule that adds to the inputs' gradients; rules run in reverse order. */
#define nn_tape_push(t, backward, ctx) nn_tape_push_named(t, #backward, backward, ctx)
void nn_tape_push_named(struct nn_tape *t, const char *name, void (*backward)(struct nn_tape *t, void *ctx), void *ctx);
/* From now on the tape marks its operations there; NULL: no longer. p stays the caller's. */
void nn_tape_profile(struct nn_tape *t, struct nn_profile *p);
struct nn_var *nn_input(struct nn_tape *t, const real *host, int64_t n, int64_t d);      /* copied; no gradient */
struct nn_var *nn_input_grad(struct nn_tape *t, const real *host, int64_t n, int64_t d); /* with gradient (tests) */
/* A parameter as a matrix [shape[0], rest] ([n, 1] -> a vector is [1, n]); its gradient is the parameter's own. */
struct nn_var *nn_use(struct nn_tape *t, struct nn_param *p);
/* Runs all rules from loss [1, 1] with gradient 1. ERR_NUMERIC when the loss is not finite. */
int nn_backward(struct nn_tape *t, struct nn_var *loss, struct err *e);
/* As nn_backward from any variable, with upstream gradient g [n, d] (host); may be called for several variables
 * first, then nn_backward_run. */
void nn_seed_grad(struct nn_tape *t, struct nn_var *x, const real *g);
void nn_backward_run(struct nn_tape *t);
/* Values to the host; n * d entries. nn_scalar: the one entry of [1, 1]. */
void nn_download(const struct nn_tape *t, const struct nn_var *x, real *host);
double nn_scalar(const struct nn_tape *t, const struct nn_var *x);

/* ---- elementary operations (nn_ops*.c) ---------------------------------- */

struct nn_var *nn_detach(struct nn_tape *t, struct nn_var *x);                /* same value, no gradient */
struct nn_var *nn_add(struct nn_tape *t, struct nn_var *a, struct nn_var *b); /* same shapes */
struct nn_var *nn_sub(struct nn_tape *t, struct nn_var *a, struct nn_var *b);
struct nn_var *nn_mul(struct nn_tape *t, struct nn_var *a, struct nn_var *b); /* entry by entry */
struct nn_var *nn_scale(struct nn_tape *t, struct nn_var *x, double s);
struct nn_var *nn_shift(struct nn_tape *t, struct nn_var *x, double s); /* x + s */
struct nn_var *nn_scale_rows(struct nn_tape *t, struct nn_var *x,
			     const real *w); /* row i times w[i] (host, constant) */
/* op(a) op(b), op = transpose where asked. */
struct nn_var *nn_matmul(struct nn_tape *t, struct nn_var *a, bool ta, struct nn_var *b, bool tb);
/* x [n, i], weight [o, i], bias [o] or NULL -> [n, o]. */
struct nn_var *nn_linear(struct nn_tape *t, struct nn_var *x, struct nn_param *weight, struct nn_param *bias);
/* In place, of a y that nothing else has read: y + bias [d], max(y + bias, 0). */
struct nn_var *nn_bias(struct nn_tape *t, struct nn_var *y, struct nn_param *bias);
struct nn_var *nn_bias_relu(struct nn_tape *t, struct nn_var *y, struct nn_param *bias);
enum nn_act { /* as enum k_act */
	      NN_RELU = K_RELU,
	      NN_TANH = K_TANH,
	      NN_SWISH = K_SWISH,
	      NN_SSP = K_SSP,
	      NN_SOFTPLUS = K_SOFTPLUS,
	      NN_SIGMOID = K_SIGMOID,
	      NN_SQUARE = K_SQUARE
};
struct nn_var *nn_activate(struct nn_tape *t, struct nn_var *x, enum nn_act f); /* ssp(x) = log(1 + e^x) - log 2 */
struct nn_var *nn_unit(struct nn_tape *t, struct nn_var *x);                    /* rows / max(|row|, 1e-12) */
struct nn_var *nn_softmax(struct nn_tape *t, struct nn_var *x);                 /* by rows */
struct nn_var *nn_log_softmax(struct nn_tape *t, struct nn_var *x);             /* by rows */
struct nn_var *nn_transpose(struct nn_tape *t, struct nn_var *x);
struct nn_var *nn_concat(struct nn_tape *t, int n, struct nn_var *const *x); /* columns side by side */
struct nn_var *nn_columns(struct nn_tape *t, struct nn_var *x, int64_t from, int64_t d);
struct nn_var *nn_fold(struct nn_tape *t, struct nn_var *x, int n); /* the sum of n equal parts of the columns */
struct nn_var *nn_reshape(struct nn_tape *t, struct nn_var *x, int64_t n,
			  int64_t d); /* the same entries and gradients */
struct nn_var *nn_gather(struct nn_tape *t, struct nn_var *x, const int64_t *idx, int64_t n); /* y[i] = x[idx[i]] */
/* y [n, d] = 0, then y[idx[i]] += x[i]. */
struct nn_var *nn_scatter(struct nn_tape *t, struct nn_var *x, const int64_t *idx, int64_t n);
struct nn_var *nn_pick(struct nn_tape *t, struct nn_var *x, const int64_t *col); /* y[i] = x[i, col[i]], [n, 1] */
struct nn_var *nn_row_sum(struct nn_tape *t, struct nn_var *x);                  /* [n, 1] */
struct nn_var *nn_sum(struct nn_tape *t, struct nn_var *x);                      /* [1, 1] */
struct nn_var *nn_mean(struct nn_tape *t, struct nn_var *x);                     /* [1, 1] over all entries */
/* Rows by segment (seg ascending or not, in [0, n)): sum, mean (empty: 0), max (first of equals takes the gradient). */
struct nn_var *nn_segment_sum(struct nn_tape *t, struct nn_var *x, const int64_t *seg, int64_t n);
struct nn_var *nn_segment_mean(struct nn_tape *t, struct nn_var *x, const int64_t *seg, int64_t n);
struct nn_var *nn_segment_max(struct nn_tape *t, struct nn_var *x, const int64_t *seg, int64_t n);
/* Keeps entries with probability 1 - p, scaled by 1 / (1 - p); identity when the tape does not train. */
struct nn_var *nn_dropout(struct nn_tape *t, struct nn_var *x, double p);

/* ---- layers (nn_layer*.c) ----------------------------------------------- */

/*
 * BatchNorm over rows: eps 1e-5, momentum 0.1; parameters NAME.weight, .bias, .running_mean, .running_var.
 * mult (host, NULL: ones): how often each row counts. With one row the running variance is left alone. relu: ReLU after
 * it.
 */
struct nn_var *nn_batch_norm(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_var *x,
			     const int64_t *mult, bool relu);
/* y_n = sum over t of table_t[idx[n, t]]; idx int64 [n, n_table] (host). */
struct nn_var *nn_embedding_sum(struct nn_tape *t, int n_table, struct nn_param *const *table, const int64_t *idx,
				int64_t n);

/* ---- encoders (nn_graph.c, nn_geometry.c, nn_image.c) -------------------- */

/* Graphs of a batch, concatenated. Host memory. */
struct nn_graphs {
	int64_t n_mol, n_atom, n_edge;
	const int64_t *x;          /* [n_atom, 2] (hu) or [n_atom, 9] (ogb) */
	const int64_t *edge_index; /* [2, n_edge]: sources, then targets */
	const int64_t *edge_attr;  /* [n_edge, 2] or [n_edge, 3] */
	const int64_t *mol;        /* [n_atom] ascending */
	bool hu;
	const struct nn_merged *merged; /* of these x and edges (nn_gnn_merge); NULL: nn_gnn makes it */
};
enum nn_gnn_kind { NN_GIN, NN_GCN, NN_SAGE, NN_GAT };
struct nn_gnn_config {
	enum nn_gnn_kind kind;
	int n_layer, width;
	bool hu;
	double dropout;
};
/* Adds the parameters PREFIX + names of the oracle (x_embedding1.weight, gnns.0.mlp.0.weight, batch_norms.0.weight...).
 */
void nn_gnn_build(struct nn_params *ps, const char *prefix, const struct nn_gnn_config *c, uint64_t seed);
/* Sets g->merged, in a: work of nn_gnn that can be done before. */
void nn_gnn_merge(struct arena *a, const struct nn_gnn_config *c, struct nn_graphs *g);
/* Atom outputs [n_atom, width] of the last layer; every layer's go to each[n_layer] unless NULL. */
struct nn_var *nn_gnn(struct nn_tape *t, struct nn_params *ps, const char *prefix, const struct nn_gnn_config *c,
		      const struct nn_graphs *g, struct nn_var **each);

/* Conformers of a batch, concatenated. Host memory. */
struct nn_points {
	int64_t n_mol, n_atom;
	const int64_t *z;                           /* [n_atom] atomic numbers */
	const real *pos;                            /* [n_atom, 3], angstrom */
	const int64_t *mol;                         /* [n_atom] ascending */
	const struct nn_comenet_features *features; /* of these atoms (nn_geom_prepare); NULL: nn_geom makes them */
};
struct nn_geom_config {
	bool schnet; /* else ComENet */
	int n_block, width, middle;
	double cutoff_ang;
	int n_gaussian, n_filter; /* SchNet */
	bool bare;                /* SchNet without layers after the last interaction: the mean over atoms as it is */
};
void nn_geom_build(struct nn_params *ps, const char *prefix, const struct nn_geom_config *c, uint64_t seed);
/* Sets p->features, in a, where the encoder has any: work of nn_geom that can be done before. */
void nn_geom_prepare(struct arena *a, const struct nn_geom_config *c, struct nn_points *p);
/* Molecule outputs [n_mol, width]: mean over atoms. */
struct nn_var *nn_geom(struct nn_tape *t, struct nn_params *ps, const char *prefix, const struct nn_geom_config *c,
		       const struct nn_points *p);

struct nn_cnn_config {
	int n_block[4]; /* {1,1,1,1}: ResNet-10, {2,2,2,2}: ResNet-18 */
	int width;      /* channels of the first stage; the last has 8 times as many */
	int size_px;
};
void nn_cnn_build(struct nn_params *ps, const char *prefix, const struct nn_cnn_config *c, uint64_t seed);
/* img [n * s * s, 3] NHWC, normalised -> [n, 8 width]. */
struct nn_var *nn_cnn(struct nn_tape *t, struct nn_params *ps, const char *prefix, const struct nn_cnn_config *c,
		      struct nn_var *img, int64_t n, int64_t height, int64_t width);

#endif
