/* The 2D layout: bond lengths, room, double bonds, the order of atoms, salts, long chains. */
#include <stdlib.h>
#include <string.h>

#include "mol_draw.h"
#include "tap.h"

static struct arena *mem, *scratch;

static const struct mol *parse(const char *smiles)
{
	static const struct mol_parse_opts o = {0};
	struct mol *m = NULL;
	struct mol_reject why = {0};
	struct err e = {0};
	if (mol_parse_smiles(smiles, &o, mem, &m, &why, &e)) {
		printf("# %s: %s %s\n", smiles, why.msg, e.msg);
		return NULL;
	}
	return m;
}
static float *layout(const struct mol *m)
{
	float *pos = arena_calloc(mem, (size_t)m->n_atom * 2 + 1, sizeof *pos);
	mol_layout(m, scratch, pos);
	arena_reset(scratch);
	return pos;
}
static double distance(const float *p, int32_t a, int32_t b)
{
	return hypot((double)p[2 * a] - (double)p[2 * b], (double)p[2 * a + 1] - (double)p[2 * b + 1]);
}

/* Finite, every bond between low and high, no two atoms closer than 0.3. */
static bool is_sound(const struct mol *m, const float *pos, double low, double high)
{
	for (int32_t i = 0; i < 2 * m->n_atom; i++)
		if (!isfinite(pos[i]))
			return false;
	for (int32_t i = 0; i < m->n_bond; i++) {
		double d = distance(pos, m->bond[i].a, m->bond[i].b);
		if (!(d >= low && d <= high))
			return false;
	}
	for (int32_t i = 0; i < m->n_atom; i++)
		for (int32_t j = 0; j < i; j++)
			if (!(distance(pos, i, j) >= 0.3))
				return false;
	return true;
}
static double side(const float *p, int32_t a, int32_t b, int32_t c)
{
	return ((double)p[2 * b] - (double)p[2 * a]) * ((double)p[2 * c + 1] - (double)p[2 * a + 1]) -
	       ((double)p[2 * b + 1] - (double)p[2 * a + 1]) * ((double)p[2 * c] - (double)p[2 * a]);
}
/* Each double bond of known side lies as the molecule says. */
static bool shows_double_bonds(const struct mol *m, const float *p)
{
	for (int32_t i = 0; i < m->n_cistrans; i++) {
		const struct mol_cistrans *c = &m->cistrans[i];
		double s = side(p, c->atom[0], c->atom[1], c->nbr[0]), t = side(p, c->atom[0], c->atom[1], c->nbr[1]);
		if (!(fabs(s) > 0.1 && fabs(t) > 0.1) || (s * t > 0) != c->cis)
			return false;
	}
	return true;
}
static bool bonds_cross(const struct mol *m, const float *p)
{
	for (int32_t i = 0; i < m->n_bond; i++)
		for (int32_t j = 0; j < i; j++) {
			int32_t a = m->bond[i].a, b = m->bond[i].b, c = m->bond[j].a, d = m->bond[j].b;
			if (a != c && a != d && b != c && b != d && side(p, a, b, c) * side(p, a, b, d) < -1e-9 &&
			    side(p, c, d, a) * side(p, c, d, b) < -1e-9)
				return true;
		}
	return false;
}

