/* Damaged and hostile streams: every cut, every flipped bit, lies about lengths; never a crash, never a wrong success.
 */
#include "tap.h"
#include "ts_wire.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

static struct arena *arena;

static int fd_of(const uint8_t *data, size_t n)
{
	int fd = memfd_create("t", 0);
	if (fd < 0 || io_write_all(fd, data, n, NULL) || lseek(fd, 0, SEEK_SET))
		exit(1);
	return fd;
}

/* Reads all; negative code or 0. All items' bytes are appended to `seen`. */
static int read_all(const uint8_t *data, size_t n, struct buf *seen, struct err *e)
{
	struct ts_reader *r;
	struct ts_map m;
	struct arena *a = arena_new(0);
	int fd = fd_of(data, n), rc;
	if (ts_reader_new(&r, fd, "", NULL, 0, e))
		exit(1);
	while ((rc = ts_reader_next(r, a, &m, e)) > 0) {
		size_t k;
		const uint8_t *p = ts_reader_bytes(r, &k);
		if (seen)
			buf_put(seen, p, k);
		arena_reset(a);
	}
	ts_reader_free(r);
	arena_free(a);
	close(fd);
	return rc;
}

static struct buf stream_make(int n_record)
{
	struct buf b = {0};
	struct ts_writer *w;
	struct ts_header h;
	struct ts_end end = {.counts.rows = n_record};
	float pos[6] = {0, 1, 2, 3, 4, 5.5f};
	int fd = memfd_create("s", 0);
	ts_header_init(&h, "molecule", arena);
	ts_header_add_node(&h, &(struct ts_node){.program = "p", .version = "1"}, arena);
	if (fd < 0 || ts_writer_new(&w, fd, NULL) || ts_writer_header(w, &h, NULL))
		exit(1);
	for (int i = 0; i < n_record; i++) {
		struct ts_map m;
		ts_map_init(&m, arena);
		ts_set_int(&m, "row", i);
		pos[0] = (float)i;
		ts_set_tensor(&m, "pos", TS_F32, pos, 2, (int64_t)2, (int64_t)3);
		if (ts_writer_record(w, &m, NULL))
			exit(1);
	}
	if (ts_writer_end(w, &end, NULL))
		exit(1);
	ts_writer_free(w);
	size_t n = (size_t)lseek(fd, 0, SEEK_END);
	lseek(fd, 0, SEEK_SET);
	if (io_read(fd, buf_reserve(&b, n), n, NULL) != (int64_t)n)
		exit(1);
	b.n = n;
	close(fd);
	return b;
}

static void test_cuts(void)
{
	struct buf s = stream_make(3), big = stream_make(40000);
	int bad = 0, bad_message = 0;
	struct err e = {0};
	tap_ok(!read_all(s.data, s.n, NULL, &e), "the whole stream reads: %s", e.msg);
	for (size_t k = 0; k < s.n; k++) {
		e = (struct err){0};
		bad += read_all(s.data, k, NULL, &e) != ERR_TRUNCATED;
		bad_message += strncmp(e.msg, k ? "stream cut " : "empty input", 11) != 0;
	}
	tap_ok(!bad && !bad_message, "a cut at each of %zu bytes is a cut", s.n);
	e = (struct err){0};
	read_all(s.data, s.n - 1, NULL, &e);
	tap_str(e.msg, "stream cut before its first record", "a cut in the only frame of records");
	bad = 0;
	for (size_t k = 1; k < 100; k++)
		bad += read_all(big.data, big.n * k / 100, NULL, NULL) != ERR_TRUNCATED;
	tap_ok(!bad, "a hundred cuts of a stream of many frames");
	e = (struct err){0};
	read_all(big.data, big.n - 5, NULL, &e);
	tap_ok(strstr(e.msg, "stream cut after record ") != NULL, "says after which record: %s", e.msg);
	struct buf twice = {0};
	buf_put(&twice, s.data, s.n);
	buf_put(&twice, s.data, s.n);
	tap_ok(!read_all(twice.data, twice.n, NULL, NULL), "cat of two streams is a stream");
	bad = 0;
	for (size_t k = s.n + 1; k < twice.n; k++)
		bad += read_all(twice.data, k, NULL, NULL) != ERR_TRUNCATED;
	tap_ok(!bad, "a cut anywhere in the second segment is a cut");
	buf_put(&s, "junk", 4);
	tap_ok(read_all(s.data, s.n, NULL, &e) == ERR_FORMAT, "bytes after the end map are refused");
	buf_free(&s);
	buf_free(&big);
	buf_free(&twice);
}

