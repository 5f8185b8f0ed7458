/*
 * mol_symmetry.c - matches of a molecule's heavy atoms onto themselves, and the likeness of conformers over them.
 *
 * Two atoms may change places when element, isotope, charge and bonds are alike; ends of a conjugated group (the
 * oxygens of a carboxyl, nitro, sulphonic or phosphoric group, the nitrogens of an amidine) count as alike. Colours are
 * refined first, so that the search for matches, breadth first along bonds, hardly ever turns back.
 */
#include "mol_conf.h"

#include <math.h>
#include <string.h>

/* Bounds of the search: matches kept, atoms in all of them, atoms tried. */
enum { MAX_MATCH = 2000, MAX_PLACE = 400000, MAX_TRIED = 4000000 };
enum { BOND_AROMATIC = 8, BOND_END = 9 };

/* The graph of heavy atoms. */
struct graph {
	int n;
	int32_t *start, *nbr, *kind; /* kind of each bond: order, or one of the two above */
	int64_t *colour;             /* [n] */
	int32_t *parent, *order;     /* [n]: atoms in the order of the search; its parent in it, -1 for the first */
};

static int heavy_degree(const struct mol *m, int i)
{
	int n = 0;
	for (int k = m->adj_start[i]; k < m->adj_start[i + 1]; k++)
		n += m->atom[m->adj_atom[k]].z != 1;
	return n;
}

/* An oxygen or nitrogen with one heavy neighbour, by a single (double) bond, beside another by a double (single) one.
 */
static bool is_conjugated_end(const struct mol *m, int i)
{
	int center = -1, order = 0;
	if ((m->atom[i].z != 7 && m->atom[i].z != 8) || heavy_degree(m, i) != 1)
		return false;
	for (int k = m->adj_start[i]; k < m->adj_start[i + 1]; k++)
		if (m->atom[m->adj_atom[k]].z != 1) {
			center = m->adj_atom[k];
			order = m->bond[m->adj_bond[k]].order;
		}
	for (int k = m->adj_start[center]; k < m->adj_start[center + 1]; k++) {
		int j = m->adj_atom[k];
		if (j != i && (m->atom[j].z == 7 || m->atom[j].z == 8) && heavy_degree(m, j) == 1 &&
		    order + m->bond[m->adj_bond[k]].order == 3 && order >= 1 && order <= 2)
			return true;
	}
	return false;
}

static void graph_make(const struct mol *m, const int32_t *atom, int n, struct arena *a, struct graph *g)
{
	int32_t *place = arena_alloc(a, ((size_t)m->n_atom + 1) * sizeof *place);
	bool *end = arena_calloc(a, (size_t)n + 1, sizeof *end);
	size_t n_edge = 2 * (size_t)m->n_bond;
	*g = (struct graph){.n = n};
	memset(place, -1, (size_t)m->n_atom * sizeof *place);
	for (int i = 0; i < n; i++)
		place[atom[i]] = i;
	g->start = arena_calloc(a, (size_t)n + 1, sizeof *g->start);
	g->nbr = arena_calloc(a, n_edge + 1, sizeof *g->nbr);
	g->kind = arena_calloc(a, n_edge + 1, sizeof *g->kind);
	g->colour = arena_calloc(a, (size_t)n + 1, sizeof *g->colour);
	for (int i = 0; i < n; i++)
		end[i] = is_conjugated_end(m, atom[i]);
	for (int i = 0; i < n; i++) {
		const struct mol_atom *t = &m->atom[atom[i]];
		int at = g->start[i];
		for (int k = m->adj_start[atom[i]]; k < m->adj_start[atom[i] + 1]; k++) {
			int j = place[m->adj_atom[k]];
			const struct mol_bond *b = &m->bond[m->adj_bond[k]];
			if (j < 0)
				continue;
			g->nbr[at] = j;
			g->kind[at++] = end[i] || end[j] ? BOND_END : b->aromatic ? BOND_AROMATIC : b->order;
		}
		g->start[i + 1] = at;
		g->colour[i] = ((int64_t)t->z << 40) | ((int64_t)t->isotope << 20) | (end[i] ? 512 : t->charge + 256);
	}
}

static int count_colours(const struct graph *g, struct arena *a)
{
	int n = 0;
	bool *seen = arena_calloc(a, (size_t)g->n + 1, sizeof *seen);
	for (int i = 0; i < g->n; i++) {
		n += !seen[i];
		for (int j = i; j < g->n; j++)
			seen[j] |= g->colour[j] == g->colour[i];
	}
	return n;
}

