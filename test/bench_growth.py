"""bench_growth.py BUILD: how a training step grows, and where its time goes, as tables on standard output.

CPU time of one thread as `train --profile` gives it, over its steps: without start, first step, evaluation and saving. Molecules are drug-like ones of $SHARED/data/pretrain/chembl.smi.gz, rows evenly spaced, with
pictures and conformers (`conf3d --method dg`); without $SHARED those of examples/, and no table by atoms or data.
"""
import argparse
import gzip
import os
import re
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from bench_nn import cells, head, processor  # noqa: E402  (after the line above)

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.environ.get("SHARED", f"{HERE}/../shared")
CHEMBL = f"{SHARED}/data/pretrain/chembl.smi.gz"
TOKEN = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops]")
SPOKEN = {"matmul": "products of matrices", "cnn": "convolutions, with their norms and pooling", "dense": "linear layers with what stands around them",
          "message": "messages along bonds", "records": "reading and gathering records", "batch_norm": "batch norm", "gather": "gathering of rows",
          "feature": "sums over pairs of atoms", "bias_relu": "biases with ReLU", "hyper": "hypergraph"}
OUTSIDE = ("evaluation", "saving")  # of a step


def run(argv):
    """CPU seconds, peak MiB and standard error of a process."""
    with tempfile.TemporaryFile("w+") as err:
        p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=err)
        _, status, used = os.wait4(p.pid, 0)
        err.seek(0)
        text = err.read()
    if os.waitstatus_to_exitcode(status) not in (0, 3):  # 3: done, some molecules refused
        sys.exit(f"bench_growth.py: {' '.join(argv)}: {text}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, text


class Bench:
    def __init__(self, build, folder):
        self.bin, self.folder, self.n_stream = f"{build}/bin", folder, 0

    def stream(self, smiles, picture_px=96):
        """A stream of these molecules, with conformers and pictures of this side, or graphs alone (0)."""
        self.n_stream += 1
        path = f"{self.folder}/s{self.n_stream}"
        with open(path + ".smi", "w") as f:
            f.writelines(f"{s} m{i}\n" for i, s in enumerate(smiles))
        run([f"{self.bin}/mol2graph", "-o", path, path + ".smi"])
        for argv in (["conf3d", "--method", "dg"], ["mol2img", "--size", str(picture_px)]) if picture_px else ():
            run([f"{self.bin}/{argv[0]}", *argv[1:], "-o", path + ".new", path])
            os.replace(path + ".new", path)
        return path

    def train(self, stream, epochs, *options):
        return run([f"{self.bin}/train", "--task", "pretrain", "-j", "1", "--quiet", "--profile", "--epochs", str(epochs),
                    "-o", f"{self.folder}/model", *options, stream])

    def step(self, stream, preset, batch, epochs):
        """{operation: (times, forward ms, backward ms) of a step}, ms in all"""
        lines = self.train(stream, epochs, "--preset", preset, "--batch", str(batch))[2].splitlines()
        lines = lines[[s.startswith("operation") for s in lines].index(True) + 1:]
        by = {f[0]: [float(x) for x in f[1:4]] for f in map(str.split, lines) if len(f) == 5}
        steps = by.pop("all")[0]
        by = {name: (n / steps, 1e3 * f / steps, 1e3 * b / steps) for name, (n, f, b) in by.items() if name not in OUTSIDE}
        return by, sum(f + b for _, f, b in by.values())


def atoms_of(smiles):
    return sum(not re.match(r"\[\d*H[+-]?\]", t) for t in TOKEN.findall(smiles))


def chembl():
    with gzip.open(CHEMBL, "rt") as f:
        return [line.split()[0] for line in f]


def example():
    with open(f"{HERE}/examples/wellknown.csv") as f:
        next(f)
        return [line.split(",")[0] for line in f]


def evenly(items, n):
    return [items[i * len(items) // n] for i in range(min(n, len(items)))]


def row(*values):
    cells(*(f"{v:.1f}" if isinstance(v, float) else v for v in values))


def operations(b, all_smiles):
    sizes = ("cpu", 128, 96), ("paper", 32, 224)
    print("\n### operations\n\nWhere a step goes: share of its time, %. Those below half a per cent everywhere are taken together.\n")
    head("operation", *(f"preset {preset}, batch {batch}" for preset, batch, _ in sizes))
    steps = [b.step(b.stream(evenly(all_smiles, 4 * batch), px), preset, batch, 3) for preset, batch, px in sizes]
    share = {name: [100 * sum(by.get(name, (0, 0, 0))[1:]) / ms for by, ms in steps] for by, _ in steps for name in by}
    large = sorted((name for name in share if max(share[name]) >= 0.5), key=lambda name: -max(share[name]))
    for name in large:
        row(SPOKEN.get(name, name), *share[name])
    row(f"{len(share) - len(large)} others", *(sum(share[name][i] for name in share if name not in large) for i in range(len(sizes))))
    row("all, ms", *(f"{ms:.0f}" for _, ms in steps))


def batches(b, all_smiles):
    print("\n### batches\n\nBy batch, preset cpu.\n")
    head("batch", "ms a step", "ms a molecule")
    n = 1024 if len(all_smiles) >= 1024 else len(all_smiles) // 128 * 128
    stream = b.stream(evenly(all_smiles, n))
    for batch in [x for x in (32, 64, 128, 256, 512) if 2 * x <= n]:
        ms = b.step(stream, "cpu", batch, 1 if n > 4 * batch else 3)[1]
        row(batch, ms, f"{ms / batch:.2f}")


def atoms(b, all_smiles):
    print("\n### atoms\n\nBy heavy atoms of a molecule (within 5 %), preset cpu, batch 32.\n")
    head("atoms", "molecules", "atoms, mean", "ms a step", "ms an atom")
    for n in (10, 20, 40, 60, 80, 100):
        chosen = evenly([s for s in all_smiles if abs(atoms_of(s) - n) <= n // 20], 64)
        mean = sum(map(atoms_of, chosen)) / len(chosen)
        ms = b.step(b.stream(chosen), "cpu", 32, 4)[1]
        row(n, len(chosen), mean, ms, f"{ms / mean / 32:.3f}")


def data(b, all_smiles):
    print("\n### data\n\nBy data: one epoch over graphs alone, preset tiny, batch 128, --mem 64M.\n")
    head("molecules", "stream, MiB", "windows", "peak memory, MiB", "CPU s", "ms a molecule")
    for n in (1000, 10000, 100000, len(all_smiles)):
        stream, log = b.stream(evenly(all_smiles, n), 0), f"{b.folder}/log"
        cpu, peak, _ = b.train(stream, 1, "--preset", "tiny", "--views", "2d", "--batch", "128", "--mem", "64M", "--log", log)
        with open(log) as f:
            windows = re.findall(r'"windows":(\d+)', f.read())[-1]
        row(f"{n:,}", os.path.getsize(stream) / 2 ** 20, windows, peak, cpu, f"{1e3 * cpu / n:.3f}")
        os.remove(stream)


PARTS = {"operations": operations, "batches": batches, "atoms": atoms, "data": data}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build")
    p.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    args = p.parse_args()
    shared = os.path.exists(CHEMBL)
    smiles = chembl() if shared else example()
    print(f"### machine\n\nMolecules of {'ChEMBL' if shared else 'examples/'}; {processor()}, {os.cpu_count()} processors, one thread, CPU time; "
          f"{time.strftime('%Y-%m-%d')}, load {os.getloadavg()[0]:.1f}.", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-growth-", dir=args.build) as folder:
        for part in args.parts.split(","):
            if shared or part not in ("atoms", "data"):
                PARTS[part](Bench(args.build, folder), smiles)
            else:
                print(f"\nNo table {part}: it needs $SHARED.", flush=True)
    print(f"\n### end\n\nLoad at the end: {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
