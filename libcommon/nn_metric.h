/*
 * nn_metric.h - layer 3: metrics of predictions. Plain host arrays; labels that are NaN are left out.
 */
#ifndef MOLRILL_NN_METRIC_H
#define MOLRILL_NN_METRIC_H

#include <stdbool.h>
#include <stdint.h>

/* Area under the ROC curve, ties counted half; NaN unless both classes occur. score, y [n]. */
double nn_roc_auc(const double *score, const double *y, int64_t n);
/* Average precision: sum of (R_i - R_(i-1)) P_i over distinct scores, descending; NaN without a positive. */
double nn_pr_auc(const double *score, const double *y, int64_t n);
double nn_rmse(const double *pred, const double *y, int64_t n);
double nn_mae(const double *pred, const double *y, int64_t n);
double nn_r2(const double *pred, const double *y, int64_t n); /* 1 - SSE / SST */

enum nn_metric { NN_METRIC_ROC_AUC, NN_METRIC_PR_AUC, NN_METRIC_RMSE, NN_METRIC_MAE, NN_METRIC_R2 };
extern const char *const nn_metric_names[]; /* "roc-auc", "pr-auc", "rmse", "mae", "r2", NULL */
double nn_metric(enum nn_metric m, const double *pred, const double *y, int64_t n);
bool nn_metric_is_better_high(enum nn_metric m);
/* Mean over the tasks where the metric is a number (for roc-auc and pr-auc: that have both classes); pred, y [n,
 * n_task]. per_task [n_task] or NULL. */
double nn_metric_mean(enum nn_metric m, const double *pred, const double *y, int64_t n, int n_task, double *per_task);

#endif
