/*
 * The font: printable ASCII as strokes on a grid, drawn by us. A stroke is a row of points, two digits each: x from the
 * left, y with the base line at 2, the middle height at 6, capitals up to 8 and tails down to 0.
 */
#include <string.h>

#include "mol_raster.h"

#define CAP_UNITS 6.0
#define SPACING 1.5 /* between letters, units */

/* From '!' to '~'. */
static const char *const font[] = {
    "0804 0202",                        /* ! */
    "0806 1816",                        /* " */
    "1218 3238 0444 0646",              /* # */
    "36170605350414 0412324334 2821",   /* $ */
    "0248 0707 4343",                   /* % */
    "4207182836042232",                 /* & (a loop with two tails) */
    "0806",                             /* ' */
    "18070312",                         /* ( */
    "08171302",                         /* ) */
    "2428 0547 0745",                   /* * */
    "0545 2723",                        /* + */
    "1201",                             /* , */
    "0535",                             /* - */
    "0202",                             /* . */
    "0238",                             /* / */
    "180703122233372818",               /* 0 */
    "061812 0222",                      /* 1 */
    "07182837360232",                   /* 2 */
    "07182837362515 253433221203",      /* 3 */
    "22280434",                         /* 4 */
    "380805253433221203",               /* 5 */
    "372818070312223334251504",         /* 6 */
    "083812",                           /* 7 */
    "15060718283736251504031222333425", /* 8 */
    "031222333728180706152536",         /* 9 */
    "0303 0606",                        /* : */
    "1201 1616",                        /* ; */
    "360432",                           /* < */
    "0434 0636",                        /* = */
    "063402",                           /* > */
    "07182837362514 1212",              /* ? */
    "43321203071838474535253544",       /* @ */
    "022842 1434",                      /* A */
    "02083847463505 3544433202",        /* B */
    "4738180703123243",                 /* C */
    "02082846442202",                   /* D */
    "48080242 0535",                    /* E */
    "480802 0535",                      /* F */
    "47381807031232434525",             /* G */
    "0208 4248 0545",                   /* H */
    "1218 0222 0828",                   /* I */
    "3833221203",                       /* J */
    "0208 4804 2642",                   /* K */
    "080242",                           /* L */
    "0208254842",                       /* M */
    "02084248",                         /* N */
    "180703123243473818",               /* O */
    "02083847463505",                   /* P */
    "180703123243473818 2442",          /* Q */
    "02083847463505 2542",              /* R */
    "473818070615354443321203",         /* S */
    "0848 2228",                        /* T */
    "080312324348",                     /* U */
    "082248",                           /* V */
    "0812253248",                       /* W */
    "0248 0842",                        /* X */
    "082548 2522",                      /* Y */
    "08480242",                         /* Z */
    "18080212",                         /* [ */
    "0832",                             /* \ */
    "08181202",                         /* ] */
    "061826",                           /* ^ */
    "0141",                             /* _ */
    "0817",                             /* ` */
    "3632 3526160503122233",            /* a */
    "0802 0516263533221203",            /* b */
    "3526160503122233",                 /* c */
    "3832 3526160503122233",            /* d */
    "04343526160503122233",             /* e */
    "37281712 0626",                    /* f */
    "3631201001 3526160503122233",      /* g */
    "0802 0516263532",                  /* h */
    "0602 0808",                        /* i */
    "1611 1100 1818",                   /* j */
    "0802 3604 1532",                   /* k */
    "080312",                           /* l */
    "0206 05162522 25364542",           /* m */
    "0206 0516263532",                  /* n */
    "160503122233352616",               /* o */
    "0600 0516263533221203",            /* p */
    "3630 3526160503122233",            /* q */
    "0206 051626",                      /* r */
    "35261605142433221203",             /* s */
    "181322 0626",                      /* t */
    "0603122233 3632",                  /* u */
    "062246",                           /* v */
    "0612243246",                       /* w */
    "0236 0632",                        /* x */
    "0622 4610",                        /* y */
    "06360232",                         /* z */
    "281706150403 0515 1322",           /* { */
    "0801",                             /* | */
    "08171625 1403 0802",               /* } */
    "0516253536",                       /* ~ */
};
static const char box[] = "0208484202";

/* The next character's strokes (NULL: a space), moving on by one character of UTF-8. */
static const char *glyph_next(const char **text)
{
	unsigned char c = (unsigned char)*(*text)++;
	if (c == ' ')
		return NULL;
	if (c > ' ' && c <= '~')
		return font[c - '!'];
	while (((unsigned char)**text & 0xc0) == 0x80)
		(*text)++;
	return box;
}
static double glyph_width(const char *g)
{
	int widest = 0;
	for (; g && *g; g += *g == ' ' ? 1 : 2)
		if (*g != ' ' && g[0] - '0' > widest)
			widest = g[0] - '0';
	return g ? widest : 2;
}

double glyph_pen_px(double cap_px)
{
	double pen = cap_px * 0.135;
	return pen < 1.05 ? 1.05 : pen;
}

double mol_text_width(const char *text, double cap_px)
{
	double units = 0;
	for (const char *t = text; *t;)
		units += glyph_width(glyph_next(&t)) + SPACING;
	return units > 0 ? (units - SPACING) * cap_px / CAP_UNITS : 0;
}

void glyph_walk(const char *text, double x, double y, double cap_px, glyph_stroke *stroke, void *ctx)
{
	double unit = cap_px / CAP_UNITS;
	while (*text) {
		const char *g = glyph_next(&text);
		for (const char *p = g; p && *p; p += 2) {
			if (*p == ' ')
				p++;
			bool last = !p[2] || p[2] == ' ', alone = p == g || p[-1] == ' ';
			if (last && !alone)
				continue; /* the end of a stroke */
			const char *q = last ? p : p + 2;
			stroke(ctx, x + (p[0] - '0') * unit, y - (p[1] - '2') * unit, x + (q[0] - '0') * unit,
			       y - (q[1] - '2') * unit);
		}
		x += (glyph_width(g) + SPACING) * unit;
	}
}

struct brush {
	struct raster *r;
	double width;
	const uint8_t *color;
};
static void brush_stroke(void *ctx, double x0, double y0, double x1, double y1)
{
	struct brush *b = ctx;
	raster_line(b->r, x0, y0, x1, y1, b->width, b->color);
}

void raster_text(struct raster *r, const char *text, double x, double y, double cap_px, const uint8_t color[3])
{
	struct brush b = {r, glyph_pen_px(cap_px), color};
	glyph_walk(text, x, y, cap_px, brush_stroke, &b);
}

void mol_text_paint(uint8_t *rgb, int32_t w, int32_t h, const char *text, double x, double y, double cap_px,
		    const uint8_t color[3])
{
	struct raster r = {.rgb = rgb, .w = w, .h = h};
	raster_text(&r, text, x, y, cap_px, color);
}
