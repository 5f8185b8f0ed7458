/*
 * mol_mmff_table.c - MMFF94's parameters, read from the tables that Open Babel installs (mmff*.par, Merck's own files).
 *
 * They are 4,500 lines that Merck published and that come with a library which the programs need anyway: read once, in
 * a millisecond or two, they leave nothing to copy wrongly.
 */
#include "mol_mmff.h"
#include "mol_openbabel.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_BITS = 7, MAX_KEY = 5, MAX_VALUE = 3, MAX_COLUMN = 10 };

struct row {
	uint64_t key;
	double value[MAX_VALUE];
};
/* Keys come in two directions; which of the two is kept: */
enum turn { TURN_PAIR, TURN_ENDS, TURN_OOP, TURN_TORSION };
struct table {
	const char *file;
	int n_class, n_key, n_value; /* keys: the class, if there is one, and the types */
	enum turn turn;
	int n;
	struct row *row; /* [n], ascending keys */
};
static struct table tables[MMFF_N_TABLE] = {
    [MMFF_BOND] = {"mmffbond.par", 1, 3, 2, TURN_PAIR},
    [MMFF_CHARGE] = {"mmffchg.par", 1, 3, 1, TURN_PAIR},
    [MMFF_ANGLE] = {"mmffang.par", 1, 4, 2, TURN_ENDS},
    [MMFF_STRETCH_BEND] = {"mmffstbn.par", 1, 4, 2, TURN_ENDS},
    [MMFF_OOP] = {"mmffoop.par", 0, 4, 1, TURN_OOP},
    [MMFF_OOP_S] = {"mmffs_oop.par", 0, 4, 1, TURN_OOP},
    [MMFF_TORSION] = {"mmfftor.par", 1, 5, 3, TURN_TORSION},
    [MMFF_TORSION_S] = {"mmffs_tor.par", 1, 5, 3, TURN_TORSION},
    [MMFF_BOND_RULE] = {"mmffbndk.par", 0, 2, 2, TURN_PAIR},
    [MMFF_STRETCH_BEND_RULE] = {"mmffdfsb.par", 0, 3, 2, TURN_ENDS},
};
static struct mmff_prop props[MMFF_N_TYPE];
static struct mmff_vdw vdws[MMFF_N_TYPE];
static double pbcis[MMFF_N_TYPE], shares[MMFF_N_TYPE];
static uint8_t levels[MMFF_N_TYPE][5];
static bool loaded;

/* ---- lines ------------------------------------------------------------------- */

/* The next line of data at *p, split at blanks in place; the number of columns, 0 at the end. */
static int next_line(char **p, char *column[MAX_COLUMN])
{
	while (**p) {
		char *s = *p, *end = strchr(s, '\n');
		int n = 0;
		*p = end ? end + 1 : s + strlen(s);
		if (end)
			*end = 0;
		if (*s == '*')
			continue;
		if (*s == '$')
			return 0;
		for (char *rest, *word = strtok_r(s, " \t\r", &rest); word && n < MAX_COLUMN;
		     word = strtok_r(NULL, " \t\r", &rest))
			column[n++] = word;
		if (n)
			return n;
	}
	return 0;
}

static int read_whole(const char *name, char **text, struct err *e)
{
	char path[1024], *data = NULL;
	FILE *f = babel_data_path(name, path, sizeof path) ? NULL : fopen(path, "rb");
	long n = f && !fseek(f, 0, SEEK_END) ? ftell(f) : -1;
	int rc = 0;
	if (n < 0 || n > 1 << 24 || fseek(f, 0, SEEK_SET) || !(data = malloc((size_t)n + 1)) ||
	    fread(data, 1, (size_t)n, f) != (size_t)n) {
		free(data);
		data = NULL;
		rc = err_set(e, ERR_IO,
			     "Open Babel's table %s cannot be read: MMFF94 needs the files of its installation "
			     "(BABEL_DATADIR names another folder)",
			     name);
	} else {
		data[n] = 0;
	}
	if (f)
		fclose(f);
	*text = data;
	return rc;
}

static int damaged(const char *name, struct err *e)
{
	return err_set(e, ERR_FORMAT, "Open Babel's table %s is not a table of MMFF94", name);
}

/* ---- keyed tables -------------------------------------------------------------- */

static void swap(int *a, int *b)
{
	int t = *a;
	*a = *b;
	*b = t;
}

/* Brings the types into the direction that is kept; answers whether they were turned. */
static bool turn_key(enum turn turn, int *k)
{
	bool turned = false;
	switch (turn) {
	case TURN_PAIR:
		if ((turned = k[0] > k[1]))
			swap(k, k + 1);
		break;
	case TURN_ENDS:
		if ((turned = k[0] > k[2]))
			swap(k, k + 2);
		break;
	case TURN_OOP: /* k[1] is the centre, of which the others stand in any order */
		if (k[0] > k[2])
			swap(k, k + 2);
		if (k[2] > k[3])
			swap(k + 2, k + 3);
		if (k[0] > k[2])
			swap(k, k + 2);
		break;
	case TURN_TORSION:
		if ((turned = k[1] > k[2] || (k[1] == k[2] && k[0] > k[3]))) {
			swap(k, k + 3);
			swap(k + 1, k + 2);
		}
		break;
	}
	return turned;
}

