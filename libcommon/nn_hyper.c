/* nn_hyper.c - hypergraphs over molecules: neighbours, incidence, the operator G. */
#include "nn_loss.h"
#include "nn_neighbours.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct near {
	double key;
	int64_t i;
};

static bool closer(struct near a, struct near b)
{
	return a.key < b.key || (a.key == b.key && a.i < b.i);
}

/* Keeps the k nearest in order; n held so far. Returns the new number held. */
static int64_t near_insert(struct near *list, int64_t n, int64_t k, struct near x)
{
	if (n == k && !closer(x, list[n - 1]))
		return n;
	int64_t at = n < k ? n++ : n - 1;
	for (; at > 0 && closer(x, list[at - 1]); at--)
		list[at] = list[at - 1];
	list[at] = x;
	return n;
}

static struct nn_hyper hyper_of_k(const int64_t *idx, const real *value, int64_t n, int64_t k, struct arena *a)
{
	int64_t *start = arena_alloc(a, (size_t)(n + 1) * sizeof *start);
	for (int64_t j = 0; j <= n; j++)
		start[j] = j * k;
	return (struct nn_hyper){
	    .n_node = n, .n_edge = n, .n_entry = n * k, .start = start, .node = idx, .value = value};
}

/* Soft incidence (HGNN): scale is a multiple of the mean distance. All rows equal: every distance is 0 and so is the
 * scale; alike means 1. */
static real incidence(double dist, double scale)
{
	return scale > 0 ? (real)exp(-dist * dist / (scale * scale)) : 1;
}

struct nn_hyper nn_hyper_knn(const struct kernels *kernels, const real *x, int64_t n, int64_t d, int64_t k, bool soft,
			     double m, struct arena *a)
{
	if (k > n)
		k = n;
	int64_t *idx = arena_alloc(a, (size_t)(n * k + 1) * sizeof *idx);
	double *dist = arena_alloc(a, (size_t)(n * k + 1) * sizeof *dist),
	       *mean = arena_alloc(a, (size_t)(n + 1) * sizeof *mean);
	real *value = arena_alloc(a, (size_t)(n * k + 1) * sizeof *value);
	nn_neighbours(kernels, x, n, d, NN_L2, k, idx, dist, soft ? mean : NULL);
	for (int64_t e = 0; e < n * k; e++)
		value[e] = incidence(dist[e], soft ? m * mean[e / k] : 0);
	return hyper_of_k(idx, value, n, k, a);
}

static double tanimoto(const uint8_t *a, const uint8_t *b)
{
	int both = 0, any = 0;
	for (int i = 0; i < 256; i += 8) {
		uint64_t u, v;
		memcpy(&u, a + i, 8);
		memcpy(&v, b + i, 8);
		both += __builtin_popcountll(u & v);
		any += __builtin_popcountll(u | v);
	}
	return any ? (double)both / any : 1;
}

struct nn_hyper nn_hyper_fp(const uint8_t *fp, int64_t n, int64_t k, bool soft, struct arena *a)
{
	if (k > n)
		k = n;
	int64_t *idx = arena_alloc(a, (size_t)(n * k + 1) * sizeof *idx);
	real *value = arena_alloc(a, (size_t)(n * k + 1) * sizeof *value);
	struct near *list = arena_alloc(a, (size_t)(k + 1) * sizeof *list);
	for (int64_t i = 0; i < n; i++) {
		double sum = 0;
		int64_t held = near_insert(list, 0, k, (struct near){-1, i}); /* before all others */
		for (int64_t j = 0; j < n; j++) {
			double dist = 1 - tanimoto(fp + i * 256, fp + j * 256);
			sum += dist;
			if (j != i)
				held = near_insert(list, held, k, (struct near){dist, j});
		}
		for (int64_t j = 0; j < held; j++) {
			idx[i * k + j] = list[j].i;
			value[i * k + j] = incidence(j ? list[j].key : 0, soft ? sum / (double)n : 0);
		}
	}
	return hyper_of_k(idx, value, n, k, a);
}

