/*
 * kernels.h - layer 2b: arithmetic on plain arrays, as tables of operations.
 *
 * A back end is one `struct kernels`: memory and operations. Code of the model
 * never touches tensor memory but through this table, so that a back end can
 * keep everything on its device. Each operation has a naive reference in
 * double (kernels/ref.c) that the tests hold against it.
 *
 * What holds where an entry's comment says nothing else:
 * - Shapes. Matrices are row-major [n, d] of `real`, n entries [n] where there
 *   is no d; a [B, C, H, W] picture batch is held as NHWC rows [B*H*W, C].
 *   A gradient g_x has the shape of x. Indices are int64_t.
 * - Forward and backward. Forward entries write their outputs, or add to them
 *   where `add` is set. `g_` arrays are gradients; backward entries ADD to
 *   them, so that a tensor used twice needs no temporary. Sums of nothing are
 *   0; norms and losses want a row.
 * - Aliasing. Outputs never alias inputs, nor each other.
 * - Determinism. Work is cut into chunks whose size depends on the problem
 *   alone and partial sums are added in chunk order: the same bytes for any
 *   number of threads, and in every run. Sums that decide results (means,
 *   variances, losses, norms) accumulate in double.
 * - Tolerance. In float, an output is within 1e-5 of its largest entry (of 1,
 *   if that is less) of the reference's; masks, indices and places of maxima
 *   are equal. test/trial.h demands this of all that a back end offers.
 */
#ifndef MOLRILL_KERNELS_H
#define MOLRILL_KERNELS_H

#include "util.h"

#ifndef REAL
#define REAL float
#endif
typedef REAL real; /* float; double in the build that checks formulas (make REAL=double) */

/*
 * Rows by target: item[start[i] .. start[i + 1]) belong to target i. Arrays in back-end memory. Sums over a target run
 * in the order of its items.
 */
struct k_csr {
	int64_t n;      /* targets */
	int64_t n_item; /* start[n] */
	const int64_t *start;
	const int64_t *item;
};

enum k_act { K_RELU, K_TANH, K_SWISH, K_SSP, K_SOFTPLUS, K_SIGMOID, K_SQUARE };

/* BatchNorm over the rows of x [n, d], with what follows it: y = f(norm(x) + residual), f = ReLU or nothing. */
struct k_batch_norm {
	int64_t n, d;
	double eps, momentum;
	bool train; /* statistics of the rows, and running ones moved (variance n / (n - 1); left alone where n = 1) */
	bool relu;
	const int64_t *mult;       /* [n] how often each row counts, NULL: once */
	const real *weight, *bias; /* [d] */
	real *run_mean, *run_var;  /* [d] */
	real *mean, *inv;     /* [d] written: what was subtracted and multiplied by; the backward entry reads them */
	const real *residual; /* [n, d] or NULL */
};

/* A linear layer with what stands around it: y = f(product + bias + before) + after. */
struct k_dense {
	enum k_act f;
	bool linear; /* f is the identity */
	/* f's argument is not kept, f's slope is read off its value: not for K_SWISH and K_SQUARE, nor with `after`. */
	bool by_value;
	int64_t n, d;
	const real *bias;           /* [d], or NULL */
	const real *before, *after; /* [n, d], or NULL */
	/* The product is x w^T, or ends with it; x NULL: it is there already. x [n, d_x]; w: d rows of d_x, ld_w apart.
	 */
	const real *x, *w;
	int64_t d_x, ld_w;
};

/* What ends a residual block: y = relu(scale x + shift + (res_scale residual + res_shift)), by columns. */
struct k_join {
	int64_t n, d;
	const real *x, *scale, *shift;                /* [n, d], [d], [d] */
	const real *residual, *res_scale, *res_shift; /* [n, d]; [d], both NULL: the residual as it is */
};

/* GraphNorm (Cai et al., ICML 2021): o = x - mean_scale mean(x), y = weight o / sqrt(mean(o^2) + eps) + bias, by graph.
 */
struct k_graph_norm {
	int64_t n_graph, d;
	const int64_t *start; /* [n_graph + 1]: rows start[i] .. start[i + 1) */
	double eps;
	const real *weight, *bias, *mean_scale; /* [d] */
	real *mean, *inv;                       /* [n_graph, d] written: mean(x), 1 / sqrt(...) */
};

