"""Keep a run's imputed maps in a file without a name, where they are too many for the memory; each is read when asked for."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import ExportError
from ..maps import GeneMap

HELD_BYTES = 256_000_000
"""Of imputed maps that are held in memory, as of counted ones (:data:`~.slides.slide.DENSE_BYTES`)."""

ARRAYS = ("values", "uncertainty", "lower", "upper")


def held_maps(bins: int, maps: int, folder: Path | None = None) -> list[GeneMap] | MapsInFile:
    """An empty list for imputed maps: in memory, or in a file where that many maps of so many bins are too large for it.

    ``folder``: where there is room. None: where the system keeps temporary files, or in memory where those have no room, so that
    nothing that was learnt is lost for it. Raises :class:`ExportError` where a ``folder`` can't be written to.
    """
    needed = len(ARRAYS) * 4 * bins * maps
    if needed <= HELD_BYTES:
        return []
    if folder is not None:
        return MapsInFile(folder)
    try:
        folder = tempfile.gettempdir()
        return MapsInFile(folder) if shutil.disk_usage(folder).free > needed else []
    except (OSError, ExportError):
        return []


class MapsInFile(Sequence[GeneMap]):
    """Imputed maps, 0 outside the tissue as :func:`~.imputing.impute.impute` makes them: 16 bytes for each tissue bin of a gene.

    The file is gone with this object, whatever ends the program. Any thread may read, also while others do.
    """

    def __init__(self, folder: str | Path) -> None:
        """``folder``: where there is room. Raises :class:`ExportError`."""
        self._folder = folder
        self._one_at_a_time = threading.Lock()  # the file has one place at which it is read
        self._frames: list[tuple[GeneMap, dict[str, int]]] = []
        try:
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 (it lives as long as this object)
                prefix=".s2sst-", suffix=".part", dir=folder, buffering=0
            )
        except OSError as error:
            raise self._failed(error) from error
        weakref.finalize(self, self._file.close)

    def append(self, gene_map: GeneMap) -> None:
        """Keep one more. Raises :class:`ExportError` on a full disk."""
        at, places = np.flatnonzero(gene_map.tissue), {}
        try:
            with self._one_at_a_time:
                for name in ARRAYS:
                    array = getattr(gene_map, name)
                    if array is not None:
                        places[name] = self._file.seek(0, 2)
                        left = memoryview(array.ravel()[at]).cast("B")
                        while left:
                            left = left[self._file.write(left) :]
        except OSError as error:
            raise self._failed(error) from error
        nothing = np.broadcast_to(np.float32(0), gene_map.shape)
        self._frames.append((replace(gene_map, values=nothing, **dict.fromkeys(ARRAYS[1:])), places))

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        frame, places = self._frames[index]
        at = np.flatnonzero(frame.tissue)
        arrays = {name: np.zeros(frame.shape, np.float32) for name in places}
        for name, array in arrays.items():
            content = bytearray(4 * len(at))
            left = memoryview(content)
            with self._one_at_a_time:
                self._file.seek(places[name])
                while left and (got := self._file.readinto(left)):
                    left = left[got:]
            array.ravel()[at] = np.frombuffer(content, np.float32)
        return replace(frame, **arrays)

    def _failed(self, error: OSError) -> ExportError:
        reason = (error.strerror or str(error)).lower()
        return ExportError(
            f"The imputed maps are too many for the memory and can't be kept in {self._folder} meanwhile: {reason}. "
            "Make room, choose another folder, or fewer genes."
        )
