"""Where the pages work: below a path of a proxy, with a token, over TLS."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme
from playwright.sync_api import Browser, expect

from lab_page import LabPage
from support import DEADLINE, Server, running, until

NGINX = """pid {folder}/nginx.pid; error_log stderr; daemon off; events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/chain.pem;
        ssl_certificate_key {folder}/key.pem;
        location /our/labs/ {{
            proxy_pass http://127.0.0.1:{upstream}/;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_buffering off;
        }}
    }}
}}
"""


def certified(folder: Path) -> None:
    """Make chain.pem and key.pem in it, for 127.0.0.1."""
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(folder / "chain.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")


@contextmanager
def below_a_path(server: Server, folder: Path) -> Iterator[str]:
    """The address of a server below a path of nginx, which speaks TLS."""
    certified(folder)
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert nginx is not None, "nginx is not installed; apt-get install nginx"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, upstream=server.port))
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen([nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=log)
    try:
        until(lambda: _accepts(port) or process.poll() is not None, "nginx to listen")
        assert process.poll() is None, (folder / "nginx.log").read_text()
        yield f"https://127.0.0.1:{port}/our/labs"
    finally:
        process.terminate()
        process.wait(DEADLINE)


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def make_a_lab(page: LabPage) -> None:
    """From the cards to a running PC with a console."""
    page.ready()
    page.page.get_by_role("button", name="New lab").first.click()
    page.page.get_by_role("textbox", name="Name").fill("Anywhere")
    page.page.keyboard.press("Enter")
    expect(page.page.locator("#title")).to_have_text("Anywhere")
    for number in (1, 2):
        page.add("PC vpcs")
        expect(page.nodes).to_have_count(number)
    page.link("PC1", "PC2")
    page.page.get_by_role("button", name="Start all").click()
    expect(page.running()).to_have_count(2)
    expect(page.console("PC1")).to_contain_text("VPCS>")
    assert page.page.locator("#connection").get_attribute("data-state") == "live"


def test_below_a_path_of_a_proxy_with_a_token_and_tls(browser: Browser, tmp_path: Path) -> None:
    token = tmp_path / "token"
    options = ("--auth", "token", "--token-file", str(token))
    with running(tmp_path / "projects", *options) as server, below_a_path(server, tmp_path) as url:
        context = browser.new_context(ignore_https_errors=True)
        page = LabPage(context.new_page())
        page.page.goto(f"{url}/")
        page.page.get_by_label("Token of this server").fill(token.read_text().strip())
        page.complaints.clear()  # of the 401, and of an icon that the form has not
        page.page.get_by_role("button", name="Enter").click()
        make_a_lab(page)
        where = page.page.url
        assert where.startswith(f"{url}/labs/")
        assert page.complaints == []
        context.clear_cookies()
        page.page.goto(where)
        page.page.get_by_label("Token of this server").fill(token.read_text().strip())
        page.page.get_by_role("button", name="Enter").click()
        expect(page.page).to_have_url(where)
        expect(page.nodes).to_have_count(2)
        page.page.get_by_role("link", name="All labs").click()
        expect(page.page.get_by_role("link", name="Anywhere")).to_be_visible()
        assert [address for address in page.asked if not address.startswith((url, "data:", "blob:"))] == []
        context.close()


def test_over_tls(browser: Browser, tmp_path: Path) -> None:
    certified(tmp_path)
    options = ("--certfile", str(tmp_path / "chain.pem"), "--keyfile", str(tmp_path / "key.pem"))
    with running(tmp_path / "projects", *options, verify=False) as server:
        context = browser.new_context(ignore_https_errors=True)
        page = LabPage(context.new_page())
        page.open(server)
        make_a_lab(page)
        assert page.complaints == []
        context.close()
