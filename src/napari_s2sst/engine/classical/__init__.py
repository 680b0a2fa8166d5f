"""A sparse map -> its interpolation by the classical methods, which every score stands beside. In reading order:

neighbourhoods  weights of the nearest measured bins, once for each pattern of them
kriging         local ordinary kriging with a nugget
methods         the classical methods, all of them
"""
