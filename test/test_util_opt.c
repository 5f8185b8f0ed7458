/* Option tables: every way to write an option, every way to write it wrong, provenance, nearest names. */
#include "tap.h"
#include "util.h"

#include <stdlib.h>
#include <unistd.h>

struct conf {
	bool flag, other;
	int64_t count, size;
	double rate;
	const char *text, *file;
	struct opt_list list, models;
	int choice;
};
static const char *const colours[] = {"red", "green", "blue", NULL};
#define AT(member) offsetof(struct conf, member)
static const struct opt own[] = {
    {"flag", 'f', OPT_FLAG, NULL, "a flag", AT(flag), OPT_RECORDS},
    {"count", 'n', OPT_INT, "N", "a number", AT(count), OPT_RECORDS, NULL, -5, 100},
    {"size", 0, OPT_SIZE, "SIZE", "a size", AT(size), OPT_RECORDS},
    {"rate", 'r', OPT_FLOAT, "R", "a rate", AT(rate), OPT_RECORDS, NULL, 0, 1},
    {"colour", 'c', OPT_CHOICE, "red|green|blue", "a colour", AT(choice), OPT_RECORDS, colours},
    {0}};
static const struct opt shared[] = {
    {"other", 'x', OPT_FLAG, NULL, "another", AT(other)},
    {"text", 't', OPT_STR, "TEXT", "a text", AT(text)},
    {"file", 0, OPT_STR, "FILE", "a file", AT(file), OPT_RECORDS | OPT_DIGEST},
    {"list", 'l', OPT_LIST, "A,B", "a list", AT(list), OPT_RECORDS},
    {"model", 'm', OPT_LIST, "FILE", "files", AT(models), OPT_RECORDS | OPT_REPEAT | OPT_WHOLE | OPT_DIGEST},
    {0}};
static const struct opt *const tables[] = {own, shared, NULL};
static const struct conf defaults = {.count = 7, .rate = 0.5, .text = "none", .size = 1};

static struct arena *arena;
static struct conf conf;
static struct err err;
static int n_operand;
static const char **operands;

static int parse(const char *line)
{
	static char copy[400];
	char *argv[40] = {(char *)"program"};
	int argc = 1;
	snprintf(copy, sizeof copy, "%s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	conf = defaults;
	err = (struct err){0};
	return opt_parse(tables, &conf, argc, argv, arena, &n_operand, &operands, &err);
}

static void test_right(void)
{
	tap_ok(!parse("") && !n_operand && conf.count == 7 && !strcmp(conf.text, "none"), "defaults stay");
	tap_ok(!parse("--count=3 --rate 0.25 --colour=blue --text a=b") && conf.count == 3 && conf.rate == 0.25 &&
		   conf.choice == 2 && !strcmp(conf.text, "a=b"),
	       "long options with = and with a blank");
	tap_ok(!parse("-n3 -r 0.75 -fx -tword") && conf.count == 3 && conf.rate == 0.75 && conf.flag && conf.other &&
		   !strcmp(conf.text, "word"),
	       "letters: joined, apart, in a bunch");
	tap_ok(!parse("-fn-5") && conf.flag && conf.count == -5, "a bunch that ends with a value");
	tap_ok(!parse("a -f b - -- -n c") && conf.flag && n_operand == 5 && !strcmp(operands[2], "-") &&
		   !strcmp(operands[3], "-n"),
	       "operands between options, -, --");
	tap_ok(!parse("--size 3k") && conf.size == 3072, "size with k");
	tap_ok(!parse("--size 2G") && conf.size == 2ll << 30, "size with G");
	tap_ok(!parse("-l a,b -l c") && conf.list.n == 1 && !strcmp(conf.list.items[0], "c"), "the last list wins");
	tap_ok(!parse("-m a -m b --model=c") && conf.models.n == 3 && !strcmp(conf.models.items[2], "c"),
	       "a list that gathers");
	tap_ok(!parse("-l a,b,c") && conf.list.n == 3 && !strcmp(conf.list.items[1], "b"), "commas split a list");
	tap_ok(!parse("-m a,b -m c") && conf.models.n == 2 && !strcmp(conf.models.items[0], "a,b"),
	       "or are part of its items");
	parse("--count 7");
	tap_ok(opt_was_given("count") && !opt_was_given("rate"), "opt_was_given tells a given default from none");
	parse("");
	tap_ok(!opt_was_given("count"), "and forgets with the next command line");
}

static void test_wrong(void)
{
	static const struct {
		const char *line, *says;
	} wrong[] = {{"--cuont 3", "--count"},
		     {"--nothing-like-it", "-h"},
		     {"-z", "-z"},
		     {"--count", "value"},
		     {"-n", "value"},
		     {"--flag=1", "no value"},
		     {"--count x", "x"},
		     {"--count 3x", "3x"},
		     {"--count 101", "100"},
		     {"--count -6", "-5"},
		     {"--rate nan", "nan"},
		     {"--rate 1.5", "1"},
		     {"--colour gren", "green"},
		     {"--colour qq", "blue"},
		     {"--size 3q", "3q"},
		     {"--size -1", "-1"},
		     {"--size 99999999999G", "99999999999G"},
		     {"--count 99999999999999999999", "9999"}};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		tap_ok(parse(wrong[i].line) == ERR_USAGE && err.code == ERR_USAGE && strstr(err.msg, wrong[i].says),
		       "'%s' is refused: %s", wrong[i].line, err.msg);
}

static void test_texts(void)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	opt_write_list(out, tables);
	fclose(out);
	tap_ok(!strncmp(text, "--flag\t-f\t\ta flag\n--count\t-n\tN\ta number\n--size\t\tSIZE\ta size\n", 60),
	       "--list-options: name, letter, argument, help");
	free(text);
	out = open_memstream(&text, &n);
	opt_write_help(out, tables);
	fclose(out);
	tap_ok(strstr(text, "-n, --count N") && strstr(text, "--size SIZE") && strstr(text, "a rate"), "help");
	free(text);
	const char *names[] = {"scaffold", "seed", "split"};
	tap_str(opt_nearest("scafold", names, 3), "scaffold", "a letter left out");
	tap_str(opt_nearest("sede", names, 3), "seed", "two letters swapped");
	tap_str(opt_nearest("spl", names, 3), "split", "the beginning of a name");
	tap_ok(!opt_nearest("molecule", names, 3), "nothing is near");
}

