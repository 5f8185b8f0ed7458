/* learn_profile.c - where the time of a run went: a table on standard error. */
#include "learn_run.h"

#include <inttypes.h>

void learn_profile_write(struct nn_profile *p, FILE *out)
{
	const struct nn_profile_row *row;
	int n = p ? nn_profile_rows(p, &row) : 0;
	double total = 0;
	for (int i = 0; i < n; i++)
		total += row[i].forward_s + row[i].backward_s;
	for (int i = 0; i < n; i++) {
		double s = row[i].forward_s + row[i].backward_s;
		if (!i)
			fprintf(out, "%-16s %9s %12s %12s %7s\n", "operation", "times", "forward, s", "backward, s",
				"share");
		fprintf(out, "%-16.*s %9" PRId64 " %12.3f %12.3f %6.1f%%\n", row[i].n_name, row[i].name, row[i].n,
			row[i].forward_s, row[i].backward_s, total > 0 ? 100 * s / total : 0);
	}
}
