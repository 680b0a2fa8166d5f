"""A finished run -> a shell script with the `s2sst impute` command that repeats it, value for value.

The command names the preset and every setting that differs from it, the steps that were planned and, where the run was
stopped by hand, the step at which it was. On a CPU the same program and libraries give the same values, bit for bit.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import IN_MEMORY, PRESETS, RunConfig
from ..errors import ExportError
from ..export.choice import has_script
from ..files import written_whole
from ..provenance import sparse_hash, versions
from ..sampling.regions import write_regions
from ..slides.opening import kind_of
from ..training.learner import TIMED_STEPS

if TYPE_CHECKING:
    from ..network.model import Trained

_SAID = (
    "preset_name", "device", "seed", "stride", "bin_um", "min_qv", "normalisation", "images", "steps", "seconds", "epochs",
)  # fmt: skip
"""Fields with an option of their own, and what a number of steps makes idle."""


def write_script(folder: str | Path, result: Any, slide_path: str | Path, *, suffix: str = "") -> list[Path]:
    """Write ``repeat.sh`` and beside it what the command needs: ``regions.geojson``, ``start.safetensors`` when the run
    began with a model in memory, ``tissue.npy`` when the tissue was edited. Returns their paths.

    ``result`` is a run's :class:`~.run.Result`, ``slide_path`` the Xenium folder or the file that it read; ``suffix`` comes
    before the names' endings, so that several runs share a folder. The script takes a folder for its results, or makes
    ``repeated`` beside itself.
    Raises :class:`ExportError`, and :class:`RegionError` when the regions can't be written.
    """
    from ..network.model import save_model

    folder, job = Path(folder).expanduser(), result.job
    text = script_of(result, slide_path, suffix=suffix)
    script = folder / f"repeat{suffix}.sh"
    paths = [script]
    if job.regions:
        paths.append(write_regions(folder / f"regions{suffix}.geojson", job.regions))
    if job.start is not None:
        paths.append(save_model(folder / f"start{suffix}.safetensors", job.start))
    if job.edited_tissue:
        paths.append(folder / f"tissue{suffix}.npy")
        with written_whole(paths[-1]) as beside, beside.open("wb") as file:
            np.save(file, job.sparse[0].seen if job.truth[0] is None else job.truth[0].counted)
    with written_whole(script) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.chmod(0o755)
    return paths


def script_of(result: Any, slide_path: str | Path | None, *, suffix: str = "") -> str:
    """The text of the script. Raises :class:`ExportError` with :func:`why_not`."""
    trained, job = result.trained, result.job
    genes = [sparse.gene for sparse in job.sparse]
    untrained = job.start is not None and job.start is trained
    if problem := why_not(result, slide_path):
        raise ExportError(f"{problem} So no script can repeat the run; leave the script out.")
    arguments = [_slide(Path(slide_path))]
    own_bins = not Path(slide_path).is_dir()
    if untrained:
        arguments += [_option("--gene", gene) for gene in genes]
        arguments += [*_grid_options(job.config, own_bins), f'--model "$here/start{suffix}.safetensors"']
    else:
        arguments += [_option("--gene", gene) for gene in trained.genes]  # all that were trained on
        arguments += settings_of(trained.config, own_bins=own_bins, suffix=suffix) + steps_of(trained)
    if job.size_um is not None:
        arguments.append(f"--size-um {job.size_um!r}")
    if job.edited_tissue:
        arguments.append(f'--tissue "$here/tissue{suffix}.npy"')
    if job.truth[0] is None:
        arguments.append("--fill-in")
    if job.regions:
        arguments.append(f'--region "$here/regions{suffix}.geojson"')
    arguments.append(f'--out "${{1:-$here/repeated{suffix}}}"')
    about = versions()
    exact = (
        "On a CPU the values come out the same, bit for bit, with the versions below."
        if trained.config.device == "cpu"
        else f"The run was computed on {trained.device}; on a GPU the last digits may differ from run to run."
    )
    notes = [
        f"Repeats a run of napari-s2sst on {job.input_name}, finished {result.finished_at}.",
        "Usage: sh repeat.sh [FOLDER FOR THE RESULTS]",
        exact,
        f"Measured bins, SHA-256 (input.sparse_sha256 in the repeated run.json says the same): {sparse_hash(job.sparse)}",
        "Versions: " + ", ".join(f"{name} {number}" for name, number in about.items()),
    ]
    if not untrained and trained.steps != planned_steps(trained):
        notes.append(f"The run was stopped by hand after step {trained.steps}.")
    comment = "\n".join(f"# {' '.join(line.split())}" for line in notes)
    command = " \\\n  ".join(["exec s2sst impute", *arguments])
    return f'#!/bin/sh\n{comment}\nset -eu\nhere=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)\n{command}\n'


def why_not(result: Any, slide_path: str | Path | None) -> str:
    """Reason why no script can repeat a run, as a sentence; empty where one can."""
    trained, genes = result.trained, [sparse.gene for sparse in result.job.sparse]
    if slide_path is None:
        return "The script needs to know where the slide lies, and nobody said."
    if not has_script(Path(slide_path)):
        return (
            f"{slide_path} is no Xenium folder, no count cube (.npz) and no sample of HEST-1k (.h5ad), and s2sst impute "
            "reads no other slides."
        )
    if result.job.start is None and not set(genes) <= set(trained.genes):
        return f"The map of {genes[0]} was made with weights that did not learn from it, and nobody kept which."
    if result.job.start is None and trained.config.training.start_from == IN_MEMORY:
        return "The run went on from a model in memory that is gone."
    return ""


def settings_of(config: RunConfig, *, own_bins: bool = False, suffix: str = "") -> list[str]:
    """Options, quoted for a shell, that make this config of its preset, its length aside (see :func:`steps_of`)."""
    name, training = _preset(config), config.training
    said: dict[str, Any] = {
        "stride": config.sampling.stride,
        "bin_um": config.grid.bin_um,
        "min_qv": config.grid.min_qv,
        "normalisation": config.grid.normalisation,
    }
    options = [f"--preset {name}", *_grid_options(config, own_bins)]
    options += [f"--device {shlex.quote(config.device)}", f"--seed {config.seed}"]
    if training.images is not None:
        options.append(_option("--images", str(training.images.expanduser().resolve())))
    differing = _differing(RunConfig.preset(name, **said), config)
    if training.start_from == IN_MEMORY:
        differing.pop("start_from")
        options.append(f'--set "start_from=$here/start{suffix}.safetensors"')
    return options + [_option("--set", f"{field}={_text(value)}") for field, value in differing.items()]


def _grid_options(config: RunConfig, own_bins: bool) -> list[str]:
    """Lattice and bins; a slide with bins of its own has no choice of the latter."""
    grid = config.grid
    options = [] if own_bins else [f"--bin-um {grid.bin_um!r}", f"--min-qv {grid.min_qv!r}"]
    return [f"--stride {config.sampling.stride}", *options, f"--normalisation {grid.normalisation}"]


def planned_steps(trained: Trained) -> int:
    """Steps that the run's rate was planned for, at least those that were taken.

    A run with a time limit that was stopped before the limit had become a number of steps had no plan yet. Its rate
    was that of any longer run, and nothing was validated at its last step, as at the end of a run of so few.
    """
    planned = trained.config.training.steps
    planned = trained.steps if planned is None else max(planned, trained.steps)
    tried = [row["step"] for row in trained.losses if "held_out_mae" in row and "training_mae" in row]
    ended_early = planned == trained.steps < TIMED_STEPS and tried and tried[-1] != trained.steps
    return TIMED_STEPS + 1 if ended_early else planned


def steps_of(trained: Trained) -> list[str]:
    """The options that say how long the run was."""
    planned = planned_steps(trained)
    if _preset(trained.config) == "instant":
        return []
    return [f"--steps {planned}"] + ([f"--stop-at {trained.steps}"] if trained.steps < planned else [])


def _preset(config: RunConfig) -> str:
    """Preset that the command starts from: the run's own, if there is one of its name and it says how long."""
    name = config.preset_name if config.preset_name in PRESETS else "paper"
    return "fast" if name == "instant" and config.training.steps else name


def _differing(base: RunConfig, config: RunConfig) -> dict[str, Any]:
    """Field -> the config's value, as JSON knows it, where it is not the base's."""
    differing = {name: value for name, (value, _) in config.differences(base).items() if name not in _SAID}
    if isinstance(config.training.start_from, Path):
        differing["start_from"] = str(config.training.start_from.expanduser().resolve())
    return differing


def _text(value: Any) -> str:
    """Text of a value as `--set` reads it back: JSON, and text as it is unless it could be read as something else."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value)


def _slide(path: Path) -> str:
    option = {"cube": "--map", "spots": "--hest"}.get(kind_of(path)) if path.is_file() else None
    path = path.expanduser().resolve()
    return _option(option, str(path)) if option else shlex.quote(str(path))


def _option(name: str, value: str) -> str:
    """One option, quoted for a shell; a value that begins with a dash would be taken for another option."""
    return f"{name}={shlex.quote(value)}" if value.startswith("-") else f"{name} {shlex.quote(value)}"
