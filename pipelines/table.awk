# table.awk: lines "RUN.SEED<tab>header of its model as JSON" to one row a run: means and standard deviations over seeds.

function number(text, key,    at) {
	at = match(text, "\"" key "\":[-+0-9.e]+")
	return at ? substr(text, at + length(key) + 3, RLENGTH - length(key) - 3) + 0 : "nan"
}
function part(text, key,    at, rest) {
	at = index(text, "\"" key "\":{")
	if (!at)
		return ""
	rest = substr(text, at)
	return substr(rest, 1, index(rest, "}"))
}
function spread(run, what,    mean, i, sum) {
	mean = total[run, what] / n[run]
	for (i = 1; i <= n[run]; i++)
		sum += (value[run, what, i] - mean) ^ 2
	return n[run] > 1 ? sprintf("%.4f\t%.4f", mean, sqrt(sum / (n[run] - 1))) : sprintf("%.4f\t", mean)
}
function note(run, what, x) {
	value[run, what, n[run]] = x
	total[run, what] += x
}
BEGIN {
	FS = "\t"
}
{
	run = $1
	sub(/\.[0-9]+$/, "", run)
	if (!n[run]++)
		order[++n_run] = run
	metrics = substr($2, index($2, "\"metrics\":"))
	last = part(metrics, "last")
	best = part(metrics, "best")
	if (last == "" || best == "") {
		print "table.awk: " $1 ": no metrics in the model's header" > "/dev/stderr"
		exit bad = 1
	}
	note(run, "last", number(last, "test"))
	note(run, "best", number(best, "test"))
	note(run, "train", number(last, "train"))
}
END {
	if (bad)
		exit 1
	print "run\tseeds\ttest, last epoch\tsd\ttest, best epoch\tsd\ttrain, last epoch\tsd"
	for (i = 1; i <= n_run; i++)
		printf "%s\t%d\t%s\t%s\t%s\n", order[i], n[order[i]], spread(order[i], "last"), spread(order[i], "best"), spread(order[i], "train")
}
