/* Tensors as a safetensors file: 8 bytes of length, a JSON table, the data. */
#include "ts_export.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const dtypes[] = {"BOOL", "U8", "I8", "I16", "I32", "I64", "F32", "F64"};

struct tensors {
	struct ts_spool *s;
	bool is_model;
	struct arena *arena;
	struct err *e;
	/* First pass: the table; second: the data. */
	FILE *table;
	int fd;
	int64_t n, offset;
};

static int tensor_put(struct tensors *x, const char *name, const struct ts_tensor *t)
{
	size_t nbytes = ts_tensor_nbytes(t);
	if (!x->table)
		return io_write_all(x->fd, t->data, nbytes, x->e);
	struct ts_value key = {.kind = TS_STR, .u.str = {name, (int64_t)strlen(name)}};
	fputs(x->n++ ? "," : "", x->table);
	ts_json_value(x->table, &key);
	fprintf(x->table, ":{\"dtype\":\"%s\",\"shape\":[", dtypes[t->dtype]);
	for (int i = 0; i < t->n_dim; i++)
		fprintf(x->table, "%s%" PRId64, i ? "," : "", t->shape[i]);
	fprintf(x->table, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", x->offset, x->offset + (int64_t)nbytes);
	x->offset += (int64_t)nbytes;
	return 0;
}

static int all_put(struct tensors *x)
{
	for (int64_t i = 0, n = ts_spool_count(x->s); i < n; i++) {
		const uint8_t *data;
		size_t nbytes;
		struct ts_map m;
		const char *name = "";
		arena_reset(x->arena);
		ts_map_init(&m, x->arena);
		int rc = ts_spool_get(x->s, i, &data, &nbytes, x->e);
		if (!rc)
			rc = ts_unpack(data, nbytes, x->arena, &m, x->e);
		if (!rc && x->is_model)
			rc = ts_need_str(&m, "name", &name, x->e);
		for (int k = 0; !rc && k < m.n; k++) {
			const struct ts_field *f = &m.fields[k];
			if (f->v.kind != TS_TENSOR)
				continue;
			if (!x->is_model)
				name = arena_printf(x->arena, "%" PRId64 ".%s", i, f->key);
			rc = tensor_put(x, name, &f->v.u.t);
		}
		if (rc)
			return rc;
	}
	return 0;
}

int ts_safetensors_write(struct ts_spool *s, const struct ts_header *h, int fd, struct err *e)
{
	struct tensors x = {.s = s, .is_model = !strcmp(h->schema, "model"), .arena = arena_new(0), .e = e, .fd = fd};
	char *table = NULL;
	size_t n = 0;
	uint8_t length[8];
	x.table = open_memstream(&table, &n);
	if (!x.table)
		abort();
	putc('{', x.table);
	int rc = all_put(&x);
	putc('}', x.table);
	fflush(x.table);
	while (n % 8) {
		putc(' ', x.table);
		fflush(x.table);
	}
	fclose(x.table);
	x.table = NULL;
	for (int i = 0; i < 8; i++)
		length[i] = (uint8_t)((uint64_t)n >> 8 * i);
	if (!rc)
		rc = io_write_all(fd, length, 8, e);
	if (!rc)
		rc = io_write_all(fd, table, n, e);
	if (!rc)
		rc = all_put(&x);
	free(table);
	arena_free(x.arena);
	return rc;
}
