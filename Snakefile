# Runs the jobs that ./run_all.sh asks for. It decides by fingerprint which are out of date; a job's
# success is its record, and the marker here is removed before each run.
import json
import os
import shlex
from pathlib import Path

JOBS = json.loads(Path(".running/jobs.json").read_text(encoding="utf-8"))
if "CIFAR10_LADDER_MAIN" in os.environ and "SLURM_JOB_ID" not in os.environ:
    from ladder import cluster

    cluster.end_with_main_job()


envvars:  # a pod has no others
    "CIFAR10_LADDER_CACHE",
    "PYTHONPATH",


wildcard_constraints:
    name=r"[\w-]+",


rule notebook:
    output:
        touch(".running/{name}.done"),
    priority: lambda wildcards: JOBS[wildcards.name]["priority"]
    resources:
        runtime=lambda wildcards, attempt: attempt * JOBS[wildcards.name]["minutes"],
    params:
        command=lambda wildcards: shlex.join(JOBS[wildcards.name]["command"]),
    shell:
        "CIFAR10_LADDER_CORES={threads} {params.command}"
