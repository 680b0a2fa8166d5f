"""What opening the dock loads, in a process of its own."""

import os
import subprocess
import sys

OPEN_THE_DOCK = """
import sys, time
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
from napari_s2sst.plugin.window import ImputationWidget
app = QApplication([])
dock = ImputationWidget(ViewerModel())
dock.show()
began = time.perf_counter()
while time.perf_counter() - began < 1:
    app.processEvents()
print(*sorted({"torch", "safetensors", "anndata"} & set(sys.modules)))
dock.shut_down()
"""


def test_an_open_dock_has_not_loaded_torch():
    """It takes seconds and hundreds of MB; a user who came to look at layers shall not wait for it."""
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", OPEN_THE_DOCK], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
