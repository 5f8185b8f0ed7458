/* Maps to and from msgpack bytes, tensors in msgpack-numpy's encoding. */
#include "ts_wire.h"

#include <msgpack.h>
#include <string.h>

static int buf_write(void *data, const char *bytes, size_t n)
{
	buf_put(data, bytes, n);
	return 0;
}

static void pack_bin(msgpack_packer *pk, const void *data, size_t n)
{
	msgpack_pack_bin(pk, n);
	msgpack_pack_bin_body(pk, data, n);
}

static void pack_str(msgpack_packer *pk, const char *s, size_t n)
{
	msgpack_pack_str(pk, n);
	msgpack_pack_str_body(pk, s, n);
}

static int pack_tensor(msgpack_packer *pk, const char *key, const struct ts_tensor *t, struct err *e)
{
	uint64_t nbytes = ts_dtype_nbytes(t->dtype);
	if (t->n_dim < 0 || t->n_dim > TS_MAX_DIM)
		return err_set(e, ERR_LIMIT, "field %s has %d dimensions", key, t->n_dim);
	for (int i = 0; i < t->n_dim; i++) {
		if (t->shape[i] < 0)
			return err_set(e, ERR_FORMAT, "field %s has a negative size", key);
		if (t->shape[i] && nbytes > TS_MAX_RECORD_NBYTES / (uint64_t)t->shape[i])
			return err_set(e, ERR_LIMIT, "field %s is larger than %u bytes", key, TS_MAX_RECORD_NBYTES);
		nbytes *= (uint64_t)t->shape[i];
	}
	const char *type = ts_dtype_numpy(t->dtype);
	msgpack_pack_map(pk, 5);
	pack_bin(pk, "nd", 2);
	msgpack_pack_true(pk);
	pack_bin(pk, "type", 4);
	pack_str(pk, type, strlen(type));
	pack_bin(pk, "kind", 4);
	pack_bin(pk, "", 0);
	pack_bin(pk, "shape", 5);
	msgpack_pack_array(pk, (size_t)t->n_dim);
	for (int i = 0; i < t->n_dim; i++)
		msgpack_pack_int64(pk, t->shape[i]);
	pack_bin(pk, "data", 4);
	pack_bin(pk, nbytes ? t->data : "", nbytes);
	return 0;
}

static int pack_map(msgpack_packer *pk, const struct ts_map *m, int depth, struct err *e);

static int pack_value(msgpack_packer *pk, const char *key, const struct ts_value *v, int depth, struct err *e)
{
	int rc = 0;
	if (depth > TS_MAX_DEPTH)
		return err_set(e, ERR_LIMIT, "field %s is nested deeper than %d", key, TS_MAX_DEPTH);
	switch (v->kind) {
	case TS_NIL:
		msgpack_pack_nil(pk);
		break;
	case TS_BOOL:
		v->u.b ? msgpack_pack_true(pk) : msgpack_pack_false(pk);
		break;
	case TS_INT:
		msgpack_pack_int64(pk, v->u.i);
		break;
	case TS_FLOAT:
		msgpack_pack_double(pk, v->u.f);
		break;
	case TS_STR:
		if (!ts_utf8_valid(v->u.str.s, (size_t)v->u.str.n))
			return err_set(e, ERR_FORMAT, "field %s is not UTF-8", key);
		/* fall through */
	case TS_BIN:
		if (v->u.str.n > (int64_t)TS_MAX_RECORD_NBYTES)
			return err_set(e, ERR_LIMIT, "field %s is larger than %u bytes", key, TS_MAX_RECORD_NBYTES);
		if (v->kind == TS_STR)
			pack_str(pk, v->u.str.s, (size_t)v->u.str.n);
		else
			pack_bin(pk, v->u.str.s, (size_t)v->u.str.n);
		break;
	case TS_LIST:
		msgpack_pack_array(pk, (size_t)v->u.list.n);
		for (int64_t i = 0; i < v->u.list.n && !rc; i++)
			rc = pack_value(pk, key, &v->u.list.items[i], depth + 1, e);
		break;
	case TS_MAP:
		rc = pack_map(pk, &v->u.map, depth, e);
		break;
	case TS_TENSOR:
		rc = pack_tensor(pk, key, &v->u.t, e);
		break;
	}
	return rc;
}

static int pack_map(msgpack_packer *pk, const struct ts_map *m, int depth, struct err *e)
{
	int rc = 0;
	msgpack_pack_map(pk, (size_t)m->n);
	for (int i = 0; i < m->n && !rc; i++) {
		const struct ts_field *f = &m->fields[i];
		pack_str(pk, f->key, strlen(f->key));
		rc = pack_value(pk, f->key, &f->v, depth + 1, e);
	}
	return rc;
}

int ts_pack(const struct ts_map *m, struct buf *out, struct err *e)
{
	size_t before = out->n, used;
	msgpack_packer pk;
	msgpack_packer_init(&pk, out, buf_write);
	int rc = pack_map(&pk, m, 1, e);
	if (!rc && out->n - before > TS_MAX_RECORD_NBYTES)
		rc = err_set(e, ERR_LIMIT, "a record of %zu bytes; at most %u are allowed", out->n - before,
			     TS_MAX_RECORD_NBYTES);
	if (!rc) /* never write what a reader would refuse */
		rc = ts_walk(out->data + before, out->n - before, &used, e);
	if (rc)
		out->n = before;
	return rc;
}

/* ---- unpacking ---- */

