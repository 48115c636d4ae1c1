"""Draw computed speeds over measured ones: docs/speed.png."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

# Colours that people who cannot tell red from green can distinguish (Okabe and Ito, 2008), and markers that need no colour.
STYLES = (("#0072B2", "o"), ("#E69F00", "^"), ("#009E73", "s"), ("#CC79A7", "D"))

Points = Sequence[tuple[float, float]]  # measured, computed


def draw(panels: Mapping[str, Mapping[str, Points]], factor: float, path: Path) -> None:
    """Draw a panel for each figure, with the points of each series, the line of equality and the stated range."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(1, len(panels), figsize=(11, 5.2), layout="constrained")
    for number, (axis, (figure, series)) in enumerate(zip(axes, panels.items())):
        for (colour, marker), (name, points) in zip(STYLES, series.items()):
            axis.scatter(*zip(*points), s=14, c=colour, marker=marker, alpha=0.6, linewidths=0, label=name)
        figures = [value for points in series.values() for pair in points for value in pair]
        ends = [min(figures) / 1.2, max(figures) * 1.2]
        axis.plot(ends, ends, color="black", linewidth=1, label="computed = measured")
        for sign, label in ((1, f"stated range, × ÷ {factor:g}"), (-1, None)):
            axis.plot(
                ends, [end * factor**sign for end in ends], color="black", linewidth=1, linestyle="--", label=label
            )
        axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
        axis.set(title=figure, xlabel=f"measured {figure}", ylabel=f"computed {figure}")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.grid(visible=True, color="#dddddd", linewidth=0.5)
        if not number:
            axis.legend(loc="upper left")
    drawing.savefig(path, dpi=100, metadata={"Software": None})  # without matplotlib's version
