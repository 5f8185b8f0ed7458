"""bench_nn.py BUILD: this project's learning side and PyTorch on the same molecules, in turn, as tables on standard output.

CPU time of processes, one thread, both sides told run by run to make one repetition: a ratio is PyTorch's time over ours in one turn.
A process can be slow for its whole life, so each side is started several times, and the ratio of the two smallest times stands beside
the median. Molecules: drug-like ones of $SHARED/data (evenly spaced rows of MUV), made into one stream by mol2graph and conf3d,
which both sides read; atoms and pairs of atoms are counted on both sides and must be the same. PyTorch's side is $SHARED/bench/peer_torch.py
and bench_nn_peer.py: stock, eager, float32. A second table has its quickest variants: torch.compile, and bf16, of another arithmetic.
A third is of ours alone: wall time of whole steps by one thread and by two, in turn with what two processes of products take from each other
at the same moment, which tells how much a second core has to give.
"""
import argparse
import csv
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import namedtuple

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.environ.get("SHARED", f"{HERE}/../shared")
PINNED = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
# The allocator of the peer keeps big blocks, as its own script has it: no page faults for every new tensor.
PEER = dict(PINNED, MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_=str(1 << 36), MALLOC_TOP_PAD_=str(64 << 20))
VARIANTS = {"compile": "torch.compile, float32", "bf16": "eager, bf16 (another arithmetic error)"}
TABLES = ("operations", "variants", "threads")
SPOKEN = {"comenet-kept": "comenet, features made before on both sides", "comenetfeat": "comenet's features alone"}
OF_MATRICES = ("infonce", "bank", "topk")

# goal: times that PyTorch should take at least, or None; px: side of pictures
Row = namedtuple("Row", "op n mode goal px hydrogens", defaults=(None, 0, False))


def rows():
    both, step = "fwd+bwd", "fwd+bwd+adam"
    table = [Row("gin", n, both, goal) for n, goal in ((32, 1.8), (128, 2.1), (256, 2.4))] + [Row("gin", 128, "fwd", 2.0)]
    table += [Row(op, n, mode, 1.5 if n == 128 and mode == both else None)
              for op in ("gcn", "sage", "gat") for n in (32, 128, 256) for mode in (both, "fwd")]
    table += [Row("gin", n, "fwd") for n in (32, 256)] + [Row("gin-tune", 32, step, 1.2)]
    table += [Row("schnet", n, both, 8.0) for n in (32, 128)] + [Row("schnet", 32, both, hydrogens=True)]
    table += [Row("comenet", n, both, 3.0) for n in (32, 128)] + [Row("comenet", 32, both, hydrogens=True)]
    table += [Row("comenet-kept", n, both) for n in (32, 128)] + [Row("comenetfeat", n, "fwd") for n in (32, 128)]
    table += [Row("resnet18", n, mode, goal, px) for n, px, goals in ((16, 224, (1.3, 1.3)), (32, 96, (1.3, 1.4)))
              for mode, goal in zip((both, "fwd"), goals)]
    table += [Row("infonce", n, both, goal) for n, goal in ((64, 3.0), (256, 2.0), (1024, 1.6))]
    table += [Row("bank", n, both, goal) for n, goal in ((1024, 1.2), (8192, 1.1))]
    table += [Row("topk", n, "fwd", goal) for n, goal in ((256, 1.5), (1024, 1.3), (4096, 1.15))]
    table += [Row("step-cpu", 32, step, 1.8, 96), Row("step-cpu", 128, step, 2.0, 96), Row("step-paper", 32, step, 1.3, 224)]
    return table


def size_of(row):
    return f"{row.n}" + (f", {row.px} px" if row.op == "resnet18" else "") + (", with hydrogens" if row.hydrogens else "")


def cells(*values):
    """A line of a table."""
    print("| " + " | ".join(map(str, values)) + " |", flush=True)


def head(*names):
    cells(*names)
    print("|---" * len(names) + "|", flush=True)


