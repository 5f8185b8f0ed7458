/*
 * golden.c - runs case files of the arithmetic's oracle: build/test/golden [--plain] [--fence] [--device cuda]
 * [--without NUMBER] FILE...
 *
 * TAP on stdout, one line a file with the largest errors of outputs and gradients. Built in float and, from the same
 * sources, in double (golden_double).
 */
#include "golden.h"

#include "nn_model.h"
#include "tap.h"
#include "twins.h"

#include <getopt.h>
#include <stdlib.h>
#include <zstd.h>

enum { MAX_TAKEN = 64, MAX_OUTPUT = 1024 };

struct taken {
	const char *name;
	struct nn_var *x;
};
struct golden {
	const char *name;
	struct ts_map inputs, params, outputs, grads, config;
	struct nn_params *ps;
	struct nn_tape *tape;
	struct arena *a;
	enum golden_class tolerance;
	int n_taken;
	struct taken taken[MAX_TAKEN];
	bool seen[MAX_OUTPUT]; /* outputs compared */
	bool backward_done;
	double err_output, err_grad; /* largest so far, relative */
	double grad_scale;           /* largest entry over all gradients of the case */
	char failure[300];
};

/* In float32 F(4 x 4, 3 x 3) has a bound of its own. */
static double tolerance_of(const struct golden *g)
{
	static const double f32[] = {2e-6, 2e-5, 1e-4, 1e-3}, f64[] = {1e-12, 1e-10, 1e-9, 1e-9};
	if (sizeof(real) == 4 && g->tolerance == GOLDEN_DEEP && !nn_tape_kernels(g->tape)->plain)
		return 5e-4;
	return sizeof(real) == 4 ? f32[g->tolerance] : f64[g->tolerance];
}

void golden_fail(struct golden *g, const char *fmt, ...)
{
	va_list ap;
	if (*g->failure)
		return;
	va_start(ap, fmt);
	vsnprintf(g->failure, sizeof g->failure, fmt, ap);
	va_end(ap);
}

const char *golden_name(const struct golden *g)
{
	return g->name;
}
struct nn_tape *golden_tape(struct golden *g)
{
	return g->tape;
}
struct nn_params *golden_params(struct golden *g)
{
	return g->ps;
}
struct arena *golden_arena(struct golden *g)
{
	return g->a;
}

/* ---- what the file holds --------------------------------------------------- */

static const struct ts_tensor *tensor_in(const struct ts_map *m, const char *name)
{
	const struct ts_value *v = ts_get(m, name);
	return v && v->kind == TS_TENSOR ? &v->u.t : NULL;
}

static double entry(const struct ts_tensor *t, int64_t i)
{
	switch (t->dtype) {
	case TS_F64:
		return ((const double *)t->data)[i];
	case TS_F32:
		return ((const float *)t->data)[i];
	case TS_I64:
		return (double)((const int64_t *)t->data)[i];
	case TS_I32:
		return ((const int32_t *)t->data)[i];
	default:
		return ((const uint8_t *)t->data)[i];
	}
}

static const struct ts_tensor *input(struct golden *g, const char *name)
{
	static const double nothing = 0;
	static const struct ts_tensor none = {.dtype = TS_F64, .n_dim = 1, .shape = {0}, .data = &nothing};
	const struct ts_tensor *t = tensor_in(&g->inputs, name);
	if (!t)
		golden_fail(g, "the file has no input %s", name);
	return t ? t : &none;
}

bool golden_has(const struct golden *g, const char *name)
{
	return tensor_in(&g->inputs, name) != NULL;
}

int64_t golden_shape(const struct golden *g, const char *name, int axis)
{
	const struct ts_tensor *t = tensor_in(&g->inputs, name);
	return t && axis < t->n_dim ? t->shape[axis] : 0;
}

#define COPY_AS(type)                                                                                                  \
	const struct ts_tensor *t = input(g, name);                                                                    \
	int64_t count = ts_tensor_count(t);                                                                            \
	type *x = arena_alloc(g->a, ((size_t)count + 1) * sizeof *x);                                                  \
	for (int64_t i = 0; i < count; i++)                                                                            \
		x[i] = (type)entry(t, i);                                                                              \
	if (n)                                                                                                         \
		*n = count;                                                                                            \
	return x

