/*
 * mol_aromatic.c - aromaticity in RDKit's model (The RDKit Book, "The RDKit Aromaticity Model").
 *
 * Each atom of a ring gives a number of electrons or is no candidate; rings of candidates that are fused by bonds
 * are tried alone and then in connected groups of up to six: 4n+2 electrons make the atoms aromatic, and the bonds
 * that lie in one ring of the group only.
 */
#include "mol_work.h"

#include <string.h>

#define MAX_FUSED 6
#define MAX_RING 24          /* larger rings are tried alone only */
#define MAX_GROUPS (1 << 20) /* groups tried in one system: counted work */
#define MANY_RINGS 300       /* of a system: only pairs are tried, as RDKit does */

enum donor { DONOR_NONE, DONOR_VACANT, DONOR_ONE, DONOR_TWO, DONOR_ANY };

static bool is_multiple(const struct work *w, int32_t i, bool cyclic, int32_t *who)
{
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++) {
		const struct work_bond *b = &w->bond[w->adj[k]];
		if ((b->n_ring > 0) == cyclic && work_twice_order(b, i) >= 4) {
			*who = work_other_end(b, i);
			return true;
		}
	}
	return false;
}

int work_pi_electrons(const struct work *w, int32_t i)
{
	const struct work_atom *a = &w->atom[i];
	int valence = mol_element_valences(a->z)[0], degree = work_degree(w, i) + work_n_h(w, i);
	if (valence <= 1)
		return -1;
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
		degree -= work_twice_order(&w->bond[w->adj[k]], i) == 0;
	if (degree > 3)
		return -1;
	int lone = mol_element_outer(a->z) - valence - a->charge;
	int n = valence - degree + (lone > 0 ? lone : 0) - a->n_radical;
	if (n > 1 && a->explicit_valence - work_degree(w, i) > 1)
		n = 1;
	return n;
}

static bool takes_electrons(int z, int from)
{
	int a = mol_element_outer(z), b = mol_element_outer(from);
	return a > b || (a == b && z < from);
}

static enum donor donor_of(const struct work *w, int32_t i)
{
	const struct work_atom *a = &w->atom[i];
	int32_t who = -1;
	if (!a->z)
		return is_multiple(w, i, true, &who) ? DONOR_ONE : DONOR_ANY;
	int n = work_pi_electrons(w, i);
	if (n < 0)
		return DONOR_NONE;
	if (n == 0) {
		if (is_multiple(w, i, false, &who))
			return DONOR_VACANT;
		return is_multiple(w, i, true, &who) ? DONOR_ONE : DONOR_NONE;
	}
	if (n == 1) {
		if (is_multiple(w, i, false, &who))
			return takes_electrons(w->atom[who].z, a->z) ? DONOR_VACANT : DONOR_ONE;
		int degree = work_degree(w, i) + a->n_h;
		for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
			degree -= work_twice_order(&w->bond[w->adj[k]], i) == 0;
		if (a->explicit_valence != degree)
			return DONOR_ONE;
		return a->charge == 1 ? DONOR_VACANT : DONOR_NONE;
	}
	if (is_multiple(w, i, false, &who) && takes_electrons(w->atom[who].z, a->z))
		n--;
	return n % 2 ? DONOR_ONE : DONOR_TWO;
}

static bool is_candidate(const struct work *w, int32_t i, enum donor d)
{
	const struct work_atom *a = &w->atom[i];
	if (d == DONOR_NONE || (a->z > 18 && a->z != 34 && a->z != 52))
		return false;
	int valence = mol_element_valences(a->z)[0], z = a->z - a->charge;
	if (valence > 0 && a->explicit_valence + a->implicit_h > mol_element_valences(z < 0 ? 0 : z > 118 ? 118 : z)[0])
		return false;
	if (a->n_radical && (a->z != 6 || a->charge))
		return false;
	if (a->explicit_valence - work_degree(w, i) > 1) {
		int n_multiple = 0;
		for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
			n_multiple += w->bond[w->adj[k]].type == WORK_DOUBLE || w->bond[w->adj[k]].type == WORK_TRIPLE;
		if (n_multiple > 1)
			return false;
	}
	return true;
}

struct fused { /* rings of candidates and how they are fused */
	struct work *w;
	const enum donor *donor;
	int32_t n, *ring;            /* numbers of candidate rings */
	int32_t *start, *nbr;        /* neighbours by shared bonds */
	int32_t *count, *bond_count; /* per atom, per bond: rings of the group that hold it */
	int32_t group[MAX_FUSED], n_group;
	int32_t *scratch; /* [MAX_FUSED, n]: what may join at each depth */
	uint8_t *bond_done;
	int32_t n_bond_done;
	int64_t n_tried;
};

