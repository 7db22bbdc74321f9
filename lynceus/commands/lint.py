"""Look at bindings, CronWorkflows and webhook clients before any event does.

  lynceus lint deploy/                            files, or directories with .yaml, .yml and .json
  lynceus lint --cluster deploy/                  also ask the cluster for templates (kubectl's context)
  kubectl get workfloweventbindings -o yaml | lynceus lint -

Exit code 1 when there is an error (with --strict: or a warning). `argo lint` says nothing about any of these.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from lynceus import lints
from lynceus.output import DONE, NO, USAGE, Output

HELP = "find mistakes in bindings, CronWorkflows and webhook clients"

_COLOURS = {lints.ERROR: "red", lints.WARNING: "yellow", lints.NOTE: "dim"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to look at."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files and directories; - is standard input")
    parser.add_argument("--strict", action="store_true", help="exit 1 for warnings too")
    parser.add_argument("--quiet", action="store_true", help="no notes")
    parser.add_argument("--cluster", action="store_true", help="look for templates in the cluster")
    parser.add_argument("--kubeconfig", default="", help="of that cluster (default: kubectl's)")
    parser.add_argument("--context", default="", help="its context (default: the current one)")
    parser.add_argument(
        "-n", "--namespace", default="argo", help="where objects without one belong (default: argo)"
    )


def run(options: argparse.Namespace, out: Output) -> int:
    """Print findings as path:line:column."""
    documents, found = [], []
    try:
        for name, text in _texts(options.paths):
            read, unreadable = lints.documents_of(name, text)
            documents += read
            found += unreadable
    except OSError as error:
        out.error(f"{error.filename}: {error.strerror}")
        return USAGE
    if not documents and not found:
        out.error(f"nothing to look at in {', '.join(options.paths)}", "files are .yaml, .yml or .json")
        return USAGE
    find = _finder(options) if options.cluster else None
    found += lints.lint(documents, datetime.now(UTC), find, options.namespace)
    found.sort(key=lambda finding: (finding.path, finding.line, finding.column))
    if options.quiet:
        found = [finding for finding in found if finding.level != lints.NOTE]
    for finding in found:
        place = f"{finding.path}:{finding.line}:{finding.column}"
        label = f" {finding.object}" if finding.object.strip("/") else ""
        out.line(f"{place}: {out.paint(finding.level, _COLOURS[finding.level])}:{label} {finding.message}")
        if finding.hint:
            out.line(f"    {finding.hint}", colour="dim")
    counts = {level: sum(f.level == level for f in found) for level in (lints.ERROR, lints.WARNING)}
    out.line(f"{len(documents)} objects, {counts[lints.ERROR]} errors, {counts[lints.WARNING]} warnings")
    out.data({"findings": [finding.to_data() for finding in found], "objects": len(documents)})
    bad = counts[lints.ERROR] or (options.strict and counts[lints.WARNING])
    return NO if bad else DONE


def _finder(options: argparse.Namespace) -> lints.FindTemplate:
    from lynceus.clusters import Cluster

    cluster = Cluster.of(options.kubeconfig, options.context)
    return lambda namespace, name, wide: cluster.template(namespace or options.namespace, name, wide)


def _texts(paths: list[str]) -> Iterator[tuple[str, str]]:
    for name in paths:
        if name == "-":
            yield "-", sys.stdin.read()
            continue
        path = Path(name)
        files = [path]
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml", ".json"))
        for file in files:
            yield str(file), file.read_text(encoding="utf-8", errors="replace")
