/*
 * mol_draw.h - part of layer 2a: 2D layout, pictures, and their export for people.
 *
 * Everything here is deterministic: coordinates and coverage come from the four operations and the square root alone
 * and pixels are rounded to bytes, so the same molecule gives the same picture on every x86-64.
 */
#ifndef MOLRILL_MOL_DRAW_H
#define MOLRILL_MOL_DRAW_H

#include "mol.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- layout (mol_layout*.c) --------------------------------------------- */

/*
 * 2D coordinates of every atom of m into pos, float32 [N, 2], unit: bond lengths, y upwards, around the origin. Rings
 * are regular polygons, chains zigzag, fragments lie side by side, the longest axis is level; double bonds lie as
 * m->cistrans says. Never fails and is always finite; `scratch` gives memory for the time of the call (the caller
 * resets it).
 */
void mol_layout(const struct mol *m, struct arena *scratch, float *pos);

/*
 * Wedges that show m's centres in the drawing pos [N, 2]: for each bond up[b] is 1 (solid wedge), -1 (hashed) or 0, and
 * from[b] the atom at its narrow end, always the centre. At most one bond a centre, outside rings and towards the
 * smaller side where possible, never between two others that leave more than half a turn free. Arrays [n_bond] are the
 * caller's. Returns the number of centres for which no bond was left.
 */
int32_t mol_wedge_assign(const struct mol *m, const float *pos, struct arena *scratch, int8_t *up, int32_t *from);
/*
 * The reverse: the chirality that a drawing shows at centre c, as a mol_center whose nbr[1..3] run counter-clockwise
 * seen from nbr[0]. False where no wedge begins at the atom.
 */
bool mol_wedge_read(const struct mol *m, const float *pos, const int8_t *up, const int32_t *from,
		    const struct mol_center *c, struct mol_center *shown);
/* True if both name the same hand of the same atom: their neighbours differ by an even permutation. */
bool mol_center_equal(const struct mol_center *a, const struct mol_center *b);

/* ---- scenes (mol_scene.c, mol_label.c) ---------------------------------- */

enum mol_shape_kind { MOL_SHAPE_LINE, MOL_SHAPE_WEDGE, MOL_SHAPE_DISC, MOL_SHAPE_TEXT };
/* Pixels, from the upper left corner, y downwards. */
struct mol_shape {
	uint8_t kind, rgb[3];
	double x[3], y[3]; /* ends of a line; corners of a wedge; centre of a disc; left end of a text's base line */
	double width;      /* of a line; radius of a disc; height of a capital letter */
	char text[12];
};
struct mol_scene {
	int32_t n_shape, cap;
	struct mol_shape *shape; /* painted in this order; arena memory */
	int32_t size_px;         /* width and height */
	struct arena *arena;
};
struct mol_scene_opts {
	int32_t size_px;
	const float
	    *highlight;  /* [N], or NULL: discs behind atoms, red above 0, blue below, strongest at the largest */
	double turn_rad; /* the drawing is turned, and mirrored before if asked; labels stay upright */
	bool mirror;     /* wedges are chosen anew, so that the picture still shows m */
};
/* The drawing of m with coordinates pos [N, 2], fitted into the frame. Bonds are at most a fifth of it. */
void mol_scene_build(const struct mol *m, const float *pos, const struct mol_scene_opts *o, struct arena *a,
		     struct mol_scene *s);
/* A picture of the scene, on white: uint8 [S, S, 3] into rgb. */
void mol_scene_paint(const struct mol_scene *s, uint8_t *rgb);
/* The scene as an SVG document; title may be NULL. */
void mol_scene_svg(const struct mol_scene *s, const char *title, struct buf *out);
/* uint8 [n, 3] -> uint8 [n], luma of BT.601 in integers. grey may be rgb. */
void mol_picture_grey(const uint8_t *rgb, int64_t n, uint8_t *grey);

/* ---- text (mol_glyph.c) -------------------------------------------------- */

/* Width in pixels of a text whose capitals are cap_px high. UTF-8; what the font lacks is a box. */
double mol_text_width(const char *text, double cap_px);
/* Paints text on uint8 [h, w, 3]; x, y: left end of its base line. */
void mol_text_paint(uint8_t *rgb, int32_t w, int32_t h, const char *text, double x, double y, double cap_px,
		    const uint8_t color[3]);

/* ---- export (mol_png.c, mol_sheet.c) ------------------------------------ */

/*
 * uint8 [h, w, channels] (3: RGB, 1: grey) as a PNG, appended to out: with a palette if 256 colours are enough, once
 * the last bit of a channel is rounded off where it must be; else all colours as they are. ERR_LIMIT for sizes that PNG
 * cannot hold, ERR_MEMORY.
 */
int mol_png_encode(const uint8_t *pixels, int32_t w, int32_t h, int channels, struct buf *out, struct err *e);

/* A contact sheet: pictures in rows, a caption under each, tinted by a value where there is one. */
struct mol_sheet;
#define MOL_SHEET_MAX 4000 /* cells */
struct mol_sheet *mol_sheet_new(int32_t size_px);
void mol_sheet_free(struct mol_sheet *s); /* takes NULL */
/*
 * Adds a picture uint8 [S, S, 3] with up to two lines of caption (the second may be NULL) and a value (NaN: none).
 * ERR_LIMIT past MOL_SHEET_MAX.
 */
int mol_sheet_add(struct mol_sheet *s, const uint8_t *rgb, const char *caption, const char *second, double value,
		  struct err *e);
/*
 * The sheet as a PNG, appended to out. Values are tinted from blue (the lowest) over white to orange (the highest), and
 * a bar at the top says what the colours mean; `label` names the value. An empty sheet is one empty cell.
 */
int mol_sheet_encode(const struct mol_sheet *s, const char *label, struct buf *out, struct err *e);

#ifdef __cplusplus
}
#endif
#endif
