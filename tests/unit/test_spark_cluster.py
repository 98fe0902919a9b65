"""Stopping a cluster that another process has started."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.warehouse.spark import cluster

# starts a process in a group of its own, says its number, and never waits for its end
NEGLECTFUL = """
import subprocess, sys
command = [sys.executable, "-c", "input()", "org.apache.spark.deploy.worker.Worker"]
process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
print(process.pid, flush=True)
input()
"""


@pytest.mark.timeout(60)
def test_it_is_stopped_where_nobody_waits_for_the_end_of_its_processes(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", NEGLECTFUL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        found = {"port": 1, "master": "spark://127.0.0.1:1", "pids": {"worker-1": pid}}
        (tmp_path / "cluster.json").write_text(json.dumps(found))
        assert cluster.find(tmp_path) is not None
        assert cluster.down(tmp_path)
        assert cluster.find(tmp_path) is None
        parent.communicate("\n")
