/* learn_retrieval.h - does one view of a molecule find another of it? Retrieval between two embeddings. */
#ifndef MOLRILL_LEARN_RETRIEVAL_H
#define MOLRILL_LEARN_RETRIEVAL_H

#include "cli_stream.h"

/*
 * Reads all records of c's operands and, for each item "FROM:TO" (fields emb_*, with or without "emb_"), writes to out
 * a table: from, to, among, n, top1, top10, rank (the median). The query is FROM of a molecule, the candidates are TO
 * of all molecules that have both (among `all`) or of those with as many atoms (among `size`, by z), nearest by cosine
 * first. The right one counts as found at K when fewer than K others are as near or nearer: a tie is a miss. A last
 * row, `formula`, says how far the elements of z alone would lead. ERR_USAGE for an item that is none, ERR_SCHEMA
 * where a field is missing or changes its width, ERR_LIMIT past c's memory, and what reading returns.
 */
int retrieval_run(const struct cli *c, int n_item, const char *const *items, FILE *out, struct err *e);

#endif
