"""Page Slide: which slide, which genes. In reading order:

card        what a slide is; which is open
questions   how large a pixel or bin is, and whether regions are in pixels
gene_model  genes -> the rows of a table
gene_view   those rows on the screen
gene_table  searched, sorted, chosen
"""
