"""A hub on loopback, and `vram` in a separate process: huggingface_hub reads its settings at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.paths import ROOT
from tests.vram.fake_hub import CONFIG, MODEL, WEIGHTS, FakeHub


@pytest.fixture
def hub():
    hub = FakeHub()
    hub.models[MODEL] = {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": WEIGHTS}
    yield hub
    hub.close()


@pytest.fixture
def hub_vram(hub, tmp_path, shared_folder):
    """Runs `vram` against the hub, with a cache of the test's own; modules are compiled once for all tests."""

    def run(*arguments: str, stderr: int = subprocess.PIPE, before: str = "", **variables: str):
        left_out = ("hf_", "hugging", "vram_", "http_proxy", "https_proxy", "all_proxy")
        environment = {name: value for name, value in os.environ.items() if not name.lower().startswith(left_out)}
        environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(ROOT)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(shared_folder / "bytecode")
        environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONUTF8": "1"} | variables
        return subprocess.run(
            [sys.executable, "-c", f"{before}\nfrom vram.cli.main import main; main()", *arguments],
            stdout=subprocess.PIPE, stderr=stderr, encoding="utf-8", env=environment, cwd=tmp_path, timeout=120,
        )  # fmt: skip

    return run
