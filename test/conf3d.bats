#!/usr/bin/env bats
# conf3d: fields, the gate on real molecules, coordinates of the input, equal bytes.

setup() {
	load lib
	cd "$BATS_TEST_TMPDIR"
	cat > read.py <<- 'PY'
		import zstandard, msgpack, msgpack_numpy
		import numpy as np
		def stream(path):
		    f = zstandard.ZstdDecompressor().stream_reader(open(path, 'rb'), read_across_frames=True)
		    maps = list(msgpack.Unpacker(f, object_hook=msgpack_numpy.decode, max_buffer_size=1 << 26))
		    return maps[0], maps[1:-1], maps[-1]
		def gap(p):
		    return np.linalg.norm(p[:, None] - p[None], axis=-1)
	PY
	export PYTHONPATH=$PWD
	printf 'CCO ethanol\nF/C=C/F trans\nF/C=C\\F cis\nC[C@H](N)C(=O)O alanine\n' > a.smi
}

@test "pos and z: types, shapes, order, sizes that a ruler would show" {
	conf3d --ff uff a.smi > ff
	conf3d --method dg a.smi > dg
	run -0 /usr/bin/python3 - <<- 'PY'
		from read import *
		for name in 'ff', 'dg':
		    head, recs, end = stream(name)
		    assert ('energy' in head['fields']) == (name == 'ff')
		    assert [list(r['z']) for r in recs] == [[6, 6, 8], [9, 6, 6, 9], [9, 6, 6, 9], [6, 6, 7, 6, 8, 8]]
		    for r in recs:
		        assert r['pos'].dtype == np.float32 and r['pos'].shape == (len(r['z']), 3) and np.isfinite(r['pos']).all()
		        assert ('energy' in r) == (name == 'ff') and 'pos_all' not in r
		    d = [gap(r['pos']) for r in recs]
		    assert abs(d[0][0, 1] - 1.52) < 0.04 and abs(d[0][1, 2] - 1.42) < 0.04, d[0]
		    assert d[1][0, 3] > 3.3 and d[2][0, 3] < 3.0
	PY
}

@test "-n: conformers sorted by energy; --terms add up; --rmsd leaves fewer; --hydrogens sit on their atoms" {
	echo 'CCCCCO' > p.smi
	conf3d -n 8 --ff uff --terms --hydrogens p.smi > all
	conf3d -n 8 --ff uff --rmsd 0.7 p.smi > few
	run -0 /usr/bin/python3 - <<- 'PY'
		from read import *
		r, few = stream('all')[1][0], stream('few')[1][0]
		assert r['pos_all'].shape == (8, 6, 3) and (r['pos_all'][0] == r['pos']).all()
		assert r['energy'].dtype == np.float64 and list(r['energy']) == sorted(r['energy']) and r['ff'] == 'uff'
		assert r['energy_terms'].shape == (8, 7) and np.allclose(r['energy_terms'].sum(1), r['energy'], atol=1e-6)
		assert 1 <= few['pos_all'].shape[0] < 8 and few['energy'][0] == r['energy'][0]
		assert r['pos_h'].shape == (12, 3) and list(np.bincount(r['parent_h'])) == [3, 2, 2, 2, 2, 1]
		d = np.linalg.norm(r['pos_h'] - r['pos'][r['parent_h']], axis=1)
		assert ((d > 0.9) & (d < 1.2)).all(), d
	PY
	run -2 conf3d --method dg --terms p.smi
	run -2 conf3d -n 0 p.smi
}

@test "--rmsd: a group turned onto itself is no new conformer; --window: what lies too high is left out" {
	echo 'CC(C)(C)c1ccc(cc1)C(C)(C)C' > round.smi
	echo 'CCCCCO' > p.smi
	conf3d -n 10 --ff uff --rmsd 0.5 round.smi > round
	conf3d -n 10 --ff uff --window 0.7 p.smi > low
	conf3d -n 10 --ff uff p.smi > all
	run -0 /usr/bin/python3 - <<- 'PY'
		from read import *
		assert stream('round')[1][0]['pos_all'].shape == (2, 14, 3) # both groups to one side or not
		low, every = stream('low')[1][0]['energy'], stream('all')[1][0]['energy']
		assert list(low) == [e for e in every if e <= every[0] + 0.7] and 1 < len(low) < 10, (low, every)
	PY
	run -2 --separate-stderr conf3d --method dg --window 1 p.smi
	assert_equal "$stderr" "conf3d: --window needs a force field, and --method dg has none"
}