/* Two atoms, counted from the first of their run, and the weights of the rows 0, 2 and 3 that their filter is made of;
 * that of row 1 is what those lack to 1. */
struct k_pair {
	real w[3];
	uint16_t a, b;
};
enum { K_RUN_MOST = 1 << 16 }; /* atoms of a run */
enum { K_FINER = 3, K_WINDOW = 10, K_REACH = K_WINDOW / 2 - 1 };

/*
 * Pairs of atoms, each once, with a filter interpolated between rows that are finer than a table's nodes [n_node, d].
 * A node counts fade times. Row K_FINER k is node k + K_REACH, and row K_FINER k + i + 1 is the sum over r of
 * window[i][r] node k + r: there are K_FINER (n_node - K_WINDOW + 1) rows. A group is pairs whose filters are made of
 * the same four rows, first[group] on: f(e) = row 1 + sum over r of w[r] (row r - row 1). All but window, atom, run and
 * group in back-end memory.
 */
struct k_table {
	int64_t n_node, n_row, n_pair, n_run;
	const real *fade; /* [n_node] */
	real window[K_FINER - 1][K_WINDOW];
	/* [n_run + 1] (host): a run's atoms and its groups. No pair has atoms of two runs; a run's rows should stay in
	 * a cache. */
	const int64_t *atom, *run;
	const int64_t
	    *group; /* [run[n_run] + 1] (host): its pairs; what is read of the rows for one serves the others */
	const int64_t *first; /* [run[n_run]] below n_row - 3; strictly ascending in a run */
	const struct k_pair *pair;
	const real *slope; /* [n_pair, 4] weights of the filter's derivative; NULL: not wanted */
};

/*
 * A convolution over pictures in NHWC; padding kernel / 2 with zeros. Weights are OIHW. Pointers are back-end memory,
 * NULL where there is none.
 */
struct k_conv {
	int64_t n, height, width, c_in, c_out, kernel, stride;
	int64_t out_height, out_width; /* k_conv_set_out fills them */
	/* It reads z = relu(in_scale x + in_shift), channel by channel [c_in]: a BatchNorm that was never written. NULL
	 * (both): z = x. Gradients of the input are those of z. */
	const real *in_scale, *in_shift;
	/* Forward: y = f(out_scale conv(z) + out_bias + residual), f = ReLU or nothing; [c_out], residual as y. The
	 * backward entry is that of conv(z) alone. */
	const real *out_scale, *out_bias, *residual;
	bool relu;
	bool g_x_set; /* backward: g_x is written, not added to */
};

/* One step of Adam (Kingma and Ba 2015, as PyTorch has it). */
struct k_adam {
	double lr, beta1, beta2, eps;
	double decay; /* weight decay: through the gradient, or beside it (AdamW) where decoupled */
	bool decoupled;
	double grad_scale;               /* the gradient is multiplied by it first (clipping) */
	double correction1, correction2; /* 1 - beta^t */
};

/* Incidence by hyperedge: entries start[j] .. start[j + 1) of hyperedge j; value H, 0 or more, weight w (NULL: ones).
 * Host memory. A node without a value above 0 gets nothing, and gives nothing. */
struct k_hyper {
	int64_t n_node, n_edge;
	const int64_t *start, *node;
	const real *value, *weight;
	bool sym; /* Dv^-1/2 H W De^-1 H^T Dv^-1/2, else Dv^-1 H W De^-1 H^T */
};

#define K_INFO_NCE_TAU 0.025 /* below it e^(-2 / tau), of opposite rows, is too small for float */

struct kernels {
	const char *name; /* "cpu", "cuda" */
	const char *blas,
	    *build; /* for provenance: the library of products, and its version and core: "OpenBLAS 0.3.21 Zen" */
	struct pool *pool;

