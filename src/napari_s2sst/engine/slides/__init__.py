"""A path -> an opened slide: genes, gene maps, stains and an extent, whatever kind of file it is. In reading order:

slide               what every slide answers
xenium              the folder that a Xenium instrument wrote, of any version
histology           a slide's H&E picture, and where it lies
count_cube          a .npz of counts
spatialdata_store   which elements of a SpatialData store are meant, and where they lie
spatialdata_points  its points as a transcript table
spatialdata_slide   a SpatialData store
h5ad_places         spots -> the square bins that they fill, and how large those are
h5ad_file           what an .h5ad holds of spots and counts
h5ad                spots of an .h5ad on a lattice: HEST-1k, Visium ST, Visium HD
opening             a path of any kind -> its slide, or what must be asked first
questions           what nothing says of a size -> the question for its user
facts               a slide -> the rows of its card
structure           how patterned each gene of a slide is: Moran's I, share of bins
"""
