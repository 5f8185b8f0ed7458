/* learn_step.c - one step of each task: its batch, its loss, the optimiser. */
#include "learn_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool learn_in_structure(const struct learn_run *r)
{
	return r->conf->task == LEARN_STRUCTURE || r->p.phase == 1;
}

int64_t learn_batch_count(int64_t n, int64_t batch)
{
	int64_t count = (n + batch - 1) / batch;
	return count > 1 && n % batch == 1 ? count - 1 : count;
}

int64_t learn_batch_end(int64_t n, int64_t batch, int64_t i)
{
	return i + 1 == learn_batch_count(n, batch) ? n : (i + 1) * batch;
}

/* What hyperedges of batches are made by, where that is neither a code nor the stream's. */
static int relation_take(struct learn_run *r, int64_t i, const struct ts_map *m, struct nn_names *scaffolds,
			 struct err *e)
{
	const struct ts_tensor *t;
	const char *name;
	int rc = 0;
	if (r->fp && !(rc = ts_need_tensor(m, "fp", TS_U8, 1, &t, e))) {
		if (t->shape[0] != 256)
			return err_set(e, ERR_SCHEMA, "no field fp [256] uint8: run mol2graph with --fp");
		memcpy(r->fp + 256 * i, t->data, 256);
	}
	if (r->scaffold && !(rc = ts_need_str(m, "scaffold", &name, e)))
		r->scaffold[i] = nn_names_add(scaffolds, name);
	return rc;
}

/* ---- structure: seeds, the members of their hyperedges, codes ------------- */

int learn_codes_fill(struct learn_run *r, struct err *e)
{
	int64_t d = r->model->cfg.code_width, n = r->data.n, n_held = 0;
	size_t nbytes = (size_t)n * (size_t)d * sizeof(real);
	bool by_batch = !learn_hyper_start(&r->data.hyper);
	unsigned want = 7u << NN_EMB_C | (by_batch ? 1u << NN_EMB_UNIFIED : 0);
	if (nbytes * NN_N_VIEW > (size_t)r->conf->mem)
		return err_set(e, ERR_LIMIT, "the codes of %" PRId64 " molecules take %zu MB: more --mem", n,
			       nbytes * NN_N_VIEW >> 20);
	r->codes = malloc(nbytes * NN_N_VIEW + 1);
	r->codes_has = malloc((size_t)(n * NN_N_VIEW) + 1);
	r->unified = malloc(by_batch ? nbytes + 1 : 1);
	if (by_batch && r->model->cfg.hyper_by == NN_BY_FP)
		r->fp = malloc((size_t)n * 256 + 1);
	if (by_batch && r->model->cfg.hyper_by == NN_BY_SCAFFOLD)
		r->scaffold = malloc((size_t)(n + 1) * sizeof *r->scaffold);
	struct nn_names scaffolds = {0};
	struct ts_map map[NN_BLOCK_MOL];
	const struct ts_map *rec[NN_BLOCK_MOL];
	struct arena *a = arena_new(0);
	int rc = 0;
	if (!r->codes || !r->codes_has || !r->unified || (by_batch && r->model->cfg.hyper_by == NN_BY_FP && !r->fp) ||
	    (by_batch && r->model->cfg.hyper_by == NN_BY_SCAFFOLD && !r->scaffold))
		abort();
	for (int64_t from = 0; from < n && !rc; from += n_held) {
		struct nn_embeddings out;
		arena_reset(a);
		for (n_held = 0; n_held < NN_BLOCK_MOL && from + n_held < n && !rc; n_held++) {
			rc = nn_data_get(r->data.records, from + n_held, a, &map[n_held], e);
			rec[n_held] = &map[n_held];
			if (!rc)
				rc = relation_take(r, from + n_held, &map[n_held], &scaffolds, e);
		}
		n_held = rc ? 0 : nn_infer_take(rec, n_held);
		if (!rc)
			rc = nn_infer_embeddings(&r->infer, rec, n_held, want, &out, e);
		if (!rc && io_stop_signal())
			rc = err_set(e, ERR_STOPPED, "stopped by signal %d", io_stop_signal());
		if (rc)
			break;
		memcpy(r->codes_has + from * NN_N_VIEW, out.has, (size_t)(n_held * NN_N_VIEW));
		for (int64_t i = 0; i < n_held; i++)
			for (int v = 0; v < NN_N_VIEW; v++)
				if (out.value[NN_EMB_C + v])
					memcpy(r->codes + ((from + i) * NN_N_VIEW + v) * d,
					       out.value[NN_EMB_C + v] + i * d, (size_t)d * sizeof(real));
		if (by_batch && out.value[NN_EMB_UNIFIED])
			memcpy(r->unified + from * d, out.value[NN_EMB_UNIFIED], (size_t)(n_held * d) * sizeof(real));
	}
	nn_names_free(&scaffolds);
	arena_free(a);
	return rc;
}

