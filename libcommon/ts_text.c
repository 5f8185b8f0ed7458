/* Values as text, JSON and table cells. */
#include "ts_export.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *ts_format_float(double v, bool single, char buf[32])
{
	for (int digits = single ? 6 : 15; digits <= (single ? 9 : 17); digits++) {
		snprintf(buf, 32, "%.*g", digits, v);
		if (single ? strtof(buf, NULL) == (float)v : strtod(buf, NULL) == v)
			break;
	}
	if (isnan(v))
		strcpy(buf, "nan");
	return buf;
}

/* Element i as text; `json`: what JSON has no word for is null. */
static void element_write(FILE *out, const struct ts_tensor *t, int64_t i, bool json)
{
	char buf[32];
	if (t->dtype == TS_F32 || t->dtype == TS_F64) {
		double v = ts_tensor_float(t, i);
		fputs(json && !isfinite(v) ? "null" : ts_format_float(v, t->dtype == TS_F32, buf), out);
	} else if (t->dtype == TS_BOOL8 && json) {
		fputs(ts_tensor_int(t, i) ? "true" : "false", out);
	} else {
		fprintf(out, "%" PRId64, ts_tensor_int(t, i));
	}
}

static void hex_write(FILE *out, const char *s, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		fprintf(out, "%02x", (unsigned char)s[i]);
}

/* ---- JSON ---- */

static void json_string(FILE *out, const char *s, int64_t n)
{
	putc('"', out);
	for (int64_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < ' ' || c == 127)
			fprintf(out, "\\u%04x", c);
		else
			putc(c, out);
	}
	putc('"', out);
}

static int64_t json_tensor(FILE *out, const struct ts_tensor *t, int dim, int64_t at)
{
	if (dim == t->n_dim) {
		element_write(out, t, at, true);
		return at + 1;
	}
	putc('[', out);
	for (int64_t i = 0; i < t->shape[dim]; i++) {
		if (i)
			putc(',', out);
		at = json_tensor(out, t, dim + 1, at);
	}
	putc(']', out);
	return at;
}

void ts_json_value(FILE *out, const struct ts_value *v)
{
	char buf[32];
	switch (v->kind) {
	case TS_NIL:
		fputs("null", out);
		break;
	case TS_BOOL:
		fputs(v->u.b ? "true" : "false", out);
		break;
	case TS_INT:
		fprintf(out, "%" PRId64, v->u.i);
		break;
	case TS_FLOAT:
		fputs(isfinite(v->u.f) ? ts_format_float(v->u.f, false, buf) : "null", out);
		break;
	case TS_STR:
		json_string(out, v->u.str.s, v->u.str.n);
		break;
	case TS_BIN:
		putc('"', out);
		hex_write(out, v->u.str.s, v->u.str.n);
		putc('"', out);
		break;
	case TS_LIST:
		putc('[', out);
		for (int64_t i = 0; i < v->u.list.n; i++) {
			if (i)
				putc(',', out);
			ts_json_value(out, &v->u.list.items[i]);
		}
		putc(']', out);
		break;
	case TS_MAP:
		ts_json_map(out, &v->u.map);
		break;
	case TS_TENSOR:
		json_tensor(out, &v->u.t, 0, 0);
		break;
	}
}

void ts_json_map(FILE *out, const struct ts_map *m)
{
	putc('{', out);
	for (int i = 0; i < m->n; i++) {
		if (i)
			putc(',', out);
		json_string(out, m->fields[i].key, (int64_t)strlen(m->fields[i].key));
		putc(':', out);
		ts_json_value(out, &m->fields[i].v);
	}
	putc('}', out);
}

/* ---- text for people ---- */

void ts_text_value(FILE *out, const struct ts_value *v, int64_t max)
{
	if (v->kind == TS_BIN) {
		fprintf(out, "%" PRId64 " bytes", v->u.str.n);
		return;
	}
	if (v->kind != TS_TENSOR) {
		ts_json_value(out, v);
		return;
	}
	const struct ts_tensor *t = &v->u.t;
	fprintf(out, "%s [", ts_dtype_name(t->dtype));
	for (int i = 0; i < t->n_dim; i++)
		fprintf(out, "%s%" PRId64, i ? "," : "", t->shape[i]);
	putc(']', out);
	int64_t n = ts_tensor_count(t);
	for (int64_t i = 0; i < n; i++) {
		if (max && i == max) {
			fputs(" ...", out);
			break;
		}
		putc(' ', out);
		element_write(out, t, i, false);
	}
}

void ts_text_map(FILE *out, const struct ts_map *m, int64_t max)
{
	int width = 0;
	for (int i = 0; i < m->n; i++)
		if ((int)strlen(m->fields[i].key) > width)
			width = (int)strlen(m->fields[i].key);
	for (int i = 0; i < m->n; i++) {
		fprintf(out, "  %-*s  ", width, m->fields[i].key);
		ts_text_value(out, &m->fields[i].v, max);
		putc('\n', out);
	}
}

void ts_tsv_value(FILE *out, const struct ts_value *v)
{
	char buf[32];
	if (!v || v->kind == TS_NIL)
		return;
	if (v->kind == TS_STR) {
		for (int64_t i = 0; i < v->u.str.n; i++) {
			char c = v->u.str.s[i];
			if (c == '\t' || c == '\n' || c == '\r' || c == '\\')
				fprintf(out, "\\%c", c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : '\\');
			else
				putc(c, out);
		}
	} else if (v->kind == TS_TENSOR) {
		for (int64_t i = 0, n = ts_tensor_count(&v->u.t); i < n; i++) {
			if (i)
				putc(',', out);
			element_write(out, &v->u.t, i, false);
		}
	} else if (v->kind == TS_FLOAT) {
		fputs(ts_format_float(v->u.f, false, buf), out);
	} else {
		ts_json_value(out, v);
	}
}

void ts_history(FILE *out, const struct ts_header *h)
{
	for (int64_t i = 0; i < h->provenance.u.list.n; i++) {
		const struct ts_map *node = &h->provenance.u.list.items[i].u.map;
		const struct ts_value *v = ts_get(node, "options"), *parents = ts_get(node, "parents");
		fprintf(out, "%" PRId64 "  ", i);
		ts_tsv_value(out, ts_get(node, "program"));
		for (int64_t k = 0; v && v->kind == TS_LIST && k < v->u.list.n; k++) {
			putc(' ', out);
			ts_tsv_value(out, &v->u.list.items[k]);
		}
		if ((v = ts_get(node, "seed"))) {
			fputs(" --seed=", out);
			ts_tsv_value(out, v);
		}
		putc('\n', out);
		if ((v = ts_get(node, "version"))) {
			fputs("   version ", out);
			ts_tsv_value(out, v);
			putc('\n', out);
		}
		if (i && parents && parents->u.list.n) {
			fputs("   reads from", out);
			for (int64_t k = 0; k < parents->u.list.n; k++)
				fprintf(out, " %" PRId64, parents->u.list.items[k].u.i);
			putc('\n', out);
		}
		static const char *const groups[] = {"digests", "libraries"};
		for (int g = 0; g < 2; g++) {
			v = ts_get(node, groups[g]);
			for (int k = 0; v && v->kind == TS_MAP && k < v->u.map.n; k++) {
				fprintf(out, "   %s ", v->u.map.fields[k].key);
				ts_tsv_value(out, &v->u.map.fields[k].v);
				putc('\n', out);
			}
		}
	}
}
