/* score - metrics of predictions with labels. */
#include "cli.h"
#include "learn_retrieval.h"
#include "learn_scores.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct conf {
	struct cli cli;
	const char *labels, *curves;
	struct opt_list metric, retrieval;
	bool json;
	int64_t bootstrap;
};
#define AT(member) offsetof(struct conf, member)
static const struct opt options[] = {
    {"labels", 0, OPT_STR, "FILE", "a table with the labels, joined by row", AT(labels), OPT_RECORDS | OPT_DIGEST},
    {"metric", 0, OPT_LIST, "NAME,..", "roc-auc, pr-auc, rmse, mae, r2", AT(metric), OPT_RECORDS},
    {"retrieval", 0, OPT_LIST, "FROM:TO,..", "how often one embedding of a molecule finds another, in a stream",
     AT(retrieval), OPT_RECORDS},
    {"json", 0, OPT_FLAG, NULL, "one JSON object", AT(json)},
    {"curves", 0, OPT_STR, "FILE", "a table of points of ROC, PR and calibration curves", AT(curves)},
    {"bootstrap", 0, OPT_INT, "N", "95 % intervals from N resamples of the rows", AT(bootstrap), OPT_RECORDS,
     .max = 1e6},
    {0},
};

static int labels_read(const struct conf *c, struct table *t, struct err *e)
{
	int fd = open(c->labels, O_RDONLY);
	if (fd < 0)
		return err_set_errno(e, ERR_IO, "%s", c->labels);
	int rc = table_read(fd, c->labels, c->cli.arena, t, e);
	close(fd);
	return rc;
}

static int curves_write(const struct conf *c, const struct scores *s, struct err *e)
{
	struct io_atomic f;
	char *text = NULL;
	size_t n = 0;
	int rc = io_atomic_open(&f, c->curves, e);
	if (rc)
		return rc;
	FILE *out = open_memstream(&text, &n);
	scores_write_curves(s, out);
	fclose(out);
	rc = io_write_all(f.fd, text, n, e);
	free(text);
	if (!rc)
		return io_atomic_commit(&f, e);
	io_atomic_discard(&f);
	return rc;
}

static int retrieval_write(const struct conf *c, struct err *e)
{
	struct cli_out o;
	int rc = cli_out_open(&c->cli, false, &o, e);
	if (rc)
		return rc;
	FILE *out = cli_text_open(o.fd, e);
	rc = retrieval_run(&c->cli, c->retrieval.n, c->retrieval.items, out, e);
	if ((fflush(out) || ferror(out)) && !rc)
		rc = e->code;
	fclose(out);
	int rc_close = cli_out_close(&o, !rc, e);
	return rc ? rc : rc_close;
}

static int result_write(const struct conf *c, const struct scores *s, struct err *e)
{
	struct cli_out o;
	char *text = NULL;
	size_t n = 0;
	int rc = cli_out_open(&c->cli, false, &o, e);
	if (rc)
		return rc;
	FILE *out = open_memstream(&text, &n);
	(c->json ? scores_write_json : scores_write_text)(s, c->bootstrap > 0, out);
	fclose(out);
	rc = io_write_all(o.fd, text, n, e);
	free(text);
	int rc_close = cli_out_close(&o, !rc, e);
	return rc ? rc : rc_close;
}

int main(int argc, char **argv)
{
	struct conf c = {.cli = {.output = "-", .n_worker = 1}};
	struct table pred, labels;
	struct scores s;
	struct err e = {0};
	const char *name;
	int code = cli_begin(&c, sizeof c, "score", "[FILE]", options, NULL, argc, argv);
	if (code >= 0)
		return code;
	if (c.retrieval.n) {
		if (c.labels || c.curves || c.metric.n || c.json || c.bootstrap)
			err_set(&e, ERR_USAGE, "--retrieval reads a stream and goes with no other option");
		return e.code || retrieval_write(&c, &e) ? cli_fail(&c.cli, &e) : EXIT_DONE;
	}
	if (c.cli.n_file > 1) {
		err_set(&e, ERR_USAGE, "one table of predictions at a time");
		return cli_fail(&c.cli, &e);
	}
	int fd = cli_in_open(&c.cli, 0, &name, &e), rc = fd < 0 ? fd : 0;
	if (!rc)
		rc = table_read(fd, name, c.cli.arena, &pred, &e);
	if (!rc && c.labels)
		rc = labels_read(&c, &labels, &e);
	if (!rc && (rc = scores_join(&s, &pred, c.labels ? &labels : NULL, c.cli.arena, &e)))
		err_add_place(&e, name, -1, -1);
	if (!rc)
		rc = scores_metrics(&s, c.metric.n, c.metric.items, &e);
	if (!rc) {
		scores_compute(&s, c.bootstrap, (uint64_t)c.cli.seed, c.cli.arena);
		rc = result_write(&c, &s, &e);
	}
	if (!rc && c.curves)
		rc = curves_write(&c, &s, &e);
	return rc ? cli_fail(&c.cli, &e) : EXIT_DONE;
}
