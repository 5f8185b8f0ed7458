/* Encoders of conformers: the quick paths against the plain ones, and the same bytes for any number of threads. */
#include "nn_layer.h"

#include "tap.h"

#include <stdlib.h>

enum { N_MOL = 18, MOST = 40, WIDTH = 64 };
/* Atoms: more than pairs are summed at a time. */
static const int size[N_MOL] = {9, 1, 21, 2, 14, 40, 30, 1, 17, 23, 8, 1, 33, 26, 5, 38, 29, 12};

struct mols {
	int64_t n, z[N_MOL * MOST], mol[N_MOL * MOST];
	real pos[3 * N_MOL * MOST];
};

static void draw(struct mols *m)
{
	static const int element[] = {6, 6, 6, 7, 8, 16, 120};
	struct rng r;
	rng_init(&r, 5, 0);
	m->n = 0;
	for (int i = 0; i < N_MOL; i++)
		for (int a = 0; a < size[i]; a++, m->n++) {
			m->z[m->n] = element[rng_below(&r, 7)];
			m->mol[m->n] = i;
			for (int c = 0; c < 3; c++)
				m->pos[3 * m->n + c] = (real)(7 * rng_uniform(&r));
		}
}

struct result {
	real y[N_MOL * WIDTH];
	struct nn_params *ps; /* their gradients */
};

/* One step, forward and backward. */
static void step(const struct kernels *k, const struct nn_geom_config *c, const struct mols *m, struct result *out)
{
	struct nn_params *ps = out->ps = nn_params_new(k);
	struct nn_tape *t = nn_tape_new(k);
	struct nn_points p = {.n_mol = N_MOL, .n_atom = m->n, .z = m->z, .pos = m->pos, .mol = m->mol};
	real g[N_MOL * WIDTH];
	struct rng r;
	rng_init(&r, 6, 0);
	for (int i = 0; i < N_MOL * WIDTH; i++)
		g[i] = (real)rng_normal(&r);
	memset(out->y, 0, sizeof out->y);
	nn_geom_build(ps, "", c, 3);
	nn_params_zero_grad(ps);
	nn_tape_begin(t, true, 1, 1);
	struct nn_var *y = nn_geom(t, ps, "", c, &p);
	nn_download(t, y, out->y);
	nn_seed_grad(t, y, g);
	nn_backward_run(t);
	nn_params_settle_grad(ps);
	nn_tape_free(t);
}

/* Largest difference over the largest entry. */
static double error(const real *a, const real *b, int64_t n)
{
	double top = 0, diff = 0;
	for (int64_t i = 0; i < n; i++) {
		double d = fabs((double)a[i] - (double)b[i]);
		top = fmax(top, fabs((double)b[i]));
		diff = d > diff || isnan(d) ? d : diff;
	}
	return top > 0 ? diff / top : diff;
}

/* The worst over the parameters. */
static double error_grad(const struct result *a, const struct result *b)
{
	double worst = 0;
	for (int i = 0; i < nn_params_count(a->ps); i++) {
		const struct nn_param *p = nn_params_at(a->ps, i);
		double err = error(p->grad, nn_params_at(b->ps, i)->grad, p->n);
		worst = err > worst || isnan(err) ? err : worst;
	}
	return worst;
}

/* With fixed_rows a molecule's bytes are its own, whatever stands beside it. */
static void test_neighbours(const struct kernels *k, const char *name, const struct nn_geom_config *c)
{
	static const int64_t none[MOST]; /* every atom is of molecule 0 */
	static struct mols m;
	struct kernels fixed = *k;
	real all[N_MOL * WIDTH], alone[WIDTH];
	int n_other = 0;
	fixed.fixed_rows = true;
	draw(&m);
	struct nn_params *ps = nn_params_new(&fixed);
	struct nn_tape *t = nn_tape_new(&fixed);
	struct nn_points p = {.n_mol = N_MOL, .n_atom = m.n, .z = m.z, .pos = m.pos, .mol = m.mol};
	nn_geom_build(ps, "", c, 3);
	nn_tape_begin(t, false, 1, 1);
	nn_download(t, nn_geom(t, ps, "", c, &p), all);
	for (int64_t i = 0, at = 0; i < N_MOL; at += size[i++]) {
		p = (struct nn_points){
		    .n_mol = 1, .n_atom = size[i], .z = m.z + at, .pos = m.pos + 3 * at, .mol = none};
		nn_tape_begin(t, false, 1, 1);
		nn_download(t, nn_geom(t, ps, "", c, &p), alone);
		n_other += memcmp(alone, all + i * c->width, (size_t)c->width * sizeof *alone) != 0;
	}
	tap_ok(!n_other, "%s: a molecule has the bytes of that molecule alone (%d have not)", name, n_other);
	nn_tape_free(t);
	nn_params_free(ps);
}

/* Two atoms in one place, as files of coordinates have them: no angle, and the distance's part as of two that are
 * close. */
static void test_one_place(void)
{
	static const int64_t z[3] = {6, 8, 6}, mol[3];
	static const real pos[2][9] = {{0, 0, 0, 0, 0, 0, 1.4F, 0, 0}, {0, 0, 0, 1e-4F, 0, 0, 1.4F, 0, 0}};
	struct arena *a = arena_new(0);
	struct nn_comenet_features f[2];
	double worst = 0;
	for (int i = 0; i < 2; i++) {
		struct nn_points p = {.n_mol = 1, .n_atom = 3, .z = z, .pos = pos[i], .mol = mol};
		f[i] = nn_comenet_features_of(a, &p, 8, false);
	}
	for (int64_t e = 0; e < f[0].pairs.n; e++) {
		real *one = f[0].feature1 + 12 * e, *near = f[1].feature1 + 12 * e;
		double all = 0;
		for (int q = 0; q < 12; q++)
			all += (double)one[q] + (double)f[0].feature2[6 * e + q % 6];
		worst = fmax(worst, isfinite(all) ? error(one, near, 3) : INFINITY);
	}
	tap_ok(f[0].pairs.n == 6 && worst <= 1e-3, "ComENet: features of two atoms in one place (%.1e)", worst);
	arena_free(a);
}

