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

@test "a log on a full device: the model is written, and why the log is not told" {
	run -1 "${fine[@]}" --quiet --epochs 2 --log /dev/full -o a.mts "$set"
	assert_output 'train: /dev/full cannot be written: No space left on device'
	"${fine[@]}" --epochs 2 "$set" | cmp - a.mts
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
	run -0 --separate-stderr "${fine[@]}" --epochs 2 --quiet --profile --log log -o a.mts "$set"
	run -0 awk '$1 == "all" { print $2, $NF; next } NR > 1 { if ($3 < 0 || $4 < 0) exit 1; sum += $NF; seen[$1]++ } END {
		for (name in seen) if (seen[name] > 1) exit 1
		print (sum > 99 && sum < 101), seen["matmul"], seen["batch_norm"], seen["message"], seen["records"], seen["optimiser"], seen["evaluation"] }' <<< "$stderr"
	assert_output "$(($(grep -c '"norm"' log) - 1)) 100.0%"$'\n'"1 1 1 1 1 1 1"
	"${fine[@]}" --epochs 2 -o b.mts "$set"
	cmp a.mts b.mts
}

@test "AdamW: a step shrinks each parameter by rate times decay beside Adam's own; Adam's decay goes through the gradient" {
	local one=(train --quiet --task finetune --preset tiny --gnn-width 16 --epochs 1 --batch 100 --keep last --lr 0.01)
	values() { tscat --json "$1" | jq -c 'select(.name? | strings | test("^(gnn|head)\\.") and (test("running") | not)) | .value | flatten'; }
	"${one[@]}" --lr 0 -o start.mts "$set"
	"${one[@]}" -o none.mts "$set"
	"${one[@]}" --optimizer adamw -o same.mts "$set"
	"${one[@]}" --optimizer adamw --weight-decay 0.5 -o w.mts "$set"
	"${one[@]}" --weight-decay 0.5 -o l2.mts "$set"
	cmp <(values none.mts) <(values same.mts)
	cat > apart.jq <<'END'
map(flatten) | transpose | map(.[2] - .[1] + 0.01 * 0.5 * .[0] | fabs) | length > 1000 and max < 1e-6
END
	for m in start none w l2; do values $m.mts | jq -sc . > $m; done
	run -0 jq -s -f apart.jq start none w
	assert_output true
	run -0 jq -s -f apart.jq start none l2
	assert_output false
}

@test "--clip scales the gradient down to its norm; --warmup and --schedule make the rates that the log tells" {
	local one=("${fine[@]}" --batch 100 --epochs 1 --dropout 0 --keep last)
	# norm of the gradient that Adam got: its first moment is a tenth of that
	got() { tscat --json "$1" | jq -s '[.[] | select(.name? | strings | startswith("state.m.")) | .value | flatten[] | . * .] | add | sqrt * 10'; }
	"${one[@]}" --log log -o a.mts "$set"
	"${one[@]}" --log clipped --clip 0.25 -o b.mts "$set"
	"${one[@]}" --clip 100 "$set" > c.mts
	run -0 jq -n --argjson a "$(got a.mts)" --argjson b "$(got b.mts)" --argjson n "$(jq -s '.[0].norm' log)" \
		'$n > 0.3 and ($a / $n - 1 | fabs) < 1e-5 and ($b / 0.25 - 1 | fabs) < 1e-5'
	assert_output true
	cmp <(jq -s '.[0].norm' log) <(jq -s '.[0].norm' clipped)
	cmp <(got a.mts) <(got c.mts)
	# three steps an epoch
	rates() { "${fine[@]}" --epochs 4 --lr 0.8 --log rates "$@" "$set" > /dev/null && jq -s 'map(select(.lr).lr * 1e6 | round) | join(" ")' rates; }
	run -0 rates --warmup 4 --schedule step --step-size 2 --gamma 0.5
	assert_output '"200000 400000 600000 800000 800000 800000 400000 400000 400000 400000 400000 400000"'
	run -0 rates --schedule cosine --lr-min 0.2
	assert_output "\"$(jq -nr '[range(12) | 2e5 + 3e5 * (1 + (. * 3.14159265358979323846 / 12 | cos)) | round] | join(" ")')\""
}

