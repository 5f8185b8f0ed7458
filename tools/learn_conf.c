/* learn_conf.c - train's options; the model's configuration among them. */
#include "learn_conf.h"

#include <inttypes.h>
#include <string.h>

const char *const learn_task_names[] = {"pretrain", "structure", "finetune", NULL};
static const char *const schedules[] = {"none", "cosine", "step", NULL}; /* as enum nn_schedule */
static const char *const optimizers[] = {"adam", "adamw", NULL};
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
    {"optimizer", 0, OPT_CHOICE, "NAME", "adam, or adamw: weight decay beside the moments", AT(optimizer),
     .flags = OPT_RECORDS, .choices = optimizers},
    {"weight-decay", 0, OPT_FLOAT, "X", "weight decay: through the gradient (adam) or beside it (adamw)",
     AT(weight_decay), .flags = OPT_RECORDS, .max = 1e6},
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

/* The preset and the kind of encoder are the ground on which other options stand, wherever they are typed. */
static int typed_choice(const char *name, int otherwise, int argc, char **argv)
{
	const struct opt *o = nn_config_options;
	size_t n = strlen(name);
	while (strcmp(o->name, name))
		o++;
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (strncmp(argv[i], "--", 2) || strncmp(argv[i] + 2, name, n))
			continue;
		const char *end = argv[i] + 2 + n, *value = *end == '='             ? end + 1
							    : !*end && i + 1 < argc ? argv[i + 1]
										    : "";
		for (int k = 0; o->choices[k]; k++)
			if (!strcmp(value, o->choices[k]))
				otherwise = k;
	}
	return otherwise;
}

void learn_conf_init(struct learn_conf *c, int argc, char **argv)
{
	enum nn_preset preset = (enum nn_preset)typed_choice("preset", NN_PRESET_CPU, argc, argv);
	*c = (struct learn_conf){.cli = {.output = "-", .n_worker = 1},
				 .task = -1,
				 .mem = INT64_C(2) << 30,
				 .epochs = 100,
				 .batch = 32,
				 .lr = 1e-3,
				 .step_size = 30,
				 .gamma = 0.3};
	nn_config_preset(&c->cfg, preset);
	if (typed_choice("geom", 0, argc, argv) == 1)
		nn_config_schnet(&c->cfg, preset);
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

static const char *value_text(const struct opt *o, const void *at, char text[64])
{
	if (o->type == OPT_STR)
		return *(const char *const *)at;
	if (o->type == OPT_FLAG)
		return *(const bool *)at ? "yes" : "no";
	if (o->type == OPT_CHOICE)
		return o->choices[*(const int *)at];
	if (o->type == OPT_FLOAT)
		snprintf(text, 64, "%g", *(const double *)at);
	else
		snprintf(text, 64, "%" PRId64, *(const int64_t *)at);
	return text;
}

/* Kinds and sizes: what they were when a part was built they are. */
static int shape_check(const struct learn_conf *c, const struct nn_checkpoint *base, const struct opt *o, struct err *e)
{
	static const struct {
		const char *name;
		unsigned part;
	} shapes[] = {{"preset", NN_PART_ENCODERS},
		      {"gnn", NN_PART_ENCODERS},
		      {"gnn-layers", NN_PART_ENCODERS},
		      {"gnn-width", NN_PART_ENCODERS},
		      {"geom", NN_PART_ENCODERS},
		      {"geom-blocks", NN_PART_ENCODERS},
		      {"geom-width", NN_PART_ENCODERS},
		      {"geom-middle", NN_PART_ENCODERS},
		      {"geom-gaussians", NN_PART_ENCODERS},
		      {"geom-filters", NN_PART_ENCODERS},
		      {"cnn", NN_PART_ENCODERS},
		      {"cnn-width", NN_PART_ENCODERS},
		      {"head-width", NN_PART_CODES},
		      {"code-width", NN_PART_CODES},
		      {"fuse", NN_PART_CODES},
		      {"hyper-width", NN_PART_STRUCTURE},
		      {"hyper-layers", NN_PART_STRUCTURE},
		      {"memory-slots", NN_PART_STRUCTURE},
		      {"sinkhorn-queue", NN_PART_STRUCTURE}};
	const void *was = (const char *)nn_checkpoint_config(base) + o->offset;
	char text[64];
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		if (!strcmp(o->name, shapes[i].name) && shapes[i].part & nn_checkpoint_parts(base) &&
		    memcmp((const char *)&c->cfg + o->offset, was, member_nbytes(o)))
			return err_set(e, ERR_USAGE, "--%s: the model %s was built with %s, and stays so", o->name,
				       c->model, value_text(o, was, text));
	return 0;
}

static int base_take(const struct learn_conf *c, const struct nn_checkpoint *base, struct nn_config *out, struct err *e)
{
	*out = *nn_checkpoint_config(base);
	for (const struct opt *o = nn_config_options; o->name; o++) {
		if (!opt_was_given(o->name))
			continue;
		int rc = shape_check(c, base, o, e);
		if (rc)
			return rc;
		memcpy((char *)out + o->offset, (const char *)&c->cfg + o->offset, member_nbytes(o));
	}
	return 0;
}

int learn_conf_model(const struct learn_conf *c, const struct nn_checkpoint *base, struct nn_config *out, struct err *e)
{
	unsigned views, there;
	*out = c->cfg;
	int rc = base ? base_take(c, base, out, e) : 0;
	if (!rc)
		rc = nn_views_parse(out->views, &views, e);
	if (rc)
		return rc;
	if (c->task == LEARN_FINETUNE) {
		/* The head alone decides which encoders are of use. */
		if (!opt_was_given("dropout"))
			out->dropout = 0.5;
		if (!opt_was_given("views") && !out->use_structure)
			out->views = *out->use_views ? out->use_views : views & 1u << NN_2D ? "2d" : out->views;
		rc = nn_views_parse(out->views, &views, e);
	}
	if (!rc && base && !(rc = nn_views_parse(nn_checkpoint_config(base)->views, &there, e)) && views & ~there)
		rc = err_set(e, ERR_USAGE, "the model %s has the views %s alone, not all of %s", c->model,
			     nn_checkpoint_config(base)->views, out->views);
	return rc;
}

void learn_conf_write(const struct nn_config *c, FILE *out)
{
	for (const struct opt *o = nn_config_options; o->name; o++) {
		char text[64];
		fprintf(out, "%s\t%s\n", o->name, value_text(o, (const char *)c + o->offset, text));
	}
}
