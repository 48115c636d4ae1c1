"""Find a model by its catalog name, the path of its files, or its name on the Hugging Face hub."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from core import catalog
from core.catalog.draft_models import draft_head, errors_of_draft_model
from core.errors import PlannerError, UnknownNameError, UnsupportedModelError, quoted
from core.model.counts import model_counts
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.model.weights import weights_bytes
from core.plan import defaults
from core.readers.model_files import CONFIG_FILE, ModelFile, read_model

HUB_PREFIX = "hub:"  # without it nothing is asked of the hub
# A hub name has one slash, and the characters that huggingface_hub's validate_repo_id allows; "@" gives a revision.
_HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
_MODEL_FILE_ENDS = (".json", ".gguf", ".safetensors")


@dataclass(frozen=True)
class Model:
    """A model to estimate and to plan with.

    Attributes:
        file: the model as `core` reads it: its specification, and what its files say where it was read from files.
        named_precision: the format of the weights that its name states ("unsloth/Qwen3-8B-bnb-4bit"), if it is read as
            a copy of a model of the catalog.
        assumed: how its name is read, where the catalog does not have that very name.
    """

    file: ModelFile
    named_precision: Precision | None = None
    assumed: tuple[str, ...] = ()

    @property
    def spec(self) -> ModelSpec:
        """The specification from which all figures are computed."""
        return self.file.spec

    @property
    def name(self) -> str:
        """The catalog's name, the hub's name, or the name of the folder."""
        return self.spec.name

    @property
    def parameters(self) -> int:
        """All parameters, counted from the architecture."""
        return model_counts(self.spec).parameters.total

    @property
    def active_parameters(self) -> int:
        """The parameters that process one token: of a mixture of experts, only the experts that it is sent to.

        The embedding and the output head are counted whole. Makers who leave them out state less.
        """
        return model_counts(self.spec).parameters.active

    @property
    def weights_bytes(self) -> int:
        """The bytes of the weights as the checkpoint stores them."""
        return weights_bytes(self.spec, self.shipped_precision)

    @property
    def num_hidden_layers(self) -> int:
        """The number of layers."""
        return self.spec.num_hidden_layers

    @property
    def max_position_embeddings(self) -> int | None:
        """The longest context in tokens; None if the model does not state it."""
        return self.spec.max_position_embeddings

    def kv_bytes_per_token(self, kv_precision: str | float | None = None) -> int:
        """Return the bytes that a long sequence adds to the KV cache with each token.

        Args:
            kv_precision: of the cached values, by name or in bytes per value; None as the checkpoint states.
        """
        return model_counts(self.spec).kv.bytes_per_token(self.cache_precision(kv_precision))

    @property
    def shipped_precision(self) -> Precision | None:
        """The precision that its name states, or of its weight files; None: as its specification says."""
        return self.named_precision or self.file.as_shipped()

    def requested_precision(self, value: str | float | None) -> Precision | None:
        """Return the precision of the weights that `value` names, or else the model's name; None as shipped."""
        return weights_precision_of(value) or self.named_precision

    def cache_precision(self, value: str | float | None) -> Precision:
        """Return the precision of the KV cache that `value` names, else that of the checkpoint."""
        requested = None if value is None else catalog.kv_precision(name_or_number(value))
        return catalog.cache_precision(self.spec, requested)


def model(name_or_path: str | os.PathLike[str] | Model) -> Model:
    """Find a model.

    Args:
        name_or_path: a catalog name or alias ("llama-3.1-70b"), an Ollama tag ("llama3.1:70b-instruct-q4_K_M") or the
            name of a quantized copy ("unsloth/Qwen3-8B-bnb-4bit") of a model in the catalog; the path of a config.json,
            safetensors or GGUF file or of a folder with them; or hub:org/model on the Hugging Face hub (then with the
            `hub` extra, and from its cache if it was read before). Of weight files only headers are read.

    Raises:
        PlannerError: there is no such model, or a file is not understood.
    """
    found = _model_or_head(name_or_path)
    if found.spec.is_draft_head:
        raise UnsupportedModelError(
            "model",
            f"{found.spec.name} is a head that drafts tokens for another model (speculative decoding)",
            "Name the model that it drafts for, and give this one as draft_model (--draft-model).",
        )
    return found


