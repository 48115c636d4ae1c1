"""The command `vram addin`. Each command imports what it needs when it runs: `vram` itself starts fast."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def addin() -> None:
    """The cell functions as an add-in of spreadsheet programs."""


@addin.command()
@click.option(
    "-o", "--output", "path", type=click.Path(dir_okay=False, path_type=Path), default=Path("dist/vram.oxt"),
    show_default=True, help="Where to write the extension.",
)  # fmt: skip
def libreoffice(path: Path) -> None:
    """Write the cell functions as an extension of LibreOffice Calc; needs no LibreOffice."""
    from addin.libreoffice import extension
    from workbook.files import write_whole

    write_whole(path, extension())
    click.echo(f"Wrote {path}")
    click.echo("Install it: open it in LibreOffice, or unopkg add --force FILE; then restart LibreOffice.")
