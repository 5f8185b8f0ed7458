/* Comma-separated values (RFC 4180): where a record ends, and its fields. Any delimiter of one byte. */
#include "molprog_read.h"

#include <string.h>

/*
 * One field from *at on. Its text goes to the arena if a is not NULL. Returns the byte that ended it (delim, '\n',
 * or 0 at the end), -1 for a quote that stays open, -2 for text after a closing quote.
 */
static int field_scan(const uint8_t *d, size_t n, char delim, size_t *at, struct arena *a, struct field *f)
{
	size_t i = *at;
	if (i < n && d[i] == '"') {
		size_t start = ++i, n_twin = 0;
		for (; i < n; i++) {
			const uint8_t *q = memchr(d + i, '"', n - i);
			if (!q)
				return -1;
			i = (size_t)(q - d);
			if (i + 1 >= n || d[i + 1] != '"')
				break;
			n_twin++;
			i++;
		}
		if (i >= n)
			return -1;
		if (a) {
			char *to = arena_alloc(a, i - start - n_twin + 1);
			size_t k = 0;
			for (size_t j = start; j < i; j++) {
				to[k++] = (char)d[j];
				j += d[j] == '"';
			}
			to[k] = 0;
			*f = (struct field){to, k};
		}
		i++;
		if (i + 1 < n && d[i] == '\r' && d[i + 1] == '\n')
			i++;
		else if (i + 1 == n && d[i] == '\r')
			i++;
		if (i < n && d[i] != (uint8_t)delim && d[i] != '\n')
			return -2;
	} else {
		size_t start = i;
		while (i < n && d[i] != (uint8_t)delim && d[i] != '\n')
			i++;
		size_t end = i;
		if ((i == n || d[i] == '\n') && end > start && d[end - 1] == '\r')
			end--;
		if (a)
			*f = (struct field){arena_strndup(a, (const char *)d + start, end - start), end - start};
	}
	*at = i < n ? i + 1 : n;
	return i < n ? d[i] : 0;
}

int table_split(const uint8_t *data, size_t n, char delim, struct arena *a, struct field **fields)
{
	int cap = 16, n_field = 0;
	struct field *f = arena_alloc(a, (size_t)cap * sizeof *f);
	size_t at = 0;
	for (;;) {
		if (n_field == cap) {
			struct field *grown = arena_alloc(a, 2 * (size_t)cap * sizeof *grown);
			memcpy(grown, f, (size_t)cap * sizeof *grown);
			f = grown;
			cap *= 2;
		}
		int stop = field_scan(data, n, delim, &at, a, &f[n_field]);
		if (stop < 0)
			return stop;
		n_field++;
		if (stop != (uint8_t)delim)
			break;
	}
	*fields = f;
	return n_field;
}

int64_t table_record_length(const uint8_t *data, size_t n, char delim, size_t *end, int *n_field)
{
	size_t at = 0;
	for (*n_field = 1;; ++*n_field) {
		struct field f;
		int stop = field_scan(data, n, delim, &at, NULL, &f);
		if (stop < 0)
			return stop;
		if (stop == (uint8_t)delim)
			continue;
		*end = at;
		size_t len = stop == '\n' ? at - 1 : at;
		if (len && data[len - 1] == '\r')
			len--;
		return (int64_t)len;
	}
}