static void test_flips(void)
{
	struct buf s = stream_make(5), want = {0};
	int wrong = 0, n_same = 0;
	if (read_all(s.data, s.n, &want, NULL))
		exit(1);
	for (size_t k = 0; k < 8 * s.n; k++) {
		struct buf seen = {0};
		s.data[k / 8] ^= (uint8_t)(1 << k % 8);
		if (!read_all(s.data, s.n, &seen, NULL)) {
			bool same = seen.n == want.n && !memcmp(seen.data, want.data, want.n);
			wrong += !same;
			n_same += same;
		}
		s.data[k / 8] ^= (uint8_t)(1 << k % 8);
		buf_free(&seen);
	}
	tap_ok(!wrong, "no flipped bit of %zu gives other records as a success", 8 * s.n);
	tap_ok(n_same < (int)(s.n / 6), "and only bits without meaning give success at all (%d)", n_same);
	buf_free(&s);
	buf_free(&want);
}

/* One frame of the given plain bytes. */
static void frame_put(struct buf *b, const void *data, size_t n)
{
	ZSTD_CCtx *c = ts_frame_context(NULL);
	if (!c || ts_frame_compress(c, data, n, b, NULL))
		exit(1);
	ZSTD_freeCCtx(c);
}

/* Takes a good stream apart, lets `edit` change the plain bytes after the header, and frames it anew. */
static int edited(void (*edit)(struct buf *plain), struct err *e)
{
	struct buf s = stream_make(4), plain = {0}, out = {0};
	read_all(s.data, s.n, &plain, NULL);
	edit(&plain);
	frame_put(&out, plain.data, plain.n);
	*e = (struct err){0};
	int rc = read_all(out.data, out.n, NULL, e);
	buf_free(&s);
	buf_free(&plain);
	buf_free(&out);
	return rc;
}

static uint8_t *find(struct buf *b, const char *text, int nth)
{
	uint8_t *p = b->data;
	for (; (p = memmem(p, b->n - (size_t)(p - b->data), text, strlen(text))); p++)
		if (!nth--)
			return p;
	exit(1);
}
static void edit_nothing(struct buf *b)
{
}
static void edit_value(struct buf *b)
{
	find(b, "data", 1)[8] ^= 1;
}
static void edit_drop(struct buf *b)
{
	uint8_t *p = find(b, "\xa3row", 1) - 1, *q = find(b, "\xa3row", 2) - 1;
	memmove(p, q, (size_t)(b->data + b->n - q));
	b->n -= (size_t)(q - p);
}
static void edit_swap(struct buf *b)
{
	find(b, "\xa3row", 1)[4] = 2;
	find(b, "\xa3row", 2)[4] = 1;
}
static void edit_balance(struct buf *b)
{
	find(b, "\xa7rejects", 0)[8] = 1;
}
static void edit_tail(struct buf *b)
{
	buf_put(b, "\x80", 1);
}
static void edit_half(struct buf *b)
{
	b->n -= 3;
}
static void edit_version(struct buf *b)
{
	find(b, "\xa7tstream", 0)[8] = 2;
}

