/* What a file holds: its format by options or content, and its columns by the header line. */
#include "molprog_read.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *const format_names[] = {"auto", "SMILES lines", "CSV", "TSV", "SDF", "a tensor stream"};

static bool same_letters(const char *a, const char *b)
{
	while (*a && tolower((unsigned char)*a) == tolower((unsigned char)*b))
		a++, b++;
	return !*a && !*b;
}

static int column_find(const struct field *f, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(f[i].s, name))
			return i;
	return -1;
}

/* The column that holds SMILES when none is named: "smiles" in any letters, else the only one of several that ends in
 * it. */
static int column_guess_smiles(const struct field *f, int n)
{
	int found = -1;
	for (int i = 0; i < n; i++)
		if (same_letters(f[i].s, "smiles"))
			return i;
	for (int i = 0; i < n && n > 1; i++)
		if (f[i].n > 6 && same_letters(f[i].s + f[i].n - 6, "smiles")) {
			if (found >= 0)
				return -1;
			found = i;
		}
	return found;
}

/* Column by name, or without a header line by number from 1. */
static int column_need(const struct layout *l, const struct field *f, const char *name, const char *option,
		       struct arena *a, int *out, struct err *e)
{
	if (!l->has_header) {
		char *end;
		long k = strtol(name, &end, 10);
		if (*end || end == name || k < 1 || k > l->n_col)
			return err_set(e, ERR_USAGE, "%s %s: without a header line a column is a number from 1 to %d",
				       option, name, l->n_col);
		*out = (int)k - 1;
		return 0;
	}
	*out = column_find(f, l->n_col, name);
	if (*out >= 0)
		return 0;
	const char **names = arena_alloc(a, (size_t)l->n_col * sizeof *names);
	for (int i = 0; i < l->n_col; i++)
		names[i] = f[i].s;
	const char *near = opt_nearest(name, names, l->n_col);
	if (near)
		return err_set(e, ERR_USAGE, "%s: no column '%s'; the nearest is '%s'", option, name, near);
	struct buf list = {0};
	for (int i = 0; i < l->n_col && list.n < 200; i++)
		buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
	err_set(e, ERR_USAGE, "%s: no column '%s' among %.*s", option, name, (int)list.n, (const char *)list.data);
	buf_free(&list);
	return ERR_USAGE;
}

static int columns_of_labels(struct layout *l, const struct molprog *c, const struct field *f, struct arena *a,
			     struct err *e)
{
	bool all = c->labels.n == 1 && !strcmp(c->labels.items[0], "all") &&
		   (!l->has_header || column_find(f, l->n_col, "all") < 0);
	int max = all ? l->n_col : c->labels.n, rc = 0;
	l->labels = arena_alloc(a, (size_t)(max + 1) * sizeof *l->labels);
	l->col_label = arena_alloc(a, (size_t)(max + 1) * sizeof *l->col_label);
	for (int i = 0; i < max && !rc; i++) {
		int col = i;
		if (all && (i == l->col_smiles || i == l->col_id))
			continue;
		if (!all && (rc = column_need(l, f, c->labels.items[i], "--labels", a, &col, e)))
			break;
		const char *name = l->has_header ? f[col].s : arena_printf(a, "%d", col + 1);
		if (!*name)
			return err_set(e, ERR_USAGE, "--labels: column %d has no name", col + 1);
		for (int k = 0; k < l->n_label; k++)
			if (!strcmp(l->labels[k], name))
				return err_set(e, ERR_USAGE, "--labels: '%s' stands there twice", name);
		l->labels[l->n_label] = name;
		l->col_label[l->n_label++] = col;
	}
	return rc;
}

