/* mol2img: molecules -> pictures, as tensors for learning and as files for people. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mol_draw.h"
#include "molprog.h"

struct conf {
	struct molprog base;
	int64_t size_px, n_view;
	bool grey;
	const char *png, *svg, *sheet, *highlight;
	/* Of the parent: hashes of the file names given out, and the sheet. */
	uint64_t *names;
	size_t n_name, cap_name;
	struct mol_sheet *cells;
	int png_dir, svg_dir; /* descriptors of the folders */
};

static const struct opt options[] = {
    {"size", 's', OPT_INT, "PX", "width and height of a picture", offsetof(struct conf, size_px), OPT_RECORDS, NULL, 16,
     1024},
    {"grey", 'g', OPT_FLAG, NULL, "one channel", offsetof(struct conf, grey), OPT_RECORDS, NULL, 0, 0},
    {"views", 'v', OPT_INT, "V", "V pictures a molecule: upright, then turned and mirrored by chance",
     offsetof(struct conf, n_view), OPT_RECORDS, NULL, 1, 64},
    {"png", 0, OPT_STR, "DIR", "write each picture to DIR/ID.png too", offsetof(struct conf, png), 0, NULL, 0, 0},
    {"svg", 0, OPT_STR, "DIR", "write each drawing to DIR/ID.svg too", offsetof(struct conf, svg), 0, NULL, 0, 0},
    {"sheet", 0, OPT_STR, "FILE", "write a contact sheet of all pictures, a PNG", offsetof(struct conf, sheet), 0, NULL,
     0, 0},
    {"highlight", 0, OPT_STR, "FIELD", "colour atoms, or the cells of the sheet, by this field",
     offsetof(struct conf, highlight), OPT_RECORDS, NULL, 0, 0},
    {0},
};

/* ---- the worker --------------------------------------------------------- */

/* The field to colour by: one number an atom (*atoms), or one of the molecule (*value). pred and y are always the
 * molecule's, whatever their length. */
static int highlight_read(const struct conf *c, struct molprog_job *j, const float **atoms, double *value,
			  struct err *e)
{
	const struct ts_value *v = ts_get(j->in, c->highlight);
	if (!v)
		return err_set(e, ERR_SCHEMA, "no field %s to colour by", c->highlight);
	if (v->kind == TS_INT)
		*value = (double)v->u.i;
	else if (v->kind == TS_FLOAT)
		*value = v->u.f;
	else if (v->kind != TS_TENSOR || v->u.t.n_dim > 1 || !ts_tensor_count(&v->u.t))
		return err_set(e, ERR_SCHEMA, "field %s is neither a number nor a row of numbers", c->highlight);
	if (v->kind != TS_TENSOR)
		return 0;
	const struct ts_tensor *t = &v->u.t;
	int64_t n = ts_tensor_count(t);
	bool of_molecule = n != j->m->n_atom || !strcmp(c->highlight, "pred") || !strcmp(c->highlight, "y");
	if (of_molecule) {
		*value = ts_tensor_float(t, 0);
		return 0;
	}
	float *a = arena_alloc(j->arena, (size_t)n * sizeof *a);
	for (int64_t i = 0; i < n; i++)
		a[i] = (float)ts_tensor_float(t, i);
	*atoms = a;
	return 0;
}

/* What the parent needs to write files: lengths, then the bytes. */
struct side_head {
	uint64_t n_id, n_png, n_svg, n_rgb;
	double value;
};

