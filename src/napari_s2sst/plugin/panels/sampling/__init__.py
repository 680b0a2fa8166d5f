"""Page Sampling: bins, lattice, regions. In reading order:

pixel_question  whether regions are in pixels
region_tools    tools to draw regions with
regions         those that are drawn, in a list
page            bins, lattice, mode, and how much of the tissue that measures
"""
