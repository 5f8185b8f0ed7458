/* Dividing rows into train, valid and test. */
#include "nn_split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const nn_part_names[] = {"train", "valid", "test", NULL};

int nn_part_from_name(const char *name)
{
	for (int i = 0; i < NN_PARTS; i++)
		if (!strcmp(name, nn_part_names[i]))
			return i;
	return -1;
}

static void *allocate(void *old, int64_t n, size_t nbytes)
{
	void *p = realloc(old, (size_t)(n ? n : 1) * nbytes);
	if (!p)
		abort(); /* as the arena does */
	return p;
}

static int64_t slot_of(const struct nn_names *t, const char *name, uint64_t key)
{
	int64_t s = (int64_t)(key % (uint64_t)t->n_slot);
	while (t->slots[s] >= 0 && (t->keys[t->slots[s]] != key || strcmp(t->names[t->slots[s]], name)))
		s = (s + 1) % t->n_slot;
	return s;
}

static void names_grow(struct nn_names *t)
{
	t->cap = t->cap ? 2 * t->cap : 256;
	t->keys = allocate(t->keys, t->cap, sizeof *t->keys);
	t->names = allocate(t->names, t->cap, sizeof *t->names);
	t->n_slot = 2 * t->cap + 1;
	t->slots = allocate(t->slots, t->n_slot, sizeof *t->slots);
	memset(t->slots, -1, (size_t)t->n_slot * sizeof *t->slots);
	for (int64_t i = 0; i < t->n; i++)
		t->slots[slot_of(t, t->names[i], t->keys[i])] = i;
}

int64_t nn_names_add(struct nn_names *t, const char *name)
{
	uint64_t key = rng_hash(name, strlen(name));
	if (!t->arena && !(t->arena = arena_new(0)))
		abort();
	if (t->n == t->cap)
		names_grow(t);
	int64_t s = slot_of(t, name, key);
	if (t->slots[s] < 0) {
		t->keys[t->n] = key;
		t->names[t->n] = arena_strdup(t->arena, name);
		t->slots[s] = t->n++;
	}
	return t->slots[s];
}

int64_t nn_names_find(const struct nn_names *t, const char *name)
{
	return t->n ? t->slots[slot_of(t, name, rng_hash(name, strlen(name)))] : -1;
}

void nn_names_free(struct nn_names *t)
{
	free(t->slots);
	free(t->keys);
	free(t->names);
	arena_free(t->arena);
	*t = (struct nn_names){0};
}

struct group {
	int64_t size, first;
	uint8_t part;
};

static int group_compare(const void *pa, const void *pb)
{
	const struct group *a = *(const struct group *const *)pa, *b = *(const struct group *const *)pb;
	if (a->size != b->size)
		return a->size < b->size ? 1 : -1;
	return a->first < b->first ? 1 : a->first > b->first ? -1 : 0;
}

void nn_split_groups(const int64_t *group, int64_t n, int64_t n_group, const double frac[3], uint8_t *part)
{
	struct group *groups = allocate(NULL, n_group, sizeof *groups);
	struct group **order = allocate(NULL, n_group, sizeof *order);
	for (int64_t g = 0; g < n_group; g++) {
		groups[g] = (struct group){.first = -1};
		order[g] = &groups[g];
	}
	for (int64_t i = 0; i < n; i++) {
		struct group *g = &groups[group[i]];
		if (!g->size++)
			g->first = i;
	}
	if (n_group)
		qsort(order, (size_t)n_group, sizeof *order, group_compare);
	const double most_train = frac[0] * (double)n, most_valid = (frac[0] + frac[1]) * (double)n;
	int64_t n_train = 0, n_valid = 0;
	for (int64_t g = 0; g < n_group; g++) {
		int64_t size = order[g]->size;
		if ((double)(n_train + size) <= most_train) {
			order[g]->part = NN_TRAIN;
			n_train += size;
		} else if ((double)(n_train + n_valid + size) <= most_valid) {
			order[g]->part = NN_VALID;
			n_valid += size;
		} else {
			order[g]->part = NN_TEST;
		}
	}
	for (int64_t i = 0; i < n; i++)
		part[i] = groups[group[i]].part;
	free(groups);
	free(order);
}

void nn_split_random(int64_t n, uint64_t seed, const double frac[3], uint8_t *part)
{
	struct rng rng;
	int64_t *order = allocate(NULL, n, sizeof *order);
	int64_t n_train = llround(frac[0] * (double)n), n_both = llround((frac[0] + frac[1]) * (double)n);
	for (int64_t i = 0; i < n; i++)
		order[i] = i;
	rng_init(&rng, seed, 0);
	rng_shuffle(&rng, order, n);
	for (int64_t i = 0; i < n; i++)
		part[order[i]] = i < n_train ? NN_TRAIN : i < n_both ? NN_VALID : NN_TEST;
	free(order);
}
