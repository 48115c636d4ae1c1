"""docs/mutation.md from the outcomes."""

from __future__ import annotations

import datetime

from tools.mutation.mutants import Mutant
from tools.mutation.processes import SURVIVED

Results = dict[str, list[tuple[Mutant, str, str | None]]]


def report(places: dict[str, int], results: Results, seed: int, day: datetime.date) -> str:
    """The page: how it is done, the score of each module, what survived and what cannot be told apart."""
    rows, alive, same = [], [], []
    drawn = killed = counted = 0
    for module, found in sorted(results.items()):
        survivors = [mutant for mutant, outcome, why in found if outcome == SURVIVED and not why]
        equivalent = [(mutant, why) for mutant, _, why in found if why]
        tested = len(found) - len(equivalent)
        rows.append(
            f"| {module} | {places[module]} | {len(found)} | {len(equivalent)} | {tested - len(survivors)} "
            f"| {len(survivors)} | {_share(tested - len(survivors), tested)} |"
        )
        alive += [f"| {module} | {_code(each.before)} | {_code(each.after)} |" for each in survivors]
        same += [f"| {module} | {_code(each.before)} | {_code(each.after)} | {why} |" for each, why in equivalent]
        drawn, counted, killed = drawn + len(found), counted + tested, killed + tested - len(survivors)
    return f"""# Mutation testing of `core/`

A mutant is the code with one small change: an operator, a comparison, a constant, a condition. A test that fails kills
it; one that survives is a line that no test looks at closely. Mutants are made by
[Cosmic Ray](https://cosmic-ray.readthedocs.io). Of all {sum(places.values())} places that can be changed {drawn} are
drawn with seed {seed}, some in every module that reckons, and each gets one of the changes possible there. Left
out are annotations, decorators (caches and frozen dataclasses: the figures are the same without them) and changes that
do not compile.

* Run it: `make mutation`, or `python -m tools.mutation kv_cache engines/vllm` for some modules. Two cores take half an
  hour the first time; later runs put only the survivors and what has changed to the tests.
* Each module's mutants are put to the tests that pyproject.toml names for it (`tool.mutation.tests`), in forked
  processes that see the changed module; no file of the source tree is touched.
* The score is killed ÷ (drawn − equivalent). A mutant that loops for ever counts as killed.

On {day:%-d %B %Y}: **{_share(killed, counted)}** ({killed} of {counted}).

| module | places | drawn | equivalent | killed | survived | score |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}

## What survived

| module | line | as changed |
|---|---|---|
{chr(10).join(alive)}

## Equivalent

Changes that no caller can see.

| module | line | as changed | why |
|---|---|---|---|
{chr(10).join(same)}
"""


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "–"


def _code(line: str) -> str:
    escaped = line.replace("|", "\\|")
    return f"`{escaped}`"
