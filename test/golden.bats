# The golden cases of the arithmetic, in single and in double precision; and a file with one changed value is refused.
load lib

setup() {
	need_shared oracle/nn/golden
	TEST="${BUILD:-$ROOT/build}/test"
}

@test "every case, float32" {
	run -0 "$TEST/golden" "$SHARED"/oracle/nn/golden/*.msgpack.zst
	refute_output --partial "not ok"
}

@test "every case, float32, by the plain paths" {
	run -0 "$TEST/golden" --plain "$SHARED"/oracle/nn/golden/*.msgpack.zst
	refute_output --partial "not ok"
}

@test "every case, float64" {
	run -0 "$TEST/golden_double" "$SHARED"/oracle/nn/golden/*.msgpack.zst
	refute_output --partial "not ok"
}

@test "every case, float64, by the plain paths" {
	run -0 "$TEST/golden_double" --plain "$SHARED"/oracle/nn/golden/*.msgpack.zst
	refute_output --partial "not ok"
}

@test "every case where only the table's operations reach its memory: the model has no hand in it" {
	run -0 "$TEST/golden" --fence "$SHARED"/oracle/nn/golden/*.msgpack.zst
	refute_output --partial "not ok"
	run -0 "$TEST/golden" --fence --plain "$SHARED"/oracle/nn/golden/*.msgpack.zst
	refute_output --partial "not ok"
}

# change PART TENSOR FACTOR CASE: the case with the largest entry of one tensor multiplied; +X: X added to all of them.
change() {
	/usr/bin/python3 - "$1" "$2" "$3" "$SHARED/oracle/nn/golden/$4.msgpack.zst" "$BATS_TEST_TMPDIR/$4.msgpack.zst" <<-'PY'
		import sys, msgpack, msgpack_numpy, numpy, zstandard
		part, name, factor, src, dst = sys.argv[1:]
		raw = zstandard.ZstdDecompressor().decompress(open(src, 'rb').read())
		case = msgpack.unpackb(raw, object_hook=msgpack_numpy.decode, strict_map_key=False)
		x = case[part][name].copy()
		if factor[0] == '+':
		    x += float(factor)
		else:
		    x.flat[numpy.abs(x).argmax()] *= float(factor)
		case[part][name] = x
		packed = msgpack.packb(case, default=msgpack_numpy.encode, use_bin_type=True)
		open(dst, 'wb').write(zstandard.ZstdCompressor(write_checksum=True).compress(packed))
	PY
	echo "$BATS_TEST_TMPDIR/$4.msgpack.zst"
}

@test "the same file written again passes" {
	run -0 "$TEST/golden" "$(change outputs y 1 gin_layer_hu)"
}

@test "a changed output, gradient, input or parameter fails" {
	local f
	for f in "outputs y 1.0001 gin_layer_hu" "grads h 1.0001 gin_layer_hu" "inputs h 1.001 gin_layer_hu" \
		"params gnns.0.mlp.0.weight 1.001 gin_layer_hu" "outputs h3 1.001 gin_net_ogb" \
		"grads conv.weight 1.0001 conv3x3_s2" "outputs loss nan infonce_pair" \
		"outputs after/mm.heads.0.weight 1.0001 mmsa_step" "outputs after/mm.heads.0.weight +5e-6 mmsa_step" \
		"outputs after/cnn.bn1.running_var 1.02 mmsa_step"; do
		# shellcheck disable=SC2086
		run -1 "$TEST/golden" "$(change $f)"
		assert_output --partial "not ok 1"
	done
}

@test "a case that nothing computes, and a file that is no case, fail" {
	printf 'no case' > "$BATS_TEST_TMPDIR/x.msgpack.zst"
	run -1 "$TEST/golden" "$BATS_TEST_TMPDIR/x.msgpack.zst"
	assert_output --partial "not ok 1"
	run -1 "$TEST/golden" "$BATS_TEST_TMPDIR/missing"
	assert_output --partial "not ok 1"
}
