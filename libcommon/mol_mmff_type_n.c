/* mol_mmff_type_n.c - MMFF94's types of nitrogen outside aromatic rings (part I, table III). */
#include "mol_mmff.h"

/* What a nitrogen of three neighbours sees through them. */
struct sight {
	bool carbon, carbonyl; /* a carbon; one with =O or =S */
	bool benzene;          /* a carbon of an aromatic ring of six, */
	bool benzene_alone;    /* which has no aromatic O or S beside it */
	bool enamine;          /* a carbon with another C=C, C=N or C=P (aromatic bonds count) or a C#C */
	bool cyano;            /* C#N */
	bool amidinium, guanidinium;
	bool hydrazone; /* N-N=C or N-N=N */
};

static bool is_double_or_aromatic(int order)
{
	return order == 2 || order == 5;
}

static void look_through_carbon(const struct mmff_types *t, int32_t c, struct sight *s)
{
	const struct mol *m = t->m;
	int n_two = 0, n_three = 0, n_charge = 0, n_hetero = 0;
	bool to_nitrogen = false, in_six = mmff_is_in_aromatic(t, c, 6);
	for (int32_t p = m->adj_start[c]; p < m->adj_start[c + 1]; p++) {
		int32_t x = m->adj_atom[p];
		const struct mol_atom *a = &m->atom[x];
		int order = mmff_order(t, c, x);
		s->carbonyl |= order == 2 && (a->z == 8 || a->z == 16);
		s->cyano |= order == 3 && a->z == 7;
		s->enamine |= order == 3 && a->z == 6;
		if (order == 2 || (order == 5 && (a->z == 6 || (a->z == 7 && mmff_n_ring_of(m, x, 0) == 1)))) {
			s->enamine |= a->z == 6 || a->z == 7 || a->z == 15;
			to_nitrogen |= a->z == 7;
		}
		if (a->z == 7 && a->degree == 3) {
			n_charge += a->charge == 1;
			n_three += mmff_count(m, x, 8, -1) < 2;
		}
		n_two += a->z == 7 && a->degree == 2 && is_double_or_aromatic(order);
		n_hetero += t->aromatic[x] && (a->z == 8 || a->z == 16);
	}
	if (t->aromatic[c] && mmff_n_ring_of(m, c, 6)) {
		s->benzene = true;
		s->benzene_alone |= !n_hetero;
	}
	s->amidinium |= to_nitrogen && n_three == 2 && !n_two && n_charge && !in_six;
	s->guanidinium |= to_nitrogen && n_three == 3;
}

static bool is_hydrazone_nitrogen(const struct mmff_types *t, int32_t n)
{
	const struct mol *m = t->m;
	for (int32_t p = m->adj_start[n]; p < m->adj_start[n + 1]; p++) {
		int32_t x = m->adj_atom[p];
		if (mmff_order(t, n, x) != 2)
			continue;
		if (m->atom[x].z == 7)
			return true;
		if (m->atom[x].z == 6 && mmff_count(m, x, 7, -1) == 1 && !mmff_count(m, x, 8, -1) &&
		    !mmff_count(m, x, 16, -1))
			return true;
	}
	return false;
}

static struct sight look_around(const struct mmff_types *t, int32_t i)
{
	const struct mol *m = t->m;
	struct sight s = {0};
	for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++)
		if (m->atom[m->adj_atom[p]].z == 6) {
			s.carbon = true;
			look_through_carbon(t, m->adj_atom[p], &s);
		}
	for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1] && !s.benzene; p++)
		if (m->atom[m->adj_atom[p]].z == 7)
			s.hydrazone |= is_hydrazone_nitrogen(t, m->adj_atom[p]);
	return s;
}

