/*
 * ts.h - layer 1: tensors, the tstream wire format, provenance, exports.
 *
 * A stream is a sequence of zstd frames that hold msgpack maps: a header, N
 * records, an end map; then perhaps the next segment. tstream(5) is normative.
 */
#ifndef MOLRILL_TS_H
#define MOLRILL_TS_H

#include "util.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TS_VERSION 1
#define TS_MAX_DIM 8
#define TS_MAX_DEPTH 16                  /* nesting of maps and lists */
#define TS_MAX_RECORD_NBYTES (16u << 20) /* of one map, packed */
#define TS_FRAME_NBYTES (1u << 20)       /* of one frame, before compression: it closes once it holds this much */
#define TS_MAX_VALUES (1 << 18)          /* values in one map, all levels together (a tensor counts as one) */
#define TS_MAX_KEYS 4096                 /* keys of one map */

/* ---- values (ts_value.c) ------------------------------------------------ */

enum ts_dtype { TS_BOOL8, TS_U8, TS_I8, TS_I16, TS_I32, TS_I64, TS_F32, TS_F64 };
enum ts_kind { TS_NIL, TS_BOOL, TS_INT, TS_FLOAT, TS_STR, TS_BIN, TS_LIST, TS_MAP, TS_TENSOR };

/* Little-endian, C order; data is aligned to 8 bytes at least and owned by an arena or the caller. */
struct ts_tensor {
	enum ts_dtype dtype;
	int n_dim;
	int64_t shape[TS_MAX_DIM];
	const void *data;
};
struct ts_value;
struct ts_field;
struct ts_map {
	int n, cap;
	struct ts_field *fields; /* in the order of the wire */
	struct arena *arena;     /* owns fields and all that they point to */
};
struct ts_value {
	enum ts_kind kind;
	union {
		bool b;
		int64_t i;
		double f;
		struct {
			const char *s; /* NUL-terminated too; TS_STR and TS_BIN */
			int64_t n;
		} str;
		struct {
			const struct ts_value *items;
			int64_t n;
		} list;
		struct ts_map map;
		struct ts_tensor t;
	} u;
};
struct ts_field {
	const char *key;
	struct ts_value v;
};

void ts_map_init(struct ts_map *m, struct arena *a);
/* Pointer to the value of key, or NULL. */
const struct ts_value *ts_get(const struct ts_map *m, const char *key);
/* Sets key (replaces in place, else appends). Strings are copied into the arena; tensor data are not. */
void ts_set(struct ts_map *m, const char *key, struct ts_value v);
void ts_set_int(struct ts_map *m, const char *key, int64_t i);
void ts_set_float(struct ts_map *m, const char *key, double f);
void ts_set_bool(struct ts_map *m, const char *key, bool b);
void ts_set_str(struct ts_map *m, const char *key, const char *s);
/* Tensor of n_dim sizes; data stay the caller's until the map is packed. */
void ts_set_tensor(struct ts_map *m, const char *key, enum ts_dtype dtype, const void *data, int n_dim, ...);
bool ts_unset(struct ts_map *m, const char *key);
struct ts_value ts_value_str(struct arena *a, const char *s);
struct ts_value ts_value_int(int64_t i);
struct ts_value ts_value_map(const struct ts_map *m);
struct ts_value ts_value_strings(struct arena *a, int n, const char *const *s); /* TS_LIST */
/* Deep copy, tensor data included. */
struct ts_value ts_value_copy(struct arena *a, const struct ts_value *v);
size_t ts_dtype_nbytes(enum ts_dtype d);
const char *ts_dtype_numpy(enum ts_dtype d); /* "<f4" ... */
const char *ts_dtype_name(enum ts_dtype d);  /* "float32" ... */
int64_t ts_tensor_count(const struct ts_tensor *t);
size_t ts_tensor_nbytes(const struct ts_tensor *t);
/* Element i as a number. Bool is 0 or 1. */
double ts_tensor_float(const struct ts_tensor *t, int64_t i);
int64_t ts_tensor_int(const struct ts_tensor *t, int64_t i);
/* Typed access: the field as int, float, string, tensor of that dtype and n_dim (-1: any).
 * ERR_SCHEMA that names the field and what stands there instead. */
