/* Values, maps and tensors in memory. */
#include "ts_wire.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static const struct dtype_info {
	size_t nbytes;
	const char *numpy, *name;
} dtypes[] = {
    [TS_BOOL8] = {1, "|b1", "bool"},  [TS_U8] = {1, "|u1", "uint8"},    [TS_I8] = {1, "|i1", "int8"},
    [TS_I16] = {2, "<i2", "int16"},   [TS_I32] = {4, "<i4", "int32"},   [TS_I64] = {8, "<i8", "int64"},
    [TS_F32] = {4, "<f4", "float32"}, [TS_F64] = {8, "<f8", "float64"},
};

size_t ts_dtype_nbytes(enum ts_dtype d)
{
	return dtypes[d].nbytes;
}

const char *ts_dtype_numpy(enum ts_dtype d)
{
	return dtypes[d].numpy;
}

const char *ts_dtype_name(enum ts_dtype d)
{
	return dtypes[d].name;
}

int64_t ts_tensor_count(const struct ts_tensor *t)
{
	int64_t n = 1;
	for (int i = 0; i < t->n_dim; i++)
		n *= t->shape[i];
	return n;
}

size_t ts_tensor_nbytes(const struct ts_tensor *t)
{
	return (size_t)ts_tensor_count(t) * ts_dtype_nbytes(t->dtype);
}

double ts_tensor_float(const struct ts_tensor *t, int64_t i)
{
	switch (t->dtype) {
	case TS_F32:
		return ((const float *)t->data)[i];
	case TS_F64:
		return ((const double *)t->data)[i];
	default:
		return (double)ts_tensor_int(t, i);
	}
}

int64_t ts_tensor_int(const struct ts_tensor *t, int64_t i)
{
	switch (t->dtype) {
	case TS_BOOL8:
		return ((const uint8_t *)t->data)[i] != 0;
	case TS_U8:
		return ((const uint8_t *)t->data)[i];
	case TS_I8:
		return ((const int8_t *)t->data)[i];
	case TS_I16:
		return ((const int16_t *)t->data)[i];
	case TS_I32:
		return ((const int32_t *)t->data)[i];
	case TS_I64:
		return ((const int64_t *)t->data)[i];
	default:
		return (int64_t)ts_tensor_float(t, i);
	}
}

char *ts_bytes_copy(struct arena *a, const void *data, size_t n)
{
	char *copy = arena_alloc(a, n + 1);
	if (n)
		memcpy(copy, data, n);
	copy[n] = 0;
	return copy;
}

/* ---- maps ---- */

void ts_map_init(struct ts_map *m, struct arena *a)
{
	*m = (struct ts_map){.arena = a};
}

static struct ts_field *map_find(const struct ts_map *m, const char *key)
{
	for (int i = 0; i < m->n; i++)
		if (!strcmp(m->fields[i].key, key))
			return &m->fields[i];
	return NULL;
}

const struct ts_value *ts_get(const struct ts_map *m, const char *key)
{
	const struct ts_field *f = map_find(m, key);
	return f ? &f->v : NULL;
}

void ts_set(struct ts_map *m, const char *key, struct ts_value v)
{
	if (v.kind == TS_STR || v.kind == TS_BIN)
		v.u.str.s = ts_bytes_copy(m->arena, v.u.str.s, (size_t)v.u.str.n);
	struct ts_field *f = map_find(m, key);
	if (f) {
		f->v = v;
		return;
	}
	if (m->n == m->cap) {
		int cap = m->cap ? 2 * m->cap : 16;
		struct ts_field *grown = arena_alloc(m->arena, (size_t)cap * sizeof *grown);
		if (m->n)
			memcpy(grown, m->fields, (size_t)m->n * sizeof *grown);
		m->fields = grown;
		m->cap = cap;
	}
	m->fields[m->n++] = (struct ts_field){.key = arena_strdup(m->arena, key), .v = v};
}

void ts_set_int(struct ts_map *m, const char *key, int64_t i)
{
	ts_set(m, key, ts_value_int(i));
}

void ts_set_float(struct ts_map *m, const char *key, double f)
{
	ts_set(m, key, (struct ts_value){.kind = TS_FLOAT, .u.f = f});
}

void ts_set_bool(struct ts_map *m, const char *key, bool b)
{
	ts_set(m, key, (struct ts_value){.kind = TS_BOOL, .u.b = b});
}

void ts_set_str(struct ts_map *m, const char *key, const char *s)
{
	ts_set(m, key, (struct ts_value){.kind = TS_STR, .u.str = {s, (int64_t)strlen(s)}});
}

void ts_set_tensor(struct ts_map *m, const char *key, enum ts_dtype dtype, const void *data, int n_dim, ...)
{
	struct ts_value v = {.kind = TS_TENSOR, .u.t = {.dtype = dtype, .n_dim = n_dim, .data = data}};
	va_list ap;
	va_start(ap, n_dim);
	for (int i = 0; i < n_dim; i++)
		v.u.t.shape[i] = va_arg(ap, int64_t);
	va_end(ap);
	ts_set(m, key, v);
}

bool ts_unset(struct ts_map *m, const char *key)
{
	struct ts_field *f = map_find(m, key);
	if (!f)
		return false;
	memmove(f, f + 1, (size_t)(m->fields + m->n - (f + 1)) * sizeof *f);
	m->n--;
	return true;
}

/* ---- values ---- */

