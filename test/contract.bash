#!/bin/bash
# contract.bash CHECK PROGRAM: one promise of all programs, held against one of them. The inputs lie in $INPUTS
# (`contract.bash inputs`, once); contract.bats runs everything.
#
# A program's row: what it reads (mol: molecules or a stream; rec: a stream; text), what it writes (stream, model, text),
# its tiny input, and the arguments that it needs.
set -u
row() {
	case $1 in
	mol2graph) reads=mol writes=stream input=tiny.smi args=(--scaffold --canonical --fp) ;;
	conf3d) reads=mol writes=stream input=tiny.smi args=() ;;
	mol2img) reads=mol writes=stream input=tiny.smi args=(--size 32) ;;
	hyperbuild) reads=rec writes=stream input=tiny.mts args=(--by fp -k 2) ;;
	molsplit) reads=rec writes=stream input=tiny.mts args=(--by random) ;;
	tscat) reads=rec writes=text input=tiny.mts args=(--json) ;;
	score) reads=text writes=text input=tiny.pred.tsv args=(--metric roc-auc) ;;
	encode) reads=rec writes=stream input=tiny.mts args=(-m "$INPUTS/model.mts" --out h2d) ;;
	train) reads=rec writes=model input=tiny.mts args=(--task finetune --preset tiny --epochs 1 --batch 4 --views 2d) ;;
	predict) reads=rec writes=text input=tiny.mts args=(-m "$INPUTS/model.mts") ;;
	*) die "no row for $1 in contract.bash" ;;
	esac
	input=$INPUTS/$input
	[ "$reads" = text ] || stream=$INPUTS/tiny.mts
}
die() {
	printf '%s\n' "$*"
	for f in out err; do
		[ -s "$T/$f" ] && printf 'std%s: %s\n' "$f" "$(head -c 600 "$T/$f" | tr -c '[:print:]\n' '?')"
	done
	exit 1
}
# expect STATUS COMMAND ...: its output goes to $T/out, its messages to $T/err.
expect() {
	local want=$1 got
	shift
	timeout 60 "$@" > "$T/out" 2> "$T/err"
	got=$?
	[ $got = "$want" ] || die "exit status $got instead of $want: $*"
}
# A failure is told in lines that begin with the program's name.
told() {
	[ -s "$T/err" ] || die "no message"
	grep -qv "^$P: " "$T/err" && die "a line without the program's name"
	[ $# = 0 ] || grep -qF -- "$1" "$T/err" || die "the message does not name '$1'"
}
# What a failed program has left is no whole stream.
not_whole() {
	[ "$writes" = text ] || ! tscat --check "$T/out" > /dev/null 2>&1 || die "a failed run wrote an end map: $1"
}
same() { cmp -s "$1" "$2" || die "bytes differ: $3"; }

check_help() {
	expect 0 "$P" -h
	head -n 1 "$T/out" | grep -q "^usage: $P " || die "no usage line"
	cp "$T/out" "$T/help"
	expect 0 "$P" --list-options
	while IFS=$'\t' read -r name _; do
		grep -q -- "$name" "$T/help" || die "$name is not in the help"
	done < "$T/out"
	for o in -h -V --list-options; do
		"$P" "$o" > /dev/full 2> /dev/null && die "$o ignores a full device"
	done
	:
}
check_version() {
	expect 0 "$P" -V
	head -n 1 "$T/out" | grep -q "^$P (molrill) [0-9]" || die "no version"
	grep -q '^compiler ' "$T/out" || die "no compiler"
	case $P in
	train | encode | predict | hyperbuild)
		grep -qE '^OpenBLAS [0-9.]+ [A-Za-z0-9]+$' "$T/out" || die "no library of products"
		grep -q '^CUDA: ' "$T/out" || die "nothing about CUDA"
		;;
	esac
}
check_misuse() {
	expect 2 "$P" --outptu x "$input"
	told --output
	expect 2 "$P" --no-such-option
	told --no-such-option
	expect 2 "$P" -j many "$input"
	told many
	expect 2 "$P" --seed
	told --seed
	expect 2 "$P" --quiet=1
	told --quiet
	expect 2 "$P" -?
	told
}
check_missing_file() {
	expect 1 "$P" "${args[@]}" "$T/not-there"
	told not-there
	expect 1 "$P" "${args[@]}" "$T"
	told
	expect 1 "$P" "${args[@]}" -o "$T/no-folder/x" "$input"
	told no-folder
}
check_empty() {
	expect 1 "$P" "${args[@]}" /dev/null
	told
	not_whole empty
}
check_cut() {
	[ "$reads" = text ] && return
	local n i size
	size=$(stat -c %s "$stream")
	for i in 1 2 3 4 5 6 7 8 9 10; do
		n=$((size * i / 10 - (i == 10)))
		head -c $n "$stream" > "$T/cut"
		expect 1 "$P" "${args[@]}" "$T/cut"
		told
		not_whole "cut at byte $n"
	done
}
check_schema() {
	[ "$reads" = text ] || [ "$P" = tscat ] && return
	expect 1 "$P" "${args[@]}" "$INPUTS/other.mts"
	told
	not_whole "schema"
}
check_full_device() {
	timeout 60 "$P" "${args[@]}" "$input" > /dev/full 2> "$T/err"
	local got=$?
	[ $got = 1 ] || die "exit status $got instead of 1 on a full device"
	told
	expect 1 "$P" "${args[@]}" -o /dev/full "$input"
	told
}
check_nth_write() {
	local n number
	for number in 28 5; do
		for ((n = 1; n < 40; n++)); do
			rm -f "$T/hit" "$T/file"
			timeout 60 env LD_PRELOAD="$BUILD/test/fault_write.so" FAULT_AT=$n FAULT_ERRNO=$number FAULT_MARK="$T/hit" \
				"$P" "${args[@]}" -o "$T/file" "$input" > "$T/out" 2> "$T/err"
			local got=$?
			[ -e "$T/hit" ] || break
			[ $got = 1 ] || die "exit status $got though write $n failed"
			told
			[ ! -e "$T/file" ] || die "write $n failed, and a file appeared"
		done
		[ $got = 0 ] || die "exit status $got without a fault"
		[ -e "$T/file" ] || die "no file"
		[ $n -gt 1 ] || die "the fault was never met"
	done
	[ -z "$(find "$T" -name '*.tmp')" ] || die "a temporary file is left"
}
check_reader_leaves() {
	timeout 60 perl -e 'pipe(R, W); close R; open(STDOUT, ">&", \*W); close W; exec @ARGV' "$P" "${args[@]}" "$input" 2> "$T/err"
	local got=$?
	[ $got = 141 ] || die "exit status $got instead of 141"
	[ ! -s "$T/err" ] || die "not silent"
}
check_terminal() {
	[ "$writes" = text ] && return
	script -qec "$P ${args[*]} $input" /dev/null > "$T/out" 2>&1 < /dev/null
	local got=$?
	[ $got = 2 ] || die "exit status $got instead of 2 on a terminal"
}
check_signal() {
	local got
	mkfifo "$T/fifo"
	timeout 60 "$P" "${args[@]}" < "$T/fifo" > "$T/out" 2> "$T/err" &
	exec 7> "$T/fifo"
	head -c 100 "${stream:-$input}" >&7
	sleep 0.3
	kill -TERM $!
	# timeout passes the signal on and answers with the program's own status
	wait $!
	got=$?
	exec 7>&-
	[ $got = 143 ] || die "exit status $got instead of 143"
	not_whole signal
}
check_bad_molecule() {
	[ "$reads" = mol ] || return 0
	expect 3 "$P" "${args[@]}" --quiet --rejects "$T/rejects" -o "$T/whole" "$INPUTS/bad.smi"
	told "row 2"
	[ "$(grep -c ': row ' "$T/err")" = 1 ] || die "not one line for one bad molecule"
	[ "$(wc -l < "$T/rejects")" = 2 ] || die "the rejects file has not one row under its header"
	sed -n 2p "$T/rejects" | grep -q "^2	wrong	" || die "the row does not name row and id"
	tscat --check "$T/whole" > "$T/out" || die "not a whole stream"
	tscat --json "$T/whole" > "$T/out"
	grep -q '"n": *4' "$T/out" || die "not 4 records"
	grep -q '"rejects": *1' "$T/out" || die "not 1 reject"
	grep -q '"rows": *5' "$T/out" || die "not 5 rows"
	expect 1 "$P" "${args[@]}" --strict "$INPUTS/bad.smi"
	told "row 2"
	not_whole --strict
}
# Options as the program lists them, and as its page documents them, letters and arguments too.
check_manual() {
	local page=$ROOT/man/$P.1
	[ -e "$page" ] || die "no man page"
	expect 0 "$P" --list-options
	awk -F '\t' '{ print $1, $3; if ($2) print $2, $3 }' "$T/out" | sed 's/ *$//' | sort > "$T/listed"
	awk '/^\.It Fl / {
		n = split($0, w, " "); name = arg = ""
		for (i = 2; i <= n + 1; i++)
			if (i > n || w[i] == "Fl") {
				if (name) print "-" name (arg ? " " arg : "")
				name = w[++i]; arg = ""
			} else if (w[i] != "Ar" && w[i] != "," && w[i] != "No" && w[i] != "Ns") arg = arg w[i]
	}' "$page" | sort > "$T/documented"
	sed -i 's/ *| */|/g' "$T/listed" "$T/documented"
	diff "$T/listed" "$T/documented" > "$T/out" || die "< program, > page:"
}
check_same_bytes() {
	expect 0 "$P" "${args[@]}" -j 1 --seed 7 "$input"
	cp "$T/out" "$T/first"
	expect 0 "$P" "${args[@]}" -j 1 --seed 7 "$input"
	same "$T/out" "$T/first" "the same command twice"
	expect 0 "$P" "${args[@]}" -j 2 --seed 7 "$input"
	same "$T/out" "$T/first" "-j 1 and -j 2"
	expect 0 "$P" "${args[@]}" --quiet --seed 7 -o "$T/file" "$input"
	same "$T/file" "$T/first" "standard output and -o"
	timeout 60 "$P" "${args[@]}" --seed 7 < "$input" > "$T/out" 2> "$T/err" || die "fails on standard input"
	same "$T/out" "$T/first" "a file and standard input"
	[ -z "$(find "$T" -name '*.tmp')" ] || die "a temporary file is left"
}

