"""Downloads against a server that misbehaves in every way it can.

The one law behind all of them: a file under its final name has the right SHA-256.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import types
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from neocog import cli
from neocog.cli import progress
from neocog.data import DATASETS
from neocog.downloads import https
from neocog.downloads.download import download, fetch
from neocog.downloads.published import Remote, Source
from neocog.errors import NetworkNeeded, UnreadableError, UsageError, error_line
from neocog.hearing import hearing

BODY = bytes(hashlib.shake_256(b"a published file").digest(100_000))
SHA = hashlib.sha256(BODY).hexdigest()
SIZE = len(BODY)
SOURCES = {name: row.remote for name, row in DATASETS.items() if row.remote is not None}
SOCKET_BUFFERS = 8 << 20
"""Bytes that a server can send though nobody reads them."""


class Handler(BaseHTTPRequestHandler):
    """Every path is a behaviour: a method of this class by that name."""

    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.requests.append((self.path, dict(self.headers)))
        name, *arguments = self.path.strip("/").split("/")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, f"serve_{name}")(*arguments)

    def answer(self, status: int, body: bytes, **headers: object) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.write(body)

    def write(self, data: bytes) -> None:
        self.server.sent += len(data)
        self.wfile.write(data)

    def start(self) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found[1]) if found else 0

    def ranged(self, body: bytes = BODY, upto: int = SIZE, etag: str = '"one"') -> None:
        """As a good server does, but hanging up before byte `upto`."""
        start = self.start()
        if self.headers.get("If-Range", etag) != etag:
            start = 0
        if start >= len(body):
            return self.answer(416, b"", Content_Range=f"bytes */{len(body)}")
        part = body[start:upto]
        extra = {"Content_Length": len(body) - start, "ETag": etag}
        if not start:
            return self.answer(200, part, **extra)
        return self.answer(206, part, **extra, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")

    def serve_good(self) -> None:
        self.ranged()

    def serve_cut(self, offset: str) -> None:
        """The first answer stops at `offset`."""
        self.ranged(upto=int(offset) if len(self.server.requests) == 1 else SIZE)

    def serve_crumbs(self) -> None:
        self.ranged(upto=self.start() + 9_000)

    def serve_dribble(self) -> None:
        self.ranged(upto=self.start() + 10)

    def serve_wrong(self) -> None:
        self.answer(200, BODY[::-1])

    def serve_flipped(self) -> None:
        self.answer(200, BODY[:-1] + bytes([BODY[-1] ^ 1]))

    def serve_short(self) -> None:
        self.answer(200, BODY[:500])

    def serve_empty(self) -> None:
        self.answer(200, b"")

    def serve_long(self) -> None:
        self.answer(200, BODY + b"!")

    def serve_liar_small(self) -> None:
        self.answer(200, BODY, Content_Length=1234)

    def serve_liar_big(self) -> None:
        self.answer(200, BODY, Content_Length=SIZE * 10)

    def serve_liar_word(self) -> None:
        self.answer(200, BODY, Content_Length="many")

    def serve_unannounced(self) -> None:
        self.answer(200, BODY, Content_Length=None)

    def serve_chunked(self) -> None:
        self.answer(200, b"", Content_Length=None, Transfer_Encoding="chunked")
        for i in range(0, SIZE, 30_000):
            block = BODY[i : i + 30_000]
            self.write(b"%x\r\n%s\r\n" % (len(block), block))
        self.write(b"0\r\n\r\n")

    def serve_badly_chunked(self) -> None:
        self.answer(200, b"zz\r\nnot hexadecimal", Content_Length=None, Transfer_Encoding="chunked")

    def serve_endless(self) -> None:
        self.answer(200, b"", Content_Length=None)
        while True:
            self.write(BODY[::-1])

    def serve_stall(self) -> None:
        self.answer(200, BODY[:1000], Content_Length=SIZE)
        self.server.over.wait(30)

    def serve_dying(self) -> None:
        """Gives 1,000 bytes, then nothing any more."""
        if [path for path, _ in self.server.requests].count(self.path) > 1:
            self.answer(503, b"")
        else:
            self.ranged(upto=1000)

    def serve_silent(self) -> None:
        self.server.over.wait(30)

    def serve_drip(self) -> None:
        self.answer(200, b"", Content_Length=SIZE)
        while not self.server.over.wait(0.02):
            self.write(b"x")

    def serve_hang_up(self) -> None:
        pass

    def serve_nonsense(self) -> None:
        self.wfile.write(b"\x00\xff this is no HTTP\r\n\r\n")

    def serve_html(self) -> None:
        self.answer(200, b"<html>please log in</html>", Content_Type="text/html; charset=utf-8")

    def serve_secret_html(self) -> None:
        self.answer(200, b"  <!DOCTYPE html><p>please log in", Content_Type="application/gzip")

    def serve_gzip(self) -> None:
        self.answer(200, gzip.compress(BODY), Content_Encoding="gzip")

    def serve_gzip_bomb(self) -> None:
        self.answer(200, gzip.compress(bytes(10_000_000)), Content_Encoding="gzip")

    def serve_deaf(self) -> None:
        """Ignores Range; the first answer is cut."""
        first = len(self.server.requests) == 1
        self.answer(200, BODY[:40_000] if first else BODY, Content_Length=SIZE)

    def serve_changed(self) -> None:
        """Another version lies there when the client comes back; If-Range is honoured."""
        if len(self.server.requests) == 1:
            self.ranged(body=BODY[::-1], upto=50_000, etag='"old"')
        else:
            self.ranged(etag='"new"')

    def serve_changed_unsaid(self) -> None:
        """The same, from a server without ETags: only the hash can tell."""
        body, upto = (BODY[::-1], 50_000) if len(self.server.requests) == 1 else (BODY, SIZE)
        start = self.start()
        extra = {"Content_Range": f"bytes {start}-{SIZE - 1}/{SIZE}"} if start else {}
        self.answer(206 if start else 200, body[start:upto], Content_Length=SIZE - start, **extra)

    def serve_other_range(self) -> None:
        if self.start():
            self.answer(206, BODY[7:], Content_Range=f"bytes 7-{SIZE - 1}/{SIZE}")
        else:
            self.ranged(upto=100 if len(self.server.requests) == 1 else SIZE)

    def serve_status(self, code: str) -> None:
        self.answer(int(code), b"no")

    def serve_hop(self, count: str) -> None:
        where = f"/hop/{int(count) - 1}" if count != "0" else "/good"
        self.answer(302, b"", Location=where)

    def serve_loop(self) -> None:
        self.answer(302, b"", Location="/loop")

    def serve_to(self, which: str) -> None:
        self.answer(307, b"", Location=self.server.elsewhere[which])


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        self.over = threading.Event()
        self.elsewhere: dict[str, str] = {}

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEOCOG_OFFLINE", *urllib.request.getproxies_environment()):
        for spelling in (name, f"{name}_proxy", f"{name}_PROXY".upper()):
            monkeypatch.delenv(spelling, raising=False)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # a slow disk is not what is tested here


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@dataclass
class Case:
    """What a path of the server leads to: the file, or an error that says so."""

    path: str
    error: type[Exception] | None = None
    says: str = ""
    marks: tuple[str, ...] = field(default=())


CASES = [
    Case("good"),
    Case("crumbs"),
    Case("dribble", NetworkNeeded, "broke off 20 times"),
    Case("wrong", UnreadableError, "its bytes have SHA-256"),
    Case("flipped", UnreadableError, "damaged or compromised"),
    Case("short", NetworkNeeded, "broke off at byte 500 of 100000"),
    Case("empty", NetworkNeeded, "broke off at byte 0"),
    Case("long", UnreadableError, "sent more than the file's 100000 bytes"),
    Case("liar_small", NetworkNeeded),
    Case("liar_big"),
    Case("liar_word"),
    Case("unannounced"),
    Case("chunked"),
    Case("badly_chunked", NetworkNeeded, "broke off"),
    Case("endless", UnreadableError),
    Case("stall", NetworkNeeded, "sent nothing for 0.2 s"),
    Case("silent", NetworkNeeded, "sent nothing for 0.2 s"),
    Case("drip", NetworkNeeded, "sent only"),
    Case("hang_up", NetworkNeeded, "broke off"),
    Case("nonsense", NetworkNeeded, "broke off"),
    Case("html", NetworkNeeded, "does the network need a login"),
    Case("secret_html", NetworkNeeded, "does the network need a login"),
    Case("gzip", NetworkNeeded, "gzip-encoded"),
    Case("gzip_bomb", NetworkNeeded, "gzip-encoded"),
    Case("deaf"),
    Case("changed"),
    Case("changed_unsaid"),
    Case("other_range"),
    Case("status/404", NetworkNeeded, "answered 404"),
    Case("status/403", NetworkNeeded, "answered 403"),
    Case("status/500", NetworkNeeded, "answered 500"),
    Case("status/503", NetworkNeeded, "answered 503"),
    Case("status/204", NetworkNeeded),
    Case("hop/0"),
    Case("hop/4"),
    Case("hop/5", NetworkNeeded, "redirects more than 5 times"),
    Case("loop", NetworkNeeded, "redirects more than 5 times"),
    Case("to/file", NetworkNeeded, "which is not https"),
    Case("to/ftp", NetworkNeeded, "which is not https"),
    Case("to/data", NetworkNeeded, "which is not https"),
    Case("to/public_http", NetworkNeeded, "which is not https"),
    Case("to/nowhere", NetworkNeeded, "which is no address"),
]


def bring(server: Server, target: Path, *paths: str, size: int | None = SIZE) -> Path:
    """With a short patience only where the server is known to test it: a busy machine answers late, too."""
    patience = 0.2 if set(paths) & {"stall", "silent", "drip"} else 20
    return download(
        [server.url(path) for path in paths], target, sha256=SHA, size=size, stall_seconds=patience
    )


def lawful(target: Path) -> bool:
    return not target.exists() or hashlib.sha256(target.read_bytes()).hexdigest() == SHA


@pytest.mark.parametrize("size", [SIZE, None], ids=["size known", "size unknown"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_every_misbehaviour_ends_in_the_file_or_in_one_line(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case, size: int | None
) -> None:
    monkeypatch.setattr("neocog.downloads.mirror.UNKNOWN_SIZE_LIMIT", 3 * SIZE)
    (tmp_path / "secret").write_bytes(BODY)
    server.elsewhere = {
        "file": (tmp_path / "secret").as_uri(),
        "ftp": "ftp://127.0.0.1/file",
        "data": "data:text/plain,hello",
        "public_http": "http://example.org/file",
        "nowhere": "https://[::1/file",
    }
    target = tmp_path / "in" / "file.gz"
    expected, says = case.error, case.says
    if size is None and case.path in ("short", "empty", "long", "liar_small", "status/204"):
        expected, says = UnreadableError, "its bytes have SHA-256"  # the body's end is taken for the file's
    if size is None and case.path == "liar_big":
        expected, says = NetworkNeeded, "broke off"
    if expected is None:
        assert bring(server, target, case.path, size=size) == target
        assert target.read_bytes() == BODY
        assert sorted(p.name for p in target.parent.iterdir()) == [
            ".file.gz.lock",
            "file.gz",
            "file.gz.source.json",
        ]
    else:
        with pytest.raises(expected) as caught:
            bring(server, target, case.path, size=size)
        line = error_line(caught.value)  # type: ignore[arg-type]
        assert says in line
        assert "\n" not in line
        assert f"put file.gz (sha256 {SHA}) in {target.parent}" in line
        assert not target.exists()
    assert server.sent < 3 * SIZE + SOCKET_BUFFERS, "an endless body is not read to its end"


@pytest.mark.parametrize(
    "offsets",
    [
        pytest.param([1, 255, 65_535, 65_536, 65_537, SIZE - 1], id="edges"),
        pytest.param(range(3, SIZE, SIZE // 100), id="all over", marks=pytest.mark.slow),
    ],
)
def test_a_cut_at_any_byte_is_resumed_and_only_the_rest_is_sent(
    server: Server, tmp_path: Path, offsets: Sequence[int]
) -> None:
    for offset in offsets:
        server.requests.clear()
        server.sent = 0
        target = tmp_path / f"cut-{offset}"
        bring(server, target, f"cut/{offset}")
        assert target.read_bytes() == BODY
        assert server.sent == SIZE
        ranges = [(headers.get("Range"), headers.get("If-Range")) for _, headers in server.requests]
        assert ranges == [(None, None), (f"bytes={offset}-", '"one"')]


def test_a_part_left_by_a_killed_process_is_resumed(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file"
    with pytest.raises(NetworkNeeded):
        bring(server, target, "dying")
    assert (tmp_path / "file.part").read_bytes() == BODY[:1000]
    server.sent = 0
    bring(server, target, "good")
    assert server.sent == SIZE - 1000
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("part", [BODY[::-1], BODY[:99] + b"?", BODY + b"more", BODY, b""])
def test_a_damaged_part_never_becomes_the_file(server: Server, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "file.part").write_bytes(part)
    (tmp_path / "file.part.json").write_bytes(b"{not json")
    assert bring(server, tmp_path / "file", "good").read_bytes() == BODY


def test_the_next_mirror_takes_over_and_goes_on(server: Server, tmp_path: Path) -> None:
    target = bring(server, tmp_path / "file", "status/404", "html", "dying", "good")
    assert target.read_bytes() == BODY
    assert json.loads((tmp_path / "file.source.json").read_text())["url"] == server.url("good")
    assert bring(server, tmp_path / "other", "wrong", "good").read_bytes() == BODY
    taking_over = next(headers for path, headers in server.requests if path == "/good")
    assert taking_over["Range"] == "bytes=1000-"  # what 'dying' sent is kept
    assert "If-Range" not in taking_over  # another mirror's ETag says nothing here


def test_every_mirror_is_named_when_all_fail(server: Server, tmp_path: Path) -> None:
    with pytest.raises(NetworkNeeded, match=r"status/404: answered 404.*html: got an HTML"):
        bring(server, tmp_path / "file", "status/404", "html")
    with pytest.raises(NetworkNeeded, match="no URL is known"):
        bring(server, tmp_path / "file")


def test_a_file_that_is_there_and_right_asks_nobody(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(BODY)
    bring(server, target, "good")
    assert server.requests == []
    target.write_bytes(BODY[:-1])
    bring(server, target, "good")
    assert target.read_bytes() == BODY


def test_source_says_url_hash_size_and_licence(server: Server, tmp_path: Path) -> None:
    download([server.url("good")], tmp_path / "f", sha256=SHA.upper(), licence="CC0")
    assert json.loads((tmp_path / "f.source.json").read_text()) == {
        "url": server.url("good"),
        "sha256": SHA,
        "size": SIZE,
        "licence": "CC0",
    }


def test_progress_counts_up_to_the_size(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    download(
        [server.url("cut/40000")],
        tmp_path / "f",
        sha256=SHA,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (SIZE, SIZE)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {total for _, total in seen} == {SIZE}


def test_bytes_are_asked_for_as_they_are(server: Server, tmp_path: Path) -> None:
    bring(server, tmp_path / "f", "good")
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x",
        "file:///etc/passwd",
        "ftp://h/x",
        "/etc/passwd",
        "",
        "https:///x",
        "http://127.0.0.1.evil.org/x",
    ],
)
def test_only_https_is_downloaded(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="must begin with https"):
        download([url], tmp_path / "x", sha256=SHA)


@pytest.mark.parametrize("hash_", ["", SHA[:8], SHA + "0", "g" * 64, hashlib.md5(BODY).hexdigest()])
def test_only_a_whole_sha256_pins_a_file(tmp_path: Path, hash_: str) -> None:
    with pytest.raises(UsageError, match="64 hexadecimal"):
        download(["https://example.org/x"], tmp_path / "x", sha256=hash_)


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("https://169.254.169.254/latest/meta-data", "169.254.169.254"),
        ("https://inside.example/", "10.1.2.3"),
        ("https://inside.example/", "192.168.0.1"),
        ("https://inside.example/", "172.16.5.5"),
        ("https://localhost/x", "127.0.0.1"),
        ("https://[::1]/x", "::1"),
        ("https://v6.example/x", "fd00::1"),
        ("https://v6.example/x", "fe80::1%eth0"),
        ("https://mapped.example/x", "::ffff:10.0.0.1"),
        ("https://zero.example/x", "0.0.0.0"),
    ],
)
def test_no_redirect_leads_into_a_private_network(
    monkeypatch: pytest.MonkeyPatch, location: str, address: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [(0, 0, 0, "", (address, 443))])
    with pytest.raises(https.Refused, match="private network"):
        https.redirected("https://public.example/file", location)


def test_redirects_that_are_followed_and_downgrades_that_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [(0, 0, 0, "", ("93.184.216.34", 443))])
    start = "https://public.example/a/b"
    assert https.redirected(start, "c") == "https://public.example/a/c"
    assert https.redirected(start, "//mirror.example/c") == "https://mirror.example/c"
    for location in ("http://public.example/a/b", "http://localhost/x", "file:///etc/passwd", "gopher://x/"):
        with pytest.raises(https.Refused, match="not https"):
            https.redirected(start, location)


def test_a_certificate_that_is_not_trusted_is_final(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ssl
    import urllib.error

    def refuse(*arguments: object, **options: object) -> None:
        error = ssl.SSLCertVerificationError(1, "certificate verify failed")
        error.verify_message = "certificate has expired"
        raise urllib.error.URLError(error)

    monkeypatch.setattr("urllib.request.OpenerDirector.open", refuse)
    with pytest.raises(
        UnreadableError, match=r"certificate of bad\.example is not to be trusted \(certificate has expired\)"
    ):
        download(["https://bad.example/f", server.url("good")], tmp_path / "f", sha256=SHA)
    assert server.requests == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command to make a certificate")
def test_a_self_signed_server_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ssl

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Server() as server:
        server.handle_error = lambda *a: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with pytest.raises(UnreadableError, match="certificate of localhost is not to be trusted"):
                download(
                    [server.url("good").replace("http://127.0.0.1", "https://localhost")],
                    tmp_path / "f",
                    sha256=SHA,
                )
            assert server.requests == []
            https._trust.cache_clear()
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # the system's own way to trust one
            url = server.url("good").replace("http://127.0.0.1", "https://localhost")
            assert download([url], tmp_path / "f", sha256=SHA).read_bytes() == BODY
        finally:
            https._trust.cache_clear()
            server.shutdown()
            thread.join()


OFFLINE = """
import sys, pathlib
from neocog.data import DATASETS
from neocog.downloads.download import fetch
from neocog.errors import NetworkNeeded
touched = []
sys.addaudithook(lambda event, arguments: touched.append(event) if event.startswith("socket.") else None)
try:
    fetch(DATASETS["mnist"].remote, pathlib.Path(sys.argv[1]) / "mnist")
