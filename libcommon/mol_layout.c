/* The layout of a molecule: each fragment placed, relieved of clashes, turned upright, and set beside the others. */
#include <stdlib.h>
#include <string.h>

#include "mol_draw.h"
#include "mol_layout.h"

#define GAP 1.4 /* between fragments */

struct box {
	struct vec low, high;
};
struct piece {
	int32_t at, n; /* atoms order[at .. at + n) */
	struct box box;
	double area;
};

static struct box box_of(const struct lay *l, int32_t at, int32_t n, struct vec turn)
{
	struct box b = {{1e30, 1e30}, {-1e30, -1e30}};
	for (int32_t i = at; i < at + n; i++) {
		struct vec p = vec_turn(l->pos[l->order[i]], turn);
		b.low.x = p.x < b.low.x ? p.x : b.low.x, b.low.y = p.y < b.low.y ? p.y : b.low.y;
		b.high.x = p.x > b.high.x ? p.x : b.high.x, b.high.y = p.y > b.high.y ? p.y : b.high.y;
	}
	return b;
}

/*
 * Turns a fragment so that most of its bonds point along multiples of 30 degrees, edges of six-membered rings
 * upright, and its longest axis lies level.
 */
static void piece_turn(struct lay *l, struct piece *p)
{
	double bin[60] = {0}, best = -1, base_rad = 0;
	for (int32_t i = p->at; i < p->at + p->n; i++) {
		int32_t a = l->order[i];
		for (int32_t j = l->start[a]; j < l->start[a + 1]; j++) {
			if (l->nbr[j] < a)
				continue;
			/* Sixfold: edges of a hexagon agree. Bonds of rings say more than those of chains. */
			double angle = plane_angle(vec_sub(l->pos[l->nbr[j]], l->pos[a])) * (3 / PLANE_PI);
			angle -= floor(angle);
			bin[(int)(angle * 60 + 0.5) % 60] += l->bond[l->nbr_bond[j]].ring ? 3 : 1;
		}
	}
	for (int i = 0; i < 60; i++) {
		double sum = bin[i] + 0.5 * (bin[(i + 1) % 60] + bin[(i + 59) % 60]);
		if (sum > best + 1e-9)
			best = sum, base_rad = i * (PLANE_PI / 180);
	}
	/* An edge at base_rad is turned to 90 degrees and sixths of a turn from there; half-way too, where that is much
	 * wider.
	 */
	struct vec turn = {1, 0};
	double widest = -1;
	for (int i = 0; i < 12; i++) {
		struct vec r = plane_polar(PLANE_PI / 2 - base_rad + i * (PLANE_PI / 6));
		struct box b = box_of(l, p->at, p->n, r);
		double value = (b.high.x - b.low.x + 1) / (b.high.y - b.low.y + 1) * (i & 1 ? 0.8 : 1);
		if (value > widest + 1e-6)
			widest = value, turn = r;
	}
	p->box = box_of(l, p->at, p->n, turn);
	for (int32_t i = p->at; i < p->at + p->n; i++)
		l->pos[l->order[i]] = vec_turn(l->pos[l->order[i]], turn);
	struct vec size = vec_sub(p->box.high, p->box.low);
	p->area = (size.x + GAP) * (size.y + GAP);
}

static int compare_area(const void *pa, const void *pb)
{
	const struct piece *a = pa, *b = pb;
	if (a->n != b->n)
		return b->n - a->n;
	return a->at - b->at;
}

/* Fragments on shelves from the top, each level with its middle, the largest first, the whole about as wide as high. */
static void pieces_pack(struct lay *l, struct piece *piece, int32_t n)
{
	double area = 0, wide = 0, y = 0;
	qsort(piece, (size_t)n, sizeof *piece, compare_area);
	for (int32_t i = 0; i < n; i++) {
		area += piece[i].area;
		double w = piece[i].box.high.x - piece[i].box.low.x + GAP;
		wide = w > wide ? w : wide;
	}
	double wanted = sqrt(area) * 1.25;
	wide = wide > wanted ? wide : wanted;
	for (int32_t i = 0, end; i < n; i = end) { /* a shelf: piece[i..end), its middle at y */
		double width = -GAP, high = piece[i].box.high.y - piece[i].box.low.y;
		for (end = i; end < n; end++) {
			struct vec size = vec_sub(piece[end].box.high, piece[end].box.low);
			if (end > i && width + GAP + size.x > wide + 1e-9)
				break;
			width += size.x + GAP;
			high = size.y > high ? size.y : high;
		}
		double x = -width / 2;
		y -= i ? high / 2 + GAP : 0;
		for (int32_t k = i; k < end; k++) {
			struct box b = piece[k].box;
			struct vec shift = {x - b.low.x, y - (b.high.y + b.low.y) / 2};
			for (int32_t j = piece[k].at; j < piece[k].at + piece[k].n; j++)
				l->pos[l->order[j]] = vec_add(l->pos[l->order[j]], shift);
			x += b.high.x - b.low.x + GAP;
		}
		y -= high / 2;
	}
}

/* Where the drawing of the fragment of atom a begins: its largest ring system, else any atom. */
static void roots_find(const struct lay *l, const struct mol *m, int32_t *root)
{
	int32_t *size = arena_calloc(l->arena, (size_t)l->n_system + 1, sizeof *size);
	for (int32_t i = 0; i < l->n_atom; i++)
		if (l->system[i] >= 0)
			size[l->system[i]]++;
	for (int32_t f = 0; f < m->n_fragment; f++)
		root[f] = -1;
	for (int32_t i = 0; i < l->n_atom; i++) {
		int32_t f = m->atom[l->source[i]].fragment, r = root[f];
		int32_t here = l->system[i] >= 0 ? size[l->system[i]] : 0;
		if (r < 0 || here > (l->system[r] >= 0 ? size[l->system[r]] : 0))
			root[f] = i;
	}
}

void mol_layout(const struct mol *m, struct arena *scratch, float *pos)
{
	struct lay *l = lay_new(m, scratch);
	int32_t n = 0, n_piece = 0, *root = arena_alloc(scratch, ((size_t)m->n_fragment + 1) * sizeof *root);
	struct piece *piece = arena_alloc(scratch, ((size_t)m->n_fragment + 1) * sizeof *piece);
	lay_systems_place(l);
	roots_find(l, m, root);
	for (int32_t f = 0; f < m->n_fragment; f++) {
		struct piece *p = &piece[n_piece];
		if (root[f] < 0)
			continue;
		*p = (struct piece){.at = n};
		p->n = lay_fragment_place(l, root[f], n);
		lay_clash_relieve(l, p->at, p->n);
		piece_turn(l, p);
		n += p->n, n_piece++;
	}
	pieces_pack(l, piece, n_piece);
	struct box b = n ? box_of(l, 0, n, (struct vec){1, 0}) : (struct box){{0, 0}, {0, 0}};
	struct vec middle = vec_scale(vec_add(b.low, b.high), 0.5);
	for (int32_t i = 0; i < l->n_atom; i++) {
		struct vec p = vec_sub(l->pos[i], middle);
		pos[2 * l->source[i]] = (float)p.x;
		pos[2 * l->source[i] + 1] = (float)p.y;
	}
}
