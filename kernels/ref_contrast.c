/* ref_contrast.c - the reference: InfoNCE of unit rows. */
#include "kernels.h"

#include <math.h>

#define LOOP(i, n) for (int64_t i = 0; i < (n); i++)

static double score(const real *u, const real *v, int64_t i, int64_t j, int64_t d, double tau)
{
	double s = 0;
	LOOP (c, d)
		s += (double)u[i * d + c] * (double)v[j * d + c];
	return (s - 1) / tau;
}
static void info_nce(const struct kernels *k, const real *u, const real *v, int64_t n, int64_t d, double tau, real *e,
		     real *row, real *col, real *loss)
{
	double total = 0;
	LOOP (i, n) {
		double own = exp(score(u, v, i, i, d, tau)), sum_row = own, sum_col = own;
		e[i * n + i] = (real)own;
		LOOP (j, n) {
			if (j == i)
				continue;
			e[i * n + j] = (real)exp(score(u, v, i, j, d, tau));
			sum_row += exp(score(u, v, i, j, d, tau));
			sum_col += exp(score(u, v, j, i, d, tau));
		}
		row[i] = (real)sum_row;
		col[i] = (real)sum_col;
		total += log(sum_row) + log(sum_col) - 2 * score(u, v, i, i, d, tau);
	}
	*loss = (real)(total / 2 / (double)n);
}
static void info_nce_back(const struct kernels *k, const real *u, const real *v, int64_t n, int64_t d, double tau,
			  real *e, const real *row, const real *col, const real *g_loss, real *g_u, real *g_v)
{
	LOOP (i, n)
		LOOP (j, n) {
			double s = exp(score(u, v, i, j, d, tau)) * (1 / (double)row[i] + 1 / (double)col[j]);
			e[i * n + j] = (real)((s - (i == j ? 2 : 0)) * (double)*g_loss / 2 / tau / (double)n);
		}
	LOOP (i, n)
		LOOP (c, d) {
			double to_u = 0, to_v = 0;
			LOOP (j, n) {
				to_u += (double)e[i * n + j] * (double)v[j * d + c];
				to_v += (double)e[j * n + i] * (double)u[j * d + c];
			}
			if (g_u)
				g_u[i * d + c] = (real)((double)g_u[i * d + c] + to_u);
			if (g_v)
				g_v[i * d + c] = (real)((double)g_v[i * d + c] + to_v);
		}
}

void kernels_ref_contrast(struct kernels *k)
{
	k->info_nce = info_nce;
	k->info_nce_back = info_nce_back;
}
