/* learn_run.c - a training run from its data to its model. */
#include "learn_run.h"
#include "nn_checkpoint.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- the model at the beginning ------------------------------------------- */

static unsigned parts_wanted(const struct learn_run *r, const struct nn_config *c)
{
	unsigned parts = NN_PART_ENCODERS;
	if (r->conf->task != LEARN_FINETUNE || c->use_structure)
		parts |= NN_PART_CODES;
	if (r->conf->task == LEARN_STRUCTURE || c->use_structure ||
	    (r->conf->task == LEARN_PRETRAIN && c->stages == 1 && c->w_align > 0))
		parts |= NN_PART_STRUCTURE;
	return parts;
}

/* Labels that are all 0 or 1 are classes. */
static int head_add(struct learn_run *r, struct err *e)
{
	const struct learn_data *d = &r->data;
	struct nn_model *m = r->model;
	bool binary = true;
	int64_t n_label = 0;
	for (int64_t i = 0; i < d->n * d->n_task; i++) {
		binary &= isnan(d->y[i]) || d->y[i] == 0 || d->y[i] == 1;
		n_label += !isnan(d->y[i]);
	}
	if (!n_label)
		return err_set(e, ERR_SCHEMA, "every label is missing");
	if (m->cfg.task_kind == NN_TASK_CLASS && !binary)
		return err_set(e, ERR_SCHEMA, "--labels-are class: there are labels other than 0 and 1");
	bool regression = m->cfg.task_kind == NN_TASK_AUTO ? !binary : m->cfg.task_kind == NN_TASK_REGRESSION;
	if (regression && m->cfg.class_weights)
		return err_set(e, ERR_USAGE, "--class-weights does not apply to values: the labels are no classes");
	int rc = nn_model_add_head(m, d->n_task, d->gathered.header.tasks, regression, (uint64_t)r->conf->cli.seed, e);
	if (rc || !regression)
		return rc;
	int64_t n = d->n_item[NN_TRAIN];
	float *y = malloc((size_t)(n * d->n_task + 1) * sizeof *y);
	if (!y)
		abort();
	for (int64_t i = 0; i < n; i++)
		memcpy(y + i * d->n_task, d->y + d->item[NN_TRAIN][i] * d->n_task, (size_t)d->n_task * sizeof *y);
	nn_target_scale(y, n, d->n_task, m->target_mean, m->target_sd);
	free(y);
	return 0;
}

/* Weight of positives: negatives by positives of the training records, 1 where a class is missing. */
static void class_weights_set(struct learn_run *r)
{
	const struct learn_data *d = &r->data;
	if (r->conf->task != LEARN_FINETUNE || !r->model->cfg.class_weights || r->model->regression)
		return;
	r->class_weight = malloc((size_t)d->n_task * sizeof *r->class_weight);
	if (!r->class_weight)
		abort();
	for (int t = 0; t < d->n_task; t++) {
		int64_t pos = 0, neg = 0;
		for (int64_t i = 0; i < d->n_item[NN_TRAIN]; i++) {
			float y = d->y[d->item[NN_TRAIN][i] * d->n_task + t];
			pos += y > 0.5F;
			neg += y <= 0.5F;
		}
		r->class_weight[t] = pos && neg ? (double)neg / (double)pos : 1;
	}
}

/* A molecule of which the loss reads no view has nothing to learn from: its label would move the head's bias alone. */
static int views_keep(struct learn_run *r, struct err *e)
{
	int64_t n_out[NN_PARTS];
	unsigned views = r->model->views;
	int rc = 0;
	if (r->conf->task == LEARN_FINETUNE && !r->model->cfg.use_structure)
		rc = nn_head_views(r->model, &views, e);
	if (rc)
		return rc;
	learn_data_keep(&r->data, views, n_out);
	if (!r->data.n_item[NN_TRAIN])
		return err_set(e, ERR_SCHEMA, "no record to train on has any of the views that are read");
	if (n_out[NN_TRAIN] + n_out[NN_VALID] + n_out[NN_TEST])
		cli_warn(&r->conf->cli,
			 "left out, for want of any view that is read: %" PRId64 " records of train, %" PRId64
			 " of valid, %" PRId64 " of test",
			 n_out[NN_TRAIN], n_out[NN_VALID], n_out[NN_TEST]);
	return 0;
}

