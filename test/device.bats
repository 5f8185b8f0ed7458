# The table of CUDA devices, its own text over an emulated device (test/emulation.h): every operation against the
# reference in three orders of the device's threads, mutants, the golden cases, training; and what happens without one.
load lib

DEVICE="${BUILD:-$ROOT/build}/emulated"

@test "the emulated device runs kernels that are right, and finds the faults that it is there for" {
	run -0 "$DEVICE/test/emulation"
	refute_output --partial "not ok"
}

@test "operations as the reference in three orders, without each barrier, golden cases: what make check-gpu runs" {
	need_shared oracle/nn/golden
	BUILD=$DEVICE run -0 "$ROOT/test/run-gpu"
	assert_line --regexp '^1[0-9]{2} passed, 0 failed$'
	refute_output --partial 'csr_sum: not offered'
	refute_output --partial 'batch_norm: not offered'
}

@test "make check-gpu without a device: says loudly that nothing was tested, and fails under REQUIRE_GPU=1" {
	export BUILD=$DEVICE EMULATION_DEVICES=0
	run -0 "$ROOT/test/run-gpu"
	assert_output --partial 'check-gpu: NOTHING WAS TESTED: --device cuda: no CUDA device'
	REQUIRE_GPU=1 run -1 "$ROOT/test/run-gpu"
	assert_output --partial 'REQUIRE_GPU'
}

# small: a stream of 60 molecules with labels and splits, for training.
small() {
	head -61 "$ROOT/examples/wellknown.csv" | mol2graph --labels acid,base,cns --scaffold |
		molsplit --by random > "$BATS_TEST_TMPDIR/small.mts"
}

# losses LOG: loss and norm of the gradient, a line a step.
losses() {
	jq -r 'select(has("norm")) | "\(.loss) \(.norm)"' "$1"
}

# alike A B FIRST REST: numbers line by line within a relative error of FIRST on the first line, of REST on the others.
alike() {
	paste -d ' ' "$1" "$2" | awk -v first="$3" -v rest="$4" '
		{
			tol = NR == 1 ? first : rest
			for (i = 1; i <= NF / 2; i++) {
				d = $i - $(i + NF / 2); d = d < 0 ? -d : d; size = $i < 0 ? -$i : $i
				if (!(d <= tol * (size + 1e-30))) { print "line " NR ": " $i " and " $(i + NF / 2); bad = 1 }
			}
		}
		END { exit bad || !NR }'
}

@test "golden cases on the device, in three orders of its threads" {
	need_shared oracle/nn/golden
	local order files
	mapfile -t files < <(find "$SHARED/oracle/nn/golden" -name '*.zst' |
		grep -vE '/(conv|res|maxpool|comenet|schnet|mmsa)[^/]*$' | sort)
	[ "${#files[@]}" -ge 60 ]
	for order in ascending descending permuted; do
		EMULATION_ORDER=$order run -0 "$DEVICE/test/golden" --device cuda "${files[@]}"
		refute_output --partial "not ok"
		assert_output --partial "gin_net_hu"
	done
}

@test "training on the device: the CPU's losses; the bytes do not depend on the order of its threads" {
	local order
	small
	cd "$BATS_TEST_TMPDIR"
	local how=(--task pretrain --preset tiny --views 2d --gnn gin --epochs 2 --batch 16 --lr 1e-4 --seed 1)
	"$DEVICE/bin/train" "${how[@]}" --log cpu.log -o cpu.mts small.mts
	for order in ascending descending permuted; do
		EMULATION_ORDER=$order "$DEVICE/bin/train" --device cuda "${how[@]}" --log "$order.log" -o "$order.mts" small.mts
		losses cpu.log > cpu.txt
		losses "$order.log" > cuda.txt
		[ "$(wc -l < cuda.txt)" -ge 6 ]
		alike cpu.txt cuda.txt 1e-6 1e-3
		cmp ascending.mts "$order.mts"
	done
	run -0 tscat --history ascending.mts
	assert_output --partial 'cuBLAS 0 on emulation'
}

