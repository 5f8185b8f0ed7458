/* train - learns a model from records: pre-training, the structure stage, fine-tuning. */
#include "learn_run.h"

#include <string.h>

static int check(const struct learn_conf *c, struct err *e)
{
	if (c->task < 0)
		return err_set(e, ERR_USAGE, "which task? --task pretrain, structure or finetune");
	if (c->task == LEARN_STRUCTURE && !c->model)
		return err_set(e, ERR_USAGE, "--task structure needs a pre-trained model: -m MODEL");
	if (c->resume && !strcmp(c->cli.output, "-"))
		return err_set(e, ERR_USAGE, "--resume needs -o MODEL, where the run stopped");
	return 0;
}

int main(int argc, char **argv)
{
	struct learn_conf conf;
	struct nn_config cfg;
	struct err e = {0};
	learn_conf_init(&conf, argc, argv);
	int code = cli_begin(&conf, sizeof conf, "train", "[FILE ...]", learn_conf_options(), NULL, argc, argv);
	if (code >= 0)
		return code;
	int rc = conf.show_config ? learn_conf_model(&conf, NULL, &cfg, &e) : check(&conf, &e);
	if (!rc && conf.show_config) {
		learn_conf_write(&cfg, stdout);
		return cli_flush("train");
	}
	if (!rc)
		rc = learn_run(&conf, &e);
	return rc ? cli_fail(&conf.cli, &e) : EXIT_DONE;
}
