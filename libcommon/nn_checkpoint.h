/*
 * nn_checkpoint.h - layer 3: models as streams of schema `model`.
 *
 * Header: config, parts, trained, tasks, regression, target_mean and target_sd, img_channels, features, complete,
 * provenance, and whatever else the caller puts into its extra map (metrics, data, progress). One record a tensor,
 * `name` and `value` (float32): first those of the model under their own names, then state for going on: state.m.NAME
 * and state.v.NAME (Adam's moments), and state.last.NAME where the model holds the best values seen and training stands
 * elsewhere.
 */
#ifndef MOLRILL_NN_CHECKPOINT_H
#define MOLRILL_NN_CHECKPOINT_H

#include "nn_model.h"
#include "nn_optim.h"

struct nn_saving {
	const struct nn_model *model;
	const real *const *best;      /* [parameters] values to stand under the model's names; NULL: the current ones */
	const struct nn_optim *optim; /* NULL: no state */
	const struct ts_header *header; /* provenance, fields and extra; the model's own keys are added to a copy */
	bool complete;
	const char *source; /* digest of the data, 32 digits, or NULL */
};
/* Writes to fd (the caller's). ERR_NUMERIC when a value is not finite. */
int nn_checkpoint_write(const struct nn_saving *s, int fd, struct err *e);
/* The same under a name, atomically. */
int nn_checkpoint_save(const struct nn_saving *s, const char *path, struct err *e);

struct nn_checkpoint; /* a model being read */
/* Opens and reads the header, with the door's check. The name is for messages. */
int nn_checkpoint_open(struct nn_checkpoint **c, const char *path, struct err *e);
void nn_checkpoint_close(struct nn_checkpoint *c); /* takes NULL; models read from it live on */
const struct ts_header *nn_checkpoint_header(const struct nn_checkpoint *c);
bool nn_checkpoint_is_complete(const struct nn_checkpoint *c);
const struct nn_config *nn_checkpoint_config(const struct nn_checkpoint *c);
unsigned nn_checkpoint_parts(const struct nn_checkpoint *c);
/*
 * Builds the model from configuration cfg (NULL: its own) with the given of its parts and reads its values; tensors of
 * what is left out are passed over. Strings of cfg must outlive the model. ERR_SCHEMA names a tensor that is missing or
 * has another shape. Reads to the end of the stream, so once only.
 *
 * For going on: with `optim` not NULL the moments are read too, and the model's values are those where training stood;
 * best [parameters] (allocated by the caller, each of the parameter's size) takes the values under the plain names.
 */
struct nn_resume {
	struct nn_optim *(*optim_new)(void *ctx, struct nn_params *ps); /* called once the model is built */
	void *ctx;
	struct nn_optim *optim;
	real **best; /* [parameters] malloc, of blocks of the back end: the caller frees; NULL without state.last */
};
int nn_checkpoint_model(struct nn_checkpoint *c, const struct nn_config *cfg, unsigned parts, const struct kernels *k,
			struct nn_resume *resume, struct nn_model **m, struct err *e);

#endif
