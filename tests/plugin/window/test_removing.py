"""A result can be taken out of the window, and be put back."""


def names(dock) -> set[str]:
    return {layer.name for layer in dock.viewer.layers if " - " in layer.name}


def test_a_removed_result_takes_its_layers_along_and_the_counts_are_seen(trained, qtbot):
    assert len(names(trained)) > 1
    trained.panels.result.remove_button.click()
    assert trained.session.entries == ()
    assert trained.session.shown is None
    assert names(trained) <= {f"{trained.session.gene} - counts"}
    assert trained.display.kind == "counts"
    assert not trained.panels.result.remove_button.isVisible()


def test_undo_brings_back_the_same_layers_scores_and_place(trained, qtbot):
    panel, entry, before = trained.panels.result, trained.session.shown, names(trained)
    rows = panel.table.rowCount()
    panel.remove_button.click()
    assert panel._removed.text().endswith("was removed.")
    panel.undo_button.click()
    qtbot.waitUntil(lambda: not trained.display.busy, timeout=300_000)
    assert trained.session.shown is entry
    assert names(trained) == before
    assert panel.table.rowCount() == rows
    assert not panel.undo_button.isVisibleTo(panel)


def test_the_result_that_takes_its_place_is_shown_and_keeps_its_layers(trained, qtbot, train):
    first = trained.session.shown
    train(trained, 2)
    qtbot.waitUntil(lambda: len(trained.session.entries) == 2 and not trained.display.busy, timeout=300_000)
    second_only = {name for name in names(trained) if name.endswith(" 2")}
    trained.panels.result.remove_button.click()
    qtbot.waitUntil(lambda: not trained.display.busy, timeout=300_000)
    assert trained.session.shown is first
    assert not second_only & names(trained)
    assert trained.display.layer("imputed").visible


def test_nothing_is_removed_while_a_run_is_on(trained, qtbot, train):
    train(trained, 1_000_000)
    qtbot.waitUntil(lambda: trained.session.can_stop, timeout=300_000)
    assert not trained.panels.result.remove_button.isEnabled()
    trained.results.remove()
    assert len(trained.session.entries) == 1
    trained.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: len(trained.session.entries) == 2, timeout=300_000)


def test_what_is_imputed_at_once_can_t_be_removed(dock, qtbot, sample_slide):
    dock.open_slide(sample_slide)
    qtbot.waitUntil(lambda: dock.session.shown is not None, timeout=300_000)
    assert not dock.panels.result.remove_button.isEnabled()
