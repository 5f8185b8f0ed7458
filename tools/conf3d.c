/*
 * conf3d - three-dimensional conformers of molecules: reads molecules, adds pos, z and their kin.
 */
#include "mol_conf.h"
#include "molprog.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum method { METHOD_DG, METHOD_DG_FF, METHOD_NONE };
static const char *const METHODS[] = {"dg", "dg+ff", "none", NULL};
static const char *const FORCE_FIELDS[] = {"mmff94", "mmff94s", "uff", "auto", NULL};
enum { FF_AUTO = 3 }; /* those before it are enum mol_ff_kind */

struct conf3d {
	struct molprog base;
	int64_t n_conf;
	double rmsd_ang, window_kcal;
	int method, ff;
	bool terms, hydrogens, keep_failed, use_input;
	const char *sdf;
	struct io_atomic sdf_file;
	bool sdf_open;
};

static const struct opt OPTIONS[] = {
    {"conformers", 'n', OPT_INT, "C", "conformers a molecule", offsetof(struct conf3d, n_conf), OPT_RECORDS, NULL, 1,
     1000},
    {"rmsd", 0, OPT_FLOAT, "R", "drop conformers nearer than R angstrom to a better one",
     offsetof(struct conf3d, rmsd_ang), OPT_RECORDS, NULL, 0, 100},
    {"window", 0, OPT_FLOAT, "KCAL", "drop conformers more than KCAL kcal/mol above the lowest",
     offsetof(struct conf3d, window_kcal), OPT_RECORDS, NULL, 0, 1e6},
    {"method", 0, OPT_CHOICE, "METHOD", "dg: distance geometry; dg+ff: and a force field; none: input's own",
     offsetof(struct conf3d, method), OPT_RECORDS, METHODS, 0, 0},
    {"ff", 0, OPT_CHOICE, "FF", "force field; auto: mmff94, uff where that has no type or no good shape",
     offsetof(struct conf3d, ff), OPT_RECORDS, FORCE_FIELDS, 0, 0},
    {"terms", 0, OPT_FLAG, NULL, "write the seven terms of the energy", offsetof(struct conf3d, terms), OPT_RECORDS,
     NULL, 0, 0},
    {"hydrogens", 0, OPT_FLAG, NULL, "write the hydrogens' places too (pos_h, parent_h)",
     offsetof(struct conf3d, hydrogens), OPT_RECORDS, NULL, 0, 0},
    {"keep-failed", 0, OPT_FLAG, NULL, "a molecule without a conformer goes on without pos",
     offsetof(struct conf3d, keep_failed), OPT_RECORDS, NULL, 0, 0},
    {"use-input-coordinates", 0, OPT_FLAG, NULL, "take an SDF's own coordinates where they pass the gate",
     offsetof(struct conf3d, use_input), OPT_RECORDS, NULL, 0, 0},
    {"sdf", 0, OPT_STR, "FILE", "write all conformers with hydrogens to an SDF too", offsetof(struct conf3d, sdf), 0,
     NULL, 0, 0},
    {0},
};

/* Kept atoms of conformer c, float32. */
static void copy_kept(const struct mol_conf_set *s, int c, int n_kept, float *out)
{
	const double *pos = s->pos + 3 * (size_t)s->n_atom * (size_t)c;
	for (int k = 0; k < 3 * n_kept; k++)
		out[k] = (float)pos[k];
}

