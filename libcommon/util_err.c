/* util_err.c - the first failure of a call chain, with its place in the input. */
#include "util.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static void fill(struct err *e, int code, const char *fmt, va_list ap)
{
	e->code = code;
	vsnprintf(e->msg, sizeof e->msg, fmt, ap);
	/* A message is one line, whatever an input smuggled into it. */
	for (char *p = e->msg; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	if (e && !e->code) {
		va_list ap;
		va_start(ap, fmt);
		fill(e, code, fmt, ap);
		va_end(ap);
	}
	return code;
}

int err_set_errno(struct err *e, int code, const char *fmt, ...)
{
	int why = errno;
	if (e && !e->code) {
		va_list ap;
		va_start(ap, fmt);
		fill(e, code, fmt, ap);
		va_end(ap);
		size_t n = strlen(e->msg);
		snprintf(e->msg + n, sizeof e->msg - n, ": %s", strerror(why));
	}
	return code;
}

int err_add_place(struct err *e, const char *file, int64_t record, int64_t offset)
{
	if (!e)
		return ERR_NONE;
	if (!e->code)
		return e->code;
	if (file && !e->file[0])
		snprintf(e->file, sizeof e->file, "%s", file);
	if (record >= 0 && !e->has_record) {
		e->record = record;
		e->has_record = true;
	}
	if (offset >= 0 && !e->has_offset) {
		e->offset = offset;
		e->has_offset = true;
	}
	return e->code;
}

const char *err_text(const struct err *e, char *buf, size_t nbytes)
{
	char record[40] = "", offset[40] = "";
	if (e->has_record)
		snprintf(record, sizeof record, "record %" PRId64 ": ", e->record);
	if (e->has_offset)
		snprintf(offset, sizeof offset, "byte %" PRId64 ": ", e->offset);
	snprintf(buf, nbytes, "%s%s%s%s%s", e->file, e->file[0] ? ": " : "", record, offset, e->msg);
	return buf;
}
