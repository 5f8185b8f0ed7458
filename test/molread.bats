#!/usr/bin/env bats
# What every program that reads molecules does with its input, by molprobe, which crashes and hangs when told.

setup() {
	load lib
	PATH="${BUILD:-$ROOT/build}/test:$PATH"
	cd "$BATS_TEST_TMPDIR"
	printf 'CCO ethanol\nc1ccccc1 benzene\nCC(=O)O acetic acid\n' > a.smi
}

# fields FILE: id, smiles and atoms of each record
fields() {
	tscat --tsv row,id,smiles,probe "$1" | tail -n +2 | tr '\t' ' '
}
# counts FILE: the end map's n rows rejects filtered warned
counts() {
	tscat --json "$1" | tail -n 1 | /usr/bin/python3 -c '
import json, sys
e = json.load(sys.stdin)
e = e.get("end", e) if isinstance(e.get("end"), dict) else e
print(*(e[k] for k in ("n", "rows", "rejects", "filtered", "warned")))
assert e["rows"] == e["n"] + e["rejects"] + e["filtered"]'
}
expect_ethanol_benzene_acid() {
	run -0 fields "$1"
	assert_output "0 ethanol CCO 3
1 benzene c1ccccc1 6
2 acetic acid CC(=O)O 4"
}

@test "SMILES lines: id is the rest of the line; without it the row" {
	molprobe a.smi > o
	expect_ethanol_benzene_acid o
	printf 'CC\n\n  \nCCC\tx\ty z\n' | molprobe > o
	run -0 fields o
	assert_output "0 0 CC 2
1 x CCC 3"
}

@test "CSV: quotes, commas and line ends within fields, CRLF, byte order mark, no last line end" {
	printf '\xef\xbb\xbfname,"SMILES"\r\n"ethanol",CCO\r\n"benzene","c1ccccc1"\r\n"acetic\n ""acid"", x",CC(=O)O' > a.csv
	molprobe --id name a.csv > o
	tscat --json o | /usr/bin/python3 -c '
import json, sys
ids = [r["id"] for r in map(json.loads, sys.stdin) if "probe" in r]
assert ids == ["ethanol", "benzene", "acetic\n \"acid\", x"], ids'
}

@test "TSV, semicolons, one column, no header line, columns by number" {
	printf 'id\tsmiles\nethanol\tCCO\n' | molprobe > o
	run -0 fields o
	assert_output "0 ethanol CCO 3"
	printf 'ID;canonical_smiles\nethanol;CCO\n' | molprobe > o
	run -0 fields o
	assert_output "0 ethanol CCO 3"
	printf 'smiles\nCCO\n' | molprobe > o
	run -0 fields o
	assert_output "0 0 CCO 3"
	printf '1,ethanol,CCO\n' | molprobe --no-header --smiles 3 --id 2 > o
	run -0 fields o
	assert_output "0 ethanol CCO 3"
	printf 'a|smiles\nx|CCO\n' | molprobe --delim '|' --id a > o
	run -0 fields o
	assert_output "0 x CCO 3"
}

@test "gzip (two members) and zstd (two frames) are looked through; cut ones fail" {
	head -n 1 a.smi | gzip -c > a.gz
	tail -n 2 a.smi | gzip -c >> a.gz
	molprobe a.gz > o
	expect_ethanol_benzene_acid o
	head -n 1 a.smi | zstd -q -c > a.zst
	tail -n 2 a.smi | zstd -q -c >> a.zst
	molprobe < a.zst > o
	expect_ethanol_benzene_acid o
	local f n
	for f in a.gz a.zst; do
		for n in 5 9 20 -1 -5; do
			head -c "$n" $f > cut
			run -1 --separate-stderr molprobe cut
			[ -n "$stderr" ]
		done
	done
}

@test "a column that is not there ends with 2 and names the nearest" {
	printf 'smiles,p_np\nCCO,1\n' > a.csv
	run -2 molprobe --labels p_pn a.csv
	assert_output --partial "'p_np'"
	run -2 molprobe --smiles simles a.csv
	assert_output --partial "'smiles'"
	run -2 molprobe --labels x a.smi
	run -2 molprobe --shard 3/3 a.smi
	run -2 molprobe --delim ab a.csv
}

