/*
 * mol_rotor.c - the bonds that turn, and what is known of their turns.
 *
 * Beside MMFF94's own torsion terms there are a few preferences of molecules in crystals, which a force field in a
 * vacuum gets wrong (Brameld, Kuhn, Reuter and Stahl, J. Chem. Inf. Model. 48, 1, 2008, and references there). They
 * count in the search for a start alone.
 */
#include "mol_rotor.h"
#include "mol_dg.h"
#include "mol_mmff.h"

#include <string.h>

enum { WIDTH = 8, MAX_ATOM = 600 };
static const double PI = 3.14159265358979323846;

/* True if a third of a turn about the bond changes nothing: an atom with three equal ends beside k. */
static bool is_symmetric_top(const struct mol *m, int j, int k)
{
	int z = 0;
	if (m->atom[j].degree != 4)
		return false;
	for (int p = m->adj_start[j]; p < m->adj_start[j + 1]; p++) {
		const struct mol_atom *x = &m->atom[m->adj_atom[p]];
		if (m->adj_atom[p] == k)
			continue;
		if (x->degree != 1 || (z && x->z != z))
			return false;
		z = x->z;
	}
	return true;
}

static bool turns(const struct mol *m, const struct mol_bond *b, const struct mol_plane *plane)
{
	bool open = b->order == 2 && plane->side == MOL_FLAT; /* a double bond whose side nobody gave */

	const struct mol_atom *p = &m->atom[b->a], *q = &m->atom[b->b];
	return !b->in_ring && (b->order == 1 || open) && !b->aromatic && p->degree > 1 && q->degree > 1 &&
	       p->hybrid != MOL_SP && q->hybrid != MOL_SP && !is_symmetric_top(m, b->a, b->b) &&
	       !is_symmetric_top(m, b->b, b->a);
}

/* Atoms that hang on k when its bond to j is cut, k first; their number. */
static int32_t find_side(const struct mol *m, int j, int k, int32_t *list, uint8_t *seen)
{
	int32_t n = 0;
	memset(seen, 0, (size_t)m->n_atom);
	seen[j] = seen[k] = 1;
	list[n++] = k;
	for (int32_t h = 0; h < n; h++)
		for (int p = m->adj_start[list[h]]; p < m->adj_start[list[h] + 1]; p++)
			if (!seen[m->adj_atom[p]]) {
				seen[m->adj_atom[p]] = 1;
				list[n++] = m->adj_atom[p];
			}
	return n;
}

/* ---- what crystals prefer ------------------------------------------------------------ */

static bool is_end_oxygen(const struct mol_atom *a)
{
	return a->z == 8 && a->degree == 1;
}

static bool has_end_oxygen(const struct mol *m, int i)
{
	for (int p = m->adj_start[i]; p < m->adj_start[i + 1]; p++)
		if (is_end_oxygen(&m->atom[m->adj_atom[p]]))
			return true;
	return false;
}

/* V1 and V2 of the torsion i-j-k-l, j and k the bond that turns. False: nothing is known of it. */
static bool find_preference(const struct mol *m, int i, int j, int k, int l, double v_kcal[3])
{
	const struct mol_atom *a = &m->atom[i], *b = &m->atom[j], *c = &m->atom[k], *d = &m->atom[l];
	bool aryl = b->aromatic && b->z == 6 && a->aromatic;
	v_kcal[0] = v_kcal[1] = v_kcal[2] = 0;
	if (aryl && c->z == 8 && d->z == 6 && d->hybrid == MOL_SP3)
		v_kcal[1] = 1.5; /* alkyl ethers lie in the ring's plane */
	else if (aryl && c->z == 6 && c->hybrid == MOL_SP2 && is_end_oxygen(d))
		v_kcal[1] = 1.5; /* so do carbonyl groups */
	else if (b->z == 7 && b->hybrid == MOL_SP2 && b->degree == 3 && !b->in_ring && a->z == 6 && c->z == 6 &&
		 c->hybrid == MOL_SP3 && d->z == 6 && has_end_oxygen(m, i))
		v_kcal[1] = -2; /* alkyl groups stand off the plane of their amide */
	else if (b->z == 16 && b->degree == 4 && a->z == 6 && (c->z == 6 || c->z == 7) && !c->aromatic && d->z == 6)
		v_kcal[1] = -2; /* and of their sulphonamide or sulphone */
	if (b->aromatic && b->z == 6 && a->z == 16 && a->aromatic && (c->z == 6 || c->z == 16) && is_end_oxygen(d))
		v_kcal[0] = -6; /* oxygen near a thiophene's sulphur */
	return v_kcal[0] != 0 || v_kcal[1] != 0;
}

static void add_preferences(const struct mol *m, struct mol_rotor *r)
{
	for (int x = m->adj_start[r->j]; x < m->adj_start[r->j + 1]; x++)
		for (int y = m->adj_start[r->k]; y < m->adj_start[r->k + 1]; y++) {
			int i = m->adj_atom[x], l = m->adj_atom[y];
			struct mol_rotor_term *t = &r->term[r->n_term];
			if (i == r->k || l == r->j)
				continue;
			*t = (struct mol_rotor_term){.atom = {i, r->j, r->k, l}};
			if (find_preference(m, i, r->j, r->k, l, t->v_kcal) ||
			    find_preference(m, l, r->k, r->j, i, t->v_kcal))
				r->n_term++;
		}
}