int ts_need_int(const struct ts_map *m, const char *key, int64_t *out, struct err *e);
int ts_need_float(const struct ts_map *m, const char *key, double *out, struct err *e);
int ts_need_str(const struct ts_map *m, const char *key, const char **out, struct err *e);
int ts_need_tensor(const struct ts_map *m, const char *key, enum ts_dtype d, int n_dim, const struct ts_tensor **out,
		   struct err *e);

/* ---- packing (ts_pack.c, ts_walk.c) ------------------------------------- */

/*
 * Appends the map, msgpack, tensors in msgpack-numpy's encoding. ERR_LIMIT past TS_MAX_RECORD_NBYTES or another bound
 * of the walk; ERR_FORMAT when a string is not UTF-8 (Python could not read it). On failure out is as before.
 */
int ts_pack(const struct ts_map *m, struct buf *out, struct err *e);
/*
 * Walks one msgpack map without allocating: depth, lengths, counts, tensor sizes, within n bytes.
 * *used = its length. ERR_TRUNCATED when it runs past n; ERR_FORMAT, ERR_LIMIT.
 */
int ts_walk(const uint8_t *data, size_t n, size_t *used, struct err *e);
/* Whether these n bytes are one map that may stand as a record: walked whole, neither a header nor an end map. */
bool ts_is_record(const uint8_t *data, size_t n);
bool ts_utf8_valid(const char *s, size_t n);
/* Unpacks one map that has been walked, into arena memory. */
int ts_unpack(const uint8_t *data, size_t n, struct arena *a, struct ts_map *m, struct err *e);

/* ---- header and end map (ts_header.c) ----------------------------------- */

struct ts_header {
	const char *schema; /* "molecule", "model" */
	int n_task;
	const char **tasks;
	const char *features; /* "ogb", "hu" or "" */
	int n_field;
	const char **fields;        /* names of fields that records may have */
	struct ts_value provenance; /* TS_LIST of node maps, parents first */
	int64_t shard[2];           /* {i, n}; n = 0: whole */
	struct ts_map extra;        /* any other key (a model's configuration, ...) */
};
struct ts_counts {
	int64_t n, rows, rejects, filtered, warned;
};
struct ts_end {
	struct ts_counts counts; /* of this stage: rows = n + rejects + filtered */
	/*
	 * Of the stages before, all 0 for a stage that read molecules: rows of the first stage's input, n that reached
	 * this stage (= counts.rows), rejects, filtered and warned summed: rows = n + rejects + filtered here too.
	 */
	struct ts_counts upstream;
	char digest[33], source[33]; /* XXH3-128 */
	struct ts_map extra;
};
/* What a filter writes after a segment that ended with `in`: upstream and source set, counts.rows = in's n, rest 0. */
void ts_end_follow(struct ts_end *out, const struct ts_end *in);
int ts_end_from_map(struct ts_end *end, const struct ts_map *m, struct arena *a, struct err *e);
void ts_end_to_map(const struct ts_end *end, struct ts_map *m);
void ts_header_init(struct ts_header *h, const char *schema, struct arena *a);
int ts_header_from_map(struct ts_header *h, const struct ts_map *m, struct arena *a, struct err *e);
void ts_header_to_map(const struct ts_header *h, struct ts_map *m);
/* Same schema, tasks and features: what a program that gathers segments demands. ERR_SCHEMA names the difference. */
int ts_header_same_kind(const struct ts_header *a, const struct ts_header *b, struct err *e);
void ts_header_add_field(struct ts_header *h, const char *name, struct arena *a); /* no twins */
bool ts_header_has_field(const struct ts_header *h, const char *name);
/*
 * Appends a provenance node: program, version, options (opt_record_args), seed, digests of models and
 * lists read beforehand ("name", hex), library versions ("name", version); parents = the nodes that were nobody's
 * parent so far. No time, host, user, path.
 */
struct ts_node {
	const char *program, *version;
	int n_option;
	const char **options;
	bool has_seed;
	uint64_t seed;
	int n_digest;
	const char *(*digests)[2];
	int n_library;
	const char *(*libraries)[2];
};
void ts_header_add_node(struct ts_header *h, const struct ts_node *node, struct arena *a);
/* Takes in the history of another stream that was read too: nodes that h lacks, so that the next node has both as
 * parents. */
void ts_header_add_history(struct ts_header *h, const struct ts_header *other, struct arena *a);

/* ---- reading (ts_reader.c) ---------------------------------------------- */

