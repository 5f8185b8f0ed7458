/* Graph features, scaffolds, fingerprints and canonical SMILES against RDKit's and OGB's word, and by permutation. */
#include "mol.h"
#include "mol_canon.h"
#include "mol_oracle.h"
#include "tap.h"

#include <ctype.h>

static struct arena *arena;

static struct mol *parse(const char *smiles)
{
	struct mol_parse_opts o = {0};
	struct mol_reject why;
	struct mol *m = NULL;
	mol_parse_smiles(smiles, &o, arena, &m, &why, NULL);
	return m;
}

/* Features as the oracle writes them: [[...],[...]] for atoms and for bonds i < j. bump: a wrong variant. */
static void print_features(const struct mol *m, enum mol_feature_set set, bool bump, struct buf *atoms,
			   struct buf *bonds)
{
	struct mol_features f;
	mol_features_fill(m, set, arena, &f);
	atoms->n = bonds->n = 0;
	buf_printf(atoms, "[");
	for (int64_t i = 0; i < f.n_atom; i++)
		for (int k = 0; k < f.n_x; k++)
			buf_printf(atoms, "%s%d%s",
				   k   ? ","
				   : i ? ",["
				       : "[",
				   (int)f.x[i * f.n_x + k] + (bump && !i && !k), k + 1 == f.n_x ? "]" : "");
	buf_printf(atoms, "]");
	buf_printf(bonds, "[");
	bool first = true;
	for (int64_t e = 0; e < f.n_edge; e++) {
		int s = (int)f.edge_index[e], t = (int)f.edge_index[f.n_edge + e];
		if (s > t)
			continue;
		buf_printf(bonds, "%s[%d,%d", first ? "" : ",", s, t);
		for (int k = 0; k < f.n_attr; k++)
			buf_printf(bonds, ",%d", (int)f.edge_attr[e * f.n_attr + k]);
		buf_printf(bonds, "]");
		first = false;
	}
	buf_printf(bonds, "]");
	buf_put(atoms, "", 1);
	buf_put(bonds, "", 1);
}

static int count_equal_features(const char *path, bool bump, int *n)
{
	struct oracle *t = oracle_open(path);
	struct buf atoms = {0}, bonds = {0};
	char *f[5];
	int n_good = 0;
	*n = 0;
	while (oracle_next(t, f, 5)) {
		arena_reset(arena);
		const struct mol *m = parse(f[0]);
		bool good = m != NULL;
		for (int set = 0; set < 2 && good; set++) {
			print_features(m, set, bump, &atoms, &bonds);
			good =
			    !strcmp((char *)atoms.data, f[1 + 2 * set]) && !strcmp((char *)bonds.data, f[2 + 2 * set]);
		}
		n_good += good;
		(*n)++;
		if (!good && !bump)
			printf("# features differ: %s\n", f[0]);
	}
	oracle_close(t);
	buf_free(&atoms);
	buf_free(&bonds);
	return n_good;
}

static int by_code(const void *pa, const void *pb)
{
	uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
	return a < b ? -1 : a > b;
}

static int count_distinct(const struct mol *m)
{
	uint32_t *code;
	int32_t n = mol_ecfp_codes(m, arena, &code), n_distinct = 0;
	qsort(code, (size_t)n, sizeof *code, by_code);
	for (int32_t k = 0; k < n; k++)
		n_distinct += !k || code[k] != code[k - 1];
	return n_distinct;
}

static void check_ecfp(const char *path)
{
	struct oracle *t = oracle_open(path);
	char *f[7];
	int n = 0, n_features = 0, n_near = 0, n_mutant = 0;
	while (oracle_next(t, f, 7)) {
		uint8_t fp[2][256];
		int both = 0, either = 0, distinct[2] = {0};
		arena_reset(arena);
		for (int k = 0; k < 2; k++) {
			const struct mol *m = parse(f[k]);
			memset(fp[k], 0, 256);
			if (!m)
				continue;
			mol_ecfp(m, arena, fp[k]);
			distinct[k] = count_distinct(m);
		}
		for (int k = 0; k < 256; k++) {
			both += __builtin_popcount(fp[0][k] & fp[1][k]);
			either += __builtin_popcount(fp[0][k] | fp[1][k]);
		}
		n_features += distinct[0] == atoi(f[5]) && distinct[1] == atoi(f[6]);
		n_near += fabs((double)both / either - atof(f[2])) < 1e-5;
		n_mutant += fabs((double)(both + 1) / either - atof(f[2])) < 1e-5;
		n++;
	}
	oracle_close(t);
	tap_ok(n == 5000 && n_features >= n - 2, "ECFP: numbers of distinct features are RDKit's on %d of %d pairs",
	       n_features, n);
	tap_ok(n_near >= n - 2, "ECFP: folded Tanimoto is RDKit's on %d of %d pairs", n_near, n);
	tap_ok(n_mutant < n / 10, "a bit too many is caught");
}