static int model_begin(struct learn_run *r, struct err *e)
{
	const struct learn_conf *conf = r->conf;
	struct nn_checkpoint *base = NULL;
	struct nn_config cfg;
	uint64_t seed = (uint64_t)conf->cli.seed;
	int rc = 0;
	if (conf->model) {
		if ((rc = nn_checkpoint_open(&base, conf->model, e)))
			return rc;
		if (!nn_checkpoint_is_complete(base))
			cli_warn(&conf->cli, "%s is of a run that was stopped", conf->model);
	}
	rc = learn_conf_model(conf, base, &cfg, e);
	if (!base)
		cfg.features = r->data.gathered.header.features;
	if (!base && !*cfg.features)
		cfg.features = "ogb";
	unsigned parts = parts_wanted(r, &cfg);
	if (!rc && base && conf->task == LEARN_STRUCTURE && !(nn_checkpoint_parts(base) & NN_PART_CODES))
		rc = err_set(e, ERR_USAGE, "%s has no codes: it is no pre-trained model", conf->model);
	if (!rc && conf->task == LEARN_FINETUNE && cfg.use_structure &&
	    (!base || !(nn_checkpoint_parts(base) & NN_PART_STRUCTURE)))
		rc = err_set(e, ERR_USAGE, "--use-structure needs a model that has seen the structure stage: -m MODEL");
	if (!rc)
		rc = learn_device_fit(&r->kernels, &r->device, &cfg, parts, e);
	if (!rc && base)
		rc = nn_checkpoint_model(base, &cfg, parts, &r->kernels, NULL, &r->model, e);
	else if (!rc)
		rc = nn_model_new(&r->model, &r->kernels, &cfg, parts, seed, e);
	if (!rc && base)
		rc = nn_model_add_parts(r->model, parts, seed, e);
	nn_checkpoint_close(base);
	if (!rc)
		rc = views_keep(r, e);
	if (!rc && conf->task == LEARN_FINETUNE)
		rc = head_add(r, e);
	return rc;
}

static int freeze_apply(struct learn_run *r, struct err *e)
{
	struct nn_params *ps = r->model->ps;
	int n = nn_params_count(ps);
	for (int j = 0; j < r->conf->freeze.n; j++) {
		const char *name = r->conf->freeze.items[j];
		bool any = false;
		for (int i = 0; i < n; i++)
			if (!strncmp(nn_params_at(ps, i)->name, name, strlen(name))) {
				nn_params_at(ps, i)->frozen = true; /* running statistics too */
				any = true;
			}
		if (!any)
			return err_set(e, ERR_USAGE, "--freeze %s: no parameter has a name that begins so", name);
	}
	/* The structure stage stands on fixed codes. */
	for (int i = 0; i < n && learn_in_structure(r); i++) {
		struct nn_param *p = nn_params_at(ps, i);
		if (strncmp(p->name, "hyper.", 6) && strncmp(p->name, "memory.", 7) && strncmp(p->name, "queue.", 6))
			p->frozen = true;
	}
	return 0;
}

/* What a run holds besides the model, once that stands. */
static int tools_begin(struct learn_run *r, struct err *e)
{
	r->tape = nn_tape_new(&r->kernels);
	r->arena = arena_new(1 << 20);
	r->order = malloc((size_t)(r->data.n_item[NN_TRAIN] + 1) * sizeof *r->order);
	if (!r->tape || !r->arena || !r->order)
		return err_set(e, ERR_MEMORY, "no memory for training");
	if (!r->optim && !(r->optim = learn_optim_new(r, r->model->ps)))
		return err_set(e, ERR_MEMORY, "no memory for the optimiser");
	if (r->model->views & 1u << NN_IMG && !r->model->img_channels)
		r->model->img_channels = r->data.img_channels;
	r->reading = nn_reading_of(r->model);
	if (r->conf->task == LEARN_PRETRAIN) {
		r->reading.fp = r->model->cfg.hyper_by == NN_BY_FP;
		r->reading.scaffold = r->model->cfg.hyper_by == NN_BY_SCAFFOLD;
	}
	r->n_batch = learn_batch_count(r->data.n_item[NN_TRAIN], r->conf->batch);
	class_weights_set(r);
	int rc = nn_reading_check(&r->reading, &r->data.gathered.header, true, e);
	if (!rc && r->conf->task == LEARN_PRETRAIN && !nn_model_can_pretrain(r->model))
		rc = err_set(e, ERR_USAGE, "nothing to train on: every loss has weight 0 or lacks its views");
	if (!rc)
		rc = nn_infer_init(&r->infer, r->model, e);
	if (!rc)
		rc = freeze_apply(r, e);
	if (!rc)
		rc = learn_metric_choose(r, e);
	if (!rc && learn_in_structure(r))
		rc = learn_codes_fill(r, e);
	r->model->trained_codes |= r->conf->task == LEARN_PRETRAIN;
	r->model->trained_structure |= r->conf->task != LEARN_FINETUNE && r->model->parts & NN_PART_STRUCTURE;
	return rc;
}

