/*
 * mol.h - layer 2a: molecules. Parsing, features, scaffolds, fingerprints,
 * drawing, geometry, and the formats that molecules come in.
 *
 * Open Babel is reached by one file, mol_openbabel.cc, behind this header.
 * Knows nothing of learning.
 */
#ifndef MOLRILL_MOL_H
#define MOLRILL_MOL_H

#include "ts.h"
#include "util.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the molecule (mol_graph.c) ----------------------------------------- */

enum mol_hybrid { MOL_HYB_S, MOL_SP, MOL_SP2, MOL_SP3, MOL_SP3D, MOL_SP3D2, MOL_HYB_OTHER };
enum mol_direction { MOL_DIR_NONE, MOL_DIR_UP, MOL_DIR_DOWN };
enum mol_chirality { MOL_CHI_NONE, MOL_CHI_CW, MOL_CHI_CCW, MOL_CHI_OTHER };
enum mol_stereo_bond { MOL_STEREO_NONE, MOL_STEREO_Z, MOL_STEREO_E, MOL_STEREO_ANY };

struct mol_atom {
	uint8_t z;         /* atomic number, 0 for '*' */
	int8_t charge;     /* elementary charges */
	uint16_t isotope;  /* mass number, 0: natural */
	uint8_t n_h;       /* hydrogens on it that are not atoms of the graph */
	uint8_t n_radical; /* unpaired electrons */
	uint8_t chirality; /* enum mol_chirality; relative to the order of neighbours in the SMILES (RDKit's tag) */
	uint8_t hybrid;    /* enum mol_hybrid, RDKit's convention */
	bool aromatic;     /* RDKit's aromaticity model */
	bool in_ring;
	int32_t degree;   /* neighbours in the graph */
	int32_t fragment; /* connected component, from 0 in order of first atom */
	int32_t source;   /* index of the atom in the input (file order, or place among the SMILES' atoms) */
};
struct mol_bond {
	int32_t a, b;  /* atoms, a < b */
	uint8_t order; /* 1, 2, 3 or 4 of a Kekule structure, whatever the aromaticity; 0: dative or zero-order */
	bool aromatic, in_ring, conjugated; /* RDKit's conventions */
	uint8_t stereo;                     /* enum mol_stereo_bond, CIP-based (OGB feature) */
	uint8_t
	    direction; /* enum mol_direction, as RDKit's parser keeps it on bonds beside a double bond (hu feature) */
};
/* Tetrahedral centre: seen from nbr[0], nbr[1..3] run counter-clockwise. An implicit hydrogen or lone pair is -1. */
struct mol_center {
	int32_t atom;
	int32_t nbr[4];
};
/* Double bond with a known side: nbr[0] on atom[0] and nbr[1] on atom[1] lie on the same side (cis) or not. */
struct mol_cistrans {
	int32_t bond, atom[2], nbr[2];
	bool cis;
};
struct mol {
	int32_t n_atom, n_bond, n_fragment;
	struct mol_atom *atom; /* [n_atom] */
	struct mol_bond *bond; /* [n_bond], sorted by (a, b) */
	int32_t *adj_start; /* [n_atom + 1]: neighbours of i are adj_atom[adj_start[i] .. adj_start[i+1]) ascending */
	int32_t *adj_atom, *adj_bond; /* [2 n_bond] */
	int32_t n_ring;               /* RDKit's symmetrised set of smallest rings, of any size */
	int32_t *ring_start;          /* [n_ring + 1] */
	int32_t *ring_atom;           /* atoms in order around the ring */
	int32_t n_center;
	struct mol_center *center;
	int32_t n_cistrans;
	struct mol_cistrans *cistrans;
	const char *smiles; /* the string whose atom order this is */
	/* An SDF's own atoms, hydrogens included; n_file = 0 otherwise. */
	int32_t n_file;
	const float *file_pos;      /* [n_file, 3], angstrom */
	const int64_t *file_z;      /* [n_file] */
	const int32_t *file_parent; /* [n_file]: the one neighbour of a hydrogen that has one, -1 for others */
};
/* All in arena memory. */

/* Element facts (mol_element.c). z outside the table answers NULL or 0. */
const char *mol_element_symbol(int z);
int mol_element_number(const char *symbol);    /* 0: none such */
double mol_element_covalent_radius_ang(int z); /* Cordero et al., Dalton Trans. 2008, 2832 */
double mol_element_vdw_radius_ang(int z);      /* Alvarez, Dalton Trans. 2013, 8617 */

