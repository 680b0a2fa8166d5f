"""Between engine and napari: slides, maps, regions <-> layers. In reading order:

canvas         what napari keeps elsewhere from version to version
layers         slides and gene maps <-> layer data; nothing else knows both
region_shapes  regions <-> shapes
region_layer   the layer that regions are drawn on
display        which maps are in the viewer, and what is in them
writer         map layers <-> one OME-TIFF
reader         a slide, or what was exported or saved -> layers
sample_data    the simulated slide -> layers
tissue_layer   the tissue mask, painted on
extra_layers   what else a slide holds -> layer data
outlines       the outlines in view, drawn into a layer
extra_display  the optional layers, put in and kept in order
divider        a line to drag across the canvas
comparison     two maps side by side, by swiping, by blinking
"""
