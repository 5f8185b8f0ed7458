/*
 * A fragment: ring systems and chains are hung on each other along the tree of bonds outside rings. Chains zigzag at
 * 120 degrees, are straight at sp atoms, cross at atoms of four neighbours; double bonds keep their sides.
 */
#include <stdlib.h>

#include "mol_layout.h"

struct chain {
	struct lay *l;
	int32_t *depth;      /* [n_atom]: bonds to the farthest atom behind each */
	int32_t *child;      /* room for the children of one atom */
	struct vec *ray;     /* room for as many directions, and for those of placed neighbours */
	double *angle;       /* room for as many */
	struct vec centre;   /* of the node that the fragment began with */
	int32_t *node, *end; /* where nodes of the tree begin in order[], n_node of them, and where they end */
	int32_t *of;         /* [n_atom]: node of each atom */
	int32_t n_node;
};

/*
 * Preorder of the tree: a ring system's atoms together, then what hangs on each of them. parent[] is the atom at the
 * other end of the bond by which a node hangs, -1 for the root and for a system's other atoms.
 */
static int32_t tree_fill(struct chain *c, int32_t root, int32_t at)
{
	struct lay *l = c->l;
	int32_t n = at, top = 0, *stack = arena_alloc(l->arena, ((size_t)l->n_bond + 1) * 4 * sizeof *stack);
	stack[top++] = root, stack[top++] = -1;
	while (top) {
		int32_t from = stack[--top], a = stack[--top], begin = n;
		if (l->seen[a])
			continue;
		l->parent[a] = from, l->from[a] = n;
		l->order[n++] = a, l->seen[a] = true;
		c->of[a] = c->n_node;
		for (int32_t i = begin; i < n && l->system[a] >= 0; i++)
			for (int32_t j = l->start[l->order[i]]; j < l->start[l->order[i] + 1]; j++) {
				int32_t b = l->nbr[j];
				if (l->seen[b] || l->system[b] != l->system[a])
					continue;
				l->parent[b] = -1, c->of[b] = c->n_node;
				l->order[n++] = b, l->seen[b] = true;
			}
		c->node[c->n_node] = begin, c->end[c->n_node++] = n;
		for (int32_t i = n - 1; i >= begin; i--)
			for (int32_t j = l->start[l->order[i]]; j < l->start[l->order[i] + 1]; j++)
				if (!l->seen[l->nbr[j]])
					stack[top++] = l->nbr[j], stack[top++] = l->order[i];
	}
	int32_t *size = arena_calloc(l->arena, (size_t)c->n_node + 1, sizeof *size);
	for (int32_t i = c->n_node - 1; i >= 0; i--) {
		int32_t a = l->order[c->node[i]], p = l->parent[a], deep = 0;
		size[i] += c->end[i] - c->node[i];
		l->to[a] = l->from[a] + size[i];
		for (int32_t k = c->node[i]; k < c->end[i]; k++)
			deep = c->depth[l->order[k]] > deep ? c->depth[l->order[k]] : deep;
		deep += l->system[a] >= 0 ? 4 : 1;
		if (p >= 0) {
			size[c->of[p]] += size[i];
			c->depth[p] = deep > c->depth[p] ? deep : c->depth[p];
		}
		c->depth[a] = deep - 1; /* of the node, for its parent's choice among children */
	}
	return n - at;
}

/* The side of the axis parent[a] -> a on which neighbour b of a must stand: 1 left, -1 right, 0 free. */
static int side_wanted(const struct lay *l, int32_t a, int32_t b)
{
	int32_t p = l->parent[a];
	for (int32_t i = 0; i < l->n_cistrans && p >= 0; i++) {
		const struct mol_cistrans *s = &l->cistrans[i];
		int w = s->atom[0] == p ? 0 : 1;
		if (s->atom[w] != p || s->atom[!w] != a)
			continue;
		int32_t beside = s->nbr[w];
		bool cis = s->cis;
		if (!l->placed[beside]) /* it comes after a: its place will be opposite to what p hangs on */
			beside = l->parent[p], cis = !cis;
		if (beside < 0 || !l->placed[beside])
			continue;
		double x = vec_cross(vec_sub(l->pos[a], l->pos[p]), vec_sub(l->pos[beside], l->pos[p]));
		int side = (x > 0) == cis ? 1 : -1;
		return s->nbr[!w] == b ? side : -side;
	}
	return 0;
}

