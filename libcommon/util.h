/*
 * util.h - layer 0: errors, options, arenas, random numbers, threads, workers.
 *
 * Uses nothing of molrill. Nothing here prints and nothing exits: what a
 * person is to read is written to a FILE that the caller hands in.
 */
#ifndef MOLRILL_UTIL_H
#define MOLRILL_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- errors (util_err.c) ------------------------------------------------ */

enum err_code {
	ERR_NONE = 0,
	ERR_IO = -1,        /* the system refused a read, write, open, fork */
	ERR_FORMAT = -2,    /* bytes that are not what they claim to be */
	ERR_TRUNCATED = -3, /* input ends before its end mark */
	ERR_SCHEMA = -4,    /* a field is missing or has another dtype or shape */
	ERR_LIMIT = -5,     /* past a documented bound (size, depth, count, work) */
	ERR_MEMORY = -6,
	ERR_USAGE = -7,    /* the user asked for what does not exist: exit 2 */
	ERR_CHEM = -8,     /* a molecule that no chemist would accept */
	ERR_NUMERIC = -9,  /* NaN or infinity where a number must stand */
	ERR_STOPPED = -10, /* a signal asked us to end */
	ERR_PIPE = -11,    /* the reader of our output went away: silence, 141 */
};

/* The first failure; later ones leave it alone. Zero-initialise. */
struct err {
	int code;       /* enum err_code */
	char msg[400];  /* one line, no newline, no program name */
	char file[200]; /* input concerned, "" if none */
	int64_t record; /* record or row concerned from 0; meaningful if has_record */
	int64_t offset; /* byte offset; meaningful if has_offset */
	bool has_record, has_offset;
};

/*
 * Fills e with code and message unless e is NULL or already holds a failure.
 * Returns code, so that `return err_set(e, ...)` reads well.
 */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* As err_set, and appends the text of errno. */
