/* molsplit - divides molecules into train, valid and test; finds what leaks between them. */
#include "cli_stream.h"
#include "learn_leaks.h"
#include "learn_table.h"
#include "nn_split.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum by { BY_SCAFFOLD, BY_RANDOM, BY_COLUMN, BY_FILE };
static const char *const by_names[] = {"scaffold", "random", "column", "file", NULL};
static const char *const only_names[] = {"all", "train", "valid", "test", NULL};

struct conf {
	struct cli cli;
	int by, only; /* only: 0 all, else 1 + enum nn_part */
	struct opt_list frac;
	const char *column, *file, *without;
	int64_t mem;
	bool leaks;
};
#define AT(member) offsetof(struct conf, member)
static const struct opt options[] = {
    {"by", 0, OPT_CHOICE, "RULE", "scaffold, random, column or file", AT(by), OPT_RECORDS, by_names},
    {"frac", 0, OPT_LIST, "A,B,C", "fractions of train, valid and test (0.8,0.1,0.1)", AT(frac), OPT_RECORDS},
    {"column", 0, OPT_STR, "FIELD", "with --by column: the field that says train, valid or test", AT(column),
     OPT_RECORDS},
    {"file", 0, OPT_STR, "FILE", "with --by file: a table with columns row or id, and split", AT(file),
     OPT_RECORDS | OPT_DIGEST},
    {"only", 0, OPT_CHOICE, "PART", "write only train, valid or test", AT(only), OPT_RECORDS, only_names},
    {"without", 0, OPT_STR, "FILE", "leave out molecules that occur in this stream", AT(without),
     OPT_RECORDS | OPT_DIGEST},
    {"mem", 0, OPT_SIZE, "SIZE", "memory for what is held of all records", AT(mem)},
    {"leaks", 0, OPT_FLAG, NULL, "report what train, valid and test share, on standard error", AT(leaks)},
    {0},
};

struct split {
	struct conf *conf;
	double frac[3];
	struct nn_names groups, unwanted, listed;
	uint8_t *listed_part;
	bool listed_by_row;
	int64_t n, cap;
	int64_t *group; /* [n] group of each record kept, or its part (--by column, file) */
	struct leaks *leaks;
};

static int fractions_parse(struct split *s, struct err *e)
{
	static const double usual[3] = {0.8, 0.1, 0.1};
	memcpy(s->frac, usual, sizeof usual);
	const struct opt_list *l = &s->conf->frac;
	if (!l->n)
		return 0;
	double sum = 0;
	for (int i = 0; i < l->n && l->n == 3; i++) {
		char *end;
		s->frac[i] = strtod(l->items[i], &end);
		if (*end || end == l->items[i] || !(s->frac[i] >= 0))
			return err_set(e, ERR_USAGE, "--frac: '%s' is no fraction", l->items[i]);
		sum += s->frac[i];
	}
	if (l->n != 3 || !(fabs(sum - 1) < 1e-9))
		return err_set(e, ERR_USAGE, "--frac takes three fractions that add up to 1");
	return 0;
}

/* The field as text of a scalar or string; needs it, with the hint of the schema. */
static int text_need(const struct ts_map *m, const char *field, char *buf, size_t nbytes, const char **out,
		     struct err *e)
{
	const char *const need[] = {field, NULL};
	const struct ts_value *v = ts_get(m, field);
	int rc = ts_schema_check(ts_schema_find("molecule"), NULL, m, need, e);
	if (rc)
		return rc;
	if (v->kind == TS_INT) {
		snprintf(buf, nbytes, "%" PRId64, v->u.i);
		*out = buf;
		return 0;
	}
	return ts_need_str(m, field, out, e);
}

