/* nn_infer.c - inference on records, block by block, mean over the pictures of each. */
#include "nn_infer.h"
#include "nn_model_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const nn_embedding_names[] = {"h2d", "h3d", "himg", "c2d", "c3d", "cimg", "c", "g", "r", "a", NULL};

int nn_infer_init(struct nn_infer *f, struct nn_model *m, struct err *e)
{
	*f = (struct nn_infer){.model = m, .reading = nn_reading_of(m)};
	f->kernels = *m->k;
	f->kernels.fixed_rows = true;
	f->tape = nn_tape_new(&f->kernels);
	f->arena = arena_new(1 << 20);
	if (f->tape && f->arena)
		return 0;
	nn_infer_free(f);
	return err_set(e, ERR_MEMORY, "no memory for inference");
}

void nn_infer_free(struct nn_infer *f)
{
	nn_tape_free(f->tape);
	arena_free(f->arena);
	*f = (struct nn_infer){0};
}

static int64_t n_atom_of(const struct ts_map *rec)
{
	const struct ts_value *x = ts_get(rec, "x"), *z = ts_get(rec, "z"), *h = ts_get(rec, "pos_h");
	int64_t n = 0;
	if (x && x->kind == TS_TENSOR && x->u.t.n_dim)
		n = x->u.t.shape[0];
	if (z && z->kind == TS_TENSOR && z->u.t.n_dim && z->u.t.shape[0] > n)
		n = z->u.t.shape[0];
	return n + (h && h->kind == TS_TENSOR && h->u.t.n_dim ? h->u.t.shape[0] : 0);
}

int64_t nn_infer_take(const struct ts_map *const *rec, int64_t n)
{
	int64_t n_atom = 0, i = 0;
	for (; i < n && i < NN_BLOCK_MOL; i++) {
		n_atom += n_atom_of(rec[i]);
		if (i && n_atom > NN_BLOCK_ATOM)
			break;
	}
	return i;
}

/* Largest number of pictures in a record: each is one pass. */
static int64_t n_pass_of(const struct nn_infer *f, const struct ts_map *const *rec, int64_t n)
{
	int64_t n_pass = 1;
	for (int64_t i = 0; i < n && f->reading.views & 1u << NN_IMG; i++)
		if (nn_record_pictures(rec[i]) > n_pass)
			n_pass = nn_record_pictures(rec[i]);
	return n_pass;
}

static int block_begin(struct nn_infer *f, const struct ts_map *const *rec, int64_t n, int64_t pass, struct nn_batch *b,
		       struct err *e)
{
	struct nn_picture_choice choice = {.fixed = pass};
	nn_tape_begin(f->tape, false, 0, 0);
	return nn_batch_collate(&f->reading, rec, n, &choice, f->arena, b, e);
}

/* Adds rows of x to sum [n, d] (double) for the records that have a picture of this pass. */
static void pass_add(double *sum, const real *x, int64_t n, int64_t d, const struct ts_map *const *rec, int64_t pass)
{
	for (int64_t i = 0; i < n; i++)
		if (!pass || pass < nn_record_pictures(rec[i]))
			for (int64_t j = 0; j < d; j++)
				sum[i * d + j] += (double)x[i * d + j];
}

static void passes_mean(const double *sum, real *out, int64_t n, int64_t d, const struct ts_map *const *rec,
			int64_t n_pass)
{
	for (int64_t i = 0; i < n; i++) {
		int64_t n_picture = n_pass > 1 ? nn_record_pictures(rec[i]) : 1;
		for (int64_t j = 0; j < d; j++)
			out[i * d + j] = (real)(sum[i * d + j] / (double)(n_picture ? n_picture : 1));
	}
}

/* The records that have any of the views: their places in rec, and themselves. */
static int64_t readable(const struct ts_map *const *rec, int64_t n, unsigned views, int64_t *at,
			const struct ts_map **some)
{
	int64_t m = 0;
	for (int64_t i = 0; i < n; i++)
		if (nn_record_views(rec[i]) & views) {
			at[m] = i;
			some[m++] = rec[i];
		}
	return m;
}

/* Tells of the first of n rows that holds what is no number, by its record. */
static int rows_check(const real *x, int64_t n, int64_t d, const struct ts_map *const *rec, const char *what,
		      struct err *e)
{
	for (int64_t i = 0; i < n * d; i++)
		if (!isfinite(x[i])) {
			int64_t row = -1;
			err_set(e, ERR_NUMERIC, "%s that is no number", what);
			ts_need_int(rec[i / d], "row", &row, NULL);
			return err_add_place(e, "", row, -1);
		}
	return 0;
}

static int logits_of(struct nn_infer *f, const struct ts_map *const *rec, int64_t n, real *out, struct err *e)
{
	int64_t n_pass = n_pass_of(f, rec, n), d = f->model->n_task;
	double *sum = arena_calloc(f->arena, (size_t)(n * d) + 1, sizeof *sum);
	for (int64_t pass = 0; pass < n_pass; pass++) {
		struct nn_batch b;
		struct nn_var *logits;
		int rc = block_begin(f, rec, n, pass, &b, e);
		if (!rc)
			rc = nn_model_logits(f->model, f->tape, &b, &logits, e);
		if (rc)
			return rc;
		real *host = arena_alloc(f->arena, (size_t)(logits->n * d) * sizeof *host);
		nn_download(f->tape, logits, host);
		pass_add(sum, host, n, d, rec, pass);
	}
	passes_mean(sum, out, n, d, rec, n_pass);
	int rc = rows_check(out, n, d, rec, "a prediction", e);
	return rc ? rc : kernels_check(&f->kernels, e);
}

