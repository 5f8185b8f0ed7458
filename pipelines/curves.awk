# curves.awk: train's log -> a table of its steps, for plots.
BEGIN {
	n = split("step loss con self cross mask align usage certainty information max_cosine", name, " ")
	for (i = 1; i <= n; i++)
		printf "%s%s", name[i], i < n ? "\t" : "\n"
}
/"con":/ {
	for (i = 1; i <= n; i++)
		printf "%s%s", match($0, "\"" name[i] "\":[^,}]*") ? substr($0, RSTART + length(name[i]) + 3, RLENGTH - length(name[i]) - 3) : "nan", i < n ? "\t" : "\n"
}
