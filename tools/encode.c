/* encode - embeddings of molecules by a trained model. */
#include "learn_filter.h"
#include "learn_hyper.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct encode {
	struct cli cli;
	const char *model;
	struct opt_list out;
	int64_t batch;
	int device;
	bool drop_input, partial, alone, plain, shuffle_positions;
};
#define AT(member) offsetof(struct encode, member)
static const struct opt options[] = {
    {"model", 'm', OPT_STR, "MODEL", "the model", AT(model), .flags = OPT_RECORDS | OPT_DIGEST},
    {"out", 0, OPT_LIST, "NAME,..", "embeddings to write: h2d h3d himg c2d c3d cimg c g r a", AT(out),
     .flags = OPT_RECORDS},
    {"batch", 'b', OPT_INT, "N", "molecules of a block, at most 16", AT(batch), .min = 1, .max = NN_BLOCK_MOL},
    LEARN_DEVICE_OPTION(AT(device)),
    {"drop-input", 0, OPT_FLAG, NULL, "leave out graphs, conformers and pictures", AT(drop_input),
     .flags = OPT_RECORDS},
    {"no-hypergraph", 0, OPT_FLAG, NULL, "g, r and a without the stream's hyperedges", AT(alone), .flags = OPT_RECORDS},
    {"plain", 0, OPT_FLAG, NULL, "compute by the plain paths alone", AT(plain), .flags = OPT_RECORDS},
    {"shuffle-positions", 0, OPT_FLAG, NULL, "control: deal a molecule's positions anew among its atoms",
     AT(shuffle_positions), .flags = OPT_RECORDS},
    {"allow-partial", 0, OPT_FLAG, NULL, "use a model of a run that was stopped", AT(partial), .flags = 0},
    {0},
};
/* What --drop-input leaves out: all that is as large as the molecule or its picture. */
static const char *const input_fields[] = {"x",     "edge_index", "edge_attr", "z",        "pos",       "pos_all",
					   "pos_h", "parent_h",   "img",       "atom_map", "pos_input", "z_input"};
enum { N_INPUT = sizeof input_fields / sizeof *input_fields };

struct run {
	const struct encode *c;
	struct kernels kernels;
	struct nn_model *model;
	struct nn_infer infer;
	struct cli_sink sink;
	unsigned want; /* bits of nn_embedding_names */
	/* A segment whose hyperedges mix the embeddings: its records wait until all are there. */
	bool mixes;
	struct ts_spool *spool;
	struct buf packed, unified; /* unified: real [n, code_width] */
	struct learn_hyper hyper;
	int64_t n_without; /* records without any view that is read */
};
enum { AFTER = 1u << NN_EMB_G | 1u << NN_EMB_R | 1u << NN_EMB_A };

/* ---- which embeddings ----------------------------------------------------- */

static int wanted_find(struct run *r, struct err *e)
{
	const struct nn_model *m = r->model;
	bool codes = m->parts & NN_PART_CODES && m->trained_codes;
	bool structure = m->parts & NN_PART_STRUCTURE && m->trained_structure;
	if (!r->c->out.n)
		r->want = structure ? 1u << NN_EMB_A : codes ? 1u << NN_EMB_UNIFIED : 1u << NN_EMB_H;
	for (int i = 0; i < r->c->out.n; i++) {
		const char *name = r->c->out.items[i];
		int k = 0;
		while (nn_embedding_names[k] && strcmp(name, nn_embedding_names[k]))
			k++;
		if (!nn_embedding_names[k]) {
			const char *near = opt_nearest(name, nn_embedding_names, NN_N_EMBEDDING);
			return err_set(e, ERR_USAGE, "--out %s: no such embedding%s%s", name,
				       near ? "; did you mean " : "", near ? near : "");
		}
		r->want |= 1u << k;
	}
	if (r->want & AFTER && !structure)
		return err_set(e, ERR_USAGE, "g, r and a need the structure stage, which %s has not seen", r->c->model);
	if (r->want & (7u << NN_EMB_C | 1u << NN_EMB_UNIFIED) && !codes)
		return err_set(e, ERR_USAGE, "codes need pre-training, which %s has not seen", r->c->model);
	for (int v = 0; v < NN_N_VIEW; v++)
		if (r->want & (1u << (NN_EMB_H + v) | 1u << (NN_EMB_C + v)) && !(m->views & 1u << v))
			return err_set(e, ERR_USAGE, "%s has no view %s", r->c->model, nn_view_names[v]);
	return 0;
}

/* ---- records -------------------------------------------------------------- */