@test "--resume: epochs that earlier steps depend on are refused; another build of OpenBLAS is told" {
	"${fine[@]}" --schedule cosine --epochs 1 -o c.mts "$set"
	run -2 "${fine[@]}" --schedule cosine --epochs 2 --resume -o c.mts "$set"
	assert_output --partial 'says when the cosine ends'
	train --task pretrain --preset tiny --views 2d --stages 2 --epochs 1 -o t.mts "$set"
	run -2 train --task pretrain --preset tiny --views 2d --stages 2 --epochs 2 --resume -o t.mts "$set"
	assert_output --partial 'says when the first stage ends'
	# fewer than were done would be another model
	"${fine[@]}" --epochs 2 -o e.mts "$set"
	cp e.mts before.mts
	run -2 "${fine[@]}" --epochs 1 --resume -o e.mts "$set"
	assert_output 'train: --resume: the run in e.mts is past --epochs 1'
	"${fine[@]}" --epochs 2 --resume -o e.mts "$set"
	cmp e.mts before.mts
	[ "$(uname -m)" = x86_64 ] || skip "no other core type to try"
	"${fine[@]}" --epochs 1 -o d.mts "$set"
	run -0 env OPENBLAS_CORETYPE=Prescott "${fine[@]}" --quiet --epochs 2 --resume -o d.mts "$set"
	assert_output --regexp 'd.mts was computed by OpenBLAS .*, and goes on by OpenBLAS .* Prescott'
	run -0 env OPENBLAS_CORETYPE=Prescott "${fine[@]}" --quiet --epochs 3 --resume -o d.mts "$set"
	refute_output --partial 'goes on by'
}

@test "-m: what a model was built with stays, and --show-config shows it; options that have nothing to act on" {
	train --task pretrain --preset tiny --views 2d --epochs 1 -o pre.mts "$set"
	run -0 train --show-config -m pre.mts --tau-mem 0.5
	assert_line "$(printf 'gnn-width\t64')"
	assert_line "$(printf 'tau-mem\t0.5')"
	assert_line "$(printf 'views\t2d')"
	for o in '--gnn-width 20' '--gnn gcn' '--preset paper' '--gnn-layers 2' '--memory-slots 8' '--fuse concat'; do
		run -2 train --task finetune -m pre.mts $o -o no.mts "$set"
		assert_output --partial "train: ${o% *}: the model pre.mts was built with "
	done
	run -2 train --task finetune -m pre.mts --use-views 3d -o no.mts "$views"
	assert_output --partial 'has the views 2d alone'
	train --quiet --task finetune -m pre.mts --gnn-width 64 --preset tiny --epochs 1 -o yes.mts "$set"
	run -2 train --task structure -m pre.mts --hyper-k 3 -o no.mts "$set"
	assert_output --partial 'hyperbuild'
	run -2 "${fine[@]}" --patience 2 -o no.mts <(mol2graph --labels acid --limit 20 "$ROOT/examples/wellknown.csv")
	assert_output --partial 'molsplit'
	run -2 "${fine[@]}" --class-weights --labels-are regression -o no.mts "$set"
	assert_output --partial 'does not apply to values'
	run -0 bash -c "train --show-config --geom schnet --preset paper | grep -E '^(cutoff|geom-(blocks|width|filters|gaussians))'"
	assert_output "$(printf 'geom-blocks\t6\ngeom-width\t300\ngeom-gaussians\t50\ngeom-filters\t128\ncutoff\t10')"
}

# holes: records of which every second has no conformer, and of these every other no picture.
holes() {
	local keep=id,row,smiles,y,x,edge_index,edge_attr,z,scaffold,split
	tscat --stream --where 'row < 20' "$views" > one
	tscat --stream --where 'row >= 20 and row < 30' --select $keep,img "$views" > two
	tscat --stream --where 'row >= 30' --select $keep "$views" > three
	cat one two three
}

