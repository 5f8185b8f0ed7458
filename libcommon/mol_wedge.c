/* Wedges: which bond shows a centre's hand, and what hand a drawing shows. */
#include <string.h>

#include "mol_draw.h"
#include "mol_plane.h"

static struct vec point(const float *pos, int32_t a)
{
	return (struct vec){(double)pos[2 * a], (double)pos[2 * a + 1]};
}

/* Neighbours of the atom in counter-clockwise order, beginning with `first`. */
static int32_t around(const struct mol *m, const float *pos, int32_t a, int32_t first, int32_t *nbr, double *turn)
{
	int32_t n = 0;
	double zero = plane_angle(vec_sub(point(pos, first), point(pos, a)));
	for (int32_t j = m->adj_start[a]; j < m->adj_start[a + 1] && n < 4; j++) {
		int32_t b = m->adj_atom[j], i = n++;
		double t = b == first ? 0 : plane_angle(vec_sub(point(pos, b), point(pos, a))) - zero;
		t += t < 0 ? 2 * PLANE_PI : 0;
		for (; i > 0 && turn[i - 1] > t; i--)
			turn[i] = turn[i - 1], nbr[i] = nbr[i - 1];
		turn[i] = t, nbr[i] = b;
	}
	return n;
}

bool mol_center_equal(const struct mol_center *a, const struct mol_center *b)
{
	int32_t p[4];
	memcpy(p, b->nbr, sizeof p);
	bool odd = false;
	for (int i = 0; i < 4; i++) {
		int j = i;
		while (j < 4 && p[j] != a->nbr[i])
			j++;
		if (j == 4)
			return false;
		if (j != i) {
			int32_t t = p[i];
			p[i] = p[j], p[j] = t, odd = !odd;
		}
	}
	return a->atom == b->atom && !odd;
}

/* The centre that a solid (up) or hashed wedge from the atom to `to` shows; false if the atom is no centre of 3 or 4.
 */
static bool hand_shown(const struct mol *m, const float *pos, int32_t atom, int32_t to, bool solid,
		       struct mol_center *c)
{
	int32_t nbr[4];
	double turn[4];
	int32_t n = around(m, pos, atom, to, nbr, turn);
	if (n < 3 || m->atom[atom].degree > 4)
		return false;
	c->atom = atom;
	if (n == 4) { /* seen from the raised neighbour the others run as they do on paper */
		memcpy(c->nbr, nbr, sizeof c->nbr);
	} else { /* the hydrogen or lone pair lies below: seen from there the three run the other way */
		int32_t from_below[4] = {-1, nbr[0], nbr[2], nbr[1]};
		memcpy(c->nbr, from_below, sizeof c->nbr);
	}
	if (!solid) {
		int32_t t = c->nbr[2];
		c->nbr[2] = c->nbr[3], c->nbr[3] = t;
	}
	return true;
}

bool mol_wedge_read(const struct mol *m, const float *pos, const int8_t *up, const int32_t *from,
		    const struct mol_center *c, struct mol_center *shown)
{
	for (int32_t j = m->adj_start[c->atom]; j < m->adj_start[c->atom + 1]; j++) {
		int32_t b = m->adj_bond[j];
		if (up[b] && from[b] == c->atom)
			return hand_shown(m, pos, c->atom, m->adj_atom[j], up[b] > 0, shown);
	}
	return false;
}

/* How well a wedge to neighbour b would look; a negative number: it cannot stand there. */
static int wedge_worth(const struct mol *m, const float *pos, const bool *is_center, int32_t atom, int32_t j)
{
	int32_t b = m->adj_atom[j], nbr[4];
	const struct mol_bond *bond = &m->bond[m->adj_bond[j]];
	double turn[4];
	int32_t n = around(m, pos, atom, b, nbr, turn);
	int worth = 100;
	if (bond->order != 1)
		worth -= 60;
	/* Between two others that leave more than half a turn free a wedge can be read both ways. */
	if (n == 3 && turn[2] - turn[1] > PLANE_PI - 0.05)
		worth -= 50;
	worth -= is_center[b] ? 20 : 0;
	worth -= bond->in_ring ? 12 : 0;
	worth -= m->atom[b].degree > 4 ? 4 : m->atom[b].degree;
	/* A bond to a hydrogen that is drawn, then one to a heteroatom, before one into a chain. */
	worth += m->atom[b].z == 1 ? 8 : m->atom[b].z != 6 && m->atom[b].degree == 1 ? 1 : 0;
	return worth;
}

int32_t mol_wedge_assign(const struct mol *m, const float *pos, struct arena *scratch, int8_t *up, int32_t *from)
{
	bool *is_center = arena_calloc(scratch, (size_t)m->n_atom + 1, sizeof *is_center);
	int32_t n_left = 0;
	memset(up, 0, (size_t)m->n_bond);
	for (int32_t i = 0; i < m->n_bond; i++)
		from[i] = -1;
	for (int32_t i = 0; i < m->n_center; i++)
		is_center[m->center[i].atom] = true;
	for (int32_t i = 0; i < m->n_center; i++) {
		const struct mol_center *c = &m->center[i];
		int best = -1;
		int32_t at = -1;
		for (int32_t j = m->adj_start[c->atom]; j < m->adj_start[c->atom + 1]; j++) {
			int worth = up[m->adj_bond[j]] ? -1 : wedge_worth(m, pos, is_center, c->atom, j);
			if (worth > best)
				best = worth, at = j;
		}
		struct mol_center shown;
		if (at < 0 || !hand_shown(m, pos, c->atom, m->adj_atom[at], true, &shown)) {
			n_left++;
			continue;
		}
		up[m->adj_bond[at]] = mol_center_equal(c, &shown) ? 1 : -1;
		from[m->adj_bond[at]] = c->atom;
	}
	return n_left;
}