int err_set_errno(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Adds place to a failure that has none yet; record or offset -1: unknown. Returns e->code. */
int err_add_place(struct err *e, const char *file, int64_t record, int64_t offset);
/* Writes "FILE: record N: byte N: message" (what is known of it) into buf. Returns buf. */
const char *err_text(const struct err *e, char *buf, size_t nbytes);

/*
 * In front of a function of plain loops or fixed vectors: versions of it for the instruction sets named, chosen when
 * the program starts. Nothing on other compilers and processors, nor under sanitizers, which cannot run before the
 * choice.
 */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(MOLRILL_SAN) && !defined(__cplusplus)
#define UTIL_CLONES(...) __attribute__((target_clones(__VA_ARGS__)))
#define UTIL_O3 __attribute__((optimize("O3")))
#else
#define UTIL_CLONES(...)
#define UTIL_O3
#endif

/* ---- arenas (util_arena.c) ---------------------------------------------- */

/* Bump allocator: grows by blocks, frees all at once. Not thread safe. A reset arena settles on one block. */
struct arena;
struct arena *arena_new(size_t block_nbytes); /* 0: 64 KiB. NULL: no memory */
void arena_free(struct arena *a);             /* takes NULL */
void arena_reset(struct arena *a);            /* keeps the memory, forgets the contents */
size_t arena_used(const struct arena *a);     /* bytes handed out since the last reset */
/*
 * Uninitialised memory, aligned to 64 bytes; owned by the arena. Aborts the
 * process when the system has no memory left (the caller's own limits are
 * checked before, so that a request is never unbounded).
 */
void *arena_alloc(struct arena *a, size_t nbytes);
void *arena_calloc(struct arena *a, size_t n, size_t nbytes); /* zeroed; n * nbytes may not overflow */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A growing byte buffer on malloc. Zero-initialise; buf_free when done. */
struct buf {
	uint8_t *data;
	size_t n, cap;
	bool borrowed; /* data are somebody else's: not freed, and left behind when they must grow */
};
void buf_put(struct buf *b, const void *data, size_t n); /* aborts without memory */
uint8_t *buf_reserve(struct buf *b, size_t n);           /* room for n more; returns the end */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_free(struct buf *b);

/* ---- random numbers (util_rng.c) ---------------------------------------- */

/*
 * Counter-based generator Philox4x32-10 (Salmon et al., SC 2011): the n-th
 * number depends on (seed, stream, n) alone, so any worker can draw any of it.
 */
struct rng {
	uint32_t key[2], ctr[4], out[4];
	int n_left; /* numbers of out not yet handed out */
};
void rng_init(struct rng *r, uint64_t seed, uint64_t stream);
uint32_t rng_u32(struct rng *r);
uint64_t rng_u64(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n);              /* uniform in [0, n), n > 0, without bias */
double rng_uniform(struct rng *r);                          /* uniform in [0, 1), 53 bits */
double rng_normal(struct rng *r);                           /* standard normal, Box-Muller, one a call */
void rng_shuffle(struct rng *r, int64_t *items, int64_t n); /* Fisher-Yates */
uint64_t rng_hash(const void *data, size_t nbytes);         /* XXH3-64: stable key of a string */

/* ---- options (util_opt.c) ----------------------------------------------- */

enum opt_type { OPT_FLAG, OPT_INT, OPT_FLOAT, OPT_STR, OPT_LIST, OPT_CHOICE, OPT_SIZE };
enum {
	OPT_RECORDS = 1, /* can change records: stands in provenance */
	OPT_REPEAT = 2,  /* OPT_LIST gathers each occurrence; otherwise the last wins */
	OPT_DIGEST = 4,  /* names a file: provenance holds its digest, never its name */
	OPT_WHOLE = 8,   /* OPT_LIST takes each value whole: a comma is part of it */
};
/*
 * One line of a program's option table; the table ends with {0}. `offset` is
 * that of the member of the program's configuration struct that is written:
 * bool, int64_t, double, const char *, struct opt_list, int (index into
 * `choices`, NULL-terminated), int64_t (bytes; suffixes K M G).
 * Defaults are what the struct holds before opt_parse.
 */
struct opt {
	const char *name; /* long name without "--" */
	char letter;      /* short letter or 0 */
	enum opt_type type;
	const char *arg;  /* name of the argument in help ("FILE"), NULL for flags */
	const char *help; /* one line, lower case, no full stop */
	size_t offset;
	unsigned flags;
	const char *const *choices;
	double min, max; /* of numbers; both 0: no bound */
};
struct opt_list {
	int n;
	const char **items; /* owned by the arena given to opt_parse */
};
/*
 * Parses argv[1..] into conf by the tables (an array of tables ended by NULL:
 * a program's own, the shared ones). "--name=value", "--name value", "-nvalue",
 * "-n value", "--" and "-" are understood; a comma splits OPT_LIST. What is left
 * are operands: their number and array (in arena memory) are handed out.
 * ERR_USAGE with the nearest valid name when something is wrong.
 */
int opt_parse(const struct opt *const *tables, void *conf, int argc, char **argv, struct arena *a, int *n_operand,
	      const char ***operands, struct err *e);
/* True if the option of that name was given on the last opt_parse'd command line. */
bool opt_was_given(const char *name);
/* For -h: aligned two-column table. */
void opt_write_help(FILE *out, const struct opt *const *tables);
/*
 * For --list-options: one line an option: "--name<TAB>-n or empty<TAB>ARG or
 * empty<TAB>help". The tests compare it with the man page, completions are
 * generated from it.
 */
void opt_write_list(FILE *out, const struct opt *const *tables);
/*
 * The options marked OPT_RECORDS whose value differs from the default, as "--name=value"
 * strings in table order; OPT_DIGEST values are replaced by the XXH3-128 of the
 * file. conf_default is the untouched configuration. Returns the number, fills *args.
 */
int opt_record_args(const struct opt *const *tables, const void *conf, const void *conf_default, struct arena *a,
		    const char ***args, struct err *e);
/* Nearest of n names to what was typed (Damerau-Levenshtein), or NULL when none is near. */
const char *opt_nearest(const char *typed, const char *const *names, int n);

/* ---- threads (util_pool.c) ---------------------------------------------- */

/*
 * Pool of n threads (the caller is one of them). pool_run calls fn(ctx, chunk,
 * thread) once for each chunk in [0, n_chunk) and returns when all are done.
 * Results do not depend on n when chunks write to places of their own. Not
 * nested: fn does not call pool_run. The threads block all signals. A process that has
 * a pool forks no workers.
 */
struct pool;
int pool_core_count(void);           /* cores that this process may use */
struct pool *pool_new(int n_thread); /* 0: all cores the process may use */
void pool_free(struct pool *p);
int pool_size(const struct pool *p);
void pool_run(struct pool *p, int64_t n_chunk, void (*fn)(void *ctx, int64_t chunk, int thread), void *ctx);
/*
 * fn(ctx) once, by a thread of the pool that has nothing else to do, while the caller goes on; its rounds do without
 * that thread meanwhile. One at a time. pool_aside_wait returns when it is done, and runs it where no thread has begun;
 * at once where there is none.
 */
void pool_aside(struct pool *p, void (*fn)(void *ctx), void *ctx);
void pool_aside_wait(struct pool *p);

/* ---- forked workers (util_workers.c) ------------------------------------ */

/*
 * Maps jobs to results in forked processes, results in the order of jobs.
 * A worker that crashes or passes the time limit is replaced; its job gets
 * that status instead of a result, a crash only if a fresh worker that does
 * nothing else crashes at it too. Bytes of results do not depend on n_worker.
 */
enum worker_status { WORKER_OK, WORKER_CRASHED, WORKER_TIMEOUT };
struct workers {
	int n_worker;      /* 0: all cores */
	double timeout_s;  /* wall-clock limit a job, 0: none */
	size_t mem_nbytes; /* address space limit of a worker, 0: none; sanitizer builds have none */
	bool confined;     /* workers enter the sandbox between `start` and their first job */
	void *ctx;
	/* Parent: next job into b. 1 job, 0 no more, negative error. */
	int (*next)(void *ctx, struct buf *b, struct err *e);
	/* Child, once, before its first job (load tables). Negative: the run fails. */
	int (*start)(void *ctx, struct err *e);
	/* Child: job -> result, appended to what the buffer holds. Negative: the run fails with e. */
	int (*work)(void *ctx, const uint8_t *job, size_t n, struct buf *result, struct err *e);
	/*
	 * Parent, may be NULL: whether the bytes that a worker sent are a result of this job. What its input may have
	 * taken over says what it likes; a worker whose answer is none counts as crashed.
	 */
	bool (*check)(void *ctx, const uint8_t *job, size_t n_job, const uint8_t *result, size_t n);
	/*
	 * Parent, in order of jobs; on a status other than OK result is empty. `detail`: milliseconds that the job took
	 * (wall clock); of a crash the signal number, 0 when there was none or the answer was none. Negative stops the
	 * run.
	 */
	int (*done)(void *ctx, const uint8_t *job, size_t n_job, enum worker_status s, int detail,
		    const uint8_t *result, size_t n, struct err *e);
};
/* Runs until next answers 0. 0 or negative; ERR_STOPPED after a signal; no child outlives it. */
int workers_run(const struct workers *w, struct err *e);

/* ---- sandbox (util_sandbox.c) -------------------------------------------- */

/* Sanitizers need the address space and the files that a sandbox takes away: their builds go without. */
#ifdef MOLRILL_SAN
enum { SANDBOX_BUILT = 0 };
#else
enum { SANDBOX_BUILT = 1 };
#endif
/* Whether this build and the kernel (seccomp filters) can confine a process. */
bool sandbox_available(void);
/*
 * Takes from the process, for good, all but computing and talking: it may read from and write to `fd` (open before),
 * write to standard error, have memory that is not executable, and end. Starting a program, process or thread, and any
 * network call, kills it (SIGSYS); every other call, such as opening a file, answers EPERM. What libraries load late
 * is to be loaded before. 0; ERR_IO when the kernel refuses.
 */
int sandbox_enter(int fd, struct err *e);

/* ---- input, output, signals (util_io.c) --------------------------------- */

/* ERR_PIPE on EPIPE, ERR_STOPPED when a signal came while it was blocked (a signal noted before does not stop it). */
int io_write_all(int fd, const void *data, size_t n, struct err *e);
/* Bytes, 0 at the end, negative; ERR_STOPPED once a signal asked us to end, also out of a blocked read. */
int64_t io_read(int fd, void *data, size_t n, struct err *e);
/* Unlinked temporary file in $TMPDIR (/tmp): fd or negative. */
int io_temp_open(struct err *e);
/*
 * A file that appears under its name only when committed (temporary name, fsync, rename). A device or named pipe is
 * written as it stands; the target of a symbolic link is replaced.
 */
struct io_atomic {
	int fd;
	char path[4096], temp[4096];
};
int io_atomic_open(struct io_atomic *f, const char *path, struct err *e);
int io_atomic_commit(struct io_atomic *f, struct err *e);
void io_atomic_discard(struct io_atomic *f);
/*
 * One of many small files: n bytes as `name` in the folder dir_fd, replacing what was there. Whoever looks, and
 * whenever we die, sees it whole or not at all; on the device it may come later (no fsync).
 */
int io_file_put(int dir_fd, const char *name, const void *data, size_t n, struct err *e);
/* SIGTERM and SIGINT are noted, not obeyed; SIGPIPE is ignored (EPIPE tells). */
void io_catch_signals(void);
int io_stop_signal(void); /* 0, or the number of the signal that asked us to end */
int io_stop_fd(void);     /* for poll: readable from that signal on; -1 before io_catch_signals */
/* XXH3-128 as 32 hexadecimal digits; of a file that can be read twice (ERR_USAGE for a pipe). */
void io_digest_hex(const void *data, size_t n, char hex[33]);
int io_digest_file(const char *path, char hex[33], struct err *e);

#ifdef __cplusplus
}
#endif
#endif