struct nn_hyper nn_hyper_group(const int64_t *group, int64_t n, struct arena *a)
{
	int64_t *edge = arena_alloc(a, (size_t)(n + 1) * sizeof *edge),
		*start = arena_calloc(a, (size_t)n + 2, sizeof *start);
	int64_t *node = arena_alloc(a, (size_t)(n + 1) * sizeof *node), n_edge = 0;
	real *value = arena_alloc(a, (size_t)(n + 1) * sizeof *value);
	for (int64_t i = 0; i < n; i++) {
		int64_t j = 0;
		while (group[j] != group[i])
			j++;
		edge[i] = j == i ? n_edge++ : edge[j];
		start[edge[i] + 1]++;
		value[i] = 1;
	}
	for (int64_t j = 0; j < n_edge; j++)
		start[j + 1] += start[j];
	int64_t *at = arena_alloc(a, (size_t)(n_edge + 1) * sizeof *at);
	memcpy(at, start, (size_t)n_edge * sizeof *at);
	for (int64_t i = 0; i < n; i++)
		node[at[edge[i]]++] = i;
	return (struct nn_hyper){
	    .n_node = n, .n_edge = n_edge, .n_entry = n, .start = start, .node = node, .value = value};
}

struct nn_hyper nn_hyper_concat(const struct nn_hyper *const *parts, int n_part, struct arena *a)
{
	struct nn_hyper h = {.n_node = parts[0]->n_node};
	for (int p = 0; p < n_part; p++) {
		h.n_edge += parts[p]->n_edge;
		h.n_entry += parts[p]->n_entry;
	}
	int64_t *start = arena_calloc(a, (size_t)h.n_edge + 1, sizeof *start), edge = 0, entry = 0;
	int64_t *node = arena_alloc(a, (size_t)(h.n_entry + 1) * sizeof *node);
	real *value = arena_alloc(a, (size_t)(h.n_entry + 1) * sizeof *value);
	real *weight = arena_alloc(a, (size_t)(h.n_edge + 1) * sizeof *weight);
	for (int p = 0; p < n_part; p++) {
		const struct nn_hyper *q = parts[p];
		for (int64_t j = 0; j < q->n_edge; j++) {
			weight[edge] = q->weight ? q->weight[j] : 1;
			start[++edge] = entry + q->start[j + 1];
		}
		memcpy(node + entry, q->node, (size_t)q->n_entry * sizeof *node);
		memcpy(value + entry, q->value, (size_t)q->n_entry * sizeof *value);
		entry += q->n_entry;
	}
	h.start = start;
	h.node = node;
	h.value = value;
	h.weight = weight;
	return h;
}

struct hyper_rule {
	struct nn_var *x, *y, *w;
	struct k_hyper h;
};

static void hyper_backward(struct nn_tape *t, void *ctx)
{
	struct hyper_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->hyper_back(k, &r->h, r->x->v, r->y->v, r->y->g, r->x->g, r->w ? r->w->g : NULL, r->x->d);
}

struct nn_var *nn_hyper_apply(struct nn_tape *t, struct nn_var *x, const struct nn_hyper *h, struct nn_var *w, bool sym)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct hyper_rule *r = arena_alloc(nn_tape_arena(t), sizeof *r);
	struct nn_var *y = nn_var_new(t, x->n, x->d, x->g || (w && w->g));
	const real *weight = h->weight;
	if (w) {
		real *host = arena_alloc(nn_tape_arena(t), (size_t)(h->n_edge + 1) * sizeof *host);
		nn_download(t, w, host);
		weight = host;
	}
	*r = (struct hyper_rule){.x = x, .y = y, .w = w};
	r->h = (struct k_hyper){h->n_node, h->n_edge, h->start, h->node, h->value, weight, sym};
	k->hyper(k, &r->h, x->v, y->v, x->d);
	if (y->g)
		nn_tape_push(t, hyper_backward, r);
	return y;
}
