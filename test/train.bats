load lib

setup_file() {
	load lib
	cd "$BATS_FILE_TMPDIR"
	mol2graph --labels acid,base --scaffold --limit 80 "$ROOT/examples/wellknown.csv" 2> /dev/null | molsplit --by random --frac 0.6,0.2,0.2 --seed 2 > set.mts
	conf3d --method dg --keep-failed --limit 40 set.mts 2> /dev/null | mol2img --size 24 > views.mts
}
setup() {
	cd "$BATS_TEST_TMPDIR"
	set=$BATS_FILE_TMPDIR/set.mts views=$BATS_FILE_TMPDIR/views.mts
	fine=(train --task finetune --preset tiny --gnn-layers 2 --gnn-width 16 --batch 16)
	pre=(train --task pretrain --preset tiny --gnn-width 16 --img-size 24 --cnn-width 4 --geom-width 16 --code-width 16 --batch 16)
}
# header KEY FILE: the part of a model's header.
header() {
	tscat --json -n 0 "$2" | head -n 1 | jq -c ".$1"
}

@test "fine-tuning: the log, the header, the same bytes twice and for two workers" {
	"${fine[@]}" --epochs 3 --log log --dropout 0.3 -o a.mts "$set"
	"${fine[@]}" --epochs 3 --dropout 0.3 -j 2 -o b.mts < "$set"
	cmp a.mts b.mts
	run -0 jq -r 'select(.windows) | [.epoch, (has("valid.roc-auc")), (has("test.roc-auc")), (has("train.roc-auc"))] | @tsv' log
	assert_output "$(printf '1\ttrue\ttrue\tfalse\n2\ttrue\ttrue\tfalse\n3\ttrue\ttrue\ttrue')"
	run -0 jq -s 'map(select(.lr)) | length == 9 and all(.loss > 0 and .norm > 0)' log
	assert_output true
	run -0 header metrics.metric a.mts
	assert_output '"roc-auc"'
	run -0 header complete a.mts
	assert_output true
	# mutant: another seed is another model
	"${fine[@]}" --epochs 3 --dropout 0.3 --seed 1 -o c.mts "$set"
	run ! cmp -s a.mts c.mts
}

@test "what is learned is what the labels say; permuted labels teach nothing of it" {
	"${fine[@]}" --epochs 60 --dropout 0 --keep last --log log -o a.mts "$set"
	run -0 jq -s 'last(.[] | select(.windows)) | ."train.roc-auc" > 0.95' log
	assert_output true
	run -0 jq -s 'map(select(.lr).loss) | (.[-5:] | add / 5) < (.[:5] | add / 5) / 2' log
	assert_output true
	"${fine[@]}" --epochs 10 --dropout 0 --keep last --log control -o b.mts "$set" --shuffle-labels
	run -0 jq -s 'last(.[] | select(.windows)) | ."train.roc-auc" < 0.95' control
	assert_output true
}

@test "stopped by SIGTERM and gone on with: the bytes of a run never stopped" {
	"${fine[@]}" --epochs 400 -o whole.mts "$set"
	local i status n_stop=0
	# Some stops at moments of their own, each soon after the first step, then the run to its end.
	for i in 1 2 3 4 5 6 7; do
		"${fine[@]}" --epochs 400 --resume -o parts.mts --log log "$set" 2> message &
		for _ in $(seq 2000); do
			[ -s log ] && break
			sleep 0.005
		done
		sleep 0.0$i
		kill -TERM $! 2> /dev/null || true
		wait $! && status=0 || status=$?
		rm -f log
		[ "$status" = 0 ] && break # it was done before the signal came
		assert_equal "$status" 143
		grep -q 'stopped by signal 15 after step' message
		n_stop=$((n_stop + 1))
		if [ "$i" = 1 ]; then
			assert_equal "$(header complete parts.mts)" false
			run -1 predict -m parts.mts "$set"
			assert_output --partial 'allow-partial'
			run -0 --separate-stderr predict --allow-partial -m parts.mts "$set"
			assert_equal "${#lines[@]}" 81
		fi
	done
	[ "$n_stop" -gt 0 ]
	"${fine[@]}" --epochs 400 --resume -o parts.mts "$set"
	cmp whole.mts parts.mts
	run ! cmp -s whole.mts <("${fine[@]}" --epochs 399 "$set")
}

