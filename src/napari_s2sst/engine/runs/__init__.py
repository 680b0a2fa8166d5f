"""A slide, genes and settings -> a run: prepared, trained, imputed, scored, written, kept and resumed. In reading order:

script        a run -> the command line that repeats it
record        a run -> what run.json says of it
write         a run -> its files, those that were chosen
maps_on_disk  imputed maps, held in a file where they are many
run           a job -> its result
model_card    what a model is, and what differs on another slide
kept          a training of the window <-> its folder, from which it goes on after a crash
"""
