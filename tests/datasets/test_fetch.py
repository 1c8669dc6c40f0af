"""A file arrives whole and verified, or not at all with a message that says what to do."""

from __future__ import annotations

import hashlib
import logging
import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import sigilla as sg
from sigilla.datasets import _fetch, _manifests
from sigilla.datasets._manifests import DataFile, Manifest
from sigilla.errors import FileError
from sigilla.settings import settings

CONTENT = bytes(range(256)) * 4096  # 1 MiB


def checksum(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


@dataclass
class Server:
    """Serves ``files`` by path; may cut a transfer short, and may ignore a range asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut: int | None = None
    ranges: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    base: str = ""


@pytest.fixture
def server(monkeypatch):
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            state.requests.append((self.path, asked))
            if self.path not in state.files:
                self.send_error(404)
                return
            body = state.files[self.path]
            start = int(asked[6:-1]) if asked and state.ranges else 0
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            self.wfile.write(body[start : state.cut])

        def log_message(self, *args):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.base = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield state
        http.shutdown()
        thread.join()


@pytest.fixture
def data(server, tmp_path, monkeypatch):
    """A data set of one file on the server, an empty cache and no mirror."""
    monkeypatch.setattr(settings, "cache_dir", tmp_path / "cache")
    monkeypatch.setattr(settings, "mirror", None)
    monkeypatch.setattr(settings, "progress", False)
    monkeypatch.setattr(_fetch, "_verified", set())
    server.files["/a.bin"] = CONTENT
    file = DataFile(
        "a.bin", f"{server.base}/a.bin", len(CONTENT), checksum(CONTENT), "place/a.bin", "x"
    )
    return serve(monkeypatch, file)


def serve(monkeypatch, *files: DataFile) -> DataFile:
    manifest = Manifest("toy", "Toy", "MIT", "none", "https://h.example", "-", "-", "-", files)
    monkeypatch.setattr(_manifests, "manifests", lambda: {"toy": manifest})
    return files[0]


def in_cache() -> list[str]:
    folder = Path(settings.cache_dir) / "toy"
    return sorted(p.name for p in folder.glob("*") if not p.name.endswith(".lock"))


def hidden() -> list[str]:
    folder = Path(settings.cache_dir) / "toy"
    return sorted(p.name for p in folder.glob(".*.part"))


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "sha512"])
def test_a_file_is_downloaded_once_and_verified(server, data, monkeypatch, algorithm):
    serve(monkeypatch, replace(data, checksum=checksum(CONTENT, algorithm)))
    (path,) = sg.datasets.fetch("toy").values()
    assert path.read_bytes() == CONTENT
    assert sg.datasets.fetch("toy") == {"a.bin": path}
    assert len(server.requests) == 1
    assert hidden() == []


def test_a_wrong_checksum_is_refused_and_leaves_nothing(data, monkeypatch):
    serve(monkeypatch, replace(data, checksum=checksum(b"another")))
    with pytest.raises(FileError, match="its checksum is not sha256"):
        sg.datasets.fetch("toy")
    assert in_cache() == []
    assert hidden() == []


def test_a_broken_download_leaves_no_file_and_resumes(server, data):
    server.cut = 300_000
    with pytest.raises(FileError, match="could not be fetched"):
        sg.datasets.fetch("toy")
    assert "a.bin" not in in_cache()
    came = (Path(settings.cache_dir) / "toy" / ".a.bin.part").stat().st_size
    assert came > 0
    server.cut = None
    assert sg.datasets.fetch("toy")["a.bin"].read_bytes() == CONTENT
    assert server.requests[-1] == ("/a.bin", f"bytes={came}-")
    assert hidden() == []


def test_a_server_that_knows_no_ranges_is_asked_again_from_the_start(server, data):
    server.cut = 300_000
    with pytest.raises(FileError):
        sg.datasets.fetch("toy")
    server.cut, server.ranges = None, False
    assert sg.datasets.fetch("toy")["a.bin"].read_bytes() == CONTENT
    ranges = [asked for _, asked in server.requests]
    assert ranges[1] is not None
    assert ranges[2] is None


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"!", b"of another version"])
def test_a_part_that_does_not_fit_is_given_up(data, left):
    folder = Path(settings.cache_dir) / "toy"
    folder.mkdir(parents=True)
    (folder / ".a.bin.part").write_bytes(left)
    assert sg.datasets.fetch("toy")["a.bin"].read_bytes() == CONTENT


def test_a_lost_connection_keeps_what_has_come(data, monkeypatch):
    folder = Path(settings.cache_dir) / "toy"
    folder.mkdir(parents=True)
    (folder / ".a.bin.part").write_bytes(CONTENT[:1000])
    serve(monkeypatch, replace(data, url="http://127.0.0.1:9/a.bin"))
    with pytest.raises(FileError):
        sg.datasets.fetch("toy")
    assert (folder / ".a.bin.part").read_bytes() == CONTENT[:1000]


def test_a_damaged_file_in_the_cache_is_fetched_again(server, data, monkeypatch, caplog):
    path = sg.datasets.fetch("toy")["a.bin"]
    path.write_bytes(CONTENT[:-1])
    monkeypatch.setattr(_fetch, "_verified", set())
    with caplog.at_level(logging.WARNING, "sigilla"):
        assert sg.datasets.fetch("toy")["a.bin"].read_bytes() == CONTENT
    assert "fetched again" in caplog.text
    assert len(server.requests) == 2


def test_offline_the_message_says_what_where_from_and_how_to_place_it(data, monkeypatch):
    url = "http://127.0.0.1:9/a.bin"
    serve(monkeypatch, replace(data, url=url))
    with pytest.raises(FileError) as caught:
        sg.datasets.fetch("toy")
    message = str(caught.value)
    target = Path(settings.cache_dir) / "toy" / "a.bin"
    for part in ("a.bin", url, str(target), "SIGILLA_MIRROR", "place/a.bin"):
        assert part in message
    target.write_bytes(CONTENT)
    assert sg.datasets.fetch("toy") == {"a.bin": target}


def test_offline_the_message_is_short_and_names_all_files_that_are_needed(data, monkeypatch):
    url = "http://127.0.0.1:9"
    others = [replace(data, name=name, mirror=f"place/{name}") for name in ("a.bin", "b.bin")]
    serve(monkeypatch, *(replace(file, url=f"{url}/{file.name}") for file in others))
    with pytest.raises(FileError) as caught:
        sg.datasets.fetch("toy")
    message = str(caught.value)
    assert f"tried {url}/a.bin: no connection\n" in message
    for name in ("a.bin", "b.bin"):
        assert f"{url}/{name} to {Path(settings.cache_dir) / 'toy' / name}" in message
        assert f"place/{name}" in message
    with pytest.raises(FileError) as caught:
        sg.datasets.fetch("toy", files=["a.bin"])
    assert "b.bin" not in str(caught.value)


def test_a_file_without_an_address_names_the_homepage(data, monkeypatch):
    serve(monkeypatch, replace(data, url=None))
    with pytest.raises(FileError, match=r"no address.*\n.*\n  https://h\.example to "):
        sg.datasets.fetch("toy")


# -- mirrors -----------------------------------------------------------------------------------


def test_a_mirror_folder_is_used_in_place(server, data, tmp_path, monkeypatch):
    there = tmp_path / "mirror" / "place" / "a.bin"
    there.parent.mkdir(parents=True)
    there.write_bytes(CONTENT)
    monkeypatch.setattr(settings, "mirror", str(tmp_path / "mirror"))
    assert sg.datasets.fetch("toy") == {"a.bin": there}
    assert server.requests == []
    assert in_cache() == []


def test_a_wrong_file_in_a_mirror_is_named_and_left_alone(data, tmp_path, monkeypatch):
    there = tmp_path / "place" / "a.bin"
    there.parent.mkdir()
    there.write_bytes(CONTENT[:-1])
    monkeypatch.setattr(settings, "mirror", str(tmp_path))
    with pytest.raises(FileError, match=str(there)):
        sg.datasets.fetch("toy")
    assert there.read_bytes() == CONTENT[:-1]


def test_a_file_that_a_mirror_lacks_comes_from_its_source(server, data, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "mirror", str(tmp_path))
    assert sg.datasets.fetch("toy")["a.bin"].read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_mirror_on_the_web_comes_first_and_its_source_second(server, data, monkeypatch):
    monkeypatch.setattr(settings, "mirror", f"{server.base}/copy/")
    assert sg.datasets.fetch("toy")["a.bin"].read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["/copy/place/a.bin", "/a.bin"]


def test_the_same_content_repacked_is_taken(server, data, monkeypatch):
    server.files["/copy/place/a.bin"] = b"repacked"
    serve(monkeypatch, replace(data, repacked=checksum(b"repacked")))
    monkeypatch.setattr(settings, "mirror", f"{server.base}/copy")
    assert sg.datasets.fetch("toy")["a.bin"].read_bytes() == b"repacked"


# -- unknown checksums -------------------------------------------------------------------------


def test_an_unknown_checksum_is_said_once_recorded_and_held(data, monkeypatch, caplog):
    serve(monkeypatch, replace(data, checksum=None, bytes=None))
    with caplog.at_level(logging.WARNING, "sigilla"):
        path = sg.datasets.fetch("toy")["a.bin"]
        sg.datasets.fetch("toy")
        monkeypatch.setattr(_fetch, "_verified", set())  # as in a new process
        sg.datasets.fetch("toy")
    assert [r for r in caplog.messages if "No checksum" in r] == [caplog.messages[0]]
    assert path.with_name("a.bin.sha256").read_text().strip() == checksum(CONTENT)
    serve(monkeypatch, replace(data, checksum=None, bytes=None, url=None))
    path.write_bytes(b"changed")
    with pytest.raises(FileError, match=r"is not the file a\.bin"):
        sg.datasets.fetch("toy")


def test_a_known_size_is_held_where_no_checksum_is_known(data, monkeypatch):
    serve(monkeypatch, replace(data, checksum=None, bytes=5))
    with pytest.raises(FileError, match="1,048,576 bytes of 5"):
        sg.datasets.fetch("toy")
    assert in_cache() == []


def test_a_part_is_not_resumed_where_no_checksum_would_tell(server, data, monkeypatch):
    serve(monkeypatch, replace(data, checksum=None))
    server.cut = 300_000
    with pytest.raises(FileError):
        sg.datasets.fetch("toy")
    server.cut = None
    assert sg.datasets.fetch("toy")["a.bin"].read_bytes() == CONTENT
    assert server.requests[-1] == ("/a.bin", None)


# -- what is asked for -------------------------------------------------------------------------


def test_only_what_loading_needs_is_fetched_unless_named(server, data, monkeypatch):
    raw = replace(data, name="raw.bin", url=f"{server.base}/raw.bin", role=None)
    server.files["/raw.bin"] = CONTENT
    serve(monkeypatch, data, raw)
    assert list(sg.datasets.fetch("toy")) == ["a.bin"]
    assert list(sg.datasets.fetch("toy", files=["raw.bin"])) == ["raw.bin"]


def test_unknown_names_propose_the_closest(data):
    with pytest.raises(ValueError, match="did you mean 'toy'"):
        sg.datasets.fetch("toi")
    with pytest.raises(ValueError, match=r"did you mean 'a\.bin'"):
        sg.datasets.fetch("toy", files=["b.bin"])
    with pytest.raises(TypeError, match="list of names"):
        sg.datasets.fetch("toy", files="a.bin")


def test_a_file_larger_than_the_disk_is_not_begun(server, data, monkeypatch):
    serve(monkeypatch, replace(data, bytes=10**18))
    with pytest.raises(FileError, match="SIGILLA_CACHE"):
        sg.datasets.fetch("toy")
    assert server.requests == []


def test_threads_that_want_one_file_get_it_whole(data):
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(sg.datasets.fetch("toy")["a.bin"]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 4
    assert paths[0].read_bytes() == CONTENT


def test_a_part_that_another_thread_completes_meanwhile_is_no_error(server, data, monkeypatch):
    server.cut = 300_000
    with pytest.raises(FileError):
        sg.datasets.fetch("toy")
    server.cut, is_file = None, Path.is_file

    def is_file_no_more(path: Path) -> bool:
        found = is_file(path)
        if path.name == ".a.bin.part":
            path.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Path, "is_file", is_file_no_more)
    assert sg.datasets.fetch("toy")["a.bin"].read_bytes() == CONTENT