@test "labels: numbers, missing ones, bad ones; all" {
	printf 'smiles,id,a,b\nCC,m1,1,\nCCC,m2,-0.5e1,NA\nC,m3,yes,1\nCO,m4,nan,1\nN,m5,1e99,1\n' > a.csv
	run -3 molprobe --labels a,b --missing NA --rejects bad.tsv -o o a.csv
	run -0 /usr/bin/python3 - o << 'PY'
import sys, zstandard, msgpack, msgpack_numpy
f = zstandard.ZstdDecompressor().stream_reader(open(sys.argv[1], 'rb'), read_across_frames=True)
u = msgpack.Unpacker(f, object_hook=msgpack_numpy.decode, max_buffer_size=1 << 26)
head = next(u)
print(head['tasks'], head['fields'])
for r in u:
    if 'probe' in r: print(r['id'], r['y'].dtype, r['y'])
PY
	assert_output "['a', 'b'] ['id', 'row', 'smiles', 'y', 'probe']
m1 float32 [ 1. nan]
m2 float32 [-5. nan]"
	run -0 cut -f 1,2,3,5 bad.tsv
	assert_output "row	id	smiles	code
2	m3	C	bad-label
3	m4	CO	bad-label
4	m5	N	bad-label"
	printf 'smiles,id,a,b\nCC,m1,1,2\n' | molprobe --labels all > o
	run -0 tscat --tsv y o
	assert_line "1,2"
}

@test "SDF: title or tag as id, tags as labels, file coordinates and their order" {
	need_shared data/reference3d/cod_crystal.sdf.gz
	zcat "$SHARED/data/reference3d/cod_crystal.sdf.gz" | awk '/^\$\$\$\$/ { n++ } { print } n == 3 { exit }' > c.sdf
	molprobe c.sdf > o
	run -0 /usr/bin/python3 - o c.sdf << 'PY'
import sys, zstandard, msgpack, msgpack_numpy
f = zstandard.ZstdDecompressor().stream_reader(open(sys.argv[1], 'rb'), read_across_frames=True)
recs = [r for r in msgpack.Unpacker(f, object_hook=msgpack_numpy.decode) if 'probe' in r]
blocks = open(sys.argv[2]).read().split('$$$$\n')
symbols = {1: 'H', 6: 'C', 7: 'N', 8: 'O', 9: 'F', 15: 'P', 16: 'S', 17: 'Cl', 35: 'Br', 53: 'I'}
assert len(recs) == 3
for r, b in zip(recs, blocks):
    lines = b.split('\n')
    assert r['id'] == lines[0].strip(), r['id']
    atoms = [l.split() for l in lines[4:4 + int(lines[3][:3])]]
    if 'V3000' in lines[3]:
        begin, end = (lines.index('M  V30 %s ATOM' % w) for w in ('BEGIN', 'END'))
        atoms = [l.split()[4:7] + [l.split()[3]] for l in lines[begin + 1:end]]
    assert r['pos_input'].shape == (len(atoms), 3) and r['z_input'].shape == (len(atoms),)
    for i, a in enumerate(atoms):
        assert [float('%.4f' % v) for v in r['pos_input'][i]] == [float('%.4f' % float(v)) for v in a[:3]], a
        assert symbols[int(r['z_input'][i])] == a[3]
    assert r['smiles']
    assert len(r['atom_map']) == r['probe'] and all(r['z_input'][i] > 1 for i in r['atom_map'])
PY
	sed 's/$/\r/' c.sdf > crlf.sdf
	molprobe crlf.sdf > o2
	run -0 diff <(tscat --tsv id,smiles,pos_input,atom_map o) <(tscat --tsv id,smiles,pos_input,atom_map o2)
}

@test "several files: rows run on, one segment; other labels are refused" {
	printf 'CCC propane\n' > b.smi
	molprobe a.smi b.smi > o
	run -0 fields o
	assert_line "3 propane CCC 3"
	run -0 counts o
	assert_output "4 4 0 0 0"
	[ "$(tscat --json o | grep -c '"tstream"')" = 1 ]
	printf 'smiles,a\nC,1\n' > a.csv
	printf 'smiles,b\nC,1\n' > b.csv
	run -1 molprobe --labels all a.csv b.csv
	molprobe a.smi > s
	run -2 molprobe a.smi s
}

@test "empty input fails; a header line alone is an empty stream" {
	run -1 molprobe /dev/null
	assert_output --partial "empty input"
	printf '\n\n' > blank
	run -1 molprobe blank
	printf 'smiles,a\n' | molprobe --labels a > o
	run -0 counts o
	assert_output "0 0 0 0 0"
	gzip -c < /dev/null > e.gz
	run -1 molprobe e.gz
}

