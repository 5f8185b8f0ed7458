load lib

setup() {
	cd "$BATS_TEST_TMPDIR"
	maker="${BUILD:-$ROOT/build}/test/ts_maker"
	printf '%s\n' 'id:str	row:int	scaffold:str	canonical_flat:str' \
		'a	0	r	C1' 'b	1	r	C2' 'c	2	q	C3' 'd	3	q	C4' "e	4	''	C5" "f	5	''	C6" 'g	6	p	C1' \
		'h	7	s	C7' 'i	8	t	C8' 'j	9	u	C9' > table
	"$maker" --fields id,row,scaffold < table > s.mts
}

# The reference's rows of one data set, as a table for the maker and as the answer.
oracle() {
	zcat "$SHARED/oracle/chem/split.tsv.gz" | awk -F'\t' -v s="$1" -v q="''" '
		BEGIN { print "id:str\trow:int\tscaffold:str" > "set" }
		$1 == s && $4 != "unparsed" { print $2 "\t" $2 "\t" ($3 == "" ? q : $3) > "set"; print $2 "\t" $4 > "want" }'
}

@test "the scaffold split of nine data sets is the reference's, row by row" {
	need_shared oracle/chem/split.tsv.gz
	for set in bbbp bace clintox sider tox21 esol freesolv hiv; do
		oracle $set
		"$maker" --fields id,row,scaffold < set | molsplit | tscat --tsv row,split | tail -n +2 > got
		run -0 cmp got want
	done
	# mutant: with forty molecules in another scaffold, the comparison must fail
	oracle bbbp
	sed '3,42s/[^	]*$/C1CC1/' set | "$maker" --fields id,row,scaffold | molsplit | tscat --tsv row,split | tail -n +2 > got
	run -1 cmp -s got want
}

@test "groups by (size, first index) descending, filled greedily" {
	run -0 bash -c 'molsplit s.mts | tscat --tsv id,split | tail -n +2 | tr "\t\n" "  "'
	assert_output 'a train b train c train d train e train f train g test h valid i train j train '
	# fractions: half to train, a quarter to valid
	run -0 bash -c 'molsplit --frac 0.5,0.25,0.25 s.mts | tscat --tsv split | sort | uniq -c | tr -s " \n" " "'
	assert_output ' 1 split 3 test 5 train 2 valid '
}

@test "--only counts the others as filtered, in input order" {
	run -0 bash -c 'molsplit --only test s.mts | tscat --check'
	assert_line 'counts: n 1, rows 10, rejects 0, filtered 9, warned 0'
	run -0 bash -c 'molsplit --only test s.mts | tscat --tsv id | tr "\n" " "'
	assert_output 'id g '
}

@test "--by random depends on the seed alone" {
	molsplit --by random --seed 1 s.mts > a
	molsplit --by random --seed 1 s.mts > b
	molsplit --by random --seed 2 s.mts > c
	cmp a b
	run -1 cmp -s <(tscat --tsv split a) <(tscat --tsv split c)
	run -0 bash -c 'tscat --tsv split a | sort | uniq -c | tr -s " \n" " "'
	assert_output ' 1 split 1 test 8 train 1 valid '
}

@test "--by column and --by file" {
	printf '%s\n' 'id:str	row:int	part:str' 'a	0	test' 'b	1	train' | "$maker" --schema molecule > t.mts
	run -0 bash -c 'molsplit --by column --column part t.mts | tscat --tsv split | tr "\n" " "'
	assert_output 'split test train '
	printf 'row\tsplit\n1\tvalid\n0\ttest\n' > parts
	run -0 bash -c 'molsplit --by file --file parts t.mts | tscat --tsv split | tr "\n" " "'
	assert_output 'split test valid '
	printf 'id,split\na,valid\n' > parts
	run -1 molsplit --by file --file parts -o x t.mts
	assert_output --partial 'id b is not in parts'
	run -1 molsplit --by column --column id -o x t.mts
	assert_output --partial "field id is 'a', not train, valid or test"
	run -2 molsplit --by column t.mts
}

@test "a missing field names the option that makes it" {
	printf '%s\n' 'id:str	row:int' 'a	0' | "$maker" --schema molecule > t.mts
	run -1 bash -c 'molsplit t.mts > out.mts'
	assert_output --partial 'record 0: no field scaffold (str): run mol2graph --scaffold first'
	run -1 bash -c 'molsplit --by random --without s.mts t.mts > out.mts'
	assert_output --partial 'run mol2graph --canonical first'
	run -1 bash -c 'molsplit --by random --leaks t.mts > out.mts'
	assert_output --partial 'run mol2graph --canonical first'
}

@test "--without leaves out molecules of another stream" {
	printf '%s\n' 'row:int	canonical_flat:str' '0	C1' '1	C9' | "$maker" --schema molecule > other.mts
	run -0 bash -c 'molsplit --by random --without other.mts s.mts | tscat --tsv id | tr "\n" " "'
	assert_output 'id b c d e f h i '
	run -0 bash -c 'molsplit --by random --without other.mts s.mts | tscat --check'
	assert_line 'counts: n 7, rows 10, rejects 0, filtered 3, warned 0'
}

@test "--leaks reports what parts share" {
	zeros=$(printf '0,%.0s' {1..255})0
	ones=$(printf '255,%.0s' {1..255})255
	printf 'row:int\tcanonical_flat:str\tscaffold:str\tpart:str\tfp:u8\n' > t
	printf '0\tC\tr\ttrain\t%s\n1\tC\tq\ttest\t%s\n2\tN\tr\ttest\t%s\n' "$ones" "$ones" "$zeros" >> t
	"$maker" --schema molecule < t > t.mts
	run -0 bash -c 'molsplit --by column --column part --leaks t.mts 2>&1 > out.mts'
	assert_line "$(printf 'train\ttest\t2\t1\t1\t1')"
	assert_line "$(printf 'train\tvalid\t0\t0\t0\t0')"
	run -0 tscat --check out.mts
}

@test "an empty stream is split into nothing; several segments are one" {
	head -1 table | "$maker" --schema molecule > e.mts
	run -0 bash -c 'molsplit e.mts | tscat --check'
	assert_line 'counts: n 0, rows 0, rejects 0, filtered 0, warned 0'
	run -0 bash -c 'cat e.mts e.mts | molsplit | tscat --json | wc -l'
	assert_output 2
}

@test "--mem: what does not fit is a failure" {
	run -1 bash -c 'molsplit --by random --mem 80 s.mts -o m.mts'
	assert_output --partial 'passes --mem (80 bytes)'
	[ ! -e m.mts ]
	run -0 molsplit --by random --mem 1M s.mts -o m.mts
}
