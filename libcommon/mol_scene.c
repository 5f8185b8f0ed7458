/* The scene of a molecule: bonds as lines and wedges, labels as text, fitted into a square frame. */
#include "mol_scene.h"

#include <string.h>

struct mol_shape *scene_add(struct mol_scene *s, enum mol_shape_kind kind, const uint8_t rgb[3], double width)
{
	if (s->n_shape == s->cap) {
		int32_t cap = s->cap ? 2 * s->cap : 256;
		struct mol_shape *more = arena_alloc(s->arena, (size_t)cap * sizeof *more);
		if (s->n_shape)
			memcpy(more, s->shape, (size_t)s->n_shape * sizeof *more);
		s->shape = more, s->cap = cap;
	}
	struct mol_shape *h = &s->shape[s->n_shape++];
	memset(h, 0, sizeof *h);
	h->kind = (uint8_t)kind, h->width = width;
	memcpy(h->rgb, rgb, 3);
	return h;
}

static void line_add(struct mol_scene *s, struct vec p, struct vec q, double width, const uint8_t *rgb)
{
	struct mol_shape *h = scene_add(s, MOL_SHAPE_LINE, rgb, width);
	h->x[0] = p.x, h->y[0] = p.y, h->x[1] = q.x, h->y[1] = q.y;
}

static struct vec lerp(struct vec p, struct vec q, double t)
{
	return vec_add(p, vec_scale(vec_sub(q, p), t));
}

/* ---- the frame ---- */

static double clamp(double x, double low, double high)
{
	return x < low ? low : x > high ? high : x;
}

/*
 * Scale and place: labels reach beyond their atoms by so many pixels, and how many depends on the scale, so the fit
 * is made a second and a third time with what the first gave.
 */
static void frame_fit(struct frame *f, const struct vec *p, int32_t size_px)
{
	int32_t n = f->m->n_atom;
	struct vec low = {0, 0}, high = {0, 0};
	for (int32_t i = 0; i < n; i++) {
		low.x = !i || p[i].x < low.x ? p[i].x : low.x, high.x = !i || p[i].x > high.x ? p[i].x : high.x;
		low.y = !i || p[i].y < low.y ? p[i].y : low.y, high.y = !i || p[i].y > high.y ? p[i].y : high.y;
	}
	double edge = 1.5 + size_px * 0.02, over[4] = {0, 0, 0, 0}; /* left, top, right, bottom */
	for (int round = 0; round < 3; round++) {
		double room_x = size_px - 2 * edge - over[0] - over[2], room_y = size_px - 2 * edge - over[1] - over[3];
		double sx = room_x / (high.x - low.x + 1e-9), sy = room_y / (high.y - low.y + 1e-9);
		double scale = clamp(sx < sy ? sx : sy, 1e-6, size_px / 5.0);
		f->bond_px = scale;
		f->cap_px = clamp(scale * 0.42, clamp(scale * 0.7, 3, 6.2), size_px * 0.07 + 1);
		f->pen_px = clamp(scale * 0.06, 0.8, 2.4);
		double left = edge + over[0] + (room_x - scale * (high.x - low.x)) / 2;
		double top = edge + over[1] + (room_y - scale * (high.y - low.y)) / 2;
		double reach[4] = {0, 0, 0, 0};
		for (int32_t i = 0; i < n; i++)
			f->at[i] = (struct vec){left + (p[i].x - low.x) * scale, top + (high.y - p[i].y) * scale};
		for (int32_t i = 0; i < n; i++) {
			label_build(f, i);
			for (int k = 0; k < f->label[i].n_run; k++) {
				struct rect b = f->label[i].run[k].box;
				double r[4] = {left - b.left, top - b.top, b.right - left - scale * (high.x - low.x),
					       b.bottom - top - scale * (high.y - low.y)};
				for (int e = 0; e < 4; e++)
					reach[e] = r[e] > reach[e] ? r[e] : reach[e];
			}
		}
		for (int e = 0; e < 4; e++)
			over[e] = clamp(reach[e], 0, size_px / 4.0);
	}
}

/* ---- bonds ---- */

struct pens {
	struct mol_scene *s;
	const struct frame *f;
	const int32_t *ring_of; /* [n_bond]: the ring in which its double bond is drawn, or -1 */
};

/* A line between atoms a and b, shifted sideways, each half in its atom's colour, ending at labels and `cut` before
 * them. */
