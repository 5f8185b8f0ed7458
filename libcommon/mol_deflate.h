/*
 * mol_deflate.h - a zlib stream made of runs, for pictures of few colours; nobody but mol_png.c includes it.
 */
#ifndef MOLRILL_MOL_DEFLATE_H
#define MOLRILL_MOL_DEFLATE_H

#include "util.h"

struct deflate {
	struct buf *out;
	uint64_t bits; /* not written yet, the first in the lowest: fewer than 8 */
	int n_bit;
	uint8_t value;             /* the run that is being gathered */
	int64_t n_value;           /* and its length */
	uint64_t sum, sum_of_sums; /* of Adler-32, reduced when they have grown */
	struct deflate_code {
		uint16_t bits; /* the first lowest */
		uint8_t n_bit;
	} code[288]; /* of literals and lengths */
};

/* Begins a zlib stream (RFC 1950, 1951: one block of fixed codes) that is appended to out. */
void deflate_begin(struct deflate *d, struct buf *out);
/* n bytes more. */
void deflate_bytes(struct deflate *d, const uint8_t *bytes, int64_t n);
/* Ends the stream. Its bytes depend on the bytes put in alone, not on how they came. */
void deflate_end(struct deflate *d);

#endif
