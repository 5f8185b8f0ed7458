/* How bad a drawing of a ring system is, and springs that mend it. */
#include <string.h>

#include "mol_layout.h"

static bool segments_cross(struct vec a, struct vec b, struct vec c, struct vec d)
{
	struct vec u = vec_sub(b, a), v = vec_sub(d, c);
	double s = vec_cross(u, vec_sub(c, a)), t = vec_cross(u, vec_sub(d, a));
	double p = vec_cross(v, vec_sub(a, c)), q = vec_cross(v, vec_sub(b, c));
	return s * t < -1e-9 && p * q < -1e-9;
}

/* Bonds of the system into arena memory. */
static int32_t bonds_gather(const struct lay *l, const int32_t *atoms, int32_t n, const struct lay_bond ***out)
{
	int32_t n_bond = 0;
	size_t cap = 1;
	for (int32_t i = 0; i < n; i++)
		cap += (size_t)lay_degree(l, atoms[i]);
	*out = arena_alloc(l->arena, cap * sizeof **out);
	for (int32_t i = 0; i < n; i++)
		for (int32_t j = l->start[atoms[i]]; j < l->start[atoms[i] + 1]; j++)
			if (l->nbr[j] > atoms[i] && l->bond[l->nbr_bond[j]].ring)
				(*out)[n_bond++] = &l->bond[l->nbr_bond[j]];
	return n_bond;
}

double lay_badness(const struct lay *l, const int32_t *atoms, int32_t n, const struct vec *pos)
{
	const struct lay_bond **bond;
	int32_t n_bond = bonds_gather(l, atoms, n, &bond);
	double bad = 0;
	for (int32_t i = 0; i < n_bond; i++) {
		struct vec a = pos[bond[i]->a], b = pos[bond[i]->b];
		double off = fabs(sqrt(vec_dist2(a, b)) - 1);
		bad += off > 0.25 ? 2 + 4 * off : off > 0.05 ? off : 0;
		for (int32_t j = i + 1; j < n_bond; j++)
			bad += 3 * segments_cross(a, b, pos[bond[j]->a], pos[bond[j]->b]);
	}
	for (int32_t i = 0; i < n; i++)
		for (int32_t j = 0; j < i; j++) {
			double d2 = vec_dist2(pos[atoms[i]], pos[atoms[j]]);
			if (d2 < 0.49)
				bad += 8 * (0.7 - sqrt(d2)) + (d2 < 0.1 ? 4 : 0);
		}
	/* A corner of a small ring that cannot be seen. */
	int32_t system = l->system[atoms[0]];
	for (int32_t r = l->sys_ring_start[system]; r < l->sys_ring_start[system + 1]; r++) {
		const int32_t *ring = l->ring_atom + l->ring_start[l->sys_ring[r]];
		int32_t size = l->ring_start[l->sys_ring[r] + 1] - l->ring_start[l->sys_ring[r]];
		for (int32_t i = 0; i < size && size <= 8; i++) {
			struct vec at = pos[ring[i]], u = vec_sub(pos[ring[(i + 1) % size]], at);
			struct vec v = vec_sub(pos[ring[(i + size - 1) % size]], at);
			bad += vec_dot(u, v) < -0.97 * sqrt(vec_dot(u, u) * vec_dot(v, v)) ? 0.6 : 0;
		}
	}
	/* A double bond that shows the other side. */
	for (int32_t c = 0; c < l->n_cistrans; c++) {
		const struct mol_cistrans *s = &l->cistrans[c];
		int32_t a = s->atom[0], b = s->atom[1];
		if (l->system[a] != system || l->system[b] != system || l->system[s->nbr[0]] != system ||
		    l->system[s->nbr[1]] != system)
			continue;
		struct vec u = vec_sub(pos[b], pos[a]);
		double first = vec_cross(u, vec_sub(pos[s->nbr[0]], pos[a]));
		double second = vec_cross(u, vec_sub(pos[s->nbr[1]], pos[a]));
		bad += (first * second > 0) == s->cis && fabs(first) > 0.15 && fabs(second) > 0.15 ? 0 : 8;
	}
	/* An atom on a bond that is not its own. */
	for (int32_t i = 0; i < n_bond; i++) {
		struct vec a = pos[bond[i]->a], u = vec_sub(pos[bond[i]->b], a);
		double len2 = vec_dot(u, u);
		for (int32_t j = 0; j < n && len2 > 0; j++) {
			struct vec w = vec_sub(pos[atoms[j]], a);
			double t = vec_dot(w, u) / len2, h = vec_cross(u, w);
			if (t > 0.02 && t < 0.98 && h * h < 0.0225 * len2 && atoms[j] != bond[i]->a &&
			    atoms[j] != bond[i]->b)
				bad += 2;
		}
	}
	return bad;
}

