/*
 * cpu_product.c - products of floats on processors with AVX-512, by tiles (cpu_tile.c).
 *
 * B is copied into panels where it lies otherwise; all else is read in place, and called near before it is wanted. A
 * sum's order depends on the inner dimension alone: a row's bytes are the same whatever other rows there are and
 * however the work is cut.
 *
 * Why not the library's: by it every chunk of rows packs both matrices anew, nothing is called near that comes from
 * memory, and nothing can be done to rows while they are near. The plain path multiplies by the library what is not
 * small (cpu_exact.c).
 */
#include "cpu_tile.h"

enum {
	PARTS = 18,           /* of a chunk where parts stand alone: some 250 rows */
	INNER = 320,          /* of a block of the inner index, at most */
	WIDTH = 512,          /* columns of B that are packed at a time: INNER rows of them fit in the second cache */
	PACK_ROWS = 64,       /* of a chunk of packing; a multiple of TILE_LANES */
	CHUNK_WORK = 1 << 21, /* multiplications of a chunk, some 50 microseconds */
	FLAT = 2,             /* at most so many times as many rows as columns: threads share out columns */
	FLAT_WIDTH = 1024,    /* columns at a time then: each thread packs its share */
	OWN_THREADS = 4,      /* of a pool whose threads have a packed B each, at most */
};

int64_t cpu_parts(int64_t m)
{
	return cpu_n_chunk(m, TILE_ROWS);
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

struct job {
	const struct kernels *k;
	bool ta, add;
	bool by_column; /* threads share out columns, not rows */
	bool packs_b;   /* B is used where it lies if its rows are whole lines of the cache, and near */
	int64_t m, n, inner, lda, ldc;
	int64_t n_panel, n_chunk; /* parts of the rows; chunks of them, or of panels of columns */
	const float *a;
	struct cpu_panels b;
	const float *next_b; /* what is packed after this, lines of the cache, or NULL */
	int64_t n_line;
	float *c;
	float *packed;                   /* B; one for all threads */
	bool *has;                       /* [threads] the thread has packed a B of its own; NULL: they share one */
	const struct cpu_around *around; /* or NULL; only where a part of the rows meets all of B at once */
};

static void pack_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct job *g = ctx;
	const int64_t from = chunk * PACK_ROWS;
	cpu_pack(&g->b, g->packed, from, cpu_min(g->inner, from + PACK_ROWS), 0, g->n);
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
		want(w, at, TILE_LANES, (n * ld + TILE_LANES - 1) / TILE_LANES);
	for (int64_t c = 0; c < d && ld > 2 * d; c += TILE_LANES)
		want(w, at + c, ld, n);
}

/* What panel p + 1 of rows meets in columns [j0, j1), and panel p's share of the block of B that comes next. */
static void wanted(const struct job *g, struct ahead *w, int64_t p, int64_t j0, int64_t j1)
{
	const int64_t from = part_at(g->m, p + 1), n = p + 1 < g->n_panel ? part_at(g->m, p + 2) - from : 0;
	w->i = w->n = 0; /* the rest need not be cleared */
	if (g->ta && n)
		want(w, g->a + from + n - 1, g->lda, g->inner);
	else
		want_rows(w, g->a + from * g->lda, n, g->inner, g->lda);
	for (int i = 0; g->around && i < CPU_AROUND; i++)
		if (g->around->rows[i])
			want_rows(w, (const void *)(g->around->rows[i] + from * g->around->d), n, g->around->d,
				  g->around->d);
	want_rows(w, g->c + from * g->ldc + j0, n, j1 - j0, g->ldc);
	if (g->next_b) {
		const int64_t l = g->n_line * p / g->n_panel;
		want(w, g->next_b + l * TILE_LANES, TILE_LANES, g->n_line * (p + 1) / g->n_panel - l);
	}
}

/* Lets the tile call what is wanted first. */
static void call(struct ahead *w, struct cpu_tile *t)
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
		struct cpu_tile t = {.a = g->ta ? g->a + from : g->a + from * g->lda,
				     .a_row = g->ta ? 1 : g->lda,
				     .a_inner = g->ta ? g->lda : 1,
				     .b_inner = g->packs_b ? TILE_COLUMNS : g->b.ldb,
				     .inner = g->inner,
				     .ldc = g->ldc,
				     .add = g->add};
		struct ahead w;
		wanted(g, &w, p, j0, j1);
		if (g->around && g->around->before)
			g->around->before(g->around->ctx, p, from, to);
		for (int64_t j = j0; j < j1; j += TILE_COLUMNS) {
			t.b = g->packs_b ? packed + j * g->inner : g->b.b + j;
			t.c = g->c + from * g->ldc + j;
			t.n = cpu_min(TILE_COLUMNS, g->n - j);
			call(&w, &t);
			cpu_tile(&t, (int)(to - from));
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
			cpu_pack(&g->b, packed, 0, g->inner, 0, g->n);
		g->has[thread] = true;
	}
	tiles_of(g, packed, g->n_panel * chunk / g->n_chunk, g->n_panel * (chunk + 1) / g->n_chunk, 0, g->n);
}

