"""The choice of a generator: all are tried on parts of the training patients, and judged by the trilemma's measures."""
