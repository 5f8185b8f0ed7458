/* nn_message.c - messages along bonds: the batch's edges sorted by target, source and kind, sums and attention. */
#include "nn_layer.h"

#include <math.h>

/* The order as it stands on the back end, with value[item] in place of each item. */
static struct k_csr upload(struct nn_tape *t, const struct nn_order *o, int64_t n, int64_t n_item, const int64_t *value)
{
	int64_t *item = arena_alloc(nn_tape_arena(t), (size_t)(n_item + 1) * sizeof *item);
	for (int64_t i = 0; i < n_item; i++)
		item[i] = value[o->item[i]];
	return (struct k_csr){.n = n,
			      .n_item = n_item,
			      .start = nn_tape_index(t, o->start, n + 1),
			      .item = nn_tape_index(t, item, n_item)};
}

static void add_weights(struct nn_tape *t, struct nn_messages *m, const struct nn_order *in, const int64_t *source,
			const int64_t *target)
{
	real *gcn = arena_alloc(nn_tape_arena(t), (size_t)(2 * m->n_item + 1) * sizeof *gcn), *mean = gcn + m->n_item;
	for (int64_t p = 0; p < m->n_item; p++) {
		int64_t u = source[in->item[p]], v = target[in->item[p]];
		double deg_u = (double)(in->start[u + 1] - in->start[u]);
		double deg_v = (double)(in->start[v + 1] - in->start[v]);
		gcn[p] = (real)(1 / sqrt(deg_u * deg_v));
		mean[p] = (real)(1 / deg_v);
	}
	m->gcn = nn_input(t, gcn, m->n_item, 1)->v;
	m->mean = nn_input(t, mean, m->n_item, 1)->v;
}

struct nn_messages *nn_messages_new(struct nn_tape *t, const struct nn_graphs *g, int n_feature, const int *n_value,
				    int loop)
{
	struct arena *a = nn_tape_arena(t);
	struct nn_messages *m = arena_calloc(a, 1, sizeof *m);
	int64_t n = g->n_edge + g->n_atom, *source = arena_alloc(a, (size_t)(4 * n + 1) * sizeof *source);
	int64_t *target = source + n, *kind = target + n, *position = kind + n;
	m->n_atom = g->n_atom;
	m->n_item = n;
	m->n_feature = n_feature;
	m->n_kind = 1;
	for (int f = 0; f < n_feature; f++)
		m->n_kind *= n_value[f];
	int64_t *combination = arena_alloc(a, (size_t)(m->n_kind * n_feature) * sizeof *combination);
	for (int64_t c = 0; c < m->n_kind; c++)
		for (int64_t f = n_feature - 1, rest = c; f >= 0; rest /= n_value[f--])
			combination[c * n_feature + f] = rest % n_value[f];
	m->combination = combination;
	for (int64_t e = 0; e < n; e++) {
		bool own = e >= g->n_edge;
		source[e] = own ? e - g->n_edge : g->edge_index[e];
		target[e] = own ? e - g->n_edge : g->edge_index[g->n_edge + e];
		kind[e] = 0;
		for (int f = 0; f < n_feature; f++) {
			int64_t value = own ? (f ? 0 : loop) : g->edge_attr[e * n_feature + f];
			value = value < 0 ? 0 : value < n_value[f] ? value : n_value[f] - 1;
			kind[e] = kind[e] * n_value[f] + value;
		}
	}
	struct nn_order in = nn_order_by(a, target, n, m->n_atom), out = nn_order_by(a, source, n, m->n_atom),
			kinds = nn_order_by(a, kind, n, m->n_kind);
	for (int64_t p = 0; p < n; p++)
		position[in.item[p]] = p;
	m->in = upload(t, &in, m->n_atom, n, source);
	m->kind = upload(t, &in, m->n_atom, n, kind).item;
	m->own = upload(t, &in, m->n_atom, n, position);
	m->out = upload(t, &out, m->n_atom, n, target);
	m->out_at = upload(t, &out, m->n_atom, n, position).item;
	m->by_kind = upload(t, &kinds, m->n_kind, n, target);
	m->kind_at = upload(t, &kinds, m->n_kind, n, position).item;
	add_weights(t, m, &in, source, target);
	return m;
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
	struct nn_var *y = nn_var_new(t, m->n_atom, x->d, x->g || table->g || (w && w->g));
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
