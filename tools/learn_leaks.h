/* learn_leaks.h - what the parts of a split share: molecules, scaffolds, near neighbours. */
#ifndef MOLRILL_LEARN_LEAKS_H
#define MOLRILL_LEARN_LEAKS_H

#include "ts.h"

struct leaks;
struct leaks *leaks_new(void);
void leaks_free(struct leaks *l); /* takes NULL */
/* Needs canonical_flat, scaffold and fp. ERR_SCHEMA names the option that makes them. */
int leaks_add(struct leaks *l, const struct ts_map *m, struct err *e);
/* One line a pair of parts: rows of the second that have their molecule, scaffold or a neighbour (Tanimoto >= 0.9) in
 * the first. part [n] as enum nn_part. */
void leaks_report(const struct leaks *l, const uint8_t *part, FILE *out);

#endif
