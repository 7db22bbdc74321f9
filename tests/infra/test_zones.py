"""Time zones in Lambda: the pinned package's, whatever the runtime's image carries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lynceus.packaging.projects import configuration

ROOT = Path(__file__).resolve().parents[2]
WHERE = "import zoneinfo; print(zoneinfo.TZPATH, zoneinfo.ZoneInfo('Europe/Paris').key)"


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_a_deployed_function_reads_no_zones_but_those_of_the_pinned_package(stage: str) -> None:
    deployed = configuration(stage)["environment_variables"]
    environment = {**os.environ, "PYTHONTZPATH": deployed["PYTHONTZPATH"]}

    said = subprocess.run([sys.executable, "-c", WHERE], env=environment, capture_output=True, text=True)

    assert (said.stdout, said.stderr) == ("() Europe/Paris\n", "")
    assert "\ntzdata==" in (ROOT / "requirements.txt").read_text()