int nn_infer_logits(struct nn_infer *f, const struct ts_map *const *rec, int64_t n, real *out, struct err *e)
{
	int64_t d = f->model->n_task, *at;
	unsigned views = f->model->views;
	const struct ts_map **some;
	int rc = f->model->cfg.use_structure ? 0 : nn_head_views(f->model, &views, e);
	if (rc)
		return rc;
	arena_reset(f->arena);
	at = arena_alloc(f->arena, (size_t)(n + 1) * sizeof *at);
	some = arena_alloc(f->arena, (size_t)(n + 1) * sizeof *some);
	int64_t m = readable(rec, n, views, at, some);
	real *y = arena_alloc(f->arena, (size_t)(m * d + 1) * sizeof *y);
	if (m)
		rc = logits_of(f, some, m, y, e);
	for (int64_t i = 0; i < n * d; i++)
		out[i] = NAN;
	for (int64_t i = 0; i < m && !rc; i++)
		memcpy(out + at[i] * d, y + i * d, (size_t)d * sizeof *out);
	return rc;
}

/* Rows of the batch that the rows of encoder output `view` belong to; NULL: one each. */
static const int64_t *rows_of(const struct nn_batch *b, int emb)
{
	return emb == NN_EMB_H + NN_3D ? b->mol3d : emb == NN_EMB_H + NN_IMG ? b->molimg : NULL;
}

static struct nn_var *output_of(const struct nn_outputs *o, int emb)
{
	if (emb < NN_EMB_C)
		return o->h[emb - NN_EMB_H];
	if (emb < NN_EMB_UNIFIED)
		return o->c[emb - NN_EMB_C];
	return emb == NN_EMB_UNIFIED ? o->unified : emb == NN_EMB_G ? o->f : emb == NN_EMB_R ? o->r : o->aligned;
}

int nn_infer_embeddings(struct nn_infer *f, const struct ts_map *const *all, int64_t n_all, unsigned want,
			struct nn_embeddings *out, struct err *e)
{
	double *sum[NN_N_EMBEDDING] = {NULL};
	memset(out, 0, sizeof *out);
	arena_reset(f->arena);
	int64_t *at = arena_alloc(f->arena, (size_t)(n_all + 1) * sizeof *at);
	const struct ts_map **rec = arena_alloc(f->arena, (size_t)(n_all + 1) * sizeof *rec);
	int64_t n = readable(all, n_all, f->model->views, at, rec), n_pass = n_pass_of(f, rec, n);
	uint8_t *has = arena_calloc(f->arena, (size_t)(n_all * NN_N_VIEW) + 1, 1);
	out->has = has;
	for (int64_t pass = 0; pass < n_pass && n; pass++) {
		struct nn_batch b;
		struct nn_outputs o;
		int rc = block_begin(f, rec, n, pass, &b, e);
		if (!rc)
			rc = nn_model_outputs(f->model, f->tape, &b, &o, e);
		if (rc)
			return rc;
		for (int64_t i = 0; i < n; i++)
			memcpy(has + at[i] * NN_N_VIEW, b.has + i * NN_N_VIEW, NN_N_VIEW);
		if (o.unified) { /* here, since the ReLU behind it makes 0 of what is no number */
			real *code = arena_alloc(f->arena, (size_t)(n * o.unified->d) * sizeof *code);
			nn_download(f->tape, o.unified, code);
			if ((rc = rows_check(code, n, o.unified->d, rec, "a code", e)))
				return rc;
		}
		for (int k = 0; k < NN_N_EMBEDDING; k++) {
			struct nn_var *x = want & 1u << k ? output_of(&o, k) : NULL;
			if (!x) {
				if (want & 1u << k && k >= NN_EMB_UNIFIED)
					return err_set(e, ERR_SCHEMA, "the model has no embedding %s",
						       nn_embedding_names[k]);
				continue;
			}
			int64_t d = x->d;
			const int64_t *row = rows_of(&b, k);
			real *host = arena_alloc(f->arena, (size_t)(x->n * d) * sizeof *host);
			real *rows = arena_calloc(f->arena, (size_t)(n * d) + 1, sizeof *rows);
			nn_download(f->tape, x, host);
			for (int64_t i = 0; i < x->n; i++)
				memcpy(rows + (row ? row[i] : i) * d, host + i * d, (size_t)d * sizeof *rows);
			if (!sum[k])
				sum[k] = arena_calloc(f->arena, (size_t)(n * d) + 1, sizeof **sum);
			pass_add(sum[k], rows, n, d, rec, pass);
			out->width[k] = d;
		}
	}
	for (int k = 0; k < NN_N_EMBEDDING; k++)
		if (sum[k]) {
			int64_t d = out->width[k];
			real *mean = arena_alloc(f->arena, (size_t)(n * d + 1) * sizeof *mean);
			out->value[k] = arena_alloc(f->arena, (size_t)(n_all * d + 1) * sizeof(real));
			passes_mean(sum[k], mean, n, d, rec, n_pass);
			for (int64_t i = 0; i < n; i++)
				memcpy(out->value[k] + at[i] * d, mean + i * d, (size_t)d * sizeof *mean);
		}
	return kernels_check(&f->kernels, e);
}

void nn_infer_mix(struct nn_infer *f, const real *unified, int64_t n, const struct nn_hyper *h, real *g, real *r)
{
	struct nn_var *assign, *read;
	nn_tape_begin(f->tape, false, 0, 0);
	struct nn_var *x = nn_input(f->tape, unified, n, f->model->cfg.code_width);
	struct nn_var *mixed = nn_model_hyper(f->model, f->tape, x, h);
	nn_model_read(f->model, f->tape, mixed, &assign, &read);
	nn_download(f->tape, mixed, g);
	nn_download(f->tape, read, r);
}
