"""What goes on in the background when the program ends."""

import subprocess
import sys

ENDS = """
import time
from qtpy.QtWidgets import QApplication
from napari_s2sst.plugin.threads.background import Background

app = QApplication([])
task = Background(app)
task.start(lambda: time.sleep(1), print)
app.processEvents()
task.abandon()
print("over")
"""


def test_a_program_that_ends_while_something_goes_on_says_nothing_of_it():
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=120)
    assert done.stdout == "over\n"
    assert "Traceback" not in done.stderr
    assert done.returncode == 0
