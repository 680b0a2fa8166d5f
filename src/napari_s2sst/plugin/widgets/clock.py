"""Turn seconds and a training's progress into words."""

from __future__ import annotations

from ...engine.events import Stepped, clock

__all__ = ["clock", "progress_text"]


def progress_text(progress: Stepped) -> str:
    """``61 % · 0:47 left · 12 steps/s``, as far as it is known."""
    parts = [f"{100 * progress.step / progress.steps:.0f} %" if progress.steps else f"step {progress.step:,}"]
    if progress.seconds_left is not None:
        parts.append(f"{clock(progress.seconds_left)} left")
    speed = progress.steps_per_second
    parts.append(f"{speed:.0f} steps/s" if speed >= 10 else f"{speed:.1f} steps/s")
    return " · ".join(parts)
