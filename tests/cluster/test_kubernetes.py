"""The ladder's jobs on Kubernetes: their form, and that what they say runs. There is no cluster."""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from lib import ROOT
from lib.results import record

pytestmark = pytest.mark.cluster
REQUESTS = {"cpu": "1900m", "memory": "6000M", "ephemeral-storage": "1000M"}
JOBS = "/apis/batch/v1/namespaces/default/jobs"
SECRETS = "/api/v1/namespaces/default/secrets"


class Api(ThreadingHTTPServer):
    """A server that takes Kubernetes' requests for jobs, and runs what is in them as processes.

    Attributes:
        jobs: those that were asked for.
        secrets: their environment.
    """

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.jobs, self.secrets, self.processes = folder, {}, {}, {}
        (folder / "pip").write_text("#!/bin/sh\n")  # the plugin is here
        (folder / "pip").chmod(0o755)

    def start(self, job: dict) -> None:
        """Runs a job's command with no environment but its secrets and a path to Python."""
        container = job["spec"]["template"]["spec"]["containers"][0]
        paths = self.folder, Path(sys.executable).parent, os.defpath
        own = {"PATH": ":".join(map(str, paths)), "HOME": str(self.folder)}
        for variable in container["env"]:
            key = variable["valueFrom"]["secretKeyRef"]["key"]
            own[variable["name"]] = base64.b64decode(self.secrets[key]).decode()
        command = container["command"] + container["args"]
        name = job["metadata"]["name"]
        with (self.folder / f"{name}.log").open("w") as log:
            self.processes[name] = subprocess.Popen(
                command, env=own, cwd=self.folder, stdout=log, stderr=log
            )


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_) -> None:
        pass

    def answer(self, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith(JOBS):
            self.server.jobs[content["metadata"]["name"]] = content
            self.server.start(content)
        elif self.path.startswith(SECRETS):
            self.server.secrets |= content["data"]
        self.answer(content)

    def do_GET(self) -> None:
        if not self.path.startswith(JOBS):
            self.answer({"items": []})  # no pod says how its container ended
            return
        code = self.server.processes[self.path.split("/")[-2]].poll()
        counts = {} if code is None else {"failed" if code else "succeeded": 1}
        self.answer({"status": counts, "metadata": {}, "spec": None})

    def do_DELETE(self) -> None:
        self.answer({})


@pytest.fixture
def api(tmp_path):
    with Api(tmp_path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_jobs_have_the_form_and_run(api, tmp_path, environment):
    from kubernetes_validate import validate

    config = {"apiVersion": "v1", "kind": "Config", "current-context": "one"}
    config["clusters"] = [
        {"name": "one", "cluster": {"server": f"http://127.0.0.1:{api.server_port}"}}
    ]
    config["users"] = [{"name": "one", "user": {"token": "none"}}]
    config["contexts"] = [{"name": "one", "context": {"cluster": "one", "user": "one"}}]
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    out = tmp_path / "out"
    command = [sys.executable, "-P", "-m", "ladder", "--profile", "smoke", "--only", "00,07"]
    command += ["--dataset", "cifar10", "--out", str(out), "--executor", "kubernetes"]
    done = subprocess.run(
        [*command, "--jobs", "2"],
        env=environment | {"KUBECONFIG": str(tmp_path / "config")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    logs = [path.read_text() for path in tmp_path.glob("*.log")]
    assert done.returncode == 0, (done.stdout, done.stderr, *logs)
    assert len(record.paths(out)) == len(api.jobs) == 2
    profile = ROOT / "ladder" / "executors" / "kubernetes" / "config.yaml"
    settings = yaml.safe_load(profile.read_text(encoding="utf-8"))
    for job in api.jobs.values():
        validate({"apiVersion": "batch/v1", "kind": "Job"} | job, "1.30")
        pod = job["spec"]["template"]["spec"]
        container = pod["containers"][0]
        assert container["image"] == settings["container-image"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        claim, path = settings["kubernetes-persistent-volumes"].split(":")
        assert mounts[claim] == path
        assert container["resources"]["requests"] == REQUESTS
