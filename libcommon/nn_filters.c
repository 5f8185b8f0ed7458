/* nn_filters.c - sums over pairs of atoms whose filters are made as they are used: from a table, or from features. */
#include "nn_layer.h"

#include <math.h>
#include <string.h>

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
	double at; /* distance in steps */
	int32_t cell;
	uint16_t a, b;
};

struct builder {
	int64_t *run, *atom, *group, *first;
	int64_t *count;    /* of a run's pairs, by cells */
	struct near *near; /* of one run */
	struct k_pair *pair;
	real *slope;
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
	return (struct builder){.run = arena_alloc(m, r * sizeof(int64_t)),
				.atom = arena_alloc(m, r * sizeof(int64_t)),
				.group = arena_alloc(m, n * sizeof(int64_t)),
				.first = arena_alloc(m, n * sizeof(int64_t)),
				.count = arena_calloc(m, (size_t)n_step, sizeof(int64_t)),
				.near = arena_alloc(m, n * sizeof(struct near)),
				.pair = arena_alloc(m, n * sizeof(struct k_pair)),
				.slope = slopes ? arena_alloc(m, 4 * n * sizeof(real)) : NULL,
				.cutoff = cutoff,
				.step = cutoff / (double)n_step,
				.n_step = n_step,
				.low = n_step,
				.high = -1};
}

/* Pairs of the molecule of atoms [from, to), after the n that a run has, whose first atom is `first`. Returns how many
 * it has with them. */
static int64_t find_near(struct builder *b, const struct nn_points *p, int64_t first, int64_t from, int64_t to,
			 int64_t n)
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
			const int64_t cell =
			    (int64_t)(dist * steps) < b->n_step ? (int64_t)(dist * steps) : b->n_step - 1;
			b->near[n++] = (struct near){.at = dist * steps,
						     .cell = (int32_t)cell,
						     .a = (uint16_t)(i - first),
						     .b = (uint16_t)(j - first)};
			b->count[cell]++;
		}
	return n;
}

/* The n pairs of a run, by cells: those of a cell, which lie between its node and the next, are a group. */
static void add_run(struct builder *b, int64_t n)
{
	int64_t n_group = b->run[b->n_run];
	for (int64_t cell = 0; cell < b->n_step; cell++) {
		const int64_t count = b->count[cell];
		b->count[cell] = b->n; /* from now on: where the next one goes */
		if (!count)
			continue;
		b->n += count;
		b->first[n_group] = cell - 1;
		b->group[++n_group] = b->n;
		b->low = cell - 1 < b->low ? cell - 1 : b->low;
		b->high = cell + 2 > b->high ? cell + 2 : b->high;
	}
	for (const struct near *p = b->near; p < b->near + n; p++) {
		const int64_t e = b->count[p->cell]++;
		const double s = p->at - p->cell;
		double w[4];
		cubic_weights(s, w);
		b->pair[e] = (struct k_pair){{(real)w[0], (real)w[2], (real)w[3]}, p->a, p->b};
		if (!b->slope)
			continue;
		cubic_slopes(s, w);
		for (int r = 0; r < 4; r++)
			b->slope[4 * e + r] = (real)(w[r] / b->step);
	}
	memset(b->count, 0, (size_t)b->n_step * sizeof *b->count);
	b->run[++b->n_run] = n_group;
}

/* Of a run: the more, the more pairs share a cell, as long as a cache holds their rows, 128 bytes thrice. */
enum { RUN_ATOMS = 400 };

/* Pairs by runs of molecules; each is alone where its sums may not depend on the others. */
static void add_pairs(struct builder *b, const struct nn_points *p, bool alone)
{
	const int64_t n_run = (p->n_atom + RUN_ATOMS - 1) / RUN_ATOMS, size = n_run ? p->n_atom / n_run : 0;
	int64_t n = 0;
	b->run[0] = b->group[0] = b->atom[0] = 0;
	for (int64_t from = 0, to = 0; from < p->n_atom; from = to) {
		while (to < p->n_atom && p->mol[to] == p->mol[from])
			to++;
		if (from > b->atom[b->n_run] &&
		    (alone || from >= size * (b->n_run + 1) || to - b->atom[b->n_run] > K_RUN_MOST)) {
			add_run(b, n);
			b->atom[b->n_run] = from;
			n = 0;
		}
		n = find_near(b, p, b->atom[b->n_run], from, to, n);
	}
	if (p->n_atom)
		add_run(b, n);
	b->atom[b->n_run] = p->n_atom;
}

