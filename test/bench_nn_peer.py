"""PyTorch's side of bench_nn.py where the scripts under $SHARED/bench have no --serve or no such operation: whole steps, and fine-tuning.

bench_nn_peer.py step-cpu|step-paper|gin-tune STREAM N [--serve]: with --serve prints "ready", then each line on standard input makes one
repetition and answers its CPU milliseconds; without, makes four and prints one JSON line with the peak of memory. One thread.
"""
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


def case(op, path, n):
    mols = [m for m in peer_torch.read_graphs(path) if "pos" in m][:n]
    if op == "gin-tune":
        b = peer_torch.Batch(mols, 0)
        return Tuned(b), (b,)
    paper = op == "step-paper"
    px = 224 if paper else 96
    image = torch.rand(n, 3, px, px).to(memory_format=torch.channels_last)
    return peer_step.Mmsa(paper), (peer_step.Batch(mols, 8.0), image)


def main(op, path, n, serve):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    net, args = case(op, path, n)
    net.train()
    base = peer_torch.memory(reset=True)
    adam = torch.optim.Adam(net.parameters(), 1e-3, fused=True)

    def step():
        begin = time.process_time()
        for p in net.parameters():
            p.grad = None
        net(*args).backward()
        adam.step()
        return 1e3 * (time.process_time() - begin)

    for _ in range(3):
        step()
    gc.disable()
    if serve:
        print("ready", flush=True)
        for _ in sys.stdin:
            print("%.4f" % step(), flush=True)
    else:
        print(json.dumps({"op": op, "batch": n, "cpu_ms": step(), "peak_rss_mib": peer_torch.memory(), "base_rss_mib": base}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), "--serve" in sys.argv)
