/*
 * mol_ff_metric.h - how stiff a molecule is, as a metric for its minimiser. Private to mol_*ff*.c.
 *
 * Bonds and angles are a hundred times stiffer than what turns about bonds, which is what makes minimisation slow.
 * Their part of the Hessian (its positive part, sums of k v v^T, plus a floor for all that is soft) is sparse, factors
 * in microseconds, and put in the place of L-BFGS' first guess it halves the number of steps (Mones, Ortner and Csanyi,
 * Sci. Rep. 8, 13991, 2018).
 */
#ifndef MOLRILL_MOL_FF_METRIC_H
#define MOLRILL_MOL_FF_METRIC_H

#include "mol.h"
#include "mol_ff_geom.h"

struct ff_metric;
/* Metric of m: entries for all pairs of atoms at most two bonds apart. Arena memory. */
struct ff_metric *ff_metric_new(const struct mol *m, struct arena *a);
/* The floor alone, in kcal/mol/angstrom^2. */
void ff_metric_reset(struct ff_metric *w);
/* Adds k v v^T for the derivatives v [n] of one coordinate by n atoms, all within two bonds of each other. */
void ff_metric_add(struct ff_metric *w, int n, const int32_t *atom, const struct ff_vec *v, double k);
/* Cholesky factor. False: something is not finite. */
bool ff_metric_factor(struct ff_metric *w);
/* x [n_atom, 3] becomes the metric's inverse times x. Needs the factor. */
void ff_metric_solve(const struct ff_metric *w, double *x);

#endif
