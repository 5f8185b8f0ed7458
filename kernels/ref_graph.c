/* ref_graph.c - the reference of operations by index, of pictures and of distances; see ref.c. */
#include "kernels.h"

#include <math.h>
#include <stdlib.h>

#define LOOP(i, n) for (int64_t i = 0; i < (n); i++)
/* p: positions of the items of target v. */
#define ITEMS(p, c, v) for (int64_t p = (c)->start[v]; p < (c)->start[(v) + 1]; p++)

static void gather(const struct kernels *k, const real *x, const int64_t *idx, real *y, int64_t n, int64_t d, bool add)
{
	LOOP (i, n)
		LOOP (j, d)
			y[i * d + j] = (add ? y[i * d + j] : 0) + x[idx[i] * d + j];
}
static void csr_sum(const struct kernels *k, const struct k_csr *c, const real *x, const real *w, real *y, int64_t d,
		    bool add)
{
	LOOP (v, c->n)
		LOOP (j, d) {
			double s = add ? (double)y[v * d + j] : 0;
			ITEMS (p, c, v)
				s += (w ? (double)w[p] : 1) * (double)x[c->item[p] * d + j];
			y[v * d + j] = (real)s;
		}
}
static void csr_max(const struct kernels *k, const struct k_csr *c, const real *x, real *y, int64_t *arg, int64_t d)
{
	LOOP (v, c->n)
		LOOP (j, d) {
			int64_t best = -1;
			ITEMS (p, c, v)
				if (best < 0 || x[c->item[p] * d + j] > x[best * d + j])
					best = c->item[p];
			arg[v * d + j] = best;
			y[v * d + j] = best < 0 ? 0 : x[best * d + j];
		}
}
static void csr_max_back(const struct kernels *k, const int64_t *arg, const real *g_y, real *g_x, int64_t n, int64_t d)
{
	LOOP (v, n)
		LOOP (j, d)
			if (arg[v * d + j] >= 0)
				g_x[arg[v * d + j] * d + j] += g_y[v * d + j];
}
static void embed(const struct kernels *k, int n_table, const real *const *table, const int64_t *idx, real *y,
		  int64_t n, int64_t d)
{
	LOOP (i, n)
		LOOP (j, d) {
			double s = 0;
			LOOP (t, n_table)
				s += (double)table[t][idx[i * n_table + t] * d + j];
			y[i * d + j] = (real)s;
		}
}
static void message_sum(const struct kernels *k, const struct k_csr *c, const int64_t *kind, const real *x,
			const real *table, const real *w, int n_head, real *y, int64_t d)
{
	LOOP (v, c->n)
		LOOP (j, d) {
			double s = 0;
			ITEMS (p, c, v)
				s += (w ? (double)w[p * n_head + j / (d / n_head)] : 1) *
				     ((double)x[c->item[p] * d + j] + (double)table[kind[p] * d + j]);
			y[v * d + j] = (real)s;
		}
}
static void message_dot(const struct kernels *k, const struct k_csr *c, const int64_t *kind, const real *x,
			const real *table, const real *g_y, int n_head, real *g_w, int64_t d)
{
	LOOP (v, c->n)
		ITEMS (p, c, v)
			LOOP (h, n_head) {
				double s = 0;
				LOOP (j, d)
					if (j / (d / n_head) == h)
						s += (double)g_y[v * d + j] *
						     ((double)x[c->item[p] * d + j] + (double)table[kind[p] * d + j]);
				g_w[p * n_head + h] = (real)((double)g_w[p * n_head + h] + s);
			}
}
static void csr_sum_heads(const struct kernels *k, const struct k_csr *c, const int64_t *edge, const real *x,
			  const real *w, int n_head, real *y, int64_t d)
{
	LOOP (v, c->n)
		LOOP (j, d) {
			double s = (double)y[v * d + j];
			ITEMS (p, c, v)
				s += (double)w[edge[p] * n_head + j / (d / n_head)] * (double)x[c->item[p] * d + j];
			y[v * d + j] = (real)s;
		}
}
static double leaky_score(const struct k_csr *c, const int64_t *kind, const real *a, const real *b, const real *t,
			  double slope, int64_t n_head, int64_t v, int64_t p, int64_t h)
{
	double s = (double)a[v * n_head + h] + (double)b[c->item[p] * n_head + h] + (double)t[kind[p] * n_head + h];
	return s > 0 ? s : slope * s;
}
static void attention(const struct kernels *k, const struct k_csr *c, const int64_t *kind, const real *a, const real *b,
		      const real *t, double slope, int n_head, real *alpha)
{
	LOOP (v, c->n)
		LOOP (h, n_head)
			ITEMS (p, c, v) {
				double sum = 0, own = leaky_score(c, kind, a, b, t, slope, n_head, v, p, h);
				ITEMS (q, c, v)
					sum += exp(leaky_score(c, kind, a, b, t, slope, n_head, v, q, h) - own);
				alpha[p * n_head + h] = (real)(1 / sum);
			}
}
static void attention_back(const struct kernels *k, const struct k_csr *c, const int64_t *kind, const real *a,
			   const real *b, const real *t, double slope, int n_head, const real *alpha,
			   const real *g_alpha, real *g_s)
{
	LOOP (v, c->n)
		LOOP (h, n_head)
			ITEMS (p, c, v) {
				double g = 0, own = (double)alpha[p * n_head + h];
				ITEMS (q, c, v)
					g += (double)g_alpha[q * n_head + h] * (double)alpha[q * n_head + h] *
					     ((p == q) - own);
				g_s[p * n_head + h] =
				    (real)(leaky_score(c, kind, a, b, t, slope, n_head, v, p, h) > 0 ? g : slope * g);
			}
}
static void filter_sum(const struct kernels *k, const struct k_csr *c, const int64_t *other, const real *x,
		       const real *f, real *y, int64_t d, bool add)
{
	LOOP (v, c->n)
		LOOP (j, d) {
			double s = add ? (double)y[v * d + j] : 0;
			ITEMS (p, c, v)
				s += (double)x[other[c->item[p]] * d + j] * (double)f[c->item[p] * d + j];
			y[v * d + j] = (real)s;
		}
}
static void filter_back(const struct kernels *k, const int64_t *ia, const real *a, const int64_t *ib, const real *b,
			real *g_f, int64_t n_edge, int64_t d)
{
	LOOP (e, n_edge)
		LOOP (j, d)
			g_f[e * d + j] =
			    (real)((double)g_f[e * d + j] + (double)a[ia[e] * d + j] * (double)b[ib[e] * d + j]);
}