/* ---- epochs --------------------------------------------------------------- */

static void best_keep(struct learn_run *r)
{
	struct nn_params *ps = r->model->ps;
	int n = nn_params_count(ps);
	bool first = !r->best;
	if (first && !(r->best = calloc((size_t)n + 1, sizeof *r->best)))
		abort();
	for (int i = 0; i < n; i++) {
		const struct nn_param *p = nn_params_at(ps, i);
		size_t nbytes = (size_t)p->n * sizeof(real);
		if (first && !(r->best[i] = r->kernels.alloc(nbytes + 1)))
			abort();
		r->kernels.copy(r->best[i], p->value, nbytes);
	}
}

static void best_free(struct learn_run *r)
{
	for (int i = 0; r->best && i < nn_params_count(r->model->ps); i++)
		if (r->best[i])
			r->kernels.release(r->best[i]);
	free(r->best);
	r->best = NULL;
}

static int epoch_end(struct learn_run *r, struct err *e)
{
	struct learn_progress *p = &r->p;
	double value[NN_PARTS][LEARN_N_METRIC + 1];
	nn_profile_mark(r->profile, "other", false);
	if (p->n_passed == r->data.n_item[NN_TRAIN])
		return err_set(e, ERR_SCHEMA, "nothing to train on: in no batch of an epoch has a loss its views");
	p->epoch++;
	p->batch = 0;
	for (int part = 0; part < NN_PARTS; part++) {
		for (int m = 0; m <= LEARN_N_METRIC; m++)
			value[part][m] = NAN;
		bool last = p->epoch == r->conf->epochs || (r->conf->patience && p->n_worse + 1 >= r->conf->patience);
		/* The training records are many: they are looked at when it ends. */
		int rc = part != NN_TRAIN || (last && r->conf->task == LEARN_FINETUNE)
			     ? learn_evaluate(r, (enum nn_part)part, value[part], e)
			     : 0;
		if (rc)
			return rc;
		p->last[part] = value[part][r->metric];
	}
	nn_profile_mark(r->profile, "evaluation", false);
	if (learn_is_better(r, p->last[NN_VALID], p->best_epoch ? p->best[NN_VALID] : NAN)) {
		memcpy(p->best, p->last, sizeof p->best);
		p->best[NN_TRAIN] = NAN; /* known after the last epoch alone: not of the run's course */
		p->best_epoch = p->epoch;
		p->n_worse = 0;
		if (r->conf->keep == LEARN_KEEP_BEST)
			best_keep(r);
	} else {
		p->n_worse++;
	}
	learn_log_epoch(r, value);
	p->loss_sum = 0;
	p->n_passed = 0;
	return 0;
}

static bool phase_is_over(const struct learn_run *r)
{
	return r->p.epoch >= r->conf->epochs ||
	       (r->conf->patience && r->p.best_epoch && r->p.n_worse >= r->conf->patience);
}

static double rate_of(const struct learn_run *r)
{
	const struct learn_conf *c = r->conf;
	return nn_schedule_lr((enum nn_schedule)c->schedule, c->lr, c->lr_min, r->p.step - r->p.phase_start,
			      c->epochs * r->n_batch, c->step_size * r->n_batch, c->gamma, c->warmup);
}

/* Signals and time: the model is written as it stands, to go on with. */
static int stop_check(struct learn_run *r, double end_s, struct err *e)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	bool late = end_s > 0 && (double)t.tv_sec + 1e-9 * (double)t.tv_nsec > end_s;
	if (!io_stop_signal() && !late)
		return 0;
	bool keeps = strcmp(r->conf->cli.output, "-") != 0;
	int rc = keeps ? learn_save(r, false, e) : 0;
	if (rc)
		return rc;
	if (late && !io_stop_signal())
		return err_set(e, ERR_STOPPED, "the time is up after step %" PRId64 "; %s", r->p.step,
			       keeps ? "--resume goes on" : "without -o nothing is kept");
	return err_set(e, ERR_STOPPED, "stopped by signal %d after step %" PRId64, io_stop_signal(), r->p.step);
}

