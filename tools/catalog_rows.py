"""Turn config.json files into rows of the catalog, and say which names of a list the catalog lacks.

Run: python -m tools.catalog_rows CONFIGS --source TEXT [--as-of DATE] [--add]
     python -m tools.catalog_rows --missing NAMES

CONFIGS is a folder of config.json files, called ORG--NAME_config.json, ORG--NAME.json or ORG/NAME/config.json, or a
.jsonl file with an object per line: "id" and "config", and optionally "name", "title", "developer", "licence",
"parameters" (the published total, with which the count must agree) and "source". A model with the shapes of another is
its alias, unless it has a "name". NAMES is a text file with a name per line, such as the most downloaded models.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core import catalog
from core.catalog.rows import COLUMNS, row_of
from core.errors import PlannerError
from core.model.parameters import count_parameters
from core.model.spec import ModelSpec
from core.readers.hf_config import spec_from_config

MODELS = Path(catalog.DATA_FOLDER) / "models.csv"
# What the catalog leaves out of names: words for the version that is tuned for chat, and for the file format.
_VERSION = re.compile(r"-(?:instruct|it|chat|hf|bf16)(?=-|$)")


@dataclass(frozen=True)
class Config:
    """A config.json with what is known about the model."""

    hub_id: str
    fields: Mapping[str, object]
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the name of its row: the repository's, in lower case, without words such as "instruct"."""
        given = self.facts.get("name")
        repository = self.hub_id.rpartition("/")[2].lower().replace("_", "-")
        return given or _VERSION.sub("", repository) or repository


def configs(path: Path) -> Iterator[Config]:
    """Yield the configs in a folder or a .jsonl file."""
    if path.is_file():
        for line in filter(None, path.read_text(encoding="utf-8").splitlines()):
            facts = json.loads(line)
            fields = facts.pop("config")
            yield Config(facts.pop("id"), fields, {key: str(value) for key, value in facts.items()})
        return
    for file in sorted(path.rglob("*.json")):
        if file.name == "config.json":
            hub_id = "/".join(file.parts[-3:-1])
        else:
            hub_id = re.sub(r"_config$", "", file.stem).replace("--", "/", 1)
        fields = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(fields, dict) and "model_type" in fields:
            yield Config(hub_id, fields)


@dataclass
class Report:
    """What became of the configs."""

    rows: list[dict[str, str]] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def new_rows(found: Iterator[Config], *, source: str, as_of: str) -> Report:
    """Return rows for the configs that the catalog lacks; a config with the shapes of an earlier one is its alias."""
    report, by_shape = Report(), {_shape(model.spec): model.name for model in catalog.models()}
    taken = {*catalog.model_names()}
    added: dict[str, dict[str, str]] = {}
    for config in found:
        if _resolves(config.hub_id):
            report.known.append(f"{config.hub_id}: {catalog.named_model(config.hub_id).model.name}")
            continue
        try:
            spec = spec_from_config(config.fields, name=config.name)
            problem = _difference(spec, config.facts.get("parameters"))
            if problem:
                raise ValueError(problem)
            same = None if "name" in config.facts else by_shape.get(_shape(spec))
            if same in added:
                added[same]["aliases"] += f";{config.hub_id}"
                continue
            if same:
                report.known.append(f"{config.hub_id}: same shapes as {same}")
                continue
            if config.name in taken:
                raise ValueError(f"the catalog has another model called {config.name}")
            row = _row(config, source=source, as_of=as_of)
        except (PlannerError, ValueError) as error:
            report.refused.append(f"{config.hub_id}: {error}")
            continue
        taken.add(config.name)
        by_shape[_shape(spec)] = config.name
        added[config.name] = row
        report.rows.append(row)
    return report


def _resolves(name: str) -> bool:
    try:
        found = catalog.named_model(name)
    except PlannerError:
        return False
    return name in found.model.aliases


def _shape(spec: ModelSpec) -> object:
    return spec.hidden_size, spec.layers, spec.vocab_size, spec.tie_word_embeddings, spec.extra, spec.quantization, (
        spec.max_position_embeddings, spec.bytes_per_value, spec.final_norms,
    )  # fmt: skip


def _difference(spec: ModelSpec, published: str | None) -> str:
    counted = count_parameters(spec).total
    return f"{counted} parameters, not {published}" if published and int(published) != counted else ""


def _row(config: Config, *, source: str, as_of: str) -> dict[str, str]:
    facts = config.facts
    title = facts.get("title") or config.hub_id.rpartition("/")[2].replace("-", " ").replace("_", " ")
    row = row_of(
        config.fields,
        name=config.name,
        aliases=[config.hub_id],
        title=title,
        source=facts.get("source") or f"config.json of {config.hub_id}, seen in {source}",
        as_of=facts.get("as_of") or as_of,
    )
    more = {"developer": facts.get("developer", config.hub_id.partition("/")[0]), "licence": facts.get("licence", "")}
    return row | more | {"published_parameters": facts.get("parameters", "")}


def missing(names: Sequence[str]) -> list[str]:
    """Return those of `names` that mean no model of the catalog."""
    lacking = []
    for name in names:
        try:
            catalog.named_model(name)
        except PlannerError:
            lacking.append(name)
    return lacking


def csv_lines(rows: Sequence[Mapping[str, str]]) -> str:
    """Return the lines of models.csv for `rows`."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writerows(rows)
    return out.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print rows, or add them to models.csv; say on standard error what was left out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("configs", nargs="?", type=Path, help="a folder of config.json files, or a .jsonl file")
    parser.add_argument("--source", default="", help="where the files were seen")
    parser.add_argument("--as-of", default=datetime.date.today().isoformat(), help="the date of the source")
    parser.add_argument("--add", action="store_true", help="add the rows to models.csv")
    parser.add_argument("--missing", type=Path, help="a file with a name per line: print those that are lacking")
    given = parser.parse_args(arguments)
    if given.missing:
        names = [line.strip() for line in given.missing.read_text(encoding="utf-8").splitlines() if line.strip()]
        lacking = missing(names)
        print("\n".join(lacking))
        print(f"{len(lacking)} of {len(names)} names mean no model of the catalog", file=sys.stderr)
        return
    if not given.configs:
        parser.error("give CONFIGS or --missing")
    report = new_rows(configs(given.configs), source=given.source, as_of=given.as_of)
    lines = csv_lines(report.rows)
    if given.add:
        with MODELS.open("a", encoding="utf-8", newline="") as file:
            file.write(lines)
    else:
        print(lines, end="")
    for line in (*(f"known: {each}" for each in report.known), *(f"refused: {each}" for each in report.refused)):
        print(line, file=sys.stderr)
    print(f"{len(report.rows)} rows, {len(report.known)} known, {len(report.refused)} refused", file=sys.stderr)


if __name__ == "__main__":
    main()
