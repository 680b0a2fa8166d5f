"""The window: napari's reader, sample slide and dock widget over the engine. Thin; the engine never imports it.

session        what the window knows; no Qt
layers         gene maps <-> napari layer data
reader         a Xenium folder -> layers
sample_data    the simulated slide -> layers
worker         the training generator in a napari thread
display        which layers are in the viewer, and what is in them
slide_panel  sampling_panel  region_panel  training_panel  loss_plot  result_panel    one widget a file
window         the dock widget: joins session, panels, display and worker
"""
