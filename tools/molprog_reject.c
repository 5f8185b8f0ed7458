/* Refused rows: the rejects file (all of them), stderr (the first few, then the sums by reason). */
#include "molprog_run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SHOWN 20
#define MAX_CODES 64
#define MAX_TEXT 2000 /* bytes of one text in the rejects file */

struct refusals {
	const struct molprog *c;
	struct io_atomic file;
	bool has_file;
	struct buf text; /* not yet written */
	int64_t n_reject, n_warned, n_hidden;
	int n_code;
	struct {
		char code[32];
		int64_t n;
	} tally[MAX_CODES];
};

int refusals_open(struct refusals **out, const struct molprog *c, struct err *e)
{
	struct refusals *r = *out = calloc(1, sizeof *r);
	if (!r)
		return err_set(e, ERR_MEMORY, "no memory for rejects");
	r->c = c;
	if (c->rejects) {
		int rc = io_atomic_open(&r->file, c->rejects, e);
		if (rc)
			return rc;
		r->has_file = true;
		buf_printf(&r->text, "row\tid\tsmiles\tstage\tcode\tmessage\n");
	}
	return 0;
}

/* Text in one column of one line: control bytes, and those that are not UTF-8, as \xHH. */
static void text_put(struct buf *b, const char *s)
{
	size_t n = strlen(s), shown = n > MAX_TEXT ? MAX_TEXT : n;
	bool utf8 = ts_utf8_valid(s, n);
	while (utf8 && shown < n && ((unsigned char)s[shown] & 0xc0) == 0x80)
		shown--;
	for (size_t i = 0; i < shown; i++) {
		unsigned char ch = (unsigned char)s[i];
		if (ch < 32 || ch == 127 || (ch > 127 && !utf8))
			buf_printf(b, "\\x%02x", ch);
		else
			buf_put(b, &ch, 1);
	}
	if (shown < n)
		buf_put(b, "...", 3);
}

static void tally_add(struct refusals *r, const char *code)
{
	int i = 0;
	while (i < r->n_code && strcmp(r->tally[i].code, code))
		i++;
	if (i == MAX_CODES)
		return;
	if (i == r->n_code) {
		snprintf(r->tally[i].code, sizeof r->tally[i].code, "%s", code);
		r->n_code++;
	}
	r->tally[i].n++;
}

static int text_flush(struct refusals *r, struct err *e)
{
	int rc = r->text.n ? io_write_all(r->file.fd, r->text.data, r->text.n, e) : 0;
	r->text.n = 0;
	return rc;
}

int refusals_add(struct refusals *r, const char *input, int64_t row, const char *id, const char *smiles,
		 const struct mol_reject *why, bool warned, struct err *e)
{
	warned ? r->n_warned++ : r->n_reject++;
	tally_add(r, why->code);
	struct buf message = {0};
	if (why->column)
		buf_printf(&message, "column %d: ", why->column);
	text_put(&message, why->msg);
	buf_put(&message, "", 1);
	if (r->n_reject + r->n_warned <= MAX_SHOWN) {
		struct buf name = {0};
		text_put(&name, id);
		cli_warn(&r->c->cli, "%s: row %" PRId64 ": id %.*s: %s%s: %s", input, row, (int)name.n,
			 (const char *)name.data, why->code, warned ? " (goes on)" : "", (const char *)message.data);
		buf_free(&name);
	} else {
		r->n_hidden++;
	}
	int rc = 0;
	if (r->has_file) {
		buf_printf(&r->text, "%" PRId64 "\t", row);
		text_put(&r->text, id);
		buf_put(&r->text, "\t", 1);
		text_put(&r->text, smiles);
		buf_printf(&r->text, "\t%s\t%s\t%s\n", r->c->cli.program, why->code, (const char *)message.data);
		if (r->text.n > (1u << 16))
			rc = text_flush(r, e);
	}
	buf_free(&message);
	return rc;
}

static void sums_say(const struct refusals *r)
{
	struct buf b = {0};
	for (int i = 0; i < r->n_code; i++)
		buf_printf(&b, "%s%s %" PRId64, i ? ", " : "", r->tally[i].code, r->tally[i].n);
	if (r->n_hidden)
		cli_warn(&r->c->cli, "and %" PRId64 " more%s%s", r->n_hidden,
			 r->has_file ? ", all of them in " : "; --rejects FILE keeps them all",
			 r->has_file ? r->c->rejects : "");
	if (r->n_reject)
		cli_warn(&r->c->cli, "%" PRId64 " rejected, %" PRId64 " warned (%.*s)", r->n_reject, r->n_warned,
			 (int)b.n, (const char *)b.data);
	buf_free(&b);
}

int refusals_close(struct refusals *r, bool success, struct err *e)
{
	if (!r)
		return e->code;
	if (r->n_reject + r->n_warned && !r->c->cli.quiet)
		sums_say(r);
	if (r->has_file) {
		if (success && !text_flush(r, e))
			io_atomic_commit(&r->file, e);
		else
			io_atomic_discard(&r->file);
	}
	buf_free(&r->text);
	free(r);
	return e->code;
}
