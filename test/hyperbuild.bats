load lib

setup() {
	cd "$BATS_TEST_TMPDIR"
	maker="${BUILD:-$ROOT/build}/test/ts_maker"
	printf '%s\n' 'row:int	emb_c:f32	scaffold:str' '10	0,0	r' '11	3,4	q' '12	0,1	r' '13	3,4	r' '14	0,-1	q' > table
	"$maker" --fields row,emb_c,scaffold < table > s.mts
}

@test "itself, then by (distance, index)" {
	run -0 bash -c 'hyperbuild -k 3 s.mts | tscat --tsv hyper_index | tail -n +2'
	assert_output "$(printf '10,12,14\n11,13,12\n12,10,14\n13,11,12\n14,10,12')"
	run -0 bash -c 'hyperbuild -k 99 s.mts | tscat --tsv hyper_weight | sed -n 2p'
	assert_output '1,1,1,1,1'
}

@test "the reference's neighbours and soft incidence" {
	need_shared oracle/nn/golden/knn.msgpack.zst oracle/nn/golden/hyper_row_soft.msgpack.zst
	cat > case.py <<'EOF'
import msgpack, msgpack_numpy, zstandard, os, sys
def case(name):
    raw = open(os.environ['SHARED'] + '/oracle/nn/golden/' + name + '.msgpack.zst', 'rb').read()
    return msgpack.unpackb(zstandard.ZstdDecompressor().decompress(raw), object_hook=msgpack_numpy.decode, strict_map_key=False)
EOF
	cat > table.py <<'EOF'
import sys
from case import case
m = case(sys.argv[1])
x = m['inputs']['x'] if 'x' in m['inputs'] else m['inputs']['c']
print('row:int\temb_c:f32')
for i, r in enumerate(x):
    print('%d\t%s' % (i, ','.join(repr(float(v)) for v in r)))
EOF
	cat > check.py <<'EOF'
import sys, json
import numpy as np
from case import case
m = case(sys.argv[1])
recs = [json.loads(l) for l in sys.stdin]
recs = [r for r in recs if 'hyper_index' in r]
shift = int(sys.argv[2])
if sys.argv[1] == 'knn':
    idx = np.array(m['outputs']['idx'])
    got = np.array([r['hyper_index'] for r in recs]) + shift
    assert (got == idx).all(), (got, idx)
else:
    h = m['outputs']['H']
    got = np.zeros_like(h)
    for j, r in enumerate(recs):
        for i, w in zip(r['hyper_index'], r['hyper_weight']):
            got[(i + shift) % len(h), j] = w
    err = abs(got - h).max() / abs(h).max()
    assert err <= 2e-6, err
print('good')
EOF
	/usr/bin/python3 table.py knn | "$maker" --fields row,emb_c > k.mts
	k=$(/usr/bin/python3 -c "from case import case; print(case('knn')['outputs']['idx'].shape[1])")
	run -0 bash -c "hyperbuild -k $k k.mts | tscat --json | /usr/bin/python3 check.py knn 0"
	assert_output good
	# mutant: shifted indices must be rejected
	run -1 bash -c "hyperbuild -k $k k.mts | tscat --json | /usr/bin/python3 check.py knn 1"
	/usr/bin/python3 table.py hyper_row_soft | "$maker" --fields row,emb_c > h.mts
	k=$(/usr/bin/python3 -c "from case import case; print(case('hyper_row_soft')['config']['k'])")
	run -0 bash -c "hyperbuild --soft -k $k h.mts | tscat --json | /usr/bin/python3 check.py hyper_row_soft 0"
	assert_output good
}

@test "cosine and tanimoto" {
	printf '%s\n' 'row:int	v:f32	fp:u8' '0	1,0	1' '1	5,1	3' '2	0,2	7' '3	-1,0	0' > t
	sed -i 's/	\([0-9]*\)$/	\1,0,0/; 1s/.*/row:int	v:f32	bits:u8/' t
	"$maker" --schema molecule < t > t.mts
	run -0 bash -c 'hyperbuild --by v --metric cosine -k 4 t.mts | tscat --tsv hyper_index | sed -n 2p'
	assert_output '0,1,2,3'
	zeros=$(printf ',0%.0s' {1..255})
	sed "1s/.*/row:int	fp:u8/; 2,\$s/	[^	]*	\(.*\),0,0\$/	\1$zeros/" t | "$maker" --schema molecule > f.mts
	run -0 bash -c 'hyperbuild --by fp -k 3 f.mts | tscat --tsv hyper_index | tail -n +2'
	assert_output "$(printf '0,1,2\n1,2,0\n2,1,0\n3,0,1')"
	run -2 bash -c 'hyperbuild --by fp --metric l2 f.mts > x'
}

@test "tanimoto: neighbours in the order of the reference's similarities" {
	need_shared oracle/chem/ecfp.tsv.gz
	cat > order.py <<'EOF'
import csv, gzip, os, subprocess, sys
backwards = sys.argv[1] == '1'
groups = {}
for row in csv.DictReader(gzip.open(os.environ['SHARED'] + '/oracle/chem/ecfp.tsv.gz', 'rt'), delimiter='\t'):
    groups.setdefault(row['smiles1'], {})[row['smiles2']] = float(row['tanimoto'])
groups = [(a, b) for a, b in groups.items() if len(b) >= 5 and a not in b][:12]
n = 0
for first, others in groups:
    smiles = [first] + sorted(others)
    out = subprocess.run('mol2graph --fp - | hyperbuild --by fp -k 9 | tscat --tsv hyper_index', shell=True, check=True, text=True,
                         input='\n'.join(smiles) + '\n', capture_output=True).stdout
    near = [int(i) for i in out.splitlines()[1].split(',')]
    likeness = [others[smiles[i]] for i in near[1:]]
    assert near[0] == 0 and likeness == sorted(likeness, reverse=not backwards), (first, likeness)
    assert min(likeness) >= sorted(others.values())[-len(likeness)], first
    n += 1
print(n, 'groups')
EOF
	run -0 /usr/bin/python3 order.py 0
	assert_output '12 groups'
	# mutant: the farthest first
	run -1 /usr/bin/python3 order.py 1
}

