/*
 * mol_lbfgs.h - limited-memory BFGS minimiser (Nocedal, Math. Comp. 35, 773,
 * 1980) for geometries: few function values an iteration, no allocation in it.
 */
#ifndef MOLRILL_MOL_LBFGS_H
#define MOLRILL_MOL_LBFGS_H

#include "util.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Value at x [n]; fills g [n] with the gradient. Neither may alias the other. */
typedef double mol_lbfgs_fn(void *ctx, const double *x, double *g);

struct mol_lbfgs_opts {
	int max_iter; /* iterations at most */
	int max_eval; /* function values at most, 0: no bound of its own */
	double g_tol; /* done when no component of the gradient is larger */
	double f_tol; /* done when the value sinks by less than f_tol * (1 + |f|) in three iterations running; 0: off */
	double max_step; /* no coordinate moves further in one iteration */
	/*
	 * NULL, or: d [n] becomes the inverse of some metric at x [n] times d, in the place of a multiple of it (a
	 * first guess of the Hessian). n_iter counts the calls of one minimisation from 0.
	 */
	void (*precondition)(void *ctx, const double *x, int n_iter, double *d);
};
struct mol_lbfgs_result {
	double f, g_max;
	int n_iter, n_eval;
	bool converged; /* by g_tol or f_tol */
};

/* Workspace for up to n_max variables, in arena memory; one minimisation at a time. */
struct mol_lbfgs;
struct mol_lbfgs *mol_lbfgs_new(struct arena *a, int n_max);
/*
 * Minimises fn over x [n] (double, read and written, n <= n_max). On return x is the best point seen. A value that is
 * not finite counts as uphill. Never fails: *r says how far it came.
 */
void mol_lbfgs_minimise(struct mol_lbfgs *w, int n, double *x, mol_lbfgs_fn *fn, void *ctx,
			const struct mol_lbfgs_opts *o, struct mol_lbfgs_result *r);

#ifdef __cplusplus
}
#endif
#endif
