/* learn_save.c - checkpoints of a run: what is written, and going on from it. */
#include "learn_run.h"
#include "nn_checkpoint.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Integers of the progress, by name. */
static const struct {
	const char *name;
	size_t offset;
} counts[] = {
    {"phase", offsetof(struct learn_progress, phase)},
    {"epoch", offsetof(struct learn_progress, epoch)},
    {"batch", offsetof(struct learn_progress, batch)},
    {"step", offsetof(struct learn_progress, step)},
    {"phase_start", offsetof(struct learn_progress, phase_start)},
    {"windows", offsetof(struct learn_progress, n_window)},
    {"best_epoch", offsetof(struct learn_progress, best_epoch)},
    {"worse", offsetof(struct learn_progress, n_worse)},
    {"passed", offsetof(struct learn_progress, n_passed)},
    {"moves", offsetof(struct learn_progress, n_move)},
};
enum { N_COUNT = sizeof counts / sizeof *counts };

void learn_options_keep(struct learn_run *r, const struct ts_node *node)
{
	struct arena *a = r->conf->cli.arena;
	const char **kept = arena_alloc(a, (size_t)(node->n_option + 2) * sizeof *kept);
	int n = 0;
	for (int i = 0; i < node->n_option; i++)
		if (strncmp(node->options[i], "--epochs=", 9))
			kept[n++] = node->options[i];
	kept[n++] = arena_printf(a, "--seed=%" PRId64, r->conf->cli.seed);
	r->options = ts_value_strings(a, n, kept);
}

static void scores_set(struct ts_map *m, const char *key, const double *value, int64_t epoch, struct arena *a)
{
	struct ts_map s;
	ts_map_init(&s, a);
	ts_set_int(&s, "epoch", epoch);
	for (int part = 0; part < NN_PARTS; part++)
		if (!isnan(value[part]))
			ts_set_float(&s, nn_part_names[part], value[part]);
	ts_set(m, key, ts_value_map(&s));
}

static const char *computed_by(const struct learn_run *r, struct arena *a)
{
	return arena_strdup(a, r->kernels.build);
}

static void header_make(const struct learn_run *r, struct ts_header *h, struct arena *a)
{
	struct ts_map progress, metrics, data;
	*h = r->header;
	ts_map_init(&h->extra, a);
	ts_map_init(&metrics, a);
	ts_map_init(&data, a);
	ts_map_init(&progress, a);
	ts_set_str(&metrics, "metric", learn_metric_name(r->metric));
	if (r->p.best_epoch)
		scores_set(&metrics, "best", r->p.best, r->p.best_epoch, a);
	scores_set(&metrics, "last", r->p.last, r->p.epoch, a);
	ts_set(&h->extra, "metrics", ts_value_map(&metrics));
	ts_set_str(&data, "digest", r->data.gathered.follow.source);
	for (int part = 0; part < NN_PARTS; part++)
		ts_set_int(&data, nn_part_names[part], r->data.n_item[part]);
	ts_set(&h->extra, "data", ts_value_map(&data));
	for (int i = 0; i < N_COUNT; i++)
		ts_set_int(&progress, counts[i].name, *(const int64_t *)((const char *)&r->p + counts[i].offset));
	ts_set_float(&progress, "loss_sum", r->p.loss_sum);
	ts_set_int(&progress, "epochs", r->conf->epochs);
	ts_set_str(&progress, "computed_by", computed_by(r, a));
	ts_set(&progress, "options", r->options);
	ts_set(&h->extra, "progress", ts_value_map(&progress));
}

int learn_save(struct learn_run *r, bool complete, struct err *e)
{
	struct arena *a = arena_new(0);
	struct ts_header h;
	struct cli_out out;
	header_make(r, &h, a);
	struct nn_saving s = {.model = r->model,
			      .best = (const real *const *)r->best,
			      .optim = r->optim,
			      .header = &h,
			      .complete = complete,
			      .source = r->data.gathered.follow.source};
	int rc = cli_out_open(&r->conf->cli, true, &out, e);
	if (!rc) {
		rc = nn_checkpoint_write(&s, out.fd, e);
		int rc_close = cli_out_close(&out, !rc, e);
		rc = rc ? rc : rc_close;
	}
	arena_free(a);
	return rc;
}

struct nn_optim *learn_optim_new(void *run, struct nn_params *ps)
{
	const struct learn_run *r = run;
	struct nn_optim_config c = {.beta1 = 0.9,
				    .beta2 = 0.999,
				    .eps = 1e-8,
				    .weight_decay = r->conf->weight_decay,
				    .decoupled = r->conf->optimizer == 1,
				    .clip = r->conf->clip};
	return nn_optim_new(ps, &c);
}

/* ---- going on ------------------------------------------------------------- */

