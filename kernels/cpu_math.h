/*
 * cpu_math.h - layer 2b, private: exp and what is made of it, for loops that compilers can turn into vectors.
 *
 * Polynomials of our own (minimax, by Remez' exchange), without table, branch or call, so that a loop under K_SIMD is
 * vectorised and gives the same bytes on every width: nothing is contracted or reordered. Largest errors over every
 * 401st float (test/test_kernels_math.c holds them to it): k_exp 1.5, log1p 1.9, k_tanh 1.5, k_sigmoid 2.4, k_softplus
 * 2.7 units in the last place. NaN gives NaN. In the build in double all of them are libm's.
 */
#ifndef MOLRILL_CPU_MATH_H
#define MOLRILL_CPU_MATH_H

#include "kernels.h"

#include <math.h>

#define K_INLINE static inline __attribute__((always_inline))

/* e^x, x in [-86.9, 88.722832]; not for NaN, whose lowest bits would change its exponent. Polynomials go by pairs of
 * terms: few operations wait for each other. */
K_INLINE float k_exp_within(float x)
{
	const float shift = 12582912.0F; /* 1.5 * 2^23: what is added rounds, and stands in the lowest bits */
	union {
		float value;
		uint32_t bits;
	} y, t = {.value = x * 1.44269504F + shift};
	float n = t.value - shift;
	float r = (x - n * 0.693359375F) - n * -2.12194440e-4F; /* ln 2 in two parts, the first exact */
	float q = r * r, high = 1.381446705932651e-3F * r + 8.368780411180533e-3F;
	float p = high * q + (4.166839421089387e-2F * r + 1.666652010781959e-1F);
	p = p * r + 4.999999341250156e-1F;
	y.value = (p * q + r) + 1.0F;
	y.bits += t.bits << 23;
	return y.value;
}

/* e^x; 0 below -86.9 (where it is 1.8e-38), infinite above 88.722832, the last float whose value is finite. */
K_INLINE float k_exp_float(float x)
{
	const float low = -86.9F, high = 88.722832F;
	float y = k_exp_within(x < low ? low : x > high ? high : x), beyond = x + HUGE_VALF; /* or NaN */
	y = x < low ? 0.0F : y;
	return x <= high ? y : beyond;
}

/* log(1 + z), 0 <= z <= 1: 2 atanh(z / (2 + z)). */
K_INLINE float k_log1p_float(float z)
{
	float s = z / (2.0F + z), q = s * s;
	float p = (2.4413067814455e-1F * q + 2.139325069716265e-1F) * (q * q) +
		  (2.862072210632050e-1F * q + 3.999869090287691e-1F);
	p = p * q + 6.666667930744002e-1F;
	return s * 2.0F + s * (q * p);
}

K_INLINE float k_tanh_float(float x)
{
	float a = x < 0.0F ? -x : x, q = x * x;
	float p = -6.2388633619509986e-3F;
	p = p * q + 2.1055817562860800e-2F;
	p = p * q + -5.3851652804513030e-2F;
	p = p * q + 1.3332625312224310e-1F;
	p = p * q + -3.3333320825274015e-1F;
	float small = x + x * q * p, e = k_exp_float(-2.0F * a), large = (1.0F - e) / (1.0F + e);
	large = x < 0.0F ? -large : large;
	return a < 0.55F ? small : large;
}

#define K_IS_FLOAT (sizeof(real) == sizeof(float))

K_INLINE real k_exp(real x)
{
	return K_IS_FLOAT ? (real)k_exp_float((float)x) : (real)exp((double)x);
}

K_INLINE real k_sigmoid(real x)
{
	return 1 / (1 + k_exp(-x));
}

/* log(1 + e^x) without overflow */
K_INLINE real k_softplus(real x)
{
	real down = x < 0 ? x : -x, top = x < 0 ? 0 : x; /* NaN is top */
	if (!K_IS_FLOAT)
		return top + (real)log1p(exp((double)down));
	float z = k_exp_within(down < (real)-86.9F ? -86.9F : (float)down);
	return top + (real)k_log1p_float(down < (real)-86.9F ? 0 : z);
}

/* Sums of a row in K_LANES parts that are added in one order: vectors of any width up to that give the same bytes. */
enum { K_LANES = 16 };
K_INLINE double k_lanes_sum(const double *s)
{
	double t[8];
	for (int l = 0; l < 8; l++)
		t[l] = s[l] + s[l + 8];
	return ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));
}

K_INLINE double k_dot(const real *a, const real *b, int64_t d)
{
	double s[K_LANES] = {0};
	int64_t i = 0;
	for (; i + K_LANES <= d; i += K_LANES)
		for (int l = 0; l < K_LANES; l++)
			s[l] += (double)a[i + l] * (double)b[i + l];
	for (; i < d; i++)
		s[i % K_LANES] += (double)a[i] * (double)b[i];
	return k_lanes_sum(s);
}

K_INLINE real k_tanh(real x)
{
	return K_IS_FLOAT ? (real)k_tanh_float((float)x) : (real)tanh((double)x);
}

#endif
