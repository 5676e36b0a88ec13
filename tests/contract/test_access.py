"""Who comes in: by address, over TLS, over a Unix socket, with the token; and where the token never shows up."""

import asyncio
import base64
import json
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import trustme

from labplane.client import AsyncClient, Client, ClientError
from labplane.server.listening import address, file_of, listen
from labplane.settings import Settings
from support import Server, free_range, running, until
from wire import Wire

HANDSHAKE = [
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]  # fmt: skip


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("token") / "deeper" / "token"


@pytest.fixture(scope="module")
def guarded(token_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants its token, whose readiness is asked with it."""
    projects = tmp_path_factory.mktemp("guarded") / "projects"
    with running(projects, "--auth", "token", "--token-file", str(token_file), "--log-level", "debug") as server:
        yield server


@pytest.fixture(scope="module")
def token(guarded: Server, token_file: Path) -> str:
    return token_file.read_text().strip()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def status(server: Server, authorization: str | None = None) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    return server.http.get("/v1/projects", headers=headers).status_code


def test_the_token_is_made_at_the_first_start_for_its_owner_alone_and_told_once(
    guarded: Server, token: str, token_file: Path
) -> None:
    assert len(base64.urlsafe_b64decode(token + "=")) == 32
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(token_file.parent.stat().st_mode) == 0o700
    assert guarded.log.count(token) == 1
    assert f"The token of this server, kept in {token_file}: {token}\n" in guarded.log


def test_who_has_the_token_comes_in(guarded: Server, token: str) -> None:
    for authorization in (f"Bearer {token}", f"bearer {token}", basic("admin", token), basic("", token)):
        assert status(guarded, authorization) == 200


def test_the_client_shows_the_token_that_it_is_given(guarded: Server, token: str) -> None:
    with Client(guarded.url, token=token) as client:
        assert client.version() == "1.3.dev1"
    with Client(guarded.url) as stranger, pytest.raises(ClientError) as refusal:
        stranger.version()
    assert refusal.value.status == 401

    async def main() -> str:
        async with AsyncClient(guarded.url, token=token) as client:
            return await client.version()

    assert asyncio.run(main()) == "1.3.dev1"


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer x", "Basic", "Basic %%%", "Basic eA==", basic("admin", "admin"), "Digest x"],
)
def test_who_has_it_not_is_told_how_to_show_it(authorization: str | None, guarded: Server) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for method, path in (("GET", "/v1/version"), ("POST", "/v1/projects"), ("GET", "/v1/nowhere"), ("DELETE", "/")):
        reply = guarded.http.request(method, path, headers=headers)
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"] == 'Basic realm="GNS3 server"'
        assert reply.json()["status"] == 401
        assert "token" in reply.json()["message"]


def test_the_token_is_taken_from_no_url_and_no_body(guarded: Server, token: str) -> None:
    assert guarded.http.get(f"/v1/version?token={token}").status_code == 401
    assert guarded.http.post("/v1/projects", json={"token": token}).status_code == 401


def test_a_connection_goes_on_after_a_refusal(guarded: Server, token: str) -> None:
    """T-10."""
    with Wire(guarded.port) as wire:
        assert wire.call("POST", "/v1/projects", b'{"name": "A"}').status == 401
        assert wire.call("GET", "/v1/version", b"{}", f"Authorization: Bearer {token}").status == 200


def test_a_websocket_needs_it_too(guarded: Server, token: str) -> None:
    for more, refused in (([], 403), ([f"Authorization: Bearer {token}"], 404)):
        with Wire(guarded.port) as wire:
            wire.head("GET", "/v1/nowhere", *HANDSHAKE, *more)
            assert wire.reply().status in (refused, 403)


def test_a_browser_exchanges_it_for_a_cookie(guarded: Server, token: str) -> None:
    with httpx2.Client(base_url=guarded.url, trust_env=False) as browser:
        page = browser.get("/", headers={"Accept": "text/html,*/*"})
        assert (page.status_code, page.headers["content-type"]) == (401, "text/html; charset=utf-8")
        assert "www-authenticate" not in page.headers, "the browser would ask for a password by itself"
        assert '<form method="post" action="?login">' in page.text
        assert browser.post("/login", data={"token": "guess"}).status_code == 401
        entered = browser.post("/login", data={"token": token})
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        for path, back in (("/", "./"), ("/labs/a%20b", "./a%20b"), ("/docs", "./docs")):
            assert browser.post(f"{path}?login", data={"token": token}).headers["location"] == back
        assert browser.post("/v1/projects?login", data={"token": "guess"}).status_code == 401
        cookie = entered.headers["set-cookie"]
        assert token not in cookie
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        assert browser.get("/v1/projects").status_code == 200
        browser.cookies.set("labplane_session", "guess")
    assert guarded.http.get("/v1/projects", headers={"Cookie": "labplane_session=guess"}).status_code == 401
    assert guarded.http.get("/v1/projects", headers={"Cookie": 'labplane_session="; ='}).status_code == 401


def test_a_login_that_is_too_long_is_refused(guarded: Server) -> None:
    assert guarded.http.post("/login", data={"token": "x" * 5000}).status_code == 413


def test_without_auth_there_is_no_login(server: Server) -> None:
    assert server.http.post("/login").status_code == 404


def test_the_document_says_how_to_come_in(guarded: Server, token: str) -> None:
    reply = guarded.http.get("/v1/openapi.json", headers={"Authorization": f"Bearer {token}"})
    assert reply.json()["security"] == [{"token": []}, {"password": []}]
    assert "401" in reply.json()["paths"]["/v1/version"]["get"]["responses"]
    assert token not in reply.text


def test_the_token_never_shows_in_the_log(guarded: Server, token: str) -> None:
    """Whatever is done with it; the one time is stdout's, which the tests' log has too."""
    guarded.http.get(f"/v1/nowhere/{token}", headers={"Authorization": f"Bearer {token}"})
    guarded.http.post("/v1/projects", content=b"{", headers={"Authorization": f"Bearer {token}"})
    assert guarded.log.count(token) == 1


def test_a_second_start_has_the_same_token_and_does_not_tell_it(token: str, token_file: Path, tmp_path: Path) -> None:
    with running(tmp_path / "projects", "--auth", "token", "--token-file", str(token_file)) as server:
        assert status(server, f"Bearer {token}") == 200
        assert token not in server.log


@pytest.mark.parametrize(("mode", "content"), [(0o644, "x" * 43), (0o600, "short"), (0o600, "\xff" * 43)])
def test_a_token_file_that_is_no_good_is_refused(mode: int, content: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(content.encode("latin-1"))
    path.chmod(mode)
    done = serve(tmp_path, "--auth", "token", "--token-file", str(path))
    assert done.returncode == 1
    assert "'token_file': " in done.stderr
    assert str(path) in done.stderr
    assert content not in done.stderr


def serve(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A server that is expected not to start."""
    ranges = ["--console-ports", free_range(2), "--udp-ports", free_range(2)]
    command = [sys.executable, "-m", "labplane", "serve", "--port", "0", "--projects-dir", str(tmp_path / "projects")]
    return subprocess.run([*command, *ranges, *options], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    "options",
    [["--host", "0.0.0.0"], ["--host", "0.0.0.0", "--auth", "token"], ["--console-host", "0.0.0.0"], ["--host", "::"]],
)
def test_a_server_that_would_let_strangers_in_does_not_start(options: list[str], tmp_path: Path) -> None:
    done = serve(tmp_path, *options)
    assert done.returncode == 2
    assert "--insecure" in done.stderr
    assert not (tmp_path / "projects").exists()


def test_who_insists_gets_it_and_the_log_says_who_can_reach_it(tmp_path: Path) -> None:
    with running(tmp_path / "projects", "--host", "0.0.0.0", "--insecure") as server:
        assert server.http.get("/v1/version").status_code == 200
        assert "HTTP: whoever reaches 0.0.0.0, without authentication; consoles by telnet: every user" in server.log
        assert ", ports (labplane " in server.log


@pytest.fixture
def socket_path(close_by: Path) -> Path:
    """Of a Unix socket, in a directory yet to be made."""
    return close_by / "run" / "lab.socket"


def test_a_unix_socket_lets_in_its_owner_alone(socket_path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "labplane", "serve", "--uds", str(socket_path)]
    command += ["--projects-dir", str(tmp_path / "projects")]
    command += ["--console-ports", free_range(2), "--udp-ports", free_range(2, socket.SOCK_DGRAM)]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, stderr=log)
    try:
        for _ in range(2):
            curl = ["curl", "-sS", "--retry", "50", "--retry-all-errors", "--retry-delay", "0"]
            curl += ["--retry-max-time", "20"]
            asked = [*curl, "--unix-socket", str(socket_path), "http://localhost/v1/version"]
            answer = subprocess.run(asked, capture_output=True, timeout=30, check=True).stdout
            assert json.loads(answer)["version"] == "1.3.dev1"
        assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
        second = serve(tmp_path, "--uds", str(socket_path))
        assert (second.returncode, "Address already in use" in second.stderr) == (1, True)
    finally:
        server.terminate()
        server.wait(20)
    assert not socket_path.exists()
    assert f" at unix:{socket_path}, " in (tmp_path / "log").read_text()


