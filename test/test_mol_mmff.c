/* test_mol_mmff.c - MMFF94 and MMFF94s: energies known from elsewhere, charges, gradients by differences, refusals. */
#include "mol_conf.h"
#include "mol_ff_metric.h"
#include "mol_made.h"
#include "mol_mmff.h"

#include "tap.h"

#include <stdlib.h>

/* Energies (kcal/mol) by RDKit 2026.09 without a cut-off, fragments seeing each other, at these coordinates (angstrom;
 * hydrogens after heavy atoms). */
static const struct {
	const char *smiles;
	double mmff94_kcal, mmff94s_kcal, pos[80];
} known[] = {
    {"CC(=O)Nc1ccccc1", 26.303690, 26.793553, {3.410,  0.086,  0.566,  1.931,  0.369,  0.570,  1.447,  1.367,  1.159,
					       1.089,  -0.543, -0.126, -0.316, -0.320, -0.151, -0.801, 0.447,  -1.193,
					       -2.138, 0.728,  -1.319, -3.021, 0.232,  -0.381, -2.534, -0.539, 0.666,
					       -1.184, -0.822, 0.793,  3.904,  0.456,  1.496,  3.894,  0.624,  -0.301,
					       3.500,  -1.017, 0.436,  1.520,  -1.377, -0.615, -0.105, 0.846,  -1.944,
					       -2.439, 1.333,  -2.159, -4.081, 0.460,  -0.489, -3.244, -0.904, 1.369,
					       -0.832, -1.427, 1.621}},
    {"C[n+]1cc[nH]c1.[Cl-]",
     277.942381,
     277.942381,
     {1.889,  0.002,  0.079,  0.436,  -0.027, 0.020,  -0.370, -1.106, 0.148,  -1.676, -0.659, 0.022,  -1.607, 0.671,
      -0.177, -0.321, 1.065,  -0.181, 3.500,  1.500,  0.500,  2.210,  0.941,  0.597,  2.293,  -0.015, -0.947, 2.220,
      -0.874, 0.678,  -0.032, -2.123, 0.319,  -2.565, -1.256, 0.074,  -2.465, 1.285,  -0.309, -0.013, 2.095,  -0.324}},
    {"OC(=O)C[NH3+]", 22.921806, 22.921806, {2.173,  -0.570, -0.339, 0.975,  0.040,  0.061,  0.989,  1.083,  0.799,
					     -0.337, -0.520, -0.370, -1.339, 0.360,  0.226,  3.014,  -0.092, 0.021,
					     -0.387, -0.398, -1.476, -0.453, -1.565, -0.028, -1.021, 0.542,  1.205,
					     -1.341, 1.222,  -0.372, -2.272, -0.102, 0.274}},
    {"CS(=O)(=O)NC", -41.609786, -41.609786, {1.656,  -0.449, -0.096, 0.526,  0.746,  0.623, 0.618,  2.036,
					      -0.142, 0.974,  1.046,  2.047,  -1.080, 0.159, 0.655,  -1.630,
					      -0.124, -0.634, 1.023,  -1.265, -0.542, 2.161, 0.069,  -0.940,
					      2.354,  -0.815, 0.672,  -1.121, -0.670, 1.274, -0.895, -0.171,
					      -1.461, -2.133, -1.132, -0.550, -2.454, 0.569, -0.906}},
    {"O=[N+]([O-])c1ccsc1", 38.443844, 38.443844, {2.608,  0.791,  -0.024, 1.836,  -0.165, 0.014,  2.259,
						   -1.458, 0.070,  0.411,  0.065,  -0.001, -0.555, -0.895,
						   0.036,  -1.820, -0.384, 0.009,  -1.878, 1.266,  -0.061,
						   -0.108, 1.334,  -0.057, -0.366, -1.979, 0.082,  -2.788,
						   -0.867, 0.026,  0.401,  2.291,  -0.096}},
    {"CC1CC1C#N", 30.827562, 30.827562, {-1.361, 0.618,  0.135, -0.216, 0.169,  -0.727, 0.329, -1.196, -0.323, 1.172,
					 0.040,  -0.188, 1.451, 0.458,  1.199,  1.672,  0.779, 2.292,  -2.275, 0.742,
					 -0.509, -1.170, 1.584, 0.662,  -1.615, -0.204, 0.846, -0.287, 0.344,  -1.823,
					 -0.150, -1.655, 0.580, 0.479,  -1.885, -1.184, 1.971, 0.205,  -0.961}},
    {"COP(=O)([O-])OC.[Na+]",
     -2.867402,
     -2.867402,
     {-2.154, 0.278, 0.568,  -0.785, 0.240, 0.746, 0.030, -0.711, -0.367, -0.684, -2.029, -0.608, 0.148, 0.024,
      -1.898, 1.629, -0.947, 0.155,  2.256, 0.292, 0.209, 3.500,  1.500,  0.500,  -2.574, -0.619, 0.084, -2.425,
      1.185,  0.005, -2.621, 0.391,  1.578, 1.959, 0.799, 1.155,  1.852,  0.890,  -0.633, 3.367,  0.207, 0.128}},
    {"C1CC=CC1=O", 21.297856, 21.297856, {0.583,  -0.949, -0.189, -0.696, -0.651, 0.577,  -1.068, 0.657,  -0.014,
					  -0.001, 1.301,  -0.456, 1.155,  0.444,  -0.180, 2.352,  0.787,  0.019,
					  0.300,  -1.246, -1.202, 1.234,  -1.659, 0.321,  -1.453, -1.433, 0.484,
					  -0.343, -0.543, 1.638,  -2.096, 1.005,  -0.058, 0.032,  2.288,  -0.940}},
    {"NC(=[NH2+])N.O", -117.858979, -117.858979, {-0.378, 1.294,  0.432,  0.024,  -0.012, -0.004, 1.303,  -0.247,
						  -0.077, -0.920, -1.024, -0.348, 3.494,  1.886,  0.500,  -1.251,
						  1.697,  -0.002, 0.171,  1.831,  1.153,  2.022,  0.470,  0.167,
						  1.570,  -1.207, -0.399, -1.194, -1.203, -1.354, -1.346, -1.598,
						  0.432,  2.705,  1.305,  0.500,  4.301,  1.309,  0.500}},
    {"c1ccc2[nH]ccc2c1", 20.227772, 20.227772, {-2.131, -0.529, -0.019, -2.011, 0.828,  0.188,  -0.758, 1.445,
						0.247,  0.380,  0.668,  0.093,  1.694,  0.978,  0.102,  2.409,
						-0.159, -0.096, 1.546,  -1.228, -0.237, 0.263,  -0.710, -0.118,
						-0.983, -1.286, -0.171, -3.121, -1.004, -0.064, -2.896, 1.443,
						0.310,  -0.663, 2.503,  0.409,  2.090,  1.945,  0.241,  3.488,
						-0.269, -0.145, 1.784,  -2.267, -0.405, -1.091, -2.358, -0.334}},
    {"CN(C)N=O", 24.358390, 24.358390, {1.343,  -0.045, 0.243,  -0.024, 0.226,  -0.181, -1.083, -0.747, -0.094,
					-0.283, 1.493,  -0.689, -0.974, 2.278,  -0.018, 1.641,  0.782,  0.900,
					1.456,  -1.025, 0.731,  1.927,  -0.067, -0.692, -1.988, -0.218, 0.224,
					-1.222, -1.208, -1.099, -0.792, -1.468, 0.674}},
    {"C[Si](C)(C)Br", 9.447992, 9.447992, {-0.418, 1.600,  -0.499, 0.110,  0.106,  0.479,  1.618,  -0.595, -0.387,
					   -1.326, -1.096, 0.400,  0.712,  0.585,  2.580,  -0.216, 1.356,  -1.572,
					   -1.526, 1.675,  -0.378, 0.113,  2.493,  -0.148, 2.449,  -0.724, 0.327,
					   1.289,  -1.557, -0.819, 1.947,  0.132,  -1.159, -2.123, -0.681, -0.260,
					   -1.713, -1.240, 1.419,  -0.917, -2.056, 0.017}},
    {"CSSC", 11.552263, 11.552263, {2.095, -0.185, 0.003,  0.795,  0.825,  -0.760, -0.784, 1.261,  0.585,  -2.101,
				    0.033, 0.558,  2.942,  0.454,  0.322,  2.457,  -0.929, -0.725, 1.732,  -0.740,
				    0.886, -2.187, -0.511, -0.392, -3.087, 0.493,  0.781,  -1.862, -0.700, 1.373}},
    {"O=c1[nH]cnc2nc[nH]c12",
     -84.985783,
     -85.116765,
     {-0.039, 1.525,  -1.925, -0.409, 0.714,  -1.024, -1.700, 0.336, -0.955, -2.169, -0.520, -0.027, -1.310, -1.027,
      0.878,  0.005,  -0.672, 0.844,  1.075,  -1.015, 1.610,  2.177, -0.365, 1.140,  1.821,  0.389,  0.083,  0.501,
      0.201,  -0.095, -2.347, 0.734,  -1.656, -3.199, -0.830, 0.038, 3.168,  -0.478, 1.593,  2.427,  1.008,  -0.503}},
};
enum { N_KNOWN = sizeof known / sizeof *known };

