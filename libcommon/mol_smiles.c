/*
 * mol_smiles.c - a molecule -> SMILES, in a given order of preference.
 *
 * A first walk (depth first, without recursion) finds the tree and the ring bonds, a second one writes. What is
 * written reads back as the same molecule: hydrogens go into brackets when a reader would not guess them.
 */
#include "mol_canon.h"
#include "mol_work.h"

#include <stdlib.h>
#include <string.h>

struct closing { /* a ring bond, opened at the atom written first */
	int32_t bond, from, to, next_from, next_to, number;
};
struct writer {
	const struct mol *m;
	const int32_t *rank;
	int flags;
	struct arena *arena;
	struct buf out;
	int32_t *sorted, *at;          /* neighbours by rank; place in the list (adj index) */
	int32_t *parent, *via;         /* tree */
	int32_t *child, *sibling;      /* first child, next child of the same parent */
	int32_t *last_child, *written; /* written: place among the atoms, -1 */
	struct closing *closing;
	int32_t n_closing, *open_first, *open_last, *close_first, *close_last; /* lists of closings of each atom */
	uint8_t *slash; /* per bond: direction from the atom written first to the other */
	int32_t *order, n_order;
	uint8_t *number_used;
	int32_t n_number;
};

static int32_t rank_of(const struct writer *w, int32_t i)
{
	return w->rank ? w->rank[i] : i;
}

static int by_rank(const void *pa, const void *pb, void *ctx)
{
	const struct writer *w = ctx;
	int32_t a = rank_of(w, w->m->adj_atom[*(const int32_t *)pa]),
		b = rank_of(w, w->m->adj_atom[*(const int32_t *)pb]);
	return a < b ? -1 : a > b;
}

static void add_child(struct writer *w, int32_t i, int32_t j)
{
	if (w->child[i] < 0)
		w->child[i] = j;
	else
		w->sibling[w->last_child[i]] = j;
	w->last_child[i] = j;
}

static void add_closing(struct writer *w, int32_t bond, int32_t from, int32_t to)
{
	int32_t k = w->n_closing++;
	w->closing[k] = (struct closing){bond, from, to, -1, -1, 0};
	if (w->open_first[from] < 0)
		w->open_first[from] = k;
	else
		w->closing[w->open_last[from]].next_from = k;
	w->open_last[from] = k;
	if (w->close_first[to] < 0)
		w->close_first[to] = k;
	else
		w->closing[w->close_last[to]].next_to = k;
	w->close_last[to] = k;
}

static void walk_fragment(struct writer *w, int32_t root, int32_t *stack)
{
	const struct mol *m = w->m;
	int32_t top = 0;
	stack[top++] = root;
	w->written[root] = w->n_order;
	w->order[w->n_order++] = root;
	while (top) {
		int32_t i = stack[top - 1];
		if (w->at[i] == m->adj_start[i + 1]) {
			top--;
			continue;
		}
		int32_t p = w->sorted[w->at[i]++], j = m->adj_atom[p];
		if (m->adj_bond[p] == w->via[i])
			continue;
		if (w->written[j] >= 0) {
			if (w->written[j] < w->written[i])
				add_closing(w, m->adj_bond[p], j, i);
			continue;
		}
		w->via[j] = m->adj_bond[p];
		w->parent[j] = i;
		add_child(w, i, j);
		w->written[j] = w->n_order;
		w->order[w->n_order++] = j;
		stack[top++] = j;
	}
}

/* ---- slashes ------------------------------------------------------------ */

static int flip(int direction)
{
	return direction ? 3 - direction : 0;
}

/* Direction of bond k as seen from atom i outwards. */
static int outward(const struct writer *w, int32_t k, int32_t i)
{
	const struct mol_bond *b = &w->m->bond[k];
	int32_t j = b->a == i ? b->b : b->a;
	return w->written[i] < w->written[j] ? w->slash[k] : flip(w->slash[k]);
}

static int32_t other_end(const struct mol *m, int32_t k, int32_t i)
{
	return m->bond[k].a == i ? m->bond[k].b : m->bond[k].a;
}

