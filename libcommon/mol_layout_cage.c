/*
 * Bridged frames and cages in perspective: each a small graph with places, ours: projected from models of balls and
 * springs so that nothing hides what lies behind, or drawn by hand. The largest one that is part of a ring system is
 * where its drawing begins.
 */
#include <string.h>

#include "mol_layout.h"

struct cage {
	const char *name;
	int32_t n_atom, n_bond;
	const char *bonds;  /* two letters a bond: a is atom 0 */
	const char *inside; /* atoms that the drawing encloses: better without substituents */
	struct vec pos[LAY_CAGE_MAX];
};

/* Most atoms first, then most bonds. */
static const struct cage cages[] = {
    {"sandwich of two six-membered rings",
     13,
     24,
     "abacadaeafagahaiajakalambccddeeffggbhiijjkkllmmh",
     "cdfgijlm",
     {{0.00, 0.00},
      {-1.00, 1.02},
      {-0.50, 0.62},
      {0.50, 0.62},
      {1.00, 1.02},
      {0.50, 1.36},
      {-0.50, 1.36},
      {-1.00, -1.02},
      {-0.50, -0.62},
      {0.50, -0.62},
      {1.00, -1.02},
      {0.50, -1.36},
      {-0.50, -1.36}}},
    {"sandwich of two five-membered rings",
     11,
     20,
     "abacadaeafagahaiajakbccddeeffbghhiijjkkg",
     "bdegij",
     {{0.00, 0.00},
      {0.00, 1.42},
      {-0.93, 1.10},
      {-0.59, 0.59},
      {0.59, 0.59},
      {0.93, 1.10},
      {0.00, -1.42},
      {-0.93, -1.10},
      {-0.59, -0.59},
      {0.59, -0.59},
      {0.93, -1.10}}},
    {"adamantane",
     10,
     12,
     "abbccddeeffaagcheigjhjij",
     "dg",
     {{1.12, 0.04},
      {0.85, 1.10},
      {-0.24, 1.10},
      {-0.23, 0.19},
      {-0.01, -0.91},
      {1.07, -0.83},
      {0.23, -0.19},
      {-1.07, 0.83},
      {-0.85, -1.10},
      {-0.88, -0.23}}},
    {"bicyclo[4.3.1]",
     10,
     11,
     "abbccddeeffgghhiiaajjf",
     "j",
     {{0.20, -0.92},
      {-0.76, -1.20},
      {-1.48, -0.56},
      {-1.46, 0.53},
      {-0.72, 1.22},
      {0.24, 1.00},
      {1.13, 0.91},
      {1.53, -0.08},
      {1.10, -0.98},
      {0.22, 0.09}}},
    {"bicyclo[5.2.1]",
     10,
     11,
     "abbccddeeffgghhiiaajjg",
     "j",
     {{0.72, -0.89},
      {-0.14, -1.43},
      {-1.03, -1.08},
      {-1.61, -0.15},
      {-1.30, 0.91},
      {-0.51, 1.33},
      {0.48, 0.94},
      {1.35, 0.78},
      {1.50, -0.35},
      {0.55, -0.06}}},
    {"noradamantane",
     9,
     11,
     "abbccddeeffaagcgehhiig",
     "",
     {{0.40, 0.43},
      {1.41, -0.05},
      {0.77, -0.81},
      {0.45, -0.16},
      {-0.41, 0.63},
      {0.05, 1.21},
      {-0.08, -0.63},
      {-1.40, 0.06},
      {-1.20, -0.68}}},
    {"bicyclo[3.2.2]",
     9,
     10,
     "abbccddeeffggaahhiie",
     "hi",
     {{0.00, 1.20},
      {0.95, 0.85},
      {1.35, 0.00},
      {0.95, -0.85},
      {0.00, -1.20},
      {-0.90, -0.50},
      {-0.90, 0.50},
      {0.28, 0.42},
      {-0.12, -0.42}}},
    {"bicyclo[3.3.1]",
     9,
     10,
     "abbccddeeffgghhaaiie",
     "i",
     {{-0.02, 0.94},
      {-0.95, 0.95},
      {-1.41, -0.01},
      {-0.96, -0.96},
      {-0.03, -0.93},
      {0.97, -0.96},
      {1.47, -0.01},
      {0.98, 0.95},
      {-0.06, 0.02}}},
    {"bicyclo[4.2.1]",
     9,
     10,
     "abbccddeeffgghhaaiif",
     "i",
     {{0.39, -0.90},
      {-0.56, -1.20},
      {-1.32, -0.54},
      {-1.30, 0.55},
      {-0.53, 1.21},
      {0.42, 0.90},
      {1.25, 0.54},
      {1.24, -0.57},
      {0.41, 0.01}}},
    {"bicyclo[5.1.1]",
     9,
     10,
     "abbccddeeffgghhaaiig",
     "i",
     {{-1.18, -0.14},
      {-1.06, 0.86},
      {-0.25, 1.42},
      {0.80, 1.11},
      {1.43, 0.22},
      {1.15, -0.73},
      {0.25, -1.16},
      {-0.78, -1.09},
      {-0.36, -0.49}}},
    {"cubane",
     8,
     12,
     "abbccddaeffgghheaebfcgdh",
     "",
     {{-0.85, -0.08},
      {-0.70, 0.65},
      {-0.21, -0.22},
      {-0.36, -0.95},
      {0.21, 0.22},
      {0.36, 0.95},
      {0.85, 0.08},
      {0.70, -0.65}}},
    {"bicyclo[2.2.2]",
     8,
     9,
     "abbccddeeffaagghhd",
     "gh",
     {{0.00, 1.20},
      {0.90, 0.50},
      {0.90, -0.50},
      {0.00, -1.20},
      {-0.90, -0.50},
      {-0.90, 0.50},
      {0.30, 0.45},
      {-0.30, -0.45}}},
    {"bicyclo[3.2.1]",
     8,
     9,
     "abbccddeeffggaahhe",
     "h",
     {{0.21, 0.88},
      {-0.78, 0.95},
      {-1.34, 0.00},
      {-0.80, -0.95},
      {0.20, -0.87},
      {1.15, -0.58},
      {1.16, 0.56},
      {0.21, 0.02}}},
    {"bicyclo[4.1.1]",
     8,
     9,
     "abbccddeeffggaahhf",
     "h",
     {{1.06, 0.04},
      {0.78, 0.95},
      {-0.19, 1.22},
      {-1.12, 0.55},
      {-1.14, -0.45},
      {-0.35, -0.99},
      {0.73, -0.99},
      {0.25, -0.32}}},
    {"metal below a six-membered ring",
     7,
     12,
     "abacadaeafagbccddeeffggb",
     "cdfg",
     {{0.00, 0.00}, {-1.00, 1.02}, {-0.50, 0.62}, {0.50, 0.62}, {1.00, 1.02}, {0.50, 1.36}, {-0.50, 1.36}}},
    {"quadricyclane",
     7,
     10,
     "abbccddaaebecfdfegfg",
     "",
     {{-0.16, 0.16}, {-0.01, 1.05}, {-0.73, 0.36}, {-0.88, -0.53}, {0.95, 0.31}, {-0.18, -0.76}, {1.01, -0.59}}},
    {"nortricyclane",
     7,
     9,
     "abbccaadbecfdgegfg",
     "",
     {{0.49, 0.62}, {0.99, -0.04}, {0.46, -0.58}, {-0.60, 0.96}, {0.17, -0.06}, {-0.65, -0.90}, {-0.87, 0.00}}},
    {"bicyclo[2.2.1]",
     7,
     8,
     "abbccddeeffaaggd",
     "g",
     {{0.04, 0.82}, {-1.04, 0.58}, {-1.04, -0.57}, {0.03, -0.82}, {0.90, -0.58}, {0.90, 0.58}, {0.20, -0.00}}},
    {"bicyclo[3.1.1]",
     7,
     8,
     "abbccddeeffaagge",
     "g",
     {{0.35, 0.87}, {1.05, 0.27}, {0.73, -0.76}, {-0.33, -1.02}, {-0.89, -0.30}, {-0.76, 0.82}, {-0.13, 0.12}}},
    {"metal below a five-membered ring",
     6,
     10,
     "abacadaeafbccddeeffb",
     "bde",
     {{0.00, 0.00}, {0.00, 1.42}, {-0.93, 1.10}, {-0.59, 0.59}, {0.59, 0.59}, {0.93, 1.10}}},
    {"prismane",
     6,
     9,
     "abbccadeeffdadbecf",
     "",
     {{0.72, 0.62}, {0.72, -0.62}, {0.07, -0.00}, {-0.28, 0.62}, {-0.28, -0.62}, {-0.93, -0.00}}},
    {"bicyclo[2.1.1]",
     6,
     7,
     "abbccddeeaaffd",
     "f",
     {{0.35, -0.78}, {-0.65, -0.68}, {-0.81, 0.50}, {0.12, 0.84}, {0.96, 0.15}, {0.03, -0.03}}},
    {"bicyclo[1.1.1]",
     5,
     6,
     "abbccddaaeec",
     "d",
     {{0.00, 0.71}, {-0.71, -0.00}, {-0.00, -0.71}, {-0.17, 0.00}, {0.87, -0.00}}},
};

