/* nn_filters.c - sums over pairs of atoms whose filters are made as they are used: from a table, or from features. */
#include "nn_layer.h"

#include <math.h>

/* ---- filters from a table: functions of the distance, by cubic interpolation ------------------------------- */

/* Lagrange's weights of the nodes -1, 0, 1 and 2 at s in [0, 1). */
static void cubic_weights(double s, double *w)
{
	const double a = s + 1, b = s - 1, c = s - 2;
	w[0] = -s * b * c / 6;
	w[1] = a * b * c / 2;
	w[2] = -a * s * c / 2;
	w[3] = a * s * b / 6;
}

/* Their derivatives by s. */
static void cubic_slopes(double s, double *slope)
{
	const double a = s + 1, b = s - 1, c = s - 2;
	slope[0] = -(b * c + s * c + s * b) / 6;
	slope[1] = (b * c + a * c + a * b) / 2;
	slope[2] = -(s * c + a * c + a * s) / 2;
	slope[3] = (s * b + a * b + a * s) / 6;
}

struct near {
	int64_t i, j;
	double at; /* distance in steps */
};

struct builder {
	int64_t *pair, *atom, *a, *b, *first, *cell;
	struct near *near; /* of one run, and its cell */
	real *w, *slope;
	double cutoff, step;
	int64_t n, n_run, n_step, low, high; /* nodes that pairs read: low .. high; node g: the distance g step */
};

static struct builder builder_new(struct arena *m, const struct nn_points *p, double cutoff, int64_t n_step,
				  bool slopes)
{
	int64_t most = 0, n_mol = 0;
	for (int64_t i = 0, from = 0; i < p->n_atom; i++) {
		if (p->mol[i] != p->mol[from])
			from = i;
		most += i - from;
		n_mol += i == from;
	}
	size_t n = (size_t)most + 1, r = (size_t)n_mol + 1; /* runs at most */
	return (struct builder){.pair = arena_alloc(m, 3 * r * sizeof(int64_t)),
				.atom = arena_alloc(m, r * sizeof(int64_t)),
				.a = arena_alloc(m, n * sizeof(int64_t)),
				.b = arena_alloc(m, n * sizeof(int64_t)),
				.first = arena_alloc(m, n * sizeof(int64_t)),
				.cell = arena_alloc(m, n * sizeof(int64_t)),
				.near = arena_alloc(m, n * sizeof(struct near)),
				.w = arena_alloc(m, 4 * n * sizeof(real)),
				.slope = slopes ? arena_alloc(m, 4 * n * sizeof(real)) : NULL,
				.cutoff = cutoff,
				.step = cutoff / (double)n_step,
				.n_step = n_step,
				.low = n_step,
				.high = -1};
}

/* The pair lies between the nodes cell and cell + 1. */
static void add_pair(struct builder *b, const struct near *p, int64_t cell)
{
	double s = p->at - (double)cell, w[4];
	int64_t n = b->n++;
	b->a[n] = p->i;
	b->b[n] = p->j;
	b->first[n] = cell - 1;
	b->low = cell - 1 < b->low ? cell - 1 : b->low;
	b->high = cell + 2 > b->high ? cell + 2 : b->high;
	cubic_weights(s, w);
	for (int r = 0; r < 4; r++)
		b->w[4 * n + r] = (real)w[r];
	if (!b->slope)
		return;
	cubic_slopes(s, w);
	for (int r = 0; r < 4; r++)
		b->slope[4 * n + r] = (real)(w[r] / b->step);
}

/* Pairs of the molecule of atoms [from, to), after the n that a run has. Returns how many it has with them. */
static int64_t find_near(struct builder *b, const struct nn_points *p, int64_t from, int64_t to, int64_t n)
{
	const double steps = 1 / b->step;
	for (int64_t i = from; i < to; i++)
		for (int64_t j = i + 1; j < to; j++) {
			double sum = 0, dist;
			for (int c = 0; c < 3; c++) {
				double v = (double)p->pos[3 * j + c] - (double)p->pos[3 * i + c];
				sum += v * v;
			}
			dist = sqrt(sum);
			if (!(dist < b->cutoff))
				continue;
			int64_t cell = (int64_t)(dist * steps);
			b->near[n] = (struct near){i, j, dist * steps};
			b->cell[n++] = cell < b->n_step ? cell : b->n_step - 1;
		}
	return n;
}

