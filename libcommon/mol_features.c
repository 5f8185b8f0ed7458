/*
 * mol_features.c - a molecule's graph as tensors of categories, in two published conventions.
 *
 * ogb: Open Graph Benchmark (Hu et al., NeurIPS 2020), 9 numbers an atom and 3 a bond. hu: Hu et al., ICLR 2020
 * (strategies for pre-training), 2 and 2. A value beyond its table is the table's last.
 */
#include "mol.h"

#include <string.h>

static const int ogb_atom_sizes[] = {119, 5, 12, 12, 10, 6, 6, 2, 2}, ogb_bond_sizes[] = {5, 6, 2};
static const int hu_atom_sizes[] = {119, 4}, hu_bond_sizes[] = {4, 3};

static const struct {
	int n_atom, n_bond;
	const int *atom_sizes, *bond_sizes;
} sets[] = {
    [MOL_FEATURES_OGB] = {9, 3, ogb_atom_sizes, ogb_bond_sizes},
    [MOL_FEATURES_HU] = {2, 2, hu_atom_sizes, hu_bond_sizes},
};

/* v, or the last of the table when it lies outside. */
static int64_t clamp(int64_t v, int size)
{
	return v < 0 || v >= size ? size - 1 : v;
}

static int hybrid_index(int hybrid)
{
	return hybrid >= MOL_SP && hybrid <= MOL_SP3D2 ? hybrid - MOL_SP : 5;
}

static void fill_atom(const struct mol_atom *a, enum mol_feature_set set, int64_t *x)
{
	int64_t v[9] = {a->z - 1, a->chirality};
	if (set == MOL_FEATURES_OGB) {
		/* Square-planar and higher tags are none of OGB's four. */
		int64_t all[9] = {a->z - 1,
				  a->chirality == MOL_CHI_OTHER ? 4 : a->chirality,
				  a->degree + a->n_h,
				  a->charge + 5,
				  a->n_h,
				  a->n_radical,
				  hybrid_index(a->hybrid),
				  a->aromatic,
				  a->in_ring};
		memcpy(v, all, sizeof v);
	}
	for (int k = 0; k < sets[set].n_atom; k++)
		x[k] = clamp(v[k], sets[set].atom_sizes[k]);
}

static void fill_bond(const struct mol_bond *b, enum mol_feature_set set, int64_t *x)
{
	int64_t type = b->aromatic ? 3 : b->order >= 1 && b->order <= 3 ? b->order - 1 : 4;
	int64_t v[3] = {type, b->direction, 0};
	if (set == MOL_FEATURES_OGB) {
		v[1] = b->stereo == MOL_STEREO_ANY ? 5 : b->stereo;
		v[2] = b->conjugated;
	}
	for (int k = 0; k < sets[set].n_bond; k++)
		x[k] = clamp(v[k], sets[set].bond_sizes[k]);
}

void mol_features_fill(const struct mol *m, enum mol_feature_set set, struct arena *a, struct mol_features *out)
{
	int na = sets[set].n_atom, nb = sets[set].n_bond;
	int64_t n_edge = 2 * (int64_t)m->n_bond, k = 0;
	out->n_atom = m->n_atom;
	out->n_edge = n_edge;
	out->n_x = na;
	out->n_attr = nb;
	out->x = arena_alloc(a, sizeof *out->x * (size_t)(m->n_atom * na + 1));
	out->edge_index = arena_alloc(a, sizeof *out->edge_index * (size_t)(2 * n_edge + 1));
	out->edge_attr = arena_alloc(a, sizeof *out->edge_attr * (size_t)(n_edge * nb + 1));
	out->z = arena_alloc(a, sizeof *out->z * (size_t)(m->n_atom + 1));
	for (int32_t i = 0; i < m->n_atom; i++) {
		fill_atom(&m->atom[i], set, out->x + (size_t)i * (size_t)na);
		out->z[i] = m->atom[i].z;
		for (int32_t p = m->adj_start[i]; p < m->adj_start[i + 1]; p++, k++) {
			out->edge_index[k] = i;
			out->edge_index[n_edge + k] = m->adj_atom[p];
			fill_bond(&m->bond[m->adj_bond[p]], set, out->edge_attr + k * nb);
		}
	}
}
