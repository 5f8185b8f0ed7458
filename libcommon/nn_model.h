/*
 * nn_model.h - layer 3: the whole model: its configuration, a batch of
 * molecules, and what the programs ask of it.
 *
 * The method is a reconstruction of MMSA (arXiv 2505.05877); each part's
 * source stands where it is built.
 */
#ifndef MOLRILL_NN_MODEL_H
#define MOLRILL_NN_MODEL_H

#include "nn.h"
#include "nn_loss.h"

/* ---- configuration (nn_config.c) ---------------------------------------- */

enum nn_view { NN_2D, NN_3D, NN_IMG, NN_N_VIEW };
extern const char *const nn_view_names[]; /* "2d", "3d", "img", NULL */

/* Every size and switch of the model. The table nn_config_options gives names, kinds, bounds and help. */
struct nn_config {
	int preset;           /* of nn_preset_names */
	const char *views;    /* "2d,3d,img": the views in use */
	const char *features; /* "ogb" or "hu": that of the data; not an option */

	int gnn; /* enum nn_gnn_kind */
	int64_t gnn_layers, gnn_width;
	int geom; /* 0 comenet, 1 schnet */
	int64_t geom_blocks, geom_width, geom_middle, geom_gaussians, geom_filters;
	double cutoff_ang;
	bool with_hydrogens;
	int cnn; /* 0 resnet10, 1 resnet18 */
	int64_t cnn_width, img_size_px;

	int64_t head_width, code_width;
	int fuse;     /* enum nn_fuse */
	int contrast; /* enum nn_contrast */
	double tau_con;
	double w_con, w_self, w_cross, w_mask, w_align;
	double mask;   /* share of atoms masked */
	int mask_loss; /* 0 ce, 1 cosine */
	bool mask_statistics;
	int64_t stages; /* 1 joint, 2 one after the other */

	int hyper_by; /* enum nn_hyper_by */
	int64_t hyper_k, hyper_width, hyper_layers;
	int hyper_norm; /* 0 row, 1 sym */
	bool hyper_soft;
	double hyper_dropout;

	int64_t memory_slots;
	int memory_sim; /* 0 cosine, 1 dot */
	double tau_mem, memory_shrink, anchor_momentum;
	int anchor_init; /* 0 data, 1 normal */
	double beta, w_swap, tau_swap, sinkhorn_eps;
	int64_t sinkhorn_steps, sinkhorn_queue; /* queue -1: twice the slots */

	double dropout;        /* inside the graph encoder */
	bool use_structure;    /* head reads [h2d, r] */
	const char *use_views; /* "" or views that feed the head */
	int task_kind;         /* enum nn_task_kind */
	bool class_weights;
};
enum nn_fuse { NN_FUSE_MEAN, NN_FUSE_ATTENTION, NN_FUSE_CONCAT };
enum nn_hyper_by { NN_BY_CODE, NN_BY_VIEW, NN_BY_FP, NN_BY_SCAFFOLD };
enum nn_task_kind { NN_TASK_AUTO, NN_TASK_CLASS, NN_TASK_REGRESSION };
enum nn_preset { NN_PRESET_TINY, NN_PRESET_CPU, NN_PRESET_PAPER };

/* Options table; offsets are relative to struct nn_config. Ended by {0}. */
extern const struct opt nn_config_options[];
void nn_config_preset(struct nn_config *c, enum nn_preset p);
/* Over those of ComENet, SchNet's own sizes of the preset; c->geom is left alone. */
void nn_config_schnet(struct nn_config *c, enum nn_preset p);
/* Bit v set: view v is in use (of "2d,3d,img"). ERR_USAGE for an unknown name. */
int nn_views_parse(const char *text, unsigned *mask, struct err *e);
/* To and from a map (model header, --show-config): every option by name. An unknown name is ERR_USAGE. */
void nn_config_to_map(const struct nn_config *c, struct ts_map *m);
int nn_config_from_map(struct nn_config *c, const struct ts_map *m, struct arena *a, struct err *e);

/* ---- a batch of molecules (filled by nn_batch.c or a test) --------------- */

