/* ref_pairs.c - the reference: sums over pairs of atoms with filters from a table or from features. */
#include "kernels.h"

#include <stdlib.h>

#define LOOP(i, n) for (int64_t i = 0; i < (n); i++)

/* Of node v in row i. */
static double share(const struct k_table *t, int64_t i, int64_t v)
{
	int64_t r = v - i / K_FINER;
	if (r < 0 || r >= K_WINDOW)
		return 0;
	double w = i % K_FINER ? (double)t->window[i % K_FINER - 1][r] : r == K_REACH;
	return w * (double)t->fade[v];
}
/* Row r of a group, column c. */
static double row(const struct k_table *t, const real *table, int64_t group, int64_t r, int64_t c, int64_t d)
{
	double sum = 0;
	LOOP (v, t->n_node)
		sum += share(t, t->first[group] + r, v) * (double)table[v * d + c];
	return sum;
}
static double weight(const struct k_pair *p, int64_t r)
{
	double w0 = (double)p->w[0], w2 = (double)p->w[1], w3 = (double)p->w[2];
	return r == 0 ? w0 : r == 1 ? 1 - w0 - w2 - w3 : r == 2 ? w2 : w3;
}
static double filter(const struct k_table *t, const real *table, int64_t group, int64_t e, int64_t c, int64_t d)
{
	double f = 0;
	LOOP (r, 4)
		f += weight(&t->pair[e], r) * row(t, table, group, r, c, d);
	return f;
}
#define EACH_PAIR(t, run, group, e)                                                                                    \
	LOOP (run, (t)->n_run)                                                                                         \
		for (int64_t group = (t)->run[run]; group < (t)->run[run + 1]; group++)                                \
			for (int64_t e = (t)->group[group]; e < (t)->group[group + 1]; e++)
static void table_sum(const struct kernels *k, const struct k_table *t, const real *x, const real *table, real *y,
		      int64_t d, bool add)
{
	LOOP (v, t->atom[t->n_run])
		LOOP (c, d) {
			double sum = add ? (double)y[v * d + c] : 0;
			EACH_PAIR (t, run, group, e) {
				int64_t a = t->atom[run] + t->pair[e].a, b = t->atom[run] + t->pair[e].b;
				if (a == v)
					sum += (double)x[b * d + c] * filter(t, table, group, e, c, d);
				if (b == v)
					sum += (double)x[a * d + c] * filter(t, table, group, e, c, d);
			}
			y[v * d + c] = (real)sum;
		}
}
static double gradient(const struct k_table *t, const real *x, const real *g_y, int64_t run, int64_t e, int64_t c,
		       int64_t d)
{
	int64_t a = (t->atom[run] + t->pair[e].a) * d + c, b = (t->atom[run] + t->pair[e].b) * d + c;
	return (double)g_y[a] * (double)x[b] + (double)g_y[b] * (double)x[a];
}
/* Of row v. */
static double row_gradient(const struct k_table *t, const real *x, const real *g_y, int64_t v, int64_t c, int64_t d)
{
	double sum = 0;
	EACH_PAIR (t, run, group, e)
		if (v >= t->first[group] && v < t->first[group] + 4)
			sum += weight(&t->pair[e], v - t->first[group]) * gradient(t, x, g_y, run, e, c, d);
	return sum;
}
static void table_back(const struct kernels *k, const struct k_table *t, const real *x, const real *table,
		       const real *g_y, real *g_x, bool add_x, real *g_table, bool add_table, int64_t d)
{
	if (g_x)
		table_sum(k, t, g_y, table, g_x, d, add_x);
	double *g = malloc((size_t)t->n_row * sizeof *g);
	LOOP (c, g_table ? d : 0) {
		LOOP (v, t->n_row)
			g[v] = row_gradient(t, x, g_y, v, c, d);
		LOOP (node, t->n_node) {
			double sum = add_table ? (double)g_table[node * d + c] : 0;
			LOOP (v, t->n_row)
				sum += share(t, v, node) * g[v];
			g_table[node * d + c] = (real)sum;
		}
	}
	free(g);
}
static void table_slope(const struct kernels *k, const struct k_table *t, const real *x, const real *table,
			const real *g_y, real *g_dist, int64_t d)
{
	EACH_PAIR (t, run, group, e) {
		double sum = (double)g_dist[e];
		LOOP (c, d)
			LOOP (r, 4)
				sum += gradient(t, x, g_y, run, e, c, d) * (double)t->slope[4 * e + r] *
				       row(t, table, group, r, c, d);
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
