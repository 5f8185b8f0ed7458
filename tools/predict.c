/* predict - what a fine-tuned model, or the mean of several, says of each molecule. */
#include "learn_filter.h"
#include "ts_export.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MODEL = 64 };

struct predict {
	struct cli cli;
	struct opt_list models;
	bool stream, partial, plain;
	int device;
	const char *explain;
};
#define AT(member) offsetof(struct predict, member)
static const struct opt options[] = {
    {"model", 'm', OPT_LIST, "MODEL", "the model; several are an ensemble", AT(models),
     .flags = OPT_RECORDS | OPT_REPEAT | OPT_WHOLE | OPT_DIGEST},
    {"stream", 0, OPT_FLAG, NULL, "write the records with a field pred, not a table", AT(stream), .flags = 0},
    LEARN_DEVICE_OPTION(AT(device)),
    {"explain", 0, OPT_STR, "FIELD", "add what each atom contributes, by masking it", AT(explain),
     .flags = OPT_RECORDS},
    {"plain", 0, OPT_FLAG, NULL, "compute by the plain paths alone", AT(plain), .flags = OPT_RECORDS},
    {"allow-partial", 0, OPT_FLAG, NULL, "use a model of a run that was stopped", AT(partial), .flags = 0},
    {0},
};

struct run {
	const struct predict *p;
	struct kernels kernels;
	struct learn_device device;
	int n_model, n_task;
	struct nn_model *model[MAX_MODEL];
	struct nn_infer infer[MAX_MODEL];
	int *label; /* [n_task] place of the task among the stream's, -1: not there */
	int n_label;
	struct cli_sink sink;
	struct cli_out out;
	struct buf text;
	struct arena *arena;
	int64_t n_segment, n_unknown; /* n_unknown: records without a prediction */
};

static const char *task_name(const struct run *r, int t)
{
	return r->model[0]->tasks[t];
}

static int models_open(struct run *r, struct err *e)
{
	const struct opt_list *list = &r->p->models;
	if (!list->n)
		return err_set(e, ERR_USAGE, "which model? -m MODEL");
	if (list->n > MAX_MODEL)
		return err_set(e, ERR_USAGE, "at most %d models", MAX_MODEL);
	for (int i = 0; i < list->n; i++) {
		const unsigned all = NN_PART_ENCODERS | NN_PART_CODES | NN_PART_STRUCTURE | NN_PART_HEAD;
		int rc = learn_model_open(list->items[i], all, r->p->partial, i ? NULL : &r->device, &r->kernels,
					  &r->model[i], e);
		if (rc)
			return rc;
		struct nn_model *m = r->model[i];
		r->n_model++;
		if (!(m->parts & NN_PART_HEAD))
			return err_set(e, ERR_USAGE, "%s has no head: fine-tune it first", list->items[i]);
		bool same = m->n_task == r->model[0]->n_task && m->regression == r->model[0]->regression;
		for (int t = 0; same && t < m->n_task; t++)
			same = !strcmp(m->tasks[t], task_name(r, t));
		if (!same)
			return err_set(e, ERR_USAGE, "%s has other tasks than %s", list->items[i], list->items[0]);
		if ((rc = nn_infer_init(&r->infer[i], m, e)))
			return rc;
	}
	r->n_task = r->model[0]->n_task;
	r->label = calloc((size_t)r->n_task + 1, sizeof *r->label);
	return r->label ? 0 : err_set(e, ERR_MEMORY, "no memory");
}

/* ---- output --------------------------------------------------------------- */

/* A cell of a table: tabs and ends of lines would be cells and lines of their own. */
static void cell_put(struct run *r, const char *s)
{
	for (; *s; s++) {
		char c = *s == '\t' || *s == '\n' || *s == '\r' ? ' ' : *s;
		buf_put(&r->text, &c, 1);
	}
}

static void number_put(struct run *r, double x)
{
	char text[32];
	buf_printf(&r->text, "\t%s", isnan(x) ? "nan" : ts_format_float(x, true, text));
}

