/*
 * mol_syntax.c - SMILES -> atoms and bonds as written; what is no SMILES is refused with the column of the fault.
 *
 * One pass from left to right, no recursion, memory proportional to the text. The grammar is OpenSMILES as RDKit
 * takes it (dative arrows, "~", "[#6]", ring numbers "%(n)"; no bare "H", no "+++", no leading branch), but that what
 * contradicts itself is refused and zeros may lead a number, as the specification has it. Atoms and bonds come from
 * here and not from Open Babel: it accepts "C(" and "c1cccc1", and it does not tell the order in which ring closures
 * and hydrogens stand about an atom, on which every chirality tag depends. Open Babel reads what is no SMILES, and
 * SMILES that are to be taken leniently.
 */
#include "mol_work.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define N_RING_NUMBER 100000

struct open_ring {
	int32_t number, atom, bond, column; /* bond: index of its closure */
};
struct closure { /* a ring bond, to be made when all atoms are known */
	int32_t number, from, to, made,
	    column; /* from the atom that closes to the one that opened, as RDKit stores it */
	uint8_t type, direction;
	bool implied, forward; /* forward: a dative arrow runs from the atom that opened */
};
struct reader {
	struct work *w;
	const char *s;
	int32_t n, at;
	int32_t previous;        /* atom that the next bond starts at, -1: none */
	int32_t *stack, n_stack; /* atoms that open branches go back to */
	struct open_ring *open;  /* those open now */
	int32_t n_open;
	struct closure *closure;
	int32_t n_closure;
	int32_t *written, *next_written; /* per atom: list of its closures in the order written (values: closure) */
	int32_t *written_value, n_written;
	/* the bond symbol just read */
	bool has_bond, implied, swap;
	uint8_t type, direction;
	int32_t bond_column;
};

static int syntax(struct reader *r, int32_t at, const char *what)
{
	return work_refuse(r->w, "syntax", at + 1, "%s at column %d", what, at + 1);
}

static void clear_bond(struct reader *r)
{
	r->has_bond = false;
	r->implied = true;
	r->swap = false;
	r->type = WORK_SINGLE;
	r->direction = MOL_DIR_NONE;
}

static int read_bond(struct reader *r)
{
	const char *s = r->s + r->at;
	int n = 1;
	if (r->has_bond)
		return syntax(r, r->at, "two bond symbols in a row");
	r->has_bond = true;
	r->implied = false;
	r->bond_column = r->at;
	switch (*s) {
	case '-':
		if (s[1] == '>') {
			r->type = WORK_DATIVE;
			n = 2;
		} else {
			r->type = WORK_SINGLE;
		}
		break;
	case '<':
		if (s[1] != '-')
			return syntax(r, r->at, "\"<\" without \"-\"");
		r->type = WORK_DATIVE;
		r->swap = true;
		n = 2;
		break;
	case '=':
		r->type = WORK_DOUBLE;
		break;
	case '#':
		r->type = WORK_TRIPLE;
		break;
	case '$':
		r->type = WORK_QUADRUPLE;
		break;
	case ':':
		r->type = WORK_AROMATIC;
		break;
	case '~':
		r->type = WORK_ZERO;
		break;
	default: /* a slash gives a direction and leaves the order open */
		r->type = WORK_SINGLE;
		r->implied = true;
		r->direction = *s == '/' ? MOL_DIR_UP : MOL_DIR_DOWN;
		if (*s == '\\' && s[1] == '\\') /* twice the same: an escaped one */
			n = 2;
		break;
	}
	r->at += n;
	return 0;
}

static void add_bond(struct work *w, int32_t a, int32_t b, uint8_t type, bool implied, uint8_t direction)
{
	struct work_bond *bond = &w->bond[w->n_bond++];
	memset(bond, 0, sizeof *bond);
	bond->a = a;
	bond->b = b;
	bond->implied = implied;
	if (implied && type == WORK_SINGLE && w->atom[a].aromatic && w->atom[b].aromatic)
		type = WORK_AROMATIC;
	bond->type = type;
	bond->aromatic = type == WORK_AROMATIC;
	bond->direction = direction;
}

