/* nn_config.c - every size and switch of the model: the table, the presets, to and from a map. */
#include "nn_model.h"

#include <string.h>

const char *const nn_view_names[] = {"2d", "3d", "img", NULL};

static const char *const presets[] = {"tiny", "cpu", "paper", NULL};
static const char *const gnns[] = {"gin", "gcn", "sage", "gat", NULL};
static const char *const geoms[] = {"comenet", "schnet", NULL};
static const char *const cnns[] = {"resnet10", "resnet18", NULL};
static const char *const fuses[] = {"mean", "attention", "concat", NULL};
static const char *const contrasts[] = {"infonce", "ebm", "ebm-raw", "mse", NULL};
static const char *const mask_losses[] = {"ce", "cosine", NULL};
static const char *const hyper_bys[] = {"code", "view", "fp", "scaffold", NULL};
static const char *const hyper_norms[] = {"row", "sym", NULL};
static const char *const memory_sims[] = {"cosine", "dot", NULL};
static const char *const anchor_inits[] = {"data", "normal", NULL};
static const char *const task_kinds[] = {"auto", "class", "regression", NULL};

#define AT(member) offsetof(struct nn_config, member)
#define INT(name, arg, member, lo, hi, help)                                                                           \
	{                                                                                                              \
		name, 0, OPT_INT, arg, help, AT(member), OPT_RECORDS, NULL, lo, hi                                     \
	}
#define NUM(name, arg, member, lo, hi, help)                                                                           \
	{                                                                                                              \
		name, 0, OPT_FLOAT, arg, help, AT(member), OPT_RECORDS, NULL, lo, hi                                   \
	}
#define ONE(name, arg, member, list, help)                                                                             \
	{                                                                                                              \
		name, 0, OPT_CHOICE, arg, help, AT(member), OPT_RECORDS, list, 0, 0                                    \
	}
#define YES(name, member, help)                                                                                        \
	{                                                                                                              \
		name, 0, OPT_FLAG, NULL, help, AT(member), OPT_RECORDS, NULL, 0, 0                                     \
	}
#define STR(name, arg, member, help)                                                                                   \
	{                                                                                                              \
		name, 0, OPT_STR, arg, help, AT(member), OPT_RECORDS, NULL, 0, 0                                       \
	}

