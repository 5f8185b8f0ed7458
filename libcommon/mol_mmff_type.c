/*
 * mol_mmff_type.c - MMFF94's numeric atom types (part I, table III); aromatic rings and nitrogen have files of their
 * own. The types of sulphur's and phosphorus' oxygens do not ask how their bonds are drawn, dative or double.
 */
#include "mol_mmff.h"

/* First neighbour of i with a bond of order 2: its atomic number, 0 when there is none. */
static int doubly_bonded(const struct mol *m, int32_t i)
{
	for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++)
		if (m->bond[m->adj_bond[p]].order == 2)
			return m->atom[m->adj_atom[p]].z;
	return 0;
}

/* Nitrogens of two neighbours that are bonded to i, all or those doubly bonded alone. */
static int n_two_coordinate(const struct mol *m, int32_t i, bool doubly)
{
	int n = 0;
	for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++) {
		const struct mol_atom *a = &m->atom[m->adj_atom[p]];
		n += a->z == 7 && a->degree == 2 && (!doubly || m->bond[m->adj_bond[p]].order == 2);
	}
	return n;
}

static int type_carbon(const struct mol *m, int32_t i)
{
	int partner = doubly_bonded(m, i);
	switch (m->atom[i].degree) {
	case 4:
		return mmff_n_ring_of(m, i, 3) ? 22 : mmff_n_ring_of(m, i, 4) ? 20 : 1; /* CR3R, CR4R, CR */
	case 3:
		if (mmff_count(m, i, 7, 3) >= 2 && !n_two_coordinate(m, i, true) && partner == 7)
			return 57; /* CGD+ */
		if (mmff_count(m, i, 8, 1) >= 2 || mmff_count(m, i, 16, 1) >= 2)
			return 41; /* CO2M */
		if (partner == 6 && mmff_n_ring_of(m, i, 4))
			return 30;                                                             /* CE4R */
		return partner == 7 || partner == 8 || partner == 15 || partner == 16 ? 3 : 2; /* C=O, C=C */
	case 2:
		return 4; /* CSP */
	case 1:
		return 60; /* C% */
	default:
		return 0;
	}
}

/* Oxygen with one neighbour x, by order of its bond. */
static int type_terminal_oxygen(const struct mol *m, int32_t x, int order)
{
	const struct mol_atom *a = &m->atom[x];
	int n_oxygen = mmff_count(m, x, 8, 1);
	switch (a->z) {
	case 1:
		return 35; /* OM */
	case 6:
		return n_oxygen >= 2 ? 32 : order == 2 ? 7 : 35; /* O2CM, O=C */
	case 7:
		if (n_oxygen >= 2)
			return 32; /* O2N */
		if (order == 2)
			return 7;                                           /* O=N */
		return a->degree == 2 || mmff_valence(m, x) == 3 ? 35 : 32; /* OXN */
	case 16:
		if (mmff_count(m, x, 16, 1) == 1)
			return 32; /* OSMS */
		/* a sulfoxide may be drawn S+-O- */
		if ((order == 2 || a->charge > 0) && n_oxygen + n_two_coordinate(m, x, false) == 1)
			return 7; /* O=S */
		return 32;        /* O2S */
	case 15:
	case 17:
		return 32; /* OP, O4CL */
	default:
		return 0;
	}
}

static int type_oxygen(const struct mol *m, int32_t i)
{
	int32_t s = m->adj_start[i];
	switch (m->atom[i].degree) {
	case 3:
		return 49; /* O+ */
	case 2:
		if (mmff_valence(m, i) == 3)
			return 51;                            /* O=+ */
		return mmff_count(m, i, 1, -1) == 2 ? 70 : 6; /* OH2, OR */
	case 1:
		return type_terminal_oxygen(m, m->adj_atom[s], m->bond[m->adj_bond[s]].order);
	default:
		return 0;
	}
}

static int type_sulphur(const struct mol *m, int32_t i)
{
	int n_oxygen = mmff_count(m, i, 8, 1);
	switch (m->atom[i].degree) {
	case 4:
		return 18; /* SO2 */
	case 3: {
		int n = n_oxygen + n_two_coordinate(m, i, false);
		if (n == 2)
			return doubly_bonded(m, i) == 6 || mmff_count(m, i, 6, 2) ? 18 : 73; /* =SO2, SO2M */
		return n && mmff_count(m, i, 16, 1) ? 73 : 17;                               /* SSOM, S=O */
	}
	case 2:
		for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++)
			if (m->atom[m->adj_atom[p]].z == 8 && m->bond[m->adj_bond[p]].order == 2)
				return 74; /* =S=O */
		return 15;                 /* S */
	case 1: {
		int32_t x = m->adj_atom[m->adj_start[i]];
		bool thione = m->atom[x].z == 6 && m->bond[m->adj_bond[m->adj_start[i]]].order == 2;
		return thione && mmff_count(m, x, 16, 1) != 2 ? 16 : 72; /* S=C, S2CM */
	}
	default:
		return 0;
	}
}

