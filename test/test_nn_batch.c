/* Batches: what is collated is what the records say, views that are missing stay missing, pictures by area. */
#include "nn_batch.h"
#include "nn_layer.h"
#include "tap.h"

#include <stdlib.h>

static struct arena *a;

/* Molecule `row` of n atoms in a chain, hu features; pos and img where asked. */
static struct ts_map *record(int64_t row, int64_t n, bool pos, int64_t side)
{
	struct ts_map *m = arena_alloc(a, sizeof *m);
	int64_t n_edge = 2 * (n - 1), *x = arena_calloc(a, (size_t)(2 * n + 1), 8),
		*z = arena_calloc(a, (size_t)n + 1, 8);
	int64_t *edge = arena_calloc(a, (size_t)(2 * n_edge + 1), 8),
		*attr = arena_calloc(a, (size_t)(2 * n_edge + 1), 8);
	float *p = arena_calloc(a, (size_t)(3 * n + 1), 4), *y = arena_calloc(a, 2, 4);
	for (int64_t i = 0; i < n; i++) {
		x[2 * i] = 5 + row;
		z[i] = 6;
		p[3 * i] = (float)(1.5 * (double)i + (double)row);
	}
	for (int64_t i = 0; i + 1 < n; i++) {
		edge[2 * i] = edge[n_edge + 2 * i + 1] = i;
		edge[2 * i + 1] = edge[n_edge + 2 * i] = i + 1;
	}
	y[0] = (float)row;
	y[1] = NAN;
	ts_map_init(m, a);
	ts_set_int(m, "row", row);
	ts_set_str(m, "id", arena_printf(a, "m%d", (int)row));
	ts_set_str(m, "smiles", "C");
	ts_set_str(m, "scaffold", row % 2 ? "c1ccccc1" : "");
	ts_set_tensor(m, "x", TS_I64, x, 2, n, (int64_t)2);
	ts_set_tensor(m, "edge_index", TS_I64, edge, 2, (int64_t)2, n_edge);
	ts_set_tensor(m, "edge_attr", TS_I64, attr, 2, n_edge, (int64_t)2);
	ts_set_tensor(m, "z", TS_I64, z, 1, n);
	ts_set_tensor(m, "y", TS_F32, y, 1, (int64_t)2);
	if (pos)
		ts_set_tensor(m, "pos", TS_F32, p, 2, n, (int64_t)3);
	if (side) {
		uint8_t *img = arena_calloc(a, (size_t)(side * side), 1);
		for (int64_t i = 0; i < side * side; i++)
			img[i] = (uint8_t)(40 * row);
		ts_set_tensor(m, "img", TS_U8, img, 3, side, side, (int64_t)1);
	}
	return m;
}

static const struct nn_reading all = {.views = 7, .hu = true, .img_size_px = 4, .n_task = 2, .scaffold = true};
static const struct nn_picture_choice first = {.fixed = 0};

static void test_collate(void)
{
	const struct ts_map *rec[] = {record(0, 3, true, 8), record(1, 1, false, 0), record(2, 2, true, 0)};
	struct nn_batch b;
	struct err e = {0};
	static const uint8_t has[] = {1, 1, 1, 1, 0, 0, 1, 1, 0};
	static const int64_t mol[] = {0, 0, 0, 1, 2, 2}, edges[] = {0, 1, 1, 2, 4, 5, 1, 0, 2, 1, 5, 4};
	static const int64_t point_mol[] = {0, 0, 0, 1, 1}, mol3d[] = {0, 2}, scaffold[] = {0, 1, 0};
	tap_ok(!nn_batch_collate(&all, rec, 3, &first, a, &b, &e), "three records make a batch");
	tap_ok(b.n_mol == 3 && b.graph.n_atom == 6 && b.graph.n_edge == 6 && b.graph.n_mol == 3, "sizes of the graphs");
	tap_ok(!memcmp(b.has, has, sizeof has), "which views there are");
	tap_ok(!memcmp(b.graph.mol, mol, sizeof mol), "the molecule of each atom");
	tap_ok(!memcmp(b.graph.edge_index, edges, sizeof edges), "edges moved to the atoms of the batch");
	tap_ok(b.points.n_mol == 2 && b.points.n_atom == 5 && !memcmp(b.points.mol, point_mol, sizeof point_mol) &&
		   !memcmp(b.mol3d, mol3d, sizeof mol3d),
	       "conformers of those that have one");
	tap_near(b.points.pos[3 * 3], 2, 0, "their coordinates");
	tap_ok(b.n_img == 1 && b.molimg[0] == 0, "one picture");
	tap_ok(b.y[2] == 1 && isnan(b.y[3]), "labels, a missing one too");
	tap_ok(!memcmp(b.scaffold, scaffold, sizeof scaffold), "scaffolds by number");
	tap_str(b.id[2], "m2", "names");
}

