/* Header and end map of a segment, and the history (provenance) in the header. */
#include "ts.h"

#include <inttypes.h>
#include <string.h>

void ts_header_init(struct ts_header *h, const char *schema, struct arena *a)
{
	*h = (struct ts_header){.schema = arena_strdup(a, schema), .features = ""};
	h->provenance = (struct ts_value){.kind = TS_LIST};
	ts_map_init(&h->extra, a);
}

static int strings_from(const struct ts_map *m, const char *key, struct arena *a, int *n, const char ***out,
			struct err *e)
{
	const struct ts_value *v = ts_get(m, key);
	*n = 0;
	*out = NULL;
	if (!v || v->kind != TS_LIST)
		return err_set(e, ERR_FORMAT, "the header has no list %s", key);
	const char **s = arena_alloc(a, (size_t)(v->u.list.n + 1) * sizeof *s);
	for (int64_t i = 0; i < v->u.list.n; i++) {
		const struct ts_value *item = &v->u.list.items[i];
		if (item->kind != TS_STR || strlen(item->u.str.s) != (size_t)item->u.str.n)
			return err_set(e, ERR_FORMAT, "the header's %s holds what is no string", key);
		s[i] = arena_strndup(a, item->u.str.s, (size_t)item->u.str.n);
	}
	*n = (int)v->u.list.n;
	*out = s;
	return 0;
}

static bool parents_valid(const struct ts_value *node, int64_t index)
{
	if (node->kind != TS_MAP)
		return false;
	const struct ts_value *p = ts_get(&node->u.map, "parents"), *program = ts_get(&node->u.map, "program");
	if (!program || program->kind != TS_STR || !p || p->kind != TS_LIST)
		return false;
	for (int64_t i = 0; i < p->u.list.n; i++) {
		const struct ts_value *item = &p->u.list.items[i];
		if (item->kind != TS_INT || item->u.i < 0 || item->u.i >= index)
			return false;
	}
	return true;
}

static bool key_known(const char *key)
{
	static const char *const known[] = {"tstream", "schema", "tasks", "features", "fields", "shard", "provenance"};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcmp(key, known[i]))
			return true;
	return false;
}

int ts_header_from_map(struct ts_header *h, const struct ts_map *m, struct arena *a, struct err *e)
{
	int64_t version;
	const char *s;
	struct err local = {0};
	if (ts_need_int(m, "tstream", &version, &local))
		return err_set(e, ERR_FORMAT, "no tstream: the first map is no header");
	if (version != TS_VERSION)
		return err_set(e, ERR_FORMAT, "tstream version %" PRId64 "; this program reads version %d", version,
			       TS_VERSION);
	if (ts_need_str(m, "schema", &s, e))
		return ERR_FORMAT;
	ts_header_init(h, s, a);
	if (ts_need_str(m, "features", &s, e))
		return ERR_FORMAT;
	h->features = arena_strdup(a, s);
	int rc = strings_from(m, "tasks", a, &h->n_task, &h->tasks, e);
	if (!rc)
		rc = strings_from(m, "fields", a, &h->n_field, &h->fields, e);
	if (rc)
		return rc;
	const struct ts_value *v = ts_get(m, "shard");
	if (v) {
		if (v->kind != TS_LIST || v->u.list.n != 2 || v->u.list.items[0].kind != TS_INT ||
		    v->u.list.items[1].kind != TS_INT)
			return err_set(e, ERR_FORMAT, "the header's shard is no pair of numbers");
		h->shard[0] = v->u.list.items[0].u.i;
		h->shard[1] = v->u.list.items[1].u.i;
		if (h->shard[0] < 0 || h->shard[0] >= h->shard[1])
			return err_set(e, ERR_FORMAT, "the header's shard is %" PRId64 "/%" PRId64, h->shard[0],
				       h->shard[1]);
	}
	v = ts_get(m, "provenance");
	if (!v || v->kind != TS_LIST)
		return err_set(e, ERR_FORMAT, "the header has no list provenance");
	for (int64_t i = 0; i < v->u.list.n; i++)
		if (!parents_valid(&v->u.list.items[i], i))
			return err_set(e, ERR_FORMAT, "the header's provenance node %" PRId64 " is malformed", i);
	h->provenance = ts_value_copy(a, v);
	for (int i = 0; i < m->n; i++)
		if (!key_known(m->fields[i].key))
			ts_set(&h->extra, m->fields[i].key, ts_value_copy(a, &m->fields[i].v));
	return 0;
}

