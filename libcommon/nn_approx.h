/*
 * nn_approx.h - layer 3: near neighbours among more rows than memory holds. The rows lie in a temporary file; they are
 * divided into lists by k-means, and a row is compared exactly with those of the lists nearest to its own (an inverted
 * file: Sivic and Zisserman, ICCV 2003; Jegou et al., TPAMI 2011). Plain host arrays.
 */
#ifndef MOLRILL_NN_APPROX_H
#define MOLRILL_NN_APPROX_H

#include "nn_neighbours.h"

struct nn_approx;
/* Rows of d float32 (l2, cosine) or d bytes of packed bits (tanimoto), all numbers finite. */
int nn_approx_new(struct nn_approx **a, const struct kernels *k, enum nn_distance metric, int64_t d, struct err *e);
void nn_approx_free(struct nn_approx *a); /* takes NULL */
int nn_approx_add(struct nn_approx *a, const void *x, int64_t n, struct err *e);
/* Memory for a row, the result of nn_approx_search excluded. */
int64_t nn_approx_nbytes(void);
/*
 * After the last row: as nn_neighbours, but that what lies in other lists is missing; a row that sees fewer than k rows
 * has index -1 at the end. Distances are exact. mean [n] (may be NULL): mean distance to at most 1024 rows, evenly
 * spaced. Depends on the rows and their order alone. ERR_STOPPED after a signal.
 */
int nn_approx_search(struct nn_approx *a, int64_t k, int64_t *idx, double *dist, double *mean, struct err *e);
/* Share of the k - 1 nearest others that idx, dist (of nn_approx_search) hold, over n_query rows evenly spaced, each
 * searched exactly. A row as far as the last of them counts as it. */
double nn_approx_recall(const struct nn_approx *a, int64_t k, const int64_t *idx, const double *dist, int64_t n_query);

#endif