/* CSV and TSV: reads the header line (or looks at the first row) and finds the columns. */
static int table_layout(struct layout *l, const struct molprog *c, struct source *s, struct arena *a, struct err *e)
{
	const uint8_t *d;
	size_t n;
	bool too_long;
	struct field *f;
	l->has_header = !c->no_header;
	int rc;
	if (l->has_header) {
		rc = rows_next(l, s, &d, &n, &too_long, e);
		if (rc < 0)
			return rc;
		if (rc == 0)
			return err_set(e, ERR_TRUNCATED, "empty input");
		if (too_long)
			return err_set(e, ERR_LIMIT, "the header line is longer than %u bytes", ROW_MAX_LINE_NBYTES);
	} else {
		if ((rc = source_peek(s, 1, &d, &n, e)))
			return rc;
		size_t want = n;
		const uint8_t *nl;
		while (!(nl = memchr(d, '\n', n)) && n >= want && n <= ROW_MAX_LINE_NBYTES) {
			want = n + 1;
			if ((rc = source_peek(s, want, &d, &n, e)))
				return rc;
		}
		n = nl ? (size_t)(nl - d) : n;
	}
	l->n_col = table_split(d, n, l->delim, a, &f);
	if (l->n_col < 0)
		return err_set(e, ERR_FORMAT, "the first line has a quote that does not close");
	for (int i = 0; l->has_header && i < l->n_col; i++)
		if (strlen(f[i].s) != f[i].n || !ts_utf8_valid(f[i].s, f[i].n))
			return err_set(e, ERR_FORMAT, "the name of column %d is not UTF-8 text", i + 1);
	if (c->smiles)
		rc = column_need(l, f, c->smiles, "--smiles", a, &l->col_smiles, e);
	else if (!l->has_header)
		l->col_smiles = rc = 0;
	else if ((l->col_smiles = column_guess_smiles(f, l->n_col)) < 0)
		rc = err_set(e, ERR_USAGE, "no column named smiles: name it with --smiles");
	else
		rc = 0;
	if (!rc && c->id)
		rc = column_need(l, f, c->id, "--id", a, &l->col_id, e);
	for (int i = 0; !c->id && l->has_header && i < l->n_col && l->col_id < 0; i++)
		if (same_letters(f[i].s, "id"))
			l->col_id = i;
	return rc || !c->labels.n ? rc : columns_of_labels(l, c, f, a, e);
}

/* The tags of the first SDF record at d. */
static int tags_of_first(struct layout *l, const uint8_t *d, size_t n, struct arena *a)
{
	int cap = 0;
	for (size_t i = 0; i < n; i++)
		cap += d[i] == '\n';
	l->labels = arena_alloc(a, (size_t)(cap + 1) * sizeof *l->labels);
	for (size_t at = 0; at < n;) {
		const uint8_t *nl = memchr(d + at, '\n', n - at);
		size_t end = nl ? (size_t)(nl - d) : n;
		const uint8_t *from, *to;
		if (end - at >= 4 && !memcmp(d + at, "$$$$", 4))
			break;
		if (d[at] == '>' && (from = memchr(d + at, '<', end - at)) &&
		    (to = memchr(from, '>', end - (size_t)(from - d)))) {
			const char *name = arena_strndup(a, (const char *)from + 1, (size_t)(to - from) - 1);
			bool twin = l->id_tag && !strcmp(name, l->id_tag);
			for (int k = 0; k < l->n_label; k++)
				twin |= !strcmp(l->labels[k], name);
			if (!twin && ts_utf8_valid(name, strlen(name)))
				l->labels[l->n_label++] = name;
		}
		at = nl ? end + 1 : n;
	}
	return 0;
}

static int sdf_layout(struct layout *l, const struct molprog *c, struct source *s, struct arena *a, struct err *e)
{
	l->id_tag = c->id;
	if (c->labels.n == 1 && !strcmp(c->labels.items[0], "all")) {
		const uint8_t *d;
		size_t n;
		int rc = source_peek(s, ROW_MAX_SDF_NBYTES, &d, &n, e);
		return rc ? rc : tags_of_first(l, d, n, a);
	}
	l->labels = c->labels.items;
	l->n_label = c->labels.n;
	return 0;
}

/* ---- format by content ---- */

static bool is_tstream(const uint8_t *d, size_t n)
{
	size_t at = n && (d[0] & 0xf0) == 0x80 ? 1 : n && d[0] == 0xde ? 3 : n && d[0] == 0xdf ? 5 : n;
	return n >= at + 8 && !memcmp(d + at, "\xa7tstream", 8);
}

static bool is_sdf(const uint8_t *d, size_t n)
{
	for (int line = 0; line < 3; line++) {
		const uint8_t *nl = memchr(d, '\n', n);
		if (!nl)
			return false;
		n -= (size_t)(nl - d) + 1;
		d = nl + 1;
	}
	const uint8_t *nl = memchr(d, '\n', n);
	size_t len = nl ? (size_t)(nl - d) : n;
	return len >= 39 && (!memcmp(d + 34, "V2000", 5) || !memcmp(d + 34, "V3000", 5));
}

/* The delimiter of a line of column names: the first of tab, comma, semicolon that occurs. 0: none. */
static char delim_guess(const uint8_t *d, size_t n)
{
	for (const char *p = "\t,;"; *p; p++)
		if (memchr(d, *p, n))
			return *p;
	return 0;
}

