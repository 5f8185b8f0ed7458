/* mol_sdf_write.c - one conformer as an SDF record, V2000, or V3000 where V2000 has no room. */
#include "mol_conf.h"

#include <math.h>
#include <string.h>

/* Total of the bond orders where readers could not guess that an atom has no further hydrogens, else 0: let them guess.
 */
static int stated_valence(const struct mol *m, int i)
{
	static const uint8_t GUESSED[] = {1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 35, 53};
	const struct mol_atom *at = &m->atom[i];
	if (!at->charge && !at->n_radical && memchr(GUESSED, at->z, sizeof GUESSED))
		return 0;
	int sum = 0;
	for (int k = m->adj_start[i]; k < m->adj_start[i + 1]; k++)
		sum += m->bond[m->adj_bond[k]].order;
	return sum ? sum : 15; /* 15 says none */
}

static const char *symbol(const struct mol_atom *a)
{
	const char *s = mol_element_symbol(a->z);
	return s ? s : "*";
}

/* Format's code of a bond, and its first atom: of a dative bond (code 9) the giver, which is the lighter one. */
static int bond_code(const struct mol *m, const struct mol_bond *b, int *first, int *second)
{
	bool swap = !b->order && m->atom[b->a].z > m->atom[b->b].z;
	*first = 1 + (swap ? b->b : b->a);
	*second = 1 + (swap ? b->a : b->b);
	return b->order ? b->order : 9;
}

/* "M  CHG", "M  ISO" or "M  RAD": the atoms whose property is not 0, eight a line. */
static void write_property(struct buf *out, const struct mol *m, const char *name,
			   int (*value)(const struct mol_atom *))
{
	int list[8], n = 0;
	for (int i = 0; i <= m->n_atom; i++) {
		if (i < m->n_atom && value(&m->atom[i]))
			list[n++] = i;
		if (n == 8 || (n && i == m->n_atom)) {
			buf_printf(out, "M  %s%3d", name, n);
			for (int k = 0; k < n; k++)
				buf_printf(out, " %3d %3d", list[k] + 1, value(&m->atom[list[k]]));
			buf_printf(out, "\n");
			n = 0;
		}
	}
}

static int charge_of(const struct mol_atom *a)
{
	return a->charge;
}

static int isotope_of(const struct mol_atom *a)
{
	return a->isotope;
}

/* Spin multiplicity of 1 or 2 unpaired electrons; more have no code. */
static int radical_of(const struct mol_atom *a)
{
	return a->n_radical == 1 ? 2 : a->n_radical == 2 ? 3 : 0;
}

static void write_v2000(struct buf *out, const struct mol *m, const double *pos)
{
	buf_printf(out, "%3d%3d  0  0  0  0  0  0  0  0999 V2000\n", m->n_atom, m->n_bond);
	for (int i = 0; i < m->n_atom; i++)
		buf_printf(out, "%10.4f%10.4f%10.4f %-3s 0  0  0  0  0%3d  0  0  0  0  0  0\n", pos[3 * i],
			   pos[3 * i + 1], pos[3 * i + 2], symbol(&m->atom[i]), stated_valence(m, i));
	for (int b = 0; b < m->n_bond; b++) {
		int first, second, code = bond_code(m, &m->bond[b], &first, &second);
		buf_printf(out, "%3d%3d%3d  0\n", first, second, code);
	}
	write_property(out, m, "CHG", charge_of);
	write_property(out, m, "ISO", isotope_of);
	write_property(out, m, "RAD", radical_of);
}

static void write_v3000(struct buf *out, const struct mol *m, const double *pos)
{
	buf_printf(out,
		   "  0  0  0  0  0  0  0  0  0  0999 V3000\nM  V30 BEGIN CTAB\nM  V30 COUNTS %d %d 0 0 0\nM  V30 "
		   "BEGIN ATOM\n",
		   m->n_atom, m->n_bond);
	for (int i = 0; i < m->n_atom; i++) {
		const struct mol_atom *at = &m->atom[i];
		int valence = stated_valence(m, i);
		buf_printf(out, "M  V30 %d %s %.4f %.4f %.4f 0", i + 1, symbol(at), pos[3 * i], pos[3 * i + 1],
			   pos[3 * i + 2]);
		if (at->charge)
			buf_printf(out, " CHG=%d", at->charge);
		if (radical_of(at))
			buf_printf(out, " RAD=%d", radical_of(at));
		if (at->isotope)
			buf_printf(out, " MASS=%d", at->isotope);
		if (valence)
			buf_printf(out, " VAL=%d", valence == 15 ? -1 : valence);
		buf_printf(out, "\n");
	}
	buf_printf(out, "M  V30 END ATOM\nM  V30 BEGIN BOND\n");
	for (int b = 0; b < m->n_bond; b++) {
		int first, second, code = bond_code(m, &m->bond[b], &first, &second);
		buf_printf(out, "M  V30 %d %d %d %d\n", b + 1, code, first, second);
	}
	buf_printf(out, "M  V30 END BOND\nM  V30 END CTAB\n");
}

void mol_sdf_write(struct buf *out, const struct mol *m, const double *pos, const char *id, const char *smiles,
		   const double *energy_kcal)
{
	bool wide = m->n_atom > 999 || m->n_bond > 999;
	for (int k = 0; k < 3 * m->n_atom && !wide; k++)
		wide = fabs(pos[k]) >= 9999;
	/* a title is one line, and one that starts a new record would end this one */
	for (const char *s = id; *s; s++)
		buf_put(out, *s == '\n' || *s == '\r' || *s == '$' ? "_" : s, 1);
	buf_printf(out, "\n  molrill           3D\n\n");
	if (wide)
		write_v3000(out, m, pos);
	else
		write_v2000(out, m, pos);
	buf_printf(out, "M  END\n>  <smiles>\n%s\n\n>  <id>\n%s\n\n", smiles, id);
	if (energy_kcal)
		buf_printf(out, ">  <energy>\n%.6f\n\n", *energy_kcal);
	buf_printf(out, "$$$$\n");
}
