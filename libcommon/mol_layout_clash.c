/*
 * Relief of clashes: parts of the drawing are mirrored in the bonds by which they hang, or turned a little about the
 * atom they hang on, as long as that makes the sum of the collisions smaller. The work is counted, not timed.
 */
#include "mol_layout.h"

#define NEAR 0.8 /* atoms closer than this collide */
#define MAX_WORK 1500000
#define MAX_ROUNDS 60
#define MAX_ATOMS 1200 /* larger fragments are left as they are */

static double atoms_penalty(struct vec p, struct vec q)
{
	double d2 = vec_dist2(p, q);
	if (d2 >= NEAR * NEAR)
		return 0;
	double d = sqrt(d2);
	return (NEAR - d) * (NEAR - d) * 3 + (d < 0.35 ? 1.5 : 0);
}
/* Crossing bonds, or an end of one nearly on the other. */
static double bonds_penalty(struct vec a, struct vec b, struct vec c, struct vec d)
{
	if ((a.x < b.x ? a.x : b.x) > (c.x > d.x ? c.x : d.x) + 0.25 ||
	    (c.x < d.x ? c.x : d.x) > (a.x > b.x ? a.x : b.x) + 0.25 ||
	    (a.y < b.y ? a.y : b.y) > (c.y > d.y ? c.y : d.y) + 0.25 ||
	    (c.y < d.y ? c.y : d.y) > (a.y > b.y ? a.y : b.y) + 0.25)
		return 0;
	struct vec u = vec_sub(b, a), v = vec_sub(d, c);
	double s = vec_cross(u, vec_sub(c, a)), t = vec_cross(u, vec_sub(d, a));
	double p = vec_cross(v, vec_sub(a, c)), q = vec_cross(v, vec_sub(b, c));
	if (s * t < 0 && p * q < 0)
		return 2;
	double bad = 0, uu = vec_dot(u, u), vv = vec_dot(v, v);
	struct vec end[4] = {vec_sub(c, a), vec_sub(d, a), vec_sub(a, c), vec_sub(b, c)};
	double h[4] = {s, t, p, q};
	for (int i = 0; i < 4; i++) {
		struct vec w = i < 2 ? u : v;
		double len2 = i < 2 ? uu : vv, along = vec_dot(end[i], w);
		if (along > 0 && along < len2 && h[i] * h[i] < 0.0625 * len2)
			bad += 1 - 2 * fabs(h[i]) / sqrt(len2);
	}
	return bad;
}

struct relief {
	struct lay *l;
	int32_t at, n;
	int32_t *place; /* [n_atom]: index in order[] */
	/* Bonds in the order of their later end: those that move with order[lo..hi) are bond[first[lo]..first[hi]). */
	struct lay_bond *bond;
	int32_t n_bond, *first; /* first: [n + 1], counted from `at` */
	struct vec *kept;
};

static bool is_bonded(const struct relief *r, int32_t a, int32_t b)
{
	return lay_bond_find(r->l, a, b) >= 0;
}

/* What order[lo..hi) and the bonds that move with it have to do with the rest of the fragment. */
static double part_penalty(struct relief *r, int32_t lo, int32_t hi)
{
	struct lay *l = r->l;
	double bad = 0;
	int32_t blo = r->first[lo - r->at], bhi = r->first[hi - r->at];
	for (int32_t i = lo; i < hi; i++) {
		struct vec p = l->pos[l->order[i]];
		for (int32_t j = lo > r->at ? r->at : hi; j < r->at + r->n; j = j + 1 == lo ? hi : j + 1) {
			struct vec q = l->pos[l->order[j]];
			if (fabs(p.x - q.x) < NEAR && fabs(p.y - q.y) < NEAR && !is_bonded(r, l->order[i], l->order[j]))
				bad += atoms_penalty(p, q);
		}
	}
	for (int32_t i = blo; i < bhi; i++) {
		struct lay_bond e = r->bond[i];
		for (int32_t j = blo ? 0 : bhi; j < r->n_bond; j = j + 1 == blo ? bhi : j + 1) {
			struct lay_bond f = r->bond[j];
			if (e.a != f.a && e.a != f.b && e.b != f.a && e.b != f.b)
				bad += bonds_penalty(l->pos[e.a], l->pos[e.b], l->pos[f.a], l->pos[f.b]);
		}
	}
	l->work += (int64_t)(hi - lo) * r->n + (int64_t)(bhi - blo) * r->n_bond;
	return bad;
}

/* The first collision at or after atom pair number `skip` of the fragment: 1 with an atom of each party, 0 none. */
static int clash_next(struct relief *r, int32_t skip, int32_t *a, int32_t *b)
{
	struct lay *l = r->l;
	l->work += (int64_t)r->n * r->n / 2 + (int64_t)r->n_bond * r->n_bond / 2;
	for (int32_t i = r->at; i < r->at + r->n; i++)
		for (int32_t j = r->at; j < i; j++) {
			struct vec p = l->pos[l->order[i]], q = l->pos[l->order[j]];
			if (fabs(p.x - q.x) >= NEAR - 0.1 || fabs(p.y - q.y) >= NEAR - 0.1 ||
			    vec_dist2(p, q) >= (NEAR - 0.1) * (NEAR - 0.1) || is_bonded(r, l->order[i], l->order[j]))
				continue;
			*a = l->order[i], *b = l->order[j];
			if (!skip--)
				return 1;
		}
	for (int32_t i = 0; i < r->n_bond; i++)
		for (int32_t j = 0; j < i; j++) {
			struct lay_bond e = r->bond[i], f = r->bond[j];
			if (e.a == f.a || e.a == f.b || e.b == f.a || e.b == f.b ||
			    bonds_penalty(l->pos[e.a], l->pos[e.b], l->pos[f.a], l->pos[f.b]) <= 0.2)
				continue;
			*a = e.a, *b = f.a;
			if (!skip--)
				return 1;
		}
	return 0;
}

