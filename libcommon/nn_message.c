/* nn_message.c - messages along bonds: the batch's edges sorted by target, source and kind, sums and attention. */
#include "nn_layer.h"

#include <math.h>

struct nn_links nn_links_new(struct arena *a, const struct nn_graphs *g, int n_feature, const int *n_value, int loop)
{
	int64_t n = g->n_edge + g->n_atom, *target = arena_alloc(a, (size_t)(n + 1) * sizeof *target);
	int64_t *source = arena_alloc(a, (size_t)(3 * n + 1) * sizeof *source), *kind = source + n, *degree = kind + n;
	for (int64_t e = 0; e < n; e++)
		target[e] = e < g->n_edge ? g->edge_index[g->n_edge + e] : e - g->n_edge;
	struct nn_order in = nn_order_by(a, target, n, g->n_atom);
	for (int64_t p = 0; p < n; p++) {
		int64_t e = in.item[p];
		bool own = e >= g->n_edge;
		source[p] = own ? e - g->n_edge : g->edge_index[e];
		degree[p] = in.start[source[p] + 1] - in.start[source[p]];
		kind[p] = 0;
		for (int f = 0; f < n_feature; f++) {
			int64_t value = own ? (f ? 0 : loop) : g->edge_attr[e * n_feature + f];
			value = value < 0 ? 0 : value < n_value[f] ? value : n_value[f] - 1;
			kind[p] = kind[p] * n_value[f] + value;
		}
	}
	return (struct nn_links){.n = g->n_atom,
				 .n_source = g->n_atom,
				 .n_item = n,
				 .start = in.start,
				 .source = source,
				 .kind = kind,
				 .degree = degree};
}

/* Items by key as they stand on the back end, with target[item] in place of each; their positions into at. */
static struct k_csr sort_by(struct nn_tape *t, const int64_t *key, int64_t n_item, int64_t n, const int64_t *target,
			    const int64_t **at)
{
	struct nn_order o = nn_order_by(nn_tape_arena(t), key, n_item, n);
	*at = nn_tape_index(t, o.item, n_item);
	for (int64_t i = 0; i < n_item; i++)
		o.item[i] = target[o.item[i]];
	return (struct k_csr){.n = n,
			      .n_item = n_item,
			      .start = nn_tape_index(t, o.start, n + 1),
			      .item = nn_tape_index(t, o.item, n_item)};
}

struct nn_messages *nn_messages_new(struct nn_tape *t, const struct nn_links *l, int64_t n_kind)
{
	struct arena *a = nn_tape_arena(t);
	struct nn_messages *m = arena_calloc(a, 1, sizeof *m);
	int64_t n = l->n_item, *target = arena_alloc(a, (size_t)(2 * n + 1) * sizeof *target), *position = target + n;
	for (int64_t v = 0; v < l->n; v++)
		for (int64_t p = l->start[v]; p < l->start[v + 1]; p++) {
			target[p] = v;
			position[p] = p;
		}
	m->n_row = l->n;
	m->n_source = l->n_source;
	m->n_item = n;
	m->n_kind = n_kind;
	m->links = l;
	m->in = (struct k_csr){.n = l->n,
			       .n_item = n,
			       .start = nn_tape_index(t, l->start, l->n + 1),
			       .item = nn_tape_index(t, l->source, n)};
	m->kind = nn_tape_index(t, l->kind, n);
	m->own = m->in;
	m->own.item = nn_tape_index(t, position, n);
	m->out = sort_by(t, l->source, n, l->n_source, target, &m->out_at);
	m->by_kind = sort_by(t, l->kind, n, n_kind, target, &m->kind_at);
	return m;
}

struct nn_var *nn_message_weights(struct nn_tape *t, const struct nn_messages *m, bool gcn)
{
	const struct nn_links *l = m->links;
	real *w = arena_alloc(nn_tape_arena(t), (size_t)(m->n_item + 1) * sizeof *w);
	for (int64_t v = 0; v < l->n; v++)
		for (int64_t p = l->start[v]; p < l->start[v + 1]; p++) {
			double degree = (double)(l->start[v + 1] - l->start[v]);
			w[p] = (real)(1 / (gcn ? sqrt((double)l->degree[p] * degree) : degree));
		}
	return nn_input(t, w, m->n_item, 1);
}

struct rule {
	const struct nn_messages *m;
	struct nn_var *x, *table, *w, *y;
	int n_head;
	struct nn_var *a, *b, *c;
	double slope;
};

static void message_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	const struct nn_messages *m = r->m;
	int64_t d = r->y->d;
	if (r->x->g && !r->w)
		k->csr_sum(k, &m->out, r->y->g, NULL, r->x->g, d, true);
	if (r->table->g && !r->w)
		k->csr_sum(k, &m->by_kind, r->y->g, NULL, r->table->g, d, true);
	if (r->x->g && r->w)
		k->csr_sum_heads(k, &m->out, m->out_at, r->y->g, r->w->v, r->n_head, r->x->g, d);
	if (r->table->g && r->w)
		k->csr_sum_heads(k, &m->by_kind, m->kind_at, r->y->g, r->w->v, r->n_head, r->table->g, d);
	if (r->w && r->w->g)
		k->message_dot(k, &m->in, m->kind, r->x->v, r->table->v, r->y->g, r->n_head, r->w->g, d);
}

struct nn_var *nn_message_sum(struct nn_tape *t, const struct nn_messages *m, struct nn_var *x, struct nn_var *table,
			      struct nn_var *w, int n_head)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct rule *r = arena_calloc(nn_tape_arena(t), 1, sizeof *r);
	struct nn_var *y = nn_var_new(t, m->n_row, x->d, x->g || table->g || (w && w->g));
	*r = (struct rule){.m = m, .x = x, .table = table, .w = w, .y = y, .n_head = n_head};
	k->message_sum(k, &m->in, m->kind, x->v, table->v, w ? w->v : NULL, n_head, y->v, x->d);
	if (y->g)
		nn_tape_push(t, message_back, r);
	return y;
}

static void attention_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	const struct nn_messages *m = r->m;
	struct k_csr out = m->out, kinds = m->by_kind;
	real *g_s = nn_tape_alloc(t, (size_t)(m->n_item * r->n_head) * sizeof *g_s);
	k->attention_back(k, &m->in, m->kind, r->a->v, r->b->v, r->c->v, r->slope, r->n_head, r->y->v, r->y->g, g_s);
	out.item = m->out_at;
	kinds.item = m->kind_at;
	if (r->a->g)
		k->csr_sum(k, &m->own, g_s, NULL, r->a->g, r->n_head, true);
	if (r->b->g)
		k->csr_sum(k, &out, g_s, NULL, r->b->g, r->n_head, true);
	if (r->c->g)
		k->csr_sum(k, &kinds, g_s, NULL, r->c->g, r->n_head, true);
}

struct nn_var *nn_attention(struct nn_tape *t, const struct nn_messages *m, struct nn_var *a, struct nn_var *b,
			    struct nn_var *c, double slope)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct rule *r = arena_calloc(nn_tape_arena(t), 1, sizeof *r);
	struct nn_var *y = nn_var_new(t, m->n_item, a->d, a->g || b->g || c->g);
	*r = (struct rule){.m = m, .y = y, .n_head = (int)a->d, .a = a, .b = b, .c = c, .slope = slope};
	k->attention(k, &m->in, m->kind, a->v, b->v, c->v, slope, r->n_head, y->v);
	if (y->g)
		nn_tape_push(t, attention_back, r);
	return y;
}
