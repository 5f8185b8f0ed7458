/*
 * nn_optim.h - layer 3: Adam, clipping, schedules.
 */
#ifndef MOLRILL_NN_OPTIM_H
#define MOLRILL_NN_OPTIM_H

#include "nn.h"

struct nn_optim_config {
	double beta1, beta2, eps; /* 0.9, 0.999, 1e-8 */
	double weight_decay;
	bool decoupled; /* AdamW: decay beside the moments, not through them */
	double clip;    /* largest gradient norm, 0: none */
};
struct nn_optim;
/* One pair of moments for each parameter with a gradient, in their order. */
struct nn_optim *nn_optim_new(struct nn_params *ps, const struct nn_optim_config *c);
void nn_optim_free(struct nn_optim *o);
/* PyTorch's Adam (Kingma and Ba 2015) at learning rate lr on the gradients held; *norm: gradient norm before clipping
 * (may be NULL). ERR_NUMERIC, with nothing changed, when the norm is not finite. */
int nn_optim_step(struct nn_optim *o, double lr, double *norm, struct err *e);
/* State for a checkpoint: steps done so far; moments of parameter i (NULL for state), host or back-end memory as
 * values. */
void nn_optim_set_steps(struct nn_optim *o, int64_t n);
void nn_optim_moments(const struct nn_optim *o, int i, real **m, real **v);

enum nn_schedule { NN_SCHEDULE_NONE, NN_SCHEDULE_COSINE, NN_SCHEDULE_STEP };
/*
 * Learning rate of step t (from 0) of n_step: none, cosine lr_min + (lr - lr_min)(1 + cos(pi t / n)) / 2, or
 * lr gamma^floor(t / step_size); within the first n_warmup steps times (t + 1) / n_warmup.
 */
double nn_schedule_lr(enum nn_schedule s, double lr, double lr_min, int64_t t, int64_t n_step, int64_t step_size,
		      double gamma, int64_t n_warmup);

#endif