	void *self; /* the back end's own */
	void (*close)(struct kernels *k);
	/* What went wrong on the device (results are worthless then), or NULL; NULL itself: nothing can. */
	const char *(*fault)(const struct kernels *k);
	/* Products row by row of op(a) = a in blocks of one size, short ones filled up: the bytes of a row do not
	 * depend on how many others there are. For inference; training has no use for it. */
	bool fixed_rows;
	/* The plain paths alone, of operations and of the encoders over them: what the quicker ones are tested against.
	 */
	bool plain;
	/* A search may leave off once a signal asks the program to stop, and its results are worthless: for a program
	 * that makes nothing of them then. Training finishes the step, whose result it saves. */
	bool leaves_off;

	/* ---- memory ---- */
	void *(*alloc)(size_t nbytes); /* NULL: no memory; aligned to 64 bytes */
	void (*release)(void *p);
	void (*upload)(void *dst, const void *host, size_t nbytes);
	void (*download)(void *host, const void *src, size_t nbytes);
	void (*copy)(void *dst, const void *src, size_t nbytes); /* both in back-end memory */
	void (*fill)(const struct kernels *k, real *x, int64_t n, real value);

	/* ---- entries (cpu_entry.c); outputs may alias inputs but in the backward entries ---- */
	void (*affine)(const struct kernels *k, real *y, const real *x, double a, double b,
		       int64_t n);                                                          /* y = a x + b */
	void (*axpy)(const struct kernels *k, real *y, const real *x, double a, int64_t n); /* y += a x */
	void (*combine)(const struct kernels *k, real *y, const real *a, const real *b, double s,
			int64_t n);                                                                 /* y = a + s b */
	void (*mul)(const struct kernels *k, real *y, const real *a, const real *b, int64_t n);     /* y = a b */
	void (*mul_add)(const struct kernels *k, real *y, const real *a, const real *b, int64_t n); /* y += a b */
	/* y = f(x). Backward: g_x += g_y f'(x), x and y as in the forward entry. */
	void (*act)(const struct kernels *k, enum k_act f, const real *x, real *y, int64_t n);
	void (*act_back)(const struct kernels *k, enum k_act f, const real *x, const real *y, const real *g_y,
			 real *g_x, int64_t n);
	/* Entry i is kept (mask 1) where number i of the stream (Philox, seed and stream) is at least p; y = x / (1 -
	 * p), 0 where it is not kept. mask [n]. Backward: g_x += g_y / (1 - p) where it was. */
	void (*dropout)(const struct kernels *k, const real *x, real *y, uint8_t *mask, int64_t n, double p,
			uint64_t seed, uint64_t stream);
	void (*dropout_back)(const struct kernels *k, const real *g_y, const uint8_t *mask, real *g_x, int64_t n,
			     double p);
	void (*sum)(const struct kernels *k, const real *x, int64_t n, real *out); /* out[0] = sum, in double */

