/* Records as numpy files. */
#include "ts_export.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_OUTER 64 /* passes over the spool for one field that is joined along an inner side */

int ts_npy_header(int fd, const char *descr, int n_dim, const int64_t *shape, struct err *e)
{
	struct buf b = {0};
	buf_put(&b, "\x93NUMPY\x01\x00\x00\x00", 10);
	buf_printf(&b, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
	for (int i = 0; i < n_dim; i++)
		buf_printf(&b, "%" PRId64 ",%s", shape[i], i + 1 < n_dim ? " " : "");
	buf_printf(&b, "), }");
	while ((b.n + 1) % 64)
		buf_put(&b, " ", 1);
	buf_put(&b, "\n", 1);
	b.data[8] = (uint8_t)((b.n - 10) & 255);
	b.data[9] = (uint8_t)((b.n - 10) >> 8);
	int rc = io_write_all(fd, b.data, b.n, e);
	buf_free(&b);
	return rc;
}

/* What is known of one field after the first pass. */
struct column {
	const char *name;
	enum ts_kind kind;
	enum ts_dtype dtype;
	int n_dim;
	int64_t shape[TS_MAX_DIM]; /* of the first record that has it */
	bool varies[TS_MAX_DIM];
	int64_t n_has, width; /* records that have it; longest string */
	bool mixed;           /* kinds, dtypes or ranks differ: no array holds it */
};
struct npy {
	struct ts_spool *s;
	const char *dir;
	struct arena *arena, *scratch;
	int n_column, cap;
	struct column *columns;
	struct err *e;
};
/* Called for each record that has the column, in order. */
typedef int value_fn(void *ctx, const struct ts_value *v, int64_t record, struct err *e);

static struct column *column_of(struct npy *x, const char *name)
{
	for (int i = 0; i < x->n_column; i++)
		if (!strcmp(x->columns[i].name, name))
			return &x->columns[i];
	if (x->n_column == x->cap) {
		struct column *grown =
		    arena_calloc(x->arena, (size_t)(x->cap = x->cap ? 2 * x->cap : 32), sizeof *grown);
		if (x->n_column)
			memcpy(grown, x->columns, (size_t)x->n_column * sizeof *grown);
		x->columns = grown;
	}
	struct column *c = &x->columns[x->n_column++];
	*c = (struct column){.name = arena_strdup(x->arena, name)};
	return c;
}

static void column_add(struct column *c, const struct ts_value *v)
{
	if (!c->n_has++) {
		c->kind = v->kind;
		c->dtype = v->u.t.dtype;
		c->n_dim = v->u.t.n_dim;
		memcpy(c->shape, v->u.t.shape, sizeof c->shape);
		c->mixed = v->kind == TS_LIST || v->kind == TS_MAP || v->kind == TS_NIL;
	}
	if (v->kind != c->kind || (v->kind == TS_TENSOR && (v->u.t.dtype != c->dtype || v->u.t.n_dim != c->n_dim))) {
		c->mixed = true;
	} else if (v->kind == TS_TENSOR) {
		for (int i = 0; i < c->n_dim; i++)
			c->varies[i] |= v->u.t.shape[i] != c->shape[i];
	} else if ((v->kind == TS_STR || v->kind == TS_BIN) && v->u.str.n > c->width) {
		c->width = v->u.str.n;
	}
}

static int record_get(struct npy *x, int64_t i, struct ts_map *m)
{
	const uint8_t *data;
	size_t n;
	arena_reset(x->scratch);
	int rc = ts_spool_get(x->s, i, &data, &n, x->e);
	return rc ? rc : ts_unpack(data, n, x->scratch, m, x->e);
}

static int column_each(struct npy *x, const struct column *c, value_fn *fn, void *ctx)
{
	for (int64_t i = 0, n = ts_spool_count(x->s); i < n; i++) {
		struct ts_map m;
		int rc = record_get(x, i, &m);
		const struct ts_value *v = rc ? NULL : ts_get(&m, c->name);
		if (!rc && v)
			rc = fn(ctx, v, i, x->e);
		if (rc)
			return rc;
	}
	return 0;
}

static int file_open(struct npy *x, struct io_atomic *f, const char *name, const char *suffix)
{
	char path[4000];
	if (strchr(name, '/') || *name == '.')
		return err_set(x->e, ERR_FORMAT, "a field named '%s' cannot become a file", name);
	snprintf(path, sizeof path, "%s/%s%s.npy", x->dir, name, suffix);
	return io_atomic_open(f, path, x->e);
}

/* Buffered file contents. */
struct sink {
	int fd;
	struct buf b;
	const struct column *c;
	int axis;      /* joined along it; -1: not ragged */
	int64_t outer; /* index over the sides before it */
	int64_t sum;
};

static int sink_put(struct sink *k, const void *data, size_t n, struct err *e)
{
	buf_put(&k->b, data, n);
	if (k->b.n < (1u << 20))
		return 0;
	int rc = io_write_all(k->fd, k->b.data, k->b.n, e);
	k->b.n = 0;
	return rc;
}

static int put_value(void *ctx, const struct ts_value *v, int64_t record, struct err *e)
{
	struct sink *k = ctx;
	uint8_t b;
	int rc;
	switch (v->kind) {
	case TS_BOOL:
		b = v->u.b;
		return sink_put(k, &b, 1, e);
	case TS_INT:
		return sink_put(k, &v->u.i, 8, e);
	case TS_FLOAT:
		return sink_put(k, &v->u.f, 8, e);
	case TS_STR:
	case TS_BIN:
		rc = sink_put(k, v->u.str.s, (size_t)v->u.str.n, e);
		for (int64_t i = v->u.str.n; i < (k->c->width ? k->c->width : 1) && !rc; i++)
			rc = sink_put(k, "", 1, e);
		return rc;
	default:
		break;
	}
	size_t nbytes = ts_dtype_nbytes(v->u.t.dtype);
	int64_t outer = k->axis > 0 ? k->outer : 0, n_outer = 1;
	for (int i = 0; i < k->axis; i++)
		n_outer *= v->u.t.shape[i];
	size_t n = n_outer ? ts_tensor_nbytes(&v->u.t) / (size_t)n_outer : 0;
	return n && nbytes ? sink_put(k, (const uint8_t *)v->u.t.data + (size_t)outer * n, n, e) : 0;
}

static int sum_size(void *ctx, const struct ts_value *v, int64_t record, struct err *e)
{
	struct sink *k = ctx;
	k->sum += k->axis < 0 ? ts_tensor_count(&v->u.t) : v->u.t.shape[k->axis];
	return 0;
}

static int put_sum(void *ctx, const struct ts_value *v, int64_t record, struct err *e)
{
	struct sink *k = ctx;
	sum_size(ctx, v, record, e);
	return sink_put(k, &k->sum, 8, e);
}

static int put_shape(void *ctx, const struct ts_value *v, int64_t record, struct err *e)
{
	return sink_put(ctx, v->u.t.shape, (size_t)v->u.t.n_dim * 8, e);
}

static int put_record(void *ctx, const struct ts_value *v, int64_t record, struct err *e)
{
	return sink_put(ctx, &record, 8, e);
}

/* One .npy file: header, then what fn puts for each record, n_pass times. */
static int file_write(struct npy *x, const struct column *c, const char *suffix, const char *descr, int n_dim,
		      const int64_t *shape, struct sink *k, value_fn *fn, int64_t n_pass, bool leading_zero)
{
	struct io_atomic f;
	int rc = file_open(x, &f, c->name, suffix);
	if (rc)
		return rc;
	k->fd = f.fd;
	k->c = c;
	k->sum = 0;
	rc = ts_npy_header(f.fd, descr, n_dim, shape, x->e);
	if (!rc && leading_zero)
		rc = sink_put(k, &k->sum, 8, x->e);
	for (k->outer = 0; k->outer < n_pass && !rc; k->outer++)
		rc = column_each(x, c, fn, k);
	if (!rc && k->b.n)
		rc = io_write_all(f.fd, k->b.data, k->b.n, x->e);
	buf_free(&k->b);
	if (!rc)
		return io_atomic_commit(&f, x->e);
	io_atomic_discard(&f);
	return rc;
}

static int column_write(struct npy *x, const struct column *c)
{
	char descr[32];
	int64_t shape[TS_MAX_DIM + 1] = {c->n_has}, n_pass = 1, pair[2] = {c->n_has, c->n_dim}, n_ptr = c->n_has + 1;
	int n_dim = 1, n_vary = 0, rc;
	struct sink k = {.axis = -1};
	if (c->mixed)
		return err_set(x->e, ERR_SCHEMA, "field %s has no one kind and rank: --select others", c->name);
	snprintf(descr, sizeof descr, "|S%" PRId64, c->width ? c->width : 1);
	if (c->kind == TS_INT || c->kind == TS_FLOAT || c->kind == TS_BOOL) {
		strcpy(descr, c->kind == TS_INT ? "<i8" : c->kind == TS_FLOAT ? "<f8" : "|b1");
	} else if (c->kind == TS_TENSOR) {
		strcpy(descr, ts_dtype_numpy(c->dtype));
		for (int i = 0; i < c->n_dim; i++) {
			n_vary += c->varies[i];
			if (c->varies[i])
				k.axis = i;
		}
		for (int i = 0; i < k.axis; i++)
			n_pass *= c->shape[i];
		if (n_vary > 1 || n_pass > MAX_OUTER) {
			k.axis = -1;
			n_pass = 1;
			n_vary = 2;
		}
		if (n_vary) {
			if ((rc = column_each(x, c, sum_size, &k)))
				return rc;
			n_dim = n_vary > 1 ? 1 : c->n_dim;
			memcpy(shape, c->shape, sizeof c->shape);
			shape[n_vary > 1 ? 0 : k.axis] = k.sum;
		} else {
			n_dim = 1 + c->n_dim;
			memcpy(shape + 1, c->shape, sizeof c->shape);
		}
	}
	if ((rc = file_write(x, c, "", descr, n_dim, shape, &k, put_value, n_pass, false)))
		return rc;
	if (n_vary == 1 && (rc = file_write(x, c, ".ptr", "<i8", 1, &n_ptr, &k, put_sum, 1, true)))
		return rc;
	if (n_vary > 1 && (rc = file_write(x, c, ".shape", "<i8", 2, pair, &k, put_shape, 1, false)))
		return rc;
	if (c->n_has < ts_spool_count(x->s))
		return file_write(x, c, ".index", "<i8", 1, &c->n_has, &k, put_record, 1, false);
	return 0;
}

static int model_write(struct npy *x)
{
	for (int64_t i = 0, n = ts_spool_count(x->s); i < n; i++) {
		struct ts_map m;
		const char *name;
		struct io_atomic f;
		int rc = record_get(x, i, &m);
		if (rc || (rc = ts_need_str(&m, "name", &name, x->e)))
			return rc;
		const struct ts_value *v = ts_get(&m, "value");
		if (!v || v->kind != TS_TENSOR)
			continue;
		if ((rc = file_open(x, &f, name, "")))
			return rc;
		rc = ts_npy_header(f.fd, ts_dtype_numpy(v->u.t.dtype), v->u.t.n_dim, v->u.t.shape, x->e);
		if (!rc)
			rc = io_write_all(f.fd, v->u.t.data, ts_tensor_nbytes(&v->u.t), x->e);
		if (!rc)
			rc = io_atomic_commit(&f, x->e);
		else
			io_atomic_discard(&f);
		if (rc)
			return rc;
	}
	return 0;
}

int ts_npy_write(struct ts_spool *s, const struct ts_header *h, const char *dir, struct err *e)
{
	struct npy x = {.s = s, .dir = dir, .arena = arena_new(0), .scratch = arena_new(0), .e = e};
	int rc = 0;
	if (mkdir(dir, 0777) && errno != EEXIST)
		rc = err_set_errno(e, ERR_IO, "the folder %s cannot be made", dir);
	if (!rc && !strcmp(h->schema, "model")) {
		rc = model_write(&x);
		goto done;
	}
	for (int64_t i = 0, n = ts_spool_count(s); i < n && !rc; i++) {
		struct ts_map m;
		rc = record_get(&x, i, &m);
		for (int k = 0; !rc && k < m.n; k++)
			column_add(column_of(&x, m.fields[k].key), &m.fields[k].v);
	}
	for (int i = 0; i < x.n_column && !rc; i++)
		rc = column_write(&x, &x.columns[i]);
done:
	arena_free(x.arena);
	arena_free(x.scratch);
	return rc;
}
