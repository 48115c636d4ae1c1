"""Declare the fields of a scenario once, for CSV files, rows of the planner, exported sheets and commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from dataclasses import field as dataclass_field
from functools import cache, cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from core import catalog
from core.catalog import CatalogModel
from core.catalog.draft_models import draft_model, draft_models_of
from core.catalog.gpu_inputs import gpu_or_size
from core.catalog.hardware import Gpu
from core.checks import LIMITS, Limits, number, number_within, tokens
from core.engines.deployment import SETTING_LIMITS, EngineSettings
from core.engines.served import drafter_obstacle
from core.errors import OutOfRangeError, PlannerError, UnsupportedModelError
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.plan import defaults
from core.plan.allocation import ALLOCATIONS, PAGED, RESERVED, allocated_tokens, allocation_named
from core.plan.cache_formats import cache_warning
from core.plan.demand import Tokens, tokens_of
from core.plan.estimate import DEFAULT_OVERHEAD_FRACTION, Estimate, estimate
from core.plan.fleet import (
    ATTENTION_GROUPS,
    GpuChoice,
    Option,
    Service,
    choice_of,
    choice_of_gb,
    choice_of_gpu,
    gpus_by_division,
    groups_obstacle,
    options,
    smallest,
)
from core.plan.layout_figures import has_shapes
from core.plan.replica_figures import settings_inputs
from core.plan.serving import ENGINES, RULE, default_engine, engine_named, service_of
from core.texts import NOT_PRINTABLE, plain_letters
from core.units import GB
from workbook.book import COUNT_FORMAT, MEMORY_FORMAT, RATE_FORMAT
from workbook.labels import LANGUAGES, Labels

_DEFAULT_SETTINGS = settings_inputs(EngineSettings())
LONGEST_TITLE = 200  # characters; a longer heading does not fit on one printed page


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One scenario to size, with every field checked.

    Attributes:
        title: the user's name for it, one line of printable text.
        context: tokens per sequence.
        users: concurrent sequences.
        precision: of the weights; None: as the model is shipped.
        output_tokens: tokens of an answer; None: as `core.plan.demand.tokens_of` takes them from the context.
        allocation, average_tokens: see `core.plan.allocation`.
        engine: one of `core.plan.serving.ENGINES`.
        overhead: fraction of weights and KV cache; with the engine "rule" also on each GPU.
        gpu: the catalog's GPU; None if only a memory size is given.
        gpu_memory_gb: memory of one GPU in GB.
        settings: how the engine is started.
        draft_model: another model that drafts tokens; None for none, or for the model's own layers.
        others: field → value, of the fields that the calculation does not use.
    """

    title: str
    model: CatalogModel
    context: int
    users: int
    output_tokens: int | None = None
    allocation: str = RESERVED
    average_tokens: int | None = None
    precision: Precision | None
    kv_precision: Precision
    engine: str
    overhead: float
    gpu: Gpu | None = None
    gpu_memory_gb: float
    settings: EngineSettings = EngineSettings()  # noqa: RUF009  frozen
    draft_model: CatalogModel | None = None
    others: Mapping[str, object] = dataclass_field(default_factory=dict, hash=False)

    def value(self, field: str) -> object:
        """Return the value of a field."""
        if field in self.others:
            return self.others[field]
        return settings_inputs(self.settings)[field] if field in SETTING_LIMITS else getattr(self, field)

    @property
    def has_settings(self) -> bool:
        """Whether its engine is started with anything but its defaults."""
        return settings_inputs(self.settings) != _DEFAULT_SETTINGS

    @property
    def precision_name(self) -> str:
        """The weights' precision as written in a cell."""
        return catalog.SHIPPED if self.precision is None else self.precision.name

    @property
    def gpu_name(self) -> str:
        """The GPU as written in a cell; "" if only a memory size is given."""
        return "" if self.gpu is None else self.gpu.name

    @cached_property
    def gpu_choice(self) -> GpuChoice:
        """The GPU to plan with; a memory that is given replaces the GPU's own."""
        return _choice(self.gpu, self.gpu_memory_gb)

    @property
    def draft_spec(self) -> ModelSpec | None:
        """The architecture of the model that drafts; None for none."""
        return None if self.draft_model is None else self.draft_model.spec

    @cached_property
    def service(self) -> Service:
        """The model to serve, by the rule or by vLLM's budget."""
        return service_of(
            self.model.spec,
            self.precision,
            self.kv_precision,
            self.overhead if self.engine == RULE else None,
            average_tokens=self.average_tokens if self.allocation == PAGED else None,
            settings=self.settings,
            draft=self.draft_spec,
        )

    @property
    def lacks_cache(self) -> bool:
        """Whether the engine has no cache in the format for the model's attention; the rule knows no engine."""
        service = self.service
        return self.engine != RULE and bool(cache_warning(service.engine, service.model, service.kv_precision))

    @property
    def request_tokens(self) -> Tokens:
        """The tokens of a request: of its prompt, its answer and its context."""
        return tokens_of(self.context, None, self.output_tokens)

    @property
    def tokens(self) -> int:
        """The tokens for which each sequence has memory."""
        return allocated_tokens(self.context, self.service.average_tokens)

    @cached_property
    def estimate(self) -> Estimate:
        """The memory that the scenario needs in all."""
        return estimate(
            self.model.spec,
            context=self.tokens,
            users=self.users,
            precision=self.precision,
            kv_precision=self.kv_precision,
            overhead=self.overhead,
        )

    @property
    def gpus_by_division(self) -> int:
        """The total divided by the memory of one GPU, rounded up; it may not be deployable."""
        return gpus_by_division(self.estimate.total_bytes, self.gpu_memory_gb)

    @cached_property
    def options(self) -> tuple[Option, ...]:
        """The layouts that can serve the scenario on its GPU."""
        return tuple(options(self.service, self.gpu_choice, self.users, self.context))

    @property
    def smallest(self) -> Option | None:
        """The layout with the fewest GPUs; None if none fits."""
        return smallest(self.options)


