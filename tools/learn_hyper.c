/* learn_hyper.c - hyper_index and hyper_weight of a stream, gathered. */
#include "learn_hyper.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int learn_hyper_add(struct learn_hyper *h, const struct ts_map *m, struct err *e)
{
	const struct ts_tensor *index, *weight;
	int64_t row, zero = 0;
	if (!ts_get(m, "hyper_index"))
		return err_set(e, ERR_SCHEMA, "no field hyper_index: run encode and hyperbuild first");
	int rc = ts_need_int(m, "row", &row, e);
	if (!rc)
		rc = ts_need_tensor(m, "hyper_index", TS_I64, 1, &index, e);
	if (!rc)
		rc = ts_need_tensor(m, "hyper_weight", TS_F32, 1, &weight, e);
	if (rc)
		return rc;
	const int64_t *node = index->data;
	if (!index->shape[0] || weight->shape[0] != index->shape[0] || node[0] != row)
		return err_set(e, ERR_SCHEMA, "hyper_index does not begin with the molecule itself");
	for (int64_t i = 0; i < weight->shape[0]; i++)
		/* 0: a member so far off that its soft weight is nothing; the molecule itself keeps each sum positive
		 */
		if (!(((const float *)weight->data)[i] >= 0 && ((const float *)weight->data)[i] < 1e30F) ||
		    (!i && ((const float *)weight->data)[0] == 0))
			return err_set(e, ERR_NUMERIC, "hyper_weight holds what is no weight");
	if (!h->starts.n)
		buf_put(&h->starts, &zero, sizeof zero);
	buf_put(&h->rows, &row, sizeof row);
	buf_put(&h->nodes, node, ts_tensor_nbytes(index));
	buf_put(&h->weights, weight->data, ts_tensor_nbytes(weight));
	int64_t end = (int64_t)(h->nodes.n / sizeof *node);
	buf_put(&h->starts, &end, sizeof end);
	return 0;
}

struct place {
	int64_t row, record;
};

static int compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	return (x->row > y->row) - (x->row < y->row);
}

int learn_hyper_resolve(struct learn_hyper *h, struct err *e)
{
	size_t n = h->rows.n / sizeof(int64_t);
	struct place *p = (struct place *)(void *)buf_reserve(&h->places, (n + 1) * sizeof *p);
	const int64_t *row = (const int64_t *)(const void *)h->rows.data;
	int64_t *node = (int64_t *)(void *)h->nodes.data, n_node = (int64_t)(h->nodes.n / sizeof *node);
	for (size_t i = 0; i < n; i++)
		p[i] = (struct place){row[i], (int64_t)i};
	qsort(p, n, sizeof *p, compare);
	for (size_t i = 1; i < n; i++)
		if (p[i].row == p[i - 1].row)
			return err_set(e, ERR_SCHEMA, "row %" PRId64 " is here twice", p[i].row);
	for (int64_t i = 0; i < n_node; i++) {
		struct place key = {.row = node[i]}, *found = bsearch(&key, p, n, sizeof *p, compare);
		if (!found)
			return err_set(e, ERR_SCHEMA, "a hyperedge has row %" PRId64 " as a member, which is not here",
				       node[i]);
		node[i] = found->record;
	}
	return 0;
}

const int64_t *learn_hyper_start(const struct learn_hyper *h)
{
	return (const int64_t *)(const void *)h->starts.data;
}

const int64_t *learn_hyper_node(const struct learn_hyper *h)
{
	return (const int64_t *)(const void *)h->nodes.data;
}

const float *learn_hyper_weight(const struct learn_hyper *h)
{
	return (const float *)(const void *)h->weights.data;
}

void learn_hyper_free(struct learn_hyper *h)
{
	buf_free(&h->rows);
	buf_free(&h->starts);
	buf_free(&h->nodes);
	buf_free(&h->weights);
	buf_free(&h->places);
	*h = (struct learn_hyper){0};
}
