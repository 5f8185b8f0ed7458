/* ref_norm.c - the reference of BatchNorm, GraphNorm and the hypergraph's operator; see ref.c. */
#include "kernels.h"

#include <math.h>
#include <stdlib.h>

#define LOOP(i, n) for (int64_t i = 0; i < (n); i++)

static double times(const struct k_batch_norm *b, int64_t i)
{
	return b->mult ? (double)b->mult[i] : 1;
}

static void batch_norm(const struct kernels *k, const struct k_batch_norm *b, const real *x, real *y)
{
	LOOP (c, b->d) {
		double n = 0, mean = 0, var = 0;
		LOOP (i, b->n) {
			n += times(b, i);
			mean += times(b, i) * (double)x[i * b->d + c];
		}
		mean /= n;
		LOOP (i, b->n)
			var += times(b, i) * pow((double)x[i * b->d + c] - mean, 2);
		var /= n;
		if (b->train) {
			b->run_mean[c] = (real)((1 - b->momentum) * (double)b->run_mean[c] + b->momentum * mean);
			if (n > 1)
				b->run_var[c] =
				    (real)((1 - b->momentum) * (double)b->run_var[c] + b->momentum * var * n / (n - 1));
		} else {
			mean = (double)b->run_mean[c];
			var = (double)b->run_var[c];
		}
		b->mean[c] = (real)mean;
		b->inv[c] = (real)(1 / sqrt(var + b->eps));
		LOOP (i, b->n) {
			double v = ((double)x[i * b->d + c] - mean) / sqrt(var + b->eps) * (double)b->weight[c] +
				   (double)b->bias[c] + (b->residual ? (double)b->residual[i * b->d + c] : 0);
			y[i * b->d + c] = (real)(b->relu && v < 0 ? 0 : v);
		}
	}
}

static void batch_norm_back(const struct kernels *k, const struct k_batch_norm *b, const real *x, const real *y,
			    const real *g_y, real *g_x, real *g_weight, real *g_bias, real *g_residual)
{
	LOOP (c, b->d) {
		double n = 0, sum_g = 0, sum_gx = 0, inv = (double)b->inv[c];
		LOOP (i, b->n) {
			double g = b->relu && !(y[i * b->d + c] > 0) ? 0 : (double)g_y[i * b->d + c];
			double xhat = ((double)x[i * b->d + c] - (double)b->mean[c]) * inv;
			n += times(b, i);
			sum_g += g;
			sum_gx += g * xhat;
			if (g_residual)
				g_residual[i * b->d + c] += (real)g;
		}
		if (g_weight)
			g_weight[c] = (real)((double)g_weight[c] + sum_gx);
		if (g_bias)
			g_bias[c] = (real)((double)g_bias[c] + sum_g);
		LOOP (i, b->n) {
			double g = b->relu && !(y[i * b->d + c] > 0) ? 0 : (double)g_y[i * b->d + c];
			double xhat = ((double)x[i * b->d + c] - (double)b->mean[c]) * inv;
			double through = b->train ? times(b, i) * (sum_g + xhat * sum_gx) / n : 0;
			if (g_x)
				g_x[i * b->d + c] =
				    (real)((double)g_x[i * b->d + c] + (double)b->weight[c] * inv * (g - through));
		}
	}
}

static void norm_fold(const struct kernels *k, const struct k_batch_norm *b, const real *x, real *scale, real *shift)
{
	real *y = malloc((size_t)(b->n * b->d + 1) * sizeof *y);
	struct k_batch_norm plain = *b;
	if (!y)
		abort();
	plain.relu = false;
	batch_norm(k, &plain, x, y);
	LOOP (c, b->d) {
		scale[c] = (real)((double)b->weight[c] * (double)b->inv[c]);
		shift[c] = (real)((double)b->bias[c] - (double)b->weight[c] * (double)b->inv[c] * (double)b->mean[c]);
	}
	free(y);
}

