"""CDCIN, and what it sees and is kept as: a sparse map as tensors -> estimates of the full grid. In reading order:

inputs  the smooth maps that the network sees, and the scale of the noise
cdcin   the network, from its smallest block to the whole
model   a trained network <-> one safetensors file
"""