@test "a molecule without a conformer is a reject, or with --keep-failed goes on without pos" {
	printf 'CC a\n[Fe]12345678(C1C2C3C4C5C6C7C8)C b\nCCC c\n' > b.smi
	run -3 --separate-stderr conf3d --lenient --method dg --rejects r.tsv -o o b.smi
	run -0 cut -f 2,5 r.tsv
	assert_line --partial "embed-failed"
	run -0 --separate-stderr conf3d --lenient --method dg --keep-failed --rejects r.tsv -o k b.smi
	run -0 /usr/bin/python3 - <<- 'PY'
		from read import *
		head, recs, end = stream('o')
		assert [r['id'] for r in recs] == ['a', 'c'] and end['rejects'] == 1 and end['rows'] == 3
		head, recs, end = stream('k')
		assert [('pos' in r) for r in recs] == [True, False, True] and end['n'] == 3 and end['warned'] == 1
	PY
}

@test "--ff auto: UFF where the shapes of MMFF94 do not pass the gate, and ff says so" {
	# bonds by MMFF94's rules, which know no order; the last is MMFF94's own
	printf 'O=C=O\n[N-]=[N+]=O\nO=[N+]=O\nCc1c2ccccc2n[c-](C)[n+]1=O\nCCN=C=S\n' > odd.smi
	conf3d odd.smi > auto
	run -0 tscat --tsv ff auto
	assert_output "ff
uff
uff
uff
uff
mmff94"
	run -0 /usr/bin/python3 - <<- 'PY'
		from read import *
		d = [gap(r['pos']) for r in stream('auto')[1]]
		assert abs(d[0][0, 1] - 1.160) < 0.1 and abs(d[1][0, 1] - 1.128) < 0.15 and abs(d[1][1, 2] - 1.184) < 0.15, d[:2] # the rule: 1.40 and more
	PY
	run -3 --separate-stderr conf3d --ff mmff94 --rejects r.tsv -o o odd.smi
	run -0 cut -f 1,5,6 r.tsv
	assert_line "0	bond-length	the bond O1-C2 is 1.40 angstrom long, not 1.17"
	refute_line --regexp '^4'
}

@test "a hand that no bicycle can have is a reject; its mirror image at one bridgehead is none" {
	for c in @,@ @,@@ @@,@ @@,@@; do
		echo "[C@@H]3(c1ccc(Cl)cc1)[C${c%,*}H]2CC[C${c#*,}H](C2)C34CCC(=N4)N5CCOCC5 $c"
	done > bridge.smi
	run -3 --separate-stderr conf3d --rejects r.tsv -o o bridge.smi
	run -0 cut -f 2,5 r.tsv
	assert_output "id	code
@,@@	stereo-wrong
@@,@	stereo-wrong"
}

# residues STRING: SMILES of the peptide, L, of these residues (A F G K S V)
residues() {
	/usr/bin/python3 - "$1" <<- 'PY'
		import sys
		side = {'A': 'C', 'F': 'Cc1ccccc1', 'K': 'CCCCN', 'S': 'CO', 'V': 'C(C)C'}
		print(''.join('NCC(=O)' if c == 'G' else 'N[C@@H](%s)C(=O)' % side[c] for c in sys.argv[1]) + 'O')
	PY
}

@test "peptide of 30 residues, rings of 12 to 40, cages, salts, metals: a conformer or a reason" {
	{
		residues AFGKSVAFGKSVGGAFVVKSSAGFVKAAFS
		for n in 12 18 40; do echo "C1$(printf 'C%.0s' $(seq $((n - 2))))C1"; done
		echo 'C1COCCOCCOCCOCCOCCO1'
		echo 'C12=C3C4=C5C6=C1C7=C8C9=C1C%10=C%11C(=C29)C3=C2C3=C4C4=C5C5=C9C6=C7C6=C7C8=C1C1=C8C%10=C%10C%11=C2C2=C3C3=C4C4=C5C5=C%11C%12=C(C6=C95)C7=C1C1=C%12C5=C%11C4=C3C3=C5C(=C81)C%10=C23'
		echo 'C[Si]12O[Si]3(C)O[Si](C)(O1)O[Si]1(C)O[Si](C)(O2)O[Si](C)(O3)O1'
		echo '[Na+].[Na+].[O-]S(=O)(=O)[O-].O.O.O.Cl.OC(=O)C(O)C(O)C(=O)O'
		echo 'N[Pt](N)(Cl)Cl'
		echo 'C[Hg]Cl'
		echo 'CC1=[O+][Co-4]23(NCC[N+]2(CCCl)CCCl)([O+]=C(C)[C-]1[N+](=O)[O-])[O+]=C(C)[C-]([N+](=O)[O-])C(C)=[O+]3.[O-][Cl+3]([O-])([O-])[O-]'
		echo 'C12C3C4C5C1[Fe]23451678C2C1C6C7C82'
		echo 'CC1C(C)(C)C23CC12C1(OCCO1)C3Br'
		echo 'O1CCN23CCO[Gd]145673OCCN7(CCO4)CCN6(CCO5)CC2'
	} > hard.smi
	run -3 --separate-stderr conf3d --rejects r.tsv -o o hard.smi
	run -0 cut -f 1,5,6 r.tsv
	assert_output "row	code	message
11	embed-failed	no geometry is known for an atom of more than 8 neighbours"
	run -0 /usr/bin/python3 - <<- 'PY'
		from read import *
		for r in stream('o')[1]:
		    d = gap(r['pos']) + 9 * np.eye(len(r['z']))
		    assert np.isfinite(d).all() and d.min() > 1.0, r['id']
	PY
}