@test "streams: fields kept, bytes of old fields passed on, segment by segment, counts and history chained" {
	molprobe a.smi > s
	mol2graph s > g
	expect_ethanol_benzene_acid g
	cat s s > two
	mol2graph two > g2
	cat g g > want
	cmp g2 want
	mol2graph a.smi | molprobe > p
	run -0 diff <(tscat --tsv row,id,smiles,x,edge_index,probe p) <(tscat --tsv row,id,smiles,x,edge_index,probe g)
	run -0 tscat --history p
	assert_output --partial mol2graph
	assert_output --partial molprobe
	head -c -20 s > cut
	run -1 --separate-stderr molprobe cut
	[ -n "$stderr" ]
}

@test "bad rows: one line each, a row in the rejects file, exit 3, balance" {
	printf 'CCO a\nC( b\nC\0C c\nCC \xff\xfe\nCCC e\n' > bad.smi
	run -3 --separate-stderr molprobe --rejects bad.tsv -o o bad.smi
	[[ "${stderr_lines[0]}" == "molprobe: bad.smi: row 1: id b: syntax"* ]]
	run -0 counts o
	assert_output "2 5 3 0 0"
	run -0 cut -f 1,4,5 bad.tsv
	assert_output "row	stage	code
1	molprobe	syntax
2	molprobe	bytes
3	molprobe	encoding"
	printf 'smiles,a\n"CC,1\nCCC\nC,1\nC"C,1\n"C"C,1\nCN,1\n' > bad.csv
	run -3 molprobe --rejects bad.tsv -o o bad.csv
	run -0 cut -f 1,5 bad.tsv
	assert_output "row	code
0	quote
1	columns
3	syntax
4	quote"
	run -0 counts o
	assert_output "2 6 4 0 0"
}

@test "a quote that never closes costs one row, not those behind it" {
	{ printf 'smiles,name\n"CC,x\n'; for i in $(seq 3000); do echo "CCO,m$i"; done; } > q.csv
	run -3 molprobe --rejects bad.tsv -o o q.csv
	run -0 counts o
	assert_output "3000 3001 1 0 0"
}

@test "a row past the limit is a reject; the next one is read" {
	{ echo 'CC a'; head -c 3000000 /dev/zero | tr '\0' C; echo; echo 'CCC b'; } > long.smi
	run -3 molprobe --rejects bad.tsv -o o long.smi
	run -0 counts o
	assert_output "2 3 1 0 0"
	run -0 cut -f 1,5 bad.tsv
	assert_line "1	too-long"
	{ cat long.smi; } | sed '1i name,smiles' > /dev/null
	{ printf 'smiles,name\nCC,a\n'; head -c 3000000 /dev/zero | tr '\0' C; echo ',x'; echo 'CCC,b'; } > long.csv
	run -3 molprobe -o o long.csv
	run -0 counts o
	assert_output "2 3 1 0 0"
}

@test "--strict stops at the first with 1 and no end map" {
	printf 'CCO a\nC( b\nCCC e\n' > bad.smi
	run -1 --separate-stderr bash -c 'molprobe --strict bad.smi > o'
	run -1 tscat --check o
	run -1 molprobe --strict -o named bad.smi
	[ ! -e named ]
}

@test "--limit and --shard: what is left out is counted; shards merge to the whole" {
	for i in $(seq 100); do printf 'C%s m%s\n' "$(printf 'C%.0s' $(seq $((i % 7))))" $i; done > many.smi
	sed -i '50s/.*/C( bad/' many.smi
	run -3 molprobe -o whole many.smi
	for i in 0 1 2; do molprobe --shard $i/3 -o s$i many.smi || [ $? = 3 ]; done
	tscat --merge s0 s1 s2 > merged
	cmp merged whole
	run -0 counts s1
	assert_output "32 100 1 67 0"
	molprobe --limit 10 -o o many.smi
	run -0 counts o
	assert_output "10 100 0 90 0"
	# a mutant: one shard twice, another missing
	run -1 --separate-stderr bash -c 'tscat --merge s0 s1 s1 > m'
	molprobe whole --shard 1/2 -o o
	run -0 counts o
	assert_output "49 99 0 50 0"
	run -2 molprobe s1 --shard 1/2
}

