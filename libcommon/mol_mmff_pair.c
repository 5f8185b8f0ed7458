/* mol_mmff_pair.c - MMFF94's van der Waals and electrostatic terms over all pairs of atoms (parts II and III). */
#include "mol_mmff.h"

#include <math.h>
#include <string.h>

typedef double lanes __attribute__((vector_size(32), aligned(32)));
enum { WIDTH = 4 };

/* ---- parameters ----------------------------------------------------------------- */

/* Distance of the minimum and depth of a pair: Slater and Kirkwood's polarisabilities, with the sharper mean for what
 * is no donor of hydrogen bonds, and nearer and shallower for a donor with an acceptor. */
static void pair_param(const struct mmff_vdw *i, const struct mmff_vdw *j, double *r_ang, double *depth_kcal)
{
	double ri = i->a * pow(i->alpha, 0.25), rj = j->a * pow(j->alpha, 0.25), r = 0.5 * (ri + rj);
	if (i->role != 'D' && j->role != 'D') {
		double g = (ri - rj) / (ri + rj);
		r *= 1 + 0.2 * (1 - exp(-12 * g * g));
	}
	*depth_kcal =
	    181.16 * i->g * j->g * i->alpha * j->alpha / ((sqrt(i->alpha / i->n) + sqrt(j->alpha / j->n)) * pow(r, 6));
	if ((i->role == 'D' && j->role == 'A') || (i->role == 'A' && j->role == 'D')) {
		r *= 0.8;
		*depth_kcal *= 0.5;
	}
	*r_ang = r;
}

/* step[j]: bonds between i and j where these are at most three, else 0. reached [*n]: those j and i itself. */
static void find_near(const struct mol *m, int32_t i, uint8_t *step, int32_t *reached, int32_t *n)
{
	int32_t first = 0;
	*n = 0;
	reached[(*n)++] = i;
	for (uint8_t d = 1; d <= 3; d++) {
		int32_t last = *n;
		for (int32_t k = first; k < last; k++)
			for (int32_t s = m->adj_start[reached[k]]; s < m->adj_start[reached[k] + 1]; s++) {
				int32_t j = m->adj_atom[s];
				if (j == i || step[j])
					continue;
				step[j] = d;
				reached[(*n)++] = j;
			}
		first = last;
	}
}

struct mmff_pairs *mmff_pairs_new(const struct mmff_types *t, struct arena *a)
{
	const struct mol *m = t->m;
	struct mmff_pairs *p = arena_calloc(a, 1, sizeof *p);
	uint8_t *step = arena_calloc(a, (size_t)m->n_atom + 1, 1);
	int32_t *reached = arena_alloc(a, ((size_t)m->n_atom + 1) * sizeof *reached), n_reached;
	double *r = arena_alloc(a, (size_t)MMFF_N_TYPE * MMFF_N_TYPE * sizeof *r);
	double *depth = arena_calloc(a, (size_t)MMFF_N_TYPE * MMFF_N_TYPE, sizeof *depth);
	int64_t n = 0;
	p->n = m->n_atom;
	p->n_padded = (m->n_atom + WIDTH - 1) / WIDTH * WIDTH;
	p->row = arena_alloc(a, ((size_t)m->n_atom + 1) * sizeof *p->row);
	for (int32_t i = 0; i < m->n_atom; i++) {
		p->row[i] = n;
		n += (i + WIDTH - 1) / WIDTH * WIDTH;
	}
	p->inv_r_per_ang = arena_alloc(a, ((size_t)n + 1) * sizeof(double));
	p->depth_kcal = arena_calloc(a, (size_t)n + 1, sizeof(double));
	p->charge_kcal = arena_calloc(a, (size_t)n + 1, sizeof(double));
	p->place = arena_calloc(a, 3 * (size_t)p->n_padded + 1, sizeof(double));
	p->slope = arena_alloc(a, (3 * (size_t)p->n_padded + 1) * sizeof(double));
	for (int64_t k = 0; k < n; k++)
		p->inv_r_per_ang[k] = 1;
	for (int32_t i = 0; i < m->n_atom; i++) {
		find_near(m, i, step, reached, &n_reached);
		for (int32_t j = 0; j < i; j++) {
			int both = t->type[i] * MMFF_N_TYPE + t->type[j];
			if (step[j] == 1 || step[j] == 2)
				continue;
			if (!(depth[both] > 0))
				pair_param(mmff_vdw(t->type[i]), mmff_vdw(t->type[j]), &r[both], &depth[both]);
			p->inv_r_per_ang[p->row[i] + j] = 1 / r[both];
			p->depth_kcal[p->row[i] + j] = depth[both];
			p->charge_kcal[p->row[i] + j] =
			    332.0716 * (step[j] == 3 ? 0.75 : 1) * t->charge[i] * t->charge[j];
		}
		for (int32_t k = 0; k < n_reached; k++)
			step[reached[k]] = 0;
	}
	return p;
}

/* ---- vectors ------------------------------------------------------------------------ */

