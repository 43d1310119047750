# What depends on what: one job per (notebook, seed), then the report.
#
# ./run_all.sh decides by fingerprint which jobs are out of date and asks for those. On a
# cluster, call Snakemake yourself, with an executor of your choice:
#     snakemake --directory reports/latest --executor slurm --jobs 11 \
#         --config profile=budget dataset=cifar10
import os
import sys

from lib.study import SLUGS

PROFILE = config.get("profile", "quick")
DATASET = os.environ.get("CIFAR10_LADDER_DATASET") or config.get("dataset", "auto")
SEEDS = str(config.get("seeds", 0)).split(",")
RECORDS = expand("results/{slug}-{profile}-seed{seed}.json", slug=SLUGS, profile=PROFILE, seed=SEEDS)


wildcard_constraints:
    slug=r"\w+",
    profile=r"[a-z]+",
    seed=r"\d+",


rule all:
    input:
        "index.html",


# The old record stays until a new one replaces it, also when the job fails.
rule notebook:
    output:
        update("results/{slug}-{profile}-seed{seed}.json"),
    priority: lambda wildcards: -SLUGS.index(wildcards.slug) if wildcards.slug in SLUGS else -99
    params:
        python=lambda wildcards: sys.executable,  # not searched for {wildcards}
        dataset=lambda wildcards: DATASET,
    shell:
        "{params.python:q} -P -m ladder.run {wildcards.slug} --profile {wildcards.profile}"
        " --seed {wildcards.seed} --dataset {params.dataset:q} --out ."


rule report:
    input:
        RECORDS,
    output:
        "index.html",
    params:
        python=lambda wildcards: sys.executable,
        profile=PROFILE,
    shell:
        "{params.python:q} -P -m ladder.run report --profile {params.profile} --out ."
