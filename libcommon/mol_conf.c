/* mol_conf.c - the conformers of a molecule: its fragments embedded one by one, laid side by side. */
#include "mol_conf.h"
#include "mol_dg.h"
#include "mol_rotor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double APART_ANG = 3;
static const double SPREAD_KCAL = 2.5;  /* of the turns of further conformers */
static const double AGREE_KCAL = 0.5;   /* two shapes so near are one */
enum { N_SHAPE = 3 };                   /* shapes from which the first conformer is chosen, where rings are loose */
enum { N_DESCENT = 2 };                 /* searches of the turns of each of them */
enum { MAX_ITER = 1000, N_TRIAL = 30 }; /* steps of the force field to a minimum; to tell shapes apart */
enum { N_RING_ATOM = 3 };               /* tetrahedral ones make a ring loose */
enum { N_SPARE = 3 };                   /* conformers made beyond those asked for, in the place of bad ones */

/* Molecule that holds fragment `which` of m alone; to_whole [its n_atom] are the atoms' indices in m. */
static struct mol *cut_fragment(const struct mol *m, int which, struct arena *a, int32_t **to_whole)
{
	struct mol *f = arena_calloc(a, 1, sizeof *f);
	int32_t *to_part = arena_alloc(a, ((size_t)m->n_atom + 1) * sizeof *to_part);
	*to_whole = arena_alloc(a, ((size_t)m->n_atom + 1) * sizeof **to_whole);
	for (int i = 0; i < m->n_atom; i++) {
		to_part[i] = m->atom[i].fragment == which ? f->n_atom : -1;
		if (to_part[i] >= 0)
			(*to_whole)[f->n_atom++] = i;
	}
	f->n_fragment = 1;
	f->smiles = m->smiles;
	f->atom = arena_calloc(a, (size_t)f->n_atom + 1, sizeof *f->atom);
	f->adj_start = arena_calloc(a, (size_t)f->n_atom + 1, sizeof *f->adj_start);
	f->adj_atom = arena_calloc(a, 2 * (size_t)m->n_bond + 1, sizeof *f->adj_atom);
	f->adj_bond = arena_calloc(a, 2 * (size_t)m->n_bond + 1, sizeof *f->adj_bond);
	f->bond = arena_calloc(a, (size_t)m->n_bond + 1, sizeof *f->bond);
	int32_t *bond_to_part = arena_alloc(a, ((size_t)m->n_bond + 1) * sizeof *bond_to_part);
	for (int b = 0; b < m->n_bond; b++) {
		bond_to_part[b] = -1;
		if (to_part[m->bond[b].a] < 0)
			continue;
		bond_to_part[b] = f->n_bond;
		f->bond[f->n_bond] = m->bond[b];
		f->bond[f->n_bond].a = to_part[m->bond[b].a];
		f->bond[f->n_bond++].b = to_part[m->bond[b].b];
	}
	for (int i = 0; i < f->n_atom; i++) {
		int whole = (*to_whole)[i], n = f->adj_start[i];
		f->atom[i] = m->atom[whole];
		f->atom[i].fragment = 0;
		for (int k = m->adj_start[whole]; k < m->adj_start[whole + 1]; k++, n++) {
			f->adj_atom[n] = to_part[m->adj_atom[k]];
			f->adj_bond[n] = bond_to_part[m->adj_bond[k]];
		}
		f->adj_start[i + 1] = n;
	}
	int n_place = m->n_ring ? m->ring_start[m->n_ring] : 0;
	f->ring_start = arena_calloc(a, (size_t)m->n_ring + 1, sizeof *f->ring_start);
	f->ring_atom = arena_calloc(a, (size_t)n_place + 1, sizeof *f->ring_atom);
	for (int r = 0; r < m->n_ring; r++) {
		if (to_part[m->ring_atom[m->ring_start[r]]] < 0)
			continue;
		int n = f->ring_start[f->n_ring];
		for (int p = m->ring_start[r]; p < m->ring_start[r + 1]; p++)
			f->ring_atom[n++] = to_part[m->ring_atom[p]];
		f->ring_start[++f->n_ring] = n;
	}
	f->center = arena_calloc(a, (size_t)m->n_center + 1, sizeof *f->center);
	for (int k = 0; k < m->n_center; k++) {
		if (to_part[m->center[k].atom] < 0)
			continue;
		struct mol_center *c = &f->center[f->n_center++];
		c->atom = to_part[m->center[k].atom];
		for (int t = 0; t < 4; t++)
			c->nbr[t] = m->center[k].nbr[t] < 0 ? -1 : to_part[m->center[k].nbr[t]];
	}
	f->cistrans = arena_calloc(a, (size_t)m->n_cistrans + 1, sizeof *f->cistrans);
	for (int k = 0; k < m->n_cistrans; k++) {
		if (to_part[m->cistrans[k].atom[0]] < 0)
			continue;
		struct mol_cistrans *c = &f->cistrans[f->n_cistrans++];
		*c = m->cistrans[k];
		c->bond = bond_to_part[c->bond];
		for (int t = 0; t < 2; t++) {
			c->atom[t] = to_part[c->atom[t]];
			c->nbr[t] = c->nbr[t] < 0 ? -1 : to_part[c->nbr[t]];
		}
	}
	return f;
}