static int type_halogen(const struct mol *m, int32_t i)
{
	static const struct {
		uint8_t z, bonded, ion;
	} types[] = {{9, 11, 89}, {17, 12, 90}, {35, 13, 91}, {53, 14, 0}};
	const struct mol_atom *a = &m->atom[i];
	if (a->z == 17 && a->degree == 4)
		return mmff_count(m, i, 8, -1) == 4 ? 77 : 0; /* CLO4 */
	for (int k = 0; k < 4; k++)
		if (types[k].z == a->z)
			return a->degree == 1 ? types[k].bonded : a->degree == 0 ? types[k].ion : 0;
	return 0;
}

static int type_ion(const struct mol_atom *a)
{
	static const struct {
		uint8_t z, charge, type;
	} types[] = {{3, 1, 92},  {11, 1, 93}, {12, 2, 99}, {19, 1, 94}, {20, 2, 96},
		     {26, 2, 87}, {26, 3, 88}, {29, 1, 97}, {29, 2, 98}, {30, 2, 95}};
	for (size_t k = 0; k < sizeof types / sizeof *types && !a->degree; k++)
		if (types[k].z == a->z && types[k].charge == a->charge)
			return types[k].type;
	return 0;
}

static int type_heavy(const struct mmff_types *t, int32_t i)
{
	const struct mol *m = t->m;
	int type = mmff_type_aromatic(t, i);
	if (type)
		return type;
	switch (m->atom[i].z) {
	case 6:
		return type_carbon(m, i);
	case 7:
		return mmff_type_nitrogen(t, i);
	case 8:
		return type_oxygen(m, i);
	case 14:
		return m->atom[i].degree == 4 ? 19 : 0; /* SI */
	case 15:
		switch (m->atom[i].degree) {
		case 4:
			return 25; /* PO4 */
		case 3:
			return 26; /* P */
		case 2:
			return 75; /* -P=C */
		default:
			return 0;
		}
	case 16:
		return type_sulphur(m, i);
	case 9:
	case 17:
	case 35:
	case 53:
		return type_halogen(m, i);
	default:
		return type_ion(&m->atom[i]);
	}
}

/* ---- hydrogen, which goes by the type of its neighbour ------------------------- */

static int type_hydroxyl(const struct mmff_types *t, int32_t o)
{
	const struct mol *m = t->m;
	bool acid = false, enol = false, sulphur = false;
	for (int32_t p = m->adj_start[o]; p < m->adj_start[o + 1]; p++) {
		int32_t x = m->adj_atom[p];
		acid |= m->atom[x].z == 15;
		sulphur |= m->atom[x].z == 16;
		for (int32_t q = m->adj_start[x]; q < m->adj_start[x + 1] && m->atom[x].z == 6; q++) {
			int z = m->atom[m->adj_atom[q]].z, order = mmff_order(t, x, m->adj_atom[q]);
			acid |= z == 8 && order == 2;
			enol |= (z == 6 || z == 7) && (order == 2 || order == 5);
		}
	}
	return acid ? 24 : enol ? 29 : sulphur ? 33 : 21; /* HOCO, HOCC, HOS, HOR */
}

static int type_hydrogen(const struct mmff_types *t, int32_t i)
{
	const struct mol *m = t->m;
	if (m->atom[i].degree != 1)
		return 0;
	int32_t x = m->adj_atom[m->adj_start[i]];
	switch (m->atom[x].z) {
	case 6:
	case 14:
		return 5; /* HC */
	case 7:
		switch (t->type[x]) {
		case 8:
		case 39:
		case 62:
		case 67:
		case 68:
			return 23; /* HNR */
		case 34:
		case 54:
		case 55:
		case 56:
		case 58:
		case 81:
			return 36; /* HNR+ */
		case 9:
			return 27; /* HN=C */
		default:
			return 28; /* HNCO */
		}
	case 8:
		switch (t->type[x]) {
		case 49:
			return 50; /* HO+ */
		case 51:
			return 52; /* HO=+ */
		case 70:
			return 31; /* HOH */
		case 6:
			return type_hydroxyl(t, x);
		default:
			return 21;
		}
	case 15:
	case 16:
		return 71; /* HS, HP */
	default:
		return 0;
	}
}

int32_t mmff_assign_types(struct mmff_types *t)
{
	for (int32_t i = 0; i < t->m->n_atom; i++)
		if (t->m->atom[i].z != 1 && !(t->type[i] = (uint8_t)type_heavy(t, i)))
			return i;
	for (int32_t i = 0; i < t->m->n_atom; i++)
		if (t->m->atom[i].z == 1 && !(t->type[i] = (uint8_t)type_hydrogen(t, i)))
			return i;
	return -1;
}
