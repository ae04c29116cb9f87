"""Load tests and side-by-side measurements: what is claimed of Homeport, for anyone to run.

`python -m bench` (`command`, `options`, `running`) runs scenarios, which `scenarios` lists: those
of `speed` measure against the servers of `baselines`, those of `proofs` and `soak` show what holds
when things die, `costs` says what to plan with. Each ends in a `report`; `result` puts them into
one document, which `table` prints, `plots` draws and `compare` holds against another one.

The rest is shared: raw peers that cost little (`driver`, `http`, `load`), hubs and servers as
processes on cores of their own (`processes`, `cores`), load in processes of its own (`workers`,
`agents`, `clients`), and bars that tell how far a run is (`progress`).
"""
