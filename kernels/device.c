/* device.c - the table of a device: the CPU's own, or that of a plug-in which lies beside the programs. */
#include "kernels.h"

#include <dlfcn.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

const char *const kernels_device_names[] = {"cpu", "cuda", "auto", NULL};

/* PREFIX/bin/train: PREFIX/lib/molrill/cuda.so */
static int plugin_path(char *path, size_t n, struct err *e)
{
	char program[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
	if (len < 0)
		return err_set_errno(e, ERR_IO, "the program's own place is not known");
	program[len] = '\0';
	for (int up = 0; up < 2; up++) {
		char *slash = strrchr(program, '/');
		if (slash)
			*slash = '\0';
	}
	return snprintf(path, n, "%s/lib/molrill/cuda.so", program) < (int)n
		   ? 0
		   : err_set(e, ERR_LIMIT, "the program's own place has too long a name");
}

static int open_cuda(struct kernels *k, struct err *e)
{
	char path[PATH_MAX + 32], why[300] = "";
	int rc = plugin_path(path, sizeof path, e);
	if (rc)
		return rc;
	if (access(path, F_OK))
		return err_set(e, ERR_IO, "--device cuda: built without CUDA (no lib/molrill/cuda.so beside bin)");
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return err_set(e, ERR_IO, "--device cuda: %s", dlerror());
	const struct kernels_plugin *plugin = dlsym(handle, "kernels_plugin");
	if (!plugin || strcmp(plugin->abi, KERNELS_ABI))
		rc = err_set(e, ERR_IO, "--device cuda: lib/molrill/cuda.so is of another build than this program");
	else if ((rc = plugin->open(k, why, sizeof why)))
		rc = err_set(e, rc, "--device cuda: %s", why);
	return rc; /* a plug-in stays: its table points into it, and the driver's libraries do not like to leave */
}

int kernels_open(struct kernels *k, enum kernels_device device, struct pool *pool, struct err *e)
{
	struct err none = {0};
	memset(k, 0, sizeof *k);
	if (device == KERNELS_CUDA)
		return open_cuda(k, e);
	if (device == KERNELS_AUTO && !open_cuda(k, &none))
		return 0;
	return kernels_cpu(k, pool, e);
}

void kernels_close(struct kernels *k)
{
	if (k->close)
		k->close(k);
	memset(k, 0, sizeof *k);
}

int kernels_check(const struct kernels *k, struct err *e)
{
	const char *fault = k->fault ? k->fault(k) : NULL;
	return fault ? err_set(e, ERR_IO, "%s", fault) : 0;
}
