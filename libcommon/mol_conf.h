/*
 * mol_conf.h - conformers: distance geometry, then a force field, each one
 * through a gate. A part of layer 2a beside mol.h.
 */
#ifndef MOLRILL_MOL_CONF_H
#define MOLRILL_MOL_CONF_H

#include "mol.h"
#include "mol_ff.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MOL_CONF_MAX_ATOM 1500 /* with hydrogens; larger molecules are refused as "too-large" */

/* ---- the gate (mol_gate.c) ---------------------------------------------- */

enum mol_gate_flags { MOL_GATE_STEREO = 1, MOL_GATE_CONTACTS = 2, MOL_GATE_BONDS = 4, MOL_GATE_ALL = 7 };
/*
 * Judges coordinates pos [n_atom, 3] (angstrom) of m, hydrogens as atoms. Finite always; by flags: no pair of atoms
 * that are not bonded below 1 angstrom, in and between fragments ("clash"); each chiral centre and double bond,
 * recomputed from the coordinates, as in m ("stereo-wrong"); each bond within 15 % of its ideal length ("bond-length").
 * True if it passes, else *why (may be NULL) says what failed.
 */
bool mol_gate_check(const struct mol *m, const double *pos, unsigned flags, struct mol_reject *why);

/* ---- conformers (mol_conf.c) -------------------------------------------- */

/* A force field by name, none, or MMFF94 with UFF for the molecules that it cannot type or whose shape it spoils. */
enum mol_conf_ff { MOL_CONF_FF_AUTO = -2, MOL_CONF_FF_NONE = -1, MOL_CONF_FF_FIRST = MOL_FF_MMFF94 };
struct mol_conf_opts {
	int n_conf;         /* conformers wanted */
	double rmsd_ang;    /* none kept that is nearer to a better one (heavy atoms, best fit and match); 0: all */
	double window_kcal; /* none kept that lies higher above the lowest one; 0: all */
	uint64_t seed;
	int ff;     /* enum mol_ff_kind or mol_conf_ff: MOL_CONF_FF_NONE leaves the shapes of distance geometry */
	bool terms; /* fill mol_conf_set.terms */
};
struct mol_conf_set {
	int n, n_atom;
	double *pos;    /* [n, n_atom, 3], angstrom; lowest energy first, without energies in order of making */
	double *energy; /* [n], kcal/mol; NULL without a force field */
	double *terms;  /* [n, MOL_FF_N_TERM], kcal/mol; NULL unless asked for */
	const char *ff; /* name of the force field or NULL */
};
/* Force field of m by enum mol_ff_kind or MOL_CONF_FF_AUTO. 0; ERR_CHEM with *why "no-parameters". */
int mol_conf_ff_new(const struct mol *m, int which, struct arena *a, struct mol_ff **out, struct mol_reject *why,
		    struct err *e);
/* Fills energy, ff and, if asked for, terms of the set as it is. */
void mol_conf_set_energies(struct mol_conf_set *s, const struct mol_ff *ff, bool terms, struct arena *a);
/*
 * Conformers of m (hydrogens as atoms, any number of fragments; these are laid side by side, 3 angstrom apart at
 * least). The result depends on m, the options and the seed alone. 0; or ERR_CHEM with *why filled when not one
 * conformer passes the gate. Memory is the arena's.
 */
int mol_conf_generate(const struct mol *m, const struct mol_conf_opts *o, struct arena *a, struct mol_conf_set **out,
		      struct mol_reject *why, struct err *e);

/* ---- which of them to keep (mol_conf_keep.c) ----------------------------- */

/*
 * Sorts s by energy, where it has energies, and drops from it each conformer that lies more than window_kcal above the
 * lowest (0: none) or, by mol_symmetry_rmsd_ang, nearer than rmsd_ang (0: none) to one that was kept before it.
 */
void mol_conf_keep_best(const struct mol *m, struct mol_conf_set *s, double rmsd_ang, double window_kcal,
			struct arena *a);

/* ---- coordinates of the input (mol_conf_input.c) ------------------------ */

struct mol_conf_input {
	int n;
	const float *pos;      /* [n, 3], angstrom */
	const int64_t *z;      /* [n] */
	const int64_t *source; /* [n_kept]: index here of each kept atom */
	const int32_t *parent; /* [n]: the atom here that a hydrogen is bound to; NULL: the kept atom nearest to it */
};
/*
 * The input's coordinates as a set of one conformer of `whole`, the molecule whose first n_kept atoms are the kept ones
 * and whose others are its hydrogens. An input without any of these hydrogens gives a set of n_kept atoms. False: *why
 * says what does not fit ("no-coordinates"). Judges no geometry.
 */
bool mol_conf_from_input(const struct mol *whole, int n_kept, const struct mol_conf_input *in, struct arena *a,
			 struct mol_conf_set **out, struct mol_reject *why);

/* ---- output for people (mol_sdf_write.c) -------------------------------- */

/*
 * Appends an SDF record of m at pos [n_atom, 3]: title id, tags smiles, id and, unless energy_kcal is NULL, energy.
 * V2000, or V3000 past 999 atoms or bonds.
 */
void mol_sdf_write(struct buf *out, const struct mol *m, const double *pos, const char *id, const char *smiles,
		   const double *energy_kcal);

/* ---- likeness (mol_rmsd.c, mol_symmetry.c) ------------------------------- */

/*
 * Root mean square distance of two sets of n points p, q [n, 3] after the best rotation and translation, by the largest
 * root of the characteristic polynomial of the quaternion matrix (Theobald, Acta Cryst. A61, 478, 2005).
 */
double mol_rmsd_ang(int n, const double *p, const double *q);
/*
 * The same of points that are known by their overlap s = sum of p_i q_i^T (both about their centroids) and
 * the sum `inner` of all their squares.
 */
double mol_rmsd_of_overlap_ang(int n, double inner, double s[3][3]);

/* The matches of a molecule's heavy atoms onto themselves. */
struct mol_symmetry {
	int n, n_match;         /* heavy atoms; matches, the identity first */
	bool complete;          /* no match is missing */
	int32_t *atom;          /* [n]: the heavy atoms */
	int32_t *image;         /* [n_match, n]: places in atom */
	int n_moved, n_fixed;   /* places that some match moves, and the others */
	int32_t *moved, *fixed; /* [n_moved], [n_fixed] */
	double *p, *q;          /* [n, 3]: scratch */
};
/*
 * Matches of m, bond orders, charges and isotopes told apart but for the ends of conjugated groups (carboxylate, nitro,
 * amidine: alike); stereo is not asked, distances tell. At most 2,000, and at most 400,000 / n; beyond these the search
 * ends and `complete` is false. The same for the same m. The arena's.
 */
struct mol_symmetry *mol_symmetry_new(const struct mol *m, struct arena *a);
/*
 * Least root mean square distance of the heavy atoms of two conformers p, q [n_atom, 3] of m over all its matches, as
 * RDKit's GetBestRMS has it; an upper bound of that where matches are missing. Stops at the first match that is at most
 * enough_ang off (0: looks at all).
 */
double mol_symmetry_rmsd_ang(struct mol_symmetry *s, const double *p, const double *q, double enough_ang);

#ifdef __cplusplus
}
#endif
#endif
