/*
 * nn_loss.h - layer 3: losses, the fusing of views, the hypergraph, the memory bank.
 *
 * Every loss is a variable [1, 1] on the tape. `has` [B, M] (host) is 1 where
 * molecule b has view m; codes of views are separate matrices [B, d] whose
 * rows of absent views are never read and get no gradient. A mean runs over
 * the rows, pairs or views that exist. Formulas: Hu et al. 2020, GraphMVP,
 * GraphMAE, HGM2R, HGNN, MemAE, SwAV, as named at each function.
 */
#ifndef MOLRILL_NN_LOSS_H
#define MOLRILL_NN_LOSS_H

#include "nn.h"

/* ---- contrast (nn_contrast.c) -------------------------------------------- */

enum nn_contrast { NN_INFONCE, NN_EBM, NN_EBM_RAW, NN_MSE };
/*
 * x, y [n, d]: InfoNCE in both directions on unit rows (van den Oord 2018), EBM-NCE on unit or raw rows (GraphMVP,
 * negatives by a shift of one), or mean squared difference (the homology loss of HGM2R). tau: temperature.
 */
struct nn_var *nn_contrast_pair(struct nn_tape *t, enum nn_contrast kind, struct nn_var *x, struct nn_var *y,
				double tau);
/* Mean over the pairs of views that at least two molecules have; NULL when there is none. c[m] may be NULL. */
struct nn_var *nn_contrast_views(struct nn_tape *t, enum nn_contrast kind, struct nn_var *const *c, const uint8_t *has,
				 int64_t n, int n_view, double tau);

/* ---- reconstruction and masking (nn_reconstruct.c) ------------------------ */

/*
 * D_m(code) = tanh(decoder_m code). own: mean over views m of mean (D_m(c_m) - sg h_m)^2. cross: the same with the code
 * of view perm[b, m] (-1: no term). decoder weight and bias [m]. Either result may be NULL (no term).
 */
void nn_reconstruct(struct nn_tape *t, struct nn_var *const *h, struct nn_var *const *c,
		    struct nn_param *const *dec_weight, struct nn_param *const *dec_bias, const uint8_t *has,
		    const int64_t *perm, int64_t n, int n_view, struct nn_var **own, struct nn_var **cross);
/* Cross-entropy of logits [n, class] to label int64 [n] (host); mean over rows. */
struct nn_var *nn_cross_entropy(struct nn_tape *t, struct nn_var *logits, const int64_t *label);
/* Scaled cosine of GraphMAE, exponent 2, against the one-hot class. */
struct nn_var *nn_scaled_cosine(struct nn_tape *t, struct nn_var *pred, const int64_t *label);

/* ---- fusing codes (nn_fuse.c) -------------------------------------------- */

/* Mean of the codes present. */
struct nn_var *nn_fuse_mean(struct nn_tape *t, struct nn_var *const *c, const uint8_t *has, int64_t n, int n_view);
/* Softmax over the views present of weight_m . c_m + bias_m; weight [M, d], bias [M]. */
struct nn_var *nn_fuse_attention(struct nn_tape *t, struct nn_var *const *c, const uint8_t *has, int64_t n, int n_view,
				 struct nn_param *weight, struct nn_param *bias);
/* (M / present) sum of W_m c_m + b; weight [d, M d]. */
struct nn_var *nn_fuse_concat(struct nn_tape *t, struct nn_var *const *c, const uint8_t *has, int64_t n, int n_view,
			      struct nn_param *weight, struct nn_param *bias);

/* ---- hypergraph (nn_hyper.c) --------------------------------------------- */

/* Incidence by hyperedge: entries start[j] .. start[j + 1) of hyperedge j. Host memory. */
struct nn_hyper {
	int64_t n_node, n_edge, n_entry;
	const int64_t *start; /* [n_edge + 1] */
	const int64_t *node;  /* [n_entry] */
	const real *value;    /* [n_entry] H, 1 where binary */
	const real *weight;   /* [n_edge] w, NULL: ones */
};
/* Hyperedge j = the k rows of x [n, d] (host) nearest to j, itself first (nn_neighbours); soft: H = exp(-d^2 / (m
 * mean_d)^2) (HGNN). In arena memory. */
