/* nn_filters.c - sums over pairs of atoms whose filters are made as they are used: from a table, or from features. */
#include "nn_layer.h"

#include <math.h>

/* ---- filters from a table: functions of the distance, by cubic interpolation ------------------------------- */

/* Lagrange's weights of the nodes -1, 0, 1 and 2 at s in [0, 1), and their derivatives by s. */
static void cubic_weights(double s, real *w, real *slope)
{
	const double a = s + 1, b = s - 1, c = s - 2;
	w[0] = (real)(-s * b * c / 6);
	w[1] = (real)(a * b * c / 2);
	w[2] = (real)(-a * s * c / 2);
	w[3] = (real)(a * s * b / 6);
	slope[0] = (real)(-(b * c + s * c + s * b) / 6);
	slope[1] = (real)((b * c + a * c + a * b) / 2);
	slope[2] = (real)(-(s * c + a * c + a * s) / 2);
	slope[3] = (real)((s * b + a * b + a * s) / 6);
}

struct builder {
	int64_t *pair, *atom, *a, *b, *first, *row;
	real *w, *slope;
	double step;
	int64_t n, n_group, n_row;
};

static struct builder builder_new(struct arena *m, const struct nn_points *p, int64_t n_node, double step)
{
	int64_t most = 0, n_group = 0;
	for (int64_t i = 0, from = 0; i < p->n_atom; i++) {
		if (p->mol[i] != p->mol[from])
			from = i;
		most += i - from;
		n_group += i == from;
	}
	size_t n = (size_t)most + 1, g = (size_t)n_group + 1;
	return (struct builder){.pair = arena_alloc(m, g * sizeof(int64_t)),
				.atom = arena_alloc(m, g * sizeof(int64_t)),
				.a = arena_alloc(m, n * sizeof(int64_t)),
				.b = arena_alloc(m, n * sizeof(int64_t)),
				.first = arena_alloc(m, n * sizeof(int64_t)),
				.row = arena_calloc(m, (size_t)n_node + 1, sizeof(int64_t)),
				.w = arena_alloc(m, 4 * n * sizeof(real)),
				.slope = arena_alloc(m, 4 * n * sizeof(real)),
				.step = step,
				.n_row = n_node};
}

/* The pair lies between the nodes first + 1 and first + 2; node g stands for the distance (g - 1) step. */
static void add_pair(struct builder *b, int64_t i, int64_t j, double dist)
{
	double at = dist / b->step, cell = floor(at);
	int64_t n = b->n++;
	b->a[n] = i;
	b->b[n] = j;
	b->first[n] = (int64_t)cell < b->n_row - 4 ? (int64_t)cell : b->n_row - 4;
	cubic_weights(at - (double)b->first[n], b->w + 4 * n, b->slope + 4 * n);
	for (int r = 0; r < 4; r++) {
		b->slope[4 * n + r] = (real)((double)b->slope[4 * n + r] / b->step);
		b->row[b->first[n] + r] = 1;
	}
}

static void add_pairs(struct builder *b, const struct nn_points *p, double cutoff)
{
	b->pair[0] = b->atom[0] = 0;
	for (int64_t from = 0, to = 0; from < p->n_atom; from = to) {
		while (to < p->n_atom && p->mol[to] == p->mol[from])
			to++;
		for (int64_t i = from; i < to; i++)
			for (int64_t j = i + 1; j < to; j++) {
				double sum = 0;
				for (int c = 0; c < 3; c++) {
					double v = (double)p->pos[3 * j + c] - (double)p->pos[3 * i + c];
					sum += v * v;
				}
				if (sqrt(sum) < cutoff)
					add_pair(b, i, j, sqrt(sum));
			}
		b->pair[++b->n_group] = b->n;
		b->atom[b->n_group] = to;
	}
}

/* Rows that no pair reads are left out: those that one reads stand side by side all the same. */
static int64_t drop_rows(struct builder *b, real *dist)
{
	int64_t n = 0;
	for (int64_t g = 0; g < b->n_row; g++)
		if (b->row[g] || g < 4) { /* four at least */
			dist[n] = (real)((double)(g - 1) * b->step);
			b->row[g] = n++;
		}
	for (int64_t e = 0; e < b->n; e++)
		b->first[e] = b->row[b->first[e]];
	return n;
}

