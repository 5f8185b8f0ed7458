/* learn_eval.c - metrics of the parts of the data. */
#include "learn_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *learn_metric_name(int metric)
{
	return metric == LEARN_LOSS ? "loss" : nn_metric_names[metric];
}

bool learn_is_better(const struct learn_run *r, double x, double than)
{
	if (isnan(x))
		return false;
	if (isnan(than))
		return true;
	return r->metric != LEARN_LOSS && nn_metric_is_better_high((enum nn_metric)r->metric) ? x > than : x < than;
}

int learn_metric_choose(struct learn_run *r, struct err *e)
{
	const char *names[LEARN_N_METRIC + 1], *typed = r->conf->metric;
	bool labels = r->conf->task == LEARN_FINETUNE, regression = labels && r->model->regression;
	for (int i = 0; i <= LEARN_N_METRIC; i++)
		names[i] = learn_metric_name(i);
	r->metric = !labels ? LEARN_LOSS : regression ? NN_METRIC_RMSE : NN_METRIC_ROC_AUC;
	if (!typed)
		return 0;
	for (r->metric = 0; r->metric <= LEARN_LOSS && strcmp(typed, names[r->metric]); r->metric++)
		;
	if (r->metric > LEARN_LOSS) {
		const char *near = opt_nearest(typed, names, LEARN_N_METRIC + 1);
		return err_set(e, ERR_USAGE, "--metric %s: no such metric%s%s", typed, near ? "; did you mean " : "",
			       near ? near : "");
	}
	bool of_classes = r->metric == NN_METRIC_ROC_AUC || r->metric == NN_METRIC_PR_AUC;
	if (r->metric != LEARN_LOSS && (!labels || of_classes == regression))
		return err_set(e, ERR_USAGE, "--metric %s does not apply to %s", typed,
			       !labels      ? "a task without labels"
			       : regression ? "values"
					    : "classes");
	return 0;
}

/* Predictions of the records idx, in blocks. */
static int logits_of(struct learn_run *r, const int64_t *idx, int64_t n, real *out, struct err *e)
{
	struct ts_map map[NN_BLOCK_MOL];
	const struct ts_map *rec[NN_BLOCK_MOL];
	int64_t n_held = 0;
	int rc = 0;
	for (int64_t from = 0; from < n && !rc; from += n_held) {
		arena_reset(r->arena);
		for (n_held = 0; n_held < NN_BLOCK_MOL && from + n_held < n && !rc; n_held++) {
			rc = nn_data_get(r->data.records, idx[from + n_held], r->arena, &map[n_held], e);
			rec[n_held] = &map[n_held];
		}
		n_held = nn_infer_take(rec, n_held);
		if (!rc)
			rc = nn_infer_logits(&r->infer, rec, n_held, out + from * r->model->n_task, e);
	}
	return rc;
}

/* Mean loss of the part's batches that have one, without dropout, with the same draws each time. */
static int loss_of(struct learn_run *r, const int64_t *idx, int64_t n, double *value, struct err *e)
{
	int64_t count = learn_batch_count(n, r->conf->batch);
	int64_t n_seen = 0;
	double sum = 0;
	for (int64_t i = 0; i < count; i++) {
		int64_t from = i * r->conf->batch, to = learn_batch_end(n, r->conf->batch, i);
		struct nn_losses terms;
		struct nn_var *loss;
		nn_tape_begin(r->tape, false, 0, 0);
		int rc = learn_loss(r, idx + from, to - from, 0, (uint64_t)i, &loss, &terms, e);
		if (rc)
			return rc;
		if (!loss)
			continue;
		sum += terms.total * (double)(to - from);
		n_seen += to - from;
	}
	*value = n_seen ? sum / (double)n_seen : NAN;
	return 0;
}

int learn_evaluate(struct learn_run *r, enum nn_part part, double *value, struct err *e)
{
	int64_t n = r->data.n_item[part], n_task = r->model->n_task;
	const int64_t *idx = r->data.item[part];
	for (int i = 0; i <= LEARN_N_METRIC; i++)
		value[i] = NAN;
	if (!n)
		return 0;
	if (r->conf->task != LEARN_FINETUNE || r->metric == LEARN_LOSS) {
		int rc = loss_of(r, idx, n, &value[LEARN_LOSS], e);
		if (rc || r->conf->task != LEARN_FINETUNE)
			return rc;
	}
	size_t n_cell = (size_t)(n * n_task);
	real *x = malloc(n_cell * sizeof *x);
	double *pred = malloc(2 * n_cell * sizeof *pred), *y = pred + n_cell;
	if (!x || !pred)
		abort();
	int rc = logits_of(r, idx, n, x, e);
	if (!rc) {
		nn_model_to_predictions(r->model, x, n);
		for (int64_t i = 0; i < n; i++)
			for (int64_t t = 0; t < n_task; t++) {
				pred[i * n_task + t] = x[i * n_task + t];
				y[i * n_task + t] = r->data.y[idx[i] * n_task + t];
			}
		for (int m = 0; m < LEARN_N_METRIC; m++)
			if ((m == NN_METRIC_ROC_AUC || m == NN_METRIC_PR_AUC) != r->model->regression)
				value[m] = nn_metric_mean((enum nn_metric)m, pred, y, n, (int)n_task, NULL);
	}
	free(x);
	free(pred);
	return rc;
}
