"""hnswlib and usearch on the vectors that `measure make` keeps: build time, recall@10 and queries a second.

    vectors-peers.py FOLDER THREADS [usearch]

One thread searches; THREADS build. M 16, ef_construction 200, inner product of unit vectors.
"""

import sys
import time

import numpy as np

DIMS, NEAREST, ROUNDS = 384, 10, 3
WIDTHS = (10, 16, 24, 32, 48, 64)


def load(folder, name):
    return np.fromfile(f"{folder}/{name}.f32", dtype="<f4").reshape(-1, DIMS)


def nearest(rows, queries):
    """Keys of the true nearest, some rows at a time."""
    best = np.full((len(queries), 0), 0.0), np.full((len(queries), 0), 0)
    for at in range(0, len(rows), 50_000):
        scores = queries @ rows[at : at + 50_000].T
        keys = np.broadcast_to(np.arange(at, at + scores.shape[1]), scores.shape)
        scores, keys = np.hstack([best[0], scores]), np.hstack([best[1], keys])
        top = np.argpartition(-scores, NEAREST - 1, axis=1)[:, :NEAREST]
        best = np.take_along_axis(scores, top, 1), np.take_along_axis(keys, top, 1)
    return [set(keys) for keys in best[1].tolist()]


def sweep(name, truth, queries, widen, search):
    for width in WIDTHS:
        widen(width)
        search()
        begun = time.perf_counter()
        for _ in range(ROUNDS):
            keys = search()
        seconds = time.perf_counter() - begun
        found = sum(len(true & set(row)) for true, row in zip(truth, keys.tolist()))
        recall = found / len(truth) / NEAREST
        print(f"{name} ef {width}: recall {recall:.4f}, {ROUNDS * len(queries) / seconds:.0f} queries/s", flush=True)


def hnswlib_index(rows, queries, truth, threads):
    import hnswlib

    index = hnswlib.Index("ip", DIMS)
    index.init_index(len(rows), M=16, ef_construction=200)
    begun = time.perf_counter()
    index.add_items(rows, num_threads=threads)
    print(f"hnswlib: {len(rows)} rows built by {threads} threads in {time.perf_counter() - begun:.1f} s", flush=True)
    sweep("hnswlib", truth, queries, index.set_ef, lambda: index.knn_query(queries, k=NEAREST, num_threads=1)[0])


def usearch_index(rows, queries, truth, threads, kind):
    from usearch.index import Index

    index = Index(ndim=DIMS, metric="ip" if kind == "f32" else "cos", dtype=kind, connectivity=16, expansion_add=200)
    begun = time.perf_counter()
    index.add(np.arange(len(rows)), rows, threads=threads)
    print(f"usearch {kind}: built by {threads} threads in {time.perf_counter() - begun:.1f} s", flush=True)

    def widen(width):
        index.expansion_search = width

    sweep(f"usearch {kind}", truth, queries, widen, lambda: index.search(queries, NEAREST, threads=1).keys)


def main():
    folder, threads = sys.argv[1], int(sys.argv[2])
    rows, queries = load(folder, "rows"), load(folder, "queries")
    truth = nearest(rows, queries)
    hnswlib_index(rows, queries, truth, threads)
    if "usearch" in sys.argv[3:]:
        for kind in ("f32", "i8"):
            usearch_index(rows, queries, truth, threads, kind)


main()
