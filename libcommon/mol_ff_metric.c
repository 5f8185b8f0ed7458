/* mol_ff_metric.c - sparse Cholesky factor of a molecule's stiffness, by blocks of one atom's three coordinates. */
#include "mol_ff_metric.h"

#include <string.h>

static const double FLOOR_KCAL = 100;

/* Columns in the order of elimination. Column c holds the block of c with itself (first) and those of the later
 * columns that it meets, ascending. A block is 3 by 3, row by row: rows of the later column, columns of c. */
struct ff_metric {
	int32_t n;
	int32_t *place;  /* [n]: column of each atom */
	int32_t *start;  /* [n + 1] */
	int32_t *row;    /* [n_block] */
	double *block;   /* [n_block, 9] */
	double *scratch; /* [n, 3] */
};

/* ---- which blocks there are -------------------------------------------------------- */

struct sets {
	int32_t n, n_word;
	uint64_t *bits;  /* [n, n_word] whom each atom meets, itself left out */
	int32_t *degree; /* [n]; -1: eliminated */
};

static void meet(struct sets *s, int32_t i, int32_t j)
{
	if (i != j)
		s->bits[(size_t)i * (size_t)s->n_word + (size_t)j / 64] |= (uint64_t)1 << j % 64;
}

static void count_degree(struct sets *s, int32_t i)
{
	s->degree[i] = 0;
	for (int32_t k = 0; k < s->n_word; k++)
		s->degree[i] += __builtin_popcountll(s->bits[(size_t)i * (size_t)s->n_word + (size_t)k]);
}

static void find_sets(const struct mol *m, struct sets *s)
{
	for (int32_t j = 0; j < m->n_atom; j++)
		for (int32_t p = m->adj_start[j]; p < m->adj_start[j + 1]; p++) {
			meet(s, j, m->adj_atom[p]);
			for (int32_t q = m->adj_start[j]; q < m->adj_start[j + 1]; q++)
				meet(s, m->adj_atom[p], m->adj_atom[q]);
		}
	for (int32_t i = 0; i < m->n_atom; i++)
		count_degree(s, i);
}

/* Atoms that i meets, into list; their number. */
static int32_t list_set(const struct sets *s, int32_t i, int32_t *list)
{
	int32_t n = 0;
	for (int32_t k = 0; k < s->n_word; k++)
		for (uint64_t w = s->bits[(size_t)i * (size_t)s->n_word + (size_t)k]; w; w &= w - 1)
			list[n++] = 64 * k + __builtin_ctzll(w);
	return n;
}

/* Takes the atom of least degree, makes its neighbours meet. */
static int32_t eliminate(struct sets *s, int32_t *list, int32_t *n_list)
{
	int32_t least = -1;
	for (int32_t i = 0; i < s->n; i++)
		if (s->degree[i] >= 0 && (least < 0 || s->degree[i] < s->degree[least]))
			least = i;
	uint64_t *mine = s->bits + (size_t)least * (size_t)s->n_word;
	*n_list = list_set(s, least, list);
	s->degree[least] = -1;
	for (int32_t k = 0; k < *n_list; k++) {
		uint64_t *other = s->bits + (size_t)list[k] * (size_t)s->n_word;
		for (int32_t w = 0; w < s->n_word; w++)
			other[w] |= mine[w];
		other[list[k] / 64] &= ~((uint64_t)1 << list[k] % 64);
		other[least / 64] &= ~((uint64_t)1 << least % 64);
		count_degree(s, list[k]);
	}
	return least;
}

static void sort_ascending(int32_t *v, int32_t n)
{
	for (int32_t k = 1; k < n; k++) {
		int32_t x = v[k], at = k;
		for (; at > 0 && v[at - 1] > x; at--)
			v[at] = v[at - 1];
		v[at] = x;
	}
}

struct ff_metric *ff_metric_new(const struct mol *m, struct arena *a)
{
	struct ff_metric *w = arena_calloc(a, 1, sizeof *w);
	size_t n = (size_t)m->n_atom;
	struct sets s = {.n = m->n_atom, .n_word = (m->n_atom + 63) / 64};
	s.bits = arena_calloc(a, n * (size_t)s.n_word + 1, sizeof *s.bits);
	s.degree = arena_alloc(a, (n + 1) * sizeof *s.degree);
	find_sets(m, &s);
	w->n = m->n_atom;
	w->place = arena_alloc(a, (n + 1) * sizeof *w->place);
	w->start = arena_calloc(a, n + 1, sizeof *w->start);
	w->scratch = arena_alloc(a, (3 * n + 1) * sizeof *w->scratch);
	int32_t *list = arena_alloc(a, (n + 1) * sizeof *list), n_list, n_block = 0;
	int32_t **column = arena_alloc(a, (n + 1) * sizeof *column);
	for (int32_t c = 0; c < w->n; c++) {
		int32_t atom = eliminate(&s, list, &n_list);
		w->place[atom] = c;
		w->start[c] = n_block;
		n_block += n_list + 1;
		column[c] = arena_alloc(a, ((size_t)n_list + 1) * sizeof **column);
		memcpy(column[c], list, (size_t)n_list * sizeof *list);
	}
	w->start[w->n] = n_block;
	w->row = arena_alloc(a, ((size_t)n_block + 1) * sizeof *w->row);
	w->block = arena_alloc(a, (9 * (size_t)n_block + 1) * sizeof *w->block);
	for (int32_t c = 0; c < w->n; c++) {
		int32_t *row = w->row + w->start[c];
		n_list = w->start[c + 1] - w->start[c] - 1;
		row[0] = c;
		for (int32_t k = 0; k < n_list; k++)
			row[1 + k] = w->place[column[c][k]];
		sort_ascending(row + 1, n_list);
	}
	return w;
}

