"""Choose how a number of GPUs serves its users fastest: which layout, and how many replicas of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from core.catalog.hardware import Gpu
from core.engines.capacity import Count
from core.errors import OutOfRangeError
from core.plan.fleet import Replica, Service, choice_of_gpu, layout_title
from core.plan.speed import Load, Speed, speed, users_at_once, users_at_speed


@dataclass(frozen=True)
class Layout:
    """Replicas on a number of GPUs, and the users that one of them holds at once."""

    replica: Replica
    replicas: int
    places: Count

    @property
    def title(self) -> str:
        """The layout as a reader knows it: "2 × TP 4"."""
        title = layout_title(self.replica.tp, self.replica.pp)
        return f"{self.replicas} × {title}" if self.replicas > 1 else title

    @property
    def users(self) -> int:
        """The users that all replicas hold at once."""
        return self.replicas * int(self.places.expected)


def fastest(service: Service, gpu: Gpu, gpus: int, load: Load) -> tuple[Layout, Speed]:
    """Return the layout that gives each user the most tokens per second, and its speed.

    It is chosen among those that hold all users at once; if none does, among those that hold the most.

    Raises:
        OutOfRangeError: the model does not fit, or what `core.plan.speed.speed` raises.
        UnsupportedModelError: only the size of the model is known.
    """
    layouts = layouts_on(service, gpu, gpus, load.prompt_tokens, load.output_tokens)
    most = max((layout.users for layout in layouts), default=0)
    if not most:
        raise OutOfRangeError(
            "gpus",
            f"{service.model.name} with {load.context:,} tokens does not fit on {gpus} × {gpu.name}",
            "Choose more GPUs, a GPU with more memory, or a smaller precision.",
        )
    speeds = [
        (layout, _speed(service, gpu, layout, load)) for layout in layouts if layout.users >= min(load.users, most)
    ]
    return max(speeds, key=lambda found: found[1].expected.tokens_per_s_per_user)


def most_users_at_speed(service: Service, gpu: Gpu, gpus: int, load: Load, tokens_per_s: float) -> int:
    """Return the most users that each get `tokens_per_s` at the low end of the range on those GPUs; 0 if none does.

    Args:
        load: prompt and output; its users do not matter.

    Raises:
        OutOfRangeError, UnsupportedModelError: as `fastest`, except that nothing fits: the answer is 0.
    """
    return max(
        (
            users_at_speed(
                service, gpu, load, tokens_per_s, tp=layout.replica.tp, pp=layout.replica.pp,
                replicas=layout.replicas, fitting=layout.places,
            )
            for layout in layouts_on(service, gpu, gpus, load.prompt_tokens, load.output_tokens)
        ),
        default=0,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def layouts_on(service: Service, gpu: Gpu, gpus: int, prompt_tokens: int, output_tokens: int) -> tuple[Layout, ...]:
    """Return the layouts in which a number of GPUs can be deployed, fewest GPUs a replica first."""
    load = Load(users=1, prompt_tokens=prompt_tokens, output_tokens=output_tokens)
    replicas = service.replicas(choice_of_gpu(gpu))
    return tuple(
        Layout(replica, gpus // replica.gpus, users_at_once(service, gpu, load, replica.tp, replica.pp))
        for replica in sorted(replicas, key=lambda replica: replica.gpus)
        if replica.gpus <= gpus
    )


def _speed(service: Service, gpu: Gpu, layout: Layout, load: Load) -> Speed:
    replica = layout.replica
    return speed(service, gpu, load, tp=replica.tp, pp=replica.pp, replicas=layout.replicas, fitting=layout.places)
