"""One new H&E slide with a finished model: pure functions, used by the pipeline and by a server."""