static void norm_join(const struct kernels *k, const struct k_join *j, real *y)
{
	LOOP (i, j->n)
		LOOP (c, j->d) {
			int64_t at = i * j->d + c;
			double v = (double)j->scale[c] * (double)j->x[at] + (double)j->shift[c];
			double r = (double)j->residual[at];
			v += j->res_scale ? (double)j->res_scale[c] * r + (double)j->res_shift[c] : r;
			y[at] = (real)fmax(v, 0);
		}
}

static void norm_fold_back(const struct kernels *k, const struct k_batch_norm *b, const real *x, const real *scale,
			   const real *shift, const real *y, real *g, real *g_x, real *g_weight, real *g_bias)
{
	int64_t n = b->n * b->d;
	real *z = malloc((size_t)(2 * n + 1) * sizeof *z), *sum = z + n;
	if (!z)
		abort();
	LOOP (i, n) {
		z[i] = y ? y[i] : (real)((double)scale[i % b->d] * (double)x[i] + (double)shift[i % b->d]);
		if (y && b->relu && !(y[i] > 0))
			g[i] = 0;
		sum[i] = 0;
	}
	batch_norm_back(k, b, x, z, g, sum, g_weight, g_bias, NULL);
	LOOP (i, n)
		g_x[i] = sum[i];
	free(z);
}

static void graph_norm(const struct kernels *k, const struct k_graph_norm *g, const real *x, real *y)
{
	LOOP (m, g->n_graph)
		LOOP (c, g->d) {
			int64_t from = g->start[m], to = g->start[m + 1];
			double mean = 0, var = 0, n = (double)(to - from);
			if (from == to)
				continue;
			for (int64_t i = from; i < to; i++)
				mean += (double)x[i * g->d + c] / n;
			for (int64_t i = from; i < to; i++)
				var += pow((double)x[i * g->d + c] - (double)g->mean_scale[c] * mean, 2) / n;
			g->mean[m * g->d + c] = (real)mean;
			g->inv[m * g->d + c] = (real)(1 / sqrt(var + g->eps));
			for (int64_t i = from; i < to; i++)
				y[i * g->d + c] =
				    (real)((double)g->weight[c] *
					       ((double)x[i * g->d + c] - (double)g->mean_scale[c] * mean) /
					       sqrt(var + g->eps) +
					   (double)g->bias[c]);
		}
}

/* With o = x - s mean, r = 1 / sqrt(mean(o^2) + eps): the Jacobian of y = w o r + b, entry by entry. */
static void graph_norm_back(const struct kernels *k, const struct k_graph_norm *g, const real *x, const real *g_y,
			    real *g_x, real *g_weight, real *g_bias, real *g_mean_scale)
{
	LOOP (m, g->n_graph)
		LOOP (c, g->d) {
			int64_t from = g->start[m], to = g->start[m + 1];
			double n = (double)(to - from), mean = (double)g->mean[m * g->d + c],
			       s = (double)g->mean_scale[c];
			double r = (double)g->inv[m * g->d + c], w = (double)g->weight[c], sum_o = 0;
			for (int64_t i = from; i < to; i++)
				sum_o += (double)x[i * g->d + c] - s * mean;
			for (int64_t i = from; i < to; i++) {
				double gi = (double)g_y[i * g->d + c], oi = (double)x[i * g->d + c] - s * mean;
				if (g_weight)
					g_weight[c] = (real)((double)g_weight[c] + gi * oi * r);
				if (g_bias)
					g_bias[c] = (real)((double)g_bias[c] + gi);
				/* d o_i / d s = -mean; d mean(o^2) / d s = -2 mean sum(o) / n */
				if (g_mean_scale)
					g_mean_scale[c] =
					    (real)((double)g_mean_scale[c] +
						   gi * w * (-mean * r + oi * r * r * r * mean * sum_o / n));
				for (int64_t j = from; j < to && g_x; j++) {
					double oj = (double)x[j * g->d + c] - s * mean, d_o = (i == j) - s / n;
					double d_var = 2 * (oj - s * sum_o / n) / n;
					g_x[j * g->d + c] = (real)((double)g_x[j * g->d + c] +
								   gi * w * (d_o * r - 0.5 * oi * r * r * r * d_var));
				}
			}
		}
}

