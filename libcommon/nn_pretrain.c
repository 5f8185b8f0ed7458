/* nn_pretrain.c - a step of self-supervised training: draws, losses of sections 2 and 3 of the model, what moves after
 * it. */
#include "nn_model_parts.h"

#include <math.h>
#include <string.h>

enum { STREAM_MASK = 1, STREAM_PERM, N_STREAM = 16 };

static struct nn_param *param(const struct nn_model *m, const char *fmt, int index)
{
	char name[64];
	snprintf(name, sizeof name, fmt, index);
	return nn_params_find(m->ps, name);
}

/* ---- draws --------------------------------------------------------------- */

/* int(rate n + 1) atoms of each molecule, as Hu et al. mask them. */
static void draw_mask(const struct nn_model *m, const struct nn_batch *b, struct rng *r, struct arena *a,
		      struct nn_draws *d)
{
	const struct nn_graphs *g = &b->graph;
	int64_t *mask = arena_alloc(a, (size_t)(g->n_atom + 1) * sizeof *mask), n = 0;
	int64_t *pool = arena_alloc(a, (size_t)(g->n_atom + 1) * sizeof *pool);
	for (int64_t from = 0, to; from < g->n_atom; from = to) {
		for (to = from; to < g->n_atom && g->mol[to] == g->mol[from]; to++)
			pool[to - from] = to;
		int64_t n_atom = to - from, want = (int64_t)(m->cfg.mask * (double)n_atom + 1);
		if (want > n_atom)
			want = n_atom;
		rng_shuffle(r, pool, n_atom);
		bool *chosen = arena_calloc(a, (size_t)n_atom, sizeof *chosen);
		for (int64_t i = 0; i < want; i++)
			chosen[pool[i] - from] = true;
		for (int64_t i = 0; i < n_atom; i++)
			if (chosen[i])
				mask[n++] = from + i;
	}
	d->mask = mask;
	d->n_mask = n;
}

/* A derangement of the views present: a shift of their order by 1 to p - 1. */
static void draw_perm(const struct nn_batch *b, const uint8_t *has, struct rng *r, struct arena *a, struct nn_draws *d)
{
	int64_t *perm = arena_alloc(a, (size_t)(b->n_mol * NN_N_VIEW + 1) * sizeof *perm);
	for (int64_t i = 0; i < b->n_mol; i++) {
		int on[NN_N_VIEW], p = 0;
		for (int v = 0; v < NN_N_VIEW; v++) {
			perm[i * NN_N_VIEW + v] = -1;
			if (has[i * NN_N_VIEW + v])
				on[p++] = v;
		}
		if (p < 2)
			continue;
		int shift = 1 + (int)rng_below(r, (uint32_t)p - 1);
		for (int q = 0; q < p; q++)
			perm[i * NN_N_VIEW + on[q]] = on[(q + shift) % p];
	}
	d->perm = perm;
}

/* The batch with the drawn atoms of the mask class. */
static struct nn_graphs masked_graphs(const struct nn_batch *b, const struct nn_draws *d, struct arena *a)
{
	struct nn_graphs g = b->graph;
	int n_feature = g.hu ? 2 : 9;
	size_t nbytes = (size_t)(g.n_atom * n_feature) * sizeof(int64_t);
	int64_t *x = arena_alloc(a, nbytes + 8);
	memcpy(x, g.x, nbytes);
	for (int64_t i = 0; i < d->n_mask; i++) {
		int64_t *row = x + d->mask[i] * n_feature;
		memset(row, 0, (size_t)n_feature * sizeof *row);
		row[0] = 119;
	}
	g.x = x;
	g.merged = d->merged;
	return g;
}

void nn_model_draw(const struct nn_model *m, const struct nn_batch *b, uint64_t seed, uint64_t step, struct arena *a,
		   struct nn_draws *d)
{
	struct rng r;
	*d = (struct nn_draws){0};
	if (m->cfg.mask > 0 && m->cfg.w_mask > 0 && m->views & 1u << NN_2D) {
		rng_init(&r, seed, step * N_STREAM + STREAM_MASK);
		draw_mask(m, b, &r, a, d);
		if (b->graph.merged) {
			struct nn_graphs g = masked_graphs(b, d, a);
			struct nn_encoders e = nn_encoders_of(&m->cfg);
			nn_gnn_merge(a, &e.gnn, &g);
			d->merged = g.merged;
		}
	}
	rng_init(&r, seed, step * N_STREAM + STREAM_PERM);
	draw_perm(b, nn_model_has(m, b, a), &r, a, d);
}

