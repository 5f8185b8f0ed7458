/* util_opt.c - option tables: parsing, help, lists, what of them stands in provenance. */
#include "util.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_GIVEN = 256 };

static const char *given[MAX_GIVEN]; /* options of the last command line parsed */
static int n_given;

static const struct opt *find_long(const struct opt *const *tables, const char *name, size_t n)
{
	for (; *tables; tables++)
		for (const struct opt *o = *tables; o->name; o++)
			if (strlen(o->name) == n && !strncmp(o->name, name, n))
				return o;
	return NULL;
}

static const struct opt *find_letter(const struct opt *const *tables, char letter)
{
	for (; *tables; tables++)
		for (const struct opt *o = *tables; o->name; o++)
			if (o->letter == letter)
				return o;
	return NULL;
}

bool opt_was_given(const char *name)
{
	for (int i = 0; i < n_given; i++)
		if (!strcmp(given[i], name))
			return true;
	return false;
}

/* ---- the nearest name -------------------------------------------------------- */

static int least(int a, int b)
{
	return a < b ? a : b;
}

/* Optimal string alignment: insertions, deletions, substitutions, swaps of neighbours (Damerau 1964). */
static int distance(const char *a, const char *b)
{
	enum { LONGEST = 40 };
	int d[LONGEST + 1][LONGEST + 1], n = (int)strlen(a), m = (int)strlen(b);
	if (n > LONGEST || m > LONGEST)
		return LONGEST;
	for (int i = 0; i <= n; i++)
		for (int j = 0; j <= m; j++) {
			if (!i || !j) {
				d[i][j] = i + j;
				continue;
			}
			int cost = a[i - 1] != b[j - 1];
			d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	return d[n][m];
}

const char *opt_nearest(const char *typed, const char *const *names, int n)
{
	const char *best = NULL;
	int best_distance = 0;
	for (int i = 0; i < n; i++) {
		int d = distance(typed, names[i]);
		if (strlen(typed) >= 3 && !strncmp(names[i], typed, strlen(typed)))
			d = 1; /* the beginning of a name */
		if (!best || d < best_distance) {
			best = names[i];
			best_distance = d;
		}
	}
	int tolerated = (int)strlen(typed) / 3 + 1;
	return best && best_distance <= tolerated ? best : NULL;
}

static int unknown_option(const struct opt *const *tables, const char *name, size_t n, struct err *e)
{
	const char *names[MAX_GIVEN];
	char typed[64];
	int count = 0;
	snprintf(typed, sizeof typed, "%.*s", (int)n, name);
	for (const struct opt *const *t = tables; *t; t++)
		for (const struct opt *o = *t; o->name && count < MAX_GIVEN; o++)
			names[count++] = o->name;
	const char *near = opt_nearest(typed, names, count);
	if (near)
		return err_set(e, ERR_USAGE, "no option --%s: did you mean --%s?", typed, near);
	return err_set(e, ERR_USAGE, "no option --%s; -h lists them", typed);
}

/* ---- values ------------------------------------------------------------------- */

static int out_of_bounds(const struct opt *o, const char *text, struct err *e)
{
	return err_set(e, ERR_USAGE, "--%s %s: must lie between %.15g and %.15g", o->name, text, o->min, o->max);
}

static bool within(const struct opt *o, double x)
{
	return (o->min == 0 && o->max == 0) || (x >= o->min && x <= o->max);
}

static int set_int(const struct opt *o, const char *text, int64_t *out, struct err *e)
{
	char *end;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	if (end == text || errno || isspace((unsigned char)*text))
		return err_set(e, ERR_USAGE, "--%s %s: not a whole number", o->name, text);
	if (o->type == OPT_SIZE) {
		static const char suffix[] = "KMGT";
		const char *s = *end ? strchr(suffix, toupper((unsigned char)*end)) : NULL;
		if (s) {
			for (ptrdiff_t i = 0; i <= s - suffix; i++)
				if (v < 0 || v > INT64_MAX / 1024)
					return err_set(e, ERR_USAGE, "--%s %s: too large", o->name, text);
				else
					v *= 1024;
			end++;
		}
		if (v < 0)
			return err_set(e, ERR_USAGE, "--%s %s: a size is not negative", o->name, text);
	}
	if (*end)
		return err_set(e, ERR_USAGE, "--%s %s: not a whole number", o->name, text);
	if (!within(o, (double)v))
		return out_of_bounds(o, text, e);
	*out = v;
	return 0;
}

static int set_float(const struct opt *o, const char *text, double *out, struct err *e)
{
	char *end;
	double v = strtod(text, &end);
	if (end == text || *end || !isfinite(v) || isspace((unsigned char)*text))
		return err_set(e, ERR_USAGE, "--%s %s: not a number", o->name, text);
	if (!within(o, v))
		return out_of_bounds(o, text, e);
	*out = v;
	return 0;
}

static int set_choice(const struct opt *o, const char *text, int *out, struct err *e)
{
	char all[200] = "";
	int n = 0;
	for (; o->choices[n]; n++) {
		if (!strcmp(o->choices[n], text)) {
			*out = n;
			return 0;
		}
		size_t used = strlen(all);
		snprintf(all + used, sizeof all - used, "%s%s", n ? ", " : "", o->choices[n]);
	}
	const char *near = opt_nearest(text, o->choices, n);
	if (near)
		return err_set(e, ERR_USAGE, "--%s %s: did you mean %s? (%s)", o->name, text, near, all);
	return err_set(e, ERR_USAGE, "--%s %s: must be one of %s", o->name, text, all);
}

/* Items separated by commas; appended where the option gathers and was given before. */
static void set_list(const struct opt *o, const char *text, bool again, struct arena *a, struct opt_list *out)
{
	const char *split = o->flags & OPT_WHOLE ? "" : ",";
	int n = again && o->flags & OPT_REPEAT ? out->n : 0, more = 1;
	for (const char *s = text; *s; s++)
		more += *s == ',';
	const char **items = arena_alloc(a, (size_t)(n + more) * sizeof *items);
	if (n)
		memcpy(items, out->items, (size_t)n * sizeof *items);
	for (const char *s = text; *text; text = s + (*s == ',')) {
		size_t len = strcspn(text, split);
		s = text + len;
		if (len)
			items[n++] = arena_strndup(a, text, len);
	}
	out->n = n;
	out->items = items;
}

static int set_value(const struct opt *o, const char *text, void *conf, bool again, struct arena *a, struct err *e)
{
	void *at = (char *)conf + o->offset;
	switch (o->type) {
	case OPT_FLAG:
		*(bool *)at = true;
		return 0;
	case OPT_INT:
	case OPT_SIZE:
		return set_int(o, text, at, e);
	case OPT_FLOAT:
		return set_float(o, text, at, e);
	case OPT_STR:
		*(const char **)at = text;
		return 0;
	case OPT_LIST:
		set_list(o, text, again, a, at);
		return 0;
	case OPT_CHOICE:
		return set_choice(o, text, at, e);
	}
	return 0;
}

/* ---- the command line ----------------------------------------------------------- */

static int take(const struct opt *o, const char *text, void *conf, struct arena *a, struct err *e)
{
	bool again = opt_was_given(o->name);
	if (!again && n_given < MAX_GIVEN)
		given[n_given++] = o->name;
	return set_value(o, text, conf, again, a, e);
}

static int parse_long(const struct opt *const *tables, char **argv, int argc, int *i, void *conf, struct arena *a,
		      struct err *e)
{
	const char *name = argv[*i] + 2, *equals = strchr(name, '=');
	size_t n = equals ? (size_t)(equals - name) : strlen(name);
	const struct opt *o = find_long(tables, name, n);
	if (!o)
		return unknown_option(tables, name, n, e);
	if (o->type == OPT_FLAG)
		return equals ? err_set(e, ERR_USAGE, "--%s takes no value", o->name) : take(o, NULL, conf, a, e);
	if (equals)
		return take(o, equals + 1, conf, a, e);
	if (*i + 1 >= argc)
		return err_set(e, ERR_USAGE, "--%s needs a value (%s)", o->name, o->arg);
	return take(o, argv[++*i], conf, a, e);
}

static int parse_short(const struct opt *const *tables, char **argv, int argc, int *i, void *conf, struct arena *a,
		       struct err *e)
{
	for (const char *s = argv[*i] + 1; *s; s++) {
		const struct opt *o = find_letter(tables, *s);
		if (!o)
			return err_set(e, ERR_USAGE, "no option -%c; -h lists them", *s);
		if (o->type == OPT_FLAG) {
			int rc = take(o, NULL, conf, a, e);
			if (rc)
				return rc;
			continue;
		}
		if (s[1])
			return take(o, s + 1, conf, a, e);
		if (*i + 1 >= argc)
			return err_set(e, ERR_USAGE, "-%c needs a value (%s)", *s, o->arg);
		return take(o, argv[++*i], conf, a, e);
	}
	return 0;
}

int opt_parse(const struct opt *const *tables, void *conf, int argc, char **argv, struct arena *a, int *n_operand,
	      const char ***operands, struct err *e)
{
	bool options = true;
	n_given = 0;
	*n_operand = 0;
	*operands = arena_alloc(a, (size_t)(argc + 1) * sizeof **operands);
	for (int i = 1; i < argc; i++) {
		int rc = 0;
		if (!options || argv[i][0] != '-' || !argv[i][1])
			(*operands)[(*n_operand)++] = argv[i];
		else if (!strcmp(argv[i], "--"))
			options = false;
		else if (argv[i][1] == '-')
			rc = parse_long(tables, argv, argc, &i, conf, a, e);
		else
			rc = parse_short(tables, argv, argc, &i, conf, a, e);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- help and lists --------------------------------------------------------------- */

void opt_write_help(FILE *out, const struct opt *const *tables)
{
	int widest = 0;
	for (int pass = 0; pass < 2; pass++)
		for (const struct opt *const *t = tables; *t; t++)
			for (const struct opt *o = *t; o->name; o++) {
				char left[80];
				int n = snprintf(left, sizeof left, "%c%c%s--%s%s%s", o->letter ? '-' : ' ',
						 o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
						 o->arg ? " " : "", o->arg ? o->arg : "");
				if (pass)
					fprintf(out, "  %-*s  %s\n", widest, left, o->help);
				else if (n > widest)
					widest = n;
			}
}

void opt_write_list(FILE *out, const struct opt *const *tables)
{
	for (; *tables; tables++)
		for (const struct opt *o = *tables; o->name; o++) {
			char letter[3] = {'-', o->letter, 0};
			fprintf(out, "--%s\t%s\t%s\t%s\n", o->name, o->letter ? letter : "", o->arg ? o->arg : "",
				o->help);
		}
}

/* ---- provenance -------------------------------------------------------------------- */

static bool same_list(const struct opt_list *x, const struct opt_list *y)
{
	if (x->n != y->n)
		return false;
	for (int i = 0; i < x->n; i++)
		if (strcmp(x->items[i], y->items[i]))
			return false;
	return true;
}

static bool same_str(const char *x, const char *y)
{
	return x == y || (x && y && !strcmp(x, y));
}

/* A name, or what stands for the file of that name. */
static int name_record(const char **name, bool digest, struct arena *a, struct err *e)
{
	char hex[33];
	int rc = digest ? io_digest_file(*name, hex, e) : 0;
	if (digest && !rc)
		*name = arena_strdup(a, hex);
	return rc;
}

static int list_record(const struct opt_list *l, bool digest, struct arena *a, const char **text, struct err *e)
{
	int rc = 0;
	*text = "";
	for (int i = 0; i < l->n && !rc; i++) {
		const char *item = l->items[i];
		rc = name_record(&item, digest, a, e);
		*text = arena_printf(a, "%s%s%s", *text, i ? "," : "", item);
	}
	return rc;
}

/* Text of the value, NULL if it is the default; files as their digests. */
static int record_value(const struct opt *o, const void *at, const void *def, struct arena *a, const char **text,
			struct err *e)
{
	*text = NULL;
	switch (o->type) {
	case OPT_FLAG:
		if (*(const bool *)at != *(const bool *)def)
			*text = "";
		return 0;
	case OPT_INT:
	case OPT_SIZE:
		if (*(const int64_t *)at != *(const int64_t *)def)
			*text = arena_printf(a, "%lld", (long long)*(const int64_t *)at);
		return 0;
	case OPT_FLOAT:
		if (*(const double *)at != *(const double *)def)
			*text = arena_printf(a, "%.17g", *(const double *)at);
		return 0;
	case OPT_CHOICE:
		if (*(const int *)at != *(const int *)def)
			*text = o->choices[*(const int *)at];
		return 0;
	case OPT_LIST:
		return same_list(at, def) ? 0 : list_record(at, o->flags & OPT_DIGEST, a, text, e);
	case OPT_STR:
		if (!same_str(*(const char *const *)at, *(const char *const *)def))
			*text = *(const char *const *)at;
		break;
	}
	return *text ? name_record(text, o->flags & OPT_DIGEST, a, e) : 0;
}

int opt_record_args(const struct opt *const *tables, const void *conf, const void *conf_default, struct arena *a,
		    const char ***args, struct err *e)
{
	int n = 0, most = 0;
	for (const struct opt *const *t = tables; *t; t++)
		for (const struct opt *o = *t; o->name; o++)
			most++;
	*args = arena_alloc(a, (size_t)(most + 1) * sizeof **args);
	for (; *tables; tables++)
		for (const struct opt *o = *tables; o->name; o++) {
			const char *text;
			if (!(o->flags & OPT_RECORDS))
				continue;
			int rc = record_value(o, (const char *)conf + o->offset, (const char *)conf_default + o->offset,
					      a, &text, e);
			if (rc)
				return rc;
			if (text)
				(*args)[n++] = arena_printf(a, o->type == OPT_FLAG ? "--%s" : "--%s=%s", o->name, text);
		}
	return n;
}
