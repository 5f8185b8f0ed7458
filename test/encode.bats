load lib

setup_file() {
	load lib
	cd "$BATS_FILE_TMPDIR"
	mol2graph --limit 40 "$ROOT/examples/wellknown.csv" 2> /dev/null | conf3d --method dg --keep-failed 2> /dev/null | mol2img --size 48 > set.mts
	train --task pretrain --preset tiny --epochs 1 --batch 16 -o model.mts set.mts
}
setup() {
	cd "$BATS_TEST_TMPDIR"
	set=$BATS_FILE_TMPDIR/set.mts model=$BATS_FILE_TMPDIR/model.mts all=h2d,h3d,himg,c2d,c3d,cimg,c,g,r,a
}
# embeddings FILE: row and all embeddings, a line a record, sorted.
embeddings() {
	tscat --json "$1" | jq -c 'select(.row != null) | [.row, .emb_h2d, .emb_h3d, .emb_himg, .emb_c, .emb_a]' | sort
}

@test "a row's bytes depend on its record alone: blocks, order, shards, workers" {
	encode -m "$model" --out $all "$set" > whole.mts
	embeddings whole.mts > whole
	assert_equal "$(wc -l < whole)" 40
	encode -b 1 -m "$model" --out $all "$set" | cmp - whole.mts
	encode -j 2 -m "$model" --out $all "$set" | cmp - whole.mts
	for i in 1 0 2; do
		mol2graph --limit 40 --shard $i/3 "$ROOT/examples/wellknown.csv" 2> /dev/null | conf3d --method dg --keep-failed 2> /dev/null |
			mol2img --size 48 | encode -m "$model" --out $all > part.mts
		embeddings part.mts
	done | sort > parts
	cmp whole parts
	# mutant: one record's embedding under another's row
	run ! cmp -s whole <(sed 's/^\[1,/[2,/' parts | sort)
}

@test "relations between the embeddings" {
	encode -m "$model" --out $all "$set" > e.mts
	run -0 bash -c "tscat --json e.mts | jq -s 'map(select(.row != null)) | all(
		([.emb_g, .emb_r, .emb_a] | transpose | all((.[0] + .[1] - .[2]) | fabs < 1e-5)) and
		([.emb_c2d, .emb_c3d, .emb_cimg, .emb_c] | transpose | all(((.[0] + .[1] + .[2]) / 3 - .[3]) | fabs < 1e-5)))'"
	assert_output true
}

@test "a view that is missing is left out, and the others make the code" {
	mol2graph --limit 5 "$ROOT/examples/wellknown.csv" > flat.mts
	run -0 bash -c "encode -m $model --out c,c2d,c3d flat.mts 2> says | tscat --json | jq -c 'select(.row != null) | [has(\"emb_c3d\"), .emb_c == .emb_c2d]' | sort -u"
	assert_output '[false,true]'
	run -0 cat says
	assert_output --partial 'no field pos'
}

@test "hyperedges mix, members must be there, --no-hypergraph leaves them alone" {
	encode -m "$model" --out c "$set" | hyperbuild -k 4 > hyper.mts
	encode -m "$model" --out g,a hyper.mts > mixed.mts
	encode -m "$model" --no-hypergraph --out g,a hyper.mts > alone.mts
	run -0 bash -c "encode -m $model --out a $set | tscat --json | jq -c 'select(.row != null) | .emb_a' | cmp - <(tscat --json alone.mts | jq -c 'select(.row != null) | .emb_a')"
	# G by hand, from the embeddings of molecules that stand alone
	cat > check.jq <<'END'
map(select(.row != null)) as $r | ($alone | map(select(.row != null))) as $f | ($r | length) as $n
| [range($n)] as $i | ($i | map({key: ($r[.].row | tostring), value: .}) | from_entries) as $at
| ($r | map(.hyper_index | map($at[tostring]))) as $edge
| ($edge | map(. as $e | [range($f[0].emb_g | length)] | map(. as $c | ($e | map($f[.].emb_g[$c]) | add / length)))) as $mean
| [$i[] | . as $v | ($i | map(select($edge[.] | index($v) != null))) as $in
	| [range($f[0].emb_g | length)] | map(. as $c | (($in | map($mean[.][$c]) | add / length) - $r[$v].emb_g[$c]) | fabs) | max] | max < 1e-4
END
	tscat --json alone.mts > alone.json
	run -0 bash -c 'tscat --json mixed.mts | jq -s --slurpfile alone alone.json -f check.jq'
	assert_output true
	run -1 bash -c "tscat --stream --where 'row < 20' hyper.mts > half.mts; encode -m $model --out a half.mts > /dev/null"
	assert_output --partial 'which is not here'
}

