/* nn_dense.c - linear layers with all that stands around them: several inputs, bias, activation, residual. */
#include "nn_layer.h"

struct rule {
	struct nn_dense l;
	struct k_dense k;
	struct nn_var *y;
	real *pre;
};

/* The product's gradient, and on the way the last input's. */
static void dense_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct nn_dense *l = &r->l;
	const struct kernels *k = nn_tape_kernels(t);
	int64_t n = r->y->n, d = r->y->d;
	int last = l->n_in - 1;
	real *g = r->y->g;
	struct nn_var *x = l->in[last].x;
	k->dense_back(k, &r->k, r->pre, g, l->bias ? l->bias->g : NULL, l->before ? l->before->g : NULL,
		      l->after && l->after->g != g ? l->after->g : NULL, x->g, x->g && nn_var_adds(x));
	for (int i = 0; i < l->n_in; i++) {
		const struct nn_dense_in *in = &l->in[i];
		if (i != last && in->x->g)
			k->gemm(k, false, false, n, in->x->d, d, 1, g, d, in->w->v + in->column, in->w->d,
				nn_var_adds(in->x), in->x->g, in->x->d);
		if (in->w->g)
			k->gemm(k, true, false, d, in->x->d, n, 1, g, d, in->x->v, in->x->d, nn_var_adds(in->w),
				in->w->g + in->column, in->w->d);
	}
}

static bool wants_grad(const struct nn_dense *l)
{
	bool want = (l->bias && l->bias->g) || (l->before && l->before->g) || (l->after && l->after->g);
	for (int i = 0; i < l->n_in; i++)
		want |= l->in[i].x->g || l->in[i].w->g;
	return want;
}

struct nn_var *nn_dense(struct nn_tape *t, const struct nn_dense *l)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct rule *r = arena_alloc(nn_tape_arena(t), sizeof *r);
	int64_t n = l->in[0].x->n, d = l->in[0].w->n;
	bool shares = l->after_ends && l->linear && l->after->g;
	struct nn_var *y = nn_var_new(t, n, d, wants_grad(l) && !shares);
	if (shares)
		y->g = l->after->g;
	bool by_value = !l->linear && !l->after && l->f != NN_SWISH && l->f != NN_SQUARE;
	real *pre = l->linear || by_value ? y->v : nn_tape_alloc(t, (size_t)(n * d) * sizeof *pre);
	int last = l->n_in - 1;
	/* where rows are fixed, products write, they do not add */
	real *part = last && k->fixed_rows ? nn_tape_alloc(t, (size_t)(n * d) * sizeof *part) : NULL;
	for (int i = 0; i < last || (part && i <= last); i++) {
		const struct nn_dense_in *in = &l->in[i];
		k->gemm(k, false, true, n, d, in->x->d, 1, in->x->v, in->x->d, in->w->v + in->column, in->w->d,
			i && !part, i && part ? part : pre, d);
		if (i && part)
			k->axpy(k, pre, part, 1, n * d);
	}
	*r = (struct rule){.l = *l, .y = y, .pre = pre};
	r->k = (struct k_dense){.f = (enum k_act)l->f,
				.linear = l->linear,
				.by_value = by_value,
				.n = n,
				.d = d,
				.bias = l->bias ? l->bias->v : NULL,
				.before = l->before ? l->before->v : NULL,
				.after = l->after ? l->after->v : NULL,
				.x = part ? NULL : l->in[last].x->v,
				.w = l->in[last].w->v + l->in[last].column,
				.d_x = l->in[last].x->d,
				.ld_w = l->in[last].w->d};
	k->dense(k, &r->k, pre, y->v, last > 0);
	if (y->g)
		nn_tape_push(t, dense_back, r);
	return y;
}

struct nn_var *nn_weight(struct nn_tape *t, struct nn_params *ps, const char *name)
{
	return nn_var_unset(nn_use(t, nn_params_find(ps, nn_name("%s.weight", name).s)));
}

struct nn_var *nn_dense_named(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_var *x, int act,
			      struct nn_var *after)
{
	struct nn_param *bias = nn_params_find(ps, nn_name("%s.bias", name).s);
	return nn_dense(t, &(struct nn_dense){.n_in = 1,
					      .in = {{.x = x, .w = nn_weight(t, ps, name)}},
					      .bias = bias ? nn_use(t, bias) : NULL,
					      .after = after,
					      .linear = act < 0,
					      .f = act < 0 ? NN_RELU : (enum nn_act)act});
}
