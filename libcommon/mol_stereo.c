/*
 * mol_stereo.c - which chirality tags and which slashes mean something: RDKit's (older) stereo perception.
 *
 * A tag stays on a tetrahedral centre with neighbours of different rank, or as cis/trans mark about a ring; a double
 * bond has a side when its ends have slashes and unlike substituents and no ring of fewer than eight atoms holds it.
 * Stereo once found ranks atoms further, which may make more of them centres.
 */
#include "mol_work.h"

#include <string.h>

static bool is_tetrahedral(const struct work_atom *a)
{
	return a->tag == MOL_CHI_CW || a->tag == MOL_CHI_CCW;
}

static int32_t shared_bonds(const struct work *w, int32_t r, int32_t s)
{
	int32_t n = 0;
	for (int32_t p = w->ring_start[r]; p < w->ring_start[r + 1]; p++)
		for (int32_t q = w->ring_start[s]; q < w->ring_start[s + 1]; q++)
			n += w->ring_bond[p] == w->ring_bond[q];
	return n;
}

static bool ring_has(const struct work *w, int32_t r, int32_t i)
{
	for (int32_t p = w->ring_start[r]; p < w->ring_start[r + 1]; p++)
		if (w->ring_atom[p] == i)
			return true;
	return false;
}

static bool in_three_ring(const struct work *w, int32_t i)
{
	for (int32_t r = 0; r < w->n_ring; r++)
		if (w->ring_start[r + 1] - w->ring_start[r] == 3 && ring_has(w, r, i))
			return true;
	return false;
}

/* Three ring bonds, and each ring of the atom shares two bonds with another of them. */
static bool is_bridgehead(const struct work *w, int32_t i)
{
	int32_t ring[16], n = 0, n_bond = 0;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
		n_bond += w->bond[w->adj[k]].n_ring > 0;
	if (w->atom[i].n_ring < 2 || n_bond < 3)
		return false;
	for (int32_t r = 0; r < w->n_ring && n < 16; r++)
		if (ring_has(w, r, i))
			ring[n++] = r;
	for (int32_t p = 0; p < n; p++) {
		bool overlaps = false;
		for (int32_t q = 0; q < n && !overlaps; q++)
			overlaps = p != q && shared_bonds(w, ring[p], ring[q]) >= 2;
		if (!overlaps)
			return false;
	}
	return true;
}

static bool is_legal_center(const struct work *w, int32_t i)
{
	const struct work_atom *a = &w->atom[i];
	int degree = 0;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
		degree += w->bond[w->adj[k]].type != WORK_ZERO;
	int total = degree + work_n_h(w, i);
	if (total > 4 || total < 3)
		return false;
	if (degree < 3 && a->z != 15 && a->z != 33)
		return false;
	if (degree != 3 || work_n_h(w, i) == 1)
		return true;
	switch (a->z) {
	case 7:
		return in_three_ring(w, i) || is_bridgehead(w, i);
	case 15:
	case 33:
		return true;
	case 16:
	case 34:
		return a->explicit_valence == 4 || (a->explicit_valence == 3 && a->charge == 1);
	default:
		return false;
	}
}

/* R or S of a tagged centre, 0 when two neighbours are alike. */
static uint8_t cip_code(const struct work *w, int32_t i)
{
	int32_t nbr[4], n = 0, n_swap = 0;
	if (!is_legal_center(w, i))
		return 0;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
		if (w->bond[w->adj[k]].type != WORK_ZERO)
			nbr[n++] = work_other_end(&w->bond[w->adj[k]], i);
	for (int32_t p = 0; p < n; p++)
		for (int32_t q = p + 1; q < n; q++) {
			if (w->rank[nbr[p]] == w->rank[nbr[q]])
				return 0;
			n_swap += w->rank[nbr[p]] > w->rank[nbr[q]];
		}
	if (n == 3 && work_n_h(w, i) == 1)
		n_swap++;
	return (w->atom[i].tag == MOL_CHI_CW) == !(n_swap & 1) ? 'R' : 'S';
}

/* Direction of the bond as seen from atom i outwards. */
static int outward(const struct work_bond *b, int32_t i)
{
	return b->direction == MOL_DIR_NONE || b->a == i ? b->direction : 3 - b->direction;
}

/* The senior substituent of atom i beside double bond k and the direction to it; false when no side is given. */
static bool find_side(const struct work *w, int32_t i, int32_t k, int32_t *nbr, int *direction)
{
	int32_t who[2], n = 0;
	int dir[2];
	for (int32_t p = w->adj_start[i]; p < w->adj_start[i + 1]; p++) {
		const struct work_bond *b = &w->bond[w->adj[p]];
		if (w->adj[p] == k)
			continue;
		if (n == 2)
			return false;
		who[n] = work_other_end(b, i);
		dir[n++] = outward(b, i);
	}
	if (!n || (!dir[0] && (n < 2 || !dir[1])))
		return false;
	*nbr = who[0];
	*direction = dir[0];
	if (n == 1)
		return true;
	if (w->rank[who[0]] == w->rank[who[1]] || dir[0] == dir[1])
		return false;
	if (!dir[0])
		dir[0] = 3 - dir[1];
	if (!dir[1])
		dir[1] = 3 - dir[0];
	int best = w->rank[who[1]] > w->rank[who[0]];
	*nbr = who[best];
	*direction = dir[best];
	return true;
}

