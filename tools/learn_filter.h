/* learn_filter.h - what encode and predict share: a model, and records that pass through it in blocks. Layer 4. */
#ifndef MOLRILL_LEARN_FILTER_H
#define MOLRILL_LEARN_FILTER_H

#include "cli_stream.h"
#include "learn_device.h"
#include "nn_infer.h"

/*
 * Opens a model for inference with the given of its parts; refuses one that is not complete unless `partial`. A table
 * that no model uses yet may be changed for another by learn_device_fit; d is NULL where it is in use.
 */
int learn_model_open(const char *path, unsigned parts, bool partial, const struct learn_device *d, struct kernels *k,
		     struct nn_model **m, struct err *e);
/* The door of a segment for this model; says on stderr which of its views the stream lacks. */
int learn_model_door(const struct cli *c, const struct nn_model *m, const struct ts_header *h, struct err *e);

/*
 * Streams all segments in constant memory. header sees each segment's header; block sees records in order, at most
 * `batch` (at most NN_BLOCK_MOL) and no more than fit into a block, unpacked and in an arena each, so that fields
 * may be added; end sees the end map.
 */
struct learn_filter {
	const struct cli *c;
	int64_t batch;
	void *ctx;
	int (*header)(void *ctx, struct ts_header *h, struct err *e);
	int (*block)(void *ctx, struct ts_map *const *rec, int64_t n, struct err *e);
	int (*end)(void *ctx, const struct ts_end *end, struct err *e);
};
int learn_filter_run(const struct learn_filter *f, struct err *e);

#endif
