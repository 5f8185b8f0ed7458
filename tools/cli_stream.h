/*
 * cli_stream.h - the streams among a program's operands, one after the other, and what a filter writes. Layer 4.
 */
#ifndef MOLRILL_CLI_STREAM_H
#define MOLRILL_CLI_STREAM_H

#include "cli.h"

/* All operands (none: standard input) as one sequence of segments. */
struct cli_stream;
int cli_stream_open(const struct cli *c, struct cli_stream **s, struct err *e);
void cli_stream_free(struct cli_stream *s); /* takes NULL */
/* As ts_reader_next, over all operands: TS_EOF comes after the last. Each operand must be whole. */
int cli_stream_next(struct cli_stream *s, struct arena *a, struct ts_map *m, struct err *e);
/* Reader of the current operand: header, bytes, counts. */
struct ts_reader *cli_stream_reader(const struct cli_stream *s);
/* The header of the current segment, with the door's check of its schema ("" for any). */
int cli_stream_header(struct cli_stream *s, const char *schema, struct ts_header *h, struct arena *a, struct err *e);
/* Adds operand and record number to a failure of the record just read. Returns code. */
int cli_stream_fail(const struct cli_stream *s, int code, struct err *e);

/*
 * All records of all segments in a spool, for a program that needs the whole before it answers. Segments must be of
 * one kind (schema, tasks, features). `fn` (may be NULL) sees each record: 0 keeps it, 1 leaves it out (it counts as
 * filtered), negative fails. `follow` is what ts_end_follow says of the segments together.
 */
struct cli_gathered {
	struct ts_spool *spool;
	struct ts_header header; /* of the first segment, with the history of all */
	struct ts_end follow;
	int64_t n_segment;
};
typedef int cli_record_fn(void *ctx, const struct ts_map *m, struct err *e);
int cli_gather(struct cli_stream *s, const char *schema, struct arena *keep, cli_record_fn *fn, void *ctx,
	       struct cli_gathered *g, struct err *e);

/*
 * --mem of the programs that hold something of every record: ERR_LIMIT, with advice for the user, once `held` bytes
 * pass `limit`. Called as the records come in, so that nothing is asked of the system that it has not.
 */
#define CLI_MEM_DEFAULT ((int64_t)2 << 30)
int cli_mem_check(int64_t held, int64_t limit, const char *advice, struct err *e);

/* A stream on the program's output. */
struct cli_sink {
	struct cli_out out;
	struct ts_writer *w;
	bool open;
};
int cli_sink_open(const struct cli *c, struct cli_sink *k, struct err *e);
/* Commits (or, without success, discards) the output. e keeps the first failure; returns its code. */
int cli_sink_close(struct cli_sink *k, bool success, struct err *e);

/* Text on an output: a FILE whose first failed write fills *e (ERR_PIPE, ERR_IO), as ferror tells. fclose frees it; fd
 * stays open. */
FILE *cli_text_open(int fd, struct err *e);

#endif
