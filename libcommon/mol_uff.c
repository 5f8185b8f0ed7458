/* mol_uff.c - the universal force field: terms of a molecule, energy and gradient. */
#include "mol_ff_geom.h"
#include "mol_ff_impl.h"

#include <string.h>

static const double deg = 3.14159265358979323846 / 180;

struct uff_bond {
	int32_t i, j;
	double k_kcal, r0_ang;
};
/* E = k (c0 + c1 cos t + c2 cos 2t + c3 cos 3t + c4 cos 4t) covers all of UFF's angle forms. */
struct uff_angle {
	int32_t i, j, k;
	double k_kcal, c[5];
};
/* E = v / 2 (1 - sign cos(n phi)) */
struct uff_torsion {
	int32_t atom[4];
	int8_t n, sign;
	double v_kcal;
};
struct uff_inversion {
	int32_t atom[4]; /* centre, then plane j, k, then the bond l */
	double k_kcal, c0, c1, c2;
};
struct uff {
	struct mol_ff base;
	int32_t n_bond, n_angle, n_torsion, n_inversion;
	int64_t n_pair;
	struct uff_bond *bond;
	struct uff_angle *angle;
	struct uff_torsion *torsion;
	struct uff_inversion *inversion;
	int32_t *pair_i, *pair_j;           /* [n_pair] */
	double *pair_x2_ang2, *pair_d_kcal; /* [n_pair]: square of the distance of the minimum, its depth */
};

struct build {
	const struct mol *m;
	const struct mol_uff_type **type; /* [n_atom] */
	struct uff *f;
	struct arena *a;
};

/* ---- parameters ----------------------------------------------------------- */

static bool is_amide(const struct mol *m, const struct mol_bond *b)
{
	for (int side = 0; side < 2; side++) {
		int32_t c = side ? b->a : b->b, n = side ? b->b : b->a;
		if (m->atom[c].z != 6 || m->atom[n].z != 7)
			continue;
		for (int32_t s = m->adj_start[c]; s < m->adj_start[c + 1]; s++)
			if (m->bond[m->adj_bond[s]].order == 2 && m->atom[m->adj_atom[s]].z == 8)
				return true;
	}
	return false;
}

static double bond_order(const struct mol *m, const struct mol_bond *b)
{
	if (b->aromatic)
		return 1.5;
	if (b->order == 1 && is_amide(m, b))
		return 1.41; /* Rappe et al., text */
	return b->order ? b->order : 1;
}

/* Natural length with its corrections for bond order and electronegativity (their equations 2 to 4). */
static double natural_length_ang(const struct mol_uff_type *a, const struct mol_uff_type *b, double order)
{
	double sum = a->r_ang + b->r_ang, d = sqrt(a->chi) - sqrt(b->chi);
	double by_order = -0.1332 * sum * log(order);
	double by_chi = a->r_ang * b->r_ang * d * d / (a->chi * a->r_ang + b->chi * b->r_ang);
	return sum + by_order - by_chi;
}

static const struct mol_bond *bond_between(const struct mol *m, int32_t i, int32_t j)
{
	for (int32_t s = m->adj_start[i]; s < m->adj_start[i + 1]; s++)
		if (m->adj_atom[s] == j)
			return &m->bond[m->adj_bond[s]];
	return NULL;
}

static double length_ang(const struct build *b, int32_t i, int32_t j)
{
	return natural_length_ang(b->type[i], b->type[j], bond_order(b->m, bond_between(b->m, i, j)));
}

static void add_bonds(struct build *b)
{
	for (int32_t i = 0; i < b->m->n_bond; i++) {
		const struct mol_bond *x = &b->m->bond[i];
		double r = length_ang(b, x->a, x->b);
		double k = 664.12 * b->type[x->a]->z_eff * b->type[x->b]->z_eff / (r * r * r);
		b->f->bond[b->f->n_bond++] = (struct uff_bond){x->a, x->b, k, r};
	}
}

/* ---- angles ---------------------------------------------------------------- */

