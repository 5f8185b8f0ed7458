/*
 * golden.h - a case of the arithmetic's oracle: a file with inputs, parameters, outputs and gradients in float64.
 *
 * A case's function runs the code that training uses: it takes inputs and parameters by name, gives its outputs by
 * name, and asks for the backward pass. The runner compares, prints one TAP line, and fails a file in which an output
 * or a gradient was never compared.
 */
#ifndef MOLRILL_GOLDEN_H
#define MOLRILL_GOLDEN_H

#include "nn.h"

struct golden; /* one file being run */

/* Tolerance classes of the oracle: largest |difference| / largest |entry|. */
enum golden_class { GOLDEN_OP, GOLDEN_NET, GOLDEN_DEEP, GOLDEN_DEGENERATE };
struct golden_case {
	const char *name; /* of the case; a trailing '*' matches any ending */
	enum golden_class tolerance;
	void (*run)(struct golden *g);
};
/* Tables, each ended by {0}: golden_net.c (layers and encoders), golden_loss.c, golden_model.c. */
extern const struct golden_case golden_net[], golden_loss[], golden_model[];

const char *golden_name(const struct golden *g);
struct nn_tape *golden_tape(struct golden *g);
struct nn_params *golden_params(struct golden *g); /* all of the file, running statistics as state */
struct arena *golden_arena(struct golden *g);

bool golden_has(const struct golden *g, const char *input); /* an input of that name */
/* Input as a matrix [shape[0], rest] with gradient (compared with the file's where it has one). */
struct nn_var *golden_input(struct golden *g, const char *name);
/* Inputs as plain arrays (real; int64 from any integer; float with NaN kept); *n entries. Shape: golden_shape. */
const real *golden_reals(struct golden *g, const char *name, int64_t *n);
const int64_t *golden_ints(struct golden *g, const char *name, int64_t *n);
const float *golden_floats(struct golden *g, const char *name, int64_t *n);
const uint8_t *golden_bytes(struct golden *g, const char *name, int64_t *n);
int64_t golden_shape(const struct golden *g, const char *name, int axis); /* of an input */
/* Configuration values; a missing one fails the case and gives 0. */
double golden_number(struct golden *g, const char *key);
const char *golden_string(struct golden *g, const char *key);
bool golden_flag(struct golden *g, const char *key);
void golden_list(struct golden *g, const char *key, int *out, int n); /* n integers */

/* Compares an output. Angles: modulo 2 pi, absolute. Integers: equal. Values in an order of the caller's making. */
void golden_output(struct golden *g, const char *name, const struct nn_var *y);
void golden_output_doubles(struct golden *g, const char *name, const double *y, int64_t n);
void golden_output_reals(struct golden *g, const char *name, const real *y, int64_t n);
void golden_output_ints(struct golden *g, const char *name, const int64_t *y, int64_t n);
void golden_output_angles(struct golden *g, const char *name, const real *y, int64_t n);
/* The file's own numbers, of an output and of a gradient; *n: 0 where it has none. */
const double *golden_expected(struct golden *g, const char *name, int64_t *n);
const double *golden_expected_gradient(struct golden *g, const char *name, int64_t *n);
/* An output, or all whose names start with prefix, that this case does not compare in this precision; say why. */
void golden_waive(struct golden *g, const char *prefix, const char *why);
/* Backward from a loss, or from y with the input g_NAME as upstream gradient. Then compares the gradients of all
 * inputs taken by golden_input and of all parameters. */
void golden_backward_loss(struct golden *g, struct nn_var *loss);
void golden_backward_from(struct golden *g, const char *name, struct nn_var *y);
void golden_backward_seeded(struct golden *g); /* the caller has seeded the gradients upstream by nn_seed_grad */
/* A gradient of a differentiable input that was not taken by golden_input. */
void golden_gradient(struct golden *g, const char *name, const real *value, int64_t n);
void golden_gradients_compared(struct golden *g); /* the caller has compared them all by golden_gradient */
void golden_fail(struct golden *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Compares running statistics of all BatchNorms with outputs of their names (prefix before the name in the output). */
void golden_running(struct golden *g, const char *prefix);

#endif