const struct opt nn_config_options[] = {
    ONE("preset", "NAME", preset, presets, "sizes of all parts: tiny, cpu or paper"),
    STR("views", "LIST", views, "views in use, of 2d,3d,img"),
    ONE("gnn", "KIND", gnn, gnns, "graph encoder: gin, gcn, sage or gat"),
    INT("gnn-layers", "N", gnn_layers, 1, 64, "layers of the graph encoder"),
    INT("gnn-width", "N", gnn_width, 1, 8192, "width of the graph encoder"),
    ONE("geom", "KIND", geom, geoms, "geometry encoder: comenet or schnet"),
    INT("geom-blocks", "N", geom_blocks, 1, 64, "interaction blocks of the geometry encoder"),
    INT("geom-width", "N", geom_width, 1, 8192, "width of the geometry encoder"),
    INT("geom-middle", "N", geom_middle, 1, 8192, "inner width of ComENet's feature maps"),
    INT("geom-gaussians", "N", geom_gaussians, 2, 1024, "Gaussians of SchNet's distances"),
    INT("geom-filters", "N", geom_filters, 1, 8192, "filters of SchNet"),
    NUM("cutoff", "ANGSTROM", cutoff_ang, 0.1, 100, "neighbours within this distance"),
    YES("with-hydrogens", with_hydrogens, "geometry with hydrogens (the stream must have pos_h)"),
    ONE("cnn", "KIND", cnn, cnns, "picture encoder: resnet10 or resnet18"),
    INT("cnn-width", "N", cnn_width, 1, 1024, "channels of the picture encoder's first stage"),
    INT("img-size", "PX", img_size_px, 16, 1024, "side of the pictures that the network sees"),
    INT("head-width", "N", head_width, 1, 65536, "width of h between encoder and code"),
    INT("code-width", "N", code_width, 1, 65536, "width of the code of a view"),
    ONE("fuse", "HOW", fuse, fuses, "unified embedding from codes: mean, attention or concat"),
    ONE("contrast", "LOSS", contrast, contrasts, "contrast between views: infonce, ebm, ebm-raw or mse"),
    NUM("tau-con", "T", tau_con, 1e-4, 100, "temperature of the contrast"),
    NUM("w-con", "W", w_con, 0, 1e6, "weight of the contrast"),
    NUM("w-self", "W", w_self, 0, 1e6, "weight of self reconstruction"),
    NUM("w-cross", "W", w_cross, 0, 1e6, "weight of cross reconstruction"),
    NUM("w-mask", "W", w_mask, 0, 1e6, "weight of attribute masking"),
    NUM("w-align", "W", w_align, 0, 1e6, "weight of the alignment with the memory"),
    NUM("mask", "SHARE", mask, 0, 1, "share of atoms masked (0: no masking)"),
    ONE("mask-loss", "LOSS", mask_loss, mask_losses, "loss of masked atoms: ce or cosine"),
    YES("mask-statistics", mask_statistics, "masked graphs move BatchNorm's running statistics too"),
    INT("stages", "N", stages, 1, 2, "1: all losses together; 2: structure module after the views"),
    ONE("hyper-by", "WHAT", hyper_by, hyper_bys, "hyperedges of a batch by code, view, fp or scaffold"),
    INT("hyper-k", "K", hyper_k, 1, 4096, "molecules of a hyperedge"),
    INT("hyper-width", "N", hyper_width, 1, 65536, "width of the hypergraph's embedding and of anchors"),
    INT("hyper-layers", "N", hyper_layers, 1, 16, "hypergraph convolutions"),
    ONE("hyper-norm", "FORM", hyper_norm, hyper_norms, "normalisation of the incidence: row or sym"),
    YES("hyper-soft", hyper_soft, "soft incidence by distance"),
    NUM("hyper-dropout", "P", hyper_dropout, 0, 0.99, "dropout in the hypergraph convolution"),
    INT("memory-slots", "K", memory_slots, 1, 1 << 20, "anchors of the memory bank"),
    ONE("memory-sim", "HOW", memory_sim, memory_sims, "similarity with anchors: cosine or dot"),
    NUM("tau-mem", "T", tau_mem, 1e-4, 100, "temperature of the memory's softmax"),
    NUM("memory-shrink", "X", memory_shrink, 0, 1, "hard shrinkage threshold of assignments (0: none)"),
    NUM("anchor-momentum", "MU", anchor_momentum, 0, 1, "anchors follow by this momentum (0: by gradient)"),
    ONE("anchor-init", "HOW", anchor_init, anchor_inits, "anchors start as data or as normal noise"),
    NUM("beta", "W", beta, 0, 1e6, "weight of the second term of the alignment"),
    NUM("w-swap", "W", w_swap, 0, 1e6, "weight of swapped prediction within the alignment"),
    NUM("tau-swap", "T", tau_swap, 1e-4, 100, "temperature of swapped prediction"),
    NUM("sinkhorn-eps", "E", sinkhorn_eps, 1e-3, 100, "sharpness of balanced assignments"),
    INT("sinkhorn-steps", "N", sinkhorn_steps, 0, 100, "balancing steps"),
    INT("sinkhorn-queue", "N", sinkhorn_queue, -1, 1 << 20, "earlier codes that take part in balancing (-1: 2 K)"),
    NUM("dropout", "P", dropout, 0, 0.99, "dropout inside the graph encoder"),
    YES("use-structure", use_structure, "the head reads the memory too"),
    STR("use-views", "LIST", use_views, "views that feed the head (empty: 2d)"),
    ONE("labels-are", "KIND", task_kind, task_kinds, "kind of labels: auto, class or regression"),
    YES("class-weights", class_weights, "weigh positives by their rarity"),
    {0},
};

/* Sizes of model.md section 1; everything else is the same in all presets. */
void nn_config_preset(struct nn_config *c, enum nn_preset p)
{
	static const struct {
		int64_t gnn_layers, gnn_width, geom_blocks, geom_width, geom_middle, cnn_width, img, code, slots, hyper;
		int cnn;
	} size[] = {
	    [NN_PRESET_TINY] = {3, 64, 1, 32, 16, 8, 48, 64, 32, 64, 0},
	    [NN_PRESET_CPU] = {5, 300, 2, 96, 32, 16, 96, 256, 128, 256, 0},
	    [NN_PRESET_PAPER] = {5, 300, 4, 256, 64, 64, 224, 512, 128, 256, 1},
	};
	*c = (struct nn_config){
	    .preset = (int)p,
	    .views = "2d,3d,img",
	    .features = "ogb",
	    .gnn_layers = size[p].gnn_layers,
	    .gnn_width = size[p].gnn_width,
	    .geom_blocks = size[p].geom_blocks,
	    .geom_width = size[p].geom_width,
	    .geom_middle = size[p].geom_middle,
	    .geom_gaussians = 50,
	    .geom_filters = 128,
	    .cutoff_ang = 8,
	    .cnn = size[p].cnn,
	    .cnn_width = size[p].cnn_width,
	    .img_size_px = size[p].img,
	    .head_width = 2 * size[p].code,
	    .code_width = size[p].code,
	    .tau_con = 0.1,
	    .w_con = 1,
	    .w_self = 1,
	    .w_cross = 1,
	    .w_mask = 1,
	    .w_align = 1,
	    .mask = 0.25,
	    .stages = 1,
	    .hyper_k = 10,
	    .hyper_width = size[p].hyper,
	    .hyper_layers = 1,
	    .memory_slots = size[p].slots,
	    .tau_mem = 0.05,
	    .beta = 0.25,
	    .w_swap = 1,
	    .tau_swap = 0.1,
	    .sinkhorn_eps = 0.05,
	    .sinkhorn_steps = 3,
	    .sinkhorn_queue = -1,
	    .use_views = "",
	};
}

