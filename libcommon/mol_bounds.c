/*
 * mol_bounds.c - lower and upper bounds of all distances, and their smoothing.
 *
 * Bonds and 1-3 pairs from ideal lengths and angles, 1-4 pairs from the range of the torsion, anything farther from
 * van der Waals radii (Alvarez, Dalton Trans. 2013, 8617), as laid out by Crippen and Havel, Distance Geometry and
 * Molecular Conformation, 1988, and by Blaney and Dixon, Rev. Comput. Chem. 5, 299, 1994.
 */
#include "mol_dg.h"

#include <math.h>

static const double DEG = 3.14159265358979323846 / 180;
static const float FAR_ANG = 1e4F;

static void set_bounds(struct mol_bounds *b, int i, int j, double lo, double hi)
{
	b->lo[i * b->stride + j] = b->lo[j * b->stride + i] = (float)lo;
	b->hi[i * b->stride + j] = b->hi[j * b->stride + i] = (float)hi;
}

/* Narrows what stands there already; where the ranges do not meet the old one stays. */
static void narrow_bounds(struct mol_bounds *b, int i, int j, double lo, double hi)
{
	double old_lo = (double)b->lo[i * b->stride + j], old_hi = (double)b->hi[i * b->stride + j];
	double new_lo = lo > old_lo ? lo : old_lo, new_hi = hi < old_hi ? hi : old_hi;
	if (new_lo <= new_hi)
		set_bounds(b, i, j, new_lo, new_hi);
}

static void count_steps(struct mol_bounds *b, const struct mol *m, struct arena *a)
{
	int32_t *queue = arena_alloc(a, (size_t)m->n_atom * sizeof *queue);
	for (int i = 0; i < b->n; i++) {
		uint8_t *step = b->n_step + i * b->stride;
		for (int j = 0; j < b->n; j++)
			step[j] = 5;
		int n = 0;
		step[i] = 0;
		queue[n++] = i;
		for (int h = 0; h < n && step[queue[h]] < 4; h++)
			for (int k = m->adj_start[queue[h]]; k < m->adj_start[queue[h] + 1]; k++) {
				int x = m->adj_atom[k];
				if (step[x] == 5 && x != i) {
					step[x] = (uint8_t)(step[queue[h]] + 1);
					queue[n++] = x;
				}
			}
	}
}

static double third_side(double a, double b, double angle)
{
	return sqrt(a * a + b * b - 2 * a * b * cos(angle));
}

static void set_13(const struct mol_ideal *id, struct mol_bounds *b, int i, int j, int k, double a, double c)
{
	double lo, hi;
	mol_ideal_angle_rad(id, i, j, k, &lo, &hi);
	double slack = id->m->atom[j].z > 10 || id->m->atom[i].z > 20 || id->m->atom[k].z > 20 ? 0.06 : 0.03;
	if (lo >= 170 * DEG)
		slack = 0.002; /* a little off straight is a large angle */
	double d_lo = third_side(a, c, lo) - slack, d_hi = third_side(a, c, hi) + slack;
	if (hi >= 180 * DEG && d_hi > a + c)
		d_hi = a + c;
	if (b->hi[i * b->stride + k] < FAR_ANG)
		narrow_bounds(b, i, k, d_lo, d_hi);
	else
		set_bounds(b, i, k, d_lo, d_hi);
}

/* True if the six-membered ring r is free to be a chair about its bond j-k: both ends tetrahedral, no bridge, no small
 * ring. */
