/* nn_metric.c - ROC-AUC, average precision, RMSE, MAE, R2. */
#include "nn_metric.h"

#include <math.h>
#include <stdlib.h>

const char *const nn_metric_names[] = {"roc-auc", "pr-auc", "rmse", "mae", "r2", NULL};

struct scored {
	double score, y;
};

static int by_score_descending(const void *a, const void *b)
{
	double x = ((const struct scored *)a)->score, y = ((const struct scored *)b)->score;
	return (x < y) - (x > y);
}

/* The labelled rows, highest score first; counts of both classes. A score that is NaN makes the metric NaN. */
static struct scored *sort_scores(const double *score, const double *y, int64_t n, int64_t *n_kept, int64_t *n_pos)
{
	struct scored *s = malloc((size_t)(n ? n : 1) * sizeof *s);
	*n_kept = *n_pos = 0;
	if (!s)
		return NULL;
	for (int64_t i = 0; i < n; i++) {
		if (isnan(y[i]))
			continue;
		if (isnan(score[i])) {
			free(s);
			return NULL;
		}
		s[*n_kept].score = score[i];
		s[(*n_kept)++].y = y[i];
		*n_pos += y[i] > 0.5;
	}
	qsort(s, (size_t)*n_kept, sizeof *s, by_score_descending);
	return s;
}

double nn_roc_auc(const double *score, const double *y, int64_t n)
{
	int64_t m, n_pos;
	struct scored *s = sort_scores(score, y, n, &m, &n_pos);
	double auc = NAN;
	if (s && n_pos && n_pos < m) {
		double area = 0; /* pairs (positive, negative) in the right order, ties half */
		int64_t pos_above = 0;
		for (int64_t i = 0, j; i < m; i = j) {
			int64_t pos = 0, neg = 0;
			for (j = i; j < m && s[j].score == s[i].score; j++)
				s[j].y > 0.5 ? pos++ : neg++;
			area += (double)neg * ((double)pos_above + 0.5 * (double)pos);
			pos_above += pos;
		}
		auc = area / ((double)n_pos * (double)(m - n_pos));
	}
	free(s);
	return auc;
}

double nn_pr_auc(const double *score, const double *y, int64_t n)
{
	int64_t m, n_pos;
	struct scored *s = sort_scores(score, y, n, &m, &n_pos);
	double ap = NAN;
	if (s && n_pos) {
		int64_t tp = 0;
		ap = 0;
		for (int64_t i = 0, j; i < m; i = j) {
			int64_t pos = 0;
			for (j = i; j < m && s[j].score == s[i].score; j++)
				pos += s[j].y > 0.5;
			tp += pos;
			ap += (double)pos / (double)n_pos * ((double)tp / (double)j);
		}
	}
	free(s);
	return ap;
}

/* Mean over labelled rows of |error|^power. */
static double mean_error(const double *pred, const double *y, int64_t n, bool squared)
{
	double sum = 0;
	int64_t m = 0;
	for (int64_t i = 0; i < n; i++) {
		if (isnan(y[i]))
			continue;
		double e = pred[i] - y[i];
		sum += squared ? e * e : fabs(e);
		m++;
	}
	return m ? sum / (double)m : NAN;
}

double nn_rmse(const double *pred, const double *y, int64_t n)
{
	return sqrt(mean_error(pred, y, n, true));
}

double nn_mae(const double *pred, const double *y, int64_t n)
{
	return mean_error(pred, y, n, false);
}

double nn_r2(const double *pred, const double *y, int64_t n)
{
	double mean = 0, sst = 0;
	int64_t m = 0;
	for (int64_t i = 0; i < n; i++)
		if (!isnan(y[i])) {
			mean += y[i];
			m++;
		}
	mean /= (double)m;
	for (int64_t i = 0; i < n; i++)
		if (!isnan(y[i]))
			sst += (y[i] - mean) * (y[i] - mean);
	return m && sst > 0 ? 1 - mean_error(pred, y, n, true) * (double)m / sst : NAN;
}

double nn_metric(enum nn_metric which, const double *pred, const double *y, int64_t n)
{
	switch (which) {
	case NN_METRIC_ROC_AUC:
		return nn_roc_auc(pred, y, n);
	case NN_METRIC_PR_AUC:
		return nn_pr_auc(pred, y, n);
	case NN_METRIC_RMSE:
		return nn_rmse(pred, y, n);
	case NN_METRIC_MAE:
		return nn_mae(pred, y, n);
	case NN_METRIC_R2:
		return nn_r2(pred, y, n);
	}
	return NAN;
}

bool nn_metric_is_better_high(enum nn_metric which)
{
	return which != NN_METRIC_RMSE && which != NN_METRIC_MAE;
}

double nn_metric_mean(enum nn_metric which, const double *pred, const double *y, int64_t n, int n_task,
		      double *per_task)
{
	double *p = malloc(2 * (size_t)(n ? n : 1) * sizeof *p), sum = 0;
	int n_valid = 0;
	if (!p)
		return NAN;
	for (int t = 0; t < n_task; t++) {
		double v = NAN;
		bool has_one = false, has_other = false;
		for (int64_t i = 0; i < n; i++) {
			p[i] = pred[i * n_task + t];
			p[n + i] = y[i * n_task + t];
			has_one |= p[n + i] > 0.5;
			has_other |= p[n + i] <= 0.5;
		}
		v = nn_metric(which, p, p + n, n);
		if (per_task)
			per_task[t] = v;
		/* Average precision exists with positives alone, but says nothing there: both classes or out of the
		 * mean. */
		if (which == NN_METRIC_PR_AUC && !(has_one && has_other))
			continue;
		if (!isnan(v)) {
			sum += v;
			n_valid++;
		}
	}
	free(p);
	return n_valid ? sum / n_valid : NAN;
}
