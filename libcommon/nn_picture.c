/* nn_picture.c - pictures to the size and the three channels that the network sees. */
#include "nn_batch.h"

#include <stdlib.h>
#include <string.h>

/* Rows of the input that lie under row i of the output, with their shares. */
struct span {
	int64_t from, to;
	double first, last, inner; /* share of the first, the last and the rows between; they add up to 1 */
};

static struct span span_of(int64_t i, int64_t s, int64_t to)
{
	/* In units of 1 / to of an input row everything is whole: no rounding decides which rows belong. */
	int64_t begin = i * s, end = (i + 1) * s;
	struct span p = {.from = begin / to, .to = (end + to - 1) / to};
	double whole = (double)s;
	if (p.to == p.from + 1) {
		p.first = 1;
		return p;
	}
	p.first = (double)((p.from + 1) * to - begin) / whole;
	p.last = (double)(end - (p.to - 1) * to) / whole;
	p.inner = (double)to / whole;
	return p;
}

static double share(const struct span *p, int64_t i)
{
	return i == p->from ? p->first : i == p->to - 1 ? p->last : p->inner;
}

void nn_picture_resample(const uint8_t *in, int64_t s, int64_t c, uint8_t *out, int64_t to)
{
	if (s == to && c == 3) {
		memcpy(out, in, (size_t)(s * s * 3));
		return;
	}
	for (int64_t y = 0; y < to; y++) {
		struct span py = span_of(y, s, to);
		for (int64_t x = 0; x < to; x++) {
			struct span px = span_of(x, s, to);
			double sum[3] = {0};
			for (int64_t i = py.from; i < py.to; i++)
				for (int64_t j = px.from; j < px.to; j++) {
					double w = share(&py, i) * share(&px, j);
					for (int64_t k = 0; k < c; k++)
						sum[k] += w * in[(i * s + j) * c + k];
				}
			for (int64_t k = 0; k < 3; k++)
				out[(y * to + x) * 3 + k] = (uint8_t)(sum[c == 3 ? k : 0] + 0.5);
		}
	}
}
