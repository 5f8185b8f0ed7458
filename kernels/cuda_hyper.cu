/*
 * cuda_hyper.cu - the operator G of a hypergraph on the device.
 *
 * The incidence is host memory: degrees and coefficients are made there, in double. G is then two sparse products: to
 * the hyperedges z_j = sum in_e x, back to the nodes y_i = sum out_e z; each entry e of the incidence has both numbers.
 */
#include "cuda.cuh"

#include <stdlib.h>

/* Entries by hyperedge and by node, on the host and, after `place`, on the device. */
struct incidence {
	int64_t n_node, n_edge, n_entry;
	double *host; /* one block for all that follows; the integers behind the numbers */
	size_t nbytes;
	/* By hyperedge, [n_entry]: before and after as G has them; the second without w / De, for the gradient of w. */
	double *in, *out, *plain;
	double *node_in, *node_out;      /* [n_entry] by node */
	double *degree, *edge;           /* Dv [n_node], De [n_edge] */
	int64_t *start, *node;           /* [n_edge + 1], [n_entry] */
	int64_t *node_start, *node_edge; /* [n_node + 1], [n_entry] */
};

static void lay_out(struct incidence *g, double *base)
{
	double *x = base;
	double **number[] = {&g->in, &g->out, &g->plain, &g->node_in, &g->node_out};
	for (int i = 0; i < 5; i++, x += g->n_entry)
		*number[i] = x;
	g->degree = x;
	g->edge = x += g->n_node;
	int64_t *at = (int64_t *)(x + g->n_edge);
	g->start = at;
	g->node = at += g->n_edge + 1;
	g->node_start = at += g->n_entry;
	g->node_edge = at += g->n_node + 1;
	g->nbytes = (size_t)((char *)(at + g->n_entry) - (char *)base);
}

static double weight_of(const struct k_hyper *h, int64_t j)
{
	return h->weight ? (double)h->weight[j] : 1;
}

/* Numbers of the entries, by hyperedge, from the degrees. */
static void fill_entries(struct incidence *g, const struct k_hyper *h)
{
	for (int64_t j = 0; j < g->n_edge; j++)
		for (int64_t e = h->start[j]; e < h->start[j + 1]; e++) {
			g->degree[h->node[e]] += weight_of(h, j) * (double)h->value[e];
			g->edge[j] += (double)h->value[e];
			g->node_start[h->node[e] + 1]++;
		}
	for (int64_t j = 0; j < g->n_edge; j++)
		for (int64_t e = h->start[j]; e < h->start[j + 1]; e++) {
			double degree = g->degree[h->node[e]], inverse = degree > 0 ? 1 / degree : 0;
			g->in[e] = (double)h->value[e] * (h->sym ? sqrt(inverse) : 1);
			g->plain[e] = (double)h->value[e] * (h->sym ? sqrt(inverse) : inverse);
			g->out[e] = g->edge[j] > 0 ? g->plain[e] * weight_of(h, j) / g->edge[j] : 0;
		}
}

static void incidence_new(struct incidence *g, const struct k_hyper *h)
{
	g->n_node = h->n_node;
	g->n_edge = h->n_edge;
	g->n_entry = h->start[h->n_edge];
	lay_out(g, NULL);
	g->host = (double *)calloc(g->nbytes + 1, 1);
	if (!g->host)
		abort();
	lay_out(g, g->host);
	fill_entries(g, h);
	for (int64_t j = 0; j <= g->n_edge; j++)
		g->start[j] = h->start[j];
	for (int64_t i = 0; i < g->n_node; i++)
		g->node_start[i + 1] += g->node_start[i];
	for (int64_t j = 0; j < g->n_edge; j++)
		for (int64_t e = h->start[j]; e < h->start[j + 1]; e++) {
			int64_t at = g->node_start[h->node[e]]++;
			g->node[e] = h->node[e];
			g->node_edge[at] = j;
			g->node_in[at] = g->in[e];
			g->node_out[at] = g->out[e];
		}
	for (int64_t i = g->n_node; i > 0; i--) /* each start has moved to its end */
		g->node_start[i] = g->node_start[i - 1];
	g->node_start[0] = 0;
}

/* To the device, with n_more numbers behind it for the caller; the host's copy is freed. */
static double *place(struct incidence *g, int64_t n_more)
{
	double *dev = (double *)cuda_scratch(CUDA_SLOT_HYPER, g->nbytes + (size_t)n_more * sizeof *dev);
	cuda_upload(dev, g->host, g->nbytes);
	free(g->host);
	g->host = NULL;
	lay_out(g, dev);
	return (double *)((char *)dev + g->nbytes);
}

