"""Who is asked, by which way, and whether the other end is who it says."""

import shutil
import socket
import ssl
import subprocess
import threading

import pytest
from server import serve

from mscf.data import http_ranges
from mscf.data.http_ranges import RemoteFile, shown
from mscf.errors import DownloadError


@pytest.fixture(autouse=True)
def no_waits(monkeypatch) -> None:
    monkeypatch.setattr(http_ranges, "sleep", lambda _: None)


@pytest.fixture
def certificate(tmp_path):
    """Of localhost, signed by itself."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl to make a certificate")
    key, name = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -nodes -days 2 -subj /CN=localhost -newkey rsa:2048"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", name]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return name, key


@pytest.fixture
def secure(tmp_path, certificate):
    """A file served by https under that certificate."""
    (tmp_path / "file").write_bytes(bytes(range(256)) * 10)
    server, served = serve(tmp_path / "file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    served.address = f"https://localhost:{server.server_address[1]}/file"
    yield served
    server.shutdown()
    server.server_close()


@pytest.mark.claim("downloads", "a server without a trusted certificate is not read")
def test_a_certificate_that_nobody_trusts_is_refused_at_once(secure) -> None:
    with pytest.raises(DownloadError, match="certificate"):
        RemoteFile(secure.address).read(0, 10)
    assert secure.log == []


def test_a_trusted_one_is_read(secure, certificate, monkeypatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert RemoteFile(secure.address).read(250, 10) == bytes(
        [*range(250, 256), *range(4)]
    )


@pytest.fixture
def proxy():
    """Notes the head of each request and lets nobody through."""
    heard = []

    def listen(listener) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                heard.append(connection.recv(4096).decode())
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=listen, args=(listener,), daemon=True).start()
    yield f"127.0.0.1:{listener.getsockname()[1]}", heard
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_a_proxy_of_the_environment_is_gone_through(proxy, monkeypatch) -> None:
    place, heard = proxy
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@{place}")
    monkeypatch.setenv("NO_PROXY", "other.example")
    with pytest.raises(DownloadError, match="403") as caught:
        RemoteFile("https://example.invalid/a.tar").read(0, 10)
    assert "p@ss" not in str(caught.value)
    assert heard[0].startswith("CONNECT example.invalid:443")
    assert "Proxy-Authorization: Basic bWU6cEBzcw==" in heard[0]


def test_no_proxy_is_respected(proxy, secure, certificate, monkeypatch) -> None:
    place, heard = proxy
    monkeypatch.setenv("HTTPS_PROXY", f"http://{place}")
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert len(RemoteFile(secure.address).read(0, 10)) == 10
    assert heard == []


def test_one_connection_serves_many_parts(tmp_path) -> None:
    (tmp_path / "file").write_bytes(bytes(100_000))
    server, served = serve(tmp_path / "file")
    opened = []
    process = server.process_request
    server.process_request = lambda *a: opened.append(a) or process(*a)
    remote = RemoteFile(served.address)
    for at in range(0, 50_000, 1000):
        assert len(remote.read(at, 512)) == 512
    remote.close()
    server.shutdown()
    server.server_close()
    assert len(served.log) == 50
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://a.b/c.tar?X-Token=hush#hush", "https://a.b/c.tar"),
        ("https://me:hush@a.b/c.tar", "https://a.b/c.tar"),
        ("https://hush@a.b/c@d.tar", "https://a.b/c@d.tar"),
    ],
)
def test_an_address_is_shown_without_secrets(address, said) -> None:
    assert shown(address) == said
