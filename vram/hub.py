"""Read models from the Hugging Face hub: config.json and the headers of the weights, never the weights.

This uses `huggingface_hub`, so its cache, its tokens and HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE work as usual. What the
hub answers is checked before anything is written: `vram.hub_watch`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NoReturn

from core.errors import PlannerError, quoted
from core.readers.files import UnreadableFileError
from core.readers.hf_config import config_fields, spec_from_config
from core.readers.model_files import CONFIG_FILE, ModelFile
from core.readers.quantization import is_quantized
from core.readers.side_files import ADAPTER_FILE, GPTQ_FILES, HF_QUANT, with_quantization
from core.readers.weight_files.safetensors_header import (
    INDEX_FILE,
    SINGLE_FILE,
    read_safetensors,
    shards_of_index,
    stored_tensors,
)
from core.readers.weight_files.stored import StoredTensor, StoredTensors

_AT_A_TIME = 8  # as huggingface_hub's own snapshot_download, max_workers


class HubError(PlannerError):
    """The hub does not give the model, or cannot be reached."""


class NoConfigError(HubError):
    """The repository has no config.json."""


def fetch_adapter(model_id: str, revision: str | None = None) -> str:
    """Return the folder in the cache with the adapter_config.json of a LoRA adapter.

    Raises:
        HubError: the repository has none either, or the hub cannot be reached.
    """
    with _watched(model_id), _one_sentence_errors(model_id):
        from huggingface_hub import hf_hub_download

        return os.path.dirname(hf_hub_download(model_id, ADAPTER_FILE, revision=revision))


def fetch_model(model_id: str, revision: str | None = None) -> ModelFile:
    """Read the model `model_id` (org/model) at `revision`, or its latest, from the cache or from the hub.

    `stored` is None where the repository has no safetensors files, or the hub cannot be reached and only config.json is
    in the cache.

    Raises:
        HubError: the `hub` extra is not installed, the model is not there, gated, or the hub cannot be reached, or
            its answers are not safe to use.
        PlannerError: a file of the model is not understood.
    """
    with _watched(model_id):
        return _fetch_model(model_id, revision)


def _fetch_model(model_id: str, revision: str | None) -> ModelFile:
    with _one_sentence_errors(model_id):
        config, connected = _download_config(model_id, revision)
    fields: Mapping[str, object] = config_fields(config)
    spec = spec_from_config(fields, name=model_id, refuse_later=True, heads=True)  # refused before headers are fetched
    snapshot = os.path.dirname(config)
    stored = _cached(snapshot)
    if stored is None and connected:
        stored = _fetched(model_id, os.path.basename(snapshot))
    if stored is not None and connected and _looks_quantized(stored) and not is_quantized(fields):
        _download_quantization(model_id, os.path.basename(snapshot))
    quantized = with_quantization(fields, snapshot)
    if quantized is not fields:
        fields, spec = quantized, spec_from_config(quantized, name=model_id, refuse_later=True, heads=True)
    return ModelFile(spec=spec, fields=fields, stored=stored)


def _download_config(model_id: str, revision: str | None) -> tuple[str, bool]:
    """Return the path of config.json in the cache, and whether the hub could be reached to update it."""
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_download, hf_hub_url

    try:
        # First, because hf_hub_download retries an unreachable hub for half a minute.
        get_hf_file_metadata(hf_hub_url(model_id, CONFIG_FILE, revision=revision))
        return hf_hub_download(model_id, CONFIG_FILE, revision=revision), True
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError):
        raise
    except (errors.HTTPError, OSError) as problem:
        try:
            return hf_hub_download(model_id, CONFIG_FILE, revision=revision, local_files_only=True), False
        except errors.LocalEntryNotFoundError:
            raise problem from None


def _cached(snapshot: str) -> StoredTensors | None:
    """Return the tensors of weights that were downloaded before; None unless all files are there."""
    for name in (SINGLE_FILE, INDEX_FILE):
        path = os.path.join(snapshot, name)
        if os.path.exists(path):
            stored = read_safetensors(path)
            return None if stored.missing_shards else stored
    return None


def _fetched(model_id: str, revision: str) -> StoredTensors | None:
    """Read the headers of the weights on the hub; `revision` is the one of config.json."""
    with _one_sentence_errors(model_id):
        shards = _shards(model_id, revision)
        if not shards:
            return None
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            waiting = pool.map(lambda shard: _tensors_of(model_id, shard, revision), shards)
            headers = list(_with_progress(waiting, len(shards)))
    return StoredTensors(tensors=tuple(tensor for header in headers for tensor in header))


# Types in which no unquantized weights are stored.
_QUANTIZED_TYPES = {"F8_E4M3", "F8_E5M2", "F4", "U8", "I8", "I32", "U32"}


def _looks_quantized(stored: StoredTensors) -> bool:
    """Return whether most bytes of the weights have a type of quantized formats."""
    sizes = stored.bytes_by_dtype
    return 2 * sum(size for dtype, size in sizes.items() if dtype in _QUANTIZED_TYPES) > stored.total_bytes


def _download_quantization(model_id: str, revision: str) -> None:
    """Bring the file next to config.json that describes the quantization into the cache, if there is one."""
    from huggingface_hub import errors, hf_hub_download

    for name in (HF_QUANT, *GPTQ_FILES):
        with _one_sentence_errors(model_id):
            try:
                hf_hub_download(model_id, name, revision=revision)
                return
            except errors.EntryNotFoundError:
                continue


def _tensors_of(model_id: str, shard: str, revision: str) -> tuple[StoredTensor, ...]:
    from huggingface_hub import HfApi, errors

    def bad(problem: str) -> NoReturn:
        raise UnreadableFileError(
            f"{model_id}/{shard}", "a safetensors file", problem, "Report it to the model's maker."
        )

    with _one_sentence_errors(model_id, shard):
        try:
            found = HfApi().parse_safetensors_file_metadata(model_id, shard, revision=revision).tensors
        except (PlannerError, errors.HTTPError):
            raise
        # The last four because it does not check the entries of the header.
        except (errors.SafetensorsParsingError, AttributeError, TypeError, ValueError, RecursionError):
            bad("its header is cut short or damaged")
    header = {
        name: {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": list(tensor.data_offsets)}
        for name, tensor in found.items()
    }
    return stored_tensors(header, bad)


def _shards(model_id: str, revision: str) -> Sequence[str]:
    from huggingface_hub import HfApi, hf_hub_download

    api = HfApi()
    if api.file_exists(model_id, SINGLE_FILE, revision=revision):
        return [SINGLE_FILE]
    if api.file_exists(model_id, INDEX_FILE, revision=revision):
        return shards_of_index(hf_hub_download(model_id, INDEX_FILE, revision=revision))
    return []


def _with_progress(headers: Iterator[tuple[StoredTensor, ...]], count: int) -> Iterator[tuple[StoredTensor, ...]]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)  # scripts read stdout
    hidden = not console.is_terminal
    return iter(track(headers, "Reading headers", count, console=console, transient=True, disable=hidden))


@contextmanager
def _watched(model_id: str) -> Iterator[None]:
    """Let huggingface_hub receive only answers that are safe to use.

    Raises:
        HubError: it is not installed, or an answer is not safe.
    """
    try:
        from vram.hub_watch import watched
    except ImportError:
        raise HubError(
            model_id,
            "reading from the Hugging Face hub needs the package huggingface_hub",
            'Install it with: pip install "vram-planner[hub]"',
        ) from None
    with watched(model_id):
        yield


@contextmanager
def _one_sentence_errors(model_id: str, file: str = CONFIG_FILE) -> Iterator[None]:
    """Turn every failure of huggingface_hub to give `file` into one sentence."""
    from httpx2 import ConnectError, TimeoutException
    from huggingface_hub import constants, errors

    where = f"{constants.ENDPOINT}/{model_id}"
    try:
        yield
    except PlannerError:
        raise
    except errors.GatedRepoError:
        raise HubError(
            model_id,
            "the model is gated",
            f"Ask for access at {where}, then log in with: hf auth login (or set HF_TOKEN).",
        ) from None
    except errors.RepositoryNotFoundError:
        raise HubError(
            model_id, "the hub has no such model, or it is private", "Check the name, or log in with: hf auth login."
        ) from None
    except errors.RevisionNotFoundError:
        raise HubError(model_id, "the model has no such revision", f"See the branches and tags at {where}.") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise _unreachable(model_id, where) from None
    except errors.EntryNotFoundError:
        if file != CONFIG_FILE:
            raise HubError(
                model_id, f"its index names {quoted(file)}, which the hub does not have", "Tell the model's maker."
            ) from None
        raise NoConfigError(
            model_id, "the model has no config.json", "Download one of its files and give its path."
        ) from None
    except errors.HFValidationError:
        raise HubError(model_id, f"{quoted(model_id)} is not a valid name on the hub", "Write hub:org/model.") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        raise HubError(model_id, f"{constants.ENDPOINT} answered with HTTP {status}", "Try again later.") from None
    except (ConnectError, TimeoutException) as error:
        raise _unreachable(model_id, where, _first_line(error)) from None
    except (errors.HTTPError, OSError, ValueError) as error:
        raise HubError(
            model_id, f"{where} cannot be read ({_first_line(error)})", "Try again, or give the path of its files."
        ) from None


def _unreachable(model_id: str, where: str, why: str = "") -> HubError:
    return HubError(
        model_id,
        f"{where} cannot be reached{why and f' ({why})'}, and the model is not in the cache",
        "Connect to the network, or give the path of the model's files.",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
