/* nn_profile.c - where the time of training goes, by operation. */
#include "nn_profile.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ROW = 96 };
struct nn_profile {
	struct nn_profile_row row[MAX_ROW];
	int n;
	double last_s;
};

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct nn_profile *nn_profile_new(void)
{
	struct nn_profile *p = calloc(1, sizeof *p);
	if (!p)
		abort();
	p->last_s = now_s();
	return p;
}

void nn_profile_clear(struct nn_profile *p)
{
	if (!p)
		return;
	p->n = 0;
	memset(p->row, 0, sizeof p->row);
	p->last_s = now_s();
}

void nn_profile_free(struct nn_profile *p)
{
	free(p);
}

/* The length of a rule's name without what says that it is one: "matmul_back" is matmul. */
static size_t stem(const char *name)
{
	static const char *const ends[] = {"_backward", "_back"};
	size_t n = strlen(name);
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		size_t m = strlen(ends[i]);
		if (n > m && !strcmp(name + n - m, ends[i]))
			return n - m;
	}
	return n;
}

static struct nn_profile_row *row_of(struct nn_profile *p, const char *name)
{
	size_t n = stem(name);
	for (int i = 0; i < p->n; i++)
		if (!strncmp(p->row[i].name, name, n) && stem(p->row[i].name) == n)
			return &p->row[i];
	if (p->n == MAX_ROW)
		return &p->row[MAX_ROW - 1];
	p->row[p->n].name = name;
	p->row[p->n].n_name = (int)n;
	return &p->row[p->n++];
}

void nn_profile_mark(struct nn_profile *p, const char *name, bool backward)
{
	if (!p)
		return;
	double now = now_s(), passed = now - p->last_s;
	struct nn_profile_row *r = row_of(p, name);
	p->last_s = now;
	if (backward) {
		r->backward_s += passed;
	} else {
		r->forward_s += passed;
		r->n++;
	}
}

static int by_time(const void *a, const void *b)
{
	const struct nn_profile_row *x = a, *y = b;
	double d = y->forward_s + y->backward_s - x->forward_s - x->backward_s;
	return d > 0 ? 1 : d < 0 ? -1 : strcmp(x->name, y->name);
}

int nn_profile_rows(struct nn_profile *p, const struct nn_profile_row **rows)
{
	qsort(p->row, (size_t)p->n, sizeof *p->row, by_time);
	*rows = p->row;
	return p->n;
}
