/*
 * mol_work.h - inner header of layer 2a: the molecule while it is being made.
 *
 * A reader (mol_syntax.c, mol_sdf.c) fills atoms and bonds; the steps of
 * mol_perceive.c work on them in turn; mol_graph.c turns the result into the
 * struct mol that others see. Bonds keep the order in which they were made,
 * since chirality tags are relative to it (RDKit's convention).
 */
#ifndef MOLRILL_MOL_WORK_H
#define MOLRILL_MOL_WORK_H

#include "mol.h"

#ifdef __cplusplus
extern "C" {
#endif

enum work_type { WORK_ZERO = 0, WORK_SINGLE = 1, WORK_DOUBLE, WORK_TRIPLE, WORK_QUADRUPLE, WORK_AROMATIC, WORK_DATIVE };
/* Tags beyond the tetrahedral ones keep their class and permutation number in `permutation`. */
enum work_other { WORK_OTHER_NONE, WORK_ALLENE, WORK_SQUARE, WORK_BIPYRAMID, WORK_OCTAHEDRON };

struct work_atom {
	uint8_t z, hybrid;
	bool aromatic;    /* as written, later as perceived */
	bool no_implicit; /* written in brackets: it has the hydrogens that are written */
	bool gone;        /* a hydrogen that became a count */
	bool first;       /* no bond leads to it from the left (parity of tags) */
	bool ring_stereo; /* its tag says cis or trans about a ring */
	uint8_t tag;      /* enum mol_chirality */
	uint8_t other, permutation;
	uint8_t cip; /* 0, 'R' or 'S' */
	int16_t charge;
	uint16_t isotope;
	int32_t map;              /* atom class, -1: none */
	int16_t n_h;              /* written hydrogens */
	int16_t explicit_valence; /* bonds and written hydrogens */
	int16_t implicit_h;       /* hydrogens that the valence model adds */
	int16_t n_radical;
	int16_t n_closure; /* ring closures written at the atom */
	int32_t column;    /* of the SMILES, from 1 */
	int32_t n_ring;    /* rings of the set that hold it */
	int32_t source;
};
struct work_bond {
	int32_t a, b;    /* begin and end: direction and dative arrow run from a to b */
	uint8_t type;    /* enum work_type */
	bool aromatic;   /* as written, later as perceived */
	bool in_ring;    /* not a bridge */
	bool conjugated; /* RDKit's convention */
	bool implied;    /* no bond symbol (a slash counts as none) */
	bool gone;
	uint8_t direction; /* enum mol_direction, from a to b */
	uint8_t stereo;    /* enum mol_stereo_bond, CIP-based */
	int32_t side[2];   /* stereo, sided: the neighbours of a and of b that are named */
	bool cis;          /* and whether they lie on the same side */
	bool sided;        /* the side is known by other means than slashes (coordinates) */
	int32_t n_ring;    /* rings of the set that hold it */
	int32_t min_ring;  /* size of the smallest of them */
};
struct work {
	struct arena *arena;
	struct mol_reject *why;
	const char *text; /* SMILES or "" */
	bool lenient;     /* valences are not judged */
	int32_t n_atom, n_bond;
	struct work_atom *atom;
	struct work_bond *bond;
	int32_t *adj_start, *adj; /* bonds of atom i, in the order of bonds: adj[adj_start[i] .. adj_start[i+1]) */
	int32_t n_ring;
	int32_t *ring_start, *ring_atom, *ring_bond; /* ring_bond[k] joins ring_atom[k] and the next of the ring */
	int32_t *rank;                               /* [n_atom] CIP-like classes; equal means alike */
};

/* Bounds on one molecule: past them a molecule is "too-large". */
#define MOL_MAX_SMILES_NBYTES 400000
#define MOL_MAX_MOLFILE_NBYTES (16 << 20)
#define MOL_MAX_ATOM 100000

/* Element facts beyond mol.h (mol_element.c). */
int mol_element_outer(int z);   /* outer electrons */
int mol_element_isotope(int z); /* mass number of the commonest isotope */
/* Allowed valences in ascending order; -1: anything, -2: end of the list. */
const int8_t *mol_element_valences(int z);
double mol_element_weight(int z); /* standard atomic weight, dalton */
bool mol_element_is_metal(int z);
bool mol_element_is_early(int z); /* left of carbon: a positive charge takes a bond away */

static inline int32_t work_other_end(const struct work_bond *b, int32_t i)
{
	return b->a == i ? b->b : b->a;
}
/* Fills why and answers ERR_CHEM. column 0: unknown. */
int work_refuse(struct work *w, const char *code, int column, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* SMILES -> atoms and bonds as written (mol_syntax.c). */
int work_read_smiles(struct work *w, const char *smiles, size_t n);
void work_build_adjacency(struct work *w); /* mol_valence.c; leaves gone bonds out */
int work_remove_hydrogens(struct work *w); /* mol_hydrogen.c */
void work_normalise(struct work *w);       /* mol_normalise.c */
int work_assign_valence(struct work *w);   /* mol_valence.c */
void work_assign_radicals(struct work *w); /* mol_valence.c */
int work_find_rings(struct work *w);       /* mol_ring.c */
int work_kekulise(struct work *w);         /* mol_kekule.c */
void work_set_aromaticity(struct work *w); /* mol_aromatic.c */
void work_set_conjugation(struct work *w); /* mol_hybrid.c */
void work_set_hybrid(struct work *w);      /* mol_hybrid.c */
int work_set_stereo(struct work *w);       /* mol_stereo.c */
/* Ranks by RDKit's CIP-like rules into w->rank (mol_rank.c). seeded: refine w->rank by the stereo found so far. */
int work_rank_atoms(struct work *w, bool seeded);
/* Explicit valence of one atom without the check (mol_valence.c). */
int work_explicit_valence(const struct work *w, int32_t i);
int work_degree(const struct work *w, int32_t i);
int work_n_h(const struct work *w, int32_t i); /* written and implied */
/* Electrons that an atom can give to a pi system, -1: it cannot take part (mol_aromatic.c). */
int work_pi_electrons(const struct work *w, int32_t i);
/* Twice the bond's share of the valence of atom i. */
int work_twice_order(const struct work_bond *b, int32_t i);
/* All steps after reading (mol_perceive.c). 0 or ERR_CHEM. */
int work_perceive(struct work *w);
/* Has Open Babel read text (0 SMILES, 1 molfile), perceives it (mol_sdf.c). 0 or negative. */
int work_parse_babel(struct work *w, int format, const char *text, size_t n, struct mol **out, struct err *e);
/* Perceived work -> the molecule (mol_graph.c). */
struct mol *work_to_mol(const struct work *w, const char *smiles);

#ifdef __cplusplus
}
#endif
#endif
