/*
 * mol_openbabel.h - inner header of layer 2a: what Open Babel read, as plain arrays.
 *
 * Open Babel is asked for what it is good at: the many shapes of molfiles, and SMILES that ours refuses when a
 * lenient reading is wanted. Perception (rings, aromaticity, valence, stereo) is ours.
 */
#ifndef MOLRILL_MOL_OPENBABEL_H
#define MOLRILL_MOL_OPENBABEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct babel_atom {
	int32_t z, charge, isotope, n_implicit_h, spin; /* spin: multiplicity, 0: not said */
	double pos[3];
};
struct babel_bond {
	int32_t a, b, order; /* Kekule structure */
	int32_t wedge;       /* at atom a: 1 up, -1 down, 2 either; 0 none */
	bool crossed;        /* a double bond of unknown side */
};
struct babel_center { /* seen from nbr[0], nbr[1..3] run clockwise; -1: implicit hydrogen or lone pair */
	int32_t atom, nbr[4];
};
struct babel_cistrans {
	int32_t atom[2], nbr[2];
	bool cis;
};
struct babel_mol {
	int32_t n_atom, n_bond, n_center, n_cistrans;
	struct babel_atom *atom;
	struct babel_bond *bond;
	struct babel_center *center;     /* of SMILES only */
	struct babel_cistrans *cistrans; /* of SMILES only */
	int32_t dimension;               /* of the coordinates: 0, 2, 3 */
};

/* Loads the two formats in use. 0, or -1 with a message. Once a process. */
int babel_start(char *msg, size_t n_msg);
/* "3.1.0" */
const char *babel_version(void);
/* Path of a data file of its installation, as the library itself would find it. 0, or -1: there is none to read. */
int babel_data_path(const char *name, char *path, size_t n_path);
/*
 * Reads one molecule: format 0 SMILES, 1 molfile. 0; 1 when Open Babel refuses it (message); -1 on failures of its
 * own. The result is on malloc: babel_free.
 */
int babel_read(int format, const char *text, size_t n, struct babel_mol *out, char *msg, size_t n_msg);
void babel_free(struct babel_mol *m);

#ifdef __cplusplus
}
#endif
#endif