/* ---- rotors ------------------------------------------------------------------------- */

static void add_rotor(struct mol_rotors *w, const struct mmff *f, const struct mol_plane *p, int bond, int32_t *list,
		      uint8_t *seen, struct arena *a)
{
	const struct mol *m = w->m;
	struct mol_rotor *r = &w->rotor[w->n++];
	r->j = m->bond[bond].a, r->k = m->bond[bond].b;
	memcpy(r->ref, p->ref, sizeof r->ref);
	int32_t n = find_side(m, r->j, r->k, list, seen);
	if (2 * n > m->n_atom) {
		int32_t j = r->j, ref = r->ref[0];
		r->j = r->k, r->k = j;
		r->ref[0] = r->ref[1], r->ref[1] = ref;
		n = find_side(m, r->j, r->k, list, seen);
	}
	r->held = p->side == MOL_CIS || p->side == MOL_TRANS;
	r->at_rad = p->side == MOL_TRANS ? PI : 0;
	r->n_moved = n - 1;
	r->moved = arena_alloc(a, (size_t)n * sizeof *r->moved);
	memcpy(r->moved, list + 1, (size_t)(n - 1) * sizeof *r->moved);
	r->term = arena_alloc(a, 2 * (size_t)m->atom[r->j].degree * (size_t)m->atom[r->k].degree * sizeof *r->term);
	for (int t = 0; t < f->n_torsion; t++) {
		const struct mmff_torsion *x = &f->torsion[t];
		bool same = x->atom[1] == r->j && x->atom[2] == r->k;
		if (!same && (x->atom[1] != r->k || x->atom[2] != r->j))
			continue;
		struct mol_rotor_term *y = &r->term[r->n_term++];
		for (int q = 0; q < 4; q++)
			y->atom[q] = x->atom[same ? q : 3 - q];
		memcpy(y->v_kcal, x->v_kcal, sizeof y->v_kcal);
	}
	add_preferences(m, r);
}

static void copy_pairs(struct mol_rotors *w, const struct mmff_pairs *q, struct arena *a)
{
	size_t n_cell = (size_t)w->n_atom * (size_t)w->np;
	w->inv_r_per_ang = arena_alloc(a, n_cell * sizeof(float));
	w->depth_kcal = arena_calloc(a, n_cell, sizeof(float));
	w->charge_kcal = arena_calloc(a, n_cell, sizeof(float));
	for (size_t c = 0; c < n_cell; c++)
		w->inv_r_per_ang[c] = 1;
	for (int i = 0; i < w->n_atom; i++)
		for (int j = 0; j < i; j++) {
			int64_t from = q->row[i] + j;
			int x = i * w->np + j, y = j * w->np + i;
			w->inv_r_per_ang[x] = w->inv_r_per_ang[y] = (float)q->inv_r_per_ang[from];
			w->depth_kcal[x] = w->depth_kcal[y] = (float)q->depth_kcal[from];
			w->charge_kcal[x] = w->charge_kcal[y] = (float)q->charge_kcal[from];
		}
}

struct mol_rotors *mol_rotors_new(const struct mol *m, const struct mol_ff *ff, struct arena *a)
{
	struct mol_rotors *w = arena_calloc(a, 1, sizeof *w);
	w->m = m;
	if (ff->kind == MOL_FF_UFF || m->n_atom > MAX_ATOM)
		return w;
	const struct mmff *f = (const struct mmff *)ff;
	struct mol_ideal *id = mol_ideal_new(m, a);
	size_t n = (size_t)m->n_atom;
	w->n_atom = m->n_atom;
	w->np = (m->n_atom + WIDTH - 1) / WIDTH * WIDTH;
	w->rotor = arena_calloc(a, (size_t)m->n_bond + 1, sizeof *w->rotor);
	w->every = arena_alloc(a, (n + 1) * sizeof *w->every);
	uint8_t *seen = arena_alloc(a, n + 1);
	for (int b = 0; b < m->n_bond; b++)
		if (turns(m, &m->bond[b], &id->plane[b]))
			add_rotor(w, f, &id->plane[b], b, w->every, seen, a);
	if (!w->n)
		return w;
	for (int i = 0; i < w->n_atom; i++)
		w->every[i] = i;
	copy_pairs(w, f->pairs, a);
	w->place = arena_alloc(a, 3 * (size_t)w->np * sizeof(float));
	w->fixed = arena_alloc(a, 3 * (size_t)w->np * sizeof(float));
	w->turned = arena_alloc(a, 3 * n * sizeof(float));
	w->settled = arena_alloc(a, (size_t)w->n * sizeof *w->settled);
	w->best = arena_alloc(a, 3 * n * sizeof(double));
	return w;
}
