/*
 * mol_hydrogen.c - written hydrogens become counts where RDKit makes them so, and counts become atoms again.
 *
 * Kept as atoms: isotopes, hydrogens on nothing, on two atoms, on a dummy, on hydrogens only, and those that alone
 * say on which side of a double bond their carbon stands.
 */
#include "mol_work.h"

#include <string.h>

static bool defines_side(const struct work *w, int32_t heavy, const struct work_bond *to_h)
{
	bool is_double = false, has_other = false;
	for (int32_t k = w->adj_start[heavy]; k < w->adj_start[heavy + 1]; k++) {
		const struct work_bond *b = &w->bond[w->adj[k]];
		is_double |= b->type == WORK_DOUBLE;
		if (b != to_h && b->type == WORK_SINGLE && w->atom[work_other_end(b, heavy)].z != 1)
			has_other = true;
	}
	return to_h->direction != MOL_DIR_NONE && is_double && !has_other;
}

static bool can_go(const struct work *w, int32_t i)
{
	const struct work_atom *a = &w->atom[i];
	if (a->z != 1 || a->isotope || work_degree(w, i) != 1)
		return false;
	const struct work_bond *b = &w->bond[w->adj[w->adj_start[i]]];
	const struct work_atom *heavy = &w->atom[work_other_end(b, i)];
	if (heavy->z <= 1 || a->charge == -1 || heavy->other)
		return false;
	return !defines_side(w, work_other_end(b, i), b);
}

/* Has more bonds, its hydrogens among them, than the valence model would give it back: O=PH3. */
static bool is_hypervalent_by_hydrogens(const struct work *w, int32_t i)
{
	int n_h = 0, valence = work_explicit_valence(w, i);
	if (w->atom[i].charge || w->atom[i].z <= 1)
		return false;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
		n_h += w->atom[work_other_end(&w->bond[w->adj[k]], i)].z == 1;
	const int8_t *v = mol_element_valences(w->atom[i].z);
	while (v && *v >= 0 && *v < valence - n_h)
		v++;
	return n_h && v && *v >= 0 && *v < valence;
}

int work_remove_hydrogens(struct work *w)
{
	int32_t n_gone = 0;
	for (int32_t i = 0; i < w->n_atom; i++)
		if (is_hypervalent_by_hydrogens(w, i))
			w->atom[i].no_implicit = true;
	for (int32_t i = 0; i < w->n_atom; i++) {
		if (w->atom[i].z != 1 || !can_go(w, i))
			continue;
		int32_t k = w->adj[w->adj_start[i]], h = work_other_end(&w->bond[k], i);
		struct work_atom *heavy = &w->atom[h];
		if (heavy->no_implicit || (heavy->aromatic && heavy->z != 6))
			heavy->n_h++;
		/* The hydrogen moves to the end of the neighbours. */
		int32_t n_after = 0;
		for (int32_t j = w->adj_start[h]; j < w->adj_start[h + 1]; j++)
			n_after += w->adj[j] > k && !w->bond[w->adj[j]].gone;
		if ((n_after & 1) && (heavy->tag == MOL_CHI_CW || heavy->tag == MOL_CHI_CCW))
			heavy->tag = heavy->tag == MOL_CHI_CW ? MOL_CHI_CCW : MOL_CHI_CW;
		/* What the slash on its bond said, the other bond says now. */
		struct work_bond *bond = &w->bond[k];
		if (bond->direction != MOL_DIR_NONE) {
			int up = bond->a == h ? bond->direction : 3 - bond->direction; /* seen from the heavy atom */
			for (int32_t j = w->adj_start[h]; j < w->adj_start[h + 1]; j++) {
				struct work_bond *o = &w->bond[w->adj[j]];
				if (o == bond || o->type != WORK_SINGLE || o->gone || o->direction != MOL_DIR_NONE ||
				    w->atom[work_other_end(o, h)].z == 1)
					continue;
				o->direction = (uint8_t)(o->a == h ? 3 - up : up);
				break;
			}
		}
		w->atom[i].gone = true;
		bond->gone = true;
		n_gone++;
	}
	if (n_gone)
		work_build_adjacency(w);
	return 0;
}

