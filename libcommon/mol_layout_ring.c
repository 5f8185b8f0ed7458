/*
 * Ring systems. A ring is drawn onto what stands already by closing each of its gaps with an arc of a circle on which
 * the missing bonds are chords: a fused ring becomes a regular polygon, a large ring with smaller ones in it a
 * polygon with chords of several lengths, a bridge a bow.
 */
#include <stdlib.h>
#include <string.h>

#include "mol_layout.h"

#define SMALL_RING 8    /* larger rings are closed after the small ones, which they take as stiff pieces */
#define MAX_STARTS 8    /* drawings tried of a difficult system, */
#define MAX_JUDGED 1500 /* atoms of a system beyond which the first drawing stands */
#define MAX_SPRINGS 120
#define MAX_START_WORK 20000 /* fewer of a large one: pairs of atoms in all of them */

/* Working state: each atom belongs to a stiff unit (or none), in whose frame its position stands. */
struct rings {
	struct lay *l;
	const int32_t *atoms;
	int32_t n; /* atoms of the system */
	int32_t *rings, n_ring;
	int32_t *unit; /* [n_atom of the molecule] */
	int32_t n_unit;
	struct vec *pos;
};

/*
 * Points of an arc from p to q that bulges to the left of p -> q, one after each chord but the last. n chords.
 * The span of the arc is found by bisection: the chords' angles must add up to it.
 */
static void arc_close(struct vec p, struct vec q, const double *chord, int32_t n, struct vec *out)
{
	struct vec d = vec_sub(q, p);
	double dist = vec_norm(d), length = 0;
	for (int32_t i = 0; i < n; i++)
		length += chord[i];
	if (length <= dist * 1.0001) { /* too far apart: a straight line, stretched */
		double sum = 0;
		for (int32_t i = 0; i < n - 1; i++) {
			sum += chord[i];
			out[i] = vec_add(p, vec_scale(d, sum / length));
		}
		return;
	}
	if (dist < 1e-9)
		dist = 1e-9, d = (struct vec){1e-9, 0};
	double low = 0, high = 2 * PLANE_PI;
	if (fabs(dist - 1) < 1e-9 && fabs(length - n) < 1e-9) /* a regular polygon on a bond */
		low = high = 2 * PLANE_PI * n / (n + 1);
	for (int step = 0; step < 46 && low < high; step++) {
		double span = (low + high) / 2, sum = 0, s = plane_polar(span / 2).y / dist;
		for (int32_t i = 0; i < n; i++)
			sum += 2 * plane_asin(chord[i] * s);
		if (sum > span)
			low = span;
		else
			high = span;
	}
	double span = (low + high) / 2, s = plane_polar(span / 2).y;
	double radius = dist / (2 * (s > 1e-9 ? s : 1e-9));
	/* The centre lies on the axis of p and q, to the right of it for flat arcs and to the left for wide ones. */
	struct vec mid = vec_scale(vec_add(p, q), 0.5), up = vec_left(vec_unit(d));
	struct vec centre = vec_sub(mid, vec_scale(up, radius * plane_polar(span / 2).x));
	struct vec ray = vec_sub(p, centre);
	double angle = 0;
	for (int32_t i = 0; i < n - 1; i++) {
		angle -= 2 * plane_asin(chord[i] / (2 * radius));
		out[i] = vec_add(centre, vec_turn(ray, plane_polar(angle)));
	}
}

/* Where the bonds of a already drawn in its unit do not point: opposite their sum. */
static struct vec outward(const struct rings *r, int32_t a)
{
	const struct lay *l = r->l;
	struct vec sum = {0, 0};
	for (int32_t j = l->start[a]; j < l->start[a + 1]; j++)
		if (r->unit[l->nbr[j]] == r->unit[a] && r->unit[a] >= 0)
			sum = vec_sub(sum, vec_unit(vec_sub(r->pos[l->nbr[j]], r->pos[a])));
	return vec_dot(sum, sum) > 1e-12 ? vec_unit(sum) : (struct vec){0, 1};
}

/* How much n new points stand in the way of the atoms of unit `base`. */
static double crowding(const struct rings *r, int32_t base, const struct vec *point, int32_t n)
{
	double sum = 0;
	for (int32_t i = 0; i < r->n; i++) {
		if (r->unit[r->atoms[i]] != base)
			continue;
		for (int32_t j = 0; j < n; j++) {
			double d2 = vec_dist2(r->pos[r->atoms[i]], point[j]);
			if (d2 < 6)
				sum += (6 - d2) * (6 - d2);
		}
	}
	return sum;
}