struct nn_hyper nn_hyper_knn(const struct kernels *kernels, const real *x, int64_t n, int64_t d, int64_t k, bool soft,
			     double m, struct arena *a);
/* The same of fingerprints (uint8 [n, 256]), d = 1 - Tanimoto similarity. */
struct nn_hyper nn_hyper_fp(const uint8_t *fp, int64_t n, int64_t k, bool soft, struct arena *a);
/* One hyperedge a scaffold (int64 [n]); binary. */
struct nn_hyper nn_hyper_group(const int64_t *group, int64_t n, struct arena *a);
/* Groups of hyperedges over the same nodes, side by side. */
struct nn_hyper nn_hyper_concat(const struct nn_hyper *const *parts, int n_part, struct arena *a);
/*
 * G x: row form Dv^-1 H W De^-1 H^T x, or (sym) Dv^-1/2 H W De^-1 H^T Dv^-1/2 x. No gradient through H. w [n_edge, 1]:
 * weights of the hyperedges with their gradient; NULL: h->weight.
 */
struct nn_var *nn_hyper_apply(struct nn_tape *t, struct nn_var *x, const struct nn_hyper *h, struct nn_var *w,
			      bool sym);

/* ---- memory bank (nn_memory.c) ------------------------------------------- */

struct nn_memory_config {
	bool dot;      /* else cosine */
	double tau;    /* temperature */
	double shrink; /* threshold of MemAE's hard shrinkage, 0: off */
};
/* g [n, d], anchors A [K, d]: assignment [n, K] = softmax(similarity / tau), read r = assignment A. */
void nn_memory_read(struct nn_tape *t, struct nn_var *g, struct nn_var *anchors, const struct nn_memory_config *c,
		    struct nn_var **assign, struct nn_var **r);
/* mean (r - sg g)^2 + beta mean (g - sg r)^2. */
struct nn_var *nn_align(struct nn_tape *t, struct nn_var *r, struct nn_var *g, double beta);
/* Between two rows of x, in real's arithmetic; -1 where there is but one. */
double nn_largest_cosine(struct nn_tape *t, struct nn_var *x);
/* Balanced assignment of scores [n, K] (host), SwAV: rows sum to 1. q double [n, K] may not alias scores; a: scratch.
 */
void nn_sinkhorn(const real *scores, int64_t n, int64_t n_slot, double eps, int steps, double *q, struct arena *a);
/*
 * Swapped prediction (SwAV): for each ordered pair of views (a, b), cross-entropy of softmax(scores_a / tau) against
 * the balanced assignment q_b over common rows; mean over pairs. scores[m] [n, K] variables; queue[m] [n_queue, K] host
 * scores that take part in the balancing only (NULL or 0 rows: none). q_out[m] double [n, K] or NULL. NULL: no pair.
 */
struct nn_var *nn_swapped(struct nn_tape *t, struct nn_var *const *scores, const uint8_t *has, int64_t n, int n_view,
			  double tau, double eps, int steps, const real *const *queue, const int64_t *n_queue,
			  double *const *q_out);
/* A_k = mu A_k + (1 - mu) sum_b a_bk g_b / sum_b a_bk where that sum is above 1e-6. Host arrays, in place; a:
 * scratch. */
void nn_anchor_momentum(real *anchors, int64_t n_slot, int64_t d, const real *assign, const real *g, int64_t n,
			double mu, struct arena *a);

/* ---- labels (nn_task.c) -------------------------------------------------- */

/* Mean over labels that are not NaN of max(x,0) - x y + log(1 + e^-|x|); pos_weight [T] multiplies positives (NULL:
 * ones). x [n, T]; y float32 [n, T] host. */
struct nn_var *nn_bce_masked(struct nn_tape *t, struct nn_var *x, const float *y, const double *pos_weight);
/* Mean over labels present of (x - (y - mean) / sd)^2; mean, sd [T]. */
struct nn_var *nn_mse_masked(struct nn_tape *t, struct nn_var *x, const float *y, const double *mean, const double *sd);
/* Per task mean and biased standard deviation (0 counts as 1) over labels present: y [n, T]. */
void nn_target_scale(const float *y, int64_t n, int n_task, double *mean, double *sd);

#endif
