"""Who may post: basic, client certificates, Grafana's signature; all of them fail closed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme

from ipmp_remediator.access import BasicUsers
from ipmp_remediator.app import read_policy
from ipmp_remediator.config import load
from ipmp_remediator.main import main
from ipmp_remediator.reader import ConfigError
from tests.support.fake_control_daemon import FakeDaemon
from tests.support.remediator import InProcess, alert, notification, write_policy

SECRET = b"grafana-and-we"


def _policy(directory: Path, access: str) -> Path:
    """A policy with other credentials than the token."""
    path = write_policy(directory)
    path.write_text(path.read_text().replace('token_file = "token"', "") + access)
    return path


def _basic(name: str, password: str | bytes) -> dict[str, str]:
    raw = name.encode() + b":" + (password.encode() if isinstance(password, str) else password)
    return {"Authorization": "Basic " + base64.b64encode(raw).decode()}


def _hash(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def _body() -> bytes:
    return json.dumps(notification(alert())).encode()


def _signed(body: bytes, stamp: int | str, secret: bytes = SECRET) -> dict[str, str]:
    digest = hmac.new(secret, f"{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {
        "X-Grafana-Alerting-Signature": digest,
        "X-Grafana-Alerting-Timestamp": str(stamp),
    }


async def _post(remediator: InProcess, headers: dict[str, str], body: bytes = b"") -> int:
    status, _, _ = await remediator.request(
        "POST", "/alerts", data=body or _body(), token=None, headers=headers
    )
    return status


@pytest.mark.checklist("7.1", 3)
async def test_basic_authentication(tmp_path: Path, run_dir: Path, daemon: FakeDaemon) -> None:
    users = f"[basic_auth_users]\nam = '{_hash('right')}'\nlong = '{_hash('x' * 72)}'\n"
    async with InProcess(tmp_path, run_dir, _policy(tmp_path, users)) as remediator:
        for headers in (
            {},
            _basic("am", "wrong"),
            _basic("nobody", "right"),
            _basic("am", b"\x00right"),
            _basic("am", "x" * 5000),
            _basic("long", "x" * 73),  # bcrypt looks at 72 bytes
            {"Authorization": "Basic"},
            {"Authorization": "Basic am:right"},
            {"Authorization": "Basic \u00e4"},
            {"Authorization": "Bearer right"},
        ):
            assert await _post(remediator, headers) == 401, headers
        assert daemon.requests == []
        assert await _post(remediator, _basic("am", "right")) == 202
        assert await _post(remediator, _basic("am", "right")) == 202
        assert await _post(remediator, _basic("am", "wrong")) == 401
        _, _, headers = await remediator.request("POST", "/alerts", token=None)
        assert headers["www-authenticate"].startswith("Basic")


@pytest.mark.checklist("7.1", 7)
async def test_an_unknown_user_costs_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    real = bcrypt.checkpw
    monkeypatch.setattr(bcrypt, "checkpw", lambda p, h: (checked.append(h), real(p, h))[1])
    users = BasicUsers({"am": _hash("right")})
    for name in ("am", "nobody"):
        raw = base64.b64encode(f"{name}:wrong".encode()).decode()
        assert not await users.admits(raw)
    assert len(checked) == 2


@pytest.mark.checklist("7.1", 3)
async def test_a_signed_body_with_a_fresh_timestamp(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon
) -> None:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    policy = _policy(tmp_path, '[signature]\nsecret_file = "secret"\nwindow = "60s"\n')
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        body, now = _body(), int(time.time())
        unsigned = _signed(body, now) | {"X-Grafana-Alerting-Timestamp": ""}
        for headers in (
            {},
            unsigned,
            _signed(body, now - 62),
            _signed(body, now + 62),
            _signed(body, now, b"other"),
            _signed(body + b" ", now),
            _signed(body, f"{now}.5"),
            _signed(body, "\u0663"),
            _signed(body, now) | {"X-Grafana-Alerting-Signature": "\u00e4"},
            _signed(body, now) | {"Authorization": "Bearer x"},
        ):
            assert await _post(remediator, headers, body) == 401, headers
        assert daemon.requests == []
        assert await _post(remediator, _signed(body, int(time.time())), body) == 202
        (tmp_path / "secret").unlink()
        assert await _post(remediator, _signed(body, int(time.time())), body) == 503


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def _certify(authority: trustme.CA, directory: Path, host: str = "127.0.0.1") -> None:
    """Write the server's certificate and key, and what its clients are checked with."""
    issued = authority.issue_cert(host)
    (directory / "server.crt").write_bytes(b"".join(b.bytes() for b in issued.cert_chain_pems))
    (directory / "server.key").write_bytes(issued.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(directory / "ca.crt"))