/*
 * Why a molecule was refused. `code` is one of the fixed reason codes that stand in the
 * rejects file ("syntax", "valence", "aromaticity", "stereo", "empty", "too-large", "embed-failed", "stereo-wrong",
 * "clash", "bond-length", "timeout", "crashed", "no-parameters", "no-label", ...).
 */
struct mol_reject {
	const char *code;
	int column; /* of the SMILES, from 1; 0: unknown */
	char msg[240];
};
struct mol_parse_opts {
	bool lenient; /* take what Open Babel takes */
};
/* Once a process, before the first molecule: loads Open Babel's tables (milliseconds). */
int mol_start(struct err *e);
/* What Open Babel loads at its first molecules, molfiles and lenient SMILES, for a process that soon opens no files. */
int mol_warm_up(struct err *e);
const char *mol_openbabel_version(void); /* "3.1.1", for provenance */
/*
 * What these give is final: atoms in the order of the SMILES without the hydrogens that become counts, hydrogens,
 * radicals, hybridisation, aromaticity, rings, tags, sides and directions as RDKit 2026.03 has them (equal on all
 * 3,000 molecules of the reference tables). Limits: 400,000 characters, 100,000 atoms, 4,096 rings open at once,
 * molfiles of 16 MiB, some 350 fused rings in one system, about 10,000 alike atoms beside a stereo mark; past them a
 * molecule is "too-large". mol_start may be called late or not at all where only SMILES are read.
 */
/*
 * SMILES -> molecule, perceived (rings, aromaticity, stereo, hybridisation, conjugation). 0, or ERR_CHEM with
 * *why filled, or another negative code for failures that are not the molecule's.
 */
int mol_parse_smiles(const char *smiles, const struct mol_parse_opts *o, struct arena *a, struct mol **out,
		     struct mol_reject *why, struct err *e);
/* One SDF record (V2000 or V3000, without "$$$$") -> molecule; its SMILES is written anew. As above. */
int mol_parse_sdf(const char *block, size_t n, const struct mol_parse_opts *o, struct arena *a, struct mol **out,
		  struct mol_reject *why, struct err *e);

/* ---- features (mol_features.c) ------------------------------------------- */

enum mol_feature_set { MOL_FEATURES_OGB, MOL_FEATURES_HU };
struct mol_features {           /* arena memory, as PyTorch Geometric names and shapes them */
	int64_t n_atom, n_edge; /* each bond is two edges */
	int n_x, n_attr;        /* 9 and 3 (ogb), 2 and 2 (hu) */
	int64_t *x;             /* [n_atom, n_x] */
	int64_t *edge_index;    /* [2, n_edge], sorted by (source, target) */
	int64_t *edge_attr;     /* [n_edge, n_attr] */
	int64_t *z;             /* [n_atom] atomic numbers */
};
void mol_features_fill(const struct mol *m, enum mol_feature_set set, struct arena *a, struct mol_features *out);

/* ---- editing (mol_hydrogen.c) --------------------------------------------- */

/* Copy of m with its n_h hydrogens as atoms after the heavy ones, in the order of their parents. */
struct mol *mol_add_hydrogens(const struct mol *m, struct arena *a);

/* ---- what mol2graph asks of a molecule ------------------------------------ */

/* Bemis-Murcko scaffold, canonical SMILES with chirality; "" for a molecule without a ring. In the arena. */
int mol_scaffold(const struct mol *m, struct arena *a, const char **smiles, struct err *e);
/* Canonical SMILES without stereo. In the arena. */
int mol_canonical_flat(const struct mol *m, struct arena *a, const char **smiles, struct err *e);
/* ECFP4, 2048 bits: bit i in byte i/8 at 1 << (i % 8). */
void mol_ecfp(const struct mol *m, struct arena *a, uint8_t fp[256]);
/* Its features before folding, in the arena (twins included); answers their number. bit = code % 2048. */
int32_t mol_ecfp_codes(const struct mol *m, struct arena *a, uint32_t **codes);
/*
 * SMILES of the largest fragment (most heavy atoms; of equals the heaviest, then the first), of the neutral form
 * (charges that a proton can take away or give back), or both: `edits` is a sum of these. The m->smiles pointer itself
 * when nothing changes. ERR_CHEM with *why.
 */
enum { MOL_EDIT_LARGEST = 1, MOL_EDIT_NEUTRAL = 2 };
int mol_edit(const struct mol *m, unsigned edits, struct arena *a, const char **smiles, struct mol_reject *why,
	     struct err *e);

#ifdef __cplusplus
}
#endif
#endif
