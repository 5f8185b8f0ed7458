/*
 * mol_ring.c - which bonds lie in rings, and the symmetrised set of smallest rings.
 *
 * Bridges are found by one depth-first walk (without recursion). Within a ring system the chains of atoms with two
 * ring bonds are shrunk to single edges, so that only branching atoms count; candidates are Horton's (shortest
 * paths from each branching atom, closed by one edge), taken in order of size, independent over GF(2) (Horton,
 * SIAM J. Comput. 1987, 358). The set is symmetrised like RDKit's: a candidate that only depends on others of its
 * own size is a ring too.
 */
#include "mol_work.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CANDIDATE_WORDS (4u << 20) /* bound on work and memory of one ring system: some 350 fused rings */

/* ---- bridges ------------------------------------------------------------ */

static int32_t mark_ring_bonds(struct work *w)
{
	size_t n = (size_t)w->n_atom + 1;
	int32_t *order = arena_calloc(w->arena, n, sizeof *order), *low = arena_calloc(w->arena, n, sizeof *low);
	int32_t *at = arena_alloc(w->arena, sizeof *at * n), *via = arena_alloc(w->arena, sizeof *via * n);
	int32_t *stack = arena_alloc(w->arena, sizeof *stack * n), clock = 0, n_ring_bond = 0;
	for (int32_t k = 0; k < w->n_bond; k++)
		w->bond[k].in_ring = !w->bond[k].gone;
	for (int32_t s = 0; s < w->n_atom; s++) {
		int32_t top = 0;
		if (order[s] || w->atom[s].gone)
			continue;
		stack[top++] = s;
		order[s] = low[s] = ++clock;
		at[s] = w->adj_start[s];
		via[s] = -1;
		while (top) {
			int32_t i = stack[top - 1];
			if (at[i] < w->adj_start[i + 1]) {
				int32_t k = w->adj[at[i]++], j = work_other_end(&w->bond[k], i);
				if (k == via[i])
					continue;
				if (!order[j]) {
					order[j] = low[j] = ++clock;
					at[j] = w->adj_start[j];
					via[j] = k;
					stack[top++] = j;
				} else if (order[j] < low[i]) {
					low[i] = order[j];
				}
				continue;
			}
			top--;
			if (via[i] < 0)
				continue;
			int32_t up = work_other_end(&w->bond[via[i]], i);
			if (low[i] < low[up])
				low[up] = low[i];
			if (low[i] > order[up])
				w->bond[via[i]].in_ring = false;
		}
	}
	for (int32_t k = 0; k < w->n_bond; k++)
		n_ring_bond += w->bond[k].in_ring;
	return n_ring_bond;
}

/* ---- one ring system ---------------------------------------------------- */

struct edge {                       /* chain of bonds between two branching atoms */
	int32_t x, y, length, path; /* path: index into the bonds of chains */
};
struct candidate {
	int32_t size, sequence;
	uint64_t *bits;
};
struct rings { /* what is found, as bonds */
	struct work *w;
	int32_t *ring_degree, *system; /* per atom */
	int32_t *branch;               /* per atom: number of the branching atom, -1 */
	int32_t *chain, n_chain;       /* bonds of all chains */
	struct buf *start, *atoms, *bonds;
};

static void put_int(struct buf *b, int32_t v)
{
	buf_put(b, &v, sizeof v);
}

static int32_t next_ring_bond(const struct work *w, int32_t atom, int32_t not_this)
{
	for (int32_t k = w->adj_start[atom]; k < w->adj_start[atom + 1]; k++)
		if (w->bond[w->adj[k]].in_ring && w->adj[k] != not_this)
			return w->adj[k];
	return -1;
}

static void end_ring(struct rings *r)
{
	r->w->n_ring++;
	put_int(r->start, (int32_t)(r->atoms->n / sizeof(int32_t)));
}

/* A ring all of whose atoms have two ring bonds. */
static void add_simple_ring(struct rings *r, int32_t first)
{
	struct work *w = r->w;
	int32_t atom = first, bond = -1;
	do {
		bond = next_ring_bond(w, atom, bond);
		put_int(r->atoms, atom);
		put_int(r->bonds, bond);
		r->system[atom] = -2;
		atom = work_other_end(&w->bond[bond], atom);
	} while (atom != first);
	end_ring(r);
}

