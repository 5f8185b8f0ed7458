/*
 * mol_ff_geom.h - internal coordinates and their derivatives, shared by the force fields. Private to mol_*ff*.c.
 */
#ifndef MOLRILL_MOL_FF_GEOM_H
#define MOLRILL_MOL_FF_GEOM_H

#include <math.h>
#include <stdint.h>

struct ff_vec {
	double x, y, z;
};
static inline struct ff_vec ff_at(const double *pos, int32_t i)
{
	return (struct ff_vec){pos[3 * i], pos[3 * i + 1], pos[3 * i + 2]};
}
static inline struct ff_vec ff_sub(struct ff_vec a, struct ff_vec b)
{
	return (struct ff_vec){a.x - b.x, a.y - b.y, a.z - b.z};
}
static inline struct ff_vec ff_scale(struct ff_vec a, double s)
{
	return (struct ff_vec){a.x * s, a.y * s, a.z * s};
}
static inline double ff_dot(struct ff_vec a, struct ff_vec b)
{
	return a.x * b.x + a.y * b.y + a.z * b.z;
}
static inline struct ff_vec ff_cross(struct ff_vec a, struct ff_vec b)
{
	return (struct ff_vec){a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
/* Length, never 0: atoms upon each other give large numbers, not NaN. */
static inline double ff_length(struct ff_vec a)
{
	double s = sqrt(ff_dot(a, a));
	return s > 1e-9 ? s : 1e-9;
}
static inline void ff_add(double *g, int32_t i, struct ff_vec d, double s)
{
	g[3 * i] += s * d.x;
	g[3 * i + 1] += s * d.y;
	g[3 * i + 2] += s * d.z;
}

/* cos of the angle i-j-k; d[0..2] its derivatives with respect to i, j, k. */
static inline double ff_cos_angle(const double *pos, int32_t i, int32_t j, int32_t k, struct ff_vec d[3])
{
	struct ff_vec a = ff_sub(ff_at(pos, i), ff_at(pos, j)), b = ff_sub(ff_at(pos, k), ff_at(pos, j));
	double la = ff_length(a), lb = ff_length(b);
	a = ff_scale(a, 1 / la);
	b = ff_scale(b, 1 / lb);
	double c = ff_dot(a, b);
	d[0] = ff_scale(ff_sub(b, ff_scale(a, c)), 1 / la);
	d[2] = ff_scale(ff_sub(a, ff_scale(b, c)), 1 / lb);
	d[1] = ff_scale((struct ff_vec){d[0].x + d[2].x, d[0].y + d[2].y, d[0].z + d[2].z}, -1);
	return c;
}

/* cos of the torsion i-j-k-l; d[0..3] its derivatives. A torsion over a straight angle has none: d = 0, cos 1. */
static inline double ff_cos_torsion(const double *pos, const int32_t atom[4], struct ff_vec d[4])
{
	struct ff_vec a = ff_sub(ff_at(pos, atom[1]), ff_at(pos, atom[0]));
	struct ff_vec b = ff_sub(ff_at(pos, atom[2]), ff_at(pos, atom[1]));
	struct ff_vec c = ff_sub(ff_at(pos, atom[3]), ff_at(pos, atom[2]));
	struct ff_vec m = ff_cross(a, b), n = ff_cross(b, c), zero = {0, 0, 0};
	double lm = sqrt(ff_dot(m, m)), ln = sqrt(ff_dot(n, n));
	if (lm < 1e-6 || ln < 1e-6) {
		d[0] = d[1] = d[2] = d[3] = zero;
		return 1;
	}
	m = ff_scale(m, 1 / lm);
	n = ff_scale(n, 1 / ln);
	double cosine = ff_dot(m, n);
	struct ff_vec p = ff_scale(ff_sub(n, ff_scale(m, cosine)), 1 / lm);
	struct ff_vec q = ff_scale(ff_sub(m, ff_scale(n, cosine)), 1 / ln);
	struct ff_vec ga = ff_cross(b, p), gc = ff_cross(q, b), ap = ff_cross(p, a), cq = ff_cross(c, q);
	struct ff_vec gb = {ap.x + cq.x, ap.y + cq.y, ap.z + cq.z};
	d[0] = ff_scale(ga, -1);
	d[1] = ff_sub(ga, gb);
	d[2] = ff_sub(gb, gc);
	d[3] = gc;
	return cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
}

/* sin of the angle between the bond c-l and the plane c, j, k (Wilson angle); d[0..3] derivatives by c, j, k, l. */
static inline double ff_sin_wilson(const double *pos, const int32_t atom[4], struct ff_vec d[4])
{
	struct ff_vec a = ff_sub(ff_at(pos, atom[1]), ff_at(pos, atom[0]));
	struct ff_vec b = ff_sub(ff_at(pos, atom[2]), ff_at(pos, atom[0]));
	struct ff_vec l = ff_sub(ff_at(pos, atom[3]), ff_at(pos, atom[0])), n = ff_cross(a, b), zero = {0, 0, 0};
	double ll = ff_length(l), ln = sqrt(ff_dot(n, n));
	if (ln < 1e-6) {
		d[0] = d[1] = d[2] = d[3] = zero;
		return 0;
	}
	l = ff_scale(l, 1 / ll);
	n = ff_scale(n, 1 / ln);
	double s = ff_dot(n, l);
	struct ff_vec p = ff_scale(ff_sub(l, ff_scale(n, s)), 1 / ln);
	d[1] = ff_cross(b, p);
	d[2] = ff_cross(p, a);
	d[3] = ff_scale(ff_sub(n, ff_scale(l, s)), 1 / ll);
	d[0] =
	    ff_scale((struct ff_vec){d[1].x + d[2].x + d[3].x, d[1].y + d[2].y + d[3].y, d[1].z + d[2].z + d[3].z}, -1);
	return s > 1 ? 1 : s < -1 ? -1 : s;
}

#endif