/* Joins the atom just read to the one before it. */
static int add_atom(struct reader *r, const struct work_atom *atom)
{
	struct work *w = r->w;
	if (w->n_atom >= MOL_MAX_ATOM)
		return work_refuse(w, "too-large", r->at + 1, "more than %d atoms", MOL_MAX_ATOM);
	int32_t i = w->n_atom++;
	w->atom[i] = *atom;
	w->atom[i].source = i;
	w->atom[i].first = r->previous < 0;
	r->written[i] = -1;
	if (r->previous >= 0) {
		int32_t a = r->swap ? i : r->previous, b = r->swap ? r->previous : i;
		add_bond(w, a, b, r->type, r->implied, r->direction);
	} else if (r->has_bond) {
		return syntax(r, r->bond_column, "a bond that starts at no atom");
	}
	r->previous = i;
	clear_bond(r);
	return 0;
}

/* Number of at most `digits` digits; -1 when none stands there. */
static int32_t read_number(struct reader *r, int digits)
{
	int32_t v = -1;
	while (digits-- > 0 && isdigit((unsigned char)r->s[r->at]))
		v = (v < 0 ? 0 : v) * 10 + (r->s[r->at++] - '0');
	return v;
}

static int read_ring_number(struct reader *r)
{
	const char *s = r->s;
	int32_t start = r->at, number;
	if (s[r->at] != '%') {
		number = s[r->at++] - '0';
	} else if (s[r->at + 1] == '(') {
		r->at += 2;
		number = read_number(r, 5);
		if (number < 0 || s[r->at] != ')')
			return syntax(r, start, "ring number \"%(\" without 1 to 5 digits and \")\"");
		r->at++;
	} else {
		if (!isdigit((unsigned char)s[r->at + 1]) || !isdigit((unsigned char)s[r->at + 2]))
			return syntax(r, start, "\"%\" without two digits");
		number = (s[r->at + 1] - '0') * 10 + (s[r->at + 2] - '0');
		r->at += 3;
	}
	if (r->previous < 0)
		return syntax(r, start, "a ring number that follows no atom");
	int32_t k = 0;
	while (k < r->n_open && r->open[k].number != number)
		k++;
	struct open_ring *o = &r->open[k];
	int32_t here = r->previous, taken = k < r->n_open ? o->bond : r->n_closure;
	if (k == r->n_open) {
		if (r->n_open >= 4096)
			return work_refuse(r->w, "too-large", start + 1, "more than 4096 rings open at once");
		*o = (struct open_ring){number, here, r->n_closure, start};
		r->closure[r->n_closure++] =
		    (struct closure){.number = number,
				     .to = here,
				     .type = r->type,
				     .direction = r->direction ? (uint8_t)(3 - r->direction) : 0,
				     .implied = r->implied,
				     .forward = !r->swap};
		r->n_open++;
	} else {
		struct closure *c = &r->closure[o->bond];
		if (o->atom == here)
			return syntax(r, start, "a ring number that joins an atom to itself");
		bool first = !c->implied || c->direction, second = !r->implied || r->direction;
		if (first && second && c->type != r->type)
			return syntax(r, start, "a ring number whose two bond symbols differ");
		c->from = here;
		c->column = start;
		if (c->implied && !c->direction) { /* a symbol at either end will do */
			c->type = r->type;
			c->implied = r->implied;
			c->direction = r->direction;
			c->forward = r->swap;
		}
		r->open[k] = r->open[--r->n_open];
	}
	r->w->atom[here].n_closure++;
	r->written_value[r->n_written] = taken;
	r->next_written[r->n_written] = r->written[here];
	r->written[here] = r->n_written++;
	clear_bond(r);
	return 0;
}

static const char aromatic_symbols[][3] = {"b", "c", "n", "o", "p", "s", "si", "as", "se", "te"};

