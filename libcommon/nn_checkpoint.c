/* nn_checkpoint.c - models as streams: writing. Reading is in nn_checkpoint_read.c. */
#include "nn_checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const part_names[] = {"encoders", "codes", "structure", "head"};

static struct ts_value names_of(unsigned bits, struct arena *a)
{
	const char *name[4];
	int n = 0;
	for (int i = 0; i < 4; i++)
		if (bits & 1u << i)
			name[n++] = part_names[i];
	return ts_value_strings(a, n, name);
}

static void header_fill(const struct nn_saving *s, struct ts_header *h, struct arena *a)
{
	const struct nn_model *m = s->model;
	struct ts_map config;
	unsigned trained = (m->trained_codes ? NN_PART_CODES : 0) | (m->trained_structure ? NN_PART_STRUCTURE : 0);
	ts_header_init(h, "model", a);
	h->n_task = m->n_task;
	h->tasks = m->tasks;
	h->features = m->views & 1u << NN_2D ? m->cfg.features : "";
	h->provenance = s->header->provenance;
	ts_header_add_field(h, "name", a);
	ts_header_add_field(h, "value", a);
	ts_map_init(&config, a);
	nn_config_to_map(&m->cfg, &config);
	ts_set_bool(&h->extra, "complete", s->complete);
	ts_set(&h->extra, "config", ts_value_map(&config));
	ts_set(&h->extra, "parts", names_of(m->parts, a));
	ts_set(&h->extra, "trained", names_of(trained, a));
	if (m->img_channels)
		ts_set_int(&h->extra, "img_channels", m->img_channels);
	if (m->n_task) {
		ts_set_bool(&h->extra, "regression", m->regression);
		ts_set_tensor(&h->extra, "target_mean", TS_F64, m->target_mean, 1, (int64_t)m->n_task);
		ts_set_tensor(&h->extra, "target_sd", TS_F64, m->target_sd, 1, (int64_t)m->n_task);
	}
	for (int i = 0; i < s->header->extra.n; i++)
		ts_set(&h->extra, s->header->extra.fields[i].key, s->header->extra.fields[i].v);
}

static int tensor_write(const struct nn_model *m, struct ts_writer *w, const char *prefix, const struct nn_param *p,
			const real *value, struct arena *a, struct err *e)
{
	struct ts_map rec;
	struct ts_value v = {.kind = TS_TENSOR};
	arena_reset(a);
	real *host = arena_alloc(a, (size_t)(p->n + 1) * sizeof *host);
	float *data = arena_alloc(a, (size_t)(p->n + 1) * sizeof *data);
	m->k->download(host, value, (size_t)p->n * sizeof *host);
	for (int64_t i = 0; i < p->n; i++) {
		if (!isfinite(host[i]))
			return err_set(e, ERR_NUMERIC, "the model's %s%s is no longer finite", prefix, p->name);
		data[i] = (float)host[i];
	}
	v.u.t = (struct ts_tensor){.dtype = TS_F32, .n_dim = p->n_dim, .data = data};
	memcpy(v.u.t.shape, p->shape, sizeof p->shape);
	ts_map_init(&rec, a);
	ts_set_str(&rec, "name", arena_printf(a, "%s%s", prefix, p->name));
	ts_set(&rec, "value", v);
	return ts_writer_record(w, &rec, e);
}

int nn_checkpoint_write(const struct nn_saving *s, int fd, struct err *e)
{
	const struct nn_model *m = s->model;
	struct arena *a = arena_new(0), *step = arena_new(0);
	struct ts_writer *w = NULL;
	struct ts_header h;
	struct ts_end end = {0};
	int n = nn_params_count(m->ps), rc = ts_writer_new(&w, fd, e);
	int64_t n_record = 0;
	if (!rc) {
		header_fill(s, &h, a);
		rc = ts_writer_header(w, &h, e);
	}
	for (int i = 0; i < n && !rc; i++, n_record++) {
		const struct nn_param *p = nn_params_at(m->ps, i);
		rc = tensor_write(m, w, "", p, s->best ? s->best[i] : p->value, step, e);
	}
	for (int i = 0; i < n && !rc && s->optim; i++) {
		const struct nn_param *p = nn_params_at(m->ps, i);
		real *moment[2];
		nn_optim_moments(s->optim, i, &moment[0], &moment[1]);
		if (s->best && ++n_record)
			rc = tensor_write(m, w, "state.last.", p, p->value, step, e);
		for (int j = 0; j < 2 && !rc && moment[j]; j++, n_record++)
			rc = tensor_write(m, w, j ? "state.v." : "state.m.", p, moment[j], step, e);
	}
	end.counts.rows = n_record;
	if (s->source)
		memcpy(end.source, s->source, 32);
	if (!rc)
		rc = ts_writer_end(w, &end, e);
	ts_writer_free(w);
	arena_free(step);
	arena_free(a);
	return rc;
}

int nn_checkpoint_save(const struct nn_saving *s, const char *path, struct err *e)
{
	struct io_atomic f;
	int rc = io_atomic_open(&f, path, e);
	if (rc)
		return rc;
	rc = nn_checkpoint_write(s, f.fd, e);
	if (!rc)
		return io_atomic_commit(&f, e);
	io_atomic_discard(&f);
	return rc;
}
