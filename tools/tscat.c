/* tscat - shows streams, takes records out of them, turns them into what other programs read. */
#include "cli_stream.h"
#include "ts_export.h"

#include <inttypes.h>
#include <string.h>

struct conf {
	struct cli cli;
	bool check, json, sdf, smiles, history, merge, stream;
	int64_t n, skip, mem;
	struct opt_list select, tsv;
	const char *where, *npy, *safetensors;
};
#define AT(member) offsetof(struct conf, member)
static const struct opt options[] = {
    {"check", 0, OPT_FLAG, NULL, "read all, verify digests and counts, print them", AT(check)},
    {"n", 'n', OPT_INT, "N", "at most N records", AT(n), OPT_RECORDS, .max = 9e15},
    {"skip", 0, OPT_INT, "N", "leave out the first N records", AT(skip), OPT_RECORDS, .max = 9e15},
    {"select", 0, OPT_LIST, "FIELD,..", "only these fields", AT(select), OPT_RECORDS},
    {"where", 0, OPT_STR, "EXPR", "only records for which EXPR holds", AT(where), OPT_RECORDS},
    {"stream", 0, OPT_FLAG, NULL, "write a stream of what was selected", AT(stream)},
    {"json", 0, OPT_FLAG, NULL, "one JSON object a line: header, records, end map", AT(json)},
    {"tsv", 0, OPT_LIST, "FIELD,..", "a table of these fields", AT(tsv)},
    {"sdf", 0, OPT_FLAG, NULL, "an SDF of pos, z and bonds", AT(sdf)},
    {"smiles", 0, OPT_FLAG, NULL, "lines of SMILES and id", AT(smiles)},
    {"npy", 0, OPT_STR, "DIR", "numpy files in folder DIR, one a field", AT(npy)},
    {"safetensors", 0, OPT_STR, "FILE", "the tensors as one safetensors file", AT(safetensors)},
    {"history", 0, OPT_FLAG, NULL, "the commands that made the stream", AT(history)},
    {"mem", 0, OPT_SIZE, "SIZE", "with --merge: memory for the places of all records", AT(mem)},
    {"merge", 0, OPT_FLAG, NULL, "join shards into the stream of the whole", AT(merge)},
    {0},
};

struct tscat {
	struct conf *conf;
	struct cli_stream *in;
	struct cli_sink sink;
	struct cli_out text;
	FILE *out;
	struct ts_where *where;
	struct ts_spool *spool;
	struct ts_header header, first; /* of this segment and of the first */
	bool early_stop;                /* after -n records: a named file, shown as text, need not be read to its end */
	int64_t n_segment, n_seen, n_taken, n_taken_here;
	struct arena *a, *header_arena;
};

/* What is asked for must be among the fields that records may have. */
static int names_check(const struct opt_list *names, const char *option, const struct ts_header *h, struct err *e)
{
	for (int i = 0; i < names->n; i++) {
		if (ts_header_has_field(h, names->items[i]))
			continue;
		const char *near = opt_nearest(names->items[i], h->fields, h->n_field);
		return err_set(e, ERR_USAGE, "--%s: the stream has no field '%s'%s%s%s", option, names->items[i],
			       near ? "; the nearest is '" : "", near ? near : "", near ? "'" : "");
	}
	return 0;
}

static void table_head(FILE *out, const struct opt_list *names)
{
	for (int i = 0; i < names->n; i++)
		fprintf(out, "%s%c", names->items[i], i + 1 < names->n ? '\t' : '\n');
}

static int header_show(struct tscat *t, const struct ts_map *m, struct err *e)
{
	struct conf *c = t->conf;
	int rc = cli_stream_header(t->in, "", &t->header, t->header_arena, e);
	if (rc || (rc = names_check(&c->select, "select", &t->header, e)) ||
	    (rc = names_check(&c->tsv, "tsv", &t->header, e)))
		return rc;
	t->n_taken_here = 0;
	if (!t->n_segment++) {
		t->first = t->header;
		table_head(t->out, &c->tsv);
	} else if ((t->spool || c->tsv.n || c->sdf || c->smiles || c->check) &&
		   (rc = ts_header_same_kind(&t->first, &t->header, e)))
		return rc;
	if (c->stream) {
		struct ts_header h = t->header;
		struct ts_node node;
		if (c->select.n) {
			h.n_field = 0;
			for (int i = 0; i < c->select.n; i++)
				ts_header_add_field(&h, c->select.items[i], t->header_arena);
		}
		if ((rc = cli_node(c, false, &node, e)))
			return rc;
		ts_header_add_node(&h, &node, t->header_arena);
		return ts_writer_header(t->sink.w, &h, e);
	}
	if (c->history) {
		ts_history(t->out, &t->header);
	} else if (c->json) {
		ts_json_map(t->out, m);
		putc('\n', t->out);
	} else if (t->out && !c->tsv.n && !c->sdf && !c->smiles && !c->check) {
		fputs("header\n", t->out);
		ts_text_map(t->out, m, 0);
	}
	return 0;
}

