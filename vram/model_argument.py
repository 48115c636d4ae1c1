"""The MODEL argument of the commands: a catalog name, a path, or a model's name on the Hugging Face hub."""

from __future__ import annotations

import os
import re

import click

from core import catalog
from core.errors import UnknownNameError
from core.readers.model_files import ModelFile, read_model

# A hub name has one slash, and the characters that huggingface_hub's validate_repo_id allows; "@" gives a revision.
_HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
_MODEL_FILE_ENDS = (".json", ".gguf", ".safetensors")


def is_path(text: str) -> bool:
    """Whether `text` means a file or folder rather than a name."""
    return text.lower().endswith(_MODEL_FILE_ENDS) or text.startswith((".", "/", "~")) or os.path.exists(text)


def is_hub_name(text: str) -> bool:
    """Whether `text` can be a model's name on the hub: org/model or org/model@revision."""
    return _HUB_NAME.fullmatch(text) is not None


def model_of(text: str) -> ModelFile:
    """The model that `text` means: the file there, else the catalog's of that name, else the hub's.

    Raises:
        PlannerError: there is none, or it is not understood.
    """
    if is_path(text):
        return read_model(os.path.expanduser(text))
    try:
        return ModelFile(spec=catalog.model(text).spec, fields={})
    except UnknownNameError:
        if not is_hub_name(text):
            raise
    return hub_model(text)


def hub_model(name: str) -> ModelFile:
    """The model `name`, org/model or org/model@revision, on the hub.

    Raises:
        PlannerError: it cannot be had, or is not understood.
    """
    from vram.hub import fetch_model

    model_id, at, revision = name.partition("@")
    return fetch_model(model_id, revision if at else None)


def _use_models(_context: click.Context, _option: click.Parameter, path: str | None) -> None:
    if path is not None:
        os.environ[catalog.MODELS_VARIABLE] = os.path.abspath(path)  # the same file wherever the process goes


models_option = click.option(
    "--models", metavar="FILE", callback=_use_models, expose_value=False, is_eager=True,
    help=f"CSV file of your own models; they go before the catalog's. Also by the variable {catalog.MODELS_VARIABLE}.",
)  # fmt: skip
