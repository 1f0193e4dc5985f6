"""Recorded files: their forms, their times, their units, and the ticks that are not made."""

from __future__ import annotations

import gzip
import json
import lzma
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from schemas.errors import ConfigError
from schemas.measures import BY_NAME
from streams import replay_sources
from streams.packs import load_pack, parse_pack
from streams.replay import Replay, SensorSpec, sensors_of
from streams.replay_sources import START_US, Clock, Recording
from streams.replay_units import convert
from tocsin.commands.replay import app

ROWS = [(0, 20.0), (1, 20.5), (2, math.nan), (3, 21.0)]
CSV = "time,room\n" + "".join(f"{t},{'' if math.isnan(v) else v}\n" for t, v in ROWS)


def written(folder: Path, name: str) -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"time": [t for t, _ in ROWS], "room": [v for _, v in ROWS]}), path)
    elif name.endswith(".jsonl"):
        path.write_text("".join(f'{{"time": {t}, "room": {"null" if math.isnan(v) else v}}}\n' for t, v in ROWS))
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(CSV.encode()))
    else:
        path.write_bytes(lzma.compress(CSV.encode()) if name.endswith(".xz") else CSV.encode())
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.xz", "a.parquet", "a.jsonl"])
def test_each_form_of_file_gives_the_same_columns(tmp_path: Path, name: str) -> None:
    recording = Recording(written(tmp_path, name))
    (table,) = recording.tables(["room"])
    assert table.time_us.tolist() == [START_US + t * 1_000_000 for t, _ in ROWS]
    np.testing.assert_array_equal(table.columns["room"], [v for _, v in ROWS])
    assert (recording.stem, recording.clock) == ("a", Clock.SECONDS)


@pytest.mark.parametrize(
    ("cell", "clock", "us"),
    [
        ("1700000000", Clock.EPOCH, 1_700_000_000_000_000),
        ("1700000000.25", Clock.EPOCH, 1_700_000_000_250_000),
        ("1700000000250", Clock.EPOCH_MS, 1_700_000_000_250_000),
        ("-121", Clock.SECONDS, START_US - 121_000_000),
        ("2.50E+00", Clock.SECONDS, START_US + 2_500_000),
        ("2023-11-14T22:13:20Z", Clock.ISO, 1_700_000_000_000_000),
        ("2023-11-14 22:13:20", Clock.ISO, 1_700_000_000_000_000),
        ("2023-11-15T00:13:20.5+02:00", Clock.ISO, 1_700_000_000_500_000),
    ],
)
def test_the_meaning_of_a_time_column_is_found_out(tmp_path: Path, cell: str, clock: Clock, us: int) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"when,time,x\n1,{cell},5\n")
    recording = Recording(path)
    (table,) = recording.tables(["x"])
    assert (recording.clock, table.time_us.tolist(), table.as_written.to_pylist()) == (clock, [us], [cell])


def test_a_header_without_the_row_numbers_name_is_understood(tmp_path: Path) -> None:
    """As R writes it: the rows have one cell more than the header."""
    path = tmp_path / "a.csv"
    path.write_text('"date","x"\n"1","2015-02-02 14:19:00",5\n')
    (table,) = Recording(path).tables(["x"])
    assert table.columns["x"].tolist() == [5.0]


