/*
 * cpu_tile.h - layer 2b, private: what products of floats are made of on processors with AVX-512: tiles of C whose sums
 * stay in registers, and panels of B that they read.
 */
#ifndef MOLRILL_CPU_TILE_H
#define MOLRILL_CPU_TILE_H

#include "cpu.h"

enum {
	TILE_ROWS = 14,    /* at most */
	TILE_COLUMNS = 32, /* at most; of a panel */
	TILE_LANES = 16,   /* of a register, and floats of a line of the cache */
};

/* C [rows, n] = A B, or C + A B. Steps in floats; b's columns lie side by side, and all TILE_COLUMNS may be read where
 * n > TILE_LANES. */
struct cpu_tile {
	const float *a, *b;
	int64_t a_row, a_inner, b_inner, inner;
	float *c;
	int64_t ldc, n;
	bool add;
	/* What is called near meanwhile: a line for each inner index, ahead_step bytes apart. In bursts, lines that are
	 * far are waited for. */
	const char *ahead;
	int64_t ahead_step;
};

/* Whether this processor has what is needed; the others may be called only then. */
bool cpu_tile_works(void);
void cpu_tile(const struct cpu_tile *t, int rows);

/* B [inner, n], or [n, inner] where turned. */
struct cpu_panels {
	const float *b;
	int64_t ldb, inner, n;
	bool turned;
};
/*
 * Inner indices [from, to) of columns [j0, j1) into packed, panels of [inner, TILE_COLUMNS]; what is beyond n is 0. j0:
 * a multiple of TILE_COLUMNS; from: one of TILE_LANES.
 */
void cpu_pack(const struct cpu_panels *p, float *packed, int64_t from, int64_t to, int64_t j0, int64_t j1);

/* y [n, n_row], or y plus it: x [n_row, n] transposed. y may not alias x. */
void cpu_turn(const float *x, int64_t ldx, int64_t n_row, int64_t n, bool add, float *y, int64_t ldy);

#endif
