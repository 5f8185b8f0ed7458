#!/usr/bin/env bats
# MMFF94 and MMFF94s against their validation suites: every total and every term of every structure.
load lib

# compare ENERGIES.csv VARIANT TABLE.tsv: names each structure that is off by more than 0.01 kcal/mol; says how many
# there were.
compare() {
	python3 - "$@" <<-'PY'
		import csv, gzip, sys
		names = 'total bond_stretch angle_bend stretch_bend out_of_plane torsion vdw electrostatic'.split()
		energies, variant, table = sys.argv[1:]
		ours = {}
		with open(table) as f:
		    next(f)
		    for line in f:
		        name, energy, terms = line.rstrip('\n').split('\t')
		        ours[name] = [float(energy)] + [float(x) for x in terms.split(',')]
		n = bad = 0
		for row in csv.DictReader(gzip.open(energies, 'rt')):
		    if row['variant'] != variant:
		        continue
		    n += 1
		    got = ours.get(row['name'], [float('nan')] * 8)
		    off = [(k, x - float(row[k] or 0)) for k, x in zip(names, got) if not abs(x - float(row[k] or 0)) <= 0.01]
		    if off:
		        bad += 1
		        print(row['name'], *(f'{k} {d:+.3f}' for k, d in off))
		print(f'{n} structures, {bad} off')
	PY
}

suite() { # VARIANT DRAWING
	need_shared "data/mmff94/energies.csv.gz"
	need_shared "data/mmff94/$1_$2.sdf.gz"
	cd "$BATS_TEST_TMPDIR"
	gzip -dc "$SHARED/data/mmff94/$1_$2.sdf.gz" > suite.sdf
	conf3d -j 2 --method none --ff "${1,,}" --terms suite.sdf | tscat --tsv id,energy,energy_terms > ours.tsv
	run -0 compare "$SHARED/data/mmff94/energies.csv.gz" "$1" ours.tsv
}

@test "MMFF94, dative drawing" {
	suite MMFF94 dative
	assert_output '584 structures, 0 off'
}

@test "MMFF94, hypervalent drawing" {
	suite MMFF94 hypervalent
	assert_output '584 structures, 0 off'
}

@test "MMFF94s, dative drawing; MMFF94 in its place (the wrong variant) is seen" {
	suite MMFF94s dative
	assert_output '207 structures, 0 off'
	conf3d -j 2 --method none --ff mmff94 --terms suite.sdf | tscat --tsv id,energy,energy_terms > wrong.tsv
	run -0 compare "$SHARED/data/mmff94/energies.csv.gz" MMFF94s wrong.tsv
	refute_output --partial ' 0 off'
}

@test "MMFF94s, hypervalent drawing" {
	suite MMFF94s hypervalent
	assert_output '207 structures, 0 off'
}

@test "auto: MMFF94, and UFF where it has no type" {
	cd "$BATS_TEST_TMPDIR"
	printf 'CCO ethanol\nC[Se]C selenide\n' > two.smi
	run -0 --separate-stderr bash -c 'conf3d two.smi | tscat --tsv id,ff'
	assert_line --index 1 $'ethanol\tmmff94'
	assert_line --index 2 $'selenide\tuff'
	run -0 --separate-stderr bash -c 'conf3d --ff mmff94 --rejects bad.tsv two.smi | tscat --tsv id,ff'
	refute_output --partial selenide
	run -0 cat bad.tsv
	assert_output --partial 'no-parameters'
}

@test "a table that is missing or damaged is named; distance geometry needs none" {
	cd "$BATS_TEST_TMPDIR"
	mkdir data
	export BABEL_DATADIR=$PWD/data
	run -1 conf3d --ff mmff94 <<< CCO
	assert_output --partial 'mmffdef.par cannot be read'
	echo 'no numbers' > data/mmffdef.par
	run -1 conf3d <<< CCO
	assert_output --partial 'mmffdef.par is not a table of MMFF94'
	run -0 --separate-stderr conf3d --method dg -o none.mts <<< CCO
	run -0 --separate-stderr conf3d --ff uff -o none.mts <<< CCO
}
