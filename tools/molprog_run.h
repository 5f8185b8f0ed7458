/*
 * molprog_run.h - a run over the rows of a segment: to workers and back in order; refusals. Layer 4, for
 * molprog*.c alone.
 */
#ifndef MOLRILL_MOLPROG_RUN_H
#define MOLRILL_MOLPROG_RUN_H

#include "molprog_read.h"

/* ---- refusals (molprog_reject.c) ----------------------------------------- */

/* What is said of a row: in the rejects file, all; on stderr, the first few. */
struct refusals;
/* Opens --rejects if it is given. */
int refusals_open(struct refusals **r, const struct molprog *c, struct err *e);
/* `warned`: the record goes on. */
int refusals_add(struct refusals *r, const char *input, int64_t row, const char *id, const char *smiles,
		 const struct mol_reject *why, bool warned, struct err *e);
/* Commits the file (or, without success, discards it), says the sums on stderr, frees. e keeps the first failure. */
int refusals_close(struct refusals *r, bool success, struct err *e);

/* ---- jobs and results (molprog_item.c) ----------------------------------- */

/* The input that the rows come from, and all that a worker needs to know of it. */
struct segment {
	const struct molprog_program *p;
	void *conf;
	const struct layout *layout;    /* of a molecule file */
	const struct ts_header *header; /* of a tensor stream, as read; NULL otherwise */
	struct arena *arena;            /* the worker's, for one molecule */
	struct buf side;
};
/* One row on its way to a worker. */
struct item {
	int64_t row;   /* number in the input */
	bool too_long; /* data are its first bytes only */
	const uint8_t *data;
	size_t n;
};
void item_put(struct buf *job, const struct item *it);
void item_get(const uint8_t *job, size_t n, struct item *it);

enum outcome { OUT_RECORD, OUT_WARNED, OUT_REJECT };
struct result {
	enum outcome outcome;
	const char *code, *msg, *id, *smiles; /* of OUT_WARNED and OUT_REJECT */
	int64_t row;                          /* as it stands in the record */
	int column;
	const uint8_t *side, *record; /* of OUT_RECORD and OUT_WARNED */
	size_t n_side, n_record;
};
/*
 * A worker's bytes as the result of item number `item`; false when they are none: a worker may have been taken over by
 * what it read, so that lengths and texts are looked at before anything is done with them (whether the record is one,
 * by ts_is_record).
 */
bool result_get(const uint8_t *result, size_t n, int64_t item, struct result *r);

/* Worker, once. */
int item_start(struct segment *g, struct err *e);
/* Worker: a job to its result. */
int item_work(struct segment *g, const uint8_t *job, size_t n, struct buf *result, struct err *e);
/* Parent: id, row and SMILES of an item whose worker died. */
void item_describe(const struct segment *g, const struct item *it, struct arena *a, struct result *r);

/* ---- the whole run (molprog.c), its rows (molprog_flow.c) ------------------ */

struct run {
	const struct molprog_program *p;
	void *conf;
	struct molprog *c; /* the beginning of conf */
	struct arena *arena, *scratch;
	struct cli_out out;
	bool out_open, begun, told_unconfined;
	struct ts_writer *writer;
	struct refusals *refusals;
	struct cli_progress *progress;
	struct source_digest *digest;
	int64_t n_row, n_rejects; /* rows seen and refused in all segments */
	/* the segment */
	struct segment seg;
	struct ts_header header; /* as written */
	bool header_written;
	struct ts_counts counts;
	/* where its rows come from: one of the two */
	struct source *source;
	struct ts_reader *reader;
	const char *input; /* name for messages */
	int64_t next_row;  /* within the segment */
	int64_t file_nbytes, nbytes_before;
};

/* All rows of r->source, or of r->reader up to the end of its segment, through workers to r->writer. */
int flow_run(struct run *r, struct err *e);

#endif
