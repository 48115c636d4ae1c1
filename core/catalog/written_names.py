"""Split a model's name as people and hubs write it into the name of the model and its format.

Covers Ollama's tags ("llama3.1:70b-instruct-q4_K_M"), names of quantized copies ("unsloth/Qwen3-8B-bnb-4bit"), and
other cases, separators and makers ("Meta Llama 3.1 8B"). No rule here guesses a version or a size that is not written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from core.texts import LONGEST_COMPARED, plain_name

# The parts of a name: sizes ("1.7b", "560m", "1t"), numbers, words, and the colon before Ollama's tags. A dot between
# other numbers separates, as "-" does.
_PARTS = re.compile(r"\d+(?:\.\d+)?[bmt](?![^\W_])|\d+|[^\W\d_]+|:")
# What makers call their models in Chinese, and how the names of the models begin: qwen.ai, deepseek.com, zhipuai.cn,
# moonshot.cn, hunyuan.tencent.com, yiyan.baidu.com, baichuan-ai.com, lingyiwanwu.com, modelbest.cn and
# internlm.intern-ai.org.cn. A longer name goes before one that it contains.
BRANDS = {
    "通义千问": "qwen",
    "千问": "qwen",
    "深度求索": "deepseek",
    "智谱glm": "glm",
    "智谱": "glm",
    "月之暗面": "kimi",
    "腾讯混元": "hunyuan",
    "混元": "hunyuan",
    "文心一言": "ernie",
    "文心": "ernie",
    "百川": "baichuan",
    "零一万物": "yi",
    "面壁": "minicpm",
    "书生·浦语": "internlm",
    "书生浦语": "internlm",
}
# Where pages and tools say the name of a repository: Hugging Face's and Ollama's ways to pull one.
_HOSTS = re.compile(r"^(?:https?://)?(?:huggingface\.co|hf\.co|ollama\.com(?:/library)?)/")
_SEPARATORS = re.compile(r"[\s_\-()\[\],]+")

# Copies in these containers, made by these tools or with these tensors have the shapes of their model.
_COPY_WORDS = frozenset(
    "gguf ggml mlx quantized quant imatrix i1 autoround calibrated rtn kv sym mtp text"
    " abliterated uncensored heretic qat unsloth".split()
)
_MONTH = re.compile(r"2[3-9](?:0[1-9]|1[0-2])")  # of a release: "2407"
# Versions of a model that makers publish too, in the same shapes, where its size is stated; "it" and "pt" are
# Google's.
_VERSION_WORDS = frozenset("instruct chat it pt base hf".split())
# In the name of a copy, as "RedHatAI/…-FP8" or "nvidia/…-FP8": of the linear layers, not of every tensor.
# Source: llm-compressor's and ModelOpt's published config.json files, which leave out lm_head.
_FORMATS_OF_COPIES = {"fp8": "fp8_tensor"}
_MOST_FORMAT_WORDS = 4  # "ud", "q4", "k", "m"
_UNKNOWN_FORMAT = re.compile(
    r"(?:ud-)?i?q\d(?:-[0-9a-z]{1,3}){0,2}|\d-?bit|(?:4b-)?\d{2,3}g|bnb|bpw|g\d{2,3}|exl[23]|int\d|fp\d|w\d+a\d+|dwq|dynamic"
)


# What repeats of a format in 4 bits how many they are, and in which groups: "AWQ-4bit", "GPTQ-4b-128g", "AWQ-INT4".
_FOUR_BITS = frozenset(("awq", "gptq", "nf4"))
_REPEATED_BITS = "int4"
_REPEATS = re.compile(r"4-?bit|4b|g?\d{2,3}g?|bnb")


@dataclass(frozen=True)
class WrittenName:
    """What a written name says.

    Attributes:
        parts: the parts of the model's own name, with ":" before an Ollama tag.
        precision: the name of the format that is stated; "" for none that the catalog has.
        unread: words that state a format that the catalog lacks.
    """

    parts: tuple[str, ...]
    precision: str = ""
    unread: str = ""

    def possible_parts(self) -> tuple[tuple[str, ...], ...]:
        """Return the parts to look for, the surest first.

        A tag of Ollama means the model that is tuned for chat unless it says "text" or "base".
        Source: the page of each model on ollama.com/library, "Instruct" and "Pre-trained".
        """
        plain = tuple(part for part in self.parts if part != ":")
        undated = tuple(part for part in plain if not _MONTH.fullmatch(part))
        shorter = (plain, without_versions(plain), undated, without_versions(undated))
        return shorter if plain == self.parts else (self.parts, (*plain, "instruct"), *shorter)


def parts_of(name: str) -> tuple[str, ...]:
    """Return the parts of a name, without case and separators: "Qwen2.5-7B" gives ("qwen", "2", "5", "7b")."""
    return tuple(_PARTS.findall(plain_name(name).casefold()))


def is_size(part: str) -> bool:
    """Return whether a part of a name is a size such as "1.7b" or "560m"."""
    return part[0].isdigit() and part[-1] in "bmt"


def without_versions(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the parts without words such as "instruct", for versions in the same shapes, if they state a size."""
    if not any(map(is_size, parts)):
        return parts
    return tuple(part for at, part in enumerate(parts) if not at or part not in _VERSION_WORDS)


