/* Fuzzer of the reader of tensor streams. Input is packed into a frame first, unless it begins as a frame does. */
#include "ts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_all(const void *data, size_t n, int fd)
{
	struct ts_reader *r = NULL;
	struct err e = {0};
	struct arena *a = arena_new(0);
	int rc = ts_reader_new(&r, fd, "fuzz", data, n, &e);
	while (!rc) {
		struct ts_map m;
		struct ts_header h;
		arena_reset(a);
		int item = ts_reader_next(r, a, &m, &e);
		if (item <= TS_EOF)
			break;
		if (item == TS_HEADER)
			rc = ts_reader_header(r, &h, a, &e);
	}
	ts_reader_free(r);
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint8_t MAGIC[4] = {0x28, 0xb5, 0x2f, 0xfd};
	static int fd = -1;
	if (fd < 0)
		fd = open("/dev/null", O_RDONLY);
	if (n > 1 << 16)
		return -1;
	if (n >= sizeof MAGIC && !memcmp(data, MAGIC, sizeof MAGIC)) {
		read_all(data, n, fd);
		return 0;
	}
	size_t cap = ZSTD_compressBound(n);
	void *frame = malloc(cap);
	ZSTD_CCtx *c = ZSTD_createCCtx();
	ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	size_t n_frame = ZSTD_compress2(c, frame, cap, data, n);
	if (!ZSTD_isError(n_frame))
		read_all(frame, n_frame, fd);
	ZSTD_freeCCtx(c);
	free(frame);
	return 0;
}