static void set_outward(struct writer *w, int32_t k, int32_t i, int direction)
{
	w->slash[k] = (uint8_t)(w->written[i] < w->written[other_end(w->m, k, i)] ? direction : flip(direction));
}

static int by_place(const void *pa, const void *pb, void *ctx)
{
	const struct writer *w = ctx;
	const struct mol_cistrans *a = &w->m->cistrans[*(const int32_t *)pa],
				  *b = &w->m->cistrans[*(const int32_t *)pb];
	int32_t x = w->written[a->atom[0]] < w->written[a->atom[1]] ? w->written[a->atom[0]] : w->written[a->atom[1]];
	int32_t y = w->written[b->atom[0]] < w->written[b->atom[1]] ? w->written[b->atom[0]] : w->written[b->atom[1]];
	return x < y ? -1 : x > y;
}

/* Marks one bond beside each end: one that serves another double bond too, else the one written first. */
static void choose_bonds(const struct writer *w, const int32_t *owner, uint8_t *marked)
{
	const struct mol *m = w->m;
	for (int32_t c = 0; c < m->n_cistrans; c++)
		for (int end = 0; end < 2; end++) {
			int32_t i = m->cistrans[c].atom[end], best = -1;
			for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++) {
				int32_t j = m->adj_atom[p], k = m->adj_bond[p],
					old = best < 0 ? -1 : other_end(m, best, i);
				if (j == m->cistrans[c].atom[1 - end] ||
				    (m->bond[k].order != 1 && !m->bond[k].aromatic))
					continue;
				if (best < 0 || (owner[j] >= 0) > (owner[old] >= 0) ||
				    ((owner[j] >= 0) == (owner[old] >= 0) && w->written[j] < w->written[old]))
					best = k;
			}
			if (best >= 0)
				marked[best] = 1;
		}
}

/* Of the marked bonds beside double bond c the one that is written first. */
static int32_t first_marked(const struct writer *w, const struct mol_cistrans *f, const uint8_t *marked)
{
	const struct mol *m = w->m;
	int64_t best_key = INT64_MAX;
	int32_t best = -1;
	for (int end = 0; end < 2; end++) {
		int32_t i = f->atom[end];
		for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++) {
			int32_t x = w->written[i], y = w->written[m->adj_atom[p]], k = m->adj_bond[p];
			int64_t key = x < y ? (int64_t)x * m->n_atom + y : (int64_t)y * m->n_atom + x;
			if (marked[k] && m->adj_atom[p] != f->atom[1 - end] && key < best_key) {
				best = k;
				best_key = key;
			}
		}
	}
	return best;
}

/*
 * Gives all marked bonds of double bond c their directions, from one that has it. Bonds that got theirs lead to the
 * double bonds at their other ends, which join the queue.
 */
static int32_t settle_sides(struct writer *w, int32_t c, const int32_t *owner, const uint8_t *marked, int32_t *queue,
			    int32_t n_queue)
{
	const struct mol *m = w->m;
	const struct mol_cistrans *f = &m->cistrans[c];
	int sense = 0; /* outward direction of the named neighbour of end 0 */
	for (int pass = 0; pass < 2; pass++)
		for (int end = 0; end < 2; end++) {
			int32_t i = f->atom[end];
			for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++) {
				int32_t j = m->adj_atom[p], k = m->adj_bond[p];
				bool turn = (j != f->nbr[end]) != (end == 1 && !f->cis);
				if (j == f->atom[1 - end] || !marked[k])
					continue;
				if (pass == 0 && w->slash[k] && !sense)
					sense = turn ? flip(outward(w, k, i)) : outward(w, k, i);
				if (pass == 0 || w->slash[k])
					continue;
				set_outward(w, k, i, turn ? flip(sense) : sense);
				if (owner[j] >= 0)
					queue[n_queue++] = owner[j];
			}
		}
	return n_queue;
}

