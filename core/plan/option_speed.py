"""Compute how fast the options of a plan serve their users, and say why one cannot be chosen for it.

Users are spread evenly over an option's replicas. An option is judged by the low end of its range.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from core.catalog.hardware import Gpu
from core.engines.capacity import Count
from core.errors import OutOfRangeError
from core.model.precision import Precision
from core.model.spec import ModelSpec
from core.plan.demand import Tokens, requests_served
from core.plan.fleet import MAX_GPUS, Option, Replica, Service, gpu_of_choice
from core.plan.measured_speeds import MeasuredSpeeds
from core.plan.serving import served_precision
from core.plan.speed import Load, Speed, speed, users_at_wanted_speed
from core.plan.speed_figures import check_has_speed
from core.plan.speed_terms import MEASURED_SERVED

NO_COMPUTE_RATE = "no compute rate is known"


@dataclass(frozen=True, kw_only=True)
class OptionSpeed:
    """An option at its load.

    Attributes:
        option: the option, with the replicas in which the users fit and get the wanted speed.
        users: concurrent users of all its replicas.
        peak_users: the users at which the speed is stated; for requests per hour, as many as the replicas run.
        speed: how fast it is; None if that cannot be computed.
        reason: why it cannot be chosen ("too slow: 1 of 10 tokens/s"); "" if it can, as far as its speed goes.
    """

    option: Option
    users: int
    peak_users: int
    speed: Speed | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked of every option.

    Attributes:
        tokens: of a request.
        users: concurrent users; None if requests per hour are given.
        requests_per_hour: None if users are given.
        min_speed: tokens per second for each user; 0 if any speed will do.
        measured: speeds that the users measured themselves, by GPU and layout.
    """

    tokens: Tokens
    users: int | None
    requests_per_hour: float | None
    min_speed: float
    measured: MeasuredSpeeds = field(default_factory=dict)

    def measured_speed(self, replica: Replica) -> float:
        """Return the speed that was measured on a replica's GPU and layout; 0 if none was."""
        return self.measured.get((replica.gpu.name, replica.tp, replica.pp), 0)

    def load(self, users: int) -> Load:
        """Return the load of a number of users."""
        return Load(users=users, prompt_tokens=self.tokens.prompt, output_tokens=self.tokens.output)


def speeds_of_options(service: Service, options: Iterable[Option], wish: Wish) -> list[OptionSpeed]:
    """Return each option at its load.

    Raises:
        UnsupportedModelError: only the size of the model is known, or it generates no tokens.
    """
    options = tuple(options)
    if options:
        check_has_speed(service.model)
    serving = served(service)
    found = []
    for option in options:
        gpu = gpu_of_choice(option.replica.gpu)
        if gpu is None or gpu.bandwidth_gb_per_s is None:  # the ranking has its own reason for these
            found.append(_unknown(option, wish))
        elif gpu.bf16_tflops is None:
            found.append(_unknown(option, wish, NO_COMPUTE_RATE))
        else:
            found.append(_at_its_load(serving, gpu, option, wish))
    return found


def speed_in_full(service: Service, at_load: OptionSpeed, wish: Wish) -> Speed | None:
    """Return the speed of an option as `core.plan.speed.speed` gives it, `users_at_once` included.

    With an overhead, or for average tokens, the places are the option's own: an engine's budget has others.
    """
    option = at_load.option
    gpu = gpu_of_choice(option.replica.gpu)
    if at_load.speed is None or gpu is None:
        return at_load.speed
    if service.overhead is not None or service.average_tokens is not None:
        return at_load.speed
    replica = option.replica
    return speed(
        served(service), gpu, wish.load(at_load.peak_users), tp=replica.tp, pp=replica.pp, replicas=option.replicas,
        measured=wish.measured_speed(replica),
    )  # fmt: skip


def too_slow(low: float, wanted: float) -> str:
    """Return why an option cannot be chosen whose users get `low` tokens per second at the low end; "" if it can."""
    if low >= wanted:
        return ""
    shown = math.floor(low) if low >= 1 else math.floor(low * 10) / 10
    return f"too slow: {shown:g} of {wanted:g} tokens/s"


def no_kernel(model: ModelSpec, precision: Precision | None, gpu: Gpu) -> str:
    """Return that no kernel runs a model's format on a GPU, as a reason."""
    shipped = model.quantization
    names = [precision.name] if precision else sorted({found.name for _, found in shipped.formats} if shipped else ())
    return f"no kernel for {' and '.join(names).upper()} on {gpu.title}"


