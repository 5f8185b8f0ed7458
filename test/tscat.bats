load lib

setup() {
	cd "$BATS_TEST_TMPDIR"
	maker="${BUILD:-$ROOT/build}/test/ts_maker"
	printf '%s\n' 'id:str	row:int	smiles:str	y:f32	z:i64	pos:f32:3	edge_index:i64:2	edge_attr:i64:3' \
		'a	0	CO	1	6,8	0,0,0,1.4,0,0		' \
		'b	1	C	0	6	1,2,3		' \
		'c	2	N	nan	7	0,0,1		' > table
	"$maker" --tasks t --features ogb --fields id,row,smiles,y,z,pos < table > s.mts
}

@test "-n, --skip, --where and --select choose records and fields" {
	run -0 tscat --tsv id -n 2 s.mts
	assert_output "$(printf 'id\na\nb')"
	run -0 tscat --tsv id,y --skip 1 s.mts
	assert_output "$(printf 'id\ty\nb\t0\nc\tnan')"
	run -0 tscat --select row,id --stream --where 'row >= 1' -o t.mts s.mts
	run -0 tscat --check t.mts
	assert_line 'counts: n 2, rows 3, rejects 0, filtered 1, warned 0'
	run -0 bash -c 'tscat --json t.mts | sed -n 2p'
	assert_output '{"id":"b","row":1}'
}

@test "--where: comparisons, has, and, or, not" {
	while IFS='|' read -r expr want; do
		run -0 tscat --tsv id --where "$expr" s.mts
		assert_output "$(printf 'id\n%s' "$want" | sed '/^$/d' | tr ' ' '\n')"
	done <<'EOF'
row = 1|b
row != 1|a c
row<1|a
row <= 1|a b
row > 1|c
smiles = C|b
smiles = "CO"|a
smiles ~ '^C'|a b
y = 1|a
y[0] = 0|b
y != 1|b c
not has(y)|
has(pos) and (row = 0 or row = 2)|a c
not row = 0 and not row = 2|b
nothing = 1|
not nothing = 1|a b c
z[1] = 8|a
EOF
	for bad in 'row' 'row =' 'row = 1 row' '(row = 1' 'row = "1' "id ~ '('" 'has(' ''; do
		run -2 tscat --where "$bad" s.mts
		assert_output --partial 'expression'
	done
}

@test "--json is JSON with nested tensors, NaN as null" {
	run -0 bash -c 'tscat --json s.mts | jq -c "select(.id==\"c\") | [.y, .pos, .z]"'
	assert_output '[[null],[[0,0,1]],[7]]'
	run -0 bash -c 'tscat --json s.mts | jq -s -c "[.[0].schema, .[-1].n]"'
	assert_output '["molecule",3]'
}

@test "--smiles and --tsv" {
	run -0 tscat --smiles s.mts
	assert_output "$(printf 'CO a\nC b\nN c')"
	run -0 tscat --tsv smiles,pos s.mts
	assert_line --index 1 "$(printf 'CO\t0,0,0,1.4,0,0')"
}

@test "--sdf writes what other programs read" {
	printf '%s\n' 'id:str	row:int	smiles:str	z:i64	pos:f32:3	edge_attr:i64:3	x:i64:9' \
		'm	0	[NH4+].C=O	7,6,8	0,0,0,1,2,3,4,5,6	1,0,0,1,0,0	6,0,0,6,4,0,2,0,0,5,0,1,5,2,0,1,0,0,7,0,1,5,0,0,1,0,0' > t
	"$maker" --features ogb < t > t.mts
	run -0 tscat --sdf t.mts
	assert_line '    0.0000    0.0000    0.0000 N   0  0  0  0  0  0  0  0  0  0  0  0'
	assert_line 'M  CHG  1   1   1'
	assert_line '> <smiles>'
	assert_line '$$$$'
}

@test "--npy: stacked, joined with ptr, index for missing, read by numpy" {
	printf '%s\n' 'id:str	row:int	y:f32	z:i64	pos:f32:3	energy:f64' \
		'a	0	1,2	6,8	0,0,0,1.4,0,0	5' 'bcd	1	3,4	6	1,2,3	' > t
	"$maker" --tasks a,b < t > t.mts
	run -0 tscat --npy out t.mts
	run -0 /usr/bin/python3 - <<'EOF'
import numpy as np
g = lambda n: np.load('out/%s.npy' % n)
assert g('y').tolist() == [[1, 2], [3, 4]] and g('y').dtype == np.float32
assert g('id').tolist() == [b'a', b'bcd'] and g('row').tolist() == [0, 1]
assert g('z').tolist() == [6, 8, 6] and g('z.ptr').tolist() == [0, 2, 3]
assert g('pos').shape == (3, 3) and g('pos.ptr').tolist() == [0, 2, 3]
assert g('energy').tolist() == [[5]] and g('energy.index').tolist() == [0]
print('good')
EOF
	assert_output good
}

