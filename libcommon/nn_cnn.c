/*
 * nn_cnn.c - the residual network of nn_image.c as one rule: BatchNorms are never written out but read as scale and
 * shift by what follows them, and gradients live in the memory of activations that the way back is done with.
 *
 * Training keeps of each block what its convolutions gave and its end; inference has the running BatchNorms within the
 * convolutions and keeps four tensors in all.
 */
#include "nn_layer.h"

#include <stdlib.h>

/* A convolution and the BatchNorm after it. */
struct conv {
	struct k_conv c;
	struct k_batch_norm b;
	struct nn_var *w, *norm_w, *norm_b;
	real *scale, *shift; /* [c_out] of the BatchNorm */
	real *x;             /* [n_row, c_out] what the convolution gave */
	int64_t n_row;
};
struct block {
	struct conv one, two, down;
	bool has_down;
	const real *in;
	real *out; /* as two.x */
};

/* Memory of the way back: what lies from `from` on is dead but for the live spans. */
enum { MAX_LIVE = 4 };
struct room {
	char *from, *to;
	struct {
		char *p;
		size_t nbytes;
	} live[MAX_LIVE];
};

struct cnn {
	struct nn_var *img, *y; /* y: pixels of the last block */
	struct conv stem;
	struct k_conv pool;
	real *pooled;
	uint8_t *arg;
	int n_block;
	struct block *block;
	struct room room;
};

/* ---- what there is to do ------------------------------------------------------------------------------------------
 */

static struct nn_param *param(struct nn_params *ps, const char *name, const char *suffix)
{
	return nn_params_find(ps, nn_name("%s.%s", name, suffix).s);
}

static struct conv conv_plan(struct nn_tape *t, struct nn_params *ps, const char *name, const char *norm,
			     struct k_conv from, int stride)
{
	struct nn_param *w = param(ps, name, "weight");
	struct conv v = {.c = {.n = from.n,
			       .height = from.out_height,
			       .width = from.out_width,
			       .c_in = w->shape[1],
			       .c_out = w->shape[0],
			       .kernel = w->shape[2],
			       .stride = stride}};
	k_conv_set_out(&v.c);
	v.n_row = v.c.n * v.c.out_height * v.c.out_width;
	v.w = nn_use(t, w);
	v.norm_w = nn_use(t, param(ps, norm, "weight"));
	v.norm_b = nn_use(t, param(ps, norm, "bias"));
	v.scale = nn_var_new(t, 1, v.c.c_out, false)->v;
	v.shift = nn_var_new(t, 1, v.c.c_out, false)->v;
	const struct nn_param *mean = param(ps, norm, "running_mean");
	v.b = (struct k_batch_norm){.n = v.n_row,
				    .d = v.c.c_out,
				    .eps = 1e-5,
				    .momentum = 0.1,
				    .train = nn_tape_is_training(t) && !mean->frozen,
				    .relu = true,
				    .weight = v.norm_w->v,
				    .bias = v.norm_b->v,
				    .run_mean = mean->value,
				    .run_var = param(ps, norm, "running_var")->value,
				    .mean = nn_var_new(t, 1, v.c.c_out, false)->v,
				    .inv = nn_var_new(t, 1, v.c.c_out, false)->v};
	return v;
}

static struct block block_plan(struct nn_tape *t, struct nn_params *ps, const char *prefix, struct k_conv from,
			       int stride)
{
	struct block b = {.has_down = nn_params_find(ps, nn_name("%sdownsample.0.weight", prefix).s)};
	b.one = conv_plan(t, ps, nn_name("%sconv1", prefix).s, nn_name("%sbn1", prefix).s, from, stride);
	b.two = conv_plan(t, ps, nn_name("%sconv2", prefix).s, nn_name("%sbn2", prefix).s, b.one.c, 1);
	if (!b.has_down)
		return b;
	b.down =
	    conv_plan(t, ps, nn_name("%sdownsample.0", prefix).s, nn_name("%sdownsample.1", prefix).s, from, stride);
	b.down.b.relu = false;
	return b;
}

