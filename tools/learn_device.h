/* learn_device.h - --device: where train, encode and predict compute. Layer 4. */
#ifndef MOLRILL_LEARN_DEVICE_H
#define MOLRILL_LEARN_DEVICE_H

#include "nn_model.h"

#define LEARN_DEVICE_OPTION(at)                                                                                        \
	{                                                                                                              \
		"device", 0, OPT_CHOICE, "NAME", "where to compute: cpu, cuda, or auto", at,                           \
		    .choices = kernels_device_names                                                                    \
	}

struct learn_device {
	int choice; /* enum kernels_device */
	bool plain; /* --plain */
	struct pool *pool;
};
/* The first call of a main(), with its own argv: kernels_begin, and what -V says of the library of products (its
 * version and core) and of the plug-in for CUDA. */
void learn_begin(char **argv);
int learn_device_open(struct kernels *k, const struct learn_device *d, struct err *e);
/* Once the model is known, and before it is built: auto goes back to the CPU where the device lacks an operation. */
int learn_device_fit(struct kernels *k, const struct learn_device *d, const struct nn_config *c, unsigned parts,
		     struct err *e);

#endif