struct part {
	const struct mol *m;
	int32_t *to_whole;
	struct mol_embedder *embedder;
	double *pos; /* [m->n_atom, 3] */
};

/* Copies the part into the whole's pos, its box beyond *edge on the x axis; moves *edge past it. */
static void lay_part(const struct part *p, double *pos, double *edge)
{
	double low[3], high[3];
	for (int k = 0; k < 3; k++) {
		low[k] = high[k] = p->pos[k];
		for (int i = 1; i < p->m->n_atom; i++) {
			double v = p->pos[3 * i + k];
			low[k] = v < low[k] ? v : low[k];
			high[k] = v > high[k] ? v : high[k];
		}
	}
	double shift[3] = {*edge - low[0], -0.5 * (low[1] + high[1]), -0.5 * (low[2] + high[2])};
	for (int i = 0; i < p->m->n_atom; i++)
		for (int k = 0; k < 3; k++)
			pos[3 * p->to_whole[i] + k] = p->pos[3 * i + k] + shift[k];
	*edge += high[0] - low[0] + APART_ANG;
}

static const char *explain(const char *code)
{
	if (!strcmp(code, "stereo-wrong"))
		return "no attempt has the stereochemistry of the SMILES";
	if (!strcmp(code, "clash"))
		return "every attempt has atoms upon each other";
	if (!strcmp(code, "bond-length"))
		return "every attempt has a bond more than 15 % off its ideal length";
	return "no attempt meets the distance bounds";
}

static bool set_reject(struct mol_reject *why, const char *code, const char *text)
{
	memset(why, 0, sizeof *why);
	why->code = code;
	snprintf(why->msg, sizeof why->msg, "%s", text);
	return false;
}

static int refuse(struct mol_reject *why, const char *code, const char *text, struct err *e)
{
	set_reject(why, code, text);
	return err_set(e, ERR_CHEM, "%s", text);
}

int mol_conf_ff_new(const struct mol *m, int which, struct arena *a, struct mol_ff **out, struct mol_reject *why,
		    struct err *e)
{
	struct err first = {0};
	int kind = which == MOL_CONF_FF_AUTO ? MOL_FF_MMFF94 : which;
	int rc = mol_ff_new(m, (enum mol_ff_kind)kind, a, out, why, &first);
	if (rc == ERR_CHEM && which == MOL_CONF_FF_AUTO)
		return mol_ff_new(m, MOL_FF_UFF, a, out, why, e);
	return rc < 0 ? err_set(e, rc, "%s", first.msg) : rc;
}