/* ---- section 2: the views ------------------------------------------------- */

/* Adds weight times the term to the total and notes its value. */
static void add_term(struct nn_tape *t, struct nn_var **total, struct nn_var *term, double weight, double *value)
{
	if (!term)
		return;
	*value = nn_scalar(t, term);
	if (weight == 0)
		return;
	struct nn_var *x = nn_scale(t, term, weight);
	*total = *total ? nn_add(t, *total, x) : x;
}

/*
 * A second pass in which the drawn atoms are the mask class: their types are predicted from their outputs. Masked
 * graphs are not what an encoder meets later: were their statistics mixed into the running ones, every embedding made
 * afterwards would stand on a mean of two kinds of graphs.
 */
static struct nn_var *mask_loss(struct nn_model *m, struct nn_tape *t, const struct nn_batch *b,
				const struct nn_draws *d)
{
	struct arena *a = nn_tape_arena(t);
	struct nn_graphs g = masked_graphs(b, d, a);
	int64_t *label = arena_alloc(a, (size_t)(d->n_mask + 1) * sizeof *label);
	for (int64_t i = 0; i < d->n_mask; i++) {
		int64_t class = b->graph.x[d->mask[i] * (g.hu ? 2 : 9)];
		label[i] = class < 118 ? class : 118;
	}
	nn_tape_keep_running(t, !m->cfg.mask_statistics);
	struct nn_var *h = nn_gather(t, nn_model_atoms(m, t, &g), d->mask, d->n_mask);
	nn_tape_keep_running(t, false);
	struct nn_var *y = nn_linear(t, h, param(m, "mask_head.weight", 0), param(m, "mask_head.bias", 0));
	return m->cfg.mask_loss ? nn_scaled_cosine(t, y, label) : nn_cross_entropy(t, y, label);
}

static void reconstruct(struct nn_model *m, struct nn_tape *t, struct nn_var *const *h, struct nn_var *const *c,
			const uint8_t *has, const int64_t *perm, int64_t n, struct nn_var **own, struct nn_var **cross)
{
	struct nn_param *weight[NN_N_VIEW], *bias[NN_N_VIEW];
	for (int v = 0; v < NN_N_VIEW; v++) {
		weight[v] = param(m, "mm.decoders.%d.weight", v);
		bias[v] = param(m, "mm.decoders.%d.bias", v);
	}
	nn_reconstruct(t, h, c, weight, bias, has, perm, n, NN_N_VIEW, own, cross);
}

/* ---- section 3: structure ------------------------------------------------- */

/* k-NN hyperedges within one view: over the molecules that have it. */
static struct nn_hyper view_hyper(const struct nn_model *m, const struct nn_relation *of, int view, struct arena *a)
{
	int64_t d = m->cfg.code_width, n = of->n, *rows = arena_alloc(a, (size_t)(n + 1) * sizeof *rows), n_row = 0;
	real *x = arena_alloc(a, (size_t)(n * d + 1) * sizeof *x);
	for (int64_t i = 0; i < n; i++)
		if (of->has[i * NN_N_VIEW + view]) {
			memcpy(x + n_row * d, of->code[view] + i * d, (size_t)d * sizeof *x);
			rows[n_row++] = i;
		}
	struct nn_hyper h = nn_hyper_knn(m->k, x, n_row, d, m->cfg.hyper_k, m->cfg.hyper_soft, 1, a);
	int64_t *node = arena_alloc(a, (size_t)(h.n_entry + 1) * sizeof *node);
	for (int64_t e = 0; e < h.n_entry; e++)
		node[e] = rows[h.node[e]];
	h.node = node;
	h.n_node = n;
	return h;
}

