"""The window: napari's reader, sample slide and dock widget over the engine, by floors; each rests on those above it in this list.

widgets/      small widgets that know nothing of a slide
session       what the window knows: slide, genes, settings, state, results; evented, no Qt
viewer/       slides, maps and regions <-> napari layers
threads/      what is done in the background, while the window answers
panels/       what is seen in the dock: one widget a file, drawn from the session
controllers/  what follows from what the user did: one task of the window a file
window        the dock widget: joins them all
"""
