/*
 * mol_mmff.c - MMFF94 and MMFF94s: the terms of a molecule.
 *
 * Units of the papers are mdyn, angstrom, rad; here kcal/mol, angstrom, degrees: 143.9325 kcal/mol to mdyn angstrom,
 * 0.043844 = 143.9325 (pi/180)^2, 2.51210 = 143.9325 pi/180.
 */
#include "mol_mmff.h"

#include <string.h>

int mol_ff_start(struct err *e)
{
	return mmff_tables_load(e);
}

static int refuse(struct mol_reject *why, struct err *e, const char *what, int32_t i, int32_t j, const struct mol *m)
{
	memset(why, 0, sizeof *why);
	why->code = "no-parameters";
	if (j < 0)
		snprintf(why->msg, sizeof why->msg, "MMFF94 has no %s atom %d (%s)", what, i + 1,
			 mol_element_symbol(m->atom[i].z) ? mol_element_symbol(m->atom[i].z) : "*");
	else
		snprintf(why->msg, sizeof why->msg, "MMFF94 has no %s atoms %d and %d", what, i + 1, j + 1);
	return err_set(e, ERR_CHEM, "%s", why->msg);
}

static bool is_linear(const struct mmff_types *t, int32_t i)
{
	return mmff_prop(t->type[i])->lin != 0;
}

static void add_angle(struct mmff *f, const struct mmff_types *t, const int32_t atom[3], double r_ij, double r_kj)
{
	double p[2], s[2] = {0, 0};
	bool linear = is_linear(t, atom[1]);
	if (!mmff_angle_param(t, atom, r_ij, r_kj, p))
		return;
	if (!linear)
		mmff_stretch_bend_param(t, atom, s);
	f->angle[f->n_angle++] = (struct mmff_angle){.i = atom[0],
						     .j = atom[1],
						     .k = atom[2],
						     .linear = linear,
						     .k_kcal = (linear ? 143.9325 : 0.043844) * p[0],
						     .theta0_deg = p[1],
						     .kij_kcal = 2.51210 * s[0],
						     .kkj_kcal = 2.51210 * s[1],
						     .rij_ang = r_ij,
						     .rkj_ang = r_kj};
}

static void add_angles(struct mmff *f, const struct mmff_types *t)
{
	const struct mol *m = t->m;
	for (int32_t j = 0; j < m->n_atom; j++)
		for (int32_t s = m->adj_start[j]; s < m->adj_start[j + 1]; s++)
			for (int32_t u = s + 1; u < m->adj_start[j + 1]; u++)
				add_angle(f, t, (int32_t[]){m->adj_atom[s], j, m->adj_atom[u]},
					  f->bond[m->adj_bond[s]].r0_ang, f->bond[m->adj_bond[u]].r0_ang);
}

static void add_oops(struct mmff *f, const struct mmff_types *t, bool static_variant)
{
	static const int8_t turn[3][3] = {{0, 1, 2}, {1, 2, 0}, {2, 0, 1}};
	const struct mol *m = t->m;
	for (int32_t c = 0; c < m->n_atom; c++) {
		double k = m->atom[c].degree == 3 ? mmff_oop_param(t, c, static_variant) : 0;
		for (int n = 0; n < 3 && k != 0; n++) {
			struct mmff_oop *o = &f->oop[f->n_oop++];
			o->k_kcal = 0.043844 * k;
			o->atom[0] = c;
			for (int q = 0; q < 3; q++)
				o->atom[1 + q] = m->adj_atom[m->adj_start[c] + turn[n][q]];
		}
	}
}

static void add_torsions(struct mmff *f, const struct mmff_types *t, bool static_variant)
{
	const struct mol *m = t->m;
	for (int32_t b = 0; b < m->n_bond; b++) {
		int32_t j = m->bond[b].a, k = m->bond[b].b;
		if (is_linear(t, j) || is_linear(t, k))
			continue;
		for (int32_t s = m->adj_start[j]; s < m->adj_start[j + 1]; s++)
			for (int32_t u = m->adj_start[k]; u < m->adj_start[k + 1]; u++) {
				struct mmff_torsion x = {{m->adj_atom[s], j, k, m->adj_atom[u]}, {0, 0, 0}};
				if (x.atom[0] != k && x.atom[3] != j && x.atom[0] != x.atom[3] &&
				    mmff_torsion_param(t, x.atom, static_variant, x.v_kcal))
					f->torsion[f->n_torsion++] = x;
			}
	}
}

int mmff_types_new(const struct mol *m, struct arena *a, struct mmff_types *t, struct mol_reject *why, struct err *e)
{
	*t = (struct mmff_types){.m = m, .type = arena_calloc(a, (size_t)m->n_atom + 1, 1)};
	mmff_find_aromatic(t, a);
	int32_t bad = mmff_assign_types(t);
	if (bad >= 0)
		return refuse(why, e, "type for", bad, -1, m);
	mmff_assign_charges(t, a);
	return 0;
}

int mol_mmff_new(const struct mol *m, bool static_variant, struct arena *a, struct mol_ff **out, struct mol_reject *why,
		 struct err *e)
{
	struct mmff *f = arena_calloc(a, 1, sizeof *f);
	struct mmff_types t;
	size_t n_angle = 1, n_torsion = 1;
	int rc = mmff_tables_load(e);
	if (rc || (rc = mmff_types_new(m, a, &t, why, e)))
		return rc;
	for (int32_t i = 0; i < m->n_atom; i++)
		n_angle += (size_t)m->atom[i].degree * (size_t)m->atom[i].degree / 2;
	for (int32_t b = 0; b < m->n_bond; b++)
		n_torsion += (size_t)m->atom[m->bond[b].a].degree * (size_t)m->atom[m->bond[b].b].degree;
	f->bond = arena_alloc(a, ((size_t)m->n_bond + 1) * sizeof *f->bond);
	f->angle = arena_alloc(a, n_angle * sizeof *f->angle);
	f->torsion = arena_alloc(a, n_torsion * sizeof *f->torsion);
	f->oop = arena_alloc(a, 3 * ((size_t)m->n_atom + 1) * sizeof *f->oop);
	for (int32_t b = 0; b < m->n_bond; b++) {
		double p[2];
		if (!mmff_bond_param(&t, b, p))
			return refuse(why, e, "parameters for the bond between", m->bond[b].a, m->bond[b].b, m);
		f->bond[f->n_bond++] = (struct mmff_bond){m->bond[b].a, m->bond[b].b, 143.9325 * p[0], p[1]};
	}
	add_angles(f, &t);
	add_oops(f, &t, static_variant);
	add_torsions(f, &t, static_variant);
	f->pairs = mmff_pairs_new(&t, a);
	f->base.energy = mmff_energy;
	f->base.stiffen = mmff_stiffen;
	*out = &f->base;
	return 0;
}