@lru_cache(maxsize=1024)
def _choice(gpu: Gpu | None, memory_gb: float) -> GpuChoice:
    choice = choice_of_gb(memory_gb) if gpu is None else choice_of_gpu(gpu)
    return replace(choice, memory_bytes=round(memory_gb * GB))


@dataclass(frozen=True)
class GivenRow:
    """A row of a file of scenarios.

    Attributes:
        place: its position in the file ("line 3").
        scenario: the scenario that it describes; None if it is not usable.
        problems: why the row is not usable.
    """

    place: str
    scenario: Scenario | None
    problems: tuple[PlannerError, ...]


class GivenScenarios(Protocol):
    """A file of scenarios, read as a stream and readable more than once."""

    path: Path

    def given_rows(self) -> Iterator[GivenRow]:
        """Yield every row that is not blank."""
        ...


def parse_scenario(
    values: Mapping[str, object], own_models: Mapping[str, CatalogModel] = MappingProxyType({})
) -> tuple[Scenario | None, list[PlannerError]]:
    """Return the scenario that `values` describe, or None and every problem with them.

    Args:
        values: field → number or text; None is a blank cell. A missing field takes its default. A blank title becomes
            the model's name. The average tokens may be blank if the allocation is "reserved", and either the GPU or its
            memory may be blank.
        own_models: models described in the file itself, by name.
    """
    row = Reading(values, own_models, dict(_constant_defaults()))
    problems: list[PlannerError] = []
    for field in FIELDS:
        name = field.name
        if name in row.found and name not in values:
            continue
        try:
            row.found[name] = field.checked(values[name] if name in values else field.default_in(row), row)
        except PlannerError as problem:
            problems.append(problem)
    if not problems:
        found = row.found
        title = found.pop("scenario") or found["model"].title
        settings = _settings(tuple([(name, found.pop(name)) for name in [*found] if name in SETTING_LIMITS]))
        others = {name: found.pop(name) for name in [*found] if name not in _SCENARIO_ATTRIBUTES}
        scenario = Scenario(title=title, **found, settings=settings, others=others)
        problems = [*_problems_together(scenario)]
        if not problems:
            return scenario, []
    return None, problems


