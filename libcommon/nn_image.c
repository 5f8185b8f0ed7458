/*
 * nn_image.c - layers of pictures, and of them residual networks of 10 and 18 layers (He et al., 2016), as torchvision
 * has them: the plain path. nn_cnn.c is the quick one.
 */
#include "nn_layer.h"

#include <math.h>

struct conv_rule {
	struct k_conv c;
	struct nn_var *x, *weight, *y;
};

static void conv_back(struct nn_tape *t, void *ctx)
{
	const struct conv_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->conv_back(k, &r->c, r->x->v, r->weight->v, r->y->g, r->x->g, r->weight->g);
}

struct nn_picture nn_conv(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_picture p, int stride)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct conv_rule *r = arena_calloc(nn_tape_arena(t), 1, sizeof *r);
	struct nn_param *w = nn_params_find(ps, nn_name("%s.weight", name).s);
	r->c = (struct k_conv){.n = p.n,
			       .height = p.height,
			       .width = p.width,
			       .c_in = p.x->d,
			       .c_out = w->shape[0],
			       .kernel = w->shape[2],
			       .stride = stride};
	k_conv_set_out(&r->c);
	r->x = p.x;
	r->weight = nn_use(t, w);
	r->y = nn_var_new(t, p.n * r->c.out_height * r->c.out_width, r->c.c_out, p.x->g || r->weight->g);
	k->conv(k, &r->c, p.x->v, w->value, r->y->v);
	if (r->y->g)
		nn_tape_push(t, conv_back, r);
	return (struct nn_picture){.x = r->y, .n = p.n, .height = r->c.out_height, .width = r->c.out_width};
}

struct pool_rule {
	struct k_conv c;
	struct nn_var *x, *y;
	const uint8_t *arg;
};

static void pool_back(struct nn_tape *t, void *ctx)
{
	const struct pool_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->max_pool_back(k, &r->c, r->arg, r->y->g, r->x->g);
}

struct nn_picture nn_max_pool(struct nn_tape *t, struct nn_picture p)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct pool_rule *r = arena_calloc(nn_tape_arena(t), 1, sizeof *r);
	r->c = (struct k_conv){
	    .n = p.n, .height = p.height, .width = p.width, .c_in = p.x->d, .c_out = p.x->d, .kernel = 3, .stride = 2};
	k_conv_set_out(&r->c);
	r->x = p.x;
	r->y = nn_var_new(t, p.n * r->c.out_height * r->c.out_width, p.x->d, p.x->g != NULL);
	uint8_t *arg = nn_tape_alloc(t, (size_t)(r->y->n * r->y->d));
	r->arg = arg;
	k->max_pool(k, &r->c, p.x->v, r->y->v, arg);
	if (r->y->g)
		nn_tape_push(t, pool_back, r);
	return (struct nn_picture){.x = r->y, .n = p.n, .height = r->c.out_height, .width = r->c.out_width};
}

struct nn_picture nn_residual_block(struct nn_tape *t, struct nn_params *ps, const char *prefix, struct nn_picture p,
				    int stride)
{
	struct nn_var *x = p.x;
	struct nn_picture h = nn_conv(t, ps, nn_name("%sconv1", prefix).s, p, stride);
	h.x = nn_batch_norm(t, ps, nn_name("%sbn1", prefix).s, h.x, NULL, true);
	h = nn_conv(t, ps, nn_name("%sconv2", prefix).s, h, 1);
	if (nn_params_find(ps, nn_name("%sdownsample.0.weight", prefix).s)) {
		x = nn_conv(t, ps, nn_name("%sdownsample.0", prefix).s, p, stride).x;
		x = nn_batch_norm(t, ps, nn_name("%sdownsample.1", prefix).s, x, NULL, false);
	}
	h.x = nn_batch_norm_add(t, ps, nn_name("%sbn2", prefix).s, h.x, x, true);
	return h;
}

/* kaiming_normal(fan_out, relu): standard deviation sqrt(2 / (out k k)). */
static void build_conv(struct nn_params *ps, const char *name, int64_t n_in, int64_t n_out, int64_t kernel,
		       uint64_t seed)
{
	const int64_t shape[4] = {n_out, n_in, kernel, kernel};
	nn_init_normal(ps, nn_params_add(ps, nn_name("%s.weight", name).s, false, 4, shape), seed, 0,
		       sqrt(2.0 / (double)(n_out * kernel * kernel)));
}

static void build_block(struct nn_params *ps, const char *prefix, int64_t n_in, int64_t n_out, bool down, uint64_t seed)
{
	build_conv(ps, nn_name("%sconv1", prefix).s, n_in, n_out, 3, seed);
	nn_batch_norm_build(ps, nn_name("%sbn1", prefix).s, n_out);
	build_conv(ps, nn_name("%sconv2", prefix).s, n_out, n_out, 3, seed);
	nn_batch_norm_build(ps, nn_name("%sbn2", prefix).s, n_out);
	if (down) {
		build_conv(ps, nn_name("%sdownsample.0", prefix).s, n_in, n_out, 1, seed);
		nn_batch_norm_build(ps, nn_name("%sdownsample.1", prefix).s, n_out);
	}
}

void nn_cnn_build(struct nn_params *ps, const char *prefix, const struct nn_cnn_config *c, uint64_t seed)
{
	int64_t n_in = c->width;
	build_conv(ps, nn_name("%sconv1", prefix).s, 3, c->width, 7, seed);
	nn_batch_norm_build(ps, nn_name("%sbn1", prefix).s, c->width);
	for (int l = 0; l < 4; l++)
		for (int b = 0; b < c->n_block[l]; b++) {
			int64_t n_out = (int64_t)c->width << l;
			build_block(ps, nn_name("%slayer%d.%d.", prefix, l + 1, b).s, n_in, n_out, l && !b, seed);
			n_in = n_out;
		}
}

struct nn_var *nn_picture_mean(struct nn_tape *t, struct nn_picture p)
{
	int64_t n_px = p.height * p.width, *seg = arena_alloc(nn_tape_arena(t), (size_t)(p.x->n + 1) * sizeof *seg);
	for (int64_t i = 0; i < p.x->n; i++)
		seg[i] = i / n_px;
	return nn_segment_mean(t, p.x, seg, p.n);
}

struct nn_var *nn_cnn_plain(struct nn_tape *t, struct nn_params *ps, const char *prefix, const struct nn_cnn_config *c,
			    struct nn_var *img, int64_t n, int64_t height, int64_t width)
{
	struct nn_picture p = {.x = img, .n = n, .height = height, .width = width};
	p = nn_conv(t, ps, nn_name("%sconv1", prefix).s, p, 2);
	p.x = nn_batch_norm(t, ps, nn_name("%sbn1", prefix).s, p.x, NULL, true);
	p = nn_max_pool(t, p);
	for (int l = 0; l < 4; l++)
		for (int b = 0; b < c->n_block[l]; b++)
			p = nn_residual_block(t, ps, nn_name("%slayer%d.%d.", prefix, l + 1, b).s, p, l && !b ? 2 : 1);
	return nn_picture_mean(t, p);
}
