#!/usr/bin/env bats
# mol2img: the field it adds, options, files for people, equal bytes.

setup() {
	load lib
	cd "$BATS_TEST_TMPDIR"
	cat > read.py <<- 'PY'
		import zstandard, msgpack, msgpack_numpy
		def stream(path):
		    f = zstandard.ZstdDecompressor().stream_reader(open(path, 'rb'), read_across_frames=True)
		    maps = list(msgpack.Unpacker(f, object_hook=msgpack_numpy.decode, max_buffer_size=1 << 26))
		    return maps[0], maps[1:-1], maps[-1]
	PY
	export PYTHONPATH=$PWD
	printf 'CCO ethanol\nCC(=O)Oc1ccccc1C(=O)O aspirin\nC[C@H](N)C(=O)O alanine\n' > a.smi
}

@test "img is uint8 [224, 224, 3] with white ground and coloured atoms" {
	mol2img -o o a.smi
	run -0 /usr/bin/python3 - <<- 'PY'
		from read import *
		import numpy as np
		head, recs, end = stream('o')
		assert 'img' in head['fields'] and [r['id'] for r in recs] == ['ethanol', 'aspirin', 'alanine']
		for r in recs:
		    i = r['img']
		    assert i.dtype == np.uint8 and i.shape == (224, 224, 3), i.shape
		    ink = (i != 255).any(-1)
		    assert 200 < ink.sum() < 12000 and not ink[0].any() and not ink[:, -1].any()
		    red = (i[..., 0] > 180) & (i[..., 1] < 100) & (i[..., 2] < 100)
		    assert red.sum() > 20, r['id']
		assert ((recs[2]['img'][..., 2] > 180) & (recs[2]['img'][..., 0] < 100)).sum() > 20
		assert end['n'] == 3
	PY
}

@test "--size, --grey, --views: shapes; the first view is upright, the others by seed and row" {
	mol2img --size 96 a.smi > o
	mol2img --size 96 --views 3 a.smi > v
	mol2img --size 96 --views 3 a.smi > again
	mol2img --size 96 --views 3 --seed 2 a.smi > seed
	mol2img --size 96 --views 2 --grey a.smi > g
	cmp v again
	run -0 /usr/bin/python3 - <<- 'PY'
		from read import *
		o, v, s, g = (stream(f)[1] for f in ('o', 'v', 'seed', 'g'))
		for a, b, c, d in zip(o, v, s, g):
		    assert b['img'].shape == (3, 96, 96, 3) and d['img'].shape == (2, 96, 96, 1)
		    assert (b['img'][0] == a['img']).all() and (c['img'][0] == a['img']).all()
		    assert (b['img'][1] != b['img'][0]).any() and (b['img'][1] != c['img'][1]).any()
		    luma = a['img'] @ [77, 150, 29] + 128 >> 8
		    assert (d['img'][0, :, :, 0] == luma).all()
	PY
	run -2 mol2img --size 8 a.smi
	run -2 mol2img --size 1024 --views 64 a.smi
}

@test "a shard's views are those of the whole" {
	mol2img --size 64 --views 2 a.smi > whole
	mol2img --size 64 --views 2 --shard 1/2 a.smi > part
	run -0 /usr/bin/python3 - <<- 'PY'
		from read import *
		w, p = stream('whole')[1], stream('part')[1]
		assert len(p) == 1 and p[0]['row'] == 1 and (p[0]['img'] == w[1]['img']).all()
	PY
}

@test "the same bytes for one and for two workers, files too" {
	for n in 1 2; do
		mol2img -j $n --png p$n --svg s$n --sheet sheet$n.png a.smi > o$n
	done
	cmp o1 o2
	cmp sheet1.png sheet2.png
	run -0 diff -r p1 p2
	run -0 diff -r s1 s2
}

