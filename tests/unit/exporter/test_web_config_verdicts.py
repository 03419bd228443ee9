"""Which web configurations are valid: our verdict is promtool's, file by file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ipmp_exporter.web_config import Guard, WebConfigError
from tests.support.certificates import Authority
from tests.support.tools import need

HASH = "$2y$04$wjVVQTAhDkYGPBzQYpWZ9O1xwpDMFzdkDk2pnDLyT7mHmVHpuhpFC"
TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"

SAME = {
    "empty": "",
    "comment only": "# nothing\n",
    "null parts": "tls_server_config:\nbasic_auth_users:\nhttp_server_config:\n",
    "not yaml": "tls_server_config: [",
    "tab": "tls_server_config:\n\tcert_file: server.crt\n",
    "a list": "- a\n",
    "a word": "tls\n",
    "unknown key": "tls: {}\n",
    "key twice": "basic_auth_users: {}\nbasic_auth_users: {}\n",
    "certificate and key": TLS,
    "absolute paths": TLS.replace("server.", "DIR/server."),
    "certificate only": "tls_server_config:\n  cert_file: server.crt\n",
    "key only": "tls_server_config:\n  key_file: server.key\n",
    "no such certificate": "tls_server_config:\n  cert_file: no.crt\n  key_file: server.key\n",
    "no such key": "tls_server_config:\n  cert_file: server.crt\n  key_file: no.key\n",
    "key of another": "tls_server_config:\n  cert_file: server.crt\n  key_file: other.key\n",
    "garbage for a certificate": TLS.replace("server.crt", "garbage"),
    "empty tls": "tls_server_config: {}\n",
    "tls is a list": "tls_server_config: []\n",
    "unknown tls key": TLS + "  ciphers: []\n",
    "tls key twice": TLS + "  cert_file: server.crt\n",
    "client ca and verify": TLS
    + "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n",
    "client ca if given": TLS
    + "  client_ca_file: ca.pem\n  client_auth_type: VerifyClientCertIfGiven\n",
    "client ca without policy": TLS + "  client_ca_file: ca.pem\n",
    "client ca and none": TLS + "  client_ca_file: ca.pem\n  client_auth_type: NoClientCert\n",
    "no such client ca": TLS
    + "  client_ca_file: no.pem\n  client_auth_type: RequireAndVerifyClientCert\n",
    "request": TLS + "  client_auth_type: RequestClientCert\n",
    "unknown policy": TLS + "  client_auth_type: Sometimes\n",
    "policy without certificate": "tls_server_config:\n"
    "  client_auth_type: RequireAndVerifyClientCert\n",
    "tls 1.3 only": TLS + "  min_version: TLS13\n",
    "tls 1.0": TLS + "  min_version: TLS10\n  max_version: TLS12\n",
    "unknown version": TLS + "  min_version: TLS14\n",
    "version as a number": TLS + "  min_version: 1.2\n",
    "ciphers": TLS + "  cipher_suites:\n  - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n",
    "ciphers of tls 1.3": TLS + "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n",
    "no ciphers": TLS + "  cipher_suites: []\n",
    "unknown cipher": TLS + "  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n",
    "openssl's name of a cipher": TLS + "  cipher_suites: [ECDHE-RSA-AES128-GCM-SHA256]\n",
    "curve": TLS + "  curve_preferences: [CurveP256]\n",
    "curves": TLS + "  curve_preferences: [X25519, CurveP384]\n",
    "unknown curve": TLS + "  curve_preferences: [CurveP225]\n",
    "server prefers": TLS + "  prefer_server_cipher_suites: false\n",
    "server prefers, in other words": TLS + "  prefer_server_cipher_suites: yes\n",
    "server prefers maybe": TLS + "  prefer_server_cipher_suites: maybe\n",
    "user": f"basic_auth_users:\n  alice: {HASH}\n",
    "two users": f"basic_auth_users:\n  alice: {HASH}\n  bob: {HASH}\n",
    "user twice": f"basic_auth_users:\n  alice: {HASH}\n  alice: {HASH}\n",
    "no users": "basic_auth_users: {}\n",
    "users as a list": f"basic_auth_users:\n- alice: {HASH}\n",
    "plain password": "basic_auth_users:\n  alice: secret\n",
    "empty password": "basic_auth_users:\n  alice:\n",
    "md5 hash": "basic_auth_users:\n  alice: $apr1$1DZ4C0xk$yKr9xLC5tQ5tJwuYPLDbL0\n",
    "short hash": f"basic_auth_users:\n  alice: {HASH[:40]}\n",
    "cost too low": "basic_auth_users:\n  alice: " + HASH.replace("$04$", "$03$") + "\n",
    "cost too high": "basic_auth_users:\n  alice: " + HASH.replace("$04$", "$32$") + "\n",
    "cost is no number": "basic_auth_users:\n  alice: " + HASH.replace("$04$", "$xx$") + "\n",
    "version 3": "basic_auth_users:\n  alice: " + HASH.replace("$2y", "$3y") + "\n",
    "version without letter": "basic_auth_users:\n  alice: " + HASH.replace("$2y", "$2") + "\n",
    "http2": "http_server_config:\n  http2: true\n",
    "http2 off": "http_server_config:\n  http2: off\n",
    "http2 perhaps": "http_server_config:\n  http2: perhaps\n",
    "http2 quoted": 'http_server_config:\n  http2: "true"\n',
    "unknown http key": "http_server_config:\n  http3: true\n",
    "headers": "http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
    "    X-Content-Type-Options: nosniff\n    Strict-Transport-Security: max-age=31536000\n"
    "    X-XSS-Protection: 0\n    Content-Security-Policy: default-src 'self'\n",
    "header of lower case": "http_server_config:\n  headers:\n    x-frame-options: deny\n",
    "header that is not allowed": "http_server_config:\n  headers:\n    Server: me\n",
    "frame options of upper case": "http_server_config:\n  headers:\n    X-Frame-Options: DENY\n",
    "empty frame options": "http_server_config:\n  headers:\n    X-Frame-Options:\n",
    "sniff": "http_server_config:\n  headers:\n    X-Content-Type-Options: sniff\n",
    "headers as a list": "http_server_config:\n  headers: [deny]\n",
    "everything": TLS
    + f"basic_auth_users:\n  alice: {HASH}\nhttp_server_config:\n  headers:\n"
    + "    X-Frame-Options: sameorigin\n",
    "two documents": f"basic_auth_users:\n  alice: {HASH}\n---\nnonsense: 1\n",
}

NEWER = {
    "certificate in the file": True,
    "both certificates": False,
    "sans": True,
    "sans without ca": False,
    "rate": True,
    "rate in minutes": True,
    "rate without unit": False,
    "rate of words": False,
    "unknown rate key": False,
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("web")
    authority = Authority(directory)
    authority.sign("server")
    authority.sign("other")
    (directory / "garbage").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
    return directory


def verdict(file: Path) -> str:
    """Empty when the file is valid, else the sentence of the refusal."""
    try:
        Guard(file).close()
    except WebConfigError as error:
        return str(error)
    return ""


@pytest.mark.prometheus
@pytest.mark.parametrize("name", SAME)
@pytest.mark.checklist("7.2", 35)
def test_verdict_is_that_of_promtool(directory: Path, name: str) -> None:
    file = directory / "web.yml"
    file.write_text(SAME[name].replace("DIR", str(directory)))
    done = subprocess.run(
        [need("promtool"), "check", "web-config", file], capture_output=True, timeout=30
    )
    said = verdict(file)
    assert (said == "") == (done.returncode == 0), f"{said!r}\n{done.stderr.decode()}"
    if said:
        assert str(file) in said
        assert "\n" not in said


def newer(directory: Path, name: str) -> str:
    certificate, key = ((directory / f"server.{s}").read_text() for s in ("crt", "key"))
    inline = "".join(
        f"  {part}: |\n" + "".join(f"    {line}\n" for line in text.splitlines())
        for part, text in (("cert", certificate), ("key", key))
    )
    sans = TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [a]\n"
    return {
        "certificate in the file": f"tls_server_config:\n{inline}",
        "both certificates": TLS + inline,
        "sans": sans + "  client_ca_file: ca.pem\n",
        "sans without ca": sans,
        "rate": "rate_limit:\n  interval: 100ms\n  burst: 20\n",
        "rate in minutes": "rate_limit:\n  interval: 1m30s\n  burst: 1\n",
        "rate without unit": "rate_limit:\n  interval: 10\n  burst: 1\n",
        "rate of words": "rate_limit:\n  interval: 1s\n  burst: many\n",
        "unknown rate key": "rate_limit:\n  per: 1s\n",
    }[name]


@pytest.mark.parametrize("name", NEWER)
def test_keys_that_came_later_are_understood(directory: Path, name: str) -> None:
    file = directory / "newer.yml"
    file.write_text(newer(directory, name))
    assert (verdict(file) == "") == NEWER[name], verdict(file)


def test_two_things_are_refused_that_promtool_lets_pass(directory: Path) -> None:
    """Both would leave nobody in, or everybody; better to say so at the start."""
    file = directory / "stricter.yml"
    file.write_text(TLS + "  client_auth_type: RequireAnyClientCert\n")
    assert "use RequireAndVerifyClientCert" in verdict(file)
    policy = "  client_ca_file: garbage\n  client_auth_type: RequireAndVerifyClientCert\n"
    file.write_text(TLS + policy)
    assert "cannot use the client CA" in verdict(file)


def test_a_file_that_is_not_there(directory: Path) -> None:
    assert verdict(directory / "none.yml").startswith("cannot read ")
