/* mol_scene.h - what the files of a scene share; nobody else includes it. */
#ifndef MOLRILL_MOL_SCENE_H
#define MOLRILL_MOL_SCENE_H

#include "mol_draw.h"
#include "mol_plane.h"

#define LABEL_MAX_RUNS 6
#define LABEL_MAX_CROWD 500 /* atoms beyond which labels are too small to look for room */

/* A rectangle in pixels, y downwards. */
struct rect {
	double left, top, right, bottom;
};
struct label {
	int n_run; /* 0: the atom is a corner without a label */
	struct {
		char text[12];
		double x, y, cap_px; /* left end of the base line */
		struct rect box;
	} run[LABEL_MAX_RUNS];
	int n_dot; /* unpaired electrons */
};
/* Where things of the scene are, in pixels. */
struct frame {
	const struct mol *m;
	struct vec *at; /* [n_atom] */
	double bond_px, cap_px, pen_px;
	struct label *label; /* [n_atom] */
};

/* mol_label.c */
const uint8_t *label_color(int z);
/* Fills f->label[a] from f->at and f->cap_px: symbol, hydrogens on the freest side, charge, isotope. */
void label_build(struct frame *f, int32_t a);
/* How far from atom a, in [0, 1] of the way to q, a line that starts at p leaves its label. */
double label_exit(const struct frame *f, int32_t a, struct vec p, struct vec q, double margin_px);

struct mol_shape *scene_add(struct mol_scene *s, enum mol_shape_kind kind, const uint8_t rgb[3], double width);

#endif
