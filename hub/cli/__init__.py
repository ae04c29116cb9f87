"""The command line `homeport`: one module for each family of commands.

| module | what it is |
|---|---|
| `main` | the group, and the one place that turns failures into messages and exit statuses |
| `serve` | `homeport serve` |
| `queries` | `homeport agents`, `agent` and `pick` |
| `hubs` | `homeport hubs` and `acknowledge-loss` |
| `watch` | `homeport watch` |
| `sidecar` | `homeport register`; `child` is the COMMAND that it runs |
| `bench` | `homeport bench` |
| `options`, `filters` | options that several commands share |
| `client` | a client of the hub, or the reason why there is none |
| `tables`, `text`, `output` | what is printed, and how |
"""