static bool in_small_ring(const struct mol *m, int32_t i, int32_t j, int32_t k)
{
	for (int32_t r = 0; r < m->n_ring; r++) {
		int32_t n = m->ring_start[r + 1] - m->ring_start[r], seen = 0;
		for (int32_t s = m->ring_start[r]; s < m->ring_start[r + 1]; s++)
			seen += m->ring_atom[s] == i || m->ring_atom[s] == j || m->ring_atom[s] == k;
		if (n <= 4 && seen == 3)
			return true;
	}
	return false;
}

/*
 * Natural angle at j. Elements that have one neighbour (or two in a row) in the table stand there with 180 degrees;
 * around chlorine in perchlorate that would let oxygens fall upon each other in pairs.
 */
static double natural_angle_rad(const struct build *b, int32_t j)
{
	double theta_deg = b->type[j]->theta_deg;
	int z = b->m->atom[j].z, degree = b->m->atom[j].degree;
	bool halogen = z == 9 || z == 17 || z == 35 || z == 53 || z == 85;
	if (theta_deg > 179 && (degree > 2 || (halogen && degree == 2)))
		theta_deg = degree > 4 ? 90 : 109.47;
	return theta_deg * deg;
}

static void angle_form(const struct build *b, int32_t i, int32_t j, int32_t k, double c[5])
{
	double theta = natural_angle_rad(b, j), cos0 = cos(theta), sin0 = sin(theta);
	int hybrid = b->m->atom[j].hybrid;
	memset(c, 0, 5 * sizeof *c);
	if (hybrid == MOL_SP && b->m->atom[j].degree == 2) {
		c[0] = c[1] = 1;
	} else if (hybrid == MOL_SP2 && !in_small_ring(b->m, i, j, k)) {
		c[0] = 1.0 / 9;
		c[3] = -1.0 / 9;
	} else if (hybrid == MOL_SP3D2 || (sin0 > 0.99 && cos0 < 0.01 && cos0 > -0.01)) {
		c[0] = 1.0 / 16;
		c[4] = -1.0 / 16;
	} else if (sin0 < 0.01) { /* a terminal atom's 180 degrees serve nothing else */
		c[0] = c[1] = 1;
	} else {
		c[2] = 1 / (4 * sin0 * sin0);
		c[1] = -4 * c[2] * cos0;
		c[0] = c[2] * (2 * cos0 * cos0 + 1);
	}
}

/* Trigonal bipyramids have three kinds of angle at one atom: they are left to distance geometry and to repulsion. */
static bool has_angles(const struct build *b, int32_t j)
{
	return b->m->atom[j].hybrid != MOL_SP3D;
}

static void add_angles(struct build *b)
{
	const struct mol *m = b->m;
	for (int32_t j = 0; j < m->n_atom; j++)
		for (int32_t s = m->adj_start[j]; has_angles(b, j) && s < m->adj_start[j + 1]; s++)
			for (int32_t t = s + 1; t < m->adj_start[j + 1]; t++) {
				int32_t i = m->adj_atom[s], k = m->adj_atom[t];
				double c0 = cos(natural_angle_rad(b, j)), rij = length_ang(b, i, j),
				       rjk = length_ang(b, j, k);
				double rik2 = rij * rij + rjk * rjk - 2 * rij * rjk * c0, rik = sqrt(rik2);
				struct uff_angle x = {.i = i, .j = j, .k = k};
				/* Their equation 13. */
				x.k_kcal = 664.12 * b->type[i]->z_eff * b->type[k]->z_eff / (rik2 * rik2 * rik) *
					   (3 * rij * rjk * (1 - c0 * c0) - rik2 * c0);
				angle_form(b, i, j, k, x.c);
				b->f->angle[b->f->n_angle++] = x;
			}
}

/* ---- torsions --------------------------------------------------------------- */

static bool is_group16(int z)
{
	return z == 8 || z == 16 || z == 34 || z == 52 || z == 84;
}