static bool may_have_side(const struct work *w, int32_t k)
{
	const struct work_bond *b = &w->bond[k];
	return !b->gone && b->type == WORK_DOUBLE && !b->aromatic && (!b->n_ring || b->min_ring >= 8);
}

/* The senior substituent of atom i beside bond k in *senior. False when the two are alike. */
static bool find_senior(const struct work *w, int32_t i, int32_t k, int32_t *senior)
{
	int32_t n = 0;
	*senior = -1;
	for (int32_t p = w->adj_start[i]; p < w->adj_start[i + 1]; p++) {
		int32_t j = work_other_end(&w->bond[w->adj[p]], i);
		if (w->adj[p] == k)
			continue;
		if (++n > 2 || (*senior >= 0 && w->rank[j] == w->rank[*senior]))
			return false;
		if (*senior < 0 || w->rank[j] > w->rank[*senior])
			*senior = j;
	}
	return n > 0;
}

/* A side known from coordinates, in terms of the senior substituents. */
static bool set_known_side(struct work *w, int32_t k)
{
	struct work_bond *b = &w->bond[k];
	int32_t senior[2];
	if (!find_senior(w, b->a, k, &senior[0]) || !find_senior(w, b->b, k, &senior[1]))
		return false;
	for (int end = 0; end < 2; end++)
		if (b->side[end] != senior[end]) {
			b->side[end] = senior[end];
			b->cis = !b->cis;
		}
	b->stereo = b->cis ? MOL_STEREO_Z : MOL_STEREO_E;
	return true;
}

static bool set_side(struct work *w, int32_t k)
{
	struct work_bond *b = &w->bond[k];
	int dir_a, dir_b;
	if (b->sided)
		return set_known_side(w, k);
	if (!find_side(w, b->a, k, &b->side[0], &dir_a) || !find_side(w, b->b, k, &b->side[1], &dir_b))
		return false;
	b->cis = dir_a == dir_b;
	b->stereo = b->cis ? MOL_STEREO_Z : MOL_STEREO_E;
	return true;
}

/* Could a tag on this ring atom say which substituent is up? */
static bool is_ring_candidate(const struct work *w, int32_t i)
{
	const struct work_atom *a = &w->atom[i];
	int32_t out[8], in[8], n_out = 0, n_in = 0, n_in_rank = 0;
	if (!a->n_ring || work_degree(w, i) > 8)
		return false;
	if (a->z == 7 && work_degree(w, i) + work_n_h(w, i) == 3 && !in_three_ring(w, i) && !is_bridgehead(w, i))
		return false;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++) {
		const struct work_bond *b = &w->bond[w->adj[k]];
		if (b->n_ring)
			in[n_in++] = w->rank[work_other_end(b, i)];
		else
			out[n_out++] = w->rank[work_other_end(b, i)];
	}
	for (int32_t p = 0; p < n_in; p++) {
		bool known = false;
		for (int32_t q = 0; q < p; q++)
			known |= in[q] == in[p];
		n_in_rank += !known;
	}
	switch (n_out) {
	case 0:
		return (n_in == 4 && n_in_rank == 3) || (n_in == 3 && n_in_rank == 2);
	case 1:
		return n_in > n_in_rank;
	case 2:
		return out[0] != out[1];
	default:
		return false;
	}
}

/* Tagged ring atoms that another tagged atom of the same ring system answers to. */
static void find_ring_stereo(struct work *w)
{
	int32_t *queue = NULL, n_tag = 0;
	bool *seen = NULL;
	for (int32_t i = 0; i < w->n_atom; i++)
		n_tag += !w->atom[i].gone && is_tetrahedral(&w->atom[i]) && w->atom[i].n_ring;
	if (n_tag < 2)
		return;
	queue = arena_alloc(w->arena, sizeof *queue * (size_t)w->n_atom);
	seen = arena_calloc(w->arena, (size_t)w->n_atom, sizeof *seen);
	for (int32_t s = 0; s < w->n_atom; s++) {
		int32_t head = 0, tail = 0, n = 0;
		if (seen[s] || w->atom[s].gone || !w->atom[s].n_ring)
			continue;
		seen[s] = true;
		queue[tail++] = s;
		while (head < tail) {
			int32_t i = queue[head++];
			for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++) {
				const struct work_bond *b = &w->bond[w->adj[k]];
				int32_t j = work_other_end(b, i);
				if (b->n_ring && !seen[j]) {
					seen[j] = true;
					queue[tail++] = j;
				}
			}
		}
		for (int32_t p = 0; p < tail; p++)
			if (is_tetrahedral(&w->atom[queue[p]]) && is_ring_candidate(w, queue[p]))
				n++;
		if (n < 2)
			continue;
		for (int32_t p = 0; p < tail; p++)
			if (is_tetrahedral(&w->atom[queue[p]]) && is_ring_candidate(w, queue[p]))
				w->atom[queue[p]].ring_stereo = true;
	}
}

