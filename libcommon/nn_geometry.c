/* nn_geometry.c - encoders of conformers: what ComENet and SchNet share. */
#include "nn_layer.h"

struct nn_elements nn_embed_elements(struct nn_tape *t, struct nn_params *ps, const char *name,
				     const struct nn_points *p)
{
	struct nn_param *table = nn_params_find(ps, name);
	struct arena *a = nn_tape_arena(t);
	int64_t n = table->shape[0], n_row = 0, *z = arena_alloc(a, (size_t)(2 * p->n_atom + n + 1) * sizeof *z);
	int64_t *of = z + p->n_atom, *row = of + p->n_atom;
	for (int64_t i = 0; i < p->n_atom; i++) /* an element beyond the table is its last */
		z[i] = p->z[i] < 0 ? 0 : p->z[i] < n ? p->z[i] : n - 1;
	if (nn_tape_kernels(t)->plain)
		return (struct nn_elements){.n_atom = p->n_atom, .x = nn_embedding_sum(t, 1, &table, z, p->n_atom)};
	for (int64_t v = 0; v < n; v++)
		row[v] = -1;
	for (int64_t i = 0; i < p->n_atom; i++)
		row[z[i]] = 0;
	for (int64_t i = 0; i < p->n_atom; i++)
		of[i] = z[i];
	for (int64_t v = 0; v < n; v++)
		if (!row[v]) {
			z[n_row] = v;
			row[v] = n_row++;
		}
	for (int64_t i = 0; i < p->n_atom; i++)
		of[i] = row[of[i]];
	return (struct nn_elements){.n_atom = p->n_atom, .of = of, .x = nn_embedding_sum(t, 1, &table, z, n_row)};
}

struct nn_var *nn_elements_spread(struct nn_tape *t, const struct nn_elements *e, struct nn_var *x)
{
	return e->of ? nn_gather(t, x, e->of, e->n_atom) : x;
}

void nn_geom_build(struct nn_params *ps, const char *prefix, const struct nn_geom_config *c, uint64_t seed)
{
	if (c->schnet)
		nn_schnet_build(ps, prefix, c, seed);
	else
		nn_comenet_build(ps, prefix, c, seed);
}

void nn_geom_prepare(struct arena *a, const struct nn_geom_config *c, struct nn_points *p)
{
	if (c->schnet)
		return;
	struct nn_comenet_features *f = arena_alloc(a, sizeof *f);
	*f = nn_comenet_features_of(a, p, c->cutoff_ang, false);
	p->features = f;
}

struct nn_var *nn_geom(struct nn_tape *t, struct nn_params *ps, const char *prefix, const struct nn_geom_config *c,
		       const struct nn_points *p)
{
	return c->schnet ? nn_schnet(t, ps, prefix, c->n_block, c->cutoff_ang, c->n_gaussian, p, NULL, false)
			 : nn_comenet(t, ps, prefix, c->n_block, c->cutoff_ang, p);
}