/* ---- their values ------------------------------------------------------------------- */

void ff_metric_reset(struct ff_metric *w)
{
	memset(w->block, 0, 9 * (size_t)w->start[w->n] * sizeof *w->block);
	for (int32_t c = 0; c < w->n; c++)
		for (int q = 0; q < 3; q++)
			w->block[9 * w->start[c] + 4 * q] = FLOOR_KCAL;
}

void ff_metric_add(struct ff_metric *w, int n, const int32_t *atom, const struct ff_vec *v, double k)
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++) {
			int32_t r = w->place[atom[i]], c = w->place[atom[j]], b;
			if (r < c)
				continue;
			for (b = w->start[c]; w->row[b] != r; b++)
				;
			const double x[3] = {k * v[i].x, k * v[i].y, k * v[i].z}, y[3] = {v[j].x, v[j].y, v[j].z};
			for (int p = 0; p < 3; p++)
				for (int q = 0; q < 3; q++)
					w->block[9 * b + 3 * p + q] += x[p] * y[q];
		}
}

/* Lower triangle d of a symmetric block becomes its factor, with the diagonal's reciprocals in its place. */
static bool factor_block(double *d)
{
	if (!(d[0] > 0))
		return false;
	d[0] = 1 / sqrt(d[0]);
	d[3] *= d[0];
	d[6] *= d[0];
	double p = d[4] - d[3] * d[3];
	if (!(p > 0))
		return false;
	d[4] = 1 / sqrt(p);
	d[7] = (d[7] - d[6] * d[3]) * d[4];
	p = d[8] - d[6] * d[6] - d[7] * d[7];
	if (!(p > 0))
		return false;
	d[8] = 1 / sqrt(p);
	return true;
}

bool ff_metric_factor(struct ff_metric *w)
{
	for (int32_t c = 0; c < w->n; c++) {
		double *d = w->block + 9 * (size_t)w->start[c];
		int32_t end = w->start[c + 1];
		if (!factor_block(d))
			return false;
		for (int32_t b = w->start[c] + 1; b < end; b++) {
			double *l = w->block + 9 * (size_t)b;
			for (int p = 0; p < 9; p += 3) {
				l[p] *= d[0];
				l[p + 1] = (l[p + 1] - l[p] * d[3]) * d[4];
				l[p + 2] = (l[p + 2] - l[p] * d[6] - l[p + 1] * d[7]) * d[8];
			}
		}
		/* the later columns, whose rows hold these ones in the same order */
		for (int32_t x = w->start[c] + 1; x < end; x++) {
			const double *lx = w->block + 9 * (size_t)x;
			int32_t at = w->start[w->row[x]];
			for (int32_t y = x; y < end; y++) {
				const double *ly = w->block + 9 * (size_t)y;
				while (w->row[at] != w->row[y])
					at++;
				double *t = w->block + 9 * (size_t)at;
				for (int p = 0; p < 3; p++)
					for (int q = 0; q < 3; q++)
						t[3 * p + q] -= ly[3 * p] * lx[3 * q] + ly[3 * p + 1] * lx[3 * q + 1] +
								ly[3 * p + 2] * lx[3 * q + 2];
			}
		}
	}
	return true;
}

void ff_metric_solve(const struct ff_metric *w, double *x)
{
	double *y = w->scratch;
	for (int32_t i = 0; i < w->n; i++)
		memcpy(y + 3 * w->place[i], x + 3 * i, 3 * sizeof *y);
	for (int32_t c = 0; c < w->n; c++) {
		const double *d = w->block + 9 * (size_t)w->start[c];
		double *v = y + 3 * c;
		v[0] *= d[0];
		v[1] = (v[1] - d[3] * v[0]) * d[4];
		v[2] = (v[2] - d[6] * v[0] - d[7] * v[1]) * d[8];
		for (int32_t b = w->start[c] + 1; b < w->start[c + 1]; b++) {
			const double *l = w->block + 9 * (size_t)b;
			double *u = y + 3 * w->row[b];
			for (int p = 0; p < 3; p++)
				u[p] -= l[3 * p] * v[0] + l[3 * p + 1] * v[1] + l[3 * p + 2] * v[2];
		}
	}
	for (int32_t c = w->n - 1; c >= 0; c--) {
		const double *d = w->block + 9 * (size_t)w->start[c];
		double *v = y + 3 * c;
		for (int32_t b = w->start[c] + 1; b < w->start[c + 1]; b++) {
			const double *l = w->block + 9 * (size_t)b, *u = y + 3 * w->row[b];
			for (int p = 0; p < 3; p++)
				v[p] -= l[p] * u[0] + l[3 + p] * u[1] + l[6 + p] * u[2];
		}
		v[2] *= d[8];
		v[1] = (v[1] - d[7] * v[2]) * d[4];
		v[0] = (v[0] - d[3] * v[1] - d[6] * v[2]) * d[0];
	}
	for (int32_t i = 0; i < w->n; i++)
		memcpy(x + 3 * i, y + 3 * w->place[i], 3 * sizeof *y);
}
