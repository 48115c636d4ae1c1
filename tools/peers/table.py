"""Compare the peers' answers with the right sizes, as the tables of docs/accuracy.md."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.documents import table
from tools.peers.ask import Sizes
from tools.peers.cases import Known

ANSWERS = Path(__file__).with_name("answers.csv")
FIELDS = ("peer", "version", "asked", "model", "weights_bytes", "kv_bytes", "not_understood")

RIGHT = 0.005  # errors up to this count as right: the known figures are published at least that precisely
OURS = "this planner"

HOW_ASKED = {
    "aiconfigurator-core": "its model of vLLM on one GPU, without its fallback for other architectures",
    "hf-mem": "its cache from the config; it reads weights from the checkpoint on the hub, not asked here",
    "iaexplore-llm-profiler": "the config's fields; parameters are an input, so weights are not compared",
    "llm-analysis": "the config's fields in its own description of a model",
    "llm-mem-planner": "the config; made for DeepSeek's latent attention",
    "llm-sizer": "built-in models",
    "ridgepoint": "built-in models (it reads others from the hub)",
    "sparkfit": "the config, with the precision that the checkpoint is stored in",
    "vllm-wizard": "the config, without its factor for fragmentation",
    "vramcalc": "the config; 16 bits throughout",
}


@dataclass(frozen=True)
class Answer:
    """A peer's sizes for a model, or in `not_understood` why it has none."""

    sizes: Sizes
    not_understood: str = ""


@dataclass(frozen=True)
class Errors:
    """Relative errors of weights and KV cache; None without a figure."""

    weights: float | None
    kv: float | None

    @property
    def right(self) -> tuple[bool, bool]:
        weights, kv = (error is not None and abs(error) <= RIGHT for error in (self.weights, self.kv))
        return weights, kv

    def __str__(self) -> str:
        return f"{_percent(self.weights)} / {_percent(self.kv)}"


def _percent(error: float | None) -> str:
    return "–" if error is None else f"{round(error, 3) + 0.0:+.1%}"  # no -0.0%


def errors(found: Sizes, right: Sizes) -> Errors:
    """Return the errors of `found` relative to `right`."""

    def error(size: float | None, known: float | None) -> float | None:
        return None if size is None or not known else (size - known) / known

    return Errors(error(found.weights_bytes, right.weights_bytes), error(found.kv_bytes, right.kv_bytes))


@dataclass(frozen=True)
class Peer:
    """A peer, its version, the day it was asked, and its answers by model."""

    name: str
    version: str
    asked: str
    answers: dict[str, Answer]

    def sizes(self, known: Known) -> Sizes:
        return self._answer(known).sizes

    def cell(self, known: Known) -> str:
        """Return the errors for a model as text, or why there are none."""
        answer = self._answer(known)
        if answer.not_understood:
            reason = answer.not_understood
            return reason if reason in ("not built in", "not asked") else "not understood"
        return str(errors(answer.sizes, known.right))

    def _answer(self, known: Known) -> Answer:
        return self.answers.get(known.case.model, Answer(Sizes(None, None), "not asked"))


def peers() -> list[Peer]:
    """Return every peer with the stored answers."""
    found: dict[str, Peer] = {}
    with open(ANSWERS, encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            peer = found.setdefault(row["peer"], Peer(row["peer"], row["version"], row["asked"], {}))
            sizes = Sizes(*(float(row[name]) if row[name] else None for name in Sizes._fields))
            peer.answers[row["model"]] = Answer(sizes, row["not_understood"])
    return list(found.values())


def summary(name: str, how: str, found: Sequence[Errors]) -> tuple[str, ...]:
    """Return a calculator's row: for how many models its weights, its cache, and both are right."""
    weights, kv = zip(*(errors.right for errors in found))
    gives_weights = any(errors.weights is not None for errors in found)
    gives_kv = any(errors.kv is not None for errors in found)
    both = _count(list(map(all, zip(weights, kv))), gives_weights and gives_kv)
    return name, _count(weights, gives_weights), _count(kv, gives_kv), both, how


def _count(right: Sequence[bool], given: bool) -> str:
    return f"{sum(right)} of {len(right)}" if given else "–"


def document_parts(nine: Sequence[Known], logged: Sequence[Known], asked: Sequence[Peer]) -> dict[str, str]:
    """Return the parts of docs/accuracy.md that compare calculators."""
    days = sorted({peer.asked for peer in asked})
    rows = [summary(OURS, "the config", [errors(known.ours, known.right) for known in nine])]
    for peer in asked:
        found = [errors(peer.sizes(known), known.right) for known in nine]
        rows.append(summary(f"{peer.name} {peer.version}", HOW_ASKED[peer.name], found))
    return {
        "calculators": table(("calculator", "weights", "KV cache", "both", "what it was asked with"), rows, "lrrrl")
        + f"\n\nAsked on {' and '.join(days)}.",
        "nine models": _errors_by_model(nine, asked),
        "loaded models": _errors_by_model(logged, asked),
    }


def _errors_by_model(models: Sequence[Known], asked: Sequence[Peer]) -> str:
    rows = [
        (known.case.model.rpartition("/")[2], errors(known.ours, known.right), *(peer.cell(known) for peer in asked))
        for known in models
    ]
    return table(("model", OURS, *(peer.name for peer in asked)), rows, "l" + "r" * (len(asked) + 1))
