/* nn_pairs.c - pairs of atoms within a cutoff, distances, continuous filters. */
#include "nn_layer.h"

#include <math.h>

struct nn_pairs nn_pairs_within(struct arena *a, const struct nn_points *p, double cutoff_ang)
{
	struct nn_pairs out = {0};
	for (int pass = 0; pass < 2; pass++) {
		int64_t n = 0;
		for (int64_t i = 0, from = 0, to = 0; i < p->n_atom; i++) {
			if (i == to) /* the next molecule */
				for (from = to; to < p->n_atom && p->mol[to] == p->mol[from];)
					to++;
			for (int64_t j = from; j < to; j++) {
				double sum = 0;
				for (int c = 0; c < 3; c++) {
					double v = (double)p->pos[3 * j + c] - (double)p->pos[3 * i + c];
					sum += v * v;
				}
				if (j == i || !(sqrt(sum) < cutoff_ang))
					continue;
				if (pass) {
					out.j[n] = j;
					out.i[n] = i;
				}
				n++;
			}
		}
		if (!pass) {
			out.n = n;
			out.j = arena_alloc(a, (size_t)(n + 1) * sizeof *out.j);
			out.i = arena_alloc(a, (size_t)(n + 1) * sizeof *out.i);
		}
	}
	return out;
}

struct nn_pair_lists *nn_pair_lists_new(struct nn_tape *t, const struct nn_pairs *p, int64_t n_atom)
{
	struct nn_pair_lists *l = arena_calloc(nn_tape_arena(t), 1, sizeof *l);
	*l = (struct nn_pair_lists){.n = p->n,
				    .n_atom = n_atom,
				    .j = nn_tape_index(t, p->j, p->n),
				    .i = nn_tape_index(t, p->i, p->n),
				    .by_i = nn_tape_csr(t, p->i, p->n, n_atom, NULL),
				    .by_j = nn_tape_csr(t, p->j, p->n, n_atom, NULL)};
	return l;
}

struct rule {
	const struct nn_pair_lists *p;
	struct nn_var *x, *f, *y;
};

static void filter_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	const struct nn_pair_lists *p = r->p;
	if (r->x->g)
		k->filter_sum(k, &p->by_j, p->i, r->y->g, r->f->v, r->x->g, r->y->d, true);
	if (r->f->g)
		k->filter_back(k, p->i, r->y->g, p->j, r->x->v, r->f->g, p->n, r->y->d);
}

struct nn_var *nn_filter_sum(struct nn_tape *t, const struct nn_pair_lists *p, struct nn_var *x, struct nn_var *f)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct rule *r = arena_calloc(nn_tape_arena(t), 1, sizeof *r);
	*r = (struct rule){.p = p, .x = x, .f = f, .y = nn_var_new(t, p->n_atom, x->d, x->g || f->g)};
	k->filter_sum(k, &p->by_i, p->j, x->v, f->v, r->y->v, x->d, false);
	if (r->y->g)
		nn_tape_push(t, filter_back, r);
	return r->y;
}

static void distances_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->distance_back(k, r->x->v, r->p->j, r->p->i, r->y->v, r->y->g, r->x->g, r->p->n);
}

struct nn_var *nn_distances(struct nn_tape *t, struct nn_var *pos, const struct nn_pair_lists *p)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct rule *r = arena_calloc(nn_tape_arena(t), 1, sizeof *r);
	*r = (struct rule){.p = p, .x = pos, .y = nn_var_new(t, p->n, 1, pos->g != NULL)};
	k->distance(k, pos->v, p->j, p->i, r->y->v, p->n);
	if (r->y->g)
		nn_tape_push(t, distances_back, r);
	return r->y;
}