/* ---- scaffold groups ---------------------------------------------------- */

struct row {
	char *theirs, *ours;
};
static int by_theirs(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->theirs, ((const struct row *)b)->theirs);
}
static int by_ours(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->ours, ((const struct row *)b)->ours);
}

/* Column `name` of a CSV row that may have quotes; header: its first row. */
static bool csv_field(const char *header, const char *line, const char *name, char *out, size_t n_out)
{
	int want = 0;
	size_t n_name = strlen(name);
	for (const char *s = header; strncmp(s, name, n_name) || isalnum((unsigned char)s[n_name]); want++) {
		s = strchr(s, ',');
		if (!s++)
			return false;
	}
	size_t n = 0;
	bool quoted = false;
	for (int at = 0; *line && at <= want; line++) {
		if (*line == '"')
			quoted = !quoted;
		else if (*line == ',' && !quoted)
			at++;
		else if (at == want && n + 1 < n_out)
			out[n++] = *line;
	}
	out[n] = 0;
	return n > 0;
}

static int count_breaks(struct row *row, int n)
{
	int n_break = 0;
	qsort(row, (size_t)n, sizeof *row, by_theirs);
	for (int k = 1; k < n; k++)
		n_break += !strcmp(row[k].theirs, row[k - 1].theirs) && strcmp(row[k].ours, row[k - 1].ours);
	qsort(row, (size_t)n, sizeof *row, by_ours);
	for (int k = 1; k < n; k++)
		n_break += !strcmp(row[k].ours, row[k - 1].ours) && strcmp(row[k].theirs, row[k - 1].theirs);
	return n_break;
}

static void check_scaffolds(const char *set)
{
	char name[64], data_path[4096], smiles[4096];
	snprintf(name, sizeof name, "data/molecules/%s.csv.gz", set);
	const char *path = oracle_file(name);
	if (!path) {
		tap_skip(set, "no shared data");
		return;
	}
	snprintf(data_path, sizeof data_path, "%s", path);
	struct oracle *data = calloc(1, sizeof *data), *split;
	path = oracle_path("chem/split.tsv.gz");
	if (!path) {
		free(data);
		tap_skip(set, "no shared data");
		return;
	}
	split = oracle_open(path);
	data->file = gzopen(data_path, "rb");
	oracle_line(data);
	char *header = strdup(data->line), *f[4];
	struct row *row = malloc(sizeof *row * 100000);
	int n = 0;
	while (oracle_next(split, f, 4)) {
		if (strcmp(f[0], set))
			continue;
		if (!oracle_line(data) || !csv_field(header, data->line, "smiles", smiles, sizeof smiles))
			break;
		arena_reset(arena);
		const struct mol *m = parse(smiles);
		const char *ours = "";
		if (!m || !strcmp(f[3], "unparsed"))
			continue;
		mol_scaffold(m, arena, &ours, NULL);
		row[n].theirs = strdup(f[2]);
		row[n++].ours = strdup(ours);
	}
	int n_break = count_breaks(row, n);
	tap_ok(n > 100 && n_break == 0, "%s: scaffold groups of %d molecules are RDKit's (%d differ)", set, n, n_break);
	/* One scaffold under a wrong name must show. */
	if (n > 1) {
		char *keep = row[n / 2].ours;
		row[n / 2].ours = row[0].ours;
		row[n / 2].theirs = row[n - 1].theirs;
		tap_ok(count_breaks(row, n) > 0, "%s: a molecule in the wrong group is caught", set);
		(void)keep;
	}
	free(header);
	oracle_close(data);
	oracle_close(split);
}

/* ---- permutations ------------------------------------------------------- */

