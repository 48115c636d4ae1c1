"""The generated parts of the documents."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import document_part
from benchmarks.timing import Measure
from tools.documents import DOCS, renew, table, with_parts

TEXT = "# Title\n\n<!-- begin one -->\nold\n<!-- end one -->\n\nBy hand.\n"


def test_only_the_named_part_changes(tmp_path):
    file = tmp_path / "page.md"
    file.write_text(TEXT, encoding="utf-8")
    renew(file, {"one": table(("a", "b"), [("x", 1)], "lr")})
    renewed = file.read_text(encoding="utf-8")
    part = "| a | b |\n| --- | ---: |\n| x | 1 |"
    assert renewed == f"# Title\n\n<!-- begin one -->\n\n{part}\n\n<!-- end one -->\n\nBy hand.\n"
    assert with_parts(renewed, {"one": part}) == renewed


@pytest.mark.parametrize("text", ["", TEXT.replace("end one", "end two"), TEXT.replace("begin one", "begin two")])
def test_a_part_without_markers_is_refused(text):
    with pytest.raises(ValueError, match=r"no part 'one'.*<!-- begin one --> and <!-- end one -->"):
        with_parts(text, {"one": "new"})


def test_the_part_of_the_performance_page():
    measures = [
        Measure("fast", "slow", 0.0012, 0.0024, 0.5, target=1.0),
        Measure("slow", "fast", 2.0, 0.0000005, 4e6, target=2.0, note="Slow."),
    ]
    lines = document_part(measures).splitlines()
    assert lines[2] == "| fast | slow | 1.2 ms | 2.4 ms | 0.50 | ≤ 1 |  |"
    assert lines[3] == "| slow | fast | 2 s | 0.5 µs | 4000000.00 | ≤ 2 | missed |"
    assert "* slow: Slow." in lines
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    assert with_parts(page, {"measures": "new"}) != page
