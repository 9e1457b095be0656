"""The folder of one slide: its plan, and parts written atomically, so that a killed call can resume."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histoscope.errors import ConfigError, CorruptDataError, HistoscopeError
from histoscope.export.cells_measure import ABOUT
from histoscope.files import require_writable, whole, write_text
from histoscope.ledger.plans import difference

if TYPE_CHECKING:
    import pyarrow as pa

PLAN, PARTS, STAINS = "plan.json", "parts", "stains.json"
FORMAT = 1
_PROBLEMS = b"problems"
_LEFT = (
    *("summary.json", f"{PARTS}/*.parquet", "problems.csv", "tissue.geojson", STAINS, "overview.png"),
    *("measures.json", "unlike.json"),
    *("cells.[0-9]*.geojson.gz", "centres.geojson.gz", "cells.csv", "cells.h5ad", "labels.ome.tif"),
    *("tiles.[0-9]*.geojson.gz", "tiles.csv", "heatmap_*.png", "cells.parquet", "tiles.parquet", PLAN),
)


def _unchecked() -> None:
    """No check: nobody else writes the folder."""


@dataclass(frozen=True, slots=True)
class Store:
    """Storage for the parts of one slide.

    Parameters
    ----------
    folder : Path
    table : str
        Name of the file into which the parts are joined.
    check : callable
        Raises if another worker has taken over the folder; called before and after a part is written.
    """

    folder: Path
    table: str = "cells.parquet"
    check: Callable[[], None] = _unchecked

    @classmethod
    @contextmanager
    def hold(
        cls,
        folder: Path,
        plan: Mapping[str, Any],
        table: str = "cells.parquet",
        *,
        overwrite: bool = False,
        check: Callable[[], None] = _unchecked,
    ) -> Iterator["Store"]:
        """Open a folder for one slide, one model and one set of settings.

        The caller ensures that no other call writes it.

        Parameters
        ----------
        folder : Path
            Created if missing.
        plan : mapping
            What the results depend on, as plain values.
        table : str
            As for `Store`.
        overwrite : bool
            Discard the folder's content and start again.
        check : callable
            As for `Store`.

        Raises
        ------
        ConfigError
            If the folder cannot be written, or holds results of another plan; the error says what differs.
        """
        require_writable(folder)
        store = cls(folder, table, check)
        wanted = {"format": FORMAT, **plan}
        known = store._plan()
        if known is not None and (overwrite or known != wanted):
            if store.is_begun and not overwrite:
                raise ConfigError(
                    f"{folder} holds results of another plan ({difference(known, wanted)}); choose "
                    "another OUT, or --overwrite"
                )
            store.clear()
            known = None
        if known is None:
            write_text(folder / PLAN, json.dumps(wanted, indent=2, ensure_ascii=False) + "\n")
        yield store

    @property
    def is_begun(self) -> bool:
        """Whether there is a part, or a file of joined parts; a plan alone does not count."""
        return any(any(place.glob("*.parquet")) for place in (self.folder, self.folder / PARTS))

    def has(self, part: str) -> bool:
        """Whether a part is there and complete; one that cannot be read is deleted."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if part in self._joined():
            return True
        path = self._path(part)
        if not path.is_file():
            return False
        try:
            pq.read_metadata(path)
        except (pa.ArrowException, OSError):
            path.unlink(missing_ok=True)
            return False
        return True

    def write(self, part: str, rows: "pa.Table", problems: Iterable[Mapping[str, Any]] = ()) -> None:
        """Write a part (also an empty one) atomically, with the places that could not be read."""
        import pyarrow.parquet as pq

        about = {**(rows.schema.metadata or {}), _PROBLEMS: json.dumps(list(problems)).encode()}
        self.check()
        self._path(part).parent.mkdir(exist_ok=True)
        with whole(self._path(part)) as temporary:
            pq.write_table(rows.replace_schema_metadata(about), temporary, compression="zstd")
        try:
            self.check()
        except (
            HistoscopeError
        ):  # taken over while it was written: once all are joined, this part is left over
            if self._table.is_file():
                self._take_parts_away()
            raise

    def join(self, parts: Sequence[str], schema: "pa.Schema", about: Mapping[str, Any]) -> None:
        """Join the parts into one file, a row group each, and delete them; a joined file is kept."""
        import pyarrow.parquet as pq

        self.check()
        problems = {name: found for name in parts if (found := self.problems(name))}
        text = json.dumps({**about, "parts": list(parts), "problems": problems})
        schema = schema.with_metadata({**(schema.metadata or {}), ABOUT: text.encode()})
        if self._about() != text.encode():
            with (
                whole(self._table) as temporary,
                pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
            ):
                for name in parts:
                    writer.write_table(self.read(name).replace_schema_metadata(schema.metadata))
        self._take_parts_away()

    def read(self, part: str) -> "pa.Table":
        """Rows of a part."""
        import pyarrow.parquet as pq

        table: pa.Table
        if part in self._joined():
            with pq.ParquetFile(self._table) as file:
                table = file.read_row_group(self._joined()[part])
        else:
            table = pq.read_table(self._path(part))
        return table

    def rows(self, part: str) -> int:
        """Number of rows of a part."""
        import pyarrow.parquet as pq

        if part in self._joined():
            return int(pq.read_metadata(self._table).row_group(self._joined()[part]).num_rows)
        return int(pq.read_metadata(self._path(part)).num_rows)

    def problems(self, part: str) -> list[dict[str, Any]]:
        """Places of a part that could not be read."""
        import pyarrow.parquet as pq

        found: list[dict[str, Any]]
        if part in self._joined():
            known = json.loads(pq.read_schema(self._table).metadata[ABOUT])
            found = known["problems"].get(part, [])
        else:
            found = json.loads((pq.read_schema(self._path(part)).metadata or {}).get(_PROBLEMS, b"[]"))
        return found

    def _joined(self) -> dict[str, int]:
        """Row group of each part in the file of all rows, if it exists."""
        try:
            parts = json.loads(self._about())["parts"]
        except (KeyError, ValueError):
            return {}
        return {name: k for k, name in enumerate(parts)}

    def _about(self) -> bytes:
        """Metadata of the file of all rows; empty if it is missing, or not ours."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            found: bytes = (pq.read_schema(self._table).metadata or {}).get(ABOUT, b"")
        except (pa.ArrowException, FileNotFoundError):
            return b""
        return found

    def clear(self) -> None:
        """Delete the files of a plan, the plan last, so that no old file stays beside new ones."""
        for path in [path for pattern in _LEFT for path in self.folder.glob(pattern)]:
            path.unlink(missing_ok=True)

    def _take_parts_away(self) -> None:
        for path in (self.folder / PARTS).glob("*.parquet"):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            (self.folder / PARTS).rmdir()

    @property
    def _table(self) -> Path:
        return self.folder / self.table

    def _path(self, part: str) -> Path:
        return self.folder / PARTS / f"{part}.parquet"

    def _plan(self) -> dict[str, Any] | None:
        path = self.folder / PLAN
        if not path.is_file():
            return None
        try:
            known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CorruptDataError(
                f"{path} is not the plan of a slide ({error}); remove the folder"
            ) from error
        return known
