/* mol_conf_keep.c - of the conformers made, those worth keeping: low ones that differ. */
#include "mol_conf.h"

#include <string.h>

/* Their places in order of energy (if there are any); equal ones keep their order. */
static int *sort_by_energy(const struct mol_conf_set *s, struct arena *a)
{
	int *order = arena_alloc(a, ((size_t)s->n + 1) * sizeof *order);
	for (int c = 0; c < s->n; c++) {
		int at = c;
		for (; at > 0 && s->energy && s->energy[order[at - 1]] > s->energy[c]; at--)
			order[at] = order[at - 1];
		order[at] = c;
	}
	return order;
}

void mol_conf_keep_best(const struct mol *m, struct mol_conf_set *s, double rmsd_ang, double window_kcal,
			struct arena *a)
{
	size_t one = 3 * (size_t)s->n_atom;
	int n_kept = 0, *order = sort_by_energy(s, a);
	struct mol_symmetry *symmetry = rmsd_ang > 0 && s->n > 1 ? mol_symmetry_new(m, a) : NULL;
	double *pos = arena_alloc(a, ((size_t)s->n * one + 1) * sizeof *pos);
	double *energy = arena_alloc(a, ((size_t)s->n + 1) * sizeof *energy);
	double *terms = arena_alloc(a, ((size_t)s->n * MOL_FF_N_TERM + 1) * sizeof *terms);
	for (int c = 0; c < s->n; c++) {
		const double *from = s->pos + one * (size_t)order[c];
		bool drop = s->energy && window_kcal > 0 && s->energy[order[c]] > s->energy[order[0]] + window_kcal;
		for (int k = 0; k < n_kept && symmetry && !drop; k++)
			drop = mol_symmetry_rmsd_ang(symmetry, from, pos + one * (size_t)k, rmsd_ang) < rmsd_ang;
		if (drop)
			continue;
		memcpy(pos + one * (size_t)n_kept, from, one * sizeof *pos);
		if (s->energy)
			energy[n_kept] = s->energy[order[c]];
		if (s->terms)
			memcpy(terms + n_kept * MOL_FF_N_TERM, s->terms + order[c] * MOL_FF_N_TERM,
			       MOL_FF_N_TERM * sizeof *terms);
		n_kept++;
	}
	s->n = n_kept;
	s->pos = pos;
	s->energy = s->energy ? energy : NULL;
	s->terms = s->terms ? terms : NULL;
}