/* Element symbol at s: its number and length; 0 length when none. */
static int read_symbol(const char *s, bool bracket, int *z, bool *aromatic)
{
	char sym[3] = {s[0], 0, 0};
	*aromatic = false;
	if (*s == '*') {
		*z = 0;
		return 1;
	}
	if (islower((unsigned char)s[0])) {
		for (int len = bracket ? 2 : 1; len > 0; len--)
			for (size_t k = 0; k < sizeof aromatic_symbols / sizeof *aromatic_symbols; k++)
				if ((int)strlen(aromatic_symbols[k]) == len &&
				    !strncmp(s, aromatic_symbols[k], (size_t)len)) {
					char up[3] = {(char)toupper((unsigned char)s[0]), len == 2 ? s[1] : 0, 0};
					*z = mol_element_number(up);
					*aromatic = true;
					return len;
				}
		return 0;
	}
	if (!isupper((unsigned char)s[0]))
		return 0;
	if (!bracket) {
		if ((s[0] == 'C' && s[1] == 'l') || (s[0] == 'B' && s[1] == 'r'))
			sym[1] = s[1];
		else if (!strchr("BCNOPSFI", s[0]))
			return 0;
		*z = mol_element_number(sym);
		return (int)strlen(sym);
	}
	if (islower((unsigned char)s[1])) {
		sym[1] = s[1];
		*z = mol_element_number(sym);
		if (*z)
			return 2;
		sym[1] = 0;
	}
	*z = mol_element_number(sym);
	return *z ? 1 : 0;
}

static int read_tag(struct reader *r, struct work_atom *atom)
{
	static const struct {
		char name[3];
		uint8_t other, last;
	} classes[] = {{"TH", 0, 2},
		       {"AL", WORK_ALLENE, 2},
		       {"SP", WORK_SQUARE, 3},
		       {"TB", WORK_BIPYRAMID, 20},
		       {"OH", WORK_OCTAHEDRON, 30}};
	int32_t start = r->at++;
	if (r->s[r->at] == '@') {
		r->at++;
		atom->tag = MOL_CHI_CW;
		return 0;
	}
	atom->tag = MOL_CHI_CCW;
	for (size_t k = 0; k < sizeof classes / sizeof *classes; k++)
		if (!strncmp(r->s + r->at, classes[k].name, 2)) {
			r->at += 2;
			int32_t v = read_number(r, 2);
			if (v > classes[k].last)
				return syntax(r, start, "a chirality that does not exist");
			if (classes[k].other == 0) {
				atom->tag = v == 2 ? MOL_CHI_CW : v == 1 ? MOL_CHI_CCW : MOL_CHI_OTHER;
				return 0;
			}
			atom->tag = MOL_CHI_OTHER;
			atom->other = classes[k].other;
			atom->permutation = (uint8_t)(v < 0 ? 0 : v);
			return 0;
		}
	return 0;
}

static int read_charge(struct reader *r, struct work_atom *atom)
{
	char sign = r->s[r->at];
	int32_t start = r->at++;
	int32_t v = 1;
	if (r->s[r->at] == sign) {
		r->at++;
		v = 2;
	} else if (isdigit((unsigned char)r->s[r->at])) {
		v = read_number(r, 3);
	}
	if (v > 100)
		return syntax(r, start, "a charge out of range");
	atom->charge = (int16_t)(sign == '+' ? v : -v);
	return 0;
}

static int read_bracket(struct reader *r)
{
	struct work_atom atom = {.map = -1, .no_implicit = true, .column = r->at + 1};
	int32_t start = r->at++, number;
	int z = 0, len, e = 0;
	bool aromatic = false;
	if (isdigit((unsigned char)r->s[r->at])) {
		number = read_number(r, 4);
		if (number > 999)
			return syntax(r, start, "a mass number out of range");
		atom.isotope = (uint16_t)number;
	}
	if (r->s[r->at] == '#') {
		r->at++;
		z = read_number(r, 3);
		if (z < 1 || z > 118)
			return syntax(r, start, "no such element");
	} else if (r->s[r->at] == '\'' &&
		   isupper((unsigned char)r->s[r->at + 1])) { /* 'Rf' to 'Og', as RDKit takes them */
		char symbol[3] = {r->s[r->at + 1], r->s[r->at + 2], 0};
		z = mol_element_number(symbol);
		if (z < 104 || r->s[r->at + 3] != '\'')
			return syntax(r, r->at, "no such element in quotes");
		r->at += 4;
	} else {
		len = read_symbol(r->s + r->at, true, &z, &aromatic);
		if (!len)
			return syntax(r, r->at, "no element symbol in the brackets");
		r->at += len;
	}
	atom.z = (uint8_t)z;
	atom.aromatic = aromatic;
	if (r->s[r->at] == '@' && (e = read_tag(r, &atom)))
		return e;
	if (r->s[r->at] == 'H') {
		r->at++;
		number = read_number(r, 2);
		atom.n_h = (int16_t)(number < 0 ? 1 : number);
	}
	if ((r->s[r->at] == '+' || r->s[r->at] == '-') && (e = read_charge(r, &atom)))
		return e;
	if (r->s[r->at] == ':') {
		r->at++;
		atom.map = read_number(r, 6);
		if (atom.map < 0)
			return syntax(r, r->at, "\":\" without an atom class");
	}
	if (r->s[r->at] != ']') {
		if (!r->s[r->at] || r->at >= r->n)
			return syntax(r, start, "a bracket that is not closed");
		return syntax(r, r->at, "something that has no place in the brackets");
	}
	r->at++;
	return add_atom(r, &atom);
}

