#!/usr/bin/env bash
# The vector index beside hnswlib and usearch, on the very same generated vectors. (`stillhouse bench search` measures it in a
# node's settings, and Lance beside it.)
#   ops/benchmarks/vectors-peers.sh ROWS [THREADS]
# Needs python3 with venv; the packages go into a folder that is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
rows=${1:?how many rows, 20000 say}
threads=${2:-$(nproc)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet hnswlib usearch numpy
measure() { cargo run --quiet --release -p stillhouse-hnsw --example measure -- "$@"; }
measure make "$work" "$rows" "$threads"
measure search "$work"
"$work/venv/bin/python" ops/benchmarks/vectors-peers.py "$work" "$threads" usearch
