/* Tables in text; see learn_table.h. */
#include "learn_table.h"

#include <inttypes.h>
#include <string.h>

struct scan {
	char *p;
	char delim;
};

/* Takes one cell, unquoted in place. *last: it ended its line. False: a quote that is never closed. */
static bool cell_take(struct scan *s, char **cell, bool *last)
{
	char *to = *cell = s->p;
	if (*s->p == '"' && s->delim == ',') {
		for (s->p++;; s->p++) {
			if (!*s->p)
				return false;
			if (*s->p == '"' && *++s->p != '"')
				break;
			*to++ = *s->p;
		}
	}
	while (*s->p && *s->p != s->delim && *s->p != '\n')
		*to++ = *s->p++;
	*last = *s->p != s->delim;
	if (*s->p)
		s->p++;
	if (*last && to > *cell && to[-1] == '\r')
		to--;
	*to = 0;
	return true;
}

static int text_read(int fd, struct buf *b, struct err *e)
{
	int64_t n;
	while ((n = io_read(fd, buf_reserve(b, 65536), 65536, e)) > 0)
		b->n += (size_t)n;
	return (int)n;
}

int table_read(int fd, const char *name, struct arena *a, struct table *t, struct err *e)
{
	struct buf b = {0};
	*t = (struct table){0};
	int rc = text_read(fd, &b, e);
	if (!rc && !b.n)
		rc = err_set(e, ERR_TRUNCATED, "empty input");
	if (!rc && b.data[b.n - 1] != '\n')
		rc = err_set(e, ERR_TRUNCATED, "the last line has no end: the table was cut");
	if (!rc && memchr(b.data, 0, b.n))
		rc = err_set(e, ERR_FORMAT, "a NUL byte: no table");
	if (rc)
		goto done;
	struct scan s = {.p = arena_strndup(a, (char *)b.data, b.n)};
	int64_t n_line = 0;
	for (size_t i = 0; i < b.n; i++)
		n_line += b.data[i] == '\n';
	const char *first_end = strchr(s.p, '\n');
	s.delim = memchr(s.p, '\t', (size_t)(first_end - s.p)) ? '\t' : ',';
	int cap = 1;
	for (const char *p = s.p; p < first_end; p++)
		cap += *p == s.delim;
	t->names = arena_alloc(a, (size_t)cap * sizeof *t->names);
	char *cell;
	for (bool last = false; !last;) {
		if (t->n_col == cap || !cell_take(&s, &cell, &last)) {
			rc = err_set(e, ERR_FORMAT, "the header line is malformed");
			goto done;
		}
		t->names[t->n_col++] = cell;
	}
	t->cells = arena_alloc(a, (size_t)n_line * (size_t)t->n_col * sizeof *t->cells);
	while (*s.p && !rc) {
		int n = 0;
		for (bool last = false; !last && !rc; n++) {
			if (!cell_take(&s, &cell, &last))
				rc = err_set(e, ERR_FORMAT, "row %" PRId64 ": a quote is never closed", t->n_row);
			else if (n < t->n_col)
				t->cells[t->n_row * t->n_col + n] = cell;
		}
		if (!rc && n != t->n_col)
			rc = err_set(e, ERR_FORMAT, "row %" PRId64 " has %d cells, the header %d", t->n_row, n,
				     t->n_col);
		t->n_row++;
	}
done:
	if (rc)
		err_add_place(e, name, -1, -1);
	buf_free(&b);
	return rc;
}

int table_column(const struct table *t, const char *name)
{
	for (int i = 0; i < t->n_col; i++)
		if (!strcmp(t->names[i], name))
			return i;
	return -1;
}

const char *table_cell(const struct table *t, int64_t row, int col)
{
	return t->cells[row * t->n_col + col];
}