def _client(authority: trustme.CA, name: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if name:
        authority.issue_cert(name).configure_cert(context)
    return context


TLS = '[tls]\ncert_file = "server.crt"\nkey_file = "server.key"\n'
MUTUAL = TLS + 'client_ca_file = "ca.crt"\nclient_allowed_sans = ["am-1.example"]\n'


async def _https(remediator: InProcess, context: ssl.SSLContext, **arguments: Any) -> int:
    url = f"https://{remediator.remediator.addresses[0]}"
    status, _, _ = await remediator.request(
        "POST", f"{url}/alerts", data=_body(), ssl=context, **arguments
    )
    return status


@pytest.mark.checklist("7.1", 5)
async def test_tls_with_a_certificate_that_is_renewed(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon, authority: trustme.CA
) -> None:
    _certify(authority, tmp_path)
    policy = write_policy(tmp_path)
    policy.write_text(policy.read_text() + TLS)
    async with InProcess(tmp_path, run_dir, policy) as remediator:
        context = _client(authority, None)
        assert await _https(remediator, context) == 202
        address = remediator.remediator.addresses[0]

        def shown() -> str:
            return ssl.get_server_certificate((address.host, address.port))

        first = await asyncio.to_thread(shown)
        _certify(authority, tmp_path)
        second = await asyncio.to_thread(shown)
        assert second != first
        (tmp_path / "server.key").write_text("damaged")
        assert await asyncio.to_thread(shown) == second
        assert await _https(remediator, context) == 202


@pytest.mark.checklist("7.1", 6)
async def test_client_certificates_and_their_names(
    tmp_path: Path, run_dir: Path, daemon: FakeDaemon, authority: trustme.CA
) -> None:
    import aiohttp

    _certify(authority, tmp_path)
    async with InProcess(tmp_path, run_dir, _policy(tmp_path, MUTUAL)) as remediator:
        stranger = _client(trustme.CA(), "am-1.example")
        for context in (_client(authority, None), stranger):
            with pytest.raises(aiohttp.ClientError):
                await _https(remediator, context, token=None)
        assert await _https(remediator, _client(authority, "am-2.example"), token=None) == 403
        name = "ipmp_webhook_authentication_failures_total"
        url = f"https://{remediator.remediator.addresses[0]}"
        right = _client(authority, "am-1.example")
        assert await _https(remediator, right, token=None) == 202
        status, text, _ = await remediator.request("GET", f"{url}/metrics", ssl=right)
        assert status == 200
        assert f'{name}{{method="certificate"}} 1.0' in text
    (tmp_path / "ca.crt").write_text("damaged")
    settings = remediator.settings
    with pytest.raises(ConfigError, match="TLS files"):
        read_policy(settings)


@pytest.mark.checklist("7.1", 4)
@pytest.mark.parametrize(
    "access",
    ["", TLS, "[basic_auth_users]\n", '[signature]\nsecret_file = ""\n'],
    ids=["nothing", "TLS only", "no users", "no secret"],
)
def test_without_credentials_it_does_not_start(
    tmp_path: Path, access: str, authority: trustme.CA, capsys: pytest.CaptureFixture[str]
) -> None:
    _certify(authority, tmp_path)
    policy = _policy(tmp_path, access)
    assert main(["--config.file", str(policy), "--check"]) == 1
    assert str(policy) in capsys.readouterr().err


MISTAKES: dict[str, Callable[[], str]] = {
    "basic_auth_users.am": lambda: "[basic_auth_users]\nam = 'plain'\n",
    "basic_auth_users.a:b": lambda: f"[basic_auth_users]\n'a:b' = '{_hash('x')}'\n",
    "signature.window": lambda: '[signature]\nsecret_file = "s"\nwindow = "2h"\n',
    "signature.header": lambda: '[signature]\nsecret_file = "s"\nheader = "a b"\n',
    "tls.key_file": lambda: '[tls]\ncert_file = "c"\nclient_ca_file = "a"\n',
    "tls.client_allowed_sans": lambda: TLS + 'client_allowed_sans = ["a"]\n',
}


@pytest.mark.parametrize(("key", "access"), MISTAKES.items(), ids=MISTAKES.keys())
def test_mistakes_name_their_key(tmp_path: Path, key: str, access: Callable[[], str]) -> None:
    policy = write_policy(tmp_path)
    policy.write_text(policy.read_text() + access())
    with pytest.raises(ConfigError) as raised:
        load(policy)
    [sentence] = raised.value.errors
    assert sentence.startswith(f"{policy}: {key} ")
