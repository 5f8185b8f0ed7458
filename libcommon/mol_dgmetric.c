/* mol_dgmetric.c - the stiff part of distance geometry's error as a metric for its minimiser. */
#include "mol_dg.h"
#include "mol_ff_metric.h"

enum { METRIC_AGE = 30 };        /* steps for which a metric serves */
static const double SCALE = 100; /* of the error, whose soft part is of order 1, to the floor of mol_ff_metric.h */

/* (d^2/d0^2 - 1)^2 at d near d0: curvature 8 / d0^2 along the pair. */
static void add_near(const struct mol_dgerror *f, const double *x)
{
	const double *y = x + f->np, *z = y + f->np;
	for (int k = 0; k < f->n_near; k++) {
		const struct mol_near *p = &f->near[k];
		int a = p->a, b = p->b;
		struct ff_vec v[2] = {{x[a] - x[b], y[a] - y[b], z[a] - z[b]}, {x[b] - x[a], y[b] - y[a], z[b] - z[a]}};
		double stiff = 8 * f->w_near * p->weight * p->inv_d2 * p->inv_d2;
		ff_metric_add(f->metric, 2, (int32_t[]){a, b}, v, SCALE * stiff);
	}
}

/* Planar centres alone: the ends of planar bonds lie three bonds apart, further than the metric reaches. */
static void add_flat(const struct mol_dgerror *f, const double *x)
{
	const double *y = x + f->np, *z = y + f->np;
	for (int k = f->volumes.n_stereo; k < f->volumes.n_stereo + f->volumes.n_flat; k++) {
		const struct mol_volume *q = &f->volumes.v[k];
		int o = q->atom[0];
		double stiff = 2 * f->w_flat * (double)q->weight / ((double)q->scale * (double)q->scale);
		struct ff_vec p[3], v[4];
		for (int s = 0; s < 3; s++) {
			int i = q->atom[s + 1];
			p[s] = (struct ff_vec){x[i] - x[o], y[i] - y[o], z[i] - z[o]};
		}
		for (int s = 0; s < 3; s++)
			v[s + 1] = ff_cross(p[(s + 1) % 3], p[(s + 2) % 3]);
		v[0] = ff_scale(
		    (struct ff_vec){v[1].x + v[2].x + v[3].x, v[1].y + v[2].y + v[3].y, v[1].z + v[2].z + v[3].z}, -1);
		ff_metric_add(f->metric, 4, q->atom, v, SCALE * stiff);
	}
}

void mol_dgerror_precondition(void *ctx, const double *x, int n_iter, double *d)
{
	struct mol_dgerror *f = ctx;
	int np = f->np;
	if (n_iter % METRIC_AGE == 0) {
		ff_metric_reset(f->metric);
		add_near(f, x);
		add_flat(f, x);
		if (!ff_metric_factor(f->metric)) {
			ff_metric_reset(f->metric);
			(void)ff_metric_factor(f->metric);
		}
	}
	for (int i = 0; i < f->n; i++)
		for (int c = 0; c < 3; c++)
			f->scratch[3 * i + c] = SCALE * d[c * np + i];
	ff_metric_solve(f->metric, f->scratch);
	for (int i = 0; i < f->n; i++) {
		for (int c = 0; c < 3; c++)
			d[c * np + i] = f->scratch[3 * i + c];
		d[3 * np + i] /= 1 + 2 * f->w_fourth;
	}
}
