/*
 * mol_dg.h - the parts of distance geometry, for the mol_*.c files that make
 * them. Programs use mol_conf.h.
 *
 * Everything here is about one connected molecule whose hydrogens are atoms
 * (mol_add_hydrogens). Memory is the arena's.
 */
#ifndef MOLRILL_MOL_DG_H
#define MOLRILL_MOL_DG_H

#include "mol.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- ideal geometry (mol_ideal.c) --------------------------------------- */

/* What is known of the sides of a bond that does not turn. */
enum mol_side { MOL_TURNS, MOL_CIS, MOL_TRANS, MOL_FLAT };
struct mol_plane {
	uint8_t side;   /* enum mol_side: of ref[0] and ref[1]; MOL_FLAT: in one plane, side unknown */
	bool soft;      /* a preference, not a constraint */
	int32_t ref[2]; /* neighbour of bond.a, neighbour of bond.b */
};
struct mol_ideal {
	const struct mol *m;
	double *length_ang; /* [n_bond] */
	/* rings through atom i: ring_at[ring_at_start[i] .. ring_at_start[i + 1]), as places in m->ring_atom */
	int32_t *ring_at_start, *ring_at, *ring_of; /* ring_of [places]: ring of a place */
	bool *ring_flat;                            /* [n_ring] */
	double *ring_angle_rad;                     /* [places]: inner angle there */
	struct mol_plane *plane;                    /* [n_bond] */
};
/* Typical length of bond b in m, angstrom (sources in mol_length.c). */
double mol_length_ideal_ang(const struct mol *m, const struct mol_bond *b);
/* Index of the bond between i and j, or -1. */
int mol_bond_between(const struct mol *m, int i, int j);
struct mol_ideal *mol_ideal_new(const struct mol *m, struct arena *a);
/* Range of the angle i-j-k, radians; i and k are neighbours of j. */
void mol_ideal_angle_rad(const struct mol_ideal *id, int i, int j, int k, double *lo, double *hi);
/* Smallest ring in which i, j, k follow each other (l too unless it is -1), or -1. */
int mol_ideal_ring(const struct mol_ideal *id, int i, int j, int k, int l);

/* ---- bounds (mol_bounds.c) ---------------------------------------------- */

struct mol_bounds {
	int n, stride;   /* atoms; floats a row, a multiple of 8 */
	float *lo, *hi;  /* [n, stride], symmetric, angstrom; the pad holds 0 and a large number */
	uint8_t *n_step; /* [n, stride]: bonds from i to j, 5 for five and more; 0 on the diagonal */
};
struct mol_bounds *mol_bounds_new(const struct mol_ideal *id, struct arena *a);
/*
 * Triangle smoothing (Crippen and Havel 1988): every upper bound at most, every lower bound at least what any third
 * atom allows. Bounds that contradict each other meet in their middle. O(n^3).
 */
void mol_bounds_smooth(struct mol_bounds *b);

/* ---- signed volumes (mol_chiral.c) -------------------------------------- */

/*
 * V = (p1 - p0) . ((p2 - p0) x (p3 - p0)), in units of `scale` (cubic angstrom) wanted in [lo, hi].
 * Serves stereo centres (V on the right side), planar centres and planar bonds (V = 0).
 */
struct mol_volume {
	int32_t atom[4];
	float lo, hi, weight, scale;
};
struct mol_volumes {
	int n_stereo, n_flat,
	    n; /* the first n_stereo are stereo centres, then n_flat planar centres, then planar bonds */
	struct mol_volume *v;
};
void mol_volumes_find(const struct mol_ideal *id, struct arena *a, struct mol_volumes *out);
/* The four neighbours of c with hydrogens in the place of implicit ones; a lone pair stays -1. */
void mol_center_neighbours(const struct mol *m, const struct mol_center *c, int32_t nbr[4]);
/*
 * Range of the four volumes that unit vectors from `atom` to three of its neighbours span, each with the sign of the
 * whole tetrahedron: -0.77 all when they stand regularly and counter-clockwise seen from the first, +0.77 clockwise;
 * both signs when the atom lies outside its neighbours' tetrahedron. A neighbour of -1 (lone pair) leaves one volume.
 * Coordinate k of atom i is pos[i * step_atom + k * step_axis].
 */