@cache
def _constant_defaults() -> Mapping[str, object]:
    """Return the values of missing fields whose defaults depend on no other field."""
    return {
        field.name: field.checked(field.default, Reading({}, {}))
        for field in FIELDS
        if field.read is None and field.default is not None
    }


@lru_cache(maxsize=1024)
def _settings(values: tuple[tuple[str, Any], ...]) -> EngineSettings:
    return EngineSettings(**dict(values))


def _problems_together(scenario: Scenario) -> Iterator[PlannerError]:
    """Yield what is wrong with fields that are right by themselves."""
    if scenario.engine != RULE and not has_shapes(scenario.model.spec):
        too_little = f"only the size of {scenario.model.name} is known, not the shapes that an engine's budget needs"
        yield UnsupportedModelError("engine", too_little, 'Write "rule".')
        return
    if scenario.draft_model is None:
        no_drafter = drafter_obstacle(scenario.model.spec, scenario.settings, None)
        if no_drafter:
            yield OutOfRangeError("mtp_tokens", no_drafter, "Write 0, for no drafted tokens, or name a draft_model.")
            return
    else:
        yield from _draft_problems(scenario.model, scenario.draft_model, scenario.settings)
    obstacle = "" if scenario.settings.groups == 1 else groups_obstacle(scenario.service, scenario.gpu_choice)
    if obstacle:
        yield OutOfRangeError("attention_dp", obstacle, "Write 1, for attention that all GPUs of a replica share.")


def _draft_problems(model: CatalogModel, draft: CatalogModel, settings: EngineSettings) -> Iterator[PlannerError]:
    """Yield why a model cannot draft for another one in a planner, which has figures of the published pairs."""
    listed = draft_models_of(model.name)
    if draft.name not in listed:
        remedy = f"Write {', or '.join(listed)}." if listed else "Leave it blank."
        remedy += " Commands take any pair: vram plan --draft-model."
        yield OutOfRangeError("draft_model", f"{draft.name} is not published as drafting for {model.name}", remedy)
    elif not settings.mtp_tokens:
        remedy = "Write the tokens drafted in a step as mtp_tokens, such as 3, or leave draft_model blank."
        yield OutOfRangeError("draft_model", "it drafts no tokens", remedy)


@dataclass(frozen=True)
class Reading:
    """A row whose fields are being read, in the order of `FIELDS`.

    Attributes:
        values: field → number or text, as given.
        own_models: models described in the file itself, by name.
        found: field → value, of the fields read so far.
    """

    values: Mapping[str, object]
    own_models: Mapping[str, CatalogModel]
    found: dict[str, Any] = dataclass_field(default_factory=dict)


