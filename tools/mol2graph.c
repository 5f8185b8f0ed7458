/*
 * mol2graph - molecules as graphs: reads molecules, adds x, edge_index, edge_attr and z, and on request the scaffold,
 * a fingerprint and the canonical SMILES.
 */
#include "molprog.h"

#include <stddef.h>
#include <string.h>

struct mol2graph {
	struct molprog base;
	int features;
	bool scaffold, fp, canonical, largest_fragment, neutralise;
};

static const char *const FEATURES[] = {"ogb", "hu", NULL}; /* as enum mol_feature_set */

static const struct opt OPTIONS[] = {
    {"features", 0, OPT_CHOICE, "SET", "ogb (9 atom and 3 bond features) or hu (2 and 2)",
     offsetof(struct mol2graph, features), OPT_RECORDS, FEATURES, 0, 0},
    {"scaffold", 0, OPT_FLAG, NULL, "add the Bemis-Murcko scaffold", offsetof(struct mol2graph, scaffold), OPT_RECORDS,
     NULL, 0, 0},
    {"fp", 0, OPT_FLAG, NULL, "add the ECFP4 fingerprint, 2048 bits", offsetof(struct mol2graph, fp), OPT_RECORDS, NULL,
     0, 0},
    {"canonical", 0, OPT_FLAG, NULL, "add the canonical SMILES without stereo", offsetof(struct mol2graph, canonical),
     OPT_RECORDS, NULL, 0, 0},
    {"largest-fragment", 0, OPT_FLAG, NULL, "keep the largest fragment alone",
     offsetof(struct mol2graph, largest_fragment), OPT_RECORDS, NULL, 0, 0},
    {"neutralise", 0, OPT_FLAG, NULL, "take charges away that a proton balances",
     offsetof(struct mol2graph, neutralise), OPT_RECORDS, NULL, 0, 0},
    {0},
};

static int header(void *ctx, struct ts_header *h, struct err *e)
{
	/* Fields that an edited molecule would no longer fit. */
	static const char *const BY_ATOM[] = {"pos", "pos_all", "pos_h", "img", "atom_map"};
	const struct mol2graph *c = ctx;
	struct arena *a = c->base.cli.arena;
	bool edits = c->largest_fragment || c->neutralise;
	for (size_t i = 0; edits && i < sizeof BY_ATOM / sizeof *BY_ATOM; i++)
		if (ts_header_has_field(h, BY_ATOM[i]))
			return err_set(e, ERR_SCHEMA, "records have %s, which an edited molecule no longer fits",
				       BY_ATOM[i]);
	h->features = FEATURES[c->features];
	if (edits)
		ts_header_add_field(h, "smiles_input", a);
	ts_header_add_field(h, "x", a);
	ts_header_add_field(h, "edge_index", a);
	ts_header_add_field(h, "edge_attr", a);
	ts_header_add_field(h, "z", a);
	if (c->scaffold)
		ts_header_add_field(h, "scaffold", a);
	if (c->canonical)
		ts_header_add_field(h, "canonical_flat", a);
	if (c->fp)
		ts_header_add_field(h, "fp", a);
	return 0;
}

/* The molecule that is asked for; its SMILES goes into the record when it differs from what came. */
static int edit(const struct mol2graph *c, struct molprog_job *j, const struct mol **m, struct err *e)
{
	unsigned edits = (c->largest_fragment ? MOL_EDIT_LARGEST : 0) | (c->neutralise ? MOL_EDIT_NEUTRAL : 0);
	const struct ts_value *came = ts_get(j->in, "smiles");
	struct mol_parse_opts o = {.lenient = c->base.lenient};
	const char *smiles;
	struct mol *edited;
	*m = j->m;
	if (!edits)
		return 0;
	int rc = mol_edit(j->m, edits, j->arena, &smiles, j->reject, e);
	if (!rc && !ts_get(j->in, "smiles_input"))
		ts_set(j->out, "smiles_input", *came);
	if (rc || smiles == j->m->smiles)
		return rc;
	rc = mol_parse_smiles(smiles, &o, j->arena, &edited, j->reject, e);
	ts_set_str(j->out, "smiles", smiles);
	*m = edited;
	return rc;
}

static void graph_set(const struct mol2graph *c, const struct mol *m, struct ts_map *out, struct arena *a)
{
	struct mol_features f;
	mol_features_fill(m, (enum mol_feature_set)c->features, a, &f);
	ts_set_tensor(out, "x", TS_I64, f.x, 2, f.n_atom, (int64_t)f.n_x);
	ts_set_tensor(out, "edge_index", TS_I64, f.edge_index, 2, (int64_t)2, f.n_edge);
	ts_set_tensor(out, "edge_attr", TS_I64, f.edge_attr, 2, f.n_edge, (int64_t)f.n_attr);
	ts_set_tensor(out, "z", TS_I64, f.z, 1, f.n_atom);
}

static int work(void *ctx, struct molprog_job *j, struct err *e)
{
	const struct mol2graph *c = ctx;
	const struct mol *m;
	const char *text;
	int rc = edit(c, j, &m, e);
	if (rc)
		return rc;
	graph_set(c, m, j->out, j->arena);
	if (c->scaffold) {
		if ((rc = mol_scaffold(m, j->arena, &text, e)))
			return rc;
		ts_set_str(j->out, "scaffold", text);
	}
	if (c->canonical) {
		if ((rc = mol_canonical_flat(m, j->arena, &text, e)))
			return rc;
		ts_set_str(j->out, "canonical_flat", text);
	}
	if (c->fp) {
		uint8_t *fp = arena_alloc(j->arena, 256);
		mol_ecfp(m, j->arena, fp);
		ts_set_tensor(j->out, "fp", TS_U8, fp, 1, (int64_t)256);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct mol2graph c = {.base = MOLPROG_DEFAULTS};
	static const struct molprog_program program = {
	    .name = "mol2graph", .own = OPTIONS, .header = header, .work = work};
	return molprog_main(&program, &c, sizeof c, argc, argv);
}
