"""The window: napari's reader, sample slide and dock widget over the engine. Thin; the engine never imports it.

What the window knows and what goes on behind it
session        slide, genes, settings, state, results; no Qt
worker         one run in a napari thread
runner         session and worker: start, pause, stop, abandon, one run after the other
tasks          what is done in the background, as plain functions
background     a function in a napari thread
structure_task     the genes' scores, told part by part
opening        which slide is open, and how large its pixels are where only its user knows
counting       counts follow what is chosen
at_once        what the weights that come with the program make of it
chosen_sampling    bins, lattice, tissue and settings as chosen
running        runs of what is chosen, and what they tell
resuming       trainings that a crash interrupted, offered and gone on with
reporting      errors to the log, and a report on request
results        which result is shown, its comparing and its files
models         model files

Between engine and napari
layers         gene maps <-> napari layer data
reader         a Xenium folder, or what we exported or saved -> layers
writer         our map layers -> one OME-TIFF, and back
sample_data    the simulated slide -> layers
display        which maps are in the viewer, and what is in them
extra_layers   what else a slide holds -> layer data
outlines       the outlines in view, drawn into a layer
extras         which optional layers there can be, and are
region_layer   regions <-> shapes on a layer
regions        the regions' layer and panel in step
tissue_layer   the tissue mask, painted on
divider        a line to drag across the canvas
comparison     two maps side by side, by swiping, by blinking

What is seen: one widget a file
panels         all of them on pages, drawn from a session
slide_header  view_switch  message_bar  resume_banner  run_bar          above and below the pages
gene_table  gene_view  gene_model  slide_card                           page Slide
sampling_panel  region_panel  region_tools                              page Sampling
several_panel  training_panel  settings_form  setting_editors  fold     page Training
live_scores  loss_plot  zoom_plot  loss_files  timing                   page Training, while it runs
result_panel  score_table  diagnostics_plot  compare_bar                page Results
export_dialog  model_card  size_dialog  pixel_question                  dialogs
theme  docked                                                           colours; the end of a dock
window         the dock widget: joins them all
"""
