/* nn_batch.c - collates records into a batch: graphs, conformers, pictures, labels. */
#include "nn_batch.h"
#include "nn_model_parts.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct nn_reading nn_reading_of(const struct nn_model *m)
{
	struct nn_reading r = {.views = m->views,
			       .hu = !strcmp(m->cfg.features, "hu"),
			       .with_hydrogens = m->cfg.with_hydrogens,
			       .img_size_px = m->cfg.img_size_px,
			       .img_channels = m->img_channels};
	if (!m->k->plain) {
		r.gnn = nn_encoders_of(&m->cfg).gnn;
		r.geom = nn_encoders_of(&m->cfg).geom;
	}
	return r;
}

static int field_need(const struct ts_header *h, const char *name, const char *hint, struct err *e)
{
	return ts_header_has_field(h, name) ? 0 : err_set(e, ERR_SCHEMA, "no field %s: run %s first", name, hint);
}

int nn_reading_check(const struct nn_reading *r, const struct ts_header *h, bool all, struct err *e)
{
	int rc = ts_schema_need(h, "molecule", e);
	if (!rc && r->views & 1u << NN_2D) {
		const char *want = r->hu ? "hu" : "ogb";
		if ((rc = field_need(h, "x", "mol2graph", e)))
			return rc;
		if (strcmp(h->features, want))
			return err_set(e, ERR_SCHEMA,
				       "the stream has %s features and the model reads %s: mol2graph --features %s",
				       *h->features ? h->features : "no", want, want);
	}
	if (!rc && all && r->views & 1u << NN_3D)
		rc = field_need(h, "pos", "conf3d", e);
	if (!rc && all && r->views & 1u << NN_IMG)
		rc = field_need(h, "img", "mol2img", e);
	if (!rc && r->with_hydrogens && ts_header_has_field(h, "pos"))
		rc = field_need(h, "pos_h", "conf3d --hydrogens", e);
	if (!rc && r->fp)
		rc = field_need(h, "fp", "mol2graph --fp", e);
	if (!rc && r->scaffold)
		rc = field_need(h, "scaffold", "mol2graph --scaffold", e);
	return rc;
}

/* A tensor field, or NULL. */
static const struct ts_tensor *tensor(const struct ts_map *m, const char *key)
{
	const struct ts_value *v = ts_get(m, key);
	return v && v->kind == TS_TENSOR ? &v->u.t : NULL;
}

int64_t nn_record_channels(const struct ts_map *rec)
{
	const struct ts_tensor *t = tensor(rec, "img");
	return t && t->n_dim ? t->shape[t->n_dim - 1] : 0;
}

uint8_t nn_record_views(const struct ts_map *rec)
{
	static const char *const field[NN_N_VIEW] = {"x", "pos", "img"};
	unsigned views = 0;
	for (int v = 0; v < NN_N_VIEW; v++)
		views |= ts_get(rec, field[v]) ? 1u << v : 0;
	return (uint8_t)views;
}

int64_t nn_record_pictures(const struct ts_map *rec)
{
	const struct ts_tensor *t = tensor(rec, "img");
	return !t ? 0 : t->n_dim == 4 ? t->shape[0] : 1;
}

/* Sizes of the batch, and that each record can be read. */
struct sizes {
	int64_t n_atom, n_edge, n_mol3d, n_point, n_img;
};