/* A molecule written in another order gives the permuted tensors and the same canonical SMILES. */
static bool is_permuted(const struct mol *m, uint64_t seed, bool shift)
{
	struct rng r;
	size_t n = (size_t)m->n_atom;
	int64_t *shuffled = arena_alloc(arena, sizeof *shuffled * (n + 1));
	int32_t *rank = arena_alloc(arena, sizeof *rank * (n + 1)),
		*order = arena_alloc(arena, sizeof *order * (n + 1));
	rng_init(&r, seed, 0);
	for (size_t i = 0; i < n; i++)
		shuffled[i] = (int64_t)i;
	rng_shuffle(&r, shuffled, (int64_t)n);
	for (size_t i = 0; i < n; i++)
		rank[i] = (int32_t)shuffled[i];
	const char *smiles = mol_write_smiles(m, rank, MOL_WRITE_STEREO, arena, order);
	const struct mol *p = parse(smiles);
	if (!p || p->n_atom != m->n_atom || p->n_bond != m->n_bond || p->n_center != m->n_center ||
	    p->n_cistrans != m->n_cistrans || p->n_ring != m->n_ring)
		return false;
	int32_t *place = arena_alloc(arena, sizeof *place * (n + 1));
	for (size_t i = 0; i < n; i++)
		place[order[i]] = (int32_t)(shift ? (i + 1) % n : i);
	struct mol_features f, g;
	mol_features_fill(m, MOL_FEATURES_OGB, arena, &f);
	mol_features_fill(p, MOL_FEATURES_OGB, arena, &g);
	for (size_t i = 0; i < n; i++)
		for (int k = 0; k < 9; k++) {
			int64_t a = f.x[i * 9 + (size_t)k], b = g.x[(size_t)place[i] * 9 + (size_t)k];
			/* A tag's sense depends on the order; that there is one does not. */
			if (k == 1 ? !a != !b : a != b)
				return false;
		}
	for (int32_t k = 0; k < m->n_bond; k++) {
		const struct mol_bond *b = &m->bond[k], *o = NULL;
		int32_t x = place[b->a], y = place[b->b];
		for (int32_t q = p->adj_start[x]; q < p->adj_start[x + 1]; q++)
			if (p->adj_atom[q] == y)
				o = &p->bond[p->adj_bond[q]];
		if (!o || o->aromatic != b->aromatic || (!b->aromatic && o->order != b->order) ||
		    o->conjugated != b->conjugated || o->stereo != b->stereo || o->in_ring != b->in_ring)
			return false;
	}
	return !strcmp(mol_canonical_smiles(m, true, arena, NULL), mol_canonical_smiles(p, true, arena, NULL)) &&
	       !strcmp(mol_canonical_smiles(m, false, arena, NULL), mol_canonical_smiles(p, false, arena, NULL));
}

struct tally {
	int n, n_good, n_shifted;
};

static void permute(struct tally *t, const char *smiles)
{
	arena_reset(arena);
	const struct mol *m = parse(smiles);
	if (!m || m->n_atom < 8)
		return;
	t->n++;
	bool good = is_permuted(m, (uint64_t)t->n, false);
	t->n_good += good;
	t->n_shifted += is_permuted(m, (uint64_t)t->n, true);
	if (!good)
		printf("# depends on the order of atoms: %s\n", smiles);
}

/* Each molecule of the table twice, then 5,000 of ChEMBL. */
static void check_permutations(const char *path, const char *more)
{
	struct oracle *t = oracle_open(path);
	struct tally tally = {0};
	char *f[1];
	while (oracle_next(t, f, 1))
		for (int k = 0; k < 2; k++)
			permute(&tally, f[0]);
	oracle_close(t);
	t = oracle_open(more);
	for (int k = 0; k < 5000 && oracle_line(t); k++) {
		t->line[strcspn(t->line, " \t")] = 0;
		permute(&tally, t->line);
	}
	oracle_close(t);
	tap_ok(tally.n > 10000 && tally.n_good == tally.n, "%d of %d renumbered molecules give the permuted tensors",
	       tally.n_good, tally.n);
	tap_ok(tally.n_shifted < tally.n / 10, "an order of atoms shifted by one is caught");
}

/* ---- small known answers ------------------------------------------------ */

