"""`lynceus lint`: mistakes are found before any event, with their lines; what is right is left in peace."""

from __future__ import annotations

import base64
import json
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lynceus import lints
from lynceus.__main__ import main
from lynceus.lints import Finding
from lynceus.lints.selectors import remarks
from tests.core.test_bindings import places
from tests.world import binding, template

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


def found(*objects: Any, find: Any = None) -> list[Finding]:
    text = "---\n".join(yaml.safe_dump(raw, sort_keys=False) for raw in objects)
    documents, unreadable = lints.documents_of("objects.yaml", text)
    return [*unreadable, *lints.lint(documents, NOW, find)]


def said(*objects: Any, find: Any = None) -> str:
    return "\n".join(f"{f.level}: {f.message} | {f.hint}" for f in found(*objects, find=find))


def cron(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "CronWorkflow",
        "metadata": {"name": "nightly"},
        "spec": {
            "schedules": ["0 3 * * *"],
            "workflowSpec": {"workflowTemplateRef": {"name": "build"}},
            **spec,
        },
    }


def with_parameters(*parameters: dict[str, Any]) -> dict[str, Any]:
    raw = template()
    raw["spec"]["arguments"] = {"parameters": list(parameters)}
    return raw


@pytest.mark.parametrize(
    "selector, part",
    [
        ('metadata["x-github-event"] == "push"', 'write metadata["x-github-event"] == ["push"]'),
        ('"push" == metadata["x-github-event"]', "never true"),
        ('metadata["x-github-event"] != "push"', "always true"),
        ('metadata["x-github-event"] in ["push", "create"]', "never true"),
        ('metadata["x-github-event"] contains "pu"', "fails on every event"),
        ('metadata["x-github-event"] startsWith "pu"', "fails on every event"),
        ('payload.a == 1 && metadata["x-github-event"] == "push" || false', "never true"),
        ('metadata["X-GitHub-Event"] == ["push"]', 'write metadata["x-github-event"]'),
        ('metadata["content-type"] == ["a"]', "only headers beginning with x-"),
        ('discriminator == "a" && discriminator == "b"', "can never be true"),
        ('payload.ref == "a" and payload.x and "b" == payload.ref', "can never be true"),
        ("false", "is false for every event"),
        ("1 == 2", "is false for every event"),
        ('"yes"', "bool"),
        ("payload.a ==", "does not compile"),
        ("paylod.a == 1", 'did you mean "payload"'),
        ("payload.a = 1", "does not compile"),
    ],
)
def test_a_selector_that_cannot_be_true_is_found_with_what_to_write(selector: str, part: str) -> None:
    assert part in said(binding("b", selector))


@pytest.mark.parametrize(
    "selector",
    [
        'metadata["x-github-event"] == ["push"]',
        '"push" in metadata["x-github-event"]',
        'metadata["x-github-event"][0] == "push"',
        'any(metadata["x-github-event"], # startsWith "pu")',
        'metadata["ce-type"] == ["a"] && discriminator == "a"',
        'discriminator == "a" || discriminator == "b"',
        'payload.ref == "a" && payload.other == "b"',
        'payload?.a?.b == "c"',
        "payload.ready",
        "true",
    ],
)
def test_a_selector_that_may_be_true_is_left_in_peace(selector: str) -> None:
    assert found(binding("b", selector)) == []


def test_unknown_keys_are_found_where_they_stand() -> None:
    raw = binding("b")
    raw["spec"]["submit"]["argument"] = {}
    raw["spec"]["event"]["selectr"] = "x"

    findings = found(raw)

    lines = yaml.safe_dump(raw, sort_keys=False).splitlines()
    assert {lines[f.line - 1].strip() for f in findings} == {"argument: {}", "selectr: x"}
    assert {f.hint for f in findings} == {'did you mean "arguments"?', 'did you mean "selector"?'}


