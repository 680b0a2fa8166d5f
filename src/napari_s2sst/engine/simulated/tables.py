"""Turn the simulated cells and transcripts into the instrument's tables: columns, count matrix, gene panel, summaries."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa

from ..transcripts.table import MIN_QV
from .cells import GENES, RAYS, Cells, Kind, Transcripts
from .stains import PIXEL_UM
from .tissue import HEIGHT_UM, WIDTH_UM

LOW_QUALITY = 0.11
"""Share of points below Q20, as in real runs."""

_PANEL, _DESIGN = "Simulated breast panel (24 genes)", "napari-s2sst-sample"

_CONTROLS = (
    ("NegControlCodeword_", "negative_control_codeword", "Negative Control Codeword", 20, 900),
    ("NegControlProbe_", "negative_control_probe", "Negative Control Probe", 10, 350),
    ("UnassignedCodeword_", "unassigned_codeword", "Unassigned Codeword", 20, 700),
)
"""Name, codeword category, feature type, how many features, how many points."""


def _features() -> tuple[list[str], list[str], list[str], list[str]]:
    """Every feature's name, identifier, feature type and codeword category: genes, then controls."""
    rows = [(gene, ensembl, "Gene Expression", "predesigned_gene") for gene, (ensembl, *_) in GENES.items()]
    for prefix, category, kind, number, _ in _CONTROLS:
        rows += [(f"{prefix}{index:04d}", f"{prefix}{index:04d}", kind, category) for index in range(1, number + 1)]
    return tuple(list(column) for column in zip(*rows, strict=True))


def cell_names(number: int, rng: np.random.Generator) -> np.ndarray:
    """(number,) names of cells: unique 32-bit numbers spelt with the letters a to p, and the data set's number, as on Xenium."""
    codes = np.unique(rng.integers(2**16, 2**32, number * 2))[:number]
    spelt = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
    return np.array([f"{code:08x}".translate(spelt) + "-1" for code in codes])


