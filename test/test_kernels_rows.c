/* Operations on entries and rows against the reference; random numbers against a known answer. */
#include "trial.h"

static void op_entries(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n * s.d;
	const real *a = in(t, n), *b = in(t, n), *one = in(t, 1);
	k->affine(k, out(t, n), a, 1.25, -0.5, n);
	k->axpy(k, out(t, n), a, 0.75, n);
	k->combine(k, out(t, n), a, b, -1, n);
	k->mul(k, out(t, n), a, b, n);
	k->mul_add(k, out(t, n), a, b, n);
	k->sum(k, a, n, out(t, 1));
	k->axpy_var(k, out(t, n), a, one, n);
	out_value(t, k->sum_squares(k, a, n));
}

static void op_act(const struct kernels *k, struct trial *t, struct size s, enum k_act f)
{
	int64_t n = s.n * s.d;
	const real *x = in(t, n), *g = in(t, n);
	real *y = out(t, n);
	k->act(k, f, x, y, n);
	k->act_back(k, f, x, y, g, out(t, n), n);
}
#define ACT(name, f)                                                                                                   \
	static void name(const struct kernels *k, struct trial *t, struct size s)                                      \
	{                                                                                                              \
		op_act(k, t, s, f);                                                                                    \
	}
ACT(op_relu, K_RELU)
ACT(op_tanh, K_TANH)
ACT(op_swish, K_SWISH)
ACT(op_ssp, K_SSP)
ACT(op_softplus, K_SOFTPLUS)
ACT(op_sigmoid, K_SIGMOID)
ACT(op_square, K_SQUARE)

/* Outputs that are inputs, as the entries' operations allow. */
static void op_in_place(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n * s.d;
	const real *b = in(t, n);
	real *y[7];
	for (int i = 0; i < 7; i++)
		y[i] = out(t, n);
	k->affine(k, y[0], y[0], 1.25, -0.5, n);
	k->combine(k, y[1], y[1], b, 0.5, n);
	k->combine(k, y[2], b, y[2], 0.5, n);
	k->mul(k, y[3], y[3], b, n);
	k->mul(k, y[4], b, y[4], n);
	k->act(k, K_SWISH, y[5], y[5], n);
	k->dropout(k, y[6], y[6], hold(t, (size_t)n), n, 0.3, 77, 5);
}

/* Products of no terms, sums of no rows: zero, or what was there. */
static void op_nothing(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t d = s.d, *none = hold_host(t, (size_t)(s.n + 1) * sizeof *none);
	const real *x = in(t, d);
	for (int64_t v = 0; v <= s.n; v++)
		none[v] = 0;
	struct k_csr c = {
	    .n = s.n, .start = put(t, none, (size_t)(s.n + 1) * sizeof *none), .item = index_below(t, 1, 1)};
	k->gemm(k, false, false, s.n, d, 0, 1, x, 1, x, d, 0, out(t, s.n * d), d);
	k->gemm(k, false, true, s.n, d, 0, 1, x, 1, x, 1, 1, out(t, s.n * d), d);
	k->gemm(k, false, false, 0, d, 1, 1, x, 1, x, d, 0, out(t, d), d);
	k->column_sum(k, x, out(t, d), 0, d);
	k->csr_sum(k, &c, x, NULL, out(t, s.n * d), d, false);
	k->csr_sum(k, &c, x, NULL, out(t, s.n * d), d, true);
	k->message_sum(k, &c, c.item, x, x, NULL, 1, out(t, s.n * d), d);
	k->sum(k, x, 0, out(t, 1));
}

static void op_dropout(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n * s.d;
	uint8_t *mask = hold(t, (size_t)n);
	k->dropout(k, in(t, n), out(t, n), mask, n, 0.3, 77, 5);
	k->dropout_back(k, in(t, n), mask, out(t, n), n, 0.3);
}

static void op_adam(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n * s.d;
	const real *g = in(t, n), *v0 = draw_positive(t, n);
	for (int decoupled = 0; decoupled < 2; decoupled++) {
		struct k_adam a = {.lr = 0.01,
				   .beta1 = 0.9,
				   .beta2 = 0.999,
				   .eps = 1e-8,
				   .decay = 0.1,
				   .decoupled = decoupled,
				   .grad_scale = 0.5,
				   .correction1 = 0.19,
				   .correction2 = 0.002};
		real *p = out(t, n), *m = out(t, n), *v = out_from(t, v0, n);
		k->adam(k, &a, p, g, m, v, n);
	}
}

