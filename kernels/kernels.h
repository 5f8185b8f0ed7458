/*
 * kernels.h - layer 2b: arithmetic on plain arrays, as tables of operations.
 *
 * A back end is one `struct kernels`: memory and operations. Code of the model
 * never touches tensor memory but through this table, so that a back end can
 * keep everything on its device. Each operation has a naive reference in
 * double (kernels/ref.c) that the tests hold against it.
 *
 * Matrices are row-major [n, d] of `real`; a [B, C, H, W] picture batch is
 * held as NHWC rows [B*H*W, C]. Outputs never alias inputs unless an entry
 * says so. `g_` arrays are gradients; backward entries ADD to them, so that a
 * tensor used twice needs no temporary. Work is cut into chunks whose size
 * depends on the problem alone and partial sums are added in chunk order: the
 * same bytes for any number of threads. Sums that decide results (means,
 * variances, losses, norms) accumulate in double.
 */
#ifndef MOLRILL_KERNELS_H
#define MOLRILL_KERNELS_H

#include "util.h"

#ifndef REAL
#define REAL float
#endif
typedef REAL real; /* float; double in the build that checks formulas (make REAL=double) */

/* Edges or memberships by target: rows of item[start[i] .. start[i + 1]) belong to i. Host memory. */
struct k_csr {
	int64_t n;      /* targets */
	int64_t n_item; /* start[n] */
	const int64_t *start;
	const int64_t *item;
};

/* One step of Adam (Kingma and Ba 2015, as PyTorch has it). */
struct k_adam {
	double lr, beta1, beta2, eps;
	double decay; /* weight decay: through the gradient, or beside it (AdamW) where decoupled */
	bool decoupled;
	double grad_scale;               /* the gradient is multiplied by it first (clipping) */
	double correction1, correction2; /* 1 - beta^t */
};

/* Incidence by hyperedge: entries start[j] .. start[j + 1) of hyperedge j; value H, weight w (NULL: ones). Host memory.
 */
struct k_hyper {
	int64_t n_node, n_edge;
	const int64_t *start, *node;
	const real *value, *weight;
	bool sym; /* Dv^-1/2 H W De^-1 H^T Dv^-1/2, else Dv^-1 H W De^-1 H^T */
};

struct kernels {
	const char *name; /* "cpu" */
	struct pool *pool;

	/* ---- memory ---- */
	void *(*alloc)(size_t nbytes); /* NULL: no memory */
	void (*release)(void *p);
	void (*upload)(void *dst, const void *host, size_t nbytes);
	void (*download)(void *host, const void *src, size_t nbytes);
	void (*fill)(real *x, int64_t n, real value);

	/* ---- optimiser (cpu_optim.c) ---- */
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
};

/* Operations of the CPU table, one set a file; kernels_cpu calls them. */
void kernels_cpu_optim(struct kernels *k);
void kernels_cpu_loss(struct kernels *k);
void kernels_cpu_hyper(struct kernels *k);

/* The table for the CPU; pool may be NULL (one thread). Compares sgemm with a double loop first: ERR_NUMERIC
 * when this OpenBLAS kernel computes nonsense on this machine. */
int kernels_cpu(struct kernels *k, struct pool *pool, struct err *e);
/* "OpenBLAS 0.3.21 Zen" and the like, for provenance: version and core type in use. */
const char *kernels_blas_name(void);

#endif
