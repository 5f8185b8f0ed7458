/* learn_table.h - tables in text (tab or comma separated, with a header line), whole in memory. */
#ifndef MOLRILL_LEARN_TABLE_H
#define MOLRILL_LEARN_TABLE_H

#include "util.h"

struct table {
	int n_col;
	const char **names; /* [n_col] */
	int64_t n_row;
	const char **cells; /* [n_row, n_col] */
};
/*
 * Reads fd to its end. The separator is a tab if the header line has one, else a comma; quotes as in CSV. Every row
 * must have as many cells as the header. All in arena memory. ERR_TRUNCATED for empty input or a last line without its
 * end.
 */
int table_read(int fd, const char *name, struct arena *a, struct table *t, struct err *e);
int table_column(const struct table *t, const char *name); /* -1: none */
const char *table_cell(const struct table *t, int64_t row, int col);

#endif