#define MAX_STEPS 6000 /* of one search */

struct search {
	const struct lay *l;
	const struct cage *cage;
	int32_t system;
	uint32_t adj[LAY_CAGE_MAX]; /* neighbours as bits */
	int32_t match[LAY_CAGE_MAX], n_step;
	/* The match whose enclosed atoms have the fewest substituents, and their number. */
	int32_t best[LAY_CAGE_MAX], least;
};

/* Keeps a whole match if it is the best so far. True if none can be better. */
static bool match_keep(struct search *s)
{
	int32_t n = 0;
	for (const char *p = s->cage->inside; *p; p++) {
		int32_t a = s->match[*p - 'a'], degree = 0;
		for (int32_t c = 0; c < s->cage->n_atom; c++)
			degree += s->adj[*p - 'a'] >> c & 1;
		n += lay_degree(s->l, a) - degree;
	}
	if (n < s->least)
		s->least = n, memcpy(s->best, s->match, sizeof s->best);
	return n == 0;
}

/* Extends the match to cage atom i, in every way until one is perfect; atoms stand in an order in which each but the
 * first has a neighbour before it. */
static bool match_extend(struct search *s, const int32_t *sequence, int32_t i)
{
	const struct lay *l = s->l;
	if (i == s->cage->n_atom)
		return match_keep(s);
	int32_t c = sequence[i], via = -1;
	for (int32_t j = 0; j < i && via < 0; j++)
		if (s->adj[c] >> sequence[j] & 1)
			via = s->match[sequence[j]];
	for (int32_t j = l->start[via]; j < l->start[via + 1]; j++) {
		int32_t a = l->nbr[j];
		bool good = l->system[a] == s->system && l->bond[l->nbr_bond[j]].ring && ++s->n_step < MAX_STEPS;
		for (int32_t k = 0; k < i && good; k++) {
			good = s->match[sequence[k]] != a;
			/* Every bond of the cage is one of the molecule and the other way round. */
			if (good)
				good =
				    (s->adj[c] >> sequence[k] & 1) == (lay_bond_find(l, a, s->match[sequence[k]]) >= 0);
		}
		if (!good)
			continue;
		s->match[c] = a;
		if (match_extend(s, sequence, i + 1))
			return true;
	}
	return false;
}