static uint64_t pack_key(const struct table *t, const int *key, bool *turned)
{
	int k[MAX_KEY];
	uint64_t packed = 0;
	memcpy(k, key, (size_t)t->n_key * sizeof *k);
	*turned = turn_key(t->turn, k + t->n_class);
	for (int i = 0; i < t->n_key; i++)
		packed = packed << KEY_BITS | (uint64_t)k[i];
	return packed;
}

static int compare_rows(const void *a, const void *b)
{
	uint64_t x = ((const struct row *)a)->key, y = ((const struct row *)b)->key;
	return (x > y) - (x < y);
}

static int load_table(struct table *t, struct err *e)
{
	char *text, *p, *column[MAX_COLUMN];
	int rc = read_whole(t->file, &text, e), n, n_line = 1;
	if (rc)
		return rc;
	for (p = text; *p; p++)
		n_line += *p == '\n';
	t->row = calloc((size_t)n_line, sizeof *t->row);
	p = text;
	while (t->row && (n = next_line(&p, column))) {
		struct row *r = &t->row[t->n];
		int key[MAX_KEY];
		bool turned;
		if (n < t->n_key + t->n_value) {
			rc = damaged(t->file, e);
			goto done;
		}
		for (int i = 0; i < t->n_key; i++) {
			key[i] = atoi(column[i]);
			if (key[i] < 0 || key[i] >= 1 << KEY_BITS) {
				rc = damaged(t->file, e);
				goto done;
			}
		}
		for (int i = 0; i < t->n_value; i++)
			r->value[i] = strtod(column[t->n_key + i], NULL);
		r->key = pack_key(t, key, &turned);
		if (turned && t == &tables[MMFF_CHARGE]) {
			r->value[0] = -r->value[0];
		} else if (turned && (t == &tables[MMFF_STRETCH_BEND] || t == &tables[MMFF_STRETCH_BEND_RULE])) {
			double first = r->value[0];
			r->value[0] = r->value[1];
			r->value[1] = first;
		}
		t->n++;
	}
	if (!t->n)
		rc = damaged(t->file, e);
	else
		qsort(t->row, (size_t)t->n, sizeof *t->row, compare_rows);
done:
	free(text);
	return rc;
}

const double *mmff_find(enum mmff_table which, const int *key, bool *swapped)
{
	const struct table *t = &tables[which];
	struct row wanted = {.key = pack_key(t, key, swapped)};
	const struct row *r = bsearch(&wanted, t->row, (size_t)t->n, sizeof wanted, compare_rows);
	return r ? r->value : NULL;
}

/* ---- tables by type ------------------------------------------------------------- */

static void set_level(int type, char *const *c)
{
	for (int i = 0; i < 5; i++)
		levels[type][i] = (uint8_t)atoi(c[1 + i]);
}
static void set_prop(int type, char *const *c)
{
	struct mmff_prop *p = &props[type];
	uint8_t *const field[] = {&p->z, &p->crd, &p->val, &p->pilp, &p->mltb, &p->arom, &p->lin, &p->sbmb};
	for (int i = 0; i < 8; i++)
		*field[i] = (uint8_t)atoi(c[1 + i]);
}
static void set_pbci(int type, char *const *c)
{
	pbcis[type] = strtod(c[2], NULL);
	shares[type] = strtod(c[3], NULL);
}
static void set_vdw(int type, char *const *c)
{
	vdws[type] =
	    (struct mmff_vdw){strtod(c[1], NULL), strtod(c[2], NULL), strtod(c[3], NULL), strtod(c[4], NULL), c[5][0]};
}
static const struct {
	const char *file;
	int type_column, n_column;
	void (*set)(int type, char *const *column);
} by_type[] = {{"mmffdef.par", 1, 6, set_level},
	       {"mmffprop.par", 0, 9, set_prop},
	       {"mmffpbci.par", 1, 4, set_pbci},
	       {"mmffvdw.par", 0, 6, set_vdw}};

static int load_by_type(int which, struct err *e)
{
	const char *file = by_type[which].file;
	char *text, *p, *column[MAX_COLUMN];
	int rc = read_whole(file, &text, e), n, n_type = 0;
	if (rc)
		return rc;
	p = text;
	while ((n = next_line(&p, column))) {
		int type = n > by_type[which].type_column ? atoi(column[by_type[which].type_column]) : 0;
		if (n == 5 && by_type[which].set == set_vdw)
			continue; /* the constants of the form, which every paper has too */
		if (n < by_type[which].n_column || type < 1 || type >= MMFF_N_TYPE) {
			rc = damaged(file, e);
			break;
		}
		by_type[which].set(type, column);
		n_type++;
	}
	if (!rc && n_type < 90)
		rc = damaged(file, e);
	free(text);
	return rc;
}

int mmff_tables_load(struct err *e)
{
	int rc = 0;
	if (loaded)
		return 0;
	for (int i = 0; i < 4 && !rc; i++)
		rc = load_by_type(i, e);
	for (int i = 0; i < MMFF_N_TABLE && !rc; i++)
		rc = load_table(&tables[i], e);
	if (rc) {
		for (int i = 0; i < MMFF_N_TABLE; i++) {
			free(tables[i].row);
			tables[i].row = NULL;
			tables[i].n = 0;
		}
	}
	loaded = !rc;
	return rc;
}

const struct mmff_prop *mmff_prop(int type)
{
	return &props[type];
}
const struct mmff_vdw *mmff_vdw(int type)
{
	return &vdws[type];
}
double mmff_pbci(int type)
{
	return pbcis[type];
}
double mmff_charge_share(int type)
{
	return shares[type];
}
int mmff_level(int type, int level)
{
	return levels[type][level - 1];
}
