/* The check at a stage's door, by the tables that the build makes from the schema files. */
#include "ts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const struct ts_schema *ts_schema_find(const char *name)
{
	for (const struct ts_schema *s = ts_schema_table; s->name; s++)
		if (!strcmp(s->name, name))
			return s;
	return NULL;
}

const struct ts_schema_field *ts_schema_field_find(const struct ts_schema *s, const char *name)
{
	for (int i = 0; i < s->n_field; i++) {
		const char *pattern = s->fields[i].name;
		size_t n = strlen(pattern);
		/* "emb_*" stands for a family of fields. */
		if (pattern[n - 1] == '*' ? !strncmp(pattern, name, n - 1) : !strcmp(pattern, name))
			return &s->fields[i];
	}
	return NULL;
}

int ts_schema_need(const struct ts_header *h, const char *name, struct err *e)
{
	if (!strcmp(h->schema, name))
		return 0;
	return err_set(e, ERR_SCHEMA, "a stream of schema %s where %s is needed: %s", h->schema, name,
		       !strcmp(name, "model")      ? "models come from train"
		       : !strcmp(name, "molecule") ? "records of molecules come from mol2graph, conf3d or mol2img"
						   : "it comes from another program");
}

/* Sizes that the letters of shapes stand for in one record. */
struct letters {
	int64_t size[26];
	const char *field[26]; /* that fixed it, NULL: free */
};

/* One shape, "C,N,3", against a tensor. False: it does not fit. Free letters are fixed. */
static bool shape_fits(const char *shape, const struct ts_tensor *t, struct letters *l, const char *field)
{
	int dim = 0;
	for (const char *p = shape; *p && *p != ';'; dim++) {
		if (dim >= t->n_dim)
			return false;
		int64_t size = t->shape[dim];
		if (*p >= 'a' && *p <= 'z') { /* any size, whatever other fields have */
			p++;
		} else if (*p >= 'A' && *p <= 'Z') {
			int k = *p++ - 'A';
			if (!l->field[k]) {
				l->field[k] = field;
				l->size[k] = size;
			} else if (l->size[k] != size) {
				return false;
			}
		} else {
			char *end;
			if (strtoll(p, &end, 10) != size)
				return false;
			p = end;
		}
		p += *p == ',';
	}
	return dim == t->n_dim;
}

static bool shapes_fit(const char *shapes, const struct ts_tensor *t, struct letters *l, const char *field)
{
	if (!strcmp(shapes, "*"))
		return true;
	for (const char *p = shapes; p; p = strchr(p, ';'), p = p ? p + 1 : NULL) {
		struct letters trial = *l;
		if (shape_fits(p, t, &trial, field)) {
			*l = trial;
			return true;
		}
	}
	return false;
}

/* "pos [N,3] float32" */
static const char *field_text(const struct ts_schema_field *f, char *buf, size_t nbytes)
{
	if (*f->shape)
		snprintf(buf, nbytes, "%s [%s] %s", f->name, f->shape, f->dtype);
	else
		snprintf(buf, nbytes, "%s (%s)", f->name, f->dtype);
	return buf;
}

static bool kind_fits(const char *dtype, const struct ts_value *v)
{
	switch (v->kind) {
	case TS_BOOL:
		return !strcmp(dtype, "bool");
	case TS_INT:
		return !strcmp(dtype, "int") || !strcmp(dtype, "float");
	case TS_FLOAT:
		return !strcmp(dtype, "float");
	case TS_STR:
		return !strcmp(dtype, "str");
	case TS_TENSOR:
		return !strcmp(dtype, ts_dtype_name(v->u.t.dtype));
	default:
		return false;
	}
}

static int field_check(const struct ts_schema_field *f, const char *name, const struct ts_value *v, struct letters *l,
		       struct err *e)
{
	char want[160], shape[160] = "";
	bool any = !strcmp(f->dtype, "any");
	if (!any && !kind_fits(f->dtype, v))
		return err_set(e, ERR_SCHEMA, "field %s is not what the schema says: %s", name,
			       field_text(f, want, sizeof want));
	if (v->kind != TS_TENSOR || shapes_fit(f->shape, &v->u.t, l, name))
		return 0;
	size_t at = 0;
	for (int i = 0; i < v->u.t.n_dim && at < sizeof shape; i++)
		at += (size_t)snprintf(shape + at, sizeof shape - at, "%s%" PRId64, i ? "," : "", v->u.t.shape[i]);
	/* Name the letter that two fields disagree about, if there is one. */
	for (const char *p = f->shape; *p && *p != ';'; p++)
		if (*p >= 'A' && *p <= 'Z' && l->field[*p - 'A'])
			return err_set(e, ERR_SCHEMA, "field %s is [%s], not [%s] (%c is %" PRId64 " by %s)", name,
				       shape, f->shape, *p, l->size[*p - 'A'], l->field[*p - 'A']);
	return err_set(e, ERR_SCHEMA, "field %s is [%s], not [%s]", name, shape, f->shape);
}

int ts_schema_check(const struct ts_schema *s, const struct ts_header *h, const struct ts_map *rec,
		    const char *const *need, struct err *e)
{
	struct letters l = {0};
	char want[160];
	if (h) {
		l.field['T' - 'A'] = "the header's tasks";
		l.size['T' - 'A'] = h->n_task;
	}
	for (int i = 0; need && need[i]; i++) {
		if (ts_get(rec, need[i]))
			continue;
		const struct ts_schema_field *f = ts_schema_field_find(s, need[i]);
		if (!f)
			return err_set(e, ERR_SCHEMA, "no field %s", need[i]);
		return err_set(e, ERR_SCHEMA, "no field %s: run %s first", field_text(f, want, sizeof want), f->writer);
	}
	for (int i = 0; i < rec->n; i++) {
		const struct ts_schema_field *f = ts_schema_field_find(s, rec->fields[i].key);
		int rc = f ? field_check(f, rec->fields[i].key, &rec->fields[i].v, &l, e) : 0;
		if (rc)
			return rc;
	}
	return 0;
}
