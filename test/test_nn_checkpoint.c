/* Model streams: what is written is what is read; state; what is damaged or does not fit is refused. */
#include "nn_checkpoint.h"
#include "tap.h"

#include <stdlib.h>
#include <unistd.h>

static struct kernels k;
static struct nn_config cfg;

static struct nn_optim *optim_new(void *ctx, struct nn_params *ps)
{
	static const struct nn_optim_config c = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
	(void)ctx;
	return nn_optim_new(ps, &c);
}

static struct nn_model *model_new(uint64_t seed)
{
	static const char *const tasks[] = {"one", "two"};
	struct nn_model *m;
	struct err e = {0};
	const unsigned parts = NN_PART_ENCODERS | NN_PART_CODES | NN_PART_STRUCTURE;
	if (nn_model_new(&m, &k, &cfg, parts, seed, &e) || nn_model_add_head(m, 2, tasks, true, seed, &e)) {
		printf("Bail out! %s\n", e.msg);
		exit(1);
	}
	m->target_mean[1] = 3.25;
	m->target_sd[1] = 0.1;
	m->trained_codes = true;
	return m;
}

static void header_new(struct ts_header *h, struct arena *a)
{
	ts_header_init(h, "model", a);
	ts_set_int(&h->extra, "answer", 42);
}

static bool same_values(const struct nn_model *x, const struct nn_model *y)
{
	int n = nn_params_count(x->ps);
	bool same = n == nn_params_count(y->ps);
	for (int i = 0; same && i < n; i++) {
		const struct nn_param *p = nn_params_at(x->ps, i), *q = nn_params_at(y->ps, i);
		same = !strcmp(p->name, q->name) && p->n == q->n &&
		       !memcmp(p->value, q->value, (size_t)p->n * sizeof(real));
	}
	return same;
}

static void test_round_trip(const char *path, struct arena *a)
{
	struct err e = {0};
	struct ts_header h;
	struct nn_model *m = model_new(1), *back = NULL;
	struct nn_optim *o = optim_new(NULL, m->ps);
	struct nn_checkpoint *c = NULL;
	real *moment[2], *last[512] = {NULL};
	int n = nn_params_count(m->ps);
	header_new(&h, a);
	for (int i = 0; i < n; i++) {
		const struct nn_param *p = nn_params_at(m->ps, i);
		last[i] = malloc((size_t)p->n * sizeof(real));
		for (int64_t j = 0; j < p->n; j++)
			last[i][j] = p->value[j] + 1;
		nn_optim_moments(o, i, &moment[0], &moment[1]);
		if (moment[0])
			moment[0][0] = (real)i, moment[1][0] = (real)(2 * i);
	}
	struct nn_saving s = {
	    .model = m, .best = (const real *const *)last, .optim = o, .header = &h, .complete = true};
	tap_ok(!nn_checkpoint_save(&s, path, &e), "a model is written");
	tap_ok(!nn_checkpoint_open(&c, path, &e) && nn_checkpoint_is_complete(c), "and opened");
	tap_ok(nn_checkpoint_parts(c) == 15, "its parts");
	tap_ok(!nn_checkpoint_model(c, NULL, 15, &k, NULL, &back, &e), "and read: %s", e.msg);
	bool good = back != NULL;
	for (int i = 0; good && i < n; i++) {
		const struct nn_param *p = nn_params_at(back->ps, i);
		good = !memcmp(p->value, last[i], (size_t)p->n * sizeof(real));
	}
	tap_ok(good, "the values under the model's names are the best ones");
	tap_ok(back && back->n_task == 2 && !strcmp(back->tasks[1], "two") && back->regression &&
		   back->target_mean[1] == 3.25 && back->target_sd[1] == 0.1 && back->trained_codes &&
		   !back->trained_structure,
	       "tasks, scaling, what it was trained for");
	nn_checkpoint_close(c);
	nn_model_free(back);
	back = NULL;
	struct nn_resume r = {.optim_new = optim_new};
	tap_ok(!nn_checkpoint_open(&c, path, &e) && !nn_checkpoint_model(c, NULL, 15, &k, &r, &back, &e) &&
		   same_values(m, back),
	       "to go on: the values where training stood");
	good = r.best != NULL;
	for (int i = 0; good && i < n; i++) {
		nn_optim_moments(r.optim, i, &moment[0], &moment[1]);
		good = !memcmp(r.best[i], last[i], (size_t)nn_params_at(m->ps, i)->n * sizeof(real)) &&
		       (!moment[0] || (moment[0][0] == (real)i && moment[1][0] == (real)(2 * i)));
	}
	tap_ok(good, "and the best ones and the moments beside");
	/* mutant: a model of other values is not the same */
	struct nn_model *other = model_new(2);
	tap_ok(!same_values(m, other), "mutant: another seed is caught");
	nn_model_free(other);
	for (int i = 0; i < n; i++) {
		free(last[i]);
		if (r.best)
			k.release(r.best[i]);
	}
	free(r.best);
	nn_optim_free(r.optim);
	nn_optim_free(o);
	nn_checkpoint_close(c);
	nn_model_free(back);
	nn_model_free(m);
}