void ts_header_to_map(const struct ts_header *h, struct ts_map *m)
{
	ts_set_int(m, "tstream", TS_VERSION);
	ts_set_str(m, "schema", h->schema);
	ts_set(m, "tasks", ts_value_strings(m->arena, h->n_task, h->tasks));
	ts_set_str(m, "features", h->features ? h->features : "");
	ts_set(m, "fields", ts_value_strings(m->arena, h->n_field, h->fields));
	if (h->shard[1]) {
		struct ts_value *pair = arena_alloc(m->arena, 2 * sizeof *pair);
		pair[0] = ts_value_int(h->shard[0]);
		pair[1] = ts_value_int(h->shard[1]);
		ts_set(m, "shard", (struct ts_value){.kind = TS_LIST, .u.list = {pair, 2}});
	}
	for (int i = 0; i < h->extra.n; i++)
		ts_set(m, h->extra.fields[i].key, h->extra.fields[i].v);
	ts_set(m, "provenance", h->provenance);
}

bool ts_header_has_field(const struct ts_header *h, const char *name)
{
	for (int i = 0; i < h->n_field; i++)
		if (!strcmp(h->fields[i], name))
			return true;
	return false;
}

void ts_header_add_field(struct ts_header *h, const char *name, struct arena *a)
{
	if (ts_header_has_field(h, name))
		return;
	const char **grown = arena_alloc(a, (size_t)(h->n_field + 1) * sizeof *grown);
	if (h->n_field)
		memcpy(grown, h->fields, (size_t)h->n_field * sizeof *grown);
	grown[h->n_field++] = arena_strdup(a, name);
	h->fields = grown;
}

int ts_header_same_kind(const struct ts_header *a, const struct ts_header *b, struct err *e)
{
	if (strcmp(a->schema, b->schema))
		return err_set(e, ERR_SCHEMA, "schema %s here and %s before", b->schema, a->schema);
	if (strcmp(a->features, b->features))
		return err_set(e, ERR_SCHEMA, "features '%s' here and '%s' before", b->features, a->features);
	if (a->n_task != b->n_task)
		return err_set(e, ERR_SCHEMA, "%d tasks here and %d before", b->n_task, a->n_task);
	for (int i = 0; i < a->n_task; i++)
		if (strcmp(a->tasks[i], b->tasks[i]))
			return err_set(e, ERR_SCHEMA, "task %s here and %s before", b->tasks[i], a->tasks[i]);
	return 0;
}

/* ---- provenance ---- */

static void list_append(struct ts_value *list, struct ts_value v, struct arena *a)
{
	int64_t n = list->u.list.n;
	struct ts_value *grown = arena_alloc(a, (size_t)(n + 1) * sizeof *grown);
	if (n)
		memcpy(grown, list->u.list.items, (size_t)n * sizeof *grown);
	grown[n] = v;
	list->u.list.items = grown;
	list->u.list.n = n + 1;
}

static struct ts_value pairs_map(int n, const char *(*pairs)[2], struct arena *a)
{
	struct ts_map m;
	ts_map_init(&m, a);
	for (int i = 0; i < n; i++)
		ts_set_str(&m, pairs[i][0], pairs[i][1]);
	return ts_value_map(&m);
}