@test "a SMILES ends at white space, in a table too" {
	printf 'smiles,n\n"CCO spirit",1\n"C\nC",2\n' > spaced.csv
	molprobe -o o spaced.csv
	run -0 fields o
	assert_output "0 0 CCO 3
1 1 C 1"
}

@test "a stream packed once more is named, not read as SMILES" {
	molprobe -o o a.smi
	gzip -k o
	run -1 --separate-stderr molprobe o.gz -o /dev/null
	assert_equal "$stderr" "molprobe: o.gz: packed twice; unpack the outer layer (gunzip, zstd -d)"
}

@test "shards of a stream with gaps, and of stages behind the cut" {
	for i in $(seq 40); do echo "$(printf 'C%.0s' $(seq $((i % 7 + 1)))) m$i"; done | sed '3s/.*/C( bad/;4s/.*/C( bad/;8s/.*/C( bad/' > gaps.smi
	run -3 molprobe -o first gaps.smi
	molprobe -o whole first
	for i in 0 1 2; do
		molprobe --shard $i/3 -o s$i first
		molprobe -o t$i s$i
	done
	tscat --merge s0 s1 s2 | cmp - whole
	ends() { tscat --json "$1" | tail -n 1 | sed 's/,"source.*//'; }
	molprobe -o whole2 whole
	tscat --merge t0 t1 t2 > merged
	run -0 ends merged
	assert_output "$(ends whole2)"
}

@test "a worker that dies costs one molecule" {
	for i in $(seq 40); do echo "CC m$i"; done | sed '11s/m/crash-/;12s/m/crash-/;30s/m/crash-/' > c.smi
	local j
	for j in 1 2 3; do
		run -3 molprobe -j $j --rejects bad.tsv -o o$j c.smi
		run -0 counts o$j
		assert_output "37 40 3 0 0"
		run -0 cut -f 1,2,3,5 bad.tsv
		assert_output "row	id	smiles	code
10	crash-11	CC	crashed
11	crash-12	CC	crashed
29	crash-30	CC	crashed"
	done
	cmp o1 o2
	cmp o1 o3
}

@test "a worker that was taken over and lies costs the molecule that it was at" {
	local n
	{ echo 'CC a'; for n in $(seq 0 18); do echo "CCC lie-$n"; echo "C b$n"; done; } > l.smi
	run -3 timeout 60 molprobe -j 2 --timeout 30 --rejects bad.tsv -o o l.smi
	run -0 counts o
	assert_output "21 39 18 0 0"
	run -0 grep -c "	lie-[0-9]*	CCC	molprobe	crashed	the worker gave no answer that could be read" bad.tsv
	assert_output 18
	run -0 bash -c 'tscat --tsv probe o | grep -c 9' # the last is no lie: it is what the others say that is refused
	assert_output 1
}

@test "a molecule that hangs costs itself" {
	printf 'CC a\nCCC hang-1\nCCCC c\n' > h.smi
	run -3 timeout 20 molprobe --timeout 0.3 --rejects bad.tsv -o o h.smi
	run -0 counts o
	assert_output "2 3 1 0 0"
	run -0 cut -f 1,2,5 bad.tsv
	assert_line "1	hang-1	timeout"
}

@test "a worker killed from outside costs no molecule: what it was at is done again" {
	for i in $(seq 24); do echo "CC sleep-$i"; done > s.smi
	molprobe --rejects bad.tsv -o o s.smi &
	local parent=$! child
	sleep 0.5
	child=$(pgrep -P $parent | head -n 1)
	kill -KILL "$child"
	local rc=0
	wait $parent || rc=$?
	[ $rc = 0 ]
	run -0 counts o
	assert_output "24 24 0 0 0"
}

@test "workers open no file, start no program, reach no network; the rest of the molecules do not suffer" {
	[ -z "${SAN:-}" ] || skip "sanitizer builds have no sandbox"
	printf 'CC a\nCC open-1\nCC exec-1\nCC connect-1\nCC write-1\nCCC b\n' > s.smi
	run -3 molprobe --rejects bad.tsv -o o s.smi
	run -0 cut -f 2,5,6 bad.tsv
	assert_output "id	code	message
open-1	probe	Operation not permitted
exec-1	crashed	the worker died of signal 31 (Bad system call)
connect-1	crashed	the worker died of signal 31 (Bad system call)
write-1	probe	Operation not permitted"
	run -0 fields o
	assert_output "0 a CC 2
5 b CCC 3"
}