@test "--png: palette pictures that decode to img; safe names, none overwritten" {
	printf 'CCO ../../etc/x\nCCN a b\nCC a_b\nCCC\nCCCC a_b\nC .hidden\n' | mol2img --size 64 --png p > o
	run -0 ls -A p
	assert_output "3.png
_._.._etc_x.png
_hidden.png
a_b-row2.png
a_b-row4.png
a_b.png"
	run -0 /usr/bin/python3 - <<- 'PY'
		import struct, zlib
		from read import *
		d = open('p/a_b.png', 'rb').read()
		at, chunk = 8, {}
		while at < len(d):
		    n, kind = struct.unpack('>I4s', d[at:at + 8])
		    chunk[kind] = chunk.get(kind, b'') + d[at + 8:at + 8 + n]
		    at += n + 12
		assert set(chunk) == {b'IHDR', b'PLTE', b'IDAT', b'IEND'}, chunk.keys()
		w, h, depth, kind = struct.unpack('>IIBB', chunk[b'IHDR'][:10])
		assert (w, h, depth, kind) == (64, 64, 8, 3)
		rows = zlib.decompress(chunk[b'IDAT'])
		img = stream('o')[1][1]['img']
		for y in range(64):
		    assert rows[y * 65] == 0
		    for x in range(64):
		        i = 3 * rows[y * 65 + 1 + x]
		        assert max(abs(a - int(b)) for a, b in zip(chunk[b'PLTE'][i:i + 3], img[y, x])) <= 8
	PY
}

@test "--svg is well-formed and titled by the id" {
	printf 'CCO a<b\n' | mol2img --svg s > o
	run -0 /usr/bin/python3 -c "
import xml.dom.minidom as x
d = x.parse('s/a_b.svg')
assert d.getElementsByTagName('title')[0].firstChild.data == 'a<b'
assert len(d.getElementsByTagName('path')) >= 3"
}

@test "--highlight: a number an atom colours atoms, a number of the molecule tints the sheet" {
	mol2img --size 64 a.smi > plain
	printf 'smiles,id,v\nCCO,a,1\nCCN,b,3\nCCC,c,\n' | mol2img --size 64 --labels v > m
	mol2img --size 64 --highlight y --sheet sheet.png m > o
	mol2img --size 64 --sheet white.png m > o2
	run ! cmp -s sheet.png white.png
	run -0 /usr/bin/python3 - <<- 'PY'
		from read import *
		for a, b in zip(stream('o')[1], stream('o2')[1]):
		    assert (a['img'] == b['img']).all()
	PY
	mol2graph a.smi | mol2img --size 64 --highlight z > z
	run -0 /usr/bin/python3 - <<- 'PY'
		from read import *
		for a, b in zip(stream('plain')[1], stream('z')[1]):
		    assert (a['img'] != b['img']).any()
	PY
	run -1 bash -c 'mol2img --highlight nosuch plain > none'
	assert_output --partial "nosuch"
}

@test "a bad molecule is a reject and leaves no file" {
	printf 'CCO ok\nC( bad\nCC fine\n' > b.smi
	run -3 bash -c 'mol2img --png p --rejects r b.smi > o'
	run -0 ls p
	assert_output "fine.png
ok.png"
	run -0 grep -c syntax r
	run -1 bash -c 'mol2img --strict --sheet s.png b.smi > o'
	[ ! -e s.png ]
}

# quality FILE STEP [BLANK]: molecules, refused ones, and pictures that are blank or touch the edge
quality() {
	zcat "$SHARED/data/molecules/$1" | awk -v n="$2" 'NR == 1 || NR % n == 0' |
		mol2img --smiles smiles --size 96 -j 2 > q 2> err.txt || [ $? = 3 ]
	/usr/bin/python3 - "${3:-}" <<- 'PY'
		import sys
		from read import *
		h, recs, end = stream('q')
		ink = [(r['img'] != 255).any(-1) for r in recs]
		if sys.argv[1]: ink[7][:] = False
		edge = sum(bool(i[0].any() or i[-1].any() or i[:, 0].any() or i[:, -1].any()) for i in ink)
		print(len(recs), end['rejects'], sum(i.sum() < 30 for i in ink), edge)
	PY
}
@test "every HIV molecule that parses has a picture within its frame; a blank one is seen" {
	need_shared data/molecules/hiv.csv.gz
	run -0 quality hiv.csv.gz 60
	read -r n rejects blank edge <<< "$output"
	[ "$n" -gt 600 ]
	[ "$rejects" -lt 10 ]
	[ "$blank" = 0 ]
	[ "$edge" -le $((n / 50)) ]
	run -0 quality hiv.csv.gz 600 blank
	read -r n rejects blank edge <<< "$output"
	[ "$blank" = 1 ]
}
