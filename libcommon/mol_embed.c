/*
 * mol_embed.c - one conformer by distance geometry: random start in four dimensions, minimisation of the distance error
 * with chirality, the fourth dimension pressed out, refinement in three with planes and torsions, then the gate.
 */
#include "mol_conf.h"
#include "mol_dg.h"
#include "mol_lbfgs.h"

#include <math.h>

enum { N_ATTEMPT = 30 };
static const int64_t WORK = 4000000000; /* pairs a conformer */
static const double DEPTH = 0.15;       /* of an atom in its tetrahedron, see mol_center_range */

struct mol_embedder {
	const struct mol *m;
	struct mol_bounds *bounds;
	struct mol_dgerror *error;
	struct mol_lbfgs *lbfgs;
	double *x, *work;
};

struct mol_embedder *mol_embedder_new(const struct mol *m, struct arena *a)
{
	struct mol_embedder *e = arena_calloc(a, 1, sizeof *e);
	struct mol_ideal *id = mol_ideal_new(m, a);
	e->m = m;
	e->bounds = mol_bounds_new(id, a);
	mol_bounds_smooth(e->bounds);
	e->error = mol_dgerror_new(id, e->bounds, a);
	e->lbfgs = mol_lbfgs_new(a, 4 * e->error->np);
	e->x = arena_calloc(a, 4 * (size_t)e->error->np, sizeof(double));
	e->work = arena_alloc(a, mol_start_n_work(m->n_atom, e->error->np) * sizeof(double));
	return e;
}

/*
 * Stereo centres turn the right way, and every atom with four neighbours stands inside their tetrahedron, or, where
 * that never comes about (bridgeheads of the smallest bicycles), hardly outside; last of all (propellanes) anywhere.
 */
static const char *judge_centers(const struct mol_embedder *e, const double *x, double depth)
{
	const struct mol *m = e->m;
	int np = e->error->np;
	double lo, hi;
	for (int k = 0; k < m->n_center; k++) {
		int32_t nbr[4];
		mol_center_neighbours(m, &m->center[k], nbr);
		mol_center_range(m->center[k].atom, nbr, x, 1, np, &lo, &hi);
		if (!(hi < -DEPTH))
			return "stereo-wrong";
	}
	for (int i = 0; i < m->n_atom; i++) {
		if (m->atom[i].degree != 4 || m->atom[i].hybrid != MOL_SP3)
			continue;
		mol_center_range(i, m->adj_atom + m->adj_start[i], x, 1, np, &lo, &hi);
		if (!(hi < -depth || lo > depth))
			return "embed-failed";
	}
	return NULL;
}

/* One attempt: NULL or the reason code. */
static const char *attempt(struct mol_embedder *e, struct rng *r, bool by_metric, double depth, double *pos)
{
	struct mol_dgerror *f = e->error;
	int n = f->n, np = f->np;
	double *x = e->x;
	if (by_metric)
		mol_start_metric(e->bounds, np, r, e->work, x);
	else
		mol_start_random(e->bounds, np, r, x);
	mol_dgerror_pad(f, x);
	struct mol_lbfgs_opts o = {.max_iter = 200, .g_tol = 1e-3, .f_tol = 3e-3, .max_step = 2};
	struct mol_lbfgs_result res;
	f->w_near = f->w_flat = f->w_torsion = 0;
	f->w_stereo = 1;
	f->w_fourth = 0.02;
	mol_lbfgs_minimise(e->lbfgs, 4 * np, x, mol_dgerror_value, f, &o, &res);
	f->w_near = 1;
	f->w_fourth = 0.5;
	f->w_flat = 0.3;
	f->w_torsion = 0.05;
	o.precondition = mol_dgerror_precondition;
	mol_lbfgs_minimise(e->lbfgs, 4 * np, x, mol_dgerror_value, f, &o, &res);
	const char *bad = judge_centers(e, x, depth);
	if (bad)
		return bad;
	if (!(res.f / n < 0.3))
		return "embed-failed";
	for (int i = 0; i < np; i++)
		x[3 * np + i] = 0;
	f->w_near = 10;
	f->w_flat = 2;
	f->w_torsion = 0.05;
	f->w_fourth = 0;
	o.max_step = 0.5;
	o.max_iter = 300;
	o.f_tol = 1e-4;
	mol_lbfgs_minimise(e->lbfgs, 4 * np, x, mol_dgerror_value, f, &o, &res);
	for (int i = 0; i < n; i++)
		for (int c = 0; c < 3; c++)
			pos[3 * i + c] = x[c * np + i];
	bad = judge_centers(e, x, depth);
	if (bad)
		return bad;
	struct mol_reject why;
	return mol_gate_check(e->m, pos, MOL_GATE_ALL, &why) ? NULL : why.code;
}

const char *mol_embedder_run(struct mol_embedder *e, uint64_t seed, uint64_t key, int conformer, double *pos)
{
	const char *reason = "embed-failed";
	if (e->m->n_atom == 1) {
		pos[0] = pos[1] = pos[2] = 0;
		return NULL;
	}
	e->error->n_pair_done = 0;
	for (int t = 0; t < N_ATTEMPT && e->error->n_pair_done < WORK; t++) {
		struct rng r;
		rng_init(&r, seed, key ^ ((uint64_t)conformer * N_ATTEMPT + (uint64_t)t) * 0x9E3779B97F4A7C15);
		double depth = t < N_ATTEMPT / 2 ? DEPTH : t < N_ATTEMPT * 4 / 5 ? -DEPTH : -1;
		reason = attempt(e, &r, t % 3 != 2, depth, pos);
		if (!reason)
			break;
	}
	return reason;
}