const real *golden_reals(struct golden *g, const char *name, int64_t *n)
{
	COPY_AS(real);
}
const int64_t *golden_ints(struct golden *g, const char *name, int64_t *n)
{
	COPY_AS(int64_t);
}
const float *golden_floats(struct golden *g, const char *name, int64_t *n)
{
	COPY_AS(float);
}
const uint8_t *golden_bytes(struct golden *g, const char *name, int64_t *n)
{
	COPY_AS(uint8_t);
}

struct nn_var *golden_input(struct golden *g, const char *name)
{
	const struct ts_tensor *t = input(g, name);
	int64_t n, rows = t->n_dim ? t->shape[0] : 1;
	const real *x = golden_reals(g, name, &n);
	struct nn_var *v = nn_input_grad(g->tape, x, rows, rows ? n / rows : 0);
	if (g->n_taken < MAX_TAKEN)
		g->taken[g->n_taken++] = (struct taken){name, v};
	return v;
}

double golden_number(struct golden *g, const char *key)
{
	const struct ts_value *v = ts_get(&g->config, key);
	if (v && v->kind == TS_INT)
		return (double)v->u.i;
	if (v && v->kind == TS_FLOAT)
		return v->u.f;
	golden_fail(g, "the configuration has no number %s", key);
	return 0;
}

const char *golden_string(struct golden *g, const char *key)
{
	const struct ts_value *v = ts_get(&g->config, key);
	if (v && v->kind == TS_STR)
		return v->u.str.s;
	golden_fail(g, "the configuration has no text %s", key);
	return "";
}

bool golden_flag(struct golden *g, const char *key)
{
	const struct ts_value *v = ts_get(&g->config, key);
	if (v && v->kind == TS_BOOL)
		return v->u.b;
	golden_fail(g, "the configuration has no flag %s", key);
	return false;
}

void golden_list(struct golden *g, const char *key, int *out, int n)
{
	const struct ts_value *v = ts_get(&g->config, key);
	for (int i = 0; i < n; i++) {
		out[i] = 0;
		if (v && v->kind == TS_LIST && i < v->u.list.n && v->u.list.items[i].kind == TS_INT)
			out[i] = (int)v->u.list.items[i].u.i;
		else
			golden_fail(g, "the configuration has no list %s of %d integers", key, n);
	}
}

/* ---- comparing -------------------------------------------------------------- */

static const struct ts_tensor *expect(struct golden *g, const char *name, int64_t n)
{
	for (int i = 0; i < g->outputs.n && i < MAX_OUTPUT; i++) {
		const struct ts_field *f = &g->outputs.fields[i];
		if (strcmp(f->key, name))
			continue;
		g->seen[i] = true;
		if (f->v.kind == TS_TENSOR && ts_tensor_count(&f->v.u.t) == n)
			return &f->v.u.t;
		golden_fail(g, "output %s has another size: %lld entries", name, (long long)n);
		return NULL;
	}
	golden_fail(g, "the file has no output %s", name);
	return NULL;
}

static void note(struct golden *g, const char *what, const char *name, double err, double *worst)
{
	if (!(err <= tolerance_of(g)))
		golden_fail(g, "%s %s is off by %.3g", what, name, err);
	if (!(err <= *worst))
		*worst = err;
}

/* NaN agrees with NaN alone; elsewhere it is an infinite error. */
static double largest_error(const struct ts_tensor *t, const double *y, double *scale)
{
	double diff = 0, top = 0;
	*scale = 1;
	for (int64_t i = 0; i < ts_tensor_count(t); i++) {
		double want = entry(t, i);
		if (isnan(want) && isnan(y[i]))
			continue;
		double d = fabs(want - y[i]);
		if (isnan(d))
			return INFINITY;
		diff = d > diff ? d : diff;
		top = fabs(want) > top ? fabs(want) : top;
	}
	*scale = top;
	return diff;
}

void golden_output_doubles(struct golden *g, const char *name, const double *y, int64_t n)
{
	const struct ts_tensor *t = expect(g, name, n);
	double scale;
	if (!t)
		return;
	double diff = largest_error(t, y, &scale);
	note(g, "output", name, diff == 0 ? 0 : diff / (scale > 0 ? scale : 1), &g->err_output);
}

