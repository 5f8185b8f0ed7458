"""Quality of conformers beside RDKit's, for bench_chem.py, judged by $SHARED/bench/conf_quality.py: strain, likeness to crystals, bonds, planes.

Both sides make the conformers of each seed (RDKit's are one higher: from its seed 0 it makes all conformers of a molecule alike). A difference is that of a
quantile over molecules and seeds, and its 95 % bound comes from 1,000 resamplings of the molecules, the same ones for both sides. RDKit's side and the
strain's reference take long: they are kept in a folder, by set, rows, conformers, seed and version, and are made anew only where they are missing.

As a program, `bench_quality.py BUILD --keep FOLDER` prints some sets' table alone, over other rows of their files if asked.
"""
import argparse
import csv
import gzip
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import rdkit
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem, rdMolAlign

RDLogger.DisableLog("rdApp.*")
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.environ.get("SHARED", f"{HERE}/../shared")
sys.dont_write_bytecode = True
sys.path.insert(0, f"{SHARED}/bench")

# name: file, first row, step between rows, molecules
SETS = {"hiv": ("molecules/hiv.csv.gz", 0, 205, 200), "pdb": ("reference3d/pdb_ligands_neutral.sdf.gz", 0, 1, 150),
        "cod": ("reference3d/cod_crystal.sdf.gz", 0, 1, 150)}
SLACK = {("strain", 50): 0.1, ("strain", 95): 1, ("rmsd", 50): 0.05, ("rmsd", 95): 1}
FAULTS = {"off": "bond off by 15 %", "bent": "aromatic ring off its plane by 0.1 angstrom", "wrong": "another molecule or stereo",
          "touching": "contact below 1 or fragments below 1.5 angstrom"}
UNIT = {"strain": "kcal/mol", "rmsd": "angstrom"}


def available():
    return os.path.exists(f"{SHARED}/bench/conf_quality.py") and all(os.path.exists(f"{SHARED}/data/{s[0]}") for s in SETS.values())


def molecules_read(name, first=None):
    """[(SMILES, crystal or None)] of a set, from its own first row or another."""
    file, own_first, step, n = SETS[name]
    path, first = f"{SHARED}/data/{file}", own_first if first is None else first
    if path.endswith(".csv.gz"):
        with gzip.open(path, "rt", newline="") as f:
            return [(row["smiles"].strip(), None) for row in csv.DictReader(f)][first::step][:n]
    found = []
    for m in Chem.ForwardSDMolSupplier(gzip.open(path)):
        if m is not None:
            Chem.AssignStereochemistryFrom3D(m)
            found.append((Chem.MolToSmiles(m), Chem.RemoveHs(m)))
    return found[first::step][:n]


class Judge:
    """Judges conformers of one molecule; keeps the strain's reference energies in a file."""

    def __init__(self, path):
        import conf_quality
        self.rules, self.path, self.table = conf_quality, path, Chem.GetPeriodicTable()
        self.reference = json.load(open(path)) if os.path.exists(path) else {}

    def keep(self):
        with open(self.path + ".new", "w") as f:
            json.dump(self.reference, f)
        os.rename(self.path + ".new", self.path)

    def one(self, smiles, crystal, conformers):
        """Facts of a molecule: the first conformer's strain, the least RMSD of all, faults of any."""
        facts = {"n": len(conformers), "off": 0, "bent": 0, "wrong": 0, "touching": 0}
        for k, m in enumerate(conformers):
            row = self.rules.judge(m, smiles, self.table)
            good = row["finite"] and row["same"] and row["hydrogens"] and row["stereo"]
            facts["off"] += not row["bond"] <= 0.15
            facts["bent"] += row["plane"] > 0.1
            facts["wrong"] += not good
            facts["touching"] += row["contact"] < 1.0 or row["fragments"] < 1.5
            if k == 0 and good:
                facts["strain"] = self.rules.strain(m, smiles, self.reference)
            if crystal is not None:
                try:
                    r = rdMolAlign.GetBestRMS(Chem.RemoveHs(m), crystal, maxMatches=2000)
                    facts["rmsd"] = min(r, facts.get("rmsd", 1e9))
                except RuntimeError:
                    pass
        return facts


def theirs_make(molecules, n, seed, judge):
    facts = []
    for smiles, crystal in molecules:
        m, energy = judge.rules.conformers(smiles, n, seed=seed)
        if m is None:
            facts.append(None)
            continue
        order = np.argsort(energy, kind="stable")
        ids = [c.GetId() for c in m.GetConformers()]
        facts.append(judge.one(smiles, crystal, [Chem.Mol(m, False, ids[k]) for k in order]))
    return facts


