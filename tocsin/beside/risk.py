"""The keeper of risk: `python -m tocsin.beside.risk`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from streams.risk_keeper import RiskKeeper
from tocsin.beside.process import BesideProcess, run
from tocsin.standing import Standing
from tocsin.standing.risk import risk_standing


class RiskBeside(BesideProcess):
    def start_parts(self) -> Sequence[Standing]:
        keeper = RiskKeeper(self.dsn, self.house.now_us, failpoint=self._failpoint)
        self.crew.start("risk", keeper.run, keeper.stop)
        return [risk_standing(keeper)]


if __name__ == "__main__":
    sys.exit(run(RiskBeside))
