#!/usr/bin/env python3
"""How well a running node finds runs of the same task again, corpus by corpus.

    stillhouse tail evidence --from beginning -o jsonl | search-quality.py URL CORPUS... [--by answer|prompt] [--sample N] [--mode vector|lexical|hybrid]

Each sampled run's answer (or prompt) is asked of each corpus. Prints recall@10: of the other runs with its task key, the share
among the ten best hits, the run itself left out; and the share of questions whose best hit is of the same task. Standard
library only.
"""

import argparse
import collections
import json
import random
import sys
import time
import urllib.request


def said(payload, by):
    role = {"answer": "assistant", "prompt": "user"}[by]
    texts = [m["content"] for m in payload["messages"] if m["role"] == role and m.get("content")]
    return texts[-1 if by == "answer" else 0] if texts else ""


def main():
    args = argparse.ArgumentParser()
    args.add_argument("url")
    args.add_argument("corpora", nargs="+")
    args.add_argument("--by", choices=["answer", "prompt"], default="answer")
    args.add_argument("--mode", default="vector")
    args.add_argument("--sample", type=int, default=1000)
    args = args.parse_args()

    runs = {}
    for line in sys.stdin:
        payload = json.loads(line)["event"]["payload"]
        runs[payload["run_id"]] = (payload["task_key"], said(payload, args.by))
    tasks = collections.Counter(task for task, _ in runs.values())
    asked = sorted(run for run, (task, text) in runs.items() if text and tasks[task] > 1)
    random.Random(1).shuffle(asked)
    asked = asked[: args.sample]
    for corpus in args.corpora:
        found, first, begin = 0.0, 0, time.monotonic()
        for run in asked:
            task, text = runs[run]
            others = tasks[task] - 1
            body = {"query": text, "corpora": [corpus], "k": 11, "mode": args.mode, "snippet": 0}
            request = urllib.request.Request(args.url + "/v1/search", json.dumps(body).encode(), {"content-type": "application/json"})
            hits = json.load(urllib.request.urlopen(request))["hits"]
            hits = [hit for hit in hits if hit["run_id"] != run][:10]
            good = [hit["metadata"].get("task_key") == task for hit in hits]
            found += min(sum(good), others) / min(others, 10)
            first += bool(good and good[0])
        took = (time.monotonic() - begin) / max(len(asked), 1)
        print(f"{corpus}: {len(asked)} questions by {args.by}, recall@10 {found / len(asked):.4f}, "
              f"best hit of the same task {first / len(asked):.4f}, {took * 1000:.1f} ms a question")


main()
