"""
Whom to ask: one file per kind of model or API.

A client file offers `connect(where: str, **options) -> Client`, where `where` is what follows the colon in a
target (`onnx:model.onnx`), and may offer `wrap(model) -> Client` for a live object and `detect(url) -> str |
None`, which says what `where` is behind a bare URL that speaks its protocol. Its name is the file name. It
imports its own heavy package at the top and raises TargetError, BadData or UsageError, never the package's
own errors.

Options are `timeout` (seconds per request) and `allow_pickle`; a client takes those that mean something to
it. Files that begin with an underscore are shared by clients and are none themselves.
"""