static int text_flush(struct run *r, struct err *e)
{
	int rc = io_write_all(r->out.fd, r->text.data, r->text.n, e);
	r->text.n = 0;
	return rc;
}

/* A line's end is written before the next line, and the last one when all went well: what was cut can be told. */
static int table_header(struct run *r, struct err *e)
{
	buf_printf(&r->text, "row\tid\tsmiles");
	for (int t = 0; t < r->n_task; t++) {
		buf_printf(&r->text, "\t");
		cell_put(r, task_name(r, t));
	}
	for (int t = 0; t < r->n_task && r->n_model > 1; t++) {
		buf_printf(&r->text, "\t");
		cell_put(r, task_name(r, t));
		buf_printf(&r->text, ".sd");
	}
	for (int t = 0; t < r->n_task; t++)
		if (r->label[t] >= 0) {
			buf_printf(&r->text, "\ty.");
			cell_put(r, task_name(r, t));
		}
	if (r->p->explain) {
		buf_printf(&r->text, "\t");
		cell_put(r, r->p->explain);
	}
	return text_flush(r, e);
}

static int header(void *ctx, struct ts_header *h, struct err *e)
{
	struct run *r = ctx;
	int labels[2] = {0, 0};
	int rc = 0;
	for (int i = 0; i < r->n_model && !rc; i++)
		rc = learn_model_door(&r->p->cli, r->model[i], h, e);
	if (rc)
		return rc;
	for (int t = 0; t < r->n_task; t++) {
		int at = -1;
		for (int k = 0; k < h->n_task && at < 0; k++)
			if (!strcmp(h->tasks[k], task_name(r, t)))
				at = k;
		labels[0] += r->label[t] >= 0;
		labels[1] += at >= 0;
		r->label[t] = at;
	}
	r->n_label = h->n_task;
	if (!r->p->stream) {
		if (r->n_segment++ && labels[0] != labels[1])
			return err_set(e, ERR_SCHEMA, "one stream has labels and another has none: no common table");
		return r->n_segment == 1 ? table_header(r, e) : 0;
	}
	struct ts_node node;
	if ((rc = cli_node(r->p, false, &node, e)))
		return rc;
	const char *blas[1][2] = {{r->kernels.blas, r->kernels.build}};
	node.n_library = 1;
	node.libraries = blas;
	ts_header_add_field(h, "pred", r->p->cli.arena);
	if (r->p->explain)
		ts_header_add_field(h, r->p->explain, r->p->cli.arena);
	ts_set(&h->extra, "pred_tasks", ts_value_strings(r->p->cli.arena, r->n_task, r->model[0]->tasks));
	ts_header_add_node(h, &node, r->p->cli.arena);
	return ts_writer_header(r->sink.w, h, e);
}

static int row_put(struct run *r, const struct ts_map *m, const real *pred, const real *sd, const float *explained,
		   int64_t n_atom, struct err *e)
{
	int64_t row;
	const char *id = "", *smiles = "";
	const struct ts_tensor *y = NULL;
	int rc = ts_need_int(m, "row", &row, e);
	if (!rc && ts_get(m, "id"))
		rc = ts_need_str(m, "id", &id, e);
	if (!rc && ts_get(m, "smiles"))
		rc = ts_need_str(m, "smiles", &smiles, e);
	if (!rc && ts_get(m, "y"))
		rc = ts_need_tensor(m, "y", TS_F32, 1, &y, e);
	if (!rc && y && y->shape[0] != r->n_label)
		rc =
		    err_set(e, ERR_SCHEMA, "y has %" PRId64 " labels and the stream %d tasks", y->shape[0], r->n_label);
	if (rc)
		return rc;
	buf_printf(&r->text, "\n%" PRId64 "\t", row);
	cell_put(r, id);
	buf_printf(&r->text, "\t");
	cell_put(r, smiles);
	for (int t = 0; t < r->n_task; t++)
		number_put(r, pred[t]);
	for (int t = 0; t < r->n_task && r->n_model > 1; t++)
		number_put(r, sd[t]);
	for (int t = 0; t < r->n_task; t++)
		if (r->label[t] >= 0)
			number_put(r, y ? ((const float *)y->data)[r->label[t]] : NAN);
	if (r->p->explain && !n_atom)
		buf_printf(&r->text, "\t");
	for (int64_t i = 0; i < n_atom; i++) {
		char text[32];
		buf_printf(&r->text, "%s%s", i ? "," : "\t", ts_format_float(explained[i], true, text));
	}
	return 0;
}