@test "--by scaffold: itself and others of its scaffold" {
	run -0 bash -c 'hyperbuild --by scaffold -k 2 s.mts | tscat --tsv hyper_index | tail -n +2 | tr "\n" " "'
	assert_output '10,12 11,14 12,10 13,10 14,11 '
}

@test "--window looks among records in a row and keeps nothing longer" {
	run -0 bash -c 'hyperbuild -k 2 --window 2 s.mts | tscat --tsv hyper_index | tail -n +2 | tr "\n" " "'
	assert_output '10,11 11,10 12,13 13,12 14 '
	run -0 bash -c 'hyperbuild -k 2 --window 2 s.mts | tscat --check'
	assert_line 'counts: n 5, rows 5, rejects 0, filtered 0, warned 0'
}

@test "the header names the digest of the stream that the rows belong to" {
	run -0 bash -c 'tscat --json s.mts | tail -1 | jq -r .digest'
	digest=$output
	run -0 bash -c 'hyperbuild s.mts | tscat --json | head -1 | jq -r .hyper_source'
	assert_output "$digest"
}

@test "same bytes for one and two workers" {
	awk 'BEGIN { srand(1); print "row:int\temb_c:f32"; for (i = 0; i < 500; i++) { s = ""; for (j = 0; j < 16; j++) s = s (j ? "," : "") rand(); print i "\t" s } }' |
		"$maker" --fields row,emb_c > r.mts
	hyperbuild -j 1 --soft r.mts > a
	hyperbuild -j 2 --soft r.mts > b
	cmp a b
}

@test "what is missing or wrong is named" {
	printf 'row:int\n1\n' | "$maker" --schema molecule > t.mts
	run -1 bash -c 'hyperbuild t.mts > x'
	assert_output --partial 'run encode first'
	run -1 bash -c 'hyperbuild --by fp t.mts > x'
	assert_output --partial 'no field fp [256] uint8: run mol2graph --fp first'
	run -1 bash -c 'cat s.mts s.mts | hyperbuild > x'
	assert_output --partial 'row 10 is here twice'
	sed 's/3,4/3,nan/' table | "$maker" --fields row,emb_c > n.mts
	run -1 bash -c 'hyperbuild n.mts > x'
	assert_output --partial 'record 1'
}

@test "--search approx: of few records the exact neighbours; recall is told" {
	hyperbuild -k 3 s.mts | tscat --tsv hyper_index > exact
	hyperbuild -k 3 --search approx --recall 5 s.mts 2> told | tscat --tsv hyper_index > approx
	diff exact approx
	assert_equal "$(cat told)" 'hyperbuild: recall at k = 3: 1.0000'
	run -0 bash -c 'hyperbuild -k 3 --soft --search approx s.mts | tscat --tsv hyper_weight'
	refute_output --partial nan
	run -2 hyperbuild --search near s.mts
	# a row of zeros: at distance 1 from all but itself
	printf '%s\n' 'row:int	emb_c:f32' '0	0,0' '1	1,0' '2	0,0' '3	1,1' | "$maker" --fields row,emb_c > z.mts
	for how in exact approx; do
		hyperbuild -k 3 --soft --metric cosine --search $how z.mts | tscat --tsv hyper_index,hyper_weight > $how
	done
	diff exact approx
}

@test "--search approx: numbers whose squares are none of float's" {
	awk 'BEGIN { srand(1); for (i = 0; i < 200; i++) print rand(), rand(), rand() }' > rows
	for scale in 1 1e30 1e-30; do
		awk -v s=$scale 'BEGIN { print "row:int\temb_c:f32" } { printf "%d\t%.9g,%.9g,%.9g\n", NR, $1 * s, $2 * s, $3 * s }' rows |
			"$maker" --fields row,emb_c | hyperbuild -k 5 --search approx --recall 200 2> told | tscat --tsv hyper_index > near.$scale
		assert_equal "$(cat told)" 'hyperbuild: recall at k = 5: 1.0000'
	done
	diff near.1 near.1e30
	diff near.1 near.1e-30
}

@test "past --mem the search is approximate, and says so in provenance" {
	run -0 bash -c 'hyperbuild -k 3 --mem 1K s.mts -o auto.mts'
	assert_output --partial '5 vectors do not fit into --mem: the search is approximate'
	run -0 bash -c 'tscat auto.mts | grep provenance'
	assert_output --partial '"--search=approx"'
	run -1 hyperbuild -k 3 --mem 1K --search exact s.mts -o exact.mts
	assert_output --partial 'passes --mem (1024 bytes)'
	diff <(tscat auto.mts | tail -n +8) <(hyperbuild -k 3 --search approx s.mts | tscat | tail -n +8)
}

@test "--mem: what does not fit is a failure with advice, and no stream" {
	run -1 bash -c 'hyperbuild -k 3 --mem 100 s.mts -o h.mts'
	assert_output --partial 'passes --mem (100 bytes): raise it, or look among fewer records by --window'
	[ ! -e h.mts ]
	run -0 bash -c 'hyperbuild -k 3 --mem 1K s.mts | tscat --check'
}