/* The nodes that are nobody's parent. */
static struct ts_value nodes_last(const struct ts_value *nodes, struct arena *a)
{
	int64_t n = nodes->u.list.n;
	bool *has_child = arena_calloc(a, (size_t)n + 1, sizeof *has_child);
	for (int64_t i = 0; i < n; i++) {
		const struct ts_value *p = ts_get(&nodes->u.list.items[i].u.map, "parents");
		for (int64_t k = 0; k < p->u.list.n; k++)
			has_child[p->u.list.items[k].u.i] = true;
	}
	struct ts_value last = {.kind = TS_LIST};
	for (int64_t i = 0; i < n; i++)
		if (!has_child[i])
			list_append(&last, ts_value_int(i), a);
	return last;
}

void ts_header_add_node(struct ts_header *h, const struct ts_node *node, struct arena *a)
{
	struct ts_map m;
	ts_map_init(&m, a);
	ts_set_str(&m, "program", node->program);
	ts_set_str(&m, "version", node->version);
	ts_set(&m, "options", ts_value_strings(a, node->n_option, node->options));
	if (node->has_seed)
		ts_set_int(&m, "seed", (int64_t)node->seed);
	if (node->n_digest)
		ts_set(&m, "digests", pairs_map(node->n_digest, node->digests, a));
	if (node->n_library)
		ts_set(&m, "libraries", pairs_map(node->n_library, node->libraries, a));
	ts_set(&m, "parents", nodes_last(&h->provenance, a));
	list_append(&h->provenance, ts_value_map(&m), a);
}

/* Two nodes are one when they pack to the same bytes, parents (already renumbered) included. */
static bool nodes_equal(const struct ts_value *x, const struct ts_value *y)
{
	struct buf a = {0}, b = {0};
	bool same = !ts_pack(&x->u.map, &a, NULL) && !ts_pack(&y->u.map, &b, NULL) && a.n == b.n &&
		    !memcmp(a.data, b.data, a.n);
	buf_free(&a);
	buf_free(&b);
	return same;
}

void ts_header_add_history(struct ts_header *h, const struct ts_header *other, struct arena *a)
{
	int64_t n = other->provenance.u.list.n;
	int64_t *place = arena_alloc(a, (size_t)(n + 1) * sizeof *place);
	for (int64_t i = 0; i < n; i++) {
		struct ts_value node = ts_value_copy(a, &other->provenance.u.list.items[i]);
		const struct ts_value *p = ts_get(&node.u.map, "parents");
		struct ts_value parents = {.kind = TS_LIST};
		for (int64_t k = 0; k < p->u.list.n; k++)
			list_append(&parents, ts_value_int(place[p->u.list.items[k].u.i]), a);
		ts_set(&node.u.map, "parents", parents);
		place[i] = -1;
		for (int64_t k = 0; k < h->provenance.u.list.n && place[i] < 0; k++)
			if (nodes_equal(&h->provenance.u.list.items[k], &node))
				place[i] = k;
		if (place[i] < 0) {
			place[i] = h->provenance.u.list.n;
			list_append(&h->provenance, node, a);
		}
	}
}

/* ---- end map ---- */

void ts_end_follow(struct ts_end *out, const struct ts_end *in)
{
	*out = (struct ts_end){0};
	const struct ts_counts *c = &in->counts, *u = &in->upstream;
	bool first = !u->rows; /* `in` comes from a stage that read molecules */
	out->upstream = (struct ts_counts){
	    .n = c->n,
	    .rows = first ? c->rows : u->rows,
	    .rejects = c->rejects + u->rejects,
	    .filtered = c->filtered + u->filtered,
	    .warned = c->warned + u->warned,
	};
	out->counts.rows = c->n;
	memcpy(out->source, in->digest, sizeof out->source);
}