# abbreviated Z: a molfile whose last atom, at height Z, stands for a phenyl ring
abbreviated() {
	printf 'styled\n\n\n  3  2  0  0  0  0  0  0  0  0999 V2000\n'
	printf '%10.4f%10.4f%10.4f %-3s 0  0\n' 0 0 0 C 1.5 0 0 C 2.5 1 "$1" 'R#'
	printf '  1  2  1\n  2  3  1\nA    3\nPh\nM  END\n$$$$\n'
}

@test "molfiles: abbreviations are read within the sandbox; in three dimensions their atoms have no place" {
	abbreviated 0 > a.sdf
	abbreviated 0.5 > b.sdf
	molprobe a.sdf > o
	run -0 fields o
	assert_output "0 styled CCc1ccccc1 8"
	run -3 --separate-stderr molprobe b.sdf -o o
	[[ "$stderr" == *"three dimensions"* ]]
}

@test "tables of Open Babel are not taken from the folder that one happens to stand in" {
	abbreviated 0 > a.sdf
	molprobe a.sdf > before
	conf3d --format smi --ff mmff94 -o ff1 a.smi
	printf 'Ph Ph CCCCCCCCC\n' > superatom.txt
	printf 'smi = XXX\n' > plugindefines.txt
	for f in ang bndk bond chg def dfsb oop pbci prop stbn tor vdw; do echo 'no table' > mmff$f.par; done
	molprobe a.sdf > after
	conf3d --format smi --ff mmff94 -o ff2 a.smi
	cmp before after
	cmp ff1 ff2
	# such a table does change the molecule where the user names its folder
	mkdir -p data
	mv superatom.txt data
	BABEL_DATADIR=$PWD/data molprobe a.sdf > named
	run -0 fields named
	assert_output "0 styled CCCCCCCCCCC 11"
}

@test "molfiles: no search for symmetry that does not end" {
	need_shared data/smiles-suites/bad_graphsym-nonconvergent.mol.gz
	run -0 timeout 20 molprobe --timeout 5 --format sdf -o o "$SHARED/data/smiles-suites/bad_graphsym-nonconvergent.mol.gz"
	run -0 counts o
	assert_output "1 1 0 0 0"
}

@test "a failure that is not the molecule's fails the run; a record too large is a reject" {
	printf 'CC a\nCCC fail-1\n' > f.smi
	run -1 --separate-stderr bash -c 'molprobe f.smi > o'
	[[ "$stderr" == *"failed for the test"* ]]
	printf 'CC a\nCCC big-1\nCC b\n' > f.smi
	run -3 molprobe --rejects bad.tsv -o o f.smi
	run -0 cut -f 1,5 bad.tsv
	assert_line "1	too-large"
}

@test "warned records go on, with their row in the rejects file; side bytes arrive in order" {
	printf 'CC a\nCCC warn-1\nCC refuse-1\nC b\n' > w.smi
	run -3 molprobe -j 2 --side side --rejects bad.tsv -o o w.smi
	run -0 counts o
	assert_output "3 4 1 0 1"
	run -0 cut -f 1,2,5 bad.tsv
	assert_output "row	id	code
1	warn-1	probe
2	refuse-1	probe"
	run -0 cat side
	assert_output "0 a
1 warn-1
3 b
good"
	grep -v refuse w.smi > w2.smi
	run -0 molprobe -o o w2.smi
}

@test "same bytes for one, two and three workers" {
	need_shared data/molecules/bbbp.csv.gz
	zcat "$SHARED/data/molecules/bbbp.csv.gz" | head -n 400 > b.csv
	local j
	for j in 1 2 3; do
		molprobe -j $j --smiles smiles --id num --labels p_np --rejects r$j b.csv > o$j || [ $? = 3 ]
	done
	cmp o1 o2
	cmp o1 o3
	cmp r1 r2
}

@test "many rejects: stderr shows the first, the file has all" {
	for i in $(seq 50); do echo "C( m$i"; done > bad.smi
	run -3 --separate-stderr molprobe --rejects bad.tsv -o o bad.smi
	[ "${#stderr_lines[@]}" -lt 25 ]
	[[ "$stderr" == *"30 more"* ]]
	[ "$(wc -l < bad.tsv)" = 51 ]
}
