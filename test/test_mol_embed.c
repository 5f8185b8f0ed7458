/* Distance geometry, the gate, and what they stand on. Known geometries: CRC Handbook; otherwise as stated. */
#include "mol_conf.h"
#include "mol_dg.h"
#include "mol_lbfgs.h"
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

static struct mol_conf_set *embed(const struct mol *m, int n, uint64_t seed)
{
	struct mol_conf_opts o = {.n_conf = n, .seed = seed, .ff = MOL_CONF_FF_NONE};
	struct mol_reject why = {0};
	struct err e = {0};
	struct mol_conf_set *s = NULL;
	if (mol_conf_generate(m, &o, mem, &s, &why, &e) < 0) {
		tap_ok(false, "%s has a conformer: %s: %s", m->smiles, why.code ? why.code : e.msg, why.msg);
		exit(tap_done());
	}
	return s;
}

static double distance(const double *p, int i, int j)
{
	double s = 0;
	for (int k = 0; k < 3; k++)
		s += (p[3 * i + k] - p[3 * j + k]) * (p[3 * i + k] - p[3 * j + k]);
	return sqrt(s);
}

static double angle_deg(const double *p, int i, int j, int k)
{
	double a = distance(p, i, j), b = distance(p, j, k), c = distance(p, i, k);
	return acos((a * a + b * b - c * c) / (2 * a * b)) * 180 / M_PI;
}

static double volume(const double *p, int a, int b, int c, int d)
{
	double u[3][3];
	int at[3] = {b, c, d};
	for (int k = 0; k < 3; k++)
		for (int t = 0; t < 3; t++)
			u[k][t] = p[3 * at[k] + t] - p[3 * a + t];
	return u[0][0] * (u[1][1] * u[2][2] - u[1][2] * u[2][1]) + u[0][1] * (u[1][2] * u[2][0] - u[1][0] * u[2][2]) +
	       u[0][2] * (u[1][0] * u[2][1] - u[1][1] * u[2][0]);
}

/* ---- what it stands on -------------------------------------------------- */

static double rosenbrock(void *ctx, const double *x, double *g)
{
	double a = 1 - x[0], b = x[1] - x[0] * x[0];
	g[0] = -2 * a - 400 * x[0] * b;
	g[1] = 200 * b;
	++*(int *)ctx;
	return a * a + 100 * b * b;
}

static void test_lbfgs(void)
{
	double x[2] = {-1.2, 1};
	int n_call = 0;
	struct mol_lbfgs *w = mol_lbfgs_new(mem, 2);
	struct mol_lbfgs_opts o = {.max_iter = 200, .g_tol = 1e-9, .max_step = 1};
	struct mol_lbfgs_result r;
	mol_lbfgs_minimise(w, 2, x, rosenbrock, &n_call, &o, &r);
	tap_ok(r.converged && n_call == r.n_eval && n_call < 120, "Rosenbrock's valley in %d values", n_call);
	tap_near(x[0], 1, 1e-6, "its minimum, x");
	tap_near(x[1], 1, 1e-6, "its minimum, y");
	o.max_eval = 5;
	x[0] = -1.2;
	x[1] = 1;
	mol_lbfgs_minimise(w, 2, x, rosenbrock, &n_call, &o, &r);
	tap_ok(!r.converged && r.n_eval <= 5, "the bound on values holds and is not taken for convergence");
}

static void test_rmsd(void)
{
	double p[12] = {0, 0, 0, 1.5, 0, 0, 0, 2, 0, 0, 0, 3}, turned[12], mirrored[12];
	for (int i = 0; i < 4; i++) {
		turned[3 * i] = p[3 * i + 1] + 4;
		turned[3 * i + 1] = p[3 * i + 2] - 1;
		turned[3 * i + 2] = p[3 * i] + 2;
		mirrored[3 * i] = -p[3 * i];
		mirrored[3 * i + 1] = p[3 * i + 1];
		mirrored[3 * i + 2] = p[3 * i + 2];
	}
	tap_near(mol_rmsd_ang(4, p, turned), 0, 1e-6, "turned and moved points are the same");
	tap_ok(mol_rmsd_ang(4, p, mirrored) > 0.3, "mirrored points are not");
	double two[6] = {0, 0, 0, 1, 0, 0}, longer[6] = {0, 0, 0, 0, 3, 0};
	tap_near(mol_rmsd_ang(2, two, longer), 1, 1e-9, "two points 1 and 3 apart: each is off by 1");
}