/* Barrier of the bond j-k by the hybridisation of its ends (their section on torsions). False: none. */
static bool torsion_form(const struct build *b, const struct mol_bond *x, struct uff_torsion *t)
{
	const struct mol *m = b->m;
	int32_t j = x->a, k = x->b;
	int hj = m->atom[j].hybrid, hk = m->atom[k].hybrid;
	if (hj == MOL_SP2 && hk == MOL_SP3) {
		int32_t swap = j;
		j = k;
		k = swap;
		hj = MOL_SP3;
		hk = MOL_SP2;
	}
	const struct mol_uff_type *tj = b->type[j], *tk = b->type[k];
	double stiff = 5 * sqrt(tj->u_kcal * tk->u_kcal) * (1 + 4.18 * log(bond_order(m, x)));
	if (hj == MOL_SP3 && hk == MOL_SP3) {
		*t = (struct uff_torsion){.n = 3, .sign = -1, .v_kcal = sqrt(tj->v_kcal * tk->v_kcal)};
		if (is_group16(m->atom[j].z) && is_group16(m->atom[k].z)) {
			double vj = m->atom[j].z == 8 ? 2 : 6.8, vk = m->atom[k].z == 8 ? 2 : 6.8;
			*t = (struct uff_torsion){.n = 2, .sign = -1, .v_kcal = sqrt(vj * vk)};
		}
		return true;
	}
	if (hj == MOL_SP2 && hk == MOL_SP2) {
		*t = (struct uff_torsion){.n = 2, .sign = 1, .v_kcal = stiff};
		return true;
	}
	if (hj == MOL_SP3 && hk == MOL_SP2) {
		*t = (struct uff_torsion){.n = 6, .sign = 1, .v_kcal = 1};
		if (is_group16(m->atom[j].z) && !is_group16(m->atom[k].z))
			*t = (struct uff_torsion){.n = 2, .sign = -1, .v_kcal = stiff};
		return true;
	}
	return false;
}

/* A bond like propene's: the torsions that end in the double bond's far atom have a barrier of their own. */
static bool is_like_propene(const struct mol *m, const struct uff_torsion *t)
{
	const struct mol_atom *p = &m->atom[t->atom[0]], *j = &m->atom[t->atom[1]], *k = &m->atom[t->atom[2]],
			      *q = &m->atom[t->atom[3]];
	return t->n == 6 &&
	       ((j->hybrid == MOL_SP2 && p->hybrid == MOL_SP2) || (k->hybrid == MOL_SP2 && q->hybrid == MOL_SP2));
}

static void add_torsions(struct build *b)
{
	const struct mol *m = b->m;
	for (int32_t i = 0; i < m->n_bond; i++) {
		const struct mol_bond *x = &m->bond[i];
		struct uff_torsion t;
		int32_t first = b->f->n_torsion;
		if (!torsion_form(b, x, &t) || !(t.v_kcal > 0))
			continue;
		for (int32_t s = m->adj_start[x->a]; s < m->adj_start[x->a + 1]; s++)
			for (int32_t u = m->adj_start[x->b]; u < m->adj_start[x->b + 1]; u++) {
				int32_t p = m->adj_atom[s], q = m->adj_atom[u];
				if (p == x->b || q == x->a || p == q)
					continue;
				memcpy(t.atom, (int32_t[]){p, x->a, x->b, q}, sizeof t.atom);
				b->f->torsion[b->f->n_torsion] = t;
				if (is_like_propene(m, &t)) {
					b->f->torsion[b->f->n_torsion].n = 3;
					b->f->torsion[b->f->n_torsion].sign = -1;
					b->f->torsion[b->f->n_torsion].v_kcal = 2;
				}
				b->f->n_torsion++;
			}
		for (int32_t n = first; n < b->f->n_torsion; n++) /* the barrier is shared out */
			b->f->torsion[n].v_kcal /= b->f->n_torsion - first;
	}
}

/* ---- inversions -------------------------------------------------------------- */