struct nn_filter_table *nn_filter_table_new(struct nn_tape *t, const struct nn_points *p, struct nn_var *pos,
					    double cutoff_ang, int64_t n_node)
{
	struct arena *m = nn_tape_arena(t);
	struct nn_filter_table *f = arena_calloc(m, 1, sizeof *f);
	struct builder b = builder_new(m, p, n_node, cutoff_ang / (double)(n_node - 3));
	real *dist = arena_alloc(m, (size_t)n_node * sizeof *dist);
	add_pairs(&b, p, cutoff_ang);
	int64_t n_row = drop_rows(&b, dist);
	f->dist = nn_input(t, dist, n_row, 1);
	f->t = (struct k_table){.n_pair = b.n,
				.n_row = n_row,
				.n_group = b.n_group,
				.pair = b.pair,
				.atom = b.atom,
				.a = nn_tape_index(t, b.a, b.n),
				.b = nn_tape_index(t, b.b, b.n),
				.first = nn_tape_index(t, b.first, b.n),
				.w = nn_input(t, b.w, b.n, 4)->v,
				.by_first = nn_tape_csr(t, b.first, b.n, n_row, NULL)};
	if (pos && pos->g) {
		f->t.slope = nn_input(t, b.slope, b.n, 4)->v;
		f->pairs = arena_calloc(m, 1, sizeof *f->pairs);
		*f->pairs = (struct nn_pair_lists){.n = b.n, .n_atom = p->n_atom, .j = f->t.b, .i = f->t.a};
		f->pair_dist = nn_distances(t, pos, f->pairs);
	}
	return f;
}

struct table_rule {
	const struct nn_filter_table *f;
	struct nn_var *x, *table, *y;
};

static void table_back(struct nn_tape *t, void *ctx)
{
	const struct table_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	const struct k_table *tab = &r->f->t;
	int64_t d = r->y->d;
	if (r->x->g)
		k->table_sum(k, tab, r->y->g, r->table->v, r->x->g, d, true);
	if (r->table->g)
		k->table_back(k, tab, r->x->v, r->y->g, r->table->g, d);
	if (r->f->pair_dist)
		k->table_slope(k, tab, r->x->v, r->table->v, r->y->g, r->f->pair_dist->g, d);
}

struct nn_var *nn_table_sum(struct nn_tape *t, const struct nn_filter_table *f, struct nn_var *x, struct nn_var *table)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct table_rule *r = arena_calloc(nn_tape_arena(t), 1, sizeof *r);
	struct nn_var *y = nn_var_new(t, x->n, x->d, x->g || table->g || f->pair_dist);
	*r = (struct table_rule){.f = f, .x = x, .table = table, .y = y};
	k->table_sum(k, &f->t, x->v, table->v, y->v, x->d, false);
	if (y->g)
		nn_tape_push(t, table_back, r);
	return y;
}

/* ---- filters from features ------------------------------------------------------------------------------------ */

struct feature_rule {
	const struct nn_pair_lists *p;
	struct nn_var *f, *w, *x, *y;
};

static void feature_back(struct nn_tape *t, void *ctx)
{
	const struct feature_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->feature_back(k, &r->p->by_j, r->p->i, r->f->v, r->w->v, (int)r->f->d, r->x->v, r->y->g, r->x->g, r->w->g,
			r->y->d);
}

struct nn_var *nn_feature_sum(struct nn_tape *t, const struct nn_pair_lists *p, struct nn_var *x, struct nn_var *f,
			      struct nn_var *w)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct feature_rule *r = arena_calloc(nn_tape_arena(t), 1, sizeof *r);
	*r = (struct feature_rule){.p = p, .f = f, .w = w, .x = x, .y = nn_var_new(t, p->n_atom, x->d, x->g || w->g)};
	k->feature_sum(k, &p->by_i, p->j, f->v, w->v, (int)f->d, x->v, r->y->v, x->d, false);
	if (r->y->g)
		nn_tape_push(t, feature_back, r);
	return r->y;
}
