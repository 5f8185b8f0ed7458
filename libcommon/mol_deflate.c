/*
 * Deflate by runs alone. In a drawing of palette indices nearly everything that can be saved is runs of one colour, and
 * runs are quickly found: no search, no window, no table of codes, and the checksum of a run in closed form.
 */
#include "mol_deflate.h"

#include <string.h>

enum { END_OF_BLOCK = 256, LEAST_MATCH = 3, LONGEST_MATCH = 258, LONGEST_SYMBOL = 285, ADLER = 65521 };

/* ---- bits ---- */

/* Where bits go: a copy of the stream's, for the time of a call, so that the compiler keeps it in registers. */
struct pen {
	uint64_t bits;
	int n_bit;
	uint8_t *to;
};

/* Room for so many symbols, each with its extra bits and its distance: they are written without asking. */
static struct pen pen_take(const struct deflate *d, int64_t n_symbol)
{
	buf_reserve(d->out, (size_t)n_symbol * 3 + sizeof d->bits);
	return (struct pen){d->bits, d->n_bit, d->out->data + d->out->n};
}
static void pen_return(struct deflate *d, const struct pen *p)
{
	d->bits = p->bits, d->n_bit = p->n_bit;
	d->out->n = (size_t)(p->to - d->out->data);
}

static inline void bits_put(struct pen *p, uint64_t bits, int n)
{
	bits = p->bits | bits << p->n_bit, n += p->n_bit;
	for (int i = 0; i < 8; i++) /* one store where bytes lie in this order */
		p->to[i] = (uint8_t)(bits >> 8 * i);
	p->to += n >> 3;
	p->bits = bits >> (n & ~7), p->n_bit = n & 7;
}
static inline void symbol_put(struct pen *p, struct deflate_code c)
{
	bits_put(p, c.bits, c.n_bit);
}

void deflate_begin(struct deflate *d, struct buf *out)
{
	*d = (struct deflate){.out = out, .sum = 1};
	for (unsigned s = 0; s < 288; s++) { /* the fixed code, RFC 1951 section 3.2.6 */
		unsigned n = s < 144 ? 8 : s < 256 ? 9 : s < 280 ? 7 : 8;
		unsigned code = s < 144 ? 0x30 + s : s < 256 ? 0x190 + s - 144 : s < 280 ? s - 256 : 0xc0 + s - 280;
		unsigned turned = code & 0xff, top = code >> 8; /* codes go out highest bit first */
		turned = (turned & 0x55) << 1 | (turned >> 1 & 0x55);
		turned = (turned & 0x33) << 2 | (turned >> 2 & 0x33);
		turned = (turned & 0x0f) << 4 | turned >> 4;
		d->code[s] =
		    (struct deflate_code){(uint16_t)(n == 9 ? turned << 1 | top : turned >> (8 - n)), (uint8_t)n};
	}
	buf_put(out, (const uint8_t[]){0x78, 0x01}, 2);
	struct pen p = pen_take(d, 1);
	bits_put(&p, 1 | 1 << 1, 3); /* the last block, fixed codes */
	pen_return(d, &p);
}

/* ---- runs ---- */

/* A match of n bytes at distance 1: the byte before, n times. */
static void match_put(const struct deflate *d, struct pen *p, int n)
{
	int symbol = 254 + n, extra = 0, over = 0;
	if (n == LONGEST_MATCH) {
		symbol = LONGEST_SYMBOL;
	} else if (n > 10) { /* four symbols for each number of extra bits, RFC 1951 section 3.2.5 */
		for (extra = 1; (n - 3) >> (extra + 3); extra++)
			;
		symbol = 261 + 4 * extra + ((n - 3 - (4 << extra)) >> extra);
		over = (n - 3) & ((1 << extra) - 1);
	}
	symbol_put(p, d->code[symbol]);
	bits_put(p, (uint64_t)over, extra + 5); /* and the distance's code, five bits of 0 */
}

/* Adler-32 of n equal bytes more. */
static inline void sum_add(struct deflate *d, uint64_t v, uint64_t n)
{
	if (n < ADLER && !(d->sum >> 31 | d->sum_of_sums >> 62)) { /* nothing here passes 2^63 */
		d->sum_of_sums += n * d->sum + v * (n * (n + 1) / 2);
		d->sum += n * v;
		return;
	}
	d->sum %= ADLER, d->sum_of_sums %= ADLER;
	d->sum_of_sums += n % ADLER * d->sum + v * (n * (n + 1) / 2 % ADLER);
	d->sum += n % ADLER * v;
}

/* The run that was gathered. */
static inline void run_put(struct deflate *d, struct pen *p)
{
	int64_t n = d->n_value;
	if (!n)
		return;
	sum_add(d, d->value, (uint64_t)n);
	symbol_put(p, d->code[d->value]);
	if (n == 1) /* most are */
		return;
	for (n--; n >= LONGEST_MATCH; n -= LONGEST_MATCH)
		match_put(d, p, LONGEST_MATCH);
	if (n >= LEAST_MATCH)
		match_put(d, p, (int)n);
	else
		for (; n; n--)
			symbol_put(p, d->code[d->value]);
}
static int64_t run_symbols(const struct deflate *d)
{
	return d->n_value / LONGEST_MATCH + 4;
}

/* How many bytes from the first on are as the first: eight at a time with those one further. */
static inline int64_t run_length(const uint8_t *p, int64_t n)
{
	int64_t at = 1;
	for (uint64_t x, y; at + 8 <= n; at += 8) {
		memcpy(&x, p + at - 1, 8);
		memcpy(&y, p + at, 8);
		if (x != y)
			break;
	}
	while (at < n && p[at] == p[0])
		at++;
	return at;
}

void deflate_bytes(struct deflate *d, const uint8_t *bytes, int64_t n)
{
	struct pen p = pen_take(d, run_symbols(d) + n);
	for (int64_t at = 0, run; at < n; at += run) {
		run = at + 1 < n && bytes[at] != bytes[at + 1] ? 1 : run_length(bytes + at, n - at);
		if (bytes[at] != d->value) {
			run_put(d, &p);
			d->value = bytes[at], d->n_value = 0;
		}
		d->n_value += run;
	}
	pen_return(d, &p);
}

void deflate_end(struct deflate *d)
{
	struct pen p = pen_take(d, run_symbols(d) + 3);
	run_put(d, &p);
	symbol_put(&p, d->code[END_OF_BLOCK]);
	bits_put(&p, 0, -p.n_bit & 7);
	uint64_t a = d->sum % ADLER, b = d->sum_of_sums % ADLER;
	bits_put(&p, b >> 8 | (b & 0xff) << 8 | (a >> 8) << 16 | (a & 0xff) << 24, 32);
	pen_return(d, &p);
}