/* All rows by a share of the columns, which it packs itself. */
static void columns_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct job *g = ctx;
	const int64_t n_panel = cpu_n_chunk(g->n, TILE_COLUMNS), j0 = n_panel * chunk / g->n_chunk * TILE_COLUMNS;
	const int64_t j1 = cpu_min(g->n, n_panel * (chunk + 1) / g->n_chunk * TILE_COLUMNS);
	if (g->packs_b)
		cpu_pack(&g->b, g->packed, 0, g->inner, j0, j1);
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
		/* each calls all rows of A near: no more of them than threads */
		g->n_chunk = cpu_min(cpu_min(cpu_n_chunk(g->n, TILE_COLUMNS), n_work), pool_size(k->pool));
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
	return sizeof(real) == sizeof(float) && cpu_tile_works();
}

/* Rows of B are whole lines of the cache, and near each other: it is used where it lies. */
static bool lies_well(const real *b, int64_t ldb)
{
	return ldb % TILE_LANES == 0 && ldb < CPU_FAR && (uintptr_t)b % 64 == 0;
}

void cpu_product(const struct kernels *k, bool ta, bool tb, int64_t m, int64_t n, int64_t kk, const real *a,
		 int64_t lda, const real *b, int64_t ldb, bool add, real *c, int64_t ldc,
		 const struct cpu_around *around)
{
	/* B^T A packs nothing where A^T B would pack B */
	if (ta && !tb && m < kk && lies_well(a, lda) && !lies_well(b, ldb)) {
		real *turned = cpu_scratch(k, CPU_SLOT_TURNED, (size_t)(m * n) * sizeof *turned);
		cpu_product(k, true, false, n, m, kk, b, ldb, a, lda, false, turned, m, NULL);
		cpu_turn((const void *)turned, m, n, m, add, (void *)c, ldc);
		return;
	}
	const int64_t n_column = cpu_n_chunk(n, TILE_COLUMNS), n_thread = pool_size(k->pool);
	/* no thread's share of the columns is more than 1.2 times the mean */
	const bool is_even = 5 * cpu_n_chunk(n_column, n_thread) * n_thread <= 6 * n_column;
	const bool by_column = n_thread > 1 && m <= FLAT * n && is_even;
	const int64_t n_block = cpu_n_chunk(kk, INNER), width = by_column ? FLAT_WIDTH : WIDTH;
	const bool at_once = !by_column && n_block == 1 && n <= width;
	if (around && !at_once && around->before)
		cpu_each_part(k, m, around->before, around->ctx);
	float *packed = cpu_scratch(k, CPU_SLOT_PRODUCT, (size_t)(INNER * width) * sizeof *packed);
	for (int64_t j = 0; j < n; j += width)
		for (int64_t h = 0; h < n_block; h++) {
			const int64_t from = kk * h / n_block, to = kk * (h + 1) / n_block;
			const real *b_at = tb ? b + j * ldb + from : b + from * ldb + j;
			const bool goes_on = h + 1 < n_block && !tb && n <= width && ldb < CPU_FAR;
			struct job g = {.ta = ta,
					.add = add || h,
					.by_column = by_column,
					.packs_b = tb || !lies_well(b, ldb),
					.m = m,
					.n = cpu_min(width, n - j),
					.inner = to - from,
					.lda = lda,
					.ldc = ldc,
					.n_panel = cpu_parts(m),
					.a = (const void *)(ta ? a + from * lda : a + from),
					.b = {(const void *)b_at, ldb, to - from, cpu_min(width, n - j), tb},
					.next_b = goes_on ? (const void *)(b + to * ldb) : NULL,
					.n_line = kk / n_block * ldb / TILE_LANES,
					.c = (void *)(c + j),
					.packed = packed,
					.around = at_once ? around : NULL};
			run(k, &g);
		}
	if (around && !at_once && around->after)
		cpu_each_part(k, m, around->after, around->ctx);
}