static struct cnn *cnn_plan(struct nn_tape *t, struct nn_params *ps, const char *prefix, const struct nn_cnn_config *c,
			    struct nn_var *img, int64_t n, int64_t height, int64_t width)
{
	struct cnn *net = arena_calloc(nn_tape_arena(t), 1, sizeof *net);
	struct k_conv from = {.n = n, .out_height = height, .out_width = width};
	int n_block = 0;
	for (int l = 0; l < 4; l++)
		n_block += c->n_block[l];
	net->block = arena_calloc(nn_tape_arena(t), (size_t)n_block + 1, sizeof *net->block);
	net->img = img;
	net->stem = conv_plan(t, ps, nn_name("%sconv1", prefix).s, nn_name("%sbn1", prefix).s, from, 2);
	from = net->stem.c;
	net->pool = (struct k_conv){.n = n,
				    .height = from.out_height,
				    .width = from.out_width,
				    .c_in = from.c_out,
				    .c_out = from.c_out,
				    .kernel = 3,
				    .stride = 2};
	k_conv_set_out(&net->pool);
	from = net->pool;
	for (int l = 0; l < 4; l++)
		for (int b = 0; b < c->n_block[l]; b++) {
			struct block *at = &net->block[net->n_block++];
			*at = block_plan(t, ps, nn_name("%slayer%d.%d.", prefix, l + 1, b).s, from, l && !b ? 2 : 1);
			from = at->two.c;
		}
	return net;
}

static int64_t size_of(const struct conv *v)
{
	return (v->n_row * v->c.c_out + 15) / 16 * 16;
}

static int64_t pooled_rows(const struct cnn *net)
{
	return net->pool.n * net->pool.out_height * net->pool.out_width;
}

static int64_t pooled_size(const struct cnn *net)
{
	return (pooled_rows(net) * net->pool.c_out + 15) / 16 * 16;
}

static struct block *last_block(const struct cnn *net)
{
	return &net->block[net->n_block - 1];
}

/* ---- inference ----------------------------------------------------------------------------------------------------
 */

/* x = f(BatchNorm(conv(in)) + residual) in one: the BatchNorm is in the weights. */
static void infer_conv(const struct kernels *k, struct conv *v, const real *in, const real *residual, bool relu,
		       real *x)
{
	v->b.n = 0;
	k->norm_fold(k, &v->b, NULL, v->scale, v->shift);
	v->c.out_scale = v->scale;
	v->c.out_bias = v->shift;
	v->c.residual = residual;
	v->c.relu = relu;
	k->conv(k, &v->c, in, v->w->v, x);
}

static void infer(struct nn_tape *t, struct cnn *net)
{
	const struct kernels *k = nn_tape_kernels(t);
	int64_t most = pooled_size(net);
	for (int i = 0; i < net->n_block; i++)
		most = size_of(&net->block[i].one) > most ? size_of(&net->block[i].one) : most;
	int64_t stem = size_of(&net->stem), first = stem > 3 * most ? stem : 3 * most;
	real *room = nn_tape_alloc(t, (size_t)(first + most) * sizeof *room);
	/* The stem's pixels lie where three of the four tensors of the blocks will. */
	real *in = room + first, *a = room, *b = a + most, *c = b + most;
	uint8_t *arg = nn_tape_alloc(t, (size_t)pooled_size(net));
	infer_conv(k, &net->stem, net->img->v, NULL, true, room);
	k->max_pool(k, &net->pool, room, in, arg);
	for (int i = 0; i < net->n_block; i++) {
		struct block *at = &net->block[i];
		real *out = i == net->n_block - 1 ? net->y->v : c;
		infer_conv(k, &at->one, in, NULL, true, a);
		if (at->has_down)
			infer_conv(k, &at->down, in, NULL, false, b);
		infer_conv(k, &at->two, a, at->has_down ? b : in, true, out);
		c = in;
		in = out;
	}
}

/* ---- training: forward --------------------------------------------------------------------------------------------
 */