def without_active_size(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the parts without the active parameters at their end: "qwen3-30b-a3b" is also "qwen3-30b"."""
    return parts[:-2] if len(parts) > 3 and parts[-2] == "a" and parts[-1][-1:] == "b" else parts


def brand_in(name: str) -> str:
    """Return the Chinese name of a maker's models that is part of `name`; "" if there is none."""
    return next((brand for brand in BRANDS if brand in name.casefold()), "")


def read_written(name: str, precision_named: Callable[[str], str]) -> WrittenName | None:
    """Split `name`; None if it is too long for a name or has a revision ("org/model@revision").

    Args:
        name: what the user wrote.
        precision_named: returns the name of the format that is called so, or "".
    """
    if len(name) > LONGEST_COMPARED or "@" in name or ".." in name:
        return None
    text = _HOSTS.sub("", plain_name(name).casefold())
    text = text.rpartition("/")[2]
    text = without_brand(text)
    base, _, tag = text.partition(":")
    tag = "" if tag == "latest" else tag.removesuffix("cloud").rstrip("-")  # "671b-cloud": Ollama's own machines
    written = f"{base}-:-{tag}" if tag else base
    words = [word for word in _SEPARATORS.split(written.replace("quantized.", "quantized-")) if word]
    kept, found, unread = _without_formats(words, precision_named)
    formats = [known for known in found if known != _REPEATED_BITS or len(found) == 1]
    if formats and _FOUR_BITS.issuperset(formats) and all(map(_REPEATS.fullmatch, unread)):
        unread = []
    precision = formats[0] if len(formats) == 1 and not unread else ""
    rest = "" if precision else " ".join([*found, *unread])
    return WrittenName(parts_of(" ".join(kept)), precision, rest)


def without_brand(name: str) -> str:
    """Return a name with its Chinese brand as its models are called here, once: "智谱 GLM4.6" already says "glm"."""
    brand = brand_in(name)
    if not brand:
        return name
    rest = name.casefold().replace(brand, " ").strip()
    return rest if rest.startswith(BRANDS[brand]) else f"{BRANDS[brand]} {rest}".strip()


def _without_formats(
    words: list[str], precision_named: Callable[[str], str]
) -> tuple[list[str], dict[str, None], list[str]]:
    """Return the words before those for formats, the formats, and the words for unknown formats."""
    kept = list(words)
    found: dict[str, None] = {}
    unread: list[str] = []
    while len(kept) > 1:
        taken = _format_at_end(kept, precision_named)
        if taken is not None:
            count, precision = taken
            if precision:
                found[precision] = None
            else:
                unread.extend(kept[-count:])
            del kept[-count:]
        elif kept[-1] in _COPY_WORDS or kept[-1] == ":" or _is_revision_of_format(kept, precision_named):
            del kept[-1]
        else:
            break
    return kept, found, unread


def _format_at_end(words: list[str], precision_named: Callable[[str], str]) -> tuple[int, str] | None:
    """Return how many words at the end state a format, and which; "" for one that is not known."""
    for count in range(min(_MOST_FORMAT_WORDS, len(words) - 1), 0, -1):
        phrase = "-".join(words[-count:])
        precision = _FORMATS_OF_COPIES.get(phrase) or precision_named(phrase)
        if precision:
            return count, precision
        if _UNKNOWN_FORMAT.fullmatch(phrase):
            return count, ""
    return None


def _is_revision_of_format(words: list[str], precision_named: Callable[[str], str]) -> bool:
    """Return whether the last word is a revision of a copy ("NVFP4-v2"), not of the model ("7b-instruct-v0.2")."""
    return re.fullmatch(r"v\d", words[-1]) is not None and _format_at_end(words[:-1], precision_named) is not None
