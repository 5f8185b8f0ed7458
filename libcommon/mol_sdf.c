/*
 * mol_sdf.c - molfiles (V2000, V3000), and SMILES to be taken leniently: read by Open Babel, perceived by us.
 *
 * Chirality of a molfile comes from its coordinates: signed volumes in three dimensions, wedges in two; the sides of
 * double bonds from where their substituents lie.
 */
#include "mol_canon.h"
#include "mol_openbabel.h"
#include "mol_work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int mol_start(struct err *e)
{
	char msg[200] = "";
	return babel_start(msg, sizeof msg) ? err_set(e, ERR_IO, "%s", msg) : 0;
}
/*
 * Ethylbenzene with its ring as an abbreviation: Open Babel opens its table of these and asks its reader of SMILES for
 * the ring.
 */
static const char WARMING_MOLFILE[] = "\n\n\n"
				      "  3  2  0  0  0  0  0  0  0  0999 V2000\n"
				      "    0.0000    0.0000    0.0000 C   0  0\n"
				      "    1.5000    0.0000    0.0000 C   0  0\n"
				      "    2.5000    1.0000    0.0000 R#  0  0\n"
				      "  1  2  1\n"
				      "  2  3  1\n"
				      "A    3\nPh\n"
				      "M  END\n";
/* A refused one: exceptions and messages, should they need anything. */
static const char *const WARMING_SMILES[] = {"C[C@H](F)/C=C/c1cc[nH]c1.[Na+].[13CH3-]", "C1CC(", "C1CC"};

int mol_warm_up(struct err *e)
{
	static bool warm;
	struct babel_mol b;
	char msg[200] = "";
	int rc = warm ? 0 : babel_read(1, WARMING_MOLFILE, sizeof WARMING_MOLFILE - 1, &b, msg, sizeof msg);
	for (size_t i = 0; i < sizeof WARMING_SMILES / sizeof *WARMING_SMILES && !warm && rc >= 0; i++) {
		babel_free(&b);
		rc = babel_read(0, WARMING_SMILES[i], strlen(WARMING_SMILES[i]), &b, msg, sizeof msg);
	}
	if (!warm && rc >= 0)
		babel_free(&b);
	warm = true;
	return rc < 0 ? err_set(e, ERR_IO, "%s", msg) : 0;
}

const char *mol_openbabel_version(void)
{
	return babel_version();
}

static int fill_work(struct work *w, const struct babel_mol *b, bool fixed_h)
{
	if (b->n_atom > MOL_MAX_ATOM)
		return work_refuse(w, "too-large", 0, "more than %d atoms", MOL_MAX_ATOM);
	if (!b->n_atom)
		return work_refuse(w, "empty", 0, "no atom");
	w->n_atom = b->n_atom;
	w->n_bond = b->n_bond;
	w->atom = arena_calloc(w->arena, (size_t)b->n_atom + 1, sizeof *w->atom);
	w->bond = arena_calloc(w->arena, (size_t)b->n_bond + 1, sizeof *w->bond);
	for (int32_t i = 0; i < b->n_atom; i++) {
		const struct babel_atom *f = &b->atom[i];
		struct work_atom *a = &w->atom[i];
		a->z = (uint8_t)(f->z < 0 || f->z > 118 ? 0 : f->z);
		a->charge = (int16_t)(f->charge < -100 ? -100 : f->charge > 100 ? 100 : f->charge);
		a->isotope = (uint16_t)(f->isotope < 0 || f->isotope > 999 ? 0 : f->isotope);
		a->map = -1;
		a->source = i;
		a->n_radical = (int16_t)(f->spin == 2 ? 1 : f->spin == 1 || f->spin == 3 ? 2 : 0);
		if (fixed_h) {
			a->n_h = (int16_t)f->n_implicit_h;
			a->no_implicit = true;
		}
	}
	for (int32_t k = 0; k < b->n_bond; k++) {
		const struct babel_bond *f = &b->bond[k];
		struct work_bond *o = &w->bond[k];
		if (f->a < 0 || f->b < 0 || f->a >= b->n_atom || f->b >= b->n_atom || f->a == f->b)
			return work_refuse(w, "syntax", 0, "bond %d joins no two atoms", (int)k + 1);
		o->a = f->a;
		o->b = f->b;
		o->type = (uint8_t)(f->order < 0 || f->order > 4 ? WORK_SINGLE : f->order);
		o->implied = o->type == WORK_SINGLE;
	}
	work_build_adjacency(w);
	return 0;
}

