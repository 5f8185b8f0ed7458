# The wire format from outside: Python with msgpack, msgpack_numpy and zstandard alone; cat; cuts; golden text.
load lib

setup() {
	cd "$BATS_TEST_TMPDIR"
	maker="${BUILD:-$ROOT/build}/test/ts_maker"
	printf '%s\n' 'id:str	row:int	smiles:str	y:f32	z:i64	pos:f32:3	fp:u8	energy:f64' \
		'a	0	CO	1,nan	6,8	0,0,0,1.5,0.1,-2	1,2,255	-3.25' \
		'b	1	C	0,0.5	6	1,2,3		' > table
	sed -i 's/	fp:u8//; s/	1,2,255	/	/; s/	1,2,3		$/	1,2,3	/' table
	"$maker" --tasks t1,t2 --features ogb --fields id,row,smiles,y,z,pos,energy --rejects 1 < table > s.mts
}

@test "python reads a stream field by field with msgpack, msgpack_numpy and zstandard alone" {
	cat > read.py <<'EOF'
import sys, io, math, msgpack, msgpack_numpy, numpy as np, zstandard
raw = open(sys.argv[1], 'rb').read()
plain = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True).read()
head, *records, end = msgpack.Unpacker(io.BytesIO(plain), object_hook=msgpack_numpy.decode)
assert head['tstream'] == 1 and head['schema'] == 'molecule' and head['features'] == 'ogb', head
assert head['tasks'] == ['t1', 't2'] and head['fields'] == ['id', 'row', 'smiles', 'y', 'z', 'pos', 'energy']
assert [n['program'] for n in head['provenance']] == ['maker']
a, b = records
assert list(a) == ['id', 'row', 'smiles', 'y', 'z', 'pos', 'energy'], list(a)
assert a['id'] == 'a' and a['row'] == 0 and a['smiles'] == 'CO'
assert a['y'].dtype == np.float32 and a['y'][0] == 1 and math.isnan(a['y'][1])
assert a['z'].dtype == np.int64 and a['z'].tolist() == [6, 8]
assert a['pos'].dtype == np.float32 and a['pos'].shape == (2, 3)
assert np.array_equal(a['pos'], np.array([[0, 0, 0], [1.5, 0.1, -2]], np.float32))
assert a['energy'].dtype == np.float64 and a['energy'].tolist() == [-3.25]
assert b['row'] == 1 and b['pos'].shape == (1, 3) and 'energy' not in b
assert end['end'] is True and end['n'] == 2 and end['rows'] == 3 and end['rejects'] == 1 and end['filtered'] == 0
assert len(end['digest']) == 32 and end['upstream']['rows'] == 0
print('read', len(records))
EOF
	run -0 /usr/bin/python3 read.py s.mts
	assert_output 'read 2'
	# mutant: the same check must reject a stream with another number in it
	sed 's/1.5,0.1/1.5,0.2/' table | "$maker" --tasks t1,t2 --features ogb --fields id,row,smiles,y,z,pos,energy --rejects 1 > m.mts
	run ! /usr/bin/python3 read.py m.mts
}

@test "tensors are maps with bin keys nd, type, kind, shape, data" {
	run -0 /usr/bin/python3 - <<'EOF'
import io, msgpack, zstandard
plain = zstandard.ZstdDecompressor().stream_reader(open('s.mts', 'rb').read(), read_across_frames=True).read()
z = list(msgpack.Unpacker(io.BytesIO(plain), strict_map_key=False))[1]['z']
print(z)
EOF
	assert_output "{b'nd': True, b'type': '<i8', b'kind': b'', b'shape': [2], b'data': b'\\x06\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x08\\x00\\x00\\x00\\x00\\x00\\x00\\x00'}"
}

@test "python re-packs a stream in one frame and we read it; zstd -d shows plain msgpack, which is refused" {
	run -0 /usr/bin/python3 - <<'EOF'
import zstandard
plain = zstandard.ZstdDecompressor().stream_reader(open('s.mts', 'rb').read(), read_across_frames=True).read()
open('p.mts', 'wb').write(zstandard.ZstdCompressor(level=3, write_checksum=True).compress(plain))
open('plain', 'wb').write(plain)
EOF
	tscat --json s.mts > want
	run -0 tscat --json p.mts
	assert_output "$(cat want)"
	run -1 tscat plain
	assert_output --partial 'a tstream without its zstd frames'
}

