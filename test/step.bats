# A step of training: it asks for no memory, and stands on an OpenBLAS that multiplies rightly.
load lib

setup_file() {
	load lib
	cd "$BATS_FILE_TMPDIR"
	mol2graph --labels acid,base --scaffold --limit 40 "$ROOT/examples/wellknown.csv" 2> /dev/null | molsplit --by random --seed 2 > set.mts
	conf3d --method dg --keep-failed set.mts 2> /dev/null | mol2img --size 24 > views.mts
}
setup() {
	cd "$BATS_TEST_TMPDIR"
	export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}:verify_asan_link_order=0 # where something is preloaded
	set=$BATS_FILE_TMPDIR/set.mts views=$BATS_FILE_TMPDIR/views.mts
	fine=(train --task finetune --preset tiny --gnn-layers 2 --gnn-width 16 --batch 16)
	pre=(train --task pretrain --preset tiny --gnn-width 64 --img-size 24 --cnn-width 4 --geom-width 16 --code-width 16 --batch 40)
}

# calls_of ARG...: trains by 24 steps a phase with ARG..., and says how many phases there were, and how often the steps
# past the first twelve of each called for memory: by then the queue of codes is full. fault_alloc.so writes a line at the start of the log and of the
# training, one a step and one for the look at the clock between two.
calls_of() {
	ALLOC_LOG=$PWD/calls LD_PRELOAD=$BUILD/test/fault_alloc.so train --quiet --preset tiny --sinkhorn-queue 16 --batch 8 --epochs 4 "$@"
	[ "$(head -n 1 calls)" -gt 100 ] # they are counted
	tail -n +3 calls | awk '(NR - 1) % 47 >= 24 { n += $1 } END { print NR / 47 ", " n }'
}

@test "a step asks for no memory once it has run a few times: what it needs is there, whatever the switches" {
	[ -z "${SAN:-}" ] || skip "sanitizers have their own malloc"
	local n how by soft stages i=0 more=("" "-j 2" "--preset cpu"
		"--geom schnet --gnn gat --fuse attention --contrast ebm"
		"--plain --anchor-momentum 0.9 --memory-shrink 0.01"
		"--views 2d,3d --gnn gcn --fuse concat --contrast mse --memory-sim dot"
		"--views 2d,img --gnn sage --contrast ebm-raw --clip 1 -j 2"
		"--views 3d,img --with-hydrogens --hyper-norm sym --hyper-layers 2 -j 8"
		"--views 2d --mask-loss cosine --dropout 0.2 --hyper-dropout 0.2"
		"--views 3d --geom schnet --with-hydrogens --anchor-init normal"
		"--views img --cnn resnet18 --w-swap 0")
	for n in {1..48}; do echo "CC(=O)Oc1ccccc1C(=O)O,m$n,$((n % 2))"; done | sed '1i smiles,id,a' |
		mol2graph --labels a --fp --scaffold | conf3d --quiet --method dg --hydrogens | mol2img --size 48 > same.mts
	for by in code view fp scaffold; do
		for soft in "" --hyper-soft; do
			for stages in 1 2; do
				how="--hyper-by $by $soft --stages $stages ${more[i++ % ${#more[@]}]}"
				# shellcheck disable=SC2086
				assert_equal "$how: $(calls_of --task pretrain $how -o m.mts same.mts)" "$how: $stages, 0"
			done
		done
	done
	encode -m m.mts --quiet --out c same.mts | hyperbuild --quiet -k 4 > edges.mts
	assert_equal "$(calls_of --task structure -m m.mts -o s.mts edges.mts)" "1, 0"
	assert_equal "$(calls_of --task finetune -m s.mts --use-structure --dropout 0.5 -o f.mts same.mts)" "1, 0"
	assert_equal "$(calls_of --task finetune --use-views 2d,3d,img --class-weights -j 2 -o f.mts same.mts)" "1, 0"
	# the control: a model written after each step
	run -0 calls_of --task finetune --save-every 1 -o f.mts same.mts
	assert_output --regexp '^1, [1-9]'
}

@test "a processor younger than OpenBLAS: its instructions choose the core type, unless OPENBLAS_CORETYPE does" {
	local wide
	grep -qw avx2 /proc/cpuinfo || skip "this processor has no AVX2"
	wide=$(grep -qw avx512vl /proc/cpuinfo && echo SkylakeX || echo Haswell)
	export BLAS_OLD=1 LD_PRELOAD=$BUILD/test/fault_blas.so
	local program
	for program in train encode predict hyperbuild; do
		run -0 "$program" -V
		assert_line --regexp "^OpenBLAS .* $wide\$"
	done
	OPENBLAS_CORETYPE=Prescott run -0 train -V
	assert_line --regexp '^OpenBLAS .* Prescott$'
	"${fine[@]}" --epochs 1 -o young.mts "$set"
	LD_PRELOAD="" OPENBLAS_CORETYPE=$wide "${fine[@]}" --epochs 1 -o a.mts "$set"
	cmp young.mts a.mts
}

@test "an OpenBLAS that multiplies wrongly, be it in one kind of product alone, is refused before anything is trained" {
	local kind
	for kind in any ta tb large beta; do
		BLAS_WRONG=$kind LD_PRELOAD=$BUILD/test/fault_blas.so run -1 "${fine[@]}" --epochs 1 -o no.mts "$set"
		assert_output --regexp '^train: OpenBLAS .* multiplies matrices wrongly on this machine: set OPENBLAS_CORETYPE$'
		[ ! -e no.mts ]
	done
	LD_PRELOAD=$BUILD/test/fault_blas.so "${fine[@]}" --epochs 1 -o a.mts "$set"
	"${fine[@]}" --epochs 1 -o b.mts "$set"
	cmp a.mts b.mts
}

@test "an OpenBLAS that several threads may not call is called by one, whatever -j says: the same bytes" {
	local build
	"${pre[@]}" --epochs 1 -o one.mts "$views"
	for build in 0 2; do # serial, OpenMP
		BLAS_BUILD=$build LD_PRELOAD=$BUILD/test/fault_blas.so "${pre[@]}" --epochs 1 -j 3 -o many.mts "$views"
		cmp one.mts many.mts
	done
	# the mutant of the preloaded library: with threads of its own it is called by them
	BLAS_BUILD=1 LD_PRELOAD=$BUILD/test/fault_blas.so run -97 "${pre[@]}" --epochs 1 -j 3 -o many.mts "$views"
}

@test "hundreds of threads make the bytes of one" {
	"${pre[@]}" --epochs 1 -o one.mts "$views"
	"${pre[@]}" --epochs 1 -j 300 -o many.mts "$views"
	cmp one.mts many.mts
}
