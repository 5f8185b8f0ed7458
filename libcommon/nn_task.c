/* nn_task.c - losses on labels: masked binary cross-entropy and masked squared error. */
#include "nn_loss.h"

#include <math.h>
#include <string.h>

/* Gradient of a loss that is a mean over entries of x: g_x += g_loss * slope, slope [n * d] known from the forward
 * pass. */
struct slope_rule {
	struct nn_var *x, *loss;
	real *slope;
};

static void slope_backward(struct nn_tape *t, void *ctx)
{
	struct slope_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->axpy_var(k, r->x->g, r->slope, r->loss->g, r->x->n * r->x->d);
}

/* The loss `value` as a variable whose gradient with respect to x is slope (host). */
static struct nn_var *loss_from_slope(struct nn_tape *t, struct nn_var *x, double value, const real *slope)
{
	real v = (real)value;
	struct nn_var *loss = nn_var_new(t, 1, 1, x->g != NULL);
	const struct kernels *k = nn_tape_kernels(t);
	k->upload(loss->v, &v, sizeof v);
	if (!loss->g)
		return loss;
	struct slope_rule *r = arena_alloc(nn_tape_arena(t), sizeof *r);
	size_t nbytes = (size_t)(x->n * x->d) * sizeof(real);
	*r = (struct slope_rule){.x = x, .loss = loss, .slope = nn_tape_alloc(t, nbytes)};
	k->upload(r->slope, slope, nbytes);
	nn_tape_push(t, slope_backward, r);
	return loss;
}

static int64_t count_labels(const float *y, int64_t n)
{
	int64_t n_label = 0;
	for (int64_t i = 0; i < n; i++)
		n_label += !isnan(y[i]);
	return n_label;
}

struct nn_var *nn_bce_masked(struct nn_tape *t, struct nn_var *x, const float *y, const double *pos_weight)
{
	int64_t n = x->n * x->d, n_label = count_labels(y, n);
	real *v = arena_alloc(nn_tape_arena(t), (size_t)(n + 1) * sizeof *v);
	real *slope = arena_calloc(nn_tape_arena(t), (size_t)n + 1, sizeof *slope);
	double sum = 0;
	nn_download(t, x, v);
	for (int64_t i = 0; i < n; i++) {
		if (isnan(y[i]))
			continue;
		double z = v[i], target = y[i], w = pos_weight && target > 0.5 ? pos_weight[i % x->d] : 1;
		double p = z >= 0 ? 1 / (1 + exp(-z)) : exp(z) / (1 + exp(z));
		sum += w * ((z > 0 ? z : 0) - z * target + log1p(exp(-fabs(z))));
		slope[i] = (real)(w * (p - target) / (double)n_label);
	}
	return loss_from_slope(t, x, n_label ? sum / (double)n_label : 0, slope);
}

struct nn_var *nn_mse_masked(struct nn_tape *t, struct nn_var *x, const float *y, const double *mean, const double *sd)
{
	int64_t n = x->n * x->d, n_label = count_labels(y, n);
	real *v = arena_alloc(nn_tape_arena(t), (size_t)(n + 1) * sizeof *v);
	real *slope = arena_calloc(nn_tape_arena(t), (size_t)n + 1, sizeof *slope);
	double sum = 0;
	nn_download(t, x, v);
	for (int64_t i = 0; i < n; i++) {
		if (isnan(y[i]))
			continue;
		double d = (double)v[i] - ((double)y[i] - mean[i % x->d]) / sd[i % x->d];
		sum += d * d;
		slope[i] = (real)(2 * d / (double)n_label);
	}
	return loss_from_slope(t, x, n_label ? sum / (double)n_label : 0, slope);
}

void nn_target_scale(const float *y, int64_t n, int n_task, double *mean, double *sd)
{
	for (int k = 0; k < n_task; k++) {
		double sum = 0, square = 0;
		int64_t m = 0;
		for (int64_t i = 0; i < n; i++)
			if (!isnan(y[i * n_task + k])) {
				sum += y[i * n_task + k];
				m++;
			}
		mean[k] = m ? sum / (double)m : 0;
		for (int64_t i = 0; i < n; i++)
			if (!isnan(y[i * n_task + k])) {
				double d = y[i * n_task + k] - mean[k];
				square += d * d;
			}
		sd[k] = m && square > 0 ? sqrt(square / (double)m) : 1;
	}
}
