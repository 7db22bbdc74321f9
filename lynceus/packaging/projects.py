"""A stage's package and merged template, made in `build/<stage>` from a clean copy of the sources.

Chalice names its packages by a hash over every file below chalicelib, caches of bytecode included. The copy holds
the sources alone, so that the same sources make the same package, byte for byte, and nothing is uploaded twice.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from chalicelib.core.errors import Misconfigured
from lynceus.packaging import artefacts
from lynceus.packaging.artefacts import Artefact
from lynceus.packaging.templates import load

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("app.py", "requirements.txt", "chalicelib")


@dataclass(frozen=True)
class Package:
    """What `package` made: the template that CloudFormation takes once the zip is in a bucket."""

    stage: str
    artefact: Artefact
    template: Path


def configuration(stage: str, root: Path = ROOT) -> dict[str, Any]:
    """The stage in .chalice/config.json; raises Misconfigured with the stages there are."""
    stages: dict[str, dict[str, Any]] = json.loads((root / ".chalice/config.json").read_text())["stages"]
    if stage not in stages:
        raise Misconfigured(
            f'stage "{stage}" is not in .chalice/config.json: it has {", ".join(sorted(stages))}; '
            "docs/operate.md says how to copy one"
        )
    return stages[stage]


def package(
    stage: str,
    *,
    architecture: str = "",
    slim: bool = True,
    root: Path = ROOT,
    build: Path | None = None,
    cache: Path | None = None,
) -> Package:
    """Make zip and template of the stage; `architecture` "" is the one of .chalice/config.json.

    Raises Misconfigured where Chalice or pip refuse, with their words.
    """
    configuration(stage, root)
    folder = (build or root / "build") / stage
    project = folder / "project"
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    for name in SOURCES:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, project / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, project / name)
    settings = root / ".chalice"
    (project / ".chalice").mkdir()
    for source in sorted(settings.glob("*.json")):
        shutil.copy2(source, project / ".chalice")
    configured = json.loads((settings / "config.json").read_text()).get("lambda_architecture", "x86_64")
    if not architecture:
        architecture = configured
    elif architecture != artefacts.HERE:
        _set_architecture(project, architecture)
    if architecture == artefacts.HERE:
        _set_architecture(project, artefacts.this_machine())
    artefact = artefacts.build(project, cache or folder.parent / "requirements", architecture, slim=slim)
    template = _merged(project, stage, root / "infra" / "overlay.yaml", folder)
    return Package(stage, artefact, template)


def offer(made: Package, root: Path = ROOT) -> Path:
    """Put the package where `chalice deploy` in the checkout finds it, for as long as no source changes."""
    architecture = json.loads((root / ".chalice/config.json").read_text()).get(
        "lambda_architecture", "x86_64"
    )
    # Chalice's hash covers the bytecode of chalicelib that importing app.py leaves behind: let it be there now.
    subprocess.run([sys.executable, "-m", "compileall", "-q", "chalicelib"], cwd=root, check=False)
    target = artefacts.finished(root, architecture)
    target.parent.mkdir(parents=True, exist_ok=True)
    for older in target.parent.glob("*.zip"):
        older.unlink()
    return Path(shutil.copy2(made.artefact.path, target))


def _set_architecture(project: Path, architecture: str) -> None:
    path = project / ".chalice/config.json"
    document = json.loads(path.read_text())
    document["lambda_architecture"] = architecture
    path.write_text(json.dumps(document))


def _merged(project: Path, stage: str, overlay: Path, folder: Path) -> Path:
    """What Chalice writes for the stage, with the overlay over it."""
    # As a program, since Chalice imports app.py and keeps it: one process, one stage.
    run_chalice(
        [
            "package",
            "--stage",
            stage,
            "--merge-template",
            str(overlay),
            "--template-format",
            "yaml",
            str(folder),
        ],
        project,
    )
    path = folder / "sam.yaml"
    template = load(path)
    # A template of one stage must not be deployed as another.
    template["Parameters"]["Stage"].update(Default=stage, AllowedValues=[stage])
    path.unlink()
    merged = folder / "template.yaml"
    merged.write_text(yaml.dump(template, Dumper=Plain, sort_keys=True))
    return merged


def run_chalice(words: list[str], project: Path, environment: Mapping[str, str] | None = None) -> str:
    """What Chalice says to the words in the project; raises Misconfigured with it where it fails."""
    variables = {
        "AWS_DEFAULT_REGION": "us-east-1",
        **os.environ,
        **(environment or {}),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-c", "import sys; from chalice.cli import main; sys.exit(main())", *words]
    finished = subprocess.run(  # noqa: S603  # our own words
        command, cwd=project, env=variables, capture_output=True, text=True, check=False
    )
    if finished.returncode:
        said = (finished.stderr or finished.stdout).strip().splitlines()
        raise Misconfigured(f"chalice {words[0]} failed: {said[-1] if said else 'without a word'}")
    return finished.stdout


class Plain(yaml.SafeDumper):
    """YAML without anchors, which CloudFormation does not read."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # PyYAML's signature
        """Every value is written out."""
        return True
