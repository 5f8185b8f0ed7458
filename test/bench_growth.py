"""bench_growth.py BUILD: how a training step grows, and where its time goes, as tables on standard output.

CPU time of one thread as `train --profile` gives it, what two lengths of the same run differ by, over their steps: without start,
first step, evaluation and saving. Molecules are drug-like ones of $SHARED/data/pretrain/chembl.smi.gz, rows evenly spaced, with
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

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.environ.get("SHARED", f"{HERE}/../shared")
CHEMBL = f"{SHARED}/data/pretrain/chembl.smi.gz"
TOKEN = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops]")
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

    def stream(self, smiles, views=("conf3d", "mol2img")):
        """A stream of these molecules; some fewer where one is refused."""
        self.n_stream += 1
        path = f"{self.folder}/s{self.n_stream}"
        with open(path + ".smi", "w") as f:
            f.writelines(f"{s} m{i}\n" for i, s in enumerate(smiles))
        run([f"{self.bin}/mol2graph", "-o", path, path + ".smi"])
        for program in views:
            more = ["--method", "dg"] if program == "conf3d" else []
            run([f"{self.bin}/{program}"] + more + ["-o", path + ".new", path])
            os.replace(path + ".new", path)
        return path

    def train(self, stream, epochs, *options):
        return run([f"{self.bin}/train", "--task", "pretrain", "-j", "1", "--quiet", "--profile", "--epochs", str(epochs),
                    "-o", f"{self.folder}/model", *options, stream])

    def step(self, stream, preset, batch, epochs=(1, 3)):
        """{operation: (times, forward ms, backward ms) of a step}, ms in all"""
        rows = []
        for n in epochs:
            lines = self.train(stream, n, "--preset", preset, "--batch", str(batch))[2].splitlines()
            lines = [line.rsplit(None, 4) for line in lines[[s.startswith("operation") for s in lines].index(True) + 1:]]
            rows.append({f[0].strip(): (int(f[1]), float(f[2]), float(f[3])) for f in lines if len(f) == 5})
        steps = rows[1].pop("all")[0] - rows[0].pop("all")[0]
        by = {}
        for name, new in rows[1].items():
            old = rows[0].get(name, (0, 0, 0))
            if name not in OUTSIDE:
                by[name] = ((new[0] - old[0]) / steps, (new[1] - old[1]) / steps * 1e3, (new[2] - old[2]) / steps * 1e3)
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


def head(*names):
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|", flush=True)


def row(*values):
    print("| " + " | ".join(f"{v:.1f}" if isinstance(v, float) else str(v) for v in values) + " |", flush=True)


def operations(b, all_smiles):
    for preset, batch in (("cpu", 128), ("paper", 32)):
        by, ms = b.step(b.stream(evenly(all_smiles, 2 * batch)), preset, batch)
        print(f"\nA step at preset {preset}, batch {batch}: {ms:.0f} ms\n")
        head("operation", "times", "forward, ms", "backward, ms", "share, %")
        large = sorted(by.items(), key=lambda x: -x[1][1] - x[1][2])
        for name, (n, f, back) in [x for x in large if x[1][1] + x[1][2] >= 0.005 * ms]:
            row(name, f"{n:.0f}", f, back, 100 * (f + back) / ms)
        rest = [x[1] for x in large if x[1][1] + x[1][2] < 0.005 * ms]
        f, back = sum(x[1] for x in rest), sum(x[2] for x in rest)
        row(f"{len(rest)} others", f"{sum(x[0] for x in rest):.0f}", f, back, 100 * (f + back) / ms)


def batches(b, all_smiles):
    print("\nBy batch, preset cpu\n")
    head("batch", "ms a step", "ms a molecule")
    n = 1024 if len(all_smiles) >= 1024 else len(all_smiles) // 128 * 128
    stream = b.stream(evenly(all_smiles, n))
    for batch in [x for x in (32, 64, 128, 256, 512) if 2 * x <= n]:
        ms = b.step(stream, "cpu", batch)[1]
        row(batch, ms, f"{ms / batch:.2f}")


def atoms(b, all_smiles):
    print("\nBy heavy atoms of a molecule (within 5 %), preset cpu, batch 32\n")
    head("atoms", "molecules", "atoms, mean", "ms a step", "ms an atom")
    for n in (10, 20, 40, 60, 80, 100):
        chosen = evenly([s for s in all_smiles if abs(atoms_of(s) - n) <= n // 20], 64)
        mean = sum(map(atoms_of, chosen)) / len(chosen)
        ms = b.step(b.stream(chosen), "cpu", 32, (1, 4))[1]
        row(n, len(chosen), mean, ms, f"{ms / mean / 32:.3f}")


def data(b, all_smiles):
    print("\nBy data: one epoch over graphs alone, preset tiny, batch 128, --mem 64M\n")
    head("molecules", "stream, MiB", "windows", "peak memory, MiB", "CPU s", "ms a molecule")
    for n in (1000, 10000, 100000, len(all_smiles)):
        stream, log = b.stream(evenly(all_smiles, n), ()), f"{b.folder}/log"
        cpu, peak, _ = b.train(stream, 1, "--preset", "tiny", "--views", "2d", "--batch", "128", "--mem", "64M", "--log", log)
        with open(log) as f:
            windows = re.findall(r'"windows":(\d+)', f.read())[-1]
        row(f"{n:,}", os.path.getsize(stream) / 2 ** 20, windows, peak, cpu, f"{1e3 * cpu / n:.3f}")
        os.remove(stream)


PARTS = {"operations": operations, "batches": batches, "atoms": atoms, "data": data}


def processor():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "?")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build")
    p.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    args = p.parse_args()
    shared = os.path.exists(CHEMBL)
    smiles = chembl() if shared else example()
    print(f"Molecules of {'ChEMBL' if shared else 'examples/'}; {processor()}, {os.cpu_count()} processors, one thread, CPU time; "
          f"{time.strftime('%Y-%m-%d')}, load {os.getloadavg()[0]:.1f}.", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-growth-", dir=args.build) as folder:
        for part in args.parts.split(","):
            if shared or part not in ("atoms", "data"):
                PARTS[part](Bench(args.build, folder), smiles)
            else:
                print(f"\nNo table {part}: it needs $SHARED.", flush=True)
    print(f"\nLoad at the end: {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