/* Each atom's colour takes up those of its neighbours until no class splits any more. */
static void graph_refine(struct graph *g, struct arena *a)
{
	int64_t *next = arena_alloc(a, ((size_t)g->n + 1) * sizeof *next);
	for (int n_colour = 0, now; (now = count_colours(g, a)) > n_colour;) {
		n_colour = now;
		for (int i = 0; i < g->n; i++) {
			uint64_t sum = 0;
			for (int k = g->start[i]; k < g->start[i + 1]; k++) {
				uint64_t part[2] = {(uint64_t)g->colour[g->nbr[k]], (uint64_t)g->kind[k]};
				sum += rng_hash((const char *)part, sizeof part);
			}
			uint64_t own[2] = {(uint64_t)g->colour[i], sum};
			next[i] = (int64_t)rng_hash((const char *)own, sizeof own);
		}
		memcpy(g->colour, next, (size_t)g->n * sizeof *next);
	}
}

/* Breadth first from the atom of the rarest colour of each component. */
static void graph_order(struct graph *g, struct arena *a)
{
	int n_done = 0, *n_alike = arena_calloc(a, (size_t)g->n + 1, sizeof *n_alike);
	bool *seen = arena_calloc(a, (size_t)g->n + 1, sizeof *seen);
	g->order = arena_alloc(a, ((size_t)g->n + 1) * sizeof *g->order);
	g->parent = arena_alloc(a, ((size_t)g->n + 1) * sizeof *g->parent);
	for (int i = 0; i < g->n; i++)
		for (int j = 0; j < g->n; j++)
			n_alike[i] += g->colour[i] == g->colour[j];
	while (n_done < g->n) {
		int root = -1;
		for (int i = 0; i < g->n; i++)
			if (!seen[i] && (root < 0 || n_alike[i] < n_alike[root]))
				root = i;
		seen[root] = true;
		g->parent[root] = -1;
		g->order[n_done++] = root;
		for (int at = n_done - 1; at < n_done; at++)
			for (int k = g->start[g->order[at]]; k < g->start[g->order[at] + 1]; k++) {
				int j = g->nbr[k];
				if (seen[j])
					continue;
				seen[j] = true;
				g->parent[j] = g->order[at];
				g->order[n_done++] = j;
			}
	}
}

static int kind_between(const struct graph *g, int i, int j)
{
	for (int k = g->start[i]; k < g->start[i + 1]; k++)
		if (g->nbr[k] == j)
			return g->kind[k];
	return -1;
}

/* Whether atom i may go to j, given the images (-1: none yet) of those before it. */
static bool fits(const struct graph *g, const int32_t *image, int i, int j)
{
	if (g->colour[i] != g->colour[j] || g->start[i + 1] - g->start[i] != g->start[j + 1] - g->start[j])
		return false;
	for (int k = g->start[i]; k < g->start[i + 1]; k++)
		if (image[g->nbr[k]] >= 0 && kind_between(g, j, image[g->nbr[k]]) != g->kind[k])
			return false;
	return true;
}

/* Candidate number c for atom i: a neighbour of its parent's image, or any atom; -1 past the last. */
static int candidate(const struct graph *g, const int32_t *image, int i, int c)
{
	if (g->parent[i] < 0)
		return c < g->n ? c : -1;
	int at = g->start[image[g->parent[i]]] + c;
	return at < g->start[image[g->parent[i]] + 1] ? g->nbr[at] : -1;
}

static void find_matches(const struct graph *g, struct mol_symmetry *s, int max_match, struct arena *a)
{
	int32_t *image = arena_alloc(a, ((size_t)g->n + 1) * sizeof *image);
	int32_t *next = arena_calloc(a, (size_t)g->n + 1, sizeof *next);
	bool *used = arena_calloc(a, (size_t)g->n + 1, sizeof *used);
	size_t one = (size_t)g->n * sizeof *image;
	int64_t n_tried = 0;
	memset(image, -1, one);
	for (int depth = 0; depth >= 0;) {
		if (depth == g->n) {
			if (memcmp(image, s->image, one)) { /* the first is the identity */
				if (s->n_match == max_match) {
					s->complete = false;
					return;
				}
				memcpy(s->image + (size_t)s->n_match++ * (size_t)g->n, image, one);
			}
			depth--;
			continue;
		}
		int i = g->order[depth], j;
		if (image[i] >= 0) {
			used[image[i]] = false;
			image[i] = -1;
		}
		while ((j = candidate(g, image, i, next[depth])) >= 0) {
			next[depth]++;
			if (!used[j] && fits(g, image, i, j))
				break;
		}
		if (++n_tried > MAX_TRIED) {
			s->complete = false;
			return;
		}
		if (j < 0) {
			next[depth--] = 0;
			continue;
		}
		image[i] = j;
		used[j] = true;
		if (++depth < g->n)
			next[depth] = 0;
	}
}

struct mol_symmetry *mol_symmetry_new(const struct mol *m, struct arena *a)
{
	struct mol_symmetry *s = arena_calloc(a, 1, sizeof *s);
	struct graph g;
	s->atom = arena_alloc(a, ((size_t)m->n_atom + 1) * sizeof *s->atom);
	for (int i = 0; i < m->n_atom; i++)
		if (m->atom[i].z != 1)
			s->atom[s->n++] = i;
	int max_match = s->n ? MAX_PLACE / s->n : 1;
	max_match = max_match > MAX_MATCH ? MAX_MATCH : max_match < 1 ? 1 : max_match;
	s->complete = true;
	s->n_match = 1;
	s->image = arena_alloc(a, ((size_t)max_match * (size_t)s->n + 1) * sizeof *s->image);
	for (int i = 0; i < s->n; i++)
		s->image[i] = i;
	graph_make(m, s->atom, s->n, a, &g);
	graph_refine(&g, a);
	graph_order(&g, a);
	if (s->n)
		find_matches(&g, s, max_match, a);
	/* those that some match moves stand first: what the others add to an overlap is summed once */
	s->moved = arena_alloc(a, ((size_t)s->n + 1) * sizeof *s->moved);
	s->fixed = arena_alloc(a, ((size_t)s->n + 1) * sizeof *s->fixed);
	for (int i = 0; i < s->n; i++) {
		bool moves = false;
		for (int k = 1; k < s->n_match && !moves; k++)
			moves = s->image[(size_t)k * (size_t)s->n + (size_t)i] != i;
		if (moves)
			s->moved[s->n_moved++] = i;
		else
			s->fixed[s->n_fixed++] = i;
	}
	s->p = arena_alloc(a, (3 * (size_t)s->n + 1) * sizeof *s->p);
	s->q = arena_alloc(a, (3 * (size_t)s->n + 1) * sizeof *s->q);
	return s;
}

/* The heavy atoms of pos about their centroid; the sum of their squares. */
static double centre(const struct mol_symmetry *s, const double *pos, double *out)
{
	double c[3] = {0}, sum = 0;
	for (int i = 0; i < s->n; i++)
		for (int k = 0; k < 3; k++)
			c[k] += pos[3 * s->atom[i] + k] / s->n;
	for (int i = 0; i < s->n; i++)
		for (int k = 0; k < 3; k++) {
			out[3 * i + k] = pos[3 * s->atom[i] + k] - c[k];
			sum += out[3 * i + k] * out[3 * i + k];
		}
	return sum;
}

static void add_overlap(const double *u, const double *v, double overlap[3][3])
{
	for (int k = 0; k < 3; k++)
		for (int l = 0; l < 3; l++)
			overlap[k][l] += u[k] * v[l];
}

double mol_symmetry_rmsd_ang(struct mol_symmetry *s, const double *p, const double *q, double enough_ang)
{
	double still[3][3] = {{0}}, best = INFINITY;
	if (s->n < 1)
		return 0;
	double inner = centre(s, p, s->p) + centre(s, q, s->q);
	for (int f = 0; f < s->n_fixed; f++)
		add_overlap(s->p + 3 * s->fixed[f], s->q + 3 * s->fixed[f], still);
	for (int c = 0; c < s->n_match && best > enough_ang; c++) {
		const int32_t *image = s->image + (size_t)c * (size_t)s->n;
		double overlap[3][3], norm2 = 0;
		memcpy(overlap, still, sizeof overlap);
		for (int f = 0; f < s->n_moved; f++)
			add_overlap(s->p + 3 * s->moved[f], s->q + 3 * image[s->moved[f]], overlap);
		for (int k = 0; k < 9; k++)
			norm2 += overlap[k / 3][k % 3] * overlap[k / 3][k % 3];
		/* the best rotation reaches at most the sum of the singular values, and that sqrt 3 times the norm */
		if (c && inner - 2 * sqrt(3 * norm2) >= s->n * best * best)
			continue;
		double rmsd = mol_rmsd_of_overlap_ang(s->n, inner, overlap);
		best = rmsd < best ? rmsd : best;
	}
	return best;
}
