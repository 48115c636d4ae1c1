"""A hub that does harm: `vram` refuses it in one sentence, and writes nothing outside the model's folders of its cache."""

from __future__ import annotations

import gzip
import json
import re
import time
from pathlib import Path

import pytest

from tests.vram.fake_hub import CONFIG, MODEL, ON_HUB, FakeHub

CHECKSUM = '"' + 40 * "a" + '"'
LARGEST = "33,554,432"  # 32 MiB


def change(file, method="", status=None, body=None, **headers):
    """Return what changes an answer about `file`: headers are named with "_" for "-", None deletes one."""

    def hostile(asked, path, answer):
        if not path.endswith(file) or method not in ("", asked):
            return answer
        was, old, content = answer
        merged = old | {name.replace("_", "-"): value for name, value in headers.items()}
        return (
            was if status is None else status,
            {name: value for name, value in merged.items() if value is not None},
            content if body is None else body() if callable(body) else body,
        )

    return hostile


def a_byte_a_second(start=b""):
    def body():
        yield start
        while True:
            yield b" "
            time.sleep(0.3)

    return body


def endless():
    while True:
        yield bytes(1 << 20)


# The places in the cache of which the name of a model alone decides.
OWN_PLACES = re.compile(
    r"hf/hub/(models--org--[a-z0-9-]+/(blobs|refs|snapshots|\.no_exist)/.*|\.locks/models--org--[a-z0-9-]+/.*|CACHEDIR.TAG)"
)


def check_cache(folder: Path) -> None:
    """Check that every file below `folder` is in a model's own place of the cache, and none is half-written."""
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    assert [path for path in found if not OWN_PLACES.fullmatch(path)] == []
    assert [path for path in found if path.endswith(".incomplete")] == []


def refusal(hub_vram, tmp_path, model=ON_HUB, **arguments) -> str:
    done = hub_vram("estimate", model, "--context", "100", **arguments)
    assert (done.returncode, done.stdout) == (2, ""), done
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("vram: ") and sentence.isprintable()
    check_cache(tmp_path)
    return sentence


EACH = """
import sys, vram
for name in sys.argv[1:]:
    try:
        print(ascii(vram.model(name).name))
    except vram.PlannerError as error:
        print(ascii(str(error)))
sys.exit()
"""


@pytest.fixture
def answers_to(hub_vram, hub, tmp_path):
    """What `vram` says of a model under each of some hostile changes, all in one process."""

    def run(*changes, files=None, before="") -> list[str]:
        names = [f"org/m{number}" for number in range(len(changes))]
        hub.models |= {name: dict(hub.models[MODEL] if files is None else files) for name in names}
        by_model = dict(zip(names, changes))
        asked = re.compile(r"/(org/m\d+)/.*")
        hub.hostile = lambda method, path, answer: by_model[asked.fullmatch(path)[1]](method, path, answer)
        done = hub_vram(*(f"hub:{name}" for name in names), before=before + EACH)
        assert (done.returncode, done.stderr) == (0, "")
        check_cache(tmp_path)
        return done.stdout.splitlines()

    return run


def same(method, path, answer):
    return answer


@pytest.mark.parametrize("header", ["ETag", "X_Linked_Etag"])
def test_an_etag_that_is_no_checksum_is_refused(answers_to, tmp_path, header):
    etags = ["../../evil", f"{tmp_path}/evil", "..\\..\\evil", "C:evil", 39 * "a", 40 * "G", ".", f"{40 * 'a'}/.."]
    for said in answers_to(*(change("config.json", **{header: f'"{etag}"'}) for etag in etags)):
        assert "which is no checksum" in said


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_commit_that_is_no_hash_is_refused(answers_to, tmp_path, file):
    commits = ["../../../evil", f"{tmp_path}/evil", "..", "main", 39 * "0", 40 * "Z", "\xe9\x9b31m"]
    for said in answers_to(*(change(file, X_Repo_Commit=commit) for commit in commits)):
        assert "which is no hash" in said


@pytest.mark.parametrize("file", ["config.json", "adapter_config.json"])
def test_the_commit_of_a_file_that_is_missing_is_checked_too(answers_to, file):
    [said] = answers_to(change(file, X_Repo_Commit="../../../evil"), files={})
    assert "which is no hash" in said


