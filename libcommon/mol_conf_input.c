/* mol_conf_input.c - a file's own coordinates as a conformer: its hydrogens matched to those of the molecule. */
#include "mol_conf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool refuse(struct mol_reject *why, const char *code, const char *text)
{
	memset(why, 0, sizeof *why);
	why->code = code;
	snprintf(why->msg, sizeof why->msg, "%s", text);
	return false;
}

static double distance2(const float *p, int i, int j)
{
	double s = 0;
	for (int k = 0; k < 3; k++) {
		double d = (double)p[3 * i + k] - (double)p[3 * j + k];
		s += d * d;
	}
	return s;
}

/* Kept atom that hydrogen f of the input sits on: by its bond, or the nearest where bonds are not known. */
static int parent_of(const struct mol_conf_input *in, int n_kept, const int32_t *place, int f)
{
	if (in->parent)
		return in->parent[f] < 0 ? -1 : place[in->parent[f]];
	int parent = 0;
	for (int i = 1; i < n_kept; i++)
		if (distance2(in->pos, f, (int)in->source[i]) < distance2(in->pos, f, (int)in->source[parent]))
			parent = i;
	return parent;
}

bool mol_conf_from_input(const struct mol *whole, int n_kept, const struct mol_conf_input *in, struct arena *a,
			 struct mol_conf_set **out, struct mol_reject *why)
{
	int n_hydrogen = 0;
	if (in->n < 1)
		return refuse(why, "no-coordinates", "the input has no coordinates");
	int32_t *place =
	    arena_alloc(a, ((size_t)in->n + 1) * sizeof *place); /* of the input's atom among the kept, or -1 */
	for (int f = 0; f < in->n; f++)
		place[f] = -1;
	for (int i = 0; i < n_kept; i++) {
		if (in->source[i] < 0 || in->source[i] >= in->n || in->z[in->source[i]] != whole->atom[i].z)
			return refuse(why, "no-coordinates", "the input's coordinates belong to other atoms");
		place[in->source[i]] = i;
	}
	for (int f = 0; f < in->n; f++)
		n_hydrogen += place[f] < 0 && in->z[f] == 1;
	if (n_kept + n_hydrogen != in->n)
		return refuse(why, "no-coordinates", "the input's coordinates belong to other atoms");
	if (n_hydrogen && n_kept + n_hydrogen != whole->n_atom)
		return refuse(why, "no-coordinates", "the input's coordinates lack some of the hydrogens");
	struct mol_conf_set *s = arena_calloc(a, 1, sizeof *s);
	s->n = 1;
	s->n_atom = in->n;
	s->pos = arena_alloc(a, 3 * (size_t)in->n * sizeof(double));
	bool flat = in->n > 1;
	for (int i = 0; i < n_kept; i++)
		for (int k = 0; k < 3; k++)
			s->pos[3 * i + k] = (double)in->pos[3 * in->source[i] + k];
	/* hydrogens follow their parents' order in the molecule */
	int32_t *taken = arena_calloc(a, (size_t)n_kept + 1, sizeof *taken);
	for (int f = 0; f < in->n; f++) {
		if (place[f] >= 0)
			continue;
		int parent = parent_of(in, n_kept, place, f), slot = -1, seen = 0;
		if (parent < 0)
			return refuse(why, "no-coordinates", "a hydrogen of the input is bound to no heavy atom");
		for (int q = whole->adj_start[parent]; q < whole->adj_start[parent + 1] && slot < 0; q++)
			if (whole->adj_atom[q] >= n_kept && seen++ == taken[parent])
				slot = whole->adj_atom[q];
		if (slot < 0)
			return refuse(why, "no-coordinates",
				      "a hydrogen of the input lies near another atom than its own");
		taken[parent]++;
		for (int k = 0; k < 3; k++)
			s->pos[3 * slot + k] = (double)in->pos[3 * f + k];
	}
	for (int k = 0; k < 3 * in->n; k++) {
		if (!isfinite(s->pos[k]))
			return refuse(why, "no-coordinates", "a coordinate of the input is not a finite number");
		flat = flat && s->pos[k] == 0;
	}
	if (flat)
		return refuse(why, "no-coordinates", "the input's coordinates are all zero");
	*out = s;
	return true;
}
