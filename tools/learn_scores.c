/* Predictions against labels; see learn_scores.h. */
#include "learn_scores.h"
#include "nn_split.h"
#include "ts_export.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A number, or NaN for an empty cell and for "nan". */
static int number_take(const char *text, double *v, struct err *e)
{
	char *end;
	*v = NAN;
	if (!*text || !strcasecmp(text, "nan") || !strcasecmp(text, "na"))
		return 0;
	*v = strtod(text, &end);
	return *end ? err_set(e, ERR_NUMERIC, "'%s' is no number", text) : 0;
}

/* Tasks: the columns that are neither row, id, smiles nor X.sd nor y.X. */
static void tasks_find(struct scores *s, const struct table *t, struct arena *a)
{
	s->tasks = arena_alloc(a, (size_t)t->n_col * sizeof *s->tasks);
	for (int i = 0; i < t->n_col; i++) {
		const char *name = t->names[i];
		size_t n = strlen(name);
		char stem[512];
		bool is_sd = n > 3 && n < sizeof stem && !strcmp(name + n - 3, ".sd");
		if (is_sd) {
			memcpy(stem, name, n - 3);
			stem[n - 3] = 0;
			is_sd = table_column(t, stem) >= 0;
		}
		bool is_y = !strncmp(name, "y.", 2) && table_column(t, name + 2) >= 0;
		if (strcmp(name, "row") && strcmp(name, "id") && strcmp(name, "smiles") && !is_sd && !is_y)
			s->tasks[s->n_task++] = name;
	}
}

static int unique_check(const struct table *t, const char *column, struct err *e)
{
	struct nn_names seen = {0};
	int col = table_column(t, column), rc = 0;
	for (int64_t i = 0; i < t->n_row && col >= 0 && !rc; i++) {
		int64_t before = seen.n;
		const char *cell = table_cell(t, i, col);
		if (*cell && nn_names_add(&seen, cell) != before)
			rc = err_set(e, ERR_SCHEMA, "%s %s stands twice in the predictions", column, cell);
	}
	nn_names_free(&seen);
	return rc;
}

/* Line of the labels for each row of the predictions. */
static int lines_join(const struct table *pred, const struct table *labels, int64_t *line, struct err *e)
{
	struct nn_names rows = {0};
	int col = table_column(labels, "row"), col_pred = table_column(pred, "row"), rc = 0;
	if (col_pred < 0)
		return err_set(e, ERR_SCHEMA, "the predictions have no column row");
	for (int64_t i = 0; i < labels->n_row && col >= 0 && !rc; i++)
		if (nn_names_add(&rows, table_cell(labels, i, col)) != i)
			rc = err_set(e, ERR_SCHEMA, "row %s stands twice in the labels", table_cell(labels, i, col));
	for (int64_t i = 0; i < pred->n_row && !rc; i++) {
		const char *row = table_cell(pred, i, col_pred);
		char *end;
		line[i] = col >= 0 ? nn_names_find(&rows, row) : strtoll(row, &end, 10);
		if (line[i] < 0 || line[i] >= labels->n_row || (col < 0 && *end))
			rc = err_set(e, ERR_SCHEMA, "row %s is not in the labels", row);
	}
	nn_names_free(&rows);
	return rc;
}

