"""Sparse maps and natural images -> a trained network, as a generator of events. In reading order:

natural_images  pictures -> patches, as they are or made to look like counts
patches         random crops of sparse maps, turned and flipped; bins held out
losses          how far estimates are from what is known (eqs 3, 4, 8, 9)
validation      held-out bins -> how good the network is, how sure, which weights did best
objective       a batch of patches -> the terms of the loss (eqs 1-10)
learner         network, optimiser, running mean of the weights; how long, at which rate
start           what a training begins with
mishaps         a loss that explodes, a memory that is full, a compiler that is missing
progress        how far it is, what its steps took, what is told of it
checkpoint      an unfinished training <-> one file, from which it goes on bit for bit
previews        how the first gene's map looks now
loop            one training, step by step
train           the public generator, and `fit`
"""
