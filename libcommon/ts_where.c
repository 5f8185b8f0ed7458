/* Expressions that select records: parsed once into a tree, evaluated a record at a time. */
#include "ts_export.h"

#include <ctype.h>
#include <inttypes.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

enum op { OP_AND, OP_OR, OP_NOT, OP_HAS, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_MATCH };

struct node {
	enum op op;
	struct node *a, *b;
	char *field, *literal;
	int64_t index; /* of a tensor's element, -1: none given */
	bool is_number;
	double number;
	regex_t regex;
};
struct ts_where {
	struct node *root;
};
struct parse {
	const char *text, *p;
	int depth;
	struct err *e;
};

static void node_free(struct node *n)
{
	if (!n)
		return;
	node_free(n->a);
	node_free(n->b);
	if (n->op == OP_MATCH)
		regfree(&n->regex);
	free(n->field);
	free(n->literal);
	free(n);
}

static struct node *fail(struct parse *s, const char *what)
{
	err_set(s->e, ERR_USAGE, "expression '%s': %s at column %d", s->text, what, (int)(s->p - s->text) + 1);
	return NULL;
}

static struct node *node_new(enum op op, struct node *a, struct node *b)
{
	struct node *n = calloc(1, sizeof *n);
	if (!n)
		abort();
	n->op = op;
	n->a = a;
	n->b = b;
	n->index = -1;
	return n;
}

static void skip_blanks(struct parse *s)
{
	while (isspace((unsigned char)*s->p))
		s->p++;
}

static size_t name_length(const char *p)
{
	size_t n = 0;
	while (isalnum((unsigned char)p[n]) || p[n] == '_' || (n && (p[n] == '.' || p[n] == '-')))
		n++;
	return n;
}

/* Takes the keyword if it comes next. */
static bool take_word(struct parse *s, const char *word)
{
	skip_blanks(s);
	size_t n = strlen(word);
	if (name_length(s->p) != n || memcmp(s->p, word, n))
		return false;
	s->p += n;
	return true;
}

static bool take_char(struct parse *s, char c)
{
	skip_blanks(s);
	if (*s->p != c)
		return false;
	s->p++;
	return true;
}

static char *take_name(struct parse *s)
{
	skip_blanks(s);
	size_t n = name_length(s->p);
	char *name = n ? strndup(s->p, n) : NULL;
	s->p += n;
	return name;
}

static bool take_op(struct parse *s, enum op *op)
{
	static const struct {
		const char *text;
		enum op op;
	} ops[] = {{"!=", OP_NE}, {"<=", OP_LE}, {">=", OP_GE}, {"==", OP_EQ},
		   {"=", OP_EQ},  {"<", OP_LT},  {">", OP_GT},  {"~", OP_MATCH}};
	skip_blanks(s);
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
		size_t n = strlen(ops[i].text);
		if (!strncmp(s->p, ops[i].text, n)) {
			s->p += n;
			*op = ops[i].op;
			return true;
		}
	}
	return false;
}

/* 'text', "text", or all up to a blank or parenthesis. */
static char *take_literal(struct parse *s, bool *quoted)
{
	skip_blanks(s);
	*quoted = *s->p == '\'' || *s->p == '"';
	if (*quoted) {
		const char *from = s->p + 1, *to = strchr(from, *s->p);
		if (!to)
			return NULL;
		s->p = to + 1;
		return strndup(from, (size_t)(to - from));
	}
	size_t n = strcspn(s->p, " \t\n()");
	char *t = n ? strndup(s->p, n) : NULL;
	s->p += n;
	return t;
}

static bool text_number(const char *s, double *v)
{
	char *end;
	*v = strtod(s, &end);
	return *s && !*end && !isspace((unsigned char)*s);
}

static struct node *parse_comparison(struct parse *s)
{
	struct node *n = node_new(OP_EQ, NULL, NULL);
	enum op op;
	bool quoted;
	if (!(n->field = take_name(s))) {
		node_free(n);
		return fail(s, "a field name is missing");
	}
	if (take_char(s, '[')) {
		char *end;
		n->index = strtoll(s->p, &end, 10);
		s->p = end;
		if (n->index < 0 || !take_char(s, ']')) {
			node_free(n);
			return fail(s, "an index [N] is malformed");
		}
	}
	if (!take_op(s, &op)) {
		node_free(n);
		return fail(s, "an operator (= != < <= > >= ~) is missing");
	}
	if (!(n->literal = take_literal(s, &quoted))) {
		node_free(n);
		return fail(s, "a value is missing or its quote is not closed");
	}
	n->is_number = !quoted && text_number(n->literal, &n->number);
	if (op == OP_MATCH && regcomp(&n->regex, n->literal, REG_EXTENDED | REG_NOSUB)) {
		node_free(n);
		return fail(s, "the regular expression is malformed");
	}
	n->op = op;
	return n;
}