/* Moves unit u so that atom a lands on p, and b on q (a == b: it turns its back to `away`), and joins it to base. */
static void unit_join(struct rings *r, int32_t base, int32_t u, int32_t a, int32_t b, struct vec p, struct vec q,
		      struct vec away)
{
	struct vec turn, from = r->pos[a], axis, centre = {0, 0};
	double n = 0;
	for (int32_t i = 0; i < r->n; i++)
		if (r->unit[r->atoms[i]] == u)
			centre = vec_add(centre, r->pos[r->atoms[i]]), n++;
	centre = vec_scale(centre, 1 / n);
	if (a == b)
		axis = vec_unit(vec_sub(centre, from)), turn = vec_unit(vec_sub(p, away));
	else
		axis = vec_unit(vec_sub(r->pos[b], from)), turn = vec_unit(vec_sub(q, p));
	bool left_now = vec_cross(axis, vec_sub(centre, from)) > 0, left_wanted = vec_cross(turn, vec_sub(away, p)) < 0;
	bool mirror = a != b && left_now != left_wanted;
	struct vec rotate = vec_turn(turn, (struct vec){axis.x, -axis.y});
	for (int32_t i = 0; i < r->n; i++) {
		int32_t k = r->atoms[i];
		if (r->unit[k] != u)
			continue;
		struct vec x = mirror ? vec_mirror(r->pos[k], from, axis) : r->pos[k];
		r->pos[k] = vec_add(p, vec_turn(vec_sub(x, from), rotate));
		r->unit[k] = base;
	}
}

/*
 * Closes one gap of a ring: path[0] and path[m] stand in unit `base`, those between do not. Neighbours that are of one
 * other unit are a single chord.
 */
static void gap_close(struct rings *r, int32_t base, const int32_t *path, int32_t m)
{
	struct arena *arena = r->l->arena;
	int32_t n = 0, *first = arena_alloc(arena, (size_t)(m + 1) * sizeof *first);
	int32_t *last = arena_alloc(arena, (size_t)(m + 1) * sizeof *last);
	double *chord = arena_alloc(arena, (size_t)(2 * m + 2) * sizeof *chord);
	int32_t n_chord = 0;
	for (int32_t i = 1; i < m;) {
		int32_t j = i;
		while (j + 1 < m && r->unit[path[i]] >= 0 && r->unit[path[j + 1]] == r->unit[path[i]])
			j++;
		chord[n_chord++] = 1;
		if (j > i)
			chord[n_chord++] = sqrt(vec_dist2(r->pos[path[i]], r->pos[path[j]]));
		first[n] = path[i], last[n++] = path[j];
		i = j + 1;
	}
	chord[n_chord++] = 1;
	struct vec *side[2], p = r->pos[path[0]], q = r->pos[path[m]];
	double bad[2];
	if (path[0] == path[m]) { /* a spiro atom: a whole circle, outwards */
		struct vec up = outward(r, path[0]), e = vec_scale(vec_left(up), 5e-7);
		p = vec_add(p, e), q = vec_sub(q, e);
	}
	for (int s = 0; s < 2; s++) {
		side[s] = arena_alloc(arena, (size_t)n_chord * sizeof **side);
		if (!s) {
			arc_close(p, q, chord, n_chord, side[s]);
		} else {
			struct vec axis = vec_unit(vec_sub(q, p));
			for (int32_t i = 0; i < n_chord - 1; i++)
				side[s][i] = vec_mirror(side[0][i], p, axis);
		}
		bad[s] = crowding(r, base, side[s], n_chord - 1);
	}
	const struct vec *best = side[bad[1] < bad[0] - 1e-6];
	struct vec middle = vec_add(p, q);
	for (int32_t i = 0; i < n_chord - 1; i++)
		middle = vec_add(middle, best[i]);
	middle = vec_scale(middle, 1.0 / (n_chord + 1));
	for (int32_t i = 0, at = 0; i < n; i++) {
		struct vec to = best[at];
		at += first[i] != last[i];
		if (r->unit[first[i]] >= 0 && r->unit[first[i]] != base)
			unit_join(r, base, r->unit[first[i]], first[i], last[i], to, best[at], middle);
		else if (r->unit[first[i]] < 0)
			r->pos[first[i]] = to, r->unit[first[i]] = base;
		at++;
	}
}

