"""Hold bindings to recorded answers, offline: verdicts and rendered Workflows of fixtures, for your own CI.

  lynceus test fixtures/ deploy/ --update       write beside each fixture what the bindings say now
  lynceus test fixtures/ deploy/                compare; exit 1 and a diff where an answer changed

A fixture is an event (`lynceus events save` writes one): JSON or YAML with headers and payload. Its answer stands
beside it as <name>.golden.yaml. Nothing is sent anywhere and no cluster is asked.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from chalicelib.core.bindings import Binding, binding_from_object, match
from chalicelib.core.errors import BadRequest
from chalicelib.core.events import Event
from chalicelib.core.workflows import workflow_for
from lynceus import lints, savings
from lynceus.output import DONE, NO, USAGE, Output

HELP = "compare what bindings say to fixtures with golden files"

GOLDEN = ".golden.yaml"
SUFFIXES = (".json", ".yaml", ".yml")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Fixtures and bindings."""
    parser.add_argument("fixtures", type=Path, help="a fixture, or a directory of them")
    parser.add_argument("bindings", type=Path, help="a file, or a directory, with bindings (and templates)")
    parser.add_argument("--update", action="store_true", help="write the golden files")
    parser.add_argument("--instance-id", default="", help="Argo's instance id")


def run(options: argparse.Namespace, out: Output) -> int:
    """Compare, or write, one golden file for each fixture."""
    try:
        bindings, templates = _objects(options.bindings)
        fixtures = _files(options.fixtures)
        if not fixtures or not bindings:
            out.error(
                f"no {'bindings in ' + str(options.bindings) if fixtures else f'fixtures in {options.fixtures}'}"
            )
            return USAGE
        results = [_one(path, bindings, templates, options) for path in fixtures]
    except OSError as error:
        out.error(f"{error.filename}: {error.strerror}")
        return USAGE
    for result in results:
        colour = {"ok": "green", "written": "green"}.get(result["result"], "red")
        out.line(f"{result['fixture']}: {result['result']}", colour=colour)
        for line in result.get("diff", ()):
            out.line(f"  {line}", colour="red" if line[:1] == "-" else "green" if line[:1] == "+" else "dim")
    bad = sum(result["result"] not in ("ok", "written") for result in results)
    out.line(f"{len(results)} fixtures, {len(bindings)} bindings, {bad} different")
    out.data({"fixtures": results, "bindings": len(bindings), "different": bad})
    return NO if bad else DONE


def _files(path: Path) -> list[Path]:
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [each for each in found if each.suffix in SUFFIXES and not each.name.endswith(GOLDEN)]


def _read(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"{path} is no UTF-8: {error.reason} at byte {error.start}") from error
    documents, unreadable = lints.documents_of(str(path), text)
    if unreadable:
        raise BadRequest(f"{path}:{unreadable[0].line}: {unreadable[0].message}")
    return [document.value for document in documents]


def _objects(path: Path) -> tuple[list[Binding], dict[tuple[str, bool], Mapping[str, Any]]]:
    bindings: list[Binding] = []
    templates: dict[tuple[str, bool], Mapping[str, Any]] = {}
    for raw in (raw for file in _files(path) for raw in _read(file) if isinstance(raw, dict)):
        kind = raw.get("kind")
        if kind == "WorkflowEventBinding":
            bindings.append(binding_from_object(raw))
        elif kind in ("WorkflowTemplate", "ClusterWorkflowTemplate"):
            name = str((raw.get("metadata") or {}).get("name", ""))
            templates[name, kind == "ClusterWorkflowTemplate"] = raw
    return bindings, templates


def answer_of(
    event: Event,
    bindings: Sequence[Binding],
    templates: Mapping[tuple[str, bool], Mapping[str, Any]],
    instance_id: str,
) -> dict[str, Any]:
    """What the bindings of the event's namespace say: a verdict each, and the Workflows that would be made.

    Bindings without a namespace count for each, as files often leave it to kubectl.
    """
    asked = [binding for binding in bindings if binding.namespace in ("", event.namespace)]
    placed = [_in(event.namespace, binding) for binding in asked]
    matching = match(event, placed)
    verdicts = {
        verdict.binding: {"outcome": verdict.outcome, "reason": verdict.reason}
        | ({"message": verdict.message} if verdict.message else {})
        for verdict in matching.verdicts
    }
    workflows = []
    for submission in matching.submissions:
        reference = submission.template
        template = templates.get((reference.name, reference.cluster_scope), {}) if reference else {}
        workflows.append(workflow_for(submission, template, instance_id))
    return {"verdicts": verdicts, "workflows": workflows}


def _in(namespace: str, binding: Binding) -> Binding:
    return binding if binding.namespace else replace(binding, namespace=namespace)


def _one(
    path: Path,
    bindings: Sequence[Binding],
    templates: Mapping[tuple[str, bool], Mapping[str, Any]],
    options: argparse.Namespace,
) -> dict[str, Any]:
    documents = _read(path)
    if len(documents) != 1:
        raise BadRequest(f"{path} holds {len(documents)} documents: a fixture is one")
    event = savings.event_of_fixture(documents[0], path.name)
    answer = answer_of(event, bindings, templates, options.instance_id)
    text = yaml.safe_dump(answer, sort_keys=True, allow_unicode=True, width=110)
    golden = path.with_name(path.stem + GOLDEN)
    if options.update:
        golden.write_text(text, encoding="utf-8")
        return {"fixture": str(path), "result": "written"}
    if not golden.exists():
        return {"fixture": str(path), "result": f"no {golden.name}: write it with --update"}
    before = golden.read_text(encoding="utf-8")
    if before == text:
        return {"fixture": str(path), "result": "ok"}
    diff = difflib.unified_diff(before.splitlines(), text.splitlines(), golden.name, "now", lineterm="")
    return {"fixture": str(path), "result": "different", "diff": list(diff)}
