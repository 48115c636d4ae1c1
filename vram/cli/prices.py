"""The command `vram prices import`."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import click

from core.catalog.offers import COLUMNS, Offer, row_of
from core.catalog.prices import date_of
from core.errors import PlannerError
from core.texts import counted
from vram.cli.options import encoding_option, say_encoding
from vram.price_files import FORMS, import_offers
from workbook.files import write_whole
from workbook.safe_text import csv_text


@click.group()
def prices() -> None:
    """Take prices from files that you have."""


@prices.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--kind", "form", type=click.Choice(FORMS), required=True, help="What wrote the file; csv: our columns.")
@click.option("--as-of", metavar="DATE", required=True, help="The date of the file, for example 2026-11-26.")
@click.option("--region", help='Only regions that begin with it, for example "us" or "eu-west-1". [default: all]')
@click.option(
    "-o", "--output", "path", type=click.Path(dir_okay=False, path_type=Path), default=Path("offers.csv"),
    show_default=True, help="Where to write the offers.",
)  # fmt: skip
@encoding_option
def import_prices(file: Path, form: str, as_of: str, region: str | None, path: Path, encoding: str | None) -> None:
    """Write the offers of FILE as a CSV file for `vram plan --prices` and `vram template --prices`.

    FILE is a vms.csv of SkyPilot's catalog (the folder names the cloud), a catalog of gpuhunt (the file names the
    provider), or has the columns of core/catalog/data/offers.csv. Of each machine the cheapest row is taken.

    \b
    vram prices import catalogs/v8/aws/vms.csv --kind skypilot --region us-east-1 --as-of 2026-11-26
    vram prices import lambdalabs.csv --kind gpuhunt --as-of 2026-11-26 -o lambda_offers.csv
    """
    found = import_offers(file, form, _date(as_of), region, encoding)
    say_encoding(file, found.detected)
    if found.offers:
        write_whole(path, csv_of(found.offers))
    gpus = len({offer.gpu for offer in found.offers})
    taken = f"{found.taken:,} of {found.rows:,} rows with a price taken"
    click.echo(f"{taken}: {counted(len(found.offers), 'offer')} of {counted(gpus, 'GPU')}")
    if found.unknown:
        names = ", ".join(f"{name} ({rows:,})" for name, rows in found.unknown.items())
        click.echo(f"GPU names that are not known, with their rows: {names}")
    if not found.offers:
        where = f" in regions that begin with {region!r}" if region else ""
        raise PlannerError(str(file), f"it has no price of a known GPU{where}", "Look at --kind and --region.")
    click.echo(f"Wrote {path}")


def _date(text: str):
    try:
        return date_of(text)
    except ValueError:
        raise PlannerError("as-of", f"{text!r} is not a date", "Write for example 2026-11-26.") from None


def csv_of(offers: tuple[Offer, ...]) -> bytes:
    """Return offers as a CSV file with the columns `COLUMNS`."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for offer in offers:
        writer.writerow({column: csv_text(text) for column, text in row_of(offer).items()})
    return out.getvalue().encode()
