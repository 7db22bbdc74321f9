"""The page of the Events API names what there is: headers, statuses, annotations, and links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

from chalicelib.core import bindings, errors
from chalicelib.core.webhooks import MAX_NAME
from chalicelib.flow import receive

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "events-api.md").read_text(encoding="utf-8")


def test_the_page_names_our_headers_and_annotations() -> None:
    names = {receive.EVENT_ID, receive.DUPLICATE, receive.DRY_RUN}
    names |= {bindings.DEDUPE, bindings.EXPIRE_AFTER, bindings.ON_DOUBT}
    assert [name for name in sorted(names) if f"`{name}" not in PAGE] == []
    assert set(re.findall(r"`(lynceus[.]dev/[a-z-]+)`", PAGE)) <= names
    assert f"at most {MAX_NAME} characters" in PAGE


def test_a_status_of_the_page_has_the_code_of_its_error() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {(kind.http_status, kind.code) for kind in kinds if issubclass(kind, errors.LynceusError)}
    told = re.findall(r'^\| ([0-9]{3}) \| `\{"code":([0-9]+)', PAGE, re.MULTILINE)
    assert len(told) > 5
    assert {(int(status), int(code)) for status, code in told} <= codes


def test_the_links_of_the_page_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)", PAGE):
        assert (DOCS / target).exists(), target