static int header_write(struct run *r, struct ts_header *h, struct err *e)
{
	struct arena *a = r->c->cli.arena;
	const char *blas[1][2] = {{r->kernels.blas, r->kernels.build}};
	struct ts_node node;
	int rc = cli_node(r->c, r->c->shuffle_positions, &node, e), n = 0;
	if (rc)
		return rc;
	if (r->c->drop_input) {
		const char **kept = arena_alloc(a, (size_t)(h->n_field + 1) * sizeof *kept);
		for (int i = 0; i < h->n_field; i++) {
			bool is_input = false;
			for (int k = 0; k < N_INPUT; k++)
				is_input |= !strcmp(h->fields[i], input_fields[k]);
			if (!is_input)
				kept[n++] = h->fields[i];
		}
		h->fields = kept;
		h->n_field = n;
	}
	for (int k = 0; k < NN_N_EMBEDDING; k++)
		if (r->want & 1u << k)
			ts_header_add_field(h, arena_printf(a, "emb_%s", nn_embedding_names[k]), a);
	node.n_library = 1;
	node.libraries = blas;
	ts_header_add_node(h, &node, a);
	return ts_writer_header(r->sink.w, h, e);
}

static int header(void *ctx, struct ts_header *h, struct err *e)
{
	struct run *r = ctx;
	int rc = learn_model_door(&r->c->cli, r->model, h, e);
	r->mixes = r->want & AFTER && !r->c->alone && ts_header_has_field(h, "hyper_index");
	if (!rc && r->mixes)
		rc = ts_spool_new(&r->spool, e);
	return rc ? rc : header_write(r, h, e);
}

static bool has_embedding(int k, const uint8_t *has)
{
	return k >= NN_EMB_UNIFIED ? has[NN_2D] || has[NN_3D] || has[NN_IMG] : has[k % NN_N_VIEW];
}

static int embedding_set(struct ts_map *m, int k, const real *from, int64_t d, struct err *e)
{
	char name[16];
	float *x = arena_alloc(m->arena, (size_t)(d + 1) * sizeof *x);
	for (int64_t j = 0; j < d; j++) {
		x[j] = (float)from[j];
		if (!isfinite(x[j])) {
			int64_t row = -1;
			ts_need_int(m, "row", &row, NULL);
			err_set(e, ERR_NUMERIC, "an embedding that is no number");
			return err_add_place(e, "", row, -1);
		}
	}
	snprintf(name, sizeof name, "emb_%s", nn_embedding_names[k]);
	ts_set_tensor(m, name, TS_F32, x, 1, d);
	return 0;
}

/* The same positions on other atoms: keyed by the positions, so that no batch and no order of records shows. */
static int positions_shuffle(struct ts_map *m, uint64_t seed, struct err *e)
{
	const struct ts_tensor *pos;
	struct rng r;
	if (!ts_get(m, "pos"))
		return 0;
	int rc = ts_need_tensor(m, "pos", TS_F32, 2, &pos, e);
	if (rc)
		return rc;
	int64_t n = pos->shape[0], *at = arena_alloc(m->arena, (size_t)(n + 1) * sizeof *at);
	float *dealt = arena_alloc(m->arena, ts_tensor_nbytes(pos) + 1);
	rng_init(&r, seed, rng_hash(pos->data, ts_tensor_nbytes(pos)));
	for (int64_t i = 0; i < n; i++)
		at[i] = i;
	rng_shuffle(&r, at, n);
	for (int64_t i = 0; i < n; i++)
		memcpy(dealt + 3 * i, (const float *)pos->data + 3 * at[i], 3 * sizeof *dealt);
	ts_set_tensor(m, "pos", TS_F32, dealt, 2, n, (int64_t)3);
	return 0;
}

static int block(void *ctx, struct ts_map *const *rec, int64_t n, struct err *e)
{
	struct run *r = ctx;
	struct nn_embeddings out;
	for (int64_t i = 0; i < n && r->c->shuffle_positions; i++) {
		int rc = positions_shuffle(rec[i], (uint64_t)r->c->cli.seed, e);
		if (rc)
			return rc;
	}
	unsigned want = r->mixes ? r->want | 1u << NN_EMB_UNIFIED : r->want,
		 now = r->mixes ? r->want & ~AFTER : r->want;
	int rc = nn_infer_embeddings(&r->infer, (const struct ts_map *const *)rec, n, want, &out, e);
	for (int64_t i = 0; i < n && !rc; i++) {
		bool any = has_embedding(NN_EMB_UNIFIED, out.has + i * NN_N_VIEW);
		r->n_without += !any;
		if (r->mixes && !any) {
			int64_t row = -1;
			ts_need_int(rec[i], "row", &row, NULL);
			return err_set(e, ERR_SCHEMA,
				       "row %" PRId64
				       " opens a hyperedge and has none of the views %s that the model reads",
				       row, r->model->cfg.views);
		}
		if (r->mixes) {
			int64_t d = out.width[NN_EMB_UNIFIED];
			buf_put(&r->unified, out.value[NN_EMB_UNIFIED] + i * d, (size_t)d * sizeof(real));
			rc = learn_hyper_add(&r->hyper, rec[i], e);
		}
		for (int k = 0; k < N_INPUT && r->c->drop_input; k++)
			ts_unset(rec[i], input_fields[k]);
		for (int k = 0; k < NN_N_EMBEDDING && !rc; k++)
			if (now & 1u << k && out.value[k] && has_embedding(k, out.has + i * NN_N_VIEW))
				rc = embedding_set(rec[i], k, out.value[k] + i * out.width[k], out.width[k], e);
		if (rc)
			break;
		if (!r->mixes) {
			rc = ts_writer_record(r->sink.w, rec[i], e);
			continue;
		}
		r->packed.n = 0;
		rc = ts_pack(rec[i], &r->packed, e);
		if (!rc)
			rc = ts_spool_add(r->spool, r->packed.data, r->packed.n, e);
	}
	return rc;
}