/* The n pairs of a run, by cells: of each as many as there are in fours, then in twos, then what is left. */
static void add_run(struct arena *m, struct builder *b, int64_t n)
{
	struct nn_order by_cell = nn_order_by(m, b->cell, n, b->n_step);
	int64_t *pair = b->pair + 3 * b->n_run++;
	for (int64_t size = 4; size; size /= 2) {
		for (int64_t v = 0; v < b->n_step; v++) {
			const int64_t *item = by_cell.item + by_cell.start[v];
			int64_t count = by_cell.start[v + 1] - by_cell.start[v];
			for (int64_t i = size < 4 ? count - count % (2 * size) : 0; i < count - count % size; i++)
				add_pair(b, &b->near[item[i]], v);
		}
		*++pair = b->n;
	}
}

/* Of a run: the more, the more pairs share a cell, as long as a cache holds their rows, 128 bytes thrice. */
enum { RUN_ATOMS = 224 };

/* Pairs by runs of molecules; each is alone where its sums may not depend on the others. */
static void add_pairs(struct arena *m, struct builder *b, const struct nn_points *p, bool alone)
{
	int64_t n = 0;
	b->pair[0] = b->atom[0] = 0;
	for (int64_t from = 0, to = 0; from < p->n_atom; from = to) {
		while (to < p->n_atom && p->mol[to] == p->mol[from])
			to++;
		if (from > b->atom[b->n_run] && (alone || to - b->atom[b->n_run] > RUN_ATOMS)) {
			add_run(m, b, n);
			b->atom[b->n_run] = from;
			n = 0;
		}
		n = find_near(b, p, from, to, n);
	}
	if (p->n_atom)
		add_run(m, b, n);
	b->atom[b->n_run] = p->n_atom;
}

/*
 * Every third node of a table is one where the filters themselves are wanted; the two between are made of the ten of
 * those around them (Lagrange's weights), all times their fade, which beyond the cutoff is that of its formula. The
 * pairs' cubic over the finer nodes is then all of the error that is left.
 */
enum { FINER = 3, WINDOW = 10, REACH = WINDOW / 2 - 1 }; /* window: from REACH nodes below to REACH + 1 above */

static double window_weight(double s, int r)
{
	double w = 1;
	for (int i = 0; i < WINDOW; i++)
		if (i != r)
			w *= (s + REACH - i) / (r - i);
	return w;
}

/* Of n nodes from number `from` on. */
static double *fades(struct arena *m, const struct builder *b, int64_t from, int64_t n)
{
	double *fade = arena_alloc(m, (size_t)n * sizeof *fade);
	for (int64_t i = 0; i < n; i++)
		fade[i] = (cos(acos(-1) * (double)(FINER * (from + i)) * b->step / b->cutoff) + 1) / 2;
	return fade;
}