@test "--npy joins along an inner side" {
	printf '%s\n' 'row:int	p:f32:3	a:i64:2' '0	1,2,3	1,2,3,4' '1	1,2,3,4,5,6	5,6' > t
	"$maker" --schema molecule < t > t.mts
	run -0 tscat --npy out t.mts
	run -0 /usr/bin/python3 -c "
import numpy as np
assert np.load('out/a.npy').tolist() == [[1,2],[3,4],[5,6]] and np.load('out/a.ptr.npy').tolist() == [0,2,3]; print('good')"
	assert_output good
}

@test "--safetensors: header, offsets and data agree" {
	printf '%s\n' 'name:str	value:f32' 'gnn.weight	1,2,3' 'head.bias	4' > t
	"$maker" --schema model < t > m.mts
	run -0 tscat --safetensors m.safetensors m.mts
	run -0 /usr/bin/python3 - <<'EOF'
import json, struct
b = open('m.safetensors', 'rb').read()
n = struct.unpack('<Q', b[:8])[0]
h = json.loads(b[8:8 + n])
assert n % 8 == 0 and h['gnn.weight'] == {'dtype': 'F32', 'shape': [3], 'data_offsets': [0, 12]}, h
lo, hi = h['head.bias']['data_offsets']
assert struct.unpack('<f', b[8 + n + lo:8 + n + hi]) == (4.0,) and len(b) == 8 + n + 16
print('good')
EOF
	assert_output good
	run -0 tscat --npy out m.mts
	run -0 /usr/bin/python3 -c "import numpy; print(numpy.load('out/gnn.weight.npy'))"
	assert_output '[1. 2. 3.]'
}

@test "--check reads all and fails on any fault" {
	run -0 tscat --check s.mts
	assert_line 'schema: molecule'
	assert_line 'counts: n 3, rows 3, rejects 0, filtered 0, warned 0'
	# mutant: a record that the schema does not allow
	printf '%s\n' 'row:int	z:i64	pos:f32:3' '0	6,6	0,0,0' | "$maker" --schema molecule > bad.mts
	run -1 tscat --check bad.mts
	assert_output --partial 'record 0: field pos is [1,3], not [N,3] (N is 2 by z)'
}

@test "--history names the commands" {
	run -0 bash -c 'tscat --where "row > 0" --stream s.mts | tscat --history'
	assert_line --partial '0  maker'
	assert_line --partial '1  tscat --where=row > 0'
}

# Shard i of n as a program would write it: its rows, and the others counted as filtered.
shard() {
	awk -F'\t' -v i="$1" -v n="$2" 'NR == 1 || $2 % n == i' table > part
	"$maker" --tasks t --features ogb --fields id,row,smiles,y,z,pos --shard "$1/$2" --filtered $((3 - $(wc -l < part) + 1)) < part
}

@test "--merge: the bytes of the run that was never cut, in any order of shards" {
	for n in 2 3; do
		for ((i = 0; i < n; i++)); do shard $i $n > p$i.mts; done
		run -0 bash -c 'tscat --merge $(ls p?.mts | tac) > m.mts'
		cmp m.mts s.mts
		run -0 bash -c 'cat p?.mts | tscat --merge > m.mts'
		cmp m.mts s.mts
	done
}

@test "--merge refuses what does not belong together" {
	shard 0 2 > p0.mts
	shard 1 2 > p1.mts
	shard 1 3 > q1.mts
	run -1 tscat --merge p0.mts
	assert_output --partial 'shard 1/2 is missing'
	run -1 tscat --merge p0.mts p0.mts
	assert_output --partial 'shard 0/2 is here twice'
	run -1 tscat --merge p0.mts q1.mts
	assert_output --partial 'among shards of 2'
	run -1 tscat --merge --mem 10 p0.mts p1.mts
	assert_output --partial 'passes --mem (10 bytes)'
	run -1 tscat --merge s.mts
	assert_output --partial 'is no shard'
	sed -i 's/^b	1/b	3/' table
	shard 0 2 > p0.mts
	"$maker" --tasks t --features ogb --fields id,row,smiles,y,z,pos --shard 1/2 --filtered 2 < <(printf 'id:str\trow:int\nb\t2\n') > p1.mts
	run -1 tscat --merge p0.mts p1.mts
	assert_output --partial 'row 2 does not belong to shard 1/2'
}

@test "a field that the stream does not have is named, with the nearest" {
	run -2 --separate-stderr tscat --tsv row,smils s.mts
	assert_output ''
	assert_equal "$stderr" "tscat: --tsv: the stream has no field 'smils'; the nearest is 'smiles'"
	run -2 tscat --select smils --stream s.mts
}

@test "misuse" {
	run -2 tscat --json --sdf s.mts
	run -2 tscat --nonsense s.mts
	run -1 tscat none.mts
}
