# SPDX-License-Identifier: BSL-1.0
"""The programs that examples/README.md shows beside the library's own are right, too: peers_test.py FILE"""

import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "servers"))
import driver  # noqa: E402
from echo_behaviour import EchoBehaviour  # noqa: E402

if driver.PROGRAM.endswith(".py"):
    driver.COMMAND.insert(0, sys.executable)


class Peer(EchoBehaviour, driver.ServerTest):
    END = -signal.SIGTERM

    def server(self):
        return super().server(str(driver.free_port()), vocabulary=False)


if __name__ == "__main__":
    driver.main()