static void test_encoder(const struct kernels *k, const struct kernels *threads, const char *name,
			 const struct nn_geom_config *c, double tol_y, double tol_grad)
{
	static struct mols m;
	static struct result plain, quick, more;
	struct kernels k_plain = *k;
	k_plain.plain = true;
	draw(&m);
	step(&k_plain, c, &m, &plain);
	step(k, c, &m, &quick);
	step(threads, c, &m, &more);
	double y = error(quick.y, plain.y, N_MOL * WIDTH), g = error_grad(&quick, &plain);
	tap_ok(y <= tol_y, "%s: outputs of the quick path (%.1e)", name, y);
	tap_ok(g <= tol_grad, "%s: gradients of the quick path (%.1e)", name, g);
	tap_ok(!memcmp(more.y, quick.y, sizeof quick.y) && error_grad(&more, &quick) == 0,
	       "%s: the same bytes with three threads", name);
	nn_params_free(plain.ps);
	nn_params_free(quick.ps);
	nn_params_free(more.ps);
}

/* ---- a wrong variant that the bounds must reject ---------------------------------------- */

static const struct kernels *right;

/* Two nodes in place of four, of the same sum. */
static void linear_weights(const struct kernels *k, const struct k_table *t, const real *x, const real *table, real *y,
			   int64_t d, bool add)
{
	struct k_table two = *t;
	struct k_pair *pair = malloc((size_t)(t->n_pair + 1) * sizeof *pair);
	for (int64_t e = 0; e < t->n_pair; e++) {
		pair[e] = t->pair[e];
		const real *w = t->pair[e].w, second = 1 - w[0] - w[1] - w[2];
		pair[e].w[0] = pair[e].w[2] = 0;
		pair[e].w[1] = w[1] / (second + w[1]);
	}
	two.pair = pair;
	right->table_sum(right, &two, x, table, y, d, add);
	free(pair);
}

/* A device without the quick paths' operations takes the plain ones. */
static void test_lacking(const struct kernels *k, const struct nn_geom_config *c, const char *name)
{
	static struct mols m;
	static struct result want, got;
	struct kernels plain = *k, lacks = *k;
	plain.plain = true;
	lacks.table_sum = NULL;
	lacks.feature_sum = NULL;
	draw(&m);
	step(&plain, c, &m, &want);
	step(&lacks, c, &m, &got);
	double y = error(got.y, want.y, N_MOL * WIDTH), g = error_grad(&got, &want);
	tap_ok(y <= 1e-6 && g <= 3e-5, "%s without its quick operations (%.1e, %.1e)", name, y, g);
	nn_params_free(want.ps);
	nn_params_free(got.ps);
}

static void test_mutant(const struct kernels *k, const struct nn_geom_config *c)
{
	static struct mols m;
	static struct result want, got;
	struct kernels wrong = *k;
	right = k;
	wrong.table_sum = linear_weights;
	draw(&m);
	step(k, c, &m, &want);
	step(&wrong, c, &m, &got);
	tap_ok(!(error(got.y, want.y, N_MOL * WIDTH) <= 1e-6), "mutant: weights of two nodes are caught");
	nn_params_free(want.ps);
	nn_params_free(got.ps);
}

int main(void)
{
	struct err e = {0};
	struct kernels one, three;
	struct pool *pool = pool_new(3);
	if (kernels_cpu(&one, NULL, &e) || kernels_cpu(&three, pool, &e)) {
		printf("Bail out! %s\n", e.msg);
		return 1;
	}
	const struct nn_geom_config comenet = {.n_block = 3, .width = WIDTH, .middle = 16, .cutoff_ang = 8};
	struct nn_geom_config narrow = comenet;
	narrow.width = 16;
	const struct nn_geom_config schnet = {
	    .schnet = true, .n_block = 3, .width = WIDTH, .cutoff_ang = 10, .n_gaussian = 50, .n_filter = 32};
	struct nn_geom_config bare = schnet;
	bare.bare = true;
	/* the interpolation's error is about 4e-7 of the largest output and 3e-6 of a filter's gradient */
	test_encoder(&one, &three, "SchNet", &schnet, 1e-6, 6e-6);
	test_encoder(&one, &three, "SchNet without readout", &bare, 1e-6, 6e-6);
	struct nn_geom_config thin = bare; /* multiplies two layers first */
	thin.width = 16;
	test_encoder(&one, &three, "narrow SchNet without readout", &thin, 1e-6, 6e-6);
	/* ComENet's paths differ by rounding alone; the narrow one multiplies pairs of layers first */
	test_encoder(&one, &three, "ComENet", &comenet, 3e-6, 3e-5);
	test_encoder(&one, &three, "narrow ComENet", &narrow, 3e-6, 3e-5);
	test_one_place();
	test_neighbours(&one, "SchNet", &schnet);
	test_neighbours(&one, "SchNet without readout", &bare);
	test_neighbours(&one, "ComENet", &comenet);
	test_lacking(&one, &schnet, "SchNet");
	test_lacking(&one, &comenet, "ComENet");
	test_mutant(&one, &schnet);
	kernels_cpu_free(&one);
	kernels_cpu_free(&three);
	pool_free(pool);
	return tap_done();
}
