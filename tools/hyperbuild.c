/* hyperbuild - opens a hyperedge at each molecule: itself and its nearest neighbours. */
#include "cli_stream.h"
#include "learn_device.h"
#include "nn_approx.h"
#include "nn_neighbours.h"
#include "nn_split.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const metric_names[] = {"auto", "l2", "cosine", "tanimoto", NULL};

enum search { SEARCH_AUTO, SEARCH_EXACT, SEARCH_APPROX };
static const char *const search_names[] = {"auto", "exact", "approx", NULL};

struct conf {
	struct cli cli;
	const char *by;
	int64_t k, window, mem, recall;
	int search;
	int metric; /* 0: by the field; else 1 + enum nn_distance */
	bool soft;
};
#define AT(member) offsetof(struct conf, member)
static const struct opt options[] = {
    {"by", 0, OPT_STR, "FIELD", "a vector field, fp or scaffold (default: the first emb_ field)", AT(by), OPT_RECORDS},
    {"k", 'k', OPT_INT, "K", "molecules of a hyperedge, the one that opens it included", AT(k), OPT_RECORDS, .min = 1,
     .max = 4096},
    {"metric", 0, OPT_CHOICE, "NAME", "auto, l2, cosine or tanimoto", AT(metric), OPT_RECORDS, metric_names},
    {"soft", 0, OPT_FLAG, NULL, "weights that fall with the distance, instead of 1", AT(soft), OPT_RECORDS},
    {"window", 0, OPT_INT, "N", "look for neighbours among N records in a row (default: all)", AT(window), OPT_RECORDS,
     .max = 9e15},
    {"search", 0, OPT_CHOICE, "NAME", "exact, approx, or auto: approx past --mem", AT(search), OPT_RECORDS,
     search_names},
    {"recall", 0, OPT_INT, "N", "tell what share of the neighbours of N records an approx search finds", AT(recall),
     .max = 9e15},
    {"mem", 0, OPT_SIZE, "SIZE", "memory for the vectors and neighbours of a window", AT(mem)},
    {0},
};

struct hyper {
	struct conf *conf;
	const char *by; /* NULL until the first record */
	enum nn_distance metric;
	bool by_scaffold;
	struct pool *pool;
	struct kernels kernels;
	/* The records of the window. */
	struct cli_gathered g;    /* header and spool */
	int64_t n, cap, d;        /* d: values (or bytes of bits) of a vector; -1: none seen */
	int64_t *row;             /* [n] */
	struct buf x;             /* [n, d] */
	struct nn_approx *approx; /* or there */
	struct nn_names scaffolds;
	int64_t *scaffold; /* [n] */
};

/* Which field, and by which distance. */
static int field_choose(struct hyper *y, struct err *e)
{
	const struct ts_header *h = &y->g.header;
	y->by = y->conf->by;
	for (int i = 0; i < h->n_field && !y->by; i++)
		if (!strncmp(h->fields[i], "emb_", 4))
			y->by = h->fields[i];
	if (!y->by)
		return err_set(e, ERR_SCHEMA, "no field emb_*: run encode first, or say --by fp or --by scaffold");
	y->by = arena_strdup(y->conf->cli.arena, y->by);
	y->by_scaffold = !strcmp(y->by, "scaffold");
	bool bits = !strcmp(y->by, "fp");
	y->metric = y->conf->metric ? (enum nn_distance)(y->conf->metric - 1) : bits ? NN_TANIMOTO : NN_L2;
	if (y->by_scaffold && (y->conf->metric || y->conf->soft))
		return err_set(e, ERR_USAGE, "--by scaffold has no distance: --metric and --soft do not apply");
	if (!y->by_scaffold && bits != (y->metric == NN_TANIMOTO))
		return err_set(e, ERR_USAGE, "--metric tanimoto is for --by fp, l2 and cosine for other fields");
	return 0;
}

