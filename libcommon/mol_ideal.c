/*
 * mol_ideal.c - ideal angles, flat rings, bonds that do not turn.
 *
 * Angles by hybridisation and ring size; around a planar centre they sum to
 * 360 degrees and inside a flat ring to its polygon's sum. Typical values from
 * Allen et al., J. Chem. Soc. Perkin Trans. 2 1987, S1.
 */
#include "mol_dg.h"

#include <math.h>

enum { MAX_FLAT_RING = 7 };
static const double DEG = 3.14159265358979323846 / 180;

int mol_ideal_ring(const struct mol_ideal *id, int i, int j, int k, int l)
{
	const struct mol *m = id->m;
	int best = -1, best_size = 0;
	for (int q = id->ring_at_start[j]; q < id->ring_at_start[j + 1]; q++) {
		int place = id->ring_at[q], r = id->ring_of[place];
		int start = m->ring_start[r], size = m->ring_start[r + 1] - start, at = place - start;
		const int32_t *ring = m->ring_atom + start;
		int next = (at + 1) % size, prev = (at + size - 1) % size;
		int beyond = -1;
		if (ring[prev] == i && ring[next] == k)
			beyond = ring[(at + 2) % size];
		else if (ring[next] == i && ring[prev] == k)
			beyond = ring[(at + size - 2) % size];
		else
			continue;
		if ((l < 0 || beyond == l) && (best < 0 || size < best_size))
			best = r, best_size = size;
	}
	return best;
}

static void index_rings(struct mol_ideal *id, struct arena *a)
{
	const struct mol *m = id->m;
	int n_place = m->n_ring ? m->ring_start[m->n_ring] : 0;
	id->ring_at_start = arena_calloc(a, (size_t)m->n_atom + 2, sizeof(int32_t));
	id->ring_at = arena_calloc(a, (size_t)n_place + 1, sizeof(int32_t));
	id->ring_of = arena_calloc(a, (size_t)n_place + 1, sizeof(int32_t));
	int32_t *start = id->ring_at_start;
	for (int p = 0; p < n_place; p++)
		start[m->ring_atom[p] + 2]++;
	for (int i = 0; i < m->n_atom; i++)
		start[i + 2] += start[i + 1];
	for (int r = 0; r < m->n_ring; r++)
		for (int p = m->ring_start[r]; p < m->ring_start[r + 1]; p++) {
			id->ring_of[p] = r;
			id->ring_at[start[m->ring_atom[p] + 1]++] = p;
		}
}

static bool planar_atom(const struct mol_atom *a)
{
	return a->hybrid == MOL_SP2 || a->aromatic;
}

static void find_flat_rings(struct mol_ideal *id, struct arena *a)
{
	const struct mol *m = id->m;
	id->ring_flat = arena_calloc(a, (size_t)m->n_ring + 1, sizeof(bool));
	for (int r = 0; r < m->n_ring; r++) {
		int start = m->ring_start[r], size = m->ring_start[r + 1] - start;
		bool flat = size <= 6, aromatic = true;
		for (int p = 0; p < size; p++) {
			int i = m->ring_atom[start + p], j = m->ring_atom[start + (p + 1) % size];
			int b = mol_bond_between(m, i, j);
			flat = flat && planar_atom(&m->atom[i]);
			aromatic = aromatic && b >= 0 && m->bond[b].aromatic;
		}
		id->ring_flat[r] = size == 3 || flat || (aromatic && size <= MAX_FLAT_RING);
	}
}

/* Inner angle of a ring of `size` at atom i, degrees, before a flat ring is closed. */
static double inner_angle_deg(const struct mol_atom *at, int size, bool flat)
{
	bool planar = planar_atom(at);
	switch (size) {
	case 3:
		return 60;
	case 4:
		return flat ? 90 : at->z == 16 ? 78 : 89;
	case 5:
		if (at->z == 16 || at->z == 34)
			return at->z == 16 ? 92 : 88;
		if (flat)
			return at->z == 8 ? 106.5 : 108;
		return planar ? 110 : at->z == 8 ? 108 : 104;
	case 6:
		if (at->z == 16 || at->z == 34)
			return flat ? 103 : 98;
		if (flat)
			return at->z == 7 && at->degree == 2 ? 117 : 120;
		return planar ? 120 : 111;
	default:
		if (at->hybrid == MOL_SP)
			return size < 12 ? 170 : 180;
		if (flat)
			return 180 - 360.0 / size;
		if (at->z == 16 || at->z == 34)
			return 102;
		return planar ? (size == 7 ? 124 : 122) : 114;
	}
}