/* Slashes beside double bonds that have no side after all are forgotten. */
static void clean_directions(struct work *w)
{
	for (int32_t k = 0; k < w->n_bond; k++) {
		const struct work_bond *d = &w->bond[k];
		if (d->gone || d->type != WORK_DOUBLE || d->aromatic || d->stereo)
			continue;
		for (int end = 0; end < 2; end++) {
			int32_t i = end ? d->b : d->a;
			for (int32_t p = w->adj_start[i]; p < w->adj_start[i + 1]; p++) {
				struct work_bond *b = &w->bond[w->adj[p]];
				int32_t j = work_other_end(b, i);
				bool needed = false;
				for (int32_t q = w->adj_start[j]; q < w->adj_start[j + 1]; q++) {
					const struct work_bond *o = &w->bond[w->adj[q]];
					needed |= o->type == WORK_DOUBLE && !o->aromatic && o->stereo;
				}
				if (!needed)
					b->direction = MOL_DIR_NONE;
			}
		}
	}
}

/* Slashes at end i of double bond k; -1 when two of them put both substituents on one side. */
static int count_slashes(const struct work *w, int32_t i, int32_t k)
{
	int n = 0, seen = MOL_DIR_NONE;
	for (int32_t p = w->adj_start[i]; p < w->adj_start[i + 1]; p++) {
		int side = w->adj[p] == k ? MOL_DIR_NONE : outward(&w->bond[w->adj[p]], i);
		if (side == MOL_DIR_NONE)
			continue;
		if (side == seen)
			return -1;
		seen = side;
		n++;
	}
	return n;
}

/* A double bond with slashes at both ends, two of which contradict each other, is in no molecule. */
static int check_slashes(struct work *w)
{
	for (int32_t k = 0; k < w->n_bond; k++) {
		const struct work_bond *b = &w->bond[k];
		if (!may_have_side(w, k))
			continue;
		int n_a = count_slashes(w, b->a, k), n_b = count_slashes(w, b->b, k);
		int32_t i = n_a < 0 ? b->a : b->b;
		if (n_a && n_b && (n_a < 0 || n_b < 0))
			return work_refuse(w, "stereo", w->atom[i].column,
					   "slashes put both substituents of atom %d on one side of its double bond",
					   i + 1);
	}
	return 0;
}

int work_set_stereo(struct work *w)
{
	bool atoms = false, bonds = false;
	for (int32_t i = 0; i < w->n_atom; i++) {
		struct work_atom *a = &w->atom[i];
		if (is_tetrahedral(a) && a->hybrid != MOL_SP3 && a->hybrid != MOL_SP3D && a->hybrid != MOL_SP3D2)
			a->tag = MOL_CHI_NONE;
		atoms |= is_tetrahedral(a) && !a->gone;
	}
	for (int32_t k = 0; k < w->n_bond; k++)
		bonds |= !w->bond[k].gone && (w->bond[k].direction != MOL_DIR_NONE || w->bond[k].sided);
	if (!atoms && !bonds)
		return 0;
	int e = bonds ? check_slashes(w) : 0;
	if (e || (e = work_rank_atoms(w, false)))
		return e;
	for (bool changed = true; changed && !e;) {
		bool open = false;
		changed = false;
		for (int32_t i = 0; i < w->n_atom; i++) {
			struct work_atom *a = &w->atom[i];
			if (a->gone || !is_tetrahedral(a) || a->cip)
				continue;
			a->cip = cip_code(w, i);
			changed |= a->cip != 0;
			open |= a->cip == 0;
		}
		for (int32_t k = 0; k < w->n_bond && bonds; k++) {
			if (!may_have_side(w, k) || w->bond[k].stereo)
				continue;
			bool now = set_side(w, k);
			changed |= now;
			open |= !now;
		}
		if (!open)
			break;
		if (changed)
			e = work_rank_atoms(w, true);
	}
	if (e)
		return e;
	find_ring_stereo(w);
	for (int32_t i = 0; i < w->n_atom; i++) {
		struct work_atom *a = &w->atom[i];
		if (!a->gone && is_tetrahedral(a) && !a->cip && !a->ring_stereo)
			a->tag = MOL_CHI_NONE;
	}
	clean_directions(w);
	return 0;
}
