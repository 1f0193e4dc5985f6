"""The short form of `cluster_kills`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.cluster_kills import every_kind, running
from tests.chaos.links import Cut

SEED = 20_261_125


@pytest.mark.chaos
@pytest.mark.kafka
@pytest.mark.integration
def test_a_kill_of_every_part_of_a_cluster_loses_and_doubles_nothing(kafka: object, tmp_path: Path) -> None:
    """Parts that depend on each other die, some while the last one is still coming back; partitions move with it."""
    tmp_path.chmod(0o711)
    with running(tmp_path, SEED, 60.0, clients=80) as run:
        run.live(8.0, 9.0)
        run.cut(10)
        run.kill("worker-1")
        run.kill("desk-1")
        run.live(0.5, 1.5)
        run.kill("door-1")
        run.kill_postgres()
        run.kill_kafka()
        run.victim.wait_back()
        run.cut_link(run.chance.choice(run.links()), run.chance.choice(list(Cut)), 1.0, 3.0)
        run.end_all(300.0)


@pytest.mark.chaos
@pytest.mark.long
@pytest.mark.kafka
def test_kills_and_cuts_of_every_kind_in_a_cluster_lose_and_double_nothing(kafka: object, tmp_path: Path) -> None:
    """The long form: five kills of each part, Kafka three times, five rebalances, every link cut in every way."""
    tmp_path.chmod(0o711)
    with running(tmp_path, SEED, 900.0, bridges=1) as run:
        run.live(14.0, 18.0)
        every_kind(run, kills=5, kafka=3, rebalances=5, cuts=1)
        run.end_all(300.0, with_bundles=True)
