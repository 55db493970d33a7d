"""Publishing: the shapes that servers want, on disk or over HTTP. The only place that speaks HTTP."""
