"""Page Slide: which slide, which genes. In reading order:

header       which slide is open, and what goes on
card         what a slide is; which is open
size_dialog  how large a pixel, a bin or a unit is
gene_model   genes -> the rows of a table
gene_view    those rows on the screen
gene_table   searched, sorted, chosen
"""
