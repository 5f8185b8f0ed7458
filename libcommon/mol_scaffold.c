/*
 * mol_scaffold.c - Bemis-Murcko scaffold (J. Med. Chem. 1996, 2887), as RDKit cuts it: rings, what links them, and
 * atoms bound to either by a double bond. A centre that loses a neighbour loses its tag, a double bond whose slash
 * stood on a bond that goes loses its side; what remains is judged anew on the scaffold.
 */
#include "mol_canon.h"
#include "mol_work.h"

#include <string.h>

/* Atoms that are left when chains are eaten up from their ends. */
static bool *find_kept(const struct mol *m, struct arena *a)
{
	size_t n = (size_t)m->n_atom + 1;
	bool *kept = arena_alloc(a, n);
	int32_t *degree = arena_alloc(a, sizeof *degree * n), *queue = arena_alloc(a, sizeof *queue * n), tail = 0;
	for (int32_t i = 0; i < m->n_atom; i++) {
		kept[i] = true;
		degree[i] = m->atom[i].degree;
		if (degree[i] <= 1)
			queue[tail++] = i;
	}
	for (int32_t head = 0; head < tail; head++) {
		int32_t i = queue[head];
		kept[i] = false;
		for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++) {
			int32_t j = m->adj_atom[p];
			if (kept[j] && --degree[j] == 1)
				queue[tail++] = j;
		}
	}
	bool *core = arena_alloc(a, n);
	memcpy(core, kept, n);
	for (int32_t k = 0; k < m->n_bond; k++) {
		const struct mol_bond *b = &m->bond[k];
		if (b->order == 2 && !b->aromatic && core[b->a] != core[b->b])
			kept[b->a] = kept[b->b] = true;
	}
	return kept;
}

/* What takes the place of a neighbour that goes: an aromatic heteroatom has one hydrogen more, others what their
 * valence asks for. */
static void give_hydrogen(struct work_atom *a, int order)
{
	if (a->aromatic && a->z != 6) {
		a->n_h = (int16_t)(a->n_h + order);
	} else {
		a->n_h = 0;
		a->no_implicit = false;
	}
}

/* The kept atoms of m as a molecule in the making, with stereo as far as it is still given. */
static void build_work(struct work *w, const struct mol *m, const bool *kept, int32_t *place)
{
	w->atom = arena_calloc(w->arena, (size_t)m->n_atom + 1, sizeof *w->atom);
	w->bond = arena_calloc(w->arena, (size_t)m->n_bond + 1, sizeof *w->bond);
	int32_t *bond_place = arena_alloc(w->arena, sizeof *bond_place * (size_t)(m->n_bond + 1));
	bool *lost = arena_calloc(w->arena, (size_t)m->n_atom + 1, 1);
	bool *slashed = arena_calloc(w->arena, (size_t)m->n_atom + 1, 1);
	for (int32_t i = 0; i < m->n_atom; i++) {
		const struct mol_atom *a = &m->atom[i];
		place[i] = -1;
		if (!kept[i])
			continue;
		place[i] = w->n_atom;
		w->atom[w->n_atom++] = (struct work_atom){.z = a->z,
							  .hybrid = a->hybrid,
							  .aromatic = a->aromatic,
							  .no_implicit = true,
							  .charge = a->charge,
							  .isotope = a->isotope,
							  .map = -1,
							  .n_h = a->n_h,
							  .n_radical = a->n_radical,
							  .source = i};
	}
	for (int32_t k = 0; k < m->n_bond; k++) {
		const struct mol_bond *b = &m->bond[k];
		if (kept[b->a] && kept[b->b]) {
			bond_place[k] = w->n_bond;
			w->bond[w->n_bond++] = (struct work_bond){.a = place[b->a],
								  .b = place[b->b],
								  .type = b->order,
								  .aromatic = b->aromatic,
								  .in_ring = b->in_ring,
								  .conjugated = b->conjugated};
			if (b->direction)
				slashed[b->a] = slashed[b->b] = true;
			continue;
		}
		bond_place[k] = -1;
		for (int end = 0; end < 2; end++) {
			int32_t i = end ? b->b : b->a;
			if (kept[i]) {
				give_hydrogen(&w->atom[place[i]], b->order);
				lost[i] = true;
			}
		}
	}
	work_build_adjacency(w);
	for (int32_t c = 0; c < m->n_center; c++) {
		const struct mol_center *f = &m->center[c];
		int32_t i = place[f->atom], n_swap = 0, order[4];
		if (i < 0 || lost[f->atom])
			continue;
		for (int q = 0; q < 4; q++) {
			order[q] = INT32_MAX;
			for (int32_t p = w->adj_start[i]; p < w->adj_start[i + 1]; p++)
				if (f->nbr[q] >= 0 && work_other_end(&w->bond[w->adj[p]], i) == place[f->nbr[q]])
					order[q] = p;
		}
		for (int x = 0; x < 4; x++)
			for (int y = x + 1; y < 4; y++)
				n_swap += order[x] > order[y];
		w->atom[i].tag = n_swap & 1 ? MOL_CHI_CW : MOL_CHI_CCW;
	}
	for (int32_t c = 0; c < m->n_cistrans; c++) {
		const struct mol_cistrans *f = &m->cistrans[c];
		if (bond_place[f->bond] < 0 || !slashed[f->atom[0]] || !slashed[f->atom[1]])
			continue;
		struct work_bond *o = &w->bond[bond_place[f->bond]];
		bool same = o->a == place[f->atom[0]];
		o->side[0] = place[f->nbr[same ? 0 : 1]];
		o->side[1] = place[f->nbr[same ? 1 : 0]];
		o->cis = f->cis;
		o->sided = true;
	}
}

int mol_scaffold(const struct mol *m, struct arena *a, const char **smiles, struct err *e)
{
	struct work w = {.arena = a, .text = "", .lenient = true};
	*smiles = "";
	if (!m->n_ring)
		return 0;
	int32_t *place = arena_alloc(a, sizeof *place * (size_t)(m->n_atom + 1));
	build_work(&w, m, find_kept(m, a), place);
	bool stereo = false;
	work_assign_valence(&w);
	for (int32_t i = 0; i < w.n_atom; i++)
		stereo |= w.atom[i].tag != MOL_CHI_NONE;
	for (int32_t k = 0; k < w.n_bond; k++)
		stereo |= w.bond[k].sided;
	if (stereo) {
		int code = work_find_rings(&w);
		if (!code)
			code = work_set_stereo(&w);
		if (code)
			return err_set(e, code, "the scaffold's stereo cannot be told");
	} else {
		w.ring_start = arena_calloc(a, 1, sizeof *w.ring_start);
	}
	*smiles = mol_canonical_smiles(work_to_mol(&w, ""), true, a, NULL);
	return 0;
}
