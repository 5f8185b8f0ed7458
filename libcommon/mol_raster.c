/* Anti-aliased shapes: the share of a pixel that a shape covers is read off its distance to the shape's edge. */
#include "mol_raster.h"

#include <math.h>
#include <string.h>

static double at_least(double a, double b)
{
	return a > b ? a : b;
}
static double at_most(double a, double b)
{
	return a < b ? a : b;
}

/*
 * Mixes color into a pixel; cover is in 1/256, in steps of a sixteenth, and so is what is mixed: 16 levels a channel,
 * which no eye misses at the edge of a line, and a palette holds all that comes of a drawing.
 */
static inline void blend(uint8_t *p, const uint8_t color[3], int cover)
{
	cover = (cover + 8) & ~15;
	if (cover >= 256) {
		memcpy(p, color, 3);
		return;
	}
	for (int k = 0; k < 3 && cover; k++) {
		int mixed = p[k] + ((color[k] - p[k]) * cover + 128) / 256;
		p[k] = (uint8_t)((mixed + 8) / 17 * 17);
	}
}
/* First and last pixel whose middle may lie in [low, high], within n pixels. */
static void span(double low, double high, int32_t n, int32_t *first, int32_t *last)
{
	low -= 0.5, high += 0.5;
	*first = low <= 0 ? 0 : low >= n ? n : (int32_t)low;
	*last = high >= n ? n - 1 : high <= 0 ? -1 : (int32_t)high;
}

/*
 * Of each row, what the strip of half-width `reach` about the line cuts from the line's box. Beside the line the
 * distance is that to an endless one, beyond its ends that to the end.
 */
void raster_line(struct raster *r, double x0, double y0, double x1, double y1, double width, const uint8_t color[3])
{
	double half = at_least(width, 1) / 2, strength = 256 * at_most(width, 1), reach = half + 0.5;
	double ux = x1 - x0, uy = y1 - y0, len = sqrt(ux * ux + uy * uy), inverse = len > 1e-6 ? 1 / len : 0;
	double box_left = at_most(x0, x1) - reach, box_right = at_least(x0, x1) + reach;
	bool steep = fabs(uy) > 1e-9;
	double slope = steep ? ux / uy : 0, broad = steep ? reach * len / fabs(uy) : 0;
	int32_t top, bottom, left, right;
	ux *= inverse, uy *= inverse;
	if (inverse == 0) /* a point: any direction will do */
		ux = 1, uy = 0, len = 0;
	span(at_most(y0, y1) - reach, at_least(y0, y1) + reach, r->h, &top, &bottom);
	for (int32_t j = top; j <= bottom; j++) {
		double wy = j + 0.5 - y0, x = x0 + wy * slope, a = box_left, b = box_right;
		if (steep)
			a = at_least(a, x - broad), b = at_most(b, x + broad);
		span(a, b, r->w, &left, &right);
		uint8_t *p = r->rgb + ((int64_t)j * r->w + left) * 3;
		for (int32_t i = left; i <= right; i++, p += 3) {
			double wx = i + 0.5 - x0, along = wx * ux + wy * uy, away = fabs(wx * uy - wy * ux);
			double beyond = along < 0 ? along : along > len ? along - len : 0;
			if (away >= reach)
				continue;
			if (beyond != 0)
				away = sqrt(away * away + beyond * beyond);
			double cover = reach - away;
			if (cover > 0)
				blend(p, color, cover >= 1 ? (int)(strength + 0.5) : (int)(cover * strength + 0.5));
		}
	}
}

void raster_triangle(struct raster *r, const double x[3], const double y[3], const uint8_t color[3])
{
	double nx[3], ny[3], off[3];
	double area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0]);
	for (int k = 0; k < 3; k++) { /* unit normals of the edges, inwards */
		double dx = x[(k + 1) % 3] - x[k], dy = y[(k + 1) % 3] - y[k], len = sqrt(dx * dx + dy * dy);
		double s = (area > 0 ? 1 : -1) / at_least(len, 1e-9);
		nx[k] = -dy * s, ny[k] = dx * s, off[k] = -(nx[k] * x[k] + ny[k] * y[k]);
	}
	int32_t top, bottom, left, right;
	span(at_most(y[0], at_most(y[1], y[2])) - 1, at_least(y[0], at_least(y[1], y[2])) + 1, r->h, &top, &bottom);
	span(at_most(x[0], at_most(x[1], x[2])) - 1, at_least(x[0], at_least(x[1], x[2])) + 1, r->w, &left, &right);
	for (int32_t j = top; j <= bottom; j++)
		for (int32_t i = left; i <= right; i++) {
			double d = 0.5;
			for (int k = 0; k < 3; k++)
				d = at_most(d, nx[k] * (i + 0.5) + ny[k] * (j + 0.5) + off[k]);
			if (d > -0.5)
				blend(r->rgb + ((int64_t)j * r->w + i) * 3, color, (int)((d + 0.5) * 256 + 0.5));
		}
}

void raster_disc(struct raster *r, double x, double y, double radius, const uint8_t color[3])
{
	raster_line(r, x, y, x, y, 2 * radius, color);
}

void mol_picture_grey(const uint8_t *rgb, int64_t n, uint8_t *grey)
{
	for (int64_t i = 0; i < n; i++)
		grey[i] = (uint8_t)((77 * rgb[3 * i] + 150 * rgb[3 * i + 1] + 29 * rgb[3 * i + 2] + 128) >> 8);
}

void mol_scene_paint(const struct mol_scene *s, uint8_t *rgb)
{
	struct raster r = {rgb, s->size_px, s->size_px};
	memset(rgb, 255, (size_t)s->size_px * (size_t)s->size_px * 3);
	for (int32_t i = 0; i < s->n_shape; i++) {
		const struct mol_shape *h = &s->shape[i];
		switch (h->kind) {
		case MOL_SHAPE_LINE:
			raster_line(&r, h->x[0], h->y[0], h->x[1], h->y[1], h->width, h->rgb);
			break;
		case MOL_SHAPE_WEDGE:
			raster_triangle(&r, h->x, h->y, h->rgb);
			break;
		case MOL_SHAPE_DISC:
			raster_disc(&r, h->x[0], h->y[0], h->width, h->rgb);
			break;
		case MOL_SHAPE_TEXT:
			mol_text_paint(rgb, r.w, r.h, h->text, h->x[0], h->y[0], h->width, h->rgb);
			break;
		}
	}
}
