/*
 * cpu_product.c - products of floats on processors with AVX-512, in tiles that stay in registers.
 *
 * A tile of 14 x 32 entries is summed over a block of the inner index: 28 registers of sums, two of B, one of A. B is
 * copied into panels of 32 columns where it lies otherwise; all else is read in place. An entry's sum has one
 * order, which depends on the inner dimension alone: a row's bytes are the same whatever other rows there are and
 * however the work is cut.
 *
 * Why not the library's: by it every chunk of rows packs both matrices anew, and its tiles run at 110 of 117 GFLOP/s.
 * On a Zen 4, beside OpenBLAS 0.3.21 (Cooperlake), whole networks take less time by 4 to 6 % in batches of 32 (GIN 55.6
 * to 53.2 ms, ComENet 170.5 to 163), 4 to 7 % in batches of 128 (GIN 180 to 173, GAT 97 to 92, ComENet 634 to 588). The
 * plain path multiplies by the library.
 */
#include "cpu.h"

enum {
	ROWS = 14,  /* of a tile, and of a part of a product's rows */
	PARTS = 18, /* of a chunk where parts stand alone: some 250 rows */
};

int64_t cpu_parts(int64_t m)
{
	return cpu_n_chunk(m, ROWS);
}

static int64_t part_at(int64_t m, int64_t part)
{
	return m * part / cpu_parts(m);
}

struct part_job {
	int64_t m;
	void (*fn)(void *ctx, int64_t part, int64_t from, int64_t to);
	void *ctx;
};

static void parts_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct part_job *j = ctx;
	const int64_t to = cpu_min(cpu_parts(j->m), (chunk + 1) * PARTS);
	for (int64_t p = chunk * PARTS; p < to; p++)
		j->fn(j->ctx, p, part_at(j->m, p), part_at(j->m, p + 1));
}

