/*
 * nn_quotient.h - layer 3: atoms that a graph network cannot tell apart, merged into one row.
 *
 * Two atoms have equal rows in layer l of any network of message sums if their colours of level l agree: the own colour
 * of level l - 1 and those of the neighbours with the bonds' kinds, in any order (Weisfeiler and Leman 1968;
 * Shervashidze et al., JMLR 2011). A layer computes one row a colour, and its gradients are those of the sum over equal
 * rows: exact but for rounding. Host memory, no randomness; an order of atoms or molecules changes the numbers of rows,
 * not rows.
 */
#ifndef MOLRILL_NN_QUOTIENT_H
#define MOLRILL_NN_QUOTIENT_H

#include "util.h"

/* Messages by target: items start[v] .. start[v + 1] of target v come from source[i] over a bond of kind[i]. Host. */
struct nn_links {
	int64_t n, n_source, n_item;
	const int64_t *start, *source, *kind;
	const int64_t *degree; /* [n_item] messages into the source's atoms */
	bool own_first;        /* target v itself is row source[start[v]]; else row v */
};

/* Rows of one level, numbered by their first atoms. */
struct nn_level {
	int64_t n;
	const int64_t *row;   /* [n_atom] row of each atom; NULL: each is its own */
	const int64_t *mult;  /* [n] atoms of a row; NULL: one each */
	const int64_t *first; /* [n] first atom of a row; NULL as row */
	struct nn_links in;   /* of levels 1, ...: from rows of the level below */
};

/*
 * Levels 0 .. n_level, in arena a. Level 0: atoms whose class [n_atom, n_class] (and number of messages, where
 * with_degree) agree. links: those of the atoms, self-loops last of each target. Hashes only propose what is then
 * compared, and those of level 0 and of kinds alone decide the order of a row's items (its own first), so that the
 * bytes of a row depend on its surroundings alone; hash_mask: the bits of hashes that are used (all, but in a test of
 * that).
 */
struct nn_level *nn_levels_new(struct arena *a, const struct nn_links *links, const int64_t *class, int n_class,
			       bool with_degree, int n_level, uint64_t hash_mask);

/* All that a graph encoder computes by, made of a batch before its turn. */
struct nn_merged {
	struct nn_links links;
	const int64_t *class; /* [n_atom, atom tables] features within their tables */
	struct nn_level *level;
	int n_level;
	bool with_degree;
};

#endif
