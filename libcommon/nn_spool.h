/*
 * nn_spool.h - layer 3: the records of a data set, read at random while training, within a bound of memory.
 */
#ifndef MOLRILL_NN_SPOOL_H
#define MOLRILL_NN_SPOOL_H

#include "ts.h"

/*
 * A data set over a spool. Records are held packed. If they fit into mem bytes all are held, else one window of them at
 * a time: consecutive runs of about 1 MiB in an order drawn anew each epoch fill the window, and order within it is
 * drawn too.
 */
struct nn_data;
/* Reads the spool once (which stays the caller's and must outlive the data set). */
int nn_data_new(struct nn_data **d, struct ts_spool *s, int64_t mem_nbytes, struct err *e);
void nn_data_free(struct nn_data *d);
/* Record i, unpacked into a. From memory if held, else from the spool (ascending i is cheap). */
int nn_data_get(struct nn_data *d, int64_t i, struct arena *a, struct ts_map *m, struct err *e);
/*
 * The order of an epoch over the records item [n] (ascending): a permutation in order [n], from (seed, epoch) and the
 * bound of memory alone. Returns the number of windows it is made of.
 */
int64_t nn_data_shuffle(struct nn_data *d, const int64_t *item, int64_t n, uint64_t seed, uint64_t epoch,
			int64_t *order);
/* Makes order[at] and what follows it in its window held; called before each batch of the order last drawn. */
int nn_data_window(struct nn_data *d, const int64_t *order, int64_t at, struct err *e);

#endif
