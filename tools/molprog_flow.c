/* Rows of a segment to the workers, and what comes back, in order. */
#include "molprog_run.h"

#include <inttypes.h>
#include <string.h>

/* Address space of a worker: libraries take a quarter of a GiB, the largest molecules that are read some more. */
#define WORKER_NBYTES ((size_t)4 << 30)

static bool row_wanted(const struct run *r, int64_t row)
{
	const struct molprog *c = r->c;
	return (c->limit < 0 || r->n_row < c->limit) &&
	       (!c->shard_n || (uint64_t)row % (uint64_t)c->shard_n == (uint64_t)c->shard_i);
}

/*
 * The next row of the segment, whatever it is. 1, 0 at the end, negative. *row is its number in the input of the first
 * program, by which shards are cut: a record's number is another once a row before it was refused.
 */
static int row_next(struct run *r, struct item *it, int64_t *row, struct err *e)
{
	const struct ts_value *v = NULL;
	int rc;
	if (r->reader) {
		struct ts_map m;
		bool cut = r->c->shard_n > 0;
		arena_reset(r->scratch);
		rc = ts_reader_next(r->reader, cut ? r->scratch : NULL, cut ? &m : NULL, e);
		if (rc == TS_END)
			return 0;
		if (rc != TS_RECORD)
			return rc < 0 ? rc : err_set(e, ERR_FORMAT, "a header within a segment");
		v = cut ? ts_get(&m, "row") : NULL;
		it->data = ts_reader_bytes(r->reader, &it->n);
		it->too_long = false;
	} else {
		rc = rows_next(r->seg.layout, r->source, &it->data, &it->n, &it->too_long, e);
		if (rc <= 0)
			return rc;
	}
	it->row = r->next_row++;
	*row = v && v->kind == TS_INT ? v->u.i : it->row;
	return 1;
}

/* The next row that is asked for. */
static int job_next(void *ctx, struct buf *b, struct err *e)
{
	struct run *r = ctx;
	struct item it;
	int64_t row = 0;
	int rc;
	while ((rc = row_next(r, &it, &row, e)) == 1) {
		bool wanted = row_wanted(r, row);
		r->n_row++;
		r->counts.rows++;
		if (wanted) {
			item_put(b, &it);
			return 1;
		}
		r->counts.filtered++;
	}
	return rc < 0 ? err_add_place(e, r->input, -1, -1) : 0;
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

static int start(void *ctx, struct err *e)
{
	return item_start(&((struct run *)ctx)->seg, e);
}

static int work(void *ctx, const uint8_t *job, size_t n, struct buf *result, struct err *e)
{
	return item_work(&((struct run *)ctx)->seg, job, n, result, e);
}

static int item_lost(struct run *r, const struct item *it, enum worker_status s, int detail, struct err *e)
{
	char msg[100];
	struct result x = {.outcome = OUT_REJECT, .code = s == WORKER_TIMEOUT ? "timeout" : "crashed", .msg = msg};
	if (s == WORKER_TIMEOUT)
		snprintf(msg, sizeof msg, "not done after %g s", r->c->timeout_s);
	else if (detail)
		snprintf(msg, sizeof msg, "the worker died of signal %d (%s)", detail, strsignal(detail));
	else
		snprintf(msg, sizeof msg, "the worker gave no answer that could be read");
	arena_reset(r->scratch);
	item_describe(&r->seg, it, r->scratch, &x);
	return result_take(r, &x, e);
}

/* Rows of all operands, by the share of their bytes that has been read; -1: unknown. */
static int64_t rows_expected(const struct run *r)
{
	int64_t seen = r->nbytes_before + source_n_raw(r->source);
	bool known = !r->reader && seen > 0 && r->file_nbytes >= seen;
	return known ? (int64_t)((double)r->n_row * (double)r->file_nbytes / (double)seen) : -1;
}

static bool check(void *ctx, const uint8_t *job, size_t n_job, const uint8_t *result, size_t n)
{
	struct item it;
	struct result x;
	item_get(job, n_job, &it);
	return result_get(result, n, it.row, &x) && (x.outcome == OUT_REJECT || ts_is_record(x.record, x.n_record));
}

static int done(void *ctx, const uint8_t *job, size_t n_job, enum worker_status s, int detail, const uint8_t *result,
		size_t n, struct err *e)
{
	struct run *r = ctx;
	struct result x;
	struct item it;
	int rc;
	item_get(job, n_job, &it);
	if (s == WORKER_OK && result_get(result, n, it.row, &x)) {
		rc = result_take(r, &x, e);
		cli_progress_slowest(r->progress, it.row, 1e-3 * detail);
	} else {
		rc = item_lost(r, &it, s, detail, e);
	}
	cli_progress_total(r->progress, rows_expected(r));
	cli_progress_update(r->progress, r->n_row, r->n_rejects);
	return rc;
}

/* What Open Babel would load at its first molecule is loaded before workers can open files no more. */
static int warm_up(const struct run *r, struct err *e)
{
	bool uses_babel = r->c->lenient || (!r->reader && r->seg.layout->format == MOLPROG_SDF);
	return uses_babel ? mol_warm_up(e) : 0;
}

int flow_run(struct run *r, struct err *e)
{
	struct workers w = {.n_worker = (int)r->c->cli.n_worker,
			    .timeout_s = r->c->timeout_s,
			    .mem_nbytes = WORKER_NBYTES,
			    .confined = sandbox_available(),
			    .ctx = r,
			    .next = job_next,
			    .start = start,
			    .work = work,
			    .check = check,
			    .done = done};
	if (SANDBOX_BUILT && !w.confined && !r->told_unconfined) {
		cli_warn(&r->c->cli, "this system has no seccomp filters: molecules are read with all privileges");
		r->told_unconfined = true;
	}
	int rc = warm_up(r, e);
	return rc ? rc : workers_run(&w, e);
}
