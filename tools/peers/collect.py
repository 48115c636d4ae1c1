"""Ask every peer, each in a separate process, and store the answers for tools/peers/table.py."""

from __future__ import annotations

import csv
import datetime
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools import accuracy
from tools.peers import ask, cases
from tools.peers.table import ANSWERS, FIELDS
from workbook.files import write_whole


def answers(python: str, peer: str, asked: list[ask.Case]) -> list[dict[str, Any]]:
    """Return a peer's answers; none where it cannot be installed for this Python."""
    written = subprocess.run(
        [python, ask.__file__, peer], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    if written.returncode:
        print(f"{peer}: {written.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return []
    return json.loads(written.stdout)


def main(python: str) -> None:
    """Ask all of them with the interpreter that they are installed for."""
    known = cases.nine_models() + cases.logged_models(accuracy.runs())
    asked = [each.case for each in known]
    today = datetime.date.today().isoformat()
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    for peer in ask.PEERS:
        writer.writerows(row | {"asked": today} for row in answers(python, peer, asked))
    write_whole(ANSWERS, text.getvalue().encode("utf-8"))


if __name__ == "__main__":
    main(str(Path(sys.argv[1]).absolute()))