/* Whether record i has a view to learn from. */
static bool has_any(const struct learn_run *r, int64_t i)
{
	const uint8_t *has = r->codes_has + i * NN_N_VIEW;
	return has[NN_2D] || has[NN_3D] || has[NN_IMG];
}

/* Seeds first, then the members that are no seeds, in the order of their first mention. */
static struct nn_hyper hyper_of_stream(struct learn_run *r, const int64_t *idx, int64_t n, int64_t **all,
				       int64_t *n_all)
{
	const struct learn_data *d = &r->data;
	const int64_t *edge = learn_hyper_start(&d->hyper), *member = learn_hyper_node(&d->hyper);
	const float *weight = learn_hyper_weight(&d->hyper);
	int64_t n_entry = 0, at = 0;
	for (int64_t i = 0; i < n; i++)
		n_entry += edge[idx[i] + 1] - edge[idx[i]];
	int64_t *start = arena_alloc(r->arena, (size_t)(n + 1) * sizeof *start);
	int64_t *node = arena_alloc(r->arena, (size_t)(n_entry + 1) * sizeof *node);
	real *value = arena_alloc(r->arena, (size_t)(n_entry + 1) * sizeof *value);
	int64_t *place = arena_alloc(r->arena, (size_t)d->n * sizeof *place);
	*all = arena_alloc(r->arena, (size_t)(n + n_entry) * sizeof **all);
	memset(place, 0xff, (size_t)d->n * sizeof *place);
	for (*n_all = 0; *n_all < n; ++*n_all) {
		(*all)[*n_all] = idx[*n_all];
		place[idx[*n_all]] = *n_all;
	}
	for (int64_t i = 0; i < n; i++) {
		start[i] = at;
		for (int64_t j = edge[idx[i]]; j < edge[idx[i] + 1]; j++) {
			if (!has_any(r, member[j]))
				continue;
			if (place[member[j]] < 0) {
				place[member[j]] = *n_all;
				(*all)[(*n_all)++] = member[j];
			}
			value[at] = (real)weight[j];
			node[at++] = place[member[j]];
		}
	}
	start[n] = at;
	return (struct nn_hyper){
	    .n_node = *n_all, .n_edge = n, .n_entry = at, .start = start, .node = node, .value = value};
}

/* Rows idx of x [.., nbytes], or NULL for NULL. */
static void *rows_of(struct learn_run *r, const void *x, size_t nbytes, const int64_t *idx, int64_t n)
{
	char *y = x ? arena_alloc(r->arena, (size_t)n * nbytes + 1) : NULL;
	for (int64_t i = 0; i < n && x; i++)
		memcpy(y + (size_t)i * nbytes, (const char *)x + (size_t)idx[i] * nbytes, nbytes);
	return y;
}

static int hyper_of_batch(struct learn_run *r, const int64_t *idx, int64_t n, struct nn_hyper *h, struct err *e)
{
	size_t width = (size_t)r->model->cfg.code_width * sizeof(real);
	const char *codes = rows_of(r, r->codes, NN_N_VIEW * width, idx, n);
	struct nn_relation of = {.n = n,
				 .unified = rows_of(r, r->unified, width, idx, n),
				 .has = rows_of(r, r->codes_has, NN_N_VIEW, idx, n),
				 .fp = rows_of(r, r->fp, 256, idx, n),
				 .scaffold = rows_of(r, r->scaffold, sizeof *r->scaffold, idx, n)};
	for (int v = 0; v < NN_N_VIEW; v++) {
		char *code = r->model->views & 1u << v ? arena_alloc(r->arena, (size_t)n * width) : NULL;
		for (int64_t i = 0; i < n && code; i++)
			memcpy(code + (size_t)i * width, codes + ((size_t)i * NN_N_VIEW + (size_t)v) * width, width);
		of.code[v] = (const real *)(const void *)code;
	}
	return nn_model_hyper_of(r->model, &of, r->arena, h, e);
}