static void test_edits(void)
{
	static const struct {
		const char *what;
		void (*edit)(struct buf *);
		int code;
	} cases[] = {
	    {"one frame, untouched", edit_nothing, 0},
	    {"mutant: a value changed under a right checksum", edit_value, ERR_FORMAT},
	    {"mutant: a record dropped", edit_drop, ERR_FORMAT},
	    {"mutant: two records exchanged", edit_swap, ERR_FORMAT},
	    {"mutant: rejects that do not balance", edit_balance, ERR_FORMAT},
	    {"a map that is no header after the end map", edit_tail, ERR_FORMAT},
	    {"a record that runs past its frame", edit_half, ERR_FORMAT},
	    {"another version", edit_version, ERR_FORMAT},
	};
	struct err e;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		tap_ok(edited(cases[i].edit, &e) == cases[i].code, "%s: %s", cases[i].what, e.msg);
	struct buf b = {0};
	frame_put(&b, "\x80", 1);
	tap_ok(read_all(b.data, b.n, NULL, NULL) == ERR_FORMAT, "an empty map is no header");
	b.n = 0;
	frame_put(&b, "", 0);
	tap_ok(read_all(b.data, b.n, NULL, NULL) == ERR_FORMAT, "an empty frame is refused");
	e = (struct err){0};
	tap_ok(read_all((const uint8_t *)"\x87\xa7tstream\x01       ", 16, NULL, &e) == ERR_FORMAT, "%s", e.msg);
	tap_ok(read_all((const uint8_t *)"CCO ethanol\n", 12, NULL, NULL) == ERR_FORMAT, "text is refused");
	/* 64 MiB of zeros in a few KiB, and a window of gigabytes claimed by a few bytes. */
	uint8_t *zeros = calloc(1, 64u << 20);
	b.n = 0;
	frame_put(&b, zeros, 64u << 20);
	tap_ok(read_all(b.data, b.n, NULL, NULL) == ERR_LIMIT, "a frame that swells is stopped");
	free(zeros);
	static const uint8_t window[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00, 0, 0, 0, 0, 0, 0, 0};
	tap_ok(read_all(window, sizeof window, NULL, NULL) == ERR_FORMAT, "a window of gigabytes is refused");
	buf_free(&b);
}

static int walk_text(const char *s, size_t n)
{
	size_t used;
	return ts_walk((const uint8_t *)s, n, &used, NULL);
}

