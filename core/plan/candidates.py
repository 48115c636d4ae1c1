"""Say which GPUs of the catalog a plan compares: all, a maker's, those for data centres, or a list of names."""

from __future__ import annotations

from dataclasses import dataclass

from core import catalog
from core.catalog.hardware import Gpu
from core.checks import one_of

DATA_CENTRE = "data centre"
NOT_LISTED = "not in the list of candidates"
OTHER_MAKER = "of another maker"
NOT_FOR_DATA_CENTRES = "not a data-centre GPU"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The GPUs to compare.

    Attributes:
        names: of the catalog; empty for all.
        maker: "NVIDIA", "AMD" ...; "" for any.
        data_centre_only: whether workstation and consumer cards are left out.
    """

    names: tuple[str, ...] = ()
    maker: str = ""
    data_centre_only: bool = False


def makers() -> tuple[str, ...]:
    """Return the makers of the catalog's GPUs, each once."""
    return tuple(dict.fromkeys(gpu.maker for gpu in catalog.gpus()))


def maker_of(name: object) -> str:
    """Return the maker of that name, written in any case.

    Raises:
        WrongTypeError: `name` is not text.
        UnknownNameError: no GPU of the catalog is by it.
    """
    by_key = {maker.lower(): maker for maker in makers()}
    return by_key[one_of("maker", name, tuple(by_key))]


def why_left_out(gpu: Gpu, wanted: Wanted) -> str:
    """Return why a plan does not compare a GPU; "" if it does."""
    if wanted.names and gpu.name not in wanted.names:
        return NOT_LISTED
    if wanted.maker and gpu.maker != wanted.maker:
        return OTHER_MAKER
    if wanted.data_centre_only and gpu.segment != DATA_CENTRE:
        return NOT_FOR_DATA_CENTRES
    return ""
