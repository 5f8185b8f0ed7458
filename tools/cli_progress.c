/* cli_progress.c - one live line on standard error: done, rate, rejects, time left. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct cli_progress {
	const char *program;
	int64_t total, done, rejects;
	double started_s, shown_s, slowest_s;
	int64_t slowest;
	bool terminal, ended;
	char note[160];
};

static bool on_terminal; /* a live line stands on the terminal now */

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct cli_progress *cli_progress_new(const struct cli *c, int64_t total)
{
	bool terminal = isatty(STDERR_FILENO);
	if (c->quiet || !(c->progress || terminal))
		return NULL;
	struct cli_progress *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->program = c->program;
	p->total = total;
	p->terminal = terminal;
	p->started_s = p->shown_s = now_s();
	return p;
}

static void duration(double s, char *buf, size_t nbytes)
{
	long n = (long)(s + 0.5);
	if (n < 60)
		snprintf(buf, nbytes, "%ld s", n);
	else if (n < 3600)
		snprintf(buf, nbytes, "%ld:%02ld min", n / 60, n % 60);
	else
		snprintf(buf, nbytes, "%ld:%02ld h", n / 3600, n / 60 % 60);
}

static void show(struct cli_progress *p, double t_s)
{
	double spent_s = t_s - p->started_s, rate = spent_s > 0 ? (double)p->done / spent_s : 0;
	char left[40] = "", rejects[40] = "", slowest[60] = "";
	if (p->total > 0 && p->done > 0 && p->done <= p->total) {
		char text[32];
		duration((double)(p->total - p->done) / rate, text, sizeof text);
		snprintf(left, sizeof left, ", %s left", text);
	}
	if (p->rejects)
		snprintf(rejects, sizeof rejects, ", %lld rejects", (long long)p->rejects);
	if (p->ended && p->slowest_s >= 0.1)
		snprintf(slowest, sizeof slowest, ", slowest: row %lld, %.1f s", (long long)p->slowest, p->slowest_s);
	fprintf(stderr, "%s%s: ", p->terminal ? "\r\033[K" : "", p->program);
	if (*p->note)
		fprintf(stderr, "%s%s", p->note, p->done ? ", " : "");
	if (p->done && p->total > 0)
		fprintf(stderr, "%lld of %lld, %.0f/s%s%s%s", (long long)p->done, (long long)p->total, rate, rejects,
			left, slowest);
	else if (p->done)
		fprintf(stderr, "%lld, %.0f/s%s%s", (long long)p->done, rate, rejects, slowest);
	if (!p->terminal)
		fputc('\n', stderr);
	fflush(stderr);
	on_terminal = p->terminal;
	p->shown_s = t_s;
}

static void maybe_show(struct cli_progress *p)
{
	double t_s = now_s();
	/* Often enough to live on a terminal, seldom enough for a log. */
	if (t_s - p->shown_s >= (p->terminal ? 0.2 : 10))
		show(p, t_s);
}

void cli_progress_total(struct cli_progress *p, int64_t total)
{
	if (p)
		p->total = total;
}

void cli_progress_update(struct cli_progress *p, int64_t done, int64_t rejects)
{
	if (!p)
		return;
	p->done = done;
	p->rejects = rejects;
	maybe_show(p);
}

void cli_progress_note(struct cli_progress *p, const char *text)
{
	if (!p)
		return;
	snprintf(p->note, sizeof p->note, "%s", text);
	maybe_show(p);
}

void cli_progress_slowest(struct cli_progress *p, int64_t row, double s)
{
	if (!p || s <= p->slowest_s)
		return;
	p->slowest = row;
	p->slowest_s = s;
}

void cli_progress_wipe(void)
{
	if (on_terminal)
		fputs("\r\033[K", stderr);
	on_terminal = false;
}

void cli_progress_free(struct cli_progress *p)
{
	if (!p)
		return;
	p->ended = true;
	show(p, now_s());
	if (p->terminal)
		fputc('\n', stderr);
	on_terminal = false;
	free(p);
}
