/* learn_conf.c - train's options; the model's configuration among them. */
#include "learn_conf.h"

#include <inttypes.h>
#include <string.h>

const char *const learn_task_names[] = {"pretrain", "structure", "finetune", NULL};
static const char *const schedules[] = {"none", "cosine", "step", NULL}; /* as enum nn_schedule */
static const char *const keeps[] = {"best", "last", NULL};

#define AT(member) offsetof(struct learn_conf, member)
static const struct opt own[] = {
    {"task", 0, OPT_CHOICE, "TASK", "pretrain, structure or finetune", AT(task), .flags = OPT_RECORDS,
     .choices = learn_task_names},
    {"model", 'm', OPT_STR, "MODEL", "start from this model", AT(model), .flags = OPT_RECORDS | OPT_DIGEST},
    {"log", 0, OPT_STR, "FILE", "one JSON object a step and an epoch", AT(log), .flags = 0},
    {"spool", 0, OPT_STR, "FILE", "keep what was read, as a stream, for the next run", AT(spool), .flags = 0},
    {"mem", 0, OPT_SIZE, "SIZE", "records held in memory; more are shuffled by windows", AT(mem), .flags = 0},
    {"epochs", 0, OPT_INT, "N", "passes over the training records", AT(epochs), .flags = OPT_RECORDS, .max = 1e9},
    {"batch", 'b', OPT_INT, "N", "molecules of a step", AT(batch), .flags = OPT_RECORDS, .min = 2, .max = 1e6},
    {"lr", 0, OPT_FLOAT, "RATE", "learning rate", AT(lr), .flags = OPT_RECORDS, .max = 1e30},
    {"schedule", 0, OPT_CHOICE, "NAME", "learning rate over time: none, cosine or step", AT(schedule),
     .flags = OPT_RECORDS, .choices = schedules},
    {"lr-min", 0, OPT_FLOAT, "RATE", "where the cosine ends", AT(lr_min), .flags = OPT_RECORDS, .max = 1e30},
    {"step-size", 0, OPT_INT, "N", "epochs between the schedule's steps", AT(step_size), .flags = OPT_RECORDS, .min = 1,
     .max = 1e9},
    {"gamma", 0, OPT_FLOAT, "X", "factor of each of the schedule's steps", AT(gamma), .flags = OPT_RECORDS, .max = 1},
    {"warmup", 0, OPT_INT, "N", "steps over which the rate rises", AT(warmup), .flags = OPT_RECORDS, .max = 1e12},
    {"weight-decay", 0, OPT_FLOAT, "X", "weight decay, through the gradient", AT(weight_decay), .flags = OPT_RECORDS,
     .max = 1e6},
    {"clip", 0, OPT_FLOAT, "NORM", "largest norm of the gradient (0: any)", AT(clip), .flags = OPT_RECORDS,
     .max = 1e30},
    {"freeze", 0, OPT_LIST, "NAME,..", "parameters that stay as they are, by the start of their names", AT(freeze),
     .flags = OPT_RECORDS},
    {"metric", 0, OPT_STR, "NAME", "what decides which model is best: roc-auc, pr-auc, rmse, mae, r2 or loss",
     AT(metric), .flags = OPT_RECORDS},
    {"keep", 0, OPT_CHOICE, "WHICH", "the model written: best (on the validation set) or last", AT(keep),
     .flags = OPT_RECORDS, .choices = keeps},
    {"shuffle-labels", 0, OPT_FLAG, NULL, "control: training molecules get each other's labels", AT(shuffle_labels),
     .flags = OPT_RECORDS},
    {"patience", 0, OPT_INT, "N", "stop after so many epochs without a better metric (0: never)", AT(patience),
     .flags = OPT_RECORDS, .max = 1e9},
    LEARN_DEVICE_OPTION(AT(device)),
    {"plain", 0, OPT_FLAG, NULL, "compute by the plain paths alone", AT(plain), .flags = OPT_RECORDS},
    {"save-every", 0, OPT_INT, "N", "write the model every N steps (0: at the end)", AT(save_every), .max = 1e12},
    {"max-time", 0, OPT_INT, "SECONDS", "stop after this time, to go on with --resume (0: never)", AT(max_time),
     .max = 1e9},
    {"profile", 0, OPT_FLAG, NULL, "say at the end where the time went, by operation", AT(profile), .flags = 0},
    {"resume", 0, OPT_FLAG, NULL, "go on with the model in -o where it stopped", AT(resume), .flags = 0},
    {"show-config", 0, OPT_FLAG, NULL, "print every value of the configuration and end", AT(show_config), .flags = 0},
};
enum { N_OWN = sizeof own / sizeof *own, MAX_OPTION = 192 };

