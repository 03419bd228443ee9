"""`ipmp watch` on a terminal, while an interface is taken offline and brought back."""

from __future__ import annotations

from ipmp.lab import Lab
from ipmp.lab.topology import HOST
from tests.scenarios.conftest import StartHost
from tests.support.lab import program
from tests.support.screen import OnTerminal
from tests.support.views import BOTH, IPV4, PLAIN, on
from tests.support.wait import eventually


def test_a_drain_and_a_restart_are_watched(lab: Lab, start_host: StartHost) -> None:
    host = start_host(PLAIN)
    settings = (f"IPMP_RUN_DIR={host.run_dir}", "TERM=vt100", "NO_COLOR=1")
    command = ("env", *settings, program("ipmp"), "watch", "ipmp0")

    with OnTerminal(command, popen=lambda argv, **more: lab.popen(HOST, argv, **more)) as terminal:

        def sees(*texts: str) -> bool:
            screen = " ".join(terminal.screen().split())
            return all(text in screen for text in texts)

        eventually(lambda: sees("ipmp0: ok", "ni0 ok up", f"{IPV4}/24 on ni0"), 10)
        assert host.if_mpadm("-d", "ni0", "--reason", "new switch").returncode == 0
        on(lab, "ni1", *BOTH)
        eventually(lambda: sees("ipmp0: degraded", "ni0 offline", f"{IPV4}/24 on ni1, home ni0"))
        eventually(lambda: sees("(new switch)", "ni0 is drained and quiet", "Under way: nothing"))
        host.kill9()
        eventually(lambda: sees("NO ANSWER since", "ni0 offline"), 10)
        host.start()
        eventually(lambda: sees("Under way: nothing", "ni0 offline", "mpathd started"), 10)
        assert host.if_mpadm("-r", "ni0").returncode == 0
        eventually(lambda: sees("ipmp0: ok", "ni0 ok up", f"{IPV4}/24 on ni0, home ni0"))
        terminal.type("q")
        assert terminal.process.wait(10) == 0
        assert terminal.is_sane()
