"""The window: napari's reader, sample slide and dock widget over the engine. Thin; the engine never imports it.

session        what the window knows; no Qt
layers         gene maps <-> napari layer data
reader         a Xenium folder -> layers
sample_data    the simulated slide -> layers
worker         one run in a napari thread
runner         session and worker: start, pause, stop, abandon
tasks          what is done in the background, as plain functions
background     a function in a napari thread
display        which layers are in the viewer, and what is in them
theme  docked                                                 colours; the end of a dock
slide_panel  sampling_panel  region_panel  training_panel  loss_plot  result_panel  message_bar    one widget a file
panel_column   the panels together, drawn from a session
window         the dock widget: joins session, panels, display and runner
"""
