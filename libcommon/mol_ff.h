/*
 * mol_ff.h - force fields: energy, gradient and minimisation of a molecule
 * whose hydrogens are atoms. A part of layer 2a beside mol.h.
 */
#ifndef MOLRILL_MOL_FF_H
#define MOLRILL_MOL_FF_H

#include "mol.h"
#include "mol_lbfgs.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mol_ff_kind { MOL_FF_MMFF94, MOL_FF_MMFF94S, MOL_FF_UFF };
extern const char *const mol_ff_names[]; /* "mmff94", "mmff94s", "uff", NULL */

enum mol_ff_term {
	MOL_FF_BOND,
	MOL_FF_ANGLE,
	MOL_FF_STRETCH_BEND,
	MOL_FF_OUT_OF_PLANE,
	MOL_FF_TORSION,
	MOL_FF_VDW,
	MOL_FF_ELECTROSTATIC,
	MOL_FF_N_TERM
};

struct mol_ff;
/*
 * Reads the tables of MMFF94 from Open Babel's installation (about two milliseconds), once a process; mol_ff_new does
 * it when it was not done before. 0; ERR_IO or ERR_FORMAT when a table is missing or damaged.
 */
int mol_ff_start(struct err *e);
/*
 * Types every atom of m and looks up every parameter. All in arena memory; m must outlive it. 0; or ERR_CHEM with
 * *why = "no-parameters" when the force field does not know an atom or a bond.
 */
int mol_ff_new(const struct mol *m, enum mol_ff_kind kind, struct arena *a, struct mol_ff **out, struct mol_reject *why,
	       struct err *e);
enum mol_ff_kind mol_ff_kind_of(const struct mol_ff *ff);
/*
 * Energy in kcal/mol at pos [n_atom, 3] angstrom. grad [n_atom, 3] in kcal/mol/angstrom (NULL: not wanted) and
 * terms [MOL_FF_N_TERM] (NULL: not wanted) are overwritten. No allocation.
 */
double mol_ff_energy_kcal(const struct mol_ff *ff, const double *pos, double *grad, double *terms);
/* Minimises the energy over pos [n_atom, 3] in place, by w (for at least 3 n_atom variables). */
void mol_ff_minimise(const struct mol_ff *ff, double *pos, struct mol_lbfgs *w, const struct mol_lbfgs_opts *o,
		     struct mol_lbfgs_result *r);

#ifdef __cplusplus
}
#endif
#endif
