"""Read offers from files: our own columns, SkyPilot's catalog of virtual machines, and gpuhunt's catalogs.

SkyPilot: catalogs/<version>/<cloud>/vms.csv with InstanceType, AcceleratorName, AcceleratorCount, Price, SpotPrice,
Region, GpuInfo (github.com/skypilot-org/skypilot-catalog, README.md and catalogs/v8). gpuhunt: <provider>.csv with
instance_name, location, price, gpu_count, gpu_name, gpu_memory, spot (github.com/dstackai/gpuhunt, class
RawCatalogItem). Prices in both are US dollars per hour of the whole machine.
"""

from __future__ import annotations

import datetime
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core import catalog
from core.catalog.offer_choice import GpuPrices, default_offer_policy, judge, prices_by_gpu
from core.catalog.offers import (
    COLUMNS,
    HYPERSCALER,
    MOST_OFFERS,
    ON_DEMAND,
    SPECIALIST,
    SPOT,
    Offer,
    offer_of_row,
    offers_of_rows,
    with_offers,
)
from core.errors import PlannerError, WrongTypeError, quoted
from workbook.csv_file import CsvFile
from workbook.files import UnreadableFileError
from workbook.safe_text import without_csv_guard

SKYPILOT, GPUHUNT, OWN = FORMS = ("skypilot", "gpuhunt", "csv")
HYPERSCALERS = {"aws", "azure", "gcp", "oci", "ibm"}
# SkyPilot's names without a size: its rows of AWS and Lambda give 40 and 16 GiB in GpuInfo; others are named A100-80GB
# and V100-32GB.
_SKYPILOT_GB = {"A100": 40, "V100": 16}
_SIZE_MIB = re.compile(r"'SizeInMiB': (\d+)")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
_ALMOST = 0.12  # a driver reports up to this share less than the label: 46 068 MiB of a 48 GB card

_COLUMNS_OF = {
    SKYPILOT: ("InstanceType", "AcceleratorName", "AcceleratorCount", "Price", "Region"),
    GPUHUNT: ("instance_name", "location", "price", "gpu_count", "gpu_name", "spot"),
    OWN: ("gpu", "kind", "terms", "typical"),
}


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What a file gave.

    Attributes:
        offers: of each machine, region and terms, the cheapest.
        rows: rows with a GPU and a price in the region.
        taken: those of them whose GPU is known.
        unknown: the GPU names that are not known, with their number of rows.
        detected: the encoding that was guessed; "" if the file shows it.
    """

    offers: tuple[Offer, ...]
    rows: int
    taken: int
    unknown: Mapping[str, int]
    detected: str = ""


def read_offers(path: str | os.PathLike[str]) -> tuple[Offer, ...]:
    """Read a CSV file of offers with the columns `COLUMNS`.

    Raises:
        UnreadableFileError: it is no such file.
        PlannerError: a GPU, a kind or terms are not known, or there are too many offers.
    """
    path = Path(path)
    found = tuple(offers_of_rows(row for _, row in _rows(_opened(path, OWN, guess=False))))
    if not 1 <= len(found) <= MOST_OFFERS:
        problem = f"it has {len(found):,} offers, and 1 to {MOST_OFFERS:,} are compared"
        raise PlannerError(str(path), problem, "Import one region, with --region.")
    return found


def prices_of_file(path: str | os.PathLike[str]) -> Mapping[str, GpuPrices]:
    """Return the prices of every GPU by the catalog's offers and those of a file.

    Raises:
        PlannerError: the file cannot be read.
    """
    return prices_by_gpu(judge(with_offers(read_offers(path)), default_offer_policy()))


def import_offers(
    path: Path, form: str, as_of: datetime.date, region: str | None = None, encoding: str | None = None
) -> Imported:
    """Read the offers of a file.

    Args:
        form: one of `FORMS`.
        as_of: the date of the file, which its rows do not have.
        region: take only regions that begin with it ("us", "eu-west-1").
        encoding: of the file; None: to be found.

    Raises:
        UnreadableFileError: it is no file of this form.
        WrongTypeError: a number of a row is none; the message names the row and the column.
    """
    reader = {SKYPILOT: _skypilot, GPUHUNT: _gpuhunt, OWN: _own}[form]
    unknown: Counter[str] = Counter()
    found: list[Offer] = []
    rows = 0
    file = _opened(path, form, encoding, guess=True)
    for number, row in _rows(file):
        for name, gpu, offer in reader(path, number, row, as_of):
            if not offer.region.casefold().startswith((region or "").casefold()):
                continue
            rows += 1
            if gpu is None:
                unknown[name] += 1
            else:
                found.append(offer)
    offers = tuple(found) if form == OWN else tuple(_cheapest(found))
    names = dict(unknown.most_common())
    return Imported(offers=offers, rows=rows, taken=len(found), unknown=names, detected=file.detected)


_Found = tuple[str, str | None, Offer]
"""The GPU's name in the file, its name in the catalog (None: not known), and the offer."""


