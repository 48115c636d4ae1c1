"""List the cell functions that `vram_udf` declares, with their texts, for add-ins, documentation and tests."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import vram_udf


@dataclass(frozen=True)
class FunctionArgument:
    """One argument: its name, its description in the function wizard, and whether it is optional."""

    name: str
    description: str
    optional: bool

    @property
    def label(self) -> str:
        """The argument as documentation and tooltips show it: in brackets if it is optional."""
        return f"[{self.name}]" if self.optional else self.name


@dataclass(frozen=True)
class CellFunction:
    """One cell function: its name, its description in the function wizard, and its arguments in order."""

    name: str
    description: str
    arguments: tuple[FunctionArgument, ...]

    @property
    def signature(self) -> str:
        """The function as documentation shows it: VRAM_KV(model, context, [users])."""
        return f"{self.name}({', '.join(argument.label for argument in self.arguments)})"


def declared_functions() -> tuple[CellFunction, ...]:
    """Return the functions in the order in which `vram_udf` declares them."""
    return tuple(
        CellFunction(
            name=function.__name__,
            description=" ".join(function.__doc__.split()),
            arguments=tuple(
                FunctionArgument(
                    name,
                    vram_udf.argument_text(function.__name__, name),
                    optional=parameter.default is not parameter.empty,
                )
                for name, parameter in inspect.signature(function).parameters.items()
            ),
        )
        for function in vram_udf.FUNCTIONS
    )