void mol_center_range(int atom, const int32_t nbr[4], const double *pos, int step_atom, int step_axis, double *lo,
		      double *hi);
double mol_volume_of(const int32_t atom[4], const double *x, const double *y, const double *z);

/* ---- torsions (mol_torsion.c) ------------------------------------------- */

/* weight * (1 + sign * cos(n phi)) */
struct mol_torsion {
	int32_t atom[4];
	float weight, sign;
	int32_t n; /* 2 or 3 */
};
struct mol_torsions {
	int n;
	struct mol_torsion *t;
};
void mol_torsions_find(const struct mol_ideal *id, struct arena *a, struct mol_torsions *out);
/* `scale` times the sum over all terms at coordinates x, y, z [n]; adds its gradient to gx, gy, gz [n]. */
double mol_torsions_value(const struct mol_torsions *t, double scale, const double *x, const double *y, const double *z,
			  double *gx, double *gy, double *gz);

/* ---- error function (mol_dgerror.c) ------------------------------------- */

/*
 * Coordinates are [4, np]: all x, then y, z and the fourth dimension w, each padded to np. The value is
 *   sum over pairs of max(0, d^2/u^2 - 1)^2 + max(0, 2 l^2/(l^2 + d^2) - 1)^2     (Crippen and Havel 1988)
 *   + w_near * (d^2/d0^2 - 1)^2 over bonds and 1-3 pairs of known distance
 *   + w_stereo, w_flat * squared distance of signed volumes from their range
 *   + w_torsion * torsion terms + w_fourth * sum of w^2.
 */
struct mol_near {
	int32_t a, b;
	double inv_d2, weight;
};
struct mol_dgerror {
	int n, np;             /* atoms; padded to a multiple of 4 */
	double *lo2, *inv_hi2; /* pairs (i, j < i), row i begins at row[i], padded to a multiple of 4 */
	int32_t *row;
	int n_near;
	struct mol_near *near;
	struct mol_volumes volumes;
	struct mol_torsions torsions;
	double w_near, w_stereo, w_flat, w_torsion, w_fourth;
	int64_t n_pair_done;      /* pairs evaluated so far: the measure of work */
	struct ff_metric *metric; /* of the near pairs and planar centres (mol_dgmetric.c) */
	double *scratch;          /* [n, 3] */
};
struct mol_dgerror *mol_dgerror_new(const struct mol_ideal *id, const struct mol_bounds *b, struct arena *a);
/* A mol_lbfgs_fn; ctx is a struct mol_dgerror; x, g [4 np]. The pad of x holds far-away numbers, that of g is 0. */
double mol_dgerror_value(void *ctx, const double *x, double *g);
void mol_dgerror_pad(const struct mol_dgerror *f, double *x);

/*
 * For mol_lbfgs_opts.precondition, ctx a struct mol_dgerror: the stiffness of near pairs and planar centres at x in the
 * place of L-BFGS' first guess, renewed every 30 steps.
 */
void mol_dgerror_precondition(void *ctx, const double *x, int n_iter, double *d);

/* ---- starting coordinates (mol_start4.c) -------------------------------- */

/*
 * Four-dimensional start from random distances within the bounds, by the metric matrix; x [4 np] as above; work
 * [mol_start_n_work], aligned to 32 bytes, is overwritten.
 */
void mol_start_metric(const struct mol_bounds *b, int np, struct rng *r, double *work, double *x);
size_t mol_start_n_work(int n, int np);
/* Four-dimensional start from random places in a box. */
void mol_start_random(const struct mol_bounds *b, int np, struct rng *r, double *x);

/* ---- one conformer (mol_embed.c) ---------------------------------------- */

/* All that the restarts of one connected molecule share. */
struct mol_embedder;
struct mol_embedder *mol_embedder_new(const struct mol *m, struct arena *a);
/*
 * Conformer number `conformer` of the molecule into pos [n_atom, 3], angstrom; random numbers from (seed, key,
 * conformer, attempt) alone. Restarts until the gate passes, within a bound of counted work. Returns NULL, or the
 * reason code of the last failure ("embed-failed", "stereo-wrong", "clash", "bond-length").
 */
const char *mol_embedder_run(struct mol_embedder *e, uint64_t seed, uint64_t key, int conformer, double *pos);

#ifdef __cplusplus
}
#endif
#endif
