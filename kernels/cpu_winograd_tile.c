/* cpu_winograd_tile.c - the transforms of F(4 x 4, 3 x 3), one tile or filter at a time, channels side by side. */
#include "cpu_winograd.h"

enum { L = WINO_LANES };

/*
 * Interpolation at 0, +-a, +-b and infinity: with a = 3/4, b = 3/2 rounding errors are a quarter of those at the usual
 * 1 and 2, and the powers are exact. Rows of B^T: the polynomial that vanishes at all other points; of A: powers of the
 * point; of G: powers over f, the product of its distances to the others.
 */
static const real a1 = (real)(3.0 / 4), a2 = (real)(9.0 / 16), a3 = (real)(27.0 / 64);
static const real b1 = (real)(3.0 / 2), b2 = (real)(9.0 / 4), b3 = (real)(27.0 / 8);
static const real a2b2 = (real)(81.0 / 64), sum2 = (real)(45.0 / 16);
static const real f0 = (real)(64.0 / 81), fa = (real)(-128.0 / 243), fb = (real)(32.0 / 243);

/* Written out for the usual numbers of channels. */
#define WIDTHS static inline __attribute__((always_inline))

/*
 * Each transform goes along the columns into a small array and then along the rows. Lanes are independent.
 */
#define LANES K_APART for (int64_t c = 0; c < n; c++)

WIDTHS void wino_input_of(const real *const d[WINO_TAPS], real *v, int64_t stride, int64_t n)
{
	real tmp[WINO_TAPS * L];
	for (int j = 0; j < 6; j++) {
		const real *d0 = d[j], *d1 = d[6 + j], *d2 = d[12 + j], *d3 = d[18 + j], *d4 = d[24 + j],
			   *d5 = d[30 + j];
		real *t = tmp + j * L;
		LANES
		{
			real even_a = d4[c] - b2 * d2[c], odd_a = a1 * (d3[c] - b2 * d1[c]);
			real even_b = d4[c] - a2 * d2[c], odd_b = b1 * (d3[c] - a2 * d1[c]);
			t[c] = a2b2 * d0[c] - sum2 * d2[c] + d4[c];
			t[6 * L + c] = even_a + odd_a;
			t[12 * L + c] = even_a - odd_a;
			t[18 * L + c] = even_b + odd_b;
			t[24 * L + c] = even_b - odd_b;
			t[30 * L + c] = a2b2 * d1[c] - sum2 * d3[c] + d5[c];
		}
	}
	for (int i = 0; i < 6; i++, v += 6 * stride) {
		const real *d0 = tmp + 6 * i * L, *d1 = d0 + L, *d2 = d1 + L, *d3 = d2 + L, *d4 = d3 + L, *d5 = d4 + L;
		LANES
		{
			real even_a = d4[c] - b2 * d2[c], odd_a = a1 * (d3[c] - b2 * d1[c]);
			real even_b = d4[c] - a2 * d2[c], odd_b = b1 * (d3[c] - a2 * d1[c]);
			v[c] = a2b2 * d0[c] - sum2 * d2[c] + d4[c];
			v[stride + c] = even_a + odd_a;
			v[2 * stride + c] = even_a - odd_a;
			v[3 * stride + c] = even_b + odd_b;
			v[4 * stride + c] = even_b - odd_b;
			v[5 * stride + c] = a2b2 * d1[c] - sum2 * d3[c] + d5[c];
		}
	}
}

K_SIMD void wino_input(const real *const d[WINO_TAPS], real *v, int64_t stride, int64_t n)
{
	if (n == 64)
		wino_input_of(d, v, stride, 64);
	else if (n == 32)
		wino_input_of(d, v, stride, 32);
	else if (n == 16)
		wino_input_of(d, v, stride, 16);
	else
		wino_input_of(d, v, stride, n);
}

