"""A transcript table of any size -> counts of every gene in square bins. In reading order:

grid       points in um -> the bin that each lies in
tissue     bins with transcripts -> the mask of all that is tissue
panel      the counts of a whole panel, held without the empty bins
counting   points -> counts per gene and bin, in threads
reading    a table's header, checked; its columns as numbers, a batch at a time
cache      what was counted, kept from one opening to the next
table      the transcript table itself: genes, extent and gene maps, in one streaming pass each
positions  the positions of a few genes' transcripts, as many as a viewer can draw
"""