/* The whole segment is there: its hypergraph mixes the embeddings, and the records go on. */
static int segment_mix(struct run *r, struct err *e)
{
	int64_t n = ts_spool_count(r->spool), d = r->model->cfg.hyper_width;
	int rc = n ? learn_hyper_resolve(&r->hyper, e) : 0;
	if (rc || !n)
		return rc;
	const int64_t *start = learn_hyper_start(&r->hyper);
	const float *weight = learn_hyper_weight(&r->hyper);
	real *value = malloc((size_t)start[n] * sizeof *value), *mixed = malloc((size_t)(2 * n * d) * sizeof *mixed),
	     *sum = malloc((size_t)d * sizeof *sum);
	struct arena *a = arena_new(0);
	if (!value || !mixed || !sum)
		abort();
	for (int64_t i = 0; i < start[n]; i++)
		value[i] = (real)weight[i];
	struct nn_hyper h = {.n_node = n,
			     .n_edge = n,
			     .n_entry = start[n],
			     .start = start,
			     .node = learn_hyper_node(&r->hyper),
			     .value = value};
	nn_infer_mix(&r->infer, (const real *)(const void *)r->unified.data, n, &h, mixed, mixed + n * d);
	rc = kernels_check(&r->kernels, e);
	for (int64_t i = 0; i < n && !rc; i++) {
		const real *from[3] = {mixed + i * d, mixed + (n + i) * d, sum};
		const uint8_t *data;
		size_t nbytes;
		struct ts_map m;
		arena_reset(a);
		for (int64_t j = 0; j < d; j++)
			sum[j] = from[0][j] + from[1][j];
		rc = ts_spool_get(r->spool, i, &data, &nbytes, e);
		if (!rc)
			rc = ts_unpack(data, nbytes, a, &m, e);
		for (int k = 0; k < 3 && !rc; k++)
			if (r->want & 1u << (NN_EMB_G + k))
				rc = embedding_set(&m, NN_EMB_G + k, from[k], d, e);
		if (!rc)
			rc = ts_writer_record(r->sink.w, &m, e);
	}
	free(value);
	free(mixed);
	free(sum);
	arena_free(a);
	return rc;
}

static void segment_free(struct run *r)
{
	ts_spool_free(r->spool);
	r->spool = NULL;
	r->unified.n = 0;
	learn_hyper_free(&r->hyper);
}

static int end(void *ctx, const struct ts_end *in, struct err *e)
{
	struct run *r = ctx;
	struct ts_end out;
	int rc = r->mixes ? segment_mix(r, e) : 0;
	segment_free(r);
	ts_end_follow(&out, in);
	return rc ? rc : ts_writer_end(r->sink.w, &out, e);
}

int main(int argc, char **argv)
{
	struct encode c = {.cli = {.output = "-", .n_worker = 1}, .batch = NN_BLOCK_MOL};
	struct run r = {.c = &c};
	struct err e = {0};
	learn_begin(argv);
	int code = cli_begin(&c, sizeof c, "encode", "[FILE ...]", options, NULL, argc, argv);
	if (code >= 0)
		return code;
	struct pool *pool = pool_new((int)c.cli.n_worker);
	const unsigned parts = NN_PART_ENCODERS | NN_PART_CODES | NN_PART_STRUCTURE;
	const struct learn_device device = {.choice = c.device, .plain = c.plain, .pool = pool};
	int rc = c.model ? learn_device_open(&r.kernels, &device, &e) : err_set(&e, ERR_USAGE, "which model? -m MODEL");
	if (!rc)
		rc = learn_model_open(c.model, parts, c.partial, &device, &r.kernels, &r.model, &e);
	if (!rc)
		rc = wanted_find(&r, &e);
	if (!rc)
		rc = nn_infer_init(&r.infer, r.model, &e);
	if (!rc)
		rc = cli_sink_open(&c.cli, &r.sink, &e);
	struct learn_filter f = {
	    .c = &c.cli, .batch = c.batch, .ctx = &r, .header = header, .block = block, .end = end};
	if (!rc)
		rc = learn_filter_run(&f, &e);
	if (!rc && r.n_without)
		cli_warn(&c.cli,
			 "%" PRId64 " records have none of the views %s that the model reads: they go on as they are",
			 r.n_without, r.model->cfg.views);
	int rc_close = cli_sink_close(&r.sink, !rc, &e);
	rc = rc ? rc : rc_close;
	nn_infer_free(&r.infer);
	nn_model_free(r.model);
	segment_free(&r);
	buf_free(&r.unified);
	buf_free(&r.packed);
	kernels_close(&r.kernels);
	pool_free(pool);
	return rc ? cli_fail(&c.cli, &e) : EXIT_DONE;
}
