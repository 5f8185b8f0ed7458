/*
 * molprog.h - what the programs that read molecules share: inputs of every format, forked workers, rejects, counts,
 * the stream that comes out. A program gives its options, the names of its fields and a function for one molecule.
 * Layer 4.
 *
 *     struct conf { struct molprog base; bool terms; };
 *     static int work(void *conf, struct molprog_job *j, struct err *e) { ts_set_float(j->out, "energy", ...); return
 * 0; } int main(int argc, char **argv)
 *     {
 *             struct conf c = {.base = MOLPROG_DEFAULTS, .terms = false};
 *             static const struct molprog_program p = {.name = "conf3d", .own = options, .begin = begin, .work = work};
 *             return molprog_main(&p, &c, sizeof c, argc, argv);
 *     }
 */
#ifndef MOLRILL_MOLPROG_H
#define MOLRILL_MOLPROG_H

#include "cli.h"
#include "mol.h"
#include "ts.h"
#include "util.h"

enum molprog_format { MOLPROG_AUTO, MOLPROG_SMI, MOLPROG_CSV, MOLPROG_TSV, MOLPROG_SDF, MOLPROG_TSTREAM };

/* First member of the configuration of every program that reads molecules. */
struct molprog {
	struct cli cli;
	int format; /* enum molprog_format */
	const char *smiles, *id, *missing, *delim, *shard, *rejects;
	struct opt_list labels;
	bool no_header, strict, lenient;
	int64_t limit;        /* rows, -1: all */
	double timeout_s;     /* a molecule */
	int shard_i, shard_n; /* of --shard, 0-based; n = 0: whole */
};
#define MOLPROG_DEFAULTS                                                                                               \
	{                                                                                                              \
		.cli = {.output = "-", .n_worker = 1}, .limit = -1, .timeout_s = 60                                    \
	}
/* The shared table, for opt_parse; offsets from the start of struct molprog. */
extern const struct opt molprog_options[];

/* One molecule on its way through a worker. */
struct molprog_job {
	const struct mol *m;     /* parsed from the record's smiles (or the SDF's block) */
	const struct ts_map *in; /* the record as it came: id, row, smiles, y, pos_input, ... or the stream's fields */
	struct ts_map *out;      /* fields to add; a field of the same name in `in` is replaced in its place */
	struct arena *arena;     /* for all that lives until this molecule is packed */
	int64_t row;
	const char *id;
	struct buf *side;          /* bytes for `each` in the parent (a picture, a text), in no record */
	struct mol_reject *reject; /* to be filled with ERR_CHEM, or with warned */
	bool warned;               /* set it: goes on, but counts in `warned` and has its row in the rejects file */
};

struct molprog_program {
	const char *name;
	const struct opt *own;    /* its options, ended by {0} */
	const char *const *needs; /* fields, beside smiles, that records of a tensor stream must have; NULL: none */
	bool seeded;              /* --seed changes records */
	/*
	 * Parent, once, after the options are parsed and before any input: checks of options (ERR_USAGE), files to
	 * open. May be NULL.
	 */
	int (*begin)(void *conf, struct err *e);
	/*
	 * Parent, for each segment, before its header is written: h holds what the input has; adds its own field
	 * names (ts_header_add_field), features and the like. The provenance node is added by the caller.
	 */
	int (*header)(void *conf, struct ts_header *h, struct err *e);
	/* Worker, once, before its first molecule: tables, scratch memory. May be NULL. mol_start has been called. */
	int (*start)(void *conf, struct err *e);
	/*
	 * Worker: one molecule. 0: j->out is done. ERR_CHEM: refused, *j->reject filled. Another negative code with e
	 * filled: not the molecule's fault, the run fails. May be killed at any time, so it writes no files.
	 */
	int (*work)(void *conf, struct molprog_job *j, struct err *e);
	/*
	 * Parent, in the order of records, for each record that is written and has side bytes. Negative stops the
	 * run. May be NULL.
	 */
	int (*each)(void *conf, int64_t row, const uint8_t *side, size_t n, struct err *e);
	/* Parent, at the end, before the output is committed; success tells whether the run is good. May be NULL. */
	int (*finish)(void *conf, bool success, struct err *e);
};

/* The whole of main: options, input, workers, output, rejects. conf starts with a struct molprog. The exit code. */
int molprog_main(const struct molprog_program *p, void *conf, size_t nbytes, int argc, char **argv);

/* Fills *r; returns ERR_CHEM, so that `return molprog_refuse(j, "clash", "...")` reads well. */
int molprog_refuse(struct molprog_job *j, const char *code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
