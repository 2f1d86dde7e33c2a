import hashlib
import http.server
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from advcli import registry
from advcli.errors import AdvcliError
from advcli.files.download import cache_folder, fetch, offline

CONTENT = b"some weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SIZE = len(CONTENT)
INSTEAD = "give a local copy"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one file, counts how often, and cuts it off where it is asked to."""

    served: list[str] = []  # noqa: RUF012  a new one in each test

    def do_GET(self) -> None:
        self.served.append(self.path)
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://example.invalid/file")
            self.end_headers()
            return
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


def test_a_file_is_fetched_once(server: str, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        path = fetch(f"{server}/file", "sub/file.bin", SHA256, SIZE, INSTEAD)
    assert path == cache / "sub" / "file.bin"
    assert path.read_bytes() == CONTENT
    assert all(part in caplog.text for part in (f"{server}/file", "12.0 kB", str(path)))
    caplog.clear()
    assert fetch(f"{server}/file", "sub/file.bin", SHA256, SIZE, INSTEAD) == path
    assert Handler.served == ["/file"] and not caplog.records


def test_a_damaged_file_is_fetched_again(server: str, cache: Path) -> None:
    cache.mkdir()
    (cache / "file.bin").write_bytes(CONTENT[:-1])
    assert fetch(f"{server}/file", "file.bin", SHA256, SIZE, INSTEAD).read_bytes() == CONTENT


@pytest.mark.parametrize("page", ["missing", "short"])
def test_a_failed_download_leaves_nothing(server: str, cache: Path, page: str) -> None:
    with pytest.raises(AdvcliError, match="cannot download") as error:
        fetch(f"{server}/{page}", "file.bin", SHA256, SIZE, INSTEAD)
    assert error.value.hint.startswith(INSTEAD) and error.value.exit_code == 1
    assert not list(cache.iterdir())


def test_another_file_than_expected_is_refused(server: str, cache: Path) -> None:
    with pytest.raises(AdvcliError, match="size or hash of the downloaded file is wrong"):
        fetch(f"{server}/file", "file.bin", SHA256[:-4] + "0000", SIZE, INSTEAD)
    assert not list(cache.iterdir())


def test_a_file_that_is_too_long_is_refused(server: str, cache: Path) -> None:
    with pytest.raises(AdvcliError, match="more than 100 bytes"):
        fetch(f"{server}/file", "file.bin", SHA256, 100, INSTEAD)
    assert not list(cache.iterdir())


def test_only_https_is_fetched(server: str, cache: Path) -> None:
    for url in (
        f"{server}/elsewhere",
        "http://example.invalid/file",
        "ftp://example.invalid/file",
        "file:///etc/hosts",
    ):
        with pytest.raises(AdvcliError, match="not an https address"):
            fetch(url, "file.bin", SHA256, SIZE, INSTEAD)
    assert not list(cache.iterdir())


def test_every_download_has_a_secure_address_a_hash_and_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(url: str, filename: str, sha256: str, size: int, *rest: object) -> Path:
        asked.append((url, sha256, size))
        raise AdvcliError("not now")

    for module in ("datasets._files", "backbones._weights"):
        monkeypatch.setattr(f"advcli.{module}.fetch", refuse)
    for name in registry.names("datasets"):
        if "path" in registry.options("datasets", name) and not hasattr(registry.component("datasets", name), "claims"):
            with pytest.raises(AdvcliError, match="not now"):
                registry.build("datasets", name)()
    with pytest.raises(AdvcliError, match="not now"):
        registry.build("datasets", "tiny-imagenet")()
    for name in registry.names("backbones"):
        with pytest.raises(AdvcliError) as error:
            registry.build("backbones", name)(None, 224, 3, "imagenet")
        assert error.value.message == "not now" or error.value.hint
    assert len(asked) == 6
    for url, sha256, size in asked:
        assert url.startswith("https://")
        assert re.fullmatch("[0-9a-f]{64}", sha256)
        assert size > 1000


def test_no_server_is_an_error() -> None:
    with pytest.raises(AdvcliError, match="cannot download"):
        fetch("http://127.0.0.1:9/file", "file.bin", SHA256, SIZE, INSTEAD)


def test_offline_uses_the_cache_only(server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCLI_OFFLINE", "1")
    with pytest.raises(AdvcliError, match="--offline") as error:
        fetch(f"{server}/file", "file.bin", SHA256, SIZE, INSTEAD)
    assert error.value.hint.startswith(INSTEAD) and not Handler.served
    cache.mkdir()
    (cache / "file.bin").write_bytes(CONTENT)
    assert fetch(f"{server}/file", "file.bin", SHA256, SIZE, INSTEAD) == cache / "file.bin"


def test_a_cache_that_cannot_be_written_is_an_error(server: str, cache: Path) -> None:
    cache.write_text("a file, not a folder")
    with pytest.raises(AdvcliError, match="cannot write"):
        fetch(f"{server}/file", "file.bin", SHA256, SIZE, INSTEAD)


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