/* Draws ring k onto `base`, gap by gap. */
static void ring_close(struct rings *r, int32_t base, int32_t k)
{
	const struct lay *l = r->l;
	const int32_t *ring = l->ring_atom + l->ring_start[k];
	int32_t size = l->ring_start[k + 1] - l->ring_start[k];
	int32_t *path = arena_alloc(l->arena, ((size_t)size + 1) * sizeof *path);
	for (int32_t i = 0; i < size; i++) {
		if (r->unit[ring[i]] != base || r->unit[ring[(i + 1) % size]] == base)
			continue;
		int32_t m = 1;
		path[0] = ring[i];
		while (r->unit[ring[(i + m) % size]] != base)
			path[m] = ring[(i + m) % size], m++;
		path[m] = ring[(i + m) % size];
		gap_close(r, base, path, m);
		i = -1; /* what joined may have closed another gap */
	}
}

/* Whether the ring goes on to the other side (E) across the double bond between its atoms i + 1 and i + 2. */
static bool ring_is_trans(const struct lay *l, const int32_t *ring, int32_t size, int32_t i)
{
	int32_t a[4];
	for (int j = 0; j < 4; j++)
		a[j] = ring[(i + j) % size];
	for (int32_t c = 0; c < l->n_cistrans; c++) {
		const struct mol_cistrans *s = &l->cistrans[c];
		int w = s->atom[0] == a[1] ? 0 : 1;
		if (s->atom[w] == a[1] && s->atom[!w] == a[2])
			return (s->cis == (s->nbr[w] == a[0])) != (s->nbr[!w] == a[3]);
	}
	return false;
}

/*
 * Which way a zigzag turns at each of its atoms (1, -1; 0 at both ends), from ring atom i on: the four of a double
 * bond, and on as long as the next one shares atoms with it, within `room`. Between two of them it goes straight on, or
 * back. Returns its number of atoms.
 */
static int32_t zigzag_turns(const bool *trans, int32_t size, int32_t i, int32_t room, bool back, int *turn)
{
	int32_t n = 4;
	turn[0] = 0, turn[1] = -1, turn[2] = 1, turn[3] = 0;
	for (;;) {
		int32_t last = i + n - 4, on = trans[(last + 2) % size] ? 2 : trans[(last + 3) % size] ? 3 : 0;
		int before = turn[n - 2];
		if (!on || n + on > room)
			return n;
		turn[n - 1] = back ? 1 : -before;
		if (on == 3)
			turn[n] = back ? -1 : before;
		n += on;
		turn[n - 2] = -turn[n - 3], turn[n - 1] = 0;
	}
}

/* Its atoms, as a unit. Returns the distance of its ends. */
static double zigzag_draw(struct rings *r, const int32_t *ring, int32_t size, int32_t i, const int *turn, int32_t n,
			  double out_degrees, double in_degrees)
{
	double heading = 0;
	struct vec p = {0, 0};
	for (int32_t j = 0; j < n; j++) {
		int32_t a = ring[(i + j) % size];
		r->pos[a] = p, r->unit[a] = r->n_unit;
		heading += turn[j] > 0 ? out_degrees : turn[j] < 0 ? -in_degrees : 0;
		p = vec_add(p, plane_polar(heading * (PLANE_PI / 180)));
	}
	return sqrt(vec_dist2(r->pos[ring[i]], r->pos[ring[(i + n - 1) % size]]));
}

/*
 * E double bonds of a ring among the atoms of no unit: zigzags, straight where the rest of the ring reaches from end to
 * end, else with their double bonds in a bow that is closed ever further.
 */
static void zigzags_make(struct rings *r, int32_t k)
{
	static const struct {
		bool back;
		double out_degrees, in_degrees;
	} shape[] = {{false, 60, 60}, {true, 60, 60}, {true, 70, 30}, {true, 75, 20}, {true, 80, 12}};
	const struct lay *l = r->l;
	const int32_t *ring = l->ring_atom + l->ring_start[k];
	int32_t size = l->ring_start[k + 1] - l->ring_start[k], begin = 0;
	if (size < SMALL_RING || !l->n_cistrans)
		return;
	int *turn = arena_alloc(l->arena, ((size_t)size + 4) * sizeof *turn);
	bool *trans = arena_alloc(l->arena, (size_t)size * sizeof *trans);
	for (int32_t i = 0; i < size; i++) {
		trans[i] = ring_is_trans(l, ring, size, i);
		for (int j = 0; j < 4; j++)
			trans[i] &= r->unit[ring[(i + j) % size]] < 0;
	}
	for (int32_t i = size - 1; i >= 0; i--) /* the first that goes on from none before it */
		if (trans[i] && !trans[(i + size - 2) % size] && !trans[(i + size - 3) % size])
			begin = i;
	for (int32_t step = 0, n; step + 4 <= size; step += n) {
		int32_t i = (begin + step) % size;
		double wide = 1e9;
		n = 1;
		if (!trans[i])
			continue;
		for (size_t f = 0; f < sizeof shape / sizeof *shape && wide > 0.9 * (size - n + 1); f++) {
			n = zigzag_turns(trans, size, i, size - step, shape[f].back, turn);
			wide = zigzag_draw(r, ring, size, i, turn, n, shape[f].out_degrees, shape[f].in_degrees);
		}
		r->n_unit++;
	}
}