/* sp atoms: a triple bond, or two double bonds. */
static bool is_linear(const struct lay *l, int32_t a)
{
	int n_double = 0, n_triple = 0;
	if (lay_degree(l, a) != 2 || l->z[a] > 16)
		return false;
	for (int32_t j = l->start[a]; j < l->start[a + 1]; j++) {
		n_double += l->bond[l->nbr_bond[j]].order == 2;
		n_triple += l->bond[l->nbr_bond[j]].order == 3;
	}
	return n_triple || n_double == 2;
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/*
 * k directions for what is still to come at a, into the widest gap between those of the neighbours that stand (at
 * atoms of three and more, the gap whose middle is freest). system >= 0: only neighbours of that system count.
 */
static void gap_spread(const struct chain *c, int32_t a, int32_t system, int32_t k, struct vec *ray)
{
	const struct lay *l = c->l;
	int32_t n = 0;
	for (int32_t j = l->start[a]; j < l->start[a + 1]; j++)
		if (system >= 0 ? l->system[l->nbr[j]] == system && l->bond[l->nbr_bond[j]].ring : l->placed[l->nbr[j]])
			c->angle[n++] = plane_angle(vec_sub(l->pos[l->nbr[j]], l->pos[a]));
	qsort(c->angle, (size_t)n, sizeof *c->angle, compare_double);
	double best = -1, begin = 0, wide = 2 * PLANE_PI;
	for (int32_t i = 0; i < n; i++) {
		double gap = (i + 1 < n ? c->angle[i + 1] : c->angle[0] + 2 * PLANE_PI) - c->angle[i], value = gap;
		if (n >= 3 && l->system[a] >= 0) {
			struct vec p = vec_add(l->pos[a], plane_polar(c->angle[i] + gap / 2));
			double near2 = 1;
			for (int32_t t = l->sys_start[l->system[a]]; t < l->sys_start[l->system[a] + 1]; t++) {
				double d2 = vec_dist2(p, l->pos[l->sys_atom[t]]);
				near2 = d2 < near2 ? d2 : near2;
			}
			value = near2 * 10 + gap;
		}
		if (value > best + 1e-9)
			best = value, begin = c->angle[i], wide = gap;
	}
	for (int32_t i = 0; i < k; i++)
		ray[i] = plane_polar(begin + wide * (i + 1) / (k + 1));
}

/* Directions for the k children of chain atom a, deepest first in c->child. */
static void chain_spread(struct chain *c, int32_t a, int32_t k)
{
	struct lay *l = c->l;
	int32_t p = l->parent[a];
	struct vec *ray = c->ray;
	if (p < 0) {
		bool straight = is_linear(l, a);
		for (int32_t i = 0; i < k; i++)
			ray[i] = plane_polar(PLANE_PI / 6 +
					     (k == 2 && !straight ? i * PLANE_PI * 2 / 3 : i * 2 * PLANE_PI / k));
		return;
	}
	struct vec ahead = vec_unit(vec_sub(l->pos[a], l->pos[p]));
	if (k == 1 && is_linear(l, a)) {
		ray[0] = ahead;
		return;
	}
	if (k >= 3) {
		for (int32_t i = 0; i < k; i++) {
			/* The deepest goes straight on, the others to the left and to the right in turn. */
			int32_t slot = i & 1 ? (i + 1) / 2 : -(i / 2);
			ray[i] = vec_turn(ahead, plane_polar(slot * 2 * PLANE_PI / (k + 1)));
		}
		if (k & 1)
			return;
		for (int32_t i = 0; i < k; i++)
			ray[i] = vec_turn(ahead, plane_polar(((i + 1) * 2.0 / (k + 1) - 1) * PLANE_PI));
		return;
	}
	/* Away from what stands beside the parent: the zigzag; else away from the fragment's beginning. */
	int side = side_wanted(l, a, c->child[0]);
	if (!side) {
		double x = 0;
		int32_t g = l->parent[p];
		/* Past what lies straight behind, as at a sulphone, the zigzag goes on. */
		for (int step = 0; step < 8 && g >= 0 && fabs(x) <= 1e-6; step++, g = l->parent[g])
			x = vec_cross(ahead, vec_sub(l->pos[g], l->pos[p]));
		if (fabs(x) <= 1e-6)
			x = vec_cross(ahead, vec_sub(c->centre, l->pos[p]));
		side = x > 1e-6 ? -1 : 1;
	}
	ray[0] = vec_turn(ahead, plane_polar(side * PLANE_PI / 3));
	if (k == 2)
		ray[1] = vec_turn(ahead, plane_polar(-side * PLANE_PI / 3));
}

/* Sets the ring system of atom a, a node of the tree, so that its bond to the parent points back along `ray`. */
static void system_hang(struct chain *c, int32_t a, int32_t node, struct vec ray)
{
	struct lay *l = c->l;
	struct vec slot[8], p = vec_add(l->pos[l->parent[a]], ray), from = l->pos[a];
	int32_t n_slot = 1;
	for (int32_t j = l->start[a]; j < l->start[a + 1]; j++)
		n_slot += l->system[l->nbr[j]] != l->system[a] && l->nbr[j] != l->parent[a];
	gap_spread(c, a, l->system[a], n_slot > 8 ? 8 : n_slot, slot);
	/* The local direction slot[0] becomes -ray. */
	struct vec turn = vec_turn((struct vec){-ray.x, -ray.y}, (struct vec){slot[0].x, -slot[0].y});
	struct vec sum = {0, 0};
	int side = 0;
	for (int32_t i = c->node[node]; i < c->end[node]; i++) {
		int32_t b = l->order[i];
		l->pos[b] = vec_add(p, vec_turn(vec_sub(l->pos[b], from), turn));
		sum = vec_add(sum, l->pos[b]);
	}
	sum = vec_scale(sum, 1.0 / (c->end[node] - c->node[node]));
	struct vec mirrored = vec_mirror(sum, p, ray);
	bool flip = vec_dist2(mirrored, c->centre) > vec_dist2(sum, c->centre) + 1e-6;
	for (int32_t j = l->start[a]; j < l->start[a + 1] && !side; j++)
		if (l->system[l->nbr[j]] == l->system[a]) {
			side = side_wanted(l, a, l->nbr[j]);
			if (side)
				flip = (vec_cross(ray, vec_sub(l->pos[l->nbr[j]], p)) > 0) != (side > 0);
		}
	for (int32_t i = c->node[node]; i < c->end[node]; i++) {
		int32_t b = l->order[i];
		if (flip)
			l->pos[b] = vec_mirror(l->pos[b], p, ray);
		l->placed[b] = true;
	}
}

/* Children of a, the deepest first. */
static int32_t children_gather(struct chain *c, int32_t a)
{
	struct lay *l = c->l;
	int32_t k = 0;
	for (int32_t j = l->start[a]; j < l->start[a + 1]; j++) {
		int32_t b = l->nbr[j];
		if (l->placed[b] || l->parent[b] != a)
			continue;
		int32_t i = k++;
		for (; i > 0 && c->depth[c->child[i - 1]] < c->depth[b]; i--)
			c->child[i] = c->child[i - 1];
		c->child[i] = b;
	}
	return k;
}

/* The end of a longest path from a over a fragment without rings. */
static int32_t chain_end(const struct lay *l, int32_t a)
{
	int32_t *queue = arena_alloc(l->arena, ((size_t)l->n_atom + 1) * sizeof *queue), head = 0, tail = 0;
	bool *seen = arena_calloc(l->arena, (size_t)l->n_atom + 1, sizeof *seen);
	queue[tail++] = a, seen[a] = true;
	while (head < tail) {
		int32_t b = queue[head++];
		for (int32_t j = l->start[b]; j < l->start[b + 1]; j++)
			if (!seen[l->nbr[j]])
				seen[l->nbr[j]] = true, queue[tail++] = l->nbr[j];
	}
	return queue[tail - 1];
}

int32_t lay_fragment_place(struct lay *l, int32_t root, int32_t at)
{
	struct chain c = {.l = l};
	size_t n = (size_t)l->n_atom + 1, width = 2;
	for (int32_t i = 0; i < l->n_atom; i++)
		width = (size_t)lay_degree(l, i) + 2 > width ? (size_t)lay_degree(l, i) + 2 : width;
	c.depth = arena_calloc(l->arena, n, sizeof *c.depth);
	c.child = arena_alloc(l->arena, width * sizeof *c.child);
	c.ray = arena_alloc(l->arena, width * sizeof *c.ray);
	c.angle = arena_alloc(l->arena, width * sizeof *c.angle);
	c.node = arena_alloc(l->arena, n * sizeof *c.node);
	c.end = arena_alloc(l->arena, n * sizeof *c.end);
	c.of = arena_alloc(l->arena, n * sizeof *c.of);
	if (l->system[root] < 0)
		root = chain_end(l, chain_end(l, root));
	int32_t n_fragment = tree_fill(&c, root, at);
	for (int32_t i = c.node[0]; i < c.end[0]; i++) {
		l->placed[l->order[i]] = true;
		c.centre = vec_add(c.centre, vec_scale(l->pos[l->order[i]], 1.0 / (c.end[0] - c.node[0])));
	}
	for (int32_t node = 0; node < c.n_node; node++) {
		for (int32_t i = c.node[node]; i < c.end[node]; i++) {
			int32_t a = l->order[i], k = children_gather(&c, a);
			if (l->system[a] >= 0)
				gap_spread(&c, a, -1, k, c.ray);
			else
				chain_spread(&c, a, k);
			for (int32_t j = 0; j < k; j++) {
				int32_t b = c.child[j];
				if (l->system[b] < 0)
					l->pos[b] = vec_add(l->pos[a], c.ray[j]), l->placed[b] = true;
				else
					system_hang(&c, b, c.of[b], c.ray[j]);
			}
		}
	}
	return n_fragment;
}