@test "a molecule without any view that is read: left out of training, no embedding, no prediction, whatever is beside it" {
	holes > holes.mts
	local n n3 # records, and those with a conformer
	n=$(tscat --json holes.mts | jq -s 'map(select(.row != null)) | length')
	n3=$(tscat --json holes.mts | jq -s 'map(select(.pos)) | length')
	[ "$n" -gt "$n3" ]
	run -0 "${fine[@]}" --quiet --views 3d --geom-width 16 --epochs 1 -o f.mts holes.mts
	assert_output --regexp 'left out, for want of any view that is read: [0-9]+ records of train, [0-9]+ of valid, [0-9]+ of test'
	assert_equal "$(header data f.mts | jq '.train + .valid + .test')" "$n3"
	# the same model as without them
	tscat --stream --where 'row < 20' "$views" > full.mts
	"${fine[@]}" --quiet --views 3d --geom-width 16 --epochs 1 -o g.mts full.mts
	values() { tscat --json "$1" | jq -c 'select(.name?) | .value'; }
	cmp <(values f.mts) <(values g.mts)
	predict -m f.mts holes.mts 2> told > p.tsv
	grep -q "predict: $((n - n3)) records have no view that each model's head reads: no prediction (nan)" told
	assert_equal "$(awk -F '\t' 'NR > 1 && $4 == "nan"' p.tsv | wc -l)" $((n - n3))
	cmp <(head -n $((n3 + 1)) p.tsv) <(predict -m f.mts full.mts)
	run -0 bash -c 'predict --quiet --stream --explain why -m f.mts holes.mts 2> told | tscat --json | jq -s "map(select(.row != null and .pred)) | length"'
	assert_output "$n3"
	run -1 bash -c 'predict --quiet -m f.mts holes.mts 2> told | score'
	assert_output --partial 'no prediction of'
	"${pre[@]}" --views 3d --epochs 1 --stages 2 -o pre.mts holes.mts
	encode -m pre.mts --out h3d,c,a holes.mts 2> told > e.mts
	grep -q "encode: $((n - n3)) records have none of the views 3d" told
	run -0 bash -c 'tscat --json e.mts | jq -c "select(.row != null) | [.emb_h3d, .emb_c, .emb_a, .pos] | map(. != null) | unique | length" | sort -u'
	assert_output 1
}

@test "a batch in which no loss has its views is passed over and told" {
	holes > holes.mts
	local n lean=("${pre[@]}" --quiet --batch 2 --w-self 0 --w-mask 0 --w-align 0 --epochs 30)
	run -0 "${lean[@]}" --log log -o a.mts holes.mts
	n=$(jq -s 'map(select(.lr and (has("loss") | not))) | length' log)
	[ "$n" -gt 0 ]
	assert_output "train: passed over, since no loss has its views in the batch: $n of $(jq -s 'map(select(.lr)) | length' log) steps"
	run -0 jq -s 'map(select(.windows)) | length == 30 and any(.passed_over > 0) and all(.mean_loss > 0 and ."valid.loss" > 0)' log
	assert_output true
	"${lean[@]}" -j 2 holes.mts 2> told | cmp - a.mts
	# gone on with, in the middle of epochs
	local i status=5 n_stop=0
	for i in 1 2 3 4 5; do
		: > steps
		"${lean[@]}" --resume --log steps -o b.mts holes.mts 2> told &
		for _ in $(seq 2000); do
			[ -s steps ] && break
			sleep 0.005
		done
		kill -TERM $! 2> /dev/null || true
		wait $! && status=0 || status=$?
		n_stop=$((n_stop + (status != 0)))
	done
	[ "$n_stop" -gt 0 ]
	"${lean[@]}" --resume -o b.mts holes.mts 2> told
	cmp a.mts b.mts
	# nothing at all to learn from
	run -1 "${lean[@]}" <(tscat --stream --where 'row >= 30' holes.mts)
	assert_output --partial 'in no batch of an epoch has a loss its views'
	run -2 "${lean[@]}" --w-con 0 --w-cross 0 holes.mts
	assert_output --partial 'nothing to train on: every loss has weight 0 or lacks its views'
	run -2 "${lean[@]}" --views 2d holes.mts
	assert_output --partial 'nothing to train on'
}

@test "hyperedges of the second stage are made by what --hyper-by says" {
	local two=("${pre[@]}" --quiet --epochs 1 --stages 2 --keep last)
	mol2graph --fp --scaffold --limit 40 "$ROOT/examples/wellknown.csv" > s.mts 2> /dev/null
	losses() { jq -c 'select(.read) | [.read, .swap, .usage]' "$1"; }
	for by in code view fp scaffold; do
		"${two[@]}" --views 2d --hyper-by $by --log $by -o $by.mts s.mts
		[ "$(losses $by | wc -l)" -gt 1 ]
	done
	# of one view, the unified code is that view's
	cmp <(losses code) <(losses view)
	run ! cmp -s <(losses code) <(losses fp)
	run ! cmp -s <(losses code) <(losses scaffold)
	run ! cmp -s <(losses fp) <(losses scaffold)
	# hyperedges of all: whatever makes them
	for by in code fp; do
		"${two[@]}" --views 2d --hyper-by $by --hyper-k 100 --log all.$by -o $by.mts s.mts
	done
	run -0 bash -c "paste <(jq 'select(.read).read' all.code) <(jq 'select(.read).read' all.fp) | awk '{ d = \$1 - \$2; if (d * d > 1e-10 * \$1 * \$1) exit 1 }'"
	run -1 "${two[@]}" --views 2d --hyper-by fp -o no.mts "$set"
	assert_output --partial 'mol2graph --fp'
}