	/* ---- rows (cpu_rows.c) ---- */
	/* C [m, n] = alpha op(A) op(B) + beta C, op(A) [m, kk] = A or (ta) its transpose, op(B) [kk, n] likewise; ld:
	 * entries from row to row as stored. C is not read where beta is 0. Small ones in
	 * float (131,072 multiplications at most, alpha 1, beta 0 or 1, not with fixed_rows) are summed in double. It
	 * is its own backward. */
	void (*gemm)(const struct kernels *k, bool ta, bool tb, int64_t m, int64_t n, int64_t kk, double alpha,
		     const real *a, int64_t lda, const real *b, int64_t ldb, double beta, real *c, int64_t ldc);
	/* dst (+)= src, n rows of d entries within wider rows. */
	void (*copy_block)(const struct kernels *k, const real *src, int64_t ld_src, real *dst, int64_t ld_dst,
			   int64_t n, int64_t d, bool add);
	void (*transpose)(const struct kernels *k, const real *x, real *y, int64_t n, int64_t d,
			  bool add); /* y [d, n] (+)= x [n, d]^T */
	/* y (+)= w x, row by row: w [n] */
	void (*scale_rows)(const struct kernels *k, const real *x, const real *w, real *y, int64_t n, int64_t d,
			   bool add);
	void (*add_row)(const struct kernels *k, const real *row, real *y, int64_t n, int64_t d); /* y += row [d] */
	/* In place: y = max(y + row, 0). Backward, in place too: g_y = 0 where y is 0; g_row [d] (NULL: not wanted) +=
	 * column sums of that. */
	void (*bias_relu)(const struct kernels *k, const real *row, real *y, int64_t n, int64_t d);
	void (*bias_relu_back)(const struct kernels *k, const real *y, real *g_y, real *g_row, int64_t n, int64_t d);
	void (*add_column)(const struct kernels *k, const real *col, real *y, int64_t n, int64_t d); /* y += col [n] */
	void (*column_sum)(const struct kernels *k, const real *x, real *out, int64_t n, int64_t d); /* out [d] += */
	void (*row_sum)(const struct kernels *k, const real *x, real *out, int64_t n, int64_t d);    /* out [n] = */
	/* y = x / max(|x|, 1e-12) by rows; norm [n] is written, the backward entry reads it: g_x += (g_y - y (y . g_y))
	 * / norm. */
	void (*unit)(const struct kernels *k, const real *x, real *y, real *norm, int64_t n, int64_t d);
	void (*unit_back)(const struct kernels *k, const real *y, const real *norm, const real *g_y, real *g_x,
			  int64_t n, int64_t d);
	/* By rows: y = softmax(x), or its logarithm. Backward: g_x += from y and g_y. */
	void (*softmax)(const struct kernels *k, const real *x, real *y, int64_t n, int64_t d, bool log);
	void (*softmax_back)(const struct kernels *k, const real *y, const real *g_y, real *g_x, int64_t n, int64_t d,
			     bool log);
	/* y[i] = x[i, col[i]]; col, y [n]. Backward: g_x[i, col[i]] += g_y[i]. */
	void (*pick)(const struct kernels *k, const real *x, const int64_t *col, real *y, int64_t n, int64_t d);
	void (*pick_back)(const struct kernels *k, const real *g_y, const int64_t *col, real *g_x, int64_t n,
			  int64_t d);

	/* ---- rows by index (cpu_graph.c) ---- */
	/* y[i] (+)= x[idx[i]], rows; idx [n], y [n, d]. csr_sum is its backward. */
	void (*gather)(const struct kernels *k, const real *x, const int64_t *idx, real *y, int64_t n, int64_t d,
		       bool add);
	/* y[i] (+)= sum over a target's items of x[item] (times w[position], NULL: 1); y [c->n, d], w [n_item].
	 * By the reversed lists it is its own backward, and gather's. */
	void (*csr_sum)(const struct kernels *k, const struct k_csr *c, const real *x, const real *w, real *y,
			int64_t d, bool add);
	/* y[i] = largest of the items' rows, the first of equals, 0 for an empty target; y, arg [c->n, d]; arg: its row
	 * or -1. Backward: g_x[arg] += g_y. */
	void (*csr_max)(const struct kernels *k, const struct k_csr *c, const real *x, real *y, int64_t *arg,
			int64_t d);
	void (*csr_max_back)(const struct kernels *k, const int64_t *arg, const real *g_y, real *g_x, int64_t n,
			     int64_t d); /* n targets, each row of x in one target at most */
	/* y_i = sum over t of table[t][idx[i, t]]; idx [n, n_table], y [n, d]; table: n_table pointers (host) to [..,
	 * d]. csr_sum by index is its backward. */
	void (*embed)(const struct kernels *k, int n_table, const real *const *table, const int64_t *idx, real *y,
		      int64_t n, int64_t d);
	/*
	 * Message passing in one pass: y[v] = sum over items i of v of w[i, h] (x[item[i]] + table[kind[i]]), h the
	 * head to which a column belongs (d / n_head columns each); w [n_item, n_head] or NULL: 1; kind
	 * [n_item], x and table [.., d], y [c->n, d]. Backward: csr_sum_heads for x and table, message_dot for w.
	 */
	void (*message_sum)(const struct kernels *k, const struct k_csr *c, const int64_t *kind, const real *x,
			    const real *table, const real *w, int n_head, real *y, int64_t d);
	/* g_w[i, h] += g_y[v] . (x[item[i]] + table[kind[i]]) over the columns of h. */
	void (*message_dot)(const struct kernels *k, const struct k_csr *c, const int64_t *kind, const real *x,
			    const real *table, const real *g_y, int n_head, real *g_w, int64_t d);
	/* As csr_sum, added to y [c->n, d], with weights w[edge[position], h] by head; edge [n_item]. */
	void (*csr_sum_heads)(const struct kernels *k, const struct k_csr *c, const int64_t *edge, const real *x,
			      const real *w, int n_head, real *y, int64_t d);
	/* alpha [n_item, n_head] = softmax over the items of v of leaky(a[v] + b[item] + t[kind]), slope below 0; a
	 * [c->n, n_head], b and t [.., n_head]. */
	void (*attention)(const struct kernels *k, const struct k_csr *c, const int64_t *kind, const real *a,
			  const real *b, const real *t, double slope, int n_head, real *alpha);
	/* g_s [n_item, n_head] = (written) gradient before the leaky ReLU, from g_alpha: sums of it are those of a, b,
	 * t. */
	void (*attention_back)(const struct kernels *k, const struct k_csr *c, const int64_t *kind, const real *a,
			       const real *b, const real *t, double slope, int n_head, const real *alpha,
			       const real *g_alpha, real *g_s);
	/* Continuous filters: y[v] (+)= sum over the target's edges e of x[other[e]] f[e], entry by entry; f [n_edge,
	 * d], other [n_edge], y [c->n, d]. By the reversed lists it is its own backward to x; filter_back to f. */
	void (*filter_sum)(const struct kernels *k, const struct k_csr *c, const int64_t *other, const real *x,
			   const real *f, real *y, int64_t d, bool add);
	/* g_f[e] += a[ia[e]] b[ib[e]], entry by entry; ia, ib [n_edge]. */
	void (*filter_back)(const struct kernels *k, const int64_t *ia, const real *a, const int64_t *ib, const real *b,
			    real *g_f, int64_t n_edge, int64_t d);