static void find_ring_angles(struct mol_ideal *id, struct arena *a)
{
	const struct mol *m = id->m;
	int n_place = m->n_ring ? m->ring_start[m->n_ring] : 0;
	id->ring_angle_rad = arena_calloc(a, (size_t)n_place + 1, sizeof(double));
	for (int r = 0; r < m->n_ring; r++) {
		int start = m->ring_start[r], size = m->ring_start[r + 1] - start;
		double *angle = id->ring_angle_rad + start, left = (size - 2) * 180;
		for (int p = 0; p < size; p++) {
			angle[p] = inner_angle_deg(&m->atom[m->ring_atom[start + p]], size, id->ring_flat[r]);
			left -= angle[p];
		}
		for (int p = 0; p < size; p++) {
			if (id->ring_flat[r])
				angle[p] += left / size;
			angle[p] *= DEG;
		}
	}
}

/* Any neighbour of i but j, the one of the lowest index among the heavy ones if there are such; -1 if none. */
static int other_neighbour(const struct mol *m, int i, int j)
{
	int found = -1;
	for (int k = m->adj_start[i]; k < m->adj_start[i + 1]; k++) {
		int x = m->adj_atom[k];
		if (x != j && (found < 0 || (m->atom[found].z == 1 && m->atom[x].z != 1)))
			found = x;
	}
	return found;
}

/* The neighbour of i, not j, that is double-bonded oxygen or sulphur, or -1. */
static int carbonyl_oxygen(const struct mol *m, int i, int j)
{
	for (int k = m->adj_start[i]; k < m->adj_start[i + 1]; k++) {
		int x = m->adj_atom[k], z = m->atom[x].z;
		if (x != j && (z == 8 || z == 16) && m->bond[m->adj_bond[k]].order == 2 && m->atom[x].degree == 1)
			return x;
	}
	return -1;
}

/* Amides and esters, c the carbonyl carbon and x the nitrogen or oxygen: where the rest of x lies against O=. */
static bool plane_of_acyl(const struct mol *m, int c, int x, struct mol_plane *p, bool c_first)
{
	int o = m->atom[c].z == 6 && m->atom[c].hybrid == MOL_SP2 ? carbonyl_oxygen(m, c, x) : -1, ref = -1;
	if (o < 0)
		return false;
	const struct mol_atom *at = &m->atom[x];
	if (at->z == 8 && at->degree == 2) {
		ref = other_neighbour(m, x, c);
		p->side = MOL_CIS;
	} else if (at->z == 7 && at->hybrid == MOL_SP2 && at->degree == 3) {
		int n_hydrogen = 0, n_acyl = 0;
		ref = other_neighbour(m, x, c);
		for (int k = m->adj_start[x]; k < m->adj_start[x + 1]; k++) {
			n_hydrogen += m->atom[m->adj_atom[k]].z == 1;
			n_acyl += m->atom[m->adj_atom[k]].z == 6 && carbonyl_oxygen(m, m->adj_atom[k], x) >= 0;
		}
		int n_amine = 0;
		for (int k = m->adj_start[c]; k < m->adj_start[c + 1]; k++)
			n_amine += m->atom[m->adj_atom[k]].z == 7;
		/* between two acyl groups (imides, acyl ureas) both sides occur, and in semicarbazones */
		bool open = n_acyl > 1 || (n_amine > 1 && m->atom[ref].z == 7);
		p->side = n_hydrogen == 1 && !open ? MOL_CIS : MOL_FLAT;
	}
	if (ref < 0)
		return false;
	p->soft = true;
	p->ref[c_first ? 0 : 1] = o;
	p->ref[c_first ? 1 : 0] = ref;
	return true;
}

/* The smallest ring of up to MAX_FLAT_RING atoms through the bond that holds it flat; its neighbours of the bond's
 * ends. */
static bool plane_of_ring(const struct mol_ideal *id, const struct mol_bond *b, struct mol_plane *p)
{
	const struct mol *m = id->m;
	int best = MAX_FLAT_RING + 1;
	for (int q = id->ring_at_start[b->a]; q < id->ring_at_start[b->a + 1]; q++) {
		int place = id->ring_at[q], r = id->ring_of[place];
		int start = m->ring_start[r], size = m->ring_start[r + 1] - start, at = place - start;
		const int32_t *ring = m->ring_atom + start;
		if (size >= best)
			continue;
		if (!id->ring_flat[r] && !(b->order == 2 || b->aromatic))
			continue;
		if (ring[(at + 1) % size] == b->b) {
			p->ref[0] = ring[(at + size - 1) % size];
			p->ref[1] = ring[(at + 2) % size];
		} else if (ring[(at + size - 1) % size] == b->b) {
			p->ref[0] = ring[(at + 1) % size];
			p->ref[1] = ring[(at + size - 2) % size];
		} else {
			continue;
		}
		best = size;
	}
	if (best > MAX_FLAT_RING || best == 3)
		return false;
	p->side = MOL_CIS;
	return true;
}