static void place_slashes(struct writer *w)
{
	const struct mol *m = w->m;
	size_t nc = (size_t)m->n_cistrans + 1;
	if (!m->n_cistrans)
		return;
	int32_t *list = arena_alloc(w->arena, sizeof *list * nc), *owner;
	int32_t *queue = arena_alloc(w->arena, sizeof *queue * ((size_t)m->n_bond + 2 * nc));
	uint8_t *marked = arena_calloc(w->arena, (size_t)m->n_bond + 1, 1);
	owner = arena_alloc(w->arena, sizeof *owner * (size_t)(m->n_atom + 1));
	memset(owner, -1, sizeof *owner * (size_t)(m->n_atom + 1));
	for (int32_t c = 0; c < m->n_cistrans; c++) {
		list[c] = c;
		owner[m->cistrans[c].atom[0]] = owner[m->cistrans[c].atom[1]] = c;
	}
	qsort_r(list, (size_t)m->n_cistrans, sizeof *list, by_place, w);
	choose_bonds(w, owner, marked);
	for (int32_t q = 0; q < m->n_cistrans; q++) {
		int32_t n_queue = 0, seed = first_marked(w, &m->cistrans[list[q]], marked);
		if (seed < 0 || w->slash[seed])
			continue;
		w->slash[seed] = MOL_DIR_UP;
		for (int end = 0; end < 2; end++) {
			int32_t i = end ? m->bond[seed].b : m->bond[seed].a;
			if (owner[i] >= 0)
				queue[n_queue++] = owner[i];
		}
		for (int32_t head = 0; head < n_queue; head++)
			n_queue = settle_sides(w, queue[head], owner, marked, queue, n_queue);
	}
}

/* ---- atoms and bonds ---------------------------------------------------- */

static bool is_lower(const struct writer *w, int32_t i)
{
	return !(w->flags & MOL_WRITE_KEKULE) && w->m->atom[i].aromatic;
}

/* Hydrogens that a reader gives atom i when it stands without brackets; -1: it needs them. */
static int guessed_h(const struct writer *w, int32_t i)
{
	const struct mol *m = w->m;
	const struct mol_atom *a = &m->atom[i];
	int twice = 0;
	if (a->z == 0)
		return 0;
	if (a->z > 53 || !strchr("\5\6\7\10\11\17\20\21\43\65", a->z))
		return -1;
	bool lower = is_lower(w, i);
	if (lower && !strchr("\5\6\7\10\17\20", a->z))
		return -1;
	for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++) {
		const struct mol_bond *b = &m->bond[m->adj_bond[p]];
		if (!b->order)
			return -1;
		twice += lower && b->aromatic ? 3 : 2 * b->order;
	}
	const int8_t *v = mol_element_valences(a->z);
	if (!lower) {
		for (int k = 0; v[k] >= 0; k++)
			if (twice <= 2 * v[k])
				return v[k] - twice / 2;
		return -1;
	}
	if (twice > 2 * v[0]) {
		int allowed = v[0];
		for (int k = 0; v[k] >= 0 && 2 * v[k] <= twice; k++)
			allowed = v[k];
		if (twice - 2 * allowed <= 3)
			twice = 2 * allowed;
	}
	return (twice + 1) / 2 <= v[0] ? v[0] - (twice + 1) / 2 : 0;
}

static const struct mol_center *center_of(const struct writer *w, const int32_t *center, int32_t i)
{
	return center && center[i] >= 0 ? &w->m->center[center[i]] : NULL;
}

