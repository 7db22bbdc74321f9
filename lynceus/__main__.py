"""`lynceus` and `python -m lynceus` are one: find the verb's module, run it, answer with a stable exit code.

Exit codes: 0 done; 1 the answer is no (a finding, a refusal, a failure); 2 usage; 3 something needed is not
reachable. Only the module of the verb asked for is imported, so that `lynceus eval` never pays for moto.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import pkgutil
import sys
import traceback
from pathlib import Path

import lynceus.commands
from chalicelib.core.errors import LynceusError, Unavailable
from lynceus.output import NO, UNREACHABLE, USAGE, Misused, Output

STATE = Path(".lynceus")


def verbs() -> list[str]:
    """The names of the verbs, sorted; a module's underscores are dashes to people."""
    return sorted(info.name.replace("_", "-") for info in pkgutil.iter_modules(lynceus.commands.__path__))


def read_environment(path: Path) -> None:
    """Put the `NAME=value` lines of the file into the environment, over what the shell had.

    The local system writes the file; its fake AWS credentials must win over real ones.
    """
    for line in path.read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            os.environ[name.strip()] = value.strip()


def _options() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-o", "--output", choices=("human", "json", "yaml"), default=argparse.SUPPRESS)
    common.add_argument(
        "--local",
        action="store_true",
        default=argparse.SUPPRESS,
        help="speak to what `make run` started here (.lynceus/env)",
    )
    return common


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return its exit code; whatever happens is said in a line, never as a trace."""
    _make_safe()
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()  # here, where a failure is a line, and not as the interpreter ends
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _write_or_drop()
        return 0  # the reader of a pipe went away (`| head`): not our failure
    except OSError as error:
        _write_or_drop()
        named = f"{error.filename}: " if error.filename else ""
        return _failed(f"{named}{error.strerror or error}")
    except Exception as error:  # noqa: BLE001  # a person wants a line, and where to look
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        return _failed(f"unexpected {type(error).__name__} at {place}: {error}", "this is a bug of Lynceus")


def _make_safe() -> None:
    """Let no character that a terminal cannot show, and no closed stream, end a command."""
    if sys.stdout is None or sys.stderr is None:
        nowhere = open(os.devnull, "w")  # noqa: SIM115, PTH123  # for as long as the process lives
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _write_or_drop() -> None:
    """Write what still waits, or let it go nowhere: at its end the interpreter would try again, and exit with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _failed(message: str, hint: str = "") -> int:
    with contextlib.suppress(OSError):
        Output().error(message, hint)
    return NO


def _run(words: list[str]) -> int:
    wanted = next((word for word in words if not word.startswith("-") and word in verbs()), None)
    parser = argparse.ArgumentParser(
        prog="lynceus",
        description="The trigger side of Argo Workflows: send, explain, replay, run locally.",
        parents=[_options()],
    )
    commands = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    modules = {}
    for name in verbs():
        # Help for all verbs needs all modules; one verb needs its own only.
        if wanted is None or name == wanted:
            module = importlib.import_module(f"lynceus.commands.{name.replace('-', '_')}")
            modules[name] = module
            verb = commands.add_parser(
                name,
                help=module.HELP,
                description=module.__doc__,
                parents=[_options()],
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            module.arguments(verb)
    try:
        options = parser.parse_args(words)
    except SystemExit as stop:
        return USAGE if stop.code else 0
    out = Output(getattr(options, "output", "human"))
    if getattr(options, "local", False):
        try:
            read_environment(STATE / "env")
        except FileNotFoundError:
            out.error("nothing runs here: .lynceus/env is missing", "start it with: make run")
            return UNREACHABLE
    try:
        code: int = modules[options.verb].run(options, out)
    except LynceusError as error:
        out.error(error.message, getattr(error, "hint", ""))
        if isinstance(error, Misused):
            return USAGE
        return UNREACHABLE if isinstance(error, Unavailable) else NO
    return code


if __name__ == "__main__":
    sys.exit(main())
