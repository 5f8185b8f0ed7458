/*
 * mol_oracle.h - reading tables of reference facts ($SHARED/oracle, gzip, tab-separated) in tests.
 */
#ifndef MOLRILL_MOL_ORACLE_H
#define MOLRILL_MOL_ORACLE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

struct oracle {
	gzFile file;
	char *line;
	size_t cap;
};

/* $SHARED/NAME when it can be read, else NULL. REQUIRE_SHARED=1: its absence fails the test program. */
__attribute__((unused)) static const char *oracle_file(const char *name)
{
	static char path[4096];
	const char *shared = getenv("SHARED"), *require = getenv("REQUIRE_SHARED");
	snprintf(path, sizeof path, "%s/%s", shared && *shared ? shared : "../shared", name);
	gzFile f = gzopen(path, "rb");
	if (f) {
		gzclose(f);
		return path;
	}
	if (require && !strcmp(require, "1")) {
		printf("Bail out! %s is missing\n", path);
		exit(1);
	}
	return NULL;
}
__attribute__((unused)) static const char *oracle_path(const char *name)
{
	char path[512];
	snprintf(path, sizeof path, "oracle/%s", name);
	return oracle_file(path);
}

__attribute__((unused)) static bool oracle_line(struct oracle *t)
{
	size_t n = 0;
	if (!t->line)
		t->line = malloc(t->cap = 1 << 16);
	while (gzgets(t->file, t->line + n, (int)(t->cap - n))) {
		n += strlen(t->line + n);
		if (n && t->line[n - 1] == '\n') {
			t->line[n - 1] = 0;
			return true;
		}
		t->line = realloc(t->line, t->cap *= 2);
	}
	return n > 0;
}
/* Opens and skips the header line. */
__attribute__((unused)) static struct oracle *oracle_open(const char *path)
{
	struct oracle *t = calloc(1, sizeof *t);
	t->file = gzopen(path, "rb");
	if (t->file)
		oracle_line(t);
	return t;
}
/* Next row, cut in n fields (missing ones are ""); valid until the next call. */
__attribute__((unused)) static bool oracle_next(struct oracle *t, char **field, int n)
{
	if (!t->file || !oracle_line(t))
		return false;
	char *s = t->line;
	for (int k = 0; k < n; k++) {
		static char none[1] = "";
		field[k] = s ? s : none;
		s = s ? strchr(s, '\t') : NULL;
		if (s)
			*s++ = 0;
	}
	return true;
}
__attribute__((unused)) static void oracle_close(struct oracle *t)
{
	if (t->file)
		gzclose(t->file);
	free(t->line);
	free(t);
}
/* A JSON string of ASCII and simple escapes -> text. False when it is none or too long. */
__attribute__((unused)) static bool oracle_text(const char *json, char *out, size_t n_out)
{
	size_t n = 0;
	if (*json++ != '"')
		return false;
	for (; *json && *json != '"'; json++) {
		char c = *json;
		if (c == '\\') {
			c = *++json;
			if (c == 'u')
				return false;
			c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
		}
		if (n + 1 >= n_out)
			return false;
		out[n++] = c;
	}
	out[n] = 0;
	return *json == '"';
}

#endif
