/* cuda_graph.cu - rows by index on the device: a thread for each entry of the result walks its target's items. */
#include "cuda.cuh"

static __global__ void gather_each(const real *x, const int64_t *idx, real *y, int64_t n, int64_t d, bool add)
{
	int64_t i = cuda_index();
	if (i < n * d)
		y[i] = (add ? y[i] : 0) + x[idx[i / d] * d + i % d];
}

static void gather(const struct kernels *, const real *x, const int64_t *idx, real *y, int64_t n, int64_t d, bool add)
{
	CUDA_EACH(gather_each, n * d, x, idx, y, n, d, add);
}

static __global__ void csr_sum_each(struct k_csr c, const real *x, const real *w, real *y, int64_t d, bool add)
{
	int64_t at = cuda_index(), v = at / d;
	if (v >= c.n)
		return;
	real sum = add ? y[at] : 0;
	for (int64_t i = c.start[v]; i < c.start[v + 1]; i++)
		sum += (w ? w[i] : 1) * x[c.item[i] * d + at % d];
	y[at] = sum;
}

static void csr_sum(const struct kernels *, const struct k_csr *c, const real *x, const real *w, real *y, int64_t d,
		    bool add)
{
	CUDA_EACH(csr_sum_each, c->n * d, *c, x, w, y, d, add);
}

static __global__ void csr_max_each(struct k_csr c, const real *x, real *y, int64_t *arg, int64_t d)
{
	int64_t at = cuda_index(), v = at / d, best = -1;
	if (v >= c.n)
		return;
	for (int64_t i = c.start[v]; i < c.start[v + 1]; i++) {
		int64_t r = c.item[i];
		if (best < 0 || x[r * d + at % d] > x[best * d + at % d])
			best = r;
	}
	arg[at] = best;
	y[at] = best < 0 ? 0 : x[best * d + at % d];
}

static void csr_max(const struct kernels *, const struct k_csr *c, const real *x, real *y, int64_t *arg, int64_t d)
{
	CUDA_EACH(csr_max_each, c->n * d, *c, x, y, arg, d);
}

/* Each row of x is in one target at most: no two threads meet. */
static __global__ void csr_max_back_each(const int64_t *arg, const real *g_y, real *g_x, int64_t n, int64_t d)
{
	int64_t at = cuda_index();
	if (at < n * d && arg[at] >= 0)
		g_x[arg[at] * d + at % d] += g_y[at];
}

static void csr_max_back(const struct kernels *, const int64_t *arg, const real *g_y, real *g_x, int64_t n, int64_t d)
{
	CUDA_EACH(csr_max_back_each, n * d, arg, g_y, g_x, n, d);
}

enum { MAX_TABLE = 16 };
struct tables {
	const real *p[MAX_TABLE];
};

static __global__ void embed_each(struct tables table, int n_table, const int64_t *idx, real *y, int64_t n, int64_t d)
{
	int64_t at = cuda_index(), i = at / d;
	real sum = 0;
	if (i >= n)
		return;
	for (int t = 0; t < n_table; t++)
		sum += table.p[t][idx[i * n_table + t] * d + at % d];
	y[at] = sum;
}

/* No feature set has more tables than MAX_TABLE; more are a failure of the device. */
static void embed(const struct kernels *, int n_table, const real *const *table, const int64_t *idx, real *y, int64_t n,
		  int64_t d)
{
	struct tables all = {};
	if (n_table > MAX_TABLE) {
		cuda_good(cudaErrorInvalidValue);
		return;
	}
	for (int t = 0; t < n_table; t++)
		all.p[t] = table[t];
	CUDA_EACH(embed_each, n * d, all, n_table, idx, y, n, d);
}

/* ---- messages ------------------------------------------------------------------------ */

static __global__ void message_sum_each(struct k_csr c, const int64_t *kind, const real *x, const real *table,
					const real *w, int n_head, real *y, int64_t d)
{
	int64_t at = cuda_index(), v = at / d, f = at % d, head = f / (d / n_head);
	real sum = 0;
	if (v >= c.n)
		return;
	for (int64_t i = c.start[v]; i < c.start[v + 1]; i++)
		sum += (w ? w[i * n_head + head] : 1) * (x[c.item[i] * d + f] + table[kind[i] * d + f]);
	y[at] = sum;
}

static void message_sum(const struct kernels *, const struct k_csr *c, const int64_t *kind, const real *x,
			const real *table, const real *w, int n_head, real *y, int64_t d)
{
	CUDA_EACH(message_sum_each, c->n * d, *c, kind, x, table, w, n_head, y, d);
}

