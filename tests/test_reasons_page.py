"""docs/why-did-it-not-run.md has a paragraph for every reason, and for none that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

from chalicelib.core import reasons
from chalicelib.core.errors import (
    BadRequest,
    BodyTooLarge,
    Forbidden,
    Throttled,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
)
from chalicelib.flow import refusals
from lynceus.api import WHY

ROOT = Path(__file__).resolve().parents[1]


def paragraphs() -> dict[str, str]:
    """Code → its paragraph. GitHub makes the anchor of a heading of a code alone the code itself."""
    parts = re.split(r"^#{2,3} ", (ROOT / WHY).read_text(), flags=re.MULTILINE)[1:]
    found = {}
    for part in parts:
        heading, _, text = part.partition("\n")
        if code := re.fullmatch(r"`([a-z-]+)`", heading):
            found[code[1]] = text.strip()
    return found


def test_every_reason_has_its_paragraph_and_every_paragraph_its_reason() -> None:
    assert set(paragraphs()) == {reason.code for reason in reasons.all_reasons()}


def test_no_paragraph_is_empty() -> None:
    assert all(len(text) > 20 for text in paragraphs().values())


def test_the_page_begins_with_one_command() -> None:
    text = (ROOT / WHY).read_text()

    assert text.partition("\n\n")[2].startswith("```\nlynceus events explain\n```")


def test_every_reason_of_a_refusal_stands_in_a_table() -> None:
    sources = [path.read_text() for path in (ROOT / "chalicelib").rglob("*.py")]
    told = (ROOT / WHY).read_text() + (ROOT / "docs" / "webhook-clients.md").read_text()
    details = {
        code
        for source in sources
        for code in re.findall(r"(?:Unauthenticated|WebhookRefused)\(\s*\"([a-z-]+)\"", source)
    }
    # Of people who ask, not of senders; and of namespaces that are not ours nothing is counted.
    details -= {"no-authorization", "namespace-not-served"}
    classes = [BadRequest, BodyTooLarge, Forbidden, Throttled, Unauthenticated, Unavailable, UnsupportedMedia]

    named = details | {refusals.reason_of(kind()) for kind in classes}

    assert len(named) > 20
    assert {code for code in named if f"| `{code}` |" not in told} == set()


def test_links_within_the_page_lead_somewhere() -> None:
    text = (ROOT / WHY).read_text()
    headings = re.findall(r"^#{2,3} (.+)$", text, flags=re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors
