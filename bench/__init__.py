"""Load tests and side-by-side measurements: what is claimed of Homeport, for anyone to run.

`python -m bench` shows that the hub keeps its promises. The rest is shared: raw peers that
cost little (`driver`, `http`), hubs and servers as processes (`processes`), load in processes of
its own (`workers`, `agents`, `clients`), and what becomes of the figures (`report`).
"""
