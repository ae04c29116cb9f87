"""Load tests and side-by-side measurements: what is claimed of Homeport, for anyone to run.

`python -m bench` (`runner`) runs scenarios, which `scenarios` lists: those of `speed` compare hubs
with the servers of `baselines`, those of `faults` show what holds when things die, `costs` says
what to plan with. Each ends in a report; `results` are all reports in one document, printed, drawn
and compared with another.

The rest is shared. A `scene` is what one run starts. `peers` are clients of hubs, raw ones and
real ones; `load` is as many of them as a core can carry; `rig` starts hubs, servers and workers as
processes on cores.
"""
