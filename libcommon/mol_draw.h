/*
 * mol_draw.h - part of layer 2a: 2D layout, pictures, and their export for people.
 *
 * Everything here is deterministic: coordinates come from the four operations and the square root alone, pixels from
 * integers and rounded numbers, so the bytes are the same on every x86-64.
 */
#ifndef MOLRILL_MOL_DRAW_H
#define MOLRILL_MOL_DRAW_H

#include "mol.h"

/* ---- layout (mol_layout.c) ---------------------------------------------- */

/*
 * 2D coordinates of every atom of m into pos, float32 [N, 2], unit: bond lengths, y upwards, around the origin. Rings
 * are regular polygons, chains zigzag, fragments lie side by side, the longest axis is horizontal; double bonds lie as
 * m->cistrans says. Never fails and is always finite; `scratch` gives memory for the time of the call (the caller
 * resets it).
 */
void mol_layout(const struct mol *m, struct arena *scratch, float *pos);

#endif
