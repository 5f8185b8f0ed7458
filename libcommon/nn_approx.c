/* nn_approx.c - approximate neighbours: rows in a file, lists by k-means, exact distances within near lists. */
#include "nn_approx.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	LIST_SAMPLE = 64, /* rows a list that decide its centre */
	ROUNDS = 8,       /* of k-means */
	PROBES = 32,      /* lists that are looked at, the own one included */
	PROBES_BITS = 64, /* of fingerprints, which divide less well */
	N_MEAN = 1024,    /* rows to which a mean distance is taken */
	CHUNK = 1024,     /* rows that are prepared at once */
	SPARE = 6,        /* candidates beyond those asked for: products in float choose, distances in double decide */
	SKETCH = 256,     /* numbers that stand for a fingerprint where lists are made */
	LANES = 8,
};

struct nn_approx {
	const struct kernels *k;
	enum nn_distance metric;
	int64_t n, d, width; /* width: numbers of a row where lists are made */
	float largest;       /* number of the rows, without sign; of l2 alone */
	double unit;         /* of l2: a power of two by which it is near 1, so that squares are within float's range */
	size_t nbytes_row;
	struct buf waiting; /* rows not yet in the file */
	int fd;
	void *rows;   /* the file, mapped */
	int8_t *sign; /* [8 d, SKETCH] +1 or -1: random projection of bits */
	int64_t n_list;
	real *centre, *half;     /* [n_list, width]; half their squared lengths */
	int64_t *start, *member; /* rows of a list, ascending */
};

int64_t nn_approx_nbytes(void)
{
	return 2 * (int64_t)sizeof(int64_t); /* a row's list, its place there */
}

int nn_approx_new(struct nn_approx **out, const struct kernels *k, enum nn_distance metric, int64_t d, struct err *e)
{
	struct nn_approx *a = calloc(1, sizeof *a);
	bool bits = metric == NN_TANIMOTO;
	*out = NULL;
	if (!a)
		return err_set(e, ERR_MEMORY, "no memory for lists of vectors");
	*a = (struct nn_approx){.k = k, .metric = metric, .d = d, .width = bits ? SKETCH : d};
	a->nbytes_row = (size_t)d * (bits ? 1 : sizeof(float));
	a->fd = io_temp_open(e);
	if (a->fd < 0) {
		int rc = a->fd;
		free(a);
		return rc;
	}
	if (bits) {
		struct rng r;
		rng_init(&r, 1, 0x736b);
		a->sign = malloc((size_t)(8 * d * SKETCH) + 1);
		if (!a->sign)
			abort();
		for (int64_t i = 0; i < 8 * d * SKETCH; i++)
			a->sign[i] = rng_u32(&r) & 1 ? 1 : -1;
	}
	*out = a;
	return 0;
}

void nn_approx_free(struct nn_approx *a)
{
	if (!a)
		return;
	if (a->rows)
		munmap(a->rows, (size_t)a->n * a->nbytes_row);
	close(a->fd);
	buf_free(&a->waiting);
	free(a->sign);
	free(a->centre);
	free(a->half);
	free(a->start);
	free(a->member);
	free(a);
}

static int waiting_write(struct nn_approx *a, struct err *e)
{
	int rc = io_write_all(a->fd, a->waiting.data, a->waiting.n, e);
	a->waiting.n = 0;
	return rc;
}

int nn_approx_add(struct nn_approx *a, const void *x, int64_t n, struct err *e)
{
	const float *number = x;
	for (int64_t i = 0; i < n * a->d && a->metric == NN_L2; i++)
		a->largest = fmaxf(a->largest, fabsf(number[i]));
	buf_put(&a->waiting, x, (size_t)n * a->nbytes_row);
	a->n += n;
	return a->waiting.n > 1 << 20 ? waiting_write(a, e) : 0;
}

static void *array(int64_t n, size_t nbytes)
{
	void *p = calloc((size_t)n + 1, nbytes);
	if (!p)
		abort(); /* as the arena does */
	return p;
}

/* ---- rows as numbers ------------------------------------------- */

static const void *row_at(const struct nn_approx *a, int64_t i)
{
	return (const char *)a->rows + (size_t)i * a->nbytes_row;
}

