/* Matches of a molecule onto itself, the likeness of conformers over them, and what is kept of a set. */
#include "mol_conf.h"
#include "mol_made.h"
#include "tap.h"

#include <stdlib.h>

static struct arena *mem;

static const struct mol *load(const char *smiles)
{
	const struct mol *m = made_molecule(smiles, mem);
	if (!m) {
		tap_ok(false, "%s is read", smiles);
		exit(tap_done());
	}
	return m;
}

/* Orders of groups: those of the molecular graphs, from their pictures. */
static void test_counts(void)
{
	static const struct {
		const char *smiles;
		int n;
	} KNOWN[] = {
	    {"C", 1},
	    {"CC", 2},
	    {"c1ccccc1", 12},
	    {"Cc1ccccc1", 2},
	    {"c1ccc(-c2ccccc2)cc1", 8},
	    {"CC(C)(C)C", 24},
	    {"C12C3C4C1C5C2C3C45", 48},
	    {"C1C2CC3CC1CC(C2)C3", 24},
	    {"CC(=O)[O-]", 2},           /* carboxylate */
	    {"CC(=O)O", 2},              /* carboxyl: hydrogens are not looked at */
	    {"CC(=O)OC", 1},             /* ester */
	    {"O=[N+]([O-])c1ccccc1", 4}, /* nitro group and ring */
	    {"CP(=O)(O)O", 6},           /* three ends alike */
	    {"NC(=N)N", 6},              /* guanidine */
	    {"CC=C", 1},                 /* orders tell */
	    {"C[N+](C)(C)CC[N+](C)(C)C", 72},
	    {"CN(C)CC[N+](C)(C)C", 12}, /* charges tell */
	    {"[13CH3]C(C)C", 2},        /* isotopes tell */
	    {"O.O.O", 6},               /* fragments change places */
	    {"[H][H]", 1},              /* no heavy atom */
	};
	for (size_t k = 0; k < sizeof KNOWN / sizeof *KNOWN; k++) {
		struct mol_symmetry *s = mol_symmetry_new(load(KNOWN[k].smiles), mem);
		if (!tap_ok(s->n_match == KNOWN[k].n && s->complete, "%s lies on itself in %d ways", KNOWN[k].smiles,
			    KNOWN[k].n))
			printf("# got %d\n", s->n_match);
	}
	struct mol_symmetry *s = mol_symmetry_new(load("CC(C)(C)C(C(C)(C)C)(C(C)(C)C)C(C)(C)C"), mem);
	tap_ok(!s->complete && s->n_match == 2000, "31,104 ways are bounded, and it says so");
}

/* Atom i of conformer c at 2 sin(c (3 i + k + 1)^2 / 7): what a program of another hand can repeat. */
static double *wild(const struct mol *m, int c)
{
	double *p = arena_alloc(mem, 3 * (size_t)m->n_atom * sizeof *p);
	for (int i = 0; i < 3 * m->n_atom; i++)
		p[i] = 2 * sin(c * (i + 1.0) * (i + 1.0) / 7);
	return p;
}

/* RDKit 2026.09, rdMolAlign.GetBestRMS (ends of conjugated groups symmetrised, as it does) and AlignMol. */
static void test_against_rdkit(void)
{
	static const struct {
		const char *smiles;
		double best_ang, plain_ang;
	} KNOWN[] = {
	    {"Cc1ccc(C)cc1", 2.006472, 2.370289},         {"CC(C)(C)CC(=O)[O-]", 1.849029, 2.370289},
	    {"O=[N+]([O-])c1ccccc1", 2.408679, 2.517234}, {"CC(C)C(C(C)C)C(C)C", 1.930551, 2.481971},
	    {"O=S(=O)(N)c1ccccc1", 2.407537, 2.481971},   {"NC(=N)CC", 1.815813, 2.375280},
	};
	for (size_t k = 0; k < sizeof KNOWN / sizeof *KNOWN; k++) {
		const struct mol *m = load(KNOWN[k].smiles);
		struct mol_symmetry *s = mol_symmetry_new(m, mem);
		double *p = wild(m, 1), *q = wild(m, 2);
		tap_near(mol_symmetry_rmsd_ang(s, p, q, 0), KNOWN[k].best_ang, 1e-5, KNOWN[k].smiles);
		tap_near(mol_symmetry_rmsd_ang(s, q, p, 0), KNOWN[k].best_ang, 1e-5, "...and the other way round");
		/* the wrong variant: no symmetry */
		double plain = mol_rmsd_ang(s->n, p, q);
		tap_ok(fabs(plain - KNOWN[k].plain_ang) < 1e-5 && fabs(plain - KNOWN[k].best_ang) > 1e-2,
		       "...without symmetry it is another number");
	}
}

