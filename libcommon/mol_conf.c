/* mol_conf.c - the conformers of a molecule: its fragments embedded one by one, laid side by side. */
#include "mol_conf.h"
#include "mol_dg.h"

#include <stdio.h>
#include <string.h>

static const double APART_ANG = 3;

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

static int refuse(struct mol_reject *why, const char *code, const char *text, struct err *e)
{
	memset(why, 0, sizeof *why);
	why->code = code;
	snprintf(why->msg, sizeof why->msg, "%s", text);
	return err_set(e, ERR_CHEM, "%s", text);
}

/* True if the heavy atoms of conformer c of the set lie nearer than rmsd_ang to those of an earlier one. */
static bool is_twin(const struct mol *m, const struct mol_conf_set *set, int c, double rmsd_ang, double *p, double *q)
{
	size_t one = 3 * (size_t)m->n_atom;
	for (int o = 0; o < c; o++) {
		int n = 0;
		for (int i = 0; i < m->n_atom; i++)
			if (m->atom[i].z != 1) {
				memcpy(p + 3 * n, set->pos + one * (size_t)c + 3 * i, 3 * sizeof *p);
				memcpy(q + 3 * n++, set->pos + one * (size_t)o + 3 * i, 3 * sizeof *q);
			}
		if (mol_rmsd_ang(n, p, q) < rmsd_ang)
			return true;
	}
	return false;
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
	struct part *part = arena_calloc(a, (size_t)m->n_fragment + 1, sizeof *part);
	for (int k = 0; k < m->n_fragment; k++) {
		part[k].m = cut_fragment(m, k, a, &part[k].to_whole);
		part[k].embedder = mol_embedder_new(part[k].m, a);
		part[k].pos = arena_alloc(a, 3 * (size_t)part[k].m->n_atom * sizeof(double));
	}
	struct mol_conf_set *set = arena_calloc(a, 1, sizeof *set);
	size_t one = 3 * (size_t)m->n_atom;
	set->n_atom = m->n_atom;
	set->pos = arena_alloc(a, (size_t)o->n_conf * one * sizeof(double));
	double *p = arena_alloc(a, one * sizeof *p), *q = arena_alloc(a, one * sizeof *q);
	uint64_t key = m->smiles ? rng_hash(m->smiles, strlen(m->smiles)) : 0;
	const char *reason = NULL;
	for (int c = 0; c < o->n_conf; c++) {
		double *pos = set->pos + one * (size_t)set->n, edge = 0;
		const char *bad = NULL;
		for (int k = 0; k < m->n_fragment && !bad; k++) {
			bad = mol_embedder_run(part[k].embedder, o->seed, key + (uint64_t)k, c, part[k].pos);
			if (!bad)
				lay_part(&part[k], pos, &edge);
		}
		if (bad) {
			reason = bad;
			if (!set->n)
				break; /* what never worked will not work next time */
		} else if (!(o->rmsd_ang > 0 && is_twin(m, set, set->n, o->rmsd_ang, p, q))) {
			set->n++;
		}
	}
	if (!set->n)
		return refuse(why, reason, explain(reason), e);
	*out = set;
	return 0;
}