static int scores_get(const struct ts_map *metrics, const char *key, double *value)
{
	const struct ts_value *v = ts_get(metrics, key);
	for (int part = 0; part < NN_PARTS; part++)
		value[part] = NAN;
	if (!v || v->kind != TS_MAP)
		return 0;
	for (int part = 0; part < NN_PARTS; part++)
		ts_need_float(&v->u.map, nn_part_names[part], &value[part], NULL);
	return 0;
}

static bool same_strings(const struct ts_value *a, const struct ts_value *b)
{
	if (!a || a->kind != TS_LIST || a->u.list.n != b->u.list.n)
		return false;
	for (int64_t i = 0; i < a->u.list.n; i++)
		if (a->u.list.items[i].kind != TS_STR || strcmp(a->u.list.items[i].u.str.s, b->u.list.items[i].u.str.s))
			return false;
	return true;
}

static int progress_get(struct learn_run *r, const struct ts_header *h, struct err *e)
{
	const struct ts_value *progress = ts_get(&h->extra, "progress"), *metrics = ts_get(&h->extra, "metrics"),
			      *data = ts_get(&h->extra, "data");
	const char *digest = "";
	if (!progress || progress->kind != TS_MAP || !metrics || metrics->kind != TS_MAP || !data ||
	    data->kind != TS_MAP)
		return err_set(e, ERR_USAGE, "the model in %s holds no training to go on with", r->conf->cli.output);
	int rc = ts_need_str(&data->u.map, "digest", &digest, e);
	if (!rc && strcmp(digest, r->data.gathered.follow.source))
		return err_set(e, ERR_USAGE, "--resume: these are not the data that %s was trained on",
			       r->conf->cli.output);
	if (!rc && !same_strings(ts_get(&progress->u.map, "options"), &r->options))
		return err_set(e, ERR_USAGE, "--resume: the options are not those of the run in %s",
			       r->conf->cli.output);
	for (int i = 0; i < N_COUNT && !rc; i++)
		rc = ts_need_int(&progress->u.map, counts[i].name,
				 (int64_t *)(void *)((char *)&r->p + counts[i].offset), e);
	if (!rc)
		rc = ts_need_float(&progress->u.map, "loss_sum", &r->p.loss_sum, e);
	scores_get(&metrics->u.map, "best", r->p.best);
	scores_get(&metrics->u.map, "last", r->p.last);
	return rc;
}

/* More epochs go on from the last, unless what was done already would have been another thing with them. */
static int epochs_check(const struct learn_run *r, const struct ts_header *h, const struct nn_config *cfg,
			struct err *e)
{
	int64_t epochs;
	int rc = ts_need_int(&ts_get(&h->extra, "progress")->u.map, "epochs", &epochs, e);
	if (rc || epochs == r->conf->epochs)
		return rc;
	const char *why = r->conf->schedule == NN_SCHEDULE_COSINE               ? "the cosine ends"
			  : r->conf->task == LEARN_PRETRAIN && cfg->stages == 2 ? "the first stage ends"
										: NULL;
	if (why)
		return err_set(e, ERR_USAGE,
			       "--resume: --epochs %" PRId64 " says when %s, and the run in %s had %" PRId64,
			       r->conf->epochs, why, r->conf->cli.output, epochs);
	if (r->p.epoch + (r->p.batch > 0) > r->conf->epochs)
		return err_set(e, ERR_USAGE, "--resume: the run in %s is past --epochs %" PRId64, r->conf->cli.output,
			       r->conf->epochs);
	return 0;
}

/* Another device or another library of products rounds otherwise: the result is that of no single run. */
static void device_tell(const struct learn_run *r, const struct ts_header *h)
{
	const char *before = "", *now = computed_by(r, r->conf->cli.arena);
	if (!ts_need_str(&ts_get(&h->extra, "progress")->u.map, "computed_by", &before, NULL) && strcmp(before, now))
		cli_warn(&r->conf->cli,
			 "--resume: %s was computed by %s, and goes on by %s: its bytes are those of no single run",
			 r->conf->cli.output, before, now);
}

int learn_resume(struct learn_run *r, struct err *e)
{
	struct nn_checkpoint *c;
	struct nn_resume resume = {.optim_new = learn_optim_new, .ctx = r};
	int rc = nn_checkpoint_open(&c, r->conf->cli.output, e);
	if (rc)
		return rc;
	rc = progress_get(r, nn_checkpoint_header(c), e);
	if (!rc)
		rc = epochs_check(r, nn_checkpoint_header(c), nn_checkpoint_config(c), e);
	if (!rc)
		rc = learn_device_fit(&r->kernels, &r->device, nn_checkpoint_config(c), nn_checkpoint_parts(c), e);
	if (!rc)
		device_tell(r, nn_checkpoint_header(c));
	if (!rc)
		rc = nn_checkpoint_model(c, NULL, nn_checkpoint_parts(c), &r->kernels, &resume, &r->model, e);
	r->optim = resume.optim;
	r->best = resume.best;
	if (!rc)
		nn_optim_set_steps(r->optim, r->p.n_move);
	nn_checkpoint_close(c);
	return rc;
}