static void stroke(struct pens *k, int32_t a, int32_t b, double shift_px, double cut_px)
{
	const struct frame *f = k->f;
	struct vec side = vec_scale(vec_left(vec_unit(vec_sub(f->at[b], f->at[a]))), shift_px);
	struct vec p = vec_add(f->at[a], side), q = vec_add(f->at[b], side);
	double length = vec_norm(vec_sub(q, p)), margin = f->pen_px * 0.5 + f->cap_px * 0.16;
	double cut = length > 1e-9 ? cut_px / length : 0;
	double t0 = label_exit(f, a, p, q, margin), t1 = 1 - label_exit(f, b, q, p, margin);
	t0 = t0 > cut ? t0 : cut, t1 = t1 < 1 - cut ? t1 : 1 - cut;
	if (t1 - t0 < 0.02)
		return;
	const uint8_t *ca = label_color(f->m->atom[a].z), *cb = label_color(f->m->atom[b].z);
	if (!memcmp(ca, cb, 3) || t0 >= 0.5 || t1 <= 0.5) {
		line_add(k->s, lerp(p, q, t0), lerp(p, q, t1), f->pen_px, t0 >= 0.5 ? cb : ca);
		return;
	}
	line_add(k->s, lerp(p, q, t0), lerp(p, q, 0.5), f->pen_px, ca);
	line_add(k->s, lerp(p, q, 0.5), lerp(p, q, t1), f->pen_px, cb);
}

/* Side of a -> b on which the second line of a double bond stands: 1, -1; 0: both lines beside the axis. */
static int double_side(const struct pens *k, int32_t bond)
{
	const struct mol *m = k->f->m;
	const struct mol_bond *b = &m->bond[bond];
	const struct vec *at = k->f->at;
	struct vec axis = vec_sub(at[b->b], at[b->a]);
	if (k->ring_of[bond] >= 0) {
		struct vec sum = {0, 0};
		int32_t r = k->ring_of[bond];
		for (int32_t j = m->ring_start[r]; j < m->ring_start[r + 1]; j++)
			sum = vec_add(sum, vec_sub(at[m->ring_atom[j]], at[b->a]));
		return vec_cross(axis, sum) > 0 ? 1 : -1;
	}
	int32_t da = m->atom[b->a].degree, db = m->atom[b->b].degree;
	if (da == 1 || db == 1)
		return 0;
	int sum = 0;
	for (int end = 0; end < 2; end++) {
		int32_t a = end ? b->b : b->a;
		for (int32_t j = m->adj_start[a]; j < m->adj_start[a + 1]; j++) {
			if (m->adj_bond[j] == bond)
				continue;
			struct vec d = vec_sub(at[m->adj_atom[j]], at[a]);
			double x = vec_cross(axis, d), len = vec_norm(axis) * vec_norm(d);
			sum += x > 0.2 * len ? 1 : x < -0.2 * len ? -1 : 0;
		}
		/* A cumulated or ring-borne end is better served by lines on both sides. */
		if (k->f->label[a].n_run && m->atom[a].degree > 2)
			return 0;
	}
	return sum > 0 ? 1 : sum < 0 ? -1 : da == 2 && db == 2 ? 1 : 0;
}

static void wedge_draw(struct pens *k, int32_t tip, int32_t wide, bool solid)
{
	const struct frame *f = k->f;
	struct vec p = f->at[tip], q = f->at[wide], left = vec_left(vec_unit(vec_sub(q, p)));
	double half = clamp(f->bond_px * 0.11, 1.5, 6), margin = f->cap_px * 0.2;
	double t0 = label_exit(f, tip, p, q, margin), t1 = 1 - label_exit(f, wide, q, p, margin);
	const uint8_t *ca = label_color(f->m->atom[tip].z), *cb = label_color(f->m->atom[wide].z);
	if (t1 - t0 < 0.05)
		return;
	if (solid) {
		struct vec e = lerp(p, q, t1), s = lerp(p, q, t0);
		struct mol_shape *h = scene_add(k->s, MOL_SHAPE_WEDGE, memcmp(ca, cb, 3) ? cb : ca, 0);
		h->x[0] = s.x, h->y[0] = s.y;
		h->x[1] = e.x + left.x * half, h->y[1] = e.y + left.y * half;
		h->x[2] = e.x - left.x * half, h->y[2] = e.y - left.y * half;
		return;
	}
	double length = vec_norm(vec_sub(q, p)) * (t1 - t0);
	int n = (int)clamp(length / clamp(f->bond_px * 0.12, 2.6, 5) + 0.5, 3, 9);
	for (int i = 0; i < n; i++) {
		double t = t0 + (t1 - t0) * (i + 0.7) / (n - 0.3), w = half * (i + 1.2) / (n + 0.2);
		struct vec c = lerp(p, q, t);
		line_add(k->s, vec_add(c, vec_scale(left, w)), vec_sub(c, vec_scale(left, w)),
			 clamp(f->pen_px, 0.8, 1.6), t < 0.5 ? ca : cb);
	}
}