static int vector_take(struct hyper *y, const struct ts_map *m, struct err *e)
{
	const struct ts_tensor *t;
	bool bits = y->metric == NN_TANIMOTO;
	int rc = ts_need_tensor(m, y->by, bits ? TS_U8 : TS_F32, 1, &t, e);
	if (rc)
		return rc;
	if (y->d >= 0 && t->shape[0] != y->d)
		return err_set(e, ERR_SCHEMA, "field %s has %" PRId64 " values here and %" PRId64 " before", y->by,
			       t->shape[0], y->d);
	y->d = t->shape[0];
	for (int64_t i = 0; i < y->d && !bits; i++)
		if (!isfinite(((const float *)t->data)[i]))
			return err_set(e, ERR_NUMERIC, "field %s holds what is no number", y->by);
	if (y->conf->search == SEARCH_APPROX && !y->approx &&
	    (rc = nn_approx_new(&y->approx, &y->kernels, y->metric, y->d, e)))
		return rc;
	if (y->approx)
		return nn_approx_add(y->approx, t->data, 1, e);
	buf_put(&y->x, t->data, ts_tensor_nbytes(t));
	return 0;
}

/* Row and group, places in the spool; and for an exact search vectors, neighbours and what finds them. */
static int64_t memory_held(const struct hyper *y)
{
	int64_t n_value = y->metric == NN_TANIMOTO ? 0 : y->d, k = y->conf->k;
	if (y->by_scaffold)
		return y->n * 32;
	if (y->approx)
		return y->n * (32 + 16 * k + nn_approx_nbytes());
	return (int64_t)y->x.n + y->n * (32 + 32 * k + (n_value ? 4 * n_value + 8 * k + 64 : 0));
}

/* What memory does not hold goes to a file and to an index. */
static int spill(struct hyper *y, struct err *e)
{
	int rc = nn_approx_new(&y->approx, &y->kernels, y->metric, y->d, e);
	if (!rc)
		rc = nn_approx_add(y->approx, y->x.data, y->n, e);
	buf_free(&y->x);
	return rc;
}

static int record_take(void *ctx, const struct ts_map *m, struct err *e)
{
	struct hyper *y = ctx;
	const char *scaffold;
	int rc = y->by ? 0 : field_choose(y, e);
	if (rc)
		return rc;
	const char *const need[] = {"row", y->by, NULL};
	rc = ts_schema_check(ts_schema_find("molecule"), NULL, m, need, e);
	if (rc)
		return rc;
	if (y->n == y->cap) {
		y->cap = y->cap ? 2 * y->cap : 1024;
		y->row = realloc(y->row, (size_t)y->cap * sizeof *y->row);
		y->scaffold = realloc(y->scaffold, (size_t)y->cap * sizeof *y->scaffold);
		if (!y->row || !y->scaffold)
			abort();
	}
	if ((rc = ts_need_int(m, "row", &y->row[y->n], e)))
		return rc;
	if (y->by_scaffold) {
		if ((rc = ts_need_str(m, "scaffold", &scaffold, e)))
			return rc;
		y->scaffold[y->n] = nn_names_add(&y->scaffolds, scaffold);
	} else if ((rc = vector_take(y, m, e))) {
		return rc;
	}
	y->n++;
	bool may_spill = y->conf->search == SEARCH_AUTO && !y->conf->window && !y->by_scaffold && !y->approx;
	if (may_spill && memory_held(y) > y->conf->mem && (rc = spill(y, e)))
		return rc;
	return cli_mem_check(memory_held(y), y->conf->mem, "raise it, or look among fewer records by --window", e);
}

static int int_compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* hyper_index names molecules by row, so a row may not occur twice. */
static int rows_check(const struct hyper *y, struct err *e)
{
	int64_t *sorted = malloc((size_t)(y->n + 1) * sizeof *sorted);
	int rc = 0;
	if (!sorted)
		abort();
	if (y->n) {
		memcpy(sorted, y->row, (size_t)y->n * sizeof *sorted);
		qsort(sorted, (size_t)y->n, sizeof *sorted, int_compare);
	}
	for (int64_t i = 1; i < y->n && !rc; i++)
		if (sorted[i] == sorted[i - 1])
			rc = err_set(e, ERR_SCHEMA, "row %" PRId64 " is here twice", sorted[i]);
	free(sorted);
	return rc;
}

