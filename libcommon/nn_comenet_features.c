/* nn_comenet_features.c - what ComENet sees of a conformer: reference neighbours, angles, radial and angular bases. */
#include "nn_layer.h"

#include <math.h>

enum { N_RADIAL = 3, N_FEATURE1 = 12, N_FEATURE2 = 6 };
static const double pi = 3.14159265358979323846;
static const double flat_sine = 1e-4; /* below it three atoms lie on a line: no plane */
/* Zeros of the spherical Bessel functions j_0 and j_1 (Abramowitz and Stegun, table 10.6). */
static const double bessel_zero[2][N_RADIAL] = {
    {3.14159265358979323846, 6.28318530717958647692, 9.42477796076937971538},
    {4.493409457909064, 7.725251836937707, 10.904121659428899}};

struct vec {
	double x, y, z;
};
static struct vec cross(struct vec a, struct vec b)
{
	return (struct vec){a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
static double dot(struct vec a, struct vec b)
{
	return a.x * b.x + a.y * b.y + a.z * b.z;
}
static double norm(struct vec a)
{
	return sqrt(dot(a, a));
}
/* From atom b to atom a. */
static struct vec between(const struct nn_points *p, int64_t a, int64_t b)
{
	const real *x = p->pos + 3 * a, *y = p->pos + 3 * b;
	return (struct vec){(double)x[0] - (double)y[0], (double)x[1] - (double)y[1], (double)x[2] - (double)y[2]};
}

/* Two atoms in one place have a distance of 0: by the series there. */
static double bessel(int order, double t)
{
	if (t < 1e-3)
		return order == 0 ? 1 - t * t / 6 : order == 1 ? t / 3 * (1 - t * t / 10) : t * t / 15;
	double s = sin(t), c = cos(t);
	switch (order) {
	case 0:
		return s / t;
	case 1:
		return s / (t * t) - c / t;
	default:
		return (3 / (t * t) - 1) * s / t - 3 * c / (t * t);
	}
}

static void find_nearest(struct nn_comenet_features *f, int64_t n_atom)
{
	const struct nn_pairs *p = &f->pairs;
	for (int64_t i = 0, e = 0; i < n_atom; i++) {
		int64_t first = -1, second = -1;
		for (; e < p->n && p->i[e] == i; e++) {
			if (first < 0 || f->dist[e] < f->dist[first]) {
				second = first;
				first = e;
			} else if (second < 0 || f->dist[e] < f->dist[second]) {
				second = e;
			}
		}
		f->n0[i] = first < 0 ? -1 : p->j[first];
		f->n1[i] = second < 0 ? f->n0[i] : p->j[second];
	}
}

/* An angle by its cosine and sine: what the bases need. */
struct turn {
	double cos, sin;
};
static struct turn turn_of(double c, double s)
{
	double r = sqrt(c * c + s * s);
	return r > 0 ? (struct turn){c / r, s / r} : (struct turn){1, 0};
}
/* In [0, 2 pi). */
static double angle_of(struct turn t)
{
	double angle = atan2(t.sin, t.cos);
	return angle < 0 ? angle + 2 * pi : angle;
}

/* From plane (v, a) to plane (v, b) about v; nothing where one of them is undefined. */
static struct turn dihedral(struct vec v, double length, struct vec a, struct vec b)
{
	struct vec p = cross(v, a), q = cross(v, b);
	const double flat = flat_sine * flat_sine * length * length;
	if (dot(p, p) <= flat * dot(a, a) || dot(q, q) <= flat * dot(b, b))
		return (struct turn){1, 0};
	return turn_of(dot(p, q), dot(cross(p, q), v) / length);
}

struct turns {
	struct turn theta, phi, tau;
};

static struct turns turns_of(struct nn_comenet_features *f, const struct nn_points *p, int64_t e)
{
	int64_t i = f->pairs.i[e], j = f->pairs.j[e];
	struct vec v = between(p, j, i), back = between(p, i, j);
	struct vec u0 = between(p, f->n0[i], i), u1 = between(p, f->n1[i], i);
	f->iref[e] = f->n0[i] == j ? f->n1[i] : f->n0[i];
	f->jref[e] = f->n0[j] == i ? f->n1[j] : f->n0[j];
	return (struct turns){
	    .theta = turn_of(dot(back, u0), norm(cross(back, u0))),
	    .phi = dihedral(v, f->dist[e], u0, u1),
	    .tau = dihedral(v, f->dist[e], between(p, j, f->jref[e]), between(p, f->iref[e], i)),
	};
}

/* Normalised spherical Bessel functions of order 0 and 1 at their zeros, [2][N_RADIAL]. */
static void set_radial(double radial[2][N_RADIAL], double dist, double cutoff, const double scale[2][N_RADIAL])
{
	for (int l = 0; l < 2; l++)
		for (int n = 0; n < N_RADIAL; n++)
			radial[l][n] = bessel(l, bessel_zero[l][n] * dist / cutoff) * scale[l][n];
}

static void set_features(struct nn_comenet_features *f, int64_t e, const struct turns *t,
			 const double radial[2][N_RADIAL])
{
	const double y0 = 0.5 / sqrt(pi), y1 = sqrt(0.75 / pi);
	const double angular[4] = {y0, y1 * t->theta.cos, y1 * t->theta.sin * t->phi.cos,
				   y1 * t->theta.sin * t->phi.sin};
	const double torsion[2] = {y0, y1 * t->tau.cos};
	for (int s = 0; s < 4; s++)
		for (int n = 0; n < N_RADIAL; n++)
			f->feature1[e * N_FEATURE1 + s * N_RADIAL + n] = (real)(radial[s > 0][n] * angular[s]);
	for (int s = 0; s < 2; s++)
		for (int n = 0; n < N_RADIAL; n++)
			f->feature2[e * N_FEATURE2 + s * N_RADIAL + n] = (real)(radial[s][n] * torsion[s]);
}

/* The pair of (i, j) in the other direction: pairs stand by target, then by source, so that those of a target with
 * smaller sources come up in their order. */
static int64_t *reverse_of(struct arena *a, const struct nn_pairs *p, int64_t n_atom)
{
	int64_t *next = arena_calloc(a, (size_t)n_atom + 1, sizeof *next);
	int64_t *reverse = arena_alloc(a, (size_t)(p->n + 1) * sizeof *reverse);
	for (int64_t e = p->n - 1; e >= 0; e--)
		next[p->i[e]] = e;
	for (int64_t e = 0; e < p->n; e++)
		if (p->i[e] < p->j[e]) {
			int64_t r = next[p->j[e]]++;
			reverse[e] = r;
			reverse[r] = e;
		}
	return reverse;
}

static void set_all(struct nn_comenet_features *f, struct arena *a, const struct nn_points *p, double cutoff,
		    const double scale[2][N_RADIAL])
{
	const int64_t *reverse = reverse_of(a, &f->pairs, p->n_atom);
	for (int64_t e = 0; e < f->pairs.n; e++) {
		double radial[2][N_RADIAL];
		if (f->pairs.i[e] > f->pairs.j[e])
			continue;
		set_radial(radial, f->dist[e], cutoff, scale);
		for (int way = 0; way < 2; way++) {
			int64_t at = way ? reverse[e] : e;
			struct turns t = turns_of(f, p, at);
			set_features(f, at, &t, (const double(*)[N_RADIAL])radial);
			if (f->theta) {
				f->theta[at] = angle_of(t.theta);
				f->phi[at] = angle_of(t.phi);
				f->tau[at] = angle_of(t.tau);
			}
		}
	}
}

struct nn_comenet_features nn_comenet_features_of(struct arena *a, const struct nn_points *p, double cutoff_ang,
						  bool angles)
{
	struct nn_comenet_features f = {.cutoff_ang = cutoff_ang, .pairs = nn_pairs_within(a, p, cutoff_ang)};
	size_t n = (size_t)f.pairs.n + 1, n_atom = (size_t)p->n_atom + 1;
	double scale[2][N_RADIAL];
	f.n0 = arena_alloc(a, n_atom * sizeof *f.n0);
	f.n1 = arena_alloc(a, n_atom * sizeof *f.n1);
	f.iref = arena_alloc(a, n * sizeof *f.iref);
	f.jref = arena_alloc(a, n * sizeof *f.jref);
	f.dist = arena_alloc(a, n * sizeof *f.dist);
	f.theta = angles ? arena_alloc(a, n * sizeof *f.theta) : NULL;
	f.phi = angles ? arena_alloc(a, n * sizeof *f.phi) : NULL;
	f.tau = angles ? arena_alloc(a, n * sizeof *f.tau) : NULL;
	f.feature1 = arena_alloc(a, n * N_FEATURE1 * sizeof *f.feature1);
	f.feature2 = arena_alloc(a, n * N_FEATURE2 * sizeof *f.feature2);
	for (int l = 0; l < 2; l++)
		for (int r = 0; r < N_RADIAL; r++)
			scale[l][r] = sqrt(2) / fabs(bessel(l + 1, bessel_zero[l][r]));
	for (int64_t e = 0; e < f.pairs.n; e++)
		f.dist[e] = norm(between(p, f.pairs.j[e], f.pairs.i[e]));
	find_nearest(&f, p->n_atom);
	set_all(&f, a, p, cutoff_ang, (const double(*)[N_RADIAL])scale);
	return f;
}

real *nn_comenet_sums(struct arena *a, const struct nn_comenet_features *f, const real *feature, int n_feature,
		      const struct nn_elements *by)
{
	int64_t width = by->x->n * n_feature;
	real *sum = arena_calloc(a, (size_t)(by->n_atom * width) + 1, sizeof *sum);
	for (int64_t e = 0; e < f->pairs.n; e++) {
		real *to = sum + f->pairs.i[e] * width + by->of[f->pairs.j[e]] * n_feature;
		for (int q = 0; q < n_feature; q++)
			to[q] += feature[e * n_feature + q];
	}
	return sum;
}
