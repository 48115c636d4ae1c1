"""Damaged and hostile files through every reader: a clear `PlannerError` or a right answer, in bounded memory and time.

    python -m tests.fuzz.readers                      every reader, guided by coverage where atheris is installed
    python -m tests.fuzz.readers gguf --runs 20000
    python -m tests.fuzz.readers gguf --blind         drawn from --seed alone, without atheris

A file that does harm is left as `crash-…` in the working directory (libFuzzer's way), and is run again by giving its
path.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.util
import math
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

MOST_SECONDS, MOST_MIB = 20, 1024  # for one file of at most a few ten kilobytes
MOST_ADDRESS_MIB = 4096  # blind: with all that Python and its libraries reserve without using it
LONGEST_FILE_BYTES = 20_000
SHARE = {"planner": 0.2, "audit": 0.2}  # of --runs: each takes ten times as long as the others


class Reader(NamedTuple):
    """A reader under test.

    Attributes:
        seeds: the name of the function in `seeds` that makes its corpus.
        read: reads the file at a path, and asserts that the answer is right.
        name: what the file is called.
    """

    seeds: str
    read: Callable[[Path], None]
    name: str
    in_package: bool = False


def read_config(path: Path) -> None:
    from core.readers.model_files import read_model

    _check_model(read_model(str(path)).spec)


def read_weights(path: Path) -> None:
    from core.readers.weight_files.safetensors_header import read_safetensors

    stored = read_safetensors(str(path))
    content = path.read_bytes()
    import safetensors

    theirs = dict(safetensors.deserialize(content))  # what is read here, the reference library reads, and the same
    assert {tensor.name: list(tensor.shape) for tensor in stored.tensors} == {
        name: tensor["shape"] for name, tensor in theirs.items()
    }
    assert stored.total_bytes == sum(len(tensor["data"]) for tensor in theirs.values())


def read_index(path: Path) -> None:
    from core.readers.weight_files.safetensors_header import read_safetensors

    assert read_safetensors(str(path)).missing_shards  # none of them is there


def read_gguf_file(path: Path) -> None:
    from core.errors import PlannerError
    from core.readers.model_files import read_model
    from core.readers.weight_files.gguf_header import read_gguf

    stored = read_gguf(str(path)).stored
    assert stored.missing_shards or 0 <= stored.total_bytes <= path.stat().st_size
    with contextlib.suppress(PlannerError):  # a header may be whole and describe no model
        _check_model(read_model(str(path)).spec)


def read_model_rows(path: Path) -> None:
    from core.catalog.rows import read_rows
    from core.errors import PlannerError

    for row in read_rows(str(path)):
        with contextlib.suppress(PlannerError):
            row.published_parameters()
            row.as_of()
            _check_model(row.spec())


def read_scenarios(path: Path) -> None:
    from workbook.scenario_csv import CsvScenarios

    for row in CsvScenarios(path).given_rows():
        _check_row(row)


def read_prices(path: Path) -> None:
    from vram.price_files import prices_of_file

    for prices in prices_of_file(path).values():
        for price in (prices.purchase, prices.server_per_gpu, prices.on_demand_per_gpu_hour):
            assert price is None or (0 <= price.usd < math.inf and price.step >= 1)


def import_prices(path: Path) -> None:
    """What is imported can be read again, and is the same."""
    from core.errors import PlannerError
    from vram.cli.prices import csv_of
    from vram.price_files import FORMS, import_offers, read_offers

    refused = []
    for form in FORMS:
        try:
            offers = import_offers(path, form, datetime.date(2026, 11, 26)).offers
        except PlannerError as error:
            refused.append(error)
            continue
        if offers:
            again = path.with_name("again.csv")
            again.write_bytes(csv_of(offers))
            assert read_offers(again) == offers
    if len(refused) == len(FORMS):
        raise refused[-1]


def read_planner(path: Path) -> None:
    from workbook.planner_reader import Planner

    for row in Planner(path).given_rows():
        _check_row(row)


def audit_workbook(path: Path) -> None:
    from workbook.audit.run import audit

    assert audit(path).results


def _check_row(row) -> None:
    assert (row.scenario is None) == bool(row.problems)
    if row.scenario is not None:
        needs = row.scenario.estimate
        sizes = (needs.weights_bytes, needs.kv_bytes, needs.overhead_bytes)
        assert all(type(size) is int and size >= 0 for size in sizes) and needs.weights_bytes > 0
        assert row.scenario.gpus_by_division >= 1


def _check_model(spec) -> None:
    from core import catalog
    from core.plan.estimate import estimate

    fp16 = catalog.precision("precision", "fp16")
    _check_estimate(estimate(spec, context=1000, users=2, precision=fp16, kv_precision=fp16, overhead=0.1))


def _check_estimate(result) -> None:
    sizes = [item.size_bytes for item in result.line_items]
    assert all(type(size) is int and size >= 0 for size in sizes) and result.weights_bytes > 0
    assert result.total_bytes == sum(sizes) and math.isfinite(result.total_bytes / 1e9)


READERS = {
    "config": Reader("configs", read_config, "config.json"),
    "safetensors": Reader("safetensors_files", read_weights, "model.safetensors"),
    "index": Reader("indexes", read_index, "model.safetensors.index.json"),
    "gguf": Reader("gguf_headers", read_gguf_file, "model.gguf"),
    "models_csv": Reader("model_rows", read_model_rows, "my_models.csv"),
    "prices_csv": Reader("offer_files", read_prices, "offers.csv"),
    "imported": Reader("price_files", import_prices, "vms.csv"),
    "scenarios_csv": Reader("scenario_files", read_scenarios, "scenarios.csv"),
    "planner": Reader("package_parts", read_planner, "planner.xlsx", in_package=True),
    "audit": Reader("package_parts", audit_workbook, "suppliers.xlsx", in_package=True),
}


class Trial:
    """Files through one reader, counted."""

    def __init__(self, key: str, folder: str) -> None:
        from core.errors import PlannerError

        self._reader, self._error = READERS[key], PlannerError
        self._path = Path(folder, self._reader.name)
        self.counts: Counter[str] = Counter()

    def __call__(self, data: bytes) -> None:
        """Raises whatever is no `PlannerError`, and `AssertionError` for a wrong answer."""
        if self._reader.in_package:
            from tests.fuzz.seeds import package_of

            data = package_of(data)
        self._path.write_bytes(data)
        try:
            self._reader.read(self._path)
            self.counts["read"] += 1
        except self._error as error:
            assert error.field and error.problem and error.remedy and "\n" not in error.problem, repr(error)
            self.counts["refused"] += 1


def _limit_memory() -> None:
    with contextlib.suppress(ImportError):  # Windows has no such limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESS_MIB * 2**20, MOST_ADDRESS_MIB * 2**20))


def blind(key: str, runs: int, seed: int) -> Counter[str]:
    """So many mutated seeds, the same ones for the same `seed`.

    Raises:
        AssertionError: with the file's bytes, where one is read wrong or does anything but be refused.
    """
    from tests.fuzz import seeds

    draw, corpus = random.Random(f"{key} {seed}"), getattr(seeds, READERS[key].seeds)()
    with tempfile.TemporaryDirectory(prefix="vram-fuzz-") as folder:
        trial = Trial(key, folder)
        for data in corpus:
            trial(data)
        assert trial.counts["read"], "no seed is a right file"
        for number in range(runs):
            data = seeds.mutated(draw, corpus, seeds.WORDS[key], keep=READERS[key].in_package)
            started = time.monotonic()
            try:
                trial(data)
            except Exception as error:
                Path(f"crash-{key}-{seed}-{number}").write_bytes(data)
                raise AssertionError(f"{key}, seed {seed}, run {number}: {error!r:.300} from {data!r:.2000}") from error
            assert time.monotonic() - started < MOST_SECONDS, f"{key}, run {number} takes too long: {data!r:.2000}"
    return trial.counts


def guided(key: str, runs: int, seed: int) -> None:
    """The same under atheris; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["core", "workbook"]):
        import core.readers.model_files  # noqa: F401
        import workbook.audit.run
        import workbook.planner_reader
        import workbook.scenario_csv  # noqa: F401
    from tests.fuzz import seeds

    with tempfile.TemporaryDirectory(prefix="vram-fuzz-") as folder:
        corpus, words = Path(folder, "corpus"), Path(folder, "words")
        corpus.mkdir()
        for number, content in enumerate(getattr(seeds, READERS[key].seeds)()):
            Path(corpus, f"seed-{number}").write_bytes(content)
        escaped = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in seeds.WORDS[key])
        words.write_text("".join(f'"{word}"\n' for word in escaped))
        trial = Trial(key, folder)

        def one_input(data: bytes) -> None:
            trial(data)
            if sum(trial.counts.values()) == runs:
                print(f"counts: {dict(trial.counts)}", flush=True)

        options = [f"-runs={runs}", f"-seed={seed}", f"-timeout={MOST_SECONDS}", f"-rss_limit_mb={MOST_MIB}",
                   f"-max_len={LONGEST_FILE_BYTES}", f"-dict={words}", f"-artifact_prefix=crash-{key}-", "-verbosity=0",
                   "-print_final_stats=1"]  # fmt: skip
        atheris.Setup([sys.argv[0], *options, str(corpus)], one_input)
        atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", nargs="?", choices=[*READERS, "all"], default="all")
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blind", action="store_true", help="without atheris, also where it is installed")
    parser.add_argument("--file", type=Path, help="run this one file again")
    options = parser.parse_args()
    if options.file:
        with tempfile.TemporaryDirectory(prefix="vram-fuzz-") as folder:
            trial = Trial(options.reader, folder)
            trial(options.file.read_bytes())
            print(dict(trial.counts))
    elif options.reader == "all":
        sys.exit(_all(options))
    elif options.blind:
        _limit_memory()
        print(f"counts: {dict(blind(options.reader, options.runs, options.seed))}")
    else:
        guided(options.reader, options.runs, options.seed)


def _all(options: argparse.Namespace) -> int:
    """Each reader in a process of its own; the number of those that failed."""
    is_guided = importlib.util.find_spec("atheris") is not None and not options.blind
    print(
        "readers, " + ("guided by coverage (atheris)" if is_guided else "blind: atheris is not installed or not wanted")
    )
    failed = 0
    for key in READERS:
        runs = int(options.runs * SHARE.get(key, 1))
        command = [sys.executable, "-m", "tests.fuzz.readers", key, f"--runs={runs}", f"--seed={options.seed}"]
        started = time.monotonic()
        done = subprocess.run([*command, *([] if is_guided else ["--blind"])], capture_output=True, text=True)
        counts = re.search(r"counts: (.*)", done.stdout)
        peak = re.search(r"peak_rss_mb: +(\d+)", done.stderr)
        print(
            f"  {key}: {runs:,} files in {time.monotonic() - started:.0f} s, {counts[1] if counts else 'FAILED'}"
            + (f", at most {peak[1]} MiB" if peak else ""),
            flush=True,
        )
        if done.returncode or not counts:
            failed += 1
            print(done.stderr[-4000:])
    return failed


if __name__ == "__main__":
    main()