static int record_size(const struct nn_reading *r, const struct ts_map *m, struct sizes *s, struct err *e)
{
	static const char *const graph[] = {"x", "edge_index", "edge_attr", NULL}, *const none[] = {NULL};
	static const char *const space[] = {"z", NULL}, *const hydrogens[] = {"z", "pos_h", NULL};
	const struct ts_schema *schema = ts_schema_find("molecule");
	bool has_pos = r->views & 1u << NN_3D && ts_get(m, "pos");
	int rc = ts_schema_check(schema, NULL, m, r->views & 1u << NN_2D ? graph : none, e);
	if (!rc && has_pos)
		rc = ts_schema_check(schema, NULL, m, r->with_hydrogens ? hydrogens : space, e);
	if (rc)
		return rc;
	if (r->views & 1u << NN_2D) {
		const struct ts_tensor *x = tensor(m, "x"), *attr = tensor(m, "edge_attr");
		if (x->shape[1] != (r->hu ? 2 : 9) || attr->shape[1] != (r->hu ? 2 : 3))
			return err_set(e, ERR_SCHEMA, "x and edge_attr are not of the features %s",
				       r->hu ? "hu" : "ogb");
		if (!x->shape[0])
			return err_set(e, ERR_SCHEMA, "a molecule of no atoms");
		s->n_atom += x->shape[0];
		s->n_edge += attr->shape[0];
	}
	if (has_pos) {
		s->n_mol3d++;
		s->n_point += tensor(m, "pos")->shape[0];
		if (!tensor(m, "pos")->shape[0])
			return err_set(e, ERR_SCHEMA, "a conformer of no atoms");
		if (r->with_hydrogens)
			s->n_point += tensor(m, "pos_h")->shape[0];
	}
	s->n_img += r->views & 1u << NN_IMG && ts_get(m, "img");
	return 0;
}

static int graph_put(const struct nn_reading *r, const struct ts_map *m, int64_t mol, struct nn_graphs *g,
		     int64_t *x_out, int64_t *edges, int64_t n_edge_all, int64_t *attr_out, int64_t *mol_out,
		     struct err *e)
{
	const struct ts_tensor *x = tensor(m, "x"), *index = tensor(m, "edge_index"), *attr = tensor(m, "edge_attr");
	int64_t n = x->shape[0], n_edge = attr->shape[0];
	const int64_t *ix = index->data, *vx = x->data, *va = attr->data;
	for (int64_t i = 0; i < 2 * n_edge; i++)
		if (ix[i] < 0 || ix[i] >= n)
			return err_set(e, ERR_SCHEMA, "edge_index names atom %" PRId64 " of %" PRId64, ix[i], n);
	for (int64_t i = 0; i < ts_tensor_count(x); i++)
		if (vx[i] < 0)
			return err_set(e, ERR_SCHEMA, "x holds a negative class");
	for (int64_t i = 0; i < ts_tensor_count(attr); i++)
		if (va[i] < 0)
			return err_set(e, ERR_SCHEMA, "edge_attr holds a negative class");
	memcpy(x_out + g->n_atom * x->shape[1], vx, ts_tensor_nbytes(x));
	if (n_edge)
		memcpy(attr_out + g->n_edge * attr->shape[1], va, ts_tensor_nbytes(attr));
	for (int64_t i = 0; i < n_edge; i++) {
		edges[g->n_edge + i] = ix[i] + g->n_atom;
		edges[n_edge_all + g->n_edge + i] = ix[n_edge + i] + g->n_atom;
	}
	for (int64_t i = 0; i < n; i++)
		mol_out[g->n_atom + i] = mol;
	g->n_atom += n;
	g->n_edge += n_edge;
	g->n_mol++;
	(void)r;
	return 0;
}

static int points_put(const struct nn_reading *r, const struct ts_map *m, struct nn_points *p, int64_t *z_out,
		      real *pos_out, int64_t *mol_out, struct err *e)
{
	const struct ts_tensor *z = tensor(m, "z"), *pos = tensor(m, "pos");
	const struct ts_tensor *hydrogens = r->with_hydrogens ? tensor(m, "pos_h") : NULL;
	int64_t n = pos->shape[0], n_h = hydrogens ? hydrogens->shape[0] : 0;
	for (int64_t i = 0; i < n + n_h; i++) {
		const float *from =
		    i < n ? (const float *)pos->data + 3 * i : (const float *)hydrogens->data + 3 * (i - n);
		int64_t number = i < n ? ((const int64_t *)z->data)[i] : 1;
		if (number < 1 || number > 118)
			return err_set(e, ERR_SCHEMA, "z holds %" PRId64 ", no atomic number", number);
		z_out[p->n_atom + i] = number;
		mol_out[p->n_atom + i] = p->n_mol;
		for (int k = 0; k < 3; k++) {
			if (!isfinite(from[k]))
				return err_set(e, ERR_NUMERIC, "pos holds what is no number");
			pos_out[3 * (p->n_atom + i) + k] = (real)from[k];
		}
	}
	p->n_atom += n + n_h;
	p->n_mol++;
	return 0;
}

