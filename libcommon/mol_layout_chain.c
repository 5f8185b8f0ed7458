/*
 * A fragment: ring systems and chains are hung on each other along the tree of bonds outside rings. Chains zigzag at
 * 120 degrees, are straight at sp atoms, cross at atoms of four neighbours; double bonds keep their sides.
 */
#include <stdlib.h>
#include <string.h>

#include "mol_layout.h"

/* Depth of what hangs behind each atom, from the order of the tree. */
struct chain {
	struct lay *l;
	int32_t *depth;    /* [n_atom] bonds to the farthest atom behind */
	int32_t *children; /* room for the children of one atom */
	struct vec *ray;   /* room for as many directions */
	struct vec centre; /* of the piece that the fragment began with */
};

static bool is_same_node(const struct lay *l, int32_t a, int32_t b)
{
	return a == b || (l->system[a] >= 0 && l->system[a] == l->system[b]);
}

/*
 * Preorder of the tree: a ring system's atoms together, then what hangs on each of them. parent[] is the atom at the
 * other end of the bond by which an atom's node hangs; -2 marks atoms not seen yet.
 */
static int32_t tree_fill(struct lay *l, int32_t root, int32_t at)
{
	int32_t n = at, top = 0, *stack = arena_alloc(l->arena, ((size_t)l->n_bond + 2) * 2 * sizeof *stack);
	int32_t *close = arena_alloc(l->arena, ((size_t)l->n_atom + 1) * sizeof *close), n_close = 0;
	stack[top++] = root, stack[top++] = -1;
	while (top) {
		int32_t from = stack[--top], a = stack[--top];
		if (l->placed[a])
			continue;
		int32_t begin = n;
		l->parent[a] = from, l->from[a] = n;
		l->order[n++] = a, l->placed[a] = true;
		close[n_close++] = a;
		/* The rest of its ring system, by a walk along ring bonds. */
		for (int32_t i = begin; i < n && l->system[a] >= 0; i++)
			for (int32_t j = l->start[l->order[i]]; j < l->start[l->order[i] + 1]; j++) {
				int32_t b = l->nbr[j];
				if (l->placed[b] || l->system[b] != l->system[a])
					continue;
				l->parent[b] = -1, l->from[b] = l->to[b] = -1;
				l->order[n++] = b, l->placed[b] = true;
			}
		for (int32_t i = n - 1; i >= begin; i--)
			for (int32_t j = l->start[l->order[i]]; j < l->start[l->order[i] + 1]; j++)
				if (!l->placed[l->nbr[j]])
					stack[top++] = l->nbr[j], stack[top++] = l->order[i];
	}
	/* A node's range ends where the next node that does not hang below it begins. */
	for (int32_t i = n_close - 1, *end = arena_calloc(l->arena, (size_t)n + 1, sizeof *end); i >= 0; i--) {
		int32_t a = close[i], e = l->from[a];
		while (e < n && is_same_node(l, l->order[e], a))
			e++;
		while (e < n && end[e])
			e = end[e] > 0 && l->parent[l->order[e]] >= 0 && l->placed[l->order[e]] &&
				    l->from[a] <= l->from[l->parent[l->order[e]]]
				? end[e]
				: n + 1;
		end[l->from[a]] = l->to[a] = e;
	}
	return n - at;
}
