/*
 * bench_nn.h - operations of the learning side that bench_nn times: what they are (bench_nn_ops.c), and one run's
 * state.
 */
#ifndef MOLRILL_BENCH_NN_H
#define MOLRILL_BENCH_NN_H

#include "nn_batch.h"
#include "nn_layer.h"
#include "nn_neighbours.h"
#include "nn_optim.h"

enum mode { FWD, FWD_BWD, FWD_BWD_ADAM };
struct conf {
	bool help, serve, wall, with_hydrogens;
	int mode;
	int64_t size, pixels, reps, warm, n_thread;
	const char *molecules;
};

struct bench {
	struct conf c;
	const struct op *op;
	struct kernels cpu, k; /* k: cpu, with its products counted */
	struct pool *pool;
	struct arena *arena, *step_arena; /* for good; of one step */
	struct nn_params *ps;
	struct nn_model *model; /* of whole steps; ps is then its own */
	struct nn_optim *optim;
	struct nn_tape *tape;
	struct nn_batch b;
	real *img, *seed; /* pictures; the gradient of the output */
	int64_t *idx;
	double *dist;
	uint64_t step;
	struct err e;
};
struct op {
	const char *name, *what;
	bool molecules, forward_only, adam_only;
	double cutoff_ang; /* of pairs of atoms; 0: it has none */
	void (*build)(struct bench *b);
	struct nn_var *(*forward)(struct bench *b); /* NULL: nothing to differentiate */
};
extern const struct op bench_ops[]; /* ended by {0} */

/* Reads the first molecules of the stream that have a conformer into b->b. */
void bench_read(struct bench *b);
/* Says what failed, and ends the program; e may be NULL. */
void bench_die(const char *what, const struct err *e) __attribute__((noreturn));

#endif
