"""TIFF files and boundary tables -> pictures and outlines, read only where they are looked at. In reading order:

pyramid   the pages of a TIFF -> the levels of an image
stains    a bundle's morphology files -> one lazily read pyramid for each stain
outlines  boundaries of cells and nuclei -> those in a view, in a millisecond
"""
