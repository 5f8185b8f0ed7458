/* test_mol_ff.c - force fields: energies known from elsewhere, gradients by differences, minimisation. */
#include "mol_conf.h"
#include "mol_made.h"

#include "tap.h"

#include <stdlib.h>

/* UFF energies (kcal/mol) by RDKit 2026.03 without a cut-off, at these coordinates (angstrom; hydrogens after heavy
 * atoms). No amide: RDKit leaves out the bond order 1.41 that the authors give it. */
static const struct {
	const char *smiles;
	double energy_kcal, pos[64];
} known[] = {
    {"CCO", 6.363033, {-0.915, 0.284,  0.061,  0.422,  -0.366, -0.214, 1.449,  0.546, 0.059,
		       -1.695, -0.083, -0.650, -0.882, 1.394,  -0.077, -1.225, 0.058, 1.097,
		       0.485,  -1.229, 0.496,  0.477,  -0.786, -1.226, 1.885,  0.181, 0.882}},
    {"c1ccsc1", 58.418028, {0.499,  -0.773, 0.077,  -0.810, -0.460, 0.116,  -1.148, 0.843,  -0.045,
			    0.509,  1.768,  -0.280, 1.379,  0.250,  -0.123, 0.866,  -1.816, 0.199,
			    -1.596, -1.235, 0.275,  -2.150, 1.251,  -0.039, 2.451,  0.171,  -0.180}},
    {"C=CC#N", 1.642025, {-1.012, 0.251,  -0.015, 0.111, -0.450, -0.033, 1.413,  0.106, 0.066,  2.479, 0.553,
			  0.132,  -1.035, 1.329,  0.078, -1.963, -0.267, -0.098, 0.007, -1.522, -0.131}},
    {"CS(=O)(=O)C", 3.130688, {1.437,  0.394,  -0.045, -0.044, -0.441, -0.548, -0.437, -0.162, -1.956, 0.197, -1.924,
			       -0.381, -1.395, 0.063,  0.484,  2.294,  0.205,  -0.709, 1.268,  1.471,  0.104, 1.697,
			       -0.053, 0.943,  -2.275, 0.333,  -0.147, -1.623, -0.813, 1.140,  -1.119, 0.928, 1.116}},
    {"OO", 2.112676, {-0.610, 0.394, 0.237, 0.608, 0.397, -0.236, -1.083, -0.396, -0.133, 1.085, -0.396, 0.132}},
    {"CP(C)C", 30.515463, {-0.407, 1.658,  0.341,  -0.071, -0.142, 0.687,  1.681,  -0.511, 0.220,  -1.309,
			   -1.162, -0.234, 0.194,  1.914,  -0.554, -0.081, 2.242,  1.225,  -1.500, 1.746,
			   0.153,  2.003,  0.012,  -0.715, 1.889,  -1.591, 0.191,  2.316,  -0.061, 1.026,
			   -1.162, -1.057, -1.332, -1.198, -2.212, 0.116,  -2.355, -0.836, -0.003}},
    {"CC=C", 3.996450, {-1.118, 0.074,  -0.208, 0.169,  -0.157, 0.507,  1.360,  0.026,  -0.057,
			-1.884, -0.593, 0.218,  -1.337, 1.144,  -0.100, -0.960, -0.223, -1.259,
			0.120,  -0.493, 1.541,  1.353,  0.366,  -1.108, 2.298,  -0.144, 0.466}},
    {"CN(C)C", 23.450688, {-0.331, 1.352,  0.270,  -0.050, -0.039, 0.315,  1.315,  -0.430, 0.249,  -1.006,
			   -0.918, -0.262, 0.197,  1.914,  -0.538, -0.022, 1.786,  1.254,  -1.436, 1.510,
			   0.183,  1.907,  0.052,  -0.554, 1.442,  -1.538, 0.154,  1.795,  -0.106, 1.205,
			   -0.939, -1.031, -1.363, -0.838, -1.939, 0.159,  -2.034, -0.612, 0.050}},
};

static void test_known(struct arena *a)
{
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		struct mol *m = made_molecule(known[i].smiles, a);
		struct mol_ff *ff = m ? made_field(m, MOL_FF_UFF, a) : NULL;
		double terms[MOL_FF_N_TERM], sum = 0;
		tap_near(ff ? mol_ff_energy_kcal(ff, known[i].pos, NULL, terms) : NAN, known[i].energy_kcal, 1e-3,
			 known[i].smiles);
		for (int t = 0; t < MOL_FF_N_TERM && ff; t++)
			sum += terms[t];
		tap_near(sum, known[i].energy_kcal, 1e-3, "its terms add up");
	}
}

