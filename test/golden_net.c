/* golden_net.c - golden cases of layers and encoders: plain layers, 2D graphs, 3D geometry, pictures. */
#include "golden.h"

#include "nn_layer.h"

#include <string.h>

static void finish(struct golden *g, struct nn_var *y)
{
	golden_output(g, "y", y);
	golden_running(g, "");
	golden_backward_from(g, "y", y);
}

static void set_mode(struct golden *g)
{
	if (!golden_flag(g, "train"))
		nn_tape_use_running(golden_tape(g), true);
}

/* ---- plain layers ------------------------------------------------------------ */

static void run_linear(struct golden *g)
{
	finish(g, nn_linear_named(golden_tape(g), golden_params(g), "lin", golden_input(g, "x")));
}

static void run_embedding(struct golden *g)
{
	enum { MAX = 16 };
	struct nn_param *table[MAX];
	int n = (int)golden_shape(g, "idx", 1);
	for (int i = 0; i < n && i < MAX; i++)
		table[i] = nn_params_find(golden_params(g), nn_name("emb.%d.weight", i).s);
	finish(g, nn_embedding_sum(golden_tape(g), n, table, golden_ints(g, "idx", NULL), golden_shape(g, "idx", 0)));
}

static void run_batch_norm(struct golden *g)
{
	const int64_t *mult = golden_has(g, "mult") ? golden_ints(g, "mult", NULL) : NULL;
	bool relu = strstr(golden_name(g), "relu") != NULL;
	set_mode(g);
	finish(g, nn_batch_norm(golden_tape(g), golden_params(g), "bn", golden_input(g, "x"), mult, relu));
}

static void run_pool(struct golden *g)
{
	struct nn_tape *t = golden_tape(g);
	struct nn_var *x = golden_input(g, "x");
	const int64_t *seg = golden_ints(g, "seg", NULL);
	int64_t n = (int64_t)golden_number(g, "segments");
	finish(g, strstr(golden_name(g), "sum")    ? nn_segment_sum(t, x, seg, n)
		  : strstr(golden_name(g), "mean") ? nn_segment_mean(t, x, seg, n)
						   : nn_segment_max(t, x, seg, n));
}

/* ---- 2D graphs ----------------------------------------------------------------- */

static enum nn_gnn_kind kind_of(const char *name)
{
	static const char *const names[] = {"gin", "gcn", "sage", "gat"};
	static const enum nn_gnn_kind kinds[] = {NN_GIN, NN_GCN, NN_SAGE, NN_GAT};
	for (int i = 0; i < 3; i++)
		if (!strncmp(name, names[i], strlen(names[i])))
			return kinds[i];
	return NN_GAT;
}

static struct nn_graphs graphs_of(struct golden *g, int64_t n_atom)
{
	return (struct nn_graphs){.n_atom = n_atom,
				  .n_edge = golden_shape(g, "edge_index", 1),
				  .edge_index = golden_ints(g, "edge_index", NULL),
				  .edge_attr = golden_ints(g, "edge_attr", NULL),
				  .hu = !strcmp(golden_string(g, "feat"), "hu")};
}

static void run_gnn_layer(struct golden *g)
{
	struct nn_var *h = golden_input(g, "h");
	struct nn_graphs graphs = graphs_of(g, h->n);
	const struct nn_messages *m = nn_gnn_messages(golden_tape(g), &graphs);
	finish(g, nn_gnn_layer(golden_tape(g), golden_params(g), "gnns.0", kind_of(golden_name(g)), graphs.hu, m, h));
}

static void run_gnn_net(struct golden *g)
{
	struct nn_graphs graphs = graphs_of(g, golden_shape(g, "x", 0));
	struct nn_gnn_config c = {
	    .kind = kind_of(golden_name(g)), .n_layer = (int)golden_number(g, "layers"), .hu = graphs.hu};
	struct nn_var **each = arena_alloc(golden_arena(g), (size_t)(c.n_layer + 1) * sizeof *each);
	graphs.x = golden_ints(g, "x", NULL);
	graphs.mol = golden_ints(g, "batch", NULL);
	graphs.n_mol = graphs.n_atom ? graphs.mol[graphs.n_atom - 1] + 1 : 0;
	set_mode(g);
	struct nn_var *h = nn_gnn(golden_tape(g), golden_params(g), "", &c, &graphs, each);
	for (int l = 0; l < c.n_layer; l++)
		golden_output(g, nn_name("h%d", l + 1).s, each[l]);
	finish(g, nn_segment_mean(golden_tape(g), h, graphs.mol, graphs.n_mol));
}

/* ---- 3D geometry ------------------------------------------------------------------ */

static struct nn_points points_of(struct golden *g, const char *pos)
{
	int64_t n;
	struct nn_points p = {.pos = golden_reals(g, pos, NULL), .mol = golden_ints(g, "batch", &n)};
	p.z = golden_ints(g, "z", NULL);
	p.n_atom = n;
	p.n_mol = n ? p.mol[n - 1] + 1 : 0;
	return p;
}

