/*
 * A walk over packed bytes that allocates nothing. It comes before msgpack-c,
 * which reserves memory for whatever length or count a message claims.
 */
#include "ts_wire.h"

#include <string.h>

struct walk {
	const uint8_t *p, *end;
	int n_value;
	struct err *e;
};

static int fail_cut(struct walk *w)
{
	return err_set(w->e, ERR_TRUNCATED, "the map runs past its bytes");
}

static uint64_t be(const uint8_t *p, int n)
{
	uint64_t v = 0;
	for (int i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* What one msgpack head says: its class and the length, count or payload that belongs to it. */
enum head_class { HEAD_SCALAR, HEAD_STR, HEAD_BIN, HEAD_ARRAY, HEAD_MAP };
struct head {
	enum head_class class;
	uint8_t tag;
	uint64_t n;         /* bytes, items or pairs; of a scalar: bytes that follow */
	const uint8_t *arg; /* first byte after the tag */
};

static int head_read(struct walk *w, struct head *h)
{
	if (w->p == w->end)
		return fail_cut(w);
	uint8_t t = *w->p++;
	int n_len = 0;
	*h = (struct head){.tag = t, .arg = w->p};
	if (t < 0x80 || t >= 0xe0 || t == 0xc0 || t == 0xc2 || t == 0xc3) { /* small int, nil, false, true */
		h->class = HEAD_SCALAR;
	} else if (t < 0x90) {
		h->class = HEAD_MAP;
		h->n = t & 15;
	} else if (t < 0xa0) {
		h->class = HEAD_ARRAY;
		h->n = t & 15;
	} else if (t < 0xc0) {
		h->class = HEAD_STR;
		h->n = t & 31;
	} else if (t >= 0xc4 && t <= 0xc6) {
		h->class = HEAD_BIN;
		n_len = 1 << (t - 0xc4);
	} else if (t == 0xca || t == 0xcb) {
		h->n = t == 0xca ? 4 : 8;
	} else if (t >= 0xcc && t <= 0xd3) {
		h->n = 1u << ((t - 0xcc) & 3);
	} else if (t >= 0xd9 && t <= 0xdb) {
		h->class = HEAD_STR;
		n_len = 1 << (t - 0xd9);
	} else if (t == 0xdc || t == 0xdd) {
		h->class = HEAD_ARRAY;
		n_len = t == 0xdc ? 2 : 4;
	} else if (t == 0xde || t == 0xdf) {
		h->class = HEAD_MAP;
		n_len = t == 0xde ? 2 : 4;
	} else {
		return err_set(w->e, ERR_FORMAT, "msgpack type 0x%02x (extension or reserved)", t);
	}
	if (n_len) {
		if (w->end - w->p < n_len)
			return fail_cut(w);
		h->n = be(w->p, n_len);
		w->p += n_len;
	}
	/* Each item is a byte at least: a count past the bytes left is a lie or a cut. */
	uint64_t least = h->class == HEAD_MAP ? 2 * h->n : h->n;
	if (least > TS_MAX_RECORD_NBYTES)
		return err_set(w->e, ERR_LIMIT, "a length of %llu in a map of at most %u bytes",
			       (unsigned long long)h->n, TS_MAX_RECORD_NBYTES);
	if (least > (uint64_t)(w->end - w->p))
		return fail_cut(w);
	if ((h->class == HEAD_MAP || h->class == HEAD_ARRAY) && h->n > TS_MAX_VALUES)
		return err_set(w->e, ERR_LIMIT, "%llu values in one list", (unsigned long long)h->n);
	if (h->class == HEAD_MAP && h->n > TS_MAX_KEYS)
		return err_set(w->e, ERR_LIMIT, "%llu keys in one map", (unsigned long long)h->n);
	if (++w->n_value > TS_MAX_VALUES)
		return err_set(w->e, ERR_LIMIT, "more than %d values in one map", TS_MAX_VALUES);
	return 0;
}

bool ts_utf8_valid(const char *text, size_t n)
{
	const uint8_t *s = (const uint8_t *)text;
	for (size_t i = 0; i < n;) {
		uint8_t c = s[i++];
		if (c < 0x80)
			continue;
		int more = c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : 0;
		if (!more || n - i < (size_t)more)
			return false;
		uint8_t d = s[i];
		if ((c == 0xe0 && d < 0xa0) || (c == 0xed && d >= 0xa0) || (c == 0xf0 && d < 0x90) ||
		    (c == 0xf4 && d >= 0x90)) /* overlong, surrogate, past U+10FFFF */
			return false;
		for (; more; more--)
			if ((s[i++] & 0xc0) != 0x80)
				return false;
	}
	return true;
}

static int string_check(struct walk *w, const struct head *h)
{
	if (!ts_utf8_valid((const char *)w->p, h->n))
		return err_set(w->e, ERR_FORMAT, "a string that is not UTF-8");
	w->p += h->n;
	return 0;
}

static bool key_is(const uint8_t *p, uint64_t n, const char *name)
{
	return n == strlen(name) && !memcmp(p, name, n);
}

bool ts_dtype_from_numpy(const uint8_t *s, size_t n, enum ts_dtype *d)
{
	for (int i = TS_BOOL8; i <= TS_F64; i++) {
		if (key_is(s, n, ts_dtype_numpy((enum ts_dtype)i))) {
			*d = (enum ts_dtype)i;
			return true;
		}
	}
	return false;
}

/* The shape's list of sizes; *count = their product. */
static int shape_walk(struct walk *w, uint64_t *count)
{
	struct head h;
	int rc = head_read(w, &h);
	if (rc)
		return rc;
	if (h.class != HEAD_ARRAY || h.n > TS_MAX_DIM)
		return err_set(w->e, ERR_FORMAT, "a tensor's shape is no list of up to %d sizes", TS_MAX_DIM);
	*count = 1;
	bool zero = false;
	for (uint64_t i = 0, n = h.n; i < n; i++) {
		if ((rc = head_read(w, &h)))
			return rc;
		uint64_t size = h.tag < 0x80 ? h.tag : be(h.arg, (int)h.n);
		if (h.class != HEAD_SCALAR || !(h.tag < 0x80 || (h.tag >= 0xcc && h.tag <= 0xcf)))
			return err_set(w->e, ERR_FORMAT, "a size in a tensor's shape is no natural number");
		w->p += h.n;
		if (size > TS_MAX_RECORD_NBYTES)
			return err_set(w->e, ERR_LIMIT, "a tensor with a side of %llu", (unsigned long long)size);
		zero |= size == 0;
		*count *= size ? size : 1;
		if (*count > TS_MAX_RECORD_NBYTES)
			return err_set(w->e, ERR_LIMIT, "a tensor larger than %u bytes", TS_MAX_RECORD_NBYTES);
	}
	if (zero)
		*count = 0;
	return 0;
}

/* The five entries of msgpack-numpy's map; numpy scalars (nd false) have no kind and no shape. */
enum { ENTRY_ND = 1, ENTRY_TYPE = 2, ENTRY_DATA = 4, ENTRY_KIND = 8, ENTRY_SHAPE = 16, ENTRY_OTHER = 32 };

static unsigned entry_of(const uint8_t *p, uint64_t n)
{
	static const char *const names[] = {"nd", "type", "data", "kind", "shape"};
	for (unsigned i = 0; i < 5; i++)
		if (key_is(p, n, names[i]))
			return 1u << i;
	return ENTRY_OTHER;
}

static int tensor_walk(struct walk *w, uint64_t n_pair)
{
	enum ts_dtype dtype = TS_U8;
	uint64_t count = 1, nbytes = 0;
	bool is_array = true;
	unsigned seen = 0;
	int rc;
	for (uint64_t i = 0; i < n_pair; i++) {
		struct head k, v;
		if ((rc = head_read(w, &k)))
			return rc;
		unsigned entry = k.class == HEAD_BIN ? entry_of(w->p, k.n) : ENTRY_OTHER;
		if (entry == ENTRY_OTHER || (seen & entry))
			break;
		seen |= entry;
		w->p += k.n;
		if (entry == ENTRY_SHAPE) {
			if ((rc = shape_walk(w, &count)))
				return rc;
			continue;
		}
		if ((rc = head_read(w, &v)))
			return rc;
		bool text = v.class == HEAD_BIN || v.class == HEAD_STR;
		if (entry == ENTRY_ND && v.class == HEAD_SCALAR && (v.tag == 0xc2 || v.tag == 0xc3)) {
			is_array = v.tag == 0xc3;
		} else if (entry == ENTRY_TYPE && text) {
			if (!ts_dtype_from_numpy(w->p, v.n, &dtype))
				return err_set(w->e, ERR_FORMAT, "a tensor of type %.*s, which tstreams do not have",
					       v.n < 32 && ts_utf8_valid((const char *)w->p, v.n) ? (int)v.n : 0,
					       (const char *)w->p);
		} else if (entry == ENTRY_DATA && v.class == HEAD_BIN) {
			nbytes = v.n;
		} else if (entry != ENTRY_KIND || !text || v.n) {
			break;
		}
		w->p += v.n;
		if (i + 1 == n_pair && seen == (is_array ? 31u : 7u)) {
			if (count * ts_dtype_nbytes(dtype) == nbytes)
				return 0;
			return err_set(w->e, ERR_FORMAT, "a tensor of %llu values of %zu bytes has %llu bytes",
				       (unsigned long long)count, ts_dtype_nbytes(dtype), (unsigned long long)nbytes);
		}
	}
	return err_set(w->e, ERR_FORMAT, "a tensor's map is not in msgpack-numpy's encoding");
}

static int value_walk(struct walk *w, int depth);

/* Is the map at p one of msgpack-numpy's? Their keys are bin, all others str. */
static bool tensor_starts(const struct walk *w)
{
	return w->p < w->end && *w->p == 0xc4;
}

static int map_walk(struct walk *w, uint64_t n_pair, int depth)
{
	for (uint64_t i = 0; i < n_pair; i++) {
		struct head k;
		int rc = head_read(w, &k);
		if (rc)
			return rc;
		if (k.class != HEAD_STR || memchr(w->p, 0, k.n))
			return err_set(w->e, ERR_FORMAT, "a map's key is no plain string");
		if ((rc = string_check(w, &k)) || (rc = value_walk(w, depth + 1)))
			return rc;
	}
	return 0;
}

static int value_walk(struct walk *w, int depth)
{
	struct head h;
	int rc = head_read(w, &h);
	if (rc)
		return rc;
	if (depth > TS_MAX_DEPTH)
		return err_set(w->e, ERR_LIMIT, "maps and lists nested deeper than %d", TS_MAX_DEPTH);
	switch (h.class) {
	case HEAD_SCALAR:
		if (h.tag == 0xcf && (h.arg[0] & 0x80))
			return err_set(w->e, ERR_FORMAT, "an integer beyond 63 bits");
		w->p += h.n;
		return 0;
	case HEAD_BIN:
		w->p += h.n;
		return 0;
	case HEAD_STR:
		return string_check(w, &h);
	case HEAD_ARRAY:
		for (uint64_t i = 0; i < h.n; i++)
			if ((rc = value_walk(w, depth + 1)))
				return rc;
		return 0;
	case HEAD_MAP:
		return h.n && tensor_starts(w) ? tensor_walk(w, h.n) : map_walk(w, h.n, depth);
	}
	return 0;
}

int ts_walk(const uint8_t *data, size_t n, size_t *used, struct err *e)
{
	struct walk w = {.p = data, .end = data + n, .e = e};
	struct head h;
	int rc = head_read(&w, &h);
	if (rc)
		return rc;
	if (h.class != HEAD_MAP)
		return err_set(e, ERR_FORMAT, "no map where one must stand (byte 0x%02x)", data[0]);
	if (h.n && tensor_starts(&w))
		return err_set(e, ERR_FORMAT, "a tensor where a record must stand");
	if ((rc = map_walk(&w, h.n, 1)))
		return rc;
	*used = (size_t)(w.p - data);
	if (*used > TS_MAX_RECORD_NBYTES)
		return err_set(e, ERR_LIMIT, "a map of %zu bytes; at most %u are allowed", *used, TS_MAX_RECORD_NBYTES);
	return 0;
}

bool ts_first_key_is(const uint8_t *p, size_t n, const char *key)
{
	size_t n_key = strlen(key), head = p[0] == 0xde ? 3 : p[0] == 0xdf ? 5 : 1;
	return n > head + n_key && p[head] == (0xa0 | n_key) && !memcmp(p + head + 1, key, n_key);
}

bool ts_is_record(const uint8_t *data, size_t n)
{
	size_t used;
	struct err ignored = {0};
	return !ts_walk(data, n, &used, &ignored) && used == n && !ts_first_key_is(data, n, "end") &&
	       !ts_first_key_is(data, n, "tstream");
}