void mol_conf_set_energies(struct mol_conf_set *s, const struct mol_ff *ff, bool terms, struct arena *a)
{
	double part[MOL_FF_N_TERM];
	s->ff = mol_ff_names[mol_ff_kind_of(ff)];
	s->energy = arena_alloc(a, (size_t)s->n * sizeof *s->energy);
	s->terms = terms ? arena_alloc(a, (size_t)s->n * sizeof part) : NULL;
	for (int c = 0; c < s->n; c++) {
		s->energy[c] = mol_ff_energy_kcal(ff, s->pos + 3 * (size_t)s->n_atom * (size_t)c, NULL, part);
		if (terms)
			memcpy(s->terms + c * MOL_FF_N_TERM, part, sizeof part);
	}
}

/* What the making of one molecule's conformers shares. */
struct maker {
	const struct mol *m;
	const struct mol_conf_opts *o;
	uint64_t key;
	struct part *part;
	struct mol_ff *ff; /* NULL: none */
	struct mol_lbfgs *lbfgs;
	struct mol_rotors *rotors;
	struct mol_reject why; /* the last failure */
	bool spoilt;           /* it was the force field's, not the embedding's */
	int n_shape;           /* embedded for the first conformer */
	double *trial;         /* [n_atom, 3] */
};

/* True if rings may take several shapes, which no turning of bonds reaches. */
static bool has_loose_ring(const struct mol *m)
{
	int n = 0;
	for (int i = 0; i < m->n_atom; i++)
		n += m->atom[i].in_ring && m->atom[i].hybrid == MOL_SP3;
	return n >= N_RING_ATOM;
}

/* Shape number c of distance geometry, fragments side by side. False: k->why says why not. */
static bool embed(struct maker *k, int c, double *pos)
{
	double edge = 0;
	for (int f = 0; f < k->m->n_fragment; f++) {
		const char *bad =
		    mol_embedder_run(k->part[f].embedder, k->o->seed, k->key + (uint64_t)f, c, k->part[f].pos);
		if (bad)
			return set_reject(&k->why, bad, explain(bad));
		lay_part(&k->part[f], pos, &edge);
	}
	return true;
}

/* Turns the bonds of shape number c, to the best that is found or at random; relaxes it. The energy, kcal/mol. */
static double relax(struct maker *k, int c, bool best, int max_iter, double *pos)
{
	struct mol_lbfgs_opts descent = {.max_iter = max_iter, .g_tol = 0.02, .f_tol = 1e-6, .max_step = 0.3};
	struct mol_rotor_opts search = {.n_start = best ? N_DESCENT : 1, .kt_kcal = best ? 0 : SPREAD_KCAL};
	struct mol_lbfgs_result found;
	struct rng r;
	rng_init(&r, k->o->seed, k->key ^ ((uint64_t)c + 1) * 0xD1B54A32D192ED03);
	mol_rotors_search(k->rotors, &search, &r, pos);
	mol_ff_minimise(k->ff, pos, k->lbfgs, &descent, &found);
	return found.f;
}

/* The most promising of several shapes into pos. False: k->why says why there is none. */
static bool find_best(struct maker *k, int c, double *pos)
{
	double least = INFINITY;
	for (int s = 0; s < k->n_shape; s++) {
		if (!embed(k, c + s * MOL_CONF_MAX_ATOM, k->trial))
			continue;
		double energy = relax(k, c + s * MOL_CONF_MAX_ATOM, true, N_TRIAL, k->trial);
		bool agrees = fabs(energy - least) < AGREE_KCAL;
		if (energy < least) {
			least = energy;
			memcpy(pos, k->trial, 3 * (size_t)k->m->n_atom * sizeof *pos);
		}
		if (agrees) /* two of a kind: others are hardly better */
			break;
	}
	return least < INFINITY;
}

/* Conformer number c into pos, as good as can be or one of the many others; false: k->why says why not. */
static bool make_one(struct maker *k, int c, bool best, double *pos)
{
	struct mol_lbfgs_opts rest = {.max_iter = MAX_ITER, .g_tol = 0.02, .f_tol = 1e-6, .max_step = 0.3};
	struct mol_lbfgs_result found;
	k->spoilt = false;
	if (!k->ff)
		return embed(k, c, pos);
	if (best && k->n_shape > 1) {
		if (!find_best(k, c, pos))
			return false;
		mol_ff_minimise(k->ff, pos, k->lbfgs, &rest, &found);
	} else {
		if (!embed(k, c, pos))
			return false;
		relax(k, c, best, MAX_ITER, pos);
	}
	k->spoilt = !mol_gate_check(k->m, pos, MOL_GATE_ALL, &k->why);
	return !k->spoilt;
}

