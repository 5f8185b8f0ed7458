/*
 * mol_png.c - PNG by libpng, into memory: with a palette where the colours are few, as drawings' are, else as they are.
 * No time, no text, the same bytes for the same pixels.
 */
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "mol_draw.h"

#define TABLE 1024 /* slots of the table of colours, a power of two well above 256 */

struct palette {
	uint32_t key[TABLE]; /* 1 + colour, 0: free */
	uint8_t index[TABLE];
	png_color color[256];
	int n;
};

/* Colour with its low bits dropped and the scale kept: 255 stays 255. */
static uint32_t color_rounded(const uint8_t *p, int channels, int drop)
{
	uint32_t c = 0;
	for (int k = 0; k < 3; k++) {
		uint32_t v = p[channels == 3 ? k : 0], top = 255u >> drop;
		v = ((v >> drop) * 255 + top / 2) / top;
		c = c << 8 | v;
	}
	return c;
}

/* Index of a colour, added if new; -1 when the palette is full. */
static int palette_index(struct palette *t, uint32_t c)
{
	uint32_t h = (c * 2654435761u) >> 22;
	for (; t->key[h]; h = (h + 1) % TABLE)
		if (t->key[h] == c + 1)
			return t->index[h];
	if (t->n == 256)
		return -1;
	t->key[h] = c + 1, t->index[h] = (uint8_t)t->n;
	t->color[t->n] = (png_color){(png_byte)(c >> 16), (png_byte)(c >> 8), (png_byte)c};
	return t->n++;
}

enum { MAX_DROP = 1 }; /* bits of a channel that nobody misses at the edge of a line */

/*
 * Indices of all pixels, with the last bit of a channel rounded off if that makes them fit into 256 colours. False: a
 * picture of more colours (a sheet with many tints). Most pixels are as the one before.
 */
static bool palette_map(struct palette *t, const uint8_t *pixels, int64_t n, int channels, uint8_t *index)
{
	for (int drop = 0; drop <= MAX_DROP; drop++) {
		int64_t i = 0;
		int at = 0;
		memset(t, 0, sizeof *t);
		for (; i < n && at >= 0; i++) {
			const uint8_t *p = pixels + i * channels, *q = p - channels;
			if (!i || p[0] != q[0] || (channels == 3 && (p[1] != q[1] || p[2] != q[2])))
				at = palette_index(t, color_rounded(p, channels, drop));
			index[i] = (uint8_t)at;
		}
		if (at >= 0)
			return true;
	}
	return false;
}

static void bytes_append(png_structp png, png_bytep data, png_size_t n)
{
	buf_put(png_get_io_ptr(png), data, n);
}
static void flush_nothing(png_structp png)
{
	(void)png;
}
static void message_keep(png_structp png, png_const_charp text)
{
	err_set(png_get_error_ptr(png), ERR_LIMIT, "PNG: %s", text);
	longjmp(png_jmpbuf(png), 1);
}
static void warning_drop(png_structp png, png_const_charp text)
{
	(void)png, (void)text;
}

int mol_png_encode(const uint8_t *pixels, int32_t w, int32_t h, int channels, struct buf *out, struct err *e)
{
	struct palette *t = malloc(sizeof *t);
	uint8_t *index = malloc((size_t)w * (size_t)h + 1);
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, e, message_keep, warning_drop);
	png_infop info = png ? png_create_info_struct(png) : NULL;
	int rc = -1;
	if (!t || !index || !info) {
		rc = err_set(e, ERR_MEMORY, "no memory for a PNG of %d x %d", w, h);
		goto done;
	}
	if (setjmp(png_jmpbuf(png))) {
		rc = ERR_LIMIT;
		goto done;
	}
	bool few = palette_map(t, pixels, (int64_t)w * h, channels, index);
	int type = few ? PNG_COLOR_TYPE_PALETTE : channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY;
	png_set_write_fn(png, out, bytes_append, flush_nothing);
	png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, 8, type, PNG_INTERLACE_NONE,
		     PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	if (few)
		png_set_PLTE(png, info, t->color, t->n);
	png_set_filter(png, 0, PNG_FILTER_NONE);
	png_set_compression_level(png, 1);
	png_set_compression_strategy(png,
				     few ? Z_RLE : Z_DEFAULT_STRATEGY); /* of indices: runs of white, and little else */
	png_write_info(png, info);
	for (int32_t y = 0; y < h; y++)
		png_write_row(png, few ? index + (int64_t)y * w : pixels + (int64_t)y * w * channels);
	png_write_end(png, NULL);
	rc = 0;
done:
	png_destroy_write_struct(&png, &info);
	free(index);
	free(t);
	return rc;
}