static int read_simple(struct reader *r)
{
	struct work_atom atom = {.map = -1, .column = r->at + 1};
	int z;
	bool aromatic;
	int len = read_symbol(r->s + r->at, false, &z, &aromatic);
	if (!len)
		return syntax(r, r->at, "no atom, bond, branch or ring number");
	atom.z = (uint8_t)z;
	atom.aromatic = aromatic;
	r->at += len;
	return add_atom(r, &atom);
}

static int closure_order(const void *pa, const void *pb)
{
	const struct closure *a = *(const struct closure *const *)pa, *b = *(const struct closure *const *)pb;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return a < b ? -1 : a > b;
}

/* Ring bonds follow all others, by number and then by place: the order that tags are relative to. */
static int close_rings(struct reader *r)
{
	struct work *w = r->w;
	if (r->n_open)
		return syntax(r, r->open[0].column, "a ring that is not closed");
	struct closure **order = arena_alloc(w->arena, sizeof *order * (size_t)(r->n_closure + 1));
	for (int32_t k = 0; k < r->n_closure; k++)
		order[k] = &r->closure[k];
	qsort(order, (size_t)r->n_closure, sizeof *order, closure_order);
	for (int32_t k = 0; k < r->n_closure; k++) {
		struct closure *c = order[k];
		bool turn = c->type == WORK_DATIVE && c->forward;
		c->made = w->n_bond;
		add_bond(w, turn ? c->to : c->from, turn ? c->from : c->to, c->type, c->implied, c->direction);
	}
	return 0;
}

/* Tags in SMILES count neighbours as written; ours count them as bonds are stored, hydrogens last. */
static void turn_tags(struct reader *r)
{
	struct work *w = r->w;
	for (int32_t i = 0; i < w->n_atom; i++) {
		struct work_atom *atom = &w->atom[i];
		if (atom->tag != MOL_CHI_CW && atom->tag != MOL_CHI_CCW)
			continue;
		int32_t start = w->adj_start[i], n = w->adj_start[i + 1] - start, k = 0, n_swap = 0;
		if (n > 8)
			continue;
		int32_t order[9];
		bool multiple = false;
		for (int32_t j = 0; j < n; j++)
			multiple |= work_twice_order(&w->bond[w->adj[start + j]], i) > 2;
		int32_t n_tree = n - atom->n_closure;
		if (!atom->first && n_tree)
			order[k++] = w->adj[start];
		k += atom->n_closure;
		int32_t at = k;
		for (int32_t p = r->written[i]; p >= 0; p = r->next_written[p])
			order[--at] = r->closure[r->written_value[p]].made;
		for (int32_t j = atom->first || !n_tree ? 0 : 1; j < n_tree; j++)
			order[k++] = w->adj[start + j];
		for (int32_t x = 0; x < n; x++)
			for (int32_t y = x + 1; y < n; y++)
				n_swap += order[x] > order[y];
		bool fourth = atom->n_h == 1 || n == 4;
		if (n == 3 && ((atom->first && atom->n_h == 1) || (!fourth && atom->n_closure == 1 && !multiple)))
			n_swap++;
		if (n_swap & 1)
			atom->tag = atom->tag == MOL_CHI_CW ? MOL_CHI_CCW : MOL_CHI_CW;
	}
}

static int pair_order(const void *pa, const void *pb)
{
	const int32_t *a = pa, *b = pb;
	for (int k = 0; k < 3; k++)
		if (a[k] != b[k])
			return a[k] < b[k] ? -1 : 1;
	return 0;
}

