/* cpu_library.c - the library of products: its name, and which of its kernels it has chosen for this processor. */
#include "cpu.h"

#include <cblas.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char core_variable[] = "OPENBLAS_CORETYPE";

/* Builds for one processor alone write its name in capitals. */
bool cpu_library_is_wide(void)
{
	static const char *const with_avx512[] = {"SkylakeX", "Cooperlake", "SapphireRapids", NULL};
	const char *core = openblas_get_corename();
	int i = 0;
	while (with_avx512[i] && strcasecmp(core, with_avx512[i]))
		i++;
	return with_avx512[i] != NULL;
}

const char *cpu_library_name(void)
{
	static char name[128];
	const char *config = openblas_get_config(); /* "OpenBLAS 0.3.21 DYNAMIC_ARCH ..." */
	int n = (int)strcspn(config, " ");
	if (config[n])
		n += 1 + (int)strcspn(config + n + 1, " ");
	snprintf(name, sizeof name, "%.*s %s", n, config, openblas_get_corename());
	return name;
}

/* The core type whose kernels this processor can run, or NULL where it has no more than the oldest ones ask for. */
static const char *core_by_instructions(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
		return "SkylakeX";
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return "Haswell";
#endif
	return NULL;
}

void kernels_begin(char **argv)
{
	char program[PATH_MAX + 1] = "";
	const char *core = strcasecmp(openblas_get_corename(), "Prescott") ? NULL : core_by_instructions();
	if (!core || getenv(core_variable) || readlink("/proc/self/exe", program, PATH_MAX) <= 0)
		return;
	if (strstr(program, "/ld-linux") || setenv(core_variable, core, 1))
		return; /* started through the loader, which argv does not name */
	execv(program, argv);
	unsetenv(core_variable); /* it goes on as it is, slowly */
}
