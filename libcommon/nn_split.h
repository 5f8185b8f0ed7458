/*
 * nn_split.h - layer 3: dividing rows into train, valid and test. Plain host arrays.
 */
#ifndef MOLRILL_NN_SPLIT_H
#define MOLRILL_NN_SPLIT_H

#include "util.h"

enum nn_part { NN_TRAIN, NN_VALID, NN_TEST, NN_PARTS };
extern const char *const nn_part_names[]; /* "train", "valid", "test", NULL */

/* Strings to numbers 0, 1, ... in the order of their first appearance. Zero-initialise; nn_names_free when done. */
struct nn_names {
	int64_t n, n_slot;
	int64_t *slots;     /* hash table of numbers, -1: free */
	uint64_t *keys;     /* [n] hash of each name */
	const char **names; /* [n], in arena */
	int64_t cap;
	struct arena *arena;
};
int64_t nn_names_add(struct nn_names *t, const char *name);        /* its number, new or old; copies the name */
int64_t nn_names_find(const struct nn_names *t, const char *name); /* -1: not there */
void nn_names_free(struct nn_names *t);

/*
 * Deterministic split by groups: groups sorted by (size, first index) descending; each goes whole to train while train
 * stays within frac[0] n, else to valid while train and valid stay within (frac[0] + frac[1]) n, else to test.
 * (The scaffold split of Hu et al., ICLR 2020.) group [n] in [0, n_group); part [n] is written. Memory 32 bytes a
 * group.
 */
void nn_split_groups(const int64_t *group, int64_t n, int64_t n_group, const double frac[3], uint8_t *part);
/* Random split by seed: the first round(frac[0] n) rows of a permutation are train, and so on. part [n] is written. */
void nn_split_random(int64_t n, uint64_t seed, const double frac[3], uint8_t *part);
/* Name of a part -> its number, -1: none such. */
int nn_part_from_name(const char *name);

#endif