@test "soft weights that fall to nothing: what hyperbuild writes the structure stage reads" {
	train --quiet --task pretrain --preset tiny --views 2d --epochs 1 -o pre.mts "$set"
	{ printf 'smiles\n'; for _ in $(seq 30); do echo C; done; echo 'OC(=O)c1ccccc1OC(C)=O'; } > same.csv
	mol2graph same.csv | encode -m pre.mts --out c | hyperbuild --soft -k 31 > h.mts
	run -0 bash -c 'tscat --tsv hyper_weight h.mts | tail -n +2 | tr , "\n" | sort -u'
	assert_line 0
	train --quiet --task structure --preset tiny -m pre.mts --epochs 1 -o s.mts h.mts
	# a member that opens no hyperedge of the batch has no weight at all
	for norm in row sym; do
		train --quiet --task structure -m pre.mts --batch 8 --epochs 1 --hyper-norm $norm -o s.mts h.mts
	done
}

@test "the loss of the validation set is of the size of training's, masked atoms among it" {
	for o in "" --mask-statistics; do
		train --task pretrain --preset tiny --views 2d --w-align 0 --w-self 0 --epochs 3 --batch 16 --log log$o $o -o m.mts "$set"
		run -0 jq -s 'map(select(.windows)) | length == 3 and all(."valid.loss" < 3 * .mean_loss and ."test.loss" < 3 * .mean_loss)' log$o
		assert_output true
	done
}

@test "--freeze: what is frozen keeps its bytes, running statistics too, and the rest learns" {
	values() { tscat --json "$1" | jq -c 'select(.name? | strings | test("^('"$2"')\\.")) | [.name, .value]'; }
	"${pre[@]}" --quiet --epochs 2 -o pre.mts "$views"
	for frozen in gnn cnn geom 'gnn|cnn'; do
		train --quiet --task finetune -m pre.mts --use-views 2d,3d,img --epochs 2 --lr 0.01 --batch 16 --keep last \
			--freeze "${frozen/|/,}" -o f.mts "$views"
		values pre.mts "$frozen" > before
		values f.mts "$frozen" > after
		[ "$(wc -l < before)" -gt 5 ]
		cmp before after
		for other in gnn cnn geom; do
			[[ $frozen == *$other* ]] || run ! cmp -s <(values pre.mts $other) <(values f.mts $other)
		done
	done
	# anchors of which some are yet to be filled, and such as follow by momentum; the queue
	for o in '--anchor-momentum 0' '--anchor-momentum 0.5'; do
		"${pre[@]}" --quiet --epochs 1 --memory-slots 200 $o -o few.mts "$views"
		"${pre[@]}" --quiet --epochs 1 -m few.mts --keep last --freeze memory,queue -o f.mts "$views"
		cmp <(values few.mts 'memory|queue') <(values f.mts 'memory|queue')
		run ! cmp -s <(values few.mts hyper) <(values f.mts hyper)
	done
	# what a frozen encoder says in training it says afterwards
	train --quiet --task finetune -m pre.mts --dropout 0 --epochs 1 --lr 0 --batch 100 --keep last --freeze gnn --log log -o f.mts "$set"
	run -0 bash -c "predict --quiet -m f.mts $set | paste - <(tscat --tsv split $set) | awk -F '\\t' '
		\$NF == \"train\" { for (t = 4; t < 6; t++) { p = \$t; y = \$(t + 2); sum -= y == 1 ? log(p) : log(1 - p); n++ } }
		END { printf \"%.4f\", sum / n }'"
	assert_output "$(jq -s 'map(select(.lr? == 0))[0].loss' log | xargs printf '%.4f')"
}

@test "what is no number after a step whose loss was one: the step is named" {
	run -1 "${fine[@]}" --epochs 5 --lr 1e10 --save-every 1 -o a.mts "$set"
	assert_output --regexp 'train: (after )?step [0-9]+: '
}