void cpu_each_part(const struct kernels *k, int64_t m, void (*fn)(void *ctx, int64_t part, int64_t from, int64_t to),
		   void *ctx)
{
	struct part_job j = {.m = m, .fn = fn, .ctx = ctx};
	cpu_run(k, cpu_n_chunk(cpu_parts(m), PARTS), parts_chunk, &j);
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

enum {
	LANES = 16,           /* of a register */
	COLUMNS = 32,         /* of a panel */
	INNER = 320,          /* of a block of the inner index, at most */
	WIDTH = 512,          /* columns of B that are packed at a time: INNER rows of them fit in the second cache */
	PACK_ROWS = 64,       /* of a chunk of packing; a multiple of LANES */
	CHUNK_WORK = 1 << 21, /* multiplications of a chunk, some 50 microseconds */
	FLAT = 2,             /* at most so many times as many rows as columns: columns are shared out */
	FLAT_WIDTH = 1024,    /* columns at a time then: each thread packs its share */
	COLUMN_CHUNKS = 8,    /* at most */
	OWN_THREADS = 4,      /* of a pool whose threads have a packed B each, at most */
};
#define AVX512 __attribute__((target("avx512f")))
#define AVX512_INLINE AVX512 static inline __attribute__((always_inline))

struct tile {
	const float *a, *b;
	int64_t a_row, a_inner, b_inner, inner; /* steps from entry to entry; b's columns lie side by side */
	float *c;
	int64_t ldc, n; /* n: columns, at most COLUMNS */
	bool add;
	/* What is called near meanwhile, a line for each inner index: in bursts it would be waited for. */
	const char *ahead;
	int64_t ahead_step;
};

/* The first n lanes, none where n < 0. */
AVX512_INLINE __mmask16 first(int64_t n)
{
	return n >= LANES ? (__mmask16)0xffff : n > 0 ? (__mmask16)((1U << n) - 1) : 0;
}

AVX512_INLINE __m512 load(const float *p, bool full, __mmask16 mask)
{
	return full ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(mask, p);
}

AVX512_INLINE void put(float *c, bool full, __mmask16 mask, bool add, __m512 sum)
{
	if (add)
		sum = _mm512_add_ps(sum, load(c, full, mask));
	if (full)
		_mm512_storeu_ps(c, sum);
	else
		_mm512_mask_storeu_ps(c, mask, sum);
}

/* rows, two (registers a row) and full (all COLUMNS are there) are constants where this is used. */
AVX512_INLINE void tile(const struct tile *t, const int rows, const bool two, const bool full)
{
	__m512 sum[ROWS][2];
	const float *a[(ROWS + 2) / 3], *b = t->b;
	const char *ahead = t->ahead;
	const int64_t step = t->a_row;
	const __mmask16 mask[2] = {first(t->n), first(t->n - LANES)};
	for (int i = 0; i < rows; i++)
		sum[i][0] = sum[i][1] = _mm512_setzero_ps();
	for (int i = 0; i < rows; i += 3)
		a[i / 3] = t->a + i * step;
	for (int64_t l = 0; l < t->inner; l++, b += t->b_inner, ahead += t->ahead_step) {
		_mm_prefetch(ahead, _MM_HINT_T0);
		const __m512 b0 = load(b, full, mask[0]), b1 = two ? load(b + LANES, full, mask[1]) : b0;
#pragma GCC unroll 14
		for (int i = 0; i < rows; i++) {
			const __m512 x = _mm512_set1_ps(a[i / 3][i % 3 * step]);
			sum[i][0] = _mm512_fmadd_ps(x, b0, sum[i][0]);
			if (two)
				sum[i][1] = _mm512_fmadd_ps(x, b1, sum[i][1]);
		}
#pragma GCC unroll 5
		for (int i = 0; i < rows; i += 3)
			a[i / 3] += t->a_inner;
	}
	float *c = t->c;
#pragma GCC unroll 14
	for (int i = 0; i < rows; i++, c += t->ldc) {
		put(c, full, mask[0], t->add, sum[i][0]);
		if (two)
			put(c + LANES, full, mask[1], t->add, sum[i][1]);
	}
}

#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#define DEFINE(rows)                                                                                                   \
	AVX512 static void tile_##rows(const struct tile *t)                                                           \
	{                                                                                                              \
		if (t->n == COLUMNS)                                                                                   \
			tile(t, rows, true, true);                                                                     \
		else if (t->n > LANES)                                                                                 \
			tile(t, rows, true, false);                                                                    \
		else                                                                                                   \
			tile(t, rows, false, false);                                                                   \
	}
#define NAME(rows) tile_##rows,
EACH_HEIGHT(DEFINE)
static void (*const tiles[])(const struct tile *t) = {NULL, EACH_HEIGHT(NAME)};

struct job {
	const struct kernels *k;
	bool by_column;            /* threads share out columns, not rows */
	bool ta, tb, add, packs_b; /* B is used where it lies if its rows are whole lines of the cache, and near */
	int64_t m, n, inner, lda, ldb, ldc;
	int64_t n_panel, n_chunk; /* panels of rows; chunks of them, or of panels of columns */
	const float *a, *b, *next_b; /* next_b: what is packed after this, or NULL */
	int64_t n_line; /* of it */
	float *c;
	float *packed; /* B: [panels of columns][inner][COLUMNS]; one for all threads */
	bool *has;     /* [threads] the thread has packed a B of its own; NULL: they share one */
	const struct cpu_around *around; /* or NULL; only where a part of the rows meets all of B at once */
};

static inline float *at_b(const struct job *g, float *packed, int64_t l, int64_t j)
{
	return packed + (j / COLUMNS * g->inner + l) * COLUMNS + j % COLUMNS;
}

/* Sixteen rows of sixteen floats, transposed. */
AVX512_INLINE void transpose(__m512 r[LANES])
{
	__m512 t[LANES];
	for (int i = 0; i < LANES; i += 2) {
		t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
		t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
	}
	for (int i = 0; i < LANES; i += 4)
		for (int h = 0; h < 2; h++) {
			r[i + 2 * h] = _mm512_shuffle_ps(t[i + h], t[i + h + 2], 0x44);
			r[i + 2 * h + 1] = _mm512_shuffle_ps(t[i + h], t[i + h + 2], 0xee);
		}
	for (int i = 0; i < 4; i++) {
		const __m512 low0 = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88),
			     low1 = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd),
			     high0 = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88),
			     high1 = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
		t[i] = _mm512_shuffle_f32x4(low0, high0, 0x88);
		t[i + 4] = _mm512_shuffle_f32x4(low1, high1, 0x88);
		t[i + 8] = _mm512_shuffle_f32x4(low0, high0, 0xdd);
		t[i + 12] = _mm512_shuffle_f32x4(low1, high1, 0xdd);
	}
	for (int i = 0; i < LANES; i++)
		r[i] = t[i];
}