/* The finer nodes low .. high from nodes of which the first is number `from`, as sparse rows in both directions. */
static void finer_rows(struct nn_tape *t, struct nn_filter_table *f, const struct builder *b, int64_t low, int64_t high,
		       int64_t from)
{
	struct arena *m = nn_tape_arena(t);
	int64_t n = 0, n_row = high - low + 1, most = n_row * WINDOW;
	int64_t *row = arena_alloc(m, (size_t)most * sizeof *row), *node = arena_alloc(m, (size_t)most * sizeof *node);
	real *w = arena_alloc(m, (size_t)most * sizeof *w), *w_back = arena_alloc(m, (size_t)most * sizeof *w);
	const double *fade = fades(m, b, from, f->dist->n);
	double window[FINER][WINDOW];
	for (int of = 0; of < FINER; of++)
		for (int r = 0; r < WINDOW; r++)
			window[of][r] = window_weight((double)of / FINER, r);
	for (int64_t i = 0; i < n_row; i++) {
		int64_t third = low + i + FINER; /* -1 is the lowest */
		for (int r = 0; r < WINDOW; r++) {
			if (third % FINER == 0 && r != REACH)
				continue;
			row[n] = i;
			node[n] = third / FINER - 1 - REACH + r - from;
			w[n] = (real)(fade[node[n]] * window[third % FINER][r]);
			n++;
		}
	}
	struct nn_order back = nn_order_by(m, node, n, f->dist->n);
	for (int64_t i = 0; i < n; i++)
		w_back[i] = w[back.item[i]];
	f->finer = nn_tape_csr(t, row, n, n_row, node);
	f->finer_back = nn_tape_csr(t, node, n, f->dist->n, row);
	f->w = nn_input(t, w, n, 1)->v;
	f->w_back = nn_input(t, w_back, n, 1)->v;
}

struct nn_filter_table *nn_filter_table_new(struct nn_tape *t, const struct nn_points *p, struct nn_var *pos,
					    double cutoff_ang, int64_t n_cell)
{
	struct arena *m = nn_tape_arena(t);
	struct nn_filter_table *f = arena_calloc(m, 1, sizeof *f);
	struct builder b = builder_new(m, p, cutoff_ang, FINER * n_cell, pos && pos->g);
	add_pairs(m, &b, p, nn_tape_kernels(t)->fixed_rows);
	int64_t low = b.n ? b.low : 0, high = b.n ? b.high : 3;
	for (int64_t e = 0; e < b.n; e++)
		b.first[e] -= low;
	int64_t from = (low + FINER) / FINER - 1 - REACH, n_node = (high + FINER) / FINER + 1 + REACH - from;
	real *dist = arena_alloc(m, (size_t)n_node * sizeof *dist);
	for (int64_t i = 0; i < n_node; i++)
		dist[i] = (real)((double)(FINER * (from + i)) * b.step);
	f->dist = nn_input(t, dist, n_node, 1);
	finer_rows(t, f, &b, low, high, from);
	f->t = (struct k_table){.n_pair = b.n,
				.n_row = high - low + 1,
				.n_run = b.n_run,
				.pair = b.pair,
				.atom = b.atom,
				.a = nn_tape_index(t, b.a, b.n),
				.b = nn_tape_index(t, b.b, b.n),
				.first = nn_tape_index(t, b.first, b.n),
				.w = nn_input(t, b.w, b.n, 4)->v};
	if (b.slope) {
		f->t.slope = nn_input(t, b.slope, b.n, 4)->v;
		f->pairs = arena_calloc(m, 1, sizeof *f->pairs);
		*f->pairs = (struct nn_pair_lists){.n = b.n, .n_atom = p->n_atom, .j = f->t.b, .i = f->t.a};
		f->pair_dist = nn_distances(t, pos, f->pairs);
	}
	return f;
}

struct finer_rule {
	const struct nn_filter_table *f;
	struct nn_var *x, *y;
};

static void finer_back(struct nn_tape *t, void *ctx)
{
	const struct finer_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->csr_sum(k, &r->f->finer_back, r->y->g, r->f->w_back, r->x->g, r->x->d, nn_var_adds(r->x));
}

struct nn_var *nn_table_rows(struct nn_tape *t, const struct nn_filter_table *f, struct nn_var *x)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct finer_rule *r = arena_calloc(nn_tape_arena(t), 1, sizeof *r);
	*r = (struct finer_rule){.f = f, .x = x, .y = nn_var_new(t, f->t.n_row, x->d, x->g != NULL)};
	k->csr_sum(k, &f->finer, x->v, f->w, r->y->v, x->d, false);
	if (r->y->g)
		nn_tape_push(t, finer_back, r);
	return r->y;
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
	k->table_back(k, tab, r->x->v, r->table->v, r->y->g, r->x->g, nn_var_adds(r->x), r->table->g,
		      nn_var_adds(r->table), d);
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