/* Follows the chain that leaves branching atom `from` by `bond`; appends its bonds, answers its other end. */
static int32_t follow_chain(struct rings *r, int32_t from, int32_t bond)
{
	const struct work *w = r->w;
	int32_t atom = from;
	for (;;) {
		r->chain[r->n_chain++] = bond;
		atom = work_other_end(&w->bond[bond], atom);
		if (r->branch[atom] >= 0)
			return atom;
		bond = next_ring_bond(w, atom, bond);
	}
}

static int by_size(const void *pa, const void *pb)
{
	const struct candidate *a = pa, *b = pb;
	if (a->size != b->size)
		return a->size < b->size ? -1 : 1;
	return a->sequence < b->sequence ? -1 : 1;
}

/* Writes the ring of these edges atom by atom. */
static void add_ring(struct rings *r, const struct edge *edge, int32_t n_edge, const uint64_t *bits)
{
	struct work *w = r->w;
	int32_t n_left = 0, first = -1;
	int32_t *left = arena_alloc(w->arena, sizeof *left * (size_t)n_edge);
	for (int32_t k = 0; k < n_edge; k++)
		if (bits[k / 64] >> (k % 64) & 1)
			left[n_left++] = k;
	int32_t at = edge[left[0]].x;
	first = at;
	while (n_left) {
		int32_t p = 0;
		while (p < n_left && edge[left[p]].x != at && edge[left[p]].y != at)
			p++;
		if (p == n_left)
			break;
		const struct edge *e = &edge[left[p]];
		bool forward = e->x == at;
		for (int32_t q = 0; q < e->length; q++) {
			int32_t bond = r->chain[e->path + (forward ? q : e->length - 1 - q)];
			put_int(r->atoms, at);
			put_int(r->bonds, bond);
			at = work_other_end(&w->bond[bond], at);
		}
		memmove(left + p, left + p + 1, sizeof *left * (size_t)(n_left - p - 1));
		n_left--;
		if (at == first)
			break;
	}
	end_ring(r);
}

struct system { /* the shrunk graph of one ring system, and its shortest paths from one vertex */
	int32_t n_vertex, n_edge, n_word;
	int32_t *vertex; /* atoms */
	struct edge *edge;
	int32_t *start, *incident; /* edges of each vertex */
	int32_t *dist, *via, *branch_of, *done, *heap;
};

/* Dijkstra by levels: lengths are small integers, so a sorted insertion into a list does. */
static void shortest_paths(const struct rings *r, struct system *s, int32_t v)
{
	int32_t head = 0, tail = 0;
	for (int32_t i = 0; i < s->n_vertex; i++) {
		s->dist[i] = INT32_MAX;
		s->done[i] = 0;
	}
	s->dist[v] = 0;
	s->via[v] = -1;
	s->branch_of[v] = -1;
	s->heap[tail++] = v;
	while (head < tail) {
		int32_t i = s->heap[head++];
		if (s->done[i])
			continue;
		s->done[i] = 1;
		for (int32_t k = s->start[i]; k < s->start[i + 1]; k++) {
			const struct edge *e = &s->edge[s->incident[k]];
			int32_t x = r->branch[e->x], y = r->branch[e->y], j = x == i ? y : x,
				d = s->dist[i] + e->length;
			if (j == i || d >= s->dist[j])
				continue;
			s->dist[j] = d;
			s->via[j] = s->incident[k];
			s->branch_of[j] = i == v ? s->incident[k] : s->branch_of[i];
			int32_t p = tail++;
			while (p > head && s->dist[s->heap[p - 1]] > d) {
				s->heap[p] = s->heap[p - 1];
				p--;
			}
			s->heap[p] = j;
		}
	}
}

static void mark_path(const struct rings *r, const struct system *s, int32_t v, int32_t i, uint64_t *bits)
{
	while (i != v) {
		int32_t k = s->via[i], x = r->branch[s->edge[k].x];
		bits[k / 64] |= UINT64_C(1) << (k % 64);
		i = x == i ? r->branch[s->edge[k].y] : x;
	}
}