static void test_gradient(void)
{
	const struct mol *m = load("C[C@H](O)C(=O)N/C=C/CSSC");
	struct mol_ideal *id = mol_ideal_new(m, mem);
	struct mol_bounds *b = mol_bounds_new(id, mem);
	mol_bounds_smooth(b);
	struct mol_dgerror *f = mol_dgerror_new(id, b, mem);
	f->w_near = 3;
	f->w_stereo = 1;
	f->w_flat = 2;
	f->w_torsion = 0.5;
	f->w_fourth = 0.4;
	int n = 4 * f->np, worst_at = 0;
	double *x = arena_calloc(mem, (size_t)n, sizeof *x), *g = arena_calloc(mem, (size_t)n, sizeof *g);
	double *scratch = arena_calloc(mem, (size_t)n, sizeof *scratch), worst = 0;
	struct rng r;
	rng_init(&r, 5, 5);
	for (int c = 0; c < 4; c++)
		for (int i = 0; i < f->n; i++)
			x[c * f->np + i] = 3 * rng_normal(&r);
	mol_dgerror_value(f, x, g);
	for (int c = 0; c < 4; c++)
		for (int i = 0; i < f->n; i++) {
			int k = c * f->np + i;
			double keep = x[k], h = 1e-5;
			x[k] = keep + h;
			double up = mol_dgerror_value(f, x, scratch);
			x[k] = keep - h;
			double down = mol_dgerror_value(f, x, scratch);
			x[k] = keep;
			double off = fabs((up - down) / (2 * h) - g[k]) / (1 + fabs(g[k]));
			if (!(off <= worst)) {
				worst = off;
				worst_at = k;
			}
		}
	tap_ok(worst < 1e-6, "gradient of the error function by differences (worst %.1e at %d)", worst, worst_at);
	g[worst_at] *= 1.001; /* the wrong variant that this check must see */
	double keep = x[worst_at], h = 1e-5;
	x[worst_at] = keep + h;
	double up = mol_dgerror_value(f, x, scratch);
	x[worst_at] = keep - h;
	double down = mol_dgerror_value(f, x, scratch);
	tap_ok(fabs((up - down) / (2 * h) - g[worst_at]) / (1 + fabs(g[worst_at])) > 1e-6 || fabs(g[worst_at]) < 1e-2,
	       "a gradient off by a thousandth is seen");
}

static void test_bounds(void)
{
	const struct mol *m = load("OC1CCC(/C=C/c2ccncc2)CC1");
	struct mol_bounds *b = mol_bounds_new(mol_ideal_new(m, mem), mem);
	mol_bounds_smooth(b);
	int n_bad = 0;
	for (int i = 0; i < b->n; i++)
		for (int j = 0; j < b->n; j++) {
			float lo = b->lo[i * b->stride + j], hi = b->hi[i * b->stride + j];
			n_bad += !(lo >= 0 && lo <= hi && hi < 100) || lo != b->lo[j * b->stride + i];
			for (int k = 0; k < b->n; k++)
				n_bad += hi > b->hi[i * b->stride + k] + b->hi[k * b->stride + j] + 1e-3F;
		}
	tap_ok(n_bad == 0, "smoothed bounds are symmetric, in order, and obey the triangle");
}

/* ---- shapes ------------------------------------------------------------- */

