/* toy_set.h - a batch of small made-up molecules with three views, for tests that train. */
#ifndef MOLRILL_TOY_SET_H
#define MOLRILL_TOY_SET_H

#include "nn_model.h"

#include <string.h>

enum { N_MOL = 12, SIDE = 16, MAX_ATOM = 12 * N_MOL };

/* Molecules of few kinds, with conformers and pictures; labels that depend on the kind. */
struct set {
	struct nn_batch b;
	int64_t x[2 * MAX_ATOM], edge[4 * MAX_ATOM], attr[4 * MAX_ATOM], mol[MAX_ATOM], z[MAX_ATOM], all[N_MOL];
	real pos[3 * MAX_ATOM];
	uint8_t img[N_MOL * SIDE * SIDE * 3], has[N_MOL * NN_N_VIEW], fp[N_MOL * 256];
	int64_t scaffold[N_MOL];
	float y[N_MOL];
};

static void add_bond(struct set *s, int64_t ends[][2], int64_t u, int64_t v, int64_t kind)
{
	int64_t at = s->b.graph.n_edge;
	for (int side = 0; side < 2; side++) {
		ends[at + side][side] = u;
		ends[at + side][!side] = v;
		s->attr[2 * (at + side)] = kind;
	}
	s->b.graph.n_edge += 2;
}

static void set_fill(struct set *s)
{
	static int64_t ends[2 * MAX_ATOM][2];
	struct rng r;
	memset(s, 0, sizeof *s);
	rng_init(&r, 8, 0);
	int64_t n = 0;
	for (int m = 0; m < N_MOL; m++) {
		int64_t ring = 5 + m % 2, chain = m % 4, from = n;
		for (int64_t i = 0; i < ring + chain; i++, n++) {
			bool hetero = i == 2 && m % 3;
			s->x[2 * n] = hetero ? 6 : 5;
			s->z[n] = hetero ? 7 : 6;
			s->mol[n] = m;
			if (i)
				add_bond(s, ends, n - 1, n, i < ring ? 3 : 0);
			for (int k = 0; k < 3; k++)
				s->pos[3 * n + k] =
				    (real)(1.3 * (double)(k == (i & 1) ? i : 0) + 0.3 * rng_uniform(&r));
		}
		add_bond(s, ends, from, from + ring - 1, 3);
		s->y[m] = (float)(m % 2);
		s->all[m] = m;
		s->scaffold[m] = m % 2;
		for (int64_t k = 0; k < ring + chain; k++)
			s->fp[256 * m + 7 * k] = (uint8_t)(1u << k % 8);
		memset(s->has + m * NN_N_VIEW, 1, NN_N_VIEW);
	}
	int64_t n_edge = s->b.graph.n_edge;
	for (int64_t e = 0; e < n_edge; e++) {
		s->edge[e] = ends[e][0];
		s->edge[n_edge + e] = ends[e][1];
	}
	for (size_t i = 0; i < sizeof s->img; i++)
		s->img[i] = (uint8_t)rng_below(&r, 256);
	s->b = (struct nn_batch){.n_mol = N_MOL,
				 .has = s->has,
				 .graph = {.n_mol = N_MOL,
					   .n_atom = n,
					   .n_edge = n_edge,
					   .x = s->x,
					   .edge_index = s->edge,
					   .edge_attr = s->attr,
					   .mol = s->mol,
					   .hu = true},
				 .points = {.n_mol = N_MOL, .n_atom = n, .z = s->z, .pos = s->pos, .mol = s->mol},
				 .mol3d = s->all,
				 .n_img = N_MOL,
				 .molimg = s->all,
				 .img = s->img,
				 .img_size_px = SIDE,
				 .n_task = 1,
				 .y = s->y,
				 .fp = s->fp,
				 .scaffold = s->scaffold};
}

#endif