@dataclass(frozen=True)
class Field:
    """A field of a scenario: what files, sheets and commands need to know to read, show and explain it.

    Attributes:
        name: its name in CSV files and JSON.
        label: the key of its heading on the Scenarios sheet.
        page_label, unit: the keys of its label on a page, where a number's unit has a separate column.
        prompt: the key of the text that Excel shows when its cell is selected.
        problem: the key of the text of the sheet's input check; None: it is not checked.
        width: of its column, in characters.
        number_format: of its cells; None: text.
        limits: the limits of a number; None: it is not a number.
        choices: the workbook's name for the list of choices; None: any text, or `options`.
        options: the names that are allowed, if there are only a few.
        numbers_too: whether a number may be written instead of a name.
        required: whether every file must have it.
        in_every_planner: whether the Scenarios sheet of every version has its column.
        is_rare: whether the Scenarios sheet has its column after the answers, because few people change it.
        default: the value if it is missing; None: there is no default.
        default_for: a function of the row that returns the default, if it depends on the other fields.
        read: a function that checks a value, given the row; None: a number within `limits`, or any text.
        show: a function that returns what a cell holds; None: the value itself.
        page_text: a function that returns what a page shows; None: what a cell holds.
    """

    name: str
    _: KW_ONLY
    label: str
    page_label: str | None = None
    unit: str = "unit.none"
    prompt: str = "prompt.pick"
    problem: str | None = None
    width: float = 12
    number_format: str | None = None
    limits: Limits | None = None
    choices: str | None = None
    options: tuple[str, ...] = ()
    numbers_too: bool = False
    required: bool = False
    in_every_planner: bool = False
    is_rare: bool = False
    default: object = None
    default_for: Callable[[Reading], object] | None = None
    read: Callable[[Any, Reading], object] | None = None
    show: Callable[[Scenario], object] | None = None
    page_text: Callable[[Scenario], str] | None = None

    @property
    def column(self) -> str:
        """The key of its column on the Scenarios sheet."""
        return self.label.partition(".")[2]

    @property
    def is_setting(self) -> bool:
        """Whether it sets up the engine: a field of `EngineSettings`, or the model that drafts."""
        return self.name in SETTING_LIMITS or self.name == "draft_model"

    @property
    def may_be_blank(self) -> bool:
        """Whether its cell on the Scenarios sheet may be blank."""
        return not self.required and self.default is None

    def default_in(self, row: Reading) -> object:
        """Return the value of the field in a row that does not have it."""
        return self.default if self.default_for is None else self.default_for(row)

    def checked(self, value: object, row: Reading) -> object:
        """Return the checked value.

        Raises:
            PlannerError: `value` is wrong.
        """
        if self.read is not None:
            return self.read(value, row)
        return value if self.limits is None else number_within(self.name, value, self.limits)

    def cell(self, scenario: Scenario) -> Any:
        """Return what a cell holds: a number, text, or None."""
        return scenario.value(self.name) if self.show is None else self.show(scenario)

    def on_page(self, scenario: Scenario) -> Any:
        """Return what a page shows."""
        return self.cell(scenario) if self.page_text is None else self.page_text(scenario)


def _title(value: object, row: Reading) -> str:
    """Return the title as one line of printable text; "" for a blank."""
    text = "" if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)
    title = " ".join(NOT_PRINTABLE.sub(" ", text).split())
    if len(title) > LONGEST_TITLE:
        remedy = f"Write at most {LONGEST_TITLE} characters; the title is printed as the heading of a page."
        raise OutOfRangeError("scenario", f"its title has {len(title)} characters", remedy)
    return title


def _model(value: object, row: Reading) -> CatalogModel:
    if isinstance(value, str) and value in row.own_models:
        return row.own_models[value]
    return catalog.model(value)


def _output_tokens(value: object, row: Reading) -> int | None:
    """Read the tokens of an answer, which are fewer than those of the context; None for a blank."""
    if _is_blank(value):
        return None
    return tokens_of(row.found.get("context", LIMITS["context"].most), None, int(tokens("output_tokens", value))).output


def _average_tokens(value: object, row: Reading) -> int | None:
    """Read the field only for a paged cache; otherwise it has no meaning."""
    allocation = row.values.get("allocation")
    if isinstance(allocation, str) and allocation.strip().lower() == PAGED:
        return int(tokens("average_tokens", value))
    return None


def _kv_precision(value: object, row: Reading) -> Precision | None:
    """Read a precision of the cache; "shipped" is that of the checkpoint, None if the model is not known."""
    requested = catalog.kv_precision(value)
    if requested is None:
        return catalog.cache_precision(row.found["model"].spec) if "model" in row.found else None
    return requested


def _default_engine(row: Reading) -> str:
    model = row.found.get("model")
    return defaults.ENGINE if model is None else default_engine(model.spec)


def _gpu(value: object, row: Reading) -> Gpu | None:
    """Return the GPU; None if the field is blank and the memory is given, and if it is only a size of memory."""
    if _is_blank(value) and not _is_blank(row.values.get("gpu_memory_gb")):
        return None
    found = gpu_or_size(value)
    return found if isinstance(found, Gpu) else None


