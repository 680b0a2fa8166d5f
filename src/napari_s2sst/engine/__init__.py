"""The science, without a window: packages and modules in reading order; each imports only from what stands above it.

errors        what can go wrong, as sentences
files         paths as people give them; files written beside their place, then moved there
config        every setting, its default and its meaning
maps          the values that travel: GeneMap, SparseMap, Normalisation
events        what a training tells while it runs, and what it can be told
device        which processor computes, with what arithmetic
threads       a batch in parts, one for each core; linear algebra in one thread
provenance    what decided a run's numbers: measured bins, versions
transcripts/  a transcript table -> counts per gene and bin
pictures/     TIFF files and boundary tables -> stains and outlines, read where they are looked at
slides/       a path -> an opened slide of whatever kind
sampling/     a gene's dense map -> the sparse map that was measured, with what image and panel tell of it
classical/    a sparse map -> its interpolation by kriging and the other classical methods
network/      CDCIN: a sparse map as tensors -> estimates of the full grid; model files
imputing/     a trained network and a sparse map -> the whole map, with its interval
training/     sparse maps and natural images -> a trained network, as a generator of events
scores/       an imputed map and the truth -> MAE, PCC, SSIM, diagnostics, tables per region
export/       maps -> OME-TIFF, h5ad, SpatialData, tables and figures, and results back in
runs/         a slide, genes and settings -> a run: trained, imputed, scored, written, resumed
cluster/      many runs -> worker processes of this computer or of a Dask cluster
benchmark/    all methods, ablations and the information limit on the same sparse input
simulated/    a seed -> the embedded sample slide
reports/      what may help to find an error -> a log and one text
"""
