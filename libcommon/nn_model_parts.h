/*
 * nn_model_parts.h - layer 3, private: the steps of which nn_model.c, nn_pretrain.c and nn_build.c make the model.
 */
#ifndef MOLRILL_NN_MODEL_PARTS_H
#define MOLRILL_NN_MODEL_PARTS_H

#include "nn_model.h"

struct nn_encoders {
	struct nn_gnn_config gnn;
	struct nn_geom_config geom;
	struct nn_cnn_config cnn;
};
struct nn_encoders nn_encoders_of(const struct nn_config *c);
int64_t nn_view_width(const struct nn_config *c, int view); /* of the encoder's output */
/* The batch's has, less the views that the model does not use: [n_mol, NN_N_VIEW] in a. */
const uint8_t *nn_model_has(const struct nn_model *m, const struct nn_batch *b, struct arena *a);
struct nn_var *nn_model_atoms(struct nn_model *m, struct nn_tape *t, const struct nn_graphs *g); /* [n_atom, width] */
/* Encoder outputs x[v] [rows that have v, width] of the views in the mask, NULL where there is none. */
void nn_model_encode(struct nn_model *m, struct nn_tape *t, const struct nn_batch *b, unsigned views,
		     struct nn_var *x[NN_N_VIEW]);
/* h[v] [n_mol, head_width] and codes c[v] [n_mol, code_width]: rows of absent views are 0. */
void nn_model_codes(struct nn_model *m, struct nn_tape *t, const struct nn_batch *b, struct nn_var *const *x,
		    struct nn_var *h[NN_N_VIEW], struct nn_var *c[NN_N_VIEW]);
struct nn_var *nn_model_fuse(struct nn_model *m, struct nn_tape *t, struct nn_var *const *c, const uint8_t *has,
			     int64_t n);
/* Hypergraph convolutions; h NULL: G = identity. */
struct nn_var *nn_model_hyper(struct nn_model *m, struct nn_tape *t, struct nn_var *u, const struct nn_hyper *h);
struct nn_var *nn_model_anchors(struct nn_model *m, struct nn_tape *t); /* those filled so far */

#endif