make_inputs() {
	mkdir -p "$INPUTS"
	cd "$INPUTS" || exit 1
	printf '%s\n' 'CCO ethanol' 'c1ccccc1 benzene' 'CC(=O)O acid' 'C[C@H](N)C(=O)O alanine' > tiny.smi
	printf '%s\n' 'CCO ethanol' 'c1ccccc1 benzene' 'C( wrong' 'CC(=O)O acid' 'CCN amine' > bad.smi
	local i
	printf 'smiles,id,a\n' > tiny.csv
	for i in 'CCO,m1,0' 'c1ccccc1,m2,1' 'CC(=O)O,m3,0' 'CCN,m4,1' 'CCCC,m5,0' 'c1ccncc1,m6,1' 'CCCO,m7,0' 'Cc1ccccc1,m8,1'; do
		echo "$i"
	done >> tiny.csv
	{
		printf 'row\tid\tsmiles\ta\ty.a\n'
		printf '%d\tm%d\tC\t%s\t%d\n' 0 0 0.1 0 1 1 0.9 1 2 2 0.4 0 3 3 0.6 1 4 4 0.7 0
	} > tiny.pred.tsv
	[ ! -x "$BUILD/bin/mol2graph" ] || mol2graph --labels a --scaffold --canonical --fp tiny.csv |
		if [ -x "$BUILD/bin/molsplit" ]; then molsplit --by random --seed 1; else cat; fi > tiny.mts || exit 1
	printf 'name:str\tvalue:f32\nw\t1,2\n' | "$BUILD/test/ts_maker" --schema other > other.mts || exit 1
	[ ! -x "$BUILD/bin/train" ] ||
		train --task finetune --preset tiny --epochs 1 --batch 4 --views 2d -o model.mts tiny.mts 2> train.log ||
		{ cat train.log; exit 1; }
}

ROOT=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${BUILD:-$ROOT/build}
export PATH="$BUILD/bin:$PATH" LC_ALL=C
if [ "$1" = inputs ]; then
	make_inputs
	exit
fi
P=$2
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
row "$P"
"check_$1"
