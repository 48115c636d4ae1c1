"""What is assumed where a question does not say: the same for every interface."""

from __future__ import annotations

from core import catalog

PRECISION = catalog.SHIPPED  # of the weights
KV_PRECISION = "fp16"  # vLLM runs a model in 16 bits also where its checkpoint has 32 (config/model.py, dtype "auto")
USERS = 1
ENGINE = "vllm"  # not core.engines.vllm.ENGINE.name: `vram estimate` starts without the engines