static const real *host_copy(struct nn_tape *t, const struct nn_var *x)
{
	real *host = arena_alloc(nn_tape_arena(t), (size_t)(x->n * x->d + 1) * sizeof *host);
	nn_download(t, x, host);
	return host;
}

int nn_model_hyper_of(const struct nn_model *m, const struct nn_relation *of, struct arena *a, struct nn_hyper *h,
		      struct err *e)
{
	switch ((enum nn_hyper_by)m->cfg.hyper_by) {
	case NN_BY_FP:
		if (!of->fp)
			return err_set(e, ERR_SCHEMA, "no field fp [256] uint8: run mol2graph with --fp");
		*h = nn_hyper_fp(of->fp, of->n, m->cfg.hyper_k, m->cfg.hyper_soft, a);
		return 0;
	case NN_BY_SCAFFOLD:
		if (!of->scaffold)
			return err_set(e, ERR_SCHEMA, "no field scaffold: run mol2graph with --scaffold");
		*h = nn_hyper_group(of->scaffold, of->n, a);
		return 0;
	case NN_BY_VIEW: {
		struct nn_hyper part[NN_N_VIEW];
		const struct nn_hyper *parts[NN_N_VIEW];
		int n_part = 0;
		for (int v = 0; v < NN_N_VIEW; v++)
			if (of->code[v]) {
				part[n_part] = view_hyper(m, of, v, a);
				parts[n_part] = &part[n_part];
				n_part++;
			}
		*h = nn_hyper_concat(parts, n_part, a);
		return 0;
	}
	case NN_BY_CODE:
		break;
	}
	*h = nn_hyper_knn(m->k, of->unified, of->n, m->cfg.code_width, m->cfg.hyper_k, m->cfg.hyper_soft, 1, a);
	return 0;
}

/* The hypergraph of a batch by --hyper-by. */
static int batch_hyper(const struct nn_model *m, struct nn_tape *t, const struct nn_batch *b, struct nn_var *const *c,
		       const uint8_t *has, struct nn_var *u, struct nn_hyper *h, struct err *e)
{
	struct nn_relation of = {.n = b->n_mol, .has = has, .fp = b->fp, .scaffold = b->scaffold};
	for (int v = 0; v < NN_N_VIEW && m->cfg.hyper_by == NN_BY_VIEW; v++)
		of.code[v] = c[v] ? host_copy(t, c[v]) : NULL;
	if (m->cfg.hyper_by == NN_BY_CODE)
		of.unified = host_copy(t, u);
	return nn_model_hyper_of(m, &of, nn_tape_arena(t), h, e);
}

