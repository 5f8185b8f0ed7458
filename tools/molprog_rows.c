/* Rows of a file: lines, CSV records over several lines, SDF records. */
#include "molprog_read.h"

#include <string.h>

#define SHOWN_NBYTES 200 /* of a row that is too long */

static size_t without_cr(const uint8_t *d, size_t n)
{
	return n && d[n - 1] == '\r' ? n - 1 : n;
}

/* A row of nothing but tabs is a row of empty fields in a table, and nothing in a list of SMILES. */
static bool is_blank(const struct layout *l, const uint8_t *d, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (d[i] != ' ' && (l->format != MOLPROG_SMI || d[i] != '\t'))
			return false;
	return true;
}

/*
 * The whole line at the place reached, its end included in *used; nothing is taken. 1; 0 at the end; 2 when no line
 * end lies within the limit.
 */
static int line_peek(struct source *s, size_t max, const uint8_t **data, size_t *n, size_t *used, struct err *e)
{
	size_t want = 1, there, seen = 0;
	for (;;) {
		int rc = source_peek(s, want, data, &there, e);
		if (rc)
			return rc;
		if (!there)
			return 0;
		const uint8_t *nl = memchr(*data + seen, '\n', there - seen);
		if (nl || there < want) {
			*n = nl ? (size_t)(nl - *data) : there;
			*used = nl ? *n + 1 : there;
			return *n > max ? 2 : 1;
		}
		if (there > max)
			return 2;
		seen = there;
		want = there + 1;
	}
}

/* Passes over the rest of a line that is too long; leaves its beginning in `shown`. */
static int line_skip(struct source *s, uint8_t *shown, size_t *n_shown, struct err *e)
{
	const uint8_t *d;
	size_t n;
	int rc = source_peek(s, 1, &d, &n, e);
	*n_shown = n < SHOWN_NBYTES ? n : SHOWN_NBYTES;
	memcpy(shown, d, *n_shown);
	while (!rc && n) {
		const uint8_t *nl = memchr(d, '\n', n);
		source_take(s, nl ? (size_t)(nl - d) + 1 : n);
		if (nl)
			break;
		rc = source_peek(s, 1, &d, &n, e);
	}
	return rc;
}

static int row_too_long(struct source *s, const uint8_t **data, size_t *n, bool *too_long, struct err *e)
{
	static uint8_t shown[SHOWN_NBYTES];
	int rc = line_skip(s, shown, n, e);
	*data = shown;
	*too_long = true;
	return rc ? rc : 1;
}

/*
 * A record whose quote is still open at the end of its first line. A quote that never closes, or that closes where the
 * number of fields is wrong, must not swallow the rows behind it: then the row is that line alone.
 */
static int record_over_lines(const struct layout *l, struct source *s, const uint8_t **data, size_t *n, size_t *used,
			     struct err *e)
{
	size_t want = *used + 1, there;
	for (;;) {
		int rc = source_peek(s, want, data, &there, e);
		if (rc)
			return rc;
		bool all = there < want;
		size_t end = 0;
		int n_field;
		int64_t len = table_record_length(*data, there, l->delim, &end, &n_field);
		/* What ends with the bytes at hand may go on: a twin quote, a line end. */
		if (len >= 0 && (all || end < there)) {
			if (!l->n_col || n_field == l->n_col) {
				*n = (size_t)len;
				*used = end;
			}
			return 0;
		}
		if (len == -2 || all || there > ROW_MAX_LINE_NBYTES)
			return 0;
		want = there + there / 2 + 1;
	}
}

static int table_next(const struct layout *l, struct source *s, const uint8_t **data, size_t *n, bool *too_long,
		      struct err *e)
{
	size_t used;
	int rc = line_peek(s, ROW_MAX_LINE_NBYTES, data, n, &used, e);
	if (rc == 2)
		return row_too_long(s, data, n, too_long, e);
	if (rc <= 0)
		return rc;
	if (memchr(*data, '"', *n)) {
		size_t end;
		int n_field;
		int64_t len = table_record_length(*data, used, l->delim, &end, &n_field);
		if (len == -1 && (rc = record_over_lines(l, s, data, n, &used, e)))
			return rc;
	}
	source_take(s, used);
	*n = without_cr(*data, *n);
	return 1;
}

static bool line_is_end(const uint8_t *d, size_t n)
{
	return n >= 4 && !memcmp(d, "$$$$", 4);
}

/* From the place reached to the line "$$$$" or the end of the file. */
static int sdf_next(struct source *s, const uint8_t **data, size_t *n, bool *too_long, struct err *e)
{
	size_t at = 0, want = 1, there; /* at: begin of a line */
	for (;;) {
		int rc = source_peek(s, want, data, &there, e);
		if (rc)
			return rc;
		bool all = there < want;
		for (;;) {
			const uint8_t *nl = memchr(*data + at, '\n', there - at);
			if (!nl && !all)
				break;
			size_t end = nl ? (size_t)(nl - *data) : there;
			if (line_is_end(*data + at, end - at)) {
				*n = at;
				source_take(s, nl ? end + 1 : there);
				return 1;
			}
			at = nl ? end + 1 : there;
			if (!nl) {
				*n = there;
				source_take(s, there);
				return 1;
			}
		}
		if (there > ROW_MAX_SDF_NBYTES)
			break;
		want = there + 1;
	}
	/* Too long: pass over it line by line; only its first line is kept. */
	static uint8_t shown[SHOWN_NBYTES];
	size_t n_shown = 0;
	for (bool first = true;; first = false) {
		size_t used;
		const uint8_t *line;
		size_t n_line;
		int rc = line_peek(s, ROW_MAX_LINE_NBYTES, &line, &n_line, &used, e);
		if (rc < 0)
			return rc;
		if (rc == 0)
			break;
		if (first) {
			n_shown = n_line < SHOWN_NBYTES ? n_line : SHOWN_NBYTES;
			memcpy(shown, line, n_shown);
		}
		bool end = rc == 1 && line_is_end(line, n_line);
		if (rc == 1)
			source_take(s, used);
		else if ((rc = line_skip(s, shown, &n_shown, e)))
			return rc;
		if (end)
			break;
	}
	*data = shown;
	*n = n_shown;
	*too_long = true;
	return 1;
}

int rows_next(const struct layout *l, struct source *s, const uint8_t **data, size_t *n, bool *too_long, struct err *e)
{
	for (;;) {
		size_t used;
		int rc;
		*too_long = false;
		if (l->format == MOLPROG_SDF) {
			rc = sdf_next(s, data, n, too_long, e);
			/* Blank lines behind the last "$$$$" are no record. */
			if (rc == 1 && !*too_long) {
				size_t i = 0;
				while (i < *n && strchr(" \t\r\n", (*data)[i]) && (*data)[i])
					i++;
				size_t left;
				const uint8_t *d;
				if (i == *n) {
					rc = source_peek(s, 1, &d, &left, e);
					*n = 0;
					return rc ? rc : left > 0;
				}
			}
			return rc;
		}
		if (l->format == MOLPROG_SMI) {
			rc = line_peek(s, ROW_MAX_LINE_NBYTES, data, n, &used, e);
			if (rc == 2)
				return row_too_long(s, data, n, too_long, e);
			if (rc == 1) {
				source_take(s, used);
				*n = without_cr(*data, *n);
			}
		} else {
			rc = table_next(l, s, data, n, too_long, e);
		}
		if (rc != 1 || *too_long || !is_blank(l, *data, *n))
			return rc;
	}
}