static void find_planes(struct mol_ideal *id, struct arena *a)
{
	const struct mol *m = id->m;
	id->plane = arena_calloc(a, (size_t)m->n_bond + 1, sizeof *id->plane);
	for (int i = 0; i < m->n_bond; i++) {
		const struct mol_bond *b = &m->bond[i];
		const struct mol_atom *at[2] = {&m->atom[b->a], &m->atom[b->b]};
		struct mol_plane *p = &id->plane[i];
		p->side = MOL_TURNS;
		if (!planar_atom(at[0]) || !planar_atom(at[1])) {
			if (b->in_ring ||
			    !(plane_of_acyl(m, b->a, b->b, p, true) || plane_of_acyl(m, b->b, b->a, p, false)))
				p->side = MOL_TURNS;
			continue;
		}
		if (b->in_ring && plane_of_ring(id, b, p))
			continue;
		bool twofold = b->order == 2 || b->aromatic;
		if (!twofold && (plane_of_acyl(m, b->a, b->b, p, true) || plane_of_acyl(m, b->b, b->a, p, false))) {
			if (b->in_ring) /* a lactam in a small ring is cis, in a large one free */
				p->side = MOL_FLAT;
			continue;
		}
		if (!twofold && !b->conjugated)
			continue;
		if (!twofold && at[0]->aromatic && at[1]->aromatic)
			continue; /* biaryls twist */
		p->ref[0] = other_neighbour(m, b->a, b->b);
		p->ref[1] = other_neighbour(m, b->b, b->a);
		p->soft = !twofold;
		p->side = p->ref[0] >= 0 && p->ref[1] >= 0 ? MOL_FLAT : MOL_TURNS;
	}
	for (int k = 0; k < m->n_cistrans; k++) {
		const struct mol_cistrans *c = &m->cistrans[k];
		const struct mol_bond *b = &m->bond[c->bond];
		int first = c->atom[0] == b->a ? 0 : 1;
		struct mol_plane *p = &id->plane[c->bond];
		p->side = c->cis ? MOL_CIS : MOL_TRANS;
		p->soft = false;
		p->ref[0] = c->nbr[first];
		p->ref[1] = c->nbr[1 - first];
	}
}

struct mol_ideal *mol_ideal_new(const struct mol *m, struct arena *a)
{
	struct mol_ideal *id = arena_calloc(a, 1, sizeof *id);
	id->m = m;
	id->length_ang = arena_alloc(a, ((size_t)m->n_bond + 1) * sizeof(double));
	for (int b = 0; b < m->n_bond; b++)
		id->length_ang[b] = mol_length_ideal_ang(m, &m->bond[b]);
	index_rings(id, a);
	find_flat_rings(id, a);
	find_ring_angles(id, a);
	find_planes(id, a);
	return id;
}

/* Inner ring angle at j between i and k, or 0 when no ring of at most `max` atoms has it. */
static double ring_angle(const struct mol_ideal *id, int i, int j, int k, int max, int *size)
{
	const struct mol *m = id->m;
	int r = mol_ideal_ring(id, i, j, k, -1);
	*size = r < 0 ? 0 : m->ring_start[r + 1] - m->ring_start[r];
	if (r < 0 || *size > max)
		return 0;
	for (int p = m->ring_start[r]; p < m->ring_start[r + 1]; p++)
		if (m->ring_atom[p] == j)
			return id->ring_angle_rad[p];
	return 0;
}

/* A centre with three neighbours in a plane. */
static void planar_angle(const struct mol_ideal *id, int i, int j, int k, double inner, double *lo, double *hi)
{
	const struct mol *m = id->m;
	int third = -1, s;
	for (int q = m->adj_start[j]; q < m->adj_start[j + 1]; q++)
		if (m->adj_atom[q] != i && m->adj_atom[q] != k)
			third = m->adj_atom[q];
	double a = third < 0 ? 0 : ring_angle(id, i, j, third, 8, &s),
	       b = third < 0 ? 0 : ring_angle(id, k, j, third, 8, &s);
	double angle = 120 * DEG;
	if (inner > 0 && third >= 0 && a > 0 && b > 0) /* the heart of three fused rings */
		angle = inner + (360 * DEG - inner - a - b) / 3;
	else if (inner > 0)
		angle = inner;
	else if (a > 0 && b > 0)
		angle = 360 * DEG - a - b;
	else if (a > 0 || b > 0)
		angle = (360 * DEG - a - b) / 2;
	else if (third >= 0) { /* the double bond takes more room; hydrogen less */
		int bi = mol_bond_between(m, i, j), bk = mol_bond_between(m, k, j), bt = mol_bond_between(m, third, j);
		bool two_i = m->bond[bi].order == 2, two_k = m->bond[bk].order == 2, two_t = m->bond[bt].order == 2;
		if (two_t)
			angle = m->atom[i].z == 1 || m->atom[k].z == 1 ? 117 * DEG : 116 * DEG;
		else if (two_i || two_k)
			angle = 122 * DEG;
	} else if (m->atom[j].z == 7 || m->atom[j].z == 8) {
		angle = m->atom[i].z == 1 || m->atom[k].z == 1 ? 111 * DEG : 117 * DEG;
	} else if (m->atom[j].z == 16 || m->atom[j].z == 34) {
		angle = 102 * DEG;
	}
	*lo = *hi = angle;
}