/* Host memory; rows in the order of the batch. */
struct nn_batch {
	int64_t n_mol;
	uint8_t *has;            /* [n_mol, NN_N_VIEW] 1 where the view exists */
	struct nn_graphs graph;  /* of all molecules (n_mol of them), if the 2d view is in use */
	struct nn_points points; /* of those that have a conformer: points.n_mol of them */
	const int64_t *mol3d;    /* [points.n_mol] batch row of each conformer, ascending */
	int64_t n_img;
	const int64_t *molimg; /* [n_img] */
	const uint8_t *img;    /* [n_img, s, s, 3], s = img_size_px of the model */
	int64_t img_size_px;
	int64_t n_task;
	const float *y;          /* [n_mol, n_task], NaN = missing; NULL: none */
	const uint8_t *fp;       /* [n_mol, 256] or NULL */
	const int64_t *scaffold; /* [n_mol] the first molecule of the same scaffold; or NULL */
	const int64_t *row;      /* [n_mol] */
	const char *const *id;   /* [n_mol] */
	const char *const *smiles;
};

/* ---- the model (nn_model.c) --------------------------------------------- */

enum { NN_PART_ENCODERS = 1, NN_PART_CODES = 2, NN_PART_STRUCTURE = 4, NN_PART_HEAD = 8 };
/* Variables of the step just taken, for nn_model_after_step; valid until the tape begins anew. */
struct nn_last {
	struct nn_var *code[NN_N_VIEW], *g, *assign;
	const uint8_t *has;
	int64_t n_mol, n_seed;
};
struct nn_model {
	struct nn_config cfg;
	unsigned views; /* mask of cfg.views */
	unsigned parts;
	bool trained_codes, trained_structure; /* what training it has seen: encode refuses what was never trained */
	int64_t img_channels;                  /* of the pictures that it was trained on: 1 or 3; 0: of none */
	int n_task;
	const char **tasks; /* [n_task] */
	bool regression;
	double *target_mean, *target_sd; /* [n_task]: 0 and 1 for classification */
	struct nn_params *ps;
	const struct kernels *k;
	struct arena *arena; /* owns names and small arrays */
	struct nn_last last;
};
/*
 * Builds the parameters of the parts asked for (bits NN_PART_*), at their starting values by seed. Parameter names:
 * gnn.*, geom.*, cnn.*, mm.heads.M.*, mm.encoders.M.*, mm.decoders.M.*, mm.fuse.*, mask_head.*, hyper.theta.weight,
 * hyper.bn.* (further layers hyper.L.*), memory.weight, memory.filled (state), queue.M, queue.M.at (state),
 * head.weight, head.bias. M counts views 2d, 3d, img = 0, 1, 2.
 */
int nn_model_new(struct nn_model **m, const struct kernels *k, const struct nn_config *c, unsigned parts, uint64_t seed,
		 struct err *e);
/*
 * ERR_USAGE names an operation that the back end does not offer and what of the configuration needs it. nn_model_new
 * and nn_model_add_parts ask it themselves.
 */
int nn_model_offered(const struct kernels *k, const struct nn_config *c, unsigned parts, struct err *e);
/* Adds parts that are missing (say, a structure module to a pre-trained model). */
int nn_model_add_parts(struct nn_model *m, unsigned parts, uint64_t seed, struct err *e);
/* Adds (or replaces) the head for these tasks; names are copied. */
int nn_model_add_head(struct nn_model *m, int n_task, const char *const *tasks, bool regression, uint64_t seed,
		      struct err *e);
void nn_model_free(struct nn_model *m);
/* Views that feed the head: --use-views, else 2d. ERR_USAGE for one that the model lacks. */
int nn_head_views(const struct nn_model *m, unsigned *views, struct err *e);

/* Draws of one training step: which atoms are masked, which code each decoder gets. From (seed, step) alone. */
struct nn_draws {
	int64_t n_mask;
	const int64_t *mask;            /* [n_mask] atoms, ascending */
	const struct nn_merged *merged; /* of the masked graphs, where those of the batch are; NULL: made in the step */
	const int64_t *perm;            /* [n_mol, NN_N_VIEW] source view for each target view, -1: none */
};
void nn_model_draw(const struct nn_model *m, const struct nn_batch *b, uint64_t seed, uint64_t step, struct arena *a,
		   struct nn_draws *d);