def ours_make(build, molecules, n, seed, judge, options=()):
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/in.smi"
        with open(path, "w") as f:
            f.writelines(f"{s} {k}\n" for k, (s, _) in enumerate(molecules))
        argv = [f"{build}/bin/conf3d", "--quiet", "-j", "1", "--seed", str(seed), "-n", str(n), *options, "--sdf", f"{folder}/out.sdf", "-o", f"{folder}/out", path]
        status = subprocess.run(argv, stderr=subprocess.PIPE).returncode
        if status not in (0, 3):  # 3: done, some molecules refused
            sys.exit(f"{' '.join(argv)}: exit status {status}")
        found = [[] for _ in molecules]
        for m in Chem.SDMolSupplier(f"{folder}/out.sdf", removeHs=False):
            if m is not None:
                found[int(m.GetProp("_Name"))].append(m)
    return [judge.one(s, crystal, c) if c else None for (s, crystal), c in zip(molecules, found)]


def difference(ours, theirs, percent):
    """(our quantile, theirs, 95 % bound of the difference); [molecules, seeds], NaN where there is none."""
    both = np.isfinite(ours).any(1) & np.isfinite(theirs).any(1)
    a, b = ours[both], theirs[both]
    rng = np.random.default_rng(1)
    sample = rng.integers(0, len(a), (1000, len(a)))
    d = [np.nanpercentile(a[s], percent) - np.nanpercentile(b[s], percent) for s in sample]
    return np.nanpercentile(a, percent), np.nanpercentile(b, percent), np.percentile(d, 95), int(both.sum())


def values(runs, what):
    return np.array([[np.nan if f is None or f.get(what) is None else f[what] for f in run] for run in runs], float).T


def set_rows(build, name, n, seeds, keep, first=None, options=()):
    molecules = molecules_read(name, first)
    judge = Judge(f"{keep}/reference.json")
    ours, theirs = [], []
    for seed in seeds:
        ours.append(ours_make(build, molecules, n, seed, judge, options))
        path = f"{keep}/{name}-{SETS[name][1] if first is None else first}-{len(molecules)}-n{n}-seed{seed + 1}-rdkit{rdkit.__version__}.json"
        if not os.path.exists(path):
            made = theirs_make(molecules, n, seed + 1, judge)
            with open(path + ".new", "w") as f:
                json.dump(made, f)
            os.rename(path + ".new", path)
            judge.keep()
        theirs.append(json.load(open(path)))
    judge.keep()
    title = f"{name}, n = {n}"
    for what in ("strain", "rmsd"):
        a, b = values(ours, what), values(theirs, what)
        if not np.isfinite(a).any() or (what == "strain" and n > 1):
            continue
        for percent in (50, 95):
            x, y, bound, count = difference(a, b, percent)
            row(f"{title}, {what}, {'median' if percent == 50 else '95 %'}, {UNIT[what]}", count, f"{x:.2f}", f"{y:.2f}", f"{bound:+.2f}",
                SLACK[what, percent], bound <= SLACK[what, percent])
    made = [[sum(f is not None for f in run) for run in side] for side in (ours, theirs)]
    row(f"{title}, molecules with a conformer, least of the seeds", len(molecules), min(made[0]), min(made[1]), "", "", min(made[0]) >= min(made[1]))
    total = sum(f["n"] for run in ours for f in run if f)
    for what, text in FAULTS.items():
        count = [sum(f[what] for run in side for f in run if f) for side in (ours, theirs)]
        row(f"{title}, {text}", total, *count, "", "", count[0] <= count[1])
    return ours, theirs


def row(name, n, ours, theirs, bound, slack, reached):
    print(f"| {name} | {n} | {ours} | {theirs} | {bound} | {slack} | {'reached' if reached else 'not reached'} |", flush=True)


def head():
    print("\n### quality\n\n| quality of conformers | n | ours | RDKit | 95 % bound of the difference | at most | |\n|---|---|---|---|---|---|---|", flush=True)


def table(build, keep, n_seed):
    """All rows, seeds 0 to n_seed - 1 of both sides."""
    os.makedirs(keep, exist_ok=True)
    head()
    for name, n in (("hiv", 1), ("pdb", 1), ("cod", 1), ("pdb", 20)):
        set_rows(build, name, n, range(n_seed), keep)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build")
    p.add_argument("--keep", required=True)
    p.add_argument("--sets", default="hiv,pdb,cod")
    p.add_argument("--first", type=int)
    p.add_argument("--seeds", default="0,1,2,3,4")
    p.add_argument("-n", type=int, default=1)
    p.add_argument("--options", default="")
    p.add_argument("--dump")
    args = p.parse_args()
    os.makedirs(args.keep, exist_ok=True)
    head()
    for name in args.sets.split(","):
        runs = set_rows(args.build, name, args.n, [int(s) for s in args.seeds.split(",")], args.keep, args.first, args.options.split())
        if args.dump:
            json.dump(runs, open(f"{args.dump}-{name}.json", "w"))


if __name__ == "__main__":
    main()