/* A warp for each target: for each of its items and heads, the lanes share the columns. */
static __global__ void message_dot_row(struct k_csr c, const int64_t *kind, const real *x, const real *table,
				       const real *g_y, int n_head, real *g_w, int64_t d)
{
	int64_t v = cuda_row(), part = d / n_head;
	if (v >= c.n)
		return;
	for (int64_t i = c.start[v]; i < c.start[v + 1]; i++)
		for (int h = 0; h < n_head; h++) {
			const real *xi = x + c.item[i] * d + h * part, *t = table + kind[i] * d + h * part;
			double sum = 0;
			for (int64_t f = cuda_lane(); f < part; f += CUDA_WARP)
				sum += (double)g_y[v * d + h * part + f] * (double)(xi[f] + t[f]);
			sum = cuda_warp_sum(sum);
			if (cuda_lane() == 0)
				g_w[i * n_head + h] += (real)sum;
		}
}

static void message_dot(const struct kernels *, const struct k_csr *c, const int64_t *kind, const real *x,
			const real *table, const real *g_y, int n_head, real *g_w, int64_t d)
{
	CUDA_EACH_ROW(message_dot_row, c->n, *c, kind, x, table, g_y, n_head, g_w, d);
}

static __global__ void csr_sum_heads_each(struct k_csr c, const int64_t *edge, const real *x, const real *w, int n_head,
					  real *y, int64_t d)
{
	int64_t at = cuda_index(), v = at / d, f = at % d, head = f / (d / n_head);
	if (v >= c.n)
		return;
	real sum = y[at];
	for (int64_t i = c.start[v]; i < c.start[v + 1]; i++)
		sum += w[edge[i] * n_head + head] * x[c.item[i] * d + f];
	y[at] = sum;
}

static void csr_sum_heads(const struct kernels *, const struct k_csr *c, const int64_t *edge, const real *x,
			  const real *w, int n_head, real *y, int64_t d)
{
	CUDA_EACH(csr_sum_heads_each, c->n * d, *c, edge, x, w, n_head, y, d);
}

/* ---- attention: a thread for each target and head -------------------------------------- */

struct scores {
	struct k_csr c;
	const int64_t *kind;
	const real *a, *b, *t;
	double slope;
	int64_t n_head;
	/* Before the leaky ReLU. */
	__device__ real raw(int64_t v, int64_t i, int64_t h) const
	{
		return a[v * n_head + h] + b[c.item[i] * n_head + h] + t[kind[i] * n_head + h];
	}
	__device__ double leaky(int64_t v, int64_t i, int64_t h) const
	{
		double s = (double)raw(v, i, h);
		return s > 0 ? s : slope * s;
	}
};

static struct scores scores_of(const struct k_csr *c, const int64_t *kind, const real *a, const real *b, const real *t,
			       double slope, int n_head)
{
	struct scores s;
	s.c = *c;
	s.kind = kind;
	s.a = a;
	s.b = b;
	s.t = t;
	s.slope = slope;
	s.n_head = n_head;
	return s;
}

static __global__ void attention_each(struct scores s, real *alpha)
{
	int64_t at = cuda_index(), v = at / s.n_head, h = at % s.n_head;
	double top = -INFINITY, sum = 0;
	if (v >= s.c.n)
		return;
	for (int64_t i = s.c.start[v]; i < s.c.start[v + 1]; i++)
		top = s.leaky(v, i, h) > top ? s.leaky(v, i, h) : top;
	for (int64_t i = s.c.start[v]; i < s.c.start[v + 1]; i++)
		sum += exp(s.leaky(v, i, h) - top);
	for (int64_t i = s.c.start[v]; i < s.c.start[v + 1]; i++)
		alpha[i * s.n_head + h] = (real)(exp(s.leaky(v, i, h) - top) / sum);
}

static void attention(const struct kernels *, const struct k_csr *c, const int64_t *kind, const real *a, const real *b,
		      const real *t, double slope, int n_head, real *alpha)
{
	CUDA_EACH(attention_each, c->n * n_head, scores_of(c, kind, a, b, t, slope, n_head), alpha);
}

static __global__ void attention_back_each(struct scores s, const real *alpha, const real *g_alpha, real *g_s)
{
	int64_t at = cuda_index(), v = at / s.n_head, h = at % s.n_head;
	double dot = 0;
	if (v >= s.c.n)
		return;
	for (int64_t i = s.c.start[v]; i < s.c.start[v + 1]; i++)
		dot += (double)alpha[i * s.n_head + h] * (double)g_alpha[i * s.n_head + h];
	for (int64_t i = s.c.start[v]; i < s.c.start[v + 1]; i++) {
		double g = (double)alpha[i * s.n_head + h] * ((double)g_alpha[i * s.n_head + h] - dot);
		g_s[i * s.n_head + h] = (real)(s.raw(v, i, h) > 0 ? g : s.slope * g);
	}
}

static void attention_back(const struct kernels *, const struct k_csr *c, const int64_t *kind, const real *a,
			   const real *b, const real *t, double slope, int n_head, const real *alpha,
			   const real *g_alpha, real *g_s)
{
	CUDA_EACH(attention_back_each, c->n * n_head, scores_of(c, kind, a, b, t, slope, n_head), alpha, g_alpha, g_s);
}

void cuda_graph(struct kernels *k)
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
}
