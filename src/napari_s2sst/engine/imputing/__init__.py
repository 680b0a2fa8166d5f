"""A trained network and a sparse map -> the whole map, with its interval. In reading order:

regression  what image and panel tell beyond the measured neighbours
blend       all that takes part in a map beside the network
impute      the whole map, in overlapping tiles
"""