static bool inversion_form(const struct build *b, int32_t c, struct uff_inversion *x)
{
	const struct mol *m = b->m;
	static const struct {
		int z;
		double omega_deg;
	} pyramid[] = {{15, 84.4339}, {33, 86.9735}, {51, 87.7047}, {83, 90}};
	if (m->atom[c].degree != 3)
		return false;
	for (int i = 0; i < 4; i++)
		if (m->atom[c].z == pyramid[i].z) {
			double w = pyramid[i].omega_deg * deg;
			x->c2 = 1;
			x->c1 = -4 * cos(w);
			x->c0 = -(x->c1 * cos(w) + x->c2 * cos(2 * w));
			x->k_kcal = 22 / (x->c0 + x->c1 + x->c2);
			return true;
		}
	if (m->atom[c].hybrid != MOL_SP2 || (m->atom[c].z != 6 && m->atom[c].z != 7 && m->atom[c].z != 8))
		return false;
	*x = (struct uff_inversion){.k_kcal = 6, .c0 = 1, .c1 = -1};
	for (int32_t s = m->adj_start[c]; s < m->adj_start[c + 1]; s++)
		if (m->atom[c].z == 6 && m->atom[m->adj_atom[s]].z == 8 && m->atom[m->adj_atom[s]].hybrid == MOL_SP2 &&
		    m->bond[m->adj_bond[s]].order == 2)
			x->k_kcal = 50;
	return true;
}

static void add_inversions(struct build *b)
{
	static const int8_t turn[3][3] = {{0, 1, 2}, {1, 2, 0}, {2, 0, 1}};
	for (int32_t c = 0; c < b->m->n_atom; c++) {
		struct uff_inversion x = {0};
		if (!inversion_form(b, c, &x))
			continue;
		x.k_kcal /= 3;
		for (int t = 0; t < 3; t++) {
			x.atom[0] = c;
			for (int q = 0; q < 3; q++)
				x.atom[1 + q] = b->m->adj_atom[b->m->adj_start[c] + turn[t][q]];
			b->f->inversion[b->f->n_inversion++] = x;
		}
	}
}

/* ---- pairs ------------------------------------------------------------------- */

static void mark_near(const struct build *b, int32_t i, bool *near)
{
	const struct mol *m = b->m;
	for (int32_t s = m->adj_start[i]; s < m->adj_start[i + 1]; s++) {
		int32_t j = m->adj_atom[s];
		near[j] = true;
		for (int32_t t = m->adj_start[j]; has_angles(b, j) && t < m->adj_start[j + 1]; t++)
			near[m->adj_atom[t]] = true;
	}
}

static void add_pairs(struct build *b)
{
	bool *near = arena_alloc(b->a, (size_t)b->m->n_atom + 1);
	for (int32_t i = 0; i < b->m->n_atom; i++) {
		memset(near, 0, (size_t)b->m->n_atom);
		mark_near(b, i, near);
		for (int32_t j = i + 1; j < b->m->n_atom; j++) {
			if (near[j])
				continue;
			int64_t p = b->f->n_pair++;
			b->f->pair_i[p] = i;
			b->f->pair_j[p] = j;
			b->f->pair_x2_ang2[p] = b->type[i]->x_ang * b->type[j]->x_ang;
			b->f->pair_d_kcal[p] = sqrt(b->type[i]->d_kcal * b->type[j]->d_kcal);
		}
	}
}

/* ---- energy ------------------------------------------------------------------ */

static double bonds_energy(const struct uff *f, const double *pos, double *g)
{
	double sum = 0;
	for (int32_t n = 0; n < f->n_bond; n++) {
		const struct uff_bond *b = &f->bond[n];
		struct ff_vec d = ff_sub(ff_at(pos, b->i), ff_at(pos, b->j));
		double r = ff_length(d), off = r - b->r0_ang, slope = b->k_kcal * off / r;
		sum += 0.5 * b->k_kcal * off * off;
		ff_add(g, b->i, d, slope);
		ff_add(g, b->j, d, -slope);
	}
	return sum;
}