/* Rows apart by their length and 7, or by whole lines of the cache. */
static void run_gemm(const struct kernels *k, struct trial *t, struct size s, bool lines)
{
	int64_t m = s.n, n = s.d, kk = s.n_target;
	const real *a = in(t, (m + 16) * (kk + 16)), *b = in(t, (n + 16) * (kk + 16));
	for (int f = 0; f < 8; f++) {
		bool ta = f & 1, tb = f & 2;
		int64_t a_row = ta ? m : kk, b_row = tb ? kk : n;
		k->gemm(k, ta, tb, m, n, kk, f & 4 ? 1 : 1.5, a, lines ? (a_row + 15) / 16 * 16 : a_row + 7, b,
			lines ? (b_row + 15) / 16 * 16 : b_row + 7, f % 2 ? 1 : 0, out(t, m * n), n);
	}
}

static void op_gemm(const struct kernels *k, struct trial *t, struct size s)
{
	run_gemm(k, t, s, false);
}

static void op_gemm_lines(const struct kernels *k, struct trial *t, struct size s)
{
	run_gemm(k, t, s, true);
}

/* Small sides and a long sum (a gradient of weights), and few rows with many columns. */
static void op_gemm_small(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t m = s.n < 128 ? s.n : 128, n = s.d < 128 ? s.d : 127, kk = 1020 + 3 * s.n_target;
	const real *a = in(t, m * kk), *b = in(t, n * kk);
	k->gemm(k, true, false, m, n, kk, 1.5, a, m, b, n, 0, out(t, m * (n + 3)), n + 3);
	k->gemm(k, true, false, m, n, kk, 1, a, m, b, n, 1, out(t, m * n), n);
	m = 40 + s.n % 41, n = 290 + s.d, kk = 301;
	a = in(t, m * kk), b = in(t, n * kk);
	for (int tb = 0; tb < 2; tb++)
		k->gemm(k, false, tb, m, n, kk, 1, a, kk, b, tb ? kk : n, tb, out(t, m * n), n);
}

static void op_rows(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n, d = s.d;
	const real *x = in(t, n * d), *row = in(t, d), *col = in(t, n);
	k->copy_block(k, x + d / 2, d, out(t, n * d), d, n, d - d / 2, s.d % 2);
	k->transpose(k, x, out(t, n * d), n, d, s.n % 2);
	k->scale_rows(k, x, col, out(t, n * d), n, d, false);
	k->scale_rows(k, x, col, out(t, n * d), n, d, true);
	k->add_row(k, row, out(t, n * d), n, d);
	k->add_column(k, col, out(t, n * d), n, d);
	k->column_sum(k, x, out(t, d), n, d);
	k->row_sum(k, x, out(t, n), n, d);
}

static void op_bias(const struct kernels *k, struct trial *t, struct size s)
{
	const real *row = in(t, s.d);
	real *y = out(t, s.n * s.d), *g = out(t, s.n * s.d);
	k->bias_relu(k, row, y, s.n, s.d);
	k->bias_relu_back(k, y, g, out(t, s.d), s.n, s.d);
	k->bias_relu_back(k, y, g, NULL, s.n, s.d);
}

static void op_unit(const struct kernels *k, struct trial *t, struct size s)
{
	real *x = in(t, s.n * s.d), *y = out(t, s.n * s.d), *norm = out(t, s.n);
	const real *g = in(t, s.n * s.d);
	k->fill(k, x, s.d, 0); /* a row of zeros */
	k->unit(k, x, y, norm, s.n, s.d);
	k->unit_back(k, y + s.d, norm + 1, g + s.d, out(t, s.n * s.d), s.n - 1, s.d);
}

static void op_softmax(const struct kernels *k, struct trial *t, struct size s)
{
	const real *x = in(t, s.n * s.d), *g = in(t, s.n * s.d);
	for (int log_too = 0; log_too < 2; log_too++) {
		real *y = out(t, s.n * s.d);
		k->softmax(k, x, y, s.n, s.d, log_too);
		k->softmax_back(k, y, g, out(t, s.n * s.d), s.n, s.d, log_too);
	}
}

/* Scores whose exponentials are beyond floats. */
static void op_softmax_large(const struct kernels *k, struct trial *t, struct size s)
{
	real *host = draw(t, s.n * s.d);
	for (int64_t i = 0; i < s.n * s.d; i++)
		host[i] = 300 * host[i] - 150;
	const real *x = put(t, host, (size_t)(s.n * s.d) * sizeof *x);
	for (int log_too = 0; log_too < 2; log_too++)
		k->softmax(k, x, out(t, s.n * s.d), s.n, s.d, log_too);
}

