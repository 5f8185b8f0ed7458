/*
 * mol_mmff_type_ring.c - MMFF94's types of atoms in aromatic rings (part I, tables III and IV).
 *
 * In a ring of five the types go by the place beside the heteroatom that gives the lone pair: next to it (alpha) or
 * one further (beta).
 */
#include "mol_mmff.h"

/* Heteroatoms with a lone pair or three neighbours, one or two places away in an aromatic ring of five. */
struct beside {
	int n_alpha, n_beta;
	bool alpha_os, beta_os; /* one of them is oxygen or sulphur */
	bool same_ring;         /* an alpha and a beta one in one ring */
	bool in_five;
};

static bool gives_place(const struct mol *m, int32_t i)
{
	const struct mol_atom *a = &m->atom[i];
	return a->z == 8 || a->z == 16 || (a->z == 7 && a->degree == 3 && !mmff_is_n_oxide(m, i));
}

static struct beside look_beside(const struct mmff_types *t, int32_t i)
{
	const struct mol *m = t->m;
	struct beside b = {0};
	for (int32_t r = 0; r < t->n_ring; r++) {
		int p = 0, n_alpha = 0, n_beta = 0;
		if (t->ring_size[r] != 5)
			continue;
		while (p < 5 && t->ring_atom[r][p] != i)
			p++;
		if (p == 5)
			continue;
		b.in_five = true;
		for (int step = 1; step < 5; step++) {
			int32_t x = t->ring_atom[r][(p + step) % 5];
			bool os = m->atom[x].z == 8 || m->atom[x].z == 16;
			if (!gives_place(m, x))
				continue;
			if (step == 1 || step == 4) {
				n_alpha++;
				b.alpha_os |= os;
			} else {
				n_beta++;
				b.beta_os |= os;
			}
		}
		b.n_alpha += n_alpha;
		b.n_beta += n_beta;
		b.same_ring |= n_alpha && n_beta;
	}
	return b;
}

/* Carbon between the nitrogens of an imidazolium ion. */
static bool is_between_cationic(const struct mmff_types *t, int32_t i)
{
	const struct mol *m = t->m;
	int n = 0, n_charge = 0, n_five = 0, n_six = 0;
	for (int32_t s = m->adj_start[i]; s < m->adj_start[i + 1]; s++) {
		int32_t x = m->adj_atom[s];
		if (m->atom[x].z != 7 || m->atom[x].degree != 3)
			continue;
		n++;
		n_charge += m->atom[x].charge > 0 && !mmff_is_n_oxide(m, x);
		n_five += mmff_is_in_aromatic(t, x, 5);
		n_six += mmff_is_in_aromatic(t, x, 6);
	}
	return n_charge && !n_six && ((n == 2 && n_five) || (n == 3 && n_five == 2));
}

static bool is_among_benzene(const struct mol *m, int32_t i)
{
	for (int32_t s = m->adj_start[i]; s < m->adj_start[i + 1]; s++)
		if (m->atom[m->adj_atom[s]].z != 6 || !mmff_n_ring_of(m, m->adj_atom[s], 6))
			return false;
	return true;
}

static int type_of_carbon(const struct mmff_types *t, int32_t i, const struct beside *b)
{
	if (!b->n_beta && is_between_cationic(t, i))
		return 80; /* CIM+ */
	if (!b->n_alpha && !b->n_beta)
		return is_among_benzene(t->m, i) ? 0 : 78; /* C5 */
	if (b->n_alpha && b->n_beta && (!b->same_ring || (!b->alpha_os && !b->beta_os)))
		return 78;
	return b->n_alpha && (!b->n_beta || b->alpha_os) ? 63 : 64; /* C5A, C5B */
}

static int type_of_nitrogen(const struct mmff_types *t, int32_t i, const struct beside *b)
{
	bool three = t->m->atom[i].degree == 3;
	if (mmff_is_n_oxide(t->m, i))
		return 82; /* N5OX */
	if (!b->n_alpha && !b->n_beta)
		return three ? 39 : 76; /* NPYL, N5M */
	if (three && !(b->n_alpha && b->n_beta))
		return 81; /* N5+, NIM+ */
	if (b->n_alpha && (!b->n_beta || b->alpha_os))
		return 65;                          /* N5A */
	return !b->n_alpha || b->beta_os ? 66 : 79; /* N5B, N5 */
}

int mmff_type_aromatic(const struct mmff_types *t, int32_t i)
{
	const struct mol_atom *a = &t->m->atom[i];
	int type = 0;
	if (!t->aromatic[i])
		return 0;
	struct beside b = look_beside(t, i);
	if (b.in_five) {
		switch (a->z) {
		case 6:
			type = type_of_carbon(t, i, &b);
			break;
		case 7:
			type = type_of_nitrogen(t, i, &b);
			break;
		case 8:
			type = 59; /* OFUR */
			break;
		case 16:
			type = 44; /* STHI */
			break;
		}
	}
	if (type || !mmff_is_in_aromatic(t, i, 6))
		return type;
	if (a->z == 6)
		return 37; /* CB */
	if (a->z == 7)
		return mmff_is_n_oxide(t->m, i) ? 69 : a->degree == 3 ? 58 : 38; /* NPOX, NPD+, NPYD */
	return 0;
}
