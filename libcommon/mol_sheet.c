/* The contact sheet: cells in rows, captions, tints. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mol_draw.h"
#include "mol_raster.h"

#define CAPTION_CAP_PX 8.0
#define CAPTION_LINE_PX 15
#define HEAD_PX 30
#define EDGE_PX 3 /* frame of a cell */

struct cell {
	uint8_t *rgb;
	char *text[2];
	double value;
};
struct mol_sheet {
	int32_t size_px, n_cell, cap;
	struct cell *cell;
};

struct mol_sheet *mol_sheet_new(int32_t size_px)
{
	struct mol_sheet *s = calloc(1, sizeof *s);
	if (s)
		s->size_px = size_px;
	return s;
}

void mol_sheet_free(struct mol_sheet *s)
{
	for (int32_t i = 0; s && i < s->n_cell; i++) {
		free(s->cell[i].rgb);
		free(s->cell[i].text[0]);
		free(s->cell[i].text[1]);
	}
	if (s)
		free(s->cell);
	free(s);
}

int mol_sheet_add(struct mol_sheet *s, const uint8_t *rgb, const char *caption, const char *second, double value,
		  struct err *e)
{
	size_t nbytes = (size_t)s->size_px * (size_t)s->size_px * 3;
	if (s->n_cell == MOL_SHEET_MAX)
		return err_set(e, ERR_LIMIT, "a contact sheet holds %d pictures: choose fewer with --limit",
			       MOL_SHEET_MAX);
	if (s->n_cell == s->cap) {
		int32_t cap = s->cap ? 2 * s->cap : 64;
		struct cell *more = realloc(s->cell, (size_t)cap * sizeof *more);
		if (!more)
			return err_set(e, ERR_MEMORY, "no memory for a contact sheet");
		s->cell = more, s->cap = cap;
	}
	struct cell c = {
	    .rgb = malloc(nbytes), .text = {strdup(caption), second ? strdup(second) : NULL}, .value = value};
	if (!c.rgb || !c.text[0] || (second && !c.text[1])) {
		free(c.rgb);
		free(c.text[0]);
		free(c.text[1]);
		return err_set(e, ERR_MEMORY, "no memory for a contact sheet");
	}
	memcpy(c.rgb, rgb, nbytes);
	s->cell[s->n_cell++] = c;
	return 0;
}

/* Blue at 0, white at one half, orange at 1; grey for a value that is none. */
static void tint_of(double t, uint8_t rgb[3])
{
	static const double low[3] = {150, 190, 255}, high[3] = {255, 190, 120};
	for (int k = 0; k < 3; k++) {
		const double *end = t < 0.5 ? low : high;
		double v = t >= 0 && t <= 1 ? 255 + (end[k] - 255) * fabs(2 * t - 1) : 225;
		rgb[k] = (uint8_t)(v + 0.5);
	}
}
static void fill(struct raster *r, int32_t x, int32_t y, int32_t w, int32_t h, const uint8_t rgb[3])
{
	for (int32_t j = y; j < y + h && j < r->h; j++)
		for (int32_t i = x; i < x + w && i < r->w; i++)
			memcpy(r->rgb + ((int64_t)j * r->w + i) * 3, rgb, 3);
}

/* As much of the text as fits, in the middle of a box w wide. */
static void caption_paint(struct raster *r, const char *text, int32_t x, int32_t w, double base, const uint8_t rgb[3])
{
	char part[200];
	size_t n = strlen(text);
	n = n < sizeof part - 1 ? n : sizeof part - 1;
	memcpy(part, text, n);
	part[n] = 0;
	while (n && mol_text_width(part, CAPTION_CAP_PX) > w - 8) {
		n--;
		while (n && ((unsigned char)part[n] & 0xc0) == 0x80)
			n--; /* whole characters of UTF-8 */
		snprintf(part + n, sizeof part - n, "%s", n > sizeof part - 4 ? "" : "..");
	}
	mol_text_paint(r->rgb, r->w, r->h, part, x + (w - mol_text_width(part, CAPTION_CAP_PX)) / 2, base,
		       CAPTION_CAP_PX, rgb);
}

