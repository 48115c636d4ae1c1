"""The peers' answers beside what is right, as Markdown."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.peers.ask import Sizes
from tools.peers.cases import Known

ANSWERS = Path(__file__).with_name("answers.csv")
FIELDS = ("peer", "version", "asked", "model", "weights_bytes", "kv_bytes", "not_understood")

RIGHT = 0.005  # an error up to this counts as right: what is known is printed with that precision, or better
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
    """A peer's sizes for a model; `not_understood` says why there are none."""

    sizes: Sizes
    not_understood: str = ""


@dataclass(frozen=True)
class Peer:
    """A peer, its version, the day it was asked, and its answers by model."""

    name: str
    version: str
    asked: str
    answers: dict[str, Answer]


@dataclass(frozen=True)
class Errors:
    """Relative errors; None where there is no figure."""

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
    """How far off sizes are, relative to the right ones."""

    def error(size: float | None, known: float | None) -> float | None:
        return None if size is None or not known else (size - known) / known

    return Errors(error(found.weights_bytes, right.weights_bytes), error(found.kv_bytes, right.kv_bytes))


def peers() -> list[Peer]:
    """Every peer with the answers that are kept."""
    found: dict[str, Peer] = {}
    with open(ANSWERS, encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            peer = found.setdefault(row["peer"], Peer(row["peer"], row["version"], row["asked"], {}))
            sizes = Sizes(*(float(row[name]) if row[name] else None for name in Sizes._fields))
            peer.answers[row["model"]] = Answer(sizes, row["not_understood"])
    return list(found.values())


def summary(name: str, how: str, found: Sequence[Errors]) -> str:
    """A calculator's row: of how many models its weights, its cache, and both are right; – for what it never gives."""
    right = [errors.right for errors in found]
    weights = _count([weights for weights, _ in right], any(errors.weights is not None for errors in found))
    kv = _count([kv for _, kv in right], any(errors.kv is not None for errors in found))
    both = "–" if "–" in (weights, kv) else _count([all(each) for each in right])
    return f"| {name} | {weights} | {kv} | {both} | {how} |"


def _count(right: Sequence[bool], given: bool = True) -> str:
    return f"{sum(right)} of {len(right)}" if given else "–"


def section(nine: Sequence[Known], logged: Sequence[Known], asked: Sequence[Peer]) -> str:
    """The part of docs/accuracy.md that compares."""
    nothing = Errors(None, None)

    def of(peer: Peer, known: Known) -> Errors:
        answer = peer.answers.get(known.case.model)
        return errors(answer.sizes, known.right) if answer else nothing

    days = sorted({peer.asked for peer in asked})
    lines = [
        "## Other calculators",
        "",
        f"From the package index, asked offline on {' and '.join(days)} for the same models (`make peers`), each",
        "with the settings that come nearest to the question. Nine models that differ in what a calculator must know,",
        "32,768 tokens × 10 users with a 16-bit cache, weights as shipped; counted as right: within",
        f"{RIGHT:.1%}. A model that a calculator does not understand, or has not got built in, counts as not right;",
        "– is a figure that it never gives.",
        "",
        "| calculator | weights | KV cache | both | asked |",
        "|---|---:|---:|---:|---|",
        summary(OURS, "the config", [errors(known.ours, known.right) for known in nine]),
        *(
            summary(f"{peer.name} {peer.version}", HOW_ASKED[peer.name], [of(peer, known) for known in nine])
            for peer in asked
        ),
        "",
        "Errors of weights / KV cache:",
        "",
        *_errors_by_model(nine, asked, of),
        "",
        "The same for models that vLLM loaded on one GPU in 16 bits: its weights, and its cache for one sequence of",
        "the greatest length. An engine holds more than a checkpoint (tables, alignment) and pads the cache of layers",
        "with windows, which a calculator of the model alone need not know. This planner answers with its model of",
        "vLLM, which was checked against these logs.",
        "",
        *_errors_by_model(logged, asked, of),
    ]
    return "\n".join(lines) + "\n"


def _errors_by_model(models: Sequence[Known], asked: Sequence[Peer], of: Callable[[Peer, Known], Errors]) -> list[str]:
    lines = [f"| model | {' | '.join([OURS, *(peer.name for peer in asked)])} |", f"|---|{'---:|' * (len(asked) + 1)}"]
    for known in models:
        cells = [str(errors(known.ours, known.right))]
        for peer in asked:
            answer = peer.answers.get(known.case.model, Answer(Sizes(None, None), "not asked"))
            cells.append(_why(answer.not_understood) if answer.not_understood else str(of(peer, known)))
        lines.append(f"| {known.case.model.rpartition('/')[2]} | {' | '.join(cells)} |")
    return lines


def _why(not_understood: str) -> str:
    return not_understood if not_understood in ("not built in", "not asked") else "not understood"
