"""Look up known vulnerabilities of pinned versions with pip-audit, and say so where it cannot be done.

Run it with the Python that has pip-audit: `python tools/audit_dependencies.py constraints.txt`. Exit status: 0 none is
known, 1 some are, 2 nothing was checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

NOT_CHECKED = 2


def main(file: str) -> int:
    """Print what is known about the versions in `file`, and return the exit status."""
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--format", "json", "-r", file]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    status, lines = outcome(done.stdout, done.stderr)
    print("\n".join(lines))
    return status


def outcome(output: str, errors: str) -> tuple[int, list[str]]:
    """Return the exit status, and the lines that say what was found, from what pip-audit prints."""
    try:
        checked: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = (errors.strip().splitlines() or ["pip-audit printed nothing"])[-1][:300]
        return NOT_CHECKED, [f"NOT CHECKED: no vulnerability was looked up ({reason})."]
    skipped = [f"{one['name']}: not checked ({one['skip_reason']})" for one in checked if "skip_reason" in one]
    found = [
        f"{one['name']} {one['version']}: {known['id']}, fixed in {', '.join(known['fix_versions']) or 'no version'}"
        for one in checked
        for known in one.get("vulns", ())
    ]
    if not checked or len(skipped) == len(checked):
        return NOT_CHECKED, [*skipped, "NOT CHECKED: no vulnerability was looked up."]
    counted = f"{len(checked) - len(skipped)} versions checked, {len(found)} known vulnerabilities"
    return (1 if found or skipped else 0), [*skipped, *found, counted]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
