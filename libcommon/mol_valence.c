/*
 * mol_valence.c - valence, implicit hydrogens, radicals: RDKit's model.
 *
 * An atom with a charge has the valences of the element with as many electrons; phosphorus, sulphur, arsenic and
 * selenium keep their own when they have more than fits there. An aromatic bond counts one and a half until the
 * Kekule structure is known, and sums are then rounded to an allowed valence.
 */
#include "mol_work.h"

#include <string.h>

void work_build_adjacency(struct work *w)
{
	size_t n = (size_t)w->n_atom;
	int32_t *start = arena_calloc(w->arena, n + 2, sizeof *start);
	for (int32_t k = 0; k < w->n_bond; k++)
		if (!w->bond[k].gone) {
			start[w->bond[k].a + 2]++;
			start[w->bond[k].b + 2]++;
		}
	for (size_t i = 2; i < n + 2; i++)
		start[i] += start[i - 1];
	w->adj = arena_alloc(w->arena, sizeof *w->adj * (size_t)(2 * w->n_bond + 1));
	for (int32_t k = 0; k < w->n_bond; k++)
		if (!w->bond[k].gone) {
			w->adj[start[w->bond[k].a + 1]++] = k;
			w->adj[start[w->bond[k].b + 1]++] = k;
		}
	w->adj_start = start;
}

int work_degree(const struct work *w, int32_t i)
{
	return w->adj_start[i + 1] - w->adj_start[i];
}
int work_n_h(const struct work *w, int32_t i)
{
	return w->atom[i].n_h + w->atom[i].implicit_h;
}

int work_twice_order(const struct work_bond *b, int32_t i)
{
	if (b->type == WORK_DATIVE)
		return b->b == i ? 2 : 0;
	if (b->aromatic && b->type != WORK_TRIPLE)
		return 3;
	return 2 * b->type;
}

/* The table that rules atom i; *own is its element's when the atom is hypervalent beyond its charge. */
static const int8_t *valences_of(const struct work_atom *a, bool *own)
{
	const int8_t *mine = mol_element_valences(a->z);
	int z = a->z - a->charge;
	*own = (z > 16 && (a->z == 15 || a->z == 16)) || (z > 34 && (a->z == 33 || a->z == 34));
	if (mine[0] == -1)
		return mine;
	return mol_element_valences(z < 0 ? 0 : z > 118 ? 118 : z);
}

static int last_valence(const int8_t *v)
{
	int k = 0;
	while (v[k + 1] != -2)
		k++;
	return v[k];
}

static bool touches_aromatic(const struct work *w, int32_t i)
{
	if (w->atom[i].aromatic)
		return true;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
		if (w->bond[w->adj[k]].aromatic)
			return true;
	return false;
}

int work_explicit_valence(const struct work *w, int32_t i)
{
	const struct work_atom *a = &w->atom[i];
	int twice = 2 * a->n_h;
	bool own;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
		twice += work_twice_order(&w->bond[w->adj[k]], i);
	const int8_t *v = valences_of(a, &own);
	if (v[0] >= 0 && twice > 2 * v[0] && touches_aromatic(w, i)) {
		int allowed = v[0];
		for (int k = 0; v[k] >= 0 && 2 * v[k] <= twice; k++)
			allowed = v[k];
		if (twice - 2 * allowed <= 3)
			twice = 2 * allowed;
	}
	return (twice + 1) / 2;
}

static int over_valent(struct work *w, int32_t i, int valence)
{
	const struct work_atom *a = &w->atom[i];
	if (w->lenient)
		return 0;
	return work_refuse(w, "valence", a->column, "atom %d (%s, charge %+d) has valence %d, more than is permitted",
			   (int)i + 1, mol_element_symbol(a->z), a->charge, valence);
}

static int assign_implicit(struct work *w, int32_t i)
{
	struct work_atom *a = &w->atom[i];
	a->implicit_h = 0;
	if (a->no_implicit || a->z == 0)
		return 0;
	int ev = a->explicit_valence + a->n_radical;
	if (a->explicit_valence == 0 && a->n_radical == 0 && a->z == 1) {
		a->implicit_h = a->charge == 0;
		return a->charge < -1 || a->charge > 1 ? over_valent(w, i, 0) : 0;
	}
	bool own;
	const int8_t *mine = mol_element_valences(a->z), *v = valences_of(a, &own);
	if (v == mol_element_valences(0) || v[0] == -1)
		return 0;
	int first = v[0];
	if (own) {
		v = mine;
		ev -= a->charge;
	}
	if (touches_aromatic(w, i)) {
		if (ev <= first) {
			a->implicit_h = (int16_t)(first - ev);
			return 0;
		}
		for (int k = 0; v[k] > 0; k++)
			if (v[k] == ev)
				return 0;
		return over_valent(w, i, ev);
	}
	for (int k = 0; v[k] >= 0; k++)
		if (ev <= v[k]) {
			a->implicit_h = (int16_t)(v[k] - ev);
			return 0;
		}
	return last_valence(v) != -1 && last_valence(mine) > 0 ? over_valent(w, i, ev) : 0;
}

int work_assign_valence(struct work *w)
{
	for (int32_t i = 0; i < w->n_atom; i++) {
		struct work_atom *a = &w->atom[i];
		if (a->gone)
			continue;
		bool own;
		const int8_t *mine = mol_element_valences(a->z), *v = valences_of(a, &own);
		int ev = work_explicit_valence(w, i), most = last_valence(v), shift = 0;
		if (own) {
			most = last_valence(mine);
			shift = -a->charge;
		}
		if (a->z == 1 && a->charge == -1)
			most = 2;
		a->explicit_valence = (int16_t)ev;
		if (most >= 0 && last_valence(mine) >= 0 && ev + shift > most)
			return over_valent(w, i, ev);
		int e = assign_implicit(w, i);
		if (e)
			return e;
	}
	return 0;
}

/* Unpaired electrons of atoms in brackets: what is missing to the octet, or to a valence of a hypervalent element. */
void work_assign_radicals(struct work *w)
{
	for (int32_t i = 0; i < w->n_atom; i++) {
		struct work_atom *a = &w->atom[i];
		if (a->gone || !a->no_implicit || !a->z)
			continue;
		const int8_t *v = mol_element_valences(a->z);
		int outer = mol_element_outer(a->z);
		if (v[0] == -1) {
			int left = outer - a->charge;
			a->n_radical = (int16_t)(work_degree(w, i) || left < 0 ? 0 : left % 2);
			continue;
		}
		int twice = 2 * a->n_h;
		for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
			twice += work_twice_order(&w->bond[w->adj[k]], i);
		int total = twice / 2, n = (a->z <= 2 ? 2 : 8) - outer - total + a->charge;
		if (n < 0) {
			n = 0;
			if (v[1] != -2)
				for (int k = 0; v[k] != -2; k++)
					if (v[k] - total + a->charge >= 0) {
						n = v[k] - total + a->charge;
						break;
					}
		}
		int early = outer - total - a->charge;
		if (early >= 0 && early < n)
			n = early;
		a->n_radical = (int16_t)n;
	}
}