/* '@' or '@@' for a centre, from the order in which its neighbours are written. */
static int tag_of(const struct writer *w, const struct mol_center *c)
{
	const struct mol *m = w->m;
	int32_t i = c->atom, order[4], n = 0, n_swap = 0, n_ring = 0;
	bool multiple = false, first = w->parent[i] < 0;
	if (!first)
		order[n++] = w->parent[i];
	if (m->atom[i].n_h == 1)
		order[n++] = -1;
	for (int32_t k = w->close_first[i]; k >= 0 && n < 4; k = w->closing[k].next_to, n_ring++)
		order[n++] = w->closing[k].from;
	for (int32_t k = w->open_first[i]; k >= 0 && n < 4; k = w->closing[k].next_from, n_ring++)
		order[n++] = w->closing[k].to;
	for (int32_t j = w->child[i]; j >= 0 && n < 4; j = w->sibling[j])
		order[n++] = j;
	if (n < 4) { /* a lone pair: last, with the reader's rule for one ring closure */
		order[n++] = -1;
		for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++)
			multiple |= m->bond[m->adj_bond[p]].order > 1 || m->bond[m->adj_bond[p]].aromatic;
		n_swap += n_ring == 1 && !multiple;
	}
	/* Parity of the centre's order against the order written. */
	int place[4];
	for (int x = 0; x < 4; x++) {
		place[x] = 3;
		for (int y = 0; y < 4; y++)
			if (order[y] == c->nbr[x])
				place[x] = y;
	}
	for (int x = 0; x < 4; x++)
		for (int y = x + 1; y < 4; y++)
			n_swap += place[x] > place[y];
	return n_swap & 1 ? MOL_CHI_CW : MOL_CHI_CCW;
}

static void write_atom(struct writer *w, int32_t i, const int32_t *center)
{
	const struct mol_atom *a = &w->m->atom[i];
	const struct mol_center *c = center_of(w, center, i);
	char symbol[4] = "*";
	bool lower = is_lower(w, i);
	if (a->z)
		strcpy(symbol, mol_element_symbol(a->z));
	if (lower)
		symbol[0] = (char)(symbol[0] | 0x20);
	if (!c && !a->charge && !a->isotope && !a->n_radical && guessed_h(w, i) == a->n_h) {
		buf_put(&w->out, symbol, strlen(symbol));
		return;
	}
	buf_put(&w->out, "[", 1);
	if (a->isotope)
		buf_printf(&w->out, "%d", a->isotope);
	buf_put(&w->out, symbol, strlen(symbol));
	if (c)
		buf_put(&w->out, "@@", tag_of(w, c) == MOL_CHI_CW ? 2 : 1);
	if (a->n_h)
		buf_put(&w->out, "H", 1);
	if (a->n_h > 1)
		buf_printf(&w->out, "%d", a->n_h);
	if (a->charge)
		buf_put(&w->out, a->charge > 0 ? "+" : "-", 1);
	if (a->charge > 1 || a->charge < -1)
		buf_printf(&w->out, "%d", abs(a->charge));
	buf_put(&w->out, "]", 1);
}

static void write_bond(struct writer *w, int32_t k, int32_t from)
{
	const struct mol_bond *b = &w->m->bond[k];
	int32_t to = b->a == from ? b->b : b->a;
	bool lower = is_lower(w, from) && is_lower(w, to);
	static const char symbols[] = " -=#$";
	if (w->slash[k]) {
		buf_put(&w->out, w->slash[k] == MOL_DIR_UP ? "/" : "\\", 1);
	} else if (lower && b->aromatic) {
		return;
	} else if (b->order == 0) {
		bool metal_from = mol_element_is_metal(w->m->atom[from].z),
		     metal_to = mol_element_is_metal(w->m->atom[to].z);
		buf_put(&w->out, metal_from == metal_to ? "~" : metal_to ? "->" : "<-", metal_from == metal_to ? 1 : 2);
	} else if (b->order > 1 || lower) {
		buf_put(&w->out, &symbols[b->order <= 4 ? b->order : 1], 1);
	}
}

static void write_number(struct writer *w, int32_t number)
{
	if (number < 10)
		buf_printf(&w->out, "%d", number);
	else if (number < 100)
		buf_printf(&w->out, "%%%d", number);
	else
		buf_printf(&w->out, "%%(%d)", number);
}

static void write_rings(struct writer *w, int32_t i)
{
	for (int32_t k = w->close_first[i]; k >= 0; k = w->closing[k].next_to)
		write_number(w, w->closing[k].number);
	for (int32_t k = w->open_first[i]; k >= 0; k = w->closing[k].next_from) {
		int32_t number = 1;
		while (w->number_used[number])
			number++;
		w->number_used[number] = 1;
		w->closing[k].number = number;
		write_bond(w, w->closing[k].bond, i);
		write_number(w, number);
	}
	/* Numbers closed here are free again from the next atom on. */
	for (int32_t k = w->close_first[i]; k >= 0; k = w->closing[k].next_to)
		w->number_used[w->closing[k].number] = 0;
}

