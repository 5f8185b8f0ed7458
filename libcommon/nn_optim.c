/* nn_optim.c - Adam and AdamW, gradient clipping, learning rates. */
#include "nn_optim.h"

#include <math.h>
#include <stdlib.h>

struct nn_optim {
	struct nn_params *ps;
	struct nn_optim_config c;
	const struct kernels *k;
	int n;
	int64_t n_step;
	real **m, **v; /* [n], NULL for state */
};

struct nn_optim *nn_optim_new(struct nn_params *ps, const struct nn_optim_config *c)
{
	struct nn_optim *o = calloc(1, sizeof *o);
	if (!o)
		return NULL;
	o->ps = ps;
	o->c = *c;
	o->k = nn_params_kernels(ps);
	o->n = nn_params_count(ps);
	o->m = calloc((size_t)o->n + 1, sizeof *o->m);
	o->v = calloc((size_t)o->n + 1, sizeof *o->v);
	for (int i = 0; o->m && o->v && i < o->n; i++) {
		struct nn_param *p = nn_params_at(ps, i);
		if (p->is_state)
			continue;
		o->m[i] = o->k->alloc((size_t)p->n * sizeof(real));
		o->v[i] = o->k->alloc((size_t)p->n * sizeof(real));
		if (!o->m[i] || !o->v[i]) {
			nn_optim_free(o);
			return NULL;
		}
		o->k->fill(o->k, o->m[i], p->n, 0);
		o->k->fill(o->k, o->v[i], p->n, 0);
	}
	if (!o->m || !o->v) {
		nn_optim_free(o);
		return NULL;
	}
	return o;
}

void nn_optim_free(struct nn_optim *o)
{
	if (!o)
		return;
	for (int i = 0; i < o->n; i++) {
		if (o->m && o->m[i])
			o->k->release(o->m[i]);
		if (o->v && o->v[i])
			o->k->release(o->v[i]);
	}
	free(o->m);
	free(o->v);
	free(o);
}

int nn_optim_step(struct nn_optim *o, double lr, double *norm, struct err *e)
{
	double sum = 0;
	nn_params_settle_grad(o->ps);
	for (int i = 0; i < o->n; i++) {
		const struct nn_param *p = nn_params_at(o->ps, i);
		if (!p->is_state && !p->frozen)
			sum += o->k->sum_squares(o->k, p->grad, p->n);
	}
	double length = sqrt(sum);
	if (norm)
		*norm = length;
	int rc = kernels_check(o->k, e);
	if (rc)
		return rc;
	if (!isfinite(length))
		return err_set(e, ERR_NUMERIC, "the gradient is not finite");
	double scale = o->c.clip > 0 && length > o->c.clip ? o->c.clip / length : 1;
	o->n_step++;
	struct k_adam a = {
	    .lr = lr,
	    .beta1 = o->c.beta1,
	    .beta2 = o->c.beta2,
	    .eps = o->c.eps,
	    .decay = o->c.weight_decay,
	    .decoupled = o->c.decoupled,
	    .grad_scale = scale,
	    .correction1 = 1 - pow(o->c.beta1, (double)o->n_step),
	    .correction2 = 1 - pow(o->c.beta2, (double)o->n_step),
	};
	for (int i = 0; i < o->n; i++) {
		struct nn_param *p = nn_params_at(o->ps, i);
		if (!p->is_state && !p->frozen)
			o->k->adam(o->k, &a, p->value, p->grad, o->m[i], o->v[i], p->n);
	}
	return 0;
}

void nn_optim_set_steps(struct nn_optim *o, int64_t n)
{
	o->n_step = n;
}

void nn_optim_moments(const struct nn_optim *o, int i, real **m, real **v)
{
	*m = o->m[i];
	*v = o->v[i];
}

double nn_schedule_lr(enum nn_schedule s, double lr, double lr_min, int64_t t, int64_t n_step, int64_t step_size,
		      double gamma, int64_t n_warmup)
{
	static const double pi = 3.14159265358979323846;
	double rate = lr;
	if (s == NN_SCHEDULE_COSINE && n_step > 0)
		rate = lr_min + 0.5 * (lr - lr_min) * (1 + cos(pi * (double)t / (double)n_step));
	else if (s == NN_SCHEDULE_STEP && step_size > 0)
		rate = lr * pow(gamma, (double)(t / step_size));
	if (t < n_warmup)
		rate *= (double)(t + 1) / (double)n_warmup;
	return rate;
}