	/* ---- filters that are not stored (cpu_table.c, cpu_pairs.c) ---- */
	/* y[a] (+)= sum over pairs of x[b] f(e), and y[b] likewise of x[a]; table [n_node, d]; x, y [atoms, d]. */
	void (*table_sum)(const struct kernels *k, const struct k_table *t, const real *x, const real *table, real *y,
			  int64_t d, bool add);
	/* Its gradients from g_y: g_x (+)= as table_sum of g_y, and g_table (+)= what the table's nodes give to its
	 * rows, transposed, of the rows' gradient: the sum over pairs of f's weight q(e), q(e) = g_y[a] x[b] + g_y[b]
	 * x[a]. Each may be NULL;
	 * without add_x, add_table it is written, all of it. */
	void (*table_back)(const struct kernels *k, const struct k_table *t, const real *x, const real *table,
			   const real *g_y, real *g_x, bool add_x, real *g_table, bool add_table, int64_t d);
	/* g_dist[e] += sum over columns of q(e) sum over r of slope[e, r] row r of its group; sums in double. */
	void (*table_slope)(const struct kernels *k, const struct k_table *t, const real *x, const real *table,
			    const real *g_y, real *g_dist, int64_t d);
	/* y[v] (+)= sum over the target's pairs e of x[other[e]] (sum over q of f[e, q] w[q]), entry by entry;
	 * f [pairs, n_feature], w [n_feature, d], n_feature at most 16. */
	void (*feature_sum)(const struct kernels *k, const struct k_csr *c, const int64_t *other, const real *f,
			    const real *w, int n_feature, const real *x, real *y, int64_t d, bool add);
	/* Its backward, from c: pairs by source, other: their targets. Adds to g_x [c->n, d] and g_w (each may be
	 * NULL).
	 */
	void (*feature_back)(const struct kernels *k, const struct k_csr *c, const int64_t *other, const real *f,
			     const real *w, int n_feature, const real *x, const real *g_y, real *g_x, real *g_w,
			     int64_t d);