static void test_hostile(void)
{
#define WALK(s) walk_text(s, sizeof(s) - 1)
	tap_ok(WALK("\x81\xa1x\xdd\xff\xff\xff\xff") == ERR_LIMIT, "a list of four thousand million values");
	tap_ok(WALK("\x81\xa1x\xdd\x00\x08\x00\x00") == ERR_TRUNCATED, "a list longer than its bytes");
	tap_ok(WALK("\xdf\xff\xff\xff\xff") == ERR_LIMIT, "a map of four thousand million keys");
	tap_ok(WALK("\x81\xa1x\xc6\xff\xff\xff\xff") == ERR_LIMIT, "a blob of 4 GiB");
	tap_ok(WALK("\x81\xa1x\xc7\x01\x01\x01") == ERR_FORMAT, "an extension type");
	tap_ok(WALK("\x81\xa1x\xc1") == ERR_FORMAT, "the reserved byte");
	tap_ok(WALK("\x81\xa1x\xcf\xff\xff\xff\xff\xff\xff\xff\xff") == ERR_FORMAT, "an integer beyond 63 bits");
	tap_ok(WALK("\x81\x01\x02") == ERR_FORMAT, "a key that is a number");
	tap_ok(WALK("\x81\xa2\xc3\x28\x02") == ERR_FORMAT, "a key that is not UTF-8");
	tap_ok(WALK("\x93\x01\x02\x03") == ERR_FORMAT, "a list for a record");
	tap_ok(WALK("\x81\xa1x\x01") == 0, "a small map is fine");
#define TENSOR(type, shape, data)                                                                                      \
	"\x81\xa1x\x85\xc4\x02nd\xc3\xc4\x04type" type "\xc4\x04kind\xc4\x00\xc4\x05shape" shape "\xc4\x04"            \
	"data" data
	tap_ok(WALK(TENSOR("\xa3<f4", "\x91\x01", "\xc4\x04\x00\x00\x80\x3f")) == 0, "a good tensor");
	tap_ok(WALK(TENSOR("\xc4\x03<f4", "\x91\x01", "\xc4\x04\x00\x00\x80\x3f")) == 0, "its type as bin");
	tap_ok(WALK(TENSOR("\xa3<f4", "\x91\x02", "\xc4\x04\x00\x00\x80\x3f")) == ERR_FORMAT, "more shape than bytes");
	tap_ok(WALK(TENSOR("\xa3<f4", "\x91\xff", "\xc4\x04\x00\x00\x80\x3f")) == ERR_FORMAT, "a negative size");
	tap_ok(WALK(TENSOR("\xa3<c8", "\x90", "\xc4\x08        ")) == ERR_FORMAT, "complex numbers");
	tap_ok(WALK(TENSOR("\xa3|O8", "\x90", "\xc4\x08        ")) == ERR_FORMAT, "Python objects");
	tap_ok(WALK(TENSOR("\xa3<f4",
			   "\x94\xce\x00\xff\xff\xff\xce\x00\xff\xff\xff\xce\x00\xff\xff\xff\xce\x00\xff\xff\xff",
			   "\xc4\x04    ")) == ERR_LIMIT,
	       "a shape whose product overflows");
	tap_ok(WALK("\x81\xa1x\x85\xc4\x02nd\xc3\xc4\x04type\xa3|u1\xc4\x04"
		    "data\xc4\x01 \xc4\x05shape\x91\x04\xc4\x04"
		    "data\xc4\x04    ") == ERR_FORMAT,
	       "data given twice");
	char deep[64] = "\x81\xa1x";
	memset(deep + 3, 0x91, 40);
	deep[43] = 0x01;
	tap_ok(walk_text(deep, 44) == ERR_LIMIT, "forty lists in each other");
	struct buf many = {0};
	buf_put(&many, "\x81\xa1x\xdd\x00\x08\x00\x00", 8);
	for (int i = 0; i < 0x80000; i++)
		buf_put(&many, "\x01", 1);
	tap_ok(walk_text((char *)many.data, many.n) == ERR_LIMIT, "half a million small values");
	buf_free(&many);
	struct ts_map m;
	tap_ok(ts_unpack((const uint8_t *)"\x82\xa1x\x01\xa1x\x02", 7, arena, &m, NULL) == ERR_FORMAT, "a key twice");
}

/* What the walk lets through, msgpack-c and we can decode, and it packs to a map that the walk lets through. */
static void test_random(void)
{
	static const char seed[] = TENSOR("\xa3<f4", "\x91\x02", "\xc4\x08\x00\x00\x80\x3f    ");
	uint8_t b[sizeof seed];
	struct rng rng;
	int n_good = 0, bad = 0;
	rng_init(&rng, 7, 0);
	for (int i = 0; i < 300000; i++) {
		size_t used;
		struct ts_map m;
		struct buf again = {0};
		struct err e = {0};
		memcpy(b, seed, sizeof seed);
		for (uint32_t k = rng_below(&rng, 4) + 1; k; k--)
			b[rng_below(&rng, sizeof seed)] = (uint8_t)(i % 2 ? rng_u32(&rng) : rng_u32(&rng) % 4 + 0x80);
		if (ts_walk(b, sizeof seed, &used, NULL))
			continue;
		n_good++;
		arena_reset(arena);
		int rc = ts_unpack(b, used, arena, &m, &e);
		bad += rc ? !strstr(e.msg, "twice") : ts_pack(&m, &again, NULL) != 0;
		buf_free(&again);
	}
	tap_ok(n_good > 1000 && !bad, "walk and decoder agree on random damage (%d of 300000 were valid)", n_good);
}

int main(void)
{
	arena = arena_new(0);
	test_cuts();
	test_flips();
	test_edits();
	test_hostile();
	test_random();
	arena_free(arena);
	return tap_done();
}
