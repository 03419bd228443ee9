"""Mistakes that an operator can make in `ipmp.toml`, and the exact sentence for each."""

import json
import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipmp.config import Announce, Config, ConfigError, DeclaredAddress, Probe, load

GOOD = """
[defaults]
failback = false
announce = { rate = 50 }

[groups.ipmp0]
interfaces = ["ni0", "ni1"]
standby = ["ni2"]
addresses = [
  "192.168.1.5/24",
  { address = "192.168.1.6/24", home = "ni1" },
  "FD00:1:0::5/64",
]
failure_detection_time = "1.5s"
announce = { refresh = "2m", burst = false }

[groups.ipmp0.probe]
targets = ["192.168.1.1", "FD00:1::1"]
test_addresses = { ni0 = "192.168.1.21/32", ni1 = "fe80::21/64" }

[groups.dmz]
interfaces = ["eth0.100", "eth1"]
failback = true
"""


def group(body: str, interfaces: str = '["ni0", "ni1"]') -> str:
    """A document with one group that is right except for `body`."""
    return f"[groups.ipmp0]\ninterfaces = {interfaces}\n{body}\n"


@pytest.fixture
def read(tmp_path):
    """Load a document from a file called ipmp.toml, without /etc/default/mpathd."""

    def read(document: str | bytes, mpathd: str | None = None) -> Config:
        path = tmp_path / "ipmp.toml"
        path.write_bytes(document if isinstance(document, bytes) else document.encode())
        defaults = tmp_path / "mpathd"
        if mpathd is not None:
            defaults.write_text(mpathd)
        return load(path, defaults)

    return read


def mistakes() -> list:
    """Each block of the golden file: a name, a document, and the sentence that it is told with."""
    golden = Path(__file__).parents[1] / "golden" / "config_mistakes.txt"
    blocks = re.findall(r"^== (.+)\n((?:.*\n)*?)=> (.+)$", golden.read_text(), re.MULTILINE)
    return [pytest.param(document, sentence, id=name) for name, document, sentence in blocks]


@pytest.mark.parametrize(("document", "sentence"), mistakes())
def test_a_mistake_is_told_in_one_sentence_with_file_and_key(read, document, sentence):
    with pytest.raises(ConfigError) as caught:
        read(document)
    assert caught.value.errors == (sentence,)


def test_all_problems_are_told_at_once(read):
    with pytest.raises(ConfigError) as caught:
        read(
            """
            colour = "red"
            [defaults]
            failback = "yes"
            [groups.a]
            interfaces = ["ni0", "lo", "ni0"]
            adresses = []
            addresses = ["192.168.1.5", { address = "192.168.1.6/24", home = "ni7" }, "nonsense"]
            min_usable = 0
            [groups.b]
            interfaces = ["ni0"]
            failure_detection_time = 10
            """
        )
    keys = [error.split(": ")[1] for error in caught.value.errors]
    assert keys == [
        "colour",
        "defaults.failback",
        "groups.a.adresses",
        "groups.a.min_usable",
        "groups.a.interfaces",
        "groups.a.addresses",
        "groups.a.addresses",
        "groups.b.failure_detection_time",
        "groups.a.interfaces",
        "groups.b.interfaces",
        "groups.a.addresses.home",
    ]
    assert str(caught.value) == "\n".join(caught.value.errors)


def test_a_good_file_gives_canonical_values(read):
    config = read(GOOD)
    assert list(config.groups) == ["ipmp0", "dmz"]
    assert config.path.endswith("/ipmp.toml")
    assert config.warnings == ()
    ipmp0 = config.groups["ipmp0"]
    assert ipmp0.members == ("ni0", "ni1", "ni2")
    assert ipmp0.addresses == (
        DeclaredAddress("192.168.1.5/24"),
        DeclaredAddress("192.168.1.6/24", home="ni1"),
        DeclaredAddress("fd00:1::5/64"),
    )
    assert ipmp0.failure_detection_time == 1.5
    assert ipmp0.probe == Probe(
        targets=("192.168.1.1", "fd00:1::1"),
        test_addresses={"ni0": "192.168.1.21/32", "ni1": "fe80::21/64"},
    )