/* A macro, since a vector that is wider than the machine's has no way of its own into a function. */
#ifdef __SSE2__
typedef double half_lanes __attribute__((vector_size(16)));
#define ROOTS(v)                                                                                                       \
	__extension__({                                                                                                \
		half_lanes low = __builtin_ia32_sqrtpd((half_lanes){(v)[0], (v)[1]});                                  \
		half_lanes high = __builtin_ia32_sqrtpd((half_lanes){(v)[2], (v)[3]});                                 \
		(lanes){low[0], low[1], high[0], high[1]};                                                             \
	})
#else
#define ROOTS(v) ((lanes){sqrt((v)[0]), sqrt((v)[1]), sqrt((v)[2]), sqrt((v)[3])})
#endif

/* ---- energy ------------------------------------------------------------------------ */

/*
 * Buffered 14-7 and buffered Coulomb:
 *   epsilon (1.07 / (x + 0.07))^7 (1.12 / (x^7 + 0.12) - 2), x = R / R*;   332.0716 q q / (R + 0.05)
 * Vectors of four whatever the machine, summed in a fixed order: the result does not depend on what the compiler makes
 * of them. One division serves four quotients.
 */
UTIL_CLONES("avx2", "default")
static void sum_pairs(const struct mmff_pairs *p, double *vdw_kcal, double *electrostatic_kcal)
{
	int np = p->n_padded;
	const double *px = p->place, *py = px + np, *pz = py + np;
	double *gx = p->slope, *gy = gx + np, *gz = gy + np;
	const lanes tiny = {1e-12, 1e-12, 1e-12, 1e-12};
	lanes vdw = {0, 0, 0, 0}, coulomb = vdw;
	for (int32_t i = 1; i < p->n; i++) {
		const double *inv_r = p->inv_r_per_ang + p->row[i], *depth = p->depth_kcal + p->row[i];
		const double *charge = p->charge_kcal + p->row[i];
		lanes ix = {px[i], px[i], px[i], px[i]}, iy = {py[i], py[i], py[i], py[i]};
		lanes iz = {pz[i], pz[i], pz[i], pz[i]};
		lanes ax = {0, 0, 0, 0}, ay = ax, az = ax;
		for (int32_t j = 0; j < i; j += WIDTH) {
			lanes dx = ix - *(const lanes *)(px + j), dy = iy - *(const lanes *)(py + j);
			lanes dz = iz - *(const lanes *)(pz + j);
			lanes r = dx * dx + dy * dy + dz * dz + tiny, inv = *(const lanes *)(inv_r + j);
			r = ROOTS(r);
			lanes x = r * inv, x2 = x * x, x6 = x2 * x2 * x2, x7 = x6 * x;
			lanes u = x + 0.07, w = x7 + 0.12, v = r + 0.05, uw = u * w, rv = r * v;
			lanes q = 1.0 / (uw * rv), q_uw = q * rv, q_rv = q * uw;
			lanes inv_u = q_uw * w, inv_w = q_uw * u, inv_v = q_rv * r, one_by_r = q_rv * v;
			lanes t = 1.07 * inv_u, t2 = t * t, t7 = t2 * t2 * t2 * t;
			lanes e7 = *(const lanes *)(depth + j) * t7, s = 1.12 * inv_w;
			lanes ec = *(const lanes *)(charge + j) * inv_v;
			vdw += e7 * (s - 2.0);
			coulomb += ec;
			/* dE/dR over R */
			lanes g = (-7.0 * e7 * inv * (inv_u * (s - 2.0) + x6 * s * inv_w) - ec * inv_v) * one_by_r;
			dx *= g;
			dy *= g;
			dz *= g;
			ax += dx;
			ay += dy;
			az += dz;
			*(lanes *)(gx + j) -= dx;
			*(lanes *)(gy + j) -= dy;
			*(lanes *)(gz + j) -= dz;
		}
		gx[i] += (ax[0] + ax[1]) + (ax[2] + ax[3]);
		gy[i] += (ay[0] + ay[1]) + (ay[2] + ay[3]);
		gz[i] += (az[0] + az[1]) + (az[2] + az[3]);
	}
	*vdw_kcal += (vdw[0] + vdw[1]) + (vdw[2] + vdw[3]);
	*electrostatic_kcal += (coulomb[0] + coulomb[1]) + (coulomb[2] + coulomb[3]);
}

void mmff_pairs_energy(const struct mmff_pairs *p, const double *pos, double *grad, double *vdw_kcal,
		       double *electrostatic_kcal)
{
	int np = p->n_padded;
	memset(p->slope, 0, 3 * (size_t)np * sizeof *p->slope);
	for (int32_t i = 0; i < p->n; i++)
		for (int c = 0; c < 3; c++)
			p->place[c * np + i] = pos[3 * i + c];
	sum_pairs(p, vdw_kcal, electrostatic_kcal);
	for (int32_t i = 0; i < p->n; i++)
		for (int c = 0; c < 3; c++)
			grad[3 * i + c] += p->slope[c * np + i];
}
