/* The main of every program that reads molecules: options, operands, segments, counts. */
#include "molprog_run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const FORMATS[] = {"auto", "smi", "csv", "tsv", "sdf", "tstream", NULL};

#define AT(member) offsetof(struct molprog, member)
const struct opt molprog_options[] = {
    {"format", 0, OPT_CHOICE, "FORMAT", "auto (by content), smi, csv, tsv, sdf or tstream", AT(format), OPT_RECORDS,
     FORMATS, 0, 0},
    {"smiles", 0, OPT_STR, "COL", "column that holds SMILES (CSV, TSV)", AT(smiles), OPT_RECORDS, NULL, 0, 0},
    {"id", 0, OPT_STR, "COL", "column or SDF tag that names the molecule", AT(id), OPT_RECORDS, NULL, 0, 0},
    {"labels", 0, OPT_LIST, "COL,COL|all", "columns or SDF tags that hold labels", AT(labels), OPT_RECORDS | OPT_REPEAT,
     NULL, 0, 0},
    {"missing", 0, OPT_STR, "STR", "text of a missing label, beside the empty field", AT(missing), OPT_RECORDS, NULL, 0,
     0},
    {"delim", 0, OPT_STR, "CHAR", "delimiter of columns, one character or 'tab'", AT(delim), OPT_RECORDS, NULL, 0, 0},
    {"no-header", 0, OPT_FLAG, NULL, "no line of column names; columns are numbers from 1", AT(no_header), OPT_RECORDS,
     NULL, 0, 0},
    {"limit", 0, OPT_INT, "N", "only the first N rows", AT(limit), OPT_RECORDS, NULL, 0, 9e15},
    {"shard", 0, OPT_STR, "I/N", "only every N-th row, from row I (0 to N-1) on", AT(shard), 0, NULL, 0, 0},
    {"rejects", 0, OPT_STR, "FILE", "write refused rows and their reasons to FILE (TSV)", AT(rejects), 0, NULL, 0, 0},
    {"strict", 0, OPT_FLAG, NULL, "stop at the first refused row", AT(strict), 0, NULL, 0, 0},
    {"lenient", 0, OPT_FLAG, NULL, "take what Open Babel takes", AT(lenient), OPT_RECORDS, NULL, 0, 0},
    {"timeout", 0, OPT_FLOAT, "SECONDS", "time limit of a molecule, 0: none", AT(timeout_s), 0, NULL, 0, 1e6},
    {0},
};

/* ---- segments ---- */

static int header_write(struct run *r, struct err *e)
{
	struct ts_node node;
	const char *library[1][2] = {{"openbabel", mol_openbabel_version()}};
	int rc = r->p->header ? r->p->header(r->conf, &r->header, e) : 0;
	if (!rc)
		rc = cli_node(r->conf, r->p->seeded, &node, e);
	if (rc)
		return rc;
	node.n_library = 1;
	node.libraries = library;
	ts_header_add_node(&r->header, &node, r->arena);
	if (r->c->shard_n) {
		r->header.shard[0] = r->c->shard_i;
		r->header.shard[1] = r->c->shard_n;
	}
	r->counts = (struct ts_counts){0};
	r->next_row = 0;
	return ts_writer_header(r->writer, &r->header, e);
}

static int segments_of_stream(struct run *r, int fd, struct err *e)
{
	size_t n_raw;
	bool is_zstd;
	const uint8_t *raw = source_raw(r->source, &n_raw, &is_zstd);
	if (!is_zstd)
		return err_set(e, ERR_FORMAT, "a tensor stream that is not packed by zstd alone");
	int rc = ts_reader_new(&r->reader, fd, r->input, raw, n_raw, e);
	while (!rc && (rc = ts_reader_next(r->reader, NULL, NULL, e)) == TS_HEADER) {
		struct ts_header in;
		rc = ts_reader_header(r->reader, &in, r->arena, e);
		if (!rc)
			rc = ts_schema_need(&in, "molecule", e);
		if (!rc && r->c->shard_n && in.shard[1])
			rc = err_set(e, ERR_USAGE, "--shard: the input is shard %" PRId64 "/%" PRId64 " already",
				     in.shard[0], in.shard[1]);
		if (rc)
			break;
		r->header = in;
		r->seg.header = &in;
		ts_header_add_field(&r->header, "id", r->arena);
		ts_header_add_field(&r->header, "row", r->arena);
		if ((rc = header_write(r, e)) || (rc = flow_run(r, e)))
			break;
		struct ts_end end;
		memset(&end, 0, sizeof end);
		ts_end_follow(&end, ts_reader_end(r->reader));
		end.counts = r->counts;
		if (r->c->shard_i) { /* what was refused before the cut counts in shard 0 alone */
			end.upstream.filtered += end.upstream.rejects;
			end.upstream.rejects = end.upstream.warned = 0;
		}
		rc = ts_writer_end(r->writer, &end, e);
	}
	ts_reader_free(r->reader);
	r->reader = NULL;
	r->seg.header = NULL;
	return rc > 0 ? err_set(e, ERR_FORMAT, "a record outside a segment") : rc;
}

static int same_tasks(const struct ts_header *h, const struct layout *l, struct err *e)
{
	bool same = h->n_task == l->n_label;
	for (int t = 0; same && t < h->n_task; t++)
		same = !strcmp(h->tasks[t], l->labels[t]);
	return same ? 0 : err_set(e, ERR_FORMAT, "other labels than in the inputs before");
}

