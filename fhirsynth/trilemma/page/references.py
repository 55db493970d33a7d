"""Where the methods of the report come from: what, who and where to read it."""

from __future__ import annotations

from typing import NamedTuple


class Source(NamedTuple):
    """One work: what it is used for, its authors and year, and its address (or what a library finds it by)."""

    what: str
    who: str
    where: str


SOURCES: dict[str, tuple[Source, ...]] = {
    "Utility": (
        Source("Train on synthetic, test on real", "Esteban, Hyland, Rätsch 2017", "https://arxiv.org/abs/1706.02633"),
        Source(
            "AUC as a rank statistic, ties one half",
            "Hanley, McNeil 1982",
            "https://doi.org/10.1148/radiology.143.1.7063747",
        ),
        Source(
            "Precision and recall where cases are rare",
            "Saito, Rehmsmeier 2015",
            "https://doi.org/10.1371/journal.pone.0118432",
        ),
        Source("Brier score", "Brier 1950", "https://doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2"),
        Source("Calibration slope", "Cox 1958", "https://doi.org/10.1093/biomet/45.3-4.562"),
        Source("What a slope can say", "Van Calster et al. 2016", "https://doi.org/10.1016/j.jclinepi.2015.12.005"),
        Source("Bootstrap intervals", "Efron, Tibshirani 1993", "https://doi.org/10.1201/9780429246593"),
        Source("SMOTE and SMOTE-NC", "Chawla et al. 2002", "https://doi.org/10.1613/jair.953"),
    ),
    "Privacy": (
        Source(
            "Membership inference by distance (GAN-Leaks)",
            "Chen et al. 2020",
            "https://doi.org/10.1145/3372297.3417238",
        ),
        Source("Membership inference by density ratio", "van Breugel et al. 2023", "https://arxiv.org/abs/2302.12580"),
        Source(
            "Attacks from first principles: hits at few false alarms",
            "Carlini et al. 2022",
            "https://doi.org/10.1109/SP46214.2022.9833649",
        ),
        Source("Maximum of several tests by permutation", "Westfall, Young 1993", "ISBN 978-0-471-55761-6"),
        Source(
            "Attribute inference against non-members", "Giomi et al. 2023", "https://doi.org/10.56553/popets-2023-0055"
        ),
        Source("Score interval of a share", "Wilson 1927", "https://doi.org/10.1080/01621459.1927.10502953"),
        Source("Likeness of histories: weighted Jaccard", "Ioffe 2010", "https://doi.org/10.1109/ICDM.2010.80"),
    ),
    "Fidelity": (
        Source("Bias-corrected Cramér's V", "Bergsma 2013", "https://doi.org/10.1016/j.jkss.2012.10.002"),
        Source("Classifier two-sample test", "Lopez-Paz, Oquab 2017", "https://arxiv.org/abs/1610.06545"),
        Source("Bands of histories: random groups of real patients", "Good 2005", "https://doi.org/10.1007/b138696"),
        Source("Holm's correction over columns", "Holm 1979", "https://www.jstor.org/stable/4615733"),
    ),
    "Documents": (Source("Datasheets for Datasets", "Gebru et al. 2021", "https://doi.org/10.1145/3458723"),),
}
"""By dimension, in the order of the page."""