static double angles_energy(const struct uff *f, const double *pos, double *g)
{
	double sum = 0;
	for (int32_t n = 0; n < f->n_angle; n++) {
		const struct uff_angle *a = &f->angle[n];
		struct ff_vec d[3];
		double c = ff_cos_angle(pos, a->i, a->j, a->k, d), c2 = c * c;
		double e = a->c[0] + a->c[1] * c + a->c[2] * (2 * c2 - 1) + a->c[3] * c * (4 * c2 - 3) +
			   a->c[4] * (8 * c2 * c2 - 8 * c2 + 1);
		double slope = a->c[1] + 4 * a->c[2] * c + a->c[3] * (12 * c2 - 3) + a->c[4] * (32 * c2 - 16) * c;
		sum += a->k_kcal * e;
		ff_add(g, a->i, d[0], a->k_kcal * slope);
		ff_add(g, a->j, d[1], a->k_kcal * slope);
		ff_add(g, a->k, d[2], a->k_kcal * slope);
	}
	return sum;
}

/* cos(n phi) and its derivative by cos(phi). */
static double cos_multiple(int n, double c, double *slope)
{
	double c2 = c * c;
	switch (n) {
	case 2:
		*slope = 4 * c;
		return 2 * c2 - 1;
	case 3:
		*slope = 12 * c2 - 3;
		return c * (4 * c2 - 3);
	default:
		*slope = c * (192 * c2 * c2 - 192 * c2 + 36);
		return c2 * (32 * c2 * c2 - 48 * c2 + 18) - 1;
	}
}

static double torsions_energy(const struct uff *f, const double *pos, double *g)
{
	double sum = 0;
	for (int32_t n = 0; n < f->n_torsion; n++) {
		const struct uff_torsion *t = &f->torsion[n];
		struct ff_vec d[4];
		double slope, c = ff_cos_torsion(pos, t->atom, d), cn = cos_multiple(t->n, c, &slope);
		sum += 0.5 * t->v_kcal * (1 - t->sign * cn);
		for (int q = 0; q < 4; q++)
			ff_add(g, t->atom[q], d[q], -0.5 * t->v_kcal * t->sign * slope);
	}
	return sum;
}

static double inversions_energy(const struct uff *f, const double *pos, double *g)
{
	double sum = 0;
	for (int32_t n = 0; n < f->n_inversion; n++) {
		const struct uff_inversion *x = &f->inversion[n];
		struct ff_vec d[4];
		double s = ff_sin_wilson(pos, x->atom, d), s2 = s * s > 0.999999 ? 0.999999 : s * s, c = sqrt(1 - s2);
		sum += x->k_kcal * (x->c0 + x->c1 * c + x->c2 * (1 - 2 * s2));
		double slope = x->k_kcal * (-x->c1 * s / c - 4 * x->c2 * s);
		for (int q = 0; q < 4; q++)
			ff_add(g, x->atom[q], d[q], slope);
	}
	return sum;
}

static double pairs_energy(const struct uff *f, const double *pos, double *g)
{
	double sum = 0;
	for (int64_t p = 0; p < f->n_pair; p++) {
		int32_t i = f->pair_i[p], j = f->pair_j[p];
		struct ff_vec d = ff_sub(ff_at(pos, i), ff_at(pos, j));
		double r2 = ff_dot(d, d);
		if (r2 < 0.01)
			r2 = 0.01; /* a tenth of an angstrom: steep enough, and finite */
		double q = f->pair_x2_ang2[p] / r2, q3 = q * q * q, depth = f->pair_d_kcal[p];
		sum += depth * q3 * (q3 - 2);
		double slope = -12 * depth * q3 * (q3 - 1) / r2;
		ff_add(g, i, d, slope);
		ff_add(g, j, d, -slope);
	}
	return sum;
}

