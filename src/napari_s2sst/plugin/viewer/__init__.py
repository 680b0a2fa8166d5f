"""Between engine and napari: slides, maps, regions <-> layers. In reading order:

layers        slides and gene maps <-> layer data; nothing else knows both
display       which maps are in the viewer, and what is in them
writer        map layers <-> one OME-TIFF
reader        a slide, or what was exported or saved -> layers
sample_data   the simulated slide -> layers
region_layer  regions <-> shapes on a layer
tissue_layer  the tissue mask, painted on
extra_layers  what else a slide holds -> layer data
outlines      the outlines in view, drawn into a layer
comparison    two maps side by side, by swiping, by blinking
"""
