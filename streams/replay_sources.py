"""Recorded files as a stream of tables: CSV (also .gz and .xz), Parquet, JSON lines; and their time columns.

A `Table` is some rows of one file: times in µs since 1970, the time as it stands in the file, and a float64 column for
each name asked for, NaN where the cell is empty.
"""

from __future__ import annotations

import csv
import difflib
import fnmatch
import gzip
import io
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from schemas.errors import ConfigError
from schemas.readings import F64, I64

START_US = 946_684_800_000_000
"""2000-01-01: what "seconds from a start" count from."""
TIME_NAMES = ("time", "timestamp", "ts", "datetime", "date", "event_time", "t")
_CELLS = 1 << 18
"""Of a table, about: it should stay in the processor's cache."""
_EPOCH_MS_FROM = 1e11
_EPOCH_FROM = 3e8
_EMPTY = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A"]


class Clock(StrEnum):
    """What the numbers (or texts) of a time column mean."""

    ISO = "iso"
    EPOCH = "epoch"
    EPOCH_MS = "epoch_ms"
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True)
class Table:
    """n rows: time_us (n,) int64, as_written (n,) Arrow array, columns name → (n,) float64, NaN for an empty cell."""

    time_us: I64
    as_written: pa.Array
    columns: dict[str, F64]


