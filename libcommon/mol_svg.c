/* A scene as SVG: lines, wedges, discs, and text as strokes of our own font, so that it looks the same everywhere. */
#include "mol_raster.h"

static void escaped_put(struct buf *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '&')
			buf_printf(out, "&amp;");
		else if (c == '<')
			buf_printf(out, "&lt;");
		else if (c == '>')
			buf_printf(out, "&gt;");
		else if (c >= ' ')
			buf_put(out, &c, 1);
	}
}
static void stroke_put(void *ctx, double x0, double y0, double x1, double y1)
{
	buf_printf(ctx, "M%.2f %.2fL%.2f %.2f", x0, y0, x1, y1);
}

void mol_scene_svg(const struct mol_scene *s, const char *title, struct buf *out)
{
	buf_printf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n",
		   s->size_px, s->size_px, s->size_px, s->size_px);
	if (title) {
		buf_printf(out, "<title>");
		escaped_put(out, title);
		buf_printf(out, "</title>\n");
	}
	buf_printf(out, "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
			"<g fill=\"none\" stroke-linecap=\"round\" stroke-linejoin=\"round\">\n");
	for (int32_t i = 0; i < s->n_shape; i++) {
		const struct mol_shape *h = &s->shape[i];
		char color[8];
		snprintf(color, sizeof color, "#%02x%02x%02x", h->rgb[0], h->rgb[1], h->rgb[2]);
		switch (h->kind) {
		case MOL_SHAPE_LINE:
			buf_printf(out, "<path stroke=\"%s\" stroke-width=\"%.2f\" d=\"", color, h->width);
			stroke_put(out, h->x[0], h->y[0], h->x[1], h->y[1]);
			buf_printf(out, "\"/>\n");
			break;
		case MOL_SHAPE_WEDGE:
			buf_printf(out, "<path fill=\"%s\" d=\"M%.2f %.2fL%.2f %.2fL%.2f %.2fZ\"/>\n", color, h->x[0],
				   h->y[0], h->x[1], h->y[1], h->x[2], h->y[2]);
			break;
		case MOL_SHAPE_DISC:
			buf_printf(out, "<circle fill=\"%s\" cx=\"%.2f\" cy=\"%.2f\" r=\"%.2f\"/>\n", color, h->x[0],
				   h->y[0], h->width);
			break;
		case MOL_SHAPE_TEXT:
			buf_printf(out, "<path stroke=\"%s\" stroke-width=\"%.2f\" d=\"", color,
				   glyph_pen_px(h->width));
			glyph_walk(h->text, h->x[0], h->y[0], h->width, stroke_put, out);
			buf_printf(out, "\"/>\n");
			break;
		}
	}
	buf_printf(out, "</g>\n</svg>\n");
}
