/* learn_scores.h - predictions with labels, their metrics, intervals and curves. */
#ifndef MOLRILL_LEARN_SCORES_H
#define MOLRILL_LEARN_SCORES_H

#include "learn_table.h"
#include "nn_metric.h"

struct scores {
	int n_task;
	const char **tasks;
	int64_t n;
	double *pred, *y; /* [n, n_task]; y NaN: no label */
	int n_metric;
	enum nn_metric metrics[8];
	/* Results: value, low, high of each task and, at index n_task, their mean: [n_metric, n_task + 1]. */
	double *value, *low, *high;
	int64_t *n_label; /* [n_task] */
};

/*
 * From predict's table; labels from its y.TASK columns, or from `labels` (may be NULL): by its column row, else by the
 * number of its line. ERR_SCHEMA for what is missing or twice; ERR_NUMERIC for what is no number. Arena memory.
 */
int scores_join(struct scores *s, const struct table *pred, const struct table *labels, struct arena *a, struct err *e);
/* Metrics by name, or the usual ones: roc-auc and pr-auc where all labels are 0 or 1, else rmse, mae and r2. */
int scores_metrics(struct scores *s, int n, const char *const *names, struct err *e);
/* Fills value, and with n_boot > 0 the percentile interval (95 %) over as many resamples of the rows. */
void scores_compute(struct scores *s, int64_t n_boot, uint64_t seed, struct arena *a);
void scores_write_text(const struct scores *s, bool intervals, FILE *out);
void scores_write_json(const struct scores *s, bool intervals, FILE *out);
/* Table task curve x y at: roc (false and true positive rate at each threshold), pr (recall, precision),
 * calibration (mean prediction and mean label of ten equal bins by rank; `at` is their size). */
void scores_write_curves(const struct scores *s, FILE *out);

#endif