def test_checksums_as_the_hub_writes_them_are_taken(answers_to):
    etags = [CHECKSUM, f"W/{CHECKSUM}", 64 * "b", '"' + 64 * "b" + '"']
    assert answers_to(*(change("config.json", ETag=etag) for etag in etags)) == [f"'org/m{n}'" for n in range(4)]


@pytest.mark.parametrize(
    "method, header", [("HEAD", "Content_Length"), ("HEAD", "X_Linked_Size"), ("GET", "Content_Length")]
)
def test_a_config_that_is_announced_as_too_large_is_not_fetched(answers_to, hub, method, header):
    sizes = ["40000000000", "33554433", "9" * 19]
    for said in answers_to(*(change("config.json", method, **{header: size}) for size in sizes)):
        assert f"none is needed above {LARGEST}" in said
    assert sum(sent for _, _, sent in hub.requests) < 10_000


def test_what_has_no_end_is_not_fetched(answers_to):
    # also where the hub gives no parts of files
    for said in answers_to(
        change("config.json", "GET", body=endless, Content_Length=None),
        change("model.safetensors", "GET", status=200, body=endless, Content_Length=None),
        change("model.safetensors", "GET", status=200, body=endless, Content_Length="40000000000"),
    ):
        assert f"none is needed above {LARGEST}" in said


def test_compressed_answers_are_not_unpacked(answers_to):
    bomb = gzip.compress(bytes(100 << 20))
    packed, refused = answers_to(
        change("config.json", "GET", body=bomb, Content_Encoding="gzip", Content_Length=str(len(bomb))),
        change("config.json", status=503, body=bomb, Content_Encoding="gzip", Content_Length=str(len(bomb))),
    )
    assert "answers with compressed data" in packed
    assert "answered with HTTP 503" in refused


SHORTER = "import vram.hub_watch; vram.hub_watch.LONGEST_S = 2"


@pytest.mark.slow
def test_what_is_sent_a_byte_now_and_then_ends_at_the_deadline(answers_to):
    for said in answers_to(
        change("config.json", "GET", body=a_byte_a_second(), Content_Length="30000"),
        change("model.safetensors", "GET", body=a_byte_a_second(), Content_Length="30000"),
        change("config.json", status=0, body=a_byte_a_second(b"HTTP/1.1 200 OK\r\nX-Slow:")),
        change("config.json", "GET", status=429, body=b"", Retry_After="86400"),
        before=SHORTER,
    ):
        assert "has not given the model's files within 2 seconds" in said


def test_the_hub_cannot_send_requests_elsewhere(answers_to):
    other = FakeHub()
    where = [
        f"{other.url}/config.json",
        "ftp://example.org/",
        "file:///etc/passwd",
        "http://",
        "http://[::1",
        "//\x9b/",
    ]
    for method in ("HEAD", "GET"):
        for said in answers_to(*(change("config.json", method, status=302, body=b"", Location=to) for to in where)):
            assert "which is neither it nor https" in said
    assert other.requests == []
    other.close()


def test_a_redirect_to_itself_ends(answers_to):
    def loop(method, path, answer):
        return 302, {"Location": path}, b""

    for said in answers_to(loop, lambda *asked: loop(*asked) if asked[0] == "GET" else asked[2]):
        assert "redirects" in said


def test_a_redirect_within_the_hub_is_followed(answers_to):
    def renamed(method, path, answer):
        return 307, {"Location": path.replace("org/m0", "org/m1")}, b""

    assert answers_to(renamed, same) == ["'org/m0'", "'org/m1'"]


def test_what_the_hub_says_is_not_printed_and_files_come_no_other_way(answers_to):
    assert answers_to(
        change("config.json", X_HF_Warning="topic; \x9b31m evil", Content_Disposition='filename="\x9b31m";'),
        change("config.json", X_Xet_Hash=64 * "c", X_Xet_Refresh_Route="http://127.0.0.1:9/evil"),
    ) == ["'org/m0'", "'org/m1'"]