static void mark_group(struct fused *f)
{
	struct work *w = f->w;
	for (int pass = 0; pass < 2; pass++)
		for (int32_t g = 0; g < f->n_group; g++) {
			int32_t ring = f->ring[f->group[g]];
			for (int32_t p = w->ring_start[ring]; p < w->ring_start[ring + 1]; p++)
				if (pass == 0) {
					w->atom[w->ring_atom[p]].aromatic = true;
					f->bond_count[w->ring_bond[p]]++;
				} else if (f->bond_count[w->ring_bond[p]] == 1 && !w->bond[w->ring_bond[p]].aromatic) {
					w->bond[w->ring_bond[p]].aromatic = true;
				}
		}
	for (int32_t g = 0; g < f->n_group; g++) {
		int32_t ring = f->ring[f->group[g]];
		for (int32_t p = w->ring_start[ring]; p < w->ring_start[ring + 1]; p++) {
			int32_t b = w->ring_bond[p];
			if (f->bond_count[b] == 1 && !f->bond_done[b]) {
				f->bond_done[b] = 1;
				f->n_bond_done++;
			}
			f->bond_count[b] = 0;
		}
	}
}

/* Hueckel's rule on the atoms that lie in one or two rings of the group. */
static bool is_aromatic(struct fused *f)
{
	struct work *w = f->w;
	int low = 0, high = 0, n_any = 0;
	for (int32_t g = 0; g < f->n_group; g++) {
		int32_t ring = f->ring[f->group[g]];
		for (int32_t p = w->ring_start[ring]; p < w->ring_start[ring + 1]; p++)
			f->count[w->ring_atom[p]]++;
	}
	for (int32_t g = 0; g < f->n_group; g++) {
		int32_t ring = f->ring[f->group[g]];
		for (int32_t p = w->ring_start[ring]; p < w->ring_start[ring + 1]; p++) {
			int32_t i = w->ring_atom[p];
			if (f->count[i] == 1 || f->count[i] == 2)
				switch (f->donor[i]) {
				case DONOR_ONE:
					low++;
					high++;
					break;
				case DONOR_TWO:
					low += 2;
					high += 2;
					break;
				case DONOR_ANY:
					n_any++;
					low++;
					high += 2;
					break;
				default:
					break;
				}
			f->count[i] = 0;
		}
	}
	if (n_any > 1)
		return false;
	if (high >= 6) {
		for (int n = low; n <= high; n++)
			if ((n - 2) % 4 == 0)
				return true;
		return false;
	}
	return high == 2;
}

/*
 * All connected groups of `size` rings whose first is the lowest: grown by neighbours that are not excluded, each
 * tried in or out in turn (depth at most six).
 */
static void grow(struct fused *f, int32_t size, const int32_t *option, int32_t n_option, uint8_t *barred)
{
	if (f->n_group == size) {
		f->n_tried++;
		if (is_aromatic(f))
			mark_group(f);
		return;
	}
	int32_t n_barred = 0;
	for (int32_t o = 0; o < n_option && f->n_tried < MAX_GROUPS; o++, n_barred++) {
		int32_t ring = option[o], n_next = 0;
		barred[ring] = 1;
		int32_t *next = f->scratch + (size_t)f->n_group * (size_t)f->n;
		for (int32_t q = o + 1; q < n_option; q++)
			next[n_next++] = option[q];
		int32_t n_old = n_next;
		for (int32_t q = f->start[ring]; q < f->start[ring + 1]; q++) {
			int32_t r = f->nbr[q];
			bool known = barred[r] || r < f->group[0];
			for (int32_t p = 0; p < n_old && !known; p++)
				known = next[p] == r;
			if (!known)
				next[n_next++] = r;
		}
		f->group[f->n_group++] = ring;
		grow(f, size, next, n_next, barred);
		f->n_group--;
	}
	for (int32_t o = 0; o < n_barred; o++)
		barred[option[o]] = 0;
}

static void try_system(struct fused *f, const int32_t *member, int32_t n_member, uint8_t *barred)
{
	struct work *w = f->w;
	int32_t n_bond = 0;
	f->n_bond_done = 0;
	for (int32_t m = 0; m < n_member; m++) {
		int32_t ring = f->ring[member[m]];
		for (int32_t p = w->ring_start[ring]; p < w->ring_start[ring + 1]; p++)
			n_bond += f->bond_count[w->ring_bond[p]]++ == 0;
	}
	for (int32_t m = 0; m < n_member; m++) {
		int32_t ring = f->ring[member[m]];
		for (int32_t p = w->ring_start[ring]; p < w->ring_start[ring + 1]; p++)
			f->bond_count[w->ring_bond[p]] = 0;
	}
	for (int32_t size = 1;
	     size <= (n_member > MANY_RINGS ? 2 : MAX_FUSED) && size <= n_member && f->n_bond_done < n_bond; size++)
		for (int32_t m = 0; m < n_member && f->n_tried < MAX_GROUPS; m++) {
			f->group[0] = member[m];
			f->n_group = 0;
			grow(f, size, &member[m], 1, barred);
		}
}