static int check_double_bonds(struct reader *r)
{
	struct work *w = r->w;
	if (!r->n_closure)
		return 0;
	int32_t(*pair)[3] = arena_alloc(w->arena, sizeof *pair * (size_t)w->n_bond);
	for (int32_t k = 0; k < w->n_bond; k++) {
		int32_t a = w->bond[k].a, b = w->bond[k].b;
		pair[k][0] = a < b ? a : b;
		pair[k][1] = a < b ? b : a;
		pair[k][2] = k;
	}
	qsort(pair, (size_t)w->n_bond, sizeof *pair, pair_order);
	for (int32_t k = 1; k < w->n_bond; k++) {
		if (pair[k][0] != pair[k - 1][0] || pair[k][1] != pair[k - 1][1])
			continue;
		int32_t c = 0;
		while (r->closure[c].made != pair[k][2])
			c++;
		return syntax(r, r->closure[c].column, "a ring number that doubles a bond");
	}
	return 0;
}

static int read_all(struct reader *r)
{
	int e = 0;
	char last = 0;
	while (r->at < r->n) {
		char c = r->s[r->at];
		int32_t here = r->at;
		if (c == '[') {
			e = read_bracket(r);
		} else if (c && strchr("-=#$:~/\\<", c)) {
			e = r->previous < 0 ? syntax(r, here, "a bond that starts at no atom") : read_bond(r);
		} else if (isdigit((unsigned char)c) || c == '%') {
			e = read_ring_number(r);
			if (!e)
				c = '1';
		} else if (c == '(') {
			if (r->previous < 0 || last == '(' || r->has_bond)
				return syntax(r, here, "a branch that starts at no atom");
			r->stack[r->n_stack++] = r->previous;
			r->at++;
		} else if (c == ')') {
			if (!r->n_stack)
				return syntax(r, here, "\")\" without \"(\"");
			if (last == '(' || last == '.' || r->has_bond)
				return syntax(r, here, "a branch that ends without an atom");
			r->previous = r->stack[--r->n_stack];
			r->at++;
		} else if (c == '.') {
			if (r->previous < 0 || r->has_bond)
				return syntax(r, here, "\".\" where no fragment can end");
			r->previous = -1;
			r->at++;
		} else {
			e = read_simple(r);
		}
		if (e)
			return e;
		last = c;
	}
	if (r->n_stack)
		return syntax(r, r->n, "a branch that is not closed");
	if (r->has_bond)
		return syntax(r, r->bond_column, "a bond that leads nowhere");
	if (last == '.')
		return syntax(r, r->n - 1, "\".\" at the end");
	return 0;
}

int work_read_smiles(struct work *w, const char *smiles, size_t n)
{
	if (n > MOL_MAX_SMILES_NBYTES)
		return work_refuse(w, "too-large", 0, "%zu characters; at most %d are read", n, MOL_MAX_SMILES_NBYTES);
	/* No more atoms, branches or ring numbers than characters; "[#6]" aside each bond has its own too. */
	size_t cap = n + 2;
	struct reader r = {.w = w, .s = smiles, .n = (int32_t)n, .previous = -1};
	w->atom = arena_alloc(w->arena, sizeof *w->atom * cap);
	w->bond = arena_alloc(w->arena, sizeof *w->bond * cap);
	r.stack = arena_alloc(w->arena, sizeof *r.stack * cap);
	r.open = arena_alloc(w->arena, sizeof *r.open * (cap < 4098 ? cap : 4098));
	r.closure = arena_alloc(w->arena, sizeof *r.closure * cap);
	r.written = arena_alloc(w->arena, sizeof *r.written * cap);
	r.next_written = arena_alloc(w->arena, sizeof *r.next_written * cap);
	r.written_value = arena_alloc(w->arena, sizeof *r.written_value * cap);
	clear_bond(&r);
	int e = read_all(&r);
	if (e)
		return e;
	if (!w->n_atom)
		return work_refuse(w, "empty", 0, "no atom");
	if ((e = close_rings(&r)) || (e = check_double_bonds(&r)))
		return e;
	work_build_adjacency(w);
	turn_tags(&r);
	return 0;
}