static void write_fragment(struct writer *w, int32_t root, const int32_t *center, int32_t *stack)
{
	int32_t top = 0;
	stack[top++] = root;
	while (top) {
		int32_t i = stack[--top];
		if (i < 0) { /* the end of a branch */
			buf_put(&w->out, ")", 1);
			continue;
		}
		if (w->parent[i] >= 0) {
			if (w->sibling[i] >= 0)
				buf_put(&w->out, "(", 1);
			write_bond(w, w->via[i], w->parent[i]);
		}
		write_atom(w, i, center);
		write_rings(w, i);
		/* What comes after this atom's subtree: the end of its branch and its next sibling. */
		if (w->parent[i] >= 0 && w->sibling[i] >= 0) {
			stack[top++] = w->sibling[i];
			stack[top++] = -1;
		}
		if (w->child[i] >= 0)
			stack[top++] = w->child[i];
	}
}

const char *mol_write_smiles(const struct mol *m, const int32_t *rank, int flags, struct arena *a, int32_t *order)
{
	struct writer w = {.m = m, .rank = rank, .flags = flags, .arena = a};
	size_t n = (size_t)m->n_atom + 1, nb = (size_t)m->n_bond + 1;
	int32_t *ints = arena_alloc(a, sizeof *ints * (12 * n + 2 * nb)), *center = NULL, *stack;
	w.at = ints;
	w.parent = ints + n;
	w.via = ints + 2 * n;
	w.child = ints + 3 * n;
	w.sibling = ints + 4 * n;
	w.last_child = ints + 5 * n;
	w.written = ints + 6 * n;
	w.open_first = ints + 7 * n;
	w.open_last = ints + 8 * n;
	w.close_first = ints + 9 * n;
	w.close_last = ints + 10 * n;
	w.order = order ? order : ints + 11 * n;
	w.sorted = ints + 12 * n;
	memset(w.parent, -1, sizeof *ints * 10 * n);
	stack = arena_alloc(a, sizeof *stack * 3 * n);
	w.closing = arena_alloc(a, sizeof *w.closing * nb);
	w.slash = arena_calloc(a, nb, 1);
	w.number_used = arena_calloc(a, nb + 2, 1);
	memcpy(w.at, m->adj_start, sizeof *w.at * (size_t)m->n_atom);
	for (int32_t p = 0; p < 2 * m->n_bond; p++)
		w.sorted[p] = p;
	if (rank)
		for (int32_t i = 0; i < m->n_atom; i++)
			qsort_r(w.sorted + m->adj_start[i], (size_t)(m->adj_start[i + 1] - m->adj_start[i]),
				sizeof *w.sorted, by_rank, &w);
	/* Roots: atoms in order of rank. */
	int32_t *by = arena_alloc(a, sizeof *by * n), n_root = 0;
	for (int32_t i = 0; i < m->n_atom; i++)
		by[rank_of(&w, i)] = i;
	for (int32_t k = 0; k < m->n_atom; k++)
		if (w.written[by[k]] < 0) {
			walk_fragment(&w, by[k], stack);
			by[n_root++] = by[k];
		}
	if (flags & MOL_WRITE_STEREO) {
		center = arena_alloc(a, sizeof *center * n);
		memset(center, -1, sizeof *center * n);
		for (int32_t c = 0; c < m->n_center; c++)
			center[m->center[c].atom] = c;
		place_slashes(&w);
	}
	for (int32_t k = 0; k < n_root; k++) {
		if (k)
			buf_put(&w.out, ".", 1);
		write_fragment(&w, by[k], center, stack);
	}
	const char *s = arena_strndup(a, w.out.data ? (const char *)w.out.data : "", w.out.n);
	buf_free(&w.out);
	return s;
}