/* Neighbours of candidate rings: those that share one bond and no more, if neither is too large. */
static void find_neighbours(struct fused *f)
{
	struct work *w = f->w;
	int32_t *head = arena_alloc(w->arena, sizeof *head * (size_t)(w->n_bond + 1)), n_pair = 0, cap = 0;
	memset(head, -1, sizeof *head * (size_t)(w->n_bond + 1));
	for (int32_t c = 0; c < f->n; c++)
		cap += w->ring_start[f->ring[c] + 1] - w->ring_start[f->ring[c]];
	int32_t *next = arena_alloc(w->arena, sizeof *next * (size_t)(cap + 1)), n = 0;
	int32_t *who = arena_alloc(w->arena, sizeof *who * (size_t)(cap + 1));
	int32_t *n_shared = arena_calloc(w->arena, (size_t)f->n + 1, sizeof *n_shared);
	for (int32_t c = 0; c < f->n; c++) {
		int32_t ring = f->ring[c];
		if (w->ring_start[ring + 1] - w->ring_start[ring] > MAX_RING)
			continue;
		for (int32_t p = w->ring_start[ring]; p < w->ring_start[ring + 1]; p++) {
			who[n] = c;
			next[n] = head[w->ring_bond[p]];
			head[w->ring_bond[p]] = n++;
		}
	}
	for (int pass = 0; pass < 2; pass++) {
		if (pass) {
			f->nbr = arena_alloc(w->arena, sizeof *f->nbr * (size_t)(n_pair + 1));
			n_pair = 0;
		}
		for (int32_t c = 0; c < f->n; c++) {
			int32_t ring = f->ring[c];
			f->start[c] = n_pair;
			if (w->ring_start[ring + 1] - w->ring_start[ring] > MAX_RING)
				continue;
			for (int32_t p = w->ring_start[ring]; p < w->ring_start[ring + 1]; p++)
				for (int32_t q = head[w->ring_bond[p]]; q >= 0; q = next[q])
					n_shared[who[q]]++;
			for (int32_t p = w->ring_start[ring]; p < w->ring_start[ring + 1]; p++)
				for (int32_t q = head[w->ring_bond[p]]; q >= 0; q = next[q]) {
					if (who[q] != c && n_shared[who[q]] == 1) {
						if (pass)
							f->nbr[n_pair] = who[q];
						n_pair++;
					}
				}
			for (int32_t p = w->ring_start[ring]; p < w->ring_start[ring + 1]; p++)
				for (int32_t q = head[w->ring_bond[p]]; q >= 0; q = next[q])
					n_shared[who[q]] = 0;
		}
		f->start[f->n] = n_pair;
	}
}

void work_set_aromaticity(struct work *w)
{
	struct fused f = {.w = w};
	size_t n = (size_t)w->n_atom + 1;
	if (!w->n_ring)
		return;
	enum donor *donor = arena_alloc(w->arena, sizeof *donor * n);
	uint8_t *candidate = arena_calloc(w->arena, n, 1); /* 0 unknown, 1 no, 2 yes */
	f.ring = arena_alloc(w->arena, sizeof *f.ring * (size_t)w->n_ring);
	for (int32_t k = 0; k < w->n_ring; k++) {
		bool good = true, dummies = true;
		for (int32_t p = w->ring_start[k]; p < w->ring_start[k + 1]; p++) {
			int32_t i = w->ring_atom[p];
			if (!candidate[i]) {
				donor[i] = donor_of(w, i);
				candidate[i] = is_candidate(w, i, donor[i]) ? 2 : 1;
			}
			good &= candidate[i] == 2;
			dummies &= w->atom[i].z == 0;
		}
		if (good && !dummies)
			f.ring[f.n++] = k;
	}
	if (!f.n)
		return;
	f.donor = donor;
	f.start = arena_alloc(w->arena, sizeof *f.start * (size_t)(f.n + 1));
	f.scratch = arena_alloc(w->arena, sizeof *f.scratch * MAX_FUSED * (size_t)f.n);
	f.count = arena_calloc(w->arena, n, sizeof *f.count);
	f.bond_count = arena_calloc(w->arena, (size_t)w->n_bond + 1, sizeof *f.bond_count);
	f.bond_done = arena_calloc(w->arena, (size_t)w->n_bond + 1, 1);
	find_neighbours(&f);
	uint8_t *barred = arena_calloc(w->arena, (size_t)f.n + 1, 1),
		*seen = arena_calloc(w->arena, (size_t)f.n + 1, 1);
	int32_t *member = arena_alloc(w->arena, sizeof *member * (size_t)f.n);
	for (int32_t c = 0; c < f.n; c++) {
		int32_t n_member = 0;
		if (seen[c])
			continue;
		seen[c] = 1;
		member[n_member++] = c;
		for (int32_t m = 0; m < n_member; m++)
			for (int32_t q = f.start[member[m]]; q < f.start[member[m] + 1]; q++)
				if (!seen[f.nbr[q]]) {
					seen[f.nbr[q]] = 1;
					member[n_member++] = f.nbr[q];
				}
		f.n_tried = 0;
		try_system(&f, member, n_member, barred);
	}
}
