/* Pictures: wedges read back, ink where it belongs, colours, PNG and SVG, contact sheets. */
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "mol_draw.h"
#include "tap.h"

#define SIZE 224

static struct arena *mem;

static const struct mol *parse(const char *smiles)
{
	static const struct mol_parse_opts o = {0};
	struct mol *m = NULL;
	struct mol_reject why = {0};
	struct err e = {0};
	if (mol_parse_smiles(smiles, &o, mem, &m, &why, &e)) {
		printf("# %s: %s %s\n", smiles, why.msg, e.msg);
		return NULL;
	}
	return m;
}
static uint8_t *picture(const struct mol *m, struct mol_scene_opts o, struct mol_scene *scene)
{
	float *pos = arena_calloc(mem, (size_t)m->n_atom * 2 + 1, sizeof *pos);
	uint8_t *rgb = arena_alloc(mem, (size_t)o.size_px * (size_t)o.size_px * 3);
	mol_layout(m, mem, pos);
	mol_scene_build(m, pos, &o, mem, scene);
	mol_scene_paint(scene, rgb);
	return rgb;
}

/* ---- wedges ---- */

/* Centres whose hand, read from the drawing, is the molecule's. */
static int32_t hands_right(const struct mol *m, const float *pos, const int8_t *up, const int32_t *from)
{
	int32_t n = 0;
	for (int32_t i = 0; i < m->n_center; i++) {
		struct mol_center shown;
		n += mol_wedge_read(m, pos, up, from, &m->center[i], &shown) && mol_center_equal(&m->center[i], &shown);
	}
	return n;
}
static void test_wedges(void)
{
	static const char *const smiles[] = {
	    "C[C@H](N)C(=O)O",
	    "C[C@@H](N)C(=O)O",
	    "F[C@](Cl)(Br)I",
	    "C[S@](=O)c1ccccc1",
	    "C[C@]12CC[C@H]3[C@H]([C@@H]1CC[C@@H]2O)CCC4=CC(=O)CC[C@]34C",
	    "OC[C@H]1O[C@@](CO)(O[C@H]2O[C@H](CO)[C@@H](O)[C@H](O)[C@H]2O)[C@@H](O)[C@@H]1O",
	    "COC(=O)[C@H]1[C@@H](OC(=O)c2ccccc2)C[C@@H]2CC[C@H]1N2C",
	    "C[C@H]1OC(=O)[C@H](C)[C@@H](O)[C@H](C)[C@@H](O)[C@](C)(O)C[C@@H](C)C(=O)[C@H](C)[C@@H]1O",
	};
	int32_t n_mirrored_right = 0, n_center = 0;
	for (size_t i = 0; i < sizeof smiles / sizeof *smiles; i++) {
		const struct mol *m = parse(smiles[i]);
		if (!tap_ok(m && m->n_center, "%s has centres", smiles[i]))
			continue;
		float *pos = arena_calloc(mem, (size_t)m->n_atom * 2, sizeof *pos);
		int8_t *up = arena_alloc(mem, (size_t)m->n_bond + 1);
		int32_t *from = arena_alloc(mem, ((size_t)m->n_bond + 1) * sizeof *from);
		mol_layout(m, mem, pos);
		int32_t left = mol_wedge_assign(m, pos, mem, up, from);
		tap_ok(!left && hands_right(m, pos, up, from) == m->n_center,
		       "every wedge read back is the centre's hand");
		/* The mutant: a mirrored drawing with the same wedges shows the other hand everywhere. */
		for (int32_t a = 0; a < m->n_atom; a++)
			pos[2 * a] = -pos[2 * a];
		n_mirrored_right += hands_right(m, pos, up, from), n_center += m->n_center;
		mol_wedge_assign(m, pos, mem, up, from);
		tap_ok(hands_right(m, pos, up, from) == m->n_center,
		       "wedges chosen for the mirror image show it right again");
	}
	tap_ok(n_center > 25 && n_mirrored_right == 0, "the check rejects all %d centres of mirrored drawings",
	       n_center);
}

/*
 * L-alanine with methyl at the lower left, nitrogen on top, acid at the lower right. By the CORN rule CO, R, N run
 * clockwise with the hydrogen towards the reader; on this paper they do, so the hydrogen is in front and the bond to
 * nitrogen hashed.
 */
