"""`lynceus package`: the zip and the template of a stage, without touching AWS."""

from __future__ import annotations

import argparse
import sys

from lynceus.output import DONE, Output
from lynceus.packaging import projects

HELP = "make the zip and the CloudFormation template of a stage"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lynceus package` takes."""
    parser.add_argument("--stage", default="dev", help="a stage of .chalice/config.json (dev)")
    parser.add_argument(
        "--architecture",
        default="",
        choices=["arm64", "x86_64", "here"],
        help='Lambda\'s name of it, or "here" for a package that runs on this machine (as configured)',
    )
    parser.add_argument("--whole", action="store_true", help="leave nothing out, as Chalice would")


def run(options: argparse.Namespace, out: Output) -> int:
    """Make them and say what they weigh."""
    made = projects.package(options.stage, architecture=options.architecture, slim=not options.whole)
    if not options.architecture and not options.whole:
        projects.offer(made)
    artefact = made.artefact
    if out.human:
        out.line(f"template  {made.template.relative_to(projects.ROOT)}")
        out.line(
            f"package   {(made.template.parent / 'deployment.zip').relative_to(projects.ROOT)}  "
            f"{artefact.bytes_zipped / 1e6:.1f} MB zipped, {artefact.bytes_unzipped / 1e6:.1f} MB unzipped, "
            f"{artefact.files} files"
        )
    else:
        out.data(
            {
                "stage": made.stage,
                "template": str(made.template),
                "package": str(made.template.parent / "deployment.zip"),
                "sha256": artefact.digest,
                "bytesZipped": artefact.bytes_zipped,
                "bytesUnzipped": artefact.bytes_unzipped,
                "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            }
        )
    return DONE