static void test_gradient(struct arena *a)
{
	static const char *const smiles[] = {"CC(=O)NC", "c1ccc2[nH]ccc2c1", "CP(=O)(O)OC",  "FS(F)(F)(F)(F)F",
					     "C1CC1C=C", "CC#N.Cl",          "C[Si](C)(C)Br"};
	for (size_t i = 0; i < sizeof smiles / sizeof *smiles; i++) {
		struct mol *m = made_molecule(smiles[i], a);
		struct mol_ff *ff = m ? made_field(m, MOL_FF_UFF, a) : NULL;
		if (!tap_ok(ff != NULL, "%s has a force field", smiles[i]))
			continue;
		double *pos = arena_alloc(a, 3 * (size_t)m->n_atom * sizeof *pos);
		struct rng r;
		rng_init(&r, 5, i);
		for (int k = 0; k < 3 * m->n_atom;
		     k++) /* a loose cloud: every term far from its minimum, none at a pole */
			pos[k] = 1.7 * (k / 3 % 5) * (k % 3 == 0) + 1.9 * (k / 15) * (k % 3 == 1) + rng_uniform(&r);
		double err = made_gradient_error(ff, m->n_atom, pos, 0);
		tap_ok(err <= 1e-5, "%s: gradient equals differences (%.1e)", smiles[i], err);
	}
	struct mol *m = made_molecule("CCO", a);
	double pos[64];
	memcpy(pos, known[0].pos, sizeof pos);
	tap_ok(made_gradient_error(made_field(m, MOL_FF_UFF, a), m->n_atom, pos, 1) > 1e-3, "a wrong gradient is seen");
}

static void test_minimise(struct arena *a)
{
	struct mol *m = made_molecule("CCO", a);
	struct mol_ff *ff = made_field(m, MOL_FF_UFF, a);
	struct mol_lbfgs_opts o = {.max_iter = 500, .g_tol = 1e-4, .max_step = 0.3};
	struct mol_lbfgs_result r;
	double pos[64], grad[64];
	memcpy(pos, known[0].pos, sizeof pos);
	mol_ff_minimise(ff, pos, mol_lbfgs_new(a, 3 * m->n_atom), &o, &r);
	double e = mol_ff_energy_kcal(ff, pos, grad, NULL);
	tap_ok(r.converged && e < known[0].energy_kcal, "ethanol converges downhill (%.3f kcal/mol)", e);
	double dx = pos[0] - pos[3], dy = pos[1] - pos[4], dz = pos[2] - pos[5];
	tap_near(sqrt(dx * dx + dy * dy + dz * dz), 1.52, 0.02, "its C-C bond is 1.52 angstrom long");
}

/* Halogens with several neighbours: UFF's table, which knows them with one, gives them 180 degrees. */
static void test_perchlorate(struct arena *a)
{
	static const char *const salts[] = {"[O-][Cl+3]([O-])([O-])[O-]", "[O-]Cl(=O)(=O)=O", "[O-]I(=O)=O",
					    "[O-]Br=O"};
	for (size_t i = 0; i < sizeof salts / sizeof *salts; i++) {
		struct mol *m = made_molecule(salts[i], a);
		struct mol_ff *ff = m ? made_field(m, MOL_FF_UFF, a) : NULL;
		struct mol_lbfgs_opts o = {.max_iter = 500, .g_tol = 1e-4, .max_step = 0.3};
		struct mol_lbfgs_result r;
		double pos[15], widest = -1, narrowest = 1;
		struct rng g;
		if (!ff)
			continue;
		rng_init(&g, 1, i);
		for (int k = 0; k < 15; k++)
			pos[k] = 2 * rng_uniform(&g);
		mol_ff_minimise(ff, pos, mol_lbfgs_new(a, 3 * m->n_atom), &o, &r);
		for (int p = 0; p < m->n_atom; p++)
			for (int q = 0; q < p; q++) {
				double c = 0, lp = 0, lq = 0;
				for (int k = 0; k < 3; k++) {
					double u = pos[3 * p + k] - pos[3 + k], v = pos[3 * q + k] - pos[3 + k];
					c += u * v;
					lp += u * u;
					lq += v * v;
				}
				if (p == 1 || q == 1)
					continue;
				c /= sqrt(lp * lq);
				widest = fmax(widest, c);
				narrowest = fmin(narrowest, c);
			}
		tap_ok(widest < -0.25 && narrowest > -0.42, "%s: oxygens stand at 105 to 115 degrees (%.2f to %.2f)",
		       salts[i], acos(widest) * 180 / M_PI, acos(narrowest) * 180 / M_PI);
	}
}

static void test_refusal(struct arena *a)
{
	struct mol *m = made_molecule("[*]CC", a);
	tap_ok(!m || !made_field(m, MOL_FF_UFF, a), "an atom that is no element has no parameters");
}

int main(void)
{
	struct arena *a = arena_new(0);
	struct err e = {0};
	if (mol_start(&e)) {
		printf("Bail out! %s\n", e.msg);
		return 1;
	}
	test_known(a);
	test_gradient(a);
	test_minimise(a);
	test_perchlorate(a);
	test_refusal(a);
	arena_free(a);
	return tap_done();
}
