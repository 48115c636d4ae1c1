"""What happens when an engine is not installed: a skip on a developer's machine, a failure in CI."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(engine: str, reason: str) -> NoReturn:
    """End the current test because ``engine`` is unavailable.

    In CI a missing engine is a failure, not a skip: otherwise a broken installation step would look
    like a green build that checked nothing.
    """
    message = f"{engine} is not available: {reason}"
    if os.environ.get("CI", "").strip().lower() in {"1", "true"}:
        pytest.fail(f"{message} (in CI a missing engine is a failure, not a skip)", pytrace=False)
    pytest.skip(message)