struct mol *mol_add_hydrogens(const struct mol *m, struct arena *a)
{
	struct mol *out = arena_alloc(a, sizeof *out);
	int32_t n_h = 0;
	*out = *m;
	for (int32_t i = 0; i < m->n_atom; i++)
		n_h += m->atom[i].n_h;
	size_t n = (size_t)(m->n_atom + n_h), nb = (size_t)(m->n_bond + n_h);
	out->atom = arena_calloc(a, n + 1, sizeof *out->atom);
	out->bond = arena_calloc(a, nb + 1, sizeof *out->bond);
	out->adj_start = arena_alloc(a, sizeof *out->adj_start * (n + 1));
	out->adj_atom = arena_alloc(a, sizeof *out->adj_atom * (2 * nb + 1));
	out->adj_bond = arena_alloc(a, sizeof *out->adj_bond * (2 * nb + 1));
	out->center = arena_alloc(a, sizeof *out->center * (size_t)(m->n_center + 1));
	out->cistrans = arena_alloc(a, sizeof *out->cistrans * (size_t)(m->n_cistrans + 1));
	memcpy(out->atom, m->atom, sizeof *m->atom * (size_t)m->n_atom);
	out->n_atom = (int32_t)n;
	out->n_bond = (int32_t)nb;
	int32_t *bond_place = arena_alloc(a, sizeof *bond_place * (size_t)(m->n_bond + 1));
	int32_t *first_h = arena_alloc(a, sizeof *first_h * (size_t)(m->n_atom + 1));
	int32_t h = m->n_atom, k = 0, at = 0;
	for (int32_t i = 0; i < m->n_atom; i++) {
		first_h[i] = h;
		for (int q = 0; q < m->atom[i].n_h; q++)
			out->atom[h++] = (struct mol_atom){
			    .z = 1, .degree = 1, .hybrid = MOL_HYB_S, .fragment = m->atom[i].fragment, .source = -1};
		out->atom[i].degree += m->atom[i].n_h;
		out->atom[i].n_h = 0;
	}
	/* Bonds stay sorted: those of atom i to higher atoms, then those to its hydrogens. */
	for (int32_t i = 0, old = 0; i < m->n_atom; i++) {
		for (; old < m->n_bond && m->bond[old].a == i; old++) {
			bond_place[old] = k;
			out->bond[k++] = m->bond[old];
		}
		for (int q = 0; q < m->atom[i].n_h; q++)
			out->bond[k++] = (struct mol_bond){.a = i, .b = first_h[i] + q, .order = 1};
	}
	for (int32_t i = 0; i < m->n_atom; i++) {
		out->adj_start[i] = at;
		for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++) {
			out->adj_atom[at] = m->adj_atom[p];
			out->adj_bond[at++] = bond_place[m->adj_bond[p]];
		}
		for (int q = 0; q < m->atom[i].n_h; q++)
			out->adj_atom[at + q] = first_h[i] + q;
		at += m->atom[i].n_h;
	}
	for (int32_t b = 0; b < out->n_bond; b++) {
		int32_t i = out->bond[b].a, j = out->bond[b].b;
		if (j < m->n_atom)
			continue;
		int32_t end = i + 1 < m->n_atom ? out->adj_start[i + 1] : at;
		out->adj_bond[end - m->atom[i].n_h + (j - first_h[i])] = b;
	}
	for (int32_t i = m->n_atom; i < out->n_atom; i++)
		out->adj_start[i] = at + (i - m->n_atom);
	out->adj_start[n] = at + n_h;
	for (int32_t b = 0; b < out->n_bond; b++)
		if (out->bond[b].b >= m->n_atom) {
			int32_t p = out->adj_start[out->bond[b].b];
			out->adj_atom[p] = out->bond[b].a;
			out->adj_bond[p] = b;
		}
	for (int32_t c = 0; c < m->n_center; c++) {
		out->center[c] = m->center[c];
		int32_t i = m->center[c].atom;
		for (int q = 0; q < 4; q++)
			if (out->center[c].nbr[q] < 0 && m->atom[i].n_h == 1)
				out->center[c].nbr[q] = first_h[i];
	}
	for (int32_t c = 0; c < m->n_cistrans; c++) {
		out->cistrans[c] = m->cistrans[c];
		out->cistrans[c].bond = bond_place[m->cistrans[c].bond];
	}
	return out;
}
