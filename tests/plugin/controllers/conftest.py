"""Parts of a window for a controller by itself, in a real napari window."""

import pytest
from qtpy.QtWidgets import QWidget

from napari_s2sst.plugin.controllers.controller import Workspace
from napari_s2sst.plugin.panels.pages import Panels
from napari_s2sst.plugin.session import Session
from napari_s2sst.plugin.viewer.display import Display
from napari_s2sst.plugin.viewer.tissue_layer import TissueLayer


@pytest.fixture
def make_workspace(viewer, qtbot):
    """A function: the parts of another window on the same viewer."""
    made = []

    def make() -> Workspace:
        window, panels = QWidget(), Panels()
        qtbot.addWidget(window)
        qtbot.addWidget(panels)
        display, tissue = Display(viewer, window), TissueLayer(viewer, window)
        made.append(Workspace(session=Session(), panels=panels, display=display, tissue=tissue, window=window))
        return made[-1]

    yield make
    for workspace in made:
        workspace.display.forget()
        workspace.tissue.forget()


@pytest.fixture
def workspace(make_workspace) -> Workspace:
    return make_workspace()