static int record_write(const struct hyper *y, int64_t i, int64_t k, const int64_t *idx, const double *dist,
			double mean, struct arena *a, struct ts_writer *w, struct err *e)
{
	const uint8_t *data;
	size_t n;
	struct ts_map m;
	arena_reset(a);
	int rc = ts_spool_get(y->g.spool, i, &data, &n, e);
	if (rc || (rc = ts_unpack(data, n, a, &m, e)))
		return rc;
	int64_t *index = arena_alloc(a, (size_t)k * sizeof *index);
	float *weight = arena_alloc(a, (size_t)k * sizeof *weight);
	for (int64_t j = 0; j < k; j++) {
		index[j] = y->row[idx[j]];
		weight[j] = 1;
		if (y->conf->soft && mean > 0)
			weight[j] = (float)exp(-dist[j] * dist[j] / (mean * mean));
	}
	ts_set_tensor(&m, "hyper_index", TS_I64, index, 1, k);
	ts_set_tensor(&m, "hyper_weight", TS_F32, weight, 1, k);
	return ts_writer_record(w, &m, e);
}

/* Itself, then the others of its scaffold in the order of the stream. */
static int scaffolds_write(const struct hyper *y, struct arena *a, struct ts_writer *w, struct err *e)
{
	int64_t n_group = y->scaffolds.n, k_max = y->conf->k, rc = 0;
	int64_t *first = calloc((size_t)n_group + 1, sizeof *first),
		*member = malloc((size_t)(y->n + 1) * sizeof *member);
	int64_t *idx = malloc((size_t)k_max * sizeof *idx), *fill = calloc((size_t)n_group + 1, sizeof *fill);
	if (!first || !member || !idx || !fill)
		abort();
	for (int64_t i = 0; i < y->n; i++)
		first[y->scaffold[i] + 1]++;
	for (int64_t g = 0; g < n_group; g++)
		first[g + 1] += first[g];
	for (int64_t i = 0; i < y->n; i++)
		member[first[y->scaffold[i]] + fill[y->scaffold[i]]++] = i;
	for (int64_t i = 0; i < y->n && !rc; i++) {
		int64_t k = 0, g = y->scaffold[i];
		idx[k++] = i;
		for (int64_t j = first[g]; j < first[g + 1] && k < k_max; j++)
			if (member[j] != i)
				idx[k++] = member[j];
		rc = record_write(y, i, k, idx, NULL, 0, a, w, e);
	}
	free(first);
	free(member);
	free(idx);
	free(fill);
	return (int)rc;
}

/* Neighbours of all rows: idx, dist [n, k], -1 where an approximate search found none; mean [n] or NULL. */
static int neighbours_find(const struct hyper *y, int64_t k, int64_t *idx, double *dist, double *mean, struct err *e)
{
	int rc = 0;
	if (y->approx)
		rc = nn_approx_search(y->approx, k, idx, dist, mean, e);
	else
		nn_neighbours(&y->kernels, y->x.data, y->n, y->d, y->metric, k, idx, dist, mean);
	if (!rc && y->approx && y->conf->recall)
		fprintf(stderr, "hyperbuild: recall at k = %" PRId64 ": %.4f\n", k,
			nn_approx_recall(y->approx, k, idx, dist, y->conf->recall));
	if (!rc && io_stop_signal())
		rc = err_set(e, ERR_STOPPED, "stopped by signal %d", io_stop_signal());
	return rc;
}

static int vectors_write(const struct hyper *y, struct arena *a, struct ts_writer *w, struct err *e)
{
	int64_t k = y->conf->k < y->n ? y->conf->k : y->n;
	size_t n_cell = (size_t)(y->n * k + 1);
	int64_t *idx = malloc(n_cell * sizeof *idx);
	double *dist = malloc(n_cell * sizeof *dist), *mean = malloc((size_t)(y->n + 1) * sizeof *mean);
	int rc = 0;
	if (!idx || !dist || !mean)
		abort();
	if (y->n)
		rc = neighbours_find(y, k, idx, dist, y->conf->soft ? mean : NULL, e);
	for (int64_t i = 0; i < y->n && !rc; i++) {
		int64_t n = k;
		while (n > 1 && idx[i * k + n - 1] < 0)
			n--;
		rc = record_write(y, i, n, idx + i * k, dist + i * k, y->conf->soft ? mean[i] : 0, a, w, e);
	}
	free(idx);
	free(dist);
	free(mean);
	return rc;
}

/* Writes the records of the window and empties it. */
static int window_write(struct hyper *y, struct ts_writer *w, struct err *e)
{
	struct arena *a = arena_new(0);
	int rc = rows_check(y, e);
	if (!rc)
		rc = (y->by_scaffold ? scaffolds_write : vectors_write)(y, a, w, e);
	arena_free(a);
	ts_spool_free(y->g.spool);
	y->g.spool = NULL;
	nn_approx_free(y->approx);
	y->approx = NULL;
	y->n = 0;
	y->x.n = 0;
	nn_names_free(&y->scaffolds);
	return rc;
}

