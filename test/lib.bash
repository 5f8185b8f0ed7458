# What every bats file loads: `load lib`.
bats_require_minimum_version 1.5.0
load /usr/lib/bats/bats-support/load
load /usr/lib/bats/bats-assert/load

ROOT=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
SHARED=${SHARED:-$ROOT/../shared}
BUILD=${BUILD:-$ROOT/build}
export ROOT SHARED BUILD
export PATH="$BUILD/bin:$PATH"
export LC_ALL=C

# need_shared FILE ...: the test needs these files of $SHARED; without them it is skipped, or fails under REQUIRE_SHARED=1.
need_shared() {
	local f
	for f; do
		if [ ! -e "$SHARED/$f" ]; then
			[ -z "${REQUIRE_SHARED:-}" ] || fail "needs $SHARED/$f (REQUIRE_SHARED is set)"
			skip "needs \$SHARED/$f"
		fi
	done
}