def test_a_parameter_that_the_template_lacks_or_does_not_have_is_named() -> None:
    raw = binding("b", parameters={"revison": "payload.after"})
    build = with_parameters(
        {"name": "revision"}, {"name": "branch", "value": "main"}, {"name": "x", "default": ""}
    )

    text = said(raw, build)

    assert 'has no parameter "revison" | did you mean "revision"?' in text
    assert 'lacks a value for its parameter "revision"' in text
    assert "branch" not in text.replace('did you mean "revision"?', "")


def test_a_template_that_does_not_exist_is_an_error_only_where_a_cluster_says_so() -> None:
    raw = binding("b", template="buildd")

    assert found(raw) == []
    assert 'did you mean "build"?' in said(raw, template())
    assert 'error: WorkflowTemplate "buildd" does not exist' in said(raw, find=lambda *_: None)
    assert found(raw, find=lambda *_: template("buildd")) == [] or "revision" in said(
        raw, find=lambda *_: template()
    )


def test_parameters_and_labels_are_compiled_too() -> None:
    text = said(
        binding("b", parameters={"p": "payload.("}, metadata={"labels": {"l": "payload.("}, "name": "1 +"})
    )

    assert 'parameter "p": does not compile' in text
    assert 'label "l": does not compile' in text
    assert "name: does not compile" in text


def test_schedules_are_told_with_their_next_times() -> None:
    [finding] = found(cron())

    assert finding.level == lints.NOTE
    assert "2026-03-03T03:00:00Z, 2026-03-04T03:00:00Z" in finding.message


@pytest.mark.parametrize(
    "spec, part",
    [
        ({"schedules": ["0 0 30 2 *"]}, "never fires"),
        ({"schedules": ["61 * * * *"]}, "error"),
        ({"timezone": "Mars/Olympus"}, "error"),
        ({"concurencyPolicy": "Forbid"}, 'did you mean "concurrencyPolicy"?'),
        ({"concurrencyPolicy": "Never"}, "error"),
        ({"suspend": True}, "is suspended"),
        ({"stopStrategy": {"expresion": "true"}}, 'did you mean "expression"?'),
    ],
)
def test_mistakes_in_a_cron_workflow_are_found(spec: dict[str, Any], part: str) -> None:
    assert part in said(cron(**spec))


def test_webhook_clients_are_read_as_the_door_reads_them() -> None:
    empty = yaml.safe_dump({"type": "github", "secret": ""})
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "argo-workflows-webhook-clients"},
        "data": {"github.com": base64.b64encode(empty.encode()).decode()},
    }

    assert "would let anybody in" in said(secret)
    assert 'did you mean "github"?' in said({"github.com": {"type": "githb", "secret": "crown jewels"}})
    assert "crown jewels" not in said({"github.com": {"type": "githb", "secret": "crown jewels"}})
    assert found({"github.com": {"type": "github", "secret": "x"}}) == []


def test_lists_are_looked_into_and_foreign_objects_are_not() -> None:
    listed = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [binding("b", "false"), {"kind": "Pod", "spec": 1}],
    }

    assert [f.level for f in found(listed)] == [lints.WARNING]


def test_a_kind_that_is_nearly_ours_is_named() -> None:
    assert 'did you mean "WorkflowEventBinding"?' in said({**binding("b"), "kind": "WorkflowEventBindings"})


def test_what_is_no_yaml_has_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("a: b\nc: [\n")

    assert main(["lint", str(path)]) == 1
    assert f"{path}:3:1: error" in capsys.readouterr().out