/*
 * Rings of two shortest paths from v to y that both miss the tree: twins of those that the tree gives. *room: how
 * many more may come.
 */
static int32_t list_twins(struct rings *r, struct system *s, int32_t v, struct candidate *out, int32_t n, int32_t *room)
{
	for (int32_t y = 0; y < s->n_vertex; y++) {
		int32_t last[8], from[8], first[8], n_path = 0;
		for (int32_t k = s->start[y]; y != v && k < s->start[y + 1] && n_path < 8; k++) {
			const struct edge *e = &s->edge[s->incident[k]];
			int32_t x = r->branch[e->x] == y ? r->branch[e->y] : r->branch[e->x];
			if (x == y || s->incident[k] == s->via[y] || s->dist[x] + e->length != s->dist[y])
				continue;
			last[n_path] = s->incident[k];
			first[n_path] = x == v ? s->incident[k] : s->branch_of[x];
			from[n_path++] = x;
		}
		for (int32_t p = 0; p < n_path; p++)
			for (int32_t q = p + 1; q<n_path && * room> 0; q++) {
				if (first[p] == first[q])
					continue;
				uint64_t *bits = arena_calloc(r->w->arena, (size_t)s->n_word, sizeof *bits);
				for (int end = 0; end < 2; end++) {
					int32_t k = end ? last[q] : last[p];
					bits[k / 64] |= UINT64_C(1) << (k % 64);
					mark_path(r, s, v, end ? from[q] : from[p], bits);
				}
				out[n] = (struct candidate){2 * s->dist[y], n, bits};
				n++;
				--*room;
			}
	}
	return n;
}

static int32_t list_candidates(struct rings *r, struct system *s, struct candidate *out, int32_t room)
{
	int32_t n = 0;
	size_t nbytes = sizeof(uint64_t) * (size_t)s->n_word;
	for (int32_t v = 0; v < s->n_vertex; v++) {
		shortest_paths(r, s, v);
		for (int32_t k = 0; k < s->n_edge; k++) {
			int32_t x = r->branch[s->edge[k].x], y = r->branch[s->edge[k].y];
			if (x == y ? x != v : (s->via[x] == k || s->via[y] == k))
				continue;
			if (x != y && x != v && y != v && s->branch_of[x] == s->branch_of[y])
				continue;
			struct candidate *c = &out[n];
			c->size = (x == y ? 0 : s->dist[x] + s->dist[y]) + s->edge[k].length;
			c->sequence = n;
			c->bits = arena_calloc(r->w->arena, 1, nbytes);
			c->bits[k / 64] |= UINT64_C(1) << (k % 64);
			if (x != y) {
				mark_path(r, s, v, x, c->bits);
				mark_path(r, s, v, y, c->bits);
			}
			n++;
		}
		n = list_twins(r, s, v, out, n, &room);
	}
	return n;
}

/* True if bits are independent of the first n_row rows; bits are reduced. */
static bool reduce(uint64_t *bits, int32_t n_word, uint64_t *const *row, const int32_t *pivot, int32_t n_row)
{
	for (int32_t i = 0; i < n_row; i++)
		if (bits[pivot[i] / 64] >> (pivot[i] % 64) & 1)
			for (int32_t q = 0; q < n_word; q++)
				bits[q] ^= row[i][q];
	for (int32_t q = 0; q < n_word; q++)
		if (bits[q])
			return true;
	return false;
}