static real *cut_off(char **at, int64_t n)
{
	real *p = (void *)*at;
	*at += (size_t)n * sizeof *p;
	return p;
}

/* One piece of memory for all that the way back reads, in the order in which it is written. */
static void keep(struct nn_tape *t, struct cnn *net)
{
	int64_t total = size_of(&net->stem) + pooled_size(net), spare = 4 * size_of(&last_block(net)->two);
	for (int i = 0; i < net->n_block; i++) {
		const struct block *b = &net->block[i];
		total += 3 * size_of(&b->one) + (b->has_down ? size_of(&b->down) : 0);
	}
	total -= size_of(&last_block(net)->two); /* the last end is y */
	char *at = nn_tape_alloc(t, (size_t)(total + spare) * sizeof(real));
	net->room.to = at + (size_t)(total + spare) * sizeof(real);
	net->arg = nn_tape_alloc(t, (size_t)pooled_size(net));
	net->stem.x = cut_off(&at, size_of(&net->stem));
	net->pooled = cut_off(&at, pooled_size(net));
	for (int i = 0; i < net->n_block; i++) {
		struct block *b = &net->block[i];
		b->one.x = cut_off(&at, size_of(&b->one));
		b->two.x = cut_off(&at, size_of(&b->two));
		if (b->has_down)
			b->down.x = cut_off(&at, size_of(&b->down));
		b->out = b == last_block(net) ? net->y->v : cut_off(&at, size_of(&b->two));
	}
	net->room.from = at;
}

static void train_conv(const struct kernels *k, struct conv *v, const real *in)
{
	k->conv(k, &v->c, in, v->w->v, v->x);
	k->norm_fold(k, &v->b, v->x, v->scale, v->shift);
}

static void train_block(const struct kernels *k, struct block *b)
{
	struct k_join j = {.n = b->two.n_row, .d = b->two.c.c_out, .x = b->two.x, .residual = b->in};
	train_conv(k, &b->one, b->in);
	b->two.c.in_scale = b->one.scale;
	b->two.c.in_shift = b->one.shift;
	train_conv(k, &b->two, b->one.x);
	j.scale = b->two.scale;
	j.shift = b->two.shift;
	if (b->has_down) {
		train_conv(k, &b->down, b->in);
		j.residual = b->down.x;
		j.res_scale = b->down.scale;
		j.res_shift = b->down.shift;
	}
	k->norm_join(k, &j, b->out);
}

static void train(struct nn_tape *t, struct cnn *net)
{
	const struct kernels *k = nn_tape_kernels(t);
	const real *in = net->pooled;
	keep(t, net);
	train_conv(k, &net->stem, net->img->v);
	net->pool.in_scale = net->stem.scale;
	net->pool.in_shift = net->stem.shift;
	k->max_pool(k, &net->pool, net->stem.x, net->pooled, net->arg);
	in = net->pooled;
	for (int i = 0; i < net->n_block; i++) {
		net->block[i].in = in;
		train_block(k, &net->block[i]);
		in = net->block[i].out;
	}
}

/* ---- training: back -----------------------------------------------------------------------------------------------
 */

/* n entries among the dead ones, by first fit; from the tape where they are too few. */
static real *room_take(struct nn_tape *t, struct room *r, int64_t n)
{
	size_t need = (size_t)n * sizeof(real);
	char *at = r->from;
	int slot = -1;
	for (bool moved = true; moved;) {
		moved = false;
		for (int i = 0; i < MAX_LIVE; i++)
			if (r->live[i].p && at < r->live[i].p + r->live[i].nbytes && r->live[i].p < at + need) {
				at = r->live[i].p + r->live[i].nbytes;
				moved = true;
			}
	}
	for (int i = 0; i < MAX_LIVE; i++)
		slot = r->live[i].p ? slot : i;
	if (slot < 0 || at + need > r->to)
		return nn_tape_alloc(t, need);
	r->live[slot].p = at;
	r->live[slot].nbytes = need;
	return (void *)at;
}