def _opened(path: Path, form: str, encoding: str | None = None, *, guess: bool) -> CsvFile:
    """Open a file of offers whose header has the columns of `form`."""
    needed = _COLUMNS_OF[form]
    columns = ", ".join(COLUMNS if form == OWN else needed)
    file = CsvFile(
        path, set(needed).__contains__, lambda cells: set(needed) <= set(cells),
        columns=columns, encoding=encoding, guess=guess,
    )  # fmt: skip
    missing = [name for name in needed if name not in file.header]
    if missing:
        remedy = f"Its first line must name {columns}."
        raise UnreadableFileError(str(path), f"it has no column {missing[0]}", remedy)
    return file


def _rows(file: CsvFile) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    """Yield (line, cells by column) of each row."""
    for line, cells in file.records():
        if file.delimiter != ",":
            cells = [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell.strip()) else cell for cell in cells]
        if any(cells):
            row = dict.fromkeys(file.header, "") | dict(zip(file.header, cells))
            yield line, {name: without_csv_guard(text) for name, text in row.items()}


def _skypilot(path: Path, number: int, row: Mapping[str, str | None], as_of: datetime.date) -> Iterator[_Found]:
    gpus, name = _number(number, row, "AcceleratorCount"), (row["AcceleratorName"] or "").strip()
    if not name or not gpus or gpus != int(gpus):  # no GPU, or a part of one
        return
    size = _SIZE_MIB.search(row.get("GpuInfo") or "")
    memory = int(size[1]) / 1024 if size else _SKYPILOT_GB.get(name)
    vendor = path.resolve().parent.name if path.stem == "vms" else path.stem
    for column, terms in (("Price", ON_DEMAND), ("SpotPrice", SPOT)):
        price = _number(number, row, column)
        if price:
            yield _machine(
                name, memory, gpus, vendor, terms, row["Region"] or "", as_of, price, f"SkyPilot catalog, {path.name}",
                row["InstanceType"] or "",
            )  # fmt: skip


def _gpuhunt(path: Path, number: int, row: Mapping[str, str | None], as_of: datetime.date) -> Iterator[_Found]:
    gpus, price = _number(number, row, "gpu_count"), _number(number, row, "price")
    name = (row["gpu_name"] or "").strip()
    if name and gpus and price:
        terms = SPOT if (row["spot"] or "").strip().casefold() == "true" else ON_DEMAND
        yield _machine(
            name, _number(number, row, "gpu_memory"), gpus, (row.get("provider") or path.stem).strip(), terms,
            row["location"] or "", as_of, price, f"gpuhunt catalog, {path.name}", row["instance_name"] or "",
        )  # fmt: skip


def _own(path: Path, number: int, row: Mapping[str, str | None], as_of: datetime.date) -> Iterator[_Found]:
    name = (row["gpu"] or "").strip()
    if not any((row.get(column) or "").strip() for column in COLUMNS):
        return
    gpu = gpu_of(name, None)
    # The other cells of a row with an unknown GPU are checked too.
    offer = offer_of_row(number, {**row, "gpu": gpu or next(iter(catalog.gpu_names()))})
    yield name, gpu, replace(offer, date=offer.date or as_of)


def _machine(
    name: str, memory_gb: float | None, gpus: float, vendor: str, terms: str, region: str, as_of: datetime.date,
    price: float, source: str, instance: str,
) -> _Found:  # fmt: skip
    gpu = gpu_of(name, memory_gb)
    offer = Offer(
        gpu=gpu or name,
        gpus=gpus,
        vendor=vendor,
        kind=HYPERSCALER if vendor.casefold() in HYPERSCALERS else SPECIALIST,
        terms=terms,
        region=region.strip(),
        date=as_of,
        smallest=gpus,
        typical=price,
        source=source,
        note=instance,
    )
    return name, gpu, offer


def gpu_of(name: str, memory_gb: float | None) -> str | None:
    """Return the catalog's name of a GPU that another catalog names; None if it is not known.

    Args:
        memory_gb: the memory of one GPU, which tells apart those of one name; None if it is not known.
    """
    sized = [f"{name} {round(memory_gb)}GB"] if memory_gb else []
    for candidate in (*sized, name):
        try:
            found = catalog.gpu(candidate)
        except PlannerError:
            continue
        if not memory_gb or abs(found.label_gb - memory_gb) <= _ALMOST * found.label_gb:
            return found.name
    return None


def _number(number: int, row: Mapping[str, str | None], column: str) -> float | None:
    """Return the number of a cell; None for a blank and for a number that counts nothing: 0 or less."""
    text = (row.get(column) or "").strip()
    try:
        found = float(text) if text else None
    except ValueError:
        found = float("nan")
    if found is not None and not abs(found) < float("inf"):
        raise WrongTypeError(f"row {number}, {column}", f"{quoted(text)} is not a number", "Correct or delete the row.")
    return found if found and found > 0 else None


def _cheapest(offers: list[Offer]) -> Iterator[Offer]:
    """Yield of each vendor's machines, by terms, the cheapest of all rows; `high` is the dearest."""
    groups: dict[tuple[object, ...], list[Offer]] = {}
    for offer in offers:
        groups.setdefault((offer.gpu, offer.gpus, offer.vendor, offer.terms), []).append(offer)
    for group in groups.values():
        prices = [float(offer.typical or 0) for offer in group]
        cheapest = group[prices.index(min(prices))]
        yield replace(cheapest, high=max(prices) if max(prices) > min(prices) else None)
