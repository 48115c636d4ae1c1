"""Power cuts, full disks, locked folders, two at once: the old file or the new one, whole, and one sentence."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import threading

import pytest

from tests.fuzz import kills, seeds
from tests.paths import ROOT
from tests.workbook.planner_rows import few
from workbook.files import write_whole

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor limits of file sizes"),
    pytest.mark.slow,
]

# Under a limit of 2000 bytes a file, which a full disk looks like to whoever writes (EFBIG instead of ENOSPC).
LIMITED = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "
# Planners of a few models, because the content plays no part here.
RUN = """
from tests.workbook.planner_rows import few
from vram.cli.main import main
with few():
    main()
"""


def command(arguments: list[object], before: str = "", **options) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-c", before + RUN, *map(str, arguments)]
    return subprocess.run(whole, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=120, **options)


def is_one_sentence(done: subprocess.CompletedProcess[str]) -> bool:
    return done.returncode == 2 and done.stderr.startswith("vram: ") and done.stderr.count("\n") == 1


# The whole campaign: python -m tests.fuzz.kills
@pytest.mark.parametrize("name", ["models.csv", "out.xlsx", "vram.oxt"])
def test_killed_in_the_middle_of_writing(name):
    assert sum(kills.campaign([name], 4, seed=7).values()) == 4


@pytest.mark.parametrize("name", kills.WRITERS)
def test_a_full_disk_is_one_sentence_and_the_old_file_stays(tmp_path, name):
    inputs, folder = tmp_path / "inputs", tmp_path / "out"
    inputs.mkdir()
    folder.mkdir()
    out = folder / name
    out.write_bytes(kills.old_content(name))
    arguments = kills.WRITERS[name](inputs, out)
    if name == "models.csv":  # so small that it has to be filled first
        row = seeds.model_rows()[0].splitlines(keepends=True)[1]
        out.write_bytes(out.read_bytes() + b"".join(row.replace(b"mine", b"mine-%d" % i, 1) for i in range(50)))
    before = out.read_bytes()
    done = command(arguments, LIMITED, stdout=subprocess.DEVNULL)
    assert is_one_sentence(done), done.stderr
    assert out.read_bytes() == before
    assert os.listdir(folder) == [name]


@pytest.mark.parametrize("arguments", [["model", "list"], ["model", "list", "--json"], ["read", "PLANNER", "--csv"]])
def test_output_that_goes_nowhere(tmp_path, arguments):
    planner = tmp_path / "planner.xlsx"
    planner.write_bytes(seeds.PLANNER)
    arguments = [planner if argument == "PLANNER" else argument for argument in arguments]
    with open("/dev/full", "w") as full:
        done = command(arguments, stdout=full)
    assert is_one_sentence(done), done.stderr
    assert "No space left on device" in done.stderr


def test_a_reader_that_has_seen_enough():
    """As in `vram model list | head -1`."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "w") as closed:
        done = command(["model", "list"], stdout=closed)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_output_is_no_traceback(closed):
    for arguments, status in (("model list", 0), ("estimate no-such-model --context 8", 2)):
        program = f"exec '{sys.executable}' -m vram {arguments} {closed}"
        done = subprocess.run(["sh", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == status and "Traceback" not in done.stdout + done.stderr


@pytest.mark.skipif(sys.platform != "linux" and os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("name", kills.WRITERS)
def test_a_folder_that_may_not_be_written_to(name, tmp_path):
    inputs, folder = tmp_path / "inputs", tmp_path / "locked"
    inputs.mkdir()
    folder.mkdir()
    out = folder / name
    out.write_bytes(kills.old_content(name))
    arguments = kills.WRITERS[name](inputs, out)
    folder.chmod(0o555)
    done = command(arguments, "import tests.vram.unprivileged; ", stdout=subprocess.DEVNULL)
    assert is_one_sentence(done) and "cannot be written" in done.stderr, done.stderr
    assert out.read_bytes() == kills.old_content(name)
    assert os.listdir(folder) == [name]


def test_a_folder_that_there_cannot_be(vram):
    with few():
        status, out, err = vram("template", "-o", "/proc/self/status/planner.xlsx")
    assert (status, out) == (2, "") and err.count("\n") == 1


def test_a_name_as_long_as_file_systems_allow(tmp_path):
    path = tmp_path / ("模" * 83 + ".xlsx")  # 254 bytes of the 255 that a name may have: POSIX, NAME_MAX
    write_whole(path, b"x")
    assert path.read_bytes() == b"x"


def test_two_processes_do_not_mix_what_they_write(tmp_path):
    path, rounds = tmp_path / "file", 60
    contents = [letter * 2_000_000 for letter in (b"a", b"b")]
    write_whole(path, contents[0])
    children = []
    for content in contents:
        child = os.fork()
        if not child:
            try:
                for _ in range(rounds):
                    write_whole(path, content)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    finished = threading.Event()
    statuses = []

    def wait() -> None:
        statuses.extend(os.waitpid(child, 0)[1] for child in children)
        finished.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    seen = {path.read_bytes()}
    while not finished.is_set():
        seen.add(path.read_bytes())
    waiter.join()
    assert statuses == [0, 0]
    assert seen <= set(contents)
    assert os.listdir(tmp_path) == ["file"]


def test_models_that_several_processes_add_are_all_there(tmp_path):
    config, out = tmp_path / "config.json", tmp_path / "folder" / "my_models.csv"
    config.write_bytes(seeds.configs()[0])
    names = [f"model-{i}" for i in range(6)]
    children = []
    for name in names:
        child = os.fork()
        if not child:
            try:
                os._exit(kills.run_command(["model", "import", config, "--name", name, "--add-to", out]))
            finally:
                os._exit(99)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(names)
    with open(out, encoding="utf-8-sig", newline="") as lines:
        assert sorted(row["name"] for row in csv.DictReader(lines)) == names