@test "mutant: a device that forgets a barrier trains to other losses" {
	small
	cd "$BATS_TEST_TMPDIR"
	local how=(--task pretrain --preset tiny --views 2d --epochs 1 --batch 16 --lr 1e-4)
	"$DEVICE/bin/train" "${how[@]}" --log cpu.log -o cpu.mts small.mts
	EMULATION_SKIP=0 EMULATION_ORDER=descending run "$DEVICE/bin/train" --device cuda "${how[@]}" --log cuda.log \
		-o cuda.mts small.mts
	losses cpu.log > cpu.txt
	losses cuda.log > cuda.txt
	run ! alike cpu.txt cuda.txt 1e-6 1e-3
}

@test "fine-tuning, embeddings and predictions on the device; a row's bytes do not depend on its block" {
	small
	cd "$BATS_TEST_TMPDIR"
	"$DEVICE/bin/train" --quiet --device cuda --task finetune --preset tiny --views 2d --epochs 1 -o m.mts small.mts
	"$DEVICE/bin/predict" -m m.mts small.mts | cut -f 4-6 | tail -n +2 > cpu.txt
	"$DEVICE/bin/predict" --device cuda -m m.mts small.mts | cut -f 4-6 | tail -n +2 > cuda.txt
	[ "$(wc -l < cuda.txt)" = 60 ]
	alike cpu.txt cuda.txt 1e-5 1e-5
	"$DEVICE/bin/encode" --device cuda -m m.mts small.mts | tscat --tsv id,emb_h2d > 16.txt
	"$DEVICE/bin/encode" --device cuda -m m.mts --batch 1 small.mts | tscat --tsv id,emb_h2d > 1.txt
	cmp 16.txt 1.txt
}

@test "an operation that the device lacks is named when the model is built; auto goes to the CPU then" {
	small
	cd "$BATS_TEST_TMPDIR"
	conf3d --quiet --method dg --keep-failed small.mts > 3d.mts || [ $? = 3 ]
	local how=(--quiet --task pretrain --preset tiny --views "2d,3d" --epochs 1)
	run -2 "$DEVICE/bin/train" --device cuda "${how[@]}" -o cuda.mts 3d.mts
	assert_output 'train: device cuda has no operation filter_sum, which --views 3d needs: --device cpu'
	[ ! -e cuda.mts ]
	"$DEVICE/bin/train" --device auto "${how[@]}" -o auto.mts 3d.mts
	"$DEVICE/bin/train" "${how[@]}" -o cpu.mts 3d.mts
	cmp auto.mts cpu.mts
}

# Number and name of every operation of the table, in its order; those that come with another one left out.
operations() {
	awk '/[(][*]affine[)]/ { on = 1 } on' "$ROOT/kernels/kernels.h" | sed -nE 's/^\t(void|double) [(][*]([a-z_]+)[)].*/\2/p' |
		awk '{ print NR - 1, $1 }' | grep -vE '_back$| table_slope$| norm_join$'
}

@test "without any one operation: no model is built, or the plain paths compute the same" {
	need_shared oracle/nn/golden
	local cases=() name number last n_refused=0 n_plain=0
	for name in mmsa_step gin_net_hu gcn_net_ogb sage_net_ogb gat_net_ogb schnet_net resnet10_32 infonce_pair knn memory_shrink \
		hyper_sym_soft bce_masked; do
		cases+=("$SHARED/oracle/nn/golden/$name.msgpack.zst")
	done
	while read -r number name; do
		[ "$name" != csr_max ] || continue # of no model, but of a layer
		run "$BUILD/test/golden" --without "$number" "${cases[@]}"
		[ "$status" = 0 ] || fail "without $name: $output"
		case $output in
		*'no model without'*) n_refused=$((n_refused + 1)) ;;
		*) n_plain=$((n_plain + 1)) ;;
		esac
		last=$number
	done < <(operations)
	run -3 "$BUILD/test/golden" --without $((last + 20))
	[ "$n_refused" -gt 40 ]
	[ "$n_plain" -ge 3 ]
}

