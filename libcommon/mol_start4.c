/* mol_start4.c - where the minimisation of distance geometry starts: coordinates in four dimensions. */
#include "mol_dg.h"

#include <math.h>
#include <string.h>

typedef double lanes __attribute__((vector_size(32), aligned(32)));
enum { N_POWER = 10 };

/* G v for four vectors at once, one lane each. */
UTIL_CLONES("avx2", "default") static void multiply(int n, int stride, const double *g, const lanes *v, lanes *out)
{
	for (int i = 0; i < n; i++) {
		lanes s0 = {0, 0, 0, 0}, s1 = s0;
		const double *row = g + (size_t)i * (size_t)stride;
		int j = 0;
		for (; j + 2 <= n; j += 2) {
			s0 += row[j] * v[j];
			s1 += row[j + 1] * v[j + 1];
		}
		if (j < n)
			s0 += row[j] * v[j];
		out[i] = s0 + s1;
	}
}

/* Modified Gram-Schmidt over the lanes; norm[k] is the length that lane k had when its turn came. */
static void orthonormalise(int n, lanes *v, double norm[4])
{
	for (int k = 0; k < 4; k++) {
		for (int l = 0; l < k; l++) {
			double s = 0;
			for (int i = 0; i < n; i++)
				s += v[i][k] * v[i][l];
			for (int i = 0; i < n; i++)
				v[i][k] -= s * v[i][l];
		}
		double s = 0;
		for (int i = 0; i < n; i++)
			s += v[i][k] * v[i][k];
		norm[k] = sqrt(s);
		double inv = norm[k] > 1e-12 ? 1 / norm[k] : 0;
		for (int i = 0; i < n; i++)
			v[i][k] *= inv;
	}
}

size_t mol_start_n_work(int n, int np)
{
	return (size_t)n * ((size_t)np + 9);
}

void mol_start_metric(const struct mol_bounds *b, int np, struct rng *r, double *work, double *x)
{
	int n = b->n;
	lanes *v = (lanes *)work, *w = v + n;
	double *g = work + 8 * n, *center = g + (size_t)n * (size_t)np;
	memset(center, 0, (size_t)n * sizeof *center);
	double all = 0;
	for (int i = 0; i < n; i++) {
		g[i * np + i] = 0;
		for (int j = 0; j < i; j++) {
			double lo = (double)b->lo[i * b->stride + j], hi = (double)b->hi[i * b->stride + j];
			double d = lo + (hi - lo) * sqrt(rng_u32(r) * 0x1p-32);
			g[i * np + j] = g[j * np + i] = d * d;
			center[i] += d * d;
			center[j] += d * d;
			all += d * d;
		}
	}
	/* squared distances from the centroid, then the metric matrix by the law of cosines */
	for (int i = 0; i < n; i++)
		center[i] = center[i] / n - all / n / n;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			g[i * np + j] = 0.5 * (center[i] + center[j] - g[i * np + j]);
	double norm[4] = {0, 0, 0, 0};
	for (int i = 0; i < n; i++)
		for (int k = 0; k < 4; k++)
			v[i][k] = rng_u32(r) * 0x1p-31 - 1;
	orthonormalise(n, v, norm);
	for (int it = 0; it < N_POWER; it++) {
		multiply(n, np, g, v, w);
		lanes *t = v;
		v = w;
		w = t;
		orthonormalise(n, v, norm);
	}
	/* the length of G v is the size of the eigenvalue; a negative one has no place in space, but its vector serves
	 * as a random direction */
	for (int k = 0; k < 4; k++) {
		double scale = sqrt(norm[k]);
		for (int i = 0; i < n; i++)
			x[k * np + i] = scale * v[i][k];
	}
}

void mol_start_random(const struct mol_bounds *b, int np, struct rng *r, double *x)
{
	double side = 2 * cbrt((double)b->n) + 1;
	for (int k = 0; k < 4; k++)
		for (int i = 0; i < b->n; i++)
			x[k * np + i] = side * (rng_u32(r) * 0x1p-32 - 0.5);
}