WIDTHS void wino_output_of(const real *m, int64_t stride, real *out[16], bool add, int64_t n)
{
	real tmp[4 * 6 * L];
	for (int j = 0; j < 6; j++) {
		const real *m0 = m + j * stride, *m1 = m0 + 6 * stride, *m2 = m1 + 6 * stride, *m3 = m2 + 6 * stride,
			   *m4 = m3 + 6 * stride, *m5 = m4 + 6 * stride;
		real *t = tmp + j * L;
		LANES
		{
			real s1 = m1[c] + m2[c], d1 = m1[c] - m2[c], s3 = m3[c] + m4[c], d3 = m3[c] - m4[c];
			t[c] = m0[c] + s1 + s3;
			t[6 * L + c] = a1 * d1 + b1 * d3;
			t[12 * L + c] = a2 * s1 + b2 * s3;
			t[18 * L + c] = a3 * d1 + b3 * d3 + m5[c];
		}
	}
	for (int i = 0; i < 4; i++) {
		const real *m0 = tmp + 6 * i * L, *m1 = m0 + L, *m2 = m1 + L, *m3 = m2 + L, *m4 = m3 + L, *m5 = m4 + L;
		real *y0 = out[4 * i], *y1 = out[4 * i + 1], *y2 = out[4 * i + 2], *y3 = out[4 * i + 3];
		if (add)
			LANES
			{
				real s1 = m1[c] + m2[c], d1 = m1[c] - m2[c], s3 = m3[c] + m4[c], d3 = m3[c] - m4[c];
				y0[c] += m0[c] + s1 + s3;
				y1[c] += a1 * d1 + b1 * d3;
				y2[c] += a2 * s1 + b2 * s3;
				y3[c] += a3 * d1 + b3 * d3 + m5[c];
			}
		else
			LANES
			{
				real s1 = m1[c] + m2[c], d1 = m1[c] - m2[c], s3 = m3[c] + m4[c], d3 = m3[c] - m4[c];
				y0[c] = m0[c] + s1 + s3;
				y1[c] = a1 * d1 + b1 * d3;
				y2[c] = a2 * s1 + b2 * s3;
				y3[c] = a3 * d1 + b3 * d3 + m5[c];
			}
	}
}

K_SIMD void wino_output(const real *m, int64_t stride, real *out[16], bool add, int64_t n)
{
	if (n == 64)
		wino_output_of(m, stride, out, add, 64);
	else if (n == 32)
		wino_output_of(m, stride, out, add, 32);
	else if (n == 16)
		wino_output_of(m, stride, out, add, 16);
	else
		wino_output_of(m, stride, out, add, n);
}

WIDTHS void wino_output_back_of(const real *const g[16], real *v, int64_t stride, int64_t n)
{
	real tmp[6 * 4 * L];
	for (int j = 0; j < 4; j++) {
		const real *g0 = g[j], *g1 = g[4 + j], *g2 = g[8 + j], *g3 = g[12 + j];
		real *t = tmp + j * L;
		LANES
		{
			real even_a = g0[c] + a2 * g2[c], odd_a = a1 * g1[c] + a3 * g3[c];
			real even_b = g0[c] + b2 * g2[c], odd_b = b1 * g1[c] + b3 * g3[c];
			t[c] = g0[c];
			t[4 * L + c] = even_a + odd_a;
			t[8 * L + c] = even_a - odd_a;
			t[12 * L + c] = even_b + odd_b;
			t[16 * L + c] = even_b - odd_b;
			t[20 * L + c] = g3[c];
		}
	}
	for (int i = 0; i < 6; i++, v += 6 * stride) {
		const real *g0 = tmp + 4 * i * L, *g1 = g0 + L, *g2 = g1 + L, *g3 = g2 + L;
		LANES
		{
			real even_a = g0[c] + a2 * g2[c], odd_a = a1 * g1[c] + a3 * g3[c];
			real even_b = g0[c] + b2 * g2[c], odd_b = b1 * g1[c] + b3 * g3[c];
			v[c] = g0[c];
			v[stride + c] = even_a + odd_a;
			v[2 * stride + c] = even_a - odd_a;
			v[3 * stride + c] = even_b + odd_b;
			v[4 * stride + c] = even_b - odd_b;
			v[5 * stride + c] = g3[c];
		}
	}
}

K_SIMD void wino_output_back(const real *const g[16], real *v, int64_t stride, int64_t n)
{
	if (n == 64)
		wino_output_back_of(g, v, stride, 64);
	else if (n == 32)
		wino_output_back_of(g, v, stride, 32);
	else if (n == 16)
		wino_output_back_of(g, v, stride, 16);
	else
		wino_output_back_of(g, v, stride, n);
}

