# Runs the jobs that ./run_all.sh asks for. It decides by fingerprint which are out of date; a job's
# success is its record, and the marker here is removed before each run.
import json
import os
import shlex
from pathlib import Path

from ladder import cluster

JOBS = json.loads(Path(".running/jobs.json").read_text(encoding="utf-8"))
if cluster.MAIN in os.environ and workflow.is_main_process:
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
        runtime=lambda wildcards, attempt: min(
            attempt * JOBS[wildcards.name]["minutes"], cluster.MOST_MINUTES
        ),
    params:
        command=lambda wildcards: shlex.join(JOBS[wildcards.name]["command"]),
    shell:
        "CIFAR10_LADDER_CORES={threads} {params.command}"
