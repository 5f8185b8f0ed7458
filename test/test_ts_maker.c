/*
 * Streams out of tables, for the command tests: with arguments this test program is a tool,
 *
 *     ts_maker [--schema NAME] [--tasks A,B] [--features SET] [--fields A,B] [--rejects N] [--filtered N] [--shard I/N]
 * < TABLE > STREAM
 *
 * where TABLE is tab-separated and its header line says NAME:KIND, KIND one of int, float, str, f32, f64, i64, u8;
 * tensors are comma-separated numbers, NAME:f32:3 makes them [-1, 3]. An empty cell is a field that is not there ("''"
 * is an empty string). Without arguments it tests that conversion and ends.
 */
#include "tap.h"
#include "ts.h"

#include <stdlib.h>
#include <unistd.h>

static struct arena *arena;

static const struct {
	const char *name;
	enum ts_dtype dtype;
} kinds[] = {{"f32", TS_F32}, {"f64", TS_F64}, {"i64", TS_I64}, {"u8", TS_U8}};

static bool tensor_set(struct ts_map *m, const char *key, const char *kind, const char *cell)
{
	size_t k = 0, n_kind = strcspn(kind, ":");
	while (k < 4 && !(strlen(kinds[k].name) == n_kind && !strncmp(kinds[k].name, kind, n_kind)))
		k++;
	if (k == 4)
		return false;
	int64_t n = 1, side = kind[n_kind] ? atoi(kind + n_kind + 1) : 0;
	for (const char *p = cell; *p; p++)
		n += *p == ',';
	void *data = arena_alloc(arena, (size_t)n * 8);
	for (int64_t i = 0; i < n; i++) {
		char *end;
		double v = strtod(cell, &end);
		switch (kinds[k].dtype) {
		case TS_F32:
			((float *)data)[i] = (float)v;
			break;
		case TS_F64:
			((double *)data)[i] = v;
			break;
		case TS_I64:
			((int64_t *)data)[i] = (int64_t)v;
			break;
		default:
			((uint8_t *)data)[i] = (uint8_t)v;
		}
		cell = end + (*end == ',');
	}
	if (side)
		ts_set_tensor(m, key, kinds[k].dtype, data, 2, n / side, side);
	else
		ts_set_tensor(m, key, kinds[k].dtype, data, 1, n);
	return true;
}

static bool cell_set(struct ts_map *m, const char *name, const char *cell)
{
	char key[64];
	const char *kind = strchr(name, ':');
	if (!kind)
		return false;
	snprintf(key, sizeof key, "%.*s", (int)(kind - name), name);
	kind++;
	if (!*cell)
		return true;
	if (!strcmp(kind, "str"))
		ts_set_str(m, key, strcmp(cell, "''") ? cell : "");
	else if (!strcmp(kind, "int"))
		ts_set_int(m, key, atoll(cell));
	else if (!strcmp(kind, "float"))
		ts_set_float(m, key, atof(cell));
	else
		return tensor_set(m, key, kind, cell);
	return true;
}

/* Splits in place at `delim`; returns the number of parts. */
static int parts_split(char *s, const char *delim, const char **parts, int max)
{
	int n = 0;
	for (char *p; n < max && (p = strsep(&s, delim));)
		parts[n++] = p;
	return n;
}

static int stream_make(struct ts_header *h, int64_t n_reject, int64_t n_filtered, FILE *in, int fd)
{
	const char *names[64], *cells[64];
	char *line = NULL, *first = NULL;
	size_t cap = 0;
	int n_name = 0, rc;
	struct ts_writer *w;
	struct err e = {0};
	struct ts_end end = {.counts = {.rejects = n_reject, .filtered = n_filtered, .rows = n_reject + n_filtered}};
	memcpy(end.source, "0123456789abcdef0123456789abcdef", 33);
	if ((rc = ts_writer_new(&w, fd, &e)) || (rc = ts_writer_header(w, h, &e)))
		goto done;
	while (!rc && getline(&line, &cap, in) > 0) {
		line[strcspn(line, "\n")] = 0;
		if (!first) {
			first = strdup(line);
			n_name = parts_split(first, "\t", names, 64);
			continue;
		}
		struct ts_map m;
		int n = parts_split(line, "\t", cells, 64);
		arena_reset(arena);
		ts_map_init(&m, arena);
		for (int i = 0; i < n && !rc; i++)
			if (i >= n_name || !cell_set(&m, names[i], cells[i]))
				rc = err_set(&e, ERR_FORMAT, "bad cell '%s'", cells[i]);
		end.counts.rows++;
		if (!rc)
			rc = ts_writer_record(w, &m, &e);
	}
	if (!rc)
		rc = ts_writer_end(w, &end, &e);
done:
	if (rc)
		fprintf(stderr, "ts_maker: %s\n", e.msg);
	ts_writer_free(w);
	free(line);
	free(first);
	return rc;
}

static void test_itself(void)
{
	struct ts_map m;
	const struct ts_tensor *t;
	struct err e = {0};
	ts_map_init(&m, arena);
	tap_ok(cell_set(&m, "pos:f32:3", "1,2,3,4,5,6.5") && !ts_need_tensor(&m, "pos", TS_F32, 2, &t, &e) &&
		   t->shape[0] == 2 && ((const float *)t->data)[5] == 6.5f,
	       "a tensor");
	tap_ok(cell_set(&m, "id:str", "") && !ts_get(&m, "id"), "an empty cell is no field");
	tap_ok(!cell_set(&m, "x:f16", "1"), "mutant: an unknown kind is refused");
}

int main(int argc, char **argv)
{
	const char *fields[64], *tasks[64];
	int64_t n_reject = 0, n_filtered = 0;
	struct ts_header h;
	struct arena *a = arena_new(0);
	arena = arena_new(0);
	ts_header_init(&h, "molecule", a);
	ts_header_add_node(&h, &(struct ts_node){.program = "maker", .version = "1"}, a);
	if (argc == 1) {
		test_itself();
		arena_free(arena);
		arena_free(a);
		return tap_done();
	}
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--schema")) {
			h.schema = argv[i + 1];
		} else if (!strcmp(argv[i], "--features")) {
			h.features = argv[i + 1];
		} else if (!strcmp(argv[i], "--rejects")) {
			n_reject = atoll(argv[i + 1]);
		} else if (!strcmp(argv[i], "--filtered")) {
			n_filtered = atoll(argv[i + 1]);
		} else if (!strcmp(argv[i], "--shard")) {
			h.shard[0] = atoll(argv[i + 1]);
			h.shard[1] = atoll(strchr(argv[i + 1], '/') + 1);
		} else if (!strcmp(argv[i], "--tasks")) {
			h.n_task = parts_split(argv[i + 1], ",", tasks, 64);
			h.tasks = tasks;
		} else if (!strcmp(argv[i], "--fields")) {
			h.n_field = parts_split(argv[i + 1], ",", fields, 64);
			h.fields = fields;
		} else {
			return 2;
		}
	}
	int rc = stream_make(&h, n_reject, n_filtered, stdin, 1);
	arena_free(arena);
	arena_free(a);
	return rc ? 1 : 0;
}
