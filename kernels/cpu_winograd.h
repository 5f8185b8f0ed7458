/*
 * cpu_winograd.h - layer 2b, private: the transforms of F(4 x 4, 3 x 3) (Lavin and Gray, CVPR 2016), slices of channels
 * side by side.
 *
 * A tile is 4 x 4 pixels of the output; it reads 6 x 6 of the input. Transformed, tile, filter and output are 36 taps
 * of which each is a product of its own. `stride` is the distance from tap to tap, n <= WINO_LANES the channels.
 */
#ifndef MOLRILL_CPU_WINOGRAD_H
#define MOLRILL_CPU_WINOGRAD_H

#include "cpu.h"

enum { WINO_TAPS = 36, WINO_LANES = 64 };

/* v = B^T d B of 36 pixels d. */
void wino_input(const real *const d[WINO_TAPS], real *v, int64_t stride, int64_t n);
/* d[i] = relu(scale d[i] + shift) in z [WINO_TAPS, WINO_LANES], but for those that are `outside`. */
void wino_read(const real *scale, const real *shift, const real *d[WINO_TAPS], const real *outside, real *z, int64_t n);
/* 16 pixels A^T m A: out[i] is where pixel i goes. */
void wino_output(const real *m, int64_t stride, real *out[16], bool add, int64_t n);
/* v = A g A^T of 16 pixels g: the transpose of wino_output. */
void wino_output_back(const real *const g[16], real *v, int64_t stride, int64_t n);
/* u = G w G^T of 9 taps of filters [9, WINO_LANES]. */
void wino_filter(const real *w, real *u, int64_t stride, int64_t n);
/* w [9, WINO_LANES] = G^T u G: the transpose of wino_filter. */
void wino_filter_back(const real *u, int64_t stride, real *w, int64_t n);

#endif
