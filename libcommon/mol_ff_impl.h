/*
 * mol_ff_impl.h - what a force field gives to mol_ff.c. Private to mol_*ff*.c.
 */
#ifndef MOLRILL_MOL_FF_IMPL_H
#define MOLRILL_MOL_FF_IMPL_H

#include "mol_ff.h"
#include "mol_ff_metric.h"

/* First member of each force field's own struct. energy adds to grad (never NULL) and terms, which the caller has
 * zeroed. */
struct mol_ff {
	enum mol_ff_kind kind;
	int32_t n_atom;
	double *scratch; /* [n_atom, 3] for a gradient that nobody wants */
	void (*energy)(const struct mol_ff *ff, const double *pos, double *grad, double *terms);
	/* Adds the stiff terms at pos to the metric; NULL: none, the minimiser does without. */
	void (*stiffen)(const struct mol_ff *ff, const double *pos, struct ff_metric *w);
	struct ff_metric *metric; /* by mol_ff_new, where there is stiffen */
};
/* Universal force field (Rappe et al., JACS 114, 10024, 1992), without electrostatics, as its authors fitted it. */
int mol_uff_new(const struct mol *m, struct arena *a, struct mol_ff **out, struct mol_reject *why, struct err *e);
/* MMFF94 or, with static_variant, MMFF94s. */
int mol_mmff_new(const struct mol *m, bool static_variant, struct arena *a, struct mol_ff **out, struct mol_reject *why,
		 struct err *e);

/* Parameters of a UFF atom type (mol_uff_table.c). */
struct mol_uff_type {
	const char *name;
	double r_ang, theta_deg, x_ang, d_kcal, zeta, z_eff, v_kcal, u_kcal, chi;
};
/* Type of atom i of m, or NULL. */
const struct mol_uff_type *mol_uff_type_of(const struct mol *m, int32_t i);

#endif
