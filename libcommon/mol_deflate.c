/*
 * Deflate by runs alone. In a drawing of palette indices nearly everything that can be saved is runs of one colour, and
 * runs are known before a byte of them is written: no search, no window, no table of codes, and the checksum of a run
 * in closed form.
 */
#include "mol_deflate.h"

#include <string.h>

enum { END_OF_BLOCK = 256, LEAST_MATCH = 3, LONGEST_MATCH = 258, LONGEST_SYMBOL = 285, ADLER = 65521 };

static void bits_put(struct deflate *d, uint32_t bits, int n)
{
	d->bits |= (uint64_t)bits << d->n_bit;
	d->n_bit += n;
	if (d->n_bit < 32)
		return;
	uint8_t *p = d->out->cap - d->out->n >= 4 ? d->out->data + d->out->n : buf_reserve(d->out, 4);
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(d->bits >> 8 * i);
	d->out->n += 4, d->bits >>= 32, d->n_bit -= 32;
}
static void symbol_put(struct deflate *d, int symbol)
{
	bits_put(d, d->code[symbol], d->code_bits[symbol]);
}

void deflate_begin(struct deflate *d, struct buf *out)
{
	*d = (struct deflate){.out = out, .sum = 1};
	for (int s = 0; s < 288; s++) { /* the fixed code, RFC 1951 section 3.2.6; codes go out highest bit first */
		int n = s < 144 ? 8 : s < 256 ? 9 : s < 280 ? 7 : 8;
		int code = s < 144 ? 0x30 + s : s < 256 ? 0x190 + s - 144 : s < 280 ? s - 256 : 0xc0 + s - 280;
		for (int i = 0; i < n; i++)
			d->code[s] |= (uint16_t)((code >> i & 1) << (n - 1 - i));
		d->code_bits[s] = (uint8_t)n;
	}
	buf_put(out, (const uint8_t[]){0x78, 0x01}, 2);
	bits_put(d, 1 | 1 << 1, 3); /* the last block, fixed codes */
}

/* A match of n bytes at distance 1: the byte before, n times. */
static void match_put(struct deflate *d, int n)
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
	symbol_put(d, symbol);
	bits_put(d, (uint32_t)over, extra);
	bits_put(d, 0, 5); /* the distance's code, fixed length */
}

static void run_put(struct deflate *d)
{
	uint64_t n = (uint64_t)d->n_value;
	if (!n)
		return;
	/* Adler-32 of n equal bytes; a run is below 2^32 bytes, its terms below 2^64 once n is taken modulo. */
	uint64_t v = d->value, k = n < ADLER ? n : n % ADLER;
	if (n == 1) { /* most are */
		d->sum = d->sum + v < ADLER ? d->sum + v : d->sum + v - ADLER;
		d->sum_of_sums += d->sum;
		d->sum_of_sums -= d->sum_of_sums < ADLER ? 0 : ADLER;
		d->n_value = 0;
		symbol_put(d, d->value);
		return;
	}
	d->sum_of_sums = (d->sum_of_sums + k * d->sum + v * (n * (n + 1) / 2 % ADLER)) % ADLER;
	d->sum = (d->sum + k * v) % ADLER;
	symbol_put(d, d->value);
	d->n_value = 0;
	for (n--; n >= LONGEST_MATCH; n -= LONGEST_MATCH)
		match_put(d, LONGEST_MATCH);
	if (n >= LEAST_MATCH)
		match_put(d, (int)n);
	else
		for (; n; n--)
			symbol_put(d, d->value);
}

void deflate_run(struct deflate *d, uint8_t value, int64_t n)
{
	if (value != d->value)
		run_put(d);
	d->value = value;
	d->n_value += n;
}

void deflate_end(struct deflate *d)
{
	run_put(d);
	symbol_put(d, END_OF_BLOCK);
	for (; d->n_bit > 0; d->n_bit -= 8, d->bits >>= 8)
		buf_put(d->out, &(uint8_t){(uint8_t)d->bits}, 1);
	uint32_t check = (uint32_t)(d->sum_of_sums << 16 | d->sum);
	for (int i = 3; i >= 0; i--)
		buf_put(d->out, &(uint8_t){(uint8_t)(check >> 8 * i)}, 1);
	d->bits = 0, d->n_bit = 0;
}
