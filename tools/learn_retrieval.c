/* learn_retrieval.c - retrieval of one view of a molecule by another. */
#include "learn_retrieval.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FIELD = 32 };

/* All vectors of one field, each of length 1; row -1 of a molecule without. */
struct field {
	const char *name;
	int64_t d, n;
	struct buf x;   /* float [n, d] */
	struct buf row; /* int64 [molecules]: its vector, or -1 */
};

struct gathered {
	struct field field[MAX_FIELD];
	int n_field;
	int64_t n_mol;
	struct buf size, formula; /* int64, uint64 [molecules] */
};

static int field_find(struct gathered *g, const char *name, size_t n, struct arena *a, struct err *e)
{
	const char *full = arena_printf(a, "%s%.*s", strncmp(name, "emb_", 4) ? "emb_" : "", (int)n, name);
	for (int k = 0; k < g->n_field; k++)
		if (!strcmp(g->field[k].name, full))
			return k;
	if (g->n_field == MAX_FIELD)
		return err_set(e, ERR_USAGE, "--retrieval takes at most %d fields", MAX_FIELD);
	g->field[g->n_field] = (struct field){.name = full};
	return g->n_field++;
}

static int vector_add(struct field *f, const struct ts_map *m, struct err *e)
{
	const struct ts_tensor *t;
	int64_t row = -1;
	if (ts_get(m, f->name)) {
		int rc = ts_need_tensor(m, f->name, TS_F32, 1, &t, e);
		if (rc)
			return rc;
		int64_t d = ts_tensor_count(t);
		if (!f->n)
			f->d = d;
		if (d != f->d || !d)
			return err_set(e, ERR_SCHEMA, "%s has %" PRId64 " numbers, not %" PRId64, f->name, d, f->d);
		const float *x = t->data;
		double square = 0;
		for (int64_t i = 0; i < d; i++)
			square += (double)x[i] * x[i];
		if (!isfinite(square))
			return err_set(e, ERR_NUMERIC, "%s holds what is no number", f->name);
		float *to = (float *)(void *)buf_reserve(&f->x, (size_t)d * sizeof *to);
		double scale = square > 0 ? 1 / sqrt(square) : 0;
		for (int64_t i = 0; i < d; i++)
			to[i] = (float)(x[i] * scale);
		f->x.n += (size_t)d * sizeof *to;
		row = f->n++;
	}
	buf_put(&f->row, &row, sizeof row);
	return 0;
}

static int by_number(const void *pa, const void *pb)
{
	int64_t a = *(const int64_t *)pa, b = *(const int64_t *)pb;
	return a < b ? -1 : a > b;
}

/* Number of atoms and a digest of their sorted elements. */
static int atoms_add(struct gathered *g, const struct ts_map *m, struct arena *a, struct err *e)
{
	const struct ts_tensor *z;
	int rc = ts_need_tensor(m, "z", TS_I64, 1, &z, e);
	if (rc)
		return rc;
	int64_t n = ts_tensor_count(z), *sorted = arena_alloc(a, (size_t)(n + 1) * sizeof *sorted);
	uint64_t digest = UINT64_C(14695981039346656037); /* FNV-1a, of one number at a time */
	memcpy(sorted, z->data, (size_t)n * sizeof *sorted);
	qsort(sorted, (size_t)n, sizeof *sorted, by_number);
	for (int64_t i = 0; i < n; i++)
		digest = (digest ^ (uint64_t)sorted[i]) * UINT64_C(1099511628211);
	buf_put(&g->size, &n, sizeof n);
	buf_put(&g->formula, &digest, sizeof digest);
	return 0;
}

static int gather(struct gathered *g, const struct cli *c, struct err *e)
{
	struct cli_stream *s = NULL;
	struct arena *a = arena_new(0);
	struct ts_map m;
	int rc = cli_stream_open(c, &s, e), item = TS_HEADER;
	while (!rc) {
		arena_reset(a);
		item = cli_stream_next(s, a, &m, e);
		if (item <= TS_EOF) {
			rc = item;
			break;
		}
		if (item != TS_RECORD)
			continue;
		for (int k = 0; k < g->n_field && !rc; k++)
			rc = vector_add(&g->field[k], &m, e);
		rc = rc ? rc : atoms_add(g, &m, a, e);
		if (rc)
			cli_stream_fail(s, rc, e);
		g->n_mol++;
	}
	cli_stream_free(s);
	arena_free(a);
	return rc;
}

static double dot(const float *a, const float *b, int64_t d)
{
	double sum = 0;
	for (int64_t i = 0; i < d; i++)
		sum += (double)a[i] * b[i];
	return sum;
}

struct tally {
	int64_t n, top1, top10;
	int64_t *rank; /* [n] */
};

