/*
 * mol_canon.h - inner header of layer 2a: canonical order and the writing of SMILES.
 */
#ifndef MOLRILL_MOL_CANON_H
#define MOLRILL_MOL_CANON_H

#include "mol.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
	MOL_WRITE_STEREO = 1, /* tags and slashes */
	MOL_WRITE_KEKULE = 2, /* double bonds instead of lower-case letters */
};
/*
 * SMILES of m in the arena. Among neighbours the one of lower rank (int32 [n_atom]) is written first, and each
 * fragment starts at its lowest; rank NULL: the order of the atoms. order (int32 [n_atom], may be NULL) receives the
 * atoms in the order written. No recursion; time linear but for the sorting of neighbours (mol_smiles.c).
 */
const char *mol_write_smiles(const struct mol *m, const int32_t *rank, int flags, struct arena *a, int32_t *order);
/* Canonical SMILES; order as above (mol_canon.c). */
const char *mol_canonical_smiles(const struct mol *m, bool stereo, struct arena *a, int32_t *order);

#ifdef __cplusplus
}
#endif
#endif
