/* Round trips of values, records, header, end map; segments; spool; the door check. */
#include "tap.h"
#include "ts_wire.h"

#include <stdlib.h>
#include <unistd.h>

static struct arena *arena;

static void record_fill(struct ts_map *m, int64_t row)
{
	int64_t n = 1 + row % 7;
	float *pos = arena_alloc(arena, (size_t)(3 * n) * sizeof *pos);
	int64_t *z = arena_alloc(arena, (size_t)n * sizeof *z);
	for (int64_t i = 0; i < 3 * n; i++)
		pos[i] = (float)row + (float)i * 0.125f;
	for (int64_t i = 0; i < n; i++)
		z[i] = 6 + i;
	ts_map_init(m, arena);
	ts_set_str(m, "id", row % 2 ? "odd" : "even \xc3\xa9");
	ts_set_int(m, "row", row);
	ts_set_str(m, "smiles", "CCO");
	ts_set_tensor(m, "z", TS_I64, z, 1, n);
	ts_set_tensor(m, "pos", TS_F32, pos, 2, n, (int64_t)3);
}

static bool values_equal(const struct ts_value *a, const struct ts_value *b)
{
	struct ts_map ma, mb;
	struct buf ba = {0}, bb = {0};
	ts_map_init(&ma, arena);
	ts_map_init(&mb, arena);
	ts_set(&ma, "v", *a);
	ts_set(&mb, "v", *b);
	bool same =
	    !ts_pack(&ma, &ba, NULL) && !ts_pack(&mb, &bb, NULL) && ba.n == bb.n && !memcmp(ba.data, bb.data, ba.n);
	buf_free(&ba);
	buf_free(&bb);
	return same;
}

static void test_values(void)
{
	struct ts_map m, inner, back;
	struct buf b = {0};
	struct err e = {0};
	size_t used = 0;
	double f64[6] = {0, -1.5, 1e300, NAN, INFINITY, 0x1p-1074};
	uint8_t u8[4] = {0, 1, 254, 255};
	ts_map_init(&m, arena);
	ts_map_init(&inner, arena);
	ts_set_int(&inner, "nd", 1); /* a name that msgpack-numpy uses too, as str */
	ts_set(&m, "nothing", (struct ts_value){.kind = TS_NIL});
	ts_set_bool(&m, "yes", true);
	ts_set_int(&m, "least", INT64_MIN);
	ts_set_int(&m, "most", INT64_MAX);
	ts_set_float(&m, "third", 1.0 / 3);
	ts_set_str(&m, "text", "");
	ts_set(&m, "bin", (struct ts_value){.kind = TS_BIN, .u.str = {"a\0b\xff", 4}});
	ts_set(&m, "inner", ts_value_map(&inner));
	ts_set_tensor(&m, "f64", TS_F64, f64, 2, (int64_t)2, (int64_t)3);
	ts_set_tensor(&m, "u8", TS_U8, u8, 1, (int64_t)4);
	ts_set_tensor(&m, "empty", TS_I16, NULL, 2, (int64_t)0, (int64_t)5);
	ts_set_tensor(&m, "point", TS_F64, f64 + 1, 0);
	tap_ok(!ts_pack(&m, &b, &e), "packs: %s", e.msg);
	tap_ok(!ts_walk(b.data, b.n, &used, &e) && used == b.n, "the walk uses all bytes: %s", e.msg);
	tap_ok(!ts_unpack(b.data, b.n, arena, &back, &e), "unpacks: %s", e.msg);
	tap_ok(back.n == m.n, "as many fields");
	for (int i = 0; i < m.n && i < back.n; i++)
		tap_ok(!strcmp(m.fields[i].key, back.fields[i].key) && values_equal(&m.fields[i].v, &back.fields[i].v),
		       "field %s comes back", m.fields[i].key);
	const struct ts_value *bin = ts_get(&back, "bin");
	tap_ok(bin && bin->u.str.n == 4 && !memcmp(bin->u.str.s, "a\0b\xff", 4), "bytes come back, NUL and all");
	int32_t wrong[4] = {0, 1, 254, 255};
	ts_set_tensor(&m, "u8", TS_I32, wrong, 1, (int64_t)4);
	tap_ok(!values_equal(ts_get(&m, "u8"), ts_get(&back, "u8")), "mutant: another dtype is noticed");
	ts_set_str(&m, "text", "\xff");
	size_t n = b.n;
	tap_ok(ts_pack(&m, &b, &e) == ERR_FORMAT && b.n == n, "a string that is not UTF-8 is refused, out as before");
	tap_str(e.msg, "field text is not UTF-8", "and named");
	ts_unset(&m, "text");
	ts_set_tensor(&m, "huge", TS_F64, NULL, 2, (int64_t)1 << 40, (int64_t)1 << 40);
	e = (struct err){0};
	tap_ok(ts_pack(&m, &b, &e) == ERR_LIMIT, "an overflowing shape is refused: %s", e.msg);
	buf_free(&b);
}