static int picture_put(const struct nn_reading *r, const struct ts_map *m, int64_t row,
		       const struct nn_picture_choice *c, uint8_t *out, struct err *e)
{
	const struct ts_tensor *t = tensor(m, "img");
	int64_t n_view = nn_record_pictures(m), s = t->shape[t->n_dim - 2], n_ch = t->shape[t->n_dim - 1], view = 0;
	if (!n_view || !s)
		return err_set(e, ERR_SCHEMA, "img holds no picture");
	if (r->img_channels && r->img_channels != n_ch)
		return err_set(e, ERR_SCHEMA, "img has %" PRId64 " channels and the model was trained on %" PRId64,
			       n_ch, r->img_channels);
	if (c->fixed >= 0) {
		view = c->fixed % n_view;
	} else if (n_view > 1) {
		uint64_t key[2] = {c->seed, (uint64_t)row};
		struct rng rng;
		rng_init(&rng, rng_hash(key, sizeof key), c->step);
		view = rng_below(&rng, (uint32_t)n_view);
	}
	nn_picture_resample((const uint8_t *)t->data + view * s * s * n_ch, s, n_ch, out, r->img_size_px);
	return 0;
}

static int labels_put(const struct nn_reading *r, const struct ts_map *m, float *y, struct err *e)
{
	const struct ts_tensor *t;
	int rc = ts_need_tensor(m, "y", TS_F32, 1, &t, e);
	if (rc)
		return rc;
	if (t->shape[0] != r->n_task)
		return err_set(e, ERR_SCHEMA, "y has %" PRId64 " labels and the stream %d tasks", t->shape[0],
			       r->n_task);
	for (int i = 0; i < r->n_task; i++) {
		y[i] = ((const float *)t->data)[i];
		if (isinf(y[i]))
			return err_set(e, ERR_NUMERIC, "y holds an infinite label");
	}
	return 0;
}

/* Arrays of a batch while they are filled. */
struct filling {
	struct nn_batch *b;
	int64_t *x, *edges, *attr, *mol, *z, *point_mol, *mol3d, *molimg, *row, *scaffold, n_edge;
	real *pos;
	uint8_t *img, *fp;
	float *y;
	const char **id, **smiles, **name; /* name, key: of each scaffold, and its hash */
	uint64_t *key;
};

/* The first record of the same scaffold, itself at the latest. */
static int64_t scaffold_put(struct filling *f, int64_t i, const char *name)
{
	int64_t j = 0;
	f->name[i] = name;
	f->key[i] = rng_hash(name, strlen(name));
	while (f->key[j] != f->key[i] || strcmp(f->name[j], name))
		j++;
	return j;
}

static int record_put(const struct nn_reading *r, const struct ts_map *m, int64_t i, const struct nn_picture_choice *c,
		      struct filling *f, struct arena *a, struct err *e)
{
	struct nn_batch *b = f->b;
	const char *id = "", *smiles = "";
	int rc = ts_need_int(m, "row", &f->row[i], e);
	if (!rc && ts_get(m, "id"))
		rc = ts_need_str(m, "id", &id, e);
	if (!rc && ts_get(m, "smiles"))
		rc = ts_need_str(m, "smiles", &smiles, e);
	f->id[i] = arena_strdup(a, id);
	f->smiles[i] = arena_strdup(a, smiles);
	if (!rc && r->views & 1u << NN_2D) {
		b->has[i * NN_N_VIEW + NN_2D] = 1;
		rc = graph_put(r, m, i, &b->graph, f->x, f->edges, f->n_edge, f->attr, f->mol, e);
	}
	if (!rc && r->views & 1u << NN_3D && ts_get(m, "pos")) {
		b->has[i * NN_N_VIEW + NN_3D] = 1;
		f->mol3d[b->points.n_mol] = i;
		rc = points_put(r, m, &b->points, f->z, f->pos, f->point_mol, e);
	}
	if (!rc && r->views & 1u << NN_IMG && ts_get(m, "img")) {
		b->has[i * NN_N_VIEW + NN_IMG] = 1;
		f->molimg[b->n_img] = i;
		rc = picture_put(r, m, f->row[i], c, f->img + b->n_img * r->img_size_px * r->img_size_px * 3, e);
		b->n_img++;
	}
	if (!rc && r->n_task)
		rc = labels_put(r, m, f->y + i * r->n_task, e);
	if (!rc && r->fp) {
		const struct ts_tensor *t;
		if (!(rc = ts_need_tensor(m, "fp", TS_U8, 1, &t, e)))
			memcpy(f->fp + i * 256, t->data, 256);
	}
	if (!rc && r->scaffold) {
		const char *name;
		if (!(rc = ts_need_str(m, "scaffold", &name, e)))
			f->scaffold[i] = scaffold_put(f, i, name);
	}
	return rc;
}