def test_a_group_outranks_defaults_key_by_key(read):
    config = read(GOOD)
    assert config.groups["ipmp0"].failback is False
    assert config.groups["ipmp0"].announce == Announce(rate=50, burst=False, refresh=120.0)
    assert config.groups["dmz"].failback is True
    assert config.groups["dmz"].announce == Announce(rate=50, refresh=None)


def test_the_example_is_valid_and_shows_the_defaults():
    example = Path(__file__).parents[2] / "core" / "ipmp.toml.example"
    text = example.read_text()
    plain = load(example, Path("/nonexistent"))
    assert plain.warnings == ()
    assert all(key in text for key in plain.groups["ipmp0"].__struct_fields__ if key != "name")


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("100ms", 0.1), ("10s", 10.0), ("0.5s", 0.5), ("2m", 120.0), ("1h", 3600.0)],
)
def test_durations_have_a_unit(read, duration, seconds):
    config = read(group(f'failure_detection_time = "{duration}"'))
    assert config.groups["ipmp0"].failure_detection_time == pytest.approx(seconds)


@pytest.mark.parametrize(
    "address",
    ["192.168.1.0/31", "192.168.1.1/31", "192.168.1.0/32", "fd00::/127", "fd00::ffff/64"],
)
def test_point_to_point_subnets_have_no_reserved_ends(read, address):
    config = read(group(f'addresses = ["{address}"]'))
    assert config.groups["ipmp0"].addresses == (DeclaredAddress(address),)


@pytest.mark.parametrize(
    ("document", "warning"),
    [
        (
            group("", '["ni0"]'),
            "groups.ipmp0.interfaces: a single member has nothing to fail over to",
        ),
        (
            group("min_usable = 2"),
            "groups.ipmp0.min_usable: all 2 members must stay usable, "
            "so that none can be taken offline",
        ),
        (
            group('probe = { method = "icmp", test_addresses = { ni0 = "192.168.1.21/32" } }'),
            "groups.ipmp0.probe.method: by icmp over IPv4 only members with a test address are "
            'probed, and ni1 has none; give it one in test_addresses, or choose "auto"',
        ),
    ],
)
def test_what_is_allowed_but_surprising_is_a_warning(read, document, warning):
    assert read(document).warnings == (f"ipmp.toml: {warning}",)


# Files that cannot be read at all.


def test_a_missing_file(tmp_path):
    path = tmp_path / "ipmp.toml"
    with pytest.raises(ConfigError) as caught:
        load(path, tmp_path / "mpathd")
    assert str(caught.value) == (
        f"{path}: the file does not exist; create it, or name another one with --config"
    )


def test_an_unreadable_file(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, tmp_path / "mpathd")
    assert str(caught.value) == f"{tmp_path}: the file cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"[groups.ipmp0]\n# caf\xe9\n", "the file is not UTF-8 (byte 20); save it as UTF-8"),
        (
            b"[groups.ipmp0]\ninterfaces = ni0\n",
            "the file is not TOML: Invalid value (at line 2, column 14)",
        ),
        (b"a = " + b"[" * 50_000, "the file is nested too deeply to be a configuration"),
    ],
)
def test_a_file_that_is_no_toml(read, tmp_path, document, problem):
    with pytest.raises(ConfigError) as caught:
        read(document)
    assert str(caught.value) == f"{tmp_path}/ipmp.toml: {problem}"


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 5000])
def test_numbers_of_thousands_of_digits(read, number):
    with pytest.raises(ConfigError):
        read(group(f"min_usable = {number}"))


# /etc/default/mpathd


def test_mpathd_defaults_rank_below_the_file(read):
    mpathd = "# Solaris\nFAILURE_DETECTION_TIME=2500\nfailback=No  # late\n"
    settings_of = read(group(""), mpathd).groups["ipmp0"]
    assert (settings_of.failure_detection_time, settings_of.failback) == (2.5, False)
    overruled = read("[defaults]\nfailback = true\n" + group(""), mpathd).groups["ipmp0"]
    assert (overruled.failure_detection_time, overruled.failback) == (2.5, True)


