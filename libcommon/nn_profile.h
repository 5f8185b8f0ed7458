/*
 * nn_profile.h - layer 3: where the time of training goes, by operation.
 *
 * CPU seconds of all threads from mark to mark: what passed since the mark before counts as the operation that is named
 * now. The tape marks each operation as it pushes its rule, with all that was made ready for it, and each rule as it
 * has run; programs mark what they do between steps. Nothing of it reaches a stream.
 */
#ifndef MOLRILL_NN_PROFILE_H
#define MOLRILL_NN_PROFILE_H

#include "util.h"

struct nn_profile_row {
	const char *name; /* its first n_name characters */
	int n_name;
	int64_t n; /* how often, forward */
	double forward_s, backward_s;
};
struct nn_profile;
struct nn_profile *nn_profile_new(void);     /* the clock runs from here on */
void nn_profile_free(struct nn_profile *p);  /* takes NULL */
void nn_profile_clear(struct nn_profile *p); /* as new; takes NULL */
/* name must live as long as p; that of a rule stands for its operation ("matmul_back": matmul). Takes NULL: nothing. */
void nn_profile_mark(struct nn_profile *p, const char *name, bool backward);
/* What was seen, most time first; p's own, until the next mark. Returns their number. */
int nn_profile_rows(struct nn_profile *p, const struct nn_profile_row **rows);

#endif