static int work(void *conf, struct molprog_job *j, struct err *e)
{
	const struct conf *c = conf;
	const struct mol *m = j->m;
	int64_t n_channel = c->grey ? 1 : 3, n_pixel = c->size_px * c->size_px;
	const float *atoms = NULL;
	double value = NAN;
	if (c->highlight && highlight_read(c, j, &atoms, &value, e))
		return e->code;
	float *pos = arena_alloc(j->arena, ((size_t)m->n_atom * 2 + 2) * sizeof *pos);
	uint8_t *img = arena_alloc(j->arena, (size_t)(c->n_view * n_pixel * n_channel));
	uint8_t *rgb = c->grey ? arena_alloc(j->arena, (size_t)n_pixel * 3) : NULL;
	struct mol_scene scene, first = {0};
	struct rng r;
	mol_layout(m, j->arena, pos);
	rng_init(&r, (uint64_t)c->base.cli.seed, (uint64_t)j->row);
	for (int64_t v = c->n_view - 1; v >= 0; v--) { /* the upright one last: files show it */
		struct mol_scene_opts o = {.size_px = (int32_t)c->size_px, .highlight = atoms};
		if (v) {
			o.turn_rad = rng_below(&r, 360) * (3.14159265358979323846 / 180);
			o.mirror = rng_below(&r, 2);
		}
		mol_scene_build(m, pos, &o, j->arena, &scene);
		mol_scene_paint(&scene, c->grey ? rgb : img + v * n_pixel * 3);
		if (c->grey)
			mol_picture_grey(rgb, n_pixel, img + v * n_pixel);
		first = scene;
	}
	if (c->n_view > 1)
		ts_set_tensor(j->out, "img", TS_U8, img, 4, c->n_view, c->size_px, c->size_px, n_channel);
	else
		ts_set_tensor(j->out, "img", TS_U8, img, 3, c->size_px, c->size_px, n_channel);
	if (!c->png && !c->svg && !c->sheet)
		return 0;
	struct buf png = {0}, svg = {0};
	int rc = c->png ? mol_png_encode(img, (int32_t)c->size_px, (int32_t)c->size_px, (int)n_channel, &png, e) : 0;
	if (c->svg)
		mol_scene_svg(&first, j->id, &svg);
	struct side_head h = {strlen(j->id), png.n, svg.n, c->sheet ? (uint64_t)n_pixel * 3 : 0, value};
	if (c->sheet && c->grey)
		for (int64_t i = 0; i < n_pixel; i++)
			rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = img[i];
	buf_put(j->side, &h, sizeof h);
	buf_put(j->side, j->id, h.n_id);
	buf_put(j->side, png.data, png.n);
	buf_put(j->side, svg.data, svg.n);
	buf_put(j->side, c->grey ? rgb : img, h.n_rgb);
	buf_free(&png);
	buf_free(&svg);
	return rc;
}

/* ---- the parent --------------------------------------------------------- */

/* Notes a name; true if it is new. */
static bool name_take(struct conf *c, const char *name)
{
	uint64_t key = rng_hash(name, strlen(name)) | 1;
	if (2 * (c->n_name + 1) > c->cap_name) {
		size_t cap = c->cap_name ? 2 * c->cap_name : 1024;
		uint64_t *more = calloc(cap, sizeof *more);
		if (!more)
			abort();
		for (size_t i = 0; i < c->cap_name; i++) {
			size_t at = c->names[i] & (cap - 1);
			while (c->names[i] && more[at])
				at = (at + 1) & (cap - 1);
			if (c->names[i])
				more[at] = c->names[i];
		}
		free(c->names);
		c->names = more, c->cap_name = cap;
	}
	size_t at = key & (c->cap_name - 1);
	for (; c->names[at]; at = (at + 1) & (c->cap_name - 1))
		if (c->names[at] == key)
			return false;
	c->names[at] = key, c->n_name++;
	return true;
}

/* A file name out of an id: letters, digits, dot, minus, underscore; never hidden, never long, never given twice. */
static void name_make(struct conf *c, const char *id, size_t n, int64_t row, char name[160])
{
	size_t k = 0;
	for (; k < n && k < 100; k++) {
		char ch = id[k];
		bool safe = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
			    ch == '-' || ch == '_' || (ch == '.' && k);
		name[k] = safe ? ch : '_';
	}
	name[k] = 0;
	if (k && name_take(c, name))
		return;
	k += (size_t)snprintf(name + k, 160 - k, "%srow%lld", k ? "-" : "", (long long)row);
	for (int again = 2; !name_take(c, name); again++)
		snprintf(name + k, 160 - k, "_%d", again);
}

static int file_write(int dir, const char *path, const char *name, const char *ending, const uint8_t *data, size_t n,
		      struct err *e)
{
	char file[200];
	snprintf(file, sizeof file, "%s.%s", name, ending);
	int rc = io_file_put(dir, file, data, n, e);
	return rc ? err_add_place(e, path, -1, -1) : 0;
}

