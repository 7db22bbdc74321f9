"""The pages say what is: their client loads, their command's sample is accepted, their binding matches it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chalicelib.core import expressions
from chalicelib.core.clients import WebhookClient, parse_clients
from chalicelib.core.providers import PROVIDERS
from chalicelib.core.signatures import REASONS
from chalicelib.core.webhooks import Authenticated, authenticate
from lynceus.senders import Request, sample, sample_names, signed
from tests.deliveries import SAMPLES, clients_of, delivery_of, recorded

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOW = 1767605400
SENDERS = sorted(set(PROVIDERS) - {"sns"})


def page(name: str) -> str:
    return (DOCS / "providers" / f"{name}.md").read_text(encoding="utf-8")


def blocks(name: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", page(name), re.DOTALL | re.MULTILINE)


def page_client(name: str) -> WebhookClient:
    (client,) = parse_clients(blocks(name)[0])
    return client


def received(request: Request, client: WebhookClient) -> Authenticated:
    fixture: dict[str, Any] = {
        "method": "POST",
        "headers": request.headers,
        "query": dict(request.query),
        "now": NOW,
    }
    return authenticate(delivery_of(fixture, body=request.body), [client])


def sent_by_the_command(name: str) -> tuple[Request, WebhookClient]:
    """What the page's command sends, as received by a client with the page's secret and the command's options."""
    match = re.search(r"lynceus send (\S+) (\S+) --secret \"\$SECRET\"(.*)", page(name))
    assert match is not None
    assert match[1] == name
    options = dict(re.findall(r"--option (\w+)=(\S+)", match[3]))
    entry = {"type": name, "secret": page_client(name).secrets[0], **options}
    (client,) = parse_clients(json.dumps({"sender": entry}))
    return signed(sample(name, match[2]), client, NOW), client


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_client_of_a_page_loads(name: str) -> None:
    assert page_client(name).type == name


@pytest.mark.parametrize("name", SENDERS)
def test_the_command_of_a_page_sends_what_is_accepted(name: str) -> None:
    assert received(*sent_by_the_command(name)).dispatch


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_binding_of_a_page_matches_its_sample(name: str) -> None:
    if name == "sns":
        request = recorded(SAMPLES / "sns" / "notification.json")
        certificate = next(iter(request["config"]["certs"].values())).encode()
        found = authenticate(delivery_of(request), clients_of(request), lambda url: certificate)
    else:
        found = received(*sent_by_the_command(name))
    environment = {
        "namespace": "argo",
        "discriminator": "",
        "metadata": dict(found.metadata),
        "payload": found.payload,
    }
    binding = yaml.safe_load(blocks(name)[1])
    assert expressions.compile(binding["spec"]["event"]["selector"]).evaluate_bool(environment)
    for parameter in binding["spec"]["submit"]["arguments"]["parameters"]:
        value = expressions.compile(parameter["valueFrom"]["event"]).evaluate(environment)
        assert expressions.parameter_text(value)


@pytest.mark.parametrize("name", SENDERS)
def test_every_sample_can_be_sent_and_is_accepted(name: str) -> None:
    client = sent_by_the_command(name)[1]
    for sample_name in sample_names(name):
        received(signed(sample(name, sample_name), client, NOW), client)


@pytest.mark.parametrize("name", SENDERS)
def test_a_page_names_the_other_samples(name: str) -> None:
    for sample_name in sample_names(name):
        assert re.search(
            rf"lynceus send {name} {re.escape(sample_name)}\b|`{re.escape(sample_name)}`", page(name)
        )


def test_the_overview_lists_every_sender_with_its_window() -> None:
    overview = page("README")
    for name, row in PROVIDERS.items():
        line = next(line for line in overview.splitlines() if line.startswith(f"| [{name}]({name}.md)"))
        said = line.split("|")[5].strip()
        if said:
            number, unit = said.split()
            seconds = {"minute": 60, "hour": 3600, "day": 86400}[unit.rstrip("s")]
            assert row.window.total_seconds() == int(number) * seconds


def test_the_reasons_of_a_refusal_are_documented_word_for_word() -> None:
    text = (DOCS / "webhook-clients.md").read_text(encoding="utf-8")
    for code, meaning in REASONS.items():
        assert f"| `{code}` | {meaning} |" in text
