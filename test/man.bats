#!/usr/bin/env bats
# The manual: lint-clean, complete, and its EXAMPLES do what they say.

setup() {
	load lib
	cd "$BATS_TEST_TMPDIR"
	ln -s "$ROOT/examples" examples
}

@test "every page is clean under mandoc's lint" {
	local page
	for page in "$ROOT"/man/*.[1-8]; do
		run -0 mandoc -T lint -W warning "$page"
		assert_output ""
	done
}

@test "every program has its page, with its sections in order" {
	local p section
	for p in "${BUILD:-$ROOT/build}"/bin/*; do
		p=$ROOT/man/$(basename "$p").1
		assert [ -e "$p" ]
		run -0 grep -xE '\.Sh (NAME|SYNOPSIS|DESCRIPTION|EXIT STATUS|EXAMPLES|SEE ALSO)' "$p"
		assert_output "$(printf '.Sh %s\n' NAME SYNOPSIS DESCRIPTION 'EXIT STATUS' EXAMPLES 'SEE ALSO')" "$p"
	done
}

@test "cross references lead somewhere" {
	local name section
	sed -nE 's/^\.Xr ([^ ]+) ([1-8]).*/\1 \2/p' "$ROOT"/man/*.[1-8] | sort -u | while read -r name section; do
		[ -e "$ROOT/man/$name.$section" ] || echo "$name($section)"
	done > missing
	run -0 grep -vxE '(cat|zstd|gzip|make|man|zstdcat|mpirun|jq|parallel)\(1\)' missing || [ "$status" = 1 ]
	assert_output ""
}

@test "every EXAMPLES command prints what its page says" {
	local page bad=
	for page in "$ROOT"/man/*.[1-8]; do
		grep -q '^\$ ' "$page" || continue
		mkdir "$(basename "$page").d"
		(cd "$(basename "$page").d" && ln -s "$ROOT/examples" examples && python3 "$ROOT/test/examples.py" "$page") || bad+=" $page"
	done
	assert_equal "$bad" ""
}

@test "an example that does something else is caught" {
	printf '.Sh EXAMPLES\n.Bd -literal\n$ echo a\na\n$ true\n.Ed\n' > good.1
	run -0 python3 "$ROOT/test/examples.py" good.1
	printf '.Sh EXAMPLES\n.Bd -literal\n$ echo a\nb\n.Ed\n' > wrong.1
	run -1 python3 "$ROOT/test/examples.py" wrong.1
	printf '.Sh EXAMPLES\n.Bd -literal\n$ false\n.Ed\n' > fails.1
	run -1 python3 "$ROOT/test/examples.py" fails.1
	printf '.Sh EXAMPLES\n' > none.1
	run -1 python3 "$ROOT/test/examples.py" none.1
}