/* ---- pictures ---------------------------------------------------------------------- */

static int64_t n_out(const struct k_conv *c)
{
	return c->n * c->out_height * c->out_width;
}

/* The row of x under tap t of output row r, or -1 outside the picture. */
static int64_t pixel(const struct k_conv *c, int64_t r, int64_t t)
{
	int64_t px = c->out_height * c->out_width, img = r / px, oy = r % px / c->out_width, ox = r % c->out_width;
	int64_t y = oy * c->stride - c->kernel / 2 + t / c->kernel;
	int64_t x = ox * c->stride - c->kernel / 2 + t % c->kernel;
	return y < 0 || y >= c->height || x < 0 || x >= c->width ? -1 : (img * c->height + y) * c->width + x;
}

/* What the convolution reads at channel i of a row of x. */
static double read_at(const struct k_conv *c, const real *x, int64_t row, int64_t i)
{
	double v = (double)x[row * c->c_in + i];
	return c->in_scale ? fmax(0, (double)c->in_scale[i] * v + (double)c->in_shift[i]) : v;
}

static void conv(const struct kernels *k, const struct k_conv *c, const real *x, const real *weight, real *y)
{
	int64_t taps = c->kernel * c->kernel;
	LOOP (r, n_out(c))
		LOOP (o, c->c_out) {
			double s = 0;
			LOOP (i, c->c_in)
				LOOP (t, taps)
					if (pixel(c, r, t) >= 0)
						s += read_at(c, x, pixel(c, r, t), i) *
						     (double)weight[(o * c->c_in + i) * taps + t];
			s *= c->out_scale ? (double)c->out_scale[o] : 1;
			s += c->out_bias ? (double)c->out_bias[o] : 0;
			s += c->residual ? (double)c->residual[r * c->c_out + o] : 0;
			y[r * c->c_out + o] = (real)(c->relu && s < 0 ? 0 : s);
		}
}
static void conv_back(const struct kernels *k, const struct k_conv *c, const real *x, const real *weight,
		      const real *g_y, real *g_x, real *g_weight)
{
	int64_t taps = c->kernel * c->kernel, n_x = c->n * c->height * c->width * c->c_in;
	int64_t n_w = c->c_out * c->c_in * taps;
	double *gx = calloc((size_t)(n_x + n_w + 1), sizeof *gx), *gw = gx + n_x;
	if (!gx)
		abort();
	LOOP (r, n_out(c))
		LOOP (o, c->c_out)
			LOOP (i, c->c_in)
				LOOP (t, taps) {
					int64_t row = pixel(c, r, t), w = (o * c->c_in + i) * taps + t;
					double g = (double)g_y[r * c->c_out + o];
					if (row >= 0)
						gx[row * c->c_in + i] += g * (double)weight[w];
					if (row >= 0)
						gw[w] += g * read_at(c, x, row, i);
				}
	for (int64_t i = 0; i < n_x && g_x; i++)
		g_x[i] = (real)((c->g_x_set ? 0 : (double)g_x[i]) + gx[i]);
	for (int64_t i = 0; i < n_w && g_weight; i++)
		g_weight[i] = (real)((double)g_weight[i] + gw[i]);
	free(gx);
}
static void max_pool(const struct kernels *k, const struct k_conv *c, const real *x, real *y, uint8_t *arg)
{
	LOOP (r, n_out(c))
		LOOP (i, c->c_in) {
			double best = -INFINITY;
			LOOP (t, c->kernel * c->kernel) {
				int64_t row = pixel(c, r, t);
				if (row >= 0 && read_at(c, x, row, i) > best) {
					best = read_at(c, x, row, i);
					arg[r * c->c_in + i] = (uint8_t)t;
				}
			}
			y[r * c->c_in + i] = (real)best;
		}
}
static void max_pool_back(const struct kernels *k, const struct k_conv *c, const uint8_t *arg, const real *g_y,
			  real *g_x)
{
	for (int64_t i = 0; i < c->n * c->height * c->width * c->c_in && c->g_x_set; i++)
		g_x[i] = 0;
	LOOP (r, n_out(c))
		LOOP (i, c->c_in)
			g_x[pixel(c, r, arg[r * c->c_in + i]) * c->c_in + i] += g_y[r * c->c_in + i];
}

