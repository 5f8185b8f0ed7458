/* mol_gate.c - no conformer leaves that a chemist would not recognise. */
#include "mol_conf.h"
#include "mol_dg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double CONTACT_ANG = 1.0, BOND_SLACK = 0.15, DEPTH = 0.1;

static bool refuse(struct mol_reject *why, const char *code, const char *text)
{
	if (why) {
		memset(why, 0, sizeof *why);
		why->code = code;
		snprintf(why->msg, sizeof why->msg, "%s", text);
	}
	return false;
}

static const char *name_of(const struct mol *m, int i, char buf[16])
{
	const char *s = mol_element_symbol(m->atom[i].z);
	snprintf(buf, 16, "%s%d", s ? s : "*", i + 1);
	return buf;
}

static void direction(const double *pos, int from, int to, double out[3])
{
	double s = 0;
	for (int k = 0; k < 3; k++) {
		out[k] = pos[3 * to + k] - pos[3 * from + k];
		s += out[k] * out[k];
	}
	s = s > 0 ? 1 / sqrt(s) : 0;
	for (int k = 0; k < 3; k++)
		out[k] *= s;
}

static bool cistrans_holds(const struct mol_cistrans *c, const double *pos)
{
	double u[3], v[3], axis[3];
	if (c->nbr[0] < 0 || c->nbr[1] < 0)
		return true;
	direction(pos, c->atom[0], c->atom[1], axis);
	direction(pos, c->atom[0], c->nbr[0], u);
	direction(pos, c->atom[1], c->nbr[1], v);
	double au = 0, av = 0, uv = 0, uu = 0, vv = 0;
	for (int k = 0; k < 3; k++) {
		au += axis[k] * u[k];
		av += axis[k] * v[k];
	}
	for (int k = 0; k < 3; k++) {
		u[k] -= au * axis[k];
		v[k] -= av * axis[k];
		uv += u[k] * v[k];
		uu += u[k] * u[k];
		vv += v[k] * v[k];
	}
	double cosine = uv / sqrt(uu * vv); /* of the torsion */
	return c->cis ? cosine > 0.5 : cosine < -0.5;
}

/* First pair of atoms without a bond that lies too near, or false. */
static bool find_clash(const struct mol *m, const double *pos, int *a, int *b)
{
	double limit = CONTACT_ANG * CONTACT_ANG;
	for (int i = 1; i < m->n_atom; i++)
		for (int j = 0; j < i; j++) {
			double x = pos[3 * i] - pos[3 * j], y = pos[3 * i + 1] - pos[3 * j + 1],
			       z = pos[3 * i + 2] - pos[3 * j + 2];
			if (x * x + y * y + z * z < limit && mol_bond_between(m, i, j) < 0) {
				*a = j;
				*b = i;
				return true;
			}
		}
	return false;
}

bool mol_gate_check(const struct mol *m, const double *pos, unsigned flags, struct mol_reject *why)
{
	char text[200], p[16], q[16];
	for (int k = 0; k < 3 * m->n_atom; k++)
		if (!isfinite(pos[k]))
			return refuse(why, "embed-failed", "a coordinate is not a finite number");
	for (int k = 0; flags & MOL_GATE_STEREO && k < m->n_center; k++) {
		int32_t nbr[4];
		double lo, hi;
		mol_center_neighbours(m, &m->center[k], nbr);
		mol_center_range(m->center[k].atom, nbr, pos, 3, 1, &lo, &hi);
		if (!(hi < -DEPTH)) {
			snprintf(text, sizeof text, "the chiral centre %s is inverted or flat",
				 name_of(m, m->center[k].atom, p));
			return refuse(why, "stereo-wrong", text);
		}
	}
	for (int k = 0; flags & MOL_GATE_STEREO && k < m->n_cistrans; k++)
		if (!cistrans_holds(&m->cistrans[k], pos)) {
			snprintf(text, sizeof text, "the double bond %s=%s has the wrong side or is twisted",
				 name_of(m, m->cistrans[k].atom[0], p), name_of(m, m->cistrans[k].atom[1], q));
			return refuse(why, "stereo-wrong", text);
		}
	int i, j;
	if (flags & MOL_GATE_CONTACTS && find_clash(m, pos, &i, &j)) {
		snprintf(text, sizeof text, "%s and %s, not bonded, are less than %.1f angstrom apart",
			 name_of(m, i, p), name_of(m, j, q), CONTACT_ANG);
		return refuse(why, "clash", text);
	}
	for (int b = 0; flags & MOL_GATE_BONDS && b < m->n_bond; b++) {
		double d2 = 0, ideal = mol_length_ideal_ang(m, &m->bond[b]);
		for (int k = 0; k < 3; k++) {
			double d = pos[3 * m->bond[b].a + k] - pos[3 * m->bond[b].b + k];
			d2 += d * d;
		}
		if (!(fabs(sqrt(d2) - ideal) <= BOND_SLACK * ideal)) {
			snprintf(text, sizeof text, "the bond %s-%s is %.2f angstrom long, not %.2f",
				 name_of(m, m->bond[b].a, p), name_of(m, m->bond[b].b, q), sqrt(d2), ideal);
			return refuse(why, "bond-length", text);
		}
	}
	return true;
}