const struct opt *learn_conf_options(void)
{
	static struct opt table[MAX_OPTION + 1];
	int n = N_OWN;
	memcpy(table, own, sizeof own);
	for (const struct opt *o = nn_config_options; o->name && n < MAX_OPTION; o++) {
		table[n] = *o;
		table[n++].offset += AT(cfg);
	}
	return table;
}

void learn_conf_init(struct learn_conf *c, int argc, char **argv)
{
	enum nn_preset preset = NN_PRESET_CPU;
	const struct opt *o = nn_config_options;
	while (strcmp(o->name, "preset"))
		o++;
	/* The preset is the ground on which the other options stand, wherever it is typed. */
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		const char *name = !strncmp(argv[i], "--preset=", 9)              ? argv[i] + 9
				   : !strcmp(argv[i], "--preset") && i + 1 < argc ? argv[i + 1]
										  : NULL;
		for (int p = 0; name && o->choices[p]; p++)
			if (!strcmp(name, o->choices[p]))
				preset = (enum nn_preset)p;
	}
	*c = (struct learn_conf){.cli = {.output = "-", .n_worker = 1},
				 .task = -1,
				 .mem = INT64_C(2) << 30,
				 .epochs = 100,
				 .batch = 32,
				 .lr = 1e-3,
				 .step_size = 30,
				 .gamma = 0.3};
	nn_config_preset(&c->cfg, preset);
	c->cfg.preset = NN_PRESET_CPU; /* what provenance compares with: another preset is on record */
}

static size_t member_nbytes(const struct opt *o)
{
	switch (o->type) {
	case OPT_FLAG:
		return sizeof(bool);
	case OPT_CHOICE:
		return sizeof(int);
	case OPT_FLOAT:
		return sizeof(double);
	case OPT_INT:
	case OPT_SIZE:
		return sizeof(int64_t);
	case OPT_STR:
		return sizeof(const char *);
	case OPT_LIST:
		break;
	}
	return sizeof(struct opt_list);
}

int learn_conf_model(const struct learn_conf *c, const struct nn_config *base, struct nn_config *out, struct err *e)
{
	unsigned views;
	*out = base ? *base : c->cfg;
	for (const struct opt *o = nn_config_options; base && o->name; o++)
		if (opt_was_given(o->name))
			memcpy((char *)out + o->offset, (const char *)&c->cfg + o->offset, member_nbytes(o));
	int rc = nn_views_parse(out->views, &views, e);
	if (rc || c->task != LEARN_FINETUNE)
		return rc;
	/* The head alone decides which encoders are of use. */
	if (!opt_was_given("dropout"))
		out->dropout = 0.5;
	if (!opt_was_given("views") && !out->use_structure)
		out->views = *out->use_views ? out->use_views : views & 1u << NN_2D ? "2d" : out->views;
	return 0;
}

void learn_conf_write(const struct nn_config *c, FILE *out)
{
	for (const struct opt *o = nn_config_options; o->name; o++) {
		const void *at = (const char *)c + o->offset;
		fprintf(out, "%s\t", o->name);
		if (o->type == OPT_INT)
			fprintf(out, "%" PRId64 "\n", *(const int64_t *)at);
		else if (o->type == OPT_FLOAT)
			fprintf(out, "%g\n", *(const double *)at);
		else if (o->type == OPT_FLAG)
			fprintf(out, "%s\n", *(const bool *)at ? "yes" : "no");
		else if (o->type == OPT_CHOICE)
			fprintf(out, "%s\n", o->choices[*(const int *)at]);
		else
			fprintf(out, "%s\n", *(const char *const *)at);
	}
}
