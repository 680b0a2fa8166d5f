"""Maps -> files that other programs open, and such files back into maps. In reading order:

figure              one gene's maps, for print
figure_page         where the maps of a comparison stand
comparison          input, methods, truth, errors and an inset, for print
ome_tiff            named maps <-> channels of an OME-TIFF
values              maps -> the arrays and notes that every file holds
h5ad                maps -> an AnnData table, a few genes at a time
tables              CSV and JSON, and a row for each bin
reading             our own files -> maps and the run that made them
spatialdata_tables  maps -> a table and its grid of bins in a SpatialData store
choice              which files are wanted, and their names
"""
