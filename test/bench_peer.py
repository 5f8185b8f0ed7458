"""RDKit's side of bench_chem.py: one function of a SMILES string for each job, and an equivalent of PyTorch Geometric's from_smiles.

As a program, `bench_peer.py JOB FILE.smi FOLDER` does a job once, so that its memory can be measured.
"""
import os
import sys

import numpy as np
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem, rdDepictor, rdFingerprintGenerator
from rdkit.Chem.Draw import rdMolDraw2D
from rdkit.Chem.Scaffolds import MurckoScaffold

RDLogger.DisableLog("rdApp.*")
SIZE_PX = 224

# What torch_geometric.utils.from_smiles looks each property up in: lists, searched from the front.
ATOM = {
    "z": list(range(119)),
    "chirality": ["CHI_UNSPECIFIED", "CHI_TETRAHEDRAL_CW", "CHI_TETRAHEDRAL_CCW", "CHI_OTHER", "CHI_TETRAHEDRAL", "CHI_ALLENE",
                  "CHI_SQUAREPLANAR", "CHI_TRIGONALBIPYRAMIDAL", "CHI_OCTAHEDRAL"],
    "degree": list(range(11)),
    "charge": list(range(-5, 7)),
    "hydrogens": list(range(9)),
    "radicals": list(range(5)),
    "hybridisation": ["UNSPECIFIED", "S", "SP", "SP2", "SP3", "SP3D", "SP3D2", "OTHER"],
    "flag": [False, True],
}
BOND = {
    "type": [str(t) for t in Chem.BondType.names],
    "stereo": ["STEREONONE", "STEREOANY", "STEREOZ", "STEREOE", "STEREOCIS", "STEREOTRANS"],
    "flag": [False, True],
}


def at(values, value):
    return values.index(value) if value in values else 0


def graph(smiles):
    """x, edge_index and edge_attr as arrays: no torch, so somewhat less work than the function it stands for."""
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return None
    x = [[at(ATOM["z"], a.GetAtomicNum()), at(ATOM["chirality"], str(a.GetChiralTag())), at(ATOM["degree"], a.GetTotalDegree()),
          at(ATOM["charge"], a.GetFormalCharge()), at(ATOM["hydrogens"], a.GetTotalNumHs()), at(ATOM["radicals"], a.GetNumRadicalElectrons()),
          at(ATOM["hybridisation"], str(a.GetHybridization())), at(ATOM["flag"], a.GetIsAromatic()), at(ATOM["flag"], a.IsInRing())]
         for a in mol.GetAtoms()]
    ends, attributes = [], []
    for b in mol.GetBonds():
        i, j = b.GetBeginAtomIdx(), b.GetEndAtomIdx()
        e = [at(BOND["type"], str(b.GetBondType())), at(BOND["stereo"], str(b.GetStereo())), at(BOND["flag"], b.GetIsConjugated())]
        ends += [[i, j], [j, i]]
        attributes += [e, e]
    x = np.array(x, np.int64).reshape(-1, 9)
    edge_index = np.array(ends, np.int64).reshape(-1, 2).T
    edge_attr = np.array(attributes, np.int64).reshape(-1, 3)
    order = (edge_index[0] * len(x) + edge_index[1]).argsort()
    return x, edge_index[:, order], edge_attr[order]


GRAPH_BY = "an equivalent of PyTorch Geometric's from_smiles"
if __name__ != "__main__" or sys.argv[1] == "graph":  # not where it would only take memory
    try:  # the function itself where it is installed
        from torch_geometric.utils import from_smiles as graph
        GRAPH_BY = "PyTorch Geometric's from_smiles"
    except ImportError:
        pass

MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def three(smiles):
    mol = Chem.MolFromSmiles(smiles)
    return mol and (MORGAN.GetFingerprint(mol), MurckoScaffold.MurckoScaffoldSmiles(mol=mol, includeChirality=True))


def draw(smiles):
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return None
    rdDepictor.Compute2DCoords(mol)
    canvas = rdMolDraw2D.MolDraw2DCairo(SIZE_PX, SIZE_PX)
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, mol)
    canvas.FinishDrawing()
    return canvas


class PngFiles:
    """draw, and its PNG in a file of its own."""

    def __init__(self, folder):
        self.folder, self.n = folder, 0

    def __call__(self, smiles):
        canvas = draw(smiles)
        if canvas is None:
            return None
        self.n += 1
        with open(f"{self.folder}/{self.n}.png", "wb") as f:
            f.write(canvas.GetDrawingText())
        return True


EMBED = AllChem.ETKDGv3()
EMBED.randomSeed = 1
EMBED.timeout = 60


def conformer(smiles):
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return None
    mol = Chem.AddHs(mol)
    return mol if AllChem.EmbedMolecule(mol, EMBED) == 0 else None


def relaxed(smiles):
    mol = conformer(smiles)
    if mol is None:
        return None
    if AllChem.MMFFHasAllMoleculeParams(mol):
        AllChem.MMFFOptimizeMolecule(mol, maxIters=200)
    elif AllChem.UFFHasAllMoleculeParams(mol):
        AllChem.UFFOptimizeMolecule(mol, maxIters=200)
    else:
        return None
    return mol


def many(smiles):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMultipleConfs(mol, 20, EMBED)
    return AllChem.MMFFOptimizeMoleculeConfs(mol, maxIters=1000)


def jobs(folder):
    return {"graph": graph, "three": three, "raw": draw, "png": PngFiles(folder), "dg": conformer, "ff": relaxed, "many": many}


if __name__ == "__main__":
    os.makedirs(sys.argv[3], exist_ok=True)
    job = jobs(sys.argv[3])[sys.argv[1]]
    for line in open(sys.argv[2]):
        job(line.split()[0])