static int reads(const char *path, const struct nn_config *c, unsigned parts, struct err *e)
{
	struct nn_checkpoint *ck = NULL;
	struct nn_model *m = NULL;
	*e = (struct err){0};
	int rc = nn_checkpoint_open(&ck, path, e);
	if (!rc)
		rc = nn_checkpoint_model(ck, c, parts, &k, NULL, &m, e);
	nn_checkpoint_close(ck);
	nn_model_free(m);
	return rc;
}

static void test_parts(const char *path)
{
	struct err e;
	struct nn_config c = cfg;
	tap_ok(!reads(path, NULL, NN_PART_ENCODERS, &e), "the encoders alone");
	c.views = "2d";
	tap_ok(!reads(path, &c, NN_PART_ENCODERS | NN_PART_CODES, &e), "fewer views");
	c.gnn_width = 24;
	tap_ok(reads(path, &c, NN_PART_ENCODERS, &e) == ERR_SCHEMA && strstr(e.msg, "shape"), "another width");
	c = cfg;
	c.gnn_layers = 4;
	tap_ok(reads(path, &c, NN_PART_ENCODERS, &e) == ERR_SCHEMA && strstr(e.msg, "no tensor"), "another depth");
}

static void test_damage(const char *path, const char *cut, struct arena *a)
{
	struct err e;
	FILE *f = fopen(path, "rb"), *g;
	static uint8_t bytes[1 << 22];
	size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
	bool good = n > 1000;
	if (f)
		fclose(f);
	for (int i = 0; i < 40 && good; i++) {
		size_t to = n * (size_t)i / 40;
		g = fopen(cut, "wb");
		good = g && fwrite(bytes, 1, to, g) == to && !fclose(g) && reads(cut, NULL, 15, &e) < 0;
	}
	tap_ok(good, "cut anywhere: refused");
	struct nn_model *m = model_new(1);
	struct ts_header h;
	header_new(&h, a);
	struct nn_saving s = {.model = m, .header = &h, .complete = false};
	struct nn_checkpoint *c = NULL;
	e = (struct err){0};
	tap_ok(!nn_checkpoint_save(&s, cut, &e) && !nn_checkpoint_open(&c, cut, &e) && !nn_checkpoint_is_complete(c),
	       "a run that was stopped says so");
	nn_checkpoint_close(c);
	nn_params_at(m->ps, 3)->value[1] = NAN;
	tap_ok(nn_checkpoint_save(&s, cut, &e) == ERR_NUMERIC, "NaN is not written");
	tap_ok(!reads(cut, NULL, 15, &e), "and the file that was there stays");
	nn_model_free(m);
}

int main(void)
{
	struct err e = {0};
	struct arena *a = arena_new(0);
	char path[] = "/tmp/checkpoint.XXXXXX", cut[] = "/tmp/checkpoint.XXXXXX";
	int fd = mkstemp(path), fd_cut = mkstemp(cut);
	if (fd < 0 || fd_cut < 0 || kernels_cpu(&k, NULL, &e)) {
		printf("Bail out! no file or no arithmetic\n");
		return 1;
	}
	nn_config_preset(&cfg, NN_PRESET_TINY);
	cfg.gnn_width = 16;
	cfg.geom_width = 16;
	cfg.cnn_width = 4;
	test_round_trip(path, a);
	test_parts(path);
	test_damage(path, cut, a);
	close(fd);
	close(fd_cut);
	unlink(path);
	unlink(cut);
	kernels_cpu_free(&k);
	arena_free(a);
	return tap_done();
}