static const struct nn_pair_lists *pairs_of(struct golden *g, int64_t n_atom)
{
	struct nn_pairs p = {0};
	p.j = (int64_t *)(uintptr_t)golden_ints(g, "j", &p.n);
	p.i = (int64_t *)(uintptr_t)golden_ints(g, "i", NULL);
	return nn_pair_lists_new(golden_tape(g), &p, n_atom);
}

static void run_schnet_block(struct golden *g)
{
	struct nn_var *x = golden_input(g, "x");
	finish(g, nn_schnet_block(golden_tape(g), golden_params(g), "", x, golden_input(g, "dist"), pairs_of(g, x->n),
				  golden_number(g, "cutoff"), (int)golden_number(g, "gaussians")));
}

static void run_schnet(struct golden *g)
{
	struct nn_points p = points_of(g, "pos");
	finish(g, nn_schnet(golden_tape(g), golden_params(g), "", (int)golden_number(g, "blocks"),
			    golden_number(g, "cutoff"), (int)golden_number(g, "gaussians"), &p, golden_input(g, "pos"),
			    !strcmp(golden_string(g, "readout"), "sum")));
}

static const real *to_real(struct golden *g, const double *x, int64_t n)
{
	real *y = arena_alloc(golden_arena(g), (size_t)(n + 1) * sizeof *y);
	for (int64_t i = 0; i < n; i++)
		y[i] = (real)x[i];
	return y;
}

static void output_features(struct golden *g, const struct nn_points *p)
{
	struct nn_comenet_features f = nn_comenet_features_of(golden_arena(g), p, golden_number(g, "cutoff"), true);
	int64_t n = f.pairs.n;
	golden_output_ints(g, "j", f.pairs.j, n);
	golden_output_ints(g, "i", f.pairs.i, n);
	golden_output_ints(g, "n0", f.n0, p->n_atom);
	golden_output_ints(g, "n1", f.n1, p->n_atom);
	golden_output_ints(g, "iref", f.iref, n);
	golden_output_ints(g, "jref", f.jref, n);
	golden_output_doubles(g, "dist", f.dist, n);
	golden_output_angles(g, "theta", to_real(g, f.theta, n), n);
	golden_output_angles(g, "phi", to_real(g, f.phi, n), n);
	golden_output_angles(g, "tau", to_real(g, f.tau, n), n);
	golden_output_reals(g, "feature1", f.feature1, 12 * n);
	golden_output_reals(g, "feature2", f.feature2, 6 * n);
}

static void run_comenet_features(struct golden *g)
{
	struct nn_points p = points_of(g, "pos");
	output_features(g, &p);
}

static void run_comenet_block(struct golden *g)
{
	int64_t n;
	const int64_t *mol = golden_ints(g, "batch", &n);
	struct nn_var *x = golden_input(g, "x"), *f1 = golden_input(g, "feature1"), *f2 = golden_input(g, "feature2");
	finish(g, nn_comenet_block(golden_tape(g), golden_params(g), "", x, f1, f2, pairs_of(g, n), mol,
				   n ? mol[n - 1] + 1 : 0));
}

static struct nn_var *comenet(struct golden *g, const char *pos)
{
	struct nn_points p = points_of(g, pos);
	return nn_comenet(golden_tape(g), golden_params(g), "", (int)golden_number(g, "blocks"),
			  golden_number(g, "cutoff"), &p);
}

static void run_comenet(struct golden *g)
{
	finish(g, comenet(g, "pos"));
}

static void run_degenerate(struct golden *g)
{
	struct nn_points p = points_of(g, "pos");
	output_features(g, &p);
	finish(g, comenet(g, "pos"));
}

static void run_invariance(struct golden *g)
{
	static const char *const name[][2] = {
	    {"y", "pos"}, {"y_turned", "pos_turned"}, {"y_rotated", "pos_rotated"}, {"y_mirrored", "pos_mirrored"}};
	for (int i = 0; i < 4; i++) {
		struct nn_points p = points_of(g, name[i][1]);
		golden_output(g, name[i][0],
			      golden_name(g)[0] == 'c'
				  ? comenet(g, name[i][1])
				  : nn_schnet(golden_tape(g), golden_params(g), "", (int)golden_number(g, "blocks"),
					      golden_number(g, "cutoff"), (int)golden_number(g, "gaussians"), &p, NULL,
					      true));
	}
}

/* ---- pictures: the files hold NCHW ---------------------------------------------------- */

/* [n, c, px] to [n, px, c], or back. */
static real *swap_channels(struct golden *g, const real *x, int64_t n, int64_t c, int64_t n_px, bool back)
{
	real *y = arena_alloc(golden_arena(g), (size_t)(n * c * n_px + 1) * sizeof *y);
	for (int64_t i = 0; i < n; i++)
		for (int64_t f = 0; f < c; f++)
			for (int64_t p = 0; p < n_px; p++) {
				int64_t planes = (i * c + f) * n_px + p, pixels = (i * n_px + p) * c + f;
				y[back ? planes : pixels] = x[back ? pixels : planes];
			}
	return y;
}

