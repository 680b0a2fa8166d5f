"""The science, without a window. In reading order; a module imports only from modules above it.

errors          what can go wrong, as sentences
places          paths as people give them -> paths of this machine
writing         files written beside their place, then moved there
config          every setting, its default and its meaning
maps            the values that travel: GeneMap, SparseMap, Normalisation
events          what a training tells while it runs
region          polygons in um <-> masks
grid            points in um -> counts per bin, tissue mask
spot_grid       spots -> the square bins that they fill
sparse_panel    counts of a panel without the empty bins
tally           points -> counts per gene and bin, in threads
transcript_columns  a transcript table's header, checked; its columns as numbers
transcript_stream   a transcript table, a batch at a time
count_cache     what was counted, kept from one opening to the next
kept_panel      a panel's counts <-> what is kept of them
transcripts     one streaming pass over a transcript table
pyramid         TIFF pages -> image levels, read where they are looked at
morphology      stains as lazily read image pyramids
manifest        what a bundle's JSON files say
cell_extent     how far a bundle's cells reach, by which transcripts in pixels are noticed
xenium          open a Xenium folder of any version
positions       where the transcripts of a few genes are
boundaries      cell and nucleus outlines, found by where they are
histology       a slide's H&E picture and where it lies
fixed_bins      what files with a grid of their own have in common
spatialdata_file    which elements of a SpatialData store are meant, and where they lie
spatialdata_points  its points as a transcript table
spatialdata_slide   the same as a Xenium folder from a SpatialData store
count_cube      the same from a .npz of counts
bin_scale       how large a bin of an .h5ad is, and who says so
anndata_file    what an .h5ad holds of spots and counts
anndata_slide   the same as a cube from an .h5ad of spots on a lattice: HEST-1k, Visium ST, Visium HD
slide_kinds     open a slide of whatever kind a path is
hest            its former names
unknown_size    what nothing says of a slide's size -> what to ask, and the slide opened with the answer
pixel_regions   whether regions are counted in pixels of a slide's picture rather than in um
slide_facts     a slide of any kind -> the rows of its card
spatial_structure  how patterned each gene of a slide is: Moran's I, share of bins
colour          stains -> their brightness per bin
sample_tissue   a simulated section: where gland, tumour, stroma, fat lie
sample_cells    its cells and their transcripts
sample_stains   its pictures
sample_tables   its tables
sample_slide    write the embedded sample slide
sampling        dense -> sparse -> sparser
lattice_facts   what a lattice measures, and whether that is enough
simulated_cells  a rate -> what cells make of it: expected transcripts of each bin
natural_images  pictures, and patches of them that look like counts
patches         random crops of sparse maps, turned and flipped
blocks          the parts of the network
smoothing       smooth maps of the lattice, for the network to look at
difficulty      the scale of a map's noise, from its measured bins alone
network         CDCIN
losses          eqs 3-10, and their distributional form
map_loss        and of the map in what maps are judged by
device          which processor, with what arithmetic
cores          a batch in parts, one for each core
trained         what a training returns
tensor_file     a safetensors file of ours, read and checked
checkpoint      model files
measured_bins   a sparse map, ready to interpolate
neighbourhoods  weights of the nearest measured bins, once for each pattern of them
kriging         local kriging with a nugget
thin_plate      smoothed thin-plate splines
tesla           inverse distance in position and image colour
baselines       the classical methods, all of them
dist_network    DIST's residual network
dist            DIST: a network for all genes of a slide, from their measured bins alone
subspots        the bins that belong to each measured bin, for BayesSpace
potts           their clusters and components, by MCMC
bayes_space     BayesSpace: genes at measured bins -> genes at every bin
image_features  stains -> what they show in each bin
cropping        the parts of a sparse map that hold tissue
coexpression    what a panel's genes tell of each other in the same bins
regression_share  what image and other genes tell beyond the measured neighbours
blas_threads    small products of matrices in one thread
beside          classical methods, image and other genes, as they take part in a map
imputation      whole maps in overlapping tiles
validation      held-out bins: how good, against the classical methods, and how sure
objective       a batch of patches -> the terms of the loss
schedule        how long, at which rate, which weights
starting        what a training begins with: its stride, its first weights
learner         a network, its optimiser and the running mean of its weights
best_weights    those that did best on held-out bins
compiling       a network, compiled by torch where that is wanted and possible
recovery        a loss that explodes -> the last good weights, at half the rate
memory          a step's batch, in as few parts as the memory holds
provenance      what decided a run's numbers: measured bins, versions
training_state  an unfinished training <-> one file, from which it goes on bit for bit
keeping         a training <-> its checkpoint
training_run    one training: its steps, what is told and kept of them, and how it goes on after a mishap
training        the training, as a generator of events
kept_training   a training of the window <-> its folder in the user's state folder
interrupted     those that were left behind -> what a user is told of each
private_names   a text for a report -> the same without names of places and people
log_file        what goes wrong -> a file in the user's log folder
report          what may help to find an error -> one text
model_card      what a model is, and what differs on another slide
pretraining     the weights that come with the program, from simulated maps
metrics         MAE, PCC, SSIM, error map
region_table    regions -> their area, means and error, as a table
limit           the information limit: what neighbours can tell at all; looks at the truth
diagnostics     how errors are spread, and whether the uncertainty is honest
figure          one gene's maps, for print
figure_page     where the maps of a comparison stand
comparison_figure   input, methods, truth, errors and an inset, for print
ome_tiff        named maps <-> channels of an OME-TIFF, with notes
export_values   maps -> the arrays and notes that every exported file holds
anndata_table   imputed maps -> an AnnData table, a few genes at a time
export          OME-TIFF, AnnData, CSV
import_result   our exports -> maps and run again
spatialdata_result  imputed maps -> a table and its grid of bins in a SpatialData store
slide_record    a slide or a result -> all that is known of it, as JSON or rows
bin_table       a CSV row for each bin
export_choice   which files of a run are wanted, and their names
stopping        a training stopped after exactly so many steps
script          a run -> the command line that repeats it
run_record      a run -> what run.json says of it
run_files       a run -> the chosen files
kept_maps       imputed maps, held in a file where they are many
run             a whole run: slide -> maps -> training -> imputed maps, scores, files
jobs            a jobs file -> what is to be done with each slide
work_plan       jobs -> their parts, and which of them are missing
batch_events    what a batch tells while it runs
parcel          values <-> bytes that travel between processes
task            one part of a batch in one process
workers         processes of this computer, or a Dask cluster that is there
cluster_task    the same on a worker of a Dask cluster
worker_start    what a worker of this computer does first
cluster         a Dask cluster -> a pool that does assignments
remote_training  one training on a cluster, as the same events
batch           jobs -> their missing results, by many workers
peak_memory     what a piece of work took
benchmark       all methods on the same sparse input
ablations       named variants of a preset on the same sparse input
"""
