"""The cell functions for speed. `vram_udf` describes each function."""

from __future__ import annotations

from core.catalog.gpu_inputs import named_gpu
from core.catalog.hardware import Gpu
from core.cells.arguments import GPUS, OUTPUT_TOKENS, PROMPT_TOKENS, TOKENS_PER_SECOND, USERS, cell_argument
from core.cells.capacity import of_services
from core.checks import one_of
from core.errors import UnsupportedModelError
from core.plan.fleet import Service
from core.plan.layout_speed import fastest, most_users_at_speed
from core.plan.serving import needs_rule
from core.plan.speed import Load

RESULTS = ("per_user", "low", "high", "total", "first_token", "users_at_once", "limited_by", "layout")


def speed(
    model: object, prompt_tokens: object, output_tokens: object, users: object, gpu: object, gpus: object,
    precision: object, kv_precision: object, result: object,
) -> object:  # fmt: skip
    def figure(
        prompt_tokens: int, output_tokens: int, users: int, gpu: Gpu, gpus: int, result: str, service: Service
    ) -> float | str:
        load = Load(users=users, prompt_tokens=prompt_tokens, output_tokens=output_tokens)
        layout, found = fastest(known_service(service), gpu, gpus, load)
        figures: dict[str, float | str] = {
            "per_user": found.expected.tokens_per_s_per_user,
            "low": found.low.tokens_per_s_per_user,
            "high": found.high.tokens_per_s_per_user,
            "total": found.expected.output_tokens_per_s,
            "first_token": found.expected.first_token_s,
            "users_at_once": float(found.expected.users_at_once),
            "limited_by": found.limited_by,
            "layout": layout.title,
        }
        return figures[result]

    arguments = [PROMPT_TOKENS, OUTPUT_TOKENS, USERS, GPU, GPUS, RESULT]
    given = [prompt_tokens, output_tokens, users, gpu, gpus, result]
    return of_services(figure, arguments, given, [model, precision, kv_precision, None])


def users_at_speed(
    model: object, prompt_tokens: object, output_tokens: object, speed: object, gpu: object, gpus: object,
    precision: object, kv_precision: object,
) -> object:  # fmt: skip
    def count(prompt_tokens: int, output_tokens: int, speed: float, gpu: Gpu, gpus: int, service: Service) -> float:
        load = Load(users=1, prompt_tokens=prompt_tokens, output_tokens=output_tokens)
        return float(most_users_at_speed(known_service(service), gpu, gpus, load, speed))

    arguments = [PROMPT_TOKENS, OUTPUT_TOKENS, TOKENS_PER_SECOND, GPU, GPUS]
    given = [prompt_tokens, output_tokens, speed, gpu, gpus]
    return of_services(count, arguments, given, [model, precision, kv_precision, None])


def known_service(service: Service) -> Service:
    """Return the service if the shapes of its model are known, which a speed needs."""
    if needs_rule(service.model):
        raise UnsupportedModelError(
            "model", "only its size is known, which is not enough to compute a speed", "Name a model of the catalog."
        )
    return service


GPU = cell_argument("gpu", named_gpu)
RESULT = cell_argument("result", lambda value: one_of("result", value, RESULTS), RESULTS[0])
