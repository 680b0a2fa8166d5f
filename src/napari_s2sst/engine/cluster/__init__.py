"""Jobs for many slides and genes -> their results, by processes of this computer or a Dask cluster. In reading order:

jobs          a jobs file -> what is to be done with each slide
plan          jobs -> their parts, and which of them are missing
events        what a batch tells while it runs
wire          values <-> bytes that travel between processes
part          one part of a batch in one process
connect       processes of this computer, or a Dask cluster that is there
worker_start  what a worker of this computer does first
worker        what runs on a worker
pool          a cluster -> a pool of workers that does assignments
remote        one training on a cluster, as the same events
batch         jobs -> their missing results, as a generator of events
"""
