"""Names, ids and steps of submissions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import BadRequest
from chalicelib.core.events import Account
from chalicelib.core.submissions import (
    ALPHABET,
    Pointer,
    Submission,
    backoff,
    claim_key,
    digest_of,
    end,
    event_id,
    leased,
    start,
    submission_id,
    succeed,
    wait,
    workflow_name,
)

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def submission(**more: object) -> Submission:
    return Submission("a" * 32, "event", "argo", "build-x", "e", "on-push", received_at=NOW, **more)  # type: ignore[arg-type]


@given(st.lists(st.text()), st.lists(st.text()))
def test_two_lists_of_parts_never_share_a_digest(one: list[str], other: list[str]) -> None:
    assert (digest_of(*one) == digest_of(*other)) == (one == other)


def test_rule_1_hook_discriminator_and_client_are_part_of_the_claim() -> None:
    keys = {
        claim_key("argo", "", "github.com", ("delivery-id", "1", "guid")),
        claim_key("argo", "", "github.com", ("delivery-id", "2", "guid")),
        claim_key("argo", "ci", "github.com", ("delivery-id", "1", "guid")),
        claim_key("argo", "", "gitlab.com", ("delivery-id", "1", "guid")),
        claim_key("prod", "", "github.com", ("delivery-id", "1", "guid")),
    }

    assert len(keys) == 5


def test_rule_2_an_epoch_makes_another_event() -> None:
    assert event_id("key", 0) != event_id("key", 1)


def test_rule_3_a_recreated_binding_of_the_same_name_is_the_same_submission() -> None:
    assert submission_id("e", "argo", "on-push") == submission_id("e", "argo", "on-push")
    assert submission_id("e", "argo", "on-push") != submission_id("e", "prod", "on-push")


@given(
    st.text(alphabet="abcdefghij-.", min_size=1, max_size=80), st.integers(min_value=0, max_value=16**32 - 1)
)
def test_rule_4_a_name_is_the_prefix_cut_to_53_and_ten_letters_of_the_alphabet(
    prefix: str, number: int
) -> None:
    name = workflow_name(prefix, f"{number:032x}")

    assert name.startswith(prefix[:53])
    assert len(name) == min(len(prefix), 53) + 10
    assert re.fullmatch(f"[{ALPHABET}]{{10}}", name[-10:])


def test_rule_5_a_submission_without_a_namespace_cannot_be() -> None:
    with pytest.raises(BadRequest):
        Submission("id", "event", "", "name", "e", "b")


@pytest.mark.parametrize(
    ("namespace", "name"), [("", "x"), ("A", "x"), ("argo", ""), ("argo", "a:b"), ("a/b", "x")]
)
def test_rule_5_an_account_is_built_of_two_checked_parts(namespace: str, name: str) -> None:
    with pytest.raises(BadRequest):
        Account(namespace, name)


def test_the_username_is_the_clusters() -> None:
    assert Account("argo", "github.com").username == "system:serviceaccount:argo:github.com"


def test_every_step_raises_the_version() -> None:
    one = submission()

    versions = [
        step.progress.version
        for step in (
            start(one, NOW),
            succeed(one, "created", "uid", NOW),
            end(one, "failed", "invalid", "text", NOW),
            wait(one, NOW, "throttled", "text", NOW),
        )
    ]

    assert versions == [1, 1, 1, 1]


def test_an_open_attempt_is_leased_to_the_worker_that_can_be_alive() -> None:
    attempt = start(submission(), NOW)

    assert leased(attempt, NOW + timedelta(seconds=60))
    assert not leased(attempt, NOW + timedelta(seconds=71))
    assert not leased(submission(), NOW)


def test_a_doubtful_wait_keeps_the_attempt_open_and_a_sure_one_closes_it() -> None:
    attempt = start(submission(), NOW)

    assert wait(attempt, NOW, "cluster-away", "", NOW, doubt=True).progress.attempt_started_at == NOW
    assert wait(attempt, NOW, "cluster-away", "", NOW).progress.attempt_started_at is None


def test_a_terminal_submission_is_due_no_more() -> None:
    done = succeed(start(submission(), NOW), "created", "uid", NOW)

    assert done.terminal
    assert done.progress.due is None


def test_backoff_grows_from_half_a_minute_to_a_quarter_of_an_hour() -> None:
    waited = (0, 30, 90, 120, 600, 1800, 86400)
    assert [backoff(timedelta(seconds=s)).total_seconds() for s in waited] == [30, 30, 45, 60, 300, 900, 900]


def test_a_pointer_survives_its_message() -> None:
    pointer = submission().pointer

    assert Pointer.from_message(pointer.to_message()) == pointer


@given(
    st.dictionaries(
        st.sampled_from(["namespace", "workflow", "submission"]),
        st.one_of(st.none(), st.integers(), st.text()),
    )
)
def test_a_message_gives_a_pointer_or_one_of_our_errors(message: dict[str, object]) -> None:
    try:
        pointer = Pointer.from_message(message)
    except BadRequest:
        return
    assert all((pointer.namespace, pointer.workflow, pointer.submission))