static void test_known(struct arena *a)
{
	for (int i = 0; i < N_KNOWN; i++) {
		struct mol *m = made_molecule(known[i].smiles, a);
		struct mol_ff *ff = made_field(m, MOL_FF_MMFF94, a), *s = made_field(m, MOL_FF_MMFF94S, a);
		double terms[MOL_FF_N_TERM], sum = 0;
		tap_near(ff ? mol_ff_energy_kcal(ff, known[i].pos, NULL, terms) : NAN, known[i].mmff94_kcal, 2e-3,
			 known[i].smiles);
		for (int t = 0; t < MOL_FF_N_TERM && ff; t++)
			sum += terms[t];
		tap_near(sum, known[i].mmff94_kcal, 2e-3, "its terms add up");
		tap_near(s ? mol_ff_energy_kcal(s, known[i].pos, NULL, NULL) : NAN, known[i].mmff94s_kcal, 2e-3,
			 "MMFF94s");
	}
	/* the wrong variant: a static amide nitrogen is not MMFF94's */
	struct mol_ff *wrong = made_field(made_molecule(known[0].smiles, a), MOL_FF_MMFF94S, a);
	double off = fabs(mol_ff_energy_kcal(wrong, known[0].pos, NULL, NULL) - known[0].mmff94_kcal);
	tap_ok(off > 0.1, "MMFF94s in the place of MMFF94 is seen (%.2f kcal/mol)", off);
}

