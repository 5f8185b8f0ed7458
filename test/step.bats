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

# calls_a_step FILE N: of the last N steps, how many called for memory how often, by the lines of fault_alloc.so (one for
# the step, one for the look at the clock between two).
calls_a_step() {
	tail -n $((2 * $2 - 1)) "$1" | awk 'NR % 2' | sort -n | uniq -c | awk '{ print $2 "x" $1 }' | tr '\n' ' '
}

@test "a step asks for no memory once it has run a few times: what it needs is there" {
	[ -z "${SAN:-}" ] || skip "sanitizers have their own malloc"
	local how n
	for n in {1..48}; do echo "CC(=O)Oc1ccccc1C(=O)O m$n"; done |
		mol2graph --scaffold | conf3d --quiet --method dg | mol2img --size 48 > same.mts
	for how in "--preset tiny" "--preset tiny --geom schnet --gnn gat --fuse attention --contrast ebm" \
		"--preset tiny --plain --anchor-momentum 0.9 --memory-shrink 0.01 --hyper-by view --hyper-soft" "--preset cpu"; do
		# shellcheck disable=SC2086
		ALLOC_LOG=$PWD/calls LD_PRELOAD=$BUILD/test/fault_alloc.so train --quiet --task pretrain --batch 8 \
			--sinkhorn-queue 16 --epochs 4 $how -o m.mts same.mts
		[ "$(head -n 1 calls)" -gt 100 ] # they are counted
		assert_equal "$how: $(calls_a_step calls 12)" "$how: 0x12 "
	done
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
