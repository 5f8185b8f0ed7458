/*
 * mol_torsion.c - torsion preferences: bonds between tetrahedral atoms are staggered, disulphides stand at right
 * angles. (Planar bonds are held by signed volumes.)
 */
#include "mol_dg.h"

#include <math.h>

static int heaviest_neighbour(const struct mol *m, int i, int j)
{
	int found = -1;
	for (int k = m->adj_start[i]; k < m->adj_start[i + 1]; k++) {
		int x = m->adj_atom[k];
		if (x != j && (found < 0 || m->atom[x].z > m->atom[found].z))
			found = x;
	}
	return found;
}

static bool tetrahedral(const struct mol_atom *a)
{
	return a->hybrid == MOL_SP3 && a->degree >= 2 && a->degree <= 4 && a->z > 1;
}

/* True if a ring of fewer than `size` atoms goes through the atom (and through the bond's other end k unless that is
 * -1). */
static bool in_smaller_ring(const struct mol_ideal *id, int j, int k, int size)
{
	const struct mol *m = id->m;
	for (int q = id->ring_at_start[j]; q < id->ring_at_start[j + 1]; q++) {
		int r = id->ring_of[id->ring_at[q]];
		if (m->ring_start[r + 1] - m->ring_start[r] >= size)
			continue;
		if (k < 0)
			return true;
		for (int p = m->ring_start[r]; p < m->ring_start[r + 1]; p++)
			if (m->ring_atom[p] == k)
				return true;
	}
	return false;
}

void mol_torsions_find(const struct mol_ideal *id, struct arena *a, struct mol_torsions *out)
{
	const struct mol *m = id->m;
	out->n = 0;
	out->t = arena_alloc(a, ((size_t)m->n_bond + 1) * sizeof *out->t);
	for (int b = 0; b < m->n_bond; b++) {
		int j = m->bond[b].a, k = m->bond[b].b;
		const struct mol_atom *p = &m->atom[j], *q = &m->atom[k];
		if (m->bond[b].order != 1 || !tetrahedral(p) || !tetrahedral(q))
			continue;
		struct mol_torsion *t = &out->t[out->n];
		t->atom[0] = heaviest_neighbour(m, j, k);
		t->atom[1] = j;
		t->atom[2] = k;
		t->atom[3] = heaviest_neighbour(m, k, j);
		bool both_pairs = p->degree == 2 && q->degree == 2 && p->z >= 8 && q->z >= 8;
		t->n = both_pairs ? 2 : 3;
		t->sign = 1;
		t->weight = 1;
		/* small rings eclipse their own bonds, and the smallest spread the angles of those that leave them */
		if (!in_smaller_ring(id, j, k, 6) && !in_smaller_ring(id, j, -1, 5) && !in_smaller_ring(id, k, -1, 5))
			out->n++;
	}
}

double mol_torsions_value(const struct mol_torsions *ts, double scale, const double *x, const double *y,
			  const double *z, double *gx, double *gy, double *gz)
{
	double sum = 0;
	for (int s = 0; s < ts->n; s++) {
		const struct mol_torsion *t = &ts->t[s];
		int a = t->atom[0], b = t->atom[1], c = t->atom[2], d = t->atom[3];
		double f[3] = {x[a] - x[b], y[a] - y[b], z[a] - z[b]};
		double g[3] = {x[b] - x[c], y[b] - y[c], z[b] - z[c]};
		double h[3] = {x[d] - x[c], y[d] - y[c], z[d] - z[c]};
		/* normals u = f x g, v = h x g; cos phi = u.v / (|u| |v|), exact gradient by Blondel and Karplus,
		 * J. Comput. Chem. 17, 1132, 1996 */
		double u[3] = {f[1] * g[2] - f[2] * g[1], f[2] * g[0] - f[0] * g[2], f[0] * g[1] - f[1] * g[0]};
		double v[3] = {h[1] * g[2] - h[2] * g[1], h[2] * g[0] - h[0] * g[2], h[0] * g[1] - h[1] * g[0]};
		double uu = u[0] * u[0] + u[1] * u[1] + u[2] * u[2], vv = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
		double gg = g[0] * g[0] + g[1] * g[1] + g[2] * g[2], gl = sqrt(gg);
		if (uu < 1e-8 || vv < 1e-8 || gg < 1e-8)
			continue;
		double cs = (u[0] * v[0] + u[1] * v[1] + u[2] * v[2]) / sqrt(uu * vv);
		double w[3] = {v[1] * u[2] - v[2] * u[1], v[2] * u[0] - v[0] * u[2], v[0] * u[1] - v[1] * u[0]};
		double sn = (w[0] * g[0] + w[1] * g[1] + w[2] * g[2]) / (sqrt(uu * vv) * gl);
		double weight = scale * (double)t->weight, sign = (double)t->sign, dphi;
		if (t->n == 3) {
			sum += weight * (1 + sign * cs * (4 * cs * cs - 3));
			dphi = -3 * weight * sign * sn * (3 - 4 * sn * sn);
		} else {
			sum += weight * (1 + sign * (2 * cs * cs - 1));
			dphi = -2 * weight * sign * 2 * sn * cs;
		}
		double fg = f[0] * g[0] + f[1] * g[1] + f[2] * g[2], hg = h[0] * g[0] + h[1] * g[1] + h[2] * g[2];
		double da = -dphi * gl / uu, dd = dphi * gl / vv, su = dphi * fg / (uu * gl),
		       sv = -dphi * hg / (vv * gl);
		double *out[3] = {gx, gy, gz};
		for (int k = 0; k < 3; k++) {
			double shift = su * u[k] + sv * v[k];
			out[k][a] += da * u[k];
			out[k][b] += shift - da * u[k];
			out[k][c] += -shift - dd * v[k];
			out[k][d] += dd * v[k];
		}
	}
	return sum;
}