static void tetrahedral_angle(const struct mol_ideal *id, int i, int j, int k, double *lo, double *hi)
{
	const struct mol *m = id->m;
	const struct mol_atom *c = &m->atom[j], *p = &m->atom[i], *q = &m->atom[k];
	int n_small = 0, n_three = 0, smallest = 99, s;
	double sum = 0, inner;
	for (int x = m->adj_start[j]; x < m->adj_start[j + 1]; x++)
		for (int y = x + 1; y < m->adj_start[j + 1]; y++)
			if ((inner = ring_angle(id, m->adj_atom[x], j, m->adj_atom[y], 5, &s)) > 0) {
				n_small++;
				n_three += s == 3;
				smallest = s < smallest ? s : smallest;
				sum += inner;
			}
	double angle = 109.5;
	if (c->degree <= 2) {
		bool hydrogen = p->z == 1 || q->z == 1;
		angle = c->z == 8                  ? (hydrogen                   ? 107
						      : p->z == 14 || q->z == 14 ? 125
										 : 113)
			: c->z == 16 || c->z == 34 ? (hydrogen ? 96 : 101)
			: hydrogen                 ? 107
						   : 110;
	} else if (c->degree == 3) {
		angle = c->z == 7 ? 109 : c->z == 15 || c->z == 33 ? 100 : c->z == 16 ? 100 : 109;
		if (c->z == 16 &&
		    (m->bond[mol_bond_between(m, i, j)].order == 2 || m->bond[mol_bond_between(m, k, j)].order == 2))
			angle = 106;
	} else if (c->z == 16 || c->z == 15) {
		bool two_p = m->bond[mol_bond_between(m, i, j)].order == 2 || p->charge < 0;
		bool two_q = m->bond[mol_bond_between(m, k, j)].order == 2 || q->charge < 0;
		angle = two_p && two_q ? 119 : two_p || two_q ? (c->z == 15 ? 113 : 108) : 103;
	} else if (p->z == 1 && q->z == 1) {
		angle = 108;
	} else if (p->z != 1 && q->z != 1 && c->z == 6) {
		angle = 111;
	}
	double slack = 0;
	if (n_small == 3 && c->degree == 4) { /* the fourth opposite to three that are held together, as in cubane */
		angle = acos(-sqrt((1 + 2 * cos(sum / 3)) / 3)) / DEG;
		slack = 8;
	} else if (n_small > 1) {
		angle = smallest == 3 ? 118 : 113;
		slack = smallest == 3 ? (n_three > 1 ? 18 : 4) : 8;
	} else if (n_small == 1) {
		angle = smallest == 3 ? 118 : smallest == 4 ? 114.5 : 111;
	}
	*lo = (angle - slack) * DEG;
	*hi = (angle + slack) * DEG;
}

void mol_ideal_angle_rad(const struct mol_ideal *id, int i, int j, int k, double *lo, double *hi)
{
	const struct mol *m = id->m;
	const struct mol_atom *c = &m->atom[j];
	int size;
	double inner = ring_angle(id, i, j, k, 8, &size);
	if (c->degree > 4 || c->hybrid > MOL_SP3 || c->hybrid == MOL_HYB_S) {
		*lo = inner > 0 && size < 6 ? inner - 10 * DEG : (c->degree > 6 ? 55 : c->degree > 4 ? 80 : 85) * DEG;
		*hi = inner > 0 && size < 6 ? inner + 10 * DEG : 180 * DEG;
	} else if (planar_atom(c) && c->degree <= 3) {
		planar_angle(id, i, j, k, inner, lo, hi);
	} else if (c->hybrid == MOL_SP) {
		*lo = inner > 0 ? inner : 178 * DEG;
		*hi = 180 * DEG;
	} else if (inner > 0) {
		double slack = id->ring_at_start[j + 1] - id->ring_at_start[j] > 1 ? 8 * DEG : 0;
		*lo = inner - (size > 3 ? slack : 0);
		*hi = inner + (size > 3 ? slack / 2 : 0);
	} else {
		tetrahedral_angle(id, i, j, k, lo, hi);
	}
}