static int each(void *conf, int64_t row, const uint8_t *side, size_t n, struct err *e)
{
	struct conf *c = conf;
	struct side_head h;
	if (n < sizeof h)
		return err_set(e, ERR_FORMAT, "a worker's answer is cut short");
	memcpy(&h, side, sizeof h);
	uint64_t left = n - sizeof h, n_rgb = c->sheet ? (uint64_t)(c->size_px * c->size_px * 3) : 0;
	if (h.n_id > left || h.n_png > left - h.n_id || h.n_svg > left - h.n_id - h.n_png || h.n_rgb != n_rgb ||
	    h.n_rgb != left - h.n_id - h.n_png - h.n_svg)
		return err_set(e, ERR_FORMAT, "a worker's answer is cut short");
	const uint8_t *id = side + sizeof h, *png = id + h.n_id, *svg = png + h.n_png, *rgb = svg + h.n_svg;
	char name[160], caption[256], second[64];
	int rc = 0;
	if (c->png || c->svg)
		name_make(c, (const char *)id, h.n_id, row, name);
	if (c->png)
		rc = file_write(c->png_dir, c->png, name, "png", png, h.n_png, e);
	if (c->svg && !rc)
		rc = file_write(c->svg_dir, c->svg, name, "svg", svg, h.n_svg, e);
	if (!c->sheet || rc)
		return rc;
	snprintf(caption, sizeof caption, "%.*s", (int)(h.n_id < 200 ? h.n_id : 200), (const char *)id);
	bool has_value = isfinite(h.value);
	snprintf(second, sizeof second, "%.40s %.3g", c->highlight ? c->highlight : "", h.value);
	return mol_sheet_add(c->cells, rgb, caption, has_value ? second : NULL, h.value, e);
}

/* The folder, made if need be: a descriptor, -1 without a path, or a failure in e. */
static int dir_open(const char *path, struct err *e)
{
	if (!path)
		return -1;
	int fd = mkdir(path, 0777) && errno != EEXIST ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		err_set_errno(e, ERR_IO, "cannot make the folder %s", path);
	return fd;
}
static int begin(void *conf, struct err *e)
{
	struct conf *c = conf;
	int64_t nbytes = c->n_view * c->size_px * c->size_px * (c->grey ? 1 : 3);
	if (nbytes > 15 << 20)
		return err_set(e, ERR_USAGE, "%lld views of %lld pixels are more than a record may hold",
			       (long long)c->n_view, (long long)c->size_px);
	c->png_dir = dir_open(c->png, e);
	c->svg_dir = dir_open(c->svg, e);
	if ((c->png && c->png_dir < 0) || (c->svg && c->svg_dir < 0))
		return e->code;
	if (c->sheet && !(c->cells = mol_sheet_new((int32_t)c->size_px)))
		return err_set(e, ERR_MEMORY, "no memory for a contact sheet");
	return 0;
}
static int header(void *conf, struct ts_header *h, struct err *e)
{
	(void)e;
	ts_header_add_field(h, "img", ((struct conf *)conf)->base.cli.arena);
	return 0;
}
static int finish(void *conf, bool success, struct err *e)
{
	struct conf *c = conf;
	struct buf png = {0};
	struct io_atomic f;
	int rc = 0;
	if (success && c->sheet && !(rc = mol_sheet_encode(c->cells, c->highlight ? c->highlight : "", &png, e)) &&
	    !(rc = io_atomic_open(&f, c->sheet, e))) {
		rc = io_write_all(f.fd, png.data, png.n, e);
		if (!rc)
			rc = io_atomic_commit(&f, e);
		else
			io_atomic_discard(&f);
	}
	buf_free(&png);
	mol_sheet_free(c->cells);
	free(c->names);
	if (c->png_dir >= 0)
		close(c->png_dir);
	if (c->svg_dir >= 0)
		close(c->svg_dir);
	return rc;
}

int main(int argc, char **argv)
{
	struct conf c = {.base = MOLPROG_DEFAULTS, .size_px = 224, .n_view = 1, .png_dir = -1, .svg_dir = -1};
	static const struct molprog_program p = {.name = "mol2img",
						 .own = options,
						 .seeded = true,
						 .begin = begin,
						 .header = header,
						 .work = work,
						 .each = each,
						 .finish = finish};
	return molprog_main(&p, &c, sizeof c, argc, argv);
}
