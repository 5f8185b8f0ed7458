load lib

setup_file() {
	load lib
	cd "$BATS_FILE_TMPDIR"
	mol2graph --labels acid,base --limit 60 "$ROOT/examples/wellknown.csv" > set.mts 2> /dev/null
	for seed in 1 2; do
		train --task finetune --preset tiny --gnn-layers 2 --epochs 5 --batch 16 --seed $seed -o $seed.mts set.mts
	done
}
setup() {
	cd "$BATS_TEST_TMPDIR"
	set=$BATS_FILE_TMPDIR/set.mts one=$BATS_FILE_TMPDIR/1.mts two=$BATS_FILE_TMPDIR/2.mts
}

@test "a row a record, its labels beside" {
	predict -m "$one" "$set" > p.tsv
	run -0 head -n 1 p.tsv
	assert_output "$(printf 'row\tid\tsmiles\tacid\tbase\ty.acid\ty.base')"
	assert_equal "$(wc -l < p.tsv)" 61
	run -0 awk -F '\t' 'NR > 1 && !($4 > 0 && $4 < 1)' p.tsv
	assert_output ''
	assert_equal "$(cut -f 6,7 p.tsv | tail -n +2)" "$(tscat --tsv y "$set" | tail -n +2 | tr , '\t')"
	mol2graph --limit 3 "$ROOT/examples/wellknown.csv" | predict -m "$one" > bare.tsv
	run -0 head -n 1 bare.tsv
	assert_output "$(printf 'row\tid\tsmiles\tacid\tbase')"
}

@test "a table that was cut is told from a whole one" {
	run -0 bash -c "predict -m $one $set | score"
	for at in 100 1000 $(($(stat -c %s "$set") - 30)); do
		head -c $at "$set" > cut.mts
		run -1 --separate-stderr bash -c "predict -m $one cut.mts | score"
		assert_output ''
	done
	cat "$set" cut.mts > second.mts
	run -1 --separate-stderr bash -c "predict -m $one second.mts | tee table | score"
	assert_equal "$(wc -l < table)" 60
	[[ "$stderr" == *'the table was cut'* ]]
}

@test "an ensemble: mean and deviation of its models" {
	predict -m "$one" "$set" | cut -f 4 > a
	predict -m "$two" "$set" | cut -f 4 > b
	predict -m "$one" -m "$two" "$set" | cut -f 4,6 > both
	run -0 awk 'NR > 1 { m = ($1 + $2) / 2; d = ($1 - $2) / sqrt(2); d = d < 0 ? -d : d; e = $3 - m; f = $4 - d; if (e * e > 1e-12 || f * f > 1e-12) bad++ } END { print bad + 0 }' <(paste a b both)
	assert_output 0
	# with --stream its models stand in provenance, each by its digest
	predict --stream -m "$one" -m "$two" "$set" > both.mts
	run -0 bash -c "paste <(tscat --tsv pred both.mts | tail -n +2 | cut -d , -f 1) <(tail -n +2 both | cut -f 1) | awk '\$1 != \$2'"
	assert_output ''
	run -0 bash -c "tscat --json -n 0 both.mts | head -n 1 | jq -r '.provenance[-1].options[0]'"
	assert_output --regexp '^--model=[0-9a-f]{32},[0-9a-f]{32}$'
	cp "$one" 'a,b'
	predict -m 'a,b' "$set" | cut -f 4 | cmp - a
	# mutant: the deviation divided by n
	run -0 awk 'NR > 1 { d = ($1 - $2) / 2; d = d < 0 ? -d : d; f = $4 - d; if (f * f > 1e-12) bad++ } END { print (bad > 0) }' <(paste a b both)
	assert_output 1
}

@test "a row's bytes depend on its record alone" {
	predict -m "$one" "$set" | sort > whole
	for i in 0 1 2; do
		mol2graph --labels acid,base --limit 60 --shard $i/3 "$ROOT/examples/wellknown.csv" | predict -m "$one" | tail -n +2
	done | sort > parts
	run -0 comm -13 whole parts
	assert_output ''
	predict -j 2 -m "$one" "$set" | sort | cmp - whole
}

@test "--stream adds pred, with what it was made by" {
	predict --stream -m "$one" "$set" > p.mts
	run -0 bash -c "paste <(tscat --tsv pred p.mts | tail -n +2 | tr , '\t') <(predict -m $one $set | tail -n +2 | cut -f 4,5) | awk '\$1 != \$3 || \$2 != \$4'"
	assert_output ''
	tscat --check p.mts
	run -0 tscat --history p.mts
	assert_output --partial 'predict'
}

@test "--explain: what an atom contributes is the difference that masking it makes" {
	printf 'CC(=O)O vinegar\n' | mol2graph > v.mts
	predict --stream --explain why -m "$one" v.mts > e.mts
	run -0 bash -c 'tscat --json e.mts | jq -c "select(.why) | .why | [length, (.[0] | length)]"'
	assert_output '[2,4]'
	predict --explain why -m "$one" v.mts > e.tsv
	run -0 bash -c "tail -n 1 e.tsv | cut -f 6 | tr , '\n' | wc -l"
	assert_output 8
}

@test "models that cannot predict are refused" {
	train --task pretrain --preset tiny --views 2d --epochs 1 -o pre.mts "$set"
	run -2 predict -m pre.mts "$set"
	assert_output --partial 'no head'
	run -1 predict -m "$set" "$set"
	run -2 predict "$set"
	assert_output --partial '-m MODEL'
	mol2graph --labels acid --limit 30 "$ROOT/examples/wellknown.csv" 2> /dev/null > one.mts
	train --task finetune --preset tiny --epochs 1 -o acid.mts one.mts
	run -2 predict -m "$one" -m acid.mts "$set"
	assert_output --partial 'other tasks'
	head -c 3000 "$one" > cut.mts
	run -1 predict -m cut.mts "$set"
}
