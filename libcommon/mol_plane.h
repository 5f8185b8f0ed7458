/*
 * mol_plane.h - points of the plane, and sine, cosine and arc tangent from the
 * four operations and the square root alone, so that coordinates have the same
 * bits on every machine whatever its C library.
 */
#ifndef MOLRILL_MOL_PLANE_H
#define MOLRILL_MOL_PLANE_H

#include <math.h>
#include <stdbool.h>

#define PLANE_PI 3.14159265358979323846

struct vec {
	double x, y;
};

static inline struct vec vec_add(struct vec a, struct vec b)
{
	return (struct vec){a.x + b.x, a.y + b.y};
}
static inline struct vec vec_sub(struct vec a, struct vec b)
{
	return (struct vec){a.x - b.x, a.y - b.y};
}
static inline struct vec vec_scale(struct vec a, double s)
{
	return (struct vec){a.x * s, a.y * s};
}
static inline double vec_dot(struct vec a, struct vec b)
{
	return a.x * b.x + a.y * b.y;
}
/* Positive when b lies to the left of a. */
static inline double vec_cross(struct vec a, struct vec b)
{
	return a.x * b.y - a.y * b.x;
}
static inline double vec_dist2(struct vec a, struct vec b)
{
	struct vec d = vec_sub(a, b);
	return vec_dot(d, d);
}
static inline double vec_norm(struct vec a)
{
	return sqrt(vec_dot(a, a));
}
/* A quarter turn to the left. */
static inline struct vec vec_left(struct vec a)
{
	return (struct vec){-a.y, a.x};
}
/* Unit vector; of a null vector (1, 0). */
static inline struct vec vec_unit(struct vec a)
{
	double n = vec_norm(a);
	return n > 1e-12 ? vec_scale(a, 1 / n) : (struct vec){1, 0};
}
/* Product of complex numbers: turns a by the unit vector r. */
static inline struct vec vec_turn(struct vec a, struct vec r)
{
	return (struct vec){a.x * r.x - a.y * r.y, a.x * r.y + a.y * r.x};
}
/* Mirror image of p in the line through o along the unit vector u. */
static inline struct vec vec_mirror(struct vec p, struct vec o, struct vec u)
{
	struct vec d = vec_sub(p, o);
	return vec_add(o, vec_sub(vec_scale(u, 2 * vec_dot(d, u)), d));
}

/* (cos, sin) of an angle in radians: Taylor series after reduction to an eighth of a turn; error below 1e-15. */
static inline struct vec plane_polar(double angle_rad)
{
	double k = floor(angle_rad / (PLANE_PI / 2) + 0.5), t = angle_rad - k * (PLANE_PI / 2), t2 = t * t;
	double c = 1, s = 1;
	for (int i = 18; i >= 2; i -= 2) {
		c = 1 - c * t2 / (i * (i - 1));
		s = 1 - s * t2 / (i * (i + 1));
	}
	struct vec v = {c, s * t};
	switch ((int)(k - 4 * floor(k / 4))) {
	case 1:
		return vec_left(v);
	case 2:
		return (struct vec){-v.x, -v.y};
	case 3:
		return (struct vec){v.y, -v.x};
	default:
		return v;
	}
}
/* Arc tangent in (-pi, pi]: three halvings of the angle, then the series. */
static inline double plane_angle(struct vec v)
{
	double ax = fabs(v.x), ay = fabs(v.y);
	if (ax + ay <= 0)
		return 0;
	bool steep = ay > ax;
	double t = steep ? ax / ay : ay / ax;
	for (int i = 0; i < 3; i++)
		t = t / (1 + sqrt(1 + t * t));
	double t2 = t * t, s = 0;
	for (int i = 19; i >= 1; i -= 2)
		s = 1.0 / i - s * t2;
	s = 8 * s * t;
	if (steep)
		s = PLANE_PI / 2 - s;
	if (v.x < 0)
		s = PLANE_PI - s;
	return v.y < 0 ? -s : s;
}
/* Arc sine of s in [0, 1]. */
static inline double plane_asin(double s)
{
	return s >= 1 ? PLANE_PI / 2 : plane_angle((struct vec){sqrt(1 - s * s), s});
}

#endif