@test "a device that fails in the middle, or has no more memory, ends the run with its message, and no model is written" {
	small
	cd "$BATS_TEST_TMPDIR"
	local n
	for n in 1 300 1500; do
		EMULATION_FAIL=$n run -1 "$DEVICE/bin/train" --quiet --device cuda --task pretrain --preset tiny --views 2d --epochs 2 \
			-o no.mts small.mts
		assert_output --partial 'the CUDA device: unspecified launch failure'
		[ ! -e no.mts ]
	done
	for n in 100000 3000000; do
		EMULATION_MEMORY=$n run -1 "$DEVICE/bin/train" --quiet --device cuda --task pretrain --preset tiny --views 2d --epochs 2 \
			-o no.mts small.mts
		assert_output 'train: the CUDA device: out of memory'
		[ ! -e no.mts ]
	done
	"$DEVICE/bin/train" --quiet --task finetune --preset tiny --views 2d --epochs 1 -o m.mts small.mts
	EMULATION_FAIL=50 run -1 "$DEVICE/bin/encode" --device cuda -m m.mts -o no.mts small.mts
	assert_output --partial 'the CUDA device: unspecified launch failure'
	[ ! -e no.mts ]
}

@test "no device: --device cuda fails and says so, auto is the CPU" {
	local program
	small
	cd "$BATS_TEST_TMPDIR"
	export EMULATION_DEVICES=0
	"$DEVICE/bin/train" --quiet --task finetune --preset tiny --views 2d --epochs 1 -o m.mts small.mts
	run -1 "$DEVICE/bin/train" --device cuda --task finetune --preset tiny -o no.mts small.mts
	assert_output 'train: --device cuda: no CUDA device (CUDA driver version is insufficient for CUDA runtime version)'
	[ ! -e no.mts ]
	for program in encode predict; do
		run -1 "$DEVICE/bin/$program" --device cuda -m m.mts small.mts
		assert_output "$program: --device cuda: no CUDA device (CUDA driver version is insufficient for CUDA runtime version)"
		"$DEVICE/bin/$program" --device auto -m m.mts small.mts > auto
		"$DEVICE/bin/$program" -m m.mts small.mts > cpu
		cmp auto cpu
	done
}

@test "no plug-in, one that is none, one of another build" {
	small
	cd "$BATS_TEST_TMPDIR"
	mkdir -p bin lib/molrill
	cp "$BUILD/bin/train" bin
	local how=(--task finetune --preset tiny --epochs 1 -o no.mts small.mts)
	run -1 bin/train --device cuda "${how[@]}"
	assert_output 'train: --device cuda: built without CUDA (no lib/molrill/cuda.so beside bin)'
	bin/train --quiet --device auto --task finetune --preset tiny --epochs 1 -o auto.mts small.mts
	printf 'no library' > lib/molrill/cuda.so
	run -1 bin/train --device cuda "${how[@]}"
	assert_output --partial 'train: --device cuda: '
	cp "$BUILD/test/fault_write.so" lib/molrill/cuda.so
	run -1 bin/train --device cuda "${how[@]}"
	assert_output 'train: --device cuda: lib/molrill/cuda.so is of another build than this program'
}

@test "an installed program finds the plug-in beside its folder, wherever that lies" {
	small
	cd "$BATS_TEST_TMPDIR"
	DESTDIR=$PWD/to PREFIX=/opt/m PROGRAM_PREFIX=mr- "$ROOT/tools/install.sh" "$DEVICE/bin" train
	mv to elsewhere
	elsewhere/opt/m/bin/mr-train --quiet --device cuda --task finetune --preset tiny --views 2d --epochs 1 -o m.mts small.mts
	run -0 tscat --history m.mts
	assert_output --partial emulation
}

@test "programs need no library of CUDA to start" {
	local program
	for program in train encode predict; do
		run -0 ldd "$BUILD/bin/$program"
		refute_output --partial cuda
		refute_output --partial cublas
	done
}

@test "the plug-in that nvcc made opens, and counts devices without falling" {
	[ -e "$BUILD/lib/molrill/cuda.so" ] || skip "built without CUDA"
	small
	cd "$BATS_TEST_TMPDIR"
	run "$BUILD/bin/train" --quiet --device cuda --task finetune --preset tiny --views 2d --epochs 1 -o m.mts small.mts
	[ "$status" = 0 ] || assert_output --partial 'train: --device cuda: no CUDA device ('
	[ "$status" -le 1 ]
}
