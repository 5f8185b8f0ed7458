/*
 * nn_infer.h - layer 3: inference on records, block by block.
 *
 * The bytes of a row depend on its record and the model alone, not on its neighbours in the block: every product is
 * made of blocks of rows of fixed, padded size (struct kernels, fixed_rows), and nothing else mixes rows.
 */
#ifndef MOLRILL_NN_INFER_H
#define MOLRILL_NN_INFER_H

#include "nn_batch.h"

enum { NN_BLOCK_MOL = 16, NN_BLOCK_ATOM = 448 }; /* at most, but for a molecule that is larger alone */

struct nn_infer {
	struct nn_model *model;
	struct kernels kernels; /* the model's, with fixed_rows */
	struct nn_reading reading;
	struct nn_tape *tape;
	struct arena *arena;
};
/* f must stay where it is; the model must outlive it. */
int nn_infer_init(struct nn_infer *f, struct nn_model *m, struct err *e);
void nn_infer_free(struct nn_infer *f);
/* How many of the n records make the next block: at least 1, at most NN_BLOCK_MOL. */
int64_t nn_infer_take(const struct ts_map *const *rec, int64_t n);
/*
 * Outputs of the head [n, n_task], mean over the pictures of a record; see nn_model_to_predictions. NaN for a record
 * that has none of the views that are read, whatever else is in the block; ERR_NUMERIC for one that is computed.
 */
int nn_infer_logits(struct nn_infer *f, const struct ts_map *const *rec, int64_t n, real *out, struct err *e);

/* What encode writes, in this order: "h2d", "h3d", "himg", "c2d", "c3d", "cimg", "c", "g", "r", "a", NULL. */
extern const char *const nn_embedding_names[];
enum { NN_N_EMBEDDING = 10 };
enum nn_embedding { NN_EMB_H, NN_EMB_C = 3, NN_EMB_UNIFIED = 6, NN_EMB_G, NN_EMB_R, NN_EMB_A };
/*
 * The embeddings asked for (bits 1 << index), mean over the pictures of a record: value[i] [n, width[i]] in f's arena
 * until the next call or NULL, rows of a record without that view (or without any) not written; has [n, NN_N_VIEW].
 * ERR_SCHEMA when the model lacks the part.
 */
struct nn_embeddings {
	real *value[NN_N_EMBEDDING];
	int64_t width[NN_N_EMBEDDING];
	const uint8_t *has;
};
int nn_infer_embeddings(struct nn_infer *f, const struct ts_map *const *rec, int64_t n, unsigned want,
			struct nn_embeddings *out, struct err *e);
/* g and r of n molecules (host [n, hyper_width] each) that the hypergraph h over them mixes, from their unified codes
 * [n, code_width]. */
void nn_infer_mix(struct nn_infer *f, const real *unified, int64_t n, const struct nn_hyper *h, real *g, real *r);

#endif