	/* ---- linear layers (cpu_dense.c) ---- */
	/* In one pass: pre, the product so far (`add`: x w^T is added to it), becomes f's argument, which the backward
	 * entry reads; y may be pre where f is the identity, and is where by_value. */
	void (*dense)(const struct kernels *k, const struct k_dense *l, real *pre, real *y, bool add);
	/* g [n, d], the gradient of y, becomes that of the product; adds to the others (each may be NULL). g_x [n, d_x]
	 * is written, or added to (`add`); the gradient of w is left to gemm. */
	void (*dense_back)(const struct kernels *k, const struct k_dense *l, const real *pre, real *g, real *g_bias,
			   real *g_before, real *g_after, real *g_x, bool add);

	/* ---- normalisation (cpu_norm.c) ---- */
	/* y [n, d] as struct k_batch_norm says. */
	void (*batch_norm)(const struct kernels *k, const struct k_batch_norm *b, const real *x, real *y);
	/* Adds to g_x, g_weight, g_bias, g_residual (each may be NULL). With mult, g_y is the sum over the copies. */
	void (*batch_norm_back)(const struct kernels *k, const struct k_batch_norm *b, const real *x, const real *y,
				const real *g_y, real *g_x, real *g_weight, real *g_bias, real *g_residual);
	/* As struct k_graph_norm says; the backward entry adds to what is wanted. */
	void (*graph_norm)(const struct kernels *k, const struct k_graph_norm *g, const real *x, real *y);
	void (*graph_norm_back)(const struct kernels *k, const struct k_graph_norm *g, const real *x, const real *g_y,
				real *g_x, real *g_weight, real *g_bias, real *g_mean_scale); /* each may be NULL */

	/* ---- pictures (cpu_image.c, cpu_exact.c, cpu_winograd.c, cpu_pool.c, cpu_fold.c) ---- */
	/*
	 * 3 x 3 of stride 1 by F(4 x 4, 3 x 3) (Lavin and Gray, CVPR 2016) where a picture is 3 pixels wide and high at
	 * least, the weights' gradient where there are 256 pixels at least; all others, and all where plain, by
	 * products of gathered windows. Errors in float: about 5e-6 of the largest entry by the former, 1e-6 by the
	 * latter; 2e-7 where a convolution is so small that it is summed in double (2,200,000 multiplications at
	 * most on the way forward, 262,144 on the way back, not with fixed_rows).
	 */
	void (*conv)(const struct kernels *k, const struct k_conv *c, const real *x, const real *weight, real *y);
	/* Adds to g_x and g_weight (each may be NULL). */
	void (*conv_back)(const struct kernels *k, const struct k_conv *c, const real *x, const real *weight,
			  const real *g_y, real *g_x, real *g_weight);
	/*
	 * Largest of each window of z (struct k_conv: as a convolution reads it), padding kernel / 2 with nothing; arg:
	 * the window's tap, from 0 in row-major order, the first of equals. c_out = c_in, kernel at most 15. Backward:
	 * g_x, the gradient of z, is added to or written (g_x_set).
	 */
	void (*max_pool)(const struct kernels *k, const struct k_conv *c, const real *x, real *y, uint8_t *arg);
	void (*max_pool_back)(const struct kernels *k, const struct k_conv *c, const uint8_t *arg, const real *g_y,
			      real *g_x);
	/*
	 * BatchNorm that is never written out: statistics as batch_norm, then scale and shift [d] with which it is
	 * scale x
	 * + shift; what reads x applies them (struct k_conv, norm_join). Without mult and residual.
	 */
	void (*norm_fold)(const struct kernels *k, const struct k_batch_norm *b, const real *x, real *scale,
			  real *shift);
	void (*norm_join)(const struct kernels *k, const struct k_join *j, real *y); /* y may be an input */
	/*
	 * Back from g, the gradient of f(scale x + shift), f = ReLU where b->relu, or that of norm_join's y where y is
	 * given: then g is first set to 0 where y is, which leaves the gradient of the residual. g_x is written, and
	 * may be g; g_weight and g_bias are added to (each may be NULL).
	 */
	void (*norm_fold_back)(const struct kernels *k, const struct k_batch_norm *b, const real *x, const real *scale,
			       const real *shift, const real *y, real *g, real *g_x, real *g_weight, real *g_bias);

