/* mol_mmff_energy.c - MMFF94's bonded terms and their gradients (part I, equations 2 to 7). */
#include "mol_ff_geom.h"
#include "mol_mmff.h"

static const double per_rad = 180 / 3.14159265358979323846;

/* Quartic: k/2 d^2 (1 - 2 d + 7/3 d^2) */
static double bonds_energy(const struct mmff *f, const double *pos, double *g)
{
	double sum = 0;
	for (int32_t n = 0; n < f->n_bond; n++) {
		const struct mmff_bond *b = &f->bond[n];
		struct ff_vec d = ff_sub(ff_at(pos, b->i), ff_at(pos, b->j));
		double r = ff_length(d), x = r - b->r0_ang;
		sum += 0.5 * b->k_kcal * x * x * (1 - 2 * x + 7 / 3. * x * x);
		double slope = b->k_kcal * x * (1 - 3 * x + 14 / 3. * x * x) / r;
		ff_add(g, b->i, d, slope);
		ff_add(g, b->j, d, -slope);
	}
	return sum;
}

/* Cubic bend k/2 t^2 (1 - 0.006981317 t), t in degrees, or k (1 + cos) about linear atoms; and what stretching and
 * bending share, (kij dij + kkj dkj) t. */
static void angles_energy(const struct mmff *f, const double *pos, double *g, double *bend, double *stretch_bend)
{
	for (int32_t n = 0; n < f->n_angle; n++) {
		const struct mmff_angle *q = &f->angle[n];
		struct ff_vec a = ff_sub(ff_at(pos, q->i), ff_at(pos, q->j));
		struct ff_vec b = ff_sub(ff_at(pos, q->k), ff_at(pos, q->j));
		double la = ff_length(a), lb = ff_length(b);
		a = ff_scale(a, 1 / la);
		b = ff_scale(b, 1 / lb);
		double c = ff_dot(a, b), by_a = 0, by_b = 0, by_cos;
		if (q->linear) {
			*bend += q->k_kcal * (1 + c);
			by_cos = q->k_kcal;
		} else {
			c = c > 1 ? 1 : c < -1 ? -1 : c;
			double s2 = 1 - c * c, s = sqrt(s2 > 1e-12 ? s2 : 1e-12);
			double t = acos(c) * per_rad - q->theta0_deg;
			double stretch = q->kij_kcal * (la - q->rij_ang) + q->kkj_kcal * (lb - q->rkj_ang);
			*bend += 0.5 * q->k_kcal * t * t * (1 - 0.006981317 * t);
			*stretch_bend += stretch * t;
			by_cos = -(q->k_kcal * t * (1 - 1.5 * 0.006981317 * t) + stretch) * per_rad / s;
			by_a = q->kij_kcal * t;
			by_b = q->kkj_kcal * t;
		}
		struct ff_vec ga = ff_scale(ff_sub(b, ff_scale(a, c)), by_cos / la);
		struct ff_vec gb = ff_scale(ff_sub(a, ff_scale(b, c)), by_cos / lb);
		ga = (struct ff_vec){ga.x + by_a * a.x, ga.y + by_a * a.y, ga.z + by_a * a.z};
		gb = (struct ff_vec){gb.x + by_b * b.x, gb.y + by_b * b.y, gb.z + by_b * b.z};
		ff_add(g, q->i, ga, 1);
		ff_add(g, q->k, gb, 1);
		ff_add(g, q->j, ga, -1);
		ff_add(g, q->j, gb, -1);
	}
}

/* k/2 of the square of Wilson's angle in degrees */
static double oops_energy(const struct mmff *f, const double *pos, double *g)
{
	double sum = 0;
	for (int32_t n = 0; n < f->n_oop; n++) {
		const struct mmff_oop *o = &f->oop[n];
		struct ff_vec d[4];
		double s = ff_sin_wilson(pos, o->atom, d), c2 = 1 - s * s, w = asin(s) * per_rad;
		sum += 0.5 * o->k_kcal * w * w;
		double slope = o->k_kcal * w * per_rad / sqrt(c2 > 1e-12 ? c2 : 1e-12);
		for (int k = 0; k < 4; k++)
			ff_add(g, o->atom[k], d[k], slope);
	}
	return sum;
}

/* (V1 (1 + cos) + V2 (1 - cos 2) + V3 (1 + cos 3)) / 2, as a polynomial of the cosine */
static double torsions_energy(const struct mmff *f, const double *pos, double *g)
{
	double sum = 0;
	for (int32_t n = 0; n < f->n_torsion; n++) {
		const struct mmff_torsion *t = &f->torsion[n];
		const double *v = t->v_kcal;
		struct ff_vec d[4];
		double c = ff_cos_torsion(pos, t->atom, d), c2 = c * c;
		sum += 0.5 * (v[0] * (1 + c) + v[1] * 2 * (1 - c2) + v[2] * (1 + c * (4 * c2 - 3)));
		double slope = 0.5 * (v[0] - 4 * v[1] * c + v[2] * (12 * c2 - 3));
		for (int k = 0; k < 4; k++)
			ff_add(g, t->atom[k], d[k], slope);
	}
	return sum;
}

void mmff_energy(const struct mol_ff *ff, const double *pos, double *grad, double *terms)
{
	const struct mmff *f = (const struct mmff *)ff;
	terms[MOL_FF_BOND] = bonds_energy(f, pos, grad);
	angles_energy(f, pos, grad, &terms[MOL_FF_ANGLE], &terms[MOL_FF_STRETCH_BEND]);
	terms[MOL_FF_OUT_OF_PLANE] = oops_energy(f, pos, grad);
	terms[MOL_FF_TORSION] = torsions_energy(f, pos, grad);
	mmff_pairs_energy(f->pairs, pos, grad, &terms[MOL_FF_VDW], &terms[MOL_FF_ELECTROSTATIC]);
}

void mmff_stiffen(const struct mol_ff *ff, const double *pos, struct ff_metric *w)
{
	const struct mmff *f = (const struct mmff *)ff;
	struct ff_vec d[4];
	for (int32_t n = 0; n < f->n_bond; n++) {
		const struct mmff_bond *b = &f->bond[n];
		d[0] = ff_sub(ff_at(pos, b->i), ff_at(pos, b->j));
		d[0] = ff_scale(d[0], 1 / ff_length(d[0]));
		d[1] = ff_scale(d[0], -1);
		ff_metric_add(w, 2, (int32_t[]){b->i, b->j}, d, b->k_kcal);
	}
	for (int32_t n = 0; n < f->n_angle; n++) {
		const struct mmff_angle *q = &f->angle[n];
		double c = ff_cos_angle(pos, q->i, q->j, q->k, d), s2 = 1 - c * c;
		double k = q->linear ? q->k_kcal : q->k_kcal * per_rad * per_rad;
		ff_metric_add(w, 3, (int32_t[]){q->i, q->j, q->k}, d, k / (s2 > 0.05 ? s2 : 0.05));
	}
	for (int32_t n = 0; n < f->n_oop; n++) {
		ff_sin_wilson(pos, f->oop[n].atom, d);
		double k = f->oop[n].k_kcal * per_rad * per_rad;
		if (k > 0)
			ff_metric_add(w, 4, f->oop[n].atom, d, k);
	}
}
