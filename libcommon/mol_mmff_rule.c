/* mol_mmff_rule.c - empirical rules for parameters that MMFF94's tables lack (part V, p. 625 to 632). */
#include "mol_mmff.h"

#include <math.h>

/* Covalent radii (Blom and Haaland), electronegativities (Allred and Rochow); Z and C of the rule for angles (table
 * VI); U, V, W of the rule for torsions (table VII). 0: not given. */
static const struct element {
	int z;
	double radius_ang, chi, angle_z, angle_c, u, v, w;
} elements[] = {{1, 0.33, 2.20, 1.395, 0, 0, 0, 0},
		{3, 1.34, 0.97, 0, 0, 0, 0, 0},
		{6, 0.77, 2.50, 2.494, 1.016, 2.00, 2.12, 0},
		{7, 0.73, 3.07, 2.711, 1.113, 2.00, 1.50, 0},
		{8, 0.72, 3.50, 3.045, 1.337, 2.00, 0.20, 2},
		{9, 0.74, 4.12, 2.847, 0, 0, 0, 0},
		{11, 1.54, 1.01, 0, 0, 0, 0, 0},
		{12, 1.30, 1.23, 0, 0, 0, 0, 0},
		{14, 1.15, 1.74, 2.350, 0.811, 1.25, 1.22, 0},
		{15, 1.09, 2.06, 2.350, 1.068, 1.25, 2.40, 0},
		{16, 1.03, 2.44, 2.980, 1.249, 1.25, 0.49, 8},
		{17, 1.01, 2.83, 2.909, 1.078, 0, 0, 0},
		{35, 1.15, 2.74, 3.017, 0, 0, 0, 0},
		{53, 1.33, 2.21, 3.086, 0, 0, 0, 0}};

static const struct element *element_of(int z)
{
	static const struct element none;
	for (size_t k = 0; k < sizeof elements / sizeof *elements; k++)
		if (elements[k].z == z)
			return &elements[k];
	return &none;
}

/* Badger's rule as Herschbach and Laurie fitted it (J. Chem. Phys. 35, 458, 1961), by rows of the periodic table. */
static double badger_constant(int z_i, int z_j, double r_ang)
{
	static const struct {
		int row_i, row_j;
		double a, d;
	} rows[] = {{0, 0, 1.26, 0.025}, {0, 1, 1.66, 0.30}, {0, 2, 1.84, 0.38}, {0, 3, 1.98, 0.49},
		    {0, 4, 2.03, 0.51},  {1, 1, 1.91, 0.68}, {1, 2, 2.28, 0.74}, {1, 3, 2.35, 0.85},
		    {1, 4, 2.33, 0.68},  {2, 2, 2.41, 1.18}, {2, 3, 2.52, 1.02}, {2, 4, 2.61, 1.28},
		    {3, 3, 2.58, 1.41},  {3, 4, 2.66, 0.86}, {4, 4, 2.85, 1.62}};
	int i = mmff_row(z_i), j = mmff_row(z_j);
	for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
		if ((rows[k].row_i == i && rows[k].row_j == j) || (rows[k].row_i == j && rows[k].row_j == i))
			return pow(10, -(r_ang - rows[k].a) / rows[k].d);
	return 0;
}

bool mmff_rule_bond(int z_i, int z_j, double p[2])
{
	const struct element *i = element_of(z_i), *j = element_of(z_j);
	bool swapped;
	if (!i->z || !j->z)
		return false;
	/* Schomaker and Stevenson's rule. The corrections for hybridisation that the text gives are left out, as in
	 * the program that made the validation suite. */
	double c = z_i == 1 || z_j == 1 ? 0.05 : 0.085;
	p[1] = i->radius_ang + j->radius_ang - c * pow(fabs(i->chi - j->chi), 1.4);
	const double *reference = mmff_find(MMFF_BOND_RULE, (int[]){z_i, z_j}, &swapped);
	p[0] = reference ? reference[1] * pow(reference[0] / p[1], 6) : badger_constant(z_i, z_j, p[1]);
	return p[0] > 0;
}