/* y[v] (+)= sum over its items i of w[i] x[item[i]], in double; the result as T. */
template <class T, class U>
static __global__ void weighted_sum_each(int64_t n, const int64_t *start, const int64_t *item, const double *w,
					 const U *x, T *y, int64_t d, bool add)
{
	int64_t at = cuda_index(), v = at / d;
	double sum = 0;
	if (v >= n)
		return;
	for (int64_t i = start[v]; i < start[v + 1]; i++)
		sum += w[i] * (double)x[item[i] * d + at % d];
	y[at] = (T)((add ? (double)y[at] : 0) + sum);
}

template <class T, class U>
static void weighted_sum(int64_t n, const int64_t *start, const int64_t *item, const double *w, const U *x, T *y,
			 int64_t d, bool add)
{
	void (*kernel)(int64_t, const int64_t *, const int64_t *, const double *, const U *, T *, int64_t, bool) =
	    weighted_sum_each<T, U>;
	CUDA_EACH(kernel, n * d, n, start, item, w, x, y, d, add);
}

static void hyper(const struct kernels *, const struct k_hyper *h, const real *x, real *y, int64_t d)
{
	struct incidence g;
	incidence_new(&g, h);
	double *z = place(&g, h->n_edge * d);
	weighted_sum(g.n_edge, g.start, g.node, g.in, x, z, d, false);
	weighted_sum(g.n_node, g.node_start, g.node_edge, g.node_out, (const double *)z, y, d, false);
}

/* dot[i] = sum of a[i] b[i], a warp a row. */
template <class T, class U> static __global__ void dot_row(const T *a, const U *b, double *dot, int64_t n, int64_t d)
{
	int64_t i = cuda_row();
	double sum = 0;
	if (i >= n)
		return;
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP)
		sum += (double)a[i * d + c] * (double)b[i * d + c];
	sum = cuda_warp_sum(sum);
	if (cuda_lane() == 0)
		dot[i] = sum;
}

template <class T, class U> static void dot_rows(const T *a, const U *b, double *dot, int64_t n, int64_t d)
{
	void (*kernel)(const T *, const U *, double *, int64_t, int64_t) = dot_row<T, U>;
	CUDA_EACH_ROW(kernel, n, a, b, dot, n, d);
}

/* Through De and the value: z . q / De, and through Dv: y goes as 1 / Dv, or as Dv^-1/2 after and before. */
static __global__ void weight_grad_each(struct incidence g, const double *value, const double *zq, const double *own,
					const double *through, bool sym, real *g_w)
{
	int64_t j = cuda_index();
	if (j >= g.n_edge)
		return;
	double sum = g.edge[j] > 0 ? zq[j] / g.edge[j] : 0;
	for (int64_t e = g.start[j]; e < g.start[j + 1]; e++) {
		int64_t i = g.node[e];
		if (g.degree[i] > 0)
			sum -= value[e] * (sym ? 0.5 * (own[i] + through[i]) : own[i]) / g.degree[i];
	}
	g_w[j] += (real)sum;
}

/* As cpu_hyper.c derives it. q: the gradient at the hyperedges, with and without w / De. */
static void hyper_back(const struct kernels *, const struct k_hyper *h, const real *x, const real *y, const real *g_y,
		       real *g_x, real *g_w, int64_t d)
{
	struct incidence g;
	int64_t n_entry = h->start[h->n_edge];
	incidence_new(&g, h);
	double *q = place(&g, 2 * h->n_edge * d + h->n_node * (d + 2) + h->n_edge + n_entry), *z = q + g.n_edge * d;
	double *gx = z + g.n_edge * d, *own = gx + g.n_node * d, *through = own + g.n_node, *zq = through + g.n_node;
	double *value = zq + g.n_edge;
	weighted_sum(g.n_edge, g.start, g.node, g.out, g_y, q, d, false);
	weighted_sum(g.n_node, g.node_start, g.node_edge, g.node_in, (const double *)q, gx, d, false);
	if (g_x)
		weighted_sum(g.n_node, g.node_start, g.node_edge, g.node_in, (const double *)q, g_x, d, true);
	if (!g_w)
		return;
	double *host = (double *)malloc((size_t)n_entry * sizeof *host + 1);
	if (!host)
		abort();
	for (int64_t e = 0; e < n_entry; e++)
		host[e] = (double)h->value[e];
	cuda_upload(value, host, (size_t)n_entry * sizeof *host);
	free(host);
	weighted_sum(g.n_edge, g.start, g.node, g.plain, g_y, q, d, false);
	weighted_sum(g.n_edge, g.start, g.node, g.in, x, z, d, false);
	dot_rows((const double *)z, (const double *)q, zq, g.n_edge, d);
	dot_rows(g_y, y, own, g.n_node, d);
	dot_rows((const double *)gx, x, through, g.n_node, d);
	CUDA_EACH(weight_grad_each, g.n_edge, g, (const double *)value, (const double *)zq, (const double *)own,
		  (const double *)through, h->sym, g_w);
}

void cuda_hyper(struct kernels *k)
{
	k->hyper = hyper;
	k->hyper_back = hyper_back;
}
