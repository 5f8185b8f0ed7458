/* train - learns a model from records: pre-training, the structure stage, fine-tuning. */
#include "learn_run.h"

#include <string.h>

static int check(const struct learn_conf *c, struct err *e)
{
	if (c->task < 0)
		return err_set(e, ERR_USAGE, "which task? --task pretrain, structure or finetune");
	if (c->task == LEARN_STRUCTURE && !c->model)
		return err_set(e, ERR_USAGE, "--task structure needs a pre-trained model: -m MODEL");
	static const char *const of_hyperbuild[] = {"hyper-by", "hyper-k", "hyper-soft"};
	for (int i = 0; i < 3 && c->task == LEARN_STRUCTURE; i++)
		if (opt_was_given(of_hyperbuild[i]))
			return err_set(e, ERR_USAGE,
				       "--%s: --task structure takes the stream's hyperedges, which hyperbuild makes",
				       of_hyperbuild[i]);
	if (c->resume && !strcmp(c->cli.output, "-"))
		return err_set(e, ERR_USAGE, "--resume needs -o MODEL, where the run stopped");
	return 0;
}

static int show_config(const struct learn_conf *c, struct err *e)
{
	struct nn_checkpoint *base = NULL;
	struct nn_config cfg;
	int rc = c->model ? nn_checkpoint_open(&base, c->model, e) : 0;
	if (!rc)
		rc = learn_conf_model(c, base, &cfg, e);
	if (!rc)
		learn_conf_write(&cfg, stdout);
	nn_checkpoint_close(base);
	return rc;
}

int main(int argc, char **argv)
{
	struct learn_conf conf;
	struct err e = {0};
	learn_begin(argv);
	learn_conf_init(&conf, argc, argv);
	int code = cli_begin(&conf, sizeof conf, "train", "[FILE ...]", learn_conf_options(), NULL, argc, argv);
	if (code >= 0)
		return code;
	int rc = conf.show_config ? show_config(&conf, &e) : check(&conf, &e);
	if (!rc && conf.show_config)
		return cli_flush("train");
	if (!rc)
		rc = learn_run(&conf, &e);
	return rc ? cli_fail(&conf.cli, &e) : EXIT_DONE;
}