static void check_small(void)
{
	static const struct {
		const char *smiles, *scaffold; /* RDKit 2026.03's, by structure */
	} cases[] = {
	    {"CC(=O)Oc1ccccc1C(=O)O", "c1ccccc1"},
	    {"CCO", ""},
	    {"O=C1CCCCC1C", "O=C1CCCCC1"},
	    {"CC(=O)N1CCCC1", "C1CCNC1"},
	    {"Cn1cccc1", "c1cc[nH]c1"},
	    {"c1ccccc1C(=C(C)C)C1CC1", "C=C(c1ccccc1)C1CC1"},
	    {"C[N+]1(C)CCCC1", "C1CC[NH2+]C1"},
	    {"c1ccccc1.CC", "c1ccccc1"},
	    {"C[C@H](c1ccccc1)C1CC1", "c1ccc(CC2CC2)cc1"},
	    {"CP(=O)(C1CC1)C1CC1", "O=[PH](C1CC1)C1CC1"},
	};
	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
		arena_reset(arena);
		const char *got = "?", *want = cases[k].scaffold;
		mol_scaffold(parse(cases[k].smiles), arena, &got, NULL);
		if (*want)
			want = mol_canonical_smiles(parse(want), true, arena, NULL);
		tap_str(got, want, cases[k].smiles);
	}
	arena_reset(arena);
	const char *s;
	struct mol_reject why;
	mol_edit(parse("CC(=O)[O-].[Na+]"), MOL_EDIT_LARGEST | MOL_EDIT_NEUTRAL, arena, &s, &why, NULL);
	tap_str(s, "CC(=O)O", "the largest fragment of sodium acetate, neutral");
	/* Charges that no proton balances: none binds to boron or phosphorus without a lone pair, none leaves carbon.
	 */
	static const char *const stay[] = {"C[N+](=O)[O-]",    "F[B-](F)(F)F", "F[P-](F)(F)(F)(F)F", "I[I-]I",
					   "C[Si-](F)(F)(F)F", "[CH3+]",       "C[N+](C)(C)C"};
	for (size_t k = 0; k < sizeof stay / sizeof *stay; k++) {
		const struct mol *plain = parse(stay[k]);
		mol_edit(plain, MOL_EDIT_LARGEST | MOL_EDIT_NEUTRAL, arena, &s, &why, NULL);
		tap_ok(s == plain->smiles, "%s stays as it is", stay[k]);
	}
	static const char *const neutral[][2] = {{"[NH4+]", "N"}, {"[Cl-]", "Cl"}, {"C[CH2-]", "CC"}, {"C[S-]", "CS"}};
	for (size_t k = 0; k < sizeof neutral / sizeof *neutral; k++) {
		mol_edit(parse(neutral[k][0]), MOL_EDIT_NEUTRAL, arena, &s, &why, NULL);
		tap_str(s, neutral[k][1], neutral[k][0]);
	}
	const struct mol *m = parse("C[C@H](N)O"), *h = mol_add_hydrogens(m, arena);
	bool good = h->n_atom == 11 && h->n_bond == 10 && h->center[0].nbr[0] == 0;
	for (int32_t i = 0; i < h->n_atom; i++)
		for (int32_t q = h->adj_start[i]; q < h->adj_start[i + 1]; q++) {
			const struct mol_bond *b = &h->bond[h->adj_bond[q]];
			good &= (b->a == i && b->b == h->adj_atom[q]) || (b->b == i && b->a == h->adj_atom[q]);
		}
	for (int q = 0; q < 4; q++)
		good &= h->center[0].nbr[q] >= 0;
	tap_ok(good, "hydrogens as atoms, with bonds and a whole centre");
	uint8_t fp[256];
	int n_bit = 0;
	mol_ecfp(parse("CC(=O)Oc1ccccc1C(=O)O"), arena, fp);
	for (int k = 0; k < 256; k++)
		n_bit += __builtin_popcount(fp[k]);
	tap_ok(n_bit == 24, "aspirin has 24 bits (RDKit), here %d", n_bit);
}

int main(void)
{
	arena = arena_new(0);
	check_small();
	const char *path = oracle_path("chem/features.tsv.gz");
	char features[4096] = "";
	if (path)
		snprintf(features, sizeof features, "%s", path);
	if (!path) {
		tap_skip("features, permutations, fingerprints", "no shared data");
	} else {
		int n, good = count_equal_features(features, false, &n);
		tap_ok(n == 3000 && good >= n - 3, "both feature sets are OGB's and Hu's on %d of %d molecules", good,
		       n);
		good = count_equal_features(features, true, &n);
		tap_ok(good == 0, "one number changed is caught");
		if ((path = oracle_file("data/pretrain/chembl.smi.gz")))
			check_permutations(features, path);
		if ((path = oracle_path("chem/ecfp.tsv.gz")))
			check_ecfp(path);
	}
	check_scaffolds("bbbp");
	check_scaffolds("clintox");
	check_scaffolds("tox21");
	arena_free(arena);
	return tap_done();
}
