/*
 * ts_export.h - layer 1: streams as text, JSON, tables, SDF, npy, safetensors; the expressions that select records;
 * shards into one. What is for people goes to a FILE of the caller.
 */
#ifndef MOLRILL_TS_EXPORT_H
#define MOLRILL_TS_EXPORT_H

#include "ts.h"

/* ---- text (ts_text.c) --------------------------------------------------- */

/* Shortest decimal that reads back as the same float32 (single) or float64. */
const char *ts_format_float(double v, bool single, char buf[32]);
/* One line: kind or dtype and shape, then the value, cut after `max` numbers (0: all). */
void ts_text_value(FILE *out, const struct ts_value *v, int64_t max);
/* One line a field, "  name  value". */
void ts_text_map(FILE *out, const struct ts_map *m, int64_t max);
/* Strict JSON on one line, no newline: NaN and infinities are null, bytes are hexadecimal strings, tensors nested
 * lists. */
void ts_json_value(FILE *out, const struct ts_value *v);
void ts_json_map(FILE *out, const struct ts_map *m);
/* One cell: tensors as comma-separated numbers in C order; tab, newline and backslash escaped. NULL: nothing. */
void ts_tsv_value(FILE *out, const struct ts_value *v);
/* The history of a stream: one line a node, "program options", with seed, digests, libraries indented below. */
void ts_history(FILE *out, const struct ts_header *h);

/* ---- selection (ts_where.c) --------------------------------------------- */

/*
 * EXPR: comparisons FIELD OP LITERAL with = != < <= > >= ~ (extended regular expression), has(FIELD), and, or, not,
 * parentheses. FIELD is a scalar, a string, or an element of a tensor, y[0]. A comparison with a field that is not
 * there is false. Numbers compare as numbers when both sides are numbers, else as strings. ERR_USAGE shows where.
 */
struct ts_where;
int ts_where_parse(struct ts_where **w, const char *expr, struct err *e);
bool ts_where_match(const struct ts_where *w, const struct ts_map *m);
void ts_where_free(struct ts_where *w);

/* ---- files of other libraries ------------------------------------------- */

/* Writes fd's .npy of the dtype and shape: header only; data follow. (ts_npy.c) */
int ts_npy_header(int fd, const char *descr, int n_dim, const int64_t *shape, struct err *e);
/*
 * All records of the spool (schema of h) as DIR/FIELD.npy. Fields of one shape are stacked; where one side differs they
 * are joined along it, with FIELD.ptr.npy [n + 1]; where more differ they are flat, with FIELD.shape.npy.
 * FIELD.index.npy names the records that have the field, unless all have. Strings: bytes of the longest's length. A
 * model: DIR/NAME.npy a tensor.
 */
int ts_npy_write(struct ts_spool *s, const struct ts_header *h, const char *dir, struct err *e);
/* Safetensors: the tensors of a model by name, of molecules as RECORD.FIELD. (ts_safetensors.c) */
int ts_safetensors_write(struct ts_spool *s, const struct ts_header *h, int fd, struct err *e);
/* One SDF record with heavy atoms (and pos_h) and the record's strings and numbers as tags. (ts_sdf.c) */
int ts_sdf_write(FILE *out, const struct ts_header *h, const struct ts_map *m, struct err *e);

/* ---- shards (ts_merge.c) ------------------------------------------------ */

/*
 * Shards into the stream of the run that was never cut: headers must differ in `shard` alone, each shard must be there
 * once, rows must belong to their shard and the counts must balance. Add every segment, then write.
 */
struct ts_merge;
int ts_merge_new(struct ts_merge **g, struct err *e);
void ts_merge_free(struct ts_merge *g);
/* Reads one segment: call after TS_HEADER; returns after TS_END. */
int ts_merge_segment(struct ts_merge *g, struct ts_reader *r, struct err *e);
int ts_merge_write(struct ts_merge *g, struct ts_writer *w, struct err *e);

#endif