static struct nn_picture picture_of(struct golden *g)
{
	struct nn_picture p = {
	    .n = golden_shape(g, "x", 0), .height = golden_shape(g, "x", 2), .width = golden_shape(g, "x", 3)};
	int64_t c = golden_shape(g, "x", 1), n_px = p.height * p.width;
	p.x = nn_input_grad(golden_tape(g), swap_channels(g, golden_reals(g, "x", NULL), p.n, c, n_px, false),
			    p.n * n_px, c);
	return p;
}

static real *planes_of(struct golden *g, const real *x, struct nn_picture p)
{
	real *rows = arena_alloc(golden_arena(g), (size_t)(p.x->n * p.x->d + 1) * sizeof *rows);
	nn_tape_kernels(golden_tape(g))->download(rows, x, (size_t)(p.x->n * p.x->d) * sizeof *rows);
	return swap_channels(g, rows, p.n, p.x->d, p.height * p.width, true);
}

/* Picture y from picture x: outputs, and the gradients of both layouts. */
static void finish_picture(struct golden *g, struct nn_picture x, struct nn_picture y)
{
	int64_t n;
	const real *up = golden_reals(g, "g_y", &n);
	golden_output_reals(g, "y", planes_of(g, y.x->v, y), y.x->n * y.x->d);
	golden_running(g, "");
	if (n != y.x->n * y.x->d) {
		golden_fail(g, "g_y has another size");
		return;
	}
	nn_seed_grad(golden_tape(g), y.x, swap_channels(g, up, y.n, y.x->d, y.height * y.width, false));
	golden_backward_seeded(g);
	golden_gradient(g, "x", planes_of(g, x.x->g, x), x.x->n * x.x->d);
}

static void run_conv(struct golden *g)
{
	struct nn_picture x = picture_of(g);
	finish_picture(g, x, nn_conv(golden_tape(g), golden_params(g), "conv", x, (int)golden_number(g, "stride")));
}

static void run_max_pool(struct golden *g)
{
	struct nn_picture x = picture_of(g);
	finish_picture(g, x, nn_max_pool(golden_tape(g), x));
}

static void run_batch_norm_2d(struct golden *g)
{
	struct nn_picture x = picture_of(g), y = x;
	set_mode(g);
	y.x = nn_batch_norm(golden_tape(g), golden_params(g), "bn", x.x, NULL, false);
	finish_picture(g, x, y);
}

static void run_block(struct golden *g)
{
	struct nn_picture x = picture_of(g);
	finish_picture(g, x,
		       nn_residual_block(golden_tape(g), golden_params(g), "", x, (int)golden_number(g, "stride")));
}

static void run_resnet(struct golden *g)
{
	struct nn_picture x = picture_of(g);
	struct nn_cnn_config c = {.width = (int)golden_number(g, "width")};
	golden_list(g, "blocks", c.n_block, 4);
	set_mode(g);
	finish(g, nn_cnn(golden_tape(g), golden_params(g), "", &c, x.x, x.n, x.height, x.width));
}

const struct golden_case golden_net[] = {
    {"linear", GOLDEN_OP, run_linear},
    {"embedding_sum", GOLDEN_OP, run_embedding},
    {"bn1d_*", GOLDEN_OP, run_batch_norm},
    {"bn_relu", GOLDEN_OP, run_batch_norm},
    {"pool_*", GOLDEN_OP, run_pool},
    {"gin_layer_*", GOLDEN_OP, run_gnn_layer},
    {"gcn_layer_*", GOLDEN_OP, run_gnn_layer},
    {"sage_layer_*", GOLDEN_OP, run_gnn_layer},
    {"gat_layer_*", GOLDEN_OP, run_gnn_layer},
    {"gin_net_*", GOLDEN_NET, run_gnn_net},
    {"gcn_net_*", GOLDEN_NET, run_gnn_net},
    {"sage_net_*", GOLDEN_NET, run_gnn_net},
    {"gat_net_*", GOLDEN_NET, run_gnn_net},
    {"schnet_interaction", GOLDEN_NET, run_schnet_block},
    {"schnet_net", GOLDEN_NET, run_schnet},
    {"schnet_encoder", GOLDEN_NET, run_schnet},
    {"schnet_invariance", GOLDEN_NET, run_invariance},
    {"comenet_features", GOLDEN_NET, run_comenet_features},
    {"comenet_block", GOLDEN_NET, run_comenet_block},
    {"comenet_net", GOLDEN_NET, run_comenet},
    {"comenet_encoder", GOLDEN_NET, run_comenet},
    {"comenet_degenerate", GOLDEN_DEGENERATE, run_degenerate},
    {"comenet_invariance", GOLDEN_NET, run_invariance},
    {"conv*", GOLDEN_OP, run_conv},
    {"maxpool*", GOLDEN_OP, run_max_pool},
    {"bn2d_*", GOLDEN_OP, run_batch_norm_2d},
    {"resblock_*", GOLDEN_OP, run_block},
    {"resnet*", GOLDEN_DEEP, run_resnet},
    {0},
};
