import hashlib
import http.server
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from advcli.errors import AdvcliError
from advcli.files.download import cache_folder, fetch, offline

CONTENT = b"some weights" * 1000
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
INSTEAD = "give a local copy"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one file, counts how often, and cuts it off where it is asked to."""

    served: list[str] = []  # noqa: RUF012  a new one in each test

    def do_GET(self) -> None:
        self.served.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: 100 if self.path == "/short" else None])

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.served = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADVCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("ADVCLI_OFFLINE", raising=False)
    return tmp_path / "cache"


@pytest.mark.parametrize("checksum", [SHA256, MD5])
def test_a_file_is_fetched_once(server: str, cache: Path, checksum: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        path = fetch(f"{server}/file", "sub/file.bin", checksum, "12 kB", INSTEAD)
    assert path == cache / "sub" / "file.bin"
    assert path.read_bytes() == CONTENT
    assert all(part in caplog.text for part in (f"{server}/file", "12 kB", str(path)))
    caplog.clear()
    assert fetch(f"{server}/file", "sub/file.bin", checksum, "12 kB", INSTEAD) == path
    assert Handler.served == ["/file"] and not caplog.records


def test_a_damaged_file_is_fetched_again(server: str, cache: Path) -> None:
    cache.mkdir()
    (cache / "file.bin").write_bytes(CONTENT[:-1])
    assert fetch(f"{server}/file", "file.bin", SHA256, "12 kB", INSTEAD).read_bytes() == CONTENT


@pytest.mark.parametrize("page", ["missing", "short"])
def test_a_failed_download_leaves_nothing(server: str, cache: Path, page: str) -> None:
    with pytest.raises(AdvcliError, match="cannot download") as error:
        fetch(f"{server}/{page}", "file.bin", SHA256, "12 kB", INSTEAD)
    assert error.value.hint == INSTEAD and error.value.exit_code == 1
    assert not list(cache.iterdir())


def test_another_file_than_expected_is_refused(server: str, cache: Path) -> None:
    with pytest.raises(AdvcliError, match="hash of the downloaded file is wrong"):
        fetch(f"{server}/file", "file.bin", SHA256[:-4] + "0000", "12 kB", INSTEAD)
    assert not list(cache.iterdir())


def test_no_server_is_an_error() -> None:
    with pytest.raises(AdvcliError, match="cannot download"):
        fetch("http://127.0.0.1:9/file", "file.bin", SHA256, "12 kB", INSTEAD)


def test_offline_uses_the_cache_only(server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCLI_OFFLINE", "1")
    with pytest.raises(AdvcliError, match="--offline") as error:
        fetch(f"{server}/file", "file.bin", SHA256, "12 kB", INSTEAD)
    assert error.value.hint == INSTEAD and not Handler.served
    cache.mkdir()
    (cache / "file.bin").write_bytes(CONTENT)
    assert fetch(f"{server}/file", "file.bin", SHA256, "12 kB", INSTEAD) == cache / "file.bin"


def test_a_cache_that_cannot_be_written_is_an_error(server: str, cache: Path) -> None:
    cache.write_text("a file, not a folder")
    with pytest.raises(AdvcliError, match="cannot write"):
        fetch(f"{server}/file", "file.bin", SHA256, "12 kB", INSTEAD)


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("true", True), ("", False), ("0", False), ("No", False)])
def test_offline_reads_the_variable(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("ADVCLI_OFFLINE", value)
    assert offline() is expected


def test_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("ADVCLI_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "advcli"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path.home() / ".cache" / "advcli"
