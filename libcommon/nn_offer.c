/* nn_offer.c - whether a back end has the operations that a model needs. */
#include "nn_model_parts.h"

#include <string.h>

#define NEED(op, option)                                                                                               \
	{                                                                                                              \
		offsetof(struct kernels, op), #op, option                                                              \
	}
struct need {
	size_t at;
	const char *op, *option; /* what on the command line asks for it */
};

static const char every[] = "every model";
static const struct need always[] = {
    NEED(affine, every),     NEED(axpy, every),         NEED(combine, every),    NEED(mul, every),
    NEED(mul_add, every),    NEED(act, every),          NEED(act_back, every),   NEED(dropout, every),
    NEED(sum, every),        NEED(dropout_back, every), NEED(gemm, every),       NEED(copy_block, every),
    NEED(transpose, every),  NEED(scale_rows, every),   NEED(add_row, every),    NEED(add_column, every),
    NEED(column_sum, every), NEED(row_sum, every),      NEED(unit, every),       NEED(unit_back, every),
    NEED(softmax, every),    NEED(softmax_back, every), NEED(pick, every),       NEED(pick_back, every),
    NEED(gather, every),     NEED(csr_sum, every),      NEED(batch_norm, every), NEED(batch_norm_back, every),
    NEED(adam, every),       NEED(sum_squares, every),  NEED(axpy_var, every),   {0},
};
static const struct need graph[] = {NEED(embed, "--views 2d"),
				    NEED(message_sum, "--views 2d"),
				    NEED(bias_relu, "--views 2d"),
				    NEED(bias_relu_back, "--views 2d"),
				    {0}};
static const struct need gat[] = {
    NEED(attention, "--gnn gat"),
    NEED(attention_back, "--gnn gat"),
    NEED(message_dot, "--gnn gat"),
    NEED(csr_sum_heads, "--gnn gat"),
    {0},
};
static const struct need geometry[] = {NEED(filter_sum, "--views 3d"), NEED(filter_back, "--views 3d"), {0}};
static const struct need comenet[] = {NEED(graph_norm, "--geom comenet"), NEED(graph_norm_back, "--geom comenet"), {0}};
static const struct need schnet[] = {
    NEED(distance, "--geom schnet"),
    NEED(distance_back, "--geom schnet"),
    NEED(gaussians, "--geom schnet"),
    NEED(gaussians_back, "--geom schnet"),
    NEED(cosine_cutoff, "--geom schnet"),
    NEED(cosine_cutoff_back, "--geom schnet"),
    {0},
};
static const struct need picture[] = {
    NEED(conv, "--views img"),
    NEED(conv_back, "--views img"),
    NEED(max_pool, "--views img"),
    NEED(max_pool_back, "--views img"),
    {0},
};
static const struct need structure[] = {
    NEED(hyper, "the structure module"),   NEED(hyper_back, "the structure module"),
    NEED(nearest, "the structure module"), NEED(shrink, "--memory-shrink"),
    NEED(shrink_back, "--memory-shrink"),  {0},
};

static int all_there(const struct kernels *k, const struct need *list, struct err *e)
{
	for (; list->op; list++) {
		void *op;
		memcpy(&op, (const char *)k + list->at, sizeof op);
		if (!op)
			return err_set(e, ERR_USAGE, "device %s has no operation %s, which %s needs: --device cpu",
				       k->name, list->op, list->option);
	}
	return 0;
}

int nn_model_offered(const struct kernels *k, const struct nn_config *c, unsigned parts, struct err *e)
{
	unsigned views;
	int rc = nn_views_parse(c->views, &views, e);
	const struct {
		bool wanted;
		const struct need *list;
	} checks[] = {
	    {true, always},
	    {views & 1u << NN_2D, graph},
	    {views & 1u << NN_2D && c->gnn == NN_GAT, gat},
	    {views & 1u << NN_3D, geometry},
	    {views & 1u << NN_3D && c->geom == 0, comenet},
	    {views & 1u << NN_3D && c->geom == 1, schnet},
	    {views & 1u << NN_IMG, picture},
	    {parts & NN_PART_STRUCTURE, structure},
	};
	for (size_t i = 0; i < sizeof checks / sizeof *checks && !rc; i++)
		if (checks[i].wanted)
			rc = all_there(k, checks[i].list, e);
	return rc;
}
