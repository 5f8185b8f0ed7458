/* Fuzzer of the reader of molfiles: Open Babel's text into our molecule. */
#include "mol.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct arena *a;
	struct mol_parse_opts o = {0};
	struct mol_reject why = {0};
	struct err e = {0};
	struct mol *m = NULL;
	if (!a)
		a = arena_new(0);
	arena_reset(a);
	int rc = mol_parse_sdf((const char *)data, n, &o, a, &m, &why, &e);
	if (rc == ERR_CHEM && (!why.code || !*why.msg))
		abort();
	for (int32_t i = 0; !rc && i < m->n_atom; i++)
		if (m->atom[i].source < 0 || m->atom[i].source >= m->n_file)
			abort();
	return 0;
}