int scores_join(struct scores *s, const struct table *pred, const struct table *labels, struct arena *a, struct err *e)
{
	*s = (struct scores){.n = pred->n_row};
	tasks_find(s, pred, a);
	size_t n_cell = (size_t)s->n * (size_t)s->n_task + 1;
	int64_t *line = arena_alloc(a, ((size_t)s->n + 1) * sizeof *line);
	s->pred = arena_alloc(a, n_cell * sizeof *s->pred);
	s->y = arena_alloc(a, n_cell * sizeof *s->y);
	s->n_label = arena_calloc(a, (size_t)s->n_task + 1, sizeof *s->n_label);
	if (!s->n_task)
		return err_set(e, ERR_SCHEMA, "no column of predictions: predict writes row, id, smiles and the tasks");
	if (!s->n)
		return err_set(e, ERR_SCHEMA, "no row to score");
	int rc = unique_check(pred, "row", e);
	if (!rc)
		rc = unique_check(pred, "id", e);
	if (!rc && labels)
		rc = lines_join(pred, labels, line, e);
	for (int t = 0; t < s->n_task && !rc; t++) {
		const char *task = s->tasks[t], *y_name = labels ? task : arena_printf(a, "y.%s", task);
		const struct table *from = labels ? labels : pred;
		int col = table_column(pred, task), col_y = table_column(from, y_name);
		if (col_y < 0 && labels)
			col_y = table_column(from, arena_printf(a, "y.%s", task));
		if (col_y < 0)
			return err_set(e, ERR_SCHEMA, "no labels: no column %s%s", y_name,
				       labels ? " in the labels" : "; give --labels FILE");
		for (int64_t i = 0; i < s->n && !rc; i++) {
			double *p = &s->pred[i * s->n_task + t], *y = &s->y[i * s->n_task + t];
			rc = number_take(table_cell(pred, i, col), p, e);
			if (!rc)
				rc = number_take(table_cell(from, labels ? line[i] : i, col_y), y, e);
			if (!rc && isnan(*p) && !isnan(*y))
				rc = err_set(e, ERR_NUMERIC, "no prediction of %s for a row with a label", task);
			if (rc && e) {
				e->record = i;
				e->has_record = true;
			}
			s->n_label[t] += !rc && !isnan(*y);
		}
	}
	return rc;
}

int scores_metrics(struct scores *s, int n, const char *const *names, struct err *e)
{
	bool binary = true;
	for (int64_t i = 0; i < s->n * s->n_task; i++)
		binary &= isnan(s->y[i]) || s->y[i] == 0 || s->y[i] == 1;
	if (!n) {
		static const enum nn_metric classes[] = {NN_METRIC_ROC_AUC, NN_METRIC_PR_AUC};
		static const enum nn_metric values[] = {NN_METRIC_RMSE, NN_METRIC_MAE, NN_METRIC_R2};
		s->n_metric = binary ? 2 : 3;
		memcpy(s->metrics, binary ? classes : values, (size_t)s->n_metric * sizeof *s->metrics);
		return 0;
	}
	int n_known = 0;
	while (nn_metric_names[n_known])
		n_known++;
	if (n > 8)
		return err_set(e, ERR_USAGE, "--metric: at most 8");
	for (int i = 0; i < n; i++) {
		int k = 0;
		while (k < n_known && strcmp(names[i], nn_metric_names[k]))
			k++;
		if (k == n_known) {
			const char *near = opt_nearest(names[i], nn_metric_names, n_known);
			return err_set(e, ERR_USAGE, "--metric: no metric '%s'%s%s", names[i],
				       near ? "; did you mean " : "", near ? near : "");
		}
		if (!binary && (k == NN_METRIC_ROC_AUC || k == NN_METRIC_PR_AUC))
			return err_set(e, ERR_SCHEMA, "%s needs labels that are 0 or 1", names[i]);
		s->metrics[s->n_metric++] = (enum nn_metric)k;
	}
	return 0;
}

static int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Percentile with linear interpolation between order statistics; the resamples without a value are left out. */
static double percentile(double *v, int64_t n, double q)
{
	int64_t m = 0;
	for (int64_t i = 0; i < n; i++)
		if (!isnan(v[i]))
			v[m++] = v[i];
	if (!m)
		return NAN;
	qsort(v, (size_t)m, sizeof *v, double_compare);
	double at = q * (double)(m - 1);
	int64_t i = (int64_t)at;
	return i + 1 < m ? v[i] + (at - (double)i) * (v[i + 1] - v[i]) : v[i];
}