class Recording:
    """One file, opened by its ending; `columns` are its names. Raises ConfigError naming file, column and mend."""

    def __init__(self, path: Path, time: str = "", clock: Clock | None = None) -> None:
        self.path = path
        if not path.is_file():
            raise ConfigError(f"there is no file {path}.", field="FILE", mend="Check the path.")
        self._skip_rows = 0
        try:
            self.columns = self._read_names()
        except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError, pa.ArrowException) as error:
            raise self._unreadable(error) from error
        self.time = self.find(time) if time else self._guess_time()
        self.clock = clock

    @property
    def stem(self) -> str:
        """The file's name without its endings."""
        name = self.path.name
        for ending in (".gz", ".xz", ".csv", ".txt", ".parquet", ".jsonl", ".ndjson", ".json"):
            name = name.removesuffix(ending)
        return name

    def find(self, pattern: str) -> str:
        """The column of exactly this name."""
        if pattern in self.columns:
            return pattern
        near = difflib.get_close_matches(pattern, self.columns, 3, 0.4)
        listed = ", ".join(f"`{n}`" for n in (near or self.columns[:12]))
        raise ConfigError(f"{self.path.name} has no column `{pattern}`.", field="column", mend=f"There is {listed}.")

    def match(self, pattern: str) -> list[str]:
        """The columns that `pattern` names: itself, or all that a `*`, `?` or `[…]` fits."""
        if pattern in self.columns:
            return [pattern]
        return [name for name in self.columns if fnmatch.fnmatchcase(name, pattern)] or [self.find(pattern)]

    def tables(self, wanted: Sequence[str]) -> Iterator[Table]:
        """All rows in the file's order, some ten thousand at a time."""
        names = list(dict.fromkeys([self.time, *wanted]))
        try:
            for batch in self._batches(names):
                if batch.num_rows:
                    written = batch.column(self.time)
                    yield Table(self._times(written), written, {n: self._numbers(batch, n) for n in wanted})
        except (OSError, EOFError, lzma.LZMAError, pa.ArrowException) as error:
            raise self._unreadable(error) from error

    def own_times_s(self, time_us: I64, first_us: int) -> F64:
        """The file's own time in s: as in the file where it counts from a start, else from its first row."""
        return (time_us - (START_US if self.clock is Clock.SECONDS else first_us)) / 1e6

    def own_time_s(self, time_us: int, first_us: int) -> float:
        """One time of `own_times_s`."""
        return (time_us - (START_US if self.clock is Clock.SECONDS else first_us)) / 1e6

    # --- by kind of file ---

    @property
    def _kind(self) -> str:
        plain = self.path.name.lower().removesuffix(".gz").removesuffix(".xz")
        if plain.endswith(".parquet"):
            return "parquet"
        return "json" if plain.endswith((".jsonl", ".ndjson", ".json")) else "csv"

    def _open(self) -> IO[bytes]:
        if self.path.suffix == ".gz":
            return cast(IO[bytes], gzip.open(self.path, "rb"))
        return lzma.open(self.path, "rb") if self.path.suffix == ".xz" else self.path.open("rb")

    def _read_names(self) -> list[str]:
        if self._kind == "parquet":
            return list(pyarrow.parquet.read_schema(self.path).names)
        with self._open() as file:
            if self._kind == "json":
                head = b"".join(line for _, line in zip(range(100), file, strict=False))
                return list(pyarrow.json.read_json(io.BytesIO(head)).schema.names) if head.strip() else []
            rows = csv.reader(io.TextIOWrapper(file, "utf-8-sig"))
            header, first = next(rows, []), next(rows, [])
        if len(first) == len(header) + 1:
            # A row number without a name, as R and pandas write it.
            header, self._skip_rows = ["", *header], 1
        return [name.strip() for name in header]

    def _batches(self, names: list[str]) -> Iterator[Any]:
        rows = max(64, _CELLS // len(names))
        if self._kind == "parquet":
            yield from pyarrow.parquet.ParquetFile(self.path, memory_map=True).iter_batches(rows, columns=names)
            return
        with self._open() as file:
            if self._kind == "json":
                yield from pyarrow.json.read_json(file).select(names).to_batches(rows)
                return
            types = {name: pa.float64() for name in names} | {self.time: pa.string()}
            yield from pyarrow.csv.open_csv(
                file,
                read_options=pyarrow.csv.ReadOptions(column_names=self.columns, skip_rows=1, block_size=1 << 22),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=names, column_types=types, null_values=_EMPTY, strings_can_be_null=True
                ),
            )

    def _numbers(self, batch: Any, name: str) -> F64:
        column = batch.column(name)
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            column = pc.cast(column, pa.float64())
        numbers = column.to_numpy(zero_copy_only=False)
        return np.asarray(numbers, np.float64)

    # --- time ---

    def _guess_time(self) -> str:
        lower = {name.lower().strip('"'): name for name in reversed(self.columns)}
        found = next((lower[name] for name in TIME_NAMES if name in lower), None)
        if found is None:
            raise ConfigError(
                f"{self.path.name} has no column that is called time.",
                field="--time",
                mend=f"Say --time COLUMN; there is {', '.join(f'`{n}`' for n in self.columns[:12])}.",
            )
        return found

    def _times(self, written: Any) -> I64:
        """µs since 1970. The meaning of numbers is found out on the first rows and kept for the file."""
        if written.null_count:
            raise self._bad_time("it has an empty cell.")
        if pa.types.is_timestamp(written.type) or pa.types.is_date(written.type):
            self.clock = Clock.ISO
            return np.asarray(pc.cast(written, pa.timestamp("us"), safe=False).view(pa.int64()), np.int64)
        numbers = self._as_numbers(written)
        if numbers is None:
            if self.clock not in (None, Clock.ISO):
                raise self._bad_time(f"`{written[0]}` is no number.")
            self.clock = Clock.ISO
            return self._iso(written)
        if not np.isfinite(numbers).all():
            raise self._bad_time("it has a cell that is no time.")
        if self.clock is None:
            size = float(np.median(np.abs(numbers)))
            epoch = Clock.EPOCH_MS if size >= _EPOCH_MS_FROM else Clock.EPOCH
            self.clock = epoch if size >= _EPOCH_FROM else Clock.SECONDS
        if self.clock is Clock.ISO:
            raise self._bad_time(f"`{written[0]}` is no ISO time.")
        scale = 1e3 if self.clock is Clock.EPOCH_MS else 1e6
        start = START_US if self.clock is Clock.SECONDS else 0
        return np.round(numbers * scale).astype(np.int64) + start

    def _as_numbers(self, written: Any) -> F64 | None:
        try:
            return np.asarray(pc.cast(written, pa.float64()).to_numpy(zero_copy_only=False), np.float64)
        except pa.ArrowInvalid:
            return None

    def _iso(self, written: Any) -> I64:
        for kind in (pa.timestamp("ns"), pa.timestamp("ns", tz="UTC")):
            try:
                found = pc.cast(written, kind).view(pa.int64())
            except pa.ArrowInvalid:
                continue
            return np.asarray(found, np.int64) // 1000
        raise self._bad_time(f"`{written[0]}` (or a later cell) is no ISO time.")

    def _bad_time(self, what: str) -> ConfigError:
        return ConfigError(
            f"{self.path.name}, column `{self.time}`: {what}",
            field="--time",
            mend="Say --time COLUMN:iso, :epoch, :epoch_ms or :seconds for another column or meaning.",
        )

    def _unreadable(self, error: Exception) -> ConfigError:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        return ConfigError(
            f"{self.path.name} cannot be read: {said}",
            field="FILE",
            mend="It must be CSV (.gz, .xz), .parquet or .jsonl; columns that are read must hold numbers.",
        )
