"""`make mutation`: small changes to `core/`, each of which some test must notice; writes docs/mutation.md.

Mutants are Cosmic Ray's. How many are drawn, and which tests they are put to, pyproject.toml says. What was killed is
remembered in build/mutation.json until its module changes, so that a run after new tests takes minutes; delete the file
to start afresh. Needs `fork`: Linux or macOS.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
from collections import Counter
from pathlib import Path

import toml

from tools.mutation.mutants import Mutant, mutants
from tools.mutation.processes import SURVIVED, outcomes
from tools.mutation.report import report

ROOT = Path(__file__).parent.parent.parent
REMEMBERED = ROOT / "build" / "mutation.json"


def main() -> None:
    settings = toml.load(ROOT / "pyproject.toml")["tool"]["mutation"]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="of core/, all if left out: kv_cache engines/vllm")
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    tests = settings["tests"]
    places, found = {}, {}
    for module in chosen.modules or tests:
        drawn: dict[str, Mutant] = {}
        for draw in settings["draws"]:
            places[module], some = mutants(ROOT, f"core/{module}.py", **draw)
            drawn |= {mutant.code: mutant for mutant in some}
        found[module] = list(drawn.values())
    remembered = json.loads(REMEMBERED.read_text("utf-8")) if REMEMBERED.exists() else {}
    listed = toml.load(Path(__file__).parent / "equivalent.toml")["equivalent"]
    equivalent = {(each["module"], each["mutant"]): each["why"] for each in listed}
    left = {
        module: [
            mutant
            for mutant in some
            if remembered.get(_key(mutant), SURVIVED) == SURVIVED and (module, mutant.after) not in equivalent
        ]
        for module, some in found.items()
    }
    arguments = {module: _arguments(tests[module], settings["slow"]) for module, some in left.items() if some}
    _check_unchanged(arguments, chosen.workers, settings["limit_s"])
    work = [(mutant, arguments[module]) for module, some in left.items() for mutant in some]
    for mutant, outcome, seconds in outcomes(ROOT, work, chosen.workers, settings["limit_s"]):
        remembered[_key(mutant)] = outcome
        if outcome == SURVIVED:
            place = f"{mutant.module}:{mutant.line} ({seconds:.0f} s)"
            print(f"{place}\n  - {mutant.before}\n  + {mutant.after}", flush=True)
        REMEMBERED.parent.mkdir(exist_ok=True)
        REMEMBERED.write_text(json.dumps(remembered, indent=0), "utf-8")
    results = {
        module: [(each, remembered.get(_key(each), SURVIVED), equivalent.get((module, each.after))) for each in some]
        for module, some in found.items()
    }
    for module, told in results.items():
        counts = Counter("equivalent" if why else outcome for _, outcome, why in told)
        print(f"{module}: {places[module]} places, {dict(counts)}")
    if not chosen.modules:
        text = report(places, results, settings["earlier"], datetime.date.today())
        (ROOT / "docs" / "mutation.md").write_text(text, "utf-8")


def _arguments(tests: list[str], slow: list[str]) -> list[list[str]]:
    """Of pytest, one call after the other: files under tests/ without the slow tests; then those that are named."""
    files = [f"tests/{each}" for each in tests if each not in slow] + [f"--deselect=tests/{each}" for each in slow]
    named = [f"tests/{each}" for each in tests if each in slow]
    return [files, named] if named else [files]


def _check_unchanged(arguments: dict[str, list[list[str]]], workers: int, limit_s: float) -> None:
    """Sees to it that the tests pass on the code as it is."""
    work = []
    for module, selected in arguments.items():
        code = (ROOT / f"core/{module}.py").read_text("utf-8")
        work.append((Mutant(f"core/{module}.py", 0, "", "", code), selected))
    failed = [mutant.module for mutant, outcome, _ in outcomes(ROOT, work, workers, limit_s) if outcome != SURVIVED]
    if failed:
        raise SystemExit(f"The tests of these modules fail without any change: {', '.join(failed)}")


def _key(mutant: Mutant) -> str:
    return f"{mutant.module}:{mutant.line} " + hashlib.sha256(mutant.code.encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
