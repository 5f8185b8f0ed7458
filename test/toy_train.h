/* toy_train.h - training on the toy set, step by step, for tests that compare ways to train. */
#ifndef MOLRILL_TOY_TRAIN_H
#define MOLRILL_TOY_TRAIN_H

#include "nn_optim.h"
#include "tap.h"
#include "toy_set.h"

#include <stdlib.h>

static const bool is_double = sizeof(real) == sizeof(double);

/*
 * Adam divides a gradient by its size, also one that is nothing but rounding (that of a bias before BatchNorm); its eps
 * is large in float, so that such steps stay small.
 */
struct toy_run {
	struct nn_model *m;
	bool pretrain; /* else on the labels, positives weighted by class_weight (NULL: not) */
	const double *class_weight;
	struct nn_tape *t;
	struct nn_optim *o;
	struct arena *a;
	struct err e;
};

/* m is the run's from then on. */
static struct toy_run toy_begin(struct nn_model *m, bool pretrain, const double *class_weight)
{
	return (struct toy_run){
	    .m = m,
	    .pretrain = pretrain,
	    .class_weight = class_weight,
	    .t = nn_tape_new(m->k),
	    .o = nn_optim_new(m->ps,
			      &(struct nn_optim_config){.beta1 = 0.9, .beta2 = 0.999, .eps = is_double ? 1e-8 : 1e-4}),
	    .a = arena_new(0)};
}

/* Loss and gradients of one step; NaN and a line of what went wrong, where something did. */
static double toy_loss(struct toy_run *r, const struct nn_batch *b, uint64_t step, struct nn_losses *terms)
{
	struct nn_var *x = NULL;
	struct nn_draws d;
	int rc;
	arena_reset(r->a);
	nn_tape_begin(r->t, true, 1, step);
	nn_params_zero_grad(r->m->ps);
	*terms = (struct nn_losses){0};
	if (r->pretrain) {
		nn_model_draw(r->m, b, 1, step, r->a, &d);
		rc = nn_model_pretrain(r->m, r->t, b, &d, &x, terms, &r->e);
	} else {
		rc = nn_model_logits(r->m, r->t, b, &x, &r->e);
		x = rc ? NULL : nn_model_task_loss(r->m, r->t, x, b->y, r->class_weight);
	}
	double loss = rc ? NAN : nn_scalar(r->t, x);
	if (!rc && !nn_backward(r->t, x, &r->e))
		return loss;
	printf("# %s\n", r->e.msg);
	return NAN;
}

/* The optimiser's step on these gradients, and what moves after it. */
static bool toy_move(struct toy_run *r, double lr)
{
	if (nn_optim_step(r->o, lr, NULL, &r->e)) {
		printf("# %s\n", r->e.msg);
		return false;
	}
	if (r->pretrain)
		nn_model_after_step(r->m, r->t);
	return true;
}

static void toy_end(struct toy_run *r)
{
	arena_free(r->a);
	nn_optim_free(r->o);
	nn_tape_free(r->t);
	nn_model_free(r->m);
}

/* Largest difference of two courses of losses, each relative to b's; NaN where one is none. */
static double toy_apart(const double *a, const double *b, int n)
{
	double worst = 0;
	for (int i = 0; i < n; i++) {
		double d = fabs(a[i] - b[i]) / fabs(b[i]);
		if (!(d <= worst))
			worst = d;
		if (isnan(d))
			break;
	}
	return worst;
}

#endif
