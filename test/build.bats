#!/usr/bin/env bats
# The build remakes what it must and nothing else; the installation is whole.

setup() {
	load lib
	unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL CFLAGS B SAN
}

# A tree of its own: the two lowest layers are enough, and quick.
copy_tree() {
	cd "$BATS_TEST_TMPDIR" || return
	cp -r "$ROOT/Makefile" "$ROOT/libcommon" "$ROOT/kernels" "$ROOT/schemas" .
	mkdir -p tools test
	targets=(build/lib/libutil.a build/lib/libts.a)
	make -s -j2 OPTIM=-O0 "${targets[@]}"
}
# The objects that make would compile now.
compiled() {
	make -n OPTIM=-O0 "${targets[@]}" | grep -oE -- '-o build/obj/[^ ]+' | sed 's|.*/||' | sort
}

@test "a second make does nothing; a flag, a header, a source remake exactly what they must" {
	copy_tree
	run -0 make -q OPTIM=-O0 "${targets[@]}"
	run -1 make -q OPTIM=-O0 CFLAGS=-DOTHER "${targets[@]}"
	make -s -j2 OPTIM=-O0 "${targets[@]}"
	run -0 make -q OPTIM=-O0 KERNEL_CFLAGS=-O1 "${targets[@]}"
	touch libcommon/ts_wire.h
	compiled > got
	grep -l '"ts_wire.h"' libcommon/*.c | sed 's|.*/||; s|c$|o|' | sort > want
	assert [ -s want ]
	run -0 diff want got
	touch libcommon/util.h
	compiled > got
	ls libcommon/util_*.c libcommon/ts_*.c | sed 's|.*/||; s|c$|o|' | sort > want
	run -0 diff want got
	make -s -j2 OPTIM=-O0 "${targets[@]}"
	touch libcommon/nn.h
	run -0 make -q OPTIM=-O0 "${targets[@]}"
	touch schemas/molecule.schema
	run -1 make -q OPTIM=-O0 "${targets[@]}"
	make -s OPTIM=-O0 "${targets[@]}"
	# A source that goes away leaves the archive.
	run -0 ar t build/lib/libutil.a
	assert_line util_rng.o
	rm libcommon/util_rng.c
	make -s OPTIM=-O0 "${targets[@]}"
	run -0 ar t build/lib/libutil.a
	refute_line util_rng.o
}

@test "the wrong variant: without its list of headers, a build misses the change" {
	copy_tree
	find build -name '*.d' -delete
	touch libcommon/ts_wire.h
	run -0 compiled
	assert_output ""
}

@test "help names every target that is meant for people" {
	cd "$ROOT"
	run -0 make -s help
	local t
	for t in all check lint deps install regold demo clean; do
		assert_line --regexp "^  $t +[a-z]"
	done
}

@test "installation under a prefix and with other names" {
	local to=$BATS_TEST_TMPDIR/to p programs
	programs=$(ls "$BUILD/bin")
	# shellcheck disable=SC2086
	DESTDIR=$to PREFIX=/opt/m PROGRAM_PREFIX=mr- "$ROOT/tools/install.sh" "$BUILD/bin" $programs
	for p in $programs; do
		run -0 "$to/opt/m/bin/mr-$p" -V
		assert [ -s "$to/opt/m/share/man/man1/mr-$p.1" ]
		run -0 mandoc -T lint -W warning "$to/opt/m/share/man/man1/mr-$p.1"
		run -0 grep -i "^\.Dt mr-$p 1" "$to/opt/m/share/man/man1/mr-$p.1"
		run -0 bash -c ". '$to/opt/m/share/bash-completion/completions/mr-$p'; COMP_WORDS=(mr-$p --see) COMP_CWORD=1; _molrill_$p; echo \"\${COMPREPLY[@]}\""
		assert_output -- "--seed"
	done
	assert [ -s "$to/opt/m/share/man/man5/tstream.5" ]
	assert [ -s "$to/opt/m/share/doc/molrill/LICENSE" ]
	run -0 find "$to" -path '*/opt/m' -prune -o -type f -print
	assert_output ""
}

@test "without root, missing packages are named" {
	[ "$(id -u)" = 0 ] || skip "needs root, to stop being it"
	mkdir -p "$BATS_TEST_TMPDIR/ci"
	cp "$ROOT/.ci/deps" "$BATS_TEST_TMPDIR/ci/"
	printf 'build no-such-package-here what for\nbuild bash shell\ntest another-such\n' > "$BATS_TEST_TMPDIR/ci/packages"
	chmod -R a+rX "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR"
	cp -r "$BATS_TEST_TMPDIR/ci" "$BATS_RUN_TMPDIR/ci-open"
	run -1 setpriv --reuid=65534 --clear-groups bash "$BATS_RUN_TMPDIR/ci-open/deps" build
	assert_output --partial "apt-get install no-such-package-here"
	refute_output --partial another-such
	refute_output --partial bash
	printf 'build bash shell\n' > "$BATS_RUN_TMPDIR/ci-open/packages"
	run -0 setpriv --reuid=65534 --clear-groups bash "$BATS_RUN_TMPDIR/ci-open/deps" build
	assert_output ""
}
