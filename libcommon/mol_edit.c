/*
 * mol_edit.c - the largest fragment of a molecule, and its neutral form.
 */
#include "mol_canon.h"
#include "mol_work.h"

#include <string.h>

/* Fragment with most heavy atoms; of equals the heaviest, then the first. */
static int32_t find_largest(const struct mol *m, struct arena *a)
{
	size_t n = (size_t)m->n_fragment + 1;
	int32_t *n_heavy = arena_calloc(a, n, sizeof *n_heavy), best = 0;
	double *weight = arena_calloc(a, n, sizeof *weight);
	for (int32_t i = 0; i < m->n_atom; i++) {
		int32_t f = m->atom[i].fragment;
		n_heavy[f] += m->atom[i].z != 1;
		weight[f] += mol_element_weight(m->atom[i].z) + m->atom[i].n_h * mol_element_weight(1);
	}
	for (int32_t f = 1; f < m->n_fragment; f++)
		if (n_heavy[f] > n_heavy[best] || (n_heavy[f] == n_heavy[best] && weight[f] > weight[best] + 1e-6))
			best = f;
	return best;
}

/*
 * A charge that a proton can take away or give back: +1 with a hydrogen on an atom that has a lone pair without it, -1
 * on an atom with a lone pair to bind it (tetrafluoroborate has none) and room in its valence (triiodide has none), and
 * no opposite charge next to it.
 */
static bool can_neutralise(const struct mol *m, int32_t i)
{
	const struct mol_atom *a = &m->atom[i];
	int outer = mol_element_outer(a->z), sum = a->n_h;
	if (a->z == 0 || mol_element_is_metal(a->z) || (a->charge != 1 && a->charge != -1) ||
	    (a->charge == 1 && (!a->n_h || (outer < 5 && a->z != 1))))
		return false;
	for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++) {
		const struct mol_bond *b = &m->bond[m->adj_bond[p]];
		sum += b->order ? b->order : 2; /* a dative bond holds both electrons */
		if (m->atom[m->adj_atom[p]].charge * a->charge < 0)
			return false;
	}
	if (a->charge == 1 || a->z == 1)
		return true;
	return outer + 1 - sum - a->n_radical >= 2 && !(outer == 7 && sum);
}

int mol_edit(const struct mol *m, unsigned edits, struct arena *a, const char **smiles, struct mol_reject *why,
	     struct err *e)
{
	struct mol copy = *m;
	bool changed = false;
	int32_t fragment = edits & MOL_EDIT_LARGEST && m->n_fragment > 1 ? find_largest(m, a) : -1;
	*smiles = m->smiles;
	copy.atom = arena_alloc(a, sizeof *copy.atom * (size_t)(m->n_atom + 1));
	memcpy(copy.atom, m->atom, sizeof *copy.atom * (size_t)m->n_atom);
	for (int32_t i = 0; edits & MOL_EDIT_NEUTRAL && i < m->n_atom; i++) {
		if (!can_neutralise(m, i) || (fragment >= 0 && m->atom[i].fragment != fragment))
			continue;
		copy.atom[i].n_h = (uint8_t)(copy.atom[i].n_h - copy.atom[i].charge);
		copy.atom[i].charge = 0;
		changed = true;
	}
	if (!changed && fragment < 0)
		return 0;
	/* Kekule form: a proton may end an atom's aromaticity. */
	const char *whole = mol_write_smiles(&copy, NULL, MOL_WRITE_STEREO | MOL_WRITE_KEKULE, a, NULL);
	*smiles = whole;
	if (fragment < 0)
		return 0;
	/* Fragments are written in order of their first atoms, which is the order of their numbers. */
	const char *start = whole;
	for (int32_t f = 0; f < fragment; f++)
		start = strchr(start, '.') + 1;
	const char *end = strchr(start, '.');
	*smiles = arena_strndup(a, start, end ? (size_t)(end - start) : strlen(start));
	return 0;
}
