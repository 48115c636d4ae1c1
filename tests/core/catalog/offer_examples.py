"""Make prices and offers of round figures."""

from __future__ import annotations

from core.catalog.offer_choice import ITEMS, GpuPrices, Price
from core.catalog.offers import LIST, Offer


def price(usd: float, terms: str, step: int = 1) -> Price:
    """Return a list price."""
    offer = Offer(gpu="h100-sxm", kind=LIST, terms=terms, typical=usd)
    return Price(offer=offer, usd=usd, step=step, low_usd=usd, high_usd=usd)


def gpu_prices(name: str, *amounts: float | None, steps: tuple[int, int, int, int] = (1, 1, 1, 1)) -> GpuPrices:
    """Return prices in the order of `ITEMS`; None for one that is not known."""
    found = {
        item: None if usd is None else price(usd, terms, step)
        for (item, terms), usd, step in zip(ITEMS.items(), amounts, steps)
    }
    return GpuPrices(name=name, **found)