/* Conformers into s until there are enough, or it is clear that there will be none. */
static void make_all(struct maker *k, struct mol_conf_set *s)
{
	int want = k->o->n_conf;
	/* a shape that the force field spoils gets another chance; what never worked will not work next time */
	for (int c = 0; c < want + N_SPARE && s->n < want && (s->n || c < N_SPARE); c++) {
		bool good = make_one(k, c, !s->n, s->pos + 3 * (size_t)s->n_atom * (size_t)s->n);
		s->n += good;
		if (!good && !k->ff && !s->n)
			break;
	}
}

/* The force field by its number and what goes with it. As mol_conf_ff_new. */
static int take_force_field(struct maker *k, int which, struct arena *a, struct mol_reject *why, struct err *e)
{
	int rc = mol_conf_ff_new(k->m, which, a, &k->ff, why, e);
	if (rc < 0)
		return rc;
	k->lbfgs = mol_lbfgs_new(a, 3 * k->m->n_atom);
	k->rotors = mol_rotors_new(k->m, k->ff, a);
	k->n_shape = mol_ff_kind_of(k->ff) != MOL_FF_UFF && has_loose_ring(k->m) ? N_SHAPE : 1;
	k->trial = arena_alloc(a, 3 * (size_t)k->m->n_atom * sizeof(double));
	return rc;
}

int mol_conf_generate(const struct mol *m, const struct mol_conf_opts *o, struct arena *a, struct mol_conf_set **out,
		      struct mol_reject *why, struct err *e)
{
	if (m->n_atom < 1)
		return refuse(why, "empty", "no atom to place", e);
	if (m->n_atom > MOL_CONF_MAX_ATOM)
		return refuse(why, "too-large", "too many atoms, hydrogens counted, for a conformer", e);
	for (int i = 0; i < m->n_atom; i++)
		if (m->atom[i].degree > 8)
			return refuse(why, "embed-failed", "no geometry is known for an atom of more than 8 neighbours",
				      e);
	struct maker k = {.m = m, .o = o, .key = m->smiles ? rng_hash(m->smiles, strlen(m->smiles)) : 0};
	int rc = o->ff == MOL_CONF_FF_NONE ? 0 : take_force_field(&k, o->ff, a, why, e);
	if (rc < 0)
		return rc;
	k.part = arena_calloc(a, (size_t)m->n_fragment + 1, sizeof *k.part);
	for (int f = 0; f < m->n_fragment; f++) {
		k.part[f].m = cut_fragment(m, f, a, &k.part[f].to_whole);
		k.part[f].embedder = mol_embedder_new(k.part[f].m, a);
		k.part[f].pos = arena_alloc(a, 3 * (size_t)k.part[f].m->n_atom * sizeof(double));
	}
	struct mol_conf_set *set = arena_calloc(a, 1, sizeof *set);
	set->n_atom = m->n_atom;
	set->pos = arena_alloc(a, 3 * (size_t)m->n_atom * (size_t)o->n_conf * sizeof(double));
	make_all(&k, set);
	/* MMFF94 has rules for bonds that its tables lack; they know no order, and CO2 ends up 1.4 angstrom long */
	struct mol_reject first = k.why;
	if (!set->n && k.spoilt && o->ff == MOL_CONF_FF_AUTO && mol_ff_kind_of(k.ff) != MOL_FF_UFF &&
	    take_force_field(&k, MOL_FF_UFF, a, why, e) >= 0)
		make_all(&k, set);
	if (!set->n)
		return refuse(why, first.code, first.msg, e);
	if (k.ff)
		mol_conf_set_energies(set, k.ff, o->terms, a);
	mol_conf_keep_best(m, set, o->rmsd_ang, o->window_kcal, a);
	*out = set;
	return 0;
}
