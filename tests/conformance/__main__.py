"""Print passed/total per group of every recorded corpus; exit 1 when a corpus falls below its floor.

Each module may name `FLOOR`, the share of its cases that must pass (1.0 when it names none), one for all its groups
or a mapping with one per group.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys

import tests.conformance as corpora


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("corpus", nargs="*", help="only these corpora")
    parser.add_argument("-v", "--verbose", action="store_true", help="name every failing case")
    options = parser.parse_args()
    status = 0
    for module_info in sorted(pkgutil.iter_modules(corpora.__path__), key=lambda info: info.name):
        name = module_info.name
        if name.startswith("_") or (options.corpus and name not in options.corpus):
            continue
        module = importlib.import_module(f"tests.conformance.{name}")
        passed_all = total_all = 0
        floor = getattr(module, "FLOOR", 1.0)
        for group, passed, total, failures in module.run():
            if not total:
                print(f"{name:14} {group:28} absent")
                continue
            passed_all, total_all = passed_all + passed, total_all + total
            below_group = isinstance(floor, dict) and passed < floor.get(group, 1.0) * total
            if passed < total or options.verbose:
                print(f"{name:14} {group:28} {passed}/{total}" + ("  BELOW ITS FLOOR" if below_group else ""))
            status |= below_group
            for failure in failures if options.verbose else failures[:5]:
                print(f"{'':14} {failure}")
        if total_all:
            below = not isinstance(floor, dict) and passed_all < floor * total_all
            print(f"{name:14} {'total':28} {passed_all}/{total_all}" + ("  BELOW ITS FLOOR" if below else ""))
            status |= below
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
