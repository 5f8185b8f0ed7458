#!/usr/bin/env bats
# What all programs promise; contract.bash says how each is run on a tiny input.

setup_file() {
	load lib
	export BUILD=${BUILD:-$ROOT/build} INPUTS=$BATS_FILE_TMPDIR/inputs
	# Sanitizers want to come first, the injector of faults must.
	export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}:verify_asan_link_order=0
	bash "$BATS_TEST_DIRNAME/contract.bash" inputs
}
setup() {
	load lib
}

# each CHECK: runs it on every program; names those that fail.
each() {
	local p failed=
	for p in "$BUILD"/bin/*; do
		p=$(basename "$p")
		bash "$BATS_TEST_DIRNAME/contract.bash" "$1" "$p" > "$BATS_TEST_TMPDIR/log" 2>&1 || {
			failed+=" $p"
			sed "s/^/$p: /" "$BATS_TEST_TMPDIR/log"
		}
	done
	[ -z "$failed" ]
}

@test "-h lists every option; a full device is noticed" { each help; }
@test "-V says version and build" { each version; }
@test "misuse: exit 2, the nearest name" { each misuse; }
@test "a file that is not there: exit 1, its name" { each missing_file; }
@test "empty input: exit 1 with a message" { each empty; }
@test "input cut at ten places: exit 1, no end map" { each cut; }
@test "a stream of another schema: exit 1" { each schema; }
@test "full device: exit 1 with a message" { each full_device; }
@test "a failing n-th write: exit 1, no file" { each nth_write; }
@test "a reader that closes early: silence and 141" { each reader_leaves; }
@test "binary output to a terminal is refused" { each terminal; }
@test "SIGTERM in the midst of reading: 143, no end map" { each signal; }
@test "a bad molecule in the middle, with and without --strict" { each bad_molecule; }
@test "the page documents the options that there are, and no other" { each manual; }
@test "the same bytes twice, for one worker and two, to a file and to a pipe" { each same_bytes; }

@test "a program that breaks every promise is caught by each check" {
	local sham=$BATS_TEST_TMPDIR/sham check missed=
	mkdir -p "$sham/bin" "$sham/test"
	cp "$BUILD/test/fault_write.so" "$sham/test/"
	ln -s "$BUILD/bin/tscat" "$sham/bin/tscat"
	printf '#!/bin/bash\ncat "$INPUTS/tiny.mts" /dev/urandom 2>/dev/null | head -c 2000\nexit 0\n' > "$sham/bin/mol2graph"
	chmod +x "$sham/bin/mol2graph"
	for check in help version misuse missing_file empty cut schema full_device nth_write reader_leaves terminal signal bad_molecule manual \
		same_bytes; do
		run env BUILD="$sham" bash "$BATS_TEST_DIRNAME/contract.bash" "$check" mol2graph
		[ "$status" != 0 ] || missed+=" $check"
	done
	assert_equal "$missed" ""
}
