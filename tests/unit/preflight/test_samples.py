"""`ipmp check` on sample hosts: what it says, and that what it writes mends it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.images import sample, samples
from tests.unit.cli.test_ipmpstat import tool

#: Hosts on which everything wrong can be mended by drop-ins alone.
MENDABLE = ["networkmanager", "networkd-static", "networkd-glob", "netplan-static"]
WRITABLE = [*MENDABLE, "networkd-dhcp-for-all", "netplan-cloud"]


def check(root: Path, *options: str) -> str:
    done = tool("ipmp", "check", f"--root={root}", *options)
    assert done.stderr == ""
    return done.stdout.replace(str(root), "") + f"=> {done.returncode}\n"


def test_there_are_samples() -> None:
    assert set(WRITABLE) < set(samples())


@pytest.mark.parametrize("name", samples())
def test_what_check_says(tmp_path: Path, name: str) -> None:
    host = sample(name)
    assert check(host.build(tmp_path)) == host.output


@pytest.mark.parametrize("name", samples())
def test_check_alone_writes_nothing(tmp_path: Path, name: str) -> None:
    root = sample(name).build(tmp_path)
    before = {path: path.is_symlink() or path.stat().st_mtime_ns for path in root.rglob("*")}
    check(root)
    after = {path: path.is_symlink() or path.stat().st_mtime_ns for path in root.rglob("*")}
    assert after == before


@pytest.mark.parametrize("name", WRITABLE)
def test_what_it_writes_mends_it(tmp_path: Path, name: str) -> None:
    root = sample(name).build(tmp_path)
    said = check(root, "--write")
    assert "=> 0" in said
    assert "wrong" not in said
    written = re.findall(r"wrote (\S+?)(?: and (\S+))?;", said)
    paths = [path for pair in written for path in pair if path]
    assert all((tmp_path / path.lstrip("/")).is_file() for path in paths)
    assert re.fullmatch(r"(ok|note) .*\n(?:(ok|note) .*\n)*=> 0\n", check(root))


def test_drop_ins_are_exactly_what_was_shown(tmp_path: Path) -> None:
    host = sample("networkmanager")
    root = host.build(tmp_path)
    check(root, "--write")
    dropin = (root / "etc/NetworkManager/conf.d/90-ipmp.conf").read_text()
    assert dropin == (
        "# Written by `ipmp check --write`; it may be overwritten by it.\n"
        "[keyfile]\nunmanaged-devices+=interface-name:ni0;interface-name:ni1\n"
    )


def test_a_file_that_is_not_ours_is_never_overwritten(tmp_path: Path) -> None:
    root = sample("networkmanager").build(tmp_path)
    foreign = root / "etc/NetworkManager/conf.d/90-ipmp.conf"
    foreign.parent.mkdir()
    foreign.write_text("# the administrator's\n")
    said = check(root, "--write")
    assert "/etc/NetworkManager/conf.d/90-ipmp.conf is not ours, so add the lines to it" in said
    assert "unmanaged-devices+=interface-name:ni0;interface-name:ni1" in said
    assert said.endswith("=> 1\n")
    assert foreign.read_text() == "# the administrator's\n"


def test_nothing_is_written_while_nobody_else_would_configure_the_addresses(
    tmp_path: Path,
) -> None:
    root = sample("networkmanager-adopting").build(tmp_path)
    said = check(root, "--write")
    assert "; nothing was written\n" in said
    assert "list the data addresses of the group in ipmp.toml first" in said
    assert said.endswith("=> 1\n")
    assert not list(root.rglob("90-ipmp.conf"))


def test_a_link_out_of_the_image_stays_in_it(tmp_path: Path) -> None:
    """/etc/systemd/network in an image may be a link to an absolute path of the image."""
    root = sample("networkd-static").build(tmp_path)
    (root / "etc/systemd/network").rename(root / "elsewhere")
    (root / "etc/systemd/network").symlink_to("/elsewhere")
    assert "=> 0" in check(root, "--write")
    assert (root / "elsewhere/10-ni0.network.d/90-ipmp.conf").is_file()


def test_a_read_only_image_is_told_in_a_sentence(tmp_path: Path) -> None:
    root = sample("networkd-glob").build(tmp_path)
    (root / "etc/systemd/network").write_text("a file where a directory belongs\n")
    said = check(root, "--write")
    assert re.search(r"/etc/systemd/network\S* cannot be written: ", said)
    assert said.endswith("=> 1\n")
