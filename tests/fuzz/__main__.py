"""Search for an expression and an event that raise anything but ExpressionError, or take too long.

With atheris installed (it is no requirement: it has no wheel for every Python) inputs are found by coverage;
without it hypothesis makes them from the grammar. `make fuzz FUZZ="--seconds 600"` says how long.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chalicelib.core import expressions
from chalicelib.core.expressions import ExpressionError, parameter_text
from tests.core.expressions.sources import environments
from tests.core.expressions.sources import expressions as sources
from tests.core.expressions.test_properties import outcome, walked

TOO_LONG = 20.0  # seconds for one input, on a busy machine
STEPS = 200_000


def ask(source: str, env: dict[str, Any]) -> None:
    """Compile, evaluate, explain and print; whatever is not ours leaves this function."""
    begin = time.monotonic()
    try:
        expression = expressions.compile(source)
    except ExpressionError as error:
        str(error).encode()
        return
    str(expression.explain(env, steps=STEPS)).encode()
    for functions in (None, "metadata"):
        try:
            parameter_text(expression.evaluate(env, functions=functions, steps=STEPS))
        except ExpressionError as error:
            str(error).encode()
    took = time.monotonic() - begin
    assert took < TOO_LONG, f"{took:.1f} s for {source!r}"


def by_grammar(seconds: float) -> int:
    """Inputs from the grammar until the time is over; how many there were."""
    end, count = time.monotonic() + seconds, 0

    @settings(
        max_examples=500,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(sources(depth=4), sources(depth=5), st.text(max_size=80)), environments())
    def search(source: str, env: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        ask(source, env)
        try:
            expression = expressions.compile(source)
        except ExpressionError:
            return
        if "now()" not in source:
            assert outcome(expression, env) == walked(expression, env), source

    while time.monotonic() < end:
        search()
    return count


def by_coverage(atheris: Any, seconds: float) -> int:
    """Inputs found by coverage; a first line of JSON is the event, the rest the source."""

    def one(data: bytes) -> None:
        head, _, source = data.decode("utf-8", "replace").partition("\n")
        try:
            payload = json.loads(head)
        except (ValueError, RecursionError):
            payload = {"a": 1, "b": [head], "ref": "refs/heads/main"}
        env = {"payload": payload, "metadata": {"x-a": ["b"]}, "discriminator": "d", "namespace": "n"}
        ask(source or head, env)

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}", "-max_len=400"], one)
    atheris.Fuzz()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    try:
        import atheris
    except ImportError:
        sys.stdout.write(
            f"atheris is not installed: hypothesis searches the grammar for {options.seconds:.0f} s\n"
        )
        sys.stdout.write(f"{by_grammar(options.seconds)} inputs, nothing found\n")
    else:
        by_coverage(atheris, options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
