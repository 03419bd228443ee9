"""What running managers say of themselves outranks what their files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmp.preflight import Finding, Member, Root, survey
from tests.support.images import sample

NOW = 1_800_000_000.0
MEMBERS = (Member("ni0", 2, "02:00:00:00:00:10"), Member("ni1", 3, "02:00:00:00:00:11"))


def look(root: Path) -> list[Finding]:
    return list(survey(Root(root), MEMBERS, NOW))


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_networkmanager_has_let_a_device_go(tmp_path: Path) -> None:
    root = sample("networkmanager").build(tmp_path)
    put(root, "run/NetworkManager/devices/2", "[device]\nmanaged=false\n")
    put(root, "run/NetworkManager/devices/3", "[device]\nmanaged=false\n")
    assert look(root) == []


def test_networkmanager_has_not_read_its_drop_in_yet(tmp_path: Path) -> None:
    root = sample("networkmanager-told").build(tmp_path)
    put(root, "run/NetworkManager/devices/2", "[device]\nmanaged=true\n")
    (finding, *_) = look(root)
    assert finding.text == (
        "NetworkManager is configured to leave ni0 alone, but has not read that yet: "
        "run `nmcli general reload`"
    )


def test_networkd_names_the_file_that_it_uses(tmp_path: Path) -> None:
    root = sample("networkd-static").build(tmp_path)
    put(root, "run/systemd/netif/links/2", "ADMIN_STATE=unmanaged\n")
    put(
        root,
        "run/systemd/netif/links/3",
        "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/20-others.network\n",
    )
    texts = [finding.text for finding in look(root)]
    assert [text for text in texts if "ni0" in text] == []
    assert "configures ni1 (/etc/systemd/network/20-others.network) by DHCP" in texts[0]


@pytest.mark.parametrize(
    ("match", "whose"),
    [
        ("Name=ni0", ["ni0"]),
        ("Name=eth* ni?", ["ni0", "ni1"]),
        ("Name=!eth*", ["ni0", "ni1"]),
        ("Name=!ni0", ["ni1"]),
        ("MACAddress=02-00-00-00-00-11", ["ni1"]),
        ("PermanentMACAddress=02:00:00:00:00:10\nName=!veth*", ["ni0"]),
        ("Type=wlan", []),
        ("Driver=virtio_net", ["ni0", "ni1"]),  # it cannot be told, so it may
        ("", ["ni0", "ni1"]),
        ("Name=ni0\nName=", ["ni0", "ni1"]),
    ],
)
def test_networkd_match(tmp_path: Path, match: str, whose: list[str]) -> None:
    put(tmp_path, "proc/400/cmdline", "/lib/systemd/systemd-networkd\0")
    put(tmp_path, "etc/systemd/network/10-a.network", f"[Match]\n{match}\n[Network]\nDHCP=ipv4\n")
    text = " ".join(finding.text for finding in look(tmp_path))
    assert [name for name in ("ni0", "ni1") if name in text] == whose


@pytest.mark.parametrize(
    ("devices", "whose"),
    [
        ("", ["ni0", "ni1"]),
        ("none", ["ni0", "ni1"]),
        ("*", []),
        ("ni0", ["ni1"]),
        ("interface-name:ni*", []),
        ("interface-name:=ni*", ["ni0", "ni1"]),
        ("interface-name:~ni1;", ["ni0"]),
        ("mac:02:00:00:00:00:10,type:wifi", ["ni1"]),
        ("02:00:00:00:00:11", ["ni0"]),
        ("type:ethernet", []),
        ("except:interface-name:ni1", ["ni1"]),
        ("*,except:mac:02:00:00:00:00:10", ["ni0"]),
    ],
)
def test_networkmanager_device_list(tmp_path: Path, devices: str, whose: list[str]) -> None:
    put(tmp_path, "proc/500/cmdline", "/usr/sbin/NetworkManager\0")
    conf = f"[keyfile]\nunmanaged-devices={devices}\n"
    put(tmp_path, "etc/NetworkManager/NetworkManager.conf", conf)
    text = " ".join(finding.text for finding in look(tmp_path))
    assert [name for name in ("ni0", "ni1") if name in text] == whose


@pytest.mark.parametrize(
    ("command", "whose"),
    [
        ("dhclient", ["ni0", "ni1"]),
        ("dhclient -v -pf /run/ni0.pid", ["ni0", "ni1"]),
        ("dhclient -nw eth9", []),
        ("/sbin/dhclient ni1", ["ni1"]),
        ("udhcpc -i ni0 -b", ["ni0"]),
        ("dhcpcd -q -w", ["ni0", "ni1"]),
        ("dhcpcd -q eth9", []),
        ("dhcpcd: ni1 [ip4]", ["ni1"]),
        ("vim ni0", []),
    ],
)
def test_dhcp_clients(tmp_path: Path, command: str, whose: list[str]) -> None:
    argv = command if ": " in command else command.replace(" ", "\0")
    put(tmp_path, "proc/600/cmdline", argv + "\0")
    text = " ".join(finding.text for finding in look(tmp_path))
    assert [name for name in ("ni0", "ni1") if f"for {name}" in text] == whose


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("etc/netplan/1.yaml", "network: [\n"),
        ("etc/netplan/1.yaml", "- ni0\n"),
        ("etc/netplan/1.yaml", "network: {ethernets: {ni0: }}\n"),
        ("etc/netplan/1.yaml", "[" * 5000),
        ("etc/netplan/1.yaml", "network: {ethernets: {1: {addresses: {}, match: []}}}\n"),
        ("etc/network/interfaces", "iface\niface ni0\nsource\nauto\n option\n"),
        ("etc/network/interfaces", "source /etc/network/interfaces\n"),
        ("etc/systemd/network/a.network", "[Match\nName\n=\n[]\n[Match]\nName=!\n"),
        ("etc/NetworkManager/conf.d/a.conf", "[keyfile]\nunmanaged-devices-=\n=x\n"),
        ("var/lib/dhcp/dhclient.leases", 'lease {\n interface "ni0";\n expire 9 x;\n}\nlease {'),
        ("var/lib/dhcp/a.leases", 'lease {\n interface "ni0";\n expire 1 9/99/99 9:9:9;\n}\n'),
        ("etc/cloud/cloud.cfg", "network: {config: [\n"),
    ],
)
def test_damaged_files_are_no_traceback(tmp_path: Path, path: str, text: str) -> None:
    for number, name in enumerate(("NetworkManager", "systemd-networkd", "dhclient"), 400):
        put(tmp_path, f"proc/{number}/cmdline", f"{name}\0ni0\0")
    put(tmp_path, path, text)
    look(tmp_path)
