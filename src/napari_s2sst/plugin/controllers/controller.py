"""The parts that a window is joined of, and what every controller is: it joins some of them for one purpose."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from ..panels.pages import Panels
from ..session import Session
from ..viewer.display import Display
from ..viewer.tissue_layer import TissueLayer


@dataclass(frozen=True, kw_only=True, eq=False)
class Workspace:
    """Parts of one window that every controller gets."""

    session: Session
    panels: Panels
    display: Display
    tissue: TissueLayer
    window: QWidget
    """Parent of controllers and dialogs."""


class Controller(QObject):
    """A part of the window's work, from when the window opens until :meth:`forget`."""

    failed = Signal(str)
    """A sentence: what was asked for did not come about."""
    idle = Signal()
    """Something ended that made it :attr:`busy`."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.window)
        self.session, self.panels = workspace.session, workspace.panels
        self.display, self.tissue, self.window = workspace.display, workspace.tissue, workspace.window

    @property
    def busy(self) -> bool:
        """Whether it does what ``session.busy`` tells of, so that nothing else may begin; False where it never does."""
        return False

    def leave(self) -> None:
        """Another slide is about to be shown: end what belongs to the one before."""

    def abandon(self) -> None:
        """End what is under way in the background; nothing comes of it."""

    def forget(self) -> None:
        """The window is closed: end everything, and let go of the viewer."""
        self.abandon()
