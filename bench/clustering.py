"""How well keywords are clustered: `python -m bench.clustering FILE`, where FILE is a CSV with the columns text and category.

BANKING77 (CC BY 4.0, https://github.com/PolyAI-LDN/task-specific-datasets) is such a file. AMI and ARI are corrected for chance;
NMI rewards over-splitting and stands here because papers give it.
"""

import argparse
import csv
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from pressroom.planner.clustering import Granularity, cluster_keywords, keyword_vectors
from pressroom.planner.phrases import normalise
from pressroom.records import Cluster, Keyword

SCOPE = "bench"
ADDED = 0.05  # share of the keywords that arrive after the first clustering


def read_labelled(path: Path) -> dict[Keyword, str]:
    """Each text once, as a keyword, with its category."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"text", "category"} <= rows[0].keys():
        raise SystemExit(f"{path}: expected a CSV file with the columns text and category")
    categories = {normalise(row["text"]): (row["text"], row["category"]) for row in reversed(rows)}
    return {Keyword(phrase=text, normalised=key): category for key, (text, category) in categories.items()}


def scores(truth: list[str], found: list[Any]) -> dict[str, float]:
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score

    return {
        "nmi": round(float(normalized_mutual_info_score(truth, found)), 3),
        "ami": round(float(adjusted_mutual_info_score(truth, found)), 3),
        "ari": round(float(adjusted_rand_score(truth, found)), 3),
    }


def kept_share(before: list[Cluster], after: list[Cluster]) -> float:
    """The share of the keywords of `before` that are in a cluster with the same id in `after`."""
    ids = {phrase: cluster.id for cluster in after for phrase in cluster.keywords}
    kept = [ids[phrase] == cluster.id for cluster in before for phrase in cluster.keywords]
    return round(sum(kept) / len(kept), 4)


def measure(labelled: dict[Keyword, str], granularity: Granularity) -> dict[str, Any]:
    keywords, truth = list(labelled), list(labelled.values())
    cluster_keywords(keywords[:50], scope=SCOPE)  # loads the model, which a process pays once

    begin = time.perf_counter()
    clusters = cluster_keywords(keywords, scope=SCOPE, granularity=granularity)
    seconds = time.perf_counter() - begin
    ids = {phrase: str(cluster.id) for cluster in clusters for phrase in cluster.keywords}
    ours = scores(truth, [ids[keyword.normalised] for keyword in keywords])

    from sklearn.cluster import KMeans

    begin = time.perf_counter()
    vectors = keyword_vectors([keyword.phrase for keyword in keywords])
    labels = KMeans(n_clusters=len(set(truth)), n_init=1, random_state=0).fit_predict(vectors)
    kmeans_seconds = time.perf_counter() - begin
    theirs = scores(truth, labels.tolist())

    shuffled = random.Random(0).sample(keywords, len(keywords))
    first = cluster_keywords(shuffled[: round(len(shuffled) / (1 + ADDED))], scope=SCOPE, granularity=granularity)
    warm = cluster_keywords(keywords, scope=SCOPE, granularity=granularity, previous=first)
    warm_ids = {phrase: str(cluster.id) for cluster in warm for phrase in cluster.keywords}
    return {
        "keywords": len(keywords),
        "categories": len(set(truth)),
        "clusters": len(clusters),
        "largest": max(len(cluster.keywords) for cluster in clusters),
        "single": sum(len(cluster.keywords) == 1 for cluster in clusters),
        "seconds": round(seconds, 2),
        **ours,
        "kmeans_known_k": {"seconds": round(kmeans_seconds, 2), **theirs},
        "ratio_ami": round(ours["ami"] / theirs["ami"], 3),
        "ratio_seconds": round(seconds / kmeans_seconds, 3),
        "after_5_percent_more": {
            "kept": kept_share(first, warm),
            "kept_without_previous": kept_share(first, clusters),
            **scores(truth, [warm_ids[keyword.normalised] for keyword in keywords]),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.clustering", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="CSV with the columns text and category")
    parser.add_argument("--granularity", choices=["broad", "balanced", "fine"], default="balanced")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    arguments = parser.parse_args()
    figures = measure(read_labelled(arguments.file), arguments.granularity)
    if arguments.json:
        json.dump(figures, sys.stdout, indent=2)
        print()
        return
    kmeans, later = figures["kmeans_known_k"], figures["after_5_percent_more"]
    print(
        f"{figures['keywords']:,} keywords of {figures['categories']} categories: {figures['clusters']} clusters in {figures['seconds']} s"
    )
    print(f"largest {figures['largest']}, of one keyword {figures['single']}")
    print(f"{'':20}{'NMI':>6}{'AMI':>7}{'ARI':>7}{'seconds':>9}")
    print(f"{'number unknown':20}{figures['nmi']:6.3f}{figures['ami']:7.3f}{figures['ari']:7.3f}{figures['seconds']:9.2f}")
    print(f"{'KMeans, known k':20}{kmeans['nmi']:6.3f}{kmeans['ami']:7.3f}{kmeans['ari']:7.3f}{kmeans['seconds']:9.2f}")
    print(f"ratio to KMeans: AMI {figures['ratio_ami']}, time {figures['ratio_seconds']}")
    print(f"5 % more keywords: {later['kept']:.1%} of the old ones keep their cluster's id")
    print(f"({later['kept_without_previous']:.1%} when the previous clusters are not given)")


if __name__ == "__main__":
    main()