static double rule_angle_deg(const struct mmff_prop *j, int ring)
{
	if (ring)
		return ring == 3 ? 60 : 90;
	if (j->crd == 4)
		return 109.45;
	if (j->crd == 2 && j->z == 8)
		return 105;
	if (j->crd == 2 && j->lin)
		return 180;
	if (j->crd == 2 && j->z > 10)
		return 95;
	if (j->crd == 3 && j->val == 3 && !j->mltb)
		return j->z == 7 ? 107 : 92;
	return 120;
}

bool mmff_rule_angle(const struct mmff_types *t, const int32_t atom[3], double r_ij, double r_kj, double p[2])
{
	const struct mol *m = t->m;
	int ring = mmff_angle_ring(m, atom[0], atom[1], atom[2]);
	const struct element *i = element_of(m->atom[atom[0]].z), *j = element_of(m->atom[atom[1]].z),
			     *k = element_of(m->atom[atom[2]].z);
	if (!(p[1] > 0))
		p[1] = rule_angle_deg(mmff_prop(t->type[atom[1]]), ring);
	double theta = p[1] * 3.14159265358979323846 / 180, sum = r_ij + r_kj, d = (r_ij - r_kj) / sum;
	double beta = ring == 3 ? 0.05 : ring == 4 ? 0.85 : 1;
	p[0] = 1.75 * beta * i->angle_z * j->angle_c * k->angle_z / (sum * theta * theta) * exp(-2 * d * d);
	return true;
}

/* Conjugation over a single bond: a lone pair on j beside the multiple bonds of k. */
static double lone_pair_share(const struct mmff_prop *pair, const struct mmff_prop *other)
{
	if (pair->mltb == 1)
		return 0.5;
	return mmff_row(pair->z) == 1 && mmff_row(other->z) == 1 ? 0.3 : 0.15;
}

void mmff_rule_torsion(const struct mmff_types *t, int32_t a, int32_t b, double p[3])
{
	const struct mmff_prop *j = mmff_prop(t->type[a]), *k = mmff_prop(t->type[b]);
	const struct element *ej = element_of(j->z), *ek = element_of(k->z);
	int order = mmff_order(t, a, b);
	double u = sqrt(ej->u * ek->u), v3 = sqrt(ej->v * ek->v) / fmax(1, (j->crd - 1) * (k->crd - 1));
	p[0] = p[1] = p[2] = 0;
	if (j->lin || k->lin)
		return; /* (a) */
	if (j->arom && k->arom && order == 5) {
		bool three_four = (j->val == 3 && k->val == 4) || (j->val == 4 && k->val == 3);
		p[1] = (three_four ? 3 : 6) * (j->pilp || k->pilp ? 0.3 : 0.5) * u; /* (b) */
	} else if (order == 2) {
		p[1] = 6 * (j->mltb == 2 && k->mltb == 2 ? 1 : 0.4) * u; /* (c) */
	} else if (j->crd == 4 && k->crd == 4) {
		p[2] = v3; /* (d) */
	} else if (j->crd == 4 || k->crd == 4) {
		const struct mmff_prop *x = j->crd == 4 ? k : j;
		bool flat = (x->crd == 3 && (x->val == 4 || x->val == 34 || x->mltb)) ||
			    (x->crd == 2 && (x->val == 3 || x->mltb));
		p[2] = flat ? 0 : v3; /* (e), (f) */
	} else if ((order == 1 && j->mltb && k->mltb) || (j->mltb && k->pilp) || (j->pilp && k->mltb)) {
		double share = 0.15; /* (g) */
		if (j->pilp && k->pilp)
			return;
		if (j->pilp)
			share = lone_pair_share(j, k);
		else if (k->pilp)
			share = lone_pair_share(k, j);
		else if ((j->mltb == 1 || k->mltb == 1) && (j->z != 6 || k->z != 6))
			share = 0.4;
		p[1] = 6 * share * u;
	} else if ((j->z == 8 || j->z == 16) && (k->z == 8 || k->z == 16)) {
		p[1] = -sqrt(ej->w * ek->w); /* (h) */
	} else {
		p[2] = v3;
	}
}
