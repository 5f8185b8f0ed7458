load lib

setup() {
	cd "$BATS_TEST_TMPDIR"
	mkdir -p bin
	printf '#!/bin/sh\ncat\n' > bin/tool
	chmod +x bin/tool
	# shellcheck disable=SC2016
	{
		printf 'OUT := out\ninclude %s/pipelines/rules.mk\n' "$ROOT"
		printf '$(OUT)/a: in $(call tools,tool)\n'
		printf '\t$(start) tool < $< | ( cat; exit $(STATUS) ) | cat $(finish)\n'
	} > p.mk
	echo x > in
	touch -d '1 hour ago' in
}

pipeline() {
	make -s -f p.mk BIN="$PWD/bin" "$@"
}

@test "a pipe whose stages end with 0 or 3 makes its target; any other status leaves none" {
	for s in 0 3; do
		rm -rf out
		run -0 pipeline STATUS=$s out/a
		assert_equal "$(cat out/a)" x
	done
	for s in 1 2 4 137; do
		rm -rf out
		run -2 pipeline STATUS=$s out/a
		assert_output --partial "out/a: a stage ended with $s"
		[ ! -e out/a ]
		[ ! -e out/a.part ]
	done
}

@test "inputs and the bytes of tools decide what is made anew" {
	run -0 pipeline STATUS=0 out/a
	run -0 pipeline STATUS=0 out/a
	assert_output ""
	touch bin/tool # the same bytes
	run -0 pipeline STATUS=0 out/a
	assert_output ""
	echo '# other bytes' >> bin/tool
	run -0 pipeline STATUS=0 out/a
	assert_output a
	touch in
	run -0 pipeline STATUS=0 out/a
	assert_output a
}

@test "the table has means and deviations over seeds, and no row without its figures" {
	line() { printf '%s\t{"metrics":{"metric":"roc-auc","best":{"epoch":3,"valid":0.1,"test":%s},"last":{"epoch":9,"train":%s,"valid":0.2,"test":%s}}}\n' "$@"; }
	{ line scratch.0 0.70 0.90 0.60; line scratch.1 0.80 1.00 0.62; line random.0 0.95 0.99 0.94; } > lines
	run -0 awk -f "$ROOT/pipelines/table.awk" lines
	assert_line "$(printf 'scratch\t2\t0.6100\t0.0141\t0.7500\t0.0707\t0.9500\t0.0707')"
	assert_line "$(printf 'random\t1\t0.9400\t\t0.9500\t\t0.9900\t')"
	printf 'scratch.0\t{"metrics":{}}\n' > lines
	run -1 awk -f "$ROOT/pipelines/table.awk" lines
}

@test "learning: retrieval on molecules held back, its controls, curves" {
	cut -d, -f2 "$ROOT/examples/wellknown.csv" | tail -n +2 | head -n 60 > m.smi
	run -0 make -s -f "$ROOT/pipelines/learning.mk" SMILES=m.smi OUT=l JOBS=2 SHARD=0/1 HELD=0.25 EPOCHS=2 BATCH=16 PRESET=tiny BIN="${BUILD:-$ROOT/build}/bin"
	assert_output --partial 'usage'
	run -0 awk -F '\t' 'NR > 1 { print $1 ":" $2, $3, $4 }' l/retrieval.tsv
	n=$(tscat --json l/held.mts | jq -s 'map(select(.row != null)) | length')
	[ "$n" -gt 5 ]
	assert_equal "${#lines[@]}" 13
	assert_line --index 0 "emb_c2d:emb_c3d all $n"
	assert_line --index 12 "formula:formula all $n"
	# graphs and pictures do not see positions; geometry does
	run -0 awk -F '\t' 'NR == FNR { of[$1 $2 $3] = $0; next } $1 == "formula" && of[$1 $2 $3] == $0 { same++ }
		/c3d/ && of[$1 $2 $3] != $0 { other++ } END { print same, (other > 0) }' l/retrieval.tsv l/shuffled.tsv
	assert_output '1 1'
	for f in losses memory; do
		run -0 grep -c '<path' l/$f.svg
		[ "$output" -gt 5 ]
	done
	assert_equal "$(wc -l < l/curves.tsv)" 7
	run -0 awk -F '\t' 'NF != 11 || /nan/' l/curves.tsv
	assert_output ""
}

@test "the demonstration goes the whole way, and knows more than shuffled labels do" {
	run -0 make -s -f "$ROOT/pipelines/demo.mk" OUT=demo JOBS=2 BIN="${BUILD:-$ROOT/build}/bin"
	assert_output --partial 'demo/sheet.png'
	[ "$(head -c 4 demo/sheet.png | tail -c 3)" = PNG ]
	run -0 awk -F '\t' '$1 == "mean" { print ($3 > $6 + 0.1) }' demo/scores.tsv
	assert_output 1
}