WIDTHS void wino_filter_of(const real *w, real *u, int64_t stride, int64_t n)
{
	real tmp[6 * 3 * L];
	for (int j = 0; j < 3; j++) {
		const real *w0 = w + j * L, *w1 = w0 + 3 * L, *w2 = w1 + 3 * L;
		real *t = tmp + j * L;
		LANES
		{
			real even_a = fa * (w0[c] + a2 * w2[c]), odd_a = fa * a1 * w1[c];
			real even_b = fb * (w0[c] + b2 * w2[c]), odd_b = fb * b1 * w1[c];
			t[c] = f0 * w0[c];
			t[3 * L + c] = even_a + odd_a;
			t[6 * L + c] = even_a - odd_a;
			t[9 * L + c] = even_b + odd_b;
			t[12 * L + c] = even_b - odd_b;
			t[15 * L + c] = w2[c];
		}
	}
	for (int i = 0; i < 6; i++, u += 6 * stride) {
		const real *w0 = tmp + 3 * i * L, *w1 = w0 + L, *w2 = w1 + L;
		LANES
		{
			real even_a = fa * (w0[c] + a2 * w2[c]), odd_a = fa * a1 * w1[c];
			real even_b = fb * (w0[c] + b2 * w2[c]), odd_b = fb * b1 * w1[c];
			u[c] = f0 * w0[c];
			u[stride + c] = even_a + odd_a;
			u[2 * stride + c] = even_a - odd_a;
			u[3 * stride + c] = even_b + odd_b;
			u[4 * stride + c] = even_b - odd_b;
			u[5 * stride + c] = w2[c];
		}
	}
}

K_SIMD void wino_filter(const real *w, real *u, int64_t stride, int64_t n)
{
	if (n == 64)
		wino_filter_of(w, u, stride, 64);
	else if (n == 32)
		wino_filter_of(w, u, stride, 32);
	else if (n == 16)
		wino_filter_of(w, u, stride, 16);
	else
		wino_filter_of(w, u, stride, n);
}

WIDTHS void wino_filter_back_of(const real *u, int64_t stride, real *w, int64_t n)
{
	real tmp[3 * 6 * L];
	for (int j = 0; j < 6; j++) {
		const real *u0 = u + j * stride, *u1 = u0 + 6 * stride, *u2 = u1 + 6 * stride, *u3 = u2 + 6 * stride,
			   *u4 = u3 + 6 * stride, *u5 = u4 + 6 * stride;
		real *t = tmp + j * L;
		LANES
		{
			real sum_a = fa * (u1[c] + u2[c]), sum_b = fb * (u3[c] + u4[c]);
			t[c] = f0 * u0[c] + sum_a + sum_b;
			t[6 * L + c] = fa * a1 * (u1[c] - u2[c]) + fb * b1 * (u3[c] - u4[c]);
			t[12 * L + c] = a2 * sum_a + b2 * sum_b + u5[c];
		}
	}
	for (int i = 0; i < 3; i++) {
		const real *u0 = tmp + 6 * i * L, *u1 = u0 + L, *u2 = u1 + L, *u3 = u2 + L, *u4 = u3 + L, *u5 = u4 + L;
		real *t = w + 3 * i * L;
		LANES
		{
			real sum_a = fa * (u1[c] + u2[c]), sum_b = fb * (u3[c] + u4[c]);
			t[c] = f0 * u0[c] + sum_a + sum_b;
			t[L + c] = fa * a1 * (u1[c] - u2[c]) + fb * b1 * (u3[c] - u4[c]);
			t[2 * L + c] = a2 * sum_a + b2 * sum_b + u5[c];
		}
	}
}

K_SIMD void wino_filter_back(const real *u, int64_t stride, real *w, int64_t n)
{
	if (n == 64)
		wino_filter_back_of(u, stride, w, 64);
	else if (n == 32)
		wino_filter_back_of(u, stride, w, 32);
	else if (n == 16)
		wino_filter_back_of(u, stride, w, 16);
	else
		wino_filter_back_of(u, stride, w, n);
}

K_SIMD void wino_read(const real *scale, const real *shift, const real *d[WINO_TAPS], const real *outside, real *z,
		      int64_t n)
{
	for (int t = 0; t < WINO_TAPS; t++) {
		const real *x = d[t];
		real *out = z + t * L;
		if (x == outside)
			continue;
		LANES
		{
			real v = scale[c] * x[c] + shift[c];
			out[c] = v > 0 ? v : 0;
		}
		d[t] = out;
	}
}
