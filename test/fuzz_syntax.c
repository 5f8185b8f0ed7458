/* Fuzzer of the grammar of SMILES alone: refusals name a column of the text, bonds join atoms that exist. */
#include "mol_work.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct arena *a;
	if (!a)
		a = arena_new(0);
	if (memchr(data, 0, n))
		return -1;
	arena_reset(a);
	struct mol_reject why = {0};
	char *text = arena_strndup(a, (const char *)data, n);
	struct work w = {.arena = a, .why = &why, .text = text};
	if (work_read_smiles(&w, text, n)) {
		if (!why.code || !*why.msg || why.column < 0 || (size_t)why.column > n + 1 ||
		    (!why.column && strcmp(why.code, "empty")))
			abort();
		return 0;
	}
	for (int32_t k = 0; k < w.n_bond; k++) {
		const struct work_bond *b = &w.bond[k];
		if (b->a == b->b || b->a < 0 || b->b < 0 || b->a >= w.n_atom || b->b >= w.n_atom)
			abort();
	}
	for (int32_t i = 0; i < w.n_atom; i++)
		if (w.atom[i].z > 118 || w.atom[i].column < 1 || (size_t)w.atom[i].column > n)
			abort();
	return 0;
}