/* A resample whose labels of a task are of one class says nothing of that task's ROC-AUC or PR-AUC. */
static void one_class_drop(const struct scores *s, enum nn_metric m, const double *y, double *values)
{
	for (int t = 0; t < s->n_task && (m == NN_METRIC_ROC_AUC || m == NN_METRIC_PR_AUC); t++) {
		bool seen[2] = {false, false};
		for (int64_t i = 0; i < s->n; i++)
			if (!isnan(y[i * s->n_task + t]))
				seen[y[i * s->n_task + t] > 0.5] = true;
		if (!seen[0] || !seen[1])
			values[t] = NAN;
	}
}

void scores_compute(struct scores *s, int64_t n_boot, uint64_t seed, struct arena *a)
{
	int width = s->n_task + 1;
	size_t n_value = (size_t)s->n_metric * (size_t)width, n_cell = (size_t)s->n * (size_t)s->n_task;
	s->value = arena_alloc(a, n_value * sizeof *s->value);
	s->low = arena_alloc(a, n_value * sizeof *s->low);
	s->high = arena_alloc(a, n_value * sizeof *s->high);
	for (int k = 0; k < s->n_metric; k++)
		s->value[k * width + s->n_task] =
		    nn_metric_mean(s->metrics[k], s->pred, s->y, s->n, s->n_task, s->value + k * width);
	if (n_boot <= 0)
		return;
	double *pred = arena_alloc(a, n_cell * sizeof *pred), *y = arena_alloc(a, n_cell * sizeof *y);
	double *boot = arena_alloc(a, (size_t)n_boot * n_value * sizeof *boot),
	       *one = arena_alloc(a, n_value * sizeof *one);
	size_t row_nbytes = (size_t)s->n_task * sizeof *pred;
	for (int64_t b = 0; b < n_boot; b++) {
		struct rng rng;
		rng_init(&rng, seed, (uint64_t)b);
		for (int64_t i = 0; i < s->n; i++) {
			int64_t from = rng_below(&rng, (uint32_t)s->n);
			memcpy(pred + i * s->n_task, s->pred + from * s->n_task, row_nbytes);
			memcpy(y + i * s->n_task, s->y + from * s->n_task, row_nbytes);
		}
		for (int k = 0; k < s->n_metric; k++) {
			one[k * width + s->n_task] =
			    nn_metric_mean(s->metrics[k], pred, y, s->n, s->n_task, one + k * width);
			one_class_drop(s, s->metrics[k], y, one + k * width);
		}
		for (size_t v = 0; v < n_value; v++)
			boot[v * (size_t)n_boot + (size_t)b] = one[v];
	}
	for (size_t v = 0; v < n_value; v++) {
		s->low[v] = percentile(boot + v * (size_t)n_boot, n_boot, 0.025);
		s->high[v] = percentile(boot + v * (size_t)n_boot, n_boot, 0.975);
	}
}

/* ---- output ---- */

static const char *number(double v, char buf[32])
{
	if (isnan(v))
		strcpy(buf, "nan");
	else
		snprintf(buf, 32, "%.4f", v);
	return buf;
}

void scores_write_text(const struct scores *s, bool intervals, FILE *out)
{
	char buf[32];
	fputs("task\tn", out);
	for (int k = 0; k < s->n_metric; k++) {
		const char *name = nn_metric_names[s->metrics[k]];
		fprintf(out, intervals ? "\t%s\t%s.low\t%s.high" : "\t%s", name, name, name);
	}
	putc('\n', out);
	for (int t = 0; t <= s->n_task; t++) {
		if (t == s->n_task)
			fprintf(out, "mean\t%" PRId64, s->n);
		else
			fprintf(out, "%s\t%" PRId64, s->tasks[t], s->n_label[t]);
		for (int k = 0; k < s->n_metric; k++) {
			int v = k * (s->n_task + 1) + t;
			fprintf(out, "\t%s", number(s->value[v], buf));
			if (intervals) {
				fprintf(out, "\t%s", number(s->low[v], buf));
				fprintf(out, "\t%s", number(s->high[v], buf));
			}
		}
		putc('\n', out);
	}
}

