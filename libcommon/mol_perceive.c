/*
 * mol_perceive.c - from atoms and bonds as written to a molecule with rings, aromaticity and stereo, in RDKit's order
 * of steps, on which verdicts depend (valence is judged before and aromaticity after the Kekule structure is known).
 */
#include "mol_work.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int work_refuse(struct work *w, const char *code, int column, const char *fmt, ...)
{
	va_list ap;
	if (w->why) {
		w->why->code = code;
		w->why->column = column;
		va_start(ap, fmt);
		vsnprintf(w->why->msg, sizeof w->why->msg, fmt, ap);
		va_end(ap);
	}
	return ERR_CHEM;
}

int work_perceive(struct work *w)
{
	int e;
	work_remove_hydrogens(w);
	work_normalise(w);
	if ((e = work_assign_valence(w)) || (e = work_find_rings(w)) || (e = work_kekulise(w)))
		return e;
	work_assign_radicals(w);
	for (int32_t i = 0; i < w->n_atom; i++)
		if (!w->atom[i].gone)
			w->atom[i].explicit_valence = (int16_t)work_explicit_valence(w, i);
	work_set_aromaticity(w);
	work_set_conjugation(w);
	work_set_hybrid(w);
	return work_set_stereo(w);
}