static void bond_draw(struct pens *k, int32_t i, int up, int32_t from)
{
	const struct mol_bond *b = &k->f->m->bond[i];
	double apart = clamp(k->f->bond_px * 0.17, 2.0, 7), cut = k->f->bond_px * 0.13;
	if (up) {
		wedge_draw(k, from, from == b->a ? b->b : b->a, up > 0);
	} else if (b->order == 2) {
		int side = double_side(k, i);
		if (side) {
			stroke(k, b->a, b->b, 0, 0);
			stroke(k, b->a, b->b, side * apart, cut);
		} else {
			stroke(k, b->a, b->b, apart / 2, 0);
			stroke(k, b->a, b->b, -apart / 2, 0);
		}
	} else if (b->order >= 3) {
		for (int line = 0; line < b->order; line++)
			stroke(k, b->a, b->b, (line - (b->order - 1) / 2.0) * apart * 0.85, 0);
	} else if (b->order == 0) { /* dative: dashes */
		struct vec p = k->f->at[b->a], q = k->f->at[b->b];
		double t0 = label_exit(k->f, b->a, p, q, 1), t1 = 1 - label_exit(k->f, b->b, q, p, 1);
		for (int d = 0; d < 5 && t1 > t0; d++)
			line_add(k->s, lerp(p, q, t0 + (t1 - t0) * d / 5), lerp(p, q, t0 + (t1 - t0) * (d + 0.55) / 5),
				 k->f->pen_px, label_color(6));
	} else {
		stroke(k, b->a, b->b, 0, 0);
	}
}

/* For each double bond in rings the ring that holds its second line: aromatic or six-membered, then the smallest. */
static void rings_choose(const struct mol *m, int32_t *ring_of, struct arena *a)
{
	int *worth = arena_calloc(a, (size_t)m->n_bond + 1, sizeof *worth);
	for (int32_t i = 0; i < m->n_bond; i++)
		ring_of[i] = -1;
	for (int32_t r = 0; r < m->n_ring; r++) {
		int32_t size = m->ring_start[r + 1] - m->ring_start[r], n_double = 0;
		const int32_t *ring = m->ring_atom + m->ring_start[r];
		for (int pass = 0; pass < 2; pass++)
			for (int32_t j = 0; j < size; j++) {
				int32_t p = ring[j], q = ring[(j + 1) % size], bond = -1;
				for (int32_t x = m->adj_start[p]; x < m->adj_start[p + 1]; x++)
					if (m->adj_atom[x] == q)
						bond = m->adj_bond[x];
				if (bond < 0 || m->bond[bond].order != 2)
					continue;
				int value = 1 + 40 * (size == 6) + 20 * (size == 5) + 4 * n_double + (size < 9);
				if (!pass)
					n_double++;
				else if (size <= 8 && value > worth[bond])
					worth[bond] = value, ring_of[bond] = r;
			}
	}
}

/* ---- the whole ---- */

static void highlight_draw(struct mol_scene *s, const struct frame *f, const float *value)
{
	double largest = 0;
	for (int32_t i = 0; i < f->m->n_atom; i++)
		if (fabs((double)value[i]) > largest && fabs((double)value[i]) < 1e30)
			largest = fabs((double)value[i]);
	for (int32_t i = 0; i < f->m->n_atom && largest > 0; i++) {
		double v = (double)value[i] / largest, faint = 1 - fabs(v);
		if (!(fabs(v) > 0.02))
			continue;
		const double strong[2][3] = {{255, 110, 90}, {110, 150, 255}};
		uint8_t rgb[3];
		for (int k = 0; k < 3; k++)
			rgb[k] = (uint8_t)(strong[v < 0][k] + (255 - strong[v < 0][k]) * faint + 0.5);
		struct mol_shape *h = scene_add(s, MOL_SHAPE_DISC, rgb, f->bond_px * 0.42);
		h->x[0] = f->at[i].x, h->y[0] = f->at[i].y;
	}
}

