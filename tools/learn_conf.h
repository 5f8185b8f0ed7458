/* learn_conf.h - what train is asked: its options, and the configuration that follows from them. Layer 4. */
#ifndef MOLRILL_LEARN_CONF_H
#define MOLRILL_LEARN_CONF_H

#include "cli.h"
#include "learn_device.h"
#include "nn_checkpoint.h"

enum learn_task { LEARN_PRETRAIN, LEARN_STRUCTURE, LEARN_FINETUNE };
enum learn_keep { LEARN_KEEP_BEST, LEARN_KEEP_LAST };

struct learn_conf {
	struct cli cli;
	struct nn_config cfg;                        /* as typed over the preset's values */
	int task, schedule, keep, device, optimizer; /* optimizer: 0 adam, 1 adamw */
	const char *model, *log, *spool, *metric;
	int64_t mem, epochs, batch, patience, save_every, max_time, warmup, step_size;
	double lr, lr_min, gamma, weight_decay, clip;
	bool shuffle_labels, plain, profile, resume, show_config;
	struct opt_list freeze;
};
extern const char *const learn_task_names[];
/* The defaults, with the preset that the command line names. */
void learn_conf_init(struct learn_conf *c, int argc, char **argv);
/* train's own options and every value of the configuration, in one table. */
const struct opt *learn_conf_options(void);
/*
 * The model's configuration: that of base (-m, or NULL: the preset) with every value that was typed, and what the task
 * implies. Strings stay those of base and c. ERR_USAGE for what base cannot be: another size, a view that it lacks.
 */
int learn_conf_model(const struct learn_conf *c, const struct nn_checkpoint *base, struct nn_config *out,
		     struct err *e);
/* --show-config: NAME, tab, value. */
void learn_conf_write(const struct nn_config *c, FILE *out);

#endif