static void head_paint(struct raster *r, const char *label, double low, double high)
{
	static const uint8_t ink[3] = {40, 40, 40};
	char text[2][32];
	snprintf(text[0], sizeof text[0], "%.3g", low);
	snprintf(text[1], sizeof text[1], "%.3g", high);
	double x = 8;
	const double base = 20;
	mol_text_paint(r->rgb, r->w, r->h, label, x, base, CAPTION_CAP_PX, ink);
	x += mol_text_width(label, CAPTION_CAP_PX) + 12;
	mol_text_paint(r->rgb, r->w, r->h, text[0], x, base, CAPTION_CAP_PX, ink);
	x += mol_text_width(text[0], CAPTION_CAP_PX) + 6;
	for (int32_t i = 0; i < 100; i++) {
		uint8_t rgb[3];
		tint_of((i + 0.5) / 100, rgb);
		fill(r, (int32_t)x + i, 9, 1, 13, rgb);
	}
	mol_text_paint(r->rgb, r->w, r->h, text[1], x + 106, base, CAPTION_CAP_PX, ink);
}

/* A picture on its tint: white becomes the tint, ink stays. */
static void cell_paint(struct raster *r, const struct mol_sheet *s, const struct cell *c, int32_t x, int32_t y,
		       int32_t w, int32_t h, const uint8_t tint[3])
{
	static const uint8_t ink[3] = {40, 40, 40};
	fill(r, x, y, w, h, tint);
	for (int32_t j = 0; j < s->size_px; j++)
		for (int32_t i = 0; i < s->size_px; i++) {
			const uint8_t *from = c->rgb + ((int64_t)j * s->size_px + i) * 3;
			uint8_t *to = r->rgb + ((int64_t)(y + EDGE_PX + j) * r->w + x + EDGE_PX + i) * 3;
			for (int k = 0; k < 3; k++)
				to[k] = (uint8_t)((from[k] * tint[k] + 127) / 255);
		}
	for (int line = 0; line < 2; line++)
		if (c->text[line])
			caption_paint(r, c->text[line], x, w, y + EDGE_PX + s->size_px + (line + 0.8) * CAPTION_LINE_PX,
				      ink);
}

int mol_sheet_encode(const struct mol_sheet *s, const char *label, struct buf *out, struct err *e)
{
	static const uint8_t paper[3] = {255, 255, 255}, rule[3] = {205, 205, 205};
	double low = 0, high = 0;
	bool any = false, two = false;
	int32_t n = s->n_cell ? s->n_cell : 1, n_column = 1;
	for (int32_t i = 0; i < s->n_cell; i++) {
		double v = s->cell[i].value;
		two |= s->cell[i].text[1] != NULL;
		if (!isfinite(v))
			continue;
		low = !any || v < low ? v : low, high = !any || v > high ? v : high;
		any = true;
	}
	while (n_column * n_column < n)
		n_column++;
	int32_t n_row = (n + n_column - 1) / n_column, w = s->size_px + 2 * EDGE_PX;
	int32_t h = w + CAPTION_LINE_PX * (two ? 2 : 1), head = any ? HEAD_PX : 0;
	struct raster r = {.w = n_column * (w + 1) + 1, .h = head + n_row * (h + 1) + 1};
	r.rgb = malloc((size_t)r.w * (size_t)r.h * 3);
	if (!r.rgb)
		return err_set(e, ERR_MEMORY, "no memory for a contact sheet of %d x %d pixels", r.w, r.h);
	fill(&r, 0, 0, r.w, r.h, rule);
	fill(&r, 0, 0, r.w, head, paper);
	if (any)
		head_paint(&r, label, low, high);
	for (int32_t i = 0; i < n_row * n_column; i++) {
		int32_t x = 1 + i % n_column * (w + 1), y = head + 1 + i / n_column * (h + 1);
		uint8_t tint[3] = {255, 255, 255};
		if (i >= s->n_cell) {
			fill(&r, x, y, w, h, paper);
			continue;
		}
		if (any)
			tint_of(isfinite(s->cell[i].value) ? high > low ? (s->cell[i].value - low) / (high - low) : 0.5
							   : -1,
				tint);
		cell_paint(&r, s, &s->cell[i], x, y, w, h, tint);
	}
	int rc = mol_png_encode(r.rgb, r.w, r.h, 3, out, e);
	free(r.rgb);
	return rc;
}
