"""What tests of the window ask it again and again."""


def names(dock) -> list[str]:
    """Of the layers."""
    return [layer.name for layer in dock.viewer.layers]


def buttons(dock) -> dict[str, bool]:
    """Which of the main buttons can be pressed."""
    panels = dock.panels
    return {
        "open": panels.header.open_button.isEnabled(), "train": panels.run.train_button.isEnabled(),
        "pause": panels.run.pause_button.isEnabled(), "stop": panels.run.stop_button.isEnabled(),
        "export": panels.result.export_button.isEnabled(),
    }  # fmt: skip
