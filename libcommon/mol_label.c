/* Labels of atoms: symbol, hydrogens, charge, isotope; where they stand and where bonds must end. */
#include <stdio.h>
#include <string.h>

#include "mol_scene.h"

const uint8_t *label_color(int z)
{
	/* Blue nitrogen, red oxygen, and so on: after Corey, Pauling and Koltun, darkened to be read on white. */
	static const uint8_t black[3] = {0, 0, 0}, other[3] = {70, 70, 90};
	static const struct {
		uint8_t z, rgb[3];
	} color[] = {{7, {30, 60, 230}},   {8, {225, 20, 20}},   {9, {40, 150, 40}},  {17, {20, 150, 20}},
		     {35, {140, 50, 20}},  {53, {120, 20, 150}}, {16, {165, 130, 0}}, {15, {215, 110, 0}},
		     {5, {190, 110, 100}}, {14, {120, 110, 80}}, {34, {180, 110, 0}}};
	if (z == 6 || z == 1 || z == 0)
		return black;
	for (size_t i = 0; i < sizeof color / sizeof *color; i++)
		if (color[i].z == z)
			return color[i].rgb;
	return other;
}

/* Adds a run whose left end is x and whose base line is y. */
static double run_add(struct label *l, const char *text, double x, double y, double cap_px)
{
	if (!*text || l->n_run == LABEL_MAX_RUNS)
		return 0;
	double w = mol_text_width(text, cap_px);
	int i = l->n_run++;
	snprintf(l->run[i].text, sizeof l->run[i].text, "%s", text);
	l->run[i].x = x, l->run[i].y = y, l->run[i].cap_px = cap_px;
	l->run[i].box = (struct rect){x, y - cap_px, x + w, y};
	return w;
}

/* The freest of right, left, below, above (0 to 3) for the hydrogens. */
static int side_choose(const struct frame *f, int32_t a)
{
	const struct mol *m = f->m;
	static const struct vec side[4] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};
	int best = 0;
	double least = 9;
	int32_t degree = m->atom[a].degree;
	uint8_t z = m->atom[a].z;
	if (!degree) /* water and acids are written from the left, methane and ammonia from the right */
		return z == 8 || z == 16 || z == 9 || z == 17 || z == 35 || z == 53;
	for (int s = 0; s < 4; s++) {
		/* Level is easier to read: at an end of a chain always, in rings where there is room. */
		double worst = s < 2 ? -0.6 : degree == 1 ? 0.9 : -0.3;
		for (int32_t j = m->adj_start[a]; j < m->adj_start[a + 1]; j++) {
			double c = vec_dot(vec_unit(vec_sub(f->at[m->adj_atom[j]], f->at[a])), side[s]);
			worst = c > worst ? c : worst;
		}
		/* Other atoms that stand where the hydrogens would. */
		for (int32_t b = 0; b < m->n_atom && m->n_atom <= LABEL_MAX_CROWD; b++) {
			struct vec d = vec_sub(f->at[b], f->at[a]);
			double along = vec_dot(d, side[s]), reach = 1.6 * f->bond_px;
			if (b != a && along > 0 && vec_dot(d, d) < reach * reach && along > 0.8 * vec_norm(d))
				worst = worst > 0.95 ? worst : 0.95;
		}
		if (worst < least - 0.02)
			least = worst, best = s;
	}
	return best;
}

/* The middle of an allene, which no corner would show. */
static bool is_cumulated(const struct mol *m, int32_t a)
{
	bool all = m->atom[a].degree == 2;
	for (int32_t j = m->adj_start[a]; j < m->adj_start[a + 1]; j++)
		all &= m->bond[m->adj_bond[j]].order == 2;
	return all;
}

void label_build(struct frame *f, int32_t a)
{
	const struct mol_atom *t = &f->m->atom[a];
	struct label *l = &f->label[a];
	l->n_run = 0, l->n_dot = t->n_radical;
	if (t->z == 6 && t->degree > 0 && !t->charge && !t->isotope && !t->n_radical && !is_cumulated(f->m, a))
		return;
	const char *symbol = t->z ? mol_element_symbol(t->z) : "*";
	char charge[8] = "", isotope[8] = "", count[8] = "";
	int size = t->charge < 0 ? -t->charge : t->charge;
	if (size == 1)
		snprintf(charge, sizeof charge, "%c", t->charge > 0 ? '+' : '-');
	else if (size)
		snprintf(charge, sizeof charge, "%d%c", size, t->charge > 0 ? '+' : '-');
	if (t->isotope)
		snprintf(isotope, sizeof isotope, "%u", t->isotope);
	if (t->n_h > 1)
		snprintf(count, sizeof count, "%u", t->n_h);
	double cap = f->cap_px, small = cap * (cap < 6.5 ? 0.85 : 0.72), gap = cap * 0.2;
	symbol = symbol ? symbol : "?";
	double w = mol_text_width(symbol, cap), x = f->at[a].x - w / 2, y = f->at[a].y + cap / 2;
	int side = t->n_h ? side_choose(f, a) : -1;
	run_add(l, symbol, x, y, cap);
	double right = x + w + gap, left = x - gap, raised = y - cap * 0.62, lowered = y + cap * 0.38;
	if (*isotope) {
		left -= mol_text_width(isotope, small);
		run_add(l, isotope, left, raised, small);
		left -= gap;
	}
	if (side == 0) {
		right += run_add(l, "H", right, y, cap) + gap;
		if (*count)
			right += run_add(l, count, right, lowered, small) + gap;
	} else if (side == 1) {
		if (*count) {
			left -= mol_text_width(count, small);
			run_add(l, count, left, lowered, small);
			left -= gap;
		}
		run_add(l, "H", left - mol_text_width("H", cap), y, cap);
	} else if (side >= 2) {
		double base = side == 2 ? y + cap * 1.3 : y - cap * 1.3;
		double wide = mol_text_width("H", cap);
		run_add(l, "H", f->at[a].x - wide / 2, base, cap);
		run_add(l, count, f->at[a].x + wide / 2 + gap, base + cap * 0.38, small);
	}
	run_add(l, charge, right, raised, small);
}

double label_exit(const struct frame *f, int32_t a, struct vec p, struct vec q, double margin_px)
{
	const struct label *l = &f->label[a];
	struct vec d = vec_sub(q, p);
	double out = 0;
	for (int i = 0; i < l->n_run; i++) {
		struct rect b = l->run[i].box;
		double lo = 0, hi = 1, low[2] = {b.left - margin_px, b.top - margin_px};
		double high[2] = {b.right + margin_px, b.bottom + margin_px}, o[2] = {p.x, p.y}, u[2] = {d.x, d.y};
		for (int k = 0; k < 2; k++) {
			if (fabs(u[k]) < 1e-9) {
				if (o[k] < low[k] || o[k] > high[k])
					hi = -1;
				continue;
			}
			double s = (low[k] - o[k]) / u[k], t = (high[k] - o[k]) / u[k];
			lo = s < t ? (s > lo ? s : lo) : (t > lo ? t : lo);
			hi = s < t ? (t < hi ? t : hi) : (s < hi ? s : hi);
		}
		if (hi > lo && lo < 0.6)
			out = hi > out ? hi : out;
	}
	return out > 0.7 ? 0.7 : out;
}