void golden_output_reals(struct golden *g, const char *name, const real *y, int64_t n)
{
	double *d = arena_alloc(g->a, ((size_t)n + 1) * sizeof *d);
	for (int64_t i = 0; i < n; i++)
		d[i] = (double)y[i];
	golden_output_doubles(g, name, d, n);
}

void golden_output(struct golden *g, const char *name, const struct nn_var *y)
{
	real *x = arena_alloc(g->a, ((size_t)(y->n * y->d) + 1) * sizeof *x);
	nn_download(g->tape, y, x);
	golden_output_reals(g, name, x, y->n * y->d);
}

void golden_output_ints(struct golden *g, const char *name, const int64_t *y, int64_t n)
{
	const struct ts_tensor *t = expect(g, name, n);
	for (int64_t i = 0; t && i < n; i++)
		if (entry(t, i) != (double)y[i])
			golden_fail(g, "output %s[%lld] is %lld, not %g", name, (long long)i, (long long)y[i],
				    entry(t, i));
}

void golden_output_angles(struct golden *g, const char *name, const real *y, int64_t n)
{
	const struct ts_tensor *t = expect(g, name, n);
	double worst = 0, tol = sizeof(real) == 4 ? 1e-5 : 1e-9;
	for (int64_t i = 0; t && i < n; i++) {
		double d = remainder(entry(t, i) - (double)y[i], 2 * 3.14159265358979323846);
		worst = isnan(d) ? INFINITY : fmax(worst, fabs(d));
	}
	if (!(worst <= tol))
		golden_fail(g, "angle %s is off by %.3g rad", name, worst);
}

static const double *numbers(struct golden *g, const struct ts_map *from, const char *name, int64_t *n)
{
	const struct ts_tensor *t = tensor_in(from, name);
	*n = t ? ts_tensor_count(t) : 0;
	double *d = arena_alloc(g->a, ((size_t)*n + 1) * sizeof *d);
	for (int64_t i = 0; i < *n; i++)
		d[i] = entry(t, i);
	return d;
}

const double *golden_expected(struct golden *g, const char *name, int64_t *n)
{
	return numbers(g, &g->outputs, name, n);
}

const double *golden_expected_gradient(struct golden *g, const char *name, int64_t *n)
{
	return numbers(g, &g->grads, name, n);
}

void golden_waive(struct golden *g, const char *prefix, const char *why)
{
	for (int i = 0; i < g->outputs.n && i < MAX_OUTPUT; i++)
		if (!strncmp(g->outputs.fields[i].key, prefix, strlen(prefix)))
			g->seen[i] = true;
	printf("# %s: %s*: %s\n", g->name, prefix, why);
}

void golden_running(struct golden *g, const char *prefix)
{
	for (int i = 0; i < nn_params_count(g->ps); i++) {
		const struct nn_param *p = nn_params_at(g->ps, i);
		if (!p->is_state || !strstr(p->name, ".running_"))
			continue;
		const char *name = arena_printf(g->a, "%s%s", prefix, p->name);
		real *x = arena_alloc(g->a, (size_t)(p->n + 1) * sizeof *x);
		if (!tensor_in(&g->outputs, name))
			continue;
		nn_params_kernels(g->ps)->download(x, p->value, (size_t)p->n * sizeof *x);
		golden_output_reals(g, name, x, p->n);
	}
}

void golden_gradient(struct golden *g, const char *name, const real *value, int64_t n)
{
	const struct ts_tensor *t = tensor_in(&g->grads, name);
	double scale, *d = arena_alloc(g->a, ((size_t)n + 1) * sizeof *d);
	if (!t)
		return;
	if (ts_tensor_count(t) != n) {
		golden_fail(g, "gradient %s has another size", name);
		return;
	}
	for (int64_t i = 0; i < n; i++)
		d[i] = (double)value[i];
	double diff = largest_error(t, d, &scale);
	note(g, "gradient", name, diff == 0 ? 0 : diff / (g->grad_scale > 0 ? g->grad_scale : 1), &g->err_grad);
}

void golden_gradients_compared(struct golden *g)
{
	g->backward_done = true;
	nn_params_settle_grad(g->ps);
}