static int refuse(const struct ts_map *m, const struct nn_reading *r, struct err *e)
{
	const struct ts_map *rec[] = {record(0, 2, true, 0), m};
	struct nn_batch b;
	*e = (struct err){0};
	return nn_batch_collate(r, rec, 2, &first, a, &b, e);
}

static void test_door(void)
{
	struct err e;
	struct ts_map *m = record(1, 2, true, 4);
	int64_t wild[] = {0, 1, 1, 7};
	float nowhere[] = {0, 0, NAN, 0, 0, 0};
	tap_ok(refuse(m, &all, &e) == 0, "a good record is taken");
	ts_set_tensor(m, "edge_index", TS_I64, wild, 2, (int64_t)2, (int64_t)2);
	tap_ok(refuse(m, &all, &e) == ERR_SCHEMA && strstr(e.msg, "atom 7") && e.record == 1, "an edge to no atom");
	m = record(1, 2, true, 4);
	ts_set_tensor(m, "pos", TS_F32, nowhere, 2, (int64_t)2, (int64_t)3);
	tap_ok(refuse(m, &all, &e) == ERR_NUMERIC, "a coordinate that is no number");
	m = record(1, 2, true, 4);
	ts_unset(m, "x");
	tap_ok(refuse(m, &all, &e) == ERR_SCHEMA && strstr(e.msg, "mol2graph"), "no graph: says which program");
	m = record(1, 2, true, 4);
	ts_unset(m, "z");
	tap_ok(refuse(m, &all, &e) == ERR_SCHEMA, "a conformer without atomic numbers");
	struct nn_reading colour = all, ogb = all;
	colour.img_channels = 3;
	tap_ok(refuse(record(1, 2, true, 4), &colour, &e) == ERR_SCHEMA, "grey for colour");
	ogb.hu = false;
	tap_ok(refuse(record(1, 2, true, 4), &ogb, &e) == ERR_SCHEMA, "hu for ogb");
	struct nn_reading tasks = all;
	tasks.n_task = 3;
	tap_ok(refuse(record(1, 2, true, 4), &tasks, &e) == ERR_SCHEMA, "labels of another number");
}

/* Mean level of a picture of three channels. */
static double mean(const uint8_t *p, int64_t n)
{
	double sum = 0;
	for (int64_t i = 0; i < n; i++)
		sum += p[i];
	return sum / (double)n;
}