except NetworkNeeded as error:
    print(error)
    print(touched)
    sys.exit(error.exit_code)
"""


def test_offline_opens_no_socket_and_says_what_to_put_where(tmp_path: Path) -> None:
    environment = {**os.environ, "NEOCOG_OFFLINE": "1", "NEOCOG_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6, done.stderr
    message, touched = done.stdout.strip().splitlines()
    assert touched == "[]"
    assert message.startswith("no network")
    first = SOURCES["mnist"].files[0]
    assert f"put {first.name} (sha256 {first.sha256}) in {tmp_path / 'mnist'}" in message
    assert not (tmp_path / "mnist").exists()


def test_offline_uses_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEOCOG_OFFLINE", "1")
    (tmp_path / "f").write_bytes(BODY)
    assert download(["https://example.org/f"], tmp_path / "f", sha256=SHA).read_bytes() == BODY


def test_no_server_at_all(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NetworkNeeded, match=r"127\.0\.0\.1:\d+/f: broke off \(.*refused"):
        download([f"http://127.0.0.1:{port}/f"], tmp_path / "f", sha256=SHA)


def _child(url: str, target: Path, results: multiprocessing.queues.Queue[bool]) -> None:
    results.put(download([url], target, sha256=SHA, size=SIZE).read_bytes() == BODY)


@pytest.mark.skipif(sys.platform == "win32", reason="no file locks there")
def test_processes_that_want_the_same_file_share_one_transfer(server: Server, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.queues.Queue[bool] = context.Queue()
    children = [
        context.Process(target=_child, args=(server.url("good"), tmp_path / "f", results)) for _ in range(3)
    ]
    for child in children:
        child.start()
    assert [results.get(timeout=60) for _ in children] == [True] * 3
    for child in children:
        child.join()
    assert len(server.requests) == 1


def test_a_full_disk_is_one_line_and_leaves_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=SIZE - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        UnreadableError, match=f"{SIZE} bytes are needed and {SIZE - 1} are free; free space there"
    ):
        bring(server, tmp_path / "f", "good")
    assert [p.name for p in tmp_path.iterdir()] == [".f.lock"]


@pytest.mark.parametrize("after", [0, 1])
def test_a_disk_that_fills_while_writing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    seen: list[int] = []

    def full(done: int, total: int | None) -> None:
        seen.append(done)
        if len(seen) > after:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UnreadableError, match="No space left on device; free space there"):
        download([server.url("good")], tmp_path / "f", sha256=SHA, size=SIZE, progress=full)
    assert [p.name for p in tmp_path.iterdir()] == [".f.lock"]


@pytest.mark.parametrize("system", ["a network file system", "Windows"])
def test_a_place_without_locks_is_no_hindrance(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    def refuse(file: object, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    stand_in = types.SimpleNamespace(flock=refuse, LOCK_EX=2) if system != "Windows" else None
    monkeypatch.setitem(sys.modules, "fcntl", stand_in)
    path = download([server.url("good")], tmp_path / "f", sha256=SHA)
    assert path.read_bytes() == BODY


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnreadableError, match=r"cannot write x in .*NEOCOG_HOME"):
        download(["https://example.org/x"], tmp_path / "file" / "x", sha256=SHA)


def test_fetch_brings_every_file_into_the_cache(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEOCOG_HOME", str(tmp_path))
    monkeypatch.setattr(Handler, "serve_m", lambda self, name: self.ranged(), raising=False)
    files = (Remote("a.gz", SIZE, SHA), Remote("b.gz", SIZE, SHA))
    source = Source((server.url("status/404/"), server.url("m/")), "CC0", files)
    monkeypatch.setattr(Handler, "serve_status", lambda self, *_: self.answer(404, b""))
    folder = fetch(source, tmp_path / "two")
    assert folder == tmp_path / "two"
    assert [(folder / name).read_bytes() == BODY for name in ("a.gz", "b.gz")] == [True, True]


def test_the_table_pins_every_file_and_names_two_mirrors() -> None:
    assert set(SOURCES) == {"mnist", "fashion-mnist", "cifar10"}
    names = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]
    for name, source in SOURCES.items():
        expected = ["cifar-10-binary.tar.gz"] if name == "cifar10" else [f"{part}-ubyte.gz" for part in names]
        assert [file.name for file in source.files] == expected
        assert len(source.mirrors) >= 2
        for mirror in source.mirrors:
            https.check_address(mirror)
            assert mirror.startswith("https://")
            assert mirror.endswith("/")
        assert source.licence
        for file in source.files:
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert file.size > 1000
    hashes = [file.sha256 for source in SOURCES.values() for file in source.files]
    assert len(set(hashes)) == 9


def test_downloads_are_heard_wherever_they_begin(server: Server, tmp_path: Path) -> None:
    heard: list[tuple[int, int | None]] = []
    with hearing(lambda name: lambda done, total: heard.append((done, total))):
        bring(server, tmp_path / "a.gz", "crumbs")
        assert heard[-1] == (SIZE, SIZE)
        assert heard == sorted(heard)
        heard.clear()
        bring(server, tmp_path / "a.gz", "good")
        assert heard == [], "what is there is not downloaded"
        bring(server, tmp_path / "b.gz", "unannounced", size=None)
        assert heard.pop() == (SIZE, None)
        heard.clear()
    bring(server, tmp_path / "c.gz", "good")
    assert heard == []


def test_a_download_in_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A line at once, then every five seconds, and the last byte."""
    now = [100.0]
    monkeypatch.setattr("neocog.cli.progress.time.monotonic", lambda: now[0])
    tell = progress.downloading("cifar.tar.gz")
    for second in range(17):
        now[0] = 100.0 + second
        tell(20_000_000 + second * 1_000_000, 36_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "downloading cifar.tar.gz: 20.0 of 36.0 MB",
        "downloading cifar.tar.gz: 25.0 of 36.0 MB, 1.0 MB/s",
        "downloading cifar.tar.gz: 30.0 of 36.0 MB, 1.0 MB/s",
        "downloading cifar.tar.gz: 35.0 of 36.0 MB, 1.0 MB/s",
        "downloading cifar.tar.gz: 36.0 of 36.0 MB, 1.0 MB/s",
    ]
    progress.downloading("x\x1b[31m")(5, None)
    assert capsys.readouterr().err == "downloading x\\x1b[31m: 0.0 MB\n"


def test_the_command_line_shows_downloads(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def verb(what: str, **more: object) -> None:
        bring(server, tmp_path / what, "good")
        raise UsageError("heard")

    monkeypatch.setattr("neocog.verbs.look.look", verb)
    assert cli.run(["look", "loud"]) == cli.run(["look", "silent", "-q"]) == 2
    said = capsys.readouterr().err
    assert "downloading loud: " in said
    assert "downloading silent" not in said