static void counts_to_map(const struct ts_counts *c, struct ts_map *m)
{
	ts_set_int(m, "n", c->n);
	ts_set_int(m, "rows", c->rows);
	ts_set_int(m, "rejects", c->rejects);
	ts_set_int(m, "filtered", c->filtered);
	ts_set_int(m, "warned", c->warned);
}

static int counts_from_map(struct ts_counts *c, const struct ts_map *m, struct err *e)
{
	if (ts_need_int(m, "n", &c->n, e) || ts_need_int(m, "rows", &c->rows, e) ||
	    ts_need_int(m, "rejects", &c->rejects, e) || ts_need_int(m, "filtered", &c->filtered, e) ||
	    ts_need_int(m, "warned", &c->warned, e))
		return ERR_FORMAT;
	const int64_t max = INT64_MAX / 4;
	if (c->n < 0 || c->rejects < 0 || c->filtered < 0 || c->warned < 0 || c->n > max || c->rejects > max ||
	    c->filtered > max || c->rows != c->n + c->rejects + c->filtered)
		return err_set(e, ERR_FORMAT,
			       "the end map does not balance: rows %" PRId64 ", n %" PRId64 ", rejects %" PRId64
			       ", filtered %" PRId64,
			       c->rows, c->n, c->rejects, c->filtered);
	return 0;
}

void ts_end_to_map(const struct ts_end *end, struct ts_map *m)
{
	struct ts_map up;
	ts_map_init(&up, m->arena);
	counts_to_map(&end->upstream, &up);
	ts_set_bool(m, "end", true);
	counts_to_map(&end->counts, m);
	ts_set(m, "upstream", ts_value_map(&up));
	ts_set_str(m, "digest", end->digest);
	ts_set_str(m, "source", end->source);
	for (int i = 0; i < end->extra.n; i++)
		ts_set(m, end->extra.fields[i].key, end->extra.fields[i].v);
}

static int digest_from(const struct ts_map *m, const char *key, bool may_be_empty, char hex[33], struct err *e)
{
	const char *s;
	if (ts_need_str(m, key, &s, e))
		return ERR_FORMAT;
	size_t n = strlen(s);
	if (!(n == 32 || (!n && may_be_empty)) || strspn(s, "0123456789abcdef") != n)
		return err_set(e, ERR_FORMAT, "the end map's %s is not 32 hexadecimal digits", key);
	memcpy(hex, s, n + 1);
	return 0;
}

int ts_end_from_map(struct ts_end *end, const struct ts_map *m, struct arena *a, struct err *e)
{
	static const char *const known[] = {"end",    "n",        "rows",   "rejects", "filtered",
					    "warned", "upstream", "digest", "source"};
	*end = (struct ts_end){0};
	ts_map_init(&end->extra, a);
	const struct ts_value *up = ts_get(m, "upstream"), *mark = ts_get(m, "end");
	if (!mark || mark->kind != TS_BOOL || !mark->u.b || !up || up->kind != TS_MAP)
		return err_set(e, ERR_FORMAT, "the end map is malformed");
	int rc = counts_from_map(&end->counts, m, e);
	if (!rc)
		rc = counts_from_map(&end->upstream, &up->u.map, e);
	if (!rc)
		rc = digest_from(m, "digest", false, end->digest, e);
	if (!rc)
		rc = digest_from(m, "source", true, end->source, e);
	if (rc)
		return rc;
	if (end->upstream.rows && end->upstream.n != end->counts.rows)
		return err_set(e, ERR_FORMAT,
			       "the end map does not balance: %" PRId64 " records came from upstream, %" PRId64
			       " were read",
			       end->upstream.n, end->counts.rows);
	for (int i = 0; i < m->n; i++) {
		bool is_known = false;
		for (size_t k = 0; k < sizeof known / sizeof *known; k++)
			is_known |= !strcmp(m->fields[i].key, known[k]);
		if (!is_known)
			ts_set(&end->extra, m->fields[i].key, ts_value_copy(a, &m->fields[i].v));
	}
	return 0;
}
