/*
 * mol_rotor.h - the turns about single bonds: which there are, and a search for good ones before a force field relaxes
 * all coordinates. A part of layer 2a beside mol_conf.h.
 */
#ifndef MOLRILL_MOL_ROTOR_H
#define MOLRILL_MOL_ROTOR_H

#include "mol_ff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* (V1 (1 + cos) + V2 (1 - cos 2) + V3 (1 + cos 3)) / 2 of one torsion about a rotor's bond, kcal/mol */
struct mol_rotor_term {
	int32_t atom[4];
	double v_kcal[3];
};
struct mol_rotor {
	int32_t j, k;            /* the bond; the smaller side of the molecule hangs on k */
	int32_t n_moved, *moved; /* atoms that turn, k itself not among them */
	int32_t n_term;
	struct mol_rotor_term *term;
	bool held;      /* of known side (amides, esters): put there, not searched */
	double at_rad;  /* held: torsion ref[0]-j-k-ref[1] */
	int32_t ref[2]; /* held: neighbours of j and k */
};
struct mol_rotors {
	const struct mol *m;
	int n, n_atom, np; /* rotors; atoms; atoms padded to a multiple of 8 */
	struct mol_rotor *rotor;
	float *inv_r_per_ang, *depth_kcal, *charge_kcal; /* [n_atom, np] pairs, as MMFF94's (mol_mmff.h) */
	float *place, *fixed, *turned;                   /* [3, np]; [3, np]; [n_atom, 3]: scratch */
	int32_t *every;                                  /* [n_atom] 0, 1, 2 ... */
	int32_t *settled;                                /* [n] scratch: turns there were when each was at its best */
	double *best;                                    /* [n_atom, 3] scratch */
	int64_t n_pair_done;                             /* the measure of work */
};
/*
 * Rotors of m: single bonds outside rings whose turning moves more than three equal ends. Their energy is MMFF94's
 * torsion terms and pairs, and what crystals prefer where the force field in a vacuum does not (mol_rotor.c). None at
 * all for another force field or a molecule of more than 600 atoms. Arena memory; m and ff outlive it.
 */
struct mol_rotors *mol_rotors_new(const struct mol *m, const struct mol_ff *ff, struct arena *a);

struct mol_rotor_opts {
	int n_start; /* descents: one from pos as it is, the others from random turns; the lowest wins */
	double
	    kt_kcal; /* 0: each bond takes its best place; else a random one by Boltzmann's weights, in one descent */
};
/*
 * Turns the bonds of pos [n_atom, 3] (angstrom, in place) one after another to the best of twelve places each, until
 * none gets better. Bonds and angles stay as they are. The result depends on pos, the options and r alone; the work is
 * counted and bounded.
 */
void mol_rotors_search(struct mol_rotors *w, const struct mol_rotor_opts *o, struct rng *r, double *pos);
/* The search's energy of pos, kcal/mol: up to what no turning changes. */
double mol_rotors_energy_kcal(struct mol_rotors *w, const double *pos);

#ifdef __cplusplus
}
#endif
#endif