static bool cage_match(struct search *s, const int32_t *atoms, int32_t n)
{
	int32_t sequence[LAY_CAGE_MAX], n_seq = 1, degree = 0;
	uint32_t seen = 1;
	for (int i = 0; i < LAY_CAGE_MAX; i++)
		s->adj[i] = 0;
	for (const char *b = s->cage->bonds; *b; b += 2) {
		s->adj[b[0] - 'a'] |= 1u << (b[1] - 'a');
		s->adj[b[1] - 'a'] |= 1u << (b[0] - 'a');
	}
	sequence[0] = 0;
	for (int32_t i = 0; i < n_seq; i++)
		for (int32_t c = 0; c < s->cage->n_atom; c++)
			if (s->adj[sequence[i]] >> c & 1 && !(seen >> c & 1))
				seen |= 1u << c, sequence[n_seq++] = c;
	for (int32_t c = 0; c < s->cage->n_atom; c++)
		degree += s->adj[0] >> c & 1;
	for (int32_t i = 0; i < n && s->n_step < MAX_STEPS; i++) {
		if (lay_degree(s->l, atoms[i]) < degree)
			continue;
		s->match[0] = atoms[i];
		if (match_extend(s, sequence, 1))
			break;
	}
	return s->least < INT32_MAX;
}

int32_t lay_cage_find(const struct lay *l, const int32_t *atoms, int32_t n, int32_t *match, struct vec *pos)
{
	int32_t n_bond = 0;
	for (int32_t i = 0; i < n; i++)
		for (int32_t j = l->start[atoms[i]]; j < l->start[atoms[i] + 1]; j++)
			n_bond += l->bond[l->nbr_bond[j]].ring && l->nbr[j] > atoms[i];
	for (size_t c = 0; c < sizeof cages / sizeof *cages; c++) {
		struct search s = {.l = l, .cage = &cages[c], .system = l->system[atoms[0]], .least = INT32_MAX};
		if (cages[c].n_atom > n || cages[c].n_bond > n_bond || !cage_match(&s, atoms, n))
			continue;
		for (int32_t i = 0; i < cages[c].n_atom; i++)
			pos[i] = cages[c].pos[i], match[i] = s.best[i];
		return cages[c].n_atom;
	}
	return 0;
}