/* Hydrogens of atom i by the valence that its file states (CTfile's 15 and -1 are 0); 0 says nothing. */
static void state_valence(struct work *w, int32_t i, long valence)
{
	long sum = 0;
	if (!valence || i >= w->n_atom)
		return;
	for (int32_t p = w->adj_start[i]; p < w->adj_start[i + 1]; p++) {
		const struct work_bond *o = &w->bond[w->adj[p]];
		if (o->type < WORK_SINGLE || o->type > WORK_TRIPLE)
			return;
		sum += o->type;
	}
	valence = valence < 0 || valence == 15 ? 0 : valence;
	w->atom[i].n_h = (int16_t)(valence > sum && valence < 15 ? valence - sum : 0);
	w->atom[i].no_implicit = true;
}

/* Valences of a molfile's atom lines, which Open Babel passes over: columns 49 to 51 of V2000, VAL= of V3000. */
static void valences_from_text(struct work *w, const char *text, size_t n)
{
	const char *end = text + n, *next;
	bool v3000 = false, in_atoms = false, goes_on = false;
	int32_t i = -1, n_listed = 0;
	for (int k = 0; text < end; k++, text = next) {
		char line[256] = "";
		const char *eol = memchr(text, '\n', (size_t)(end - text)), *v;
		next = eol ? eol + 1 : end;
		size_t length = (size_t)((eol ? eol : end) - text);
		memcpy(line, text, length < sizeof line ? length : sizeof line - 1);
		if (k == 3)
			v3000 = strstr(line, "V3000") != NULL;
		if (k == 3) {
			line[3] = '\0';
			n_listed = (int32_t)strtol(line, NULL, 10);
		}
		if (k > 3 && !v3000) {
			if (++i >= n_listed)
				return;
			line[51] = '\0';
			state_valence(w, i, length >= 51 ? strtol(line + 48, NULL, 10) : 0);
		} else if (k > 3 && !strncmp(line, "M  V30 ", 7)) {
			if (strstr(line, "END ATOM"))
				return;
			if (in_atoms && !goes_on)
				i++;
			if (in_atoms && (v = strstr(line, " VAL=")))
				state_valence(w, i, strtol(v + 5, NULL, 10));
			line[strcspn(line, "\r")] = '\0';
			goes_on = in_atoms && line[strlen(line) - 1] == '-';
			in_atoms = in_atoms || strstr(line, "BEGIN ATOM");
		}
	}
}

static void difference(const double *a, const double *b, double *d)
{
	for (int q = 0; q < 3; q++)
		d[q] = a[q] - b[q];
}

/*
 * Tag of atom i from the volume that its neighbours span, a missing fourth lying opposite to the others and counting
 * as last (RDKit's convention). In two dimensions a wedge lifts its neighbour by a bond length.
 */
static void tag_from_positions(struct work *w, const struct babel_mol *b, int32_t i)
{
	int32_t start = w->adj_start[i], degree = work_degree(w, i);
	double v[4][3] = {{0}}, d[3][3];
	bool wedged = b->dimension == 3;
	if (degree < 3 || degree > 4)
		return;
	for (int32_t k = 0; k < degree; k++) {
		const struct babel_bond *f = &b->bond[w->adj[start + k]];
		int32_t j = work_other_end(&w->bond[w->adj[start + k]], i);
		difference(b->atom[j].pos, b->atom[i].pos, v[k]);
		double length = sqrt(v[k][0] * v[k][0] + v[k][1] * v[k][1] + v[k][2] * v[k][2]);
		if (!(length > 1e-3) || (f->a == i && f->wedge == 2))
			return;
		for (int q = 0; q < 3; q++)
			v[k][q] /= length;
		if (b->dimension == 2 && f->a == i && f->wedge) {
			v[k][2] = f->wedge;
			wedged = true;
		}
	}
	if (!wedged)
		return;
	for (int q = 0; degree == 3 && q < 3; q++)
		v[3][q] = -(v[0][q] + v[1][q] + v[2][q]);
	for (int k = 0; k < 3; k++)
		difference(v[k + 1], v[0], d[k]);
	double volume = d[0][0] * (d[1][1] * d[2][2] - d[1][2] * d[2][1]) -
			d[0][1] * (d[1][0] * d[2][2] - d[1][2] * d[2][0]) +
			d[0][2] * (d[1][0] * d[2][1] - d[1][1] * d[2][0]);
	/* Negative: seen from neighbour 0, 1 2 3 run counter-clockwise. */
	if (fabs(volume) > 0.1)
		w->atom[i].tag = volume < 0 ? MOL_CHI_CCW : MOL_CHI_CW;
}