static void filling_alloc(const struct nn_reading *r, const struct sizes *s, int64_t n, struct filling *f,
			  struct arena *a)
{
#define ARRAY(member, count) ((member) = arena_alloc(a, (size_t)((count) + 1) * sizeof *(member)))
	ARRAY(f->x, s->n_atom * (r->hu ? 2 : 9));
	ARRAY(f->edges, 2 * s->n_edge);
	ARRAY(f->attr, s->n_edge * (r->hu ? 2 : 3));
	ARRAY(f->mol, s->n_atom);
	ARRAY(f->z, s->n_point);
	ARRAY(f->point_mol, s->n_point);
	ARRAY(f->pos, 3 * s->n_point);
	ARRAY(f->mol3d, s->n_mol3d);
	ARRAY(f->molimg, s->n_img);
	ARRAY(f->img, s->n_img * r->img_size_px * r->img_size_px * 3);
	ARRAY(f->row, n);
	ARRAY(f->id, n);
	ARRAY(f->smiles, n);
	ARRAY(f->y, n * r->n_task);
	if (r->fp)
		ARRAY(f->fp, n * 256);
	if (r->scaffold) {
		ARRAY(f->scaffold, n);
		ARRAY(f->name, n);
		ARRAY(f->key, n);
	}
#undef ARRAY
	f->n_edge = s->n_edge;
}

int nn_batch_collate(const struct nn_reading *r, const struct ts_map *const *rec, int64_t n,
		     const struct nn_picture_choice *c, struct arena *a, struct nn_batch *b, struct err *e)
{
	struct filling f = {.b = b};
	struct sizes s = {0};
	int64_t i = 0;
	int rc = 0;
	for (; i < n && !rc; i++)
		rc = record_size(r, rec[i], &s, e);
	if (!rc) {
		filling_alloc(r, &s, n, &f, a);
		*b = (struct nn_batch){.n_mol = n,
				       .has = arena_calloc(a, (size_t)(n * NN_N_VIEW) + 1, 1),
				       .img_size_px = r->img_size_px,
				       .n_task = r->n_task};
		for (i = 0; i < n && !rc; i++)
			rc = record_put(r, rec[i], i, c, &f, a, e);
	}
	if (rc && e && !e->has_record) {
		int64_t row = i - 1;
		ts_need_int(rec[i - 1], "row", &row, NULL);
		err_add_place(e, "", row, -1);
	}
	if (rc)
		return rc;
	b->graph.x = f.x;
	b->graph.edge_index = f.edges;
	b->graph.edge_attr = f.attr;
	b->graph.mol = f.mol;
	b->graph.hu = r->hu;
	if (r->gnn.n_layer && r->views & 1u << NN_2D)
		nn_gnn_merge(a, &r->gnn, &b->graph);
	b->points.z = f.z;
	b->points.pos = f.pos;
	b->points.mol = f.point_mol;
	if (r->geom.n_block && b->points.n_mol)
		nn_geom_prepare(a, &r->geom, &b->points);
	b->mol3d = f.mol3d;
	b->molimg = f.molimg;
	b->img = f.img;
	b->y = r->n_task ? f.y : NULL;
	b->fp = f.fp;
	b->scaffold = f.scaffold;
	b->row = f.row;
	b->id = f.id;
	b->smiles = f.smiles;
	return 0;
}