static void test_pictures(void)
{
	static const uint8_t in[] = {0, 0, 100, 100, 0, 0, 100, 100, 200, 200, 40, 40, 200, 200, 40, 80};
	static const uint8_t half[] = {0, 100, 200, 50};
	uint8_t out[3 * 64 * 64], big[40 * 40], back[3 * 17 * 17];
	nn_picture_resample(in, 4, 1, out, 2);
	bool good = true;
	for (int i = 0; i < 12; i++)
		good &= out[i] == half[i / 3];
	tap_ok(good, "halved: the mean of four, three channels of one grey");
	nn_picture_resample(in, 4, 1, out, 8);
	tap_ok(out[0] == 0 && out[3 * 7] == 100 && out[3 * (7 * 8)] == 200 && out[3 * 63] == 80, "doubled: each twice");
	for (int i = 0; i < 1600; i++)
		big[i] = (uint8_t)((i * 37 + i / 40 * 11) % 256);
	nn_picture_resample(big, 40, 1, back, 17);
	tap_near(mean(back, 3 * 17 * 17), mean(big, 1600), 0.3, "by any ratio the mean level stays");
	/* mutant: picking the nearest pixel does not keep it */
	uint8_t nearest[17 * 17];
	for (int i = 0; i < 1600; i++)
		big[i] = i / 40 % 2 && i % 2 ? 255 : 0;
	nn_picture_resample(big, 40, 1, back, 17);
	for (int i = 0; i < 17; i++)
		for (int j = 0; j < 17; j++)
			nearest[i * 17 + j] = big[i * 40 / 17 * 40 + j * 40 / 17];
	tap_ok(fabs(mean(back, 3 * 17 * 17) - mean(big, 1600)) <= 2, "fine texture too");
	tap_ok(!(fabs(mean(nearest, 17 * 17) - mean(big, 1600)) <= 2), "mutant: nearest pixels are caught");
}

/* Which of the views is read depends on (seed, step, row). */
static void test_choice(void)
{
	struct ts_map *m = record(3, 2, false, 0);
	uint8_t img[5 * 4 * 4];
	struct nn_batch b;
	struct err e = {0};
	const struct ts_map *rec[] = {m};
	int seen[5] = {0};
	for (int i = 0; i < 80; i++)
		img[i] = (uint8_t)(i / 16);
	ts_set_tensor(m, "img", TS_U8, img, 4, (int64_t)5, (int64_t)4, (int64_t)4, (int64_t)1);
	for (uint64_t step = 0; step < 200; step++) {
		struct nn_picture_choice c = {.seed = 1, .step = step, .fixed = -1};
		nn_batch_collate(&all, rec, 1, &c, a, &b, &e);
		uint8_t view = b.img[0];
		nn_batch_collate(&all, rec, 1, &c, a, &b, &e);
		seen[view] += view == b.img[0];
	}
	tap_ok(seen[0] > 20 && seen[1] > 20 && seen[2] > 20 && seen[3] > 20 && seen[4] > 20, "each view in its turn");
	struct nn_picture_choice c = {.fixed = 7};
	tap_ok(!nn_batch_collate(&all, rec, 1, &c, a, &b, &e) && b.img[0] == 2 && nn_record_pictures(m) == 5,
	       "a fixed one modulo their number");
}

/* What the quick paths compute beforehand comes with the batch; the plain ones compute all in the step. */
static void test_ready(void)
{
	const struct ts_map *rec[] = {record(0, 3, true, 0), record(1, 2, true, 0)};
	struct kernels k;
	struct nn_config c;
	struct nn_batch b[3];
	struct err e = {0};
	nn_config_preset(&c, NN_PRESET_TINY);
	c.features = "hu";
	c.views = "2d,3d";
	for (int i = 0; i < 3; i++) { /* plain, SchNet, ComENet */
		struct nn_model *m = NULL;
		if (kernels_cpu(&k, NULL, &e))
			break;
		k.plain = i == 0;
		c.geom = i == 1;
		tap_ok(!nn_model_new(&m, &k, &c, NN_PART_ENCODERS, 1, &e), "a model");
		struct nn_reading r = nn_reading_of(m);
		tap_ok(!nn_batch_collate(&r, rec, 2, &first, a, &b[i], &e), "its batch");
		nn_model_free(m);
		kernels_cpu_free(&k);
	}
	tap_ok(!b[0].graph.merged && !b[0].points.features, "plain: nothing beforehand");
	tap_ok(b[1].graph.merged && !b[1].points.features, "SchNet has no features");
	tap_ok(b[2].graph.merged && b[2].points.features && b[2].points.features->pairs.n == 8,
	       "ComENet's features, of the pairs of each molecule");
}

int main(void)
{
	a = arena_new(0);
	test_collate();
	test_door();
	test_pictures();
	test_choice();
	test_ready();
	arena_free(a);
	return tap_done();
}
