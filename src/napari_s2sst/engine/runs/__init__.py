"""A slide, genes and settings -> a run: prepared, trained, imputed, scored, written, kept and resumed. In reading order:

script        a run -> the command line that repeats it
record        a run -> what run.json says of it
write         a run -> its files, those that were chosen
events        what a run tells beside its training
maps_on_disk  imputed maps, held in a file where they are many
run           an opened slide, or counts -> a job; a job and its network -> a result
saved_run     a training of the window <-> its folder, from which it goes on after a crash
execute       a whole run, as one generator of events that all doors listen to
model_card    what a model is, and what differs on another slide
"""
