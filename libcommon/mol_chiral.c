/* mol_chiral.c - signed volumes that hold stereo centres and planes. */
#include "mol_dg.h"

#include <math.h>

double mol_volume_of(const int32_t atom[4], const double *x, const double *y, const double *z)
{
	int o = atom[0];
	double p[3][3];
	for (int k = 0; k < 3; k++) {
		p[k][0] = x[atom[k + 1]] - x[o];
		p[k][1] = y[atom[k + 1]] - y[o];
		p[k][2] = z[atom[k + 1]] - z[o];
	}
	return p[0][0] * (p[1][1] * p[2][2] - p[1][2] * p[2][1]) + p[0][1] * (p[1][2] * p[2][0] - p[1][0] * p[2][2]) +
	       p[0][2] * (p[1][0] * p[2][1] - p[1][1] * p[2][0]);
}

void mol_center_neighbours(const struct mol *m, const struct mol_center *c, int32_t nbr[4])
{
	for (int k = 0; k < 4; k++) {
		nbr[k] = c->nbr[k];
		for (int q = m->adj_start[c->atom]; nbr[k] < 0 && q < m->adj_start[c->atom + 1]; q++) {
			int x = m->adj_atom[q];
			if (x != c->nbr[0] && x != c->nbr[1] && x != c->nbr[2] && x != c->nbr[3])
				nbr[k] = x;
		}
	}
}

void mol_center_range(int atom, const int32_t nbr[4], const double *pos, int step_atom, int step_axis, double *lo,
		      double *hi)
{
	double u[4][3];
	int lone = -1;
	for (int k = 0; k < 4; k++) {
		double s = 0;
		for (int t = 0; nbr[k] >= 0 && t < 3; t++) {
			u[k][t] = pos[nbr[k] * step_atom + t * step_axis] - pos[atom * step_atom + t * step_axis];
			s += u[k][t] * u[k][t];
		}
		if (nbr[k] < 0)
			lone = k;
		for (int t = 0; t < 3; t++)
			u[k][t] = nbr[k] >= 0 && s > 0 ? u[k][t] / sqrt(s) : 0;
	}
	*lo = INFINITY;
	*hi = -INFINITY;
	for (int k = 0; k < 4; k++) { /* the face without k; its turn alternates */
		if (lone >= 0 && lone != k)
			continue;
		const double *a = u[k == 0 ? 1 : 0], *b = u[k <= 1 ? 2 : 1], *c = u[k <= 2 ? 3 : 2];
		double t = a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) +
			   a[2] * (b[0] * c[1] - b[1] * c[0]);
		t = k % 2 ? -t : t;
		*lo = t < *lo ? t : *lo;
		*hi = t > *hi ? t : *hi;
	}
}

static double length_between(const struct mol_ideal *id, int i, int j)
{
	int b = i == j ? -1 : mol_bond_between(id->m, i, j);
	return b < 0 ? 1 : id->length_ang[b];
}

static void add_center(const struct mol_ideal *id, const struct mol_center *c, struct mol_volumes *out)
{
	struct mol_volume *v = &out->v[out->n++];
	double len[4], sum = 0;
	bool whole = true;
	mol_center_neighbours(id->m, c, v->atom);
	for (int k = 0; k < 4; k++) {
		if (v->atom[k] < 0)
			v->atom[k] = c->atom;
		whole = whole && v->atom[k] != c->atom;
		len[k] = length_between(id, c->atom, v->atom[k]);
	}
	/* tetrahedral directions: each face with the centre holds 4 / (3 sqrt 3) times its three lengths */
	for (int k = 0; k < 4; k++)
		sum += len[0] * len[1] * len[2] * len[3] / len[k];
	v->scale = (float)(whole ? sum * 0.7698 : 0.7698 * len[0] * len[1] * len[2] * len[3]);
	/* counter-clockwise, seen from the first, is a negative volume; a small ring may squeeze it */
	v->lo = -4;
	v->hi = -0.55F;
	v->weight = 1;
}

static void add_flat(const struct mol_ideal *id, int p0, int p1, int p2, int p3, double scale, double weight,
		     struct mol_volumes *out)
{
	struct mol_volume *v = &out->v[out->n++];
	v->atom[0] = p0;
	v->atom[1] = p1;
	v->atom[2] = p2;
	v->atom[3] = p3;
	v->lo = v->hi = 0;
	v->scale = (float)scale;
	v->weight = (float)weight;
}

void mol_volumes_find(const struct mol_ideal *id, struct arena *a, struct mol_volumes *out)
{
	const struct mol *m = id->m;
	int n_place = m->n_ring ? m->ring_start[m->n_ring] : 0;
	out->n = 0;
	out->v = arena_alloc(a, (size_t)(m->n_center + m->n_atom + m->n_bond + n_place + 1) * sizeof *out->v);
	for (int k = 0; k < m->n_center; k++)
		add_center(id, &m->center[k], out);
	out->n_stereo = out->n;
	for (int i = 0; i < m->n_atom; i++) {
		if (m->atom[i].degree != 3 || m->atom[i].hybrid != MOL_SP2)
			continue;
		const int32_t *nbr = m->adj_atom + m->adj_start[i], *bond = m->adj_bond + m->adj_start[i];
		double scale = id->length_ang[bond[0]] * id->length_ang[bond[1]] * id->length_ang[bond[2]];
		add_flat(id, i, nbr[0], nbr[1], nbr[2], scale, 1, out);
	}
	out->n_flat = out->n - out->n_stereo;
	for (int b = 0; b < m->n_bond; b++) {
		const struct mol_plane *p = &id->plane[b];
		int j = m->bond[b].a, k = m->bond[b].b;
		if (p->side == MOL_TURNS || p->ref[0] < 0 || p->ref[1] < 0)
			continue;
		double scale = id->length_ang[b] * length_between(id, p->ref[0], j) * length_between(id, p->ref[1], k);
		add_flat(id, p->ref[0], j, k, p->ref[1], scale, p->soft ? (p->side == MOL_FLAT ? 0.05 : 0.2) : 1, out);
	}
}
