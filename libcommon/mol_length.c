/*
 * mol_length.c - typical bond lengths.
 *
 * Means of crystal structures: Allen, Kennard, Watson, Brammer, Orpen and
 * Taylor, J. Chem. Soc. Perkin Trans. 2 1987, S1; lengths to hydrogen from
 * microwave data, CRC Handbook of Chemistry and Physics, as are those of
 * cumulated double bonds (CO2, ketene, OCS, CS2, allene, HNCO) and between
 * oxygen, nitrogen and fluorine (F2, OF2, NF3). Any other bond: the
 * sum of Cordero's covalent radii, shortened for higher orders as RDKit and
 * Open Babel do.
 */
#include "mol_dg.h"

#include <stdlib.h>

enum { AROMATIC = 4 };

struct typical {
	uint8_t za, zb, order; /* za <= zb */
	float length_ang;
};
static const struct typical TYPICAL[] = {
    {1, 1, 1, 0.74F},   {1, 5, 1, 1.19F},   {1, 6, 1, 1.092F},  {1, 7, 1, 1.012F},  {1, 8, 1, 0.965F},
    {1, 14, 1, 1.48F},  {1, 15, 1, 1.42F},  {1, 16, 1, 1.34F},  {1, 34, 1, 1.47F},  {5, 6, 1, 1.57F},
    {5, 7, 1, 1.45F},   {5, 8, 1, 1.37F},   {5, 9, 1, 1.37F},   {6, 6, 1, 1.53F},   {6, 6, 2, 1.335F},
    {6, 6, 3, 1.19F},   {6, 6, 4, 1.393F},  {6, 7, 1, 1.469F},  {6, 7, 2, 1.285F},  {6, 7, 3, 1.15F},
    {6, 7, 4, 1.34F},   {6, 8, 1, 1.426F},  {6, 8, 2, 1.22F},   {6, 8, 3, 1.14F},   {6, 8, 4, 1.37F},
    {6, 9, 1, 1.36F},   {6, 14, 1, 1.87F},  {6, 15, 1, 1.82F},  {6, 15, 2, 1.70F},  {6, 16, 1, 1.81F},
    {6, 16, 2, 1.67F},  {6, 16, 4, 1.72F},  {6, 17, 1, 1.77F},  {6, 34, 1, 1.95F},  {6, 34, 2, 1.80F},
    {6, 34, 4, 1.87F},  {6, 35, 1, 1.93F},  {6, 53, 1, 2.12F},  {7, 7, 1, 1.41F},   {7, 7, 2, 1.24F},
    {7, 7, 3, 1.12F},   {7, 7, 4, 1.345F},  {7, 8, 1, 1.41F},   {7, 8, 2, 1.22F},   {7, 8, 4, 1.40F},
    {7, 15, 1, 1.66F},  {7, 15, 2, 1.60F},  {7, 16, 1, 1.66F},  {7, 16, 2, 1.54F},  {7, 16, 4, 1.64F},
    {7, 9, 1, 1.38F},   {7, 14, 1, 1.74F},  {7, 17, 1, 1.74F},  {8, 9, 1, 1.41F},   {9, 9, 1, 1.42F},
    {8, 8, 1, 1.47F},   {8, 14, 1, 1.64F},  {8, 15, 1, 1.60F},  {8, 15, 2, 1.48F},  {8, 16, 1, 1.58F},
    {8, 16, 2, 1.45F},  {8, 17, 1, 1.60F},  {8, 17, 2, 1.44F},  {9, 14, 1, 1.60F},  {9, 15, 1, 1.58F},
    {9, 16, 1, 1.56F},  {14, 14, 1, 2.34F}, {14, 17, 1, 2.06F}, {15, 16, 1, 2.09F}, {15, 16, 2, 1.93F},
    {15, 17, 1, 2.02F}, {16, 16, 1, 2.05F}, {16, 16, 2, 1.90F}, {34, 34, 1, 2.34F},
};

