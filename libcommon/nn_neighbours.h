/*
 * nn_neighbours.h - layer 3: exact nearest neighbours among many rows. Host arrays.
 */
#ifndef MOLRILL_NN_NEIGHBOURS_H
#define MOLRILL_NN_NEIGHBOURS_H

#include "kernels.h"

enum nn_distance { NN_L2, NN_COSINE, NN_TANIMOTO };
extern const char *const nn_distance_names[]; /* "l2", "cosine", "tanimoto", NULL */

/*
 * For each of n rows: itself, then its k - 1 nearest by (distance, index). x [n, d] real for l2 (Euclidean) and cosine
 * (1 - cosine; a row of zeros is orthogonal to all); [n, d] uint8 of packed bits for tanimoto (1 - both / any; two
 * empty rows have distance 0). 1 <= k <= n. idx, dist [n, k]; mean [n] (may be NULL): mean distance to all rows, itself
 * included. The same bytes for any pool of the kernels. After a signal it returns early, with what it
 * has, where the kernels leave off (and for tanimoto): ask io_stop_signal.
 */
void nn_neighbours(const struct kernels *kernels, const void *x, int64_t n, int64_t d, enum nn_distance metric,
		   int64_t k, int64_t *idx, double *dist, double *mean);
/* Bits set in both of two rows of d bytes. */
int64_t nn_bits_shared(const uint8_t *a, const uint8_t *b, int64_t d);

#endif