static void fields_select(const struct opt_list *names, struct ts_map *m)
{
	struct ts_map kept;
	ts_map_init(&kept, m->arena);
	for (int i = 0; i < m->n; i++)
		for (int k = 0; k < names->n; k++)
			if (!strcmp(names->items[k], m->fields[i].key))
				ts_set(&kept, m->fields[i].key, m->fields[i].v);
	*m = kept;
}

static int record_show(struct tscat *t, struct ts_map *m, struct err *e)
{
	struct conf *c = t->conf;
	const struct ts_schema *schema = ts_schema_find(t->header.schema);
	int rc;
	if (schema && (rc = ts_schema_check(schema, &t->header, m, NULL, e)))
		return rc;
	if (c->check || c->history)
		return 0;
	if (t->n_seen++ < c->skip || (c->n >= 0 && t->n_taken >= c->n) || (t->where && !ts_where_match(t->where, m)))
		return 0;
	t->n_taken++;
	t->n_taken_here++;
	if (c->select.n)
		fields_select(&c->select, m);
	if (c->stream)
		return ts_writer_record(t->sink.w, m, e);
	if (t->spool) {
		struct buf b = {0};
		rc = ts_pack(m, &b, e);
		if (!rc)
			rc = ts_spool_add(t->spool, b.data, b.n, e);
		buf_free(&b);
		return rc;
	}
	if (c->sdf)
		return ts_sdf_write(t->out, &t->header, m, e);
	if (c->smiles) {
		const char *s;
		if ((rc = ts_need_str(m, "smiles", &s, e)))
			return rc;
		fputs(s, t->out);
		if (ts_get(m, "id")) {
			putc(' ', t->out);
			ts_tsv_value(t->out, ts_get(m, "id"));
		}
		putc('\n', t->out);
	} else if (c->tsv.n) {
		for (int i = 0; i < c->tsv.n; i++) {
			if (i)
				putc('\t', t->out);
			ts_tsv_value(t->out, ts_get(m, c->tsv.items[i]));
		}
		putc('\n', t->out);
	} else if (c->json) {
		ts_json_map(t->out, m);
		putc('\n', t->out);
	} else {
		fprintf(t->out, "record %" PRId64 "\n", t->n_seen - 1);
		ts_text_map(t->out, m, 12);
	}
	return 0;
}

static void counts_print(FILE *out, const char *name, const struct ts_counts *c)
{
	fprintf(out,
		"%s: n %" PRId64 ", rows %" PRId64 ", rejects %" PRId64 ", filtered %" PRId64 ", warned %" PRId64 "\n",
		name, c->n, c->rows, c->rejects, c->filtered, c->warned);
}

static int end_show(struct tscat *t, const struct ts_map *m, struct err *e)
{
	struct conf *c = t->conf;
	const struct ts_end *end = ts_reader_end(cli_stream_reader(t->in));
	if (c->stream) {
		struct ts_end mine;
		ts_end_follow(&mine, end);
		mine.extra = end->extra;
		mine.counts.filtered = end->counts.n - t->n_taken_here;
		return ts_writer_end(t->sink.w, &mine, e);
	}
	if (c->check) {
		if (t->n_segment > 1)
			fprintf(t->out, "segment %" PRId64 "\n", t->n_segment - 1);
		fprintf(t->out, "schema: %s\n", t->header.schema);
		counts_print(t->out, "counts", &end->counts);
		if (end->upstream.rows)
			counts_print(t->out, "upstream", &end->upstream);
		fprintf(t->out, "digest: %s\n", end->digest);
	} else if (c->json) {
		ts_json_map(t->out, m);
		putc('\n', t->out);
	} else if (t->out && !c->history && !c->tsv.n && !c->sdf && !c->smiles) {
		fputs("end\n", t->out);
		ts_text_map(t->out, m, 0);
	}
	return 0;
}

