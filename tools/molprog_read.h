/*
 * molprog_read.h - files of molecules as rows of bytes: looked through gzip and zstd, told apart by content, cut into
 * rows, and each row taken apart into id, SMILES or block, and labels. Layer 4, for molprog*.c alone.
 */
#ifndef MOLRILL_MOLPROG_READ_H
#define MOLRILL_MOLPROG_READ_H

#include "molprog.h"

#define ROW_MAX_LINE_NBYTES (1u << 20) /* of a line of SMILES, CSV or TSV */
#define ROW_MAX_SDF_NBYTES (4u << 20)  /* of an SDF record */

/* ---- bytes (molprog_source.c) -------------------------------------------- */

/* The bytes of one operand, decompressed as they are read. */
struct source;
struct source_digest; /* XXH3-128 over the raw bytes of all operands */
struct source_digest *source_digest_new(void);
void source_digest_free(struct source_digest *d);
void source_digest_hex(const struct source_digest *d, char hex[33]);

/* fd stays the caller's. d outlives the source. */
int source_open(struct source **s, int fd, struct source_digest *d, struct err *e);
void source_free(struct source *s); /* takes NULL */
/*
 * At least `want` bytes from the place reached, fewer only at the end: *data, *n hold all that is there. Valid until
 * the next call. ERR_IO, ERR_FORMAT, ERR_TRUNCATED (compressed data that end too soon), ERR_LIMIT.
 */
int source_peek(struct source *s, size_t want, const uint8_t **data, size_t *n, struct err *e);
void source_take(struct source *s, size_t n); /* moves the place on by n <= what was peeked */
/* Raw bytes read so far, and whether they are zstd; forgotten after source_settle. */
const uint8_t *source_raw(const struct source *s, size_t *n, bool *is_zstd);
void source_settle(struct source *s);
int64_t source_n_raw(const struct source *s); /* raw bytes read, for progress */

/* ---- what a file holds (molprog_layout.c) -------------------------------- */

/* Where the parts of a row lie. In arena memory. */
struct layout {
	enum molprog_format format;
	char delim;
	bool has_header;        /* a first row of column names */
	int n_col;              /* of CSV and TSV */
	int col_smiles, col_id; /* col_id -1: none */
	const char *id_tag;     /* SDF: NULL = title */
	int n_label;
	const char **labels; /* names: columns or SDF tags */
	int *col_label;      /* of CSV and TSV */
	const char *missing; /* NULL: only empty fields are missing */
	struct mol_parse_opts parse;
};
/*
 * Tells the format from the options and the first bytes, and finds the columns; a header line is taken. Format
 * MOLPROG_TSTREAM: nothing is taken. ERR_USAGE for a column that is not there, ERR_FORMAT for what cannot be read,
 * ERR_TRUNCATED for no byte at all.
 */
int layout_find(struct layout *l, const struct molprog *c, struct source *s, struct arena *a, struct err *e);

/* ---- rows (molprog_rows.c, molprog_table.c) ------------------------------ */

/*
 * Next row as it stands in the file, without its line end or "$$$$"; blank lines are no rows. 1, 0 at the end, or
 * negative. Of a row past its limit only the first bytes come, with *too_long. *data is valid until the next call.
 */
int rows_next(const struct layout *l, struct source *s, const uint8_t **data, size_t *n, bool *too_long, struct err *e);

struct field {
	const char *s; /* NUL-terminated */
	size_t n;
};
/*
 * Takes a CSV row apart (RFC 4180; a quote within an unquoted field is a character like another). Fields in arena
 * memory. Their number, or -1: a quote stays open, -2: text after a closing quote.
 */
int table_split(const uint8_t *data, size_t n, char delim, struct arena *a, struct field **fields);
/* Length of the first CSV record in data[0..n), line end excluded; *end = where the next begins.
 * -1 and -2 as table_split. */
int64_t table_record_length(const uint8_t *data, size_t n, char delim, size_t *end, int *n_field);

struct row {
	const char *id, *smiles; /* never NULL; smiles "" for an SDF */
	const char *block;       /* SDF record */
	size_t n_block;
	float *y; /* [n_label] */
};
/* 0, or ERR_CHEM with *why: bytes, encoding, columns, quote, bad-label. *r holds what was understood, in any case. */
int row_parse(const struct layout *l, int64_t number, const uint8_t *data, size_t n, struct arena *a, struct row *r,
	      struct mol_reject *why);

#endif