/* Slashes on the bonds beside double bond k, from where the substituents lie. */
static void side_from_positions(struct work *w, const struct babel_mol *b, int32_t k)
{
	struct work_bond *bond = &w->bond[k];
	const double *pa = b->atom[bond->a].pos, *pb = b->atom[bond->b].pos;
	double axis[3], d[2][3];
	int32_t nbr[2] = {-1, -1};
	difference(pb, pa, axis);
	double length2 = axis[0] * axis[0] + axis[1] * axis[1] + axis[2] * axis[2];
	for (int end = 0; end < 2; end++) {
		int32_t i = end ? bond->b : bond->a;
		for (int32_t p = w->adj_start[i]; p < w->adj_start[i + 1]; p++)
			if (w->adj[p] != k && nbr[end] < 0)
				nbr[end] = work_other_end(&w->bond[w->adj[p]], i);
		if (nbr[end] < 0 || !(length2 > 1e-6))
			return;
		difference(b->atom[nbr[end]].pos, end ? pb : pa, d[end]);
		double along = (d[end][0] * axis[0] + d[end][1] * axis[1] + d[end][2] * axis[2]) / length2;
		for (int q = 0; q < 3; q++)
			d[end][q] -= along * axis[q];
	}
	double dot = d[0][0] * d[1][0] + d[0][1] * d[1][1] + d[0][2] * d[1][2];
	if (!(fabs(dot) > 0.05))
		return;
	bond->side[0] = nbr[0];
	bond->side[1] = nbr[1];
	bond->cis = dot > 0;
	bond->sided = true;
}

static void stereo_from_positions(struct work *w, const struct babel_mol *b)
{
	if (b->dimension < 2)
		return;
	for (int32_t i = 0; i < w->n_atom; i++)
		if (w->atom[i].z != 1)
			tag_from_positions(w, b, i);
	for (int32_t k = 0; k < w->n_bond; k++)
		if (w->bond[k].type == WORK_DOUBLE && !b->bond[k].crossed)
			side_from_positions(w, b, k);
}

static void stereo_from_reader(struct work *w, const struct babel_mol *b)
{
	for (int32_t c = 0; c < b->n_center; c++) {
		const struct babel_center *f = &b->center[c];
		int32_t i = f->atom, order[4], n = 0, n_swap = 0;
		if (i < 0)
			continue;
		/* Place of each neighbour among the bonds; what is no atom is last. */
		for (int q = 0; q < 4; q++) {
			order[n] = INT32_MAX;
			for (int32_t p = w->adj_start[i]; p < w->adj_start[i + 1]; p++)
				if (f->nbr[q] >= 0 && work_other_end(&w->bond[w->adj[p]], i) == f->nbr[q])
					order[n] = p;
			n++;
		}
		for (int p = 0; p < 4; p++)
			for (int q = p + 1; q < 4; q++)
				n_swap += order[p] > order[q];
		w->atom[i].tag = n_swap & 1 ? MOL_CHI_CCW : MOL_CHI_CW;
	}
	for (int32_t c = 0; c < b->n_cistrans; c++)
		for (int32_t k = 0; k < w->n_bond; k++) {
			struct work_bond *o = &w->bond[k];
			const struct babel_cistrans *f = &b->cistrans[c];
			bool same = o->a == f->atom[0] && o->b == f->atom[1];
			if (!same && !(o->a == f->atom[1] && o->b == f->atom[0]))
				continue;
			o->side[0] = f->nbr[same ? 0 : 1];
			o->side[1] = f->nbr[same ? 1 : 0];
			o->cis = f->cis;
			o->sided = true;
		}
}

