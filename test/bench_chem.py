"""bench_chem.py BUILD: this project's chemistry and RDKit's on the same molecules, in turn, as a table on standard output.

CPU time of processes (children included), one worker, one thread. A ratio is RDKit's time over ours; each row gives the median of the ratios of
--reps turns and their range. Molecules: evenly spaced rows of a MoleculeNet file under $SHARED/data (HIV by default), else examples/.
Times of whole programs include their start; conformers and layouts are timed molecule by molecule, and there a time is the
molecule's median over the turns, compared where both sides succeed.
"""
import argparse
import csv
import gzip
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rdkit
from rdkit import Chem
from rdkit.Chem import AllChem, rdDepictor

sys.dont_write_bytecode = True
import bench_peer
import bench_quality

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def molecules_read(path, n):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", newline="") as f:
        smiles = [row["smiles"].strip() for row in csv.DictReader(f)]
    step = max(1, len(smiles) // n)
    return smiles[::step][:n]


def program_run(argv):
    """(CPU seconds, wall seconds)"""
    begin = time.perf_counter()
    p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    message = p.stderr.read()
    _, status, used = os.wait4(p.pid, 0)
    wall = time.perf_counter() - begin
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode not in (0, 3):  # 3: done, some molecules refused
        sys.exit(f"{' '.join(argv)}: exit status {p.returncode}\n{message.decode()}")
    return used.ru_utime + used.ru_stime, wall


def program_peak(argv):
    """MiB, the peaks of a program and its workers added up. Looked at while it runs: what wait reports begins with this Python's own."""
    peak = {}
    p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while p.poll() is None:
        try:
            for pid in [p.pid] + open(f"/proc/{p.pid}/task/{p.pid}/children").read().split():
                peak[pid] = [int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmHWM")][0]
        except (OSError, IndexError):  # it ended between the two looks
            pass
        time.sleep(0.002)
    return sum(peak.values()) / 1024


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.bin, self.probe = f"{args.build}/bin", f"{args.build}/test/bench_mol"
        self.n_file = 0

    def path(self, name):
        self.n_file += 1
        return f"{self.folder}/{self.n_file}-{name}"

    def molecules_write(self, smiles):
        path = self.path("molecules.smi")
        with open(path, "w") as f:
            f.writelines(f"{s} m{i}\n" for i, s in enumerate(smiles))
        return path

    def program_row(self, name, smiles, argv, job, goal):
        """A program of ours over a file against a job of RDKit's over the same strings, in turn."""
        if self.args.rows not in name:
            return
        path, ours, theirs = self.molecules_write(smiles), [], []
        for _ in range(self.args.reps):
            argv_now = [a.replace("FRESH", self.path("out")) for a in argv] + ["-o", self.path("stream"), path]
            ours.append(program_run([f"{self.bin}/{argv_now[0]}", "-j", "1"] + argv_now[1:])[0])
            pictures = self.path("peer")
            os.mkdir(pictures)
            function = bench_peer.jobs(pictures)[job]
            begin = time.process_time()
            for s in smiles:
                try:
                    function(s)
                except Exception:
                    pass
            theirs.append(time.process_time() - begin)
        n = len(smiles)
        row(name, n, statistics.median(ours) / n * 1e3, statistics.median(theirs) / n * 1e3, [b / a for a, b in zip(ours, theirs)], goal)

    def probe_run(self, mode, path):
        text = subprocess.run([self.probe, mode, path], check=True, capture_output=True, text=True).stdout
        return [int(line) * 1e-6 for line in text.split()]

    def molecule_rows(self, name, smiles, mode, timed, goal):
        """Ours from bench_mol, theirs from a function SMILES -> milliseconds or None; median, and mean without the slowest 2 %."""
        if self.args.rows not in name:
            return
        path, ours, theirs = self.molecules_write(smiles), [], []
        for _ in range(self.args.reps):
            ours.append(self.probe_run(mode, path))
            theirs.append([timed(s) for s in smiles])
        good = [i for i in range(len(smiles)) if ours[0][i] >= 0 and theirs[0][i] is not None]
        failed = f"{sum(t < 0 for t in ours[0])} / {sum(t is None for t in theirs[0])}"
        for what, of in (("median", statistics.median), ("mean without the slowest 2 %", trimmed_mean)):
            a, b = [of([t[i] for i in good]) for t in ours], [of([t[i] for i in good]) for t in theirs]
            row(f"{name}, {what}", len(good), statistics.median(a), statistics.median(b), [y / x for x, y in zip(a, b)], goal,
                f"failed {failed}")

    def gradient_row(self, smiles, goal):
        """The molecule of the sample nearest to 50 atoms."""
        mols = [(abs(Chem.AddHs(m).GetNumAtoms() - 50), s) for s in smiles if (m := Chem.MolFromSmiles(s))]
        for _, s in sorted(mols):
            mol = bench_peer.conformer(s)
            if mol is not None and AllChem.MMFFHasAllMoleculeParams(mol) and self.probe_run("gradient", self.molecules_write([s]))[0] > 0:
                break
        else:
            return
        field = AllChem.MMFFGetMoleculeForceField(mol, AllChem.MMFFGetMoleculeProperties(mol))
        path, ours, theirs = self.molecules_write([s]), [], []
        for _ in range(self.args.reps):
            ours.append(self.probe_run("gradient", path)[0])
            begin = time.process_time()
            for _ in range(200):
                field.CalcEnergy()
                field.CalcGrad()
            theirs.append((time.process_time() - begin) / 200 * 1e3)
        row(f"MMFF94 energy and gradient, {mol.GetNumAtoms()} atoms", 1, statistics.median(ours), statistics.median(theirs),
            [b / a for a, b in zip(ours, theirs)], goal)

    def starts(self):
        one = self.molecules_write(["CC(=O)Oc1ccccc1C(=O)O"])
        print("\n### starts\n\n| start of a program | CPU ms | wall ms |\n|---|---|---|")
        for name in ("mol2graph", "mol2img", "conf3d"):
            for what, argv in (("--version", ["--version"]), ("one molecule", ["-j", "1", one]),
                               ("one molecule, with Open Babel and its plugins (--lenient)", ["--lenient", "-j", "1", one])):
                runs = [program_run([f"{self.bin}/{name}"] + argv) for _ in range(11)]
                cpu, wall = (statistics.median(x) * 1e3 for x in zip(*runs))
                print(f"| {name}, {what} | {cpu:.1f} | {wall:.1f} |", flush=True)

    def memory(self, smiles, few):
        print("\n### memory\n\n| peak memory of all processes | n | ours, MiB | RDKit, MiB |\n|---|---|---|---|")
        for name, argv, job, some in (("graph", ["mol2graph"], "graph", smiles), ("picture", ["mol2img"], "raw", smiles),
                                      ("conformer + force field", ["conf3d", "--method", "dg+ff"], "ff", few)):
            path = self.molecules_write(some)
            ours = program_peak([f"{self.bin}/{argv[0]}", "-j", "1"] + argv[1:] + ["-o", self.path("stream"), path])
            theirs = program_peak([sys.executable, bench_peer.__file__, job, path, self.path("peer")])
            print(f"| {name} | {len(some)} | {ours:.1f} | {theirs:.1f} |", flush=True)


def trimmed_mean(values):
    values = sorted(values)
    return statistics.mean(values[:max(1, round(len(values) * 0.98))])


def row(name, n, ours_ms, theirs_ms, ratios, goal, note=""):
    median = statistics.median(ratios)
    verdict = "reached" if median >= goal else "not reached"
    print(f"| {name} | {n} | {ours_ms:.4f} | {theirs_ms:.4f} | {median:.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | {goal} | {verdict} | {note} |",
          flush=True)


def timed(function):
    """SMILES -> milliseconds of CPU, None where it fails."""

    def run(smiles):
        begin = time.process_time_ns()
        try:
            if function(smiles) is None:
                return None
        except Exception:
            return None
        return (time.process_time_ns() - begin) * 1e-6

    return run


def layout_timed(smiles):
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return None
    begin = time.process_time_ns()
    rdDepictor.Compute2DCoords(mol)
    return (time.process_time_ns() - begin) * 1e-6


def processor():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build")
    p.add_argument("--set", default="hiv", help="a file of $SHARED/data/molecules")
    p.add_argument("-n", type=int, default=1000, help="molecules")
    p.add_argument("-c", type=int, default=100, help="molecules of the rows of conformers")
    p.add_argument("--reps", type=int, default=5)
    p.add_argument("--folder", help="where streams and pictures are written, for instance on a file system in memory (BUILD)")
    p.add_argument("--rows", default="", help="only rows whose name holds this text, and no quality")
    p.add_argument("--seeds", type=int, default=5, help="seeds of the quality of conformers, 0: leave it out (RDKit's side takes half an hour the first time)")
    p.add_argument("--keep", help="folder that keeps RDKit's side of it (BUILD/bench-peer)")
    args = p.parse_args()
    data = f"{os.environ.get('SHARED', f'{HERE}/../shared')}/data/molecules/{args.set}.csv.gz"
    if not os.path.exists(data):
        data = f"{HERE}/examples/wellknown.csv"
    smiles, few = molecules_read(data, args.n), molecules_read(data, args.c)
    folder = tempfile.mkdtemp(prefix="bench-", dir=args.folder or args.build)
    try:
        b = Bench(args, folder)
        print(f"### machine\n\n{len(smiles)} molecules of {os.path.basename(data)}, {len(few)} for conformers; {time.strftime('%Y-%m-%d')}; RDKit {rdkit.__version__}; {processor()}, {os.cpu_count()} processors, "
              f"load {os.getloadavg()[0]:.1f}; {args.reps} turns; files in {args.folder or 'the build folder'}.\n")
        print("### programs\n\n| CPU time a molecule, one worker | n | ours, ms | RDKit, ms | ratio: median (range) | at least | | |\n|---|---|---|---|---|---|---|---|", flush=True)
        b.program_row(f"graph, OGB features, written to a stream, against {bench_peer.GRAPH_BY}", smiles, ["mol2graph"], "graph", 8)
        b.program_row("the same, scaffold and ECFP, against parse, scaffold, Morgan", smiles, ["mol2graph", "--scaffold", "--fp"], "three", 4)
        b.program_row("picture of 224 px as a tensor, against layout and drawing", smiles, ["mol2img"], "raw", 3)
        b.program_row("picture of 224 px as a PNG file", smiles, ["mol2img", "--png", "FRESH"], "png", 8)
        b.molecule_rows("layout alone", smiles, "layout", layout_timed, 1.5)
        b.molecule_rows("conformer, against ETKDGv3", few, "dg", timed(bench_peer.conformer), 4)
        b.molecule_rows("conformer and MMFF94, against ETKDGv3 and MMFF94", few, "ff", timed(bench_peer.relaxed), 5)
        if bench_quality.available():
            ligands = [s for s, _ in bench_quality.molecules_read("pdb")][::10]
            b.program_row("20 conformers and MMFF94 of ligands in the PDB", ligands, ["conf3d", "-n", "20"], "many", 6)
        if not args.rows:
            b.gradient_row(few, 2.5)
            b.starts()
            b.memory(smiles, few)
            if args.seeds > 0 and bench_quality.available():
                bench_quality.table(args.build, args.keep or f"{args.build}/bench-peer", args.seeds)
        print(f"\n### end\n\nLoad at the end: {os.getloadavg()[0]:.1f}.")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