/* How far ring k is from standing well on base: 100 when it does not touch it. */
static double misfit(const struct rings *r, int32_t base, int32_t k)
{
	const struct lay *l = r->l;
	const int32_t *ring = l->ring_atom + l->ring_start[k];
	int32_t size = l->ring_start[k + 1] - l->ring_start[k], n_in = 0, n_gap = 0;
	double worst = 0;
	for (int32_t i = 0; i < size; i++)
		n_in += r->unit[ring[i]] == base;
	if (!n_in)
		return 100;
	if (n_in == 1)
		return 3;
	for (int32_t i = 0; i < size; i++) {
		int32_t m = 1;
		if (r->unit[ring[i]] != base || r->unit[ring[(i + 1) % size]] == base)
			continue;
		while (r->unit[ring[(i + m) % size]] != base)
			m++;
		double ideal = plane_polar(PLANE_PI * m / size - PLANE_PI / 2).x / plane_polar(PLANE_PI / size).y;
		double off = fabs(ideal - sqrt(vec_dist2(r->pos[ring[i]], r->pos[ring[(i + m) % size]])));
		worst = off > worst ? off : worst;
		n_gap++;
	}
	return n_gap ? worst + 0.2 * (n_gap - 1) - 0.001 * n_in : -1;
}

static bool ring_is_inside(const struct rings *r, int32_t base, int32_t k)
{
	const struct lay *l = r->l;
	for (int32_t j = l->ring_start[k]; j < l->ring_start[k + 1]; j++)
		if (r->unit[l->ring_atom[j]] != base)
			return false;
	return true;
}
/* Rings of at most max_size atoms that touch base, the best fitting first, until there is none. */
static void rings_grow(struct rings *r, int32_t base, int32_t max_size)
{
	const struct lay *l = r->l;
	for (;;) {
		int32_t best = -1;
		double least = 99;
		for (int32_t i = 0; i < r->n_ring; i++) {
			int32_t k = r->rings[i];
			if (l->ring_start[k + 1] - l->ring_start[k] > max_size || ring_is_inside(r, base, k))
				continue;
			double m = misfit(r, base, k);
			if (m < least - 1e-9)
				least = m, best = k;
		}
		if (best < 0)
			return;
		ring_close(r, base, best);
	}
}
/* A first ring: its first bond, or the piece of it that is stiff already, closed to a polygon. */
static int32_t ring_start(struct rings *r, int32_t k)
{
	const struct lay *l = r->l;
	const int32_t *ring = l->ring_atom + l->ring_start[k];
	int32_t size = l->ring_start[k + 1] - l->ring_start[k], base = -1;
	for (int32_t i = 0; i < size && base < 0; i++)
		base = r->unit[ring[i]];
	if (base < 0) {
		base = r->n_unit++;
		r->pos[ring[0]] = (struct vec){0, 0}, r->pos[ring[1]] = (struct vec){1, 0};
		r->unit[ring[0]] = r->unit[ring[1]] = base;
	}
	ring_close(r, base, k);
	return base;
}

static int32_t shared_atoms(const struct lay *l, int32_t j, int32_t k)
{
	int32_t n = 0;
	for (int32_t a = l->ring_start[j]; a < l->ring_start[j + 1]; a++)
		for (int32_t b = l->ring_start[k]; b < l->ring_start[k + 1]; b++)
			n += l->ring_atom[a] == l->ring_atom[b];
	return n;
}

/*
 * The whole system, begun with ring `first` (an index into r->rings), or with a known cage where there is one. Returns
 * the number of atoms of the cage.
 */
