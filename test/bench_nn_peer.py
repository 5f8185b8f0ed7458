"""PyTorch's side of bench_nn.py where the scripts under $SHARED/bench have no --serve or no such operation (whole steps, fine-tuning,
ComENet with its features made beforehand), and the memory of all operations.

bench_nn_peer.py OP STREAM N: makes four repetitions, and prints one JSON line with the peak of memory; with --serve prints "ready", then each
line on standard input makes one and answers its CPU milliseconds. OP: step-cpu, step-paper, gin-tune, comenet-kept, or one of peer_torch.py.
One thread.
"""
import argparse
import gc
import json
import os
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

sys.dont_write_bytecode = True
SHARED = os.environ.get("SHARED", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../shared"))
sys.path.insert(0, os.path.join(SHARED, "bench"))
import peer_step
import peer_torch

TRAINED = ("gin-tune", "step-cpu", "step-paper")


class Tuned(peer_torch.GraphNet):
    """GIN as the protocol of fine-tuning has it: dropout after every layer, one head, cross-entropy of a label."""

    def __init__(self, b, p=0.5):
        super().__init__("gin", b)
        self.p, self.head, self.label = p, nn.Linear(300, 1), (torch.arange(b.b) % 2).float()[:, None]

    def forward(self, b):
        h = sum(F.embedding(c, e.weight) for c, e in zip(b.x, self.atom))
        for l, norm in enumerate(self.norm):
            h = norm(self.lin[l](self.aggregate(l, h, b)))
            h = F.dropout(h.relu_() if l + 1 < len(self.norm) else h, self.p, self.training)
        pooled = peer_torch.add_rows(b.b, b.mol, h) / b.size
        return F.binary_cross_entropy_with_logits(self.head(pooled), self.label)


class Kept(peer_torch.ComENet):
    """ComENet whose features a loader made."""

    def __init__(self, b):
        super().__init__()
        with torch.no_grad():
            self.kept = super().features(b)

    def features(self, b):
        return self.kept


def trained(op, mols, n):
    """What is trained whole: a network that ends in a loss, its inputs, atoms and pairs."""
    if op == "gin-tune":
        b = peer_torch.Batch(mols, 0)
        return Tuned(b), (b,), (b.n, 0)
    paper = op == "step-paper"
    px = 224 if paper else 96
    image = torch.rand(n, 3, px, px).to(memory_format=torch.channels_last)
    b = peer_step.Batch(mols, 8.0)
    return peer_step.Mmsa(paper), (b, image), (b.N, len(b.j))


def training_step(net, args, variant):
    run = torch.compile(net, dynamic=False) if variant == "compile" else net
    adam = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
    net.train()

    def step():
        for q in net.parameters():
            q.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=variant == "bf16"):
            loss = run(*args)
        loss.backward()
        adam.step()

    return step


def warmed(o, mols, n):
    """A repetition (made three times), what the process held before it, and how many atoms and pairs of them it sees."""
    torch.manual_seed(1)
    if o.op in TRAINED:
        net, args, count = trained(o.op, mols[:n], n)
        base = peer_torch.memory(reset=True)
        step = training_step(net, args, o.variant)
    else:
        if o.op == "comenet-kept":
            b = peer_torch.Batch(mols[:n], 8.0)
            net, args, leaves, count = Kept(b), (b,), [], (b.n, len(b.psrc))
        else:
            given = argparse.Namespace(ops=[o.op], variants=[o.variant], batch=[n], rows=[n], pixels=[o.pixels], seed=1)
            _, _, size, _, _, net, args, leaves = next(peer_torch.cases(given, mols))
            count = size.get("atoms", 0), size.get("pairs", 0)
        base = peer_torch.memory(reset=True)
        step = peer_torch.step_of(net, args, leaves, o.mode, o.variant)
    for _ in range(3):
        step()
    return step, base, count


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("op")
    p.add_argument("stream")
    p.add_argument("n", type=int, help="molecules, pictures, rows or anchors")
    p.add_argument("--mode", choices=peer_torch.MODES, default="fwd+bwd", help="but for what is trained whole")
    p.add_argument("--pixels", type=int, default=224)
    p.add_argument("--variant", choices=("eager", "compile", "bf16"), default="eager")
    p.add_argument("--before", type=int, default=0, help="make repetitions of this size first: what the libraries set up then is not counted")
    p.add_argument("--serve", action="store_true")
    o = p.parse_args()
    torch.set_num_threads(1)
    mols = [m for m in peer_torch.read_graphs(o.stream) if "pos" in m]
    if o.before:
        warmed(o, mols, o.before)
    step, base, (n_atom, n_pair) = warmed(o, mols, o.n)
    gc.disable()

    def ms():
        begin = time.process_time()
        step()
        return 1e3 * (time.process_time() - begin)

    if o.serve:
        print("ready", flush=True)
        for _ in sys.stdin:
            print("%.4f" % ms(), flush=True)
    else:
        print(json.dumps({"op": o.op, "size": o.n, "atoms": n_atom, "pairs": n_pair, "cpu_ms": ms(), "peak_rss_mib": peer_torch.memory(),
                          "base_rss_mib": base}))


if __name__ == "__main__":
    main()
