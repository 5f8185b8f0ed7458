/* ref_near.c - the reference: nearest rows by every distance. */
#include "kernels.h"

#include <math.h>

#define LOOP(i, n) for (int64_t i = 0; i < (n); i++)

static double key_of(const real *a, const real *b, int64_t d, bool cosine)
{
	double square = 0, aa = 0, bb = 0, ab = 0;
	LOOP (c, d) {
		square += ((double)a[c] - (double)b[c]) * ((double)a[c] - (double)b[c]);
		aa += (double)a[c] * (double)a[c];
		bb += (double)b[c] * (double)b[c];
		ab += (double)a[c] * (double)b[c];
	}
	return cosine ? 1 - ab / (fmax(sqrt(aa), 1e-12) * fmax(sqrt(bb), 1e-12)) : square;
}
/* Selection: the least of those after the one before, by (key, index). */
static void nearest(const struct kernels *k, const real *x, int64_t n, int64_t d, bool cosine, int64_t kk, int64_t *idx,
		    double *key, double *mean)
{
	LOOP (i, n) {
		double sum = 0, last = -INFINITY;
		int64_t before = -1;
		LOOP (j, n)
			if (j != i)
				sum += cosine ? key_of(x + i * d, x + j * d, d, true)
					      : sqrt(key_of(x + i * d, x + j * d, d, false));
		if (mean)
			mean[i] = sum / (double)n;
		LOOP (r, kk) {
			int64_t best = -1;
			double least = INFINITY;
			LOOP (j, n) {
				double q = key_of(x + i * d, x + j * d, d, cosine);
				if (j == i || q < last || (q == last && j <= before))
					continue;
				if (best < 0 || q < least) {
					best = j;
					least = q;
				}
			}
			idx[i * kk + r] = before = best;
			key[i * kk + r] = last = least;
		}
	}
}

void kernels_ref_near(struct kernels *k)
{
	k->nearest = nearest;
}