/* On sulphur or phosphorus with two terminal oxygens or more. */
static bool is_sulfonamide(const struct mol *m, int32_t i)
{
	for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++) {
		int32_t x = m->adj_atom[p];
		if ((m->atom[x].z == 15 || m->atom[x].z == 16) && mmff_count(m, x, 8, 1) >= 2)
			return mmff_valence(m, i) >= 3;
	}
	return false;
}

/* Doubly bonded to nitrogen, or to carbon without another three-coordinate nitrogen. */
static bool is_iminium(const struct mmff_types *t, int32_t i)
{
	const struct mol *m = t->m;
	for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++) {
		int32_t x = m->adj_atom[p];
		if (m->bond[m->adj_bond[p]].order != 2)
			continue;
		if (m->atom[x].z == 7)
			return true;
		return m->atom[x].z == 6 && mmff_count(m, x, 7, 3) == 1; /* itself */
	}
	return false;
}

static int type_of_three(const struct mmff_types *t, int32_t i)
{
	const struct mol *m = t->m;
	int n_oxide = mmff_count(m, i, 8, 1), valence = mmff_valence(m, i);
	bool sulfonamide = is_sulfonamide(m, i);
	if (valence >= 4) {
		if (n_oxide)
			return n_oxide == 1 ? 67 : 45; /* N2OX, NO2 */
		if (is_iminium(t, i))
			return 54; /* N+=C */
	}
	struct sight s = look_around(t, i);
	if (s.carbon) {
		sulfonamide |= s.cyano;
		if (s.amidinium)
			return 55; /* NCN+ */
		if (s.guanidinium)
			return 56; /* NGD+ */
		if (!s.carbonyl && !sulfonamide && (s.benzene_alone || s.enamine))
			return 40; /* NC=C */
	}
	if (sulfonamide)
		return 43;                         /* NSO2 */
	return s.carbonyl || s.hydrazone ? 10 : 8; /* NC=O, NR */
}

static bool is_beside_sulfoxide(const struct mol *m, int32_t i)
{
	for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++)
		if (m->atom[m->adj_atom[p]].z == 16 && mmff_count(m, m->adj_atom[p], 8, 1) == 1)
			return true;
	return false;
}

static int type_of_two(const struct mmff_types *t, int32_t i)
{
	const struct mol *m = t->m;
	int valence = mmff_valence(m, i), partner = 0;
	bool triple = false, oxo = false;
	for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++) {
		const struct mol_atom *a = &m->atom[m->adj_atom[p]];
		int order = m->bond[m->adj_bond[p]].order;
		triple |= order == 3;
		if (order == 2) {
			partner = a->z;
			oxo = a->z == 8 && a->degree == 1;
		}
	}
	if (valence == 4)
		return triple ? 61 : 53; /* NR%, =N= */
	if (valence == 3 && oxo)
		return 46; /* N=O */
	if (valence == 3 && (partner == 6 || partner == 7))
		return 9; /* N=C */
	if (is_beside_sulfoxide(m, i))
		return 48;                     /* NSO */
	return is_sulfonamide(m, i) ? 43 : 62; /* NSO2, NM */
}

static int type_of_one(const struct mmff_types *t, int32_t i)
{
	const struct mol *m = t->m;
	int32_t x = m->adj_atom[m->adj_start[i]];
	if (m->bond[m->adj_bond[m->adj_start[i]]].order == 3)
		return 42; /* NSP */
	if (m->atom[x].z == 7 && m->atom[x].degree == 2 && (mmff_count(m, x, 7, 2) || mmff_count(m, x, 6, 3)))
		return 47; /* NAZT */
	return 8;
}

int mmff_type_nitrogen(const struct mmff_types *t, int32_t i)
{
	switch (t->m->atom[i].degree) {
	case 4:
		return mmff_is_n_oxide(t->m, i) ? 68 : 34; /* N3OX, NR+ */
	case 3:
		return type_of_three(t, i);
	case 2:
		return type_of_two(t, i);
	case 1:
		return type_of_one(t, i);
	default:
		return 0;
	}
}