@pytest.mark.parametrize(
    ("text", "time", "clock", "said"),
    [
        ("time,x\n1,a\n", "", None, "a.csv cannot be read"),
        ("time,x\nsoon,1\n", "", None, "column `time`: `soon`"),
        ("time,x\n5,1\n", "", Clock.ISO, "no ISO time"),
        ("time,x\n,1\n", "", None, "empty cell"),
        ("a,x\n5,1\n", "", None, "no column that is called time"),
        ("time,x\n5,1\n", "tme", None, "There is `time`"),
        ("time,y\n5,1\n", "", None, "has no column `x`"),
    ],
)
def test_what_is_wrong_names_file_column_and_mend(
    tmp_path: Path, text: str, time: str, clock: Clock | None, said: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        list(Recording(path, time, clock).tables(Recording(path, time, clock).match("x")))
    assert said in str(caught.value) and caught.value.mend


@pytest.mark.parametrize(
    ("measure", "unit", "x", "y"),
    [
        ("temperature", "degF", 212.0, 100.0),
        ("temperature", "K", 273.15, 0.0),
        ("smoke", "OD/m", 1.0, 90.0),
        ("smoke", "dB/m", 0.15, 3.395),
        ("smoke", "%/ft", 4.0, 12.53),
        ("smoke", "%/m", 3.0, 3.0),
        ("gas", "vol% methane", 2.5, 50.0),
        ("gas", "ppm propane", 21_000.0, 100.0),
        ("co2", "%", 0.04, 400.0),
        ("residual_current", "A", 0.3, 300.0),
        ("value", "kWh", 7.0, 7.0),
        ("humidity", "", 40.0, 40.0),
    ],
)
def test_units_become_the_measures_own(measure: str, unit: str, x: float, y: float) -> None:
    found = convert(BY_NAME[measure], unit)(np.array([x]))
    assert found[0] == pytest.approx(y, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("room:TC1", "is not a sensor"),
        ("room=temprature:TC1", "Did you mean `temperature`"),
        ("room=temperature[rankine]:TC1", "degF"),
        ("room=presence[x]:TC1", "Leave it out"),
    ],
)
def test_a_wrong_sensor_is_told(spec: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SensorSpec.parse(spec)
    assert said in str(caught.value)


def test_a_pattern_makes_a_sensor_of_each_column(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_text("time,TC1,TC2,SM1\n0,1,2,3\n")
    recording = Recording(path)
    found = sensors_of(recording, [SensorSpec.parse("*=temperature:TC*")], several=True)
    assert [(s.name, s.column, s.sensor.key) for s in found] == [
        ("run/TC1", "TC1", "run/TC1/temperature"), ("run/TC2", "TC2", "run/TC2/temperature"),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="two sensors are called"):
        sensors_of(recording, [SensorSpec.parse("t=temperature:TC*")], several=False)


DENSE = """
[[rule]]
id = "flag"
measure = "tamper"
family = "tamper"
kind = "fault"
grade = "yellow"
raise = { is = true, for = "7s" }
clear = { is = false, for = "4s" }
[[rule]]
id = "lost"
family = "silence"
kind = "silence"
grade = "blue"
signal = "silence"
raise = { at_least = "20s", periods = 3 }
clear = { readings = 2 }
[[rule]]
id = "hot"
measure = "temperature"
family = "heat"
kind = "fire"
grade = "yellow"
raise = { at_or_above = 30.0, for = "5s" }
clear = { below = 25.0, for = "5s" }
"""


@pytest.mark.parametrize("seed", range(10))
def test_ticks_that_are_not_made_change_nothing(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin is given a tick each second, the engine those that can matter; what is told is the same."""
    rng = np.random.default_rng(seed)
    steps = rng.choice([0.3, 1.0, 2.0, 7.0, 45.0, 200.0], 400, p=[0.3, 0.3, 0.2, 0.1, 0.07, 0.03])
    times = np.cumsum(steps) - 100.0
    if seed % 2:
        times[200:220] -= 400.0
    flags = [math.nan if rng.random() < 0.3 else float((i // 9) % 2) for i in range(len(times))]
    heat = [math.nan if rng.random() < 0.2 else round(20 + 8 * rng.normal(), 3) for _ in times]
    air = [50.0 if i < 300 else math.nan for i in range(len(times))]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"time": np.round(times, 3), "t": heat, "f": flags, "u": air}), path)
    monkeypatch.setattr(replay_sources, "_CELLS", 64)
    pack = load_pack() if seed < 2 else parse_pack(DENSE, "dense")
    specs = ["t=temperature:t", "u=humidity:u"] if seed > 3 else ["t=temperature:t", "f=tamper:f"]
    told: list[list[Any]] = []
    for naive in (True, False):
        recording = Recording(path)
        sensors = sensors_of(recording, [SensorSpec.parse(spec) for spec in specs], several=False)
        events: list[Any] = []
        scores: list[Any] = []
        run = Replay(
            recording, sensors, pack, naive=naive,
            on_event=lambda e, t, events=events: events.append((e.key, e.step, e.state, e.event_us, e.evidence, t)),
            on_scores=lambda s, w, t, v, x, scores=scores: scores.append((s.name, np.nan_to_num(x, nan=-1).tolist())),
        )  # fmt: skip
        for _ in run.run():
            pass
        told.append([events, scores])
    assert told[0] == told[1]
    assert told[0][0]


def test_the_command_writes_alarms_and_scores_as_it_says(tmp_path: Path) -> None:
    lines = ["time,TC"] + [f"{t},{68.0 if t < 0 else 68.0 + 5 * t}" for t in range(-400, 60)]
    (tmp_path / "fire.csv").write_text("\n".join(lines))
    alarms, scores = tmp_path / "alarms.jsonl", tmp_path / "scores"
    result = CliRunner().invoke(
        app,
        [str(tmp_path / "fire.csv"), "--sensor", "room=temperature[degF]:TC", "--alarms", str(alarms),
         "--scores", str(scores)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    told = [json.loads(line) for line in alarms.read_text().splitlines()]
    red = next(line for line in told if line["grade"] == "red")
    assert list(red) == ["key", "sensor", "measure", "family", "kind", "rule", "state", "grade", "event_time", "t",
                         "value", "limit", "score"]  # fmt: skip
    assert (red["sensor"], red["rule"], red["kind"], red["limit"]) == ("room", "heat.fire", "fire", 56.0)
    assert red["event_time"] == "2000-01-01T00:00:23Z" and red["t"] == 23.0
    rows = (scores / "room.csv").read_text().splitlines()
    assert rows[0] == "timestamp,t,value,anomaly_score" and len(rows) == 461
    assert rows[1] == "-400,-400.0,20.0," and rows[-60].endswith(",0")


def test_several_files_are_runs_of_their_own(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("time,x\n" + "".join(f"{t},95\n" for t in range(3)))
    result = CliRunner().invoke(
        app, [str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--sensor", "x=temperature:x", "--json"]
    )
    told = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    assert [(line["sensor"], line["rule"], line["t"]) for line in told] == [
        ("a/x", "heat.heavy", 1.0), ("b/x", "heat.heavy", 1.0),
    ]  # fmt: skip
    assert told[0]["key"] != told[1]["key"]
