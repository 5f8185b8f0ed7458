/* cli.c - the standard options, messages and exit codes; input and output files. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(member) offsetof(struct cli, member)
const struct opt cli_options[] = {
    {"output", 'o', OPT_STR, "FILE", "write to FILE, which appears when it is whole", AT(output)},
    {"workers", 'j', OPT_INT, "N", "workers (0: all cores)", AT(n_worker), .max = 4096},
    {"seed", 0, OPT_INT, "N", "seed of everything drawn", AT(seed), .max = 9e15},
    {"quiet", 0, OPT_FLAG, NULL, "no progress, no summary", AT(quiet)},
    {"progress", 0, OPT_FLAG, NULL, "progress on standard error though it is no terminal", AT(progress)},
    {"help", 'h', OPT_FLAG, NULL, "this text", AT(help)},
    {"version", 'V', OPT_FLAG, NULL, "version and build", AT(version)},
    {"list-options", 0, OPT_FLAG, NULL, "options, one a line, for programs", AT(list_options)},
    {0},
};

void (*cli_write_libraries)(FILE *out);

/* What cli_node needs of the last cli_begin: one program, one command line. */
static struct {
	const struct opt *tables[4];
	void *conf_default;
} begun;

static void write_version(const char *program)
{
	printf("%s (molrill) %s\ncompiler %s\n", program, MOLRILL_VERSION, __VERSION__);
	if (cli_write_libraries)
		cli_write_libraries(stdout);
}

/* The program's answer on standard output must have been written too. */
int cli_flush(const char *program)
{
	if (fflush(stdout) || ferror(stdout)) {
		if (errno == EPIPE)
			return 141;
		fprintf(stderr, "%s: cannot write: %s\n", program, strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

int cli_begin(void *conf, size_t nbytes, const char *program, const char *usage, const struct opt *own,
	      const struct opt *shared, int argc, char **argv)
{
	struct cli *c = conf;
	struct err e = {0};
	int n = 0;
	setlocale(LC_ALL, "C");
	io_catch_signals();
	memset(begun.tables, 0, sizeof begun.tables);
	if (own)
		begun.tables[n++] = own;
	if (shared)
		begun.tables[n++] = shared;
	begun.tables[n] = cli_options;
	c->program = program;
	c->arena = arena_new(0);
	begun.conf_default = arena_alloc(c->arena, nbytes);
	memcpy(begun.conf_default, conf, nbytes);
	if (opt_parse(begun.tables, conf, argc, argv, c->arena, &c->n_file, &c->files, &e))
		return cli_fail(c, &e);
	if (c->help) {
		printf("usage: %s [options] %s\n\n", program, usage);
		opt_write_help(stdout, begun.tables);
		return cli_flush(program);
	}
	if (c->version) {
		write_version(program);
		return cli_flush(program);
	}
	if (c->list_options) {
		opt_write_list(stdout, begun.tables);
		return cli_flush(program);
	}
	return -1;
}

int cli_node(const void *conf, bool seeded, struct ts_node *node, struct err *e)
{
	const struct cli *c = conf;
	memset(node, 0, sizeof *node);
	node->program = c->program;
	node->version = MOLRILL_VERSION;
	node->n_option = opt_record_args(begun.tables, conf, begun.conf_default, c->arena, &node->options, e);
	if (node->n_option < 0)
		return node->n_option;
	node->has_seed = seeded;
	node->seed = (uint64_t)c->seed;
	return 0;
}

void cli_warn(const struct cli *c, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	cli_progress_wipe();
	fprintf(stderr, "%s: %s\n", c->program, line);
}

int cli_fail(const struct cli *c, const struct err *e)
{
	char text[1024];
	if (e->code == ERR_PIPE)
		return 141;
	fprintf(stderr, "%s: %s\n", c->program, err_text(e, text, sizeof text));
	if (e->code == ERR_STOPPED && io_stop_signal())
		return 128 + io_stop_signal();
	return e->code == ERR_USAGE ? EXIT_MISUSE : EXIT_FAILED;
}

int cli_out_open(const struct cli *c, bool binary, struct cli_out *o, struct err *e)
{
	memset(o, 0, sizeof *o);
	if (c->output && strcmp(c->output, "-")) {
		int rc = io_atomic_open(&o->file, c->output, e);
		o->fd = o->file.fd;
		o->is_file = !rc;
		return rc;
	}
	o->fd = STDOUT_FILENO;
	if (binary && isatty(o->fd))
		return err_set(e, ERR_USAGE,
			       "refusing to write a binary stream to a terminal: use -o FILE, or pipe it into tscat");
	return 0;
}

int cli_out_close(struct cli_out *o, bool success, struct err *e)
{
	int rc = 0;
	if (o->is_file) {
		o->is_file = false;
		if (success)
			return io_atomic_commit(&o->file, e);
		io_atomic_discard(&o->file);
		return 0;
	}
	/* Some file systems tell of a full disk only here. */
	if (o->fd == STDOUT_FILENO && success && close(dup(STDOUT_FILENO)))
		rc = err_set_errno(e, ERR_IO, "cannot write");
	return rc;
}

int cli_in_open(const struct cli *c, int i, const char **name, struct err *e)
{
	const char *path = c->n_file ? c->files[i] : "-";
	if (!strcmp(path, "-")) {
		*name = "standard input";
		return STDIN_FILENO;
	}
	*name = path;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(e, ERR_IO, "%s", path);
	return fd;
}
