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

enum { PARCEL = 32, PARCEL_NBYTES = 256 << 10 };

struct run {
	const struct molprog_program *p;
	void *conf;
	struct molprog *c; /* the beginning of conf */
	struct arena *arena, *scratch;
	struct cli_out out;
	bool out_open;
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

/* ---- rows to workers ---- */

static bool row_wanted(const struct run *r, int64_t row)
{
	const struct molprog *c = r->c;
	return (c->limit < 0 || r->n_row < c->limit) && (!c->shard_n || row % c->shard_n == c->shard_i);
}

/* The next row of the segment, whatever it is. 1, 0 at the end, negative. */
static int row_next(struct run *r, struct item *it, struct err *e)
{
	int rc;
	if (r->reader) {
		rc = ts_reader_next(r->reader, NULL, NULL, e);
		if (rc == TS_END)
			return 0;
		if (rc != TS_RECORD)
			return rc < 0 ? rc : err_set(e, ERR_FORMAT, "a header within a segment");
		it->data = ts_reader_bytes(r->reader, &it->n);
		it->too_long = false;
	} else {
		rc = rows_next(r->seg.layout, r->source, &it->data, &it->n, &it->too_long, e);
		if (rc <= 0)
			return rc;
	}
	it->row = r->next_row++;
	return 1;
}

static int parcel_next(void *ctx, struct buf *b, struct err *e)
{
	struct run *r = ctx;
	struct item it;
	int rc = 1, n = 0, most = r->p->parcel ? r->p->parcel : PARCEL;
	while (n < most && b->n < PARCEL_NBYTES && (rc = row_next(r, &it, e)) == 1) {
		bool wanted = row_wanted(r, it.row);
		r->n_row++;
		r->counts.rows++;
		if (wanted) {
			item_put(b, &it);
			n++;
		} else {
			r->counts.filtered++;
		}
	}
	if (rc < 0)
		return err_add_place(e, r->input, -1, -1);
	return n > 0;
}

/* ---- results, in order ---- */

static int result_refused(struct run *r, const struct result *x, struct err *e)
{
	struct mol_reject why = {.code = x->code, .column = x->column};
	snprintf(why.msg, sizeof why.msg, "%s", x->msg);
	bool warned = x->outcome == OUT_WARNED;
	int rc = refusals_add(r->refusals, r->input, x->row, x->id, x->smiles, &why, warned, e);
	if (warned) {
		r->counts.warned++;
		return rc;
	}
	r->counts.rejects++;
	r->n_rejects++;
	if (!rc && r->c->strict)
		rc = err_set(e, ERR_CHEM, "stopped at row %" PRId64 ", the first refused one (--strict)", x->row);
	return rc;
}

static int result_take(struct run *r, const struct result *x, struct err *e)
{
	int rc = x->outcome == OUT_RECORD ? 0 : result_refused(r, x, e);
	if (rc || x->outcome == OUT_REJECT)
		return rc;
	rc = ts_writer_packed(r->writer, x->record, x->n_record, e);
	if (!rc)
		r->counts.n++;
	if (!rc && x->n_side && r->p->each)
		rc = r->p->each(r->conf, x->row, x->side, x->n_side, e);
	return rc;
}

static int64_t progress_total(const struct run *r)
{
	int64_t seen = r->source ? r->nbytes_before + source_n_raw(r->source) : 0;
	return seen > 0 && r->file_nbytes >= seen ? (int64_t)((double)r->n_row * (double)r->file_nbytes / (double)seen)
						  : -1;
}

/* The rows of one parcel whose worker died, once more, each in a parcel of its own. */
struct again {
	struct run *r;
	const uint8_t *job;
	size_t n, at;
};

static int again_next(void *ctx, struct buf *b, struct err *e)
{
	struct again *g = ctx;
	struct item it;
	(void)e;
	if (!item_get(g->job, g->n, &g->at, &it))
		return 0;
	item_put(b, &it);
	return 1;
}

static int start(void *ctx, struct err *e)
{
	return parcel_start(&((struct run *)ctx)->seg, e);
}

static int work(void *ctx, const uint8_t *job, size_t n, struct buf *result, struct err *e)
{
	return parcel_work(&((struct run *)ctx)->seg, job, n, result, e);
}

static int again_start(void *ctx, struct err *e)
{
	return start(((struct again *)ctx)->r, e);
}

static int again_work(void *ctx, const uint8_t *job, size_t n, struct buf *result, struct err *e)
{
	return work(((struct again *)ctx)->r, job, n, result, e);
}

static int parcel_done(struct run *r, const uint8_t *job, size_t n_job, enum worker_status s, int detail,
		       const uint8_t *result, size_t n, bool again, struct err *e);

static int again_done(void *ctx, const uint8_t *job, size_t n_job, enum worker_status s, int detail,
		      const uint8_t *result, size_t n, struct err *e)
{
	return parcel_done(((struct again *)ctx)->r, job, n_job, s, detail, result, n, true, e);
}

static int parcel_again(struct run *r, const uint8_t *job, size_t n_job, struct err *e)
{
	struct again g = {.r = r, .job = job, .n = n_job};
	struct workers w = {.n_worker = 1,
			    .timeout_s = r->c->timeout_s,
			    .ctx = &g,
			    .next = again_next,
			    .start = again_start,
			    .work = again_work,
			    .done = again_done};
	return workers_run(&w, e);
}

static int item_lost(struct run *r, const struct item *it, enum worker_status s, int detail, struct err *e)
{
	char msg[100];
	struct result x = {.outcome = OUT_REJECT, .code = s == WORKER_TIMEOUT ? "timeout" : "crashed", .msg = msg};
	if (s == WORKER_TIMEOUT)
		snprintf(msg, sizeof msg, "not done after %g s", r->c->timeout_s);
	else
		snprintf(msg, sizeof msg, "the worker died of signal %d (%s)", detail, strsignal(detail));
	arena_reset(r->scratch);
	item_describe(&r->seg, it, r->scratch, &x);
	return result_take(r, &x, e);
}

static int parcel_done(struct run *r, const uint8_t *job, size_t n_job, enum worker_status s, int detail,
		       const uint8_t *result, size_t n, bool again, struct err *e)
{
	int rc = 0;
	size_t at = 0;
	struct result x;
	struct item it;
	if (s == WORKER_OK) {
		while (!rc && result_get(result, n, &at, &x))
			rc = result_take(r, &x, e);
	} else {
		item_get(job, n_job, &at, &it);
		rc = again || at == n_job ? item_lost(r, &it, s, detail, e) : parcel_again(r, job, n_job, e);
	}
	cli_progress_update(r->progress, r->n_row, r->n_rejects);
	return rc;
}

static int done(void *ctx, const uint8_t *job, size_t n_job, enum worker_status s, int detail, const uint8_t *result,
		size_t n, struct err *e)
{
	return parcel_done(ctx, job, n_job, s, detail, result, n, false, e);
}

/* All rows of r->source, or up to the end map of r->reader's segment. */
static int rows_run(struct run *r, struct err *e)
{
	struct workers w = {.n_worker = (int)r->c->cli.n_worker,
			    .timeout_s = r->c->timeout_s,
			    .ctx = r,
			    .next = parcel_next,
			    .start = start,
			    .work = work,
			    .done = done};
	return workers_run(&w, e);
}

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
		if ((rc = header_write(r, e)) || (rc = rows_run(r, e)))
			break;
		struct ts_end end;
		memset(&end, 0, sizeof end);
		ts_end_follow(&end, ts_reader_end(r->reader));
		end.counts = r->counts;
		rc = ts_writer_end(r->writer, &end, e);
	}
	ts_reader_free(r->reader);
	r->reader = NULL;
	r->seg.header = NULL;
	return rc;
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
		rc = rows_run(r, e);
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

int molprog_main(const struct molprog_program *p, void *conf, size_t nbytes, int argc, char **argv)
{
	struct run r = {.p = p, .conf = conf, .c = conf, .seg = {.p = p, .conf = conf}};
	struct err e = {0};
	int code = cli_begin(conf, nbytes, p->name, "[FILE ...]", p->own, molprog_options, argc, argv);
	if (code >= 0)
		return code;
	r.arena = r.c->cli.arena;
	r.scratch = arena_new(0);
	r.digest = source_digest_new();
	int rc = r.scratch && r.digest ? run_all(&r, &e) : err_set(&e, ERR_MEMORY, "no memory");
	cli_progress_free(r.progress);
	if (p->finish && r.out_open && p->finish(conf, !rc, &e))
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
