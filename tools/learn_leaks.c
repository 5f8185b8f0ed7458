/* Leaks between the parts of a split; see learn_leaks.h. */
#include "learn_leaks.h"
#include "nn_split.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define N_WORD 32 /* 64-bit words of a fingerprint */
#define NEAR 0.9

struct leaks {
	struct nn_names molecules, scaffolds;
	int64_t n, cap;
	int64_t *molecule, *scaffold; /* [n] */
	uint64_t *fp;                 /* [n, N_WORD] */
};

struct leaks *leaks_new(void)
{
	struct leaks *l = calloc(1, sizeof *l);
	if (!l)
		abort();
	return l;
}

void leaks_free(struct leaks *l)
{
	if (!l)
		return;
	nn_names_free(&l->molecules);
	nn_names_free(&l->scaffolds);
	free(l->molecule);
	free(l->scaffold);
	free(l->fp);
	free(l);
}

static void *grow(void *p, int64_t n, size_t nbytes)
{
	p = realloc(p, (size_t)n * nbytes);
	if (!p)
		abort();
	return p;
}

int leaks_add(struct leaks *l, const struct ts_map *m, struct err *e)
{
	static const char *const need[] = {"canonical_flat", "scaffold", "fp", NULL};
	const char *smiles, *scaffold;
	const struct ts_tensor *fp;
	int rc = ts_schema_check(ts_schema_find("molecule"), NULL, m, need, e);
	if (rc || (rc = ts_need_str(m, "canonical_flat", &smiles, e)) ||
	    (rc = ts_need_str(m, "scaffold", &scaffold, e)) || (rc = ts_need_tensor(m, "fp", TS_U8, 1, &fp, e)))
		return rc;
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 1024;
		l->molecule = grow(l->molecule, l->cap, sizeof *l->molecule);
		l->scaffold = grow(l->scaffold, l->cap, sizeof *l->scaffold);
		l->fp = grow(l->fp, l->cap * N_WORD, sizeof *l->fp);
	}
	l->molecule[l->n] = nn_names_add(&l->molecules, smiles);
	l->scaffold[l->n] = nn_names_add(&l->scaffolds, scaffold);
	memcpy(l->fp + l->n++ * N_WORD, fp->data, N_WORD * sizeof *l->fp);
	return 0;
}

static bool fingerprints_near(const uint64_t *a, const uint64_t *b)
{
	int both = 0, any = 0;
	for (int i = 0; i < N_WORD; i++) {
		both += __builtin_popcountll(a[i] & b[i]);
		any += __builtin_popcountll(a[i] | b[i]);
	}
	return any && both >= NEAR * any;
}

/* Rows of `to` whose name occurs in `from`. An empty name (no scaffold) is shared by all and says nothing. */
static int64_t shared_count(const struct leaks *l, const struct nn_names *t, const int64_t *id, const uint8_t *part,
			    int from, int to)
{
	bool *seen = calloc((size_t)t->n + 1, sizeof *seen);
	int64_t n = 0;
	if (!seen)
		abort();
	for (int64_t i = 0; i < l->n; i++)
		if (part[i] == from && *t->names[id[i]])
			seen[id[i]] = true;
	for (int64_t i = 0; i < l->n; i++)
		n += part[i] == to && seen[id[i]];
	free(seen);
	return n;
}

static int64_t near_count(const struct leaks *l, const uint8_t *part, int from, int to)
{
	int64_t n = 0;
	for (int64_t i = 0; i < l->n; i++) {
		bool near = false;
		for (int64_t k = 0; part[i] == to && k < l->n && !near; k++)
			near = part[k] == from && fingerprints_near(l->fp + i * N_WORD, l->fp + k * N_WORD);
		n += near;
	}
	return n;
}

void leaks_report(const struct leaks *l, const uint8_t *part, FILE *out)
{
	static const int pairs[3][2] = {{NN_TRAIN, NN_VALID}, {NN_TRAIN, NN_TEST}, {NN_VALID, NN_TEST}};
	int64_t size[NN_PARTS] = {0};
	for (int64_t i = 0; i < l->n; i++)
		size[part[i]]++;
	fprintf(out, "leaks: rows of the second part that are in the first\n");
	fprintf(out, "first\tsecond\trows\tmolecule\tscaffold\tnear (Tanimoto >= %.1f)\n", NEAR);
	for (int p = 0; p < 3; p++) {
		int a = pairs[p][0], b = pairs[p][1];
		fprintf(out, "%s\t%s\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\n", nn_part_names[a],
			nn_part_names[b], size[b], shared_count(l, &l->molecules, l->molecule, part, a, b),
			shared_count(l, &l->scaffolds, l->scaffold, part, a, b), near_count(l, part, a, b));
	}
}
