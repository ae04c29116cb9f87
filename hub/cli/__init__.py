"""The command line `homeport`: one module for each family of commands.

| module | what it is |
|---|---|
| `main` | the group, and the one place where failures become words and exit statuses |
| `serve` | `homeport serve` |
| `ask` | `homeport agents`, `agent` and `pick` |
| `watch` | `homeport watch` |
| `sidecar` | `homeport register`; `child` is the COMMAND that it runs |
| `options`, `filters` | the options that several commands share |
| `reach` | the client of the hub that was asked for, or why there is none |
| `tables`, `text`, `output` | what is printed, and how |
"""
