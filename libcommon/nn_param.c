/* nn_param.c - the named parameters of a model and their starting values. */
#include "nn.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4 << 20 }; /* from there on an array of the CPU lies on huge pages */
struct nn_params {
	const struct kernels *k;
	char **block; /* back-end memory */
	int n_block;
	size_t left; /* of the last block */
	int n, cap;
	struct nn_param **item;
	uint64_t *hash; /* of the names: looked through before any string is compared */
};

struct nn_params *nn_params_new(const struct kernels *k)
{
	struct nn_params *ps = calloc(1, sizeof *ps);
	if (!ps)
		abort();
	ps->k = k;
	return ps;
}

void nn_params_free(struct nn_params *ps)
{
	if (!ps)
		return;
	for (int i = 0; i < ps->n; i++) {
		free((char *)(uintptr_t)ps->item[i]->name);
		free(ps->item[i]);
	}
	for (int i = 0; i < ps->n_block; i++)
		ps->k->release(ps->block[i]);
	free(ps->block);
	free(ps->item);
	free(ps->hash);
	free(ps);
}

const struct kernels *nn_params_kernels(const struct nn_params *ps)
{
	return ps->k;
}

int nn_params_count(const struct nn_params *ps)
{
	return ps->n;
}

struct nn_param *nn_params_at(const struct nn_params *ps, int i)
{
	return ps->item[i];
}

struct nn_param *nn_params_find(const struct nn_params *ps, const char *name)
{
	uint64_t hash = rng_hash(name, strlen(name));
	for (int i = 0; i < ps->n; i++)
		if (ps->hash[i] == hash && !strcmp(ps->item[i]->name, name))
			return ps->item[i];
	return NULL;
}

static void add_block(struct nn_params *ps, size_t nbytes)
{
	ps->block = realloc(ps->block, (size_t)(ps->n_block + 1) * sizeof *ps->block);
	if (!ps->block || !(ps->block[ps->n_block++] = ps->k->alloc(nbytes)))
		abort();
	ps->left = nbytes;
}

static real *new_zeros(struct nn_params *ps, int64_t n)
{
	size_t need = ((size_t)n * sizeof(real) + 64) / 64 * 64;
	if (ps->left < need)
		add_block(ps, need > BLOCK ? need : BLOCK);
	ps->left -= need; /* from its end on */
	real *x = (void *)(ps->block[ps->n_block - 1] + ps->left);
	ps->k->fill(ps->k, x, n, 0);
	return x;
}

struct nn_param *nn_params_add(struct nn_params *ps, const char *name, bool is_state, int n_dim, const int64_t *shape)
{
	struct nn_param *p = calloc(1, sizeof *p);
	if (ps->n == ps->cap) {
		ps->cap = ps->cap ? 2 * ps->cap : 64;
		ps->item = realloc(ps->item, (size_t)ps->cap * sizeof *ps->item);
		ps->hash = realloc(ps->hash, (size_t)ps->cap * sizeof *ps->hash);
	}
	if (!p || !ps->item || !ps->hash || nn_params_find(ps, name))
		abort();
	p->name = strdup(name);
	p->n_dim = n_dim;
	p->n = 1;
	for (int i = 0; i < n_dim; i++) {
		p->shape[i] = shape[i];
		p->n *= shape[i];
	}
	p->is_state = is_state;
	p->value = new_zeros(ps, p->n);
	if (!is_state)
		p->grad = new_zeros(ps, p->n);
	ps->item[ps->n] = p;
	ps->hash[ps->n++] = rng_hash(name, strlen(name));
	return p;
}

void nn_params_zero_grad(struct nn_params *ps)
{
	for (int i = 0; i < ps->n; i++)
		ps->item[i]->unset = ps->item[i]->grad != NULL;
}

void nn_params_settle_grad(struct nn_params *ps)
{
	for (int i = 0; i < ps->n; i++) {
		struct nn_param *p = ps->item[i];
		if (p->unset)
			ps->k->fill(ps->k, p->grad, p->n, 0);
		p->unset = false;
	}
}

static void init_draw(struct nn_params *ps, struct nn_param *p, uint64_t seed, double shift, double scale, bool normal)
{
	struct rng r;
	real *x = malloc((size_t)(p->n > 0 ? p->n : 1) * sizeof *x);
	if (!x)
		abort();
	rng_init(&r, seed, rng_hash(p->name, strlen(p->name)));
	for (int64_t i = 0; i < p->n; i++)
		x[i] = (real)(shift + scale * (normal ? rng_normal(&r) : 2 * rng_uniform(&r) - 1));
	ps->k->upload(p->value, x, (size_t)p->n * sizeof *x);
	free(x);
}

void nn_init_normal(struct nn_params *ps, struct nn_param *p, uint64_t seed, double mean, double sd)
{
	init_draw(ps, p, seed, mean, sd, true);
}

void nn_init_uniform(struct nn_params *ps, struct nn_param *p, uint64_t seed, double bound)
{
	init_draw(ps, p, seed, 0, bound, false);
}

void nn_init_constant(struct nn_params *ps, struct nn_param *p, double value)
{
	ps->k->fill(ps->k, p->value, p->n, (real)value);
}
