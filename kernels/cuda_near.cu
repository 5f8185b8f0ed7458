/* cuda_near.cu - nearest rows on the device: every key in double, a chunk of rows at a time, then the smallest. */
#include "cuda.cuh"

enum { MAX_KEYS = 1 << 22 }; /* held at once: 32 MB */

struct near {
	int64_t n, d, kk, cosine;
	const real *x;
	const double *norm; /* [n], for cosine */
};

/* Length of each row, at least 1e-12. */
static __global__ void length_row(const real *x, double *norm, int64_t n, int64_t d)
{
	int64_t i = cuda_row();
	double sum = 0;
	if (i >= n)
		return;
	for (int64_t c = cuda_lane(); c < d; c += CUDA_WARP)
		sum += (double)x[i * d + c] * (double)x[i * d + c];
	double length = sqrt(cuda_warp_sum(sum));
	if (cuda_lane() == 0)
		norm[i] = length > 1e-12 ? length : 1e-12;
}

/* key[row - from, other]; what is no number is farther than all else. */
static __global__ void key_each(struct near s, int64_t from, int64_t n_row, double *key)
{
	int64_t at = cuda_index(), i = from + at / s.n, o = at % s.n;
	double sum = 0;
	if (at >= n_row * s.n)
		return;
	for (int64_t c = 0; c < s.d; c++) {
		double a = (double)s.x[i * s.d + c], b = (double)s.x[o * s.d + c];
		sum += s.cosine ? a * b : (a - b) * (a - b);
	}
	if (s.cosine)
		sum = 1 - sum / (s.norm[i] * s.norm[o]);
	key[at] = sum == sum ? sum : HUGE_VAL;
}

/* The kk smallest others of a row by (key, index), as they come; the mean over all, itself as 0. */
static __global__ void select_each(struct near s, int64_t from, int64_t n_row, const double *key, int64_t *idx,
				   double *best, double *mean)
{
	int64_t r = cuda_index(), have = 0;
	double sum = 0;
	if (r >= n_row)
		return;
	idx += r * s.kk;
	best += r * s.kk;
	key += r * s.n;
	for (int64_t o = 0; o < s.n; o++) {
		if (o == from + r)
			continue;
		sum += s.cosine ? key[o] : sqrt(key[o]);
		if (have == s.kk && !(have && key[o] < best[have - 1]))
			continue;
		int64_t p = have < s.kk ? have++ : have - 1;
		for (; p > 0 && key[o] < best[p - 1]; p--) { /* equal keys stay in the order of their indices */
			best[p] = best[p - 1];
			idx[p] = idx[p - 1];
		}
		best[p] = key[o];
		idx[p] = o;
	}
	mean[r] = sum / (double)s.n;
}

static void nearest(const struct kernels *, const real *x, int64_t n, int64_t d, bool cosine, int64_t kk, int64_t *idx,
		    double *key, double *mean)
{
	int64_t rows = n > 0 && n < MAX_KEYS ? MAX_KEYS / n : 1;
	rows = rows < n ? rows : n;
	/* Numbers first, then integers, then x. */
	size_t n_number = (size_t)(n + rows * (n + kk + 1)), n_index = (size_t)(rows * kk);
	double *norm = (double *)cuda_scratch(CUDA_SLOT_HYPER,
					      (n_number + n_index) * sizeof(double) + (size_t)(n * d) * sizeof(real));
	double *all = norm + n, *best = all + rows * n, *sum = best + rows * kk;
	int64_t *who = (int64_t *)(sum + rows);
	real *dev_x = (real *)(who + rows * kk);
	struct near s;
	s.n = n;
	s.d = d;
	s.kk = kk;
	s.cosine = cosine;
	s.x = dev_x;
	s.norm = norm;
	cuda_upload(dev_x, x, (size_t)(n * d) * sizeof *x);
	CUDA_EACH_ROW(length_row, n, (const real *)dev_x, norm, n, d);
	for (int64_t from = 0; from < n; from += rows) {
		int64_t n_row = from + rows < n ? rows : n - from;
		CUDA_EACH(key_each, n_row * n, s, from, n_row, all);
		CUDA_EACH(select_each, n_row, s, from, n_row, (const double *)all, who, best, sum);
		cuda_download(idx + from * kk, who, (size_t)(n_row * kk) * sizeof *idx);
		cuda_download(key + from * kk, best, (size_t)(n_row * kk) * sizeof *key);
		if (mean)
			cuda_download(mean + from, sum, (size_t)n_row * sizeof *mean);
	}
}

void cuda_near(struct kernels *k)
{
	k->nearest = nearest;
}
