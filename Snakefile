# Runs the jobs that ./run_all.sh asks for. It decides by fingerprint which are out of date; a job's
# success is its record, and the marker here is removed before each run.
import os
import sys

from lib.study import SLUGS


wildcard_constraints:
    slug=r"\w+",
    profile=r"[a-z]+",
    seed=r"\d+",


rule notebook:
    output:
        touch(".running/{slug}-{profile}-seed{seed}.done"),
    priority: lambda wildcards: -SLUGS.index(wildcards.slug) if wildcards.slug in SLUGS else -99
    params:
        python=lambda wildcards: sys.executable,  # not searched for {wildcards}
        dataset=lambda wildcards: os.environ["CIFAR10_LADDER_DATASET"],
        images=lambda wildcards: os.environ["CIFAR10_LADDER_IMAGES"],
    shell:
        "{params.python:q} -P -m ladder.run {wildcards.slug} --profile {wildcards.profile}"
        " --seed {wildcards.seed} --dataset {params.dataset:q} --images {params.images} --out ."