def _model_or_head(name_or_path: str | os.PathLike[str] | Model) -> Model:
    if isinstance(name_or_path, Model):
        return name_or_path
    text = os.fspath(name_or_path)
    if text.startswith(HUB_PREFIX):
        return hub_model(text[len(HUB_PREFIX) :])
    if is_path(text):
        adapter = _adapter_folder(os.path.expanduser(text))
        if adapter is not None:
            return _adapted(adapter, model)
        return Model(read_model(os.path.expanduser(text)))
    try:
        found = catalog.named_model(text)
    except UnknownNameError as error:
        if not is_hub_name(text):
            raise
        remedy = f"{error.remedy} To read it from the Hugging Face hub, write {HUB_PREFIX}{text}."
        raise UnknownNameError(error.field, error.problem, remedy) from None
    return Model(
        ModelFile(spec=found.model.spec, fields={}),
        named_precision=found.precision,
        assumed=(f"model: {found.assumed}",) if found.assumed else (),
    )


def _adapter_folder(path: str) -> str | None:
    """Return the folder of a LoRA adapter if `path` is one, or is its adapter_config.json; else None."""
    from core.readers.side_files import ADAPTER_FILE

    folder, file = os.path.split(path)
    if file == ADAPTER_FILE:
        return folder
    return path if os.path.isfile(os.path.join(path, ADAPTER_FILE)) else None


def _adapted(folder: str, find_base: Callable[[str], Model]) -> Model:
    """Read a LoRA adapter and its base model: the config.json next to it, or the model that it names.

    Args:
        folder: that of its adapter_config.json.
        find_base: finds the model that it names.

    Raises:
        PlannerError: the base model is not found, or the adapter does not fit it.
    """
    from core.readers.adapter import base_name, with_adapter
    from core.readers.hf_config import model_name
    from core.readers.side_files import ADAPTER_FILE, read_side_file

    settings = read_side_file(os.path.join(folder, ADAPTER_FILE))
    name, config = base_name(settings), os.path.join(folder, CONFIG_FILE)
    if os.path.isfile(config):
        base = Model(read_model(config))
    else:
        try:
            base = find_base(name)
        except PlannerError as error:
            raise UnsupportedModelError(
                f"{ADAPTER_FILE}: base_model_name_or_path",
                f"the base model {quoted(name)} cannot be read ({error.problem})",
                f"Put its {CONFIG_FILE} next to the adapter.",
            ) from None
    spec, adapter_bytes = with_adapter(base.spec, settings, model_name(config))
    shipped = base.shipped_precision
    total = None if shipped is None else shipped.block_bytes + adapter_bytes
    return Model(ModelFile(spec=spec, fields={}, stated_bytes=total))


def hub_model(name: str) -> Model:
    """Read the model `name`, org/model or org/model@revision, from the Hugging Face hub.

    Raises:
        PlannerError: the hub does not give it, or it is not understood.
    """
    if not is_hub_name(name):
        raise UnknownNameError("model", f"{quoted(name)} is no name on the hub", f"Write {HUB_PREFIX}org/model.")
    from vram.hub import NoConfigError, fetch_adapter, fetch_model

    model_id, at, written = name.partition("@")
    revision = written if at else None
    try:
        return Model(fetch_model(model_id, revision))
    except NoConfigError as error:
        try:
            folder = fetch_adapter(model_id, revision)
        except NoConfigError:
            raise error from None
    return _adapted(folder, _base_on_hub)


def _base_on_hub(name: str) -> Model:
    """Find the base model that an adapter on the hub names: never a file of this machine."""
    try:
        return Model(ModelFile(spec=catalog.named_model(name).model.spec, fields={}))
    except UnknownNameError:
        return hub_model(name)


def is_path(text: str) -> bool:
    """Return whether `text` means a file or folder rather than a name."""
    return text.lower().endswith(_MODEL_FILE_ENDS) or text.startswith((".", "/", "~")) or os.path.exists(text)


def is_hub_name(text: str) -> bool:
    """Return whether `text` can be a model's name on the hub: org/model or org/model@revision."""
    return _HUB_NAME.fullmatch(text) is not None


def weights_precision_of(value: str | float | None) -> Precision | None:
    """Return a precision of the weights from its name or its bytes per parameter; None and "shipped" are as shipped."""
    return catalog.weights_precision(defaults.PRECISION if value is None else name_or_number(value))


def draft_of(name_or_path: str | os.PathLike[str] | Model | None) -> ModelSpec | None:
    """Return the model that drafts tokens, which may be a head that is no whole model; None for none.

    Args:
        name_or_path: as for `model`, or the name of a head of the catalog.

    Raises:
        PlannerError: there is no such model, or a file is not understood.
    """
    if name_or_path is None:
        return None
    head = draft_head(name_or_path)
    if head is not None:
        return head.spec
    with errors_of_draft_model():
        return _model_or_head(name_or_path).spec


def name_or_number(value: str | float) -> str | float:
    """Return a number for the text of one ("0.5"), otherwise `value`."""
    try:
        return float(value)
    except ValueError:
        return value