static void uff_energy(const struct mol_ff *ff, const double *pos, double *grad, double *terms)
{
	const struct uff *f = (const struct uff *)ff;
	terms[MOL_FF_BOND] = bonds_energy(f, pos, grad);
	terms[MOL_FF_ANGLE] = angles_energy(f, pos, grad);
	terms[MOL_FF_TORSION] = torsions_energy(f, pos, grad);
	terms[MOL_FF_OUT_OF_PLANE] = inversions_energy(f, pos, grad);
	terms[MOL_FF_VDW] = pairs_energy(f, pos, grad);
}

static void uff_stiffen(const struct mol_ff *ff, const double *pos, struct ff_metric *w)
{
	const struct uff *f = (const struct uff *)ff;
	struct ff_vec d[4];
	for (int32_t n = 0; n < f->n_bond; n++) {
		const struct uff_bond *b = &f->bond[n];
		d[0] = ff_sub(ff_at(pos, b->i), ff_at(pos, b->j));
		d[0] = ff_scale(d[0], 1 / ff_length(d[0]));
		d[1] = ff_scale(d[0], -1);
		ff_metric_add(w, 2, (int32_t[]){b->i, b->j}, d, b->k_kcal);
	}
	for (int32_t n = 0; n < f->n_angle; n++) {
		const struct uff_angle *a = &f->angle[n];
		double c = ff_cos_angle(pos, a->i, a->j, a->k, d);
		double bent = 4 * a->c[2] + 24 * a->c[3] * c + (96 * c * c - 16) * a->c[4];
		if (a->k_kcal * bent > 0)
			ff_metric_add(w, 3, (int32_t[]){a->i, a->j, a->k}, d, a->k_kcal * bent);
	}
}

int mol_uff_new(const struct mol *m, struct arena *a, struct mol_ff **out, struct mol_reject *why, struct err *e)
{
	struct uff *f = arena_calloc(a, 1, sizeof *f);
	struct build b = {.m = m, .f = f, .a = a};
	size_t n_angle = 1, n_torsion = 1, n_pair = (size_t)m->n_atom * (size_t)m->n_atom / 2 + 1;
	b.type = arena_alloc(a, (size_t)(m->n_atom + 1) * sizeof *b.type);
	for (int32_t i = 0; i < m->n_atom; i++) {
		size_t d = (size_t)(m->adj_start[i + 1] - m->adj_start[i]);
		b.type[i] = mol_uff_type_of(m, i);
		if (!b.type[i]) {
			why->code = "no-parameters";
			why->column = 0;
			snprintf(why->msg, sizeof why->msg, "UFF has no type for atom %d (atomic number %d)", i + 1,
				 m->atom[i].z);
			return err_set(e, ERR_CHEM, "%s", why->msg);
		}
		n_angle += d * d / 2;
	}
	for (int32_t i = 0; i < m->n_bond; i++)
		n_torsion += (size_t)(m->adj_start[m->bond[i].a + 1] - m->adj_start[m->bond[i].a]) *
			     (size_t)(m->adj_start[m->bond[i].b + 1] - m->adj_start[m->bond[i].b]);
	f->bond = arena_alloc(a, (size_t)(m->n_bond + 1) * sizeof *f->bond);
	f->angle = arena_alloc(a, n_angle * sizeof *f->angle);
	f->torsion = arena_alloc(a, n_torsion * sizeof *f->torsion);
	f->inversion = arena_alloc(a, 3 * (size_t)(m->n_atom + 1) * sizeof *f->inversion);
	f->pair_i = arena_alloc(a, n_pair * sizeof *f->pair_i);
	f->pair_j = arena_alloc(a, n_pair * sizeof *f->pair_j);
	f->pair_x2_ang2 = arena_alloc(a, n_pair * sizeof *f->pair_x2_ang2);
	f->pair_d_kcal = arena_alloc(a, n_pair * sizeof *f->pair_d_kcal);
	add_bonds(&b);
	add_angles(&b);
	add_torsions(&b);
	add_inversions(&b);
	add_pairs(&b);
	f->base.energy = uff_energy;
	f->base.stiffen = uff_stiffen;
	*out = &f->base;
	return 0;
}