struct ts_value ts_value_int(int64_t i)
{
	return (struct ts_value){.kind = TS_INT, .u.i = i};
}

struct ts_value ts_value_str(struct arena *a, const char *s)
{
	size_t n = strlen(s);
	return (struct ts_value){.kind = TS_STR, .u.str = {ts_bytes_copy(a, s, n), (int64_t)n}};
}

struct ts_value ts_value_map(const struct ts_map *m)
{
	return (struct ts_value){.kind = TS_MAP, .u.map = *m};
}

struct ts_value ts_value_strings(struct arena *a, int n, const char *const *s)
{
	struct ts_value *items = arena_alloc(a, (size_t)(n ? n : 1) * sizeof *items);
	for (int i = 0; i < n; i++)
		items[i] = ts_value_str(a, s[i]);
	return (struct ts_value){.kind = TS_LIST, .u.list = {items, n}};
}

struct ts_value ts_value_copy(struct arena *a, const struct ts_value *v)
{
	struct ts_value c = *v;
	switch (v->kind) {
	case TS_STR:
	case TS_BIN:
		c.u.str.s = ts_bytes_copy(a, v->u.str.s, (size_t)v->u.str.n);
		break;
	case TS_LIST: {
		int64_t n = v->u.list.n;
		struct ts_value *items = arena_alloc(a, (size_t)(n ? n : 1) * sizeof *items);
		for (int64_t i = 0; i < n; i++)
			items[i] = ts_value_copy(a, &v->u.list.items[i]);
		c.u.list.items = items;
		break;
	}
	case TS_MAP:
		ts_map_init(&c.u.map, a);
		for (int i = 0; i < v->u.map.n; i++)
			ts_set(&c.u.map, v->u.map.fields[i].key, ts_value_copy(a, &v->u.map.fields[i].v));
		break;
	case TS_TENSOR: {
		size_t n = ts_tensor_nbytes(&v->u.t);
		void *data = arena_alloc(a, n ? n : 1);
		if (n)
			memcpy(data, v->u.t.data, n);
		c.u.t.data = data;
		break;
	}
	default:
		break;
	}
	return c;
}

/* ---- typed access ---- */

static const char *kind_names[] = {"nil", "bool", "int", "float", "str", "bin", "list", "map", "tensor"};

static const char *value_describe(const struct ts_value *v, char *buf, size_t nbytes)
{
	if (v->kind != TS_TENSOR) {
		snprintf(buf, nbytes, "%s", kind_names[v->kind]);
		return buf;
	}
	size_t at = (size_t)snprintf(buf, nbytes, "%s [", ts_dtype_name(v->u.t.dtype));
	for (int i = 0; i < v->u.t.n_dim && at < nbytes; i++)
		at += (size_t)snprintf(buf + at, nbytes - at, "%s%" PRId64, i ? "," : "", v->u.t.shape[i]);
	if (at < nbytes)
		snprintf(buf + at, nbytes - at, "]");
	return buf;
}

static int need(const struct ts_map *m, const char *key, enum ts_kind kind, const struct ts_value **v, struct err *e)
{
	char what[160];
	*v = ts_get(m, key);
	if (!*v)
		return err_set(e, ERR_SCHEMA, "no field %s (%s)", key, kind_names[kind]);
	if ((*v)->kind != kind)
		return err_set(e, ERR_SCHEMA, "field %s is %s, not %s", key, value_describe(*v, what, sizeof what),
			       kind_names[kind]);
	return 0;
}

int ts_need_int(const struct ts_map *m, const char *key, int64_t *out, struct err *e)
{
	const struct ts_value *v;
	int rc = need(m, key, TS_INT, &v, e);
	if (!rc)
		*out = v->u.i;
	return rc;
}

int ts_need_float(const struct ts_map *m, const char *key, double *out, struct err *e)
{
	const struct ts_value *v = ts_get(m, key);
	if (v && v->kind == TS_INT) { /* JSON-minded writers pack 1.0 as 1 */
		*out = (double)v->u.i;
		return 0;
	}
	int rc = need(m, key, TS_FLOAT, &v, e);
	if (!rc)
		*out = v->u.f;
	return rc;
}

int ts_need_str(const struct ts_map *m, const char *key, const char **out, struct err *e)
{
	const struct ts_value *v;
	int rc = need(m, key, TS_STR, &v, e);
	if (rc)
		return rc;
	if (strlen(v->u.str.s) != (size_t)v->u.str.n)
		return err_set(e, ERR_SCHEMA, "field %s holds a NUL character", key);
	*out = v->u.str.s;
	return 0;
}

int ts_need_tensor(const struct ts_map *m, const char *key, enum ts_dtype d, int n_dim, const struct ts_tensor **out,
		   struct err *e)
{
	char what[160];
	const struct ts_value *v;
	int rc = need(m, key, TS_TENSOR, &v, e);
	if (rc)
		return rc;
	if (v->u.t.dtype != d || (n_dim >= 0 && v->u.t.n_dim != n_dim)) {
		if (n_dim < 0)
			return err_set(e, ERR_SCHEMA, "field %s is %s, not %s", key,
				       value_describe(v, what, sizeof what), ts_dtype_name(d));
		return err_set(e, ERR_SCHEMA, "field %s is %s, not %s with %d dimension%s", key,
			       value_describe(v, what, sizeof what), ts_dtype_name(d), n_dim, n_dim == 1 ? "" : "s");
	}
	*out = &v->u.t;
	return 0;
}
