/*
 * mol_png.c - PNG by libpng, into memory: with a palette where the colours are few, as drawings' are, else as they are.
 * No time, no text, the same bytes for the same pixels.
 */
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "mol_deflate.h"
#include "mol_draw.h"

#define CHUNK_NBYTES ((size_t)1 << 30)
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
	if (!drop)
		return channels == 3 ? (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2] : p[0] * 0x010101u;
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

/* Indices of n pixels, of eight white ones at a time; false when the palette is full. */
static bool row_index(struct palette *t, const uint8_t *p, int32_t n, int channels, int drop, uint8_t *index)
{
	int white = palette_index(t, 0xffffff); /* the ground of every drawing */
	for (int32_t x = 0; x < n;) {
		uint64_t w[3];
		if (channels == 3 && n - x >= 8) {
			memcpy(w, p + 3 * (int64_t)x, sizeof w);
			if ((w[0] & w[1] & w[2]) == UINT64_MAX) {
				memset(index + x, white, 8);
				x += 8;
				continue;
			}
		}
		for (int32_t end = n - x < 8 ? n : x + 8; x < end; x++) {
			int at = palette_index(t, color_rounded(p + (int64_t)x * channels, channels, drop));
			if (at < 0)
				return false;
			index[x] = (uint8_t)at;
		}
	}
	return true;
}

/*
 * The picture as packed rows of palette indices, with the last bit of a channel rounded off if that makes its colours
 * fit into 256. False: a picture of more colours (a sheet with many tints).
 */
static bool palette_pack(struct palette *t, const uint8_t *pixels, int32_t w, int32_t h, int channels, struct buf *out)
{
	bool few = false;
	uint8_t *row = malloc((size_t)w + 1);
	for (int drop = 0; drop <= MAX_DROP && !few && row; drop++) {
		struct deflate d;
		memset(t, 0, sizeof *t);
		out->n = 0;
		deflate_begin(&d, out);
		row[0] = 0; /* no filter; white too, so that the row's first run goes on from the last one's */
		few = true;
		for (int32_t y = 0; y < h && few; y++) {
			few = row_index(t, pixels + (int64_t)y * w * channels, w, channels, drop, row + 1);
			if (few)
				deflate_bytes(&d, row, (int64_t)w + 1);
		}
		deflate_end(&d);
	}
	free(row);
	return few;
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
	struct buf packed = {0};
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, e, message_keep, warning_drop);
	png_infop info = png ? png_create_info_struct(png) : NULL;
	int rc = -1;
	if (!t || !info) {
		rc = err_set(e, ERR_MEMORY, "no memory for a PNG of %d x %d", w, h);
		goto done;
	}
	if (setjmp(png_jmpbuf(png))) {
		rc = ERR_LIMIT;
		goto done;
	}
	bool few = palette_pack(t, pixels, w, h, channels, &packed);
	int type = few ? PNG_COLOR_TYPE_PALETTE : channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY;
	png_set_write_fn(png, out, bytes_append, flush_nothing);
	png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, 8, type, PNG_INTERLACE_NONE,
		     PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	if (few)
		png_set_PLTE(png, info, t->color, t->n);
	png_set_filter(png, 0, PNG_FILTER_NONE);
	png_set_compression_level(png, 1);
	png_write_info(png, info);
	for (int32_t y = 0; y < h && !few; y++)
		png_write_row(png, pixels + (int64_t)y * w * channels);
	for (size_t at = 0, n; at < packed.n && few; at += n) {
		n = packed.n - at < CHUNK_NBYTES ? packed.n - at : CHUNK_NBYTES;
		png_write_chunk(png, (png_const_bytep) "IDAT", packed.data + at, n);
	}
	if (few) /* libpng's own end asks for rows of its own */
		png_write_chunk(png, (png_const_bytep) "IEND", NULL, 0);
	else
		png_write_end(png, NULL);
	rc = 0;
done:
	png_destroy_write_struct(&png, &info);
	buf_free(&packed);
	free(t);
	return rc;
}
