"""Show how good the preview is while the network learns: one line, hidden before there is a preview."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QWidget

if TYPE_CHECKING:
    from ....engine.scores.metrics import Scores


class LiveScoresLine(QLabel):
    """Hidden while there is nothing to tell."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("s2sst_quiet")
        self.setToolTip(
            "The preview compared with what was counted in the hidden bins: mean absolute error, Pearson correlation and\n"
            "structural similarity. The network never sees those bins; they choose nothing."
        )
        self.setWordWrap(True)
        self.clear()

    def clear(self) -> None:
        self.setText("")
        self.hide()

    def setScores(self, step: int, scores: Scores) -> None:
        """Show the scores of the preview at this step, on unmeasured bins."""
        self.setText(
            f"Preview at step {step:,}: MAE {scores.mae_unmeasured:.4f} · PCC {scores.pcc_unmeasured:.4f}"
            f" · SSIM {scores.ssim_unmeasured:.4f}"
        )
        self.show()
