/*
 * tap.h - the whole of our unit-test harness: Test Anything Protocol on stdout.
 *
 *     int main(void) { tap_ok(1 + 1 == 2, "addition"); return tap_done(); }
 *
 * tap_done prints the plan and returns the exit status: a program that stops
 * before it has no plan, which the runner counts as a failure.
 */
#ifndef MOLRILL_TAP_H
#define MOLRILL_TAP_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tap_n, tap_failed;

/* One check: prints "ok N - text" or "not ok N - text". Returns the condition, so that a caller can print details. */
__attribute__((format(printf, 2, 3), unused)) static bool tap_ok(bool good, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	printf("%sok %d - ", good ? "" : "not ", ++tap_n);
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	tap_failed += !good;
	return good;
}
/* |got - want| <= tol; NaN fails. */
__attribute__((unused)) static bool tap_near(double got, double want, double tol, const char *what)
{
	bool good = fabs(got - want) <= tol;
	tap_ok(good, "%s", what);
	if (!good)
		printf("# %s: got %.17g, want %.17g, tolerance %g\n", what, got, want, tol);
	return good;
}
__attribute__((unused)) static bool tap_str(const char *got, const char *want, const char *what)
{
	bool good = got && want && !strcmp(got, want);
	tap_ok(good, "%s", what);
	if (!good)
		printf("# %s: got \"%s\", want \"%s\"\n", what, got ? got : "(null)", want ? want : "(null)");
	return good;
}
/* A check that cannot run here; the runner's totals name it. */
__attribute__((unused)) static void tap_skip(const char *what, const char *reason)
{
	printf("ok %d - %s # SKIP %s\n", ++tap_n, what, reason);
}
__attribute__((unused)) static int tap_done(void)
{
	printf("1..%d\n", tap_n);
	if (!tap_n)
		printf("not ok 1 - no check ran\n");
	return tap_n && !tap_failed && !fflush(stdout) ? 0 : 1;
}

#endif
