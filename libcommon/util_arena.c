/* util_arena.c - memory that is freed all at once, and byte buffers that grow. */
#include "util.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 64
#define DEFAULT_BLOCK_NBYTES (64u << 10)

struct block {
	struct block *older;
	size_t nbytes, used; /* of data */
	uint8_t *data;
};
struct arena {
	struct block *newest;
	size_t block_nbytes, n_used, n_total;
};

/* The pages of a new block are not touched, so a large one costs address space only. */
static struct block *block_new(size_t nbytes)
{
	struct block *b = malloc(sizeof *b);
	if (!b)
		return NULL;
	nbytes = (nbytes + ALIGN - 1) / ALIGN * ALIGN;
	*b = (struct block){.nbytes = nbytes, .data = aligned_alloc(ALIGN, nbytes)};
	if (!b->data) {
		free(b);
		return NULL;
	}
	return b;
}

static void blocks_free(struct block *b)
{
	while (b) {
		struct block *older = b->older;
		free(b->data);
		free(b);
		b = older;
	}
}

struct arena *arena_new(size_t block_nbytes)
{
	struct arena *a = calloc(1, sizeof *a);
	if (a)
		a->block_nbytes = block_nbytes ? block_nbytes : DEFAULT_BLOCK_NBYTES;
	return a;
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	blocks_free(a->newest);
	free(a);
}

void arena_reset(struct arena *a)
{
	/* Several blocks become one of their total size: a loop that resets settles on a single block. */
	if (a->newest && a->newest->older) {
		size_t total = a->n_total;
		blocks_free(a->newest);
		a->newest = block_new(total);
		a->n_total = a->newest ? a->newest->nbytes : 0;
	}
	if (a->newest)
		a->newest->used = 0;
	a->n_used = 0;
}

size_t arena_used(const struct arena *a)
{
	return a->n_used;
}

void *arena_alloc(struct arena *a, size_t nbytes)
{
	if (nbytes > SIZE_MAX / 2)
		abort();
	size_t n = nbytes ? (nbytes + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
	struct block *b = a->newest;
	if (!b || b->nbytes - b->used < n) {
		b = block_new(n > a->block_nbytes ? n : a->block_nbytes);
		if (!b)
			abort();
		b->older = a->newest;
		a->newest = b;
		a->n_total += b->nbytes;
	}
	void *p = b->data + b->used;
	b->used += n;
	a->n_used += n;
	return p;
}

void *arena_calloc(struct arena *a, size_t n, size_t nbytes)
{
	if (nbytes && n > SIZE_MAX / nbytes)
		abort();
	void *p = arena_alloc(a, n * nbytes);
	memset(p, 0, n * nbytes);
	return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *p = arena_alloc(a, len + 1);
	memcpy(p, s, len);
	p[len] = 0;
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	char *p = arena_alloc(a, (size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	if (n > SIZE_MAX / 2 - b->n)
		abort();
	if (b->cap - b->n < n || !b->data) {
		size_t cap = b->cap ? b->cap : 256;
		while (cap - b->n < n)
			cap *= 2;
		uint8_t *p = realloc(b->borrowed ? NULL : b->data, cap);
		if (!p)
			abort();
		if (b->borrowed)
			memcpy(p, b->data, b->n);
		b->data = p;
		b->borrowed = false;
		b->cap = cap;
	}
	return b->data + b->n;
}

void buf_put(struct buf *b, const void *data, size_t n)
{
	if (!n)
		return;
	memcpy(buf_reserve(b, n), data, n);
	b->n += n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	vsnprintf((char *)buf_reserve(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
	va_end(again);
	b->n += (size_t)n;
}

void buf_free(struct buf *b)
{
	if (!b)
		return;
	if (!b->borrowed)
		free(b->data);
	*b = (struct buf){0};
}
