/*
 * nn_batch.h - layer 3: records of molecules as batches for the model.
 */
#ifndef MOLRILL_NN_BATCH_H
#define MOLRILL_NN_BATCH_H

#include "nn_model.h"

/* What is read from each record. */
struct nn_reading {
	unsigned views; /* bit v: view v, where the record has it; 2d it must have */
	bool hu;
	bool with_hydrogens;
	int64_t img_size_px;  /* pictures are resampled to this side */
	int64_t img_channels; /* of the pictures trained on: 1 or 3; 0: either */
	int n_task;           /* labels; 0: not read */
	bool fp, scaffold;
	struct nn_gnn_config gnn;   /* what the atoms are merged for; no layers: they are not, here */
	struct nn_geom_config geom; /* what conformers are prepared for; no blocks: they are not, here */
};
/* What this model reads; labels, fp and scaffold are off. */
struct nn_reading nn_reading_of(const struct nn_model *m);
/*
 * The door: schema molecule, feature set, and the fields of the 2d view; with `all`, those of every view. ERR_SCHEMA
 * says which program writes what is missing.
 */
int nn_reading_check(const struct nn_reading *r, const struct ts_header *h, bool all, struct err *e);

/* Which of V views of a picture is read: drawn by (seed, step, row), or `fixed` modulo V where that is not negative. */
struct nn_picture_choice {
	uint64_t seed, step;
	int64_t fixed;
};
/*
 * Records to a batch; all its arrays are in a (strings and labels are copied). Nothing is filled in: a view that a
 * record lacks has has = 0 and no row. The records' fields are checked by shape, dtype and range. ERR_SCHEMA or
 * ERR_NUMERIC with the place of the record in e->record (its row).
 */
int nn_batch_collate(const struct nn_reading *r, const struct ts_map *const *rec, int64_t n,
		     const struct nn_picture_choice *c, struct arena *a, struct nn_batch *b, struct err *e);
/* Pictures that a record holds: V, 1 without views, 0 without img. */
uint8_t nn_record_views(const struct ts_map *rec); /* bit v: it has view v */
int64_t nn_record_pictures(const struct ts_map *rec);
int64_t nn_record_channels(const struct ts_map *rec); /* of its pictures, 0 without */
/* Resamples a picture [s, s, c] to [to, to, 3]: each pixel is the mean over its area. */
void nn_picture_resample(const uint8_t *in, int64_t s, int64_t c, uint8_t *out, int64_t to);

#endif