static void set_fields(const struct conf3d *conf, struct molprog_job *j, const struct mol *whole,
		       const struct mol_conf_set *s)
{
	int n = j->m->n_atom, n_hydrogen = s->n_atom - n;
	float *all = arena_alloc(j->arena, (3 * (size_t)n * (size_t)s->n + 1) * sizeof *all);
	int64_t *z = arena_alloc(j->arena, ((size_t)n + 1) * sizeof *z);
	for (int c = 0; c < s->n; c++)
		copy_kept(s, c, n, all + 3 * (size_t)n * (size_t)c);
	for (int i = 0; i < n; i++)
		z[i] = j->m->atom[i].z;
	ts_set_tensor(j->out, "pos", TS_F32, all, 2, (int64_t)n, (int64_t)3);
	if (conf->n_conf > 1)
		ts_set_tensor(j->out, "pos_all", TS_F32, all, 3, (int64_t)s->n, (int64_t)n, (int64_t)3);
	ts_set_tensor(j->out, "z", TS_I64, z, 1, (int64_t)n);
	if (s->energy) {
		ts_set_tensor(j->out, "energy", TS_F64, s->energy, 1, (int64_t)s->n);
		ts_set_str(j->out, "ff", s->ff);
	}
	if (s->terms)
		ts_set_tensor(j->out, "energy_terms", TS_F64, s->terms, 2, (int64_t)s->n, (int64_t)MOL_FF_N_TERM);
	if (!conf->hydrogens)
		return;
	float *pos_h = arena_alloc(j->arena, (3 * (size_t)n_hydrogen + 1) * sizeof *pos_h);
	int64_t *parent = arena_alloc(j->arena, ((size_t)n_hydrogen + 1) * sizeof *parent);
	for (int h = 0; h < n_hydrogen; h++) {
		for (int k = 0; k < 3; k++)
			pos_h[3 * h + k] = (float)s->pos[3 * (n + h) + k];
		parent[h] = whole->adj_atom[whole->adj_start[n + h]];
	}
	ts_set_tensor(j->out, "pos_h", TS_F32, pos_h, 2, (int64_t)n_hydrogen, (int64_t)3);
	ts_set_tensor(j->out, "parent_h", TS_I64, parent, 1, (int64_t)n_hydrogen);
}

/* Where the job's own coordinates are: in its SDF record, or in the fields that an earlier stage kept of it. */
static struct mol_conf_input find_input(const struct molprog_job *j)
{
	struct mol_conf_input in = {0};
	const struct mol *m = j->m;
	const struct ts_tensor *pos, *z, *map;
	int64_t *source = arena_alloc(j->arena, ((size_t)m->n_atom + 1) * sizeof *source);
	if (m->n_file) {
		for (int i = 0; i < m->n_atom; i++)
			source[i] = m->atom[i].source;
		in = (struct mol_conf_input){m->n_file, m->file_pos, m->file_z, source, m->file_parent};
	} else if (ts_need_tensor(j->in, "pos_input", TS_F32, 2, &pos, NULL) >= 0 &&
		   ts_need_tensor(j->in, "z_input", TS_I64, 1, &z, NULL) >= 0 &&
		   ts_need_tensor(j->in, "atom_map", TS_I64, 1, &map, NULL) >= 0 && pos->shape[0] == z->shape[0] &&
		   pos->shape[1] == 3 && map->shape[0] == m->n_atom) {
		in = (struct mol_conf_input){(int)z->shape[0], pos->data, z->data, map->data, NULL};
	}
	return in;
}

/* The input's own coordinates: gated unless they are taken as they are, with energies where hydrogens are there. */
static int take_input(const struct conf3d *conf, struct molprog_job *j, const struct mol *whole,
		      struct mol_conf_set **s, struct err *e)
{
	struct mol_conf_input in = find_input(j);
	struct mol_ff *ff;
	if (!mol_conf_from_input(whole, j->m->n_atom, &in, j->arena, s, j->reject))
		return ERR_CHEM;
	const struct mol *judged = (*s)->n_atom == whole->n_atom ? whole : j->m;
	if (conf->method != METHOD_NONE &&
	    !mol_gate_check(judged, (*s)->pos, MOL_GATE_STEREO | MOL_GATE_CONTACTS, j->reject))
		return ERR_CHEM;
	if (conf->method == METHOD_DG)
		return 0;
	if (judged != whole)
		return molprog_refuse(j, "no-coordinates", "an energy needs the hydrogens' coordinates");
	int rc = mol_conf_ff_new(whole, conf->ff == FF_AUTO ? MOL_CONF_FF_AUTO : conf->ff, j->arena, &ff, j->reject, e);
	if (rc >= 0)
		mol_conf_set_energies(*s, ff, conf->terms, j->arena);
	return rc;
}