/* ---- distances ------------------------------------------------------------------------ */

static const double pi = 3.14159265358979323846;

static void distance(const struct kernels *k, const real *pos, const int64_t *j, const int64_t *i, real *dist,
		     int64_t n_edge)
{
	LOOP (e, n_edge) {
		double s = 0;
		LOOP (c, 3)
			s += pow((double)pos[3 * j[e] + c] - (double)pos[3 * i[e] + c], 2);
		dist[e] = (real)sqrt(s);
	}
}
static void distance_back(const struct kernels *k, const real *pos, const int64_t *j, const int64_t *i,
			  const real *dist, const real *g_dist, real *g_pos, int64_t n_edge)
{
	int64_t n = 0;
	LOOP (e, n_edge)
		n = j[e] >= n ? j[e] + 1 : n;
	LOOP (e, n_edge)
		n = i[e] >= n ? i[e] + 1 : n;
	LOOP (v, n)
		LOOP (c, 3) {
			double s = (double)g_pos[3 * v + c];
			LOOP (e, n_edge) {
				double along = (double)pos[3 * j[e] + c] - (double)pos[3 * i[e] + c];
				double g = (double)g_dist[e] * along / (double)dist[e];
				s += (j[e] == v ? g : 0) - (i[e] == v ? g : 0);
			}
			g_pos[3 * v + c] = (real)s;
		}
}
static void gaussians(const struct kernels *k, const real *dist, real *y, int64_t n_edge, int64_t n, double cutoff)
{
	double step = cutoff / (double)(n - 1);
	LOOP (e, n_edge)
		LOOP (g, n)
			y[e * n + g] = (real)exp(-pow((double)dist[e] - (double)g * step, 2) / (2 * step * step));
}
static void gaussians_back(const struct kernels *k, const real *dist, const real *y, const real *g_y, real *g_dist,
			   int64_t n_edge, int64_t n, double cutoff)
{
	double step = cutoff / (double)(n - 1);
	LOOP (e, n_edge) {
		double s = (double)g_dist[e];
		LOOP (g, n)
			s -= (double)g_y[e * n + g] * (double)y[e * n + g] * ((double)dist[e] - (double)g * step) /
			     (step * step);
		g_dist[e] = (real)s;
	}
}
static void cosine_cutoff(const struct kernels *k, const real *dist, real *y, int64_t n_edge, double cutoff)
{
	LOOP (e, n_edge)
		y[e] = (real)((cos(pi * (double)dist[e] / cutoff) + 1) / 2);
}
static void cosine_cutoff_back(const struct kernels *k, const real *dist, const real *g_y, real *g_dist, int64_t n_edge,
			       double cutoff)
{
	LOOP (e, n_edge)
		g_dist[e] =
		    (real)((double)g_dist[e] - (double)g_y[e] * sin(pi * (double)dist[e] / cutoff) * pi / (2 * cutoff));
}

void kernels_ref_graph(struct kernels *k)
{
	k->gather = gather;
	k->csr_sum = csr_sum;
	k->csr_max = csr_max;
	k->csr_max_back = csr_max_back;
	k->embed = embed;
	k->message_sum = message_sum;
	k->message_dot = message_dot;
	k->csr_sum_heads = csr_sum_heads;
	k->attention = attention;
	k->attention_back = attention_back;
	k->filter_sum = filter_sum;
	k->filter_back = filter_back;
	k->conv = conv;
	k->conv_back = conv_back;
	k->max_pool = max_pool;
	k->max_pool_back = max_pool_back;
	k->distance = distance;
	k->distance_back = distance_back;
	k->gaussians = gaussians;
	k->gaussians_back = gaussians_back;
	k->cosine_cutoff = cosine_cutoff;
	k->cosine_cutoff_back = cosine_cutoff_back;
}