/* What is no number any more after a step whose loss was one: a running variance, a prediction. */
static int after_step(const struct learn_run *r, int rc, struct err *e)
{
	char why[200];
	if (rc != ERR_NUMERIC)
		return rc;
	snprintf(why, sizeof why, "%.190s", e->msg);
	*e = (struct err){0};
	return err_set(e, ERR_NUMERIC, "after step %" PRId64 ": %s", r->p.step, why);
}

static int epoch_run(struct learn_run *r, double end_s, struct err *e)
{
	struct learn_progress *p = &r->p;
	int64_t n = r->data.n_item[NN_TRAIN];
	int64_t n_window = nn_data_shuffle(r->data.records, r->data.item[NN_TRAIN], n, (uint64_t)r->conf->cli.seed,
					   (uint64_t)(p->epoch + p->phase * r->conf->epochs), r->order);
	if (p->batch && p->n_window != n_window)
		return err_set(e, ERR_USAGE, "--resume: with this --mem the records are shuffled otherwise");
	p->n_window = n_window;
	while (p->batch < r->n_batch) {
		int64_t from = p->batch * r->conf->batch, to = learn_batch_end(n, r->conf->batch, p->batch);
		struct nn_losses terms;
		double norm = NAN, lr = rate_of(r);
		int64_t next_n = p->batch + 1 < r->n_batch ? learn_batch_end(n, r->conf->batch, p->batch + 1) - to : 0;
		learn_ahead_wait(r); /* it reads the window */
		int rc = nn_data_window(r->data.records, r->order, from, e);
		if (!rc)
			rc = learn_step(r, r->order + from, to - from, next_n, lr, &terms, &norm, e);
		if (rc)
			return rc;
		p->batch++;
		if (p->step++ == r->first_step) /* it touches all memory for the first time */
			nn_profile_clear(r->profile);
		bool passed = isnan(terms.total); /* a loss that is no number is an error */
		r->n_passed += passed;
		p->n_move += !passed;
		p->n_passed += passed ? to - from : 0;
		p->loss_sum += passed ? 0 : terms.total * (double)(to - from);
		learn_log_step(r, &terms, lr, norm, to - from);
		if (r->conf->save_every && p->step % r->conf->save_every == 0 && strcmp(r->conf->cli.output, "-"))
			rc = after_step(r, learn_save(r, false, e), e);
		if (!rc && p->batch < r->n_batch)
			rc = stop_check(r, end_s, e);
		if (rc)
			return rc;
	}
	return after_step(r, epoch_end(r, e), e);
}

/* From the views to the structure module: fixed codes, a new optimiser, epochs from 0. */
static int phase_next(struct learn_run *r, struct err *e)
{
	struct learn_progress *p = &r->p;
	/* What the first phase found best is what the second stands on. */
	for (int i = 0; r->best && i < nn_params_count(r->model->ps); i++) {
		const struct nn_param *q = nn_params_at(r->model->ps, i);
		r->kernels.copy(q->value, r->best[i], (size_t)q->n * sizeof(real));
	}
	best_free(r);
	int rc = nn_model_add_parts(r->model, NN_PART_STRUCTURE, (uint64_t)r->conf->cli.seed, e);
	if (rc)
		return rc;
	*p = (struct learn_progress){.phase = 1, .step = p->step, .phase_start = p->step};
	for (int part = 0; part < NN_PARTS; part++)
		p->best[part] = p->last[part] = NAN;
	nn_optim_free(r->optim);
	r->model->trained_structure = true;
	if (!(r->optim = learn_optim_new(r, r->model->ps)))
		return err_set(e, ERR_MEMORY, "no memory for the optimiser");
	rc = freeze_apply(r, e);
	return rc ? rc : learn_codes_fill(r, e);
}

static int train(struct learn_run *r, struct err *e)
{
	struct timespec t;
	int rc = 0;
	clock_gettime(CLOCK_MONOTONIC, &t);
	double end_s = r->conf->max_time ? (double)t.tv_sec + 1e-9 * (double)t.tv_nsec + (double)r->conf->max_time : 0;
	for (;;) {
		while (!rc && !phase_is_over(r)) {
			rc = epoch_run(r, end_s, e);
			if (!rc && !phase_is_over(r))
				rc = stop_check(r, end_s, e);
		}
		bool more = r->conf->task == LEARN_PRETRAIN && r->model->cfg.stages == 2 && !r->p.phase;
		if (rc || !more)
			break;
		rc = phase_next(r, e);
		if (rc == ERR_STOPPED) { /* between the phases: the first one's work is kept */
			*e = (struct err){0};
			rc = stop_check(r, end_s, e);
		}
	}
	return rc ? rc : after_step(r, learn_save(r, true, e), e);
}