static int32_t system_draw(struct rings *r, int32_t first, bool cages)
{
	struct lay *l = r->l;
	for (int32_t i = 0; i < r->n; i++)
		r->unit[r->atoms[i]] = -1;
	r->n_unit = 0;
	int32_t n = 0;
	if (cages) {
		int32_t match[LAY_CAGE_MAX];
		struct vec place[LAY_CAGE_MAX];
		n = lay_cage_find(l, r->atoms, r->n, match, place);
		for (int32_t i = 0; i < n; i++)
			r->unit[match[i]] = 0, r->pos[match[i]] = place[i];
		r->n_unit = n > 0;
		if (n)
			rings_grow(r, 0, SMALL_RING);
	}
	for (int32_t i = 0; i < r->n_ring; i++) {
		int32_t k = r->rings[(i + first) % r->n_ring], size = l->ring_start[k + 1] - l->ring_start[k];
		bool untouched = true;
		for (int32_t j = l->ring_start[k]; j < l->ring_start[k + 1]; j++)
			untouched &= r->unit[l->ring_atom[j]] < 0;
		if (size <= SMALL_RING && untouched)
			zigzags_make(r, k), rings_grow(r, ring_start(r, k), SMALL_RING);
	}
	for (int32_t i = 0; i < r->n_ring; i++)
		zigzags_make(r, r->rings[i]);
	/* Whatever is not one piece yet is joined by the large rings. */
	for (int32_t i = 0; i < r->n_ring; i++) {
		int32_t base = ring_start(r, r->rings[i]);
		rings_grow(r, base, r->n + 1);
	}
	return n;
}

/* Rings of the system; the one with most neighbours first, six-membered ones before others. */
static void rings_order(struct rings *r, bool *bridged)
{
	const struct lay *l = r->l;
	int32_t best = 0, best_key = -1;
	for (int32_t i = 0; i < r->n_ring; i++) {
		int32_t k = r->rings[i], size = l->ring_start[k + 1] - l->ring_start[k], key = size == 6;
		for (int32_t j = 0; j < r->n_ring && r->n_ring <= 64; j++) {
			int32_t n = i != j ? shared_atoms(l, k, r->rings[j]) : 0;
			key += n >= 2 ? 2 : 0;
			*bridged |= (n > 2 || size < 5) && n && size <= SMALL_RING;
		}
		if (size <= SMALL_RING && key > best_key)
			best = i, best_key = key;
	}
	if (r->n_ring) {
		int32_t t = r->rings[best];
		memmove(r->rings + 1, r->rings, (size_t)best * sizeof t);
		r->rings[0] = t;
	}
}

/* The best of several drawings of system s. best: room for [n_atom]. */
static void system_place(struct rings *r, int32_t s, struct vec *best)
{
	struct lay *l = r->l;
	bool bridged = false;
	r->atoms = l->sys_atom + l->sys_start[s], r->n = l->sys_start[s + 1] - l->sys_start[s];
	r->rings = l->sys_ring + l->sys_ring_start[s], r->n_ring = l->sys_ring_start[s + 1] - l->sys_ring_start[s];
	rings_order(r, &bridged);
	int32_t n_cage = system_draw(r, 0, bridged);
	for (int32_t i = 0; i < r->n; i++)
		best[r->atoms[i]] = r->pos[r->atoms[i]];
	if (r->n <= MAX_JUDGED) {
		/* A cage in perspective may have crossings and short bonds that another drawing avoids, and is read
		 * better. */
		double least = n_cage == r->n ? 0 : lay_badness(l, r->atoms, r->n, r->pos) - (n_cage ? 1 : 0);
		least += lay_enclosure(l, r->atoms, r->n, r->pos);
		int32_t n_start = r->n_ring < MAX_STARTS ? r->n_ring : MAX_STARTS;
		while (n_start > 1 && n_start * r->n * r->n > MAX_START_WORK)
			n_start--;
		for (int32_t i = 0; i < 2 * n_start && least > 0.05; i++) { /* each, then the same with springs */
			if (!(i & 1))
				system_draw(r, i / 2, false);
			else if (r->n <= MAX_SPRINGS)
				lay_relax(l, s, r->pos);
			double bad = lay_badness(l, r->atoms, r->n, r->pos) + lay_enclosure(l, r->atoms, r->n, r->pos);
			if (bad >= least - 1e-6)
				continue;
			least = bad;
			for (int32_t j = 0; j < r->n; j++)
				best[r->atoms[j]] = r->pos[r->atoms[j]];
		}
	}
	for (int32_t i = 0; i < r->n; i++)
		l->pos[r->atoms[i]] = best[r->atoms[i]];
}

void lay_systems_place(struct lay *l)
{
	struct rings r = {.l = l};
	size_t n = (size_t)l->n_atom + 1;
	struct vec *best = arena_alloc(l->arena, n * sizeof *best);
	r.unit = arena_alloc(l->arena, n * sizeof *r.unit);
	r.pos = arena_calloc(l->arena, n, sizeof *r.pos);
	for (int32_t i = 0; i < l->n_atom; i++)
		r.unit[i] = -1;
	for (int32_t s = 0; s < l->n_system; s++) {
		system_place(&r, s, best);
		for (int32_t i = 0; i < r.n; i++)
			r.unit[r.atoms[i]] = -1; /* atoms of other systems are of no unit */
	}
}