/* G as a dense matrix [n, n], for weights w [n_edge]. */
static double *hyper_matrix(const struct k_hyper *h, const double *w)
{
	int64_t n = h->n_node;
	double *m = calloc((size_t)(n * n + n) + 1, sizeof *m);
	if (!m)
		abort();
	double *dv = m + n * n;
	LOOP (j, h->n_edge)
		for (int64_t e = h->start[j]; e < h->start[j + 1]; e++)
			dv[h->node[e]] += w[j] * (double)h->value[e];
	LOOP (j, h->n_edge) {
		double de = 0;
		for (int64_t e = h->start[j]; e < h->start[j + 1]; e++)
			de += (double)h->value[e];
		for (int64_t a = h->start[j]; a < h->start[j + 1]; a++)
			for (int64_t b = h->start[j]; b < h->start[j + 1]; b++) {
				if (h->value[a] == 0 || h->value[b] == 0)
					continue; /* its degree may be 0 */
				double left = h->sym ? sqrt(dv[h->node[a]]) : dv[h->node[a]];
				double right = h->sym ? sqrt(dv[h->node[b]]) : 1;
				m[h->node[a] * n + h->node[b]] +=
				    (double)h->value[a] * (double)h->value[b] * w[j] / (de * left * right);
			}
	}
	return m;
}

static double *hyper_weights(const struct k_hyper *h)
{
	double *w = malloc((size_t)h->n_edge * sizeof *w + 1);
	if (!w)
		abort();
	LOOP (j, h->n_edge)
		w[j] = h->weight ? (double)h->weight[j] : 1;
	return w;
}

static void hyper(const struct kernels *k, const struct k_hyper *h, const real *x, real *y, int64_t d)
{
	double *w = hyper_weights(h), *m = hyper_matrix(h, w);
	LOOP (i, h->n_node)
		LOOP (c, d) {
			double s = 0;
			LOOP (j, h->n_node)
				s += m[i * h->n_node + j] * (double)x[j * d + c];
			y[i * d + c] = (real)s;
		}
	free(m);
	free(w);
}

/* sum(g_y G x) at weights w */
static double hyper_total(const struct k_hyper *h, const double *w, const real *x, const real *g_y, int64_t d)
{
	double *m = hyper_matrix(h, w), total = 0;
	LOOP (i, h->n_node)
		LOOP (j, h->n_node)
			LOOP (c, d)
				total += m[i * h->n_node + j] * (double)x[j * d + c] * (double)g_y[i * d + c];
	free(m);
	return total;
}

/* The weights' gradient by central differences: G depends on them smoothly. */
static void hyper_back(const struct kernels *k, const struct k_hyper *h, const real *x, const real *y, const real *g_y,
		       real *g_x, real *g_w, int64_t d)
{
	double *w = hyper_weights(h), *m = hyper_matrix(h, w), step = 1e-5;
	LOOP (j, g_x ? h->n_node : 0)
		LOOP (c, d) {
			double s = (double)g_x[j * d + c];
			LOOP (i, h->n_node)
				s += m[i * h->n_node + j] * (double)g_y[i * d + c];
			g_x[j * d + c] = (real)s;
		}
	LOOP (e, g_w ? h->n_edge : 0) {
		w[e] += step;
		double up = hyper_total(h, w, x, g_y, d);
		w[e] -= 2 * step;
		double down = hyper_total(h, w, x, g_y, d);
		w[e] += step;
		g_w[e] = (real)((double)g_w[e] + (up - down) / (2 * step));
	}
	free(m);
	free(w);
}

void kernels_ref_norm(struct kernels *k)
{
	k->norm_fold = norm_fold;
	k->norm_join = norm_join;
	k->norm_fold_back = norm_fold_back;
	k->batch_norm = batch_norm;
	k->batch_norm_back = batch_norm_back;
	k->graph_norm = graph_norm;
	k->graph_norm_back = graph_norm_back;
	k->hyper = hyper;
	k->hyper_back = hyper_back;
}