/* Conformers of the job's molecule, or of its file. ERR_CHEM with the reason filled. */
static int find_conformers(const struct conf3d *conf, struct molprog_job *j, const struct mol *whole,
			   struct mol_conf_set **s, struct err *e)
{
	if (conf->method == METHOD_NONE || conf->use_input)
		return take_input(conf, j, whole, s, e);
	struct mol_conf_opts o = {.n_conf = (int)conf->n_conf,
				  .rmsd_ang = conf->rmsd_ang,
				  .window_kcal = conf->window_kcal,
				  .seed = (uint64_t)conf->base.cli.seed,
				  .ff = conf->method == METHOD_DG ? MOL_CONF_FF_NONE
					: conf->ff == FF_AUTO     ? MOL_CONF_FF_AUTO
								  : conf->ff,
				  .terms = conf->terms};
	return mol_conf_generate(whole, &o, j->arena, s, j->reject, e);
}

static int work(void *ctx, struct molprog_job *j, struct err *e)
{
	const struct conf3d *conf = ctx;
	const struct mol *whole = mol_add_hydrogens(j->m, j->arena);
	struct mol_conf_set *s = NULL;
	struct err failure = {0};
	int rc = find_conformers(conf, j, whole, &s, &failure);
	if (rc == ERR_CHEM && conf->keep_failed) {
		j->warned = true;
		return 0;
	}
	if (rc < 0)
		return rc == ERR_CHEM ? rc : err_set(e, rc, "%s", failure.msg);
	set_fields(conf, j, whole, s);
	for (int c = 0; conf->sdf && c < s->n; c++)
		mol_sdf_write(j->side, s->n_atom == whole->n_atom ? whole : j->m,
			      s->pos + 3 * (size_t)s->n_atom * (size_t)c, j->id, j->m->smiles,
			      s->energy ? s->energy + c : NULL);
	return 0;
}

static int begin(void *ctx, struct err *e)
{
	struct conf3d *conf = ctx;
	if (conf->terms && conf->method == METHOD_DG)
		return err_set(e, ERR_USAGE, "--terms needs a force field, and --method dg has none");
	if (conf->window_kcal > 0 && conf->method == METHOD_DG)
		return err_set(e, ERR_USAGE, "--window needs a force field, and --method dg has none");
	/* before there are workers, which share the tables and may not open files */
	int rc = conf->method == METHOD_DG || conf->ff == MOL_FF_UFF ? 0 : mol_ff_start(e);
	if (rc || !conf->sdf)
		return rc;
	rc = io_atomic_open(&conf->sdf_file, conf->sdf, e);
	conf->sdf_open = rc >= 0;
	return rc;
}

static int header(void *ctx, struct ts_header *h, struct err *e)
{
	const struct conf3d *conf = ctx;
	struct arena *a = conf->base.cli.arena;
	ts_header_add_field(h, "pos", a);
	if (conf->n_conf > 1)
		ts_header_add_field(h, "pos_all", a);
	ts_header_add_field(h, "z", a);
	if (conf->method != METHOD_DG) {
		ts_header_add_field(h, "energy", a);
		ts_header_add_field(h, "ff", a);
		if (conf->terms)
			ts_header_add_field(h, "energy_terms", a);
	}
	if (conf->hydrogens) {
		ts_header_add_field(h, "pos_h", a);
		ts_header_add_field(h, "parent_h", a);
	}
	return 0;
}

static int each(void *ctx, int64_t row, const uint8_t *side, size_t n, struct err *e)
{
	struct conf3d *conf = ctx;
	return conf->sdf ? io_write_all(conf->sdf_file.fd, side, n, e) : 0;
}

static int finish(void *ctx, bool success, struct err *e)
{
	struct conf3d *conf = ctx;
	if (!conf->sdf_open)
		return 0;
	conf->sdf_open = false;
	if (success)
		return io_atomic_commit(&conf->sdf_file, e);
	io_atomic_discard(&conf->sdf_file);
	return 0;
}

int main(int argc, char **argv)
{
	struct conf3d conf = {.base = MOLPROG_DEFAULTS, .n_conf = 1, .method = METHOD_DG_FF, .ff = FF_AUTO};
	static const struct molprog_program program = {.name = "conf3d",
						       .own = OPTIONS,
						       .seeded = true,
						       .begin = begin,
						       .header = header,
						       .work = work,
						       .each = each,
						       .finish = finish};
	return molprog_main(&program, &conf, sizeof conf, argc, argv);
}