/* Charges add up to the molecule's; each is one of the papers' (part II) where they give it. */
static void test_charges(struct arena *a)
{
	static const struct {
		const char *smiles;
		int total, atom;
		double charge;
	} rows[] = {{"O", 0, 0, -0.86},          {"CC(=O)[O-]", -1, 2, -0.90},     {"C[NH3+]", 1, 1, -0.853},
		    {"c1ccccc1", 0, 0, -0.15},   {"CC(N)=O", 0, 2, -0.80},         {"NC(N)=[NH2+]", 1, 1, 1.20},
		    {"[Na+].[Cl-]", 0, 0, 1.00}, {"C[N+](C)(C)C", 1, 1, -1.012},   {"CS(C)(=O)=O", 0, 3, -0.65},
		    {"c1nnn[n-]1", -1, 0, NAN},  {"[O-]S(=O)(=O)[O-]", -2, 0, NAN}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct mol *m = made_molecule(rows[i].smiles, a);
		struct mmff_types t;
		struct mol_reject why;
		struct err e = {0};
		double sum = 0;
		if (!tap_ok(m && !mmff_types_new(m, a, &t, &why, &e), "%s has types", rows[i].smiles))
			continue;
		for (int32_t k = 0; k < m->n_atom; k++)
			sum += t.charge[k];
		tap_near(sum, rows[i].total, 1e-9, "its charges add up");
		if (!isnan(rows[i].charge))
			tap_near(t.charge[rows[i].atom], rows[i].charge, 5e-4, "one of them is as published");
	}
}

static void test_gradient(struct arena *a)
{
	double pos[80];
	for (int i = 0; i < N_KNOWN; i++) {
		struct mol *m = made_molecule(known[i].smiles, a);
		struct mol_ff *ff = made_field(m, MOL_FF_MMFF94, a);
		memcpy(pos, known[i].pos, sizeof pos);
		double err = ff ? made_gradient_error(ff, m->n_atom, pos, 0) : NAN;
		tap_ok(err <= 1e-6, "%s: gradient equals differences (%.1e)", known[i].smiles, err);
	}
	struct mol *m = made_molecule(known[0].smiles, a);
	memcpy(pos, known[0].pos, sizeof pos);
	tap_ok(made_gradient_error(made_field(m, MOL_FF_MMFF94, a), m->n_atom, pos, 1) > 1e-3,
	       "a wrong gradient is seen");
}

/* Atoms upon each other and atoms in a line give numbers. */
static void test_degenerate(struct arena *a)
{
	struct mol *m = made_molecule(known[0].smiles, a);
	struct mol_ff *ff = made_field(m, MOL_FF_MMFF94, a);
	double pos[80] = {0}, grad[80];
	for (int line = 0; line < 2; line++) {
		for (int i = 0; i < m->n_atom; i++)
			pos[3 * i] = line * 1.5 * i;
		double e = mol_ff_energy_kcal(ff, pos, grad, NULL), sum = 0;
		for (int k = 0; k < 3 * m->n_atom; k++)
			sum += fabs(grad[k]);
		tap_ok(isfinite(e) && isfinite(sum), line ? "atoms in a line" : "atoms upon each other");
	}
}