static void test_known_geometries(void)
{
	const double *p = embed(load("CC"), 1, 0)->pos;
	tap_near(distance(p, 0, 1), 1.535, 0.03, "ethane C-C");
	tap_near(distance(p, 0, 2), 1.094, 0.02, "ethane C-H");
	tap_near(angle_deg(p, 2, 0, 1), 111.2, 4, "ethane H-C-C");
	p = embed(load("O"), 1, 0)->pos;
	tap_near(angle_deg(p, 1, 0, 2), 104.5, 4, "water H-O-H");
	p = embed(load("O=C=O"), 1, 0)->pos;
	tap_near(angle_deg(p, 0, 1, 2), 180, 10, "carbon dioxide is straight (distances hardly feel a bend)");
	p = embed(load("N#CC"), 1, 0)->pos;
	tap_near(distance(p, 0, 1), 1.157, 0.02, "acetonitrile C-N");
	p = embed(load("C=O"), 1, 0)->pos;
	tap_near(distance(p, 0, 1), 1.205, 0.02, "formaldehyde C=O");
	tap_near(volume(p, 0, 1, 2, 3), 0, 0.1, "formaldehyde is flat");
	p = embed(load("c1ccccc1"), 1, 0)->pos;
	tap_near(distance(p, 0, 3), 2.79, 0.06, "benzene, across");
	tap_near(volume(p, 0, 1, 2, 4), 0, 0.1, "benzene is flat");
	p = embed(load("F/C=C/F"), 1, 0)->pos;
	tap_near(distance(p, 0, 3), 3.54, 0.2, "trans-difluoroethene, F to F");
	p = embed(load("F/C=C\\F"), 1, 0)->pos;
	tap_near(distance(p, 0, 3), 2.75, 0.2, "cis-difluoroethene, F to F");
	p = embed(load("CNC(C)=O"), 1, 0)->pos;
	tap_ok(distance(p, 0, 3) > 3.5, "a secondary amide is trans: its carbons lie apart");
	p = embed(load("C1CCCCC1"), 1, 3)->pos;
	double in = fabs(volume(p, 0, 1, 2, 3));
	tap_ok(in > 1, "cyclohexane is puckered (%.2f)", in);
}

/* Sign of the volume over N, C(=O), CH3, H: L-alanine however it is written. */
static void test_stereo(void)
{
	double l1 = 0, l2 = 0, d = 0;
	const double *p = embed(load("N[C@@H](C)C(=O)O"), 1, 0)->pos; /* atoms N 0, CA 1, CB 2, C 3 */
	l1 = volume(p, 1, 0, 3, 2);
	p = embed(load("OC(=O)[C@H](C)N"), 1, 1)->pos; /* C 1, CA 3, CB 4, N 5 */
	l2 = volume(p, 3, 5, 1, 4);
	p = embed(load("N[C@H](C)C(=O)O"), 1, 2)->pos;
	d = volume(p, 1, 0, 3, 2);
	/* CORN rule: seen from H, CO, R, N run clockwise in L-amino acids, so N, CO, R span a negative volume from
	 * CA... */
	tap_ok(l1 * l2 > 0, "L-alanine written two ways has one hand (%.2f, %.2f)", l1, l2);
	tap_ok(l1 * d < 0, "D-alanine has the other (%.2f)", d);
	tap_ok(l1 > 0, "seen from the hydrogen, CO, R, N of L-alanine run clockwise");
}

static void test_gate(void)
{
	const struct mol *m = load("C[C@H](O)[C@@H](F)/C=C/Cl");
	struct mol_conf_set *s = embed(m, 1, 0);
	size_t nbytes = 3 * (size_t)m->n_atom * sizeof(double);
	double *p = arena_alloc(mem, nbytes);
	struct mol_reject why;
	memcpy(p, s->pos, nbytes);
	tap_ok(mol_gate_check(m, p, MOL_GATE_ALL, &why), "the gate lets the conformer through");
	for (int i = 0; i < m->n_atom; i++)
		p[3 * i] = -p[3 * i];
	tap_ok(!mol_gate_check(m, p, MOL_GATE_ALL, &why) && !strcmp(why.code, "stereo-wrong"),
	       "its mirror image is refused");
	tap_ok(mol_gate_check(m, p, MOL_GATE_CONTACTS | MOL_GATE_BONDS, &why), "...for its stereo alone");
	memcpy(p, s->pos, nbytes);
	for (int k = 0; k < 3; k++)
		p[k] += 0.25 * (p[k] - p[3 + k]);
	tap_ok(!mol_gate_check(m, p, MOL_GATE_ALL, &why) && !strcmp(why.code, "bond-length"),
	       "a bond 25 %% too long is refused");
	memcpy(p, s->pos, nbytes);
	int last = m->n_atom - 1;
	for (int k = 0; k < 3; k++)
		p[3 * last + k] = p[k] + 0.3;
	tap_ok(!mol_gate_check(m, p, MOL_GATE_CONTACTS, &why) && !strcmp(why.code, "clash"),
	       "a hydrogen upon another atom is refused");
	memcpy(p, s->pos, nbytes);
	p[4] = NAN;
	tap_ok(!mol_gate_check(m, p, 0, &why), "a coordinate that is no number is refused");
	const struct mol *cis = load("F/C=C\\F"), *trans = load("F/C=C/F");
	s = embed(cis, 1, 0);
	tap_ok(mol_gate_check(cis, s->pos, MOL_GATE_ALL, &why) && !mol_gate_check(trans, s->pos, MOL_GATE_ALL, &why) &&
		   !strcmp(why.code, "stereo-wrong"),
	       "a cis double bond is not trans");
}

