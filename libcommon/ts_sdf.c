/* Records as SDF (V2000): what the tensors hold, no more. */
#include "ts_export.h"

#include <inttypes.h>
#include <string.h>

#define MAX_V2000 999

static const char symbols[] =
    "* H HeLiBeB C N O F NeNaMgAlSiP S ClArK CaScTiV CrMnFeCoNiCuZnGaGeAsSeBrKrRbSrY ZrNbMoTcRuRhPdAgCdInSnSbTeI Xe"
    "CsBaLaCePrNdPmSmEuGdTbDyHoErTmYbLuHfTaW ReOsIrPtAuHgTlPbBiPoAtRnFrRaAcThPaU NpPuAmCmBkCfEsFmMdNoLrRfDbSgBhHsMt"
    "DsRgCnNhFlMcLvTsOg";

static void atom_line(FILE *out, const float *p, int64_t z)
{
	static const float origin[3];
	if (!p)
		p = origin;
	if (z < 0 || z > 118)
		z = 0;
	fprintf(out, "%10.4f%10.4f%10.4f %.2s  0  0  0  0  0  0  0  0  0  0  0  0\n", (double)p[0], (double)p[1],
		(double)p[2], symbols + 2 * z);
}

/* The optional tensor of that dtype and rank; another is a failure. */
static int optional(const struct ts_map *m, const char *key, enum ts_dtype d, int n_dim, const struct ts_tensor **t,
		    struct err *e)
{
	*t = NULL;
	return ts_get(m, key) ? ts_need_tensor(m, key, d, n_dim, t, e) : 0;
}

static void tags_write(FILE *out, const struct ts_map *m)
{
	for (int i = 0; i < m->n; i++) {
		const struct ts_field *f = &m->fields[i];
		bool small = f->v.kind == TS_TENSOR && ts_tensor_count(&f->v.u.t) <= 64 && f->v.u.t.n_dim <= 1 &&
			     (!strcmp(f->key, "y") || !strcmp(f->key, "energy") || !strcmp(f->key, "pred"));
		if (!(small || f->v.kind == TS_STR || f->v.kind == TS_INT || f->v.kind == TS_FLOAT))
			continue;
		fprintf(out, "> <%s>\n", f->key);
		ts_tsv_value(out, &f->v);
		fputs("\n\n", out);
	}
}

/* Formal charges stand in the ogb features (column 3, plus 5). */
static void charges_write(FILE *out, const struct ts_header *h, const struct ts_tensor *x)
{
	if (!x || strcmp(h->features, "ogb") || x->shape[1] != 9)
		return;
	for (int64_t i = 0; i < x->shape[0]; i++) {
		int64_t charge = ((const int64_t *)x->data)[9 * i + 3] - 5;
		if (charge)
			fprintf(out, "M  CHG  1%4" PRId64 "%4" PRId64 "\n", i + 1, charge);
	}
}

int ts_sdf_write(FILE *out, const struct ts_header *h, const struct ts_map *m, struct err *e)
{
	const struct ts_tensor *z, *pos, *pos_h, *parent, *edge, *attr, *x;
	int rc = ts_need_tensor(m, "z", TS_I64, 1, &z, e);
	if (!rc)
		rc = optional(m, "pos", TS_F32, 2, &pos, e);
	if (!rc)
		rc = optional(m, "pos_h", TS_F32, 2, &pos_h, e);
	if (!rc)
		rc = optional(m, "parent_h", TS_I64, 1, &parent, e);
	if (!rc)
		rc = optional(m, "edge_index", TS_I64, 2, &edge, e);
	if (!rc)
		rc = optional(m, "edge_attr", TS_I64, 2, &attr, e);
	if (!rc)
		rc = optional(m, "x", TS_I64, 2, &x, e);
	if (rc)
		return rc;
	int64_t n = z->shape[0], n_h = pos && pos_h && parent ? pos_h->shape[0] : 0, n_bond = n_h;
	int64_t n_edge = edge && attr ? edge->shape[1] : 0;
	const int64_t *from = n_edge ? edge->data : NULL, *to = n_edge ? from + n_edge : NULL;
	for (int64_t i = 0; i < n_edge; i++) {
		if (from[i] < 0 || from[i] >= n || to[i] < 0 || to[i] >= n)
			return err_set(e, ERR_SCHEMA, "edge_index points past the atoms");
		n_bond += from[i] < to[i];
	}
	for (int64_t i = 0; i < n_h; i++)
		if (((const int64_t *)parent->data)[i] < 0 || ((const int64_t *)parent->data)[i] >= n)
			return err_set(e, ERR_SCHEMA, "parent_h points past the atoms");
	if (n + n_h > MAX_V2000 || n_bond > MAX_V2000)
		return err_set(e, ERR_LIMIT, "%" PRId64 " atoms are too many for an SDF in V2000", n + n_h);
	const struct ts_value *id = ts_get(m, "id");
	ts_tsv_value(out, id);
	fprintf(out, "\n  molrill           %s\n\n%3" PRId64 "%3" PRId64 "  0  0  0  0  0  0  0  0999 V2000\n",
		pos ? "3D" : "2D", n + n_h, n_bond);
	for (int64_t i = 0; i < n; i++)
		atom_line(out, pos ? (const float *)pos->data + 3 * i : NULL, ((const int64_t *)z->data)[i]);
	for (int64_t i = 0; i < n_h; i++)
		atom_line(out, (const float *)pos_h->data + 3 * i, 1);
	for (int64_t i = 0; i < n_edge; i++) {
		int64_t type = ((const int64_t *)attr->data)[i * attr->shape[1]];
		if (from[i] < to[i]) /* single, double, triple, aromatic; else 8, any */
			fprintf(out, "%3" PRId64 "%3" PRId64 "%3d  0\n", from[i] + 1, to[i] + 1,
				type >= 0 && type < 4 ? (int)type + 1 : 8);
	}
	for (int64_t i = 0; i < n_h; i++)
		fprintf(out, "%3" PRId64 "%3" PRId64 "  1  0\n", ((const int64_t *)parent->data)[i] + 1, n + i + 1);
	charges_write(out, h, x);
	fputs("M  END\n", out);
	tags_write(out, m);
	fputs("$$$$\n", out);
	return 0;
}