def served(service: Service) -> Service:
    """Return the service with weights in the format that an engine serves, also where memory goes by the rule."""
    precision = served_precision(service.model, service.precision)
    if precision is service.precision and service.overhead is None:
        return service
    settings = service.settings
    if settings.groups != service.groups:
        settings = replace(settings, attention_dp=service.groups)
    return replace(service, precision=precision, overhead=None, settings=settings)


def _unknown(option: Option, wish: Wish, reason: str = "") -> OptionSpeed:
    users = wish.users or 1
    return OptionSpeed(option=option, users=users, peak_users=users, speed=None, reason=reason)


def _at_its_load(service: Service, gpu: Gpu, option: Option, wish: Wish) -> OptionSpeed:
    try:
        if wish.requests_per_hour is not None:
            return _serving_requests(service, gpu, option, wish, wish.requests_per_hour)
        assert wish.users is not None
        return _serving_users(service, gpu, option, wish, wish.users)
    except OutOfRangeError as error:
        if error.field != "precision":
            raise
        reason = no_kernel(service.model, service.precision, gpu)
        return _unknown(option, wish, reason)


def _serving_users(service: Service, gpu: Gpu, option: Option, wish: Wish, users: int) -> OptionSpeed:
    """Return the option with the replicas in which the users fit and get the wanted speed."""
    option = _with_users_per_replica(option, _users_at_speed(service, gpu, option, wish), users)
    return _checked(service, gpu, option, wish, users, users)


def _serving_requests(service: Service, gpu: Gpu, option: Option, wish: Wish, requests_per_hour: float) -> OptionSpeed:
    """Return the option with the replicas that serve the requests, each with as many users as it runs fast enough.

    A request takes as long as where every replica is full: its first token as expected, its answer at the low end of
    the speed. That is the speed that is stated.
    """
    most = _users_at_speed(service, gpu, option, wish)
    full = _speed(service, gpu, replace(option, replicas=1), wish, most)
    served = requests_served(
        requests_per_hour,
        first_token_s=full.expected.first_token_s,
        output_tokens=wish.tokens.output,
        tokens_per_s_per_user=full.low.tokens_per_s_per_user,
        users_per_replica=most,
    )
    option = _with_users_per_replica(option, most, served.users)
    return _checked(service, gpu, option, wish, served.users, most * option.replicas)


def _users_at_speed(service: Service, gpu: Gpu, option: Option, wish: Wish) -> int:
    """Return the users that fit in a replica and each get the wanted speed, by the terms `FAST`; at least 1."""
    replica = option.replica
    found = users_at_wanted_speed(service, gpu, wish.load(1), wish.min_speed, tp=replica.tp, pp=replica.pp)
    given = {
        "measured_speed": wish.measured_speed(replica), "min_speed": wish.min_speed,
        "fitting": option.users_per_replica, "users_at_speed": found,
    }  # fmt: skip
    users: int = MEASURED_SERVED.compute(given)["users_per_replica"]  # type: ignore[assignment]
    return users


def _with_users_per_replica(option: Option, users_per_replica: int, users: int) -> Option:
    replicas = -(-users // users_per_replica)
    return replace(option, users_per_replica=users_per_replica, replicas=replicas, users=users)


def _checked(service: Service, gpu: Gpu, option: Option, wish: Wish, users: int, peak_users: int) -> OptionSpeed:
    if option.gpus > MAX_GPUS:
        reason = f"{option.gpus:,} GPUs are more than {MAX_GPUS:,}, the most that are planned"
        return OptionSpeed(option=option, users=users, peak_users=peak_users, speed=None, reason=reason)
    found = _speed(service, gpu, option, wish, peak_users)
    reason = too_slow(found.low.tokens_per_s_per_user, wish.min_speed)
    return OptionSpeed(option=option, users=users, peak_users=peak_users, speed=found, reason=reason)


def _speed(service: Service, gpu: Gpu, option: Option, wish: Wish, users: int) -> Speed:
    replica = option.replica
    return speed(
        service, gpu, wish.load(users), tp=replica.tp, pp=replica.pp, replicas=option.replicas, fitting=_places(option),
        measured=wish.measured_speed(replica),
    )  # fmt: skip


def _places(option: Option) -> Count:
    return Count(option.users_per_replica, option.users_per_replica, option.users_per_replica)