static void test_molecules(void)
{
	/* Planar drawings with bonds of one length exist for all of these. */
	static const char *const plain[] = {
	    "C",
	    "CCO",
	    "CC(=O)Oc1ccccc1C(=O)O",
	    "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
	    "c1cc2ccc3cccc4ccc(c1)c2c34",
	    "c1cc2ccc3ccc4ccc5ccc6ccc1c7c2c3c4c5c67",
	    "C1CCC2(CC1)OCCO2",
	    "CC(C)(C)c1ccc(O)cc1",
	    "FS(F)(F)(F)(F)F",
	    "C[C@]12CC[C@H]3[C@H]([C@@H]1CC[C@@H]2O)CCC4=CC(=O)CC[C@]34C",
	    "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O",
	    "C1COCCOCCOCCOCCOCCO1",
	    "c1ccc(cc1)C#Cc2ccccc2",
	    "CC(C)C[C@H](NC(=O)[C@H](Cc1ccccc1)NC(=O)CNC(=O)CNC(=O)[C@@H](N)Cc1ccc(O)cc1)C(=O)O",
	    "c1ccc(cc1)C(c1ccccc1)(c1ccccc1)c1ccccc1",
	    "OC(=O)c1ccccc1-c1ccccc1C(=O)O",
	    "CC(C)(C)C(C)(C)C(C)(C)C(C)(C)C",
	};
	static const char *const caged[] = {
	    "C1C2CC3CC1CC(C2)C3",
	    "C12C3C4C1C5C2C3C45",
	    "C1CC2CCC1C2",
	    "C1CN2CCC1CC2",
	    "CN1C2CCC1CC(C2)O",
	    "CC1=CCC2CC1C2(C)C",
	    "C1C2CC1C2",
	    "CN1CCC23C4C1CC5=C2C(=C(C=C5)O)OC3C(C=C4)O",
	    "C1Cc2ccc(cc2)CCc2ccc1cc2",
	    "CCC[C@@-]12C3=C4C5=C1[Fe+2]16782345[C-]2C7=C6C1=C82",
	    "[O+]#C[Cr]12345(C#[O+])(C#[O+])C6=C2C4=C5(N(C)C)C3=C16",
	    "C1CC2CC3CC1CC(C2)C3",
	};
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
		const struct mol *m = parse(plain[i]);
		const float *pos = m ? layout(m) : NULL;
		tap_ok(m && is_sound(m, pos, 0.95, 1.05) && !bonds_cross(m, pos),
		       "%s: bonds of one length, none crosses", plain[i]);
	}
	for (size_t i = 0; i < sizeof caged / sizeof *caged; i++) {
		const struct mol *m = parse(caged[i]);
		tap_ok(m && is_sound(m, layout(m), 0.6, 1.45), "%s: a cage has room", caged[i]);
	}
}

static void test_double_bonds(void)
{
	static const char *const smiles[] = {
	    "OC(=O)/C=C/C(=O)O",
	    "OC(=O)\\C=C/C(=O)O",
	    "C/C=C/C=C\\C=C\\C",
	    "CCCCCCCC/C=C\\CCCCCCCC(=O)O",
	    "C/1=C\\CCCCCC1",
	    "C/1=C/C=C/C=C/C=C\\1",
	    "C1C/C=C/CC/C=C/1",
	    "C1/C=C/C=C/CCC1",
	    "C1CC/C=C/C=C/CCCC1",
	    "O=C1OCC/C=C/CC/C=C/C/C=C/CCC1",
	    "O=C1OCC/C=C/C=C/C=C/C=C/CCCCCCCCC(O)CCC1",
	    "C[C@H](\\C=C(/C)\\C=C\\C(=C\\1/C(=O)CNC1=O)\\O)C2OC3(C)OC(C2C)C(=O)[C@@H]4O[C@]34C",
	    "C/1=C/CCCCCC1",
	    "C/C(=C/c1ccccc1)/C(=O)N/N=C/c1ccccc1O",
	    "CC/C(=C(/c1ccccc1)c1ccc(OCCN(C)C)cc1)c1ccccc1",
	    "C/C=C1/CCCC(C)C1",
	};
	int32_t n = 0;
	for (size_t i = 0; i < sizeof smiles / sizeof *smiles; i++) {
		const struct mol *m = parse(smiles[i]);
		n += m ? m->n_cistrans : 0;
		tap_ok(m && m->n_cistrans && shows_double_bonds(m, layout(m)), "%s: sides as written", smiles[i]);
	}
	tap_ok(n >= 9, "double bonds of known side were looked at (%d)", n);
	/* The mutant: one end of a double bond mirrored. */
	const struct mol *m = parse("C/C=C/C");
	if (tap_ok(m && m->n_cistrans == 1, "2-butene has a double bond of known side")) {
		float *pos = layout(m);
		const struct mol_cistrans *c = &m->cistrans[0];
		int32_t x = c->nbr[1], b = c->atom[1];
		double ux = (double)pos[2 * b] - (double)pos[2 * c->atom[0]];
		double uy = (double)pos[2 * b + 1] - (double)pos[2 * c->atom[0] + 1];
		double wx = (double)pos[2 * x] - (double)pos[2 * b],
		       wy = (double)pos[2 * x + 1] - (double)pos[2 * b + 1];
		double dot = ux * wx + uy * wy;
		pos[2 * x] = (float)((double)pos[2 * b] + 2 * dot * ux - wx);
		pos[2 * x + 1] = (float)((double)pos[2 * b + 1] + 2 * dot * uy - wy);
		tap_ok(!shows_double_bonds(m, pos), "the check rejects a drawing with one end mirrored");
	}
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}
/* All distances, sorted: equal for drawings that differ by the order of atoms, turns and mirrors alone. */
static double *distances(const struct mol *m, const float *pos)
{
	double *d = arena_alloc(mem, (size_t)m->n_atom * (size_t)m->n_atom * sizeof *d + 1);
	int32_t n = 0;
	for (int32_t i = 0; i < m->n_atom; i++)
		for (int32_t j = 0; j < m->n_atom; j++)
			d[n++] = distance(pos, i, j);
	qsort(d, (size_t)n, sizeof *d, compare_double);
	return d;
}
static void test_atom_order(void)
{
	static const char *const pairs[][2] = {
	    {"CC(=O)Oc1ccccc1C(=O)O", "c1c(OC(C)=O)c(C(O)=O)ccc1"},
	    {"CC(C)(C)OC(=O)N1CCC(CC1)C(F)(F)F", "FC(F)(F)C1CCN(CC1)C(=O)OC(C)(C)C"},
	    {"CN1C2CCC1CC(C2)OC(=O)C(CO)c3ccccc3", "OCC(C(=O)OC1CC2CCC(N2C)C1)c1ccccc1"},
	    {"Clc1ccc(cc1)C(c1ccccc1)N1CCN(CC1)CCOCC(=O)O", "OC(=O)COCCN1CCN(CC1)C(c1ccccc1)c1ccc(Cl)cc1"},
	};
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		const struct mol *a = parse(pairs[i][0]), *b = parse(pairs[i][1]);
		bool good = a && b && a->n_atom == b->n_atom;
		if (good) {
			double *x = distances(a, layout(a)), *y = distances(b, layout(b));
			for (int32_t j = 0; j < a->n_atom * a->n_atom; j++)
				good &= fabs(x[j] - y[j]) <= 1e-4;
		}
		tap_ok(good, "%s: the same drawing from another order of atoms", pairs[i][0]);
	}
	const struct mol *m = parse(pairs[2][0]);
	tap_ok(m && !memcmp(layout(m), layout(m), (size_t)m->n_atom * 2 * sizeof(float)), "twice the same bytes");
}