/* Carbon's share: what a bond gains or loses against one between sp3 atoms. */
static double carbon_shift_ang(const struct mol *m, const struct mol_bond *b)
{
	const struct mol_atom *a[2] = {&m->atom[b->a], &m->atom[b->b]};
	if (a[0]->z != 6)
		a[0] = &m->atom[b->b], a[1] = &m->atom[b->a];
	int hyb = a[0]->hybrid, other = a[1]->hybrid;
	switch (a[1]->z) {
	case 1:
		return hyb == MOL_SP ? -0.03 : hyb == MOL_SP2 ? -0.008 : 0;
	case 6: {
		static const float LENGTH[3][3] = {
		    {1.38F, 1.432F, 1.466F}, {1.432F, 1.47F, 1.507F}, {1.466F, 1.507F, 1.53F}};
		if (hyb < MOL_SP || hyb > MOL_SP3 || other < MOL_SP || other > MOL_SP3)
			return 0;
		return (double)LENGTH[hyb - MOL_SP][other - MOL_SP] - 1.53;
	}
	case 7:
		if (hyb == MOL_SP)
			return -0.14;
		if (hyb == MOL_SP2)
			return other == MOL_SP2 ? (b->conjugated ? -0.11 : -0.04) : -0.04;
		return other == MOL_SP2 ? -0.01 : a[1]->charge > 0 ? 0.03 : 0;
	case 8:
		if (hyb == MOL_SP2)
			return a[1]->charge < 0 ? -0.165 : -0.07;
		return 0;
	case 16:
		return hyb == MOL_SP2 || a[1]->degree > 2 ? -0.05 : hyb == MOL_SP ? -0.12 : 0;
	case 9:
	case 17:
	case 35:
	case 53:
		return hyb == MOL_SP2 ? -0.03 : hyb == MOL_SP ? -0.12 : 0.01;
	default:
		return 0;
	}
}

/* Double bond of a carbon that has two of them, to an atom of number z; 0: not known. */
static double cumulated_ang(int z)
{
	return z == 6 ? 1.31 : z == 7 ? 1.21 : z == 8 ? 1.165 : z == 16 ? 1.57 : 0;
}

/*
 * What a bond of a lanthanide or actinide, the heavier atom, falls short of the covalent radii: those of ions
 * (Shannon, Acta Cryst. A32, 751, 1976) give 2.4 angstrom for Gd-O, 2.5 for Gd-N.
 */
static double ionic_shift_ang(int light, int heavy)
{
	bool ion = (heavy >= 57 && heavy <= 71) || (heavy >= 89 && heavy <= 103);
	return !ion ? 0 : light == 8 || light == 9 ? 0.2 : light == 7 ? 0.12 : 0;
}

double mol_length_ideal_ang(const struct mol *m, const struct mol_bond *b)
{
	const struct mol_atom *p = &m->atom[b->a], *q = &m->atom[b->b];
	if (p->z > q->z)
		p = &m->atom[b->b], q = &m->atom[b->a];
	int order = b->aromatic ? AROMATIC : b->order < 1 ? 1 : b->order;
	for (size_t k = 0; k < sizeof TYPICAL / sizeof *TYPICAL; k++) {
		const struct typical *t = &TYPICAL[k];
		if (t->za != p->z || t->zb != q->z || t->order != order)
			continue;
		double length = (double)t->length_ang;
		if (order == 2 && ((p->z == 6 && p->hybrid == MOL_SP) || (q->z == 6 && q->hybrid == MOL_SP))) {
			double shorter = cumulated_ang(p->z == 6 && p->hybrid == MOL_SP ? q->z : p->z);
			return shorter > 0 ? shorter : length;
		}
		if (order == 1 && (p->z == 6 || q->z == 6))
			length += carbon_shift_ang(m, b);
		else if (order == 1 && q->z == 8 && q->charge < 0) /* N-oxides, nitro groups, sulphonates, phosphates */
			length -= p->z == 7 ? (p->hybrid == MOL_SP2 ? 0.17 : 0.06) : 0.1;
		else if (order == 1 && p->z == 8 && p->charge < 0)
			length -= 0.1;
		return length;
	}
	static const float SHORTER[] = {0, 0, 0.2F, 0.33F, 0.12F};
	double rp = mol_element_covalent_radius_ang(p->z), rq = mol_element_covalent_radius_ang(q->z);
	return (rp > 0 ? rp : 0.76) + (rq > 0 ? rq : 0.76) - (double)SHORTER[order < 5 ? order : 0] -
	       ionic_shift_ang(p->z, q->z);
}

int mol_bond_between(const struct mol *m, int i, int j)
{
	for (int k = m->adj_start[i]; k < m->adj_start[i + 1]; k++)
		if (m->adj_atom[k] == j)
			return m->adj_bond[k];
	return -1;
}
