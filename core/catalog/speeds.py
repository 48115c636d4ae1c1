"""Read the calibration constants of the speed model, and public measurements of serving speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from core.catalog.data_files import read_data
from core.catalog.names import float_or_none


@dataclass(frozen=True, kw_only=True)
class Constant:
    """One row of speed_constants.csv.

    Attributes:
        name, value, unit, means: what it is.
        rows: measured rows on which it rests; 0 for one that is assumed.
        fitted_on, as_of: sources of those rows, and the date of the fit.
    """

    name: str
    value: float
    unit: str
    means: str
    rows: int
    fitted_on: str
    as_of: str


@dataclass(frozen=True, kw_only=True)
class MeasuredSpeed:
    """One public measurement.

    Attributes:
        set, source: the collection that it is from, and the publication with its commit or page.
        model, gpu: names of the catalog; `precision` and `kv_precision` as the source states them, "" if it does not.
        tp, pp, replicas, engine, engine_version: what served it.
        test: "closed_loop" and "single_stream" are steady loads: each user sends a request when the last is answered.
        users, prompt_tokens, output_tokens: the load; None where it is not stated.
        tokens_per_s_per_user, output_tokens_per_s, first_token_s, prompt_tokens_per_s: what was measured.
    """

    set: str
    source: str
    model: str
    precision: str
    kv_precision: str
    gpu: str
    tp: int
    pp: int
    replicas: int
    engine: str
    engine_version: str
    test: str
    users: int | None
    prompt_tokens: int | None
    output_tokens: int | None
    tokens_per_s_per_user: float | None
    output_tokens_per_s: float | None
    first_token_s: float | None
    prompt_tokens_per_s: float | None

    @property
    def is_steady(self) -> bool:
        return self.test in ("closed_loop", "single_stream") and self.users is not None


@cache
def constants() -> tuple[Constant, ...]:
    """Return the calibration constants, in file order."""
    return tuple(
        Constant(
            name=row["name"],
            value=float(row["value"]),
            unit=row["unit"],
            means=row["means"],
            rows=int(row["rows"]),
            fitted_on=row["fitted_on"],
            as_of=row["as_of"],
        )
        for row in read_data("speed_constants.csv")
    )


@cache
def constant_values() -> Mapping[str, float]:
    """Return the value of each calibration constant by its name."""
    return MappingProxyType({constant.name: constant.value for constant in constants()})


def _whole(text: str) -> int | None:
    return int(float(text)) if text else None


def measured_speed(row: Mapping[str, str]) -> MeasuredSpeed:
    """Return the measurement in one row of a file with the columns of speed_measured.csv."""
    first_token_ms = float_or_none(row["ttft_ms"])
    return MeasuredSpeed(
        set=row["set"],
        source=row["source"],
        model=row["vram_model"],
        precision=row["weights"],
        kv_precision=row["kv"],
        gpu=row["gpu"],
        tp=int(row["tp"]),
        pp=int(row["pp"]),
        replicas=int(row["replicas"]),
        engine=row["engine"],
        engine_version=row["engine_version"],
        test=row["test"],
        users=_whole(row["concurrency"]),
        prompt_tokens=_whole(row["input_tokens"]),
        output_tokens=_whole(row["output_tokens"]),
        tokens_per_s_per_user=float_or_none(row["tok_s_per_user"]),
        output_tokens_per_s=float_or_none(row["output_tok_s"]),
        first_token_s=None if first_token_ms is None else first_token_ms / 1000,
        prompt_tokens_per_s=float_or_none(row["prefill_tok_s"]),
    )


@cache
def measured_speeds() -> tuple[MeasuredSpeed, ...]:
    """Return the public measurements of the catalog, in file order."""
    return tuple(map(measured_speed, read_data("speed_measured.csv")))


def nearest_measurement(
    model: str, gpu: str, *, tp: int, users: int, prompt_tokens: int, engine: str
) -> MeasuredSpeed | None:
    """Return the public measurement of the same model and GPU that is nearest; None if there is none.

    Near means, in this order: the same engine, the same tensor parallel size, similar users, a similar prompt.
    """

    def ratio(one: int, other: int) -> float:
        return max(one, other) / max(1, min(one, other))

    same = [row for row in measured_speeds() if row.model == model and row.gpu == gpu and row.is_steady]
    return min(
        same,
        key=lambda row: (
            row.engine != engine,
            row.tp != tp,
            ratio(row.users or 1, users),
            ratio(row.prompt_tokens or 1, prompt_tokens),
        ),
        default=None,
    )