	/* ---- geometry (cpu_geometry.c) ---- */
	/* dist[e] = |pos[j[e]] - pos[i[e]]|; pos [.., 3], i, j, dist [n_edge]. Backward: adds to g_pos, in the order of
	 * e. */
	void (*distance)(const struct kernels *k, const real *pos, const int64_t *j, const int64_t *i, real *dist,
			 int64_t n_edge);
	void (*distance_back)(const struct kernels *k, const real *pos, const int64_t *j, const int64_t *i,
			      const real *dist, const real *g_dist, real *g_pos, int64_t n_edge);
	/* y[e, g] = exp(-(dist - mu_g)^2 / (2 step^2)), mu = g step, step = cutoff / (n - 1); y [n_edge, n].
	 * Backward: adds to g_dist. */
	void (*gaussians)(const struct kernels *k, const real *dist, real *y, int64_t n_edge, int64_t n, double cutoff);
	void (*gaussians_back)(const struct kernels *k, const real *dist, const real *y, const real *g_y, real *g_dist,
			       int64_t n_edge, int64_t n, double cutoff);
	/* y[e] = (cos(pi dist / cutoff) + 1) / 2. Backward: adds to g_dist. */
	void (*cosine_cutoff)(const struct kernels *k, const real *dist, real *y, int64_t n_edge, double cutoff);
	void (*cosine_cutoff_back)(const struct kernels *k, const real *dist, const real *g_y, real *g_dist,
				   int64_t n_edge, double cutoff);

	/* ---- optimiser (cpu_optim.c) ---- */
	/* Sum of squares, in double, on the host. */
	double (*sum_squares)(const struct kernels *k, const real *x, int64_t n);
	/* In place: p, m, v [n] from g [n]. One pass. */
	void (*adam)(const struct kernels *k, const struct k_adam *a, real *p, const real *g, real *m, real *v,
		     int64_t n);

	/* ---- hypergraphs (cpu_hyper.c) ---- */
	/* y = G x, both [n_node, d] (Feng et al., HGNN, AAAI 2019). Sums in double. */
	void (*hyper)(const struct kernels *k, const struct k_hyper *h, const real *x, real *y, int64_t d);
	/* g_x += G^T g_y; g_w [n_edge] += the gradient of the hyperedges' weights (NULL: not wanted). No gradient of H.
	 */
	void (*hyper_back)(const struct kernels *k, const struct k_hyper *h, const real *x, const real *y,
			   const real *g_y, real *g_x, real *g_w, int64_t d);

	/* ---- losses (cpu_loss.c) ---- */
	/* y += (*s) x; s is back-end memory. */
	void (*axpy_var)(const struct kernels *k, real *y, const real *x, const real *s, int64_t n);
	/*
	 * Hard shrinkage of assignments by rows (Gong et al., MemAE, ICCV 2019): q = relu(a - l) a / (|a - l| + 1e-12),
	 * y = q / max(sum of the row's q, 1e-12). a, y [n, d]. Backward: g_a += from g_y, a, y.
	 */
	void (*shrink)(const struct kernels *k, const real *a, real *y, int64_t n, int64_t d, double l);
	void (*shrink_back)(const struct kernels *k, const real *a, const real *y, const real *g_y, real *g_a,
			    int64_t n, int64_t d, double l);

	/* ---- nearest rows (cpu_near.c); host memory ---- */
	/*
	 * For each of n rows of x [n, d] its kk nearest others, kk < n, by (key, index): idx, key [n, kk]; the key is
	 * the squared distance, or 1 - cosine (a row of zeros is orthogonal to all). Exact: keys are sums in double, in
	 * one order. mean [n] (NULL: not wanted): mean distance (key, for cosine) to all rows, itself included. Returns
	 * early after a signal: ask io_stop_signal.
	 */
	void (*nearest)(const struct kernels *k, const real *x, int64_t n, int64_t d, bool cosine, int64_t kk,
			int64_t *idx, double *key, double *mean);