def test_the_mpathd_example_is_valid_and_shows_the_defaults(read, tmp_path):
    text = (Path(__file__).parents[2] / "core" / "mpathd.example").read_text()
    names = re.findall(r"^([A-Z_]+)=", text, re.MULTILINE)
    assert names == ["FAILURE_DETECTION_TIME", "FAILBACK", "TRACK_INTERFACES_ONLY_WITH_GROUPS"]
    assert read(group(""), text) == read(group(""), "")
    assert read(group(""), text).warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        'FAILBACK="no"',
        "export FAILBACK=no",
        "failback=NO",
        "FAILBACK=no\r",
        "FAILBACK=yes\nFAILBACK=no",
        "\t FAILBACK=no\t # the second NIC is slow",
    ],
)
def test_spellings_of_mpathd_that_a_shell_would_take_too(read, text):
    config = read(group(""), text)
    assert (config.groups["ipmp0"].failback, config.warnings) == (False, ())


@pytest.mark.parametrize(
    ("line", "seconds", "warning"),
    [
        (
            "FAILURE_DETECTION_TIME=10s",
            10.0,
            "Invalid failure detection time 10s, assuming default of 10000 ms",
        ),
        (
            "FAILURE_DETECTION_TIME=-1",
            10.0,
            "Invalid failure detection time -1, assuming default of 10000 ms",
        ),
        (
            "FAILURE_DETECTION_TIME=99",
            0.1,
            "Too small failure detection time of 99, assuming minimum of 100 ms",
        ),
        ("FAILBACK=perhaps", 10.0, "Invalid value for FAILBACK perhaps"),
        (
            "TRACK_INTERFACES_ONLY_WITH_GROUPS=maybe",
            10.0,
            "Invalid value for TRACK_INTERFACES_ONLY_WITH_GROUPS maybe",
        ),
        (
            "TRACK_INTERFACES_ONLY_WITH_GROUPS=no",
            10.0,
            "TRACK_INTERFACES_ONLY_WITH_GROUPS=no is not supported: only members of groups are "
            "tracked; give an interface that is to be watched a group of its own",
        ),
        ("FALLBACK=no", 10.0, "line 1: unknown name FALLBACK is ignored"),
        ("failback is no", 10.0, "line 1 is not NAME=value and is ignored"),
        ("'FAILBACK=no", 10.0, "line 1 is not NAME=value and is ignored"),
    ],
)
def test_mpathd_problems_are_warnings(read, tmp_path, line, seconds, warning):
    config = read(group(""), line)
    assert config.warnings == (f"{tmp_path}/mpathd: {warning}",)
    assert config.groups["ipmp0"].failback is True
    assert config.groups["ipmp0"].failure_detection_time == seconds


def test_an_unreadable_mpathd_file_is_a_warning(tmp_path):
    path = tmp_path / "ipmp.toml"
    path.write_text(group(""))
    config = load(path, tmp_path)
    assert config.warnings == (f"{tmp_path}: the file cannot be read: Is a directory",)


# Nothing but ConfigError, whatever the file says.

KEYS = st.sampled_from(
    [
        "defaults", "groups", "ipmp0", "interfaces", "standby", "addresses", "address", "home",
        "probe", "targets", "test_addresses", "announce", "rate", "burst", "refresh", "min_usable",
        "ni0",
    ]
) | st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=3)  # fmt: skip
SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.dates()
    | st.sampled_from(["ni0", "lo", "192.168.1.5/24", "fe80::1/64", "10s", "off", "::/0"])
    | st.text(st.characters(codec="utf-8"), max_size=8)
)
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
        max_leaves=20,
    ),
    max_size=4,
)


def toml(value: object) -> str:
    """Spell `value` in TOML; JSON's string escapes are TOML's, except for DEL."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items())
        return f"{{{pairs}}}"
    if isinstance(value, list):
        return f"[{', '.join(toml(item) for item in value)}]"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower()


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, st.booleans())
def test_whatever_the_document_says_only_config_errors_come_out(tmp_path_factory, document, inside):
    path = tmp_path_factory.getbasetemp() / "random.toml"
    if inside:
        document = {"groups": {"ipmp0": document}}
    path.write_text("".join(f"{toml(key)} = {toml(item)}\n" for key, item in document.items()))
    try:
        groups = load(path, path.parent / "no-mpathd").groups
        errors = ""
    except ConfigError as error:
        groups = {}
        errors = str(error)
    assert "is not TOML" not in errors, "the test's own TOML is wrong"
    assert errors or all(group.interfaces for group in groups.values())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_whatever_bytes_the_file_holds_only_config_errors_come_out(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        load(path, path.parent / "no-mpathd")