static int without_read(struct split *s, struct err *e)
{
	struct cli c = s->conf->cli;
	struct cli_stream *in;
	struct arena *a = arena_new(0);
	struct ts_map m;
	c.n_file = 1;
	c.files = &s->conf->without;
	int rc = cli_stream_open(&c, &in, e), item = TS_EOF;
	while (!rc && (item = cli_stream_next(in, a, &m, e)) > 0) {
		const char *smiles;
		char buf[32];
		if (item == TS_RECORD && !(rc = text_need(&m, "canonical_flat", buf, sizeof buf, &smiles, e)))
			nn_names_add(&s->unwanted, smiles);
		if (rc)
			cli_stream_fail(in, rc, e);
		arena_reset(a);
	}
	cli_stream_free(in);
	arena_free(a);
	return rc ? rc : item;
}

static int list_read(struct split *s, struct err *e)
{
	const char *path = s->conf->file;
	struct table t;
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return err_set_errno(e, ERR_IO, "%s", path);
	int rc = table_read(fd, path, s->conf->cli.arena, &t, e);
	close(fd);
	if (rc)
		return rc;
	int key = table_column(&t, "row"), part = table_column(&t, "split");
	s->listed_by_row = key >= 0;
	if (key < 0)
		key = table_column(&t, "id");
	if (key < 0 || part < 0)
		return err_set(e, ERR_FORMAT, "%s: no columns row or id, and split", path);
	s->listed_part = arena_alloc(s->conf->cli.arena, (size_t)t.n_row + 1);
	for (int64_t i = 0; i < t.n_row; i++) {
		int which = nn_part_from_name(table_cell(&t, i, part));
		if (which < 0)
			return err_set(e, ERR_FORMAT, "%s: '%s' is not train, valid or test", path,
				       table_cell(&t, i, part));
		if (nn_names_add(&s->listed, table_cell(&t, i, key)) != i)
			return err_set(e, ERR_FORMAT, "%s: '%s' is here twice", path, table_cell(&t, i, key));
		s->listed_part[i] = (uint8_t)which;
	}
	return 0;
}

static int part_need(struct split *s, const struct ts_map *m, int64_t *part, struct err *e)
{
	const char *text, *field = s->conf->by == BY_COLUMN ? s->conf->column : s->listed_by_row ? "row" : "id";
	char buf[32];
	int rc = text_need(m, field, buf, sizeof buf, &text, e);
	if (rc)
		return rc;
	if (s->conf->by == BY_COLUMN) {
		*part = nn_part_from_name(text);
		return *part >= 0 ? 0
				  : err_set(e, ERR_SCHEMA, "field %s is '%s', not train, valid or test", field, text);
	}
	int64_t i = nn_names_find(&s->listed, text);
	if (i < 0)
		return err_set(e, ERR_SCHEMA, "%s %s is not in %s", field, text, s->conf->file);
	*part = s->listed_part[i];
	return 0;
}

static int record_take(void *ctx, const struct ts_map *m, struct err *e)
{
	struct split *s = ctx;
	const char *text;
	char buf[32];
	int64_t group = 0;
	int rc = 0;
	if (s->conf->without) {
		if ((rc = text_need(m, "canonical_flat", buf, sizeof buf, &text, e)))
			return rc;
		if (nn_names_find(&s->unwanted, text) >= 0)
			return 1;
	}
	if (s->conf->by == BY_SCAFFOLD) {
		if ((rc = text_need(m, "scaffold", buf, sizeof buf, &text, e)))
			return rc;
		group = nn_names_add(&s->groups, text);
	} else if (s->conf->by != BY_RANDOM && (rc = part_need(s, m, &group, e))) {
		return rc;
	}
	if (s->n == s->cap && !(s->group = realloc(s->group, (size_t)(s->cap = 2 * s->n + 1024) * sizeof *s->group)))
		abort();
	s->group[s->n++] = group;
	/* Group and part, place in the spool; a name of some 64 bytes for each group. */
	if ((rc = cli_mem_check(s->n * 40 + s->groups.n * 64, s->conf->mem, "raise it", e)))
		return rc;
	return s->leaks ? leaks_add(s->leaks, m, e) : 0;
}

