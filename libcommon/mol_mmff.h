/*
 * mol_mmff.h - the parts of MMFF94 and MMFF94s (Halgren, J. Comput. Chem. 17,
 * 490-641, 1996, parts I to V; 20, 720, 1999). Private to mol_mmff*.c.
 */
#ifndef MOLRILL_MOL_MMFF_H
#define MOLRILL_MOL_MMFF_H

#include "mol_ff_impl.h"

enum { MMFF_N_TYPE = 100 }; /* numeric atom types are 1 to 99 */

/* ---- tables (mol_mmff_table.c) --------------------------------------------- */

/* Facts of a numeric type: atomic number (0: no such type), neighbours, valence, whether it has a pi lone pair, takes
 * part in multiple bonds (1: partly), is aromatic, linear, or has single bonds between multiple ones. */
struct mmff_prop {
	uint8_t z, crd, val, pilp, mltb, arom, lin, sbmb;
};
struct mmff_vdw {
	double alpha, n, a, g;
	char role; /* 'D' donor, 'A' acceptor, '-' neither */
};
/* Parameters found by classes and types: what they are found by, and what they hold. */
enum mmff_table {
	MMFF_BOND,         /* class i j: force constant (mdyn/angstrom), length (angstrom) */
	MMFF_CHARGE,       /* class i j: what j gains and i loses */
	MMFF_ANGLE,        /* class i j k: force constant (mdyn angstrom/rad^2), angle (degrees) */
	MMFF_STRETCH_BEND, /* class i j k: force constants (mdyn/rad) of ij and of kj */
	MMFF_OOP,          /* i j k l about j: force constant */
	MMFF_OOP_S,
	MMFF_TORSION, /* class i j k l: three barriers (kcal/mol) */
	MMFF_TORSION_S,
	MMFF_BOND_RULE,         /* atomic numbers: length and force constant of reference */
	MMFF_STRETCH_BEND_RULE, /* rows of the periodic table i j k: as MMFF_STRETCH_BEND */
	MMFF_N_TABLE
};
/* Reads the tables of Open Babel's installation, once a process. 0, or ERR_IO or ERR_FORMAT. */
int mmff_tables_load(struct err *e);
const struct mmff_prop *mmff_prop(int type);
const struct mmff_vdw *mmff_vdw(int type);
/* Partial bond charge increment, and share of a formal charge that goes to each neighbour. */
double mmff_pbci(int type);
double mmff_charge_share(int type);
/* Equivalent type at level 1 (itself) to 5 (0: any). */
int mmff_level(int type, int level);
/*
 * Values under the keys, which may come in either direction; NULL when there are none. *swapped: the values belong to
 * the keys read backwards (charge: with the other sign; stretch-bend: the other way round).
 */
const double *mmff_find(enum mmff_table t, const int *key, bool *swapped);

/* ---- typing ------------------------------------------------------------------ */

struct mmff_types {
	const struct mol *m;
	uint8_t *type;           /* [n_atom], 0: none such */
	bool *aromatic;          /* [n_atom] in MMFF's own sense */
	bool *bond_aromatic;     /* [n_bond] within one aromatic ring */
	int32_t n_ring;          /* aromatic rings of five or six atoms */
	int32_t *ring_size;      /* [n_ring] */
	int32_t (*ring_atom)[6]; /* [n_ring] in order around the ring */
	double *formal, *charge; /* [n_atom] shared formal charge, partial charge */
};
/* All of it for m (mol_mmff.c). 0; or ERR_CHEM with *why when an atom has no type. Needs the tables. */
int mmff_types_new(const struct mol *m, struct arena *a, struct mmff_types *t, struct mol_reject *why, struct err *e);
/* Finds aromatic rings (mol_mmff_aromatic.c). */
void mmff_find_aromatic(struct mmff_types *t, struct arena *a);
/* Numeric types of all atoms; index of an atom that has none, or -1 (mol_mmff_type.c). */
int32_t mmff_assign_types(struct mmff_types *t);
int mmff_type_aromatic(const struct mmff_types *t, int32_t i); /* 0: not one of these (mol_mmff_type_ring.c) */
int mmff_type_nitrogen(const struct mmff_types *t, int32_t i); /* mol_mmff_type_n.c */
/* Formal and partial charges (mol_mmff_charge.c). */
void mmff_assign_charges(struct mmff_types *t, struct arena *a);