/* A label that foreign bonds run behind gets a white ground. */
static bool label_is_crossed(const struct frame *f, int32_t a)
{
	double near = f->bond_px * 2 + f->cap_px * 3; /* bonds farther off do not reach it */
	for (int32_t i = 0; i < f->m->n_bond && f->m->n_atom <= LABEL_MAX_CROWD; i++) {
		const struct mol_bond *b = &f->m->bond[i];
		struct vec p = f->at[b->a], q = f->at[b->b];
		if (b->a == a || b->b == a || fabs(p.x - f->at[a].x) > near || fabs(p.y - f->at[a].y) > near)
			continue;
		if (label_exit(f, a, p, q, 0) > 0 || label_exit(f, a, q, p, 0) > 0)
			return true;
	}
	return false;
}
static void label_draw(struct mol_scene *s, const struct frame *f, int32_t a, bool ground)
{
	static const uint8_t white[3] = {255, 255, 255};
	const struct label *l = &f->label[a];
	const uint8_t *rgb = label_color(f->m->atom[a].z);
	for (int i = 0; i < l->n_run && ground; i++) {
		struct rect b = l->run[i].box;
		double y = (b.top + b.bottom) / 2;
		line_add(s, (struct vec){b.left, y}, (struct vec){b.right, y}, b.bottom - b.top + 2.5, white);
	}
	for (int i = 0; i < l->n_run; i++) {
		struct mol_shape *h = scene_add(s, MOL_SHAPE_TEXT, rgb, l->run[i].cap_px);
		h->x[0] = l->run[i].x, h->y[0] = l->run[i].y;
		memcpy(h->text, l->run[i].text, sizeof h->text);
	}
	for (int i = 0; i < l->n_dot && i < 4 && l->n_run; i++) {
		double r = clamp(f->cap_px * 0.13, 0.9, 3);
		struct mol_shape *h = scene_add(s, MOL_SHAPE_DISC, rgb, r);
		h->x[0] = f->at[a].x + (i - (l->n_dot - 1) / 2.0) * 3 * r;
		h->y[0] = l->run[0].box.top - 2.2 * r;
	}
}

void mol_scene_build(const struct mol *m, const float *pos, const struct mol_scene_opts *o, struct arena *a,
		     struct mol_scene *s)
{
	size_t n = (size_t)m->n_atom + 1, n_bond = (size_t)m->n_bond + 1;
	struct frame f = {.m = m};
	struct vec *p = arena_alloc(a, n * sizeof *p), turn = plane_polar(o->turn_rad);
	float *turned = arena_alloc(a, 2 * n * sizeof *turned);
	int8_t *up = arena_alloc(a, n_bond);
	int32_t *from = arena_alloc(a, n_bond * sizeof *from), *ring_of = arena_alloc(a, n_bond * sizeof *ring_of);
	*s = (struct mol_scene){.size_px = o->size_px, .arena = a};
	f.at = arena_alloc(a, n * sizeof *f.at);
	f.label = arena_calloc(a, n, sizeof *f.label);
	for (int32_t i = 0; i < m->n_atom; i++) {
		struct vec x = {(double)pos[2 * i] * (o->mirror ? -1 : 1), (double)pos[2 * i + 1]};
		p[i] = vec_turn(x, turn);
		turned[2 * i] = (float)p[i].x, turned[2 * i + 1] = (float)p[i].y;
	}
	frame_fit(&f, p, o->size_px);
	mol_wedge_assign(m, turned, a, up, from);
	rings_choose(m, ring_of, a);
	if (o->highlight)
		highlight_draw(s, &f, o->highlight);
	struct pens k = {s, &f, ring_of};
	for (int32_t i = 0; i < m->n_bond; i++)
		bond_draw(&k, i, up[i], from[i]);
	for (int32_t i = 0; i < m->n_atom; i++)
		if (f.label[i].n_run)
			label_draw(s, &f, i, !o->highlight && label_is_crossed(&f, i));
}