static void compare_gradients(struct golden *g)
{
	const struct kernels *k = nn_params_kernels(g->ps);
	g->backward_done = true;
	for (int i = 0; i < nn_params_count(g->ps); i++) {
		const struct nn_param *p = nn_params_at(g->ps, i);
		if (p->is_state)
			continue;
		real *x = arena_alloc(g->a, (size_t)(p->n + 1) * sizeof *x);
		k->download(x, p->grad, (size_t)p->n * sizeof *x);
		golden_gradient(g, p->name, x, p->n);
	}
	for (int i = 0; i < g->n_taken; i++) {
		const struct nn_var *v = g->taken[i].x;
		real *x = arena_alloc(g->a, (size_t)(v->n * v->d + 1) * sizeof *x);
		k->download(x, v->g, (size_t)(v->n * v->d) * sizeof *x);
		golden_gradient(g, g->taken[i].name, x, v->n * v->d);
	}
}

void golden_backward_loss(struct golden *g, struct nn_var *loss)
{
	struct err e = {0};
	if (nn_backward(g->tape, loss, &e))
		golden_fail(g, "%s", e.msg);
	else
		compare_gradients(g);
}

void golden_backward_from(struct golden *g, const char *name, struct nn_var *y)
{
	int64_t n;
	const real *up = golden_reals(g, arena_printf(g->a, "g_%s", name), &n);
	if (n != y->n * y->d) {
		golden_fail(g, "g_%s has another size", name);
		return;
	}
	nn_seed_grad(g->tape, y, up);
	golden_backward_seeded(g);
}

void golden_backward_seeded(struct golden *g)
{
	nn_backward_run(g->tape);
	compare_gradients(g);
}

/* ---- running a file ---------------------------------------------------------- */

static bool load_params(struct golden *g)
{
	const struct kernels *k = nn_params_kernels(g->ps);
	for (int i = 0; i < g->params.n; i++) {
		const struct ts_field *f = &g->params.fields[i];
		const struct ts_tensor *t = &f->v.u.t;
		if (f->v.kind != TS_TENSOR || t->n_dim < 1 || t->n_dim > 4)
			return false;
		int64_t n = ts_tensor_count(t);
		struct nn_param *p =
		    nn_params_add(g->ps, f->key, strstr(f->key, ".running_") != NULL, t->n_dim, t->shape);
		real *x = arena_alloc(g->a, (size_t)(n + 1) * sizeof *x);
		for (int64_t j = 0; j < n; j++)
			x[j] = (real)entry(t, j);
		k->upload(p->value, x, (size_t)n * sizeof *x);
	}
	return true;
}

static bool part(const struct ts_map *file, const char *key, struct ts_map *m)
{
	const struct ts_value *v = ts_get(file, key);
	if (!v || v->kind != TS_MAP)
		return false;
	*m = v->u.map;
	return true;
}

static bool read_file(const char *path, struct arena *a, struct ts_map *m, struct err *e)
{
	FILE *f = fopen(path, "rb");
	struct buf raw = {0};
	size_t n, used;
	bool good = false;
	if (!f)
		return false;
	do {
		n = fread(buf_reserve(&raw, 1 << 16), 1, 1 << 16, f);
		raw.n += n;
	} while (n);
	fclose(f);
	unsigned long long size = ZSTD_getFrameContentSize(raw.data, raw.n);
	if (size < 1ull << 30) {
		uint8_t *plain = arena_alloc(a, size + 1); /* the map may point into it */
		size_t got = ZSTD_decompress(plain, size, raw.data, raw.n);
		good = !ZSTD_isError(got) && got == size && !ts_walk(plain, size, &used, e) &&
		       !ts_unpack(plain, size, a, m, e);
	}
	buf_free(&raw);
	return good;
}

static const struct golden_case *find_case(const char *name)
{
	const struct golden_case *tables[] = {golden_net, golden_loss, golden_model};
	for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
		for (const struct golden_case *c = tables[t]; c->name; c++) {
			size_t n = strlen(c->name);
			if (c->name[n - 1] == '*' ? !strncmp(c->name, name, n - 1) : !strcmp(c->name, name))
				return c;
		}
	return NULL;
}

