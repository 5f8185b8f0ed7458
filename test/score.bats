load lib

setup() {
	cd "$BATS_TEST_TMPDIR"
	printf 'row\tid\tsmiles\tt\ty.t\n0\ta\tC\t0.9\t1\n1\tb\tC\t0.8\t0\n2\tc\tC\t0.8\t1\n3\td\tC\t0.1\t0\n4\te\tC\t0.3\t\n' > p.tsv
}

@test "ROC-AUC with ties half, average precision" {
	# positives 0.9 and 0.8, negatives 0.8 and 0.1: (1 + 1 + 1/2 + 1) / 4; AP = 1/2 * 1 + 1/2 * 2/3
	run -0 score p.tsv
	assert_output "$(printf 'task\tn\troc-auc\tpr-auc\nt\t4\t0.8750\t0.8333\nmean\t5\t0.8750\t0.8333')"
	# mutant: with the tie broken the wrong way the number must change
	run -0 bash -c "sed '2,4s/0.8/0.85/' p.tsv | sed '3s/0.8\$/0.8/' | awk -F'\t' -v OFS='\t' 'NR==4{\$4=0.8}1' | score"
	refute_line --partial '0.8750'
}

@test "a task with labels of one class has no ROC-AUC and is out of both means" {
	printf 'row\tid\tsmiles\tt\tu\ty.t\ty.u\n0\ta\tC\t0.9\t0.5\t1\t1\n1\tb\tC\t0.1\t0.2\t0\t1\n' > u.tsv
	run -0 score u.tsv
	assert_line "$(printf 'u\t2\tnan\t1.0000')"
	assert_line "$(printf 'mean\t2\t1.0000\t1.0000')"
}

@test "regression: RMSE, MAE, R2" {
	printf 'row\tid\tsmiles\tt\ty.t\n0\ta\tC\t1\t2\n1\tb\tC\t2\t2\n2\tc\tC\t5\t3\n' > r.tsv
	run -0 score r.tsv
	assert_line "$(printf 't\t3\t1.2910\t1.0000\t-6.5000')"
	run -1 score --metric roc-auc r.tsv
	assert_output --partial 'roc-auc needs labels that are 0 or 1'
	run -0 score --metric mae r.tsv
	assert_line "$(printf 'mean\t3\t1.0000')"
	run -2 score --metric auc r.tsv
}

@test "the metrics are scikit-learn's on the oracle's case" {
	need_shared oracle/nn/golden/metrics_class.msgpack.zst
	run -0 /usr/bin/python3 - <<'EOF'
import msgpack, msgpack_numpy, zstandard, os
m = msgpack.unpackb(zstandard.ZstdDecompressor().decompress(open(os.environ['SHARED'] + '/oracle/nn/golden/metrics_class.msgpack.zst', 'rb').read()),
                    object_hook=msgpack_numpy.decode, strict_map_key=False)
s, y = m['inputs']['score'], m['inputs']['y']
t = s.shape[1]
with open('g.tsv', 'w') as f:
    f.write('\t'.join(['row', 'id', 'smiles'] + ['t%d' % k for k in range(t)] + ['y.t%d' % k for k in range(t)]) + '\n')
    for r in range(len(s)):
        f.write('\t'.join([str(r), str(r), 'C'] + [repr(float(v)) for v in s[r]] + ['' if v != v else repr(float(v)) for v in y[r]]) + '\n')
EOF
	run -0 bash -c 'score --json g.tsv'
	printf '%s' "$output" > got.json
	run -0 /usr/bin/python3 - <<'EOF'
import json, msgpack, msgpack_numpy, zstandard, os, math
m = msgpack.unpackb(zstandard.ZstdDecompressor().decompress(open(os.environ['SHARED'] + '/oracle/nn/golden/metrics_class.msgpack.zst', 'rb').read()),
                    object_hook=msgpack_numpy.decode, strict_map_key=False)
o, got = m['outputs'], json.load(open('got.json'))
def close(a, b):
    return (a is None and b != b) or abs(a - b) <= 1e-12
for ours, theirs in ('roc-auc', 'roc_auc'), ('pr-auc', 'pr_auc'):
    for k, v in enumerate(o[theirs]):
        assert close(got['tasks']['t%d' % k][ours], v), (k, ours, got['tasks']['t%d' % k], v)
    assert close(got['mean'][ours], o[theirs + '_mean']), (ours, got['mean'])
print('good')
EOF
	assert_output good
}

@test "--labels joins by row, or by line where there is no column row" {
	cut -f 1-4 p.tsv > q.tsv
	printf 'row\tt\n3\t0\n2\t1\n1\t0\n0\t1\n4\t\n' > labels.tsv
	run -0 score --labels labels.tsv q.tsv
	assert_line "$(printf 't\t4\t0.8750\t0.8333')"
	printf 'name,t\n"x, ""y""",1\nb,0\nc,1\nd,0\ne,\n' > labels.csv
	run -0 score --labels labels.csv q.tsv
	assert_line "$(printf 't\t4\t0.8750\t0.8333')"
	run -1 score q.tsv
	assert_output --partial 'no labels: no column y.t; give --labels FILE'
	printf 'row\tt\n3\t0\n' > short.tsv
	run -1 score --labels short.tsv q.tsv
	assert_output --partial 'row 0 is not in the labels'
}

@test "a repeated row or id, a cut table and a word for a number are errors" {
	run -1 bash -c '{ cat p.tsv; tail -1 p.tsv; } | score'
	assert_output --partial 'row 4 stands twice'
	run -1 bash -c 'sed "s/	b	/	a	/" p.tsv | score'
	assert_output --partial 'id a stands twice'
	run -1 bash -c 'head -c 40 p.tsv | score'
	assert_output --partial 'the table was cut'
	run -1 bash -c 'sed s/0.9/much/ p.tsv | score'
	assert_output --partial "'much' is no number"
	run -1 bash -c 'sed s/0.9/nan/ p.tsv | score'
	assert_output --partial 'no prediction of t for a row with a label'
	run -1 score /dev/null
	run -1 bash -c 'head -1 p.tsv | score'
	assert_output --partial 'no row to score'
}

@test "TASK.sd is no task; --bootstrap gives the same intervals for the same seed" {
	awk 'BEGIN { print "row\tid\tsmiles\tt\tt.sd\ty.t"; for (i = 0; i < 200; i++) { y = i % 2; print i "\t" i "\tC\t" (y * 0.5 + (i * 7919 % 200) / 200) "\t0.1\t" y } }' > b.tsv
	run -0 score --bootstrap 200 --seed 1 b.tsv
	assert_line --index 0 "$(printf 'task\tn\troc-auc\troc-auc.low\troc-auc.high\tpr-auc\tpr-auc.low\tpr-auc.high')"
	first=$output
	run -0 score --bootstrap 200 --seed 1 b.tsv
	assert_output "$first"
	run -0 bash -c 'score --bootstrap 200 --seed 1 b.tsv | awk -F"\t" "NR == 2 { print (\$4 < \$3 && \$3 < \$5 && \$5 - \$4 < 0.2) }"'
	assert_output 1
}

@test "--curves: the area under the ROC points is the ROC-AUC" {
	run -0 score --curves c.tsv p.tsv
	run -0 awk -F'\t' '$2 == "roc" { a += ($3 - x) * ($4 + y) / 2; x = $3; y = $4 } END { print a, x, y }' c.tsv
	assert_output '0.875 1 1'
	run -0 grep -c calibration c.tsv
	assert_output 4
}