static bool chair_bond(const struct mol_ideal *id, int r, int j, int k)
{
	const struct mol *m = id->m;
	if (m->atom[j].hybrid != MOL_SP3 || m->atom[k].hybrid != MOL_SP3)
		return false;
	int n_through = 0;
	for (int p = m->ring_start[r]; p < m->ring_start[r + 1]; p++)
		for (int x = id->ring_at_start[m->ring_atom[p]]; x < id->ring_at_start[m->ring_atom[p] + 1]; x++) {
			int other = id->ring_of[id->ring_at[x]], n_common = 0,
			    size = m->ring_start[other + 1] - m->ring_start[other];
			bool has_j = false, has_k = false;
			if (other == r)
				continue;
			for (int y = m->ring_start[other]; y < m->ring_start[other + 1]; y++) {
				for (int z = m->ring_start[r]; z < m->ring_start[r + 1]; z++)
					n_common += m->ring_atom[y] == m->ring_atom[z];
				has_j = has_j || m->ring_atom[y] == j;
				has_k = has_k || m->ring_atom[y] == k;
			}
			if (n_common > 2)
				return false;
			n_through += has_j && has_k && size < 6;
		}
	return n_through == 0;
}

/* Range of the torsion i-j-k-l, radians in [0, pi]. */
static void torsion_range(const struct mol_ideal *id, int bond, int i, int j, int k, int l, double *lo, double *hi)
{
	const struct mol *m = id->m;
	const struct mol_plane *p = &id->plane[bond];
	*lo = 0;
	*hi = 180 * DEG;
	if (p->side == MOL_CIS || p->side == MOL_TRANS) {
		int ref_j = m->bond[bond].a == j ? p->ref[0] : p->ref[1],
		    ref_k = m->bond[bond].a == j ? p->ref[1] : p->ref[0];
		bool cis = ((i == ref_j) == (l == ref_k)) == (p->side == MOL_CIS);
		double slack = p->soft ? 25 * DEG : 0;
		*lo = cis ? 0 : 180 * DEG - slack;
		*hi = cis ? slack : 180 * DEG;
		return;
	}
	int r = mol_ideal_ring(id, i, j, k, l);
	if (r < 0)
		return;
	static const float MOST[] = {0, 0, 0, 0, 30, 48, 68, 95, 125};
	int size = m->ring_start[r + 1] - m->ring_start[r];
	if (id->ring_flat[r])
		*hi = 0;
	else if (size == 6 && chair_bond(id, r, j, k)) {
		*lo = 50 * DEG;
		*hi = 64 * DEG;
	} else if (size <= 8)
		*hi = (double)MOST[size] * DEG;
}

static void set_14(const struct mol_ideal *id, struct mol_bounds *b, int bond, int i, int j, int k, int l, double a,
		   double c)
{
	double mid = id->length_ang[bond], t1[2], t2[2], lo, hi;
	mol_ideal_angle_rad(id, i, j, k, &t1[0], &t1[1]);
	mol_ideal_angle_rad(id, j, k, l, &t2[0], &t2[1]);
	torsion_range(id, bond, i, j, k, l, &lo, &hi);
	double d[2];
	for (int e = 0; e < 2; e++) {
		double p = t1[e], q = t2[e], along = mid - a * cos(p) - c * cos(q), phi = e ? hi : lo;
		double u = a * sin(p), v = c * sin(q);
		d[e] = sqrt(along * along + u * u + v * v - 2 * u * v * cos(phi));
	}
	bool fixed = hi - lo < 10 * DEG;
	narrow_bounds(b, i, l, d[0] - (fixed ? 0.06 : 0.02), d[1] + (fixed ? 0.06 : 0.02));
}

static void set_far(const struct mol_ideal *id, struct mol_bounds *b)
{
	const struct mol *m = id->m;
	for (int i = 0; i < b->n; i++)
		for (int j = 0; j < i; j++) {
			int step = b->n_step[i * b->stride + j];
			if (step < 3)
				continue;
			const struct mol_atom *p = &m->atom[i], *q = &m->atom[j];
			double rp = mol_element_vdw_radius_ang(p->z), rq = mol_element_vdw_radius_ang(q->z);
			double sum = (rp > 0 ? rp : 2) + (rq > 0 ? rq : 2);
			double lo = step == 3 ? 1.6 : step == 4 ? 0.7 * sum : 0.8 * sum;
			bool polar_p = p->z == 7 || p->z == 8 || p->z == 9,
			     polar_q = q->z == 7 || q->z == 8 || q->z == 9;
			if (step > 3 && ((p->z == 1 && polar_q) || (q->z == 1 && polar_p)) && lo > 1.8)
				lo = 1.8; /* room for a hydrogen bond */
			set_bounds(b, i, j, lo, (double)FAR_ANG);
		}
}

