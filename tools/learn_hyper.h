/* learn_hyper.h - the hyperedges that records name by rows, as lists of records. Layer 4. */
#ifndef MOLRILL_LEARN_HYPER_H
#define MOLRILL_LEARN_HYPER_H

#include "nn_loss.h"

/* Zero-initialise; learn_hyper_free when done. */
struct learn_hyper {
	struct buf rows, starts, nodes, weights, places;
};
/* The hyperedge of the next record. ERR_SCHEMA unless it begins with the record itself. */
int learn_hyper_add(struct learn_hyper *h, const struct ts_map *m, struct err *e);
/* Rows to records, once all are there. ERR_SCHEMA for a row that is there twice, or not at all. */
int learn_hyper_resolve(struct learn_hyper *h, struct err *e);
/* Members of record i: node[start[i] .. start[i + 1]). */
const int64_t *learn_hyper_start(const struct learn_hyper *h);
const int64_t *learn_hyper_node(const struct learn_hyper *h);
const float *learn_hyper_weight(const struct learn_hyper *h);
void learn_hyper_free(struct learn_hyper *h);

#endif
