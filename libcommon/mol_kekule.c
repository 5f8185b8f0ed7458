/*
 * mol_kekule.c - aromatic bonds as written -> single and double ones.
 *
 * Atoms that lack a bond must be paired off by double bonds: a perfect matching. A first pass walks the ring
 * systems breadth first, as RDKit does, so that the same structure is chosen where several are possible; what it
 * leaves unpaired is mended along augmenting paths (Edmonds, with blossoms), which finds a matching whenever one
 * exists.
 */
#include "mol_work.h"

#include <string.h>

enum role { ROLE_NONE, ROLE_MUST, ROLE_MAY };

struct match {
	struct work *w;
	uint8_t *role;
	int32_t *mate;                         /* bond, -1: none */
	int32_t *base, *parent, *queue, *mark; /* of the search for augmenting paths */
	int32_t *touched, n_touched;
};

static bool is_option(const struct match *m, const struct work_bond *b)
{
	if (!m->role[b->a] || !m->role[b->b] || !b->in_ring || b->gone)
		return false;
	bool dummy = !m->w->atom[b->a].z || !m->w->atom[b->b].z;
	return b->aromatic || (dummy && b->type == WORK_SINGLE && b->implied);
}

/* Can atom i take a double bond? RDKit's arithmetic on its default valence. */
static enum role role_of(const struct work *w, int32_t i)
{
	const struct work_atom *a = &w->atom[i];
	if (!a->z)
		return ROLE_MAY;
	if (!a->aromatic)
		return ROLE_NONE;
	int sum = work_n_h(w, i), n_idle = 0; /* bonds that take none of its valence: dative ones it gives */
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++) {
		const struct work_bond *b = &w->bond[w->adj[k]];
		sum += b->aromatic ? 1 : work_twice_order(b, i) / 2;
		n_idle += !b->aromatic && !work_twice_order(b, i);
	}
	const int8_t *v = mol_element_valences(a->z);
	int charge = a->charge, k = 1;
	if (mol_element_is_early(a->z) || (a->z == 6 && charge > 0))
		charge = -charge;
	int valence = v[0] + charge, total = a->explicit_valence + a->implicit_h;
	while (total > valence && v[k] > 0)
		valence = v[k++] + charge;
	if (work_degree(w, i) - n_idle + work_n_h(w, i) + a->n_radical >= valence)
		return ROLE_NONE;
	if (valence == sum + 1 + a->n_radical || (!a->n_radical && a->no_implicit && valence == sum + 2))
		return ROLE_MUST;
	return ROLE_NONE;
}

static void pair_off(struct match *m, int32_t k)
{
	m->mate[m->w->bond[k].a] = k;
	m->mate[m->w->bond[k].b] = k;
}

static void match_greedily(struct match *m)
{
	struct work *w = m->w;
	bool *seen = arena_calloc(w->arena, (size_t)w->n_atom + 1, 1);
	for (int32_t s = 0; s < w->ring_start[w->n_ring]; s++) {
		int32_t head = 0, tail = 0;
		if (seen[w->ring_atom[s]])
			continue;
		seen[w->ring_atom[s]] = true;
		m->queue[tail++] = w->ring_atom[s];
		while (head < tail) {
			int32_t i = m->queue[head++], choice = -1;
			for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++) {
				const struct work_bond *b = &w->bond[w->adj[k]];
				int32_t j = work_other_end(b, i);
				if (!b->in_ring)
					continue;
				if (!seen[j]) {
					seen[j] = true;
					m->queue[tail++] = j;
				}
				if (choice < 0 && m->mate[i] < 0 && m->mate[j] < 0 && m->role[i] == ROLE_MUST &&
				    m->role[j] == ROLE_MUST && is_option(m, b))
					choice = w->adj[k];
			}
			if (choice >= 0)
				pair_off(m, choice);
		}
	}
}

