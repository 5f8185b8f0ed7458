/* mol_rmsd.c - best-fit distance of two conformers. */
#include "mol_conf.h"

#include <math.h>

static void centroid(int n, const double *p, double c[3])
{
	c[0] = c[1] = c[2] = 0;
	for (int i = 0; i < n; i++)
		for (int k = 0; k < 3; k++)
			c[k] += p[3 * i + k] / n;
}

static double det3(double a, double b, double c, double d, double e, double f, double g, double h, double i)
{
	return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
}

double mol_rmsd_of_overlap_ang(int n, double inner, double s[3][3])
{
	/* the symmetric matrix whose largest eigenvalue is the best overlap (Horn 1987) */
	double a = s[0][0] + s[1][1] + s[2][2], b = s[1][2] - s[2][1], c = s[2][0] - s[0][2], d = s[0][1] - s[1][0];
	double e = s[0][0] - s[1][1] - s[2][2], f = s[0][1] + s[1][0], g = s[2][0] + s[0][2];
	double h = -s[0][0] + s[1][1] - s[2][2], i = s[1][2] + s[2][1], j = -s[0][0] - s[1][1] + s[2][2];
	double c2 = 0, c1 = -8 * det3(s[0][0], s[0][1], s[0][2], s[1][0], s[1][1], s[1][2], s[2][0], s[2][1], s[2][2]);
	for (int k = 0; k < 3; k++)
		for (int l = 0; l < 3; l++)
			c2 -= 2 * s[k][l] * s[k][l];
	double c0 = a * det3(e, f, g, f, h, i, g, i, j) - b * det3(b, f, g, c, h, i, d, i, j) +
		    c * det3(b, e, g, c, f, i, d, g, j) - d * det3(b, e, f, c, f, h, d, g, i);
	/* Newton from above: inner / 2 bounds the root */
	double x = 0.5 * inner;
	for (int it = 0; it < 60; it++) {
		double value = ((x * x + c2) * x + c1) * x + c0, slope = (4 * x * x + 2 * c2) * x + c1;
		if (!(fabs(slope) > 0))
			break;
		double next = x - value / slope;
		if (fabs(next - x) <= 1e-12 * fabs(x))
			break;
		x = next;
	}
	double rest = (inner - 2 * x) / n;
	return rest > 0 ? sqrt(rest) : 0;
}

double mol_rmsd_ang(int n, const double *p, const double *q)
{
	double cp[3], cq[3], s[3][3] = {{0}}, inner = 0;
	if (n < 1)
		return 0;
	centroid(n, p, cp);
	centroid(n, q, cq);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < 3; k++) {
			double u = p[3 * i + k] - cp[k], v = q[3 * i + k] - cq[k];
			inner += u * u + v * v;
			for (int l = 0; l < 3; l++)
				s[k][l] += u * (q[3 * i + l] - cq[l]);
		}
	return mol_rmsd_of_overlap_ang(n, inner, s);
}