static int merge_run(struct tscat *t, struct err *e)
{
	struct ts_merge *g;
	int64_t n_record = 0;
	int rc = ts_merge_new(&g, e), item = TS_EOF;
	while (!rc && (item = cli_stream_next(t->in, NULL, NULL, e)) == TS_HEADER) {
		rc = ts_merge_segment(g, cli_stream_reader(t->in), e);
		if (rc)
			cli_stream_fail(t->in, rc, e);
		else
			n_record += ts_reader_end(cli_stream_reader(t->in))->counts.n;
		if (!rc) /* a row and a place in the spool */
			rc = cli_mem_check(n_record * 24, t->conf->mem, "raise it", e);
	}
	if (!rc && item < 0)
		rc = item;
	if (!rc)
		rc = ts_merge_write(g, t->sink.w, e);
	ts_merge_free(g);
	return rc;
}

static int show_run(struct tscat *t, struct err *e)
{
	struct ts_map m;
	int item, rc = 0;
	while ((item = cli_stream_next(t->in, t->a, &m, e)) > 0) {
		if (item == TS_HEADER)
			rc = header_show(t, &m, e);
		else if (item == TS_RECORD && (rc = record_show(t, &m, e)))
			cli_stream_fail(t->in, rc, e);
		else if (item == TS_END)
			rc = end_show(t, &m, e);
		if (!rc && t->out && ferror(t->out))
			rc = e->code;
		if (rc)
			return rc;
		if (t->early_stop && t->n_taken >= t->conf->n)
			return 0;
		arena_reset(t->a);
	}
	return item;
}

/* The file formats that need all records before their first byte. */
static int export_run(struct tscat *t, struct err *e)
{
	struct conf *c = t->conf;
	if (c->npy)
		return ts_npy_write(t->spool, &t->first, c->npy, e);
	struct io_atomic f;
	int rc = io_atomic_open(&f, c->safetensors, e);
	if (rc)
		return rc;
	rc = ts_safetensors_write(t->spool, &t->first, f.fd, e);
	if (!rc)
		return io_atomic_commit(&f, e);
	io_atomic_discard(&f);
	return rc;
}

static int output_open(struct tscat *t, struct err *e)
{
	struct conf *c = t->conf;
	if (c->stream || c->merge)
		return cli_sink_open(&c->cli, &t->sink, e);
	if (c->npy || c->safetensors)
		return ts_spool_new(&t->spool, e);
	int rc = cli_out_open(&c->cli, false, &t->text, e);
	if (rc)
		return rc;
	t->out = cli_text_open(t->text.fd, e);
	return 0;
}

static int output_close(struct tscat *t, int rc, struct err *e)
{
	if (t->out) {
		if ((fflush(t->out) || ferror(t->out)) && !rc)
			rc = e->code;
		fclose(t->out);
		int rc_close = cli_out_close(&t->text, !rc, e);
		rc = rc ? rc : rc_close;
	}
	int rc_close = cli_sink_close(&t->sink, !rc, e);
	return rc ? rc : rc_close;
}

int main(int argc, char **argv)
{
	struct conf conf = {.cli = {.output = "-", .n_worker = 1}, .n = -1, .mem = CLI_MEM_DEFAULT};
	struct tscat t = {.conf = &conf};
	struct err e = {0};
	int code = cli_begin(&conf, sizeof conf, "tscat", "[FILE ...]", options, NULL, argc, argv);
	if (code >= 0)
		return code;
	int rc = 0, n_mode = conf.check + conf.stream + conf.json + (conf.tsv.n > 0) + conf.sdf + conf.smiles +
			     (conf.npy != NULL) + (conf.safetensors != NULL) + conf.history + conf.merge;
	t.a = arena_new(0);
	t.header_arena = arena_new(0);
	if (n_mode > 1)
		rc = err_set(&e, ERR_USAGE,
			     "one of --check, --stream, --json, --tsv, --sdf, --smiles, --npy, --safetensors, "
			     "--history, --merge");
	t.early_stop =
	    conf.n >= 0 && conf.cli.n_file == 1 && strcmp(conf.cli.files[0], "-") && !conf.stream && !conf.check;
	if (!rc && conf.where)
		rc = ts_where_parse(&t.where, conf.where, &e);
	if (!rc)
		rc = cli_stream_open(&conf.cli, &t.in, &e);
	if (!rc)
		rc = output_open(&t, &e);
	if (!rc)
		rc = conf.merge ? merge_run(&t, &e) : show_run(&t, &e);
	if (!rc && t.spool)
		rc = export_run(&t, &e);
	rc = output_close(&t, rc, &e);
	cli_stream_free(t.in);
	ts_spool_free(t.spool);
	ts_where_free(t.where);
	arena_free(t.a);
	arena_free(t.header_arena);
	return rc ? cli_fail(&conf.cli, &e) : EXIT_DONE;
}
