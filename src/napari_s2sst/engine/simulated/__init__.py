"""A seed -> the embedded sample slide, a complete Xenium bundle. In reading order:

tissue  where gland, tumour, stroma and fat lie
cells   cells and their transcripts
stains  its pictures
tables  its tables
slide   the whole folder
"""
