/* mol_ff.c - one door to all force fields. */
#include "mol_ff_impl.h"

#include <string.h>

const char *const mol_ff_names[] = {"mmff94", "mmff94s", "uff", NULL};

int mol_ff_new(const struct mol *m, enum mol_ff_kind kind, struct arena *a, struct mol_ff **out, struct mol_reject *why,
	       struct err *e)
{
	int rc;
	*out = NULL;
	if (kind == MOL_FF_UFF)
		rc = mol_uff_new(m, a, out, why, e);
	else
		rc = mol_mmff_new(m, kind == MOL_FF_MMFF94S, a, out, why, e);
	if (rc)
		return rc;
	(*out)->kind = kind;
	(*out)->n_atom = m->n_atom;
	(*out)->scratch = arena_alloc(a, 3 * (size_t)(m->n_atom + 1) * sizeof(double));
	if ((*out)->stiffen)
		(*out)->metric = ff_metric_new(m, a);
	return 0;
}

enum mol_ff_kind mol_ff_kind_of(const struct mol_ff *ff)
{
	return ff->kind;
}

double mol_ff_energy_kcal(const struct mol_ff *ff, const double *pos, double *grad, double *terms)
{
	double own[MOL_FF_N_TERM] = {0}, total = 0;
	if (!grad)
		grad = ff->scratch;
	memset(grad, 0, 3 * (size_t)ff->n_atom * sizeof *grad);
	ff->energy(ff, pos, grad, own);
	for (int i = 0; i < MOL_FF_N_TERM; i++)
		total += own[i];
	if (terms)
		memcpy(terms, own, sizeof own);
	return total;
}

static double energy_of(void *ctx, const double *x, double *g)
{
	return mol_ff_energy_kcal(ctx, x, g, NULL);
}

enum { METRIC_AGE = 30 }; /* steps for which a metric serves */

static void precondition(void *ctx, const double *x, int n_iter, double *d)
{
	const struct mol_ff *ff = ctx;
	if (n_iter % METRIC_AGE == 0) {
		ff_metric_reset(ff->metric);
		ff->stiffen(ff, x, ff->metric);
		if (!ff_metric_factor(ff->metric)) {
			ff_metric_reset(ff->metric);
			(void)ff_metric_factor(ff->metric);
		}
	}
	ff_metric_solve(ff->metric, d);
}

void mol_ff_minimise(const struct mol_ff *ff, double *pos, struct mol_lbfgs *w, const struct mol_lbfgs_opts *o,
		     struct mol_lbfgs_result *r)
{
	struct mol_lbfgs_opts own = *o;
	if (ff->metric && !own.precondition)
		own.precondition = precondition;
	mol_lbfgs_minimise(w, 3 * ff->n_atom, pos, energy_of, (void *)ff, &own, r);
}