/* ---- contracts ---------------------------------------------------------- */

static void test_repeats(void)
{
	const struct mol *m = load("CCCC(CO)c1ccccc1OCC");
	size_t nbytes = 3 * (size_t)m->n_atom * sizeof(double);
	struct mol_conf_set *a = embed(m, 3, 7), *b = embed(m, 3, 7), *c = embed(m, 3, 8);
	tap_ok(a->n == 3 && !memcmp(a->pos, b->pos, 3 * nbytes), "same seed, same conformers");
	tap_ok(memcmp(a->pos, c->pos, nbytes) != 0, "another seed, another conformer");
	tap_ok(memcmp(a->pos, a->pos + 3 * m->n_atom, nbytes) != 0, "conformers of one molecule differ");
	struct mol_conf_opts o = {.n_conf = 20, .rmsd_ang = 1, .seed = 1, .ff = MOL_CONF_FF_NONE};
	struct mol_reject why;
	struct err e = {0};
	int rc = mol_conf_generate(m, &o, mem, &a, &why, &e);
	o.rmsd_ang = 0;
	rc |= mol_conf_generate(m, &o, mem, &b, &why, &e);
	tap_ok(!rc && a->n >= 2 && a->n < b->n && b->n == 20, "pruning leaves fewer, and more than one (%d)", a->n);
}

/* UFF knows every element: its shapes pass the gate, and lie lower than those of distance geometry. */
static void test_force_field(void)
{
	const struct mol *m = load("CC(=O)N[C@@H](CO)c1ccccc1");
	struct mol_conf_opts o = {.n_conf = 5, .seed = 1, .ff = MOL_FF_UFF, .terms = true};
	struct mol_conf_set *s = NULL, *rough = embed(m, 5, 1);
	struct mol_reject why = {0};
	struct err e = {0};
	struct mol_ff *ff;
	if (!tap_ok(mol_conf_generate(m, &o, mem, &s, &why, &e) == 0 && s->n == 5, "conformers by UFF: %s", why.msg))
		return;
	bool sorted = true, good = true;
	double off = 0;
	for (int c = 0; c < s->n; c++) {
		double sum = 0;
		for (int t = 0; t < MOL_FF_N_TERM; t++)
			sum += s->terms[c * MOL_FF_N_TERM + t];
		off = fmax(off, fabs(sum - s->energy[c]));
		sorted = sorted && (c == 0 || s->energy[c] >= s->energy[c - 1]);
		good = good && mol_gate_check(m, s->pos + 3 * m->n_atom * c, MOL_GATE_ALL, NULL);
	}
	tap_ok(sorted && good, "sorted by energy, and each passes the gate");
	tap_ok(off < 1e-6, "the terms add up to the energy (%.1e)", off);
	tap_str(s->ff, "uff", "the force field is named");
	if (mol_conf_ff_new(m, MOL_FF_UFF, mem, &ff, &why, &e) == 0)
		mol_conf_set_energies(rough, ff, false, mem);
	tap_ok(rough->energy && rough->energy[0] > s->energy[4] + 1, "distance geometry's shapes lie higher");
}