static bool is_stereo_bond(const struct lay *l, int32_t a, int32_t b)
{
	for (int32_t i = 0; i < l->n_cistrans; i++) {
		const int32_t *s = l->cistrans[i].atom;
		if ((s[0] == a && s[1] == b) || (s[0] == b && s[1] == a))
			return true;
	}
	return false;
}
static bool is_stereo_end(const struct lay *l, int32_t a)
{
	for (int32_t i = 0; i < l->n_cistrans; i++)
		if (l->cistrans[i].atom[0] == a || l->cistrans[i].atom[1] == a)
			return true;
	return false;
}

/* Moves tried on the part behind a bond of the tree, mildest first. */
enum move_kind { MIRROR, TURN };
static const struct {
	enum move_kind kind;
	double degrees, cost; /* cost: what the drawing loses by it */
} moves[] = {
    {MIRROR, 0, 0},    {TURN, 15, 0.06}, {TURN, -15, 0.06}, {TURN, 30, 0.12},  {TURN, -30, 0.12},  {TURN, 45, 0.25},
    {TURN, -45, 0.25}, {TURN, 60, 0.3},  {TURN, -60, 0.3},  {TURN, 120, 0.05}, {TURN, -120, 0.05},
};

static bool move_apply(struct relief *r, int32_t c, size_t m)
{
	struct lay *l = r->l;
	int32_t p = l->parent[c];
	struct vec o = l->pos[p], turn = plane_polar(moves[m].degrees * (PLANE_PI / 180));
	struct vec axis = vec_unit(vec_sub(l->pos[c], o));
	if (moves[m].kind == MIRROR && is_stereo_bond(l, p, c))
		return false;
	if (moves[m].kind == TURN && fabs(moves[m].degrees) > 30 && is_stereo_end(l, p))
		return false;
	for (int32_t i = l->from[c]; i < l->to[c]; i++) {
		struct vec *x = &l->pos[l->order[i]];
		*x = moves[m].kind == MIRROR ? vec_mirror(*x, o, axis) : vec_add(o, vec_turn(vec_sub(*x, o), turn));
	}
	return true;
}

/* The best move of one bond on the way between the parties. True if something was won. */
static bool clash_mend(struct relief *r, int32_t a, int32_t b)
{
	struct lay *l = r->l;
	int32_t best_bond = -1;
	size_t best_move = 0;
	double best_gain = 0.05;
	/* Climb from the later of both to where the ways meet. */
	while (a != b && l->work < MAX_WORK) {
		int32_t *low = r->place[a] > r->place[b] ? &a : &b, c = *low;
		if (l->from[c] < 0 || l->parent[c] < 0) {
			/* Within a ring system: its first atom hangs on the rest. */
			int32_t first = c;
			for (int32_t i = r->place[c]; i >= r->at && l->system[l->order[i]] == l->system[c]; i--)
				if (l->parent[first = l->order[i]] >= 0)
					break;
			if (l->parent[first] < 0 || (l->system[a] == l->system[b] && l->system[a] >= 0))
				break;
			*low = c = first;
		}
		int32_t lo = l->from[c], hi = l->to[c];
		double before = part_penalty(r, lo, hi);
		for (int32_t i = lo; i < hi; i++)
			r->kept[i] = l->pos[l->order[i]];
		for (size_t m = 0; m < sizeof moves / sizeof *moves && before > best_gain; m++) {
			if (!move_apply(r, c, m))
				continue;
			double gain = before - part_penalty(r, lo, hi) - moves[m].cost;
			if (gain > best_gain + 1e-9)
				best_gain = gain, best_bond = c, best_move = m;
			for (int32_t i = lo; i < hi; i++)
				l->pos[l->order[i]] = r->kept[i];
		}
		*low = l->parent[c];
	}
	return best_bond >= 0 && move_apply(r, best_bond, best_move);
}

static void relief_prepare(struct relief *r)
{
	struct lay *l = r->l;
	int32_t *count;
	r->place = arena_alloc(l->arena, ((size_t)l->n_atom + 1) * sizeof *r->place);
	r->bond = arena_alloc(l->arena, ((size_t)l->n_bond + 1) * sizeof *r->bond);
	r->first = arena_calloc(l->arena, (size_t)r->n + 2, sizeof *r->first);
	r->kept = arena_alloc(l->arena, ((size_t)l->n_atom + 1) * sizeof *r->kept);
	for (int32_t i = 0; i < r->n; i++)
		r->place[l->order[r->at + i]] = r->at + i;
	count = r->first;
	for (int32_t i = 0; i < r->n; i++) {
		int32_t a = l->order[r->at + i];
		count[i] = r->n_bond;
		for (int32_t j = l->start[a]; j < l->start[a + 1]; j++)
			if (r->place[l->nbr[j]] < r->at + i)
				r->bond[r->n_bond++] = l->bond[l->nbr_bond[j]];
	}
	count[r->n] = r->n_bond;
}

void lay_clash_relieve(struct lay *l, int32_t at, int32_t n)
{
	struct relief r = {.l = l, .at = at, .n = n};
	int32_t a, b, skip = 0;
	if (n > MAX_ATOMS || n < 4)
		return;
	relief_prepare(&r);
	l->work = 0;
	for (int round = 0; round < MAX_ROUNDS && l->work < MAX_WORK && clash_next(&r, skip, &a, &b); round++)
		if (!clash_mend(&r, a, b))
			skip++;
		else
			skip = 0;
}