def test_a_config_that_is_none_is_refused(answers_to):
    bodies = {
        b"<!DOCTYPE html><html><body>Sign in</body></html>": "it is not JSON",
        json.dumps(CONFIG).encode()[:50]: "it is not JSON",
        b"[" * 100_000: "it is nested too deeply",
        b"\xff\xfe{}": "it is not UTF-8 text",
        b'{"hidden_size": 1' + b"0" * 5000 + b"}": "5001 digits",
        b'{"model_type": "llama", "model_type": "gpt2"}': "twice",
        b"": "it is not JSON",
    }
    changes = [change("config.json", body=body, Content_Length=str(len(body))) for body in bodies]
    for said, expected in zip(answers_to(*changes), bodies.values()):
        assert expected in said


@pytest.mark.slow
def test_answers_that_break_off_are_refused(answers_to):
    config = json.dumps(CONFIG).encode()
    for said in answers_to(
        change("config.json", "GET", body=lambda: iter([config]), Content_Length="10"),
        change("config.json", "GET", body=lambda: iter([config]), Content_Length="5000"),
        change("config.json", status=0, body=b"\x00\x9b31m nothing\r\n\r\n"),
        change("config.json", "HEAD", Content_Length="-1"),
    ):
        assert "cannot be read (" in said


def test_a_header_of_weights_that_is_none_is_refused(answers_to):
    headers = [
        b"\x02" + bytes(7) + b"[]", b"\xff" * 16, (10**6).to_bytes(8, "little") + b"{",
        b"\x20" + bytes(7) + b'{"a":' + b"1" * 27, (10**4).to_bytes(8, "little") + b'{"a":' + b"1" * 9994 + b"}",
    ]  # fmt: skip
    changes = [change("model.safetensors", body=header, Content_Length=str(len(header))) for header in headers]
    for said in answers_to(*changes):
        assert "its header is cut short or damaged" in said


def test_a_missing_shard_is_named(hub_vram, hub, tmp_path):
    hub.models[MODEL]["model.safetensors.index.json"] = b'{"weight_map": {"a": "model-00001-of-00002.safetensors"}}'
    del hub.models[MODEL]["model.safetensors"]
    assert "its index names 'model-00001-of-00002.safetensors', which the hub does not have" in refusal(
        hub_vram, tmp_path
    )


def test_an_adapter_on_the_hub_cannot_name_a_file_of_this_machine(hub_vram, hub, tmp_path):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "config.json").write_text(json.dumps(CONFIG))
    adapter = {"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"], "base_model_name_or_path": "./hf"}
    hub.models[MODEL] = {"adapter_config.json": json.dumps(adapter).encode()}
    done = hub_vram("estimate", ON_HUB, "--context", "100")
    assert done.returncode == 2 and "'./hf' is not a valid name on the hub" in done.stderr


@pytest.mark.parametrize("name", ["org/tiny-model", "org/tiny-model@main", "org/typo"])
def test_nothing_is_sent_unless_the_hub_is_named(hub_vram, hub, tmp_path, name):
    assert f"write hub:{name}." in refusal(hub_vram, tmp_path, name)
    assert hub.requests == []


def test_the_remedy_of_a_bare_name_works(hub_vram, hub):
    remedy = hub_vram("estimate", MODEL, "--context", "100").stderr.rpartition("write ")[2].strip().rstrip(".")
    assert hub_vram("estimate", remedy, "--context", "100").returncode == 0


@pytest.mark.parametrize(
    "name", ["hub:", "hub:tiny-model", "hub:../x", "hub:a/b/c", f"hub:{MODEL}@", "hub:/etc/passwd"]
)
def test_a_name_that_the_hub_cannot_have_is_not_asked_for(hub_vram, hub, tmp_path, name):
    refusal(hub_vram, tmp_path, name)
    assert hub.requests == []


def test_a_program_that_reads_a_model_keeps_its_own_client_of_the_hub(hub_vram, hub):
    before = """
import huggingface_hub, vram
client = huggingface_hub.get_session()
mine = lambda: huggingface_hub.utils._http.default_client_factory()
huggingface_hub.set_client_factory(mine)
vram.model("hub:org/tiny-model")
assert huggingface_hub.utils._http._GLOBAL_CLIENT_FACTORY is mine
assert len(huggingface_hub.get_session().event_hooks["response"]) == 0
"""
    assert hub_vram("estimate", "llama-3.1-8b", "--context", "100", before=before).returncode == 0