static void op_info_nce(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n < 300 ? s.n : 300, d = s.d; /* the reference takes n^2 d */
	real *u = hold(t, (size_t)(n * d) * sizeof *u), *v = hold(t, (size_t)(n * d) * sizeof *v);
	real *e = hold(t, (size_t)(n * n) * sizeof *e), *row = out(t, n), *col = out(t, n), *loss = out(t, 1);
	k->unit(k, in(t, n * d), u, row, n, d);
	k->unit(k, in(t, n * d), v, col, n, d);
	k->info_nce(k, u, v, n, d, 0.1, e, row, col, loss);
	k->info_nce_back(k, u, v, n, d, 0.1, e, row, col, in(t, 1), out(t, n * d), out(t, n * d));
	k->info_nce(k, u, v, n, d, K_INFO_NCE_TAU, e, row, col, loss);
	k->info_nce_back(k, u, v, n, d, K_INFO_NCE_TAU, e, row, col, in(t, 1), out(t, n * d), NULL);
	k->copy(out(t, n * n), e, (size_t)(n * n) * sizeof *e);
}

static void op_nearest(const struct kernels *k, struct trial *t, struct size s)
{
	int64_t n = s.n < 300 ? s.n : 300, kk = n > 7 ? 7 : n - 1, *idx = hold_host(t, (size_t)(n * kk) * sizeof *idx);
	const real *x = draw(t, n * s.d);
	double *key = hold_host(t, (size_t)(n * kk) * sizeof *key), *mean = hold_host(t, (size_t)n * sizeof *mean);
	real *y = hold_host(t, (size_t)(n * kk + n) * sizeof *y);
	for (int f = 0; f < 3; f++) { /* l2, cosine, cosine with mean distances */
		k->nearest(k, x, n, s.d, f > 0, kk, idx, key, f > 1 ? mean : NULL);
		for (int64_t i = 0; i < n * kk; i++)
			y[i] = (real)idx[i];
		out_from(t, y, n * kk);
		for (int64_t i = 0; i < n * kk; i++)
			y[i] = (real)key[i];
		out_from(t, y, n * kk);
	}
	for (int64_t i = 0; i < n; i++)
		y[i] = (real)mean[i];
	out_from(t, y, n);
}

static void op_pick(const struct kernels *k, struct trial *t, struct size s)
{
	const int64_t *col = index_below(t, s.n, s.d);
	k->pick(k, in(t, s.n * s.d), col, out(t, s.n), s.n, s.d);
	k->pick_back(k, in(t, s.n), col, out(t, s.n * s.d), s.n, s.d);
}

static void op_shrink(const struct kernels *k, struct trial *t, struct size s)
{
	const real *a = in_positive(t, s.n * s.d), *g = in(t, s.n * s.d);
	real *y = out(t, s.n * s.d);
	k->shrink(k, a, y, s.n, s.d, 0.7);
	k->shrink_back(k, a, y, g, out(t, s.n * s.d), s.n, s.d, 0.7);
}

static const struct named ops[] = {
    {"entries", op_entries},
    {"relu", op_relu},
    {"tanh", op_tanh},
    {"swish", op_swish},
    {"ssp", op_ssp},
    {"softplus", op_softplus},
    {"sigmoid", op_sigmoid},
    {"square", op_square},
    {"dropout", op_dropout},
    {"adam", op_adam},
    {"gemm", op_gemm},
    {"gemm of whole lines", op_gemm_lines},
    {"small gemm", op_gemm_small},
    {"rows", op_rows},
    {"unit", op_unit},
    {"softmax", op_softmax},
    {"softmax of large scores", op_softmax_large},
    {"pick", op_pick},
    {"info_nce", op_info_nce},
    {"nearest", op_nearest},
    {"shrink", op_shrink},
    {"bias and ReLU", op_bias},
    {"in place", op_in_place},
    {"nothing", op_nothing},
};

/* ---- wrong variants that the harness must reject ---------------------------------------- */

static const struct kernels *right;

/* Without the row's maximum taken off first. */
static void softmax_bare(const struct kernels *k, const real *x, real *y, int64_t n, int64_t d, bool log_too)
{
	real *e = malloc((size_t)(n * d + 1) * sizeof *e);
	right->download(e, x, (size_t)(n * d) * sizeof *e);
	for (int64_t i = 0; i < n; i++) {
		double sum = 0;
		for (int64_t c = i * d; c < (i + 1) * d; c++)
			sum += exp((double)e[c]);
		for (int64_t c = i * d; c < (i + 1) * d; c++)
			e[c] = (real)(log_too ? (double)e[c] - log(sum) : exp((double)e[c]) / sum);
	}
	right->upload(y, e, (size_t)(n * d) * sizeof *e);
	free(e);
}

static void row_sum_long(const struct kernels *k, const real *x, real *sums, int64_t n, int64_t d)
{
	right->row_sum(right, x, sums, n, d);
	right->fill(right, sums + n, 1, 0); /* one entry past the end */
}

