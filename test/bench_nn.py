"""bench_nn.py BUILD: this project's learning side and PyTorch on the same molecules, in turn, as a table on standard output.

CPU time of processes, one thread, both sides told run by run to make one repetition: a ratio is PyTorch's time over ours in one turn.
A process can be slow for its whole life, so each side is started several times, and the ratio of the two smallest times stands beside
the median. Molecules: drug-like ones of $SHARED/data (evenly spaced rows of MUV), made into one stream by mol2graph and conf3d,
which both sides read. PyTorch's side is $SHARED/bench/peer_torch.py and bench_nn_peer.py: stock, eager, float32.
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

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.environ.get("SHARED", f"{HERE}/../shared")
PINNED = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
# The allocator of the peer keeps big blocks, as its own script has it: no page faults for every new tensor.
PEER = dict(PINNED, MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_=str(1 << 36), MALLOC_TOP_PAD_=str(64 << 20))


def rows():
    """(operation, size, mode, pixels, at least)"""
    both = "fwd+bwd"
    table = [("gin", n, both, 0, goal) for n, goal in ((32, 1.8), (128, 2.1), (256, 2.4))] + [("gin", 128, "fwd", 0, 2.0)]
    table += [(op, n, mode, 0, 1.5 if n == 128 and mode == both else None)
              for op in ("gcn", "sage", "gat") for n in (32, 128, 256) for mode in (both, "fwd")]
    table += [("gin", n, "fwd", 0, None) for n in (32, 256)]
    table += [("gin-tune", 32, "fwd+bwd+adam", 0, 1.2)]
    table += [("schnet", n, both, 0, 8.0) for n in (32, 128)] + [("comenet", n, both, 0, 3.0) for n in (32, 128)]
    table += [("resnet18", 16, both, 224, 1.3), ("resnet18", 16, "fwd", 224, 1.3), ("resnet18", 32, both, 96, 1.3), ("resnet18", 32, "fwd", 96, 1.4)]
    table += [("infonce", n, both, 0, goal) for n, goal in ((64, 3.0), (256, 2.0), (1024, 1.6))]
    table += [("bank", n, both, 0, goal) for n, goal in ((1024, 1.2), (8192, 1.1))]
    table += [("topk", n, "fwd", 0, goal) for n, goal in ((256, 1.5), (1024, 1.3), (4096, 1.15))]
    table += [("step-cpu", 32, "fwd+bwd+adam", 96, 1.8), ("step-cpu", 128, "fwd+bwd+adam", 96, 2.0), ("step-paper", 32, "fwd+bwd+adam", 224, 1.3)]
    return table


def name_of(row):
    op, n, mode, px, _ = row
    return f"{op} {n} {mode}" + (f" {px}px" if op == "resnet18" else "")


class Server:
    """A process that makes one repetition a line."""

    def __init__(self, argv, env):
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ, **env), text=True)
        if self.p.stdout.readline().strip() != "ready":
            sys.exit(f"bench_nn.py: {' '.join(argv)}: not ready")

    def ms(self):
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        return float(self.p.stdout.readline())

    def close(self):
        self.p.stdin.close()
        self.p.wait()


class Bench:
    def __init__(self, args, molecules):
        self.args, self.molecules = args, molecules
        self.probe = f"{args.build}/test/bench_nn"
        self.sgemm = Server([self.probe, "sgemm", "--serve"], PINNED)

    def ours(self, row):
        op, n, mode, px, _ = row
        return [self.probe, op, "--size", str(n), "--mode", mode, "--molecules", self.molecules] + (["--pixels", str(px)] if px else [])

    def theirs(self, row):
        op, n, mode, px, _ = row
        if op.startswith("step-") or op == "gin-tune":
            return [sys.executable, f"{HERE}/test/bench_nn_peer.py", op, self.molecules, str(n)]
        many = ["--rows" if op in ("infonce", "bank", "topk") else "--batch", str(n)]
        return [sys.executable, f"{SHARED}/bench/peer_torch.py", "--ops", "resnet" if op == "resnet18" else op, "--modes", mode,
                "--graphs", self.molecules] + many + (["--pixels", str(px)] if px else [])

    def turns(self, row):
        """Times of both, turn by turn over several starts; GFLOP/s of sgemm meanwhile."""
        ours, theirs, peak = [], [], []
        for start in range(self.args.starts):
            a, b = Server(self.ours(row) + ["--serve"], PINNED), Server(self.theirs(row) + ["--serve"], PEER)
            for turn in range(self.args.turns):
                first = (start + turn) % 2
                times = {side: (a, b)[side].ms() for side in (first, 1 - first)}
                ours.append(times[0])
                theirs.append(times[1])
                peak.append(2 * 1024 ** 3 / self.sgemm.ms() * 1e-6)
            a.close()
            b.close()
        return ours, theirs, statistics.median(peak)

    def once(self, argv, env):
        text = subprocess.run(argv, check=True, capture_output=True, text=True, env=dict(os.environ, **env)).stdout
        return json.loads(text.splitlines()[-1])

    def row(self, row):
        op, n, mode, px, goal = row
        ours, theirs, peak = self.turns(row)
        alone = self.once(self.ours(row) + ["--reps", "1"], PINNED)
        argv = self.theirs(row)
        peer = self.once(argv + (["--reps", "1"] if "peer_torch.py" in argv[1] else []), PEER)
        ratios = sorted(b / a for a, b in zip(ours, theirs))
        ms, median = statistics.median(ours), statistics.median(ratios)
        gflops = alone["flop"] / ms * 1e-6
        memory = [x["peak_rss_mib"] - x["base_rss_mib"] for x in (alone, peer)]
        verdict = "" if goal is None else f"{goal} {'reached' if median >= goal else 'not reached'}"
        print(f"| {op} | {n}{f', {px} px' if op == 'resnet18' else ''} | {mode} | {ms:.3f} | {statistics.median(theirs):.3f} "
              f"| {median:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | {min(theirs) / min(ours):.2f} | {verdict} "
              f"| {gflops:.0f} of {peak:.0f} | {memory[0]:.0f} | {memory[1]:.0f} |", flush=True)


def molecules_make(args, folder):
    """A stream of n molecules with features hu and conformers; those without one are left out by both sides."""
    data = f"{SHARED}/data/molecules/{args.set}.csv.gz"
    with gzip.open(data, "rt", newline="") as f:
        smiles = [row["smiles"].strip() for row in csv.DictReader(f)]
    smiles = smiles[::max(1, len(smiles) // 400)][:400]
    path = f"{folder}/molecules"
    with open(path + ".smi", "w") as f:
        f.writelines(f"{s} m{i}\n" for i, s in enumerate(smiles))
    for argv in (["mol2graph", "--features", "hu", "-o", path + ".graph", path + ".smi"],
                 ["conf3d", "--method", "dg", "-o", path + ".ts", path + ".graph"]):
        p = subprocess.run([f"{args.build}/bin/{argv[0]}"] + argv[1:], capture_output=True, text=True)
        if p.returncode not in (0, 3):  # 3: done, some molecules refused
            sys.exit(f"bench_nn.py: {argv[0]}: {p.stderr}")
    return path + ".ts"


def processor():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "?")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build")
    p.add_argument("--set", default="muv", help="a file of $SHARED/data/molecules")
    p.add_argument("--starts", type=int, default=3, help="starts of each side")
    p.add_argument("--turns", type=int, default=3, help="turns of a start")
    p.add_argument("--rows", default="", help="only rows whose name holds one of these texts, with commas between: \"gin 128,schnet\"")
    p.add_argument("--list", action="store_true", help="the names of the rows")
    args = p.parse_args()
    chosen = [r for r in rows() if any(text in name_of(r) for text in args.rows.split(","))]
    if args.list:
        print("\n".join(name_of(r) for r in rows()))
        return
    import torch
    with tempfile.TemporaryDirectory(prefix="bench-nn-", dir=args.build) as folder:
        b = Bench(args, molecules_make(args, folder))
        blas = b.once([b.probe, "sgemm", "--reps", "1"], PINNED)["blas"]
        print(f"Molecules of {args.set}; PyTorch {torch.__version__}, eager, float32; {blas}; {processor()}, {os.cpu_count()} processors, "
              f"load {os.getloadavg()[0]:.1f}; one thread; {args.starts} starts of {args.turns} turns. GFLOP/s: ours, products alone (a "
              f"convolution by its definition), of sgemm's 1024 x 1024 x 1024 meanwhile. Memory: peak above what was held before the first step.\n")
        print("| operation | size | mode | ours, ms | PyTorch, ms | ratio: median (range) | of minima | at least | GFLOP/s | ours, MiB | PyTorch, MiB |\n"
              "|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for r in chosen:
            b.row(r)
        b.sgemm.close()
        print(f"\nLoad at the end: {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
