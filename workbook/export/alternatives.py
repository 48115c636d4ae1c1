"""Compare the recommended layout of a page with the best layouts of other GPUs, as `vram plan` ranks them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Any

from core.catalog.hardware import Gpu
from core.catalog.mig import gpus_with_slices
from core.catalog.offer_choice import GpuPrices
from core.plan.costs import candidate_of, gpu_money_inputs, option_money_inputs
from core.plan.fleet import LAYOUTS, Option, Replica, choice_of_gpu, layout_title, options
from core.plan.money import OPTION_MONEY, OUTCOME
from core.plan.option_speed import OptionSpeed
from core.plan.ranking import SAME_COST, Candidate, rank
from core.plan.speed import Speed
from core.plan.terms import Terms
from workbook.export import speeds
from workbook.export.figures import Figures, chosen
from workbook.scenario import Scenario

OTHERS = 2  # GPUs in addition to the named one
_LEAST_SHARE = 0.8  # formats as an engine loads them, and caches by blocks, may take a little less than the estimate
_Found = tuple[Gpu, OptionSpeed, Mapping[str, Any]]
_OF_WAY = Terms(OUTCOME["start_cash"], OUTCOME["cost_month"])


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """A way to serve the scenario, as of the export; None where a figure is not known.

    Attributes:
        gpu: the title of the GPU.
        gpus: how many are bought or rented.
        buys: whether buying is the cheaper way.
    """

    gpu: str
    gpus: int | None
    buys: bool | None
    layout: str
    speed: Speed | None
    start_cash: float | None
    cost_month: float | None
    net_present_cost: float | None


def named(figures: Figures) -> Alternative | None:
    """Return the recommended layout of a page; None if there is none."""
    at_load, gpu = figures.best_at_load, figures.scenario.gpu
    if at_load is None:
        return None
    title = gpu.title if gpu else f"{figures.scenario.gpu_memory_gb:g} GB"
    return _alternative(title, at_load, figures.best_money)


class OtherGpus:
    """The best layouts of GPUs with a price, computed once for scenarios that differ only in their GPU.

    Args:
        prices: those of each GPU.
    """

    def __init__(self, prices: Mapping[str, GpuPrices]) -> None:
        self._inputs = {
            gpu.name: gpu_money_inputs(gpu, prices=prices[gpu.name])
            for gpu in gpus_with_slices()
            if prices[gpu.name].has_offer
        }
        self._ranked: dict[tuple[object, ...], list[tuple[Gpu, Alternative]]] = {}

    def of(self, figures: Figures) -> tuple[Alternative, ...]:
        """Return the best layouts of the cheapest GPUs but the named one, in the order of the ranking."""
        scenario = figures.scenario
        asked = scenario.service, scenario.users, scenario.request_tokens, figures.min_speed
        if asked not in self._ranked:
            self._ranked[asked] = self._best_of_each(scenario, figures.min_speed)
        return tuple(found for gpu, found in self._ranked[asked] if gpu != scenario.gpu)[:OTHERS]

    def _best_of_each(self, scenario: Scenario, min_speed: float | None) -> list[tuple[Gpu, Alternative]]:
        """Return the best layouts of the cheapest GPUs, one more than are shown.

        The speed is computed of layouts that may be among them: the one with the lowest cost by memory alone is next,
        until that cost is above those of the GPUs found. A GPU's layouts are listed when its own least cost is next.
        """
        number = count()  # of equal costs the first one pushed comes first
        waiting: list[tuple[float, int, Gpu, Option | None]] = []
        for bound, gpu in self._least_costs(scenario):
            heappush(waiting, (bound, next(number), gpu, None))
        found: dict[Option, _Found] = {}
        of_gpu: dict[str, float] = {}
        while waiting:
            bound, _, gpu, option = heappop(waiting)
            cheapest = sorted(of_gpu.values())
            if len(cheapest) > OTHERS and bound > cheapest[OTHERS] * SAME_COST**2:
                break
            if option is None:
                for layout in options(scenario.service, choice_of_gpu(gpu), scenario.users, scenario.context):
                    cost = self._money(gpu, layout)["net_present_cost"]
                    if cost is not None:
                        heappush(waiting, (cost, next(number), gpu, layout))
                continue
            (at_load,) = speeds.at_loads(scenario, min_speed, (option,))
            if at_load.reason:
                continue
            money = self._money(gpu, at_load.option)
            if money["net_present_cost"] is not None:
                found[at_load.option] = gpu, at_load, money
                of_gpu[gpu.name] = min(money["net_present_cost"], of_gpu.get(gpu.name, math.inf))
        first: dict[str, Option] = {}
        for best in rank(_candidates(scenario.users, found)).keys:
            first.setdefault(found[best][0].name, best)
        shown = [found[best] for best in first.values()][: OTHERS + 1]
        return [(gpu, _alternative(gpu.title, at_load, money)) for gpu, at_load, money in shown]

    def _least_costs(self, scenario: Scenario) -> list[tuple[float, Gpu]]:
        """Return a cost below that of every option of each GPU with a price, the lowest first.

        It is that of the GPUs that hold weights and cache once, if they could be bought and filled one by one.
        """
        held = (scenario.estimate.weights_bytes + scenario.estimate.kv_bytes) * _LEAST_SHARE
        costs = []
        for gpu in gpus_with_slices():
            if gpu.name not in self._inputs:
                continue
            choice = choice_of_gpu(gpu)
            gpus = max(1, math.floor(held / choice.memory_bytes))
            places = math.ceil(scenario.users / gpus)
            least = Option(replica=Replica(choice, 1, 1), replicas=gpus, users_per_replica=places, users=scenario.users)
            cost = self._money(gpu, least)["net_present_cost"]
            if cost is not None:
                costs.append((cost, gpu))
        return sorted(costs, key=lambda found: found[0])

    def _money(self, gpu: Gpu, option: Option) -> Mapping[str, Any]:
        return OPTION_MONEY.compute(self._inputs[gpu.name] | option_money_inputs(option, option.users))


def _candidates(users: int, found: Mapping[Option, _Found]) -> Iterable[Candidate[Option]]:
    """Yield the options in the order of the catalog and of the layouts, which decides between equal ones."""
    order = {gpu.name: number for number, gpu in enumerate(gpus_with_slices())}

    def place(option: Option) -> tuple[int, int]:
        replica = option.replica
        return order[found[option][0].name], LAYOUTS.index((replica.tp, replica.pp))

    for option in sorted(found, key=place):
        gpu, _, money = found[option]
        yield candidate_of(option, money, users, gpu.bandwidth_gb_per_s)


def _alternative(gpu: str, at_load: OptionSpeed, money: Mapping[str, Any] | None) -> Alternative:
    replica = at_load.option.replica
    known = money is not None and money["buys"] is not None
    of_way: Mapping[str, Any] = _OF_WAY.compute(money) if money is not None and known else {}
    return Alternative(
        gpu=gpu,
        gpus=chosen(money, "order", "rented") if money is not None and known else at_load.option.gpus,
        buys=bool(money["buys"]) if money is not None and known else None,
        layout=layout_title(replica.tp, replica.pp),
        speed=at_load.speed,
        start_cash=of_way.get("start_cash"),
        cost_month=of_way.get("cost_month"),
        net_present_cost=None if money is None else money["net_present_cost"],
    )