static void check_complete(struct golden *g)
{
	for (int i = 0; i < g->outputs.n && i < MAX_OUTPUT; i++)
		if (!g->seen[i])
			golden_fail(g, "output %s was not compared", g->outputs.fields[i].key);
	if (g->grads.n && !g->backward_done)
		golden_fail(g, "gradients were not compared");
}

static void run_file(const char *path, const struct kernels *k)
{
	struct golden g = {.a = arena_new(1 << 20)};
	struct ts_map file;
	struct err e = {0};
	const struct ts_value *name;
	if (!read_file(path, g.a, &file, &e) || !part(&file, "inputs", &g.inputs) ||
	    !part(&file, "params", &g.params) || !part(&file, "outputs", &g.outputs) ||
	    !part(&file, "grads", &g.grads) || !part(&file, "config", &g.config) || !(name = ts_get(&file, "name")) ||
	    name->kind != TS_STR) {
		tap_ok(false, "%s: not a case file %s", path, e.msg);
		goto done;
	}
	g.name = name->u.str.s;
	g.ps = nn_params_new(k);
	g.tape = nn_tape_new(k);
	const struct golden_case *c = find_case(g.name);
	if (!c || !load_params(&g)) {
		tap_ok(false, "%s: %s", g.name, c ? "a parameter is no tensor" : "no code for this case");
		goto done;
	}
	g.tolerance = c->tolerance;
	for (int i = 0; i < g.grads.n; i++)
		for (int64_t j = 0; j < ts_tensor_count(&g.grads.fields[i].v.u.t); j++) {
			double x = fabs(entry(&g.grads.fields[i].v.u.t, j));
			g.grad_scale = x > g.grad_scale ? x : g.grad_scale;
		}
	nn_tape_begin(g.tape, true, 1, 0);
	c->run(&g);
	check_complete(&g);
	tap_ok(!*g.failure, "%s: outputs %.1e, gradients %.1e", g.name, g.err_output, g.err_grad);
	if (*g.failure)
		printf("# %s: %s\n", g.name, g.failure);
done:
	nn_tape_free(g.tape);
	nn_params_free(g.ps);
	arena_free(g.a);
}

/*
 * Takes operation number i away from the table, as from a device that does not offer it. False: there is none of that
 * number. refused: no model of some kind can be built without it.
 */
static bool take_away(struct kernels *k, int i, bool *refused)
{
	size_t at = offsetof(struct kernels, affine) + (size_t)i * sizeof(void *);
	*refused = false;
	if (at + sizeof(void *) > sizeof *k)
		return false;
	memset((char *)k + at, 0, sizeof(void *));
	for (int kind = 0; kind < 2; kind++) {
		struct nn_config c;
		struct err e = {0};
		nn_config_preset(&c, NN_PRESET_TINY);
		c.views = "2d,3d,img";
		c.gnn = kind ? NN_GAT : NN_GIN;
		c.geom = kind;
		*refused |= nn_model_offered(k, &c, NN_PART_ENCODERS | NN_PART_CODES | NN_PART_STRUCTURE, &e) != 0;
	}
	return true;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {{"plain", no_argument, NULL, 'p'},
						     {"fence", no_argument, NULL, 'f'},
						     {"device", required_argument, NULL, 'd'},
						     {"without", required_argument, NULL, 'w'},
						     {0}};
	struct kernels k;
	struct err e = {0};
	enum kernels_device device = KERNELS_CPU;
	bool plain = false, fence = false, refused = false;
	kernels_begin(argv);
	int without = -1;
	for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
		plain |= c == 'p';
		fence |= c == 'f';
		if (c == 'd')
			device = strcmp(optarg, "cuda") ? KERNELS_CPU : KERNELS_CUDA;
		if (c == 'w')
			without = atoi(optarg);
	}
	if (fence ? fence_table(&k, plain, &e) : kernels_open(&k, device, NULL, &e)) {
		printf("Bail out! %s\n", e.msg);
		return 1;
	}
	k.plain |= plain;
	if (without >= 0 && !take_away(&k, without, &refused)) {
		printf("1..0 # no operation of number %d\n", without);
		return 3;
	}
	if (refused) {
		tap_ok(true, "no model without operation number %d", without);
		return tap_done();
	}
	for (int i = optind; i < argc; i++)
		run_file(argv[i], &k);
	kernels_close(&k);
	return tap_done();
}
