/*
 * mol_normalise.c - neutral five-valent nitrogen and its like -> the charge-separated form, as RDKit writes them.
 *
 *     N(=O)=O -> [N+](=O)[O-]      N=N#N -> N=[N+]=[N-]      C=P(=O)X -> C=[P+]([O-])X      Cl(=O)(=O)O -> [Cl+2]...
 *
 * and a single bond between a non-metal beyond its valence and a metal becomes a dative one.
 */
#include "mol_work.h"

#include <string.h>

/* First bond of that type from atom i to a neutral atom z; -1 when none. */
static int32_t find_bond(const struct work *w, int32_t i, int type, int z)
{
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++) {
		const struct work_bond *b = &w->bond[w->adj[k]];
		const struct work_atom *nbr = &w->atom[work_other_end(b, i)];
		if (b->type == type && nbr->z == z && nbr->charge == 0)
			return w->adj[k];
	}
	return -1;
}

static void separate(struct work *w, int32_t i, int32_t k)
{
	w->bond[k].type--;
	w->atom[i].charge = 1;
	w->atom[work_other_end(&w->bond[k], i)].charge = -1;
}

static void normalise_nitrogen(struct work *w, int32_t i)
{
	int32_t k;
	if (w->atom[i].charge || work_explicit_valence(w, i) != 5)
		return;
	if ((k = find_bond(w, i, WORK_DOUBLE, 8)) >= 0)
		separate(w, i, k);
	if ((k = find_bond(w, i, WORK_TRIPLE, 7)) >= 0)
		separate(w, i, k);
}

static void normalise_phosphorus(struct work *w, int32_t i)
{
	int32_t oxo = -1;
	bool has_ylide = false;
	if (w->atom[i].charge || work_degree(w, i) != 3 || work_explicit_valence(w, i) != 5)
		return;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++) {
		const struct work_bond *b = &w->bond[w->adj[k]];
		int32_t j = work_other_end(b, i);
		if (b->type != WORK_DOUBLE)
			continue;
		if (w->atom[j].z == 8 && !w->atom[j].charge)
			oxo = w->adj[k];
		else if ((w->atom[j].z == 6 || w->atom[j].z == 7) && work_degree(w, j) >= 2)
			has_ylide = true;
	}
	if (oxo >= 0 && has_ylide)
		separate(w, i, oxo);
}

static void normalise_halogen(struct work *w, int32_t i)
{
	int ev = work_explicit_valence(w, i), charge = 0;
	if (w->atom[i].charge || (ev != 3 && ev != 5 && ev != 7))
		return;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
		if (w->atom[work_other_end(&w->bond[w->adj[k]], i)].z != 8)
			return;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++) {
		struct work_bond *b = &w->bond[w->adj[k]];
		if (b->type != WORK_DOUBLE)
			continue;
		b->type = WORK_SINGLE;
		w->atom[work_other_end(b, i)].charge = -1;
		charge++;
	}
	w->atom[i].charge = (int16_t)charge;
}

static int count_dative(const struct work *w, int32_t i)
{
	int n = 0;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
		n += w->bond[w->adj[k]].type == WORK_DATIVE;
	return n;
}

static void normalise_ligand(struct work *w, int32_t i)
{
	struct work_atom *a = &w->atom[i];
	int z = a->z - a->charge;
	if (a->gone || a->z <= 2 || a->z == 9 || a->z == 10 || z <= 0 || z > 118 || mol_element_is_metal(a->z))
		return;
	const int8_t *v = mol_element_valences(z);
	int last = 0;
	while (v[last + 1] != -2)
		last++;
	int ev = work_explicit_valence(w, i);
	if (v[last] <= 0 || ev < v[last])
		return;
	if (ev == v[last]) {
		int n_implicit = a->no_implicit || ev >= v[0] ? 0 : v[0] - ev;
		if (!a->aromatic || work_degree(w, i) + a->n_h + n_implicit != 4)
			return;
	}
	int32_t best = -1;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++) {
		const struct work_bond *b = &w->bond[w->adj[k]];
		if (b->type != WORK_SINGLE || !mol_element_is_metal(w->atom[work_other_end(b, i)].z))
			continue;
		if (best < 0 ||
		    count_dative(w, work_other_end(b, i)) < count_dative(w, work_other_end(&w->bond[best], i)))
			best = w->adj[k];
	}
	if (best < 0)
		return;
	int32_t metal = work_other_end(&w->bond[best], i);
	w->bond[best].type = WORK_DATIVE;
	w->bond[best].a = i;
	w->bond[best].b = metal;
}

void work_normalise(struct work *w)
{
	bool has_metal = false;
	for (int32_t i = 0; i < w->n_atom; i++) {
		if (w->atom[i].gone)
			continue;
		has_metal |= mol_element_is_metal(w->atom[i].z);
		if (w->atom[i].z == 7)
			normalise_nitrogen(w, i);
	}
	for (int32_t i = 0; i < w->n_atom; i++) {
		int z = w->atom[i].z;
		if (w->atom[i].gone)
			continue;
		if (z == 15)
			normalise_phosphorus(w, i);
		else if (z == 17 || z == 35 || z == 53)
			normalise_halogen(w, i);
	}
	for (int32_t i = 0; has_metal && i < w->n_atom; i++)
		normalise_ligand(w, i);
}
