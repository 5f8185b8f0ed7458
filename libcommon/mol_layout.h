/*
 * mol_layout.h - what the files of the 2D layout share; nobody else includes it.
 *
 * The layout works on its own copy of the molecule whose atoms stand in an
 * order of their surroundings, not of the input, so that choices among equals
 * fall the same way however the atoms were numbered. Lengths are in bonds.
 */
#ifndef MOLRILL_MOL_LAYOUT_H
#define MOLRILL_MOL_LAYOUT_H

#include "mol.h"
#include "mol_plane.h"

struct lay_bond {
	int32_t a, b;
	uint8_t order;
	bool ring;
};
struct lay {
	struct arena *arena;
	int32_t n_atom, n_bond;
	int32_t *source;                 /* [n_atom]: index in struct mol */
	uint8_t *z;                      /* [n_atom]: atomic number */
	int32_t *start, *nbr, *nbr_bond; /* neighbours, as in struct mol, ascending */
	struct lay_bond *bond;
	int32_t n_ring, *ring_start, *ring_atom; /* small rings first */
	int32_t n_system, *system;               /* ring system of each atom, or -1 */
	int32_t *sys_start, *sys_atom;           /* atoms of system s: sys_atom[sys_start[s] .. sys_start[s + 1]) */
	int32_t *sys_ring_start, *sys_ring;      /* and its rings, small ones first */
	int32_t n_cistrans;
	struct mol_cistrans *cistrans;
	struct vec *pos;     /* [n_atom] */
	bool *seen, *placed; /* in the tree; with coordinates in the frame of the fragment */
	/* The tree of bonds outside rings. Atoms behind bond parent-to-child are order[from[c] .. to[c]). */
	int32_t *parent, *order, *from,
	    *to;      /* of atoms; from and to are set for the atom where a bond of the tree ends */
	int64_t work; /* pairs looked at in the relief of clashes */
};

/* mol_layout_graph.c: the copy, its rings and ring systems. */
struct lay *lay_new(const struct mol *m, struct arena *a);
/* Bond between a and b, or -1. */
int32_t lay_bond_find(const struct lay *l, int32_t a, int32_t b);
static inline int32_t lay_degree(const struct lay *l, int32_t a)
{
	return l->start[a + 1] - l->start[a];
}

/* mol_layout_ring.c: coordinates of each ring system in a frame of its own, into l->pos. */
void lay_systems_place(struct lay *l);

/*
 * mol_layout_cage.c: the largest known cage or bridged frame among the atoms of a system: fills `match` with its atoms
 * and `pos` with their places; returns their number, 0 without one.
 */
#define LAY_CAGE_MAX 20
int32_t lay_cage_find(const struct lay *l, const int32_t *atoms, int32_t n, int32_t *match, struct vec *pos);

/*
 * mol_layout_relax.c: how bad a drawing of the n atoms is (0: flawless), what is lost by substituents that would have
 * to cross its bonds, and springs that make it better.
 */
double lay_enclosure(const struct lay *l, const int32_t *atoms, int32_t n, const struct vec *pos);
double lay_badness(const struct lay *l, const int32_t *atoms, int32_t n, const struct vec *pos);
void lay_relax(const struct lay *l, int32_t system, struct vec *pos);

/* mol_layout_chain.c: the fragment that holds `root`; fills the tree. Returns the number of its atoms, in order[at ..).
 */
int32_t lay_fragment_place(struct lay *l, int32_t root, int32_t at);

/* mol_layout_clash.c: turns and mirrors parts of the fragment order[at .. at + n) until nothing collides or the work is
 * done. */
void lay_clash_relieve(struct lay *l, int32_t at, int32_t n);

#endif
