/* One row taken apart: id, SMILES or block, labels. Nothing is replaced in silence: what cannot stand is a reason. */
#include "molprog_read.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static int row_refuse(struct mol_reject *why, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int row_refuse(struct mol_reject *why, const char *code, const char *fmt, ...)
{
	va_list ap;
	if (why->code)
		return ERR_CHEM;
	*why = (struct mol_reject){.code = code};
	va_start(ap, fmt);
	vsnprintf(why->msg, sizeof why->msg, fmt, ap);
	va_end(ap);
	return ERR_CHEM;
}

static struct field trimmed(const uint8_t *d, size_t n, struct arena *a)
{
	while (n && isspace(d[0]))
		d++, n--;
	while (n && isspace(d[n - 1]))
		n--;
	return (struct field){arena_strndup(a, (const char *)d, n), n};
}

/* A SMILES ends at white space: what follows is a name, as in a line of SMILES. */
static struct field first_word(struct field f, struct arena *a)
{
	size_t n = 0;
	while (n < f.n && !isspace((unsigned char)f.s[n]))
		n++;
	return n < f.n ? (struct field){arena_strndup(a, f.s, n), n} : f;
}

/* Text that can stand in a record: UTF-8 without NUL. */
static int text_check(struct field f, const char *what, struct mol_reject *why)
{
	if (memchr(f.s, 0, f.n))
		return row_refuse(why, "bytes", "a NUL byte in the %s", what);
	if (!ts_utf8_valid(f.s, f.n))
		return row_refuse(why, "encoding", "the %s is not UTF-8", what);
	return 0;
}

/* The id, or the row's number where it is empty. What cannot stand is refused, and the number stands for it. */
static int id_set(struct row *r, struct field f, int64_t number, struct arena *a, struct mol_reject *why)
{
	int rc = text_check(f, "id", why);
	r->id = rc || !f.n ? arena_printf(a, "%" PRId64, number) : f.s;
	return rc;
}

static int smiles_set(struct row *r, struct field f, struct mol_reject *why)
{
	r->smiles = f.s; /* up to a NUL: good enough to be shown */
	return text_check(f, "SMILES", why);
}

static int label_parse(const struct layout *l, const char *name, struct field f, float *y, struct mol_reject *why)
{
	*y = NAN;
	if (!f.n || (l->missing && !strcmp(f.s, l->missing)))
		return 0;
	char *end;
	errno = 0;
	double v = strtod(f.s, &end);
	if (end == f.s || (size_t)(end - f.s) != f.n || !isfinite(v) || fabs(v) > 3.4e38 || strpbrk(f.s, "xX"))
		return row_refuse(why, "bad-label", "label %s is no number: '%.60s'", name, f.s);
	*y = (float)v;
	return 0;
}

static int table_row(const struct layout *l, int64_t number, const uint8_t *d, size_t n, struct arena *a, struct row *r,
		     struct mol_reject *why)
{
	struct field *f;
	int n_field = table_split(d, n, l->delim, a, &f);
	if (n_field < 0) {
		smiles_set(r, trimmed(d, n < 200 ? n : 200, a), why);
		why->code = NULL;
		return row_refuse(why, "quote",
				  n_field == -1 ? "a quote that does not close" : "text after a closing quote");
	}
#define FIELD(c) trimmed((const uint8_t *)f[c].s, f[c].n, a)
	if (l->col_smiles < n_field)
		smiles_set(r, first_word(FIELD(l->col_smiles), a), why);
	if (l->col_id >= 0 && l->col_id < n_field)
		id_set(r, FIELD(l->col_id), number, a, why);
	if (n_field != l->n_col) {
		why->code = NULL;
		return row_refuse(why, "columns", "%d fields, the first line has %d", n_field, l->n_col);
	}
	for (int t = 0; t < l->n_label && !why->code; t++)
		label_parse(l, l->labels[t], FIELD(l->col_label[t]), &r->y[t], why);
#undef FIELD
	return why->code ? ERR_CHEM : 0;
}

static int smiles_row(int64_t number, const uint8_t *d, size_t n, struct arena *a, struct row *r,
		      struct mol_reject *why)
{
	size_t i = 0;
	while (i < n && d[i] != ' ' && d[i] != '\t')
		i++;
	smiles_set(r, (struct field){arena_strndup(a, (const char *)d, i), i}, why);
	while (i < n && d[i] == ' ')
		i++;
	if (i < n && d[i] == '\t')
		i++;
	const uint8_t *tab = i < n ? memchr(d + i, '\t', n - i) : NULL;
	id_set(r, trimmed(d + i, tab ? (size_t)(tab - d) - i : n - i, a), number, a, why);
	return why->code ? ERR_CHEM : 0;
}

/* ---- SDF ---- */

static size_t line_end(const uint8_t *d, size_t n, size_t at)
{
	const uint8_t *nl = memchr(d + at, '\n', n - at);
	return nl ? (size_t)(nl - d) : n;
}

/* Value of a data item (its lines up to the blank one); n = 0 when there is none. */
static struct field sdf_tag(const uint8_t *d, size_t n, const char *name, struct arena *a)
{
	size_t n_name = strlen(name);
	for (size_t at = 0; at < n;) {
		size_t end = line_end(d, n, at), next = end < n ? end + 1 : n;
		const uint8_t *from = d[at] == '>' ? memchr(d + at, '<', end - at) : NULL;
		if (from && (size_t)(d + end - from) > n_name + 1 && from[n_name + 1] == '>' &&
		    !memcmp(from + 1, name, n_name)) {
			size_t stop = next;
			while (stop < n) {
				size_t le = line_end(d, n, stop);
				if (le == stop || (le == stop + 1 && d[stop] == '\r'))
					break;
				stop = le < n ? le + 1 : n;
			}
			return trimmed(d + next, stop - next, a);
		}
		at = next;
	}
	return (struct field){"", 0};
}

static int sdf_row(const struct layout *l, int64_t number, const uint8_t *d, size_t n, struct arena *a, struct row *r,
		   struct mol_reject *why)
{
	r->block = (const char *)d;
	r->n_block = n;
	id_set(r, l->id_tag ? sdf_tag(d, n, l->id_tag, a) : trimmed(d, line_end(d, n, 0), a), number, a, why);
	if (memchr(d, 0, n))
		row_refuse(why, "bytes", "a NUL byte in the record");
	for (int t = 0; t < l->n_label && !why->code; t++)
		label_parse(l, l->labels[t], sdf_tag(d, n, l->labels[t], a), &r->y[t], why);
	return why->code ? ERR_CHEM : 0;
}

int row_parse(const struct layout *l, int64_t number, const uint8_t *d, size_t n, struct arena *a, struct row *r,
	      struct mol_reject *why)
{
	*why = (struct mol_reject){0};
	*r = (struct row){.id = arena_printf(a, "%" PRId64, number), .smiles = ""};
	r->y = arena_alloc(a, (size_t)(l->n_label + 1) * sizeof *r->y);
	for (int t = 0; t < l->n_label; t++)
		r->y[t] = NAN;
	switch (l->format) {
	case MOLPROG_SDF:
		return sdf_row(l, number, d, n, a, r, why);
	case MOLPROG_SMI:
		return smiles_row(number, d, n, a, r, why);
	default:
		return table_row(l, number, d, n, a, r, why);
	}
}