static uint8_t *parts_assign(struct split *s)
{
	uint8_t *part = calloc((size_t)s->n + 1, 1);
	if (!part)
		abort();
	if (s->conf->by == BY_SCAFFOLD)
		nn_split_groups(s->group, s->n, s->groups.n, s->frac, part);
	else if (s->conf->by == BY_RANDOM)
		nn_split_random(s->n, (uint64_t)s->conf->cli.seed, s->frac, part);
	else
		for (int64_t i = 0; i < s->n; i++)
			part[i] = (uint8_t)s->group[i];
	return part;
}

static int records_write(struct split *s, struct cli_gathered *g, const uint8_t *part, struct ts_writer *w,
			 struct err *e)
{
	struct ts_node node;
	struct arena *a = arena_new(0);
	int rc = cli_node(s->conf, s->conf->by == BY_RANDOM, &node, e);
	if (!rc) {
		ts_header_add_field(&g->header, "split", s->conf->cli.arena);
		ts_header_add_node(&g->header, &node, s->conf->cli.arena);
		rc = ts_writer_header(w, &g->header, e);
	}
	for (int64_t i = 0; i < s->n && !rc; i++) {
		const uint8_t *data;
		size_t n;
		struct ts_map m;
		if (s->conf->only && part[i] != s->conf->only - 1) {
			g->follow.counts.filtered++;
			continue;
		}
		arena_reset(a);
		if (!(rc = ts_spool_get(g->spool, i, &data, &n, e)) && !(rc = ts_unpack(data, n, a, &m, e))) {
			ts_set_str(&m, "split", nn_part_names[part[i]]);
			rc = ts_writer_record(w, &m, e);
		}
	}
	arena_free(a);
	return rc ? rc : ts_writer_end(w, &g->follow, e);
}

static int conf_check(const struct conf *c, struct err *e)
{
	if ((c->by == BY_COLUMN) != (c->column != NULL))
		return err_set(e, ERR_USAGE, "--by column and --column FIELD go together");
	if ((c->by == BY_FILE) != (c->file != NULL))
		return err_set(e, ERR_USAGE, "--by file and --file FILE go together");
	return 0;
}

int main(int argc, char **argv)
{
	struct conf conf = {.cli = {.output = "-", .n_worker = 1}, .mem = CLI_MEM_DEFAULT};
	struct split s = {.conf = &conf};
	struct cli_stream *in = NULL;
	struct cli_sink sink = {0};
	struct cli_gathered g = {0};
	struct err e = {0};
	uint8_t *part = NULL;
	int code = cli_begin(&conf, sizeof conf, "molsplit", "[FILE ...]", options, NULL, argc, argv);
	if (code >= 0)
		return code;
	int rc = conf_check(&conf, &e);
	if (!rc)
		rc = fractions_parse(&s, &e);
	if (!rc && conf.leaks)
		s.leaks = leaks_new();
	if (!rc && conf.file)
		rc = list_read(&s, &e);
	if (!rc && conf.without)
		rc = without_read(&s, &e);
	if (!rc)
		rc = cli_stream_open(&conf.cli, &in, &e);
	if (!rc)
		rc = cli_sink_open(&conf.cli, &sink, &e);
	if (!rc)
		rc = cli_gather(in, "molecule", conf.cli.arena, record_take, &s, &g, &e);
	if (!rc) {
		part = parts_assign(&s);
		rc = records_write(&s, &g, part, sink.w, &e);
	}
	int rc_close = cli_sink_close(&sink, !rc, &e);
	rc = rc ? rc : rc_close;
	if (!rc && s.leaks)
		leaks_report(s.leaks, part, stderr);
	cli_stream_free(in);
	ts_spool_free(g.spool);
	leaks_free(s.leaks);
	nn_names_free(&s.groups);
	nn_names_free(&s.unwanted);
	nn_names_free(&s.listed);
	free(s.group);
	free(part);
	return rc ? cli_fail(&conf.cli, &e) : EXIT_DONE;
}