/* A header line: split by a delimiter one of its names is the wanted column or ends in "smiles". */
static bool is_header(const uint8_t *d, size_t n, char delim, const char *smiles, struct arena *a)
{
	struct field *f;
	int n_col = table_split(d, n, delim, a, &f);
	if (n_col < 0)
		return false;
	return smiles ? column_find(f, n_col, smiles) >= 0 : column_guess_smiles(f, n_col) >= 0;
}

static int delim_from_option(const char *text, char *out, struct err *e)
{
	if (!strcmp(text, "\\t") || !strcmp(text, "tab"))
		*out = '\t';
	else if (strlen(text) == 1 && *text != '"' && *text != '\n' && *text != '\r' && (unsigned char)*text < 128)
		*out = *text;
	else
		return err_set(e, ERR_USAGE, "--delim '%s': one character, or tab", text);
	return 0;
}

static int format_find(struct layout *l, const struct molprog *c, struct source *s, struct arena *a, struct err *e)
{
	const uint8_t *d;
	size_t n, want = 16;
	int rc = source_peek(s, want, &d, &n, e);
	if (rc)
		return rc;
	if (!n)
		return err_set(e, ERR_TRUNCATED, "empty input");
	l->format = (enum molprog_format)c->format;
	if (l->format == MOLPROG_TSTREAM || (l->format == MOLPROG_AUTO && is_tstream(d, n))) {
		l->format = MOLPROG_TSTREAM;
		return 0;
	}
	source_settle(s);
	if (n >= 4 && (!memcmp(d, "\x28\xb5\x2f\xfd", 4) || !memcmp(d, "\x1f\x8b\x08", 3)))
		return err_set(e, ERR_FORMAT, "packed twice; unpack the outer layer (gunzip, zstd -d)");
	if (n >= 3 && !memcmp(d, "\xef\xbb\xbf", 3)) /* byte order mark */
		source_take(s, 3);
	else if (n >= 2 && (!memcmp(d, "\xff\xfe", 2) || !memcmp(d, "\xfe\xff", 2)))
		return err_set(e, ERR_FORMAT, "UTF-16 text; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)");
	if (c->delim && (rc = delim_from_option(c->delim, &l->delim, e)))
		return rc;
	/* Enough for four lines, or one long one. */
	int lines = 0;
	for (want = 4096;; want *= 2) {
		if ((rc = source_peek(s, want, &d, &n, e)))
			return rc;
		lines = 0;
		for (size_t i = 0; i < n && lines < 4; i++)
			lines += d[i] == '\n';
		if (n < want || lines == 4 || want >= ROW_MAX_LINE_NBYTES)
			break;
	}
	const uint8_t *nl = memchr(d, '\n', n);
	size_t first = nl ? (size_t)(nl - d) : n;
	char seen = l->delim ? l->delim : delim_guess(d, first);
	if (l->format == MOLPROG_AUTO) {
		if (is_sdf(d, n))
			l->format = MOLPROG_SDF;
		else if (c->no_header || c->smiles || l->delim || is_header(d, first, seen ? seen : ',', NULL, a))
			l->format = seen == '\t' ? MOLPROG_TSV : MOLPROG_CSV;
		else
			l->format = MOLPROG_SMI;
	}
	if (!l->delim)
		l->delim = l->format == MOLPROG_TSV                                        ? '\t'
			   : l->format == MOLPROG_CSV && c->format == MOLPROG_AUTO && seen ? seen
											   : ',';
	return 0;
}

/* Options that this format cannot follow. */
static int options_fit(const struct layout *l, const struct molprog *c, struct err *e)
{
	bool table = l->format == MOLPROG_CSV || l->format == MOLPROG_TSV, sdf = l->format == MOLPROG_SDF;
	const char *bad = c->smiles && !table             ? "--smiles"
			  : c->delim && !table            ? "--delim"
			  : c->no_header && !table        ? "--no-header"
			  : c->id && !table && !sdf       ? "--id"
			  : c->labels.n && !table && !sdf ? "--labels"
			  : c->missing && !table && !sdf  ? "--missing"
							  : NULL;
	return bad ? err_set(e, ERR_USAGE, "%s: the input is %s", bad, format_names[l->format]) : 0;
}

int layout_find(struct layout *l, const struct molprog *c, struct source *s, struct arena *a, struct err *e)
{
	*l = (struct layout){.col_id = -1, .missing = c->missing, .parse = {.lenient = c->lenient}};
	int rc = format_find(l, c, s, a, e);
	if (!rc)
		rc = options_fit(l, c, e);
	if (rc || l->format == MOLPROG_TSTREAM || l->format == MOLPROG_SMI)
		return rc;
	return l->format == MOLPROG_SDF ? sdf_layout(l, c, s, a, e) : table_layout(l, c, s, a, e);
}