@test "--plain: on record, and the same embeddings up to rounding" {
	encode -m "$model" --out $all "$set" > fast.mts
	encode --plain -m "$model" --out $all "$set" > plain.mts
	run -0 bash -c "tscat --json -n 0 plain.mts | jq -c '.provenance[-1].options | index(\"--plain\") != null'"
	assert_output true
	embeddings fast.mts > fast
	embeddings plain.mts > plain
	run -0 bash -c "paste fast plain | jq -sc '[. as \$x | range(0; length; 2) | [\$x[.], \$x[. + 1]] | map(.[1:] | flatten | map(values)) | transpose[] | (.[0] - .[1]) | fabs] |
		length > 1000 and max < 1e-4'"
	assert_output true
}

@test "what a model has not seen it does not write" {
	mol2graph --labels acid --limit 30 "$ROOT/examples/wellknown.csv" 2> /dev/null > y.mts
	train --task finetune --preset tiny --epochs 1 -o fine.mts y.mts
	run -2 encode -m fine.mts --out a y.mts
	assert_output --partial 'structure stage'
	run -2 encode -m fine.mts --out c y.mts
	run -2 encode -m fine.mts --out h3d y.mts
	run -2 encode -m "$model" --out c4d y.mts
	assert_output --partial 'did you mean'
	train --task pretrain --preset tiny --views 2d --w-align 0 --epochs 1 -o pre.mts y.mts
	run -2 encode -m pre.mts --out g y.mts
	run -0 bash -c "encode -m pre.mts --drop-input y.mts | tscat --json | head -n 1 | jq -c .fields"
	assert_output '["id","row","smiles","y","emb_c"]'
}

@test "score --retrieval: a molecule finds itself, a tie is a miss, and its geometry shows" {
	encode -m "$model" --out c,c2d,c3d "$set" > e.mts
	run -0 score --retrieval c:c,c2d:emb_c3d e.mts
	assert_line --index 0 "$(printf 'from\tto\tamong\tn\ttop1\ttop10\trank')"
	assert_line --index 1 "$(printf 'emb_c\temb_c\tall\t40\t1.0000\t1.0000\t1')"
	assert_line --index 5 --regexp '^formula	formula	all	40	0\.[0-9]+'
	# the same molecules once more: each ties with its twin
	run -0 score --retrieval c:c e.mts e.mts
	assert_line --index 1 "$(printf 'emb_c\temb_c\tall\t80\t0.0000\t1.0000\t2')"
	assert_line --index 3 --partial "$(printf '\t80\t0.0000\t1.0000\t')"
	run -1 score --retrieval c2d:himg e.mts
	assert_output --partial 'no record has emb_himg: encode --out himg writes it'
	run -2 score --retrieval c2d e.mts
	assert_output --partial 'not FROM:TO'
	run -2 score --retrieval c2d:c3d --json e.mts
	run -1 bash -c 'head -c 3000 e.mts | score --retrieval c2d:c3d'
}

@test "--shuffle-positions: other geometry, the same graphs, whatever the block" {
	encode -m "$model" --out c2d,c3d --drop-input "$set" > e.mts
	encode -m "$model" --out c2d,c3d --drop-input --shuffle-positions --seed 3 "$set" > s.mts
	encode -b 1 -j 2 -m "$model" --out c2d,c3d --drop-input --shuffle-positions --seed 3 "$set" | cmp - s.mts
	of() { tscat --json "$1" | jq -c "select(.row != null) | .emb_$2"; }
	cmp <(of e.mts c2d) <(of s.mts c2d)
	run ! cmp -s <(of e.mts c3d) <(of s.mts c3d)
	run -0 bash -c 'tscat --json -n 0 s.mts | head -n 1'
	assert_output --partial 'shuffle-positions'
}

@test "a code that is no number: its record is named, though a ReLU would hide it from what follows" {
	train --quiet --task pretrain --preset tiny --views 2d --epochs 1 --batch 100 --lr 1e20 -o wild.mts <(mol2graph --limit 9 "$ROOT/examples/wellknown.csv")
	for out in a c h2d; do
		run -1 bash -c "mol2graph --limit 5 '$ROOT/examples/wellknown.csv' | tscat --stream --where 'row >= 2' | encode -m wild.mts --out $out -o no.mts"
		assert_output 'encode: record 2: a code that is no number'
	done
}
