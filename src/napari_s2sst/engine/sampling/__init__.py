"""A gene's dense map -> the sparse map that a cheaper experiment would have measured, with what stains and panel tell. In order:

regions  polygons in um <-> masks of bins and files
lattice  dense -> sparse -> sparser
image    the stains of a slide -> what they show in every bin
crops    the parts of a sparse map that hold tissue
panel    what the other genes in the measured bins lead to expect of one
"""
