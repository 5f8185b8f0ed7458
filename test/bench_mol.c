/*
 * bench_mol MODE FILE.smi: CPU time of one step of each molecule, a line each: nanoseconds, or -1 where it failed.
 *
 * layout: the 2D layout alone. dg, ff: SMILES to a conformer that passed the gate, without and with a force field.
 * gradient: one energy with its gradient (MMFF94) at a conformer of distance geometry.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mol_conf.h"
#include "mol_draw.h"

static int64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int64_t layout_ns(const struct mol *m, struct arena *a)
{
	float *pos = arena_alloc(a, ((size_t)m->n_atom * 2 + 1) * sizeof *pos);
	int64_t begin = cpu_ns();
	mol_layout(m, a, pos);
	return cpu_ns() - begin;
}

static int64_t gradient_ns(const struct mol *m, struct arena *a, struct mol_reject *why, struct err *e)
{
	enum { REPEATS = 200 };
	struct mol_conf_opts o = {.n_conf = 1, .seed = 1, .ff = MOL_CONF_FF_NONE};
	const struct mol *whole = mol_add_hydrogens(m, a);
	struct mol_conf_set *s;
	struct mol_ff *ff;
	if (mol_conf_generate(whole, &o, a, &s, why, e) || mol_conf_ff_new(whole, MOL_FF_MMFF94, a, &ff, why, e))
		return -1;
	double *g = arena_alloc(a, 3 * (size_t)s->n_atom * sizeof *g);
	int64_t begin = cpu_ns();
	for (int i = 0; i < REPEATS; i++)
		mol_ff_energy_kcal(ff, s->pos, g, NULL);
	return (cpu_ns() - begin) / REPEATS;
}

int main(int argc, char **argv)
{
	static const struct mol_parse_opts parse = {0};
	struct arena *a = arena_new(1u << 20);
	struct err e = {0};
	char *line = NULL;
	size_t cap = 0;
	FILE *in = argc == 3 ? fopen(argv[2], "r") : NULL;
	if (!in || !a || mol_start(&e)) {
		fprintf(stderr, "usage: bench_mol layout|dg|ff|gradient FILE.smi\n");
		return 2;
	}
	while (getline(&line, &cap, in) > 0) {
		struct mol_reject why;
		struct mol_conf_set *s;
		struct mol *m;
		line[strcspn(line, " \t\r\n")] = 0;
		arena_reset(a);
		int64_t begin = cpu_ns(), ns = -1;
		bool good = !mol_parse_smiles(line, &parse, a, &m, &why, &e);
		if (good && !strcmp(argv[1], "layout")) {
			ns = layout_ns(m, a);
		} else if (good && !strcmp(argv[1], "gradient")) {
			ns = gradient_ns(m, a, &why, &e);
		} else if (good) {
			struct mol_conf_opts o = {
			    .n_conf = 1, .seed = 1, .ff = strcmp(argv[1], "ff") ? MOL_CONF_FF_NONE : MOL_CONF_FF_AUTO};
			if (!mol_conf_generate(mol_add_hydrogens(m, a), &o, a, &s, &why, &e))
				ns = cpu_ns() - begin;
		}
		printf("%lld\n", (long long)ns);
	}
	free(line);
	arena_free(a);
	return fclose(in) ? 1 : 0;
}