static void room_drop(struct room *r, const real *p)
{
	for (int i = 0; i < MAX_LIVE; i++)
		if ((const void *)r->live[i].p == p)
			r->live[i].p = NULL;
}

/* Back through the BatchNorm: g becomes, or gives in g_x, the gradient of the convolution's output. */
static void norm_back(const struct kernels *k, const struct conv *v, const real *y, real *g, real *g_x)
{
	k->norm_fold_back(k, &v->b, v->x, v->scale, v->shift, y, g, g_x, v->norm_w->g, v->norm_b->g);
}

static void conv_back(const struct kernels *k, struct conv *v, const real *in, const real *g, real *g_in, bool set)
{
	v->c.g_x_set = set;
	k->conv_back(k, &v->c, in, v->w->v, g, g_in, v->w->g);
}

/* From the gradient g of the block's end to that of its input, which it returns. */
static real *block_back(struct nn_tape *t, struct room *r, struct block *b, real *g)
{
	const struct kernels *k = nn_tape_kernels(t);
	real *two = room_take(t, r, size_of(&b->two)), *one = room_take(t, r, size_of(&b->one)), *in = g;
	norm_back(k, &b->two, b->out, g, two);
	conv_back(k, &b->two, b->one.x, two, one, true);
	room_drop(r, two);
	norm_back(k, &b->one, NULL, one, one);
	if (b->has_down) {
		const struct k_conv *c = &b->down.c;
		in = room_take(t, r, (c->n * c->height * c->width * c->c_in + 15) / 16 * 16);
		norm_back(k, &b->down, NULL, g, g);
		conv_back(k, &b->down, b->in, g, in, true);
		room_drop(r, g);
	}
	conv_back(k, &b->one, b->in, one, in, false);
	room_drop(r, one);
	return in;
}

static void cnn_back(struct nn_tape *t, void *ctx)
{
	struct cnn *net = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	struct room *r = &net->room;
	real *g = net->y->g;
	for (int i = net->n_block - 1; i >= 0; i--) {
		g = block_back(t, r, &net->block[i], g);
		r->from = (void *)net->block[i].one.x; /* all of the block is done with */
	}
	real *stem = room_take(t, r, size_of(&net->stem));
	net->pool.g_x_set = true;
	k->max_pool_back(k, &net->pool, net->arg, g, stem);
	norm_back(k, &net->stem, NULL, stem, stem);
	conv_back(k, &net->stem, net->img->v, stem, net->img->g, false);
}

static bool wants_gradient(const struct cnn *net)
{
	bool want = net->img->g || net->stem.w->g || net->stem.norm_w->g || net->stem.norm_b->g;
	for (int i = 0; i < net->n_block; i++) {
		const struct conv *v[] = {&net->block[i].one, &net->block[i].two, &net->block[i].down};
		for (int j = 0; j < 2 + net->block[i].has_down; j++)
			want |= v[j]->w->g || v[j]->norm_w->g || v[j]->norm_b->g;
	}
	return want;
}

struct nn_var *nn_cnn(struct nn_tape *t, struct nn_params *ps, const char *prefix, const struct nn_cnn_config *c,
		      struct nn_var *img, int64_t n, int64_t height, int64_t width)
{
	if (nn_tape_kernels(t)->plain || !nn_tape_kernels(t)->norm_fold) /* a device may lack it */
		return nn_cnn_plain(t, ps, prefix, c, img, n, height, width);
	struct cnn *net = cnn_plan(t, ps, prefix, c, img, n, height, width);
	const struct k_conv *end = &last_block(net)->two.c;
	net->y = nn_var_new(t, last_block(net)->two.n_row, end->c_out, wants_gradient(net));
	if (nn_tape_is_training(t) || net->y->g)
		train(t, net);
	else
		infer(t, net);
	if (net->y->g)
		nn_tape_push(t, cnn_back, net);
	return nn_picture_mean(t, (struct nn_picture){net->y, n, end->out_height, end->out_width});
}