static double cosine(const real *a, const real *b, int64_t d)
{
	double ab = 0, aa = 0, bb = 0;
	for (int64_t i = 0; i < d; i++) {
		ab += (double)a[i] * b[i];
		aa += (double)a[i] * a[i];
		bb += (double)b[i] * b[i];
	}
	return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

/*
 * Rows of g become the next anchors until all are filled; a row that points where an anchor does already is passed
 * over: alike anchors share each assignment, and so get the same gradient and stay alike.
 */
#define TWIN_COSINE 0.9
static void fill_anchors(struct nn_model *m, struct nn_tape *t, const struct nn_var *g)
{
	struct nn_param *weight = param(m, "memory.weight", 0), *filled = param(m, "memory.filled", 0);
	int64_t d = m->cfg.hyper_width, n_slot = m->cfg.memory_slots;
	real n = 0;
	m->k->download(&n, filled->value, sizeof n);
	if ((int64_t)n >= n_slot || weight->frozen)
		return;
	const real *row = host_copy(t, g);
	real *anchor = arena_alloc(nn_tape_arena(t), (size_t)weight->n * sizeof *anchor);
	int64_t held = (int64_t)n;
	m->k->download(anchor, weight->value, (size_t)weight->n * sizeof *anchor);
	for (int64_t i = 0; i < g->n && held < n_slot; i++) {
		const real *x = row + i * d;
		bool twin = cosine(x, x, d) == 0; /* a row of zeros points nowhere */
		for (int64_t s = 0; s < held && !twin; s++)
			twin = cosine(x, anchor + s * d, d) > TWIN_COSINE;
		if (!twin)
			memcpy(anchor + held++ * d, x, (size_t)d * sizeof *anchor);
	}
	n = (real)held;
	m->k->upload(weight->value, anchor, (size_t)weight->n * sizeof *anchor);
	m->k->upload(filled->value, &n, sizeof n);
}

/* Scores of the codes kept from earlier steps: [n_queue, anchors] host, no gradient. */
static const real *queue_scores(struct nn_model *m, struct nn_tape *t, struct nn_var *theta, struct nn_var *anchors,
				int v, int64_t n_batch, int64_t *n_queue)
{
	struct nn_param *rows = param(m, "queue.%d", v), *at = param(m, "queue.%d.at", v);
	real state[2] = {0};
	*n_queue = 0;
	if (!rows || n_batch >= m->cfg.memory_slots) /* a batch that can fill all anchors needs no queue */
		return NULL;
	m->k->download(state, at->value, sizeof state);
	if (state[0] < 1)
		return NULL;
	*n_queue = (int64_t)state[0];
	real *host = arena_alloc(nn_tape_arena(t), (size_t)rows->n * sizeof *host);
	m->k->download(host, rows->value, (size_t)rows->n * sizeof *host);
	struct nn_var *x = nn_matmul(t, nn_input(t, host, *n_queue, m->cfg.code_width), false, theta, true);
	return host_copy(t, nn_matmul(t, nn_unit(t, x), false, anchors, true));
}

static struct nn_var *swap_loss(struct nn_model *m, struct nn_tape *t, struct nn_var *const *c, const uint8_t *has,
				int64_t n)
{
	struct nn_var *scores[NN_N_VIEW] = {NULL};
	const real *queue[NN_N_VIEW] = {NULL};
	int64_t n_queue[NN_N_VIEW] = {0};
	struct nn_param *theta = param(m, "hyper.theta.weight", 0);
	struct nn_var *anchors = nn_unit(t, nn_model_anchors(m, t));
	struct nn_var *fixed_theta = nn_detach(t, nn_use(t, theta)), *fixed_anchors = nn_detach(t, anchors);
	for (int v = 0; v < NN_N_VIEW; v++) {
		if (!c[v])
			continue;
		scores[v] = nn_matmul(t, nn_unit(t, nn_linear(t, c[v], theta, NULL)), false, anchors, true);
		queue[v] = queue_scores(m, t, fixed_theta, fixed_anchors, v, n, &n_queue[v]);
	}
	return nn_swapped(t, scores, has, n, NN_N_VIEW, m->cfg.tau_swap, m->cfg.sinkhorn_eps,
			  (int)m->cfg.sinkhorn_steps, queue, n_queue, NULL);
}

/* How the memory is used: entropies of assignments in nats, largest cosine between two anchors. */
static void watch_memory(struct nn_model *m, struct nn_tape *t, const struct nn_var *assign, struct nn_losses *out)
{
	const real *a = host_copy(t, assign);
	double usage = 0, certainty = 0;
	for (int64_t j = 0; j < assign->d; j++) {
		double mean = 0;
		for (int64_t i = 0; i < assign->n; i++) {
			double p = a[i * assign->d + j];
			mean += p / (double)assign->n;
			certainty -= p > 0 ? p * log(p) / (double)assign->n : 0;
		}
		usage -= mean > 0 ? mean * log(mean) : 0;
	}
	out->usage = usage;
	out->certainty = certainty;
	out->max_cosine = nn_largest_cosine(t, nn_model_anchors(m, t));
}

/* Losses of section 3 on codes c of n molecules and a hypergraph over them, taken on the first n_seed. */
static void structure_terms(struct nn_model *m, struct nn_tape *t, struct nn_var *const *c, const uint8_t *has,
			    struct nn_var *u, const struct nn_hyper *h, int64_t n_seed, struct nn_var **total,
			    struct nn_losses *out)
{
	struct nn_var *g = nn_model_hyper(m, t, u, h), *seed_c[NN_N_VIEW], *assign, *r;
	if (n_seed < g->n) {
		int64_t *rows = arena_alloc(nn_tape_arena(t), (size_t)(n_seed + 1) * sizeof *rows);
		for (int64_t i = 0; i < n_seed; i++)
			rows[i] = i;
		g = nn_gather(t, g, rows, n_seed);
		for (int v = 0; v < NN_N_VIEW; v++)
			seed_c[v] = c[v] ? nn_gather(t, c[v], rows, n_seed) : NULL;
	} else {
		memcpy(seed_c, c, sizeof seed_c);
	}
	if (nn_tape_is_training(t))
		fill_anchors(m, t, g);
	nn_model_read(m, t, g, &assign, &r);
	struct nn_var *read = nn_align(t, r, g, m->cfg.beta), *align = NULL;
	add_term(t, &align, read, 1, &out->read);
	add_term(t, &align, swap_loss(m, t, seed_c, has, n_seed), m->cfg.w_swap, &out->swap);
	add_term(t, total, align, m->cfg.w_align, &out->align);
	watch_memory(m, t, assign, out);
	m->last = (struct nn_last){.g = g, .assign = assign, .has = has, .n_mol = n_seed, .n_seed = n_seed};
	memcpy(m->last.code, seed_c, sizeof seed_c);
}

/* ---- steps ---------------------------------------------------------------- */

static void losses_clear(struct nn_losses *out)
{
	*out = (struct nn_losses){NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
}

static int finish(struct nn_tape *t, struct nn_var *total, struct nn_var **loss, struct nn_losses *out, struct err *e)
{
	if (!total)
		return err_set(e, ERR_USAGE, "nothing to train on: every loss has weight 0 or lacks its views");
	*loss = total;
	out->total = nn_scalar(t, total);
	return 0;
}

/* Whether a loss of weight above 0 acts on n molecules of these views; masks: atoms are masked. */
static bool has_term(const struct nn_model *m, const uint8_t *has, int64_t n, bool masks)
{
	const struct nn_config *c = &m->cfg;
	bool any = (masks && c->w_mask > 0) || (m->parts & NN_PART_STRUCTURE && c->w_align > 0);
	for (int a = 0; a < NN_N_VIEW; a++)
		for (int b = a; b < NN_N_VIEW; b++) {
			int64_t both = 0;
			for (int64_t i = 0; i < n; i++)
				both += has[i * NN_N_VIEW + a] && has[i * NN_N_VIEW + b];
			any |= both > 0 && (a == b ? c->w_self : c->w_cross) > 0;
			any |= both > 1 && a != b && c->w_con > 0;
		}
	return any;
}

bool nn_model_can_pretrain(const struct nn_model *m)
{
	uint8_t has[2 * NN_N_VIEW];
	for (int i = 0; i < 2 * NN_N_VIEW; i++)
		has[i] = m->views >> i % NN_N_VIEW & 1;
	return has_term(m, has, 2, m->cfg.mask > 0 && m->views & 1u << NN_2D);
}

int nn_model_pretrain(struct nn_model *m, struct nn_tape *t, const struct nn_batch *b, const struct nn_draws *d,
		      struct nn_var **loss, struct nn_losses *out, struct err *e)
{
	const struct nn_config *c = &m->cfg;
	const uint8_t *has = nn_model_has(m, b, nn_tape_arena(t));
	struct nn_var *x[NN_N_VIEW], *h[NN_N_VIEW], *code[NN_N_VIEW], *own = NULL, *cross = NULL, *total = NULL;
	losses_clear(out);
	memset(&m->last, 0, sizeof m->last);
	*loss = NULL;
	if (!has_term(m, has, b->n_mol, d->n_mask > 0))
		return 0;
	nn_model_encode(m, t, b, m->views, x);
	nn_model_codes(m, t, b, x, h, code);
	if (c->w_con > 0)
		add_term(
		    t, &total,
		    nn_contrast_views(t, (enum nn_contrast)c->contrast, code, has, b->n_mol, NN_N_VIEW, c->tau_con),
		    c->w_con, &out->con);
	if (c->w_self > 0 || c->w_cross > 0)
		reconstruct(m, t, h, code, has, d->perm, b->n_mol, &own, &cross);
	add_term(t, &total, own, c->w_self, &out->self);
	add_term(t, &total, cross, c->w_cross, &out->cross);
	if (d->n_mask)
		add_term(t, &total, mask_loss(m, t, b, d), c->w_mask, &out->mask);
	if (m->parts & NN_PART_STRUCTURE && c->w_align > 0) {
		struct nn_hyper hyper;
		struct nn_var *u = nn_model_fuse(m, t, code, has, b->n_mol);
		int rc = batch_hyper(m, t, b, code, has, u, &hyper, e);
		if (rc)
			return rc;
		structure_terms(m, t, code, has, u, &hyper, b->n_mol, &total, out);
	}
	return finish(t, total, loss, out, e);
}

int nn_model_structure(struct nn_model *m, struct nn_tape *t, const real *codes, const uint8_t *has, int64_t n,
		       const struct nn_hyper *h, int64_t n_seed, struct nn_var **loss, struct nn_losses *out,
		       struct err *e)
{
	int64_t d = m->cfg.code_width;
	struct nn_var *c[NN_N_VIEW], *total = NULL;
	real *x = arena_alloc(nn_tape_arena(t), (size_t)(n * d + 1) * sizeof *x);
	losses_clear(out);
	for (int v = 0; v < NN_N_VIEW; v++) {
		c[v] = NULL;
		if (!(m->views & 1u << v))
			continue;
		for (int64_t i = 0; i < n; i++) {
			if (has[i * NN_N_VIEW + v])
				memcpy(x + i * d, codes + (i * NN_N_VIEW + v) * d, (size_t)d * sizeof *x);
			else
				memset(x + i * d, 0, (size_t)d * sizeof *x);
		}
		c[v] = nn_input(t, x, n, d);
	}
	struct nn_var *u = nn_model_fuse(m, t, c, has, n);
	structure_terms(m, t, c, has, u, h, n_seed, &total, out);
	return finish(t, total, loss, out, e);
}

static void push_queue(struct nn_model *m, struct nn_tape *t, int v)
{
	struct nn_param *rows = param(m, "queue.%d", v), *at = param(m, "queue.%d.at", v);
	if (!rows || rows->frozen || !m->last.code[v])
		return;
	int64_t d = m->cfg.code_width, size = rows->shape[0];
	const real *code = host_copy(t, m->last.code[v]);
	real state[2], *all = arena_alloc(nn_tape_arena(t), (size_t)rows->n * sizeof *all);
	m->k->download(state, at->value, sizeof state);
	m->k->download(all, rows->value, (size_t)rows->n * sizeof *all);
	for (int64_t i = 0; i < m->last.n_mol; i++) {
		if (!m->last.has[i * NN_N_VIEW + v])
			continue;
		memcpy(all + (int64_t)state[1] * d, code + i * d, (size_t)d * sizeof *all);
		state[1] = (real)(((int64_t)state[1] + 1) % size);
		if ((int64_t)state[0] < size)
			state[0] += 1;
	}
	m->k->upload(rows->value, all, (size_t)rows->n * sizeof *all);
	m->k->upload(at->value, state, sizeof state);
}

void nn_model_after_step(struct nn_model *m, struct nn_tape *t)
{
	struct nn_last *l = &m->last;
	if (!l->g)
		return;
	for (int v = 0; v < NN_N_VIEW; v++)
		push_queue(m, t, v);
	struct nn_param *weight = param(m, "memory.weight", 0);
	if (m->cfg.anchor_momentum > 0 && !weight->frozen) {
		real *anchor = arena_alloc(nn_tape_arena(t), (size_t)weight->n * sizeof *anchor);
		m->k->download(anchor, weight->value, (size_t)weight->n * sizeof *anchor);
		nn_anchor_momentum(anchor, l->assign->d, l->g->d, host_copy(t, l->assign), host_copy(t, l->g), l->g->n,
				   m->cfg.anchor_momentum, nn_tape_arena(t));
		m->k->upload(weight->value, anchor, (size_t)weight->n * sizeof *anchor);
	}
	memset(l, 0, sizeof *l);
}