@test "cat of two streams is a stream of two segments" {
	cat s.mts s.mts > two.mts
	run -0 tscat --tsv id two.mts
	assert_output "$(printf 'id\na\nb\na\nb')"
	run -0 tscat --tsv id s.mts s.mts
	assert_output "$(printf 'id\na\nb\na\nb')"
	{ cat s.mts; head -c 100 s.mts; } > cut.mts
	run -1 tscat --check cut.mts
	assert_output --partial 'stream cut in its header'
}

@test "every cut fails with a message and no end" {
	size=$(stat -c %s s.mts)
	for ((k = 1; k < size; k += 7)); do
		head -c "$k" s.mts > cut.mts
		run -1 tscat --check cut.mts
		assert_output --partial 'stream cut'
	done
	run -1 tscat /dev/null
	assert_output --partial 'empty input'
	run -1 bash -c 'head -c 300 s.mts | tscat --select id --stream > out.mts'
	run -1 tscat --check out.mts
}

@test "bytes after the end map are refused" {
	{ cat s.mts; echo junk; } > j.mts
	run -1 tscat --check j.mts
	assert_output --partial 'bytes that are no stream follow the end map'
}

@test "the text of a stream is as it was" {
	run -0 tscat s.mts
	if [ -n "${REGOLD:-}" ]; then
		printf '%s\n' "$output" > "$ROOT/test/stream.golden"
	fi
	assert_output "$(cat "$ROOT/test/stream.golden")"
}

@test "tstream(5) lists the fields of the schema files" {
	for schema in molecule model; do
		sed -n "/^\.\\\\\" begin $schema\$/,/^\.\\\\\" end/p" "$ROOT/man/tstream.5" | sed '1d;$d' > page
		awk -f "$ROOT/schemas/mdoc.awk" "$ROOT/schemas/$schema.schema" > want
		run -0 diff page want
	done
}

@test "python reads what mol2graph writes: names, dtypes and shapes of PyTorch Geometric" {
	printf 'CCO ethanol\nc1ccccc1 benzene\nN ammonia\n' | mol2graph --fp --scaffold > g.mts
	run -0 /usr/bin/python3 - <<'EOF'
import io, msgpack, msgpack_numpy, numpy as np, zstandard
plain = zstandard.ZstdDecompressor().stream_reader(open('g.mts', 'rb').read(), read_across_frames=True).read()
head, *records, end = msgpack.Unpacker(io.BytesIO(plain), object_hook=msgpack_numpy.decode)
assert end['n'] == len(records) == 3 and head['features'] == 'ogb'
for r, (n, e) in zip(records, [(3, 4), (6, 12), (1, 0)]):
    assert r['x'].dtype == np.int64 and r['x'].shape == (n, 9), r['x'].shape
    assert r['edge_index'].dtype == np.int64 and r['edge_index'].shape == (2, e)
    assert r['edge_attr'].dtype == np.int64 and r['edge_attr'].shape == (e, 3)
    assert r['z'].shape == (n,) and r['fp'].dtype == np.uint8 and r['fp'].shape == (256,)
    pairs = list(map(tuple, r['edge_index'].T))
    assert pairs == sorted(pairs) and set(pairs) == {(b, a) for a, b in pairs}
    assert set(head['fields']) >= set(r)
print([r['scaffold'] for r in records])
EOF
	assert_output "['', 'c1ccccc1', '']"
}

@test "a stage killed in mid-stream makes the last stage fail, without pipefail" {
	printf '%s\n' 'row:int	emb_c:f32' > t
	awk 'BEGIN { for (i = 0; i < 60000; i++) print i "\t" i ",1,2,3,4,5,6,7,8,9" }' >> t
	"$maker" --fields row,emb_c < t > big.mts
	mkfifo half
	run -1 bash -c '
		{ tscat --stream half & echo $! > pid; wait; } 2> /dev/null | tscat --check &
		reader=$!
		{ head -c "$(($(stat -c %s big.mts) * 2 / 3))" big.mts; sleep 0.3; kill -9 "$(cat pid)"; } > half
		wait $reader'
	assert_output --partial 'stream cut'
}