static const msgpack_object *tensor_entry(const msgpack_object *o, const char *name)
{
	for (uint32_t i = 0; i < o->via.map.size; i++) {
		const msgpack_object *k = &o->via.map.ptr[i].key;
		if (k->via.bin.size == strlen(name) && !memcmp(k->via.bin.ptr, name, k->via.bin.size))
			return &o->via.map.ptr[i].val;
	}
	return NULL;
}

/* The walk has seen to it that all entries are there and agree. */
static struct ts_value tensor_from_object(const msgpack_object *o, struct arena *a)
{
	struct ts_value v = {.kind = TS_TENSOR};
	const msgpack_object *type = tensor_entry(o, "type"), *shape = tensor_entry(o, "shape");
	const msgpack_object *data = tensor_entry(o, "data");
	ts_dtype_from_numpy((const uint8_t *)type->via.bin.ptr, type->via.bin.size, &v.u.t.dtype);
	if (shape) {
		v.u.t.n_dim = (int)shape->via.array.size;
		for (int i = 0; i < v.u.t.n_dim; i++)
			v.u.t.shape[i] = (int64_t)shape->via.array.ptr[i].via.u64;
	}
	size_t n = data->via.bin.size;
	void *copy = arena_alloc(a, n ? n : 1); /* the wire does not align */
	if (n)
		memcpy(copy, data->via.bin.ptr, n);
	v.u.t.data = copy;
	if (tensor_entry(o, "nd")->via.boolean)
		return v;
	/* numpy scalars (nd false) become plain numbers. */
	struct ts_tensor t = v.u.t;
	if (t.dtype == TS_F32 || t.dtype == TS_F64)
		return (struct ts_value){.kind = TS_FLOAT, .u.f = ts_tensor_float(&t, 0)};
	if (t.dtype == TS_BOOL8)
		return (struct ts_value){.kind = TS_BOOL, .u.b = ts_tensor_int(&t, 0)};
	return ts_value_int(ts_tensor_int(&t, 0));
}

static bool object_is_tensor(const msgpack_object *o)
{
	return o->via.map.size && o->via.map.ptr[0].key.type == MSGPACK_OBJECT_BIN;
}

static int map_from_object(const msgpack_object *o, struct arena *a, struct ts_map *m, struct err *e);

static int value_from_object(const msgpack_object *o, struct arena *a, struct ts_value *v, struct err *e)
{
	int rc = 0;
	switch (o->type) {
	case MSGPACK_OBJECT_NIL:
		*v = (struct ts_value){.kind = TS_NIL};
		return 0;
	case MSGPACK_OBJECT_BOOLEAN:
		*v = (struct ts_value){.kind = TS_BOOL, .u.b = o->via.boolean};
		return 0;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		*v = ts_value_int((int64_t)o->via.u64);
		return 0;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		*v = ts_value_int(o->via.i64);
		return 0;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		*v = (struct ts_value){.kind = TS_FLOAT, .u.f = o->via.f64};
		return 0;
	case MSGPACK_OBJECT_STR:
	case MSGPACK_OBJECT_BIN:
		*v = (struct ts_value){.kind = o->type == MSGPACK_OBJECT_STR ? TS_STR : TS_BIN,
				       .u.str = {ts_bytes_copy(a, o->via.str.ptr, o->via.str.size), o->via.str.size}};
		return 0;
	case MSGPACK_OBJECT_ARRAY: {
		uint32_t n = o->via.array.size;
		struct ts_value *items = arena_alloc(a, (n ? n : 1) * sizeof *items);
		for (uint32_t i = 0; i < n && !rc; i++)
			rc = value_from_object(&o->via.array.ptr[i], a, &items[i], e);
		*v = (struct ts_value){.kind = TS_LIST, .u.list = {items, n}};
		return rc;
	}
	case MSGPACK_OBJECT_MAP:
		if (object_is_tensor(o)) {
			*v = tensor_from_object(o, a);
			return 0;
		}
		*v = (struct ts_value){.kind = TS_MAP};
		return map_from_object(o, a, &v->u.map, e);
	default:
		return err_set(e, ERR_FORMAT, "a msgpack type that tstreams do not have");
	}
}

static int map_from_object(const msgpack_object *o, struct arena *a, struct ts_map *m, struct err *e)
{
	uint32_t n = o->via.map.size;
	ts_map_init(m, a);
	m->fields = arena_alloc(a, (n ? n : 1) * sizeof *m->fields);
	m->cap = (int)(n ? n : 1);
	for (uint32_t i = 0; i < n; i++) {
		const msgpack_object_kv *kv = &o->via.map.ptr[i];
		struct ts_field *f = &m->fields[m->n];
		f->key = ts_bytes_copy(a, kv->key.via.str.ptr, kv->key.via.str.size);
		if (ts_get(m, f->key))
			return err_set(e, ERR_FORMAT, "key %s stands twice in one map", f->key);
		int rc = value_from_object(&kv->val, a, &f->v, e);
		if (rc)
			return rc;
		m->n++;
	}
	return 0;
}

int ts_unpack(const uint8_t *data, size_t n, struct arena *a, struct ts_map *m, struct err *e)
{
	size_t off = 0;
	msgpack_unpacked u;
	msgpack_unpacked_init(&u);
	int rc = 0;
	if (msgpack_unpack_next(&u, (const char *)data, n, &off) != MSGPACK_UNPACK_SUCCESS || off != n ||
	    u.data.type != MSGPACK_OBJECT_MAP)
		rc = err_set(e, ERR_FORMAT, "bytes that are not one msgpack map");
	else
		rc = map_from_object(&u.data, a, m, e);
	msgpack_unpacked_destroy(&u);
	return rc;
}
