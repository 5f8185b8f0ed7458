/* The search of good turns: shapes known from experiment, MMFF94's own energy where both count the same, rigidity. */
#include "mol_conf.h"
#include "mol_dg.h"
#include "mol_rotor.h"
#include "tap.h"

#include <stdlib.h>

static struct arena *mem;

struct shape {
	const struct mol *m;
	struct mol_ff *ff;
	struct mol_rotors *w;
	double *pos;
};

static struct shape make(const char *smiles, uint64_t seed)
{
	struct mol_parse_opts parse = {false};
	struct mol_conf_opts o = {.n_conf = 1, .seed = seed, .ff = MOL_CONF_FF_NONE};
	struct mol_reject why = {0};
	struct err e = {0};
	struct mol *m = NULL;
	struct mol_conf_set *set = NULL;
	struct shape s = {0};
	if (mol_parse_smiles(smiles, &parse, mem, &m, &why, &e) < 0 || !(s.m = mol_add_hydrogens(m, mem)) ||
	    mol_conf_generate(s.m, &o, mem, &set, &why, &e) < 0 ||
	    mol_ff_new(s.m, MOL_FF_MMFF94, mem, &s.ff, &why, &e) < 0) {
		tap_ok(false, "%s has a shape: %s %s", smiles, why.msg, e.msg);
		exit(tap_done());
	}
	s.pos = set->pos;
	s.w = mol_rotors_new(s.m, s.ff, mem);
	return s;
}

static void search(struct shape *s, int n_start, double kt_kcal, uint64_t seed)
{
	struct mol_rotor_opts o = {.n_start = n_start, .kt_kcal = kt_kcal};
	struct rng r;
	rng_init(&r, seed, 1);
	mol_rotors_search(s->w, &o, &r, s->pos);
}

static double distance(const double *p, int i, int j)
{
	double s = 0;
	for (int k = 0; k < 3; k++)
		s += (p[3 * i + k] - p[3 * j + k]) * (p[3 * i + k] - p[3 * j + k]);
	return sqrt(s);
}

/* Atoms i and j stand so far apart at least, or at most. */
static void check_reach(const char *smiles, int i, int j, bool at_least, double limit_ang, const char *what)
{
	bool good = true;
	double seen = 0;
	for (uint64_t seed = 0; good && seed < 5; seed++) {
		struct shape s = make(smiles, seed);
		search(&s, 4, 0, seed);
		seen = distance(s.pos, i, j);
		good = at_least ? seen > limit_ang : seen < limit_ang;
	}
	tap_ok(good, "%s (%.2f angstrom)", what, seen);
}

static void test_known_shapes(void)
{
	check_reach("CCCC", 0, 3, true, 3.7, "butane is anti");
	check_reach("CCCCCC", 0, 5, true, 6.2, "hexane is stretched");
	check_reach("COc1c(C)cccc1", 0, 3, true, 3.4, "methylanisole is flat, its methyl groups apart");
	check_reach("CNC(C)=O", 0, 3, true, 3.6, "a secondary amide is trans");
	check_reach("OC(=O)C", 2, 4, false, 2.5, "acetic acid: the hydrogen beside the other oxygen");
	check_reach("NC(=O)c1cccs1", 2, 7, false, 3.3, "thiophene carboxamide: oxygen beside the sulphur");
}

/* Alkanes have no charges in MMFF94 and no preferences: turning costs what the force field says. */
static void test_energy(void)
{
	struct shape s = make("CCC(C)CCC(C)C", 1);
	double before = mol_rotors_energy_kcal(s.w, s.pos), ff_before = mol_ff_energy_kcal(s.ff, s.pos, NULL, NULL);
	search(&s, 3, 0, 5);
	double gain = before - mol_rotors_energy_kcal(s.w, s.pos);
	double ff_gain = ff_before - mol_ff_energy_kcal(s.ff, s.pos, NULL, NULL);
	tap_ok(gain > 0.5, "the search finds better turns (%.2f kcal/mol)", gain);
	tap_near(gain, ff_gain, 2e-3, "by as much as MMFF94 says");
	tap_ok(!(fabs(2 * gain - ff_gain) <= 2e-3), "which a search that counts all twice fails");
}

static void test_rigid(void)
{
	struct shape s = make("C[C@H](N)C(=O)N[C@@H](CO)C(=O)OCc1ccc(OC)cc1", 2);
	int n = s.m->n_atom, n_moved = 0;
	double *old = arena_alloc(mem, 3 * (size_t)n * sizeof *old), off = 0;
	memcpy(old, s.pos, 3 * (size_t)n * sizeof *old);
	search(&s, 2, 1.5, 3);
	for (int j = 0; j < n; j++)
		for (int x = s.m->adj_start[j]; x < s.m->adj_start[j + 1]; x++)
			for (int y = s.m->adj_start[j]; y <= x; y++) {
				int i = s.m->adj_atom[x], k = x == y ? j : s.m->adj_atom[y];
				off = fmax(off, fabs(distance(old, i, k) - distance(s.pos, i, k)));
			}
	for (int i = 0; i < n; i++)
		n_moved += fabs(distance(old, i, 0) - distance(s.pos, i, 0)) > 0.1;
	tap_ok(off < 1e-9 && n_moved > 5, "bonds and angles stay (%.0e), %d atoms move", off, n_moved);
	tap_ok(mol_gate_check(s.m, s.pos, MOL_GATE_STEREO, NULL), "and so does the stereochemistry");
}

static void test_contracts(void)
{
	struct shape a = make("CCOC(=O)CCNC(=O)c1ccccc1", 4), b = make("CCOC(=O)CCNC(=O)c1ccccc1", 4), c = b;
	size_t nbytes = 3 * (size_t)a.m->n_atom * sizeof(double);
	c.pos = arena_alloc(mem, nbytes);
	memcpy(c.pos, b.pos, nbytes);
	search(&a, 2, 1.5, 9);
	search(&b, 2, 1.5, 9);
	search(&c, 2, 1.5, 10);
	tap_ok(!memcmp(a.pos, b.pos, nbytes), "same numbers, same turns");
	tap_ok(memcmp(a.pos, c.pos, nbytes) != 0, "other numbers, other turns");
	struct shape rigid = make("c1ccccc1", 0);
	memcpy(a.pos, rigid.pos, 3 * (size_t)rigid.m->n_atom * sizeof(double));
	search(&rigid, 4, 0, 1);
	tap_ok(rigid.w->n == 0 && !memcmp(a.pos, rigid.pos, 3 * (size_t)rigid.m->n_atom * sizeof(double)),
	       "what has no rotor stays");
	struct shape top = make("CC(C)(C)C", 0);
	tap_ok(top.w->n == 0, "three equal ends are no rotor");
}

int main(void)
{
	mem = arena_new(1u << 20);
	struct err e = {0};
	if (!mem || mol_start(&e) || mol_ff_start(&e))
		return 1;
	test_known_shapes();
	test_energy();
	test_rigid();
	test_contracts();
	arena_free(mem);
	return tap_done();
}