static void choose_rings(struct rings *r, struct system *s, struct candidate *c, int32_t n)
{
	int32_t n_want = s->n_edge - s->n_vertex + 1, n_row = 0, n_before = 0, n_extra = 0, size = 0;
	size_t nbytes = sizeof(uint64_t) * (size_t)s->n_word;
	uint64_t **row = arena_alloc(r->w->arena, sizeof *row * (size_t)n_want);
	int32_t *pivot = arena_alloc(r->w->arena, sizeof *pivot * (size_t)n_want), class_start = 0;
	uint64_t *scratch = arena_alloc(r->w->arena, nbytes);
	qsort(c, (size_t)n, sizeof *c, by_size);
	for (int32_t k = 0; k < n; k++) {
		if (c[k].size != size) {
			if (n_row == n_want)
				break;
			size = c[k].size;
			n_before = n_row;
			class_start = k;
		}
		bool twin = false;
		for (int32_t p = class_start; p < k && !twin; p++)
			twin = c[p].bits && !memcmp(c[p].bits, c[k].bits, nbytes);
		if (twin)
			continue;
		memcpy(scratch, c[k].bits, nbytes);
		if (!reduce(scratch, s->n_word, row, pivot, n_before))
			continue;
		if (n_row < n_want && reduce(scratch, s->n_word, row + n_before, pivot + n_before, n_row - n_before)) {
			int32_t q = 0;
			while (!scratch[q])
				q++;
			pivot[n_row] = q * 64 + __builtin_ctzll(scratch[q]);
			row[n_row++] = scratch;
			scratch = arena_alloc(r->w->arena, nbytes);
		} else if (n_extra++ >= n_want) {
			continue;
		}
		add_ring(r, s->edge, s->n_edge, c[k].bits);
	}
}

/* Rings of the system that branching atom `seed` belongs to. queue: room for all atoms. */
static int find_system(struct rings *r, int32_t seed, int32_t *queue)
{
	struct work *w = r->w;
	struct system s = {0};
	int32_t head = 0, tail = 0, n_end = 0;
	r->n_chain = 0;
	queue[tail++] = seed;
	r->branch[seed] = 0;
	/* All branching atoms of the system, by walking chains; each chain is met from both ends. */
	while (head < tail) {
		int32_t i = queue[head++];
		for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++) {
			int32_t bond = w->adj[k], atom = i;
			if (!w->bond[bond].in_ring)
				continue;
			n_end++;
			for (;;) {
				atom = work_other_end(&w->bond[bond], atom);
				if (r->ring_degree[atom] != 2)
					break;
				r->system[atom] = -2;
				bond = next_ring_bond(w, atom, bond);
			}
			if (r->branch[atom] < 0) {
				r->branch[atom] = tail;
				queue[tail++] = atom;
			}
		}
	}
	s.n_vertex = tail;
	s.n_edge = n_end / 2;
	s.n_word = (s.n_edge + 63) / 64;
	int64_t cost = (int64_t)s.n_vertex * (s.n_edge - s.n_vertex + 1 + s.n_edge / 8) * s.n_word;
	if (cost > MAX_CANDIDATE_WORDS)
		return work_refuse(w, "too-large", w->atom[seed].column, "a system of %d fused rings",
				   (int)(s.n_edge - s.n_vertex + 1));
	size_t nv = (size_t)s.n_vertex + 1, ne = (size_t)s.n_edge;
	s.vertex = arena_alloc(w->arena, sizeof *s.vertex * nv);
	memcpy(s.vertex, queue, sizeof *queue * (size_t)tail);
	s.edge = arena_alloc(w->arena, sizeof *s.edge * (ne + 1));
	s.n_edge = 0;
	for (int32_t v = 0; v < s.n_vertex; v++) {
		int32_t i = s.vertex[v];
		for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++) {
			if (!w->bond[w->adj[k]].in_ring)
				continue;
			int32_t path = r->n_chain, end = follow_chain(r, i, w->adj[k]);
			int32_t last = r->chain[r->n_chain - 1];
			/* Keep a chain from one of its ends only: the lower vertex, or for loops the lower bond. */
			if (r->branch[end] < v || (end == i && last < w->adj[k])) {
				r->n_chain = path;
				continue;
			}
			s.edge[s.n_edge++] = (struct edge){i, end, r->n_chain - path, path};
		}
	}
	s.start = arena_calloc(w->arena, nv + 1, sizeof *s.start);
	s.incident = arena_alloc(w->arena, sizeof *s.incident * (2 * ne + 1));
	for (int32_t k = 0; k < s.n_edge; k++) {
		s.start[r->branch[s.edge[k].x] + 1]++;
		s.start[r->branch[s.edge[k].y] + 1]++;
	}
	for (int32_t v = 0; v < s.n_vertex; v++)
		s.start[v + 1] += s.start[v];
	int32_t *fill = arena_alloc(w->arena, sizeof *fill * nv);
	memcpy(fill, s.start, sizeof *fill * nv);
	for (int32_t k = 0; k < s.n_edge; k++) {
		s.incident[fill[r->branch[s.edge[k].x]]++] = k;
		s.incident[fill[r->branch[s.edge[k].y]]++] = k;
	}
	s.dist = arena_alloc(w->arena, sizeof *s.dist * nv);
	s.via = arena_alloc(w->arena, sizeof *s.via * nv);
	s.branch_of = arena_alloc(w->arena, sizeof *s.branch_of * nv);
	s.done = arena_alloc(w->arena, sizeof *s.done * nv);
	s.heap = arena_alloc(w->arena, sizeof *s.heap * (2 * ne + 2));
	/* At most one candidate a vertex and edge outside its tree, and as many twins. */
	size_t most = nv * (size_t)(s.n_edge - s.n_vertex + 1) + ne + 1;
	struct candidate *c = arena_alloc(w->arena, sizeof *c * 2 * most);
	choose_rings(r, &s, c, list_candidates(r, &s, c, (int32_t)most));
	return 0;
}

