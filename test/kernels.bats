# The table of operations: each has a test that catches it a thousandth off, in each of its outputs.
load lib

TEST="${BUILD:-$ROOT/build}/test"

@test "every operation of kernels.h, wrong in the first entry of an output, is caught by a test of operations" {
	local name
	cd "$BATS_TEST_TMPDIR"
	for name in rows graph image pairs dense; do
		run -0 "$TEST/kernels_$name" mutants
		refute_output --partial "not ok"
		printf '%s\n' "${lines[@]}" >> caught
	done
	sed -nE 's/^ok .* mutant: ([a-z_]+) with .*/\1/p' caught | sort -u > have
	sed -nE 's/^\t(void|double) [(][*]([a-z_]+)[)][(]const struct kernels [*]k,.*/\2/p' "$ROOT/kernels/kernels.h" | sort -u > want
	[ "$(wc -l < want)" -ge 70 ]
	run -0 diff want have
}

@test "rows of inference do not know of each other on a processor without AVX-512 either" {
	local name
	grep -qw avx2 /proc/cpuinfo || skip "this processor has no AVX2"
	for name in kernels_product nn_cnn; do
		OPENBLAS_CORETYPE=Haswell run -0 "$TEST/$name"
		refute_output --partial "not ok"
	done
}