def _gpu_memory_gb(value: object, row: Reading) -> float:
    """Return the given memory, or else that of the named GPU as its driver reports it.

    Where "gpu" is a size, that is a card of this size, as for cell functions; by the rule, the size itself.
    """
    if not _is_blank(value):
        return number("gpu_memory_gb", value)
    try:
        choice = choice_of(row.values.get("gpu"))
    except PlannerError:
        return 0.0  # the field "gpu" reports the problem
    by_rule = row.found.get("engine") == RULE
    return (choice.rule_bytes if by_rule else choice.memory_bytes) / GB


def _draft_model(value: object, row: Reading) -> CatalogModel | None:
    return None if _is_blank(value) else draft_model(value)


def _is_blank(value: object) -> bool:
    return value is None or value == ""


def _attention_groups(value: object) -> int:
    """Return the groups of data-parallel attention, one of those for which a planner has figures."""
    limits = SETTING_LIMITS["attention_dp"]
    assert limits is not None
    found = number_within("attention_dp", value, limits)
    if found not in ATTENTION_GROUPS:
        remedy = f"Write {', '.join(map(str, ATTENTION_GROUPS[:-1]))} or {ATTENTION_GROUPS[-1]}."
        raise OutOfRangeError("attention_dp", f"layouts have no {found:g} groups", remedy)
    return int(found)


def _setting(name: str, **others: Any) -> Field:
    """Return the field of a setting of the engine, a number with which few people start it."""
    given = {"number_format": COUNT_FORMAT} | others
    return Field(
        name, label=f"scenarios.{name}", prompt=f"prompt.{name}", problem=f"scenarios.problem_{name}", width=9,
        limits=SETTING_LIMITS[name], is_rare=True, default=_DEFAULT_SETTINGS[name], **given,
    )  # fmt: skip