/* The header of the one segment that all molecule files make. */
static int molecule_header(struct run *r, const struct layout *l, struct err *e)
{
	static const char *const FIELDS[] = {"id", "row", "smiles"};
	static const char *const FIELDS_SDF[] = {"atom_map", "pos_input", "z_input"};
	if (r->header_written)
		return same_tasks(&r->header, l, e);
	ts_header_init(&r->header, "molecule", r->arena);
	r->header.n_task = l->n_label;
	r->header.tasks = l->labels;
	for (int i = 0; i < 3; i++)
		ts_header_add_field(&r->header, FIELDS[i], r->arena);
	for (int i = 0; i < 3 && l->format == MOLPROG_SDF; i++)
		ts_header_add_field(&r->header, FIELDS_SDF[i], r->arena);
	if (l->n_label)
		ts_header_add_field(&r->header, "y", r->arena);
	r->header_written = true;
	return header_write(r, e);
}

static int operand_run(struct run *r, int i, bool *is_stream, struct err *e)
{
	struct layout *l = arena_calloc(r->arena, 1, sizeof *l);
	int fd = cli_in_open(&r->c->cli, i, &r->input, e);
	if (fd < 0)
		return fd;
	int rc = source_open(&r->source, fd, r->digest, e);
	if (!rc)
		rc = layout_find(l, r->c, r->source, r->arena, e);
	r->seg.layout = l;
	bool stream = l->format == MOLPROG_TSTREAM;
	if (!rc && i && stream != *is_stream)
		rc = err_set(e, ERR_USAGE, "molecule files and tensor streams cannot be mixed");
	*is_stream = stream;
	if (!rc && stream)
		rc = segments_of_stream(r, fd, e);
	else if (!rc && !(rc = molecule_header(r, l, e))) {
		int64_t before = r->next_row;
		rc = flow_run(r, e);
		if (!rc && r->next_row == before && !l->has_header)
			rc = err_set(e, ERR_TRUNCATED, "empty input");
	}
	if (rc)
		err_add_place(e, r->input, -1, -1);
	r->nbytes_before += source_n_raw(r->source);
	source_free(r->source);
	r->source = NULL;
	if (fd != STDIN_FILENO)
		close(fd);
	return rc;
}

static int operands_run(struct run *r, struct err *e)
{
	int n = r->c->cli.n_file ? r->c->cli.n_file : 1, rc = 0;
	bool is_stream = false;
	for (int i = 0; i < n && !rc; i++)
		rc = operand_run(r, i, &is_stream, e);
	if (rc || is_stream)
		return rc;
	struct ts_end end;
	memset(&end, 0, sizeof end);
	ts_map_init(&end.extra, r->arena);
	end.counts = r->counts;
	source_digest_hex(r->digest, end.source);
	return ts_writer_end(r->writer, &end, e);
}

/* Size of all operands; -1 when one of them is no regular file. */
static int64_t operands_nbytes(const struct cli *c)
{
	int64_t sum = 0;
	struct stat st;
	for (int i = 0; i < (c->n_file ? c->n_file : 1); i++) {
		bool is_stdin = !c->n_file || !strcmp(c->files[i], "-");
		if ((is_stdin ? fstat(STDIN_FILENO, &st) : stat(c->files[i], &st)) || !S_ISREG(st.st_mode))
			return -1;
		sum += st.st_size;
	}
	return sum;
}

static int options_check(struct molprog *c, struct err *e)
{
	char rest;
	if (c->shard && (sscanf(c->shard, "%d/%d%c", &c->shard_i, &c->shard_n, &rest) != 2 || c->shard_n < 1 ||
			 c->shard_i < 0 || c->shard_i >= c->shard_n))
		return err_set(e, ERR_USAGE, "--shard '%s': I/N with I from 0 to N-1", c->shard);
	return 0;
}

static int run_all(struct run *r, struct err *e)
{
	int rc = options_check(r->c, e);
	if (!rc && r->p->begin)
		rc = r->p->begin(r->conf, e);
	r->begun = !rc;
	if (!rc)
		rc = cli_out_open(&r->c->cli, true, &r->out, e);
	if (rc)
		return rc;
	r->out_open = true;
	if ((rc = refusals_open(&r->refusals, r->c, e)) || (rc = ts_writer_new(&r->writer, r->out.fd, e)) ||
	    (rc = mol_start(e)))
		return rc;
	r->file_nbytes = operands_nbytes(&r->c->cli);
	r->progress = cli_progress_new(&r->c->cli, -1);
	return operands_run(r, e);
}

static void libraries_write(FILE *out)
{
	fprintf(out, "Open Babel %s\n", mol_openbabel_version());
}

int molprog_main(const struct molprog_program *p, void *conf, size_t nbytes, int argc, char **argv)
{
	struct run r = {.p = p, .conf = conf, .c = conf, .seg = {.p = p, .conf = conf}};
	struct err e = {0};
	cli_write_libraries = libraries_write;
	int code = cli_begin(conf, nbytes, p->name, "[FILE ...]", p->own, molprog_options, argc, argv);
	if (code >= 0)
		return code;
	r.arena = r.c->cli.arena;
	r.scratch = arena_new(0);
	r.digest = source_digest_new();
	int rc = r.scratch && r.digest ? run_all(&r, &e) : err_set(&e, ERR_MEMORY, "no memory");
	cli_progress_free(r.progress);
	if (p->finish && r.begun && p->finish(conf, !rc, &e))
		rc = e.code;
	if (refusals_close(r.refusals, !rc, &e))
		rc = e.code;
	ts_writer_free(r.writer);
	if (r.out_open && cli_out_close(&r.out, !rc, &e))
		rc = e.code;
	source_digest_free(r.digest);
	arena_free(r.scratch);
	return rc ? cli_fail(&r.c->cli, &e) : r.n_rejects ? EXIT_REJECTS : EXIT_DONE;
}
