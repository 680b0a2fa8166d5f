"""What the window has done in the background: plain functions of values, no Qt, nothing kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine.config import RunConfig
from ..engine.maps import GeneMap
from ..engine.region import Region, restrict
from .layers import LayerData, slide_layers


@dataclass(frozen=True, eq=False)
class OpenedSlide:
    """A slide, and what is slow to find out about it."""

    bundle: Any
    layers: list[LayerData]
    genes: dict[str, int]

    def card(self) -> tuple[str, str, str]:
        """(name, size and transcripts, tooltip)."""
        height, width = self.bundle.size_mm
        about = f"{width:.1f} x {height:.1f} mm, {_rounded(self.bundle.num_transcripts)} transcripts"
        return self.bundle.name, about, f"{self.bundle.summary()}\n{self.bundle.path}"


def open_slide(path: Path, known: bool) -> OpenedSlide:
    """Read what the window shows of a slide; ``known``: its layers are in the viewer already. Raises BundleError."""
    from ..engine.xenium import open_xenium

    bundle = open_xenium(path)
    genes = dict(bundle.genes)
    return OpenedSlide(bundle, [] if known else slide_layers(bundle), genes)


def count_gene(bundle: Any, gene: str, config: RunConfig, regions: tuple[Region, ...]) -> GeneMap:
    """One gene's counts inside the regions. Raises BundleError (unknown gene) and RegionError (no tissue in them)."""
    gene_map = bundle.gene_map(gene, bin_um=config.grid.bin_um, min_qv=config.grid.min_qv)
    return restrict(gene_map, regions) if regions else gene_map


def write_files(folder: Path, result: Any) -> list[Path]:
    """All files of a run. Raises ExportError."""
    from ..engine.run import write_result

    return write_result(folder, result, command="napari: S2S-ST imputation")


def find_devices() -> list[tuple[str, str]]:
    """(name, label), best first. Imports torch and whatever a run needs, which takes seconds: before Train, not at it."""
    from ..engine import baselines, imputation, metrics, training  # noqa: F401
    from ..engine.device import devices

    return devices()


def _rounded(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count >= 1_000_000 else f"{count:,}"
