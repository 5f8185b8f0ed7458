# The table of CUDA devices, its own text over an emulated device (test/emulation.h): every operation against the
# reference in three orders of the device's threads, mutants, the golden cases, training; and what happens without one.
load lib

DEVICE="${BUILD:-$ROOT/build}/emulated"

@test "the emulated device runs kernels that are right, and finds the faults that it is there for" {
	run -0 "$DEVICE/test/emulation"
	refute_output --partial "not ok"
}

@test "operations of the device as the reference: entries and rows" {
	run -0 "$DEVICE/test/kernels_rows" cuda
	refute_output --partial "not ok"
	assert_output --partial "mutant: without the barrier at cuda_rows.cu"
}

@test "operations of the device as the reference: graphs and norms" {
	run -0 "$DEVICE/test/kernels_graph" cuda
	refute_output --partial "not ok"
	refute_output --partial "# csr_sum: not offered"
}