static int structure_loss(struct learn_run *r, const int64_t *idx, int64_t n, struct nn_var **loss,
			  struct nn_losses *terms, struct err *e)
{
	int64_t d = r->model->cfg.code_width, *of_stream, n_all = n;
	const int64_t *all = idx;
	struct nn_hyper h;
	if (learn_hyper_start(&r->data.hyper)) {
		h = hyper_of_stream(r, idx, n, &of_stream, &n_all);
		all = of_stream;
	} else {
		int rc = hyper_of_batch(r, idx, n, &h, e);
		if (rc)
			return rc;
	}
	real *codes = arena_alloc(r->arena, (size_t)(n_all * NN_N_VIEW * d) * sizeof *codes);
	uint8_t *has = arena_alloc(r->arena, (size_t)(n_all * NN_N_VIEW));
	for (int64_t i = 0; i < n_all; i++) {
		memcpy(codes + i * NN_N_VIEW * d, r->codes + all[i] * NN_N_VIEW * d,
		       (size_t)(NN_N_VIEW * d) * sizeof *codes);
		memcpy(has + i * NN_N_VIEW, r->codes_has + all[i] * NN_N_VIEW, NN_N_VIEW);
	}
	return nn_model_structure(r->model, r->tape, codes, has, n_all, &h, n, loss, terms, e);
}

/* ---- steps ---------------------------------------------------------------- */

int learn_loss(struct learn_run *r, const int64_t *idx, int64_t n, int64_t next_n, uint64_t step, struct nn_var **loss,
	       struct nn_losses *terms, struct err *e)
{
	struct learn_batch of;
	const struct nn_batch *b = &of.b;
	struct nn_var *logits;
	if (learn_in_structure(r)) {
		arena_reset(r->arena);
		return structure_loss(r, idx, n, loss, terms, e);
	}
	int rc = learn_batch_take(r, idx, n, step, &of, e);
	nn_profile_mark(r->profile, "records", false);
	if (rc)
		return rc;
	if (next_n)
		learn_ahead_begin(r, idx + n, next_n, step + 1);
	if (r->conf->task == LEARN_PRETRAIN)
		return nn_model_pretrain(r->model, r->tape, b, &of.draws, loss, terms, e);
	rc = nn_model_logits(r->model, r->tape, b, &logits, e);
	if (rc)
		return rc;
	float *y = arena_alloc(r->arena, (size_t)(n * r->data.n_task + 1) * sizeof *y);
	for (int64_t i = 0; i < n; i++)
		memcpy(y + i * r->data.n_task, r->data.y + idx[i] * r->data.n_task, (size_t)r->data.n_task * sizeof *y);
	*loss = nn_model_task_loss(r->model, r->tape, logits, y, r->class_weight);
	*terms = (struct nn_losses){NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
	terms->total = terms->task = nn_scalar(r->tape, *loss);
	return 0;
}

/* "step 17: ...; molecules 4, 9, 23 ...": a failure in the middle of training says where. */
static int numeric_failure(struct learn_run *r, const int64_t *idx, int64_t n, struct err *e)
{
	char why[120], ids[240] = "";
	size_t at = 0;
	int64_t i = 0;
	learn_ahead_wait(r);
	snprintf(why, sizeof why, "%.110s", e->msg);
	for (; i < n && at + 24 < sizeof ids; i++) {
		struct ts_map m;
		const char *id = NULL;
		if (nn_data_get(r->data.records, idx[i], r->arena, &m, e) || ts_need_str(&m, "id", &id, e))
			id = "?";
		at += (size_t)snprintf(ids + at, sizeof ids - at, "%s%.20s", i ? ", " : "", id);
	}
	*e = (struct err){0};
	return err_set(e, ERR_NUMERIC, "step %" PRId64 ": %s; molecules of this batch: %s%s", r->p.step + 1, why, ids,
		       i < n ? ", ..." : "");
}

int learn_step(struct learn_run *r, const int64_t *idx, int64_t n, int64_t next_n, double lr, struct nn_losses *terms,
	       double *norm, struct err *e)
{
	struct nn_var *loss;
	nn_profile_mark(r->profile, "other", false);
	nn_tape_begin(r->tape, true, (uint64_t)r->conf->cli.seed, (uint64_t)r->p.step);
	nn_params_zero_grad(r->model->ps);
	int rc = learn_loss(r, idx, n, next_n, (uint64_t)r->p.step, &loss, terms, e);
	*norm = NAN;
	if (rc || !loss)
		return rc;
	rc = nn_backward(r->tape, loss, e);
	if (!rc)
		rc = nn_optim_step(r->optim, lr, norm, e);
	nn_profile_mark(r->profile, "optimiser", false);
	if (rc)
		return rc == ERR_NUMERIC ? numeric_failure(r, idx, n, e) : rc;
	nn_model_after_step(r->model, r->tape);
	return 0;
}