static void test_alanine(void)
{
	const struct mol *m = parse("C[C@H](N)C(=O)O"); /* atoms: CH3 0, CH 1, N 2, C 3, O 4, O 5 */
	static const float pos[12] = {-0.87F, -0.5F, 0, 0, 0, 1, 0.87F, -0.5F, 1.73F, 0, 0.87F, -1.5F};
	if (!tap_ok(m && m->n_center == 1 && m->n_atom == 6, "alanine"))
		return;
	int8_t up[5];
	int32_t from[5];
	mol_wedge_assign(m, pos, mem, up, from);
	int shown = 0;
	bool elsewhere = false;
	for (int32_t b = 0; b < m->n_bond; b++) {
		if (m->bond[b].a == 1 && m->bond[b].b == 2)
			shown = up[b];
		else
			elsewhere |= up[b] != 0;
	}
	tap_ok(shown == -1 && !elsewhere, "one wedge, hashed, to nitrogen");
}

/* ---- pixels ---- */

struct ink {
	int32_t left, top, right, bottom, n, n_red, n_blue;
	bool on_edge;
};
static struct ink ink_of(const uint8_t *rgb, int32_t size)
{
	struct ink k = {size, size, -1, -1, 0, 0, 0, false};
	for (int32_t y = 0; y < size; y++)
		for (int32_t x = 0; x < size; x++) {
			const uint8_t *p = rgb + 3 * (y * size + x);
			if (p[0] == 255 && p[1] == 255 && p[2] == 255)
				continue;
			k.n++;
			k.left = x < k.left ? x : k.left, k.right = x > k.right ? x : k.right;
			k.top = y < k.top ? y : k.top, k.bottom = y > k.bottom ? y : k.bottom;
			k.n_red += p[0] > 180 && p[1] < 110 && p[2] < 110;
			k.n_blue += p[2] > 180 && p[0] < 110 && p[1] < 130;
			k.on_edge |= !x || !y || x == size - 1 || y == size - 1;
		}
	return k;
}
static void test_frames(void)
{
	static const char *const smiles[] = {
	    "CC(=O)Oc1ccccc1C(=O)O",
	    "CCCCCCCCCCCCCCCCCC(=O)O",
	    "c1ccc2c(c1)ccc3c2ccc4c3cccc4",
	    "NCCCCCCCCCCN",
	    "C[N+](C)(C)CCOC(=O)CCC(=O)OCC[N+](C)(C)C.[Cl-].[Cl-]",
	};
	static const int32_t sizes[] = {64, 96, 224, 320};
	for (size_t i = 0; i < sizeof smiles / sizeof *smiles; i++) {
		const struct mol *m = parse(smiles[i]);
		bool fills = m != NULL, inside = m != NULL;
		for (size_t s = 0; s < 4 && m; s++) {
			struct mol_scene scene;
			struct ink k =
			    ink_of(picture(m, (struct mol_scene_opts){.size_px = sizes[s]}, &scene), sizes[s]);
			int32_t extent = k.right - k.left > k.bottom - k.top ? k.right - k.left : k.bottom - k.top;
			fills &= extent >= sizes[s] * 0.84, inside &= !k.on_edge;
		}
		tap_ok(fills, "%s fills the frame at every size", smiles[i]);
		tap_ok(inside, "%s stays inside", smiles[i]);
	}
	static char chain[2001];
	memset(chain, 'C', 2000);
	const struct mol *m = parse(chain);
	struct mol_scene scene;
	struct ink k = {0};
	if (m)
		k = ink_of(picture(m, (struct mol_scene_opts){.size_px = SIZE}, &scene), SIZE);
	tap_ok(k.right - k.left > SIZE * 0.84 && !k.on_edge, "a chain of 2000 atoms fills the frame and stays inside");
	m = parse("C");
	if (m)
		k = ink_of(picture(m, (struct mol_scene_opts){.size_px = SIZE}, &scene), SIZE);
	tap_ok(k.n > 20 && k.right - k.left < SIZE / 3, "methane is a label in the middle");
	tap_ok(abs(k.left + k.right - SIZE) < SIZE / 10, "and stands in the middle");
}
static void test_colours(void)
{
	struct mol_scene scene;
	struct mol_scene_opts o = {.size_px = SIZE};
	const struct mol *n = parse("c1ccncc1"), *oxygen = parse("c1ccoc1"), *c = parse("c1ccccc1");
	if (!tap_ok(n && oxygen && c, "three rings"))
		return;
	struct ink kn = ink_of(picture(n, o, &scene), SIZE), ko = ink_of(picture(oxygen, o, &scene), SIZE);
	struct ink kc = ink_of(picture(c, o, &scene), SIZE);
	tap_ok(kn.n_blue > 20 && !kn.n_red, "nitrogen is blue");
	tap_ok(ko.n_red > 20 && !ko.n_blue, "oxygen is red");
	tap_ok(!kc.n_red && !kc.n_blue, "carbon is black");
	float value[6] = {1, 0, 0, -1, 0, 0};
	o.highlight = value;
	int n_shape = 0;
	picture(c, o, &scene);
	for (int32_t i = 0; i < scene.n_shape; i++)
		n_shape += scene.shape[i].kind == MOL_SHAPE_DISC;
	tap_ok(n_shape == 2, "two atoms are highlighted");
}
static void test_views(void)
{
	struct mol_scene scene;
	const struct mol *m = parse("C[C@H](N)C(=O)Nc1ccc(Cl)cc1");
	if (!tap_ok(m != NULL, "a molecule to turn"))
		return;
	uint8_t *a = picture(m, (struct mol_scene_opts){.size_px = SIZE}, &scene);
	uint8_t *b = picture(m, (struct mol_scene_opts){.size_px = SIZE}, &scene);
	uint8_t *c = picture(m, (struct mol_scene_opts){.size_px = SIZE, .turn_rad = 0.7}, &scene);
	uint8_t *d = picture(m, (struct mol_scene_opts){.size_px = SIZE, .mirror = true}, &scene);
	size_t n = SIZE * SIZE * 3;
	tap_ok(!memcmp(a, b, n), "the same bytes twice");
	tap_ok(memcmp(a, c, n) && memcmp(a, d, n), "a turned and a mirrored view differ");
	tap_ok(!ink_of(c, SIZE).on_edge && ink_of(c, SIZE).n > 500, "a turned view is whole");
	uint8_t *grey = arena_alloc(mem, SIZE * SIZE);
	mol_picture_grey(a, SIZE * SIZE, grey);
	bool same = true;
	for (int32_t i = 0; i < SIZE * SIZE; i++)
		same &= (grey[i] == 255) == (a[3 * i] == 255 && a[3 * i + 1] == 255 && a[3 * i + 2] == 255) ||
			grey[i] > 250;
	tap_ok(same, "grey is white where the picture is");
}

