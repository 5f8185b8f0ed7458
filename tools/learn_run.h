/* learn_run.h - a training run: what it holds, a step, an evaluation, a checkpoint, the log. Layer 4. */
#ifndef MOLRILL_LEARN_RUN_H
#define MOLRILL_LEARN_RUN_H

#include "learn_conf.h"
#include "learn_data.h"
#include "nn_infer.h"
#include "nn_metric.h"
#include "nn_optim.h"

enum { LEARN_N_METRIC = 5, LEARN_LOSS = LEARN_N_METRIC }; /* metrics by number: enum nn_metric, then the loss */
const char *learn_metric_name(int metric);

/* Where training stands: with the tensors, all that decides how it goes on. */
struct learn_progress {
	int64_t phase;       /* 1: the structure module of a run in two stages */
	int64_t epoch;       /* epochs done in this phase */
	int64_t batch;       /* batches done of the next */
	int64_t step;        /* steps done in all */
	int64_t phase_start; /* step at which this phase began */
	int64_t n_move;      /* steps of this phase that had a loss */
	int64_t n_window;    /* of the epoch begun last */
	double loss_sum;     /* of the epoch's batches */
	int64_t n_passed;    /* records of the epoch's batches without a loss */
	int64_t best_epoch;  /* 1, ...; 0: none yet */
	int64_t n_worse;     /* epochs since */
	bool finished;
	/* Metric that decides, at the best epoch and at the last; NaN: not known. */
	double best[NN_PARTS], last[NN_PARTS];
};

/* What a step reads; draws of pre-training alone. */
struct learn_batch {
	struct nn_batch b;
	struct nn_draws draws;
};
/* The batch that is made while the one before is computed (learn_ahead.c). */
struct learn_ahead {
	bool is_there;       /* or on its way */
	struct arena *arena; /* of this batch */
	const int64_t *idx;
	int64_t n;
	uint64_t step;
	struct learn_batch batch;
	int rc;
	struct err e;
};
struct learn_log; /* FILE of --log and the live line */
struct learn_run {
	const struct learn_conf *conf;
	struct learn_data data;
	struct ts_header header; /* history of the model that is made, this run's node included */
	struct ts_value options; /* that make the result, as learn_options_keep found them */
	struct pool *pool;
	struct learn_device device;
	struct kernels kernels;
	struct nn_model *model;
	struct nn_optim *optim;
	struct nn_tape *tape;
	struct nn_infer infer;
	struct nn_reading reading; /* of a training batch */
	struct arena *arena;       /* of a step */
	struct learn_ahead ahead;
	int64_t *order, n_batch;
	int metric;
	double *class_weight; /* [n_task] or NULL */
	real **best;          /* [parameters] values of the best epoch, NULL: none yet or not wanted */
	struct learn_progress p;
	struct learn_log *log;
	struct nn_profile *profile; /* of --profile, or NULL; of the steps after first_step */
	int64_t first_step;         /* of this process */
	int64_t n_passed;           /* steps of this process without a loss */
	real *codes;                /* [n, NN_N_VIEW, code_width] of the structure stage */
	real *unified;              /* [n, code_width], where there is no hyper_index */
	uint8_t *fp;                /* [n, 256] */
	int64_t *scaffold;          /* [n] each where hyperedges are made by it */
	uint8_t *codes_has;         /* [n, NN_N_VIEW] */
};

/* ---- batches (learn_ahead.c) ---------------------------------------------- */

/*
 * Starts to make the batch of records idx [n] for `step` in a thread of the pool, if -j allows one. Until
 * learn_ahead_wait the records are that thread's.
 */
void learn_ahead_begin(struct learn_run *r, const int64_t *idx, int64_t n, uint64_t step);
void learn_ahead_wait(struct learn_run *r);
void learn_ahead_free(struct learn_run *r);
/* The batch of records idx [n] in r->arena: the one begun ahead, or made now: the same bytes. */
int learn_batch_take(struct learn_run *r, const int64_t *idx, int64_t n, uint64_t step, struct learn_batch *b,
		     struct err *e);

/* ---- steps (learn_step.c) ------------------------------------------------ */

/* Fixed codes of all records, for the structure stage. */
int learn_codes_fill(struct learn_run *r, struct err *e);
bool learn_in_structure(const struct learn_run *r);
/* Loss of the records idx [n], NULL where none has its views: forward alone; the tape has begun. next_n: so many that
 * follow are made ready for the step after, 0: none. */
int learn_loss(struct learn_run *r, const int64_t *idx, int64_t n, int64_t next_n, uint64_t step, struct nn_var **loss,
	       struct nn_losses *terms, struct err *e);
/* One step of the optimiser; none, and a total that is NaN, where no loss has its views. ERR_NUMERIC names the step and
 * its molecules, and leaves the parameters alone. */
int learn_step(struct learn_run *r, const int64_t *idx, int64_t n, int64_t next_n, double lr, struct nn_losses *terms,
	       double *norm, struct err *e);
/* Batches of n records: a last one of one record joins the one before. */
int64_t learn_batch_count(int64_t n, int64_t batch);
int64_t learn_batch_end(int64_t n, int64_t batch, int64_t i); /* batch i is records [i * batch, end) */

/* ---- evaluation (learn_eval.c) ------------------------------------------- */

/* All metrics that apply, NaN otherwise: value [LEARN_N_METRIC + 1]. */
int learn_evaluate(struct learn_run *r, enum nn_part part, double *value, struct err *e);
/* The run's metric by its name, or the default for the labels. */
int learn_metric_choose(struct learn_run *r, struct err *e);
bool learn_is_better(const struct learn_run *r, double x, double than);

/* ---- checkpoints (learn_save.c) ------------------------------------------ */

/*
 * Keeps the options that make the result, but for the number of epochs, which may grow. Done once: files among them
 * stand as digests, and after a signal, when a model is to be saved, no file can be read.
 */
void learn_options_keep(struct learn_run *r, const struct ts_node *node);
int learn_save(struct learn_run *r, bool complete, struct err *e);
struct nn_optim *learn_optim_new(void *run, struct nn_params *ps);
/* Restores model, optimiser and progress from -o. ERR_USAGE when it is not of these data and options. */
int learn_resume(struct learn_run *r, struct err *e);

/* ---- log (learn_log.c) --------------------------------------------------- */

int learn_log_open(struct learn_run *r, struct err *e);
int learn_log_close(struct learn_log *l, struct err *e); /* takes NULL */
void learn_log_step(struct learn_run *r, const struct nn_losses *terms, double lr, double norm, int64_t n_mol);
void learn_log_epoch(struct learn_run *r, double value[NN_PARTS][LEARN_N_METRIC + 1]);

/* ---- where the time went (learn_profile.c) ------------------------------- */

/* One line an operation, most time first, then one for all, with the number of steps; nothing for NULL. */
void learn_profile_write(struct nn_profile *p, int64_t n_step, FILE *out);

/* ---- the run (learn_run.c) ----------------------------------------------- */

/* Reads, trains, writes. ERR_STOPPED after a signal or past --max-time, with the model written for --resume. */
int learn_run(const struct learn_conf *c, struct err *e);

#endif
