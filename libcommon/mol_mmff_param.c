/*
 * mol_mmff_param.c - the parameters of one bond, angle, torsion: classes, steps down to more general types (part I,
 * p. 511), then the empirical rules.
 */
#include "mol_mmff.h"

#include <string.h>

int mmff_bond_class(const struct mmff_types *t, int32_t bond)
{
	const struct mol_bond *b = &t->m->bond[bond];
	const struct mmff_prop *i = mmff_prop(t->type[b->a]), *j = mmff_prop(t->type[b->b]);
	return b->order == 1 && !t->bond_aromatic[bond] && ((i->sbmb && j->sbmb) || (i->arom && j->arom));
}

static int class_between(const struct mmff_types *t, int32_t i, int32_t j)
{
	return mmff_bond_class(t, mmff_bond_between(t->m, i, j));
}

bool mmff_bond_param(const struct mmff_types *t, int32_t bond, double p[2])
{
	const struct mol_bond *b = &t->m->bond[bond];
	bool swapped;
	const double *v =
	    mmff_find(MMFF_BOND, (int[]){mmff_bond_class(t, bond), t->type[b->a], t->type[b->b]}, &swapped);
	if (!v)
		return mmff_rule_bond(t->m->atom[b->a].z, t->m->atom[b->b].z, p);
	memcpy(p, v, 2 * sizeof *p);
	return true;
}

/* Sum of the bonds' classes, in rings of three: 3, 5, 6, of four: 4, 7, 8. */
static int angle_class(const struct mmff_types *t, const int32_t atom[3])
{
	int sum = class_between(t, atom[0], atom[1]) + class_between(t, atom[1], atom[2]);
	int ring = mmff_angle_ring(t->m, atom[0], atom[1], atom[2]);
	return !ring ? sum : sum ? sum + 2 * ring - 2 : ring;
}

bool mmff_angle_param(const struct mmff_types *t, const int32_t atom[3], double r_ij, double r_kj, double p[2])
{
	static const int levels[] = {2, 3, 4, 5};
	int class = angle_class(t, atom);
	const double *v = NULL;
	bool swapped;
	for (int k = 0; k < 4 && !v; k++)
		v = mmff_find(MMFF_ANGLE,
			      (int[]){class, mmff_level(t->type[atom[0]], levels[k]), t->type[atom[1]],
				      mmff_level(t->type[atom[2]], levels[k])},
			      &swapped);
	p[0] = v ? v[0] : 0;
	p[1] = v ? v[1] : 0;
	return p[0] > 0 || mmff_rule_angle(t, atom, r_ij, r_kj, p);
}

static int stretch_bend_class(int angle, int bond_ij)
{
	static const int8_t whole[9] = {0, 1, 3, 5, 4, 6, 8, 9, 11};
	bool lopsided = angle == 1 || angle == 5 || angle == 7;
	return whole[angle] + (lopsided && !bond_ij);
}

bool mmff_stretch_bend_param(const struct mmff_types *t, const int32_t atom[3], double p[2])
{
	const struct mol *m = t->m;
	int ij = class_between(t, atom[0], atom[1]), kj = class_between(t, atom[2], atom[1]);
	int first = t->type[atom[0]], last = t->type[atom[2]];
	bool back = first > last || (first == last && ij < kj), swapped;
	/* The class says which of the two bonds has class 1: it belongs to one direction of the types. */
	int class = stretch_bend_class(angle_class(t, atom), back ? kj : ij);
	const double *v = mmff_find(
	    MMFF_STRETCH_BEND, (int[]){class, back ? last : first, t->type[atom[1]], back ? first : last}, &swapped);
	if (!v) {
		v = mmff_find(
		    MMFF_STRETCH_BEND_RULE,
		    (int[]){mmff_row(m->atom[atom[0]].z), mmff_row(m->atom[atom[1]].z), mmff_row(m->atom[atom[2]].z)},
		    &swapped);
		back = swapped;
	}
	p[0] = v ? v[back] : 0;
	p[1] = v ? v[!back] : 0;
	return v != NULL;
}