@test "--show-config to a full device says so" {
	run -1 bash -c 'train --show-config > /dev/full'
	assert_output 'train: cannot write: No space left on device'
}

@test "stopped when it began from a model: what was learned is kept" {
	"${fine[@]}" --epochs 1 -o first.mts "$set"
	"${fine[@]}" -m first.mts --epochs 100000 --resume -o parts.mts --log log "$set" 2> message &
	for _ in $(seq 400); do
		[ -s log ] && break
		sleep 0.01
	done
	local status=0
	kill -TERM $!
	wait $! || status=$?
	assert_equal "$status" 143
	grep -q 'stopped by signal 15 after step' message
	assert_equal "$(header complete parts.mts)" false
}

@test "--save-every, --max-time and --resume after them" {
	"${fine[@]}" --epochs 4 -o whole.mts "$set"
	"${fine[@]}" --epochs 2 -o part.mts "$set"
	"${fine[@]}" --epochs 4 --resume -o part.mts "$set"
	cmp whole.mts part.mts
	"${fine[@]}" --epochs 4 --resume -o part.mts "$set"
	cmp whole.mts part.mts
	run -2 "${fine[@]}" --epochs 4 --lr 0.01 --resume -o part.mts "$set"
	assert_output --partial 'the options are not those'
	run -2 "${fine[@]}" --epochs 4 --resume -o part.mts <(tscat --stream --where 'row > 3' "$set")
	assert_output --partial 'these are not the data'
	run -2 "${fine[@]}" --resume "$set"
	run -1 "${fine[@]}" --epochs 100000 --max-time 1 -o late.mts "$set"
	assert_output --partial 'the time is up'
	assert_equal "$(header complete late.mts)" false
}

@test "a loss that is no number: step and rows, and the model saved before stays" {
	run -1 "${fine[@]}" --epochs 5 --lr 1e25 --save-every 1 -o a.mts "$set"
	assert_output --regexp 'step [0-9]+: .*finite.*molecules of this batch: [^,]+, '
	assert_equal "$(header complete a.mts)" false
	run -0 tscat --check a.mts
}

@test "pre-training, structure stage, fine-tuning on its encoder; two stages in one" {
	"${pre[@]}" --epochs 2 --log log -o pre.mts "$views"
	run -0 jq -s 'map(select(.lr)) | all(has("con") and has("self") and has("cross") and has("mask") and has("swap") and has("max_cosine"))' log
	assert_output true
	"${pre[@]}" --epochs 2 -j 2 "$views" | cmp - pre.mts
	encode -m pre.mts --out c "$views" | hyperbuild -k 4 > hyper.mts
	train --task structure --epochs 2 -m pre.mts --batch 8 -o structure.mts hyper.mts
	# what the structure stage stands on stays as it was
	tensor() { tscat --json --where "name == \"$2\"" "$1" 2> /dev/null | sed -n 2p; }
	[ -n "$(tensor pre.mts mm.encoders.0.weight)" ]
	assert_equal "$(tensor structure.mts mm.encoders.0.weight)" "$(tensor pre.mts mm.encoders.0.weight)"
	assert [ "$(tensor structure.mts memory.weight)" != "$(tensor pre.mts memory.weight)" ]
	train --task finetune --epochs 1 -m structure.mts --use-structure -o fine.mts "$views"
	train --task finetune --epochs 1 -m pre.mts -o lean.mts "$views"
	assert_equal "$(header parts lean.mts)" '["encoders","head"]'
	assert_equal "$(header parts fine.mts)" '["encoders","codes","structure","head"]'
	"${pre[@]}" --epochs 1 --stages 2 -o two.mts "$views"
	assert_equal "$(header trained two.mts)" '["codes","structure"]'
	run -1 encode -m pre.mts <(mol2graph --limit 3 "$ROOT/examples/wellknown.csv" 2> /dev/null | mol2img --grey --size 24)
	assert_output --partial 'img has 1 channels'
	run -1 train --task structure --epochs 1 -m pre.mts "$views"
	assert_output --partial 'hyperbuild'
}

