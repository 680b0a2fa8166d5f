"""Page Sampling: bins, lattice, regions. In reading order:

page     bins, lattice, mode, and how much of the tissue that measures
regions  tools to draw regions, and a list of them
"""