double lay_enclosure(const struct lay *l, const int32_t *atoms, int32_t n, const struct vec *pos)
{
	const struct lay_bond **bond;
	int32_t n_bond = bonds_gather(l, atoms, n, &bond);
	double bad = 0;
	for (int32_t i = 0; i < n; i++) {
		int32_t a = atoms[i];
		double worth = 0;
		struct vec sum = {0, 0};
		for (int32_t j = l->start[a]; j < l->start[a + 1]; j++) {
			if (l->bond[l->nbr_bond[j]].ring)
				sum = vec_sub(sum, vec_unit(vec_sub(pos[l->nbr[j]], pos[a])));
			else
				worth += lay_degree(l, l->nbr[j]) > 1 ? 1.5 : 0.3;
		}
		if (worth <= 0 || vec_dot(sum, sum) < 1e-6)
			continue;
		struct vec end = vec_add(pos[a], vec_scale(vec_unit(sum), 1.5));
		for (int32_t j = 0; j < n_bond; j++)
			if (bond[j]->a != a && bond[j]->b != a &&
			    segments_cross(pos[a], end, pos[bond[j]->a], pos[bond[j]->b])) {
				bad += worth;
				break;
			}
	}
	return bad;
}

struct spring {
	int32_t i, j;
	double length, weight;
};

/* Index of an atom among n ascending ones. */
static int32_t place_of(const int32_t *atoms, int32_t n, int32_t a)
{
	int32_t low = 0;
	for (int32_t high = n; high - low > 1;) {
		int32_t mid = low + (high - low) / 2;
		if (atoms[mid] <= a)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* Bonds of length 1, the widths of small rings, and room between all others. */
void lay_relax(const struct lay *l, int32_t system, struct vec *pos)
{
	struct arena *arena = l->arena;
	const int32_t *atoms = l->sys_atom + l->sys_start[system];
	int32_t n = l->sys_start[system + 1] - l->sys_start[system], n_spring = 0;
	uint8_t *near = arena_calloc(arena, (size_t)n * (size_t)n + 1, 1);
	struct spring *spring = arena_alloc(arena, ((size_t)n * (size_t)n + 1) * sizeof *spring);
	struct vec *x = arena_alloc(arena, ((size_t)n + 1) * sizeof *x),
		   *g = arena_alloc(arena, ((size_t)n + 1) * sizeof *g);
	const struct lay_bond **bond;
	int32_t n_bond = bonds_gather(l, atoms, n, &bond);
	/* Coinciding points part: a small push that differs from atom to atom. */
	for (int32_t i = 0; i < n; i++)
		x[i] = vec_add(pos[atoms[i]], vec_scale(plane_polar(2.399963 * i), 0.02));
	for (int32_t i = 0; i < n_bond; i++) {
		int32_t a = place_of(atoms, n, bond[i]->a), b = place_of(atoms, n, bond[i]->b);
		spring[n_spring++] = (struct spring){a, b, 1, 1};
		near[a * n + b] = near[b * n + a] = 1;
	}
	for (int32_t r = l->sys_ring_start[system]; r < l->sys_ring_start[system + 1]; r++) {
		const int32_t *ring = l->ring_atom + l->ring_start[l->sys_ring[r]];
		int32_t size = l->ring_start[l->sys_ring[r] + 1] - l->ring_start[l->sys_ring[r]];
		for (int32_t i = 0; i < size && size > 3; i++) {
			int32_t a = place_of(atoms, n, ring[i]), b = place_of(atoms, n, ring[(i + 2) % size]);
			if (near[a * n + b])
				continue;
			double width =
			    size > 8 ? 1.75 : plane_polar(2 * PLANE_PI / size).y / plane_polar(PLANE_PI / size).y;
			spring[n_spring++] = (struct spring){a, b, width, size > 8 ? 0.1 : 0.3};
			near[a * n + b] = near[b * n + a] = 1;
		}
	}
	for (int round = 0; round < 200; round++) {
		memset(g, 0, (size_t)n * sizeof *g);
		for (int32_t s = 0; s < n_spring; s++) {
			struct vec d = vec_sub(x[spring[s].j], x[spring[s].i]);
			double r = vec_norm(d);
			struct vec f = vec_scale(d, r > 1e-6 ? spring[s].weight * (1 - spring[s].length / r) : 0);
			g[spring[s].i] = vec_add(g[spring[s].i], f);
			g[spring[s].j] = vec_sub(g[spring[s].j], f);
		}
		double room = round < 140 ? 1.5 : 0.9;
		for (int32_t i = 0; i < n; i++)
			for (int32_t j = 0; j < i; j++) {
				struct vec d = vec_sub(x[j], x[i]);
				double r2 = vec_dot(d, d);
				if (r2 >= room * room || r2 < 1e-12 || near[i * n + j])
					continue;
				double r = sqrt(r2);
				struct vec f = vec_scale(d, 0.25 * (1 - room / r));
				g[i] = vec_add(g[i], f), g[j] = vec_sub(g[j], f);
			}
		for (int32_t i = 0; i < n; i++) {
			double size = vec_norm(g[i]);
			x[i] = vec_add(x[i], vec_scale(g[i], size > 0.8 ? 0.2 / size : 0.25));
		}
	}
	for (int32_t i = 0; i < n; i++)
		pos[atoms[i]] = x[i];
}