/* ---- predictions ---------------------------------------------------------- */

/* Mean over the models, and the deviation between them (n - 1). */
static int ensemble(struct run *r, const struct ts_map *const *rec, int64_t n, real *mean, real *sd, struct err *e)
{
	int64_t n_cell = n * r->n_task;
	real *one = arena_alloc(r->arena, (size_t)(n_cell * r->n_model + 1) * sizeof *one);
	for (int i = 0; i < r->n_model; i++) {
		int rc = nn_infer_logits(&r->infer[i], rec, n, one + i * n_cell, e);
		if (rc)
			return rc;
		nn_model_to_predictions(r->model[i], one + i * n_cell, n);
	}
	for (int64_t j = 0; j < n_cell; j++) {
		double sum = 0, square = 0;
		for (int i = 0; i < r->n_model; i++)
			sum += one[i * n_cell + j];
		for (int i = 0; i < r->n_model; i++) {
			double d = one[i * n_cell + j] - sum / r->n_model;
			square += d * d;
		}
		mean[j] = (real)(sum / r->n_model);
		sd[j] = r->n_model > 1 ? (real)sqrt(square / (r->n_model - 1)) : 0;
		if (isinf(mean[j]))
			return err_set(e, ERR_NUMERIC, "a prediction that is no number");
	}
	return 0;
}

/*
 * What each atom contributes to the model's output before the link (mean over models): that of the molecule less that
 * of the molecule in which this atom is the mask of pre-training.
 */
static int explain(struct run *r, const struct ts_map *m, float **out, int64_t *n_atom, struct err *e)
{
	const struct ts_tensor *x;
	int rc = ts_need_tensor(m, "x", TS_I64, 2, &x, e);
	if (rc)
		return rc;
	int64_t n = x->shape[0], width = x->shape[1], n_variant = n + 1, T = r->n_task, n_take = 0;
	struct ts_map *variant = arena_alloc(r->arena, (size_t)n_variant * sizeof *variant);
	const struct ts_map **rec = arena_alloc(r->arena, (size_t)n_variant * sizeof *rec);
	real *logit = arena_alloc(r->arena, (size_t)(n_variant * T) * sizeof *logit);
	double *sum = arena_calloc(r->arena, (size_t)(n_variant * T), sizeof *sum);
	for (int64_t v = 0; v < n_variant; v++) {
		int64_t *masked = arena_alloc(r->arena, ts_tensor_nbytes(x) + 8);
		memcpy(masked, x->data, ts_tensor_nbytes(x));
		if (v < n) {
			memset(masked + v * width, 0, (size_t)width * sizeof *masked);
			masked[v * width] = 119;
		}
		ts_map_init(&variant[v], r->arena);
		for (int i = 0; i < m->n; i++)
			ts_set(&variant[v], m->fields[i].key, m->fields[i].v);
		ts_set_tensor(&variant[v], "x", TS_I64, masked, 2, n, width);
		rec[v] = &variant[v];
	}
	for (int i = 0; i < r->n_model && !rc; i++) {
		for (int64_t from = 0; from < n_variant && !rc; from += n_take) {
			n_take = nn_infer_take(rec + from, n_variant - from);
			rc = nn_infer_logits(&r->infer[i], rec + from, n_take, logit + from * T, e);
		}
		for (int64_t j = 0; j < n_variant * T && !rc; j++)
			sum[j] += logit[j] / (double)r->n_model;
	}
	*out = arena_alloc(r->arena, (size_t)(n * T + 1) * sizeof **out);
	*n_atom = n * T;
	for (int64_t t = 0; t < T; t++)
		for (int64_t v = 0; v < n; v++)
			(*out)[t * n + v] = (float)(sum[n * T + t] - sum[v * T + t]);
	return rc;
}