/* Schuett et al. 2018: six interactions within 10 A, 300 wide in the large preset; small ones keep depth and width. */
void nn_config_schnet(struct nn_config *c, enum nn_preset p)
{
	c->cutoff_ang = 10;
	if (p != NN_PRESET_PAPER)
		return;
	c->geom_blocks = 6;
	c->geom_width = 300;
}

int nn_views_parse(const char *text, unsigned *mask, struct err *e)
{
	*mask = 0;
	for (const char *s = text; *s;) {
		size_t n = strcspn(s, ",");
		int v;
		for (v = 0; v < NN_N_VIEW; v++)
			if (strlen(nn_view_names[v]) == n && !strncmp(nn_view_names[v], s, n))
				break;
		if (v == NN_N_VIEW)
			return err_set(e, ERR_USAGE, "no view is called \"%.*s\": 2d, 3d or img", (int)n, s);
		*mask |= 1u << v;
		s += n + (s[n] == ',');
	}
	return 0;
}

void nn_config_to_map(const struct nn_config *c, struct ts_map *m)
{
	for (const struct opt *o = nn_config_options; o->name; o++) {
		const void *at = (const char *)c + o->offset;
		switch (o->type) {
		case OPT_INT:
			ts_set_int(m, o->name, *(const int64_t *)at);
			break;
		case OPT_FLOAT:
			ts_set_float(m, o->name, *(const double *)at);
			break;
		case OPT_FLAG:
			ts_set_bool(m, o->name, *(const bool *)at);
			break;
		case OPT_CHOICE:
			ts_set_str(m, o->name, o->choices[*(const int *)at]);
			break;
		default:
			ts_set_str(m, o->name, *(const char *const *)at);
		}
	}
	ts_set_str(m, "features", c->features);
}

static const struct opt *find_option(const char *name)
{
	for (const struct opt *o = nn_config_options; o->name; o++)
		if (!strcmp(o->name, name))
			return o;
	return NULL;
}

static int set_option(struct nn_config *c, const struct opt *o, const struct ts_value *v, struct arena *a,
		      struct err *e)
{
	void *at = (char *)c + o->offset;
	double x = v->kind == TS_INT ? (double)v->u.i : v->kind == TS_FLOAT ? v->u.f : 0;
	bool is_number = v->kind == TS_INT || v->kind == TS_FLOAT;
	if (o->type == OPT_FLAG && v->kind == TS_BOOL) {
		*(bool *)at = v->u.b;
		return 0;
	}
	if ((o->type == OPT_INT || o->type == OPT_FLOAT) && is_number) {
		if (!(x >= o->min && x <= o->max) || (o->type == OPT_INT && v->kind != TS_INT))
			return err_set(e, ERR_FORMAT, "configuration: %s is out of bounds", o->name);
		if (o->type == OPT_INT)
			*(int64_t *)at = v->u.i;
		else
			*(double *)at = x;
		return 0;
	}
	if (o->type == OPT_STR && v->kind == TS_STR) {
		*(const char **)at = arena_strdup(a, v->u.str.s);
		return 0;
	}
	if (o->type == OPT_CHOICE && v->kind == TS_STR)
		for (int i = 0; o->choices[i]; i++)
			if (!strcmp(o->choices[i], v->u.str.s)) {
				*(int *)at = i;
				return 0;
			}
	return err_set(e, ERR_FORMAT, "configuration: %s has a value that is not one of its own", o->name);
}

int nn_config_from_map(struct nn_config *c, const struct ts_map *m, struct arena *a, struct err *e)
{
	nn_config_preset(c, NN_PRESET_CPU);
	for (int i = 0; i < m->n; i++) {
		const struct ts_field *f = &m->fields[i];
		if (!strcmp(f->key, "features") && f->v.kind == TS_STR) {
			c->features = arena_strdup(a, f->v.u.str.s);
			continue;
		}
		const struct opt *o = find_option(f->key);
		if (!o)
			return err_set(e, ERR_USAGE, "configuration: no value is called \"%s\"", f->key);
		int rc = set_option(c, o, &f->v, a, e);
		if (rc)
			return rc;
	}
	return 0;
}