/* Inner indices [from, to) of B's columns [j0, j1) into panels; j0: a multiple of COLUMNS. */
AVX512 static void pack_b(const struct job *g, float *packed, int64_t from, int64_t to, int64_t j0, int64_t j1)
{
	for (int64_t l = from; l < to; l++)
		for (int64_t j = j0; j < j1; j += LANES)
			_mm512_storeu_ps(at_b(g, packed, l, j),
					 _mm512_maskz_loadu_ps(first(g->n - j), g->b + l * g->ldb + j));
}

/* The same of a B that lies transposed; from: a multiple of LANES. */
AVX512 static void pack_b_turned(const struct job *g, float *packed, int64_t from, int64_t to, int64_t j0, int64_t j1)
{
	for (int64_t j = j0; j < j1; j += LANES)
		for (int64_t l = from; l < to; l += LANES) {
			__m512 r[LANES];
			for (int i = 0; i < LANES; i++)
				_mm_prefetch((const char *)(g->b + (j + LANES + i) * g->ldb + l), _MM_HINT_T0);
			for (int i = 0; i < LANES; i++)
				r[i] = j + i < g->n ? _mm512_maskz_loadu_ps(first(to - l), g->b + (j + i) * g->ldb + l)
						    : _mm512_setzero_ps();
			transpose(r);
			for (int i = 0; i < LANES && l + i < to; i++)
				_mm512_storeu_ps(at_b(g, packed, l + i, j), r[i]);
		}
}

static void pack_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct job *g = ctx;
	const int64_t from = chunk * PACK_ROWS;
	(g->tb ? pack_b_turned : pack_b)(g, g->packed, from, cpu_min(g->inner, from + PACK_ROWS), 0, g->n);
}

/* Lines that are wanted next, in runs of equal steps. */
enum { MAX_RUN = 8 };
struct ahead {
	const char *at[MAX_RUN];
	int64_t step[MAX_RUN], left[MAX_RUN]; /* bytes; lines */
	int i, n;
};

static void want(struct ahead *w, const float *at, int64_t step, int64_t n_line)
{
	if (w->n == MAX_RUN || n_line <= 0)
		return;
	w->at[w->n] = (const char *)at;
	w->step[w->n] = step * (int64_t)sizeof *at;
	w->left[w->n++] = n_line;
}

/* n rows of d entries, ld apart. */
static void want_rows(struct ahead *w, const float *at, int64_t n, int64_t d, int64_t ld)
{
	if (ld <= 2 * d)
		want(w, at, LANES, (n * ld + LANES - 1) / LANES);
	for (int64_t c = 0; c < d && ld > 2 * d; c += LANES)
		want(w, at + c, ld, n);
}