static struct node *parse_or(struct parse *s);

static struct node *parse_unary(struct parse *s)
{
	if (++s->depth > 200)
		return fail(s, "nested too deeply");
	struct node *n;
	if (take_word(s, "not")) {
		n = parse_unary(s);
		n = n ? node_new(OP_NOT, n, NULL) : NULL;
	} else if (take_char(s, '(')) {
		n = parse_or(s);
		if (n && !take_char(s, ')')) {
			node_free(n);
			n = fail(s, "a closing parenthesis is missing");
		}
	} else {
		const char *before = s->p;
		if (take_word(s, "has") && take_char(s, '(')) {
			n = node_new(OP_HAS, NULL, NULL);
			if (!(n->field = take_name(s)) || !take_char(s, ')')) {
				node_free(n);
				n = fail(s, "has(FIELD) is malformed");
			}
		} else {
			s->p = before;
			n = parse_comparison(s);
		}
	}
	s->depth--;
	return n;
}

static struct node *parse_and(struct parse *s)
{
	struct node *a = parse_unary(s);
	while (a && take_word(s, "and")) {
		struct node *b = parse_unary(s);
		if (!b) {
			node_free(a);
			return NULL;
		}
		a = node_new(OP_AND, a, b);
	}
	return a;
}

static struct node *parse_or(struct parse *s)
{
	struct node *a = parse_and(s);
	while (a && take_word(s, "or")) {
		struct node *b = parse_and(s);
		if (!b) {
			node_free(a);
			return NULL;
		}
		a = node_new(OP_OR, a, b);
	}
	return a;
}

int ts_where_parse(struct ts_where **out, const char *expr, struct err *e)
{
	struct parse s = {.text = expr, .p = expr, .e = e};
	struct node *n = parse_or(&s);
	*out = NULL;
	skip_blanks(&s);
	if (n && *s.p) {
		node_free(n);
		n = fail(&s, "something is left over");
	}
	if (!n)
		return ERR_USAGE;
	*out = calloc(1, sizeof **out);
	if (!*out)
		abort();
	(*out)->root = n;
	return 0;
}

void ts_where_free(struct ts_where *w)
{
	if (!w)
		return;
	node_free(w->root);
	free(w);
}

/* ---- evaluation ---- */

static bool order_holds(enum op op, int cmp)
{
	switch (op) {
	case OP_EQ:
		return cmp == 0;
	case OP_NE:
		return cmp != 0;
	case OP_LT:
		return cmp < 0;
	case OP_LE:
		return cmp <= 0;
	case OP_GT:
		return cmp > 0;
	default:
		return cmp >= 0;
	}
}

static bool number_holds(enum op op, double a, double b)
{
	if (a != a || b != b) /* NaN is unequal to all, and in no order */
		return op == OP_NE;
	return order_holds(op, a < b ? -1 : a > b);
}

static bool comparison_match(const struct node *n, const struct ts_map *m)
{
	const struct ts_value *v = ts_get(m, n->field);
	char text[40];
	const char *s = text;
	double number = 0;
	bool is_number = true;
	if (!v)
		return false;
	if (v->kind == TS_TENSOR) {
		int64_t count = ts_tensor_count(&v->u.t), i = n->index < 0 ? 0 : n->index;
		if (i >= count || (n->index < 0 && count != 1))
			return false;
		number = ts_tensor_float(&v->u.t, i);
		ts_format_float(number, v->u.t.dtype == TS_F32, text);
	} else if (n->index >= 0) {
		return false;
	} else if (v->kind == TS_INT) {
		number = (double)v->u.i;
		snprintf(text, sizeof text, "%" PRId64, v->u.i);
	} else if (v->kind == TS_FLOAT) {
		number = v->u.f;
		ts_format_float(number, false, text);
	} else if (v->kind == TS_BOOL) {
		s = v->u.b ? "true" : "false";
		is_number = false;
	} else if (v->kind == TS_STR) {
		s = v->u.str.s;
		is_number = text_number(s, &number);
	} else {
		return false;
	}
	if (n->op == OP_MATCH)
		return !regexec(&n->regex, s, 0, NULL, 0);
	if (n->is_number && is_number)
		return number_holds(n->op, number, n->number);
	return order_holds(n->op, strcmp(s, n->literal));
}

static bool node_match(const struct node *n, const struct ts_map *m)
{
	switch (n->op) {
	case OP_AND:
		return node_match(n->a, m) && node_match(n->b, m);
	case OP_OR:
		return node_match(n->a, m) || node_match(n->b, m);
	case OP_NOT:
		return !node_match(n->a, m);
	case OP_HAS:
		return ts_get(m, n->field) != NULL;
	default:
		return comparison_match(n, m);
	}
}

bool ts_where_match(const struct ts_where *w, const struct ts_map *m)
{
	return node_match(w->root, m);
}
