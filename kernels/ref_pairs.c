/* ref_pairs.c - the reference: sums over pairs of atoms with filters from a table or from features. */
#include "kernels.h"

#define LOOP(i, n) for (int64_t i = 0; i < (n); i++)

static double filter(const struct k_table *t, const real *weight, const real *table, int64_t e, int64_t c, int64_t d)
{
	double f = 0;
	LOOP (r, 4)
		f += (double)weight[4 * e + r] * (double)table[(t->first[e] + r) * d + c];
	return f;
}
static void table_sum(const struct kernels *k, const struct k_table *t, const real *x, const real *table, real *y,
		      int64_t d, bool add)
{
	LOOP (v, t->atom[t->n_run])
		LOOP (c, d) {
			double sum = add ? (double)y[v * d + c] : 0;
			LOOP (e, t->n_pair) {
				if (t->a[e] == v)
					sum += (double)x[t->b[e] * d + c] * filter(t, t->w, table, e, c, d);
				if (t->b[e] == v)
					sum += (double)x[t->a[e] * d + c] * filter(t, t->w, table, e, c, d);
			}
			y[v * d + c] = (real)sum;
		}
}
static double gradient(const struct k_table *t, const real *x, const real *g_y, int64_t e, int64_t c, int64_t d)
{
	int64_t a = t->a[e] * d + c, b = t->b[e] * d + c;
	return (double)g_y[a] * (double)x[b] + (double)g_y[b] * (double)x[a];
}
static void table_back(const struct kernels *k, const struct k_table *t, const real *x, const real *table,
		       const real *g_y, real *g_x, bool add_x, real *g_table, bool add_table, int64_t d)
{
	if (g_x)
		table_sum(k, t, g_y, table, g_x, d, add_x);
	LOOP (v, g_table ? t->n_row : 0)
		LOOP (c, d) {
			double sum = add_table ? (double)g_table[v * d + c] : 0;
			LOOP (e, t->n_pair)
				if (v >= t->first[e] && v < t->first[e] + 4)
					sum += (double)t->w[4 * e + v - t->first[e]] * gradient(t, x, g_y, e, c, d);
			g_table[v * d + c] = (real)sum;
		}
}
static void table_slope(const struct kernels *k, const struct k_table *t, const real *x, const real *table,
			const real *g_y, real *g_dist, int64_t d)
{
	LOOP (e, t->n_pair) {
		double sum = (double)g_dist[e];
		LOOP (c, d)
			sum += gradient(t, x, g_y, e, c, d) * filter(t, t->slope, table, e, c, d);
		g_dist[e] = (real)sum;
	}
}
static void feature_sum(const struct kernels *k, const struct k_csr *s, const int64_t *other, const real *f,
			const real *w, int n_feature, const real *x, real *y, int64_t d, bool add)
{
	LOOP (v, s->n)
		LOOP (c, d) {
			double sum = add ? (double)y[v * d + c] : 0;
			for (int64_t i = s->start[v]; i < s->start[v + 1]; i++) {
				double filter_c = 0;
				LOOP (q, n_feature)
					filter_c += (double)f[s->item[i] * n_feature + q] * (double)w[q * d + c];
				sum += filter_c * (double)x[other[s->item[i]] * d + c];
			}
			y[v * d + c] = (real)sum;
		}
}
static void feature_back(const struct kernels *k, const struct k_csr *s, const int64_t *other, const real *f,
			 const real *w, int n_feature, const real *x, const real *g_y, real *g_x, real *g_w, int64_t d)
{
	feature_sum(k, s, other, f, w, n_feature, g_y, g_x, d, true);
	LOOP (q, n_feature)
		LOOP (c, d) {
			double sum = (double)g_w[q * d + c];
			LOOP (v, s->n)
				for (int64_t i = s->start[v]; i < s->start[v + 1]; i++)
					sum += (double)f[s->item[i] * n_feature + q] * (double)x[v * d + c] *
					       (double)g_y[other[s->item[i]] * d + c];
			g_w[q * d + c] = (real)sum;
		}
}

void kernels_ref_pairs(struct kernels *k)
{
	k->table_sum = table_sum;
	k->table_back = table_back;
	k->table_slope = table_slope;
	k->feature_sum = feature_sum;
	k->feature_back = feature_back;
}