def transcript_columns(points: Transcripts, cells: Cells, names: np.ndarray, rng: np.random.Generator) -> dict:
    """Make the columns of transcripts.parquet: points of the genes, and of controls where the tissue is, field by field."""
    features, _, _, categories = (np.array(column) for column in _features())
    number = sum(points_of for *_, points_of in _CONTROLS)
    first, control = len(GENES), []
    for _, _, _, kinds, points_of in _CONTROLS:
        control.append(first + rng.integers(0, kinds, points_of))
        first += kinds
    near = rng.integers(0, len(points.gene), number)  # background lies where the tissue is
    xy = np.concatenate([points.xy_um, points.xy_um[near] + rng.normal(0, 6, (number, 2))])
    feature = np.concatenate([points.gene, *control])
    cell = np.concatenate([points.cell, np.full(number, -1)])
    distance = np.concatenate([points.nucleus_distance_um, points.nucleus_distance_um[near]])
    xy = np.rint(xy.clip(0, (WIDTH_UM - 0.02, HEIGHT_UM - 0.02)) * 64) / 64  # the instrument's own steps
    poor = rng.random(len(feature)) < np.where(feature < len(GENES), LOW_QUALITY, 0.55)
    good_qv = np.minimum(40, 21 + rng.gamma(9.0, 2.4, len(feature)))
    qv = np.where(poor, rng.triangular(3, 16, 19.75, len(feature)), good_qv)

    field = (xy[:, 1] // 500).astype(int) * 4 + (xy[:, 0] // 500).astype(int)
    order = np.lexsort((rng.random(len(feature)), field))
    xy, feature, cell, distance, qv, field = (column[order] for column in (xy, feature, cell, distance, qv, field))
    running = np.arange(len(feature)) - np.searchsorted(field, field)
    return {
        "transcript_id": pa.array((1 << 48) + (field.astype(np.uint64) << np.uint64(32)) + running.astype(np.uint64)),
        "cell_id": pa.array(np.where(cell < 0, "UNASSIGNED", names[cell])),
        "overlaps_nucleus": pa.array(((cell >= 0) & (distance == 0)).astype(np.uint8)),
        "feature_name": pa.array(features[feature]),
        "x_location": pa.array(xy[:, 0].astype(np.float32)),
        "y_location": pa.array(xy[:, 1].astype(np.float32)),
        "z_location": pa.array((np.rint(rng.normal(15, 2.2, len(feature)).clip(8, 24) * 64) / 64).astype(np.float32)),
        "qv": pa.array((np.rint(qv * 4) / 4).astype(np.float32)),
        "fov_name": pa.array(np.array([f"{row}{column}" for row in "ABC" for column in range(1, 5)])[field]),
        "nucleus_distance": pa.array((np.rint(distance * 64) / 64).astype(np.float32)),
        "codeword_index": pa.array(feature.astype(np.int32)),
        "codeword_category": pa.array(categories[feature]),
        "is_gene": pa.array(feature < len(GENES)),
    }


def count_matrix(transcripts: dict, names: np.ndarray) -> np.ndarray:
    """Count, (cells, features) int32, the points with qv >= 20 that lie in a cell."""
    cell, feature = transcripts["cell_id"].to_numpy(False), transcripts["codeword_index"].to_numpy()
    counted = (transcripts["qv"].to_numpy() >= MIN_QV) & (cell != "UNASSIGNED")
    counts = np.zeros((len(names), len(_features()[0])), np.int32)
    np.add.at(counts, (np.searchsorted(names, cell[counted].astype(names.dtype)), feature[counted]), 1)
    return counts


def cell_columns(cells: Cells, names: np.ndarray, counts: np.ndarray) -> dict:
    """Make the columns of cells.parquet; ``counts`` are (cells, features)."""
    kinds = np.array(_features()[2])
    stained = np.isin(cells.kind, (Kind.LUMINAL, Kind.TUMOUR, Kind.T_CELL, Kind.B_CELL))
    boundary, interior = "Segmented by boundary stain (ATP1A1+CD45+E-Cadherin)", "Segmented by interior stain (18S)"

    def total(kind: str) -> np.ndarray:
        return counts[:, kinds == kind].sum(axis=1).astype(np.int64)

    none = np.zeros(len(names), np.int64)
    return {
        "cell_id": names,
        "x_centroid": cells.xy_um[:, 0],
        "y_centroid": cells.xy_um[:, 1],
        "transcript_counts": total("Gene Expression"),
        "control_probe_counts": total("Negative Control Probe"),
        "genomic_control_counts": none,
        "control_codeword_counts": total("Negative Control Codeword"),
        "unassigned_codeword_counts": total("Unassigned Codeword"),
        "deprecated_codeword_counts": none,
        "total_counts": counts.sum(axis=1).astype(np.int64),
        "cell_area": cells.area_um2(cells.cell_um),
        "nucleus_area": cells.area_um2(cells.nucleus_um),
        "nucleus_count": np.ones(len(names), np.int64),
        "segmentation_method": np.where(stained, boundary, interior),
    }


def boundary_columns(cells: Cells, names: np.ndarray, radii_um: np.ndarray) -> dict:
    """Make the columns of closed outlines: the first corner comes again at the end."""
    outline = cells.outline(radii_um)
    closed = np.concatenate([outline, outline[:, :1]], axis=1).reshape(-1, 2).astype(np.float32)
    return {
        "cell_id": np.repeat(names, RAYS + 1),
        "vertex_x": np.ascontiguousarray(closed[:, 0]),
        "vertex_y": np.ascontiguousarray(closed[:, 1]),
        "label_id": np.repeat(np.arange(1, len(names) + 1), RAYS + 1),
    }


def write_matrix(path: Path, counts: np.ndarray, names: np.ndarray) -> None:
    """Write cell_feature_matrix.h5: (cells, features) counts as columns of a sparse matrix."""
    features, identifiers, kinds, _ = _features()
    cell, feature = np.nonzero(counts)  # sorted by cell: a cell is a column of the stored matrix
    with h5py.File(path, "w") as file:
        file.attrs.update(chemistry_description="Xenium", filetype="matrix", version=2)
        matrix = file.create_group("matrix")
        matrix["barcodes"] = names.astype("S")
        matrix["shape"] = np.array(counts.T.shape, np.int32)
        for name, values in (("data", counts[cell, feature]), ("indices", feature)):
            matrix.create_dataset(name, data=values, compression="gzip", compression_opts=1)
        matrix["indptr"] = np.searchsorted(cell, np.arange(len(names) + 1))
        group = matrix.create_group("features")
        for name, values in (("id", identifiers), ("name", features), ("feature_type", kinds)):
            group[name] = np.array(values, "S")
        group["genome"] = np.array([b"GRCh38"] * len(features))
        group["_all_tag_keys"] = np.array([b"genome"])


def gene_panel() -> dict:
    """Make gene_panel.json: every feature, and what a gene marks."""

    def target(name: str, identifier: str, descriptor: str, index: int, category: str, marks: str | None) -> dict:
        data = {"name": name} if descriptor != "gene" else {"id": identifier, "name": name}
        kind = {"data": data, "descriptor": descriptor}
        source = {"category": category, "identity": {"design_id": "napari-s2sst sample", "name": "simulated"}}
        return {"codewords": [index], "info": {"marks": marks} if marks else {}, "source": source, "type": kind}

    targets = []
    for index, (name, identifier, kind, category) in enumerate(zip(*_features(), strict=True)):
        descriptor = "gene" if kind == "Gene Expression" else category
        marks = GENES[name][1] if name in GENES else None
        targets.append(target(name, identifier, descriptor, index, category, marks))
    identity = {"design_id": _DESIGN, "name": _PANEL, "version": "1"}
    panel = {"identity": identity, "num_gene_targets": len(GENES), "species": "Human", "tissue": "Breast"}
    schema = {"name": "panel", "version": "2.0"}
    return {"metadata": {"schema": schema}, "payload": {"panel": panel, "targets": targets}}


def metrics_summary(cells: Cells, transcripts: dict, counts: np.ndarray) -> dict:
    """Make the row of metrics_summary.csv."""
    qv, is_gene = transcripts["qv"].to_numpy(), transcripts["is_gene"].to_numpy(False)
    inside = transcripts["cell_id"].to_numpy(False) != "UNASSIGNED"
    good = (qv >= MIN_QV) & is_gene
    area = float(cells.area_um2(cells.cell_um).sum())
    region = WIDTH_UM * HEIGHT_UM
    per_cell = counts[:, : len(GENES)]
    return {
        "run_name": "napari-s2sst simulated sample",
        "region_name": "Simulated sample slide",
        "panel_name": _PANEL,
        "region_area": region,
        "total_cell_area": round(area, 3),
        "total_high_quality_decoded_transcripts": int(good.sum()),
        "fraction_transcripts_decoded_q20": round(float(good.sum() / is_gene.sum()), 6),
        "decoded_transcripts_per_100um2": round(float(good.sum() / region * 100), 6),
        "num_cells_detected": len(per_cell),
        "fraction_empty_cells": round(float((per_cell.sum(axis=1) == 0).mean()), 6),
        "cells_per_100um2": round(len(per_cell) / region * 100, 6),
        "fraction_transcripts_assigned": round(float((good & inside).sum() / good.sum()), 6),
        "median_genes_per_cell": float(np.median((per_cell > 0).sum(axis=1))),
        "median_transcripts_per_cell": float(np.median(per_cell.sum(axis=1))),
    }


def manifest(simulation: dict, metrics: dict) -> dict:
    """Make experiment.xenium, which says that the slide is simulated."""
    return {
        "major_version": 5,
        "minor_version": 0,
        "patch_version": 0,
        "run_name": metrics["run_name"],
        "run_start_time": "2025-01-01T00:00:00Z",
        "region_name": metrics["region_name"],
        "preservation_method": "simulated",
        "num_cells": metrics["num_cells_detected"],
        "transcripts_per_cell": round(metrics["median_transcripts_per_cell"]),
        "transcripts_per_100um": metrics["decoded_transcripts_per_100um2"],
        "num_transcripts_high_quality": metrics["total_high_quality_decoded_transcripts"],
        "fraction_transcripts_assigned": metrics["fraction_transcripts_assigned"],
        "region_area": metrics["region_area"],
        "total_cell_area": metrics["total_cell_area"],
        "panel_type": "predesigned",
        "panel_design_id": _DESIGN,
        "panel_predesigned_id": "",
        "panel_name": metrics["panel_name"],
        "panel_organism": "Human",
        "panel_tissue_type": "Breast (simulated)",
        "panel_num_targets_predesigned": len(GENES),
        "panel_num_targets_custom": 0,
        "chemistry_version": "v1",
        "pixel_size": PIXEL_UM,
        "instrument_sn": "none: simulated",
        "instrument_sw_version": "none: simulated",
        "analysis_sw_version": "xenium-3.0.0.15",
        "z_step_size": 3.0,
        "images": {"morphology_focus_filepath": "morphology_focus/morphology_focus_0000.ome.tif"},
        "segmentation_stain": "Xenium Multi-Tissue Stain",
        "simulation": simulation,
    }
