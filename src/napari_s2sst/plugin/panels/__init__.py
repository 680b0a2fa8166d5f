"""What is seen in the dock: one widget a file, each showing and giving one value. In reading order:

view_switch  which map is looked at
run_bar      train, pause, stop, and how far it is
slide/       page Slide: which slide, which genes
sampling/    page Sampling: bins, lattice, regions
training/    page Training: how to train, and how it goes
results/     page Results: scores, errors, comparing, export
pages        all of them on pages, drawn from a session
"""
