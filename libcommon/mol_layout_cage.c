/*
 * Bridged frames and cages as chemists draw them, each a small graph with places: ours, drawn by hand. The largest one
 * that is part of a ring system is where its drawing begins.
 */
#include "mol_layout.h"

struct cage {
	const char *name;
	int n_atom, n_bond;
	const char *bonds; /* two letters a bond: a is atom 0 */
	struct vec pos[LAY_CAGE_MAX];
};

static const struct cage cages[] = {
    {"adamantane", 10, 12, "abbccddeeffabggdggidiffjhjhb",
     {{0, 0}}},
};

