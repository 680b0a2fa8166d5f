"""What goes on in the background: functions and runs in napari threads, and what they tell. In reading order:

request     one run as asked for in the window
run         a run in a napari thread
tasks       what is done in the background, as plain functions
background  a function in a napari thread
structure   the scores of all genes, part by part
"""
