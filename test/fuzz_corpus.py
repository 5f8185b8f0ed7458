"""fuzz_corpus.py BIN DIR [SUITES]: seeds for the fuzzers, out of the shipped molecules and, if there, the suites."""
import csv, glob, gzip, json, os, subprocess, sys
import zstandard

bin_dir, out = sys.argv[1:3]
suites = sys.argv[3] if len(sys.argv) > 3 else ''
csv.field_size_limit(10**9)
examples = 'examples/wellknown.csv'


def put(kind, name, data):
    os.makedirs(os.path.join(out, kind), exist_ok=True)
    with open(os.path.join(out, kind, name), 'wb') as f:
        f.write(data)


smiles = [row['smiles'] for row in csv.DictReader(open(examples))]
for path in sorted(glob.glob(os.path.join(suites, '*.tsv.gz'))) if suites else []:
    for i, row in enumerate(csv.DictReader(gzip.open(path, 'rt', newline=''), delimiter='\t', quoting=csv.QUOTE_NONE)):
        text = row.get('input_json')
        if text and i % 20 == 0:
            text = json.loads(text)
            if isinstance(text, str) and 0 < len(text) < 300:
                smiles.append(text)
for i, s in enumerate(smiles):
    for kind in 'smiles', 'syntax':
        put(kind, 's%05d' % i, s.encode('utf-8', 'replace'))

sdf = os.path.join(out, 'seeds.sdf')
subprocess.run([os.path.join(bin_dir, 'conf3d'), '--method', 'dg', '--limit', '40', '--sdf', sdf, '-o', '/dev/null', examples],
               stderr=subprocess.DEVNULL)
blocks = open(sdf).read().split('$$$$\n') if os.path.exists(sdf) else []
for path in sorted(glob.glob(os.path.join(suites, '*.sdf.gz'))) if suites else []:
    blocks += gzip.open(path, 'rt', errors='replace').read().split('$$$$\n')[:40]
for i, b in enumerate(b for b in blocks if 0 < len(b) < 20000):
    put('sdf', 'm%04d' % i, b.encode())

for i, options in enumerate([[], ['--fp', '--scaffold'], ['--limit', '0']]):
    done = subprocess.run([os.path.join(bin_dir, 'mol2graph'), '--limit', '8', *options, examples], capture_output=True)
    put('stream', 'z%d' % i, done.stdout)
    raw = zstandard.ZstdDecompressor().stream_reader(done.stdout, read_across_frames=True).read()
    put('stream', 'p%d' % i, raw)
