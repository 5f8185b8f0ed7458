/*
 * mol_graph.c - the finished molecule: kept atoms renumbered, bonds sorted, neighbours, rings, fragments, stereo.
 */
#include "mol_work.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int bond_order(const void *pa, const void *pb)
{
	const struct mol_bond *a = pa, *b = pb;
	if (a->a != b->a)
		return a->a < b->a ? -1 : 1;
	return a->b < b->b ? -1 : a->b > b->b;
}

static void build_neighbours(struct mol *m, struct arena *arena)
{
	size_t n = (size_t)m->n_atom;
	m->adj_start = arena_calloc(arena, n + 2, sizeof *m->adj_start);
	m->adj_atom = arena_alloc(arena, sizeof *m->adj_atom * (size_t)(2 * m->n_bond + 1));
	m->adj_bond = arena_alloc(arena, sizeof *m->adj_bond * (size_t)(2 * m->n_bond + 1));
	for (int32_t k = 0; k < m->n_bond; k++) {
		m->adj_start[m->bond[k].a + 1]++;
		m->adj_start[m->bond[k].b + 1]++;
	}
	for (size_t i = 0; i < n; i++)
		m->adj_start[i + 1] += m->adj_start[i];
	int32_t *fill = arena_alloc(arena, sizeof *fill * (n + 1));
	memcpy(fill, m->adj_start, sizeof *fill * (n + 1));
	/* Lower neighbours first (bonds are sorted by their lower atom), then the higher ones: ascending both times. */
	for (int pass = 0; pass < 2; pass++)
		for (int32_t k = 0; k < m->n_bond; k++) {
			int32_t at = pass ? m->bond[k].a : m->bond[k].b, to = pass ? m->bond[k].b : m->bond[k].a;
			m->adj_atom[fill[at]] = to;
			m->adj_bond[fill[at]++] = k;
		}
}

static void find_fragments(struct mol *m, struct arena *arena)
{
	int32_t *queue = arena_alloc(arena, sizeof *queue * (size_t)(m->n_atom + 1));
	for (int32_t i = 0; i < m->n_atom; i++)
		m->atom[i].fragment = -1;
	for (int32_t s = 0; s < m->n_atom; s++) {
		int32_t head = 0, tail = 0;
		if (m->atom[s].fragment >= 0)
			continue;
		m->atom[s].fragment = m->n_fragment;
		queue[tail++] = s;
		while (head < tail) {
			int32_t i = queue[head++];
			for (int32_t k = m->adj_start[i]; k < m->adj_start[i + 1]; k++) {
				int32_t j = m->adj_atom[k];
				if (m->atom[j].fragment < 0) {
					m->atom[j].fragment = m->n_fragment;
					queue[tail++] = j;
				}
			}
		}
		m->n_fragment++;
	}
}

static void copy_stereo(const struct work *w, struct mol *m, const int32_t *place, const int32_t *bond_place)
{
	for (int32_t i = 0; i < w->n_atom; i++) {
		const struct work_atom *a = &w->atom[i];
		int32_t degree = work_degree(w, i);
		if (a->gone || (a->tag != MOL_CHI_CW && a->tag != MOL_CHI_CCW) || degree < 3 || degree > 4)
			continue;
		struct mol_center *c = &m->center[m->n_center++];
		c->atom = place[i];
		c->nbr[3] = -1;
		for (int32_t k = 0; k < degree; k++)
			c->nbr[k] = place[work_other_end(&w->bond[w->adj[w->adj_start[i] + k]], i)];
		if (a->tag == MOL_CHI_CW) {
			int32_t t = c->nbr[1];
			c->nbr[1] = c->nbr[2];
			c->nbr[2] = t;
		}
	}
	for (int32_t k = 0; k < w->n_bond; k++) {
		const struct work_bond *b = &w->bond[k];
		if (b->gone || !b->stereo)
			continue;
		struct mol_cistrans *c = &m->cistrans[m->n_cistrans++];
		*c = (struct mol_cistrans){
		    bond_place[k], {place[b->a], place[b->b]}, {place[b->side[0]], place[b->side[1]]}, b->cis};
	}
}