static int block(void *ctx, struct ts_map *const *rec, int64_t n, struct err *e)
{
	struct run *r = ctx;
	int64_t T = r->n_task;
	arena_reset(r->arena);
	real *pred = arena_alloc(r->arena, (size_t)(n * T) * sizeof *pred),
	     *sd = arena_alloc(r->arena, (size_t)(n * T) * sizeof *sd);
	int rc = ensemble(r, (const struct ts_map *const *)rec, n, pred, sd, e);
	for (int64_t i = 0; i < n && !rc; i++) {
		float *explained = NULL, *value = arena_alloc(r->arena, (size_t)T * sizeof *value);
		int64_t n_atom = 0;
		bool known = !isnan(pred[i * T]); /* else one of the models reads no view that it has */
		r->n_unknown += !known;
		if (r->p->explain && known)
			rc = explain(r, rec[i], &explained, &n_atom, e);
		if (rc)
			break;
		if (!r->p->stream) {
			rc = row_put(r, rec[i], pred + i * T, sd + i * T, explained, n_atom, e);
			continue;
		}
		for (int64_t t = 0; t < T; t++)
			value[t] = (float)pred[i * T + t];
		if (known)
			ts_set_tensor(rec[i], "pred", TS_F32, value, 1, T);
		if (explained && T == 1)
			ts_set_tensor(rec[i], r->p->explain, TS_F32, explained, 1, n_atom);
		else if (explained)
			ts_set_tensor(rec[i], r->p->explain, TS_F32, explained, 2, T, n_atom / T);
		rc = ts_writer_record(r->sink.w, rec[i], e);
	}
	return rc || r->p->stream ? rc : text_flush(r, e);
}

static int end(void *ctx, const struct ts_end *in, struct err *e)
{
	struct run *r = ctx;
	struct ts_end out;
	if (!r->p->stream)
		return 0;
	ts_end_follow(&out, in);
	return ts_writer_end(r->sink.w, &out, e);
}

int main(int argc, char **argv)
{
	struct predict p = {.cli = {.output = "-", .n_worker = 1}};
	struct run r = {.p = &p};
	struct err e = {0};
	learn_begin(argv);
	int code = cli_begin(&p, sizeof p, "predict", "[FILE ...]", options, NULL, argc, argv);
	if (code >= 0)
		return code;
	struct pool *pool = pool_new((int)p.cli.n_worker);
	r.arena = arena_new(0);
	r.device = (struct learn_device){.choice = p.device, .plain = p.plain, .pool = pool};
	int rc = learn_device_open(&r.kernels, &r.device, &e);
	if (!rc)
		rc = models_open(&r, &e);
	if (!rc)
		rc = p.stream ? cli_sink_open(&p.cli, &r.sink, &e) : cli_out_open(&p.cli, false, &r.out, &e);
	bool is_open = !rc;
	struct learn_filter f = {
	    .c = &p.cli, .batch = NN_BLOCK_MOL, .ctx = &r, .header = header, .block = block, .end = end};
	if (!rc)
		rc = learn_filter_run(&f, &e);
	if (!rc && !p.stream) {
		buf_printf(&r.text, "\n");
		rc = text_flush(&r, &e);
	}
	if (!rc && r.n_unknown)
		cli_warn(&p.cli, "%" PRId64 " records have no view that each model's head reads: no prediction%s",
			 r.n_unknown, p.stream ? "" : " (nan)");
	int rc_close = p.stream ? cli_sink_close(&r.sink, !rc, &e) : is_open ? cli_out_close(&r.out, !rc, &e) : 0;
	rc = rc ? rc : rc_close;
	for (int i = 0; i < r.n_model; i++) {
		nn_infer_free(&r.infer[i]);
		nn_model_free(r.model[i]);
	}
	free(r.label);
	buf_free(&r.text);
	arena_free(r.arena);
	kernels_close(&r.kernels);
	pool_free(pool);
	return rc ? cli_fail(&p.cli, &e) : EXIT_DONE;
}