static void test_refusal(struct arena *a)
{
	static const char *const smiles[] = {"C[Se]C", "[Pt](Cl)Cl", "CB(O)O", "FS(F)(F)(F)(F)F", "[H][H]"};
	for (size_t i = 0; i < sizeof smiles / sizeof *smiles; i++) {
		struct mol *m = made_molecule(smiles[i], a);
		struct mol_reject why = {0};
		struct err e = {0};
		struct mol_ff *ff;
		int rc = m ? mol_ff_new(m, MOL_FF_MMFF94, a, &ff, &why, &e) : 0;
		tap_ok(rc == ERR_CHEM && !strcmp(why.code, "no-parameters"), "%s: %s", smiles[i], why.msg);
		rc = m ? mol_conf_ff_new(m, MOL_CONF_FF_AUTO, a, &ff, &why, &e) : -1;
		tap_ok(!rc && mol_ff_kind_of(ff) == MOL_FF_UFF, "auto takes UFF");
	}
}

static void test_minimise(struct arena *a)
{
	struct mol *m = made_molecule(known[5].smiles, a);
	struct mol_ff *ff = made_field(m, MOL_FF_MMFF94, a);
	struct mol_lbfgs_opts o = {.max_iter = 500, .g_tol = 1e-4, .max_step = 0.3};
	struct mol_lbfgs_result r;
	double pos[80];
	memcpy(pos, known[5].pos, sizeof pos);
	mol_ff_minimise(ff, pos, mol_lbfgs_new(a, 3 * m->n_atom), &o, &r);
	tap_ok(r.converged && r.f < known[5].mmff94_kcal, "a ring of three converges downhill (%.3f kcal/mol)", r.f);
}

/* What the metric's inverse makes of x, the metric takes back: M = 100 + sum of k v v^T. */
static void test_metric(struct arena *a)
{
	struct mol *m = made_molecule("CC1CC1c1ccccc1", a);
	struct ff_metric *w = ff_metric_new(m, a);
	int32_t n = m->n_atom;
	double *x = arena_alloc(a, 3 * (size_t)n * sizeof *x), *y = arena_alloc(a, 3 * (size_t)n * sizeof *y),
	       worst = 0;
	struct rng r;
	for (int dropped = 0; dropped < 2; dropped++) { /* the wrong variant: one term is forgotten on the way back */
		rng_init(&r, 3, 1);
		for (int k = 0; k < 3 * n; k++)
			x[k] = y[k] = rng_normal(&r);
		ff_metric_reset(w);
		for (int pass = 0; pass < 2; pass++) {
			struct rng s;
			rng_init(&s, 4, 2);
			double *back = pass ? arena_calloc(a, 3 * (size_t)n, sizeof *back) : NULL;
			for (int32_t j = 0; j < n; j++) {
				int32_t p = m->adj_start[j];
				if (m->atom[j].degree < 2)
					continue;
				int32_t atom[3] = {m->adj_atom[p], j, m->adj_atom[p + 1]};
				struct ff_vec v[3];
				double k = 500 * rng_uniform(&s), along = 0;
				for (int q = 0; q < 3; q++) {
					v[q].x = rng_normal(&s);
					v[q].y = rng_normal(&s);
					v[q].z = rng_normal(&s);
				}
				if (!pass) {
					ff_metric_add(w, 3, atom, v, k);
					continue;
				}
				if (dropped && j == 1)
					continue;
				for (int q = 0; q < 3; q++)
					along += ff_dot(v[q], ff_at(y, atom[q]));
				for (int q = 0; q < 3; q++)
					ff_add(back, atom[q], v[q], k * along);
			}
			if (!pass) {
				tap_ok(ff_metric_factor(w), "the metric has a factor");
				ff_metric_solve(w, y);
				continue;
			}
			worst = 0;
			for (int k = 0; k < 3 * n; k++)
				worst = fmax(worst, fabs(back[k] + 100 * y[k] - x[k]));
		}
		tap_ok(dropped ? worst > 1e-3 : worst <= 1e-10,
		       dropped ? "a forgotten term is seen" : "its inverse is one");
	}
}

int main(void)
{
	struct arena *a = arena_new(0);
	struct err e = {0};
	if (mol_start(&e) || mol_ff_start(&e)) {
		printf("Bail out! %s\n", e.msg);
		return 1;
	}
	test_known(a);
	test_charges(a);
	test_gradient(a);
	test_degenerate(a);
	test_refusal(a);
	test_minimise(a);
	test_metric(a);
	arena_free(a);
	return tap_done();
}
