/* nn_checkpoint_read.c - models as streams: reading. */
#include "nn_checkpoint.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct nn_checkpoint {
	int fd;
	const char *name;
	struct arena *arena;
	struct ts_reader *r;
	struct ts_header h;
	struct nn_config cfg;
	unsigned parts, trained;
	bool complete;
};

static int bits_of(const struct ts_map *m, const char *key, unsigned *bits, struct err *e)
{
	static const char *const part_names[] = {"encoders", "codes", "structure", "head"};
	const struct ts_value *v = ts_get(m, key);
	*bits = 0;
	if (!v || v->kind != TS_LIST)
		return err_set(e, ERR_SCHEMA, "the model's header has no %s", key);
	for (int64_t i = 0; i < v->u.list.n; i++) {
		const struct ts_value *name = &v->u.list.items[i];
		int j = 0;
		while (j < 4 && (name->kind != TS_STR || strcmp(name->u.str.s, part_names[j])))
			j++;
		if (j == 4)
			return err_set(e, ERR_SCHEMA, "the model has a part of no known name");
		*bits |= 1u << j;
	}
	return 0;
}

static int header_read(struct nn_checkpoint *c, struct err *e)
{
	struct ts_map m;
	int item = ts_reader_next(c->r, c->arena, &m, e);
	if (item < 0)
		return item;
	int rc = ts_reader_header(c->r, &c->h, c->arena, e);
	if (!rc)
		rc = ts_schema_need(&c->h, "model", e);
	const struct ts_value *config = ts_get(&c->h.extra, "config"), *complete = ts_get(&c->h.extra, "complete");
	if (!rc && (!config || config->kind != TS_MAP || !complete || complete->kind != TS_BOOL))
		rc = err_set(e, ERR_SCHEMA, "the model's header has no configuration");
	if (!rc)
		rc = nn_config_from_map(&c->cfg, &config->u.map, c->arena, e);
	if (!rc)
		rc = bits_of(&c->h.extra, "parts", &c->parts, e);
	if (!rc)
		rc = bits_of(&c->h.extra, "trained", &c->trained, e);
	if (!rc)
		c->complete = complete->u.b;
	return rc;
}

int nn_checkpoint_open(struct nn_checkpoint **out, const char *path, struct err *e)
{
	struct nn_checkpoint *c = calloc(1, sizeof *c);
	int rc = 0;
	*out = c;
	if (!c)
		return err_set(e, ERR_MEMORY, "no memory for a model");
	c->arena = arena_new(0);
	c->name = arena_strdup(c->arena, path);
	c->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (c->fd < 0)
		rc = err_set_errno(e, ERR_IO, "%s cannot be opened", path);
	if (!rc)
		rc = ts_reader_new(&c->r, c->fd, c->name, NULL, 0, e);
	if (!rc)
		rc = header_read(c, e);
	if (rc) {
		err_add_place(e, path, -1, -1);
		nn_checkpoint_close(c);
		*out = NULL;
	}
	return rc;
}

void nn_checkpoint_close(struct nn_checkpoint *c)
{
	if (!c)
		return;
	ts_reader_free(c->r);
	if (c->fd >= 0)
		close(c->fd);
	arena_free(c->arena);
	free(c);
}

const struct ts_header *nn_checkpoint_header(const struct nn_checkpoint *c)
{
	return &c->h;
}

bool nn_checkpoint_is_complete(const struct nn_checkpoint *c)
{
	return c->complete;
}

const struct nn_config *nn_checkpoint_config(const struct nn_checkpoint *c)
{
	return &c->cfg;
}

unsigned nn_checkpoint_parts(const struct nn_checkpoint *c)
{
	return c->parts;
}

/* ---- tensors -------------------------------------------------------------- */

static int index_of(const struct nn_params *ps, const char *name)
{
	int n = nn_params_count(ps);
	for (int i = 0; i < n; i++)
		if (!strcmp(nn_params_at(ps, i)->name, name))
			return i;
	return -1;
}

static int value_take(const struct nn_model *m, const struct nn_param *p, const struct ts_tensor *t, real *to,
		      struct arena *a, struct err *e)
{
	const float *data = t->data;
	bool same = t->n_dim == p->n_dim;
	for (int i = 0; same && i < p->n_dim; i++)
		same = t->shape[i] == p->shape[i];
	if (!same)
		return err_set(e, ERR_SCHEMA, "tensor %s of the model has another shape than this configuration makes",
			       p->name);
	real *host = arena_alloc(a, (size_t)(p->n + 1) * sizeof *host);
	for (int64_t i = 0; i < p->n; i++) {
		if (!isfinite(data[i]))
			return err_set(e, ERR_NUMERIC, "tensor %s holds what is no number", p->name);
		host[i] = (real)data[i];
	}
	m->k->upload(to, host, (size_t)p->n * sizeof *host);
	return 0;
}

/* Values in the model's memory to a block of their own. */
static real *value_copy(const struct nn_model *m, const struct nn_param *p)
{
	real *copy = m->k->alloc((size_t)(p->n + 1) * sizeof *copy);
	if (!copy)
		abort();
	m->k->copy(copy, p->value, (size_t)p->n * sizeof *copy);
	return copy;
}

