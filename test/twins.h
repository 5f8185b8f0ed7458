/*
 * twins.h - twins of a table's operations, which test/twins.awk writes from kernels.h: wrong ones, one for each output,
 * that a test of operations has to catch; and fenced ones, which alone may touch the table's memory (fence.c).
 */
#ifndef MOLRILL_TWINS_H
#define MOLRILL_TWINS_H

#include "kernels.h"

#include <string.h>

struct twin {
	const char *op, *output;
	size_t at; /* where the operation stands in the table */
	void (*fn)(void);
};
extern const struct twin twin_mutants[], twin_fences[];
extern const int twin_n_mutant, twin_n_fence;
extern const struct kernels *twin_right; /* the table whose operations the twins call */
extern bool twin_called;                 /* set by each mutant */

/* The operation of k that t stands for becomes its twin. */
static inline void twin_put(struct kernels *k, const struct twin *t)
{
	memcpy((char *)k + t->at, &t->fn, sizeof t->fn);
}

/* What mutants do to the first entry of an output (NULL: nothing): a thousandth of it and a thousandth. */
static inline void twin_change_real(real *x)
{
	if (x)
		*x += (real)0.001 * (1 + *x);
}
static inline void twin_change_double(double *x)
{
	if (x)
		*x += 0.001 * (1 + *x);
}
static inline void twin_change_index(int64_t *x)
{
	if (x)
		*x ^= 1;
}
static inline void twin_change_byte(uint8_t *x)
{
	if (x)
		*x ^= 1;
}

/*
 * The CPU's table over memory that faults outside its operations: code that reaches for it by itself ends the process
 * with a message, and so does an operation that gets a pointer elsewhere than to that memory (fence.c). One at a time.
 */
int fence_table(struct kernels *k, bool plain, struct err *e);
void fence_demand(const char *op, const void *p);
void fence_open(void);
void fence_close(void);

#endif
