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

/* ---- lines ---- */

/* Parts of a pixel; steps of cover; pixels looked at at once. */
enum { SUB = 16, LEVELS = RASTER_LEVELS, CHUNK = 8 };

/*
 * A line in whole parts of a pixel. Cross and dot product of a pixel with it are then whole numbers, which change by
 * the same amount from pixel to pixel and are the same from whichever end the line is looked at.
 */
struct stroke {
	int32_t x, y, ex, ey, limit; /* from, along, and the dot product at the end: 0 for a point */
	int32_t cross[CHUNK], dot[CHUNK];
	float to_px, reach, strength;
};

static struct stroke stroke_make(int32_t x0, int32_t y0, int32_t x1, int32_t y1, double width)
{
	struct stroke s = {.x = x0, .y = y0, .ex = x1 - x0, .ey = y1 - y0};
	s.limit = s.ex * s.ex + s.ey * s.ey;
	if (!s.limit) /* any direction will do */
		s.ex = 1;
	s.to_px = (float)(1 / (SUB * sqrt(s.limit ? s.limit : 1)));
	s.reach = (float)(at_least(width, 1) / 2 + 0.5);
	s.strength = (float)(LEVELS * at_most(width, 1));
	for (int k = 0; k < CHUNK; k++)
		s.cross[k] = k * SUB * s.ey, s.dot[k] = k * SUB * s.ex;
	return s;
}

/* How much the line covers of CHUNK pixels beginning with one of these products, 0 to LEVELS. */
static inline void stroke_levels(const struct stroke *s, int32_t cross, int32_t dot, int32_t *level)
{
	for (int k = 0; k < CHUNK; k++) {
		float away = (float)(cross + s->cross[k]) * s->to_px;
		float before = (float)-(dot + s->dot[k]), after = (float)(dot + s->dot[k] - s->limit);
		float beyond = before > after ? before : after;
		beyond = (beyond > 0 ? beyond : 0) * s->to_px;
		float cover = s->reach - sqrtf(away * away + beyond * beyond);
		cover = cover > 0 ? cover : 0;
		cover = cover < 1 ? cover : 1;
		level[k] = (int32_t)(cover * s->strength + 0.5f);
	}
}

/* What a colour makes of white at each level. */
static void ink_mix(struct raster *r, const uint8_t color[3])
{
	if (r->inked && !memcmp(r->color, color, 3))
		return;
	memset(r->ink, 255, sizeof r->ink);
	for (int k = 0; k <= LEVELS; k++)
		blend(r->ink[k], color, 256 / LEVELS * k);
	memcpy(r->color, color, 3);
	r->inked = true;
}

static inline bool is_white(const uint8_t *p) /* CHUNK pixels */
{
	uint64_t word[3];
	memcpy(word, p, sizeof word);
	return (word[0] & word[1] & word[2]) == UINT64_MAX;
}

/* Paints n pixels, CHUNK of them mostly and on white mostly: that goes without a decision a pixel. */
static inline void levels_paint(struct raster *r, uint8_t *p, int32_t n, const int32_t *level)
{
	if (n >= CHUNK && is_white(p)) {
		for (int k = 0; k < CHUNK - 1; k++) /* a byte too many, which the next pixel sets right */
			memcpy(p + 3 * k, r->ink[level[k]], 4);
		memcpy(p + 3 * (CHUNK - 1), r->ink[level[CHUNK - 1]], 3);
		return;
	}
	for (int32_t k = 0; k < n && k < CHUNK; k++, p += 3)
		if (level[k] && (p[0] & p[1] & p[2]) == 255)
			memcpy(p, r->ink[level[k]], 3);
		else if (level[k])
			blend(p, r->color, 256 / LEVELS * level[k]);
}

/* Of each row, what the strip of half-width `reach` about the line cuts from the line's box. */
void raster_line(struct raster *r, double x0, double y0, double x1, double y1, double width, const uint8_t color[3])
{
	int32_t qx0 = (int32_t)floor(x0 * SUB + 0.5), qy0 = (int32_t)floor(y0 * SUB + 0.5);
	int32_t qx1 = (int32_t)floor(x1 * SUB + 0.5), qy1 = (int32_t)floor(y1 * SUB + 0.5);
	struct stroke s = stroke_make(qx0, qy0, qx1, qy1, width);
	int32_t top, bottom, left, right, level[CHUNK];
	double reach = (double)s.reach, ux = qx1 - qx0, uy = qy1 - qy0;
	double box_left = at_most(qx0, qx1) / SUB - reach, box_right = at_least(qx0, qx1) / SUB + reach;
	double slope = uy != 0 ? ux / uy : 0, broad = uy != 0 ? reach * sqrt(ux * ux + uy * uy) / fabs(uy) : 1e9;
	ink_mix(r, color);
	span(at_most(qy0, qy1) / SUB - reach, at_least(qy0, qy1) / SUB + reach, r->h, &top, &bottom);
	for (int32_t j = top; j <= bottom; j++) {
		double x = (double)qx0 / SUB + (j + 0.5 - (double)qy0 / SUB) * slope;
		span(at_least(box_left, x - broad), at_most(box_right, x + broad), r->w, &left, &right);
		int32_t wx = left * SUB + SUB / 2 - s.x, wy = j * SUB + SUB / 2 - s.y;
		int32_t cross = wx * s.ey - wy * s.ex, dot = wx * s.ex + wy * s.ey;
		uint8_t *row = r->rgb + (int64_t)j * r->w * 3;
		for (int32_t i = left; i <= right; i += CHUNK) {
			stroke_levels(&s, cross, dot, level);
			levels_paint(r, row + 3 * (int64_t)i, r->w - i, level);
			cross += CHUNK * SUB * s.ey, dot += CHUNK * SUB * s.ex;
		}
	}
}

/* ---- other shapes ---- */

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
	struct raster r = {.rgb = rgb, .w = s->size_px, .h = s->size_px};
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
			raster_text(&r, h->text, h->x[0], h->y[0], h->width, h->rgb);
			break;
		}
	}
}