static void keep_positions(struct mol *m, const struct babel_mol *b, struct arena *a)
{
	int32_t *parent = arena_alloc(a, sizeof *parent * (size_t)b->n_atom);
	float *pos = arena_alloc(a, sizeof *pos * 3 * (size_t)b->n_atom);
	int64_t *z = arena_alloc(a, sizeof *z * (size_t)b->n_atom);
	for (int32_t i = 0; i < b->n_atom; i++) {
		z[i] = b->atom[i].z;
		for (int q = 0; q < 3; q++)
			pos[3 * i + q] = (float)b->atom[i].pos[q];
	}
	for (int32_t i = 0; i < b->n_atom; i++)
		parent[i] = -1;
	for (int32_t k = 0; k < b->n_bond; k++)
		for (int end = 0; end < 2; end++) {
			int32_t i = end ? b->bond[k].b : b->bond[k].a, j = end ? b->bond[k].a : b->bond[k].b;
			if (z[i] == 1)
				parent[i] = parent[i] == -1 ? j : -2;
		}
	for (int32_t i = 0; i < b->n_atom; i++)
		parent[i] = parent[i] < 0 ? -1 : parent[i];
	m->n_file = b->n_atom;
	m->file_parent = parent;
	m->file_pos = pos;
	m->file_z = z;
}

int work_parse_babel(struct work *w, int format, const char *text, size_t n, struct mol **out, struct err *e)
{
	struct babel_mol b;
	char msg[200] = "";
	int code = babel_read(format, text, n, &b, msg, sizeof msg);
	if (code < 0)
		return err_set(e, ERR_IO, "%s", msg);
	if (code > 0) {
		code = work_refuse(w, "syntax", 0, "%s", msg);
		return err_set(e, code, "%s", msg);
	}
	code = fill_work(w, &b, format == 0);
	if (!code) {
		if (format == 1)
			valences_from_text(w, text, n);
		if (format == 0)
			stereo_from_reader(w, &b);
		else
			stereo_from_positions(w, &b);
		code = work_perceive(w);
	}
	if (!code) {
		*out = work_to_mol(w, w->text);
		if (format == 1)
			keep_positions(*out, &b, w->arena);
	}
	babel_free(&b);
	return code ? err_set(e, code, "%s", w->why ? w->why->msg : "not a molecule") : 0;
}

/* The molecule that its own SMILES says, so that atoms stand in its order; `source` is the atom of the file. */
static int read_back(const struct mol *m, const struct mol_parse_opts *o, struct arena *a, struct mol **out,
		     struct mol_reject *why, struct err *e)
{
	int32_t *order = arena_alloc(a, sizeof *order * (size_t)(m->n_atom + 1));
	for (int flags = MOL_WRITE_STEREO; flags <= (MOL_WRITE_STEREO | MOL_WRITE_KEKULE); flags += MOL_WRITE_KEKULE) {
		bool last = flags & MOL_WRITE_KEKULE;
		const char *smiles = mol_write_smiles(m, NULL, flags, a, order);
		int code = mol_parse_smiles(smiles, o, a, out, why, last ? e : NULL);
		if (code && (last || code != ERR_CHEM))
			return code;
		if (!code && (*out)->n_atom == m->n_atom)
			break;
		if (last)
			return err_set(
			    e, work_refuse(&(struct work){.why = why}, "syntax", 0, "not to be written as SMILES"),
			    "not to be written as SMILES");
	}
	for (int32_t i = 0; i < (*out)->n_atom; i++)
		(*out)->atom[i].source = m->atom[order[(*out)->atom[i].source]].source;
	(*out)->n_file = m->n_file;
	(*out)->file_pos = m->file_pos;
	(*out)->file_z = m->file_z;
	(*out)->file_parent = m->file_parent;
	return 0;
}

int mol_parse_sdf(const char *block, size_t n, const struct mol_parse_opts *o, struct arena *a, struct mol **out,
		  struct mol_reject *why, struct err *e)
{
	struct work w = {.arena = a, .why = why, .text = "", .lenient = o->lenient};
	struct mol *m = NULL;
	*out = NULL;
	if (n > MOL_MAX_MOLFILE_NBYTES) {
		int code = work_refuse(&w, "too-large", 0, "a molfile of %zu bytes; at most %d are read", n,
				       MOL_MAX_MOLFILE_NBYTES);
		return err_set(e, code, "%s", why ? why->msg : "too large");
	}
	int code = work_parse_babel(&w, 1, block, n, &m, e);
	return code ? code : read_back(m, o, a, out, why, e);
}