/* ---- the run -------------------------------------------------------------- */

static int history_add(struct learn_run *r, struct err *e)
{
	struct nn_checkpoint *base;
	int rc = r->conf->model ? nn_checkpoint_open(&base, r->conf->model, e) : 0;
	if (rc || !r->conf->model)
		return rc;
	ts_header_add_history(&r->header, nn_checkpoint_header(base), r->conf->cli.arena);
	/* What the history points to lies in the checkpoint: the header keeps copies of its own. */
	r->header.provenance = ts_value_copy(r->conf->cli.arena, &r->header.provenance);
	nn_checkpoint_close(base);
	return 0;
}

static int run_begin(struct learn_run *r, struct err *e)
{
	const struct learn_conf *c = r->conf;
	struct learn_need need = {.labels = c->task == LEARN_FINETUNE,
				  .hyper = c->task == LEARN_STRUCTURE,
				  .mem_nbytes = c->mem,
				  .spool = c->spool};
	struct ts_node node;
	struct cli_out out;
	/* What cannot be written is told before the work, not after it. */
	int rc = cli_out_open(&c->cli, true, &out, e);
	if (rc)
		return rc;
	cli_out_close(&out, false, e);
	r->pool = pool_new((int)c->cli.n_worker);
	r->device = (struct learn_device){.choice = c->device, .plain = c->plain, .pool = r->pool};
	rc = learn_device_open(&r->kernels, &r->device, e);
	if (!rc)
		rc = learn_data_read(&c->cli, &need, &r->data, e);
	if (!rc && c->patience && !r->data.n_item[NN_VALID])
		rc = err_set(e, ERR_USAGE, "--patience needs records whose split is valid: run molsplit");
	if (!rc && c->shuffle_labels && r->data.y)
		learn_data_shuffle_labels(&r->data, (uint64_t)c->cli.seed);
	if (rc)
		return rc;
	if ((rc = cli_node(c, true, &node, e)))
		return rc;
	learn_options_keep(r, &node);
	r->header = r->data.gathered.header;
	bool goes_on = c->resume && !access(c->cli.output, F_OK);
	rc = goes_on ? learn_resume(r, e) : model_begin(r, e);
	if (!rc && goes_on)
		rc = views_keep(r, e);
	if (!rc)
		rc = history_add(r, e);
	if (!rc) {
		const char *blas[1][2] = {{r->kernels.blas, r->kernels.build}};
		node.n_library = 1;
		node.libraries = blas;
		ts_header_add_node(&r->header, &node, c->cli.arena);
		rc = tools_begin(r, e);
	}
	return rc;
}

static void run_end(struct learn_run *r)
{
	learn_ahead_free(r);
	if (r->model)
		best_free(r);
	free(r->codes);
	free(r->unified);
	free(r->fp);
	free(r->scaffold);
	free(r->codes_has);
	free(r->class_weight);
	free(r->order);
	nn_infer_free(&r->infer);
	nn_tape_free(r->tape);
	nn_optim_free(r->optim);
	nn_model_free(r->model);
	arena_free(r->arena);
	learn_data_free(&r->data);
	kernels_close(&r->kernels);
	pool_free(r->pool);
}

int learn_run(const struct learn_conf *c, struct err *e)
{
	struct learn_run r = {.conf = c};
	for (int part = 0; part < NN_PARTS; part++)
		r.p.best[part] = r.p.last[part] = NAN;
	int rc = run_begin(&r, e);
	if (!rc)
		rc = learn_log_open(&r, e);
	if (!rc && c->profile) {
		r.profile = nn_profile_new();
		nn_tape_profile(r.tape, r.profile);
	}
	r.first_step = r.p.step;
	if (!rc)
		rc = train(&r, e);
	nn_profile_mark(r.profile, "saving", false);
	if (!rc && c->task == LEARN_FINETUNE && c->keep == LEARN_KEEP_BEST && r.data.n_item[NN_VALID] &&
	    !r.p.best_epoch)
		cli_warn(&c->cli,
			 "on the validation set the metric was no number in any epoch: the model is that of the last");
	if (r.n_passed)
		cli_warn(&c->cli,
			 "passed over, since no loss has its views in the batch: %" PRId64 " of %" PRId64 " steps",
			 r.n_passed, r.p.step - r.first_step);
	int rc_log = learn_log_close(r.log, rc ? NULL : e);
	learn_profile_write(r.profile, r.p.step - r.first_step - 1, stderr);
	nn_profile_free(r.profile);
	run_end(&r);
	return rc ? rc : rc_log;
}
