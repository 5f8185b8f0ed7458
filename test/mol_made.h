/* mol_made.h - molecules and force fields out of SMILES, and a check of gradients, for tests. */
#ifndef MOLRILL_MOL_MADE_H
#define MOLRILL_MOL_MADE_H

#include "mol_ff.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* With all hydrogens; NULL, and a line that says why, when it is not read. */
__attribute__((unused)) static struct mol *made_molecule(const char *smiles, struct arena *a)
{
	struct mol_parse_opts o = {0};
	struct mol_reject why = {0};
	struct err e = {0};
	struct mol *m;
	if (mol_parse_smiles(smiles, &o, a, &m, &why, &e)) {
		printf("# %s: %s%s\n", smiles, why.msg, e.msg);
		return NULL;
	}
	return mol_add_hydrogens(m, a);
}

/* NULL where it has no parameters, or m is NULL. */
__attribute__((unused)) static struct mol_ff *made_field(const struct mol *m, enum mol_ff_kind kind, struct arena *a)
{
	struct mol_reject why;
	struct err e = {0};
	struct mol_ff *ff;
	return !m || mol_ff_new(m, kind, a, &ff, &why, &e) ? NULL : ff;
}

/* Largest difference between the gradient and central differences, relative to the largest entry. spoil: added to one
 * entry, which must be seen. */
__attribute__((unused)) static double made_gradient_error(const struct mol_ff *ff, int n, double *pos, double spoil)
{
	double *g = malloc(3 * (size_t)n * sizeof *g), worst = 0, top = 1e-9;
	mol_ff_energy_kcal(ff, pos, g, NULL);
	g[0] += spoil;
	for (int i = 0; i < 3 * n; i++) {
		double x = pos[i], h = 1e-5;
		pos[i] = x + h;
		double up = mol_ff_energy_kcal(ff, pos, NULL, NULL);
		pos[i] = x - h;
		double down = mol_ff_energy_kcal(ff, pos, NULL, NULL);
		pos[i] = x;
		double d = fabs((up - down) / (2 * h) - g[i]);
		if (!(d <= worst)) /* what is no number stays the worst */
			worst = isnan(d) ? INFINITY : d;
		top = fmax(top, fabs(g[i]));
	}
	free(g);
	return worst / top;
}

#endif