static void test_provenance(void)
{
	char path[] = "/tmp/molrill-test.XXXXXX", hex[33], want[96];
	int fd = mkstemp(path), n;
	const char **args;
	struct err e = {0};
	if (fd < 0 || write(fd, "abc", 3) != 3)
		tap_ok(false, "a temporary file");
	close(fd);
	parse("-f --count=7 --rate 0.1 --colour green --list a,b --text unrecorded");
	conf.file = path;
	n = opt_record_args(tables, &conf, &defaults, arena, &args, &e);
	io_digest_hex("abc", 3, hex);
	snprintf(want, sizeof want, "--file=%s", hex);
	if (tap_ok(n == 5, "five options differ from their defaults and can change records (%d)", n)) {
		tap_str(args[0], "--flag", "a flag");
		tap_ok(!strncmp(args[1], "--rate=", 7) && strtod(args[1] + 7, NULL) == 0.1, "a number reads back: %s",
		       args[1]);
		tap_str(args[2], "--colour=green", "a choice");
		tap_str(args[3], want, "a file stands there by its digest, never its name");
		tap_str(args[4], "--list=a,b", "a list");
	}
	const char *twice[] = {path, path};
	conf.models = (struct opt_list){2, twice};
	n = opt_record_args(tables, &conf, &defaults, arena, &args, &e);
	snprintf(want, sizeof want, "--model=%s,%s", hex, hex);
	if (tap_ok(n == 6, "a list of files (%d)", n))
		tap_str(args[5], want, "files of a list, each by its digest");
	conf.file = "/not/there";
	tap_ok(opt_record_args(tables, &conf, &defaults, arena, &args, &e) < 0 && strstr(e.msg, "/not/there"),
	       "a file that is not there");
	unlink(path);
	/* The mutant: a table that marks nothing records nothing. */
	static const struct opt unmarked[] = {{"flag", 'f', OPT_FLAG, NULL, "a flag", AT(flag)}, {0}};
	static const struct opt *const none[] = {unmarked, NULL};
	e = (struct err){0};
	tap_ok(opt_record_args(none, &conf, &defaults, arena, &args, &e) == 0, "unmarked options stay out");
}

int main(void)
{
	arena = arena_new(0);
	test_right();
	test_wrong();
	test_texts();
	test_provenance();
	arena_free(arena);
	return tap_done();
}