/* What panel p + 1 of rows meets in columns [j0, j1), and panel p's share of the block of B that comes next. */
static struct ahead wanted(const struct job *g, int64_t p, int64_t j0, int64_t j1)
{
	struct ahead w = {.n = 0};
	const int64_t from = part_at(g->m, p + 1), n = p + 1 < g->n_panel ? part_at(g->m, p + 2) - from : 0;
	if (g->ta && n)
		want(&w, g->a + from + n - 1, g->lda, g->inner);
	else
		want_rows(&w, g->a + from * g->lda, n, g->inner, g->lda);
	for (int i = 0; g->around && i < CPU_AROUND; i++)
		if (g->around->rows[i])
			want_rows(&w, (const void *)(g->around->rows[i] + from * g->around->d), n, g->around->d, g->around->d);
	want_rows(&w, g->c + from * g->ldc + j0, n, j1 - j0, g->ldc);
	if (g->next_b) {
		const int64_t l = g->n_line * p / g->n_panel;
		want(&w, g->next_b + l * LANES, LANES, g->n_line * (p + 1) / g->n_panel - l);
	}
	return w;
}

/* Lets the tile call what is wanted first. */
static void call(struct ahead *w, struct tile *t)
{
	while (w->i < w->n && w->left[w->i] <= 0)
		w->i++;
	t->ahead = w->i < w->n ? w->at[w->i] : (const char *)t->b;
	t->ahead_step = w->i < w->n ? w->step[w->i] : 0;
	if (w->i == w->n)
		return;
	w->at[w->i] += t->inner * t->ahead_step;
	w->left[w->i] -= t->inner;
}

/* Panels [p0, p1) of rows by columns [j0, j1). */
static void tiles_of(const struct job *g, const float *packed, int64_t p0, int64_t p1, int64_t j0, int64_t j1)
{
	for (int64_t p = p0; p < p1; p++) {
		const int64_t from = part_at(g->m, p), to = part_at(g->m, p + 1);
		struct tile t = {.a = g->ta ? g->a + from : g->a + from * g->lda,
				 .a_row = g->ta ? 1 : g->lda,
				 .a_inner = g->ta ? g->lda : 1,
				 .b_inner = g->packs_b ? COLUMNS : g->ldb,
				 .inner = g->inner,
				 .ldc = g->ldc,
				 .add = g->add};
		struct ahead w = wanted(g, p, j0, j1);
		if (g->around && g->around->before)
			g->around->before(g->around->ctx, p, from, to);
		for (int64_t j = j0; j < j1; j += COLUMNS) {
			t.b = g->packs_b ? packed + j * g->inner : g->b + j;
			t.c = g->c + from * g->ldc + j;
			t.n = cpu_min(COLUMNS, g->n - j);
			call(&w, &t);
			tiles[to - from](&t);
		}
		if (g->around && g->around->after)
			g->around->after(g->around->ctx, p, from, to);
	}
}

static void rows_chunk(void *ctx, int64_t chunk, int thread)
{
	const struct job *g = ctx;
	float *packed = g->packed;
	if (g->has) {
		packed = cpu_scratch(g->k, 2 + thread, (size_t)(INNER * WIDTH) * sizeof *packed);
		if (!g->has[thread])
			(g->tb ? pack_b_turned : pack_b)(g, packed, 0, g->inner, 0, g->n);
		g->has[thread] = true;
	}
	tiles_of(g, packed, g->n_panel * chunk / g->n_chunk, g->n_panel * (chunk + 1) / g->n_chunk, 0, g->n);
}

/* All rows by a share of the columns, which it packs itself. */
static void columns_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct job *g = ctx;
	const int64_t n_panel = cpu_n_chunk(g->n, COLUMNS), j0 = n_panel * chunk / g->n_chunk * COLUMNS;
	const int64_t j1 = cpu_min(g->n, n_panel * (chunk + 1) / g->n_chunk * COLUMNS);
	if (g->packs_b)
		(g->tb ? pack_b_turned : pack_b)(g, g->packed, 0, g->inner, j0, j1);
	tiles_of(g, g->packed, 0, g->n_panel, j0, j1);
}

