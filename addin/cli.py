"""The command line of the add-ins: `vram addin wheel`."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def addin() -> None:
    """Carry the cell functions into Excel on each platform."""


@addin.command()
@click.option(
    "-o", "--output", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path("dist"),
    show_default=True, help="Folder to write the wheel to.",
)  # fmt: skip
def wheel(folder: Path) -> None:
    """Build the wheel for xlwings Lite and xlwings Server (Excel on Mac and on the web)."""
    from addin.lite_wheel import REGISTER, build_wheel
    from workbook.files import write_whole

    name, content = build_wheel()
    write_whole(folder / name, content)
    click.echo(f"Wrote {folder / name}")
    click.echo("xlwings Lite:")
    click.echo(f"  requirements.txt   the https address at which you publish {name}")
    click.echo(f"  main.py            {REGISTER}")
