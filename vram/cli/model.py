"""The commands `vram model show`, `list` and `import`."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import click

from core import catalog
from core.catalog.cards import model_card
from core.catalog.rows import read_rows, row_of, with_row
from core.errors import PlannerError
from core.texts import escaped
from core.units import GB, GIB
from vram.cli.columns import check_one_form, print_columns, print_csv
from vram.cli.options import models_option
from vram.models import HUB_PREFIX, Model
from vram.models import model as find_model
from workbook.files import folder_lock, write_whole


class UnknownFieldsError(PlannerError):
    """The model comes from the catalog, not from files that could be imported."""


@click.group()
def model() -> None:
    """Show, list and import models."""


@model.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, sizes in bytes.")
@models_option
def show(model: str, as_json: bool) -> None:
    """Show the card of MODEL: a catalog name, a path, or hub:org/model on the Hugging Face hub."""
    found = find_model(model)
    _print_card(_card(found), as_json)


@model.command("list")
@click.option("--search", metavar="TEXT", default="", help="Only models with TEXT in their name, title or maker.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a CSV file, a row for each model.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list, sizes in bytes.")
@models_option
def list_models(search: str, as_json: bool, as_csv: bool) -> None:
    """List the models that have a name, your own first."""
    check_one_form(as_csv, as_json)
    found = [known for known in catalog.models() if search.casefold() in _searched(known).casefold()]
    cards = [_whole_numbers(model_card(known.spec)) for known in found]
    if as_csv:
        print_csv(cards)
    elif as_json:
        click.echo(json.dumps(cards, indent=2, ensure_ascii=False))
    elif not cards:
        click.echo(f"No model has {search!r} in its name.")
    else:
        _print_list(cards)


@model.command("import")
@click.argument("source", metavar="PATH_OR_ID")
@click.option("--name", help="Its name. [default: that of the file, the folder or the hub]")
@click.option(
    "--add-to", "file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
    help="Append it as a row to this CSV file of your own models; the file is created if it is missing.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, sizes in bytes.")
def import_model(source: str, name: str | None, file: Path | None, as_json: bool) -> None:
    """Read a model from its files, or from the Hugging Face hub (hub:org/model), and print its card.

    \b
    vram model import ./Llama-3.1-8B-Q4_K_M.gguf
    vram model import hub:Qwen/Qwen2.5-7B-Instruct --add-to my_models.csv
    """
    found = find_model(source)
    card = _card(found)
    if file is not None:
        _append(file, _row(found, source, name))
    _print_card(card, as_json)
    if file is not None:
        click.echo(f"Added to {file}. Use it with --models {file}, or set {catalog.MODELS_VARIABLE}.", err=True)


def _searched(known: catalog.CatalogModel) -> str:
    return "\n".join((known.name, known.title, known.developer, *known.aliases))


def _row(found: Model, source: str, name: str | None) -> dict[str, str]:
    if not found.file.fields:
        raise UnknownFieldsError(
            "model", f"{source!r} is in the catalog already", "Give the path of its files, or hub:org/model."
        )
    on_hub = source.startswith(HUB_PREFIX)
    repository = source.removeprefix(HUB_PREFIX)
    shipped = "" if found.file.stored is None else f", weights as shipped {found.file.stored.total_bytes} bytes"
    return row_of(
        found.file.fields,
        name=name or found.spec.name.rpartition("/")[2],
        aliases=(repository.partition("@")[0],) if on_hub else (),
        title=found.spec.name,
        source=(f"Hugging Face {repository} config.json" if on_hub else Path(source).resolve().name) + shipped,
        as_of=datetime.date.today().isoformat(),
    )


def _append(file: Path, row: dict[str, str]) -> None:
    with folder_lock(file.parent):
        content = b""
        if file.exists():
            taken = {known["name"]: known for known in read_rows(str(file))}
            if row["name"] in taken:
                problem = f"{row['name']!r} is in the file already"
                raise taken[row["name"]].error("name", problem, "Choose another name with --name.")
            content = file.read_bytes()
        write_whole(file, with_row(content, row))


def _card(found: Model) -> dict[str, object]:
    card = _whole_numbers(model_card(found.spec))
    if found.spec.notes:
        card["notes"] = "; ".join(found.spec.notes)
    stored = found.file.stored
    if stored is not None:
        card["stored_tensors"] = stored.tensor_count
        card["stored_weights_bytes"] = stored.total_bytes
        card["stored_bytes_by_dtype"] = dict(stored.bytes_by_dtype)
    return card


def _whole_numbers(card: dict[str, float | str]) -> dict[str, object]:
    return {
        field: int(value) if isinstance(value, float) and value.is_integer() else value for field, value in card.items()
    }


def _print_card(card: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(card, indent=2, ensure_ascii=False))
        return
    stored = card.pop("stored_bytes_by_dtype", {})
    rows = [(field.replace("_", " "), escaped(_shown(field, value))) for field, value in card.items()]
    rows += [(f"of these in {dtype}", _size(size_bytes)) for dtype, size_bytes in stored.items()]
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        click.echo(f"{label:{width}}  {text}")


def _print_list(cards: list[dict[str, object]]) -> None:
    columns = {"name": "Name", "parameters": "Parameters", "kv_bytes_per_token": "KV bytes per token", "title": "Title"}
    print_columns(
        [*columns.values()], [[escaped(_shown(field, card.get(field, ""))) for field in columns] for card in cards]
    )


def _shown(field: str, value: object) -> str:
    if not isinstance(value, int):
        return str(value)
    return _size(value) if field == "stored_weights_bytes" else f"{value:,}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes:,} bytes ({size_bytes / GB:,.2f} GB, {size_bytes / GIB:,.2f} GiB)"