static int32_t mate_atom(const struct match *m, int32_t i)
{
	return m->mate[i] < 0 ? -1 : work_other_end(&m->w->bond[m->mate[i]], i);
}

static int32_t common_base(struct match *m, int32_t a, int32_t b, int32_t stamp)
{
	for (;;) {
		a = m->base[a];
		m->mark[a] = stamp;
		if (mate_atom(m, a) < 0 || m->parent[mate_atom(m, a)] < 0)
			break;
		a = m->parent[mate_atom(m, a)];
	}
	for (;;) {
		b = m->base[b];
		if (m->mark[b] == stamp)
			return b;
		b = m->parent[mate_atom(m, b)];
	}
}

static void touch(struct match *m, int32_t i)
{
	m->touched[m->n_touched++] = i;
}

/* Contracts one side of a blossom. in_queue: even atoms. */
static void contract(struct match *m, int32_t v, int32_t base, int32_t child, uint8_t *blossom)
{
	while (m->base[v] != base) {
		blossom[m->base[v]] = blossom[m->base[mate_atom(m, v)]] = 1;
		m->parent[v] = child;
		child = mate_atom(m, v);
		v = m->parent[mate_atom(m, v)];
	}
}

/* A path that frees `root` from being unpaired; its end, or -1. */
static int32_t find_path(struct match *m, int32_t root, uint8_t *even, uint8_t *known, uint8_t *blossom, int32_t *stamp)
{
	struct work *w = m->w;
	int32_t head = 0, tail = 0;
	m->n_touched = 0;
	m->queue[tail++] = root;
	even[root] = known[root] = 1;
	touch(m, root);
	while (head < tail) {
		int32_t v = m->queue[head++];
		for (int32_t k = w->adj_start[v]; k < w->adj_start[v + 1]; k++) {
			const struct work_bond *b = &w->bond[w->adj[k]];
			int32_t to = work_other_end(b, v);
			if (!is_option(m, b) || m->base[v] == m->base[to] || mate_atom(m, v) == to)
				continue;
			if (to == root || (mate_atom(m, to) >= 0 && m->parent[mate_atom(m, to)] >= 0)) {
				int32_t base = common_base(m, v, to, ++*stamp);
				for (int32_t t = 0; t < m->n_touched; t++)
					blossom[m->touched[t]] = 0;
				contract(m, v, base, to, blossom);
				contract(m, to, base, v, blossom);
				for (int32_t t = 0; t < m->n_touched; t++) {
					int32_t i = m->touched[t];
					if (!blossom[m->base[i]])
						continue;
					m->base[i] = base;
					if (!even[i]) {
						even[i] = 1;
						m->queue[tail++] = i;
					}
				}
			} else if (m->parent[to] < 0) {
				m->parent[to] = v;
				if (!known[to]) {
					known[to] = 1;
					touch(m, to);
				}
				int32_t next = mate_atom(m, to);
				if (next < 0)
					return to;
				if (!known[next]) {
					known[next] = 1;
					touch(m, next);
				}
				even[next] = 1;
				m->queue[tail++] = next;
			}
		}
	}
	return -1;
}

static int32_t bond_between(const struct work *w, int32_t i, int32_t j)
{
	for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
		if (work_other_end(&w->bond[w->adj[k]], i) == j)
			return w->adj[k];
	return -1;
}

/* Pairs `root` off by an augmenting path; false when no matching has it. */
static bool augment(struct match *m, int32_t root, uint8_t *even, uint8_t *known, uint8_t *blossom, int32_t *stamp)
{
	int32_t end = find_path(m, root, even, known, blossom, stamp);
	for (int32_t v = end; v >= 0;) {
		int32_t before = m->parent[v], next = mate_atom(m, before);
		pair_off(m, bond_between(m->w, v, before));
		v = next;
	}
	for (int32_t t = 0; t < m->n_touched; t++) {
		int32_t i = m->touched[t];
		m->base[i] = i;
		m->parent[i] = -1;
		even[i] = known[i] = blossom[i] = 0;
	}
	return end >= 0;
}