/* Writes segments of n records each into a temporary file. */
static int stream_make(const int64_t *n, int n_segment)
{
	int fd = io_temp_open(NULL);
	struct ts_writer *w;
	if (fd < 0 || ts_writer_new(&w, fd, NULL))
		exit(1);
	int64_t row = 0;
	for (int s = 0; s < n_segment; s++) {
		struct ts_header h;
		struct ts_end end = {.counts = {.rows = n[s] + 3, .rejects = 2, .filtered = 1, .warned = 1}};
		const char *tasks[] = {"t1", "t2"}, *options[] = {"--features=ogb"};
		ts_header_init(&h, "molecule", arena);
		h.n_task = 2;
		h.tasks = tasks;
		h.features = "ogb";
		ts_header_add_field(&h, "z", arena);
		ts_header_add_field(&h, "pos", arena);
		ts_header_add_field(&h, "z", arena);
		ts_header_add_node(
		    &h,
		    &(struct ts_node){
			.program = "p", .version = "1", .n_option = 1, .options = options, .has_seed = true, .seed = 5},
		    arena);
		ts_header_add_node(&h, &(struct ts_node){.program = "q", .version = "1"}, arena);
		if (ts_writer_header(w, &h, NULL))
			exit(1);
		for (int64_t i = 0; i < n[s]; i++) {
			struct ts_map m;
			record_fill(&m, row++);
			if (ts_writer_record(w, &m, NULL))
				exit(1);
		}
		if (ts_writer_end(w, &end, NULL))
			exit(1);
	}
	ts_writer_free(w);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void test_stream(void)
{
	int64_t n[2] = {20000, 3}, row = 0;
	int fd = stream_make(n, 2), item, n_header = 0, n_end = 0;
	bool same = true;
	struct err e = {0};
	struct ts_reader *r;
	struct ts_header h;
	struct ts_map m, want;
	struct arena *a = arena_new(0);
	tap_ok(!ts_reader_new(&r, fd, "file", NULL, 0, &e), "reader opens");
	while ((item = ts_reader_next(r, a, &m, &e)) > 0) {
		n_header += item == TS_HEADER;
		n_end += item == TS_END;
		if (item == TS_RECORD) {
			struct ts_value x, y;
			arena_reset(arena);
			record_fill(&want, row++);
			x = ts_value_map(&want);
			y = ts_value_map(&m);
			same &= values_equal(&x, &y);
		}
		arena_reset(a);
	}
	tap_ok(item == TS_EOF, "clean end: %s", e.msg);
	tap_ok(same && row == 20003, "all records come back, over many frames");
	tap_ok(n_header == 2 && n_end == 2, "two segments");
	const struct ts_end *end = ts_reader_end(r);
	tap_ok(end->counts.n == 3 && end->counts.rows == 6 && end->counts.rejects == 2, "the end map's counts");
	tap_ok(!ts_reader_header(r, &h, arena, &e) && h.n_task == 2 && !strcmp(h.tasks[1], "t2") && h.n_field == 2 &&
		   ts_header_has_field(&h, "pos") && !strcmp(h.features, "ogb") && h.provenance.u.list.n == 2,
	       "the header comes back");
	struct ts_end next;
	ts_end_follow(&next, end);
	tap_ok(next.upstream.rows == 6 && next.upstream.n == 3 && next.counts.rows == 3,
	       "the next stage's counts follow");
	tap_str(next.source, end->digest, "and its source is this digest");
	ts_reader_free(r);
	close(fd);
	arena_free(a);
}

static void test_same_bytes(void)
{
	int64_t n = 50;
	int a = stream_make(&n, 1), b = stream_make(&n, 1);
	char x[65536], y[65536];
	ssize_t nx = read(a, x, sizeof x), ny = read(b, y, sizeof y);
	tap_ok(nx > 0 && nx == ny && !memcmp(x, y, (size_t)nx), "same records, same bytes");
	close(a);
	close(b);
}

static void test_history(void)
{
	struct ts_header a, b;
	ts_header_init(&a, "molecule", arena);
	ts_header_init(&b, "molecule", arena);
	struct ts_node root = {.program = "mol2graph", .version = "1"}, other = {.program = "other", .version = "1"};
	ts_header_add_node(&a, &root, arena);
	ts_header_add_node(&b, &root, arena);
	ts_header_add_node(&b, &other, arena);
	ts_header_add_history(&a, &a, arena);
	tap_ok(a.provenance.u.list.n == 1, "one's own history adds nothing");
	ts_header_add_node(&a, &(struct ts_node){.program = "conf3d", .version = "1"}, arena);
	ts_header_add_history(&a, &b, arena);
	tap_ok(a.provenance.u.list.n == 3, "only what is new is added");
	ts_header_add_node(&a, &(struct ts_node){.program = "train", .version = "1"}, arena);
	const struct ts_value *p = ts_get(&a.provenance.u.list.items[3].u.map, "parents");
	tap_ok(p->u.list.n == 2 && p->u.list.items[0].u.i == 1 && p->u.list.items[1].u.i == 2,
	       "the next node has both branches as parents");
}

static void test_spool(void)
{
	struct ts_spool *s;
	struct err e = {0};
	struct rng rng;
	bool good = true;
	uint8_t *data = malloc(5000);
	tap_ok(!ts_spool_new(&s, &e), "spool opens: %s", e.msg);
	for (uint32_t i = 0; i < 3000; i++) {
		memset(data, (int)i, 5000);
		memcpy(data, &i, 4);
		good &= !ts_spool_add(s, data, 4 + i, &e);
	}
	rng_init(&rng, 1, 0);
	for (int k = 0; k < 2000; k++) {
		uint32_t i = k < 1000 ? (uint32_t)(3 * k) : rng_below(&rng, 3000), found;
		const uint8_t *p;
		size_t n;
		good &= !ts_spool_get(s, i, &p, &n, &e) && n == 4 + i;
		memcpy(&found, p, 4);
		good &= found == i && (n == 4 || p[n - 1] == (uint8_t)i);
	}
	const uint8_t *p;
	size_t n;
	tap_ok(good && ts_spool_count(s) == 3000, "records come back in any order: %s", e.msg);
	tap_ok(ts_spool_get(s, 3000, &p, &n, &e) == ERR_LIMIT, "past the end is an error");
	ts_spool_free(s);
	free(data);
}

static void test_schema(void)
{
	const struct ts_schema *s = ts_schema_find("molecule");
	struct ts_map m;
	struct ts_header h;
	struct err e = {0};
	float v[64] = {0};
	static const char *const need_scaffold[] = {"pos", "scaffold", NULL}, *const need_pos[] = {"pos", NULL};
	record_fill(&m, 3);
	tap_ok(s && !ts_schema_check(s, NULL, &m, need_pos, &e), "a good record passes: %s", e.msg);
	tap_ok(ts_schema_check(s, NULL, &m, need_scaffold, &e) == ERR_SCHEMA, "a missing field does not");
	tap_str(e.msg, "no field scaffold (str): run mol2graph --scaffold first", "and is named with its program");
	ts_unset(&m, "pos");
	e = (struct err){0};
	ts_schema_check(s, NULL, &m, need_pos, &e);
	tap_str(e.msg, "no field pos [N,3] float32: run conf3d first", "the message for a tensor");
	ts_set_tensor(&m, "pos", TS_F32, v, 2, (int64_t)5, (int64_t)3);
	e = (struct err){0};
	tap_ok(ts_schema_check(s, NULL, &m, NULL, &e) == ERR_SCHEMA, "mutant: pos of another number of atoms than z");
	tap_str(e.msg, "field pos is [5,3], not [N,3] (N is 4 by z)", "is named with both");
	ts_unset(&m, "pos");
	ts_set_tensor(&m, "img", TS_U8, v, 4, (int64_t)2, (int64_t)3, (int64_t)3, (int64_t)1);
	tap_ok(!ts_schema_check(s, NULL, &m, NULL, &e), "one of several shapes fits");
	ts_set_tensor(&m, "img", TS_U8, v, 3, (int64_t)2, (int64_t)3, (int64_t)1);
	tap_ok(ts_schema_check(s, NULL, &m, NULL, &e), "a picture that is not square does not");
	ts_unset(&m, "img");
	ts_header_init(&h, "molecule", arena);
	h.n_task = 2;
	ts_set_tensor(&m, "y", TS_F32, v, 1, (int64_t)3);
	e = (struct err){0};
	tap_ok(ts_schema_check(s, &h, &m, NULL, &e) == ERR_SCHEMA, "labels for another number of tasks: %s", e.msg);
	ts_set_str(&m, "z", "6 6 8");
	e = (struct err){0};
	ts_schema_check(s, NULL, &m, NULL, &e);
	tap_str(e.msg, "field z is not what the schema says: z [N] int64", "another kind");
	ts_header_init(&h, "model", arena);
	tap_ok(ts_schema_need(&h, "molecule", &e) == ERR_SCHEMA, "another schema at the door");
}

int main(void)
{
	arena = arena_new(0);
	test_values();
	test_stream();
	test_same_bytes();
	test_history();
	test_spool();
	test_schema();
	arena_free(arena);
	return tap_done();
}