/* A match carried out on the coordinates is no change at all. */
static void test_every_match(void)
{
	const struct mol *m = load("CC(C)(C)c1ccc(cc1)C(=O)O");
	struct mol_symmetry *s = mol_symmetry_new(m, mem);
	double *p = wild(m, 1), *q = wild(m, 1), worst = 0, plain = 0;
	for (int c = 0; c < s->n_match; c++) {
		for (int i = 0; i < s->n; i++)
			for (int k = 0; k < 3; k++)
				q[3 * s->atom[s->image[c * s->n + i]] + (k + 1) % 3] = p[3 * s->atom[i] + k] + c;
		worst = fmax(worst, mol_symmetry_rmsd_ang(s, p, q, 0));
		plain = fmax(plain, mol_rmsd_ang(s->n, p, q));
	}
	tap_ok(s->n_match == 24 && worst < 1e-5, "each of 24 matches, turned and moved, is the same (%.1e)", worst);
	tap_ok(plain > 0.5, "atom by atom they are not");
}

static struct mol_conf_set *copy(const struct mol_conf_set *s)
{
	struct mol_conf_set *out = arena_alloc(mem, sizeof *out);
	*out = *s;
	return out;
}

static void test_keep(void)
{
	const struct mol *m = load("CCCC(CO)c1ccccc1OCC");
	struct mol_conf_opts o = {.n_conf = 12, .seed = 1, .ff = MOL_FF_UFF};
	struct mol_conf_set *all, *some;
	struct mol_reject why;
	struct err e = {0};
	if (!tap_ok(!mol_conf_generate(m, &o, mem, &all, &why, &e) && all->n == 12, "twelve conformers"))
		return;
	double window = all->energy[11] - all->energy[0];
	some = copy(all);
	mol_conf_keep_best(m, some, 0, 0, mem);
	tap_ok(some->n == 12, "no window, all are kept");
	some = copy(all);
	mol_conf_keep_best(m, some, 0, 0.5 * window, mem);
	int want = 0;
	for (int c = 0; c < 12; c++)
		want += all->energy[c] - all->energy[0] <= 0.5 * window;
	tap_ok(some->n == want && want < 12 && want > 1, "half the window keeps the lower ones (%d)", want);
	tap_ok(!memcmp(some->pos, all->pos, (size_t)some->n * 3 * (size_t)m->n_atom * sizeof(double)), "...in order");
	some = copy(all);
	mol_conf_keep_best(m, some, 1, 0, mem);
	struct mol_symmetry *s = mol_symmetry_new(m, mem);
	double nearest = INFINITY;
	for (int c = 0; c < some->n; c++)
		for (int d = 0; d < c; d++)
			nearest = fmin(nearest, mol_symmetry_rmsd_ang(s, some->pos + 3 * m->n_atom * c,
								      some->pos + 3 * m->n_atom * d, 0));
	tap_ok(some->n > 1 && some->n < 12 && nearest >= 1, "those that stay are 1 angstrom apart (%d, %.2f)", some->n,
	       nearest);
}

int main(void)
{
	struct err e = {0};
	mem = arena_new(1 << 20);
	if (mol_start(&e) < 0) {
		tap_ok(false, "start: %s", e.msg);
		return tap_done();
	}
	test_counts();
	test_against_rdkit();
	test_every_match();
	test_keep();
	arena_free(mem);
	return tap_done();
}