/* ---- export ---- */

/* Decodes a PNG with libpng's simple interface into RGB; NULL if it is none. */
static uint8_t *png_decode(const struct buf *b, int32_t *w, int32_t *h)
{
	png_image image = {.version = PNG_IMAGE_VERSION};
	if (!png_image_begin_read_from_memory(&image, b->data, b->n))
		return NULL;
	image.format = PNG_FORMAT_RGB;
	uint8_t *rgb = arena_alloc(mem, PNG_IMAGE_SIZE(image));
	*w = (int32_t)image.width, *h = (int32_t)image.height;
	return png_image_finish_read(&image, NULL, rgb, 0, NULL) ? rgb : NULL;
}
static void test_export(void)
{
	struct err e = {0};
	struct buf png = {0}, again = {0}, svg = {0}, sheet = {0};
	struct mol_scene scene;
	const struct mol *m = parse("CC(=O)Oc1ccccc1C(=O)O");
	int32_t w = 0, h = 0, worst = 0;
	if (!tap_ok(m != NULL, "aspirin"))
		return;
	uint8_t *rgb = picture(m, (struct mol_scene_opts){.size_px = SIZE}, &scene);
	tap_ok(!mol_png_encode(rgb, SIZE, SIZE, 3, &png, &e), "PNG %s", e.msg);
	mol_png_encode(rgb, SIZE, SIZE, 3, &again, &e);
	tap_ok(png.n == again.n && !memcmp(png.data, again.data, png.n), "the same bytes twice (%zu)", png.n);
	uint8_t *back = png_decode(&png, &w, &h);
	for (int32_t i = 0; back && i < SIZE * SIZE * 3; i++)
		worst = abs(back[i] - rgb[i]) > worst ? abs(back[i] - rgb[i]) : worst;
	tap_ok(back && w == SIZE && h == SIZE && worst <= 8, "decoded, it is the picture (off by at most %d)", worst);
	tap_ok(png.n > 25 && png.data[25] == 3, "with a palette");

	/* Many colours are rounded into a palette. */
	uint8_t *many = arena_alloc(mem, 64 * 64 * 3);
	for (int32_t i = 0; i < 64 * 64; i++)
		many[3 * i] = (uint8_t)(i % 64 * 4), many[3 * i + 1] = (uint8_t)(i / 64 * 4),
			 many[3 * i + 2] = (uint8_t)i;
	again.n = 0;
	tap_ok(!mol_png_encode(many, 64, 64, 3, &again, &e) && png_decode(&again, &w, &h) && w == 64,
	       "a picture of 4096 colours");
	tap_ok(mol_png_encode(many, 0, 64, 3, &again, &e) == ERR_LIMIT, "no PNG is empty: %s", e.msg);

	mol_scene_svg(&scene, "a < b & c", &svg);
	buf_put(&svg, "", 1);
	const char *text = (const char *)svg.data;
	tap_ok(!strncmp(text, "<svg ", 5) && strstr(text, "</svg>\n") && !strstr(text, "nan"), "SVG");
	tap_ok(strstr(text, "<title>a &lt; b &amp; c</title>") != NULL, "its title is escaped");

	struct mol_sheet *s = mol_sheet_new(SIZE);
	e = (struct err){0};
	for (int i = 0; i < 5; i++)
		tap_ok(!mol_sheet_add(s, rgb,
				      i ? "aspirin" : "a caption that is far too long for a cell of a contact sheet",
				      i == 3 ? NULL : "pred 0.5", i == 3 ? (double)NAN : i, &e),
		       "cell %d", i);
	tap_ok(!mol_sheet_encode(s, "pred", &sheet, &e), "sheet %s", e.msg);
	uint8_t *page = png_decode(&sheet, &w, &h);
	tap_ok(page && w > 3 * SIZE && h > 2 * SIZE && w < 4 * SIZE && h < 3 * SIZE, "three columns, two rows");
	/* The first cell has the lowest value: blue ground; the last the highest: orange. */
	if (page) {
		const uint8_t *low = page + 3 * (40 * w + 3), *high = page + 3 * ((40 + SIZE + 38) * w + SIZE + 20);
		tap_ok(low[2] > low[0] + 50, "the lowest value is blue (%d %d %d)", low[0], low[1], low[2]);
		tap_ok(high[0] > high[2] + 50, "the highest is orange (%d %d %d)", high[0], high[1], high[2]);
	}
	mol_sheet_free(s);
	buf_free(&png);
	buf_free(&again);
	buf_free(&svg);
	buf_free(&sheet);
}

