"""The example that migrates an agent under load."""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path

from moving import pairs, program
from places import PlacesTest

EXAMPLE = Path(__file__).parents[3] / "examples" / "live" / "migrate.py"


class ExamplesTest(PlacesTest):
    def test_an_agent_answers_while_it_moves(self) -> None:
        # Each pair goes on where the one before was completed.
        places = {kind: self.address(kind) for pair in pairs() for kind in pair}
        addresses = [places[kind] for pair in pairs() for kind in pair]
        command = [sys.executable, str(EXAMPLE), *addresses, "--restow", program()]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("none lost"), len(pairs()))


if __name__ == "__main__":
    unittest.main()