/* What a step reports; terms that were not computed are NaN. */
struct nn_losses {
	double total, con, self, cross, mask, align, read, swap, task;
	double usage;      /* entropy of the mean assignment, nats */
	double certainty;  /* mean entropy of the assignments, nats */
	double max_cosine; /* largest cosine between two anchors */
};
/* Whether any loss of weight above 0 acts on molecules of all the views that the model reads. */
bool nn_model_can_pretrain(const struct nn_model *m);
/*
 * Section 2 (and, with one stage, section 3 on the batch's own hypergraph): the loss [1, 1] of a training step. NULL,
 * and nothing computed, where no loss of weight above 0 has its views in the batch.
 */
int nn_model_pretrain(struct nn_model *m, struct nn_tape *t, const struct nn_batch *b, const struct nn_draws *d,
		      struct nn_var **loss, struct nn_losses *out, struct err *e);

/* Everything that encode can write; NULL where the model lacks the part or the batch the view. */
struct nn_outputs {
	struct nn_var *h[NN_N_VIEW]; /* encoder outputs x_m [rows that have the view, width_m] */
	struct nn_var *c[NN_N_VIEW]; /* codes [rows that have it, code_width] */
	struct nn_var *unified;      /* [n_mol, code_width] */
	struct nn_var *f; /* relu(BN(unified Theta)) [n_mol, hyper_width]: what the hypergraph mixes; G = identity: g */
	struct nn_var *assign, *r; /* memory read of f: [n_mol, slots], [n_mol, hyper_width] */
	struct nn_var *aligned;    /* f + r */
};
/* Inference (tape not training) or evaluation: all that the parts allow. */
int nn_model_outputs(struct nn_model *m, struct nn_tape *t, const struct nn_batch *b, struct nn_outputs *out,
		     struct err *e);
/* Memory read of g [n, hyper_width]: assignment and read. */
void nn_model_read(struct nn_model *m, struct nn_tape *t, struct nn_var *g, struct nn_var **assign, struct nn_var **r);

/* What molecules are related by, on the host; only what --hyper-by asks for is read. */
struct nn_relation {
	int64_t n;
	const real *code[NN_N_VIEW]; /* [n, code_width], NULL: no such view */
	const real *unified;         /* [n, code_width] */
	const uint8_t *has;          /* [n, NN_N_VIEW] */
	const uint8_t *fp;           /* [n, 256] */
	const int64_t *scaffold;     /* [n] */
};
/* The hypergraph over them by --hyper-by, in a. ERR_SCHEMA without fp or scaffold where one is asked for. */
int nn_model_hyper_of(const struct nn_model *m, const struct nn_relation *of, struct arena *a, struct nn_hyper *h,
		      struct err *e);
/*
 * Section 3 alone on fixed codes: codes [n, NN_N_VIEW, code_width] (host; rows of absent views are not read) of n
 * molecules, has [n, NN_N_VIEW], hyperedges over them; the losses are taken on the first n_seed.
 */
int nn_model_structure(struct nn_model *m, struct nn_tape *t, const real *codes, const uint8_t *has, int64_t n,
		       const struct nn_hyper *h, int64_t n_seed, struct nn_var **loss, struct nn_losses *out,
		       struct err *e);
/*
 * Anchors that start as data fill up in the first steps: while memory.filled < slots, rows of g that are not yet there
 * become the next anchors, and only filled ones are read. A test sets memory.filled itself.
 */
/* After the optimiser's step: momentum anchors and the queue of codes move. */
void nn_model_after_step(struct nn_model *m, struct nn_tape *t);
/* Section 4: logits (classification) or standardised values (regression) [n_mol, n_task]; loss on b->y. */
int nn_model_logits(struct nn_model *m, struct nn_tape *t, const struct nn_batch *b, struct nn_var **logits,
		    struct err *e);
/* class_weight [n_task] (weight of positives) or NULL. */
struct nn_var *nn_model_task_loss(struct nn_model *m, struct nn_tape *t, struct nn_var *logits, const float *y,
				  const double *class_weight);
/* Logits to what predict writes: probabilities, or values in the label's unit. In place, host [n, n_task]. */
void nn_model_to_predictions(const struct nn_model *m, real *x, int64_t n);

#endif