def test_exit_codes_and_json_are_stable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "warn.yaml").write_text(yaml.safe_dump(binding("b", "false")))
    (tmp_path / "notes.txt").write_text("not looked at")

    assert main(["lint", str(tmp_path)]) == 0
    assert main(["lint", "--strict", str(tmp_path)]) == 1
    assert main(["lint", str(tmp_path / "missing")]) == 2
    capsys.readouterr()
    assert main(["lint", str(tmp_path), "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["objects"], told["findings"][0]["level"]) == (1, "warning")


def test_the_demo_of_make_run_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--strict", str(ROOT / "lynceus" / "local" / "demos.yaml")]) == 0


MISFITS: tuple[Any, ...] = (None, 5, True, "x", [], ["a"], {}, {"a": 1}, [{"name": 5}])


@pytest.mark.parametrize(
    "raw",
    [
        binding("b", "true", metadata={"name": '"x"', "labels": {"a": '"b"'}}, parameters={"p": "payload"}),
        cron(timezone="UTC", workflowMetadata={"labels": {"a": "b"}}),
        with_parameters({"name": "revision", "value": "x"}),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "argo-workflows-webhook-clients"},
            "data": {"a": "eA=="},
            "stringData": {"github.com": "type: github"},
        },
    ],
    ids=lambda raw: str(raw["kind"]),
)
def test_a_part_of_another_kind_is_a_finding_and_no_accident(raw: dict[str, Any]) -> None:
    for place in places(raw):
        for misfit in MISFITS:
            wrong = deepcopy(raw)
            part: Any = wrong
            for key in place[:-1]:
                part = part[key]
            part[place[-1]] = misfit
            assert all(isinstance(each, Finding) for each in found(wrong, binding("other"), template()))


def test_a_problem_of_a_schedule_and_of_a_client_stands_at_its_line() -> None:
    [late] = found(cron(schedules=["0 3 * * *", "61 * * * *"]))
    clients = {
        "kind": "Secret",
        "metadata": {"name": "argo-workflows-webhook-clients"},
        "stringData": {"a": "{type: github, secret: s}", "b": "{type: gitlab, secret: s}"},
    }
    [equal] = found(clients)

    assert (late.line, "61" in late.message) == (8, True)
    assert (equal.line, 'client "b"' in equal.message) == (6, True)


def test_h_stands_for_the_minute_that_it_has_in_the_namespace_of_the_object() -> None:
    def minute(namespace: str) -> str:
        text = yaml.safe_dump(cron(schedules=["H 3 * * *"]))
        documents, _ = lints.documents_of("x", text)
        return lints.lint(documents, NOW, None, namespace)[0].message

    assert len({minute(namespace) for namespace in ("a", "b", "c", "d")}) > 1


def test_a_directory_without_yaml_is_a_mistake_and_not_clean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


@settings(max_examples=150, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["kind", "apiVersion", "metadata", "spec", "event", "selector", "submit", "arguments", "name",
                         "parameters", "workflowTemplateRef", "valueFrom", "schedules", "workflowSpec", "type"]),
        inner | st.sampled_from(["WorkflowEventBinding", "CronWorkflow", "argoproj.io/v1alpha1", "github"]),
        max_size=6),
    max_leaves=25,
))  # fmt: skip
def test_whatever_a_file_holds_it_is_answered_with_findings(value: Any) -> None:
    for raw in (
        value,
        {"kind": "WorkflowEventBinding", "spec": value},
        {"kind": "CronWorkflow", "spec": value},
    ):
        documents, unreadable = lints.documents_of("x.json", json.dumps(raw))
        assert all(isinstance(each, Finding) for each in [*unreadable, *lints.lint(documents, NOW)])


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_whatever_a_selector_says_it_is_answered_with_remarks(source: str) -> None:
    assert isinstance(remarks(source, selector=True), list)


def test_a_cluster_that_does_not_answer_is_said_and_not_taken_for_clean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kubeconfig").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
                "users": [{"name": "c", "user": {"token": "t"}}],
            }
        )
    )
    path = tmp_path / "binding.yaml"
    path.write_text(yaml.safe_dump(binding("b")))

    code = main(["lint", "--cluster", "--kubeconfig", str(tmp_path / "kubeconfig"), str(path)])

    assert (code, "does not answer" in capsys.readouterr().err) == (3, True)
