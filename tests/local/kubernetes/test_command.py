"""`lynceus cluster`, run as people run it."""

from __future__ import annotations

import argparse
import base64
import io
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
import yaml

from lynceus.commands import cluster as command
from lynceus.output import USAGE, Output


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    words = [
        "cluster",
        "--kubeconfig",
        str(tmp_path / "kubeconfig"),
        "--finish-after",
        "0",
        "--namespace",
        "team",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "lynceus", *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def test_it_says_where_it_is_and_tells_of_workflows(running: subprocess.Popen[str], tmp_path: Path) -> None:
    assert running.stdout is not None
    told = [running.stdout.readline(), running.stdout.readline()]
    document = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    listed = document["clusters"][0]["cluster"]
    server, authority = listed["server"], base64.b64decode(listed["certificate-authority-data"]).decode()
    token = document["users"][0]["user"]["token"]

    body = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "hello"},
        "spec": {"entrypoint": "main"},
    }
    with urllib3.PoolManager(ssl_context=ssl.create_default_context(cadata=authority)) as pool:
        path = f"{server}/apis/argoproj.io/v1alpha1/namespaces/team/workflows"
        answer = pool.request("POST", path, json=body, headers={"Authorization": f"Bearer {token}"})
    lines = [running.stdout.readline(), running.stdout.readline()]
    running.send_signal(signal.SIGTERM)

    assert server in told[0]
    assert told[1] == f"export KUBECONFIG={(tmp_path / 'kubeconfig').resolve()}\n"
    assert answer.status == 201
    assert [line.split()[1:] for line in lines] == [["Running", "team/hello"], ["Succeeded", "team/hello"]]
    assert running.wait(10) == 0


@pytest.mark.parametrize("words", [["--failure-rate", "2"], ["--port", "taken"]])
def test_what_cannot_be_served_is_a_matter_of_usage(words: list[str], tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    command.arguments(parser)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = parser.parse_args([port if word == "taken" else word for word in words])
        options.kubeconfig = tmp_path / "kubeconfig"
        said = io.StringIO()

        code = command.run(options, Output(stdout=io.StringIO(), stderr=said))

    assert code == USAGE
    assert "error:" in said.getvalue()
