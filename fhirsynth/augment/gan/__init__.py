"""CTGAN for rare cohorts: the library's networks, with encodings, conditions and a schedule that few cases can bear."""