enum ts_item { TS_EOF = 0, TS_HEADER = 1, TS_RECORD = 2, TS_END = 3 };
struct ts_reader;
/* fd stays the caller's. name is for messages. `prefix` are bytes already read from fd (may be NULL). */
int ts_reader_new(struct ts_reader **r, int fd, const char *name, const void *prefix, size_t n_prefix, struct err *e);
void ts_reader_free(struct ts_reader *r);
/*
 * Next item: TS_HEADER, TS_RECORD, TS_END or TS_EOF (only after an end map), or negative: ERR_TRUNCATED
 * "stream cut after record N", ERR_FORMAT, ERR_IO, ERR_LIMIT; empty input is ERR_TRUNCATED. The map (may be NULL:
 * not decoded) lives in a. At TS_END count and digest have been compared.
 */
int ts_reader_next(struct ts_reader *r, struct arena *a, struct ts_map *m, struct err *e);
/* The packed bytes of the item last returned; valid until the next call. */
const uint8_t *ts_reader_bytes(const struct ts_reader *r, size_t *n);
int64_t ts_reader_record(const struct ts_reader *r); /* records seen in this segment */
int ts_reader_header(struct ts_reader *r, struct ts_header *h, struct arena *a,
		     struct err *e);                           /* of the current segment */
const struct ts_end *ts_reader_end(const struct ts_reader *r); /* after TS_END */

/* ---- writing (ts_writer.c) ---------------------------------------------- */

struct ts_writer;
/* fd stays the caller's. Writes at least 64 KiB at a time. */
int ts_writer_new(struct ts_writer **w, int fd, struct err *e);
void ts_writer_free(struct ts_writer *w); /* without ts_writer_end nothing says "complete" */
/* The header is a frame of its own and goes out at once, so that the next stage's door check comes before its work. */
int ts_writer_header(struct ts_writer *w, const struct ts_header *h, struct err *e);
int ts_writer_record(struct ts_writer *w, const struct ts_map *m, struct err *e);
int ts_writer_packed(struct ts_writer *w, const uint8_t *data, size_t n, struct err *e); /* a record already packed */
/* Fills end->counts.n and end->digest, writes the end map, flushes all. A further header may follow (a new segment). */
int ts_writer_end(struct ts_writer *w, struct ts_end *end, struct err *e);

/* ---- spool (ts_spool.c) ------------------------------------------------- */

/*
 * Packed records in an unlinked temporary file of $TMPDIR, in frames compressed as in a stream, for programs that
 * need the whole before they answer. Memory: 8 bytes a record, 24 a frame, and one frame; reading in ascending order
 * decompresses each frame once.
 */
struct ts_spool;
int ts_spool_new(struct ts_spool **s, struct err *e);
void ts_spool_free(struct ts_spool *s);
int ts_spool_add(struct ts_spool *s, const uint8_t *data, size_t n, struct err *e);
int64_t ts_spool_count(const struct ts_spool *s);
/* Packed bytes of record i; valid until the next call. */
int ts_spool_get(struct ts_spool *s, int64_t i, const uint8_t **data, size_t *n, struct err *e);

/* ---- schemas (ts_schema.c; tables generated from schemas/ *.schema) ------ */

struct ts_schema_field {
	const char *name, *dtype;            /* "float32", ... of a tensor; "str", "int", "float", "bool", "any" */
	const char *shape;                   /* "N,3", alternatives after ';', "" for scalars, "*" for any */
	const char *unit, *writer, *meaning; /* writer: the program that adds it, for the hint */
};
struct ts_schema {
	const char *name;
	int n_field;
	const struct ts_schema_field *fields;
};
/* Generated, ended by a schema without name. */
extern const struct ts_schema ts_schema_table[];
const struct ts_schema *ts_schema_find(const char *name);
const struct ts_schema_field *ts_schema_field_find(const struct ts_schema *s, const char *name);
/* The door: the header's schema is `name`, with a hint which program makes that. ERR_SCHEMA. */
int ts_schema_need(const struct ts_header *h, const char *name, struct err *e);
/*
 * Checks every field of the record that the schema knows (dtype, rank, equal letters = equal sizes; T is the number
 * of tasks of h, if h is not NULL) and that each of need (NULL-terminated names, may be NULL) is there: "no field
 * pos [N,3] float32: run conf3d first". ERR_SCHEMA; the caller adds the record's number (err_add_place).
 */
int ts_schema_check(const struct ts_schema *s, const struct ts_header *h, const struct ts_map *rec,
		    const char *const *need, struct err *e);

#ifdef __cplusplus
}
#endif
#endif
