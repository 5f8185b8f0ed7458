/* learn_device.c - the table of --device, and whether a model can do with it. */
#include "learn_device.h"

#include "cli.h"

#include <string.h>

static int open_as(struct kernels *k, const struct learn_device *d, int choice, struct err *e)
{
	int rc = kernels_open(k, (enum kernels_device)choice, d->pool, e);
	k->plain |= d->plain;
	return rc;
}

int learn_device_open(struct kernels *k, const struct learn_device *d, struct err *e)
{
	return open_as(k, d, d->choice, e);
}

int learn_device_fit(struct kernels *k, const struct learn_device *d, const struct nn_config *c, unsigned parts,
		     struct err *e)
{
	struct err lacks = {0};
	if (!nn_model_offered(k, c, parts, &lacks))
		return 0;
	if (d->choice != KERNELS_AUTO)
		return err_set(e, lacks.code, "%s", lacks.msg);
	kernels_close(k);
	return open_as(k, d, KERNELS_CPU, e);
}

static void library_write(FILE *out, enum kernels_device device, const char *name)
{
	static const char said[] = "--device cuda: ";
	struct kernels k;
	struct err e = {0};
	if (!kernels_open(&k, device, NULL, &e)) {
		fprintf(out, "%s%s\n", name, k.build);
		kernels_close(&k);
		return;
	}
	fprintf(out, "%s%s\n", name, strncmp(e.msg, said, strlen(said)) ? e.msg : e.msg + strlen(said));
}

static void libraries_write(FILE *out)
{
	library_write(out, KERNELS_CPU, "");
	library_write(out, KERNELS_CUDA, "CUDA: ");
}

void learn_begin(char **argv)
{
	kernels_begin(argv);
	cli_write_libraries = libraries_write;
}