static int header_write(struct hyper *y, const char *source, struct ts_writer *w, struct err *e)
{
	struct ts_node node;
	struct arena *a = y->conf->cli.arena;
	struct ts_header *h = &y->g.header;
	int rc = cli_node(y->conf, false, &node, e);
	if (rc)
		return rc;
	ts_header_add_field(h, "hyper_index", a);
	ts_header_add_field(h, "hyper_weight", a);
	if (source)
		ts_set_str(&h->extra, "hyper_source", source);
	ts_header_add_node(h, &node, a);
	return ts_writer_header(w, h, e);
}

static int whole_run(struct hyper *y, struct cli_stream *in, struct ts_writer *w, struct err *e)
{
	int rc = cli_gather(in, "molecule", y->conf->cli.arena, record_take, y, &y->g, e);
	if (!rc && y->approx && y->conf->search == SEARCH_AUTO) {
		cli_warn(&y->conf->cli, "%" PRId64 " vectors do not fit into --mem: the search is approximate", y->n);
		y->conf->search = SEARCH_APPROX; /* so it stands in provenance */
	}
	if (!rc)
		rc = header_write(y, y->g.follow.source, w, e);
	if (!rc)
		rc = window_write(y, w, e);
	return rc ? rc : ts_writer_end(w, &y->g.follow, e);
}

static int windows_run(struct hyper *y, struct cli_stream *in, struct ts_writer *w, struct err *e)
{
	struct arena *a = arena_new(0);
	struct ts_map m;
	int item = 0, rc = 0;
	while (!rc && (item = cli_stream_next(in, a, &m, e)) > 0) {
		if (item == TS_HEADER) {
			y->d = -1;
			y->by = NULL;
			if (!(rc = cli_stream_header(in, "molecule", &y->g.header, y->conf->cli.arena, e)))
				rc = header_write(y, NULL, w, e);
		} else if (item == TS_RECORD) {
			size_t n;
			const uint8_t *data = ts_reader_bytes(cli_stream_reader(in), &n);
			if (!y->g.spool)
				rc = ts_spool_new(&y->g.spool, e);
			if (!rc && (rc = record_take(y, &m, e)))
				cli_stream_fail(in, rc, e);
			if (!rc)
				rc = ts_spool_add(y->g.spool, data, n, e);
			if (!rc && y->n == y->conf->window)
				rc = window_write(y, w, e);
		} else {
			struct ts_end end;
			ts_end_follow(&end, ts_reader_end(cli_stream_reader(in)));
			if (!(rc = window_write(y, w, e)))
				rc = ts_writer_end(w, &end, e);
		}
		arena_reset(a);
	}
	arena_free(a);
	return rc ? rc : item;
}

int main(int argc, char **argv)
{
	struct conf conf = {.cli = {.output = "-", .n_worker = 1}, .k = 10, .mem = CLI_MEM_DEFAULT};
	struct hyper y = {.conf = &conf, .d = -1};
	struct cli_stream *in = NULL;
	struct cli_sink sink = {0};
	struct err e = {0};
	learn_begin(argv);
	int code = cli_begin(&conf, sizeof conf, "hyperbuild", "[FILE ...]", options, NULL, argc, argv);
	if (code >= 0)
		return code;
	y.pool = pool_new((int)conf.cli.n_worker);
	int rc = kernels_open(&y.kernels, KERNELS_CPU, y.pool, &e);
	y.kernels.leaves_off = true;
	if (!rc)
		rc = cli_stream_open(&conf.cli, &in, &e);
	if (!rc)
		rc = cli_sink_open(&conf.cli, &sink, &e);
	if (!rc)
		rc = (conf.window ? windows_run : whole_run)(&y, in, sink.w, &e);
	int rc_close = cli_sink_close(&sink, !rc, &e);
	rc = rc ? rc : rc_close;
	cli_stream_free(in);
	ts_spool_free(y.g.spool);
	nn_names_free(&y.scaffolds);
	free(y.row);
	free(y.scaffold);
	buf_free(&y.x);
	nn_approx_free(y.approx);
	kernels_close(&y.kernels);
	pool_free(y.pool);
	return rc ? cli_fail(&conf.cli, &e) : EXIT_DONE;
}