def test_a_unix_socket_that_a_killed_server_left_is_taken_over(socket_path: Path) -> None:
    socket_path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_path))
    with listen(Settings(uds=str(socket_path))) as (listener,):
        assert address(listener, encrypted=False) == f"unix:{socket_path}"
        assert file_of(listener) == socket_path


def test_a_unix_socket_in_a_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    done = serve(tmp_path, "--uds", str(tmp_path / "run" / "lab.socket"))
    assert (done.returncode, "choose a directory of mode 0700" in done.stderr) == (1, True)


def test_over_tls_with_the_token_a_server_may_listen_where_strangers_are(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "lab.pem")
    (tmp_path / "token").write_text("t" * 43)
    (tmp_path / "token").chmod(0o600)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    options = ["--host", "0.0.0.0", "--certfile", str(tmp_path / "lab.pem"), "--auth", "token"]
    with running(tmp_path / "projects", *options, "--token-file", str(tmp_path / "token"), verify=context) as server:
        assert server.url.startswith("https://")
        assert status(server) == 401
        assert status(server, f"Bearer {'t' * 43}") == 200
        entered = server.http.post("/login", data={"token": "t" * 43})
        assert "Secure" in entered.headers["set-cookie"]


def test_a_certificate_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "lab.pem").write_text("no certificate")
    for path in ("lab.pem", "absent.pem"):
        done = serve(tmp_path, "--certfile", str(tmp_path / path))
        assert (done.returncode, "'certfile', 'keyfile': " in done.stderr) == (1, True)
    assert "is of no use without 'certfile'" in serve(tmp_path, "--keyfile", "x").stderr


def test_only_the_plugins_that_were_named_are_loaded(tmp_path: Path) -> None:
    with running(tmp_path / "projects", "--only-plugins", "projects, ports") as server:
        states = {one["name"]: one["state"] for one in server.http.get("/v1/plugins").json()}
        assert {name for name, state in states.items() if state == "active"} == {"projects", "ports"}
        assert states["vpcs"] == "disabled"
    assert (
        "'only_plugins' names 'prots', which is no installed plugin"
        in serve(tmp_path, "--only-plugins", "prots").stderr
    )


def test_nobody_is_believed_to_ask_for_somebody_else(tmp_path: Path) -> None:
    """Whoever is at loopback could say so, and the log would have it."""
    forged = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "Forwarded": "for=192.0.2.1"}
    with running(tmp_path / "projects", "--access-log") as server:
        assert server.http.get("/v1/version?forged", headers=forged).status_code == 200
        until(lambda: "/v1/version?forged" in server.log, "the line of the request")
        assert "192.0.2.1" not in server.log
        assert "127.0.0.1" in server.log
