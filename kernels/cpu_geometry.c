/* cpu_geometry.c - functions of distances on the CPU. */
#include "cpu.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

struct job {
	void (*work)(const struct job *j, int64_t from, int64_t to);
	const real *dist, *y, *g;
	real *out;
	int64_t n_edge, n, rows;
	double cutoff;
};

static void job_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct job *j = ctx;
	j->work(j, chunk * j->rows, cpu_min(j->n_edge, (chunk + 1) * j->rows));
}

static void run(const struct kernels *k, struct job j)
{
	j.rows = cpu_rows_of(8 * j.n); /* an entry costs an exponential or a cosine */
	cpu_run(k, cpu_n_chunk(j.n_edge, j.rows), job_chunk, &j);
}

static void distance(const struct kernels *k, const real *pos, const int64_t *j, const int64_t *i, real *dist,
		     int64_t n_edge)
{
	(void)k;
	for (int64_t e = 0; e < n_edge; e++) {
		double sum = 0;
		for (int c = 0; c < 3; c++) {
			double v = (double)pos[3 * j[e] + c] - (double)pos[3 * i[e] + c];
			sum += v * v;
		}
		dist[e] = (real)sqrt(sum);
	}
}

static void distance_back(const struct kernels *k, const real *pos, const int64_t *j, const int64_t *i,
			  const real *dist, const real *g_dist, real *g_pos, int64_t n_edge)
{
	(void)k;
	for (int64_t e = 0; e < n_edge; e++)
		for (int c = 0; c < 3; c++) {
			double v = (double)pos[3 * j[e] + c] - (double)pos[3 * i[e] + c];
			real g = (real)((double)g_dist[e] * v / (double)dist[e]);
			g_pos[3 * j[e] + c] += g;
			g_pos[3 * i[e] + c] -= g;
		}
}

static void gaussians_work(const struct job *j, int64_t from, int64_t to)
{
	double step = j->cutoff / (double)(j->n - 1);
	for (int64_t e = from; e < to; e++)
		for (int64_t g = 0; g < j->n; g++) {
			double z = ((double)j->dist[e] - (double)g * step) / step;
			j->out[e * j->n + g] = (real)exp(-0.5 * z * z);
		}
}

static void gaussians(const struct kernels *k, const real *dist, real *y, int64_t n_edge, int64_t n, double cutoff)
{
	run(k,
	    (struct job){.work = gaussians_work, .dist = dist, .out = y, .n_edge = n_edge, .n = n, .cutoff = cutoff});
}

static void gaussians_back_work(const struct job *j, int64_t from, int64_t to)
{
	double step = j->cutoff / (double)(j->n - 1);
	for (int64_t e = from; e < to; e++) {
		double sum = 0;
		for (int64_t g = 0; g < j->n; g++)
			sum -= (double)j->g[e * j->n + g] * (double)j->y[e * j->n + g] *
			       ((double)j->dist[e] - (double)g * step);
		j->out[e] += (real)(sum / (step * step));
	}
}

static void gaussians_back(const struct kernels *k, const real *dist, const real *y, const real *g_y, real *g_dist,
			   int64_t n_edge, int64_t n, double cutoff)
{
	run(k, (struct job){.work = gaussians_back_work,
			    .dist = dist,
			    .y = y,
			    .g = g_y,
			    .out = g_dist,
			    .n_edge = n_edge,
			    .n = n,
			    .cutoff = cutoff});
}

static void cosine_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t e = from; e < to; e++)
		j->out[e] = (real)(0.5 * (cos((double)j->dist[e] * pi / j->cutoff) + 1));
}

static void cosine_cutoff(const struct kernels *k, const real *dist, real *y, int64_t n_edge, double cutoff)
{
	run(k, (struct job){.work = cosine_work, .dist = dist, .out = y, .n_edge = n_edge, .n = 1, .cutoff = cutoff});
}

static void cosine_back_work(const struct job *j, int64_t from, int64_t to)
{
	for (int64_t e = from; e < to; e++)
		j->out[e] -= (real)((double)j->g[e] * 0.5 * pi / j->cutoff * sin((double)j->dist[e] * pi / j->cutoff));
}

static void cosine_cutoff_back(const struct kernels *k, const real *dist, const real *g_y, real *g_dist, int64_t n_edge,
			       double cutoff)
{
	run(k, (struct job){.work = cosine_back_work,
			    .dist = dist,
			    .g = g_y,
			    .out = g_dist,
			    .n_edge = n_edge,
			    .n = 1,
			    .cutoff = cutoff});
}

void kernels_cpu_geometry(struct kernels *k)
{
	k->distance = distance;
	k->distance_back = distance_back;
	k->gaussians = gaussians;
	k->gaussians_back = gaussians_back;
	k->cosine_cutoff = cosine_cutoff;
	k->cosine_cutoff_back = cosine_cutoff_back;
}
