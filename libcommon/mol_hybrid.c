/*
 * mol_hybrid.c - conjugated bonds and hybridisation, RDKit's conventions.
 */
#include "mol_work.h"

static int total_degree(const struct work *w, int32_t i)
{
	return work_degree(w, i) + work_n_h(w, i);
}

static bool can_conjugate(const struct work *w, int32_t i)
{
	const struct work_atom *a = &w->atom[i];
	int z = a->z, outer = mol_element_outer(z), valence = mol_element_valences(z)[0];
	if (!a->charge && valence >= 0 && a->explicit_valence + a->implicit_h > valence) /* hypervalent */
		return false;
	return (z <= 10 || (outer != 5 && outer != 6) || (outer == 6 && total_degree(w, i) < 2)) &&
	       work_pi_electrons(w, i) > 0;
}

void work_set_conjugation(struct work *w)
{
	for (int32_t k = 0; k < w->n_bond; k++)
		w->bond[k].conjugated = w->bond[k].aromatic;
	for (int32_t i = 0; i < w->n_atom; i++) {
		if (w->atom[i].gone || total_degree(w, i) < 2 || total_degree(w, i) > 3 || !can_conjugate(w, i))
			continue;
		for (int32_t p = w->adj_start[i]; p < w->adj_start[i + 1]; p++) {
			struct work_bond *b = &w->bond[w->adj[p]];
			if (work_twice_order(b, i) < 3 || !can_conjugate(w, work_other_end(b, i)))
				continue;
			for (int32_t q = w->adj_start[i]; q < w->adj_start[i + 1]; q++) {
				struct work_bond *c = &w->bond[w->adj[q]];
				int32_t j = work_other_end(c, i);
				if (p == q || total_degree(w, j) > 3 || !can_conjugate(w, j))
					continue;
				b->conjugated = c->conjugated = true;
			}
		}
	}
}

static int count_orbitals(const struct work *w, int32_t i)
{
	const struct work_atom *a = &w->atom[i];
	int degree = total_degree(w, i);
	if (a->z >= 89)
		return degree;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++) {
		const struct work_bond *b = &w->bond[w->adj[k]];
		degree -= b->type == WORK_ZERO || (b->type == WORK_DATIVE && b->a == i);
	}
	if (a->z <= 1)
		return degree;
	int outer = mol_element_outer(a->z), valence = a->explicit_valence + a->implicit_h;
	int n_free = outer - (valence + a->charge);
	if (valence + outer - a->charge < 8)
		return degree + (n_free - a->n_radical) / 2 + a->n_radical;
	return degree + n_free / 2;
}

static enum mol_hybrid hybrid_of(const struct work *w, int32_t i)
{
	const struct work_atom *a = &w->atom[i];
	bool conjugated = false;
	int degree = total_degree(w, i);
	if (!a->z)
		return MOL_HYB_OTHER;
	if ((a->tag == MOL_CHI_CW || a->tag == MOL_CHI_CCW) && degree == 4)
		return MOL_SP3;
	if (a->tag == MOL_CHI_OTHER && degree >= 2) {
		if (a->other == WORK_SQUARE && degree <= 4)
			return MOL_HYB_OTHER;
		if (a->other == WORK_BIPYRAMID && degree <= 5)
			return MOL_SP3D;
		if (a->other == WORK_OCTAHEDRON && degree <= 6)
			return MOL_SP3D2;
	}
	switch (count_orbitals(w, i)) {
	case 0:
	case 1:
		return MOL_HYB_S;
	case 2:
		return MOL_SP;
	case 3:
		return MOL_SP2;
	case 4:
		for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
			conjugated |= w->bond[w->adj[k]].conjugated;
		return degree > 3 || !conjugated ? MOL_SP3 : MOL_SP2;
	case 5:
		return MOL_SP3D;
	case 6:
		return MOL_SP3D2;
	default:
		return MOL_HYB_OTHER;
	}
}

void work_set_hybrid(struct work *w)
{
	for (int32_t i = 0; i < w->n_atom; i++)
		if (!w->atom[i].gone)
			w->atom[i].hybrid = (uint8_t)hybrid_of(w, i);
}