	/* ---- contrast (cpu_contrast.c) ---- */
	/*
	 * InfoNCE in both directions over unit rows u, v [n, d] (van den Oord et al. 2018), for tau >= K_INFO_NCE_TAU:
	 * e [n, n] = exp((u_i . v_j - 1) / tau), row and col [n] its sums; loss[0] = mean over i of (log row_i +
	 * log col_i) / 2 - (u_i . v_i - 1) / tau. No row needs its maximum: scores of unit rows are known bounds.
	 */
	void (*info_nce)(const struct kernels *k, const real *u, const real *v, int64_t n, int64_t d, double tau,
			 real *e, real *row, real *col, real *loss);
	/* From g_loss[0]. Overwrites e by the gradient of the scores; adds to g_u, g_v (each may be NULL). */
	void (*info_nce_back)(const struct kernels *k, const real *u, const real *v, int64_t n, int64_t d, double tau,
			      real *e, const real *row, const real *col, const real *g_loss, real *g_u, real *g_v);
};

/* Operations of the CPU table, one set a file; kernels_cpu calls them. */
void kernels_cpu_entry(struct kernels *k);
void kernels_cpu_rows(struct kernels *k);
void kernels_cpu_graph(struct kernels *k);
void kernels_cpu_pairs(struct kernels *k);
void kernels_cpu_table(struct kernels *k);
void kernels_cpu_dense(struct kernels *k);
void kernels_cpu_norm(struct kernels *k);
void kernels_cpu_image(struct kernels *k);
void kernels_cpu_pool(struct kernels *k);
void kernels_cpu_fold(struct kernels *k);
void kernels_cpu_geometry(struct kernels *k);
void kernels_cpu_optim(struct kernels *k);
void kernels_cpu_loss(struct kernels *k);
void kernels_cpu_hyper(struct kernels *k);
void kernels_cpu_contrast(struct kernels *k);
void kernels_cpu_near(struct kernels *k);

/* The table for the CPU; pool may be NULL (one thread). Compares sgemm with a double loop first: ERR_NUMERIC
 * when this OpenBLAS kernel computes nonsense on this machine. */
int kernels_cpu(struct kernels *k, struct pool *pool, struct err *e);
void kernels_cpu_free(struct kernels *k); /* takes NULL; the pool stays the caller's */

/* ---- which back end (device.c) ------------------------------------------- */

/*
 * The first call of a main(), with its own argv. A processor younger than OpenBLAS is one of 2004 to it (core type
 * Prescott), which costs a factor of ten and more: the program is then run again, as the same process, with
 * OPENBLAS_CORETYPE set to what the processor's instructions allow. Where that variable is set nothing is done.
 */
void kernels_begin(char **argv);

enum kernels_device { KERNELS_CPU, KERNELS_CUDA, KERNELS_AUTO };
extern const char *const kernels_device_names[]; /* "cpu", "cuda", "auto", NULL */
/*
 * The table of a device. Members of operations that a back end does not offer are NULL: code that has a plain path asks
 * first, and nn_model_new refuses a model that cannot do without. CUDA is a plug-in, lib/molrill/cuda.so beside the
 * folder of the program that runs, opened here alone. ERR_IO: no plug-in, one of another build, no device.
 * KERNELS_AUTO: CUDA where that opens, else the CPU.
 */
int kernels_open(struct kernels *k, enum kernels_device device, struct pool *pool, struct err *e);
void kernels_close(struct kernels *k); /* takes a table of zeros */
/* ERR_IO with the device's fault, if there is one. What was computed since the last call has to be thrown away then. */
int kernels_check(const struct kernels *k, struct err *e);
/* What a plug-in exports under the name kernels_plugin. */
struct kernels_plugin {
	const char *abi; /* KERNELS_ABI as it was compiled: that of another build is refused */
	int (*open)(struct kernels *k, char *why, size_t n_why); /* 0 or an err_code, with the reason */
};

/* The reference (ref.c): the same table by plain loops with sums in double, never optimised; what tests compare with.
 */
void kernels_ref(struct kernels *k);
void kernels_ref_graph(struct kernels *k);
void kernels_ref_pairs(struct kernels *k);
void kernels_ref_norm(struct kernels *k);
void kernels_ref_contrast(struct kernels *k);
void kernels_ref_near(struct kernels *k);
/* out_height and out_width from the rest: (side + 2 (kernel / 2) - kernel) / stride + 1. */
void k_conv_set_out(struct k_conv *c);

#endif