/*
 * What one core packs another has to fetch, at ten times the time of its own cache where they lie far apart. So columns
 * are shared out where rows are few, each thread with its share of B; else few threads have a whole B each, and many
 * share one.
 */
static void run(const struct kernels *k, struct job *g)
{
	bool has[OWN_THREADS] = {false};
	int64_t n_work = g->m * g->n * g->inner / CHUNK_WORK + 1;
	g->k = k;
	if (g->by_column) {
		g->n_chunk = cpu_min(cpu_min(cpu_n_chunk(g->n, COLUMNS), n_work), COLUMN_CHUNKS);
		cpu_run(k, g->n_chunk, columns_chunk, g);
		return;
	}
	g->n_chunk = cpu_min(g->n_panel, n_work);
	if (g->packs_b && pool_size(k->pool) <= OWN_THREADS && g->n_chunk > 1)
		g->has = has;
	else if (g->packs_b)
		cpu_run(k, cpu_n_chunk(g->inner, PACK_ROWS), pack_chunk, g);
	cpu_run(k, g->n_chunk, rows_chunk, g);
}

bool cpu_product_works(void)
{
	return sizeof(real) == sizeof(float) && __builtin_cpu_supports("avx512f");
}

void cpu_product(const struct kernels *k, bool ta, bool tb, int64_t m, int64_t n, int64_t kk, const real *a,
		 int64_t lda, const real *b, int64_t ldb, bool add, real *c, int64_t ldc,
		 const struct cpu_around *around)
{
	const bool by_column = pool_size(k->pool) > 1 && m <= FLAT * n;
	const int64_t n_block = cpu_n_chunk(kk, INNER), width = by_column ? FLAT_WIDTH : WIDTH;
	const bool at_once = !by_column && n_block == 1 && n <= width;
	if (around && !at_once && around->before)
		cpu_each_part(k, m, around->before, around->ctx);
	float *packed = cpu_scratch(k, CPU_SLOT_PRODUCT, (size_t)(INNER * width) * sizeof *packed);
	for (int64_t j = 0; j < n; j += width)
		for (int64_t h = 0; h < n_block; h++) {
			const int64_t l = kk * h / n_block;
			struct job g = {.by_column = by_column,
					.ta = ta,
					.tb = tb,
					.add = add || h,
					.packs_b = tb || ldb % LANES || ldb >= CPU_FAR || (uintptr_t)b % 64,
					.m = m,
					.n = cpu_min(width, n - j),
					.inner = kk * (h + 1) / n_block - l,
					.lda = lda,
					.ldb = ldb,
					.ldc = ldc,
					.n_panel = cpu_parts(m),
					.a = (const void *)(ta ? a + l * lda : a + l),
					.b = (const void *)(tb ? b + j * ldb + l : b + l * ldb + j),
					.c = (void *)(c + j),
					.next_b = h + 1 < n_block && !tb && n <= width && ldb < CPU_FAR ? (const void *)(b + kk * (h + 1) / n_block * ldb) : NULL,
					.n_line = (kk / n_block) * ldb / LANES,
					.packed = packed,
					.around = at_once ? around : NULL};
			run(k, &g);
		}
	if (around && !at_once && around->after)
		cpu_each_part(k, m, around->after, around->ctx);
}

#else

bool cpu_product_works(void)
{
	return false;
}

void cpu_product(const struct kernels *k, bool ta, bool tb, int64_t m, int64_t n, int64_t kk, const real *a,
		 int64_t lda, const real *b, int64_t ldb, bool add, real *c, int64_t ldc,
		 const struct cpu_around *around)
{
	(void)k, (void)ta, (void)tb, (void)m, (void)n, (void)kk, (void)a, (void)lda, (void)b, (void)ldb, (void)add;
	(void)c, (void)ldc, (void)around;
}

#endif