@test "--sdf is read again: same coordinates, same energies; a hydrogen upon another (the wrong variant) is refused" {
	conf3d --ff uff --sdf a.sdf a.smi > a
	conf3d --method none --ff uff a.sdf > none
	conf3d --use-input-coordinates --method dg a.sdf > own
	conf3d --method dg a.sdf | conf3d --use-input-coordinates --method dg > later
	run -0 /usr/bin/python3 - <<- 'PY'
		from read import *
		a, none, own, later = (stream(f)[1] for f in ('a', 'none', 'own', 'later'))
		assert len(a) == len(none) == len(own) == len(later) == 4
		for r, s, t, u in zip(a, none, own, later):
		    assert r['id'] == s['id'] and abs(r['energy'][0] - s['energy'][0]) < 0.01, (r['energy'], s['energy'])
		    assert np.allclose(gap(r['pos']).sum(), gap(t['pos']).sum(), atol=0.01) and (t['pos'] == u['pos']).all()
	PY
	awk 'FNR == 8 { at = substr($0, 1, 30) } FNR == 9 { $0 = at substr($0, 31) } { print }' a.sdf > bad.sdf
	run -3 --separate-stderr conf3d --use-input-coordinates --method dg --limit 1 --rejects r.tsv -o o bad.sdf
	run -0 grep -c clash r.tsv
	run -3 --separate-stderr conf3d --use-input-coordinates --method dg --rejects r.tsv -o o a.smi
	run -0 grep -c no-coordinates r.tsv
	assert_output 4
}

@test "the same bytes for one and two workers and for a shard; another seed, another shape" {
	printf 'CCCCC(CO)c1ccccc1 a\nOCC1CCCCC1 b\nCCOC(=O)CCNC c\n[Na+].CC(=O)[O-] d\n' > d.smi
	conf3d -j 1 --method dg --sdf 1.sdf d.smi > 1
	conf3d -j 2 --method dg --sdf 2.sdf d.smi > 2
	conf3d --method dg --seed 9 d.smi > 9
	conf3d --method dg --shard 1/2 d.smi > part
	cmp 1 2
	cmp 1.sdf 2.sdf
	run -0 /usr/bin/python3 - <<- 'PY'
		from read import *
		one, nine, part = (stream(f)[1] for f in ('1', '9', 'part'))
		assert all((p['pos'] == one[p['row']]['pos']).all() for p in part) and len(part) == 2
		assert (one[0]['pos'] != nine[0]['pos']).any()
	PY
}

@test "150 molecules from crystals: a conformer each, through distance geometry and through a force field" {
	need_shared data/reference3d/cod_crystal.sdf.gz
	f=$SHARED/data/reference3d/cod_crystal.sdf.gz
	conf3d --method dg --limit 150 -j 2 -o dg "$f"
	conf3d --ff uff --limit 150 -j 2 -o ff "$f"
	run -0 /usr/bin/python3 - <<- 'PY'
		from read import *
		for name in 'dg', 'ff':
		    head, recs, end = stream(name)
		    assert end['n'] == 150 and end['rejects'] == 0, end
		    for r in recs:
		        d = gap(r['pos']) + 9 * np.eye(len(r['z']))
		        assert d.min() > 1.0, r['id']
	PY
}

@test "--method none: hydrogens follow the file's bonds, though another atom lies nearer" {
	# two waters upon each other: a hydrogen of the first is 0.3 A from the second's oxygen
	{
		printf 'waters\n\n\n  6  4  0  0  0  0            999 V2000\n'
		printf '%10.4f%10.4f%10.4f %-3s 0  0\n' 0 0 0 O 0.96 0 0 H -0.24 0.93 0 H 1.2 0 0 O 2.16 0 0 H 0.96 0.93 0 H
		printf '  1  2  1  0\n  1  3  1  0\n  4  5  1  0\n  4  6  1  0\nM  END\n$$$$\n'
	} > waters.sdf
	conf3d --method none --ff mmff94 --terms waters.sdf > o
	run -0 bash -c "tscat --tsv energy,energy_terms o | tail -n 1"
	# RDKit 2026.09's total; both molecules are good waters, all else is between them
	/usr/bin/python3 - "$output" <<-'PY'
	import sys
	total, stretch, bend = [float(x) for x in sys.argv[1].replace(",", "\t").split("\t")][:3]
	sys.exit(not (abs(total - 67559.70) < 0.2 and abs(stretch) < 0.5 and abs(bend) < 0.5))
	PY
	run -3 bash -c "sed 's/    0.0000    0.0000    0.0000 O/       nan    0.0000    0.0000 O/' waters.sdf | conf3d --method none --ff uff 2>&1 > o"
	assert_line --partial "a coordinate of the input is not a finite number"
}