static void json_number(FILE *out, const char *before, double v)
{
	char buf[32];
	fprintf(out, "%s%s", before, isfinite(v) ? ts_format_float(v, false, buf) : "null");
}

void scores_write_json(const struct scores *s, bool intervals, FILE *out)
{
	fputs("{\"tasks\":{", out);
	for (int t = 0; t <= s->n_task; t++) {
		struct ts_value name = {.kind = TS_STR};
		name.u.str.s = t < s->n_task ? s->tasks[t] : "mean";
		name.u.str.n = (int64_t)strlen(name.u.str.s);
		if (t == s->n_task)
			fputs("},", out);
		else if (t)
			putc(',', out);
		ts_json_value(out, &name);
		fprintf(out, ":{\"n\":%" PRId64, t < s->n_task ? s->n_label[t] : s->n);
		for (int k = 0; k < s->n_metric; k++) {
			int v = k * (s->n_task + 1) + t;
			fprintf(out, ",\"%s\":", nn_metric_names[s->metrics[k]]);
			json_number(out, "", s->value[v]);
			if (intervals) {
				fprintf(out, ",\"%s.interval\":", nn_metric_names[s->metrics[k]]);
				json_number(out, "[", s->low[v]);
				json_number(out, ",", s->high[v]);
				putc(']', out);
			}
		}
		putc('}', out);
	}
	fputs("}\n", out);
}

struct point {
	double pred, y;
};

static int point_compare(const void *a, const void *b)
{
	double x = ((const struct point *)a)->pred, y = ((const struct point *)b)->pred;
	return (x < y) - (x > y);
}

static void curve_write(const char *task, struct point *p, int64_t n, FILE *out)
{
	int64_t n_pos = 0, pos = 0;
	bool binary = true;
	for (int64_t i = 0; i < n; i++) {
		binary &= p[i].y == 0 || p[i].y == 1;
		n_pos += p[i].y == 1;
	}
	qsort(p, (size_t)n, sizeof *p, point_compare);
	if (binary && n_pos && n_pos < n) {
		fprintf(out, "%s\troc\t0\t0\tinf\n", task);
		for (int64_t i = 0, j; i < n; i = j) {
			for (j = i; j < n && p[j].pred == p[i].pred; j++)
				pos += p[j].y == 1;
			fprintf(out, "%s\troc\t%.6g\t%.6g\t%.9g\n", task, (double)(j - pos) / (double)(n - n_pos),
				(double)pos / (double)n_pos, p[i].pred);
			fprintf(out, "%s\tpr\t%.6g\t%.6g\t%.9g\n", task, (double)pos / (double)n_pos,
				(double)pos / (double)j, p[i].pred);
		}
	}
	int64_t n_bin = n < 10 ? n : 10;
	for (int64_t b = n_bin; b-- > 0;) {
		int64_t from = b * n / n_bin, to = (b + 1) * n / n_bin;
		double mean = 0, label = 0;
		for (int64_t i = from; i < to; i++) {
			mean += p[i].pred / (double)(to - from);
			label += p[i].y / (double)(to - from);
		}
		fprintf(out, "%s\tcalibration\t%.6g\t%.6g\t%" PRId64 "\n", task, mean, label, to - from);
	}
}

void scores_write_curves(const struct scores *s, FILE *out)
{
	struct point *p = malloc(((size_t)s->n + 1) * sizeof *p);
	if (!p)
		abort();
	fputs("task\tcurve\tx\ty\tat\n", out);
	for (int t = 0; t < s->n_task; t++) {
		int64_t n = 0;
		for (int64_t i = 0; i < s->n; i++)
			if (!isnan(s->y[i * s->n_task + t]))
				p[n++] = (struct point){s->pred[i * s->n_task + t], s->y[i * s->n_task + t]};
		if (n)
			curve_write(s->tasks[t], p, n, out);
	}
	free(p);
}
