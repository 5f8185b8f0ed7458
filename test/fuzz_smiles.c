/* Fuzzer of the reader of SMILES, strict and lenient, and of what is made of a molecule that was read. */
#include "mol.h"
#include "mol_draw.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void use(const struct mol *m, struct arena *a)
{
	struct mol_features f;
	struct err e = {0};
	const char *text;
	uint8_t fp[256];
	for (int32_t b = 0; b < m->n_bond; b++)
		if (m->bond[b].a >= m->bond[b].b || m->bond[b].b >= m->n_atom)
			abort();
	mol_features_fill(m, MOL_FEATURES_OGB, a, &f);
	mol_ecfp(m, a, fp);
	mol_scaffold(m, a, &text, &e);
	mol_layout(m, a, arena_alloc(a, sizeof(float) * 2 * (size_t)m->n_atom + 8));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct arena *a;
	if (!a)
		a = arena_new(0);
	if (n > 4096 || memchr(data, 0, n))
		return -1;
	for (int lenient = 0; lenient < 2; lenient++) {
		struct mol_parse_opts o = {.lenient = lenient};
		struct mol_reject why = {0};
		struct err e = {0};
		struct mol *m = NULL;
		arena_reset(a);
		const char *text = arena_strndup(a, (const char *)data, n);
		int rc = mol_parse_smiles(text, &o, a, &m, &why, &e);
		if (rc == ERR_CHEM && (!why.code || !*why.msg))
			abort();
		if (!rc && m->n_atom < 300)
			use(m, a);
	}
	return 0;
}