static double squared(const float *x, const float *y, int64_t d, bool distance)
{
	double s[LANES] = {0};
	int64_t i = 0;
	for (; i + LANES <= d; i += LANES)
		for (int l = 0; l < LANES; l++) {
			double u = (double)x[i + l], v = (double)y[i + l];
			s[l] += distance ? (u - v) * (u - v) : u * v;
		}
	for (; i < d; i++) {
		double u = (double)x[i], v = (double)y[i];
		s[0] += distance ? (u - v) * (u - v) : u * v;
	}
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* Sketches of fingerprints: scaled by their lengths, near by distance where the bits' cosine is large. */
static void sketch(const struct nn_approx *a, const uint8_t *bits, real *y)
{
	int32_t sum[SKETCH] = {0}, n_set = 0;
	for (int64_t b = 0; b < 8 * a->d; b++)
		if (bits[b / 8] >> b % 8 & 1) {
			const int8_t *sign = a->sign + b * SKETCH;
			for (int c = 0; c < SKETCH; c++)
				sum[c] += sign[c];
			n_set++;
		}
	float scale = n_set ? 1 / sqrtf((float)n_set) : 0;
	for (int c = 0; c < SKETCH; c++)
		y[c] = (real)sum[c] * scale;
}

static void prepare(const struct nn_approx *a, int64_t i, real *y)
{
	const float *x = row_at(a, i);
	double unit = a->unit;
	if (a->metric == NN_TANIMOTO) {
		sketch(a, row_at(a, i), y);
		return;
	}
	if (a->metric == NN_COSINE)
		unit = fmax(sqrt(squared(x, x, a->d, false)), 1e-12);
	for (int64_t c = 0; c < a->d; c++)
		y[c] = (real)((double)x[c] / unit);
}

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* ---- lists ------------------------------------------------------------------- */

/* score = x . centre - half, more where nearer; the first of equals. */
UTIL_O3 UTIL_CLONES("default", "arch=x86-64-v3", "arch=x86-64-v4") static int64_t
    best_of(const real *score, const real *half, int64_t n)
{
	int64_t best = 0;
	for (int64_t l = 1; l < n; l++)
		if (score[l] - half[l] > score[best] - half[best])
			best = l;
	return best;
}

static void centres_measure(struct nn_approx *a)
{
	for (int64_t l = 0; l < a->n_list; l++) {
		double square = 0;
		for (int64_t c = 0; c < a->width; c++)
			square += (double)a->centre[l * a->width + c] * (double)a->centre[l * a->width + c];
		a->half[l] = (real)(square / 2);
	}
}

/* List of each of n rows x. score [CHUNK, n_list]. */
static void lists_assign(const struct nn_approx *a, const real *x, int64_t n, real *score, int64_t *list)
{
	int64_t m = a->n_list, w = a->width;
	a->k->gemm(a->k, false, true, n, m, w, 1, x, w, a->centre, w, 0, score, m);
	for (int64_t i = 0; i < n; i++)
		list[i] = best_of(score + i * m, a->half, m);
}

/* Lloyd's rounds over evenly spaced rows, from evenly spaced ones; a list that loses its rows keeps its centre. */
static void centres_learn(struct nn_approx *a, real *x, real *score, int64_t *list)
{
	int64_t n = smaller(a->n, a->n_list * LIST_SAMPLE), w = a->width;
	double *sum = array(a->n_list * w, sizeof *sum);
	int64_t *count = array(a->n_list, sizeof *count);
	for (int64_t l = 0; l < a->n_list; l++)
		prepare(a, l * a->n / a->n_list, a->centre + l * w);
	for (int round = 0; round < ROUNDS && !io_stop_signal(); round++) {
		centres_measure(a);
		memset(sum, 0, (size_t)(a->n_list * w) * sizeof *sum);
		memset(count, 0, (size_t)a->n_list * sizeof *count);
		for (int64_t from = 0; from < n; from += CHUNK) {
			int64_t m = smaller(CHUNK, n - from);
			for (int64_t i = 0; i < m; i++)
				prepare(a, (from + i) * a->n / n, x + i * w);
			lists_assign(a, x, m, score, list);
			for (int64_t i = 0; i < m; i++) {
				count[list[i]]++;
				for (int64_t c = 0; c < w; c++)
					sum[list[i] * w + c] += (double)x[i * w + c];
			}
		}
		for (int64_t l = 0; l < a->n_list; l++)
			for (int64_t c = 0; c < w && count[l]; c++)
				a->centre[l * w + c] = (real)(sum[l * w + c] / (double)count[l]);
	}
	centres_measure(a);
	free(sum);
	free(count);
}

static void lists_fill(struct nn_approx *a, real *x, real *score, int64_t *list)
{
	int64_t *of = array(a->n, sizeof *of);
	for (int64_t from = 0; from < a->n && !io_stop_signal(); from += CHUNK) {
		int64_t m = smaller(CHUNK, a->n - from);
		for (int64_t i = 0; i < m; i++)
			prepare(a, from + i, x + i * a->width);
		lists_assign(a, x, m, score, list);
		memcpy(of + from, list, (size_t)m * sizeof *of);
	}
	for (int64_t i = 0; i < a->n; i++)
		a->start[of[i] + 2]++;
	for (int64_t l = 0; l < a->n_list; l++)
		a->start[l + 2] += a->start[l + 1];
	for (int64_t i = 0; i < a->n; i++)
		a->member[a->start[of[i] + 1]++] = i;
	free(of);
}

static int lists_build(struct nn_approx *a, struct err *e)
{
	int rc = waiting_write(a, e);
	if (rc)
		return rc;
	a->rows = mmap(NULL, (size_t)a->n * a->nbytes_row, PROT_READ, MAP_PRIVATE, a->fd, 0);
	if (a->rows == MAP_FAILED) {
		a->rows = NULL;
		return err_set(e, ERR_IO, "cannot map the vectors: %s", strerror(errno));
	}
	a->unit = ldexp(1, ilogbf(a->largest > 0 ? a->largest : 1));
	a->n_list = (int64_t)(2 * sqrt((double)a->n));
	a->centre = array(a->n_list * a->width, sizeof *a->centre);
	a->half = array(a->n_list, sizeof *a->half);
	a->start = array(a->n_list + 2, sizeof *a->start);
	a->member = array(a->n, sizeof *a->member);
	real *x = array(CHUNK * a->width, sizeof *x), *score = array(CHUNK * a->n_list, sizeof *score);
	int64_t *list = array(CHUNK, sizeof *list);
	centres_learn(a, x, score, list);
	lists_fill(a, x, score, list);
	free(x);
	free(score);
	free(list);
	return 0;
}

/* ---- search ------------------------------------------------------------------ */

static double distance(const struct nn_approx *a, int64_t i, int64_t j)
{
	const float *x = row_at(a, i), *y = row_at(a, j);
	if (a->metric == NN_L2)
		return sqrt(squared(x, y, a->d, true));
	if (a->metric == NN_COSINE)
		return 1 - squared(x, y, a->d, false) / (fmax(sqrt(squared(x, x, a->d, false)), 1e-12) *
							 fmax(sqrt(squared(y, y, a->d, false)), 1e-12));
	const uint8_t *p = row_at(a, i), *q = row_at(a, j);
	double both = (double)nn_bits_shared(p, q, a->d);
	double any = (double)(nn_bits_shared(p, p, a->d) + nn_bits_shared(q, q, a->d)) - both;
	return any > 0 ? 1 - both / any : 0;
}

/* Puts (r, at) among the `have` sorted entries after the first of at most k. */
static int64_t insert(double *dist, int64_t *idx, int64_t have, int64_t k, double r, int64_t at)
{
	int64_t p = have < k ? have : k - 1;
	if (k < 2 || (have == k && (r > dist[p] || (r == dist[p] && at > idx[p]))))
		return have;
	for (; p > 1 && (r < dist[p - 1] || (r == dist[p - 1] && at < idx[p - 1])); p--) {
		dist[p] = dist[p - 1];
		idx[p] = idx[p - 1];
	}
	dist[p] = r;
	idx[p] = at;
	return have < k ? have + 1 : k;
}

/* Rows seen from one list, and room for what they are compared by. */
struct meeting {
	int64_t n_seen, n_keep;
	int64_t *seen, *probe; /* rows of the lists probed */
	double *key;           /* [PROBES_BITS] */
	real *x, *y, *half;    /* OWN rows, CHUNK seen rows, half their squared lengths */
	real *score;           /* [OWN, CHUNK] */
	real *best;            /* [OWN, n_keep] descending */
	int64_t *who;          /* [OWN, n_keep] */
	uint8_t *bits;         /* [n_seen, d] */
	double *count;         /* [n_seen]: bits set */
};
enum { OWN = 256, GROUP = 64 };

static void meeting_set(const struct nn_approx *a, int64_t list, struct meeting *m)
{
	int64_t n_probe = smaller(a->metric == NN_TANIMOTO ? PROBES_BITS : PROBES, a->n_list), have = 1;
	m->probe[0] = list;
	for (int64_t l = 0; l < a->n_list; l++) {
		double square = 0;
		for (int64_t c = 0; c < a->width; c++) {
			double v = (double)a->centre[list * a->width + c] - (double)a->centre[l * a->width + c];
			square += v * v;
		}
		if (l != list)
			have = insert(m->key, m->probe, have, n_probe, square, l);
	}
	m->n_seen = 0;
	for (int64_t p = 0; p < n_probe; p++)
		m->n_seen += a->start[m->probe[p] + 1] - a->start[m->probe[p]];
	m->seen = realloc(m->seen, (size_t)(m->n_seen + 1) * sizeof *m->seen);
	if (!m->seen)
		abort();
	int64_t at = 0;
	for (int64_t p = 0; p < n_probe; p++)
		for (int64_t i = a->start[m->probe[p]]; i < a->start[m->probe[p] + 1]; i++)
			m->seen[at++] = a->member[i];
}

UTIL_O3 UTIL_CLONES("default", "arch=x86-64-v3", "arch=x86-64-v4") static bool group_passes(const real *score,
											    const real *half, real bar)
{
	int any = 0;
	for (int l = 0; l < GROUP; l++)
		any |= score[l] - half[l] > bar;
	return any;
}

static void best_keep(struct meeting *m, int64_t own, int64_t other, real s)
{
	real *best = m->best + own * m->n_keep;
	int64_t *who = m->who + own * m->n_keep, p = m->n_keep - 1;
	for (; p > 0 && s > best[p - 1]; p--) {
		best[p] = best[p - 1];
		who[p] = who[p - 1];
	}
	best[p] = s;
	who[p] = other;
}

/* n rows own[] against all that are seen. */
static void own_compare(const struct nn_approx *a, struct meeting *m, const int64_t *own, int64_t n)
{
	int64_t w = a->width;
	for (int64_t i = 0; i < n; i++)
		prepare(a, own[i], m->x + i * w);
	for (int64_t i = 0; i < n * m->n_keep; i++) {
		m->best[i] = -(real)HUGE_VALF;
		m->who[i] = -1;
	}
	for (int64_t from = 0; from < m->n_seen; from += CHUNK) {
		int64_t n_seen = smaller(CHUNK, m->n_seen - from);
		for (int64_t j = 0; j < CHUNK; j++)
			m->half[j] = (real)HUGE_VALF;
		for (int64_t j = 0; j < n_seen; j++) {
			real *y = m->y + j * w;
			double square = 0;
			prepare(a, m->seen[from + j], y);
			for (int64_t c = 0; c < w; c++)
				square += (double)y[c] * (double)y[c];
			m->half[j] = (real)(square / 2);
		}
		a->k->gemm(a->k, false, true, n, n_seen, w, 1, m->x, w, m->y, w, 0, m->score, CHUNK);
		for (int64_t i = 0; i < n; i++)
			for (int64_t g = 0; g < n_seen; g += GROUP) {
				const real *score = m->score + i * CHUNK, *bar = m->best + (i + 1) * m->n_keep - 1;
				if (!group_passes(score + g, m->half + g, *bar))
					continue;
				for (int64_t j = g; j < g + GROUP && j < n_seen; j++)
					if (score[j] - m->half[j] > *bar && m->seen[from + j] != own[i])
						best_keep(m, i, m->seen[from + j], score[j] - m->half[j]);
			}
	}
}

/* The rows of a list by vectors: products choose, distances decide. */
static void list_vectors(const struct nn_approx *a, struct meeting *m, int64_t list, int64_t k, int64_t *idx,
			 double *dist, int64_t *have)
{
	const int64_t *own = a->member + a->start[list];
	int64_t n = a->start[list + 1] - a->start[list];
	for (int64_t at = 0; at < n; at += OWN) {
		int64_t n_own = smaller(OWN, n - at);
		own_compare(a, m, own + at, n_own);
		for (int64_t i = 0; i < n_own; i++)
			for (int64_t c = 0; c < m->n_keep; c++) {
				int64_t row = own[at + i], other = m->who[i * m->n_keep + c];
				if (other >= 0)
					have[row] = insert(dist + row * k, idx + row * k, have[row], k,
							   distance(a, row, other), other);
			}
	}
}

/* The rows of a list by fingerprints: every one that is seen. */
static void list_bits(const struct nn_approx *a, struct meeting *m, int64_t list, int64_t k, int64_t *idx, double *dist,
		      int64_t *have)
{
	m->bits = realloc(m->bits, (size_t)(m->n_seen * a->d) + 1);
	m->count = realloc(m->count, (size_t)(m->n_seen + 1) * sizeof *m->count);
	if (!m->bits || !m->count)
		abort();
	for (int64_t j = 0; j < m->n_seen; j++) {
		uint8_t *q = m->bits + j * a->d;
		memcpy(q, row_at(a, m->seen[j]), (size_t)a->d);
		m->count[j] = (double)nn_bits_shared(q, q, a->d);
	}
	for (int64_t i = a->start[list]; i < a->start[list + 1]; i++) {
		int64_t row = a->member[i];
		const uint8_t *p = row_at(a, row);
		double own = (double)nn_bits_shared(p, p, a->d), *far = dist + row * k + k - 1;
		for (int64_t j = 0; j < m->n_seen; j++) {
			double low = fmin(own, m->count[j]), high = fmax(own, m->count[j]);
			if (m->seen[j] == row || k < 2 || (have[row] == k && high > 0 && 1 - low / high > *far))
				continue;
			double both = (double)nn_bits_shared(p, m->bits + j * a->d, a->d), any = low + high - both;
			have[row] = insert(dist + row * k, idx + row * k, have[row], k, any > 0 ? 1 - both / any : 0,
					   m->seen[j]);
		}
	}
}

static double mean_distance(const struct nn_approx *a, int64_t i)
{
	int64_t n = smaller(a->n, N_MEAN);
	double sum = 0;
	for (int64_t s = 0; s < n; s++)
		sum +=
		    s * a->n / n == i ? 0 : distance(a, i, s * a->n / n); /* a row of zeros is orthogonal to itself */
	return sum / (double)n;
}

int nn_approx_search(struct nn_approx *a, int64_t k, int64_t *idx, double *dist, double *mean, struct err *e)
{
	if (!a->n || !a->nbytes_row)
		return 0;
	int rc = lists_build(a, e);
	if (rc)
		return rc;
	int64_t *have = array(a->n, sizeof *have), n_keep = k + SPARE, w = a->width;
	struct meeting m = {.n_keep = n_keep,
			    .probe = array(PROBES_BITS, sizeof *m.probe),
			    .key = array(PROBES_BITS, sizeof *m.key),
			    .x = array(OWN * w, sizeof *m.x),
			    .y = array(CHUNK * w, sizeof *m.y),
			    .half = array(CHUNK, sizeof *m.half),
			    .score = array(OWN * CHUNK, sizeof *m.score),
			    .best = array(OWN * n_keep, sizeof *m.best),
			    .who = array(OWN * n_keep, sizeof *m.who)};
	for (int64_t i = 0; i < a->n; i++) {
		for (int64_t c = 0; c < k; c++) {
			idx[i * k + c] = c ? -1 : i;
			dist[i * k + c] = 0;
		}
		have[i] = 1;
	}
	for (int64_t l = 0; l < a->n_list && !io_stop_signal(); l++) {
		meeting_set(a, l, &m);
		(a->metric == NN_TANIMOTO ? list_bits : list_vectors)(a, &m, l, k, idx, dist, have);
	}
	for (int64_t i = 0; i < a->n && mean && !io_stop_signal(); i++)
		mean[i] = mean_distance(a, i);
	void *const arrays[] = {have,    m.probe, m.key, m.x,    m.y,    m.half,
				m.score, m.best,  m.who, m.seen, m.bits, m.count};
	for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
		free(arrays[i]);
	return io_stop_signal() ? err_set(e, ERR_STOPPED, "stopped by signal %d", io_stop_signal()) : 0;
}

double nn_approx_recall(const struct nn_approx *a, int64_t k, const int64_t *idx, const double *dist, int64_t n_query)
{
	int64_t *near = array(k, sizeof *near), n_right = 0, n_all = 0;
	double *key = array(k, sizeof *key);
	n_query = smaller(n_query, a->n);
	for (int64_t q = 0; q < n_query && !io_stop_signal(); q++) {
		int64_t i = q * a->n / n_query, have = 1;
		for (int64_t j = 0; j < a->n; j++)
			if (j != i)
				have = insert(key, near, have, k, distance(a, i, j), j);
		for (int64_t c = 1; c < k; c++)
			n_right += idx[i * k + c] >= 0 && dist[i * k + c] <= key[have - 1];
		n_all += have - 1;
	}
	free(near);
	free(key);
	return n_all ? (double)n_right / (double)n_all : 1;
}