struct mol *work_to_mol(const struct work *w, const char *smiles)
{
	struct arena *arena = w->arena;
	struct mol *m = arena_calloc(arena, 1, sizeof *m);
	size_t n = (size_t)w->n_atom + 1, nb = (size_t)w->n_bond + 1;
	int32_t *place = arena_alloc(arena, sizeof *place * n), *bond_place = arena_alloc(arena, sizeof *place * nb);
	m->atom = arena_calloc(arena, n, sizeof *m->atom);
	m->bond = arena_calloc(arena, nb, sizeof *m->bond);
	m->center = arena_alloc(arena, sizeof *m->center * n);
	m->cistrans = arena_alloc(arena, sizeof *m->cistrans * nb);
	for (int32_t i = 0; i < w->n_atom; i++) {
		const struct work_atom *a = &w->atom[i];
		place[i] = -1;
		if (a->gone)
			continue;
		place[i] = m->n_atom;
		m->atom[m->n_atom++] = (struct mol_atom){.z = a->z,
							 .charge = (int8_t)a->charge,
							 .isotope = a->isotope,
							 .n_h = (uint8_t)work_n_h(w, i),
							 .n_radical = (uint8_t)a->n_radical,
							 .chirality = a->tag,
							 .hybrid = a->hybrid,
							 .aromatic = a->aromatic,
							 .degree = work_degree(w, i),
							 .source = a->source};
	}
	int32_t *from = arena_alloc(arena, sizeof *from * nb);
	for (int32_t k = 0; k < w->n_bond; k++) {
		const struct work_bond *b = &w->bond[k];
		if (b->gone)
			continue;
		int32_t x = place[b->a], y = place[b->b];
		bool flip = x > y;
		struct mol_bond *o = &m->bond[m->n_bond];
		*o = (struct mol_bond){.a = flip ? y : x,
				       .b = flip ? x : y,
				       .order = b->type == WORK_DATIVE ? 0 : b->type,
				       .aromatic = b->aromatic,
				       .in_ring = b->in_ring,
				       .conjugated = b->conjugated,
				       .stereo = b->stereo,
				       .direction = b->direction};
		m->atom[x].in_ring |= b->in_ring;
		m->atom[y].in_ring |= b->in_ring;
		from[m->n_bond++] = k;
	}
	qsort(m->bond, (size_t)m->n_bond, sizeof *m->bond, bond_order);
	build_neighbours(m, arena);
	for (int32_t q = 0; q < m->n_bond; q++) {
		int32_t x = place[w->bond[from[q]].a], y = place[w->bond[from[q]].b];
		if (m->atom[x].degree > m->atom[y].degree) {
			int32_t t = x;
			x = y;
			y = t;
		}
		for (int32_t p = m->adj_start[x]; p < m->adj_start[x + 1]; p++)
			if (m->adj_atom[p] == y)
				bond_place[from[q]] = m->adj_bond[p];
	}
	find_fragments(m, arena);
	m->n_ring = w->n_ring;
	m->ring_start = w->ring_start;
	int32_t n_in_rings = w->n_ring ? w->ring_start[w->n_ring] : 0;
	m->ring_atom = arena_alloc(arena, sizeof *m->ring_atom * (size_t)(n_in_rings + 1));
	for (int32_t p = 0; p < n_in_rings; p++)
		m->ring_atom[p] = place[w->ring_atom[p]];
	copy_stereo(w, m, place, bond_place);
	m->smiles = smiles;
	return m;
}

int mol_parse_smiles(const char *smiles, const struct mol_parse_opts *o, struct arena *a, struct mol **out,
		     struct mol_reject *why, struct err *e)
{
	struct work w = {.arena = a, .why = why, .text = smiles};
	size_t n = 0;
	*out = NULL;
	while (*smiles == ' ' || *smiles == '\t')
		smiles++;
	while (smiles[n] && !isspace((unsigned char)smiles[n]))
		n++;
	const char *text = n > MOL_MAX_SMILES_NBYTES ? "" : arena_strndup(a, smiles, n);
	int code = work_read_smiles(&w, text, n);
	if (!code)
		code = work_perceive(&w);
	if (code == ERR_CHEM && o->lenient && n && n <= MOL_MAX_SMILES_NBYTES) {
		struct work again = {.arena = a, .why = why, .text = text, .lenient = true};
		return work_parse_babel(&again, 0, text, n, out, e);
	}
	if (code)
		return err_set(e, code, "%s", why ? why->msg : "not a molecule");
	*out = work_to_mol(&w, text);
	return 0;
}
