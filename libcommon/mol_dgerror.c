/* mol_dgerror.c - what distance geometry minimises: value and gradient. */
#include "mol_dg.h"
#include "mol_ff_metric.h"

#include <string.h>

typedef double lanes __attribute__((vector_size(32), aligned(32)));
typedef int64_t lane_bits __attribute__((vector_size(32), aligned(32)));
enum { WIDTH = 4 };

struct mol_dgerror *mol_dgerror_new(const struct mol_ideal *id, const struct mol_bounds *b, struct arena *a)
{
	struct mol_dgerror *f = arena_calloc(a, 1, sizeof *f);
	f->n = b->n;
	f->np = (b->n + WIDTH - 1) / WIDTH * WIDTH;
	f->row = arena_alloc(a, ((size_t)b->n + 1) * sizeof(int32_t));
	int n_pair = 0, n_near = 0;
	for (int i = 0; i < b->n; i++) {
		f->row[i] = n_pair;
		n_pair += (i + WIDTH - 1) / WIDTH * WIDTH;
		for (int j = 0; j < i; j++)
			n_near += b->n_step[i * b->stride + j] < 3;
	}
	f->row[b->n] = n_pair;
	f->lo2 = arena_calloc(a, (size_t)n_pair + 1, sizeof(double));
	f->inv_hi2 = arena_calloc(a, (size_t)n_pair + 1, sizeof(double));
	f->near = arena_alloc(a, ((size_t)n_near + 1) * sizeof *f->near);
	for (int i = 0; i < b->n; i++)
		for (int j = 0; j < i; j++) {
			double lo = (double)b->lo[i * b->stride + j], hi = (double)b->hi[i * b->stride + j];
			f->lo2[f->row[i] + j] = lo * lo;
			f->inv_hi2[f->row[i] + j] = 1 / (hi * hi);
			int step = b->n_step[i * b->stride + j];
			if (step > 2 || hi - lo > 0.25)
				continue;
			struct mol_near *p = &f->near[f->n_near++];
			p->a = i;
			p->b = j;
			p->inv_d2 = 4 / ((lo + hi) * (lo + hi));
			p->weight = step == 1 ? 1 : 0.25;
		}
	f->metric = ff_metric_new(id->m, a);
	f->scratch = arena_alloc(a, 3 * ((size_t)f->n + 1) * sizeof(double));
	mol_volumes_find(id, a, &f->volumes);
	mol_torsions_find(id, a, &f->torsions);
	return f;
}

void mol_dgerror_pad(const struct mol_dgerror *f, double *x)
{
	for (int c = 0; c < 4; c++)
		for (int i = f->n; i < f->np; i++)
			x[c * f->np + i] = 0;
}

/* v where it is above 0, else 0. */
#define POSITIVE(v) ((lanes)(((v) > 0.0) & (lane_bits)(v)))

/*
 * All pairs. Vectors of four whatever the machine, summed in a fixed order: the result does not depend on what the
 * compiler makes of them. A pad entry has bounds 0 and infinity: it adds nothing.
 */
