/* learn_data.h - the records that train reads: gathered, checked, divided. Layer 4. */
#ifndef MOLRILL_LEARN_DATA_H
#define MOLRILL_LEARN_DATA_H

#include "cli_stream.h"
#include "learn_hyper.h"
#include "nn_batch.h"
#include "nn_split.h"
#include "nn_spool.h"

struct learn_data {
	struct cli_gathered gathered;
	struct nn_data *records;
	int64_t n;
	int n_task;
	const int64_t *row;                        /* [n] */
	float *y;                                  /* [n, n_task], NULL unless labels were asked for */
	const uint8_t *views;                      /* [n] bit v: it has view v */
	int64_t img_channels;                      /* of the first picture, 0: there is none */
	bool has_split;                            /* else all are train */
	int64_t *item[NN_PARTS], n_item[NN_PARTS]; /* records of each part, ascending */
	struct learn_hyper hyper;                  /* where it was asked for */
	struct buf bufs[4];                        /* what the arrays above are made of */
};
struct learn_need {
	bool labels, hyper;
	int64_t mem_nbytes;
	const char *spool; /* a file that keeps what is read, or NULL */
};
/*
 * Reads all operands. ERR_SCHEMA for missing labels, hyperedges or parts, a row that is there twice or a member that is
 * not there. All memory is d's; header and provenance are in c's arena.
 */
int learn_data_read(const struct cli *c, const struct learn_need *need, struct learn_data *d, struct err *e);
/* A control that must learn nothing: the label rows of the training part change places, drawn by seed. */
void learn_data_shuffle_labels(struct learn_data *d, uint64_t seed);
/* Takes records that have none of the views (a mask) out of all parts; n_out [NN_PARTS]: so many of each. */
void learn_data_keep(struct learn_data *d, unsigned views, int64_t n_out[NN_PARTS]);
void learn_data_free(struct learn_data *d);

#endif