def of_row(row):
    return SPOKEN.get(row.op, row.op), size_of(row), row.mode


def spread(ratios):
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def begun():
    return f"Begun on {time.strftime('%Y-%m-%d')} at load {os.getloadavg()[0]:.1f}"


def name_of(row):
    return f"{row.op} {size_of(row)} {row.mode}".replace(",", "")


class Server:
    """A process that makes one repetition a line and answers with its ms."""

    def __init__(self, argv, env):
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ, **env), text=True)
        if self.p.stdout.readline().strip() != "ready":
            raise ChildProcessError(f"{' '.join(argv)}: not ready")

    def begin(self, many=1):
        self.p.stdin.write("\n" * many)
        self.p.stdin.flush()

    def end(self, many=1):
        return sum(float(self.p.stdout.readline()) for _ in range(many))

    def ms(self, many=1):
        self.begin(many)
        return self.end(many)

    def close(self):
        self.p.stdin.close()
        self.p.wait()


class Bench:
    def __init__(self, args, molecules, folder):
        self.args, self.molecules = args, molecules
        self.peer_env = dict(PEER, TORCHINDUCTOR_CACHE_DIR=f"{folder}/compiled", TORCHINDUCTOR_COMPILE_THREADS="1")
        self.probe = f"{args.build}/test/bench_nn"
        self.sgemm = Server([self.probe, "sgemm", "--serve"], PINNED)

    def ours(self, row):
        return [self.probe, row.op, "--size", str(row.n), "--mode", row.mode, "--molecules", self.molecules["stream"]] + (
            ["--pixels", str(row.px)] if row.px else []) + (["--with-hydrogens"] if row.hydrogens else [])

    def theirs(self, row, variant="eager", before=None):
        """Argument list of PyTorch's server; with `before`, of what measures its memory after repetitions of that size."""
        file, op = self.molecules["with hydrogens" if row.hydrogens else "stream"], "resnet" if row.op == "resnet18" else row.op
        pixels = ["--pixels", str(row.px)] if row.px else []
        if before is not None or op.startswith("step-") or op in ("gin-tune", "comenet-kept"):
            return [sys.executable, f"{HERE}/test/bench_nn_peer.py", op, file, str(row.n), "--mode", row.mode, "--variant", variant] + pixels + (
                ["--serve"] if before is None else ["--before", str(before)])
        return [sys.executable, f"{SHARED}/bench/peer_torch.py", "--ops", op, "--modes", row.mode, "--graphs", file, "--variants", variant,
                "--rows" if op in OF_MATRICES else "--batch", str(row.n), "--serve"] + pixels

    def turns(self, row, starts, variant="eager"):
        """Times of both, turn by turn over some starts; GFLOP/s of sgemm meanwhile."""
        times, peak = ([], []), []
        for start in range(starts):
            sides = Server(self.theirs(row, variant), self.peer_env), Server(self.ours(row) + ["--serve"], PINNED)
            for turn in range(self.args.turns):
                for side in ((0, 1), (1, 0))[(start + turn) % 2]:
                    times[side].append(sides[side].ms())
                peak.append(2 * 1024 ** 3 / self.sgemm.ms() * 1e-6)
            for s in sides:
                s.close()
        return times[1], times[0], statistics.median(peak)

    def once(self, argv, env):
        text = subprocess.run(argv, check=True, capture_output=True, text=True, env=dict(os.environ, **env)).stdout
        return json.loads(text.splitlines()[-1])

    def alone(self, row):
        """What each side says of a few repetitions alone, and PyTorch's once more in a process that has made steps of a small
        size before; all must have seen the same atoms and pairs."""
        said = [self.once(self.ours(row) + ["--reps", "1"], PINNED)]
        said += [self.once(self.theirs(row, before=n), PEER) for n in (0, 16 if row.op in OF_MATRICES else 2)]
        for what in ("atoms", "pairs"):
            count = [x[what] for x in said]
            if count[0] != count[1]:
                sys.exit(f"bench_nn.py: {name_of(row)}: {count[0]} {what}, and {count[1]} on PyTorch's side")
        return said

    def row(self, row):
        said = self.alone(row)
        ours, theirs, peak = self.turns(row, self.args.starts)
        ratios = [b / a for a, b in zip(ours, theirs)]
        ms = statistics.median(ours)
        verdict = "" if row.goal is None else f"{row.goal} {'reached' if statistics.median(ratios) >= row.goal else 'not reached'}"
        cells(*of_row(row), f"{ms:.3f}", f"{statistics.median(theirs):.3f}", spread(ratios), f"{min(theirs) / min(ours):.2f}", verdict,
              f"{said[0]['flop'] / ms * 1e-6:.0f} of {peak:.0f}", *(f"{x['peak_rss_mib'] - x['base_rss_mib']:.0f}" for x in said))

    def variants(self, row):
        said = []
        for variant in self.args.variants:
            try:
                ours, theirs, _ = self.turns(row, 1, variant)
                said += [f"{statistics.median(theirs):.3f}", spread([b / a for a, b in zip(ours, theirs)])]
            except ChildProcessError:  # it has said why
                said += ["does not run", ""]
        cells(*of_row(row), *said)

    def threads(self, row):
        """Pairs of steps by one thread and by two, and of as long a time of products by a process alone and by two at once; what a
        word takes from one core to the other meanwhile."""
        argv, products = self.ours(row) + ["--serve", "--wall"], [self.probe, "sgemm", "--serve", "--wall"]
        one, two = (Server(argv + ["-j", str(n)], PINNED) for n in (1, 2))
        both, toss = [Server(products, PINNED) for _ in range(2)], Server([self.probe, "toss", "--serve", "--wall", "-j", "2"], PINNED)
        steps = max(1, round(500 / one.ms()))  # fill half a second: a thread that sleeps long begins slowly
        many = max(1, round(steps * one.ms() / both[0].ms()))
        times, slower, word = ([], []), [], []
        for pair in range(self.args.pairs):
            for side in ((0, 1), (1, 0))[pair % 2]:
                times[side].append((one, two)[side].ms(steps) / steps)
                if not side:
                    alone = both[pair // 2 % 2].ms(many)
                else:
                    for s in both:
                        s.begin(many)
                    at_once = sum(s.end(many) for s in both) / 2
            slower.append(at_once / alone)
            word.append(1e6 * toss.ms() / 2000)
        for s in (one, two, toss, *both):
            s.close()
        ratios = [a / b for a, b in zip(*times)]
        cells(*of_row(row)[:2], *(f"{statistics.median(t):.1f}" for t in times), spread(ratios), spread(slower),
              f"{statistics.median(50 * r * x for r, x in zip(ratios, slower)):.0f}", f"{statistics.median(word):.0f}")


def molecules_make(args, folder):
    """A stream of molecules with features hu and conformers, those without one left out; for the peer also a file whose z and pos
    have the hydrogens, after the others as this project has them."""
    data = f"{SHARED}/data/molecules/{args.set}.csv.gz"
    with gzip.open(data, "rt", newline="") as f:
        smiles = [row["smiles"].strip() for row in csv.DictReader(f)]
    smiles = smiles[::max(1, len(smiles) // 400)][:400]
    path = f"{folder}/molecules"
    with open(path + ".smi", "w") as f:
        f.writelines(f"{s} m{i}\n" for i, s in enumerate(smiles))
    for argv in (["mol2graph", "--features", "hu", "-o", path + ".graph", path + ".smi"],
                 ["conf3d", "--method", "dg", "--hydrogens", "-o", path + ".ts", path + ".graph"]):
        p = subprocess.run([f"{args.build}/bin/{argv[0]}"] + argv[1:], capture_output=True, text=True)
        if p.returncode not in (0, 3):  # 3: done, some molecules refused
            sys.exit(f"bench_nn.py: {argv[0]}: {p.stderr}")
    sys.path.insert(0, f"{SHARED}/bench")
    import numpy as np
    import peer_torch
    mols = [m for m in peer_torch.read_graphs(path + ".ts") if "pos" in m]
    for m in mols:
        m["z"], m["pos"] = np.concatenate([m["z"], np.ones(len(m["pos_h"]), np.int64)]), np.concatenate([m["pos"], m["pos_h"]])
    peer_torch.save_graphs(path + "_h.ts", [{k: m[k] for k in ("x", "edge_index", "edge_attr", "z", "pos")} for m in mols])
    return {"stream": path + ".ts", "with hydrogens": path + "_h.ts"}


def processor():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "?")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build")
    p.add_argument("--set", default="muv", help="a file of $SHARED/data/molecules")
    p.add_argument("--starts", type=int, default=3, help="starts of each side")
    p.add_argument("--turns", type=int, default=3, help="turns of a start")
    p.add_argument("--pairs", type=int, default=9, help="pairs of the third table")
    p.add_argument("--tables", default=",".join(TABLES), help="some of them")
    p.add_argument("--rows", default="", help="only rows whose name holds one of these texts, with commas between: \"gin 128,schnet\"")
    p.add_argument("--variants", default=",".join(VARIANTS), help="of the second table, for rows with a goal, one start each; \"\": none")
    p.add_argument("--list", action="store_true", help="the names of the rows")
    args = p.parse_args()
    args.variants = [v for v in args.variants.split(",") if v]
    if not set(args.variants) <= set(VARIANTS):
        p.error(f"variants are {','.join(VARIANTS)}")
    chosen = [r for r in rows() if any(text in name_of(r) for text in args.rows.split(","))]
    if args.list:
        print("\n".join(name_of(r) for r in rows()))
        return
    sys.dont_write_bytecode = True
    import torch
    with tempfile.TemporaryDirectory(prefix="bench-nn-", dir=args.build) as folder:
        b = Bench(args, molecules_make(args, folder), folder)
        blas = b.once([b.probe, "sgemm", "--reps", "1"], PINNED)["blas"]
        print(f"### machine\n\nMolecules of {args.set}; PyTorch {torch.__version__}, eager, float32; {blas}; {processor()}, {os.cpu_count()} "
              f"processors.", flush=True)
        if "operations" in args.tables:
            print(f"\n### operations\n\n{begun()}; {args.starts} starts of {args.turns} turns. GFLOP/s: ours, products alone (a convolution by its definition), of "
                  f"sgemm's 1024 x 1024 x 1024 meanwhile. Memory: peak above what was held before the first step; of PyTorch also above what was held "
                  f"after steps of 2 molecules or pictures, or 16 rows: without what its libraries set up once.\n")
            head("operation", "size", "mode", "ours, ms", "PyTorch, ms", "ratio: median (range)", "of minima", "at least", "GFLOP/s", "ours, MiB",
                 "PyTorch, MiB", "set up before, MiB")
            for r in chosen:
                b.row(r)
        if "variants" in args.tables and args.variants:
            print(f"\n### variants\n\n{begun()}. PyTorch's other ways beside ours, one start: what it takes, ms, and the ratio to ours in the same turns, "
                  "median (range).\n")
            head("operation", "size", "mode", *(x for v in args.variants for x in (VARIANTS[v], "ratio")))
            for r in chosen:
                if r.goal is not None:
                    b.variants(r)
        if "threads" in args.tables:
            print(f"\n### threads\n\n{begun()}. Wall time of a whole step by one thread and by two, {args.pairs} pairs in turn, and beside it what two "
                  f"processes of products take from each other at the same moment: how many times as long as one alone; and what a word takes from one core to "
                  f"the other, of which small batches have many.\n")
            head("step", "size", "one thread, ms", "two threads, ms", "ratio: median (range)", "two processes, times as long: median (range)",
                 "of what two cores gave, %", "a word between cores, ns")
            for r in chosen:
                if r.op.startswith("step-"):
                    b.threads(r)
        b.sgemm.close()
        print(f"\n### end\n\nLoad at the end: {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
