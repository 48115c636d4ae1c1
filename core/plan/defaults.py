"""What is assumed where a question does not say: the same for every interface."""

from core import catalog

PRECISION = catalog.SHIPPED  # of the weights
KV_PRECISION = catalog.SHIPPED  # `catalog.cache_precision` says what that is
USERS = 1
ENGINE = "vllm"  # not core.engines.vllm.ENGINE.name: `vram estimate` starts without the engines