# A new field is declared here; one that the calculation uses is also an attribute of `Scenario` or of its settings.
FIELDS = (
    Field(
        "scenario", label="scenarios.scenario", prompt="prompt.scenario", width=17.5, read=_title,
        show=lambda scenario: scenario.title,
    ),
    Field(
        "model", label="scenarios.model", problem="scenarios.problem_model", width=14.5, choices="model_names",
        required=True, in_every_planner=True, read=_model, show=lambda scenario: scenario.model.name,
        page_text=lambda scenario: scenario.model.title,
    ),
    Field(
        "context", label="scenarios.context", page_label="article.context", unit="unit.tokens", prompt="prompt.context",
        problem="scenarios.problem_context", width=9, number_format=COUNT_FORMAT, limits=LIMITS["context"],
        required=True, in_every_planner=True, read=lambda value, _: tokens("context", value),
    ),
    Field(
        "output_tokens", label="scenarios.output_tokens", unit="unit.tokens", prompt="prompt.output_tokens",
        problem="scenarios.problem_output_tokens", width=8, number_format=COUNT_FORMAT, limits=LIMITS["output_tokens"],
        read=_output_tokens,
    ),
    Field(
        "users", label="scenarios.users", page_label="article.users", unit="unit.users", prompt="prompt.users",
        problem="scenarios.problem_users", width=6, number_format=COUNT_FORMAT, limits=LIMITS["users"],
        in_every_planner=True, default=defaults.USERS,
    ),
    Field(
        "allocation", label="scenarios.allocation", prompt="prompt.allocation", problem="scenarios.problem_allocation",
        width=11, options=ALLOCATIONS, is_rare=True, default=RESERVED, read=lambda value, _: allocation_named(value),
    ),
    Field(
        "average_tokens", label="scenarios.average_tokens", page_label="export.average_tokens", unit="unit.tokens",
        prompt="prompt.average_tokens", problem="scenarios.problem_average_tokens", number_format=COUNT_FORMAT,
        limits=LIMITS["average_tokens"], is_rare=True, read=_average_tokens,
    ),
    Field(
        "precision", label="scenarios.precision", page_label="export.precision", prompt="prompt.precision",
        problem="scenarios.problem_precision", width=8, choices="precision_names", numbers_too=True,
        in_every_planner=True, default=defaults.PRECISION, read=lambda value, _: catalog.weights_precision(value),
        show=lambda scenario: scenario.precision_name,
    ),
    Field(
        "kv_precision", label="scenarios.kv_precision", page_label="export.kv_precision",
        problem="scenarios.problem_kv_precision", width=8, choices="kv_precision_names", numbers_too=True,
        in_every_planner=True, default=defaults.KV_PRECISION, read=_kv_precision,
        show=lambda scenario: scenario.kv_precision.name,
    ),
    Field(
        "engine", label="scenarios.engine", prompt="prompt.engine", problem="scenarios.problem_engine", width=7,
        choices="engine_names", options=ENGINES, default=defaults.ENGINE, default_for=_default_engine,
        read=lambda value, _: engine_named(value),
    ),
    Field(
        "overhead", label="scenarios.overhead_rate", page_label="article.overhead_rate", unit="unit.of_weights_kv",
        prompt="prompt.overhead_rate", problem="scenarios.problem_overhead_rate", width=11, number_format=RATE_FORMAT,
        limits=LIMITS["overhead"], in_every_planner=True, is_rare=True, default=DEFAULT_OVERHEAD_FRACTION,
    ),
    Field(
        "gpu", label="scenarios.gpu", problem="scenarios.problem_gpu", width=13.5, choices="gpu_names", read=_gpu,
        show=lambda scenario: scenario.gpu_name,
        page_text=lambda scenario: scenario.gpu.title if scenario.gpu else "",
    ),
    Field(
        "gpu_memory_gb", label="scenarios.gpu_memory", page_label="article.gpu_memory", unit="unit.gb",
        prompt="prompt.gpu_memory", problem="scenarios.problem_gpu_memory", width=13, number_format=MEMORY_FORMAT,
        limits=LIMITS["gpu_memory_gb"], is_rare=True, read=_gpu_memory_gb,
    ),
    _setting("attention_dp", choices="group_sizes", read=lambda value, _: _attention_groups(value)),
    Field(
        "draft_model", label="scenarios.draft_model", prompt="prompt.draft_model",
        problem="scenarios.problem_draft_model", width=22, choices="draft_names", is_rare=True, read=_draft_model,
        show=lambda scenario: scenario.draft_model.name if scenario.draft_model else None,
    ),
    _setting("mtp_tokens", unit="unit.tokens"),
    _setting("acceptance", number_format=RATE_FORMAT),
    _setting("shared_tokens", unit="unit.tokens"),
    _setting("lora_adapters"),
    _setting("lora_rank"),
)  # fmt: skip
ONE_OF = ("gpu", "gpu_memory_gb")  # of which every file must have at least one
# Headings of earlier versions, which are still read.
_FORMER_HEADINGS = {
    "GPU memory (GB), if not the GPU's own": "gpu_memory_gb", "单卡显存 (GB)，如需另定": "gpu_memory_gb",
    "Weights precision": "precision", "权重精度": "precision",
    "KV precision": "kv_precision", "KV 精度": "kv_precision",
    "Average tokens in use, if paged": "average_tokens", "平均使用 token（paged）": "average_tokens",
}  # fmt: skip
_SCENARIO_ATTRIBUTES = {attribute.name for attribute in fields(Scenario)}


def field_of_header(text: object) -> str | None:
    """Return the field of a column by its header: English, Chinese, or the plain key; None if it is unknown."""
    return _field_by_header().get(plain_header(text)) if isinstance(text, str) else None


def plain_header(text: str) -> str:
    """Normalize a header for comparison: ignore case, spaces, and full-width letters."""
    return "".join(plain_letters(text).casefold().replace("_", " ").split())


@cache
def _field_by_header() -> dict[str, str]:
    on_pages = {
        plain_header(Labels(lang)(field.page_label)): field.name
        for field in FIELDS
        if field.page_label
        for lang in LANGUAGES
    }
    return (
        on_pages
        | {plain_header(field.name): field.name for field in FIELDS}
        | {plain_header(heading): name for heading, name in _FORMER_HEADINGS.items()}
        | {plain_header(Labels(lang)(field.label)): field.name for field in FIELDS for lang in LANGUAGES}
    )