static int state_take(struct nn_model *m, struct nn_resume *resume, const char *name, const struct ts_tensor *t,
		      struct arena *a, struct err *e)
{
	real *moment[2];
	const char *end = strchr(name, '.');
	int i = end ? index_of(m->ps, end + 1) : -1;
	if (i < 0)
		return err_set(e, ERR_SCHEMA, "state of a tensor that the model has not: %s", name);
	struct nn_param *p = nn_params_at(m->ps, i);
	if (!strncmp(name, "last.", 5)) {
		if (!resume->best)
			resume->best = calloc((size_t)nn_params_count(m->ps), sizeof *resume->best);
		if (!resume->best)
			abort();
		resume->best[i] = value_copy(m, p);
		return value_take(m, p, t, p->value, a, e);
	}
	nn_optim_moments(resume->optim, i, &moment[0], &moment[1]);
	bool first = !strncmp(name, "m.", 2);
	if (!moment[0] || (!first && strncmp(name, "v.", 2)))
		return err_set(e, ERR_SCHEMA, "state of no known name: %s", name);
	return value_take(m, p, t, moment[!first], a, e);
}

static int tensors_read(struct nn_checkpoint *c, struct nn_model *m, struct nn_resume *resume, bool *seen,
			struct err *e)
{
	static const char *const need[] = {"name", "value", NULL};
	struct arena *a = arena_new(0);
	struct ts_map rec;
	int item = 0, rc = 0;
	while (!rc && (item = ts_reader_next(c->r, a, &rec, e)) == TS_RECORD) {
		const char *name = "";
		const struct ts_tensor *t = NULL;
		rc = ts_schema_check(ts_schema_find("model"), &c->h, &rec, need, e);
		if (!rc)
			rc = ts_need_str(&rec, "name", &name, e);
		if (!rc)
			rc = ts_need_tensor(&rec, "value", TS_F32, -1, &t, e);
		int i = rc ? -1 : index_of(m->ps, name);
		if (i >= 0) {
			rc = value_take(m, nn_params_at(m->ps, i), t, nn_params_at(m->ps, i)->value, a, e);
			seen[i] = true;
		} else if (!rc && resume && !strncmp(name, "state.", 6)) {
			rc = state_take(m, resume, name + 6, t, a, e);
		}
		arena_reset(a);
	}
	if (!rc && item != TS_END)
		rc = item < 0 ? item : err_set(e, ERR_FORMAT, "a second model in the same file");
	arena_free(a);
	return rc;
}

static int head_restore(const struct nn_checkpoint *c, struct nn_model *m, struct err *e)
{
	const struct ts_value *regression = ts_get(&c->h.extra, "regression");
	const struct ts_tensor *mean, *sd;
	if (!regression || regression->kind != TS_BOOL)
		return err_set(e, ERR_SCHEMA, "the model's header does not say what its labels are");
	int rc = nn_model_add_head(m, c->h.n_task, c->h.tasks, regression->u.b, 0, e);
	if (!rc)
		rc = ts_need_tensor(&c->h.extra, "target_mean", TS_F64, 1, &mean, e);
	if (!rc)
		rc = ts_need_tensor(&c->h.extra, "target_sd", TS_F64, 1, &sd, e);
	if (!rc && (mean->shape[0] != m->n_task || sd->shape[0] != m->n_task))
		rc = err_set(e, ERR_SCHEMA, "the scaling of targets does not fit the tasks");
	for (int i = 0; i < m->n_task && !rc; i++) {
		m->target_mean[i] = ts_tensor_float(mean, i);
		m->target_sd[i] = ts_tensor_float(sd, i);
	}
	return rc;
}

int nn_checkpoint_model(struct nn_checkpoint *c, const struct nn_config *cfg, unsigned parts, const struct kernels *k,
			struct nn_resume *resume, struct nn_model **out, struct err *e)
{
	struct nn_model *m = NULL;
	bool *seen = NULL;
	parts &= c->parts;
	*out = NULL;
	int rc = nn_model_new(&m, k, cfg ? cfg : &c->cfg, parts & ~(unsigned)NN_PART_HEAD, 0, e);
	if (!rc && parts & NN_PART_HEAD)
		rc = head_restore(c, m, e);
	if (!rc && resume) {
		resume->best = NULL;
		resume->optim = resume->optim_new(resume->ctx, m->ps);
		if (!resume->optim)
			rc = err_set(e, ERR_MEMORY, "no memory for the optimiser");
	}
	if (!rc) {
		seen = calloc((size_t)nn_params_count(m->ps) + 1, 1);
		rc = tensors_read(c, m, resume, seen, e);
	}
	for (int i = 0; !rc && i < nn_params_count(m->ps); i++)
		if (!seen[i])
			rc = err_set(e, ERR_SCHEMA, "the model has no tensor %s", nn_params_at(m->ps, i)->name);
	free(seen);
	if (rc) {
		err_add_place(e, c->name, -1, -1);
		nn_model_free(m);
		return rc;
	}
	if (m->views & 1u << NN_IMG)
		ts_need_int(&c->h.extra, "img_channels", &m->img_channels, NULL); /* none: it has seen no picture */
	m->trained_codes = c->trained & NN_PART_CODES;
	m->trained_structure = c->trained & NN_PART_STRUCTURE && m->parts & NN_PART_STRUCTURE;
	*out = m;
	return 0;
}