static void test_shape(void)
{
	const struct mol *m = parse("CC(=O)[O-].[Na+].OC(=O)/C=C/C(=O)O.c1ccccc1");
	bool apart = m != NULL;
	if (m) {
		const float *pos = layout(m);
		for (int32_t i = 0; i < m->n_atom; i++)
			for (int32_t j = 0; j < i; j++)
				apart &= m->atom[i].fragment == m->atom[j].fragment || distance(pos, i, j) > 1.2;
	}
	tap_ok(apart, "fragments stand apart");

	m = parse("CCCCCCCCCCCCCCCC");
	double width = 0, height = 0;
	if (m) {
		const float *pos = layout(m);
		for (int32_t i = 0; i < m->n_atom; i++)
			width = fmax(width, fabs((double)pos[2 * i])),
			height = fmax(height, fabs((double)pos[2 * i + 1]));
	}
	tap_ok(width > 6 && height < 0.6, "a chain lies level (%.2f by %.2f)", width, height);

	m = parse("c1ccccc1");
	int n_upright = 0;
	if (m) {
		const float *pos = layout(m);
		for (int32_t i = 0; i < m->n_bond; i++)
			n_upright += fabs((double)pos[2 * m->bond[i].a] - (double)pos[2 * m->bond[i].b]) < 1e-3;
	}
	tap_ok(n_upright == 2, "benzene stands on a corner: two bonds are upright");

	char *chain = malloc(5001);
	memset(chain, 'C', 5000);
	chain[5000] = 0;
	m = parse(chain);
	free(chain);
	bool good = m != NULL;
	if (m) {
		const float *pos = layout(m);
		for (int32_t i = 0; i < m->n_bond; i++)
			good &= fabs(distance(pos, m->bond[i].a, m->bond[i].b) - 1) < 1e-3;
	}
	tap_ok(good, "a chain of 5000 atoms");
	float one[2] = {9, 9};
	m = parse("[Na+]");
	if (m)
		mol_layout(m, scratch, one);
	tap_ok(one[0] == 0 && one[1] == 0, "a single atom stands at the origin");
	/* The mutant: an atom on another. */
	m = parse("CCO");
	float *pos = m ? layout(m) : NULL;
	if (m)
		pos[4] = pos[0], pos[5] = pos[1];
	tap_ok(m && !is_sound(m, pos, 0.5, 2), "the check rejects a drawing with one atom on another");
}

int main(void)
{
	struct err e = {0};
	mem = arena_new(0);
	scratch = arena_new(0);
	if (!tap_ok(mol_start(&e) == 0, "start %s", e.msg))
		return tap_done();
	test_molecules();
	test_double_bonds();
	test_atom_order();
	test_shape();
	arena_free(mem);
	arena_free(scratch);
	return tap_done();
}
