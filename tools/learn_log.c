/* learn_log.c - the log: one JSON object a line; and the live line. */
#include "learn_run.h"
#include "ts_export.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct learn_log {
	FILE *file; /* NULL: no --log */
	const char *name;
	struct cli_progress *line;
	int why;       /* errno of the first line that could not be written */
	double last_s; /* time of the step before */
	char metric[64];
};

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int learn_log_open(struct learn_run *r, struct err *e)
{
	struct learn_log *l = calloc(1, sizeof *l);
	const char *name = r->conf->log;
	if (!l)
		abort();
	r->log = l;
	l->name = name;
	l->last_s = now_s();
	if (name && !(l->file = fopen(name, r->conf->resume ? "ae" : "we")))
		return err_set_errno(e, ERR_IO, "%s", name);
	int64_t total = r->conf->epochs * r->n_batch;
	if (r->conf->task == LEARN_PRETRAIN && r->model->cfg.stages == 2)
		total *= 2;
	l->line = cli_progress_new(&r->conf->cli, total);
	return 0;
}

int learn_log_close(struct learn_log *l, struct err *e)
{
	int rc = 0;
	if (!l)
		return 0;
	cli_progress_free(l->line);
	if (l->file && fclose(l->file) && !l->why)
		l->why = errno;
	errno = l->why;
	if (l->why)
		rc = err_set_errno(e, ERR_IO, "%s cannot be written", l->name);
	free(l);
	return rc;
}

static void line_end(struct learn_log *l, bool flush)
{
	fputs("}\n", l->file);
	if ((ferror(l->file) || (flush && fflush(l->file))) && !l->why)
		l->why = errno ? errno : EIO;
}

static void number(FILE *f, const char *name, double x)
{
	char text[32];
	if (isfinite(x))
		fprintf(f, ",\"%s\":%s", name, ts_format_float(x, false, text));
}

void learn_log_step(struct learn_run *r, const struct nn_losses *t, double lr, double norm, int64_t n_mol)
{
	struct learn_log *l = r->log;
	double t_s = now_s(), spent_s = t_s - l->last_s;
	char note[160];
	l->last_s = t_s;
	snprintf(note, sizeof note, "epoch %" PRId64 ", loss %.4g%s", r->p.epoch + 1, t->total, l->metric);
	if (!isnan(t->total))
		cli_progress_note(l->line, note);
	cli_progress_update(l->line, r->p.step, 0);
	if (!l->file)
		return;
	fprintf(l->file, "{\"step\":%" PRId64 ",\"epoch\":%" PRId64, r->p.step, r->p.epoch + 1);
	const struct {
		const char *name;
		double x;
	} term[] = {{"loss", t->total},
		    {"con", t->con},
		    {"self", t->self},
		    {"cross", t->cross},
		    {"mask", t->mask},
		    {"align", t->align},
		    {"read", t->read},
		    {"swap", t->swap},
		    {"task", t->task},
		    {"usage", t->usage},
		    {"certainty", t->certainty},
		    {"information", t->usage - t->certainty},
		    {"max_cosine", t->max_cosine},
		    {"lr", lr},
		    {"norm", norm},
		    {"molecules_per_s", spent_s > 0 ? (double)n_mol / spent_s : NAN}};
	for (size_t i = 0; i < sizeof term / sizeof *term; i++)
		number(l->file, term[i].name, term[i].x);
	line_end(l, false);
}

void learn_log_epoch(struct learn_run *r, double value[NN_PARTS][LEARN_N_METRIC + 1])
{
	struct learn_log *l = r->log;
	double shown = value[NN_VALID][r->metric];
	if (!isnan(shown))
		snprintf(l->metric, sizeof l->metric, ", valid %s %.4f", learn_metric_name(r->metric), shown);
	if (!l->file)
		return;
	fprintf(l->file, "{\"epoch\":%" PRId64 ",\"step\":%" PRId64 ",\"windows\":%" PRId64, r->p.epoch, r->p.step,
		r->p.n_window);
	number(l->file, "mean_loss", r->p.loss_sum / (double)(r->data.n_item[NN_TRAIN] - r->p.n_passed));
	if (r->p.n_passed)
		fprintf(l->file, ",\"passed_over\":%" PRId64, r->p.n_passed);
	for (int part = 0; part < NN_PARTS; part++)
		for (int m = 0; m <= LEARN_N_METRIC; m++) {
			char name[32];
			snprintf(name, sizeof name, "%s.%s", nn_part_names[part], learn_metric_name(m));
			number(l->file, name, value[part][m]);
		}
	if (r->p.best_epoch)
		fprintf(l->file, ",\"best_epoch\":%" PRId64, r->p.best_epoch);
	line_end(l, true);
}
