/* The worker's side: rows to molecules, the program's function, records packed for the parent to write as they are. */
#include "molprog_run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

struct item_head {
	int64_t row;
	bool too_long;
};
struct result_head {
	int64_t item, row; /* numbers in the input and in the record */
	uint32_t outcome, column;
	uint32_t n_text, n_side; /* text: code, msg, id, smiles, each with its NUL */
};

void item_put(struct buf *job, const struct item *it)
{
	struct item_head h;
	memset(&h, 0, sizeof h);
	h.row = it->row;
	h.too_long = it->too_long;
	buf_put(job, &h, sizeof h);
	buf_put(job, it->data, it->n);
}

void item_get(const uint8_t *job, size_t n, struct item *it)
{
	struct item_head h;
	memcpy(&h, job, sizeof h);
	*it = (struct item){h.row, h.too_long, job + sizeof h, n - sizeof h};
}

/* The result up to where its record begins. */
static void result_begin(struct buf *result, int64_t item, const struct result *r, const struct buf *side)
{
	struct result_head h = {.item = item, .row = r->row, .outcome = r->outcome, .column = (uint32_t)r->column};
	const char *text[4] = {r->code, r->msg, r->id, r->smiles};
	int n_text = r->outcome == OUT_RECORD ? 0 : 4;
	for (int i = 0; i < n_text; i++)
		h.n_text += (uint32_t)strlen(text[i]) + 1;
	h.n_side = r->outcome == OUT_REJECT ? 0 : (uint32_t)side->n;
	buf_put(result, &h, sizeof h);
	for (int i = 0; i < n_text; i++)
		buf_put(result, text[i], strlen(text[i]) + 1);
	buf_put(result, side->data, h.n_side);
}

/* Why it was refused or warned of. */
static void result_describe(struct result *r, const struct mol_reject *why)
{
	r->code = why->code ? why->code : "refused";
	r->msg = why->msg;
	r->column = why->column;
}

/* Takes the next text of those that end at `end`; NULL when its NUL is not there. */
static const char *text_next(const char **at, const char *end)
{
	const char *text = *at, *nul = text ? memchr(text, 0, (size_t)(end - text)) : NULL;
	*at = nul ? nul + 1 : NULL;
	return nul ? text : NULL;
}

bool result_get(const uint8_t *result, size_t n, int64_t item, struct result *r)
{
	struct result_head h;
	if (n < sizeof h)
		return false;
	memcpy(&h, result, sizeof h);
	n -= sizeof h;
	if (h.item != item || h.outcome > OUT_REJECT || h.n_text > n || h.n_side > n - h.n_text)
		return false;
	const char *text = (const char *)result + sizeof h, *end = text + h.n_text;
	*r = (struct result){.outcome = (enum outcome)h.outcome, .row = h.row, .column = (int)h.column};
	if (r->outcome != OUT_RECORD) {
		r->code = text_next(&text, end);
		r->msg = text_next(&text, end);
		r->id = text_next(&text, end);
		r->smiles = text_next(&text, end);
	}
	if (text != end)
		return false;
	r->side = (const uint8_t *)end;
	r->n_side = h.n_side;
	r->record = r->side + h.n_side;
	r->n_record = n - h.n_text - h.n_side;
	return r->outcome != OUT_REJECT || (!r->n_side && !r->n_record);
}

int molprog_refuse(struct molprog_job *j, const char *code, const char *fmt, ...)
{
	va_list ap;
	*j->reject = (struct mol_reject){.code = code};
	va_start(ap, fmt);
	vsnprintf(j->reject->msg, sizeof j->reject->msg, fmt, ap);
	va_end(ap);
	return ERR_CHEM;
}

/* ---- one record out of what came and what was added ---- */

/* Bytes of a map's head and the number of its entries. */
static size_t map_head_read(const uint8_t *d, uint32_t *n)
{
	if ((d[0] & 0xf0) == 0x80) {
		*n = d[0] & 0x0f;
		return 1;
	}
	*n = (uint32_t)d[1] << 8 | d[2];
	if (d[0] == 0xde)
		return 3;
	*n = *n << 16 | (uint32_t)d[3] << 8 | d[4];
	return 5;
}