/* Small questions about the graph (mol_mmff_graph.c). */
int32_t mmff_bond_between(const struct mol *m, int32_t i, int32_t j); /* -1: none */
/* Order of the bond between i and j, 0: none; 5: aromatic in MMFF's sense. */
int mmff_order(const struct mmff_types *t, int32_t i, int32_t j);
int mmff_valence(const struct mol *m, int32_t i); /* sum of bond orders */
/* Neighbours of i with atomic number z, and so many neighbours of their own (-1: any number). */
int mmff_count(const struct mol *m, int32_t i, int z, int degree);
int mmff_n_ring_of(const struct mol *m, int32_t i, int size); /* size 0: any */
bool mmff_is_in_aromatic(const struct mmff_types *t, int32_t i, int size);
bool mmff_is_n_oxide(const struct mol *m, int32_t i);
/* Smallest of rings of 3 and 4 atoms that holds the angle, 0: none. */
int mmff_angle_ring(const struct mol *m, int32_t i, int32_t j, int32_t k);
/* Row of the periodic table, hydrogen's is 0. */
int mmff_row(int z);

/* ---- parameters (mol_mmff_param.c, mol_mmff_rule.c) --------------------------- */

int mmff_bond_class(const struct mmff_types *t, int32_t bond);
/* Each fills p and answers whether there is one. */
bool mmff_bond_param(const struct mmff_types *t, int32_t bond, double p[2]);
/* bond_ij, bond_kj: the lengths of the bonds, angstrom. */
bool mmff_angle_param(const struct mmff_types *t, const int32_t atom[3], double r_ij, double r_kj, double p[2]);
bool mmff_stretch_bend_param(const struct mmff_types *t, const int32_t atom[3], double p[2]);
double mmff_oop_param(const struct mmff_types *t, int32_t centre, bool static_variant); /* 0: none */
bool mmff_torsion_param(const struct mmff_types *t, const int32_t atom[4], bool static_variant, double p[3]);

/* Empirical rules for what the tables lack (part V). */
bool mmff_rule_bond(int z_i, int z_j, double p[2]);
/* Fills the angle too where it is 0. */
bool mmff_rule_angle(const struct mmff_types *t, const int32_t atom[3], double r_ij, double r_kj, double p[2]);
void mmff_rule_torsion(const struct mmff_types *t, int32_t j, int32_t k, double p[3]);

/* ---- energy (mol_mmff_energy.c, mol_mmff_pair.c) ------------------------------ */

struct mmff_bond {
	int32_t i, j;
	double k_kcal, r0_ang;
};
struct mmff_angle {
	int32_t i, j, k;
	bool linear;
	double k_kcal, theta0_deg;
	double kij_kcal, kkj_kcal, rij_ang, rkj_ang; /* stretch-bend and its lengths */
};
struct mmff_oop {
	int32_t atom[4]; /* centre, plane, plane, the bond that leaves it */
	double k_kcal;
};
struct mmff_torsion {
	int32_t atom[4];
	double v_kcal[3];
};
/* All pairs of atoms, those of one atom i with every j < i in a row; rows are filled up to whole vectors. A pair that
 * does not count has depth and charge 0. */
struct mmff_pairs {
	int32_t n, n_padded;
	int64_t *row;                                     /* [n]: where the row of atom i begins */
	double *inv_r_per_ang, *depth_kcal, *charge_kcal; /* 1 / R*, epsilon, 332.0716 q q (angstrom) */
	double *place, *slope; /* [3, n_padded] coordinates and their gradient while an energy is made */
};
struct mmff_pairs *mmff_pairs_new(const struct mmff_types *t, struct arena *a);
/* Adds to grad and to the two terms. */
void mmff_pairs_energy(const struct mmff_pairs *p, const double *pos, double *grad, double *vdw_kcal,
		       double *electrostatic_kcal);

struct mmff {
	struct mol_ff base;
	int32_t n_bond, n_angle, n_oop, n_torsion;
	struct mmff_bond *bond;
	struct mmff_angle *angle;
	struct mmff_oop *oop;
	struct mmff_torsion *torsion;
	struct mmff_pairs *pairs;
};
void mmff_energy(const struct mol_ff *ff, const double *pos, double *grad, double *terms);
void mmff_stiffen(const struct mol_ff *ff, const double *pos, struct ff_metric *w);

#endif