static void test_fragments(void)
{
	const struct mol *m = load("[Na+].CC(=O)[O-].O.c1ccccc1");
	const double *p = embed(m, 1, 0)->pos;
	double nearest = 1e9;
	for (int i = 0; i < m->n_atom; i++)
		for (int j = 0; j < i; j++)
			if (m->atom[i].fragment != m->atom[j].fragment && distance(p, i, j) < nearest)
				nearest = distance(p, i, j);
	tap_ok(nearest >= 3 - 1e-9 && nearest < 12, "fragments lie apart (%.2f)", nearest);
}

static void test_hard_molecules(void)
{
	static const char *const HARD[] = {
	    "C12C3C4C1C5C2C3C45",          /* cubane */
	    "C12C3C1C23",                  /* tetrahedrane */
	    "C1C2CC12",                    /* bicyclobutane */
	    "C1C2CC3CC1CC(C2)C3",          /* adamantane */
	    "C1CCCCCCCCCCC1",              /* cyclododecane */
	    "C1CC2(C1)CC2",                /* spiro */
	    "C1CC2CCC1C2",                 /* norbornane */
	    "C#CC#CC",                     /* rod */
	    "C1CC/C=C/CCC1",               /* trans-cyclooctene */
	    "CC(C)(C)C(C(C)(C)C)C(C)(C)C", /* crowded */
	    "FS(F)(F)(F)(F)F",             /* octahedron */
	    "C[S@](=O)c1ccccc1",           /* sulphoxide with a hand */
	    "[H][H]",
	    "[Na+]",
	    "CC(C)C[C@H](NC(=O)[C@H](Cc1ccccc1)NC(=O)CNC(=O)CNC(=O)[C@@H](N)Cc1ccc(O)cc1)C(=O)O", /* Leu-enkephalin */
	    "CC(C)[C@@H]1NC(=O)[C@H](C)NC(=O)CNC(=O)[C@@H](CO)NC(=O)[C@H](C)NC1=O",               /* cyclic peptide */
	};
	for (size_t k = 0; k < sizeof HARD / sizeof *HARD; k++) {
		const struct mol *m = load(HARD[k]);
		struct mol_reject why;
		tap_ok(mol_gate_check(m, embed(m, 1, 0)->pos, MOL_GATE_ALL, &why), "%s has a conformer", HARD[k]);
	}
}

static void test_refusals(void)
{
	struct mol_conf_opts o = {.n_conf = 1, .ff = MOL_CONF_FF_NONE};
	struct mol_conf_set *s;
	struct mol_reject why = {0};
	struct err e = {0};
	struct mol big = {.n_atom = MOL_CONF_MAX_ATOM + 1}, none = {0};
	tap_ok(mol_conf_generate(&big, &o, mem, &s, &why, &e) == ERR_CHEM && !strcmp(why.code, "too-large"),
	       "too many atoms");
	memset(&e, 0, sizeof e);
	tap_ok(mol_conf_generate(&none, &o, mem, &s, &why, &e) == ERR_CHEM && !strcmp(why.code, "empty"), "no atom");
	/* neopentane's carbon with every hydrogen replaced by tert-butyl cannot be: it must end, and with a reason */
	const struct mol *m = load("CC(C)(C)C(C(C)(C)C)(C(C)(C)C)C(C)(C)C");
	memset(&e, 0, sizeof e);
	int rc = mol_conf_generate(m, &o, mem, &s, &why, &e);
	tap_ok(rc == 0 || (rc == ERR_CHEM && why.code && why.msg[0]),
	       "an impossible crowd ends, with a conformer or a reason");
}

int main(void)
{
	struct err e = {0};
	mem = arena_new(1 << 20);
	if (mol_start(&e) < 0) {
		tap_ok(false, "start: %s", e.msg);
		return tap_done();
	}
	test_lbfgs();
	test_rmsd();
	test_gradient();
	test_bounds();
	test_known_geometries();
	test_stereo();
	test_gate();
	test_repeats();
	test_force_field();
	test_fragments();
	test_hard_molecules();
	test_refusals();
	arena_free(mem);
	return tap_done();
}