/* Runs of every length, across rows and beyond what a checksum takes at once, come back as they were. */
static void test_runs(void)
{
	struct err e = {0};
	struct rng r;
	int32_t n_wrong = 0, n_mutant = 0, w, h;
	rng_init(&r, 7, 7);
	for (int trial = 0; trial < 40; trial++) {
		int channels = trial & 1 ? 1 : 3;
		int32_t wide = trial ? 1 + (int32_t)rng_below(&r, 600) : 700, high = trial ? 200 : 700;
		size_t n = (size_t)wide * (size_t)high, longest = trial ? 1 + rng_below(&r, 900) : n;
		uint8_t *pixels = arena_alloc(mem, n * 3);
		struct buf png = {0};
		for (size_t i = 0; i < n;) {
			uint8_t v = (uint8_t)rng_below(&r, 250);
			for (size_t k = 1 + rng_below(&r, (uint32_t)longest); k && i < n; k--, i++)
				memset(pixels + i * (size_t)channels, v, (size_t)channels);
		}
		bool good = !mol_png_encode(pixels, wide, high, channels, &png, &e);
		const uint8_t *back = good ? png_decode(&png, &w, &h) : NULL;
		good = back && w == wide && h == high;
		for (size_t i = 0; good && i < n * 3; i++)
			good = back[i] == pixels[channels == 3 ? i : i / 3];
		n_wrong += !good;
		/* The mutant: one bit of the stream is another. */
		png.data[png.n - 30] ^= 4;
		n_mutant += png_decode(&png, &w, &h) == NULL;
		buf_free(&png);
	}
	tap_ok(!n_wrong, "pictures of runs: %d are others when decoded", n_wrong);
	tap_ok(n_mutant == 40, "a changed bit is seen in %d of 40", n_mutant);
}

int main(void)
{
	struct err e = {0};
	mem = arena_new(0);
	if (!tap_ok(mol_start(&e) == 0, "start %s", e.msg))
		return tap_done();
	test_wedges();
	test_alanine();
	test_frames();
	test_colours();
	test_views();
	test_export();
	test_runs();
	arena_free(mem);
	return tap_done();
}