UTIL_CLONES("avx2", "default") static double pairs_value(const struct mol_dgerror *f, const double *pos, double *grad)
{
	int np = f->np;
	const double *px = pos, *py = pos + np, *pz = pos + 2 * np, *pw = pos + 3 * np;
	double *gx = grad, *gy = grad + np, *gz = grad + 2 * np, *gw = grad + 3 * np;
	const lanes tiny = {1e-30, 1e-30, 1e-30, 1e-30};
	lanes sum = {0, 0, 0, 0};
	for (int i = 1; i < f->n; i++) {
		const double *lo2 = f->lo2 + f->row[i], *inv = f->inv_hi2 + f->row[i];
		lanes ix = {px[i], px[i], px[i], px[i]}, iy = {py[i], py[i], py[i], py[i]};
		lanes iz = {pz[i], pz[i], pz[i], pz[i]}, iw = {pw[i], pw[i], pw[i], pw[i]};
		lanes ax = {0, 0, 0, 0}, ay = ax, az = ax, aw = ax;
		for (int j = 0; j < i; j += WIDTH) {
			lanes dx = ix - *(const lanes *)(px + j), dy = iy - *(const lanes *)(py + j);
			lanes dz = iz - *(const lanes *)(pz + j), dw = iw - *(const lanes *)(pw + j);
			lanes d2 = dx * dx + dy * dy + dz * dz + dw * dw;
			lanes iu = *(const lanes *)(inv + j), l2 = *(const lanes *)(lo2 + j);
			lanes up = POSITIVE(d2 * iu - 1.0);
			lanes q = 1.0 / (l2 + d2 + tiny);
			lanes low = POSITIVE((l2 - d2) * q);
			sum += up * up + low * low;
			/* d/d(d2) of up^2 is 2 up / u^2; of low^2, 2 low * (-2 l2 q^2); twice for d(d2)/dx */
			lanes c = 4.0 * up * iu - 8.0 * low * l2 * q * q;
			dx *= c;
			dy *= c;
			dz *= c;
			dw *= c;
			ax += dx;
			ay += dy;
			az += dz;
			aw += dw;
			*(lanes *)(gx + j) -= dx;
			*(lanes *)(gy + j) -= dy;
			*(lanes *)(gz + j) -= dz;
			*(lanes *)(gw + j) -= dw;
		}
		gx[i] += (ax[0] + ax[1]) + (ax[2] + ax[3]);
		gy[i] += (ay[0] + ay[1]) + (ay[2] + ay[3]);
		gz[i] += (az[0] + az[1]) + (az[2] + az[3]);
		gw[i] += (aw[0] + aw[1]) + (aw[2] + aw[3]);
	}
	return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static double near_value(const struct mol_dgerror *f, const double *pos, double *grad)
{
	double sum = 0;
	int np = f->np;
	for (int k = 0; k < f->n_near; k++) {
		const struct mol_near *p = &f->near[k];
		double d[3], d2 = 0;
		for (int c = 0; c < 3; c++) {
			d[c] = pos[c * np + p->a] - pos[c * np + p->b];
			d2 += d[c] * d[c];
		}
		double off = d2 * p->inv_d2 - 1, w = f->w_near * p->weight;
		sum += w * off * off;
		for (int c = 0; c < 3; c++) {
			double g = 4 * w * off * p->inv_d2 * d[c];
			grad[c * np + p->a] += g;
			grad[c * np + p->b] -= g;
		}
	}
	return sum;
}

static double volumes_value(const struct mol_dgerror *f, const double *pos, double *grad)
{
	double sum = 0;
	int np = f->np;
	for (int k = 0; k < f->volumes.n; k++) {
		const struct mol_volume *v = &f->volumes.v[k];
		double w = (k < f->volumes.n_stereo ? f->w_stereo : f->w_flat) * (double)v->weight;
		if (!(w > 0))
			continue;
		double vol = mol_volume_of(v->atom, pos, pos + np, pos + 2 * np) / (double)v->scale;
		double off = vol < (double)v->lo ? vol - (double)v->lo : vol > (double)v->hi ? vol - (double)v->hi : 0;
		if (off == 0)
			continue;
		sum += w * off * off;
		double p[3][3], c = 2 * w * off / (double)v->scale;
		for (int s = 0; s < 3; s++)
			for (int t = 0; t < 3; t++)
				p[s][t] = pos[t * np + v->atom[s + 1]] - pos[t * np + v->atom[0]];
		for (int s = 0; s < 3; s++) { /* dV/dp_s is the cross product of the other two, cyclically */
			const double *q = p[(s + 1) % 3], *r = p[(s + 2) % 3];
			double g[3] = {q[1] * r[2] - q[2] * r[1], q[2] * r[0] - q[0] * r[2], q[0] * r[1] - q[1] * r[0]};
			for (int t = 0; t < 3; t++) {
				grad[t * np + v->atom[s + 1]] += c * g[t];
				grad[t * np + v->atom[0]] -= c * g[t];
			}
		}
	}
	return sum;
}

double mol_dgerror_value(void *ctx, const double *x, double *g)
{
	struct mol_dgerror *f = ctx;
	int np = f->np;
	memset(g, 0, 4 * (size_t)np * sizeof *g);
	double sum = pairs_value(f, x, g);
	f->n_pair_done += f->row[f->n];
	if (f->w_near > 0)
		sum += near_value(f, x, g);
	if (f->w_stereo > 0 || f->w_flat > 0)
		sum += volumes_value(f, x, g);
	if (f->w_torsion > 0)
		sum += mol_torsions_value(&f->torsions, f->w_torsion, x, x + np, x + 2 * np, g, g + np, g + 2 * np);
	for (int i = 0; i < f->n; i++) {
		double w = x[3 * np + i];
		sum += f->w_fourth * w * w;
		g[3 * np + i] += 2 * f->w_fourth * w;
	}
	for (int c = 0; c < 4; c++)
		for (int i = f->n; i < np; i++)
			g[c * np + i] = 0;
	return sum;
}
