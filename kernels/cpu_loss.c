/* cpu_loss.c - what losses ask of the CPU beyond elementary operations. */
#include "kernels.h"

#include <math.h>

static void axpy_var(const struct kernels *k, real *y, const real *x, const real *s, int64_t n)
{
	(void)k;
	const real f = *s;
	for (int64_t i = 0; i < n; i++)
		y[i] += f * x[i];
}

static const double shrink_eps = 1e-12;

/* q of one entry and its derivative. */
static double shrink_entry(double a, double l, double *slope)
{
	double above = a - l;
	if (above <= 0) {
		*slope = 0;
		return 0;
	}
	double den = above + shrink_eps;
	*slope = ((2 * a - l) * den - above * a) / (den * den);
	return above * a / den;
}

static double shrink_sum(const real *a, int64_t d, double l)
{
	double sum = 0, slope;
	for (int64_t j = 0; j < d; j++)
		sum += shrink_entry(a[j], l, &slope);
	return sum;
}

static void shrink(const struct kernels *k, const real *a, real *y, int64_t n, int64_t d, double l)
{
	(void)k;
	for (int64_t i = 0; i < n; i++, a += d, y += d) {
		double sum = shrink_sum(a, d, l), slope;
		double scale = 1 / (sum > shrink_eps ? sum : shrink_eps);
		for (int64_t j = 0; j < d; j++)
			y[j] = (real)(shrink_entry(a[j], l, &slope) * scale);
	}
}

static void shrink_back(const struct kernels *k, const real *a, const real *y, const real *g_y, real *g_a, int64_t n,
			int64_t d, double l)
{
	(void)k;
	for (int64_t i = 0; i < n; i++, a += d, y += d, g_y += d, g_a += d) {
		double sum = shrink_sum(a, d, l), dot = 0, slope;
		bool normal = sum > shrink_eps;
		for (int64_t j = 0; j < d && normal; j++)
			dot += (double)g_y[j] * y[j];
		double scale = 1 / (normal ? sum : shrink_eps);
		for (int64_t j = 0; j < d; j++) {
			shrink_entry(a[j], l, &slope);
			g_a[j] += (real)((g_y[j] - dot) * scale * slope);
		}
	}
}

void kernels_cpu_loss(struct kernels *k)
{
	k->axpy_var = axpy_var;
	k->shrink = shrink;
	k->shrink_back = shrink_back;
}