static void tally_add(struct tally *t, int64_t rank)
{
	t->rank[t->n++] = rank;
	t->top1 += rank <= 1;
	t->top10 += rank <= 10;
}

static void row_write(const struct tally *t, const char *from, const char *to, const char *among, FILE *out)
{
	double n = t->n ? (double)t->n : 1;
	qsort(t->rank, (size_t)t->n, sizeof *t->rank, by_number);
	fprintf(out, "%s\t%s\t%s\t%" PRId64 "\t%.4f\t%.4f\t%" PRId64 "\n", from, to, among, t->n, (double)t->top1 / n,
		(double)t->top10 / n, t->n ? t->rank[t->n / 2] : 0);
}

static void pair_write(const struct gathered *g, const struct field *from, const struct field *to, FILE *out)
{
	const int64_t *a = (const int64_t *)from->row.data, *b = (const int64_t *)to->row.data,
		      *size = (const int64_t *)g->size.data;
	const float *x = (const float *)(const void *)from->x.data, *y = (const float *)(const void *)to->x.data;
	int64_t *rank = malloc((size_t)(2 * g->n_mol + 1) * sizeof *rank);
	if (!rank)
		abort();
	struct tally all = {.rank = rank}, alike = {.rank = rank + g->n_mol};
	for (int64_t i = 0; i < g->n_mol; i++) {
		if (a[i] < 0 || b[i] < 0)
			continue;
		const float *query = x + a[i] * from->d;
		double own = dot(query, y + b[i] * to->d, to->d);
		int64_t nearer = 0, nearer_alike = 0;
		for (int64_t j = 0; j < g->n_mol; j++) {
			if (j == i || a[j] < 0 || b[j] < 0 || !(dot(query, y + b[j] * to->d, to->d) >= own))
				continue;
			nearer++;
			nearer_alike += size[j] == size[i];
		}
		tally_add(&all, 1 + nearer);
		tally_add(&alike, 1 + nearer_alike);
	}
	row_write(&all, from->name, to->name, "all", out);
	row_write(&alike, from->name, to->name, "size", out);
	free(rank);
}

/* What the elements alone would find: the right one ties with all of its formula. */
static void formula_write(const struct gathered *g, FILE *out)
{
	const uint64_t *f = (const uint64_t *)g->formula.data;
	int64_t *rank = malloc((size_t)(g->n_mol + 1) * sizeof *rank);
	if (!rank)
		abort();
	struct tally t = {.rank = rank};
	for (int64_t i = 0; i < g->n_mol; i++) {
		int64_t alike = 0;
		for (int64_t j = 0; j < g->n_mol; j++)
			alike += f[j] == f[i];
		tally_add(&t, alike);
	}
	row_write(&t, "formula", "formula", "all", out);
	free(rank);
}

int retrieval_run(const struct cli *c, int n_item, const char *const *items, FILE *out, struct err *e)
{
	struct gathered g = {.n_field = 0};
	int from[MAX_FIELD], to[MAX_FIELD], rc = 0;
	if (n_item > MAX_FIELD)
		return err_set(e, ERR_USAGE, "--retrieval takes at most %d pairs", MAX_FIELD);
	for (int k = 0; k < n_item && !rc; k++) {
		const char *colon = strchr(items[k], ':');
		if (!colon || colon == items[k] || !colon[1])
			return err_set(e, ERR_USAGE, "--retrieval %s: not FROM:TO", items[k]);
		from[k] = field_find(&g, items[k], (size_t)(colon - items[k]), c->arena, e);
		to[k] = from[k] < 0 ? from[k] : field_find(&g, colon + 1, strlen(colon + 1), c->arena, e);
		rc = from[k] < 0 || to[k] < 0 ? ERR_USAGE : 0;
	}
	rc = rc ? rc : gather(&g, c, e);
	for (int k = 0; k < g.n_field && !rc; k++)
		if (!g.field[k].n)
			rc = err_set(e, ERR_SCHEMA, "no record has %s: encode --out %s writes it", g.field[k].name,
				     g.field[k].name + 4);
	if (!rc)
		fprintf(out, "from\tto\tamong\tn\ttop1\ttop10\trank\n");
	for (int k = 0; k < n_item && !rc; k++) {
		if (g.field[from[k]].d != g.field[to[k]].d)
			rc = err_set(e, ERR_SCHEMA, "%s has %" PRId64 " numbers, %s %" PRId64, g.field[from[k]].name,
				     g.field[from[k]].d, g.field[to[k]].name, g.field[to[k]].d);
		else
			pair_write(&g, &g.field[from[k]], &g.field[to[k]], out);
	}
	if (!rc)
		formula_write(&g, out);
	for (int k = 0; k < g.n_field; k++) {
		buf_free(&g.field[k].x);
		buf_free(&g.field[k].row);
	}
	buf_free(&g.size);
	buf_free(&g.formula);
	return rc;
}