double mmff_oop_param(const struct mmff_types *t, int32_t centre, bool static_variant)
{
	static const int levels[] = {2, 3, 4, 5};
	const int32_t *x = t->m->adj_atom + t->m->adj_start[centre];
	const double *v = NULL;
	bool swapped;
	for (int k = 0; k < 4 && !v; k++)
		v = mmff_find(static_variant ? MMFF_OOP_S : MMFF_OOP,
			      (int[]){mmff_level(t->type[x[0]], levels[k]), t->type[centre],
				      mmff_level(t->type[x[1]], levels[k]), mmff_level(t->type[x[2]], levels[k])},
			      &swapped);
	return v ? *v : 0;
}

/* The class by ring or bonds; *base: that by bonds alone. */
static int torsion_class(const struct mmff_types *t, const int32_t atom[4], int *base)
{
	const struct mol *m = t->m;
	int ij = class_between(t, atom[0], atom[1]), kl = class_between(t, atom[2], atom[3]);
	bool chord = mmff_bond_between(m, atom[0], atom[2]) >= 0 || mmff_bond_between(m, atom[1], atom[3]) >= 0;
	*base = class_between(t, atom[1], atom[2]);
	if (!*base && mmff_order(t, atom[1], atom[2]) == 1 && (ij || kl))
		*base = 2;
	if (mmff_bond_between(m, atom[0], atom[3]) >= 0)
		return chord ? *base : 4;
	if (t->type[atom[0]] != 1 && t->type[atom[1]] != 1 && t->type[atom[2]] != 1 && t->type[atom[3]] != 1)
		return *base;
	for (int32_t s = m->adj_start[atom[0]]; s < m->adj_start[atom[0] + 1]; s++)
		if (m->adj_atom[s] != atom[1] && m->adj_atom[s] != atom[2] &&
		    mmff_bond_between(m, m->adj_atom[s], atom[3]) >= 0)
			return 5;
	return *base;
}

/* The steps from exact types (0) to any ends (3) that are wanted. */
static const double *find_torsion(const struct mmff_types *t, const int32_t atom[4], enum mmff_table table, int class,
				  int first, int last)
{
	static const int levels[4][2] = {{2, 2}, {3, 5}, {5, 3}, {5, 5}};
	int i = t->type[atom[0]], j = t->type[atom[1]], k = t->type[atom[2]], l = t->type[atom[3]];
	bool back = j > k || (j == k && i > l), swapped; /* which end becomes general first goes by the types */
	const double *v = NULL;
	for (int n = first; n <= last && !v; n++)
		v = mmff_find(table,
			      (int[]){class, mmff_level(back ? l : i, levels[n][0]), back ? k : j, back ? j : k,
				      mmff_level(back ? i : l, levels[n][1])},
			      &swapped);
	return v;
}

bool mmff_torsion_param(const struct mmff_types *t, const int32_t atom[4], bool static_variant, double p[3])
{
	enum mmff_table table = static_variant ? MMFF_TORSION_S : MMFF_TORSION;
	int base, class = torsion_class(t, atom, &base);
	/* In a ring of five its default for any ends gives way to what the bonds say (SEJDAM of the validation suite).
	 */
	bool gives_way = class == 5 && base;
	const double *v = find_torsion(t, atom, table, class, 0, gives_way ? 2 : 3);
	if (!v && base != class)
		v = find_torsion(t, atom, table, base, 0, 3);
	if (!v && gives_way)
		v = find_torsion(t, atom, table, class, 3, 3);
	if (!v && base == 2)
		v = find_torsion(t, atom, table, 0, 0, 3);
	if (v)
		memcpy(p, v, 3 * sizeof *p);
	else
		mmff_rule_torsion(t, atom[1], atom[2], p);
	return p[0] != 0 || p[1] != 0 || p[2] != 0;
}