static void map_head_put(struct buf *b, uint32_t n)
{
	uint8_t h[5] = {0xdf, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
	if (n < 16)
		buf_put(b, &(uint8_t){(uint8_t)(0x80 | n)}, 1);
	else if (n < 65536)
		buf_put(b, (uint8_t[]){0xde, h[3], h[4]}, 3);
	else
		buf_put(b, h, 5);
}

/*
 * Packs `in` with the fields of `out`. The bytes of a record that came packed are passed on as they are, unless one of
 * its fields is replaced.
 */
static int record_pack(const struct item *packed, struct ts_map *in, const struct ts_map *out, struct buf *b,
		       struct err *e)
{
	bool replaces = false;
	for (int i = 0; i < out->n; i++)
		replaces |= ts_get(in, out->fields[i].key) != NULL;
	if (!packed || replaces) {
		for (int i = 0; i < out->n; i++)
			ts_set(in, out->fields[i].key, out->fields[i].v);
		return ts_pack(in, b, e);
	}
	if (!out->n) {
		buf_put(b, packed->data, packed->n);
		return 0;
	}
	uint32_t n_in, n_out;
	struct buf added = {0};
	int rc = ts_pack(out, &added, e);
	if (!rc) {
		size_t head_in = map_head_read(packed->data, &n_in), head_out = map_head_read(added.data, &n_out);
		if (packed->n + added.n > TS_MAX_RECORD_NBYTES)
			rc = err_set(e, ERR_LIMIT, "a record of %zu bytes; at most %u are allowed", packed->n + added.n,
				     TS_MAX_RECORD_NBYTES);
		else if (n_in + n_out > TS_MAX_KEYS)
			rc = err_set(e, ERR_LIMIT, "a record of %u fields; at most %d are allowed", n_in + n_out,
				     TS_MAX_KEYS);
		if (!rc) {
			map_head_put(b, n_in + n_out);
			buf_put(b, packed->data + head_in, packed->n - head_in);
			buf_put(b, added.data + head_out, added.n - head_out);
		}
	}
	buf_free(&added);
	return rc;
}

/* ---- rows to molecules ---- */

static void file_fields(const struct mol *m, struct ts_map *in, struct arena *a)
{
	int64_t *map = arena_alloc(a, ((size_t)m->n_atom + 1) * sizeof *map);
	for (int32_t i = 0; i < m->n_atom; i++)
		map[i] = m->atom[i].source;
	ts_set_str(in, "smiles", m->smiles);
	ts_set_tensor(in, "atom_map", TS_I64, map, 1, (int64_t)m->n_atom);
	ts_set_tensor(in, "pos_input", TS_F32, m->file_pos, 2, (int64_t)m->n_file, (int64_t)3);
	ts_set_tensor(in, "z_input", TS_I64, m->file_z, 1, (int64_t)m->n_file);
}

/* A row of a molecule file: fields and molecule. */
static int molecule_from_row(const struct segment *g, const struct item *it, struct arena *a, struct ts_map *in,
			     struct mol **m, struct mol_reject *why, const char **smiles, struct err *e)
{
	const struct layout *l = g->layout;
	struct row r;
	int rc = row_parse(l, it->row, it->data, it->n, a, &r, why);
	ts_set_str(in, "id", r.id);
	ts_set_int(in, "row", it->row);
	*smiles = r.smiles;
	if (it->too_long) {
		*why = (struct mol_reject){.code = "too-long"};
		snprintf(why->msg, sizeof why->msg, "more than %u bytes",
			 l->format == MOLPROG_SDF ? ROW_MAX_SDF_NBYTES : ROW_MAX_LINE_NBYTES);
		return ERR_CHEM;
	}
	if (rc)
		return rc;
	if (l->format == MOLPROG_SDF) {
		rc = mol_parse_sdf(r.block, r.n_block, &l->parse, a, m, why, e);
		if (!rc)
			file_fields(*m, in, a);
	} else {
		rc = mol_parse_smiles(r.smiles, &l->parse, a, m, why, e);
		if (!rc)
			ts_set_str(in, "smiles", r.smiles);
	}
	if (!rc && l->n_label)
		ts_set_tensor(in, "y", TS_F32, r.y, 1, (int64_t)l->n_label);
	return rc;
}

/* What a record says of itself; a field that is not there or no text is replaced by the record's number. */
static void record_names(const struct ts_map *in, int64_t number, struct arena *a, const char **id, int64_t *row,
			 const char **smiles)
{
	const struct ts_value *v = ts_get(in, "row");
	*row = v && v->kind == TS_INT ? v->u.i : number;
	v = ts_get(in, "id");
	*id = v && v->kind == TS_STR ? v->u.str.s : arena_printf(a, "%" PRId64, *row);
	v = ts_get(in, "smiles");
	*smiles = v && v->kind == TS_STR ? v->u.str.s : "";
}

/* A record of a tensor stream: the molecule of its smiles. */
static int molecule_from_record(const struct segment *g, const struct item *it, struct arena *a, struct ts_map *in,
				struct ts_map *out, struct mol **m, struct mol_reject *why, const char **smiles,
				struct err *e)
{
	const char *needs[16] = {"smiles"}, *id;
	int64_t row;
	for (int i = 0; g->p->needs && g->p->needs[i] && i < 14; i++)
		needs[i + 1] = g->p->needs[i];
	int rc = ts_unpack(it->data, it->n, a, in, e);
	if (!rc)
		rc = ts_schema_check(ts_schema_find("molecule"), g->header, in, needs, e);
	if (rc) {
		err_add_place(e, NULL, it->row, -1);
		return rc;
	}
	record_names(in, it->row, a, &id, &row, smiles);
	if (!ts_get(in, "id"))
		ts_set_str(out, "id", id);
	if (!ts_get(in, "row"))
		ts_set_int(out, "row", row);
	return mol_parse_smiles(*smiles, &g->layout->parse, a, m, why, e);
}

int item_work(struct segment *g, const uint8_t *job, size_t n, struct buf *result, struct err *e)
{
	struct arena *a = g->arena;
	struct item item, *it = &item;
	struct mol_reject why = {0};
	struct ts_map in, out;
	struct mol *m = NULL;
	const char *smiles = "", *shown;
	item_get(job, n, it);
	arena_reset(a);
	ts_map_init(&in, a);
	ts_map_init(&out, a);
	g->side.n = 0;
	struct molprog_job j = {.in = &in, .out = &out, .arena = a, .row = it->row, .side = &g->side, .reject = &why};
	int rc = g->header ? molecule_from_record(g, it, a, &in, &out, &m, &why, &smiles, e)
			   : molecule_from_row(g, it, a, &in, &m, &why, &smiles, e);
	if (rc && rc != ERR_CHEM)
		return rc;
	record_names(&in, it->row, a, &j.id, &j.row, &shown);
	if (!*smiles)
		smiles = shown;
	j.m = m;
	if (!rc)
		rc = g->p->work(g->conf, &j, e);
	if (rc && rc != ERR_CHEM)
		return rc;
	struct result r = {.outcome = rc         ? OUT_REJECT
				      : j.warned ? OUT_WARNED
						 : OUT_RECORD,
			   .id = j.id,
			   .smiles = smiles,
			   .row = j.row};
	size_t before = result->n;
	if (!rc) {
		struct err packing = {0};
		result_describe(&r, &why);
		result_begin(result, it->row, &r, &g->side);
		rc = record_pack(g->header ? it : NULL, &in, &out, result, &packing);
		if (!rc)
			return 0;
		if (rc != ERR_LIMIT)
			return err_set(e, rc, "%s", packing.msg);
		molprog_refuse(&j, "too-large", "%s", packing.msg);
		r.outcome = OUT_REJECT;
		result->n = before;
	}
	result_describe(&r, &why);
	result_begin(result, it->row, &r, &g->side);
	return 0;
}

int item_start(struct segment *g, struct err *e)
{
	g->arena = arena_new(1u << 18);
	if (!g->arena)
		return err_set(e, ERR_MEMORY, "no memory for a worker");
	return g->p->start ? g->p->start(g->conf, e) : 0;
}

void item_describe(const struct segment *g, const struct item *it, struct arena *a, struct result *r)
{
	struct ts_map in;
	ts_map_init(&in, a);
	if (g->header) {
		struct err ignored = {0};
		if (ts_unpack(it->data, it->n, a, &in, &ignored))
			ts_map_init(&in, a);
		record_names(&in, it->row, a, &r->id, &r->row, &r->smiles);
		return;
	}
	struct row row;
	struct mol_reject why;
	row_parse(g->layout, it->row, it->data, it->n, a, &row, &why);
	r->row = it->row;
	r->id = row.id;
	r->smiles = row.smiles;
}
