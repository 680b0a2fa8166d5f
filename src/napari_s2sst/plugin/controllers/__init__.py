"""What follows from what the user did: one task of the window a file. In reading order:

controller  what every controller is, and the parts that it joins
opening     which slide is open
counting    counts follow what is chosen
extras      optional layers
genes       which genes are chosen, and how structured all are
regions     the regions' layer and list in step
results     which result is shown, compared, written
instant     what the weights that come with the program make of the chosen gene
sampling    bins, lattice, tissue and settings as chosen
run_queue   start, pause, stop, abandon, one run after the other
runs        runs of what is chosen, and what they tell
resuming    trainings that a crash interrupted
models      model files
reporting   errors to the log, and a report on request
"""
