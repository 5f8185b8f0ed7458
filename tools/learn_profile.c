/* learn_profile.c - where the time of a run went: a table on standard error. */
#include "learn_run.h"

#include <inttypes.h>

void learn_profile_write(struct nn_profile *p, int64_t n_step, FILE *out)
{
	const struct nn_profile_row *row;
	int n = p ? nn_profile_rows(p, &row) : 0;
	struct nn_profile_row all = {.name = "all", .n_name = 3, .n = n_step};
	for (int i = 0; i < n; i++) {
		all.forward_s += row[i].forward_s;
		all.backward_s += row[i].backward_s;
	}
	double total = all.forward_s + all.backward_s;
	for (int i = 0; i <= n && n; i++) {
		const struct nn_profile_row *r = i < n ? &row[i] : &all;
		if (!i)
			fprintf(out, "%-16s %9s %12s %12s %7s\n", "operation", "times", "forward, s", "backward, s",
				"share");
		fprintf(out, "%-16.*s %9" PRId64 " %12.3f %12.3f %6.1f%%\n", r->n_name, r->name, r->n, r->forward_s,
			r->backward_s, total > 0 ? 100 * (r->forward_s + r->backward_s) / total : 0);
	}
}
