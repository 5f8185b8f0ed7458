/*
 * mol_raster.h - painting of anti-aliased shapes, shared by the files that draw; nobody else includes it.
 */
#ifndef MOLRILL_MOL_RASTER_H
#define MOLRILL_MOL_RASTER_H

#include "mol_draw.h"

/* uint8 [h, w, 3], rows from the top. Pixel (i, j) covers the square around (i + 0.5, j + 0.5). */
#define RASTER_LEVELS 16
struct raster {
	uint8_t *rgb;
	int32_t w, h;
	/* Zero at first: the colour last painted with, and what each level of cover makes of it on white. */
	bool inked;
	uint8_t color[3], ink[RASTER_LEVELS + 1][4];
};
/*
 * A line with round ends, its own rounded to sixteenths of a pixel; lines thinner than a pixel are fainter, not
 * thinner. At most 1024 pixels long.
 */
void raster_line(struct raster *r, double x0, double y0, double x1, double y1, double width, const uint8_t color[3]);
void raster_triangle(struct raster *r, const double x[3], const double y[3], const uint8_t color[3]);
void raster_disc(struct raster *r, double x, double y, double radius, const uint8_t color[3]);
/* As mol_text_paint (mol_draw.h). */
void raster_text(struct raster *r, const char *text, double x, double y, double cap_px, const uint8_t color[3]);

/* Strokes of a text, in pixels: each is a line. The callback draws them or writes them down. */
typedef void glyph_stroke(void *ctx, double x0, double y0, double x1, double y1);
void glyph_walk(const char *text, double x, double y, double cap_px, glyph_stroke *stroke, void *ctx);
/* Width of the pen for letters of that height. */
double glyph_pen_px(double cap_px);

#endif
