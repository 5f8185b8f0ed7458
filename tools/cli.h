/*
 * cli.h - what the mains share: the standard options, messages, exit codes,
 * progress, input and output files. Layer 4.
 */
#ifndef MOLRILL_CLI_H
#define MOLRILL_CLI_H

#include "ts.h"
#include "util.h"

/* Exit codes (architecture: 128 + n on a signal, 141 when the reader closed early). */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_MISUSE = 2, EXIT_REJECTS = 3 };

/* First member of every program's configuration struct. */
struct cli {
	const char *output; /* -o, "-" = standard output */
	int64_t n_worker;   /* -j, 0 = all cores */
	int64_t seed;       /* --seed */
	bool help, version, list_options, quiet, progress;
	int n_file; /* operands; none means standard input */
	const char **files;
	struct arena *arena; /* lives as long as the program */
	const char *program; /* name for messages */
};
/* The table of those options, for opt_parse, with offsets from the start of struct cli. */
extern const struct opt cli_options[];

/*
 * Parses the command line into conf (which starts with a struct cli), by `own` (a table, may be NULL), `shared`
 * (may be NULL) and cli_options; answers -h, -V and --list-options. Returns -1 to go on, else the exit code.
 * conf must hold the defaults; a copy of them is kept for provenance. `usage` is the operand part of the usage line.
 */
int cli_begin(void *conf, size_t nbytes, const char *program, const char *usage, const struct opt *own,
	      const struct opt *shared, int argc, char **argv);
/* Ends what was printed on standard output: the exit code; a failure is said, a reader that went away is not. */
int cli_flush(const char *program);
/* Provenance node of this program: its OPT_RECORDS options, version, seed if `seeded`. Libraries may be added by the
 * caller. */
int cli_node(const void *conf, bool seeded, struct ts_node *node, struct err *e);
/* Writes the versions of linked libraries for -V, a line each; a program sets it before cli_begin. NULL: none. */
extern void (*cli_write_libraries)(FILE *out);
/* One line "PROGRAM: ..." on stderr. */
void cli_warn(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Says the failure and returns the exit code for it: 2 for ERR_USAGE, 128 + n after a signal, 141 for ERR_PIPE (in
 * silence), else 1. */
int cli_fail(const struct cli *c, const struct err *e);

/* Output: refuses a terminal when `binary`; a file appears only when committed. fd in *fd. */
struct cli_out {
	int fd;
	bool is_file;
	struct io_atomic file;
};
int cli_out_open(const struct cli *c, bool binary, struct cli_out *o, struct err *e);
int cli_out_close(struct cli_out *o, bool success, struct err *e); /* checks the last write; commits or discards */

/* Opens operand i ("-" = standard input); *name for messages. fd or negative. */
int cli_in_open(const struct cli *c, int i, const char **name, struct err *e);

/* Live line on stderr: done, rate, rejects, time left. */
struct cli_progress;
struct cli_progress *cli_progress_new(const struct cli *c, int64_t total); /* total -1: unknown; NULL-safe below */
void cli_progress_total(struct cli_progress *p, int64_t total);            /* as far as it is known now */
void cli_progress_update(struct cli_progress *p, int64_t done, int64_t rejects);
void cli_progress_note(struct cli_progress *p, const char *text); /* free text in the same line */
/* Row `row` took `s` seconds; the last line tells the slowest one. */
void cli_progress_slowest(struct cli_progress *p, int64_t row, double s);
/* Wipes the live line off the terminal, so that a message can stand there; it comes back by itself. */
void cli_progress_wipe(void);
void cli_progress_free(struct cli_progress *p);

#endif