static int match_rest(struct match *m)
{
	struct work *w = m->w;
	size_t n = (size_t)w->n_atom + 1;
	uint8_t *flags = NULL;
	int32_t stamp = 0;
	for (int32_t i = 0; i < w->n_atom; i++) {
		if (m->role[i] != ROLE_MUST || m->mate[i] >= 0)
			continue;
		if (!flags) {
			flags = arena_calloc(w->arena, 3 * n, 1);
			m->base = arena_alloc(w->arena, sizeof *m->base * n);
			m->parent = arena_alloc(w->arena, sizeof *m->parent * n);
			m->mark = arena_calloc(w->arena, n, sizeof *m->mark);
			m->touched = arena_alloc(w->arena, sizeof *m->touched * n);
			for (int32_t j = 0; j < w->n_atom; j++) {
				m->base[j] = j;
				m->parent[j] = -1;
			}
		}
		if (!augment(m, i, flags, flags + n, flags + 2 * n, &stamp))
			return work_refuse(w, "aromaticity", w->atom[i].column,
					   "no Kekule structure: atom %d (%s) finds no partner for a double bond",
					   (int)i + 1, mol_element_symbol(w->atom[i].z));
	}
	return 0;
}

static int check_rings(struct work *w)
{
	for (int32_t i = 0; i < w->n_atom; i++) {
		if (w->atom[i].gone || !w->atom[i].aromatic)
			continue;
		bool in_ring = false;
		for (int32_t k = w->adj_start[i]; k < w->adj_start[i + 1]; k++)
			in_ring |= w->bond[w->adj[k]].in_ring;
		if (!in_ring)
			return work_refuse(w, "aromaticity", w->atom[i].column,
					   "atom %d is written as aromatic and lies in no ring", (int)i + 1);
	}
	for (int32_t k = 0; k < w->n_bond; k++) {
		const struct work_bond *b = &w->bond[k];
		if (b->gone || b->type != WORK_AROMATIC || !b->in_ring)
			continue;
		for (int end = 0; end < 2; end++) {
			int32_t i = end ? b->b : b->a;
			if (!w->atom[i].aromatic && w->atom[i].z)
				return work_refuse(w, "aromaticity", w->atom[i].column,
						   "an aromatic bond at atom %d, which is not aromatic", (int)i + 1);
		}
	}
	return 0;
}

int work_kekulise(struct work *w)
{
	size_t n = (size_t)w->n_atom + 1;
	bool any = false;
	for (int32_t i = 0; i < w->n_atom && !any; i++)
		any = w->atom[i].aromatic && !w->atom[i].gone;
	for (int32_t k = 0; k < w->n_bond && !any; k++)
		any = w->bond[k].aromatic && !w->bond[k].gone;
	if (!any)
		return 0;
	int e = check_rings(w);
	if (e)
		return e;
	struct match m = {.w = w};
	m.role = arena_calloc(w->arena, n, 1);
	m.mate = arena_alloc(w->arena, sizeof *m.mate * n);
	m.queue = arena_alloc(w->arena, sizeof *m.queue * n);
	for (int32_t i = 0; i < w->n_atom; i++) {
		m.mate[i] = -1;
		if (!w->atom[i].gone)
			m.role[i] = (uint8_t)role_of(w, i);
	}
	match_greedily(&m);
	if ((e = match_rest(&m)))
		return e;
	for (int32_t k = 0; k < w->n_bond; k++) {
		struct work_bond *b = &w->bond[k];
		if (b->gone)
			continue;
		if (m.mate[b->a] == k)
			b->type = WORK_DOUBLE;
		else if (b->type == WORK_AROMATIC)
			b->type = WORK_SINGLE;
		b->aromatic = false;
	}
	for (int32_t i = 0; i < w->n_atom; i++)
		w->atom[i].aromatic = false;
	return 0;
}