static int32_t *take_ints(struct work *w, struct buf *b)
{
	int32_t *v = arena_alloc(w->arena, b->n + sizeof *v);
	if (b->n)
		memcpy(v, b->data, b->n);
	return v;
}

int work_find_rings(struct work *w)
{
	size_t n = (size_t)w->n_atom + 1;
	struct buf start = {0}, atoms = {0}, bonds = {0};
	struct rings r = {.w = w, .start = &start, .atoms = &atoms, .bonds = &bonds};
	int e = 0;
	w->n_ring = 0;
	for (int32_t i = 0; i < w->n_atom; i++)
		w->atom[i].n_ring = 0;
	for (int32_t k = 0; k < w->n_bond; k++)
		w->bond[k].n_ring = w->bond[k].min_ring = 0;
	put_int(&start, 0);
	if (mark_ring_bonds(w)) {
		r.ring_degree = arena_calloc(w->arena, n, sizeof *r.ring_degree);
		r.system = arena_calloc(w->arena, n, sizeof *r.system);
		r.branch = arena_alloc(w->arena, sizeof *r.branch * n);
		r.chain = arena_alloc(w->arena, sizeof *r.chain * (size_t)(2 * w->n_bond + 1));
		int32_t *queue = arena_alloc(w->arena, sizeof *queue * n);
		for (int32_t k = 0; k < w->n_bond; k++)
			if (w->bond[k].in_ring) {
				r.ring_degree[w->bond[k].a]++;
				r.ring_degree[w->bond[k].b]++;
			}
		memset(r.branch, -1, sizeof *r.branch * n);
		for (int32_t i = 0; i < w->n_atom && !e; i++)
			if (r.ring_degree[i] > 2 && r.branch[i] < 0)
				e = find_system(&r, i, queue);
		for (int32_t i = 0; i < w->n_atom && !e; i++)
			if (r.ring_degree[i] == 2 && r.system[i] == 0)
				add_simple_ring(&r, i);
	}
	w->ring_start = take_ints(w, &start);
	w->ring_atom = take_ints(w, &atoms);
	w->ring_bond = take_ints(w, &bonds);
	for (int32_t k = 0; k < w->n_ring && !e; k++)
		for (int32_t p = w->ring_start[k]; p < w->ring_start[k + 1]; p++) {
			struct work_bond *b = &w->bond[w->ring_bond[p]];
			int32_t size = w->ring_start[k + 1] - w->ring_start[k];
			w->atom[w->ring_atom[p]].n_ring++;
			b->n_ring++;
			if (!b->min_ring || size < b->min_ring)
				b->min_ring = size;
		}
	buf_free(&start);
	buf_free(&atoms);
	buf_free(&bonds);
	return e;
}