@test "the door: features, fields, labels, views" {
	"${fine[@]}" --epochs 1 -o ogb.mts "$set"
	mol2graph --features hu --labels acid,base --limit 8 "$ROOT/examples/wellknown.csv" > hu.mts
	run -1 train --task finetune -m ogb.mts hu.mts
	assert_output --partial 'mol2graph --features ogb'
	run -1 predict -m ogb.mts hu.mts
	assert_output --partial 'mol2graph --features ogb'
	run -1 "${pre[@]}" "$set"
	assert_output --partial 'no field pos: run conf3d first'
	run -1 "${fine[@]}" <(mol2graph --limit 8 "$ROOT/examples/wellknown.csv")
	assert_output --partial 'mol2graph with --labels'
	run -2 "${pre[@]}" --views 2d,4d "$set"
	assert_output --partial '4d'
	run -2 train --task structure "$set"
	run -2 "${fine[@]}" --use-structure "$set"
	run -2 "${fine[@]}" --freeze nothing "$set"
	run -2 "${fine[@]}" --metric rmse "$set"
	run -2 train --task finetun "$set"
	assert_output --partial 'finetune'
}

@test "memory for a part of the records: windows, the same bytes again" {
	"${fine[@]}" --epochs 2 --mem 50K --log log -o a.mts "$set"
	"${fine[@]}" --epochs 2 --mem 50K --spool kept.mts "$set" | cmp - a.mts
	"${fine[@]}" --epochs 2 --mem 50K kept.mts | cmp - a.mts
	tscat --check kept.mts
	run -0 jq -s 'map(select(.windows)) | all(.windows >= 1)' log
	assert_output true
}

@test "values: standardised targets, errors in the unit of the labels" {
	mol2graph --labels all --missing '' --limit 60 <(awk -F, 'NR == 1 { print "smiles,weight"; next } { print $2 "," 100 * length($2) }' "$ROOT/examples/wellknown.csv") 2> /dev/null |
		molsplit --by random > w.mts
	"${fine[@]}" --epochs 40 --dropout 0 --log log -o w.model.mts w.mts
	assert_equal "$(header metrics.metric w.model.mts)" '"rmse"'
	run -0 jq -s 'map(select(.windows)) | last | ."valid.rmse" < 900' log
	assert_output true
	predict -m w.model.mts w.mts > p.tsv
	run -0 awk -F '\t' 'NR > 1 { s += $4; t += $5 } END { print (s / t > 0.7 && s / t < 1.3) ? "good" : s / t }' p.tsv
	assert_output good
}

@test "masked graphs leave the running statistics alone, or not: the same losses, other embeddings" {
	for o in "" --mask-statistics; do
		train --task pretrain --preset tiny --views 2d --w-align 0 --epochs 2 --batch 16 --log log$o $o -o m$o.mts "$set"
		encode -m m$o.mts --out h2d "$set" | tscat --json - | jq -c 'select(.row != null) | .emb_h2d' > e$o
	done
	cmp <(jq -c 'select(.step) | .mask' log) <(jq -c 'select(.step) | .mask' log--mask-statistics)
	run ! cmp -s e e--mask-statistics
}

@test "--profile: a line an operation, shares that make a whole, the same model" {
	run -0 --separate-stderr "${fine[@]}" --epochs 2 --quiet --profile -o a.mts "$set"
	run -0 awk 'NR > 1 { if ($3 < 0 || $4 < 0) exit 1; sum += $NF; seen[$1]++ } END {
		for (name in seen) if (seen[name] > 1) exit 1
		print (sum > 99 && sum < 101), seen["matmul"], seen["batch_norm"], seen["message"], seen["records"], seen["optimiser"], seen["evaluation"] }' <<< "$stderr"
	assert_output "1 1 1 1 1 1 1"
	"${fine[@]}" --epochs 2 -o b.mts "$set"
	cmp a.mts b.mts
}