static void add_row_nan(const struct kernels *k, const real *row, real *y, int64_t n, int64_t d)
{
	right->add_row(right, row, y, n, d);
	right->fill(right, y, 1, (real)NAN);
}

/* Rows' sums where the columns' belong. */
static void info_nce_back_rows(const struct kernels *k, const real *u, const real *v, int64_t n, int64_t d, double tau,
			       real *e, const real *row, const real *col, const real *g_loss, real *g_u, real *g_v)
{
	(void)col;
	right->info_nce_back(k, u, v, n, d, tau, e, row, row, g_loss, g_u, g_v);
}

static void test_mutants(const struct tables *t)
{
	struct kernels m = t->tested;
	right = &t->tested;
	m.row_sum = row_sum_long;
	tap_ok(isinf(worst_error(t, op_rows, &m, NULL)), "mutant: a write past the end is caught");
	m = t->tested;
	m.add_row = add_row_nan;
	tap_ok(!(worst_error(t, op_rows, &m, NULL) <= 1e-5), "mutant: NaN is caught");
	m = t->tested;
	m.softmax = softmax_bare;
	tap_ok(worst_error(t, op_softmax, &m, NULL) <= 1e-5 && !(worst_error(t, op_softmax_large, &m, NULL) <= 1e-5),
	       "mutant: exponentials that are too large are caught, by large scores alone");
	if (t->on_cpu) {
		m = t->tested;
		m.info_nce_back = info_nce_back_rows;
		tap_ok(!(worst_error(t, op_info_nce, &m, NULL) <= 1e-5), "mutant: rows taken for columns are caught");
	}
}

/* Philox4x32-10, counter 0, key 0: 6627e8d5 e169c58d ... (known answers of Random123). */
static void test_known_random(const struct kernels *k)
{
	static const struct {
		int entry;
		uint32_t u;
	} known[] = {{0, 0x6627e8d5}, {64, 0xe169c58d}, {128, 0xbc57ac4c}, {192, 0x9b00dbd8}};
	struct trial t = {.k = k};
	real *x = in(&t, 256), *y = hold(&t, 256 * sizeof *y);
	uint8_t *mask = hold(&t, 256), kept[256], cut[256];
	for (int i = 0; i < 4; i++) {
		k->dropout(k, x, y, mask, 256, known[i].u / 4294967296.0, 0, 0);
		k->download(kept, mask, sizeof kept);
		k->dropout(k, x, y, mask, 256, (known[i].u + 1.0) / 4294967296.0, 0, 0);
		k->download(cut, mask, sizeof cut);
		tap_ok(kept[known[i].entry] && !cut[known[i].entry], "dropout draws word %d of Philox's known answer",
		       i);
	}
	trial_free(&t);
}

/* ---- the fence around a table's memory (fence.c) ---------------------------------------- */

enum reach { BY_TABLE, BY_HAND, HOST_POINTER, DOWNLOAD_WITHIN };

/* How a process ends that gets at the table's memory in a way. */
static int fence_end(enum reach way)
{
	int status;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		struct kernels k;
		struct err e = {0};
		real host[2] = {1, 2};
		if (!freopen("/dev/null", "w", stderr) || fence_table(&k, false, &e))
			_exit(1);
		volatile real *x = k.alloc(sizeof host);
		k.upload((real *)x, host, sizeof host);
		if (way == BY_HAND)
			_exit(x[1] > 0 ? 2 : 3);
		if (way == DOWNLOAD_WITHIN)
			k.download((real *)x + 1, (real *)x, sizeof *x);
		k.sum(&k, way == HOST_POINTER ? host : (real *)x, 2, (real *)x);
		k.download(host, (real *)x, sizeof *host);
		_exit(host[0] == 3 ? 0 : 4);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_fence(void)
{
	tap_ok(fence_end(BY_TABLE) == 0, "fence: the table's operations reach its memory");
	tap_ok(fence_end(BY_HAND) == 99, "mutant: code that reads a tensor by itself is caught");
	tap_ok(fence_end(HOST_POINTER) == 99, "mutant: an operation on memory of the host is caught");
	tap_ok(fence_end(DOWNLOAD_WITHIN) == 99, "mutant: a download into the table's memory is caught");
}

int main(int argc, char **argv)
{
	struct tables t;
	if (!tables_open(&t, argc, argv))
		return 1;
	if (t.twins)
		return test_twin_mutants(&t, ops, sizeof ops / sizeof *ops);
	test_ops(&t, ops, sizeof ops / sizeof *ops);
	test_mutants(&t);
	test_barriers(&t, ops, sizeof ops / sizeof *ops);
	test_known_random(&t.tested);
	if (t.on_cpu)
		test_fence();
	tables_close(&t);
	return tap_done();
}