struct mol_bounds *mol_bounds_new(const struct mol_ideal *id, struct arena *a)
{
	const struct mol *m = id->m;
	struct mol_bounds *b = arena_calloc(a, 1, sizeof *b);
	b->n = m->n_atom;
	b->stride = (b->n + 7) & ~7;
	size_t n_cell = (size_t)b->n * (size_t)b->stride;
	b->lo = arena_calloc(a, n_cell, sizeof(float));
	b->hi = arena_alloc(a, n_cell * sizeof(float));
	b->n_step = arena_calloc(a, n_cell, 1);
	for (size_t k = 0; k < n_cell; k++)
		b->hi[k] = FAR_ANG;
	count_steps(b, m, a);
	set_far(id, b);
	for (int i = 0; i < b->n; i++)
		set_bounds(b, i, i, 0, 0);
	for (int e = 0; e < m->n_bond; e++)
		set_bounds(b, m->bond[e].a, m->bond[e].b, id->length_ang[e] - 0.01, id->length_ang[e] + 0.01);
	for (int j = 0; j < b->n; j++)
		for (int x = m->adj_start[j]; x < m->adj_start[j + 1]; x++)
			for (int y = x + 1; y < m->adj_start[j + 1]; y++)
				if (b->n_step[m->adj_atom[x] * b->stride + m->adj_atom[y]] == 2)
					set_13(id, b, m->adj_atom[x], j, m->adj_atom[y], id->length_ang[m->adj_bond[x]],
					       id->length_ang[m->adj_bond[y]]);
	for (int e = 0; e < m->n_bond; e++) {
		int j = m->bond[e].a, k = m->bond[e].b;
		for (int x = m->adj_start[j]; x < m->adj_start[j + 1]; x++)
			for (int y = m->adj_start[k]; y < m->adj_start[k + 1]; y++) {
				int i = m->adj_atom[x], l = m->adj_atom[y];
				if (i != k && l != j && i != l && b->n_step[i * b->stride + l] == 3)
					set_14(id, b, e, i, j, k, l, id->length_ang[m->adj_bond[x]],
					       id->length_ang[m->adj_bond[y]]);
			}
	}
	return b;
}

/* One row against row k: hi[j] <= hik + hk[j]; lo[j] >= lik - hk[j], lk[j] - hik. Same result for any vector width. */
__attribute__((optimize("O3"))) static void smooth_row(int n, float lik, float hik, const float *restrict lk,
						       const float *restrict hk, float *restrict lo, float *restrict hi)
{
	for (int j = 0; j < n; j++) {
		float sum = hik + hk[j], d1 = lik - hk[j], d2 = lk[j] - hik;
		hi[j] = hi[j] < sum ? hi[j] : sum;
		float low = d1 > d2 ? d1 : d2;
		lo[j] = lo[j] > low ? lo[j] : low;
	}
}

void mol_bounds_smooth(struct mol_bounds *b)
{
	int stride = b->stride;
	for (int k = 0; k < b->n; k++)
		for (int i = 0; i < b->n; i++)
			if (i != k)
				smooth_row(stride, b->lo[i * stride + k], b->hi[i * stride + k], b->lo + k * stride,
					   b->hi + k * stride, b->lo + i * stride, b->hi + i * stride);
	for (int i = 0; i < b->n; i++) {
		for (int j = 0; j < b->n; j++) {
			float *lo = &b->lo[i * stride + j], *hi = &b->hi[i * stride + j];
			if (*lo > *hi)
				*lo = *hi = 0.5F * (*lo + *hi);
		}
		b->lo[i * stride + i] = b->hi[i * stride + i] = 0;
		for (int j = b->n; j < stride; j++) {
			b->lo[i * stride + j] = 0;
			b->hi[i * stride + j] = FAR_ANG;
		}
	}
}
