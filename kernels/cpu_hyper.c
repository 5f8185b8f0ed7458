/* cpu_hyper.c - the operator G of a hypergraph on the CPU: one pass to the hyperedges, one back. */
#include "cpu.h"

#include <math.h>
#include <string.h>

struct degrees {
	double *node, *edge; /* Dv, De */
	double *mix;         /* [n_edge, d] */
};

static double weight_of(const struct k_hyper *h, int64_t j)
{
	return h->weight ? (double)h->weight[j] : 1;
}

/* Degrees, mix of zeros, and n zeros more, which are returned: all in the caller's scratch memory. */
static double *degrees_new(const struct kernels *k, const struct k_hyper *h, int64_t d, int64_t n, struct degrees *g)
{
	int64_t n_all = h->n_node + h->n_edge + h->n_edge * d + n;
	g->node = cpu_scratch(k, 0, (size_t)(n_all + 1) * sizeof *g->node);
	memset(g->node, 0, (size_t)n_all * sizeof *g->node);
	g->edge = g->node + h->n_node;
	g->mix = g->edge + h->n_edge;
	for (int64_t j = 0; j < h->n_edge; j++)
		for (int64_t e = h->start[j]; e < h->start[j + 1]; e++) {
			g->node[h->node[e]] += weight_of(h, j) * (double)h->value[e];
			g->edge[j] += (double)h->value[e];
		}
	return g->mix + h->n_edge * d;
}

/* What has no weight gets nothing, and gives nothing. */
static double inverse(double degree)
{
	return degree > 0 ? 1 / degree : 0;
}

/* Factor of a node before and after: 1 and 1 / Dv, or Dv^-1/2 twice. */
static double before(const struct k_hyper *h, const struct degrees *g, int64_t i)
{
	return h->sym ? sqrt(inverse(g->node[i])) : 1;
}

static double after(const struct k_hyper *h, const struct degrees *g, int64_t i)
{
	return h->sym ? sqrt(inverse(g->node[i])) : inverse(g->node[i]);
}

static void hyper(const struct kernels *k, const struct k_hyper *h, const real *x, real *y, int64_t d)
{
	struct degrees g;
	double *sum = degrees_new(k, h, d, h->n_node * d, &g);
	for (int64_t j = 0; j < h->n_edge; j++) {
		double *z = g.mix + j * d;
		for (int64_t e = h->start[j]; e < h->start[j + 1]; e++) {
			double f = (double)h->value[e] * before(h, &g, h->node[e]);
			for (int64_t c = 0; c < d; c++)
				z[c] += f * (double)x[h->node[e] * d + c];
		}
		for (int64_t e = h->start[j]; e < h->start[j + 1]; e++) {
			double f = (double)h->value[e] * weight_of(h, j) * inverse(g.edge[j]);
			for (int64_t c = 0; c < d; c++)
				sum[h->node[e] * d + c] += f * z[c];
		}
	}
	for (int64_t i = 0; i < h->n_node; i++)
		for (int64_t c = 0; c < d; c++)
			y[i * d + c] = (real)(sum[i * d + c] * after(h, &g, i));
}

static void hyper_back(const struct kernels *k, const struct k_hyper *h, const real *x, const real *y, const real *g_y,
		       real *g_x, real *g_w, int64_t d)
{
	struct degrees g;
	double *back = degrees_new(k, h, d, h->n_node * (d + 1) + d, &g);
	double *g_dv = back + h->n_node * d, *q = g_dv + h->n_node;
	/* The hyperedge's value z = sum H before x, again, and the gradient q that comes to it. */
	for (int64_t j = 0; j < h->n_edge; j++) {
		double *z = g.mix + j * d, dot = 0;
		for (int64_t c = 0; c < d; c++)
			q[c] = 0;
		for (int64_t e = h->start[j]; e < h->start[j + 1]; e++) {
			int64_t i = h->node[e];
			double in = (double)h->value[e] * before(h, &g, i), out = (double)h->value[e] * after(h, &g, i);
			for (int64_t c = 0; c < d; c++) {
				z[c] += in * (double)x[i * d + c];
				q[c] += out * (double)g_y[i * d + c];
			}
		}
		for (int64_t c = 0; c < d; c++)
			dot += z[c] * q[c];
		for (int64_t e = h->start[j]; e < h->start[j + 1]; e++) {
			double f = (double)h->value[e] * weight_of(h, j) * inverse(g.edge[j]);
			for (int64_t c = 0; c < d; c++)
				back[h->node[e] * d + c] += f * q[c];
		}
		if (g_w)
			g_w[j] += (real)(dot * inverse(g.edge[j]));
	}
	for (int64_t i = 0; i < h->n_node; i++) {
		if (!(g.node[i] > 0))
			continue;
		double own = 0, through = 0;
		for (int64_t c = 0; c < d; c++) {
			double gx = back[i * d + c] * before(h, &g, i);
			own += (double)g_y[i * d + c] * (double)y[i * d + c];
			through += gx * (double)x[i * d + c];
			if (g_x)
				g_x[i * d + c] += (real)gx;
		}
		/* d y / d Dv: y goes as 1 / Dv, or as Dv^-1/2 after and before. */
		g_dv[i] = h->sym ? -0.5 * (own + through) / g.node[i] : -own / g.node[i];
	}
	for (int64_t j = 0; g_w && j < h->n_edge; j++) {
		double sum = 0;
		for (int64_t e = h->start[j]; e < h->start[j + 1]; e++)
			sum += (double)h->value[e] * g_dv[h->node[e]];
		g_w[j] += (real)sum;
	}
}

void kernels_cpu_hyper(struct kernels *k)
{
	k->hyper = hyper;
	k->hyper_back = hyper_back;
}