/*
 * Every third row is one where the filters themselves are wanted, a node; the two between are made of the ten of those
 * around them (Lagrange's weights), all times their fade, which beyond the cutoff is that of its formula. The pairs'
 * cubic over the rows is then all of the error that is left.
 */
static double window_weight(double s, int r)
{
	double w = 1;
	for (int i = 0; i < K_WINDOW; i++)
		if (i != r)
			w *= (s + K_REACH - i) / (r - i);
	return w;
}

/* The table's nodes, of which the first is number `from`. */
static void add_nodes(struct nn_tape *t, struct nn_filter_table *f, const struct builder *b, int64_t from, int64_t n)
{
	real *dist = arena_alloc(nn_tape_arena(t), (size_t)(2 * n) * sizeof *dist), *fade = dist + n;
	for (int64_t i = 0; i < n; i++) {
		const double at = (double)(K_FINER * (from + i)) * b->step;
		dist[i] = (real)at;
		fade[i] = (real)((cos(acos(-1) * at / b->cutoff) + 1) / 2);
	}
	f->dist = nn_input(t, dist, n, 1);
	f->t.n_node = n;
	f->t.n_row = K_FINER * (n - K_WINDOW + 1);
	f->t.fade = nn_input(t, fade, n, 1)->v;
	for (int i = 0; i < K_FINER - 1; i++)
		for (int r = 0; r < K_WINDOW; r++)
			f->t.window[i][r] = (real)window_weight((i + 1.0) / K_FINER, r);
}

static void *on_tape(struct nn_tape *t, const void *host, size_t nbytes)
{
	void *p = nn_tape_alloc(t, nbytes);
	nn_tape_kernels(t)->upload(p, host, nbytes);
	return p;
}

/* Distances of the table's pairs, with the gradient of positions. */
static void add_distances(struct nn_tape *t, struct nn_filter_table *f, struct nn_var *pos, const struct builder *b)
{
	struct arena *m = nn_tape_arena(t);
	int64_t *i = arena_alloc(m, (size_t)(2 * b->n + 1) * sizeof *i), *j = i + b->n;
	for (int64_t run = 0; run < b->n_run; run++)
		for (int64_t e = b->group[b->run[run]]; e < b->group[b->run[run + 1]]; e++) {
			i[e] = b->atom[run] + b->pair[e].a;
			j[e] = b->atom[run] + b->pair[e].b;
		}
	f->t.slope = nn_input(t, b->slope, b->n, 4)->v;
	f->pairs = arena_calloc(m, 1, sizeof *f->pairs);
	*f->pairs = (struct nn_pair_lists){
	    .n = b->n, .n_atom = pos->n, .j = nn_tape_index(t, j, b->n), .i = nn_tape_index(t, i, b->n)};
	f->pair_dist = nn_distances(t, pos, f->pairs);
}

struct nn_filter_table *nn_filter_table_new(struct nn_tape *t, const struct nn_points *p, struct nn_var *pos,
					    double cutoff_ang, int64_t n_cell)
{
	struct arena *m = nn_tape_arena(t);
	struct nn_filter_table *f = arena_calloc(m, 1, sizeof *f);
	struct builder b = builder_new(m, p, cutoff_ang, K_FINER * n_cell, pos && pos->g);
	add_pairs(&b, p, nn_tape_kernels(t)->fixed_rows);
	/* -1 is the lowest row that a pair reads */
	int64_t low = b.n ? (b.low + K_FINER) / K_FINER - 1 : 0, high = b.n ? (b.high + K_FINER) / K_FINER - 1 : 1;
	int64_t n_group = b.run[b.n_run];
	for (int64_t q = 0; q < n_group; q++)
		b.first[q] -= K_FINER * low;
	f->t = (struct k_table){.n_pair = b.n,
				.n_run = b.n_run,
				.atom = b.atom,
				.run = b.run,
				.group = b.group,
				.first = nn_tape_index(t, b.first, n_group),
				.pair = on_tape(t, b.pair, (size_t)b.n * sizeof *b.pair)};
	add_nodes(t, f, &b, low - K_REACH, high - low + K_WINDOW);
	if (b.slope)
		add_distances(t, f, pos, &b);
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
