"""The stages in order: Synthea → tables → synthetic rows → Bundles → report, each resumed when it is already there.

Where an oracle is asked for, a second population is simulated after the tables: what a perfect generator would make.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from fhirsynth import __version__
from fhirsynth.garbage import settled
from fhirsynth.seeds import derive
from fhirsynth.workspace import StageWriter, Workspace
from synthea_bridge.progress import Progress
from synthea_bridge.skips import SkipLog
from synthea_bridge.spec import GenerateSpec

Bar = Callable[[str], AbstractContextManager[Progress]]
"""Opens a progress display with a title, as ``fhirsynth.cli._progress.bar`` does."""


class RunSpec(BaseModel):
    """All that decides the result of a run.

    Parameters
    ----------
    generate
        What Synthea simulates; its ``condition`` is the one that is augmented.
    augment
        Number of synthetic patients with the condition.
    model, steps
        The generator and its training length in generator steps; None: the generator's own default.
    holdout
        Share of the simulated patients that the generator never sees.
    seed
        Of everything after the simulation.
    oracle
        Simulate the same population again with another seed, and judge the synthetic rows beside it.
    uplift
        Measure whether adding the synthetic cases to the real ones helps.
    prior
        Number of other patients that are simulated for the generator to learn from first; None: none.
    years
        How far back the visits of synthetic patients are told; None: whole lives.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    generate: GenerateSpec
    augment: int = Field(gt=0)
    model: str = "ctgan"
    steps: int | None = Field(default=None, gt=0)
    holdout: float = Field(default=0.4, gt=0, lt=1)
    seed: int = 0
    oracle: bool = False
    uplift: bool = False
    prior: int | None = Field(default=None, gt=0)
    years: float | None = Field(default=3.0, ge=1)

    def parameters(self) -> dict[str, Any]:
        """The parameters and our version, as JSON values, for manifests.

        What is not asked for is not named, so that a run of before it could be asked for goes on and keeps its id.
        """
        said = self.model_dump(mode="json", exclude={"generate": {"threads", "heap"}})
        asked = {name: value for name, value in said.items() if value is not False and (name, value) != ("prior", None)}
        return {"fhirsynth": __version__, **asked}

    @property
    def fresh(self) -> GenerateSpec:
        """The simulation of the oracle: all as in ``generate``, but for the seed."""
        return self.generate.model_copy(update={"seed": derive(self.seed, "oracle")})

    @property
    def before(self) -> GenerateSpec:
        """The simulation of the prior: people as they come, of another seed."""
        changed = {"population": self.prior, "cohorts": (), "seed": derive(self.seed, "prior")}
        return self.generate.model_copy(update=changed)


@dataclass(frozen=True, slots=True)
class StageReport:
    """One stage as the user sees it: its name, whether it was already there, and what its manifest says."""

    stage: str
    resumed: bool
    outcome: dict[str, Any]


@dataclass(slots=True)
class Run:
    """A run in its work folder; :meth:`stages` does the work and yields each stage as it ends."""

    spec: RunSpec
    workspace: Workspace
    bar: Bar
    workers: int = 1
    run_id: str = field(default="", init=False)
    _rows: dict[str, Any] = field(default_factory=dict, init=False)

    def stages(self) -> Iterator[StageReport]:
        """Do what is missing or changed, in order.

        Raises
        ------
        fhirsynth.errors.FhirsynthError, synthea_bridge.errors.BridgeError
            When a stage fails; what was finished before stays and is not done again.
        """
        _enough(self.spec)
        self.run_id = self.workspace.claim(self.spec.parameters())
        made_from: dict[str, Any] = self.spec.parameters()
        work = (
            ("generated", self._generate),
            ("tables", self._flatten),
            *([("oracle", self._draw_again)] if self.spec.oracle else []),
            *([("prior", self._draw_before)] if self.spec.prior else []),
            ("synthetic", self._augment),
            ("bundles", self._assemble),
            ("ndjson", self._export),
            ("report", self._evaluate),
        )
        for stage, do in work:
            made_from = {"stage": stage, "before": made_from}
            resumed = self.workspace.is_current(stage, made_from)
            if not resumed:
                goes_on = stage == "generated"
                with (
                    self.workspace.stage(stage, made_from, goes_on=goes_on) as writer,
                    self.bar(stage) as progress,
                    settled(),
                ):
                    do(writer, progress)
            yield StageReport(stage, resumed, self.workspace.manifest(stage) or {})

    @property
    def _root(self) -> Path:
        return self.workspace.root

    @property
    def _early(self) -> Path:
        """Where the tables are filled while patients are simulated."""
        return self._root / ".tables.early"

    def _generate(self, writer: StageWriter, progress: Progress) -> None:
        """Simulate; patients become rows while the next ones are simulated, and wait beside for :meth:`_flatten`."""
        shutil.rmtree(self._early, ignore_errors=True)
        self._early.mkdir()
        writer.outcome, self._rows = _simulate(self.spec.generate, self._early, progress, bundles=writer.folder)

    def _flatten(self, writer: StageWriter, progress: Progress) -> None:
        from fhirsynth.cohort import split
        from fhirsynth.features import write_features
        from fhirsynth.schema import build_schema
        from synthea_bridge.flatten import write_tables

        condition = _condition(self.spec.generate.condition, self.spec.generate.modules)
        schema = build_schema(self.spec.generate.end_date, condition)
        if self._rows:
            for path in self._early.iterdir():
                path.replace(writer.folder / path.name)
            writer.outcome = dict(self._rows)
        else:
            strict = SkipLog(strict=True)
            writer.outcome = write_tables(self._root / "generated", writer.folder, strict, progress).outcome
        shutil.rmtree(self._early, ignore_errors=True)
        unused = SkipLog()
        features = write_features(writer.folder, schema, unused)
        writer.outcome |= {"features": len(features), "unused": unused.counts()}
        parts = split(features, condition.column, holdout=self.spec.holdout, seed=derive(self.spec.seed, "split"))
        for name, part in (("train", parts.train), ("holdout", parts.holdout)):
            part.to_parquet(writer.folder / f"{name}.parquet", index=False)
            writer.outcome[name] = {"patients": len(part), "cases": int(part[condition.column].sum())}

    def _draw_again(self, writer: StageWriter, progress: Progress) -> None:
        """Simulate the same population with another seed, as tables and features alone."""
        writer.outcome = self._simulated(self.spec.fresh, writer.folder, progress)

    def _draw_before(self, writer: StageWriter, progress: Progress) -> None:
        """Simulate other people, for the generator to learn from before it sees the cohort."""
        writer.outcome = self._simulated(self.spec.before, writer.folder, progress)

    def _simulated(self, spec: GenerateSpec, folder: Path, progress: Progress) -> dict[str, Any]:
        from fhirsynth.features import write_features
        from fhirsynth.schema import FeatureSchema

        generated, rows = _simulate(spec, folder, progress)
        schema = FeatureSchema.load(self._root / "tables" / "schema.json")
        unused = SkipLog()
        features = write_features(folder, schema, unused)
        return {**rows, "generated": generated, "features": len(features), "unused": unused.counts()}

    def _augment(self, writer: StageWriter, progress: Progress) -> None:
        from fhirsynth.assemble import learn
        from fhirsynth.augment import augment
        from fhirsynth.beside import beside
        from fhirsynth.schema import FeatureSchema

        tables = self._root / "tables"
        schema = FeatureSchema.load(tables / "schema.json")
        train = pd.read_parquet(tables / "train.parquet")
        prior = pd.read_parquet(self._root / "prior" / "features.parquet") if self.spec.prior else None
        with beside(self.workers, learn, tables, list(train["patient_id"]), schema) as timeline:
            writer.outcome = augment(
                train,
                schema,
                model=self.spec.model,
                n=self.spec.augment,
                steps=self.spec.steps,
                seed=derive(self.spec.seed, "augment"),
                livable=lambda rows: timeline().livable(rows),
                prior=prior,
                prior_source="simulated by Synthea, as people come",
                out=writer.folder,
                progress=progress,
            ).outcome
            timeline().save(writer.folder / "timeline.json")

    def _assemble(self, writer: StageWriter, progress: Progress) -> None:
        from fhirsynth.assemble import Timeline, assemble
        from fhirsynth.assemble.inputs import look_over, read_rows
        from fhirsynth.schema import FeatureSchema

        synthetic = self._root / "synthetic"
        schema = FeatureSchema.load(synthetic / "schema.json")
        rows = read_rows(synthetic / "synthetic.parquet", schema)
        made = assemble(
            rows,
            schema,
            Timeline.load(synthetic / "timeline.json"),
            run_id=self.run_id,
            seed=derive(self.spec.seed, "assemble"),
            years=self.spec.years,
            out=writer.folder,
            workers=self.workers,
            progress=progress,
        )
        made.clinical = look_over(writer.folder, rows, schema, self.run_id)
        writer.outcome = made.outcome

    def _export(self, writer: StageWriter, progress: Progress) -> None:
        from fhirsynth.publish.disk import export

        skips = SkipLog(strict=True)
        writer.outcome = export(self._root / "bundles", "ndjson", writer.folder, skips=skips, progress=progress).outcome

    def _evaluate(self, writer: StageWriter, progress: Progress) -> None:
        """Judge what ships: the features of the emitted Bundles, which must be the rows that they were made from."""
        from fhirsynth.assemble.inputs import read_back, read_rows
        from fhirsynth.schema import FeatureSchema
        from fhirsynth.trilemma import Extras, evaluate
        from fhirsynth.trilemma.documents.croissant import DataFile
        from fhirsynth.trilemma.documents.report import write_report
        from fhirsynth.trilemma.lives.histories import Oracle, read_histories

        tables, synthetic = self._root / "tables", self._root / "synthetic" / "synthetic.parquet"
        schema = FeatureSchema.load(tables / "schema.json")
        train, holdout = (pd.read_parquet(tables / f"{part}.parquet") for part in ("train", "holdout"))
        with tempfile.TemporaryDirectory(prefix="fhirsynth-") as scratch:
            folder, rows = Path(scratch), read_rows(synthetic, schema)
            made = read_back(self._root / "bundles", rows, schema, self.run_id, tables=folder)
            fresh = pd.read_parquet(self._root / "oracle" / "features.parquet") if self.spec.oracle else None
            again = Oracle(self._root / "oracle", fresh) if fresh is not None else None
            histories = read_histories(
                tables,
                folder,
                train=train,
                holdout=holdout,
                made=made,
                schema=schema,
                oracle=again,
                simulated=True,  # all real patients of a run are Synthea's
                years=(self.workspace.manifest("bundles") or {}).get("years"),
            )
        uplift = {self.spec.model: made} if self.spec.uplift else {}
        report = evaluate(
            train,
            holdout,
            made,
            schema,
            seed=derive(self.spec.seed, "evaluate"),
            extras=Extras(oracle=fresh, histories=histories, uplift=uplift),
            workers=self.workers,
            progress=progress,
        )
        drawn = [stage for stage, asked in (("oracle", self.spec.oracle), ("prior", self.spec.prior)) if asked]
        stages = ("generated", "tables", *drawn, "synthetic", "bundles")
        provenance = {"run_id": self.run_id, **{stage: self.workspace.manifest(stage) for stage in stages}}
        emitted = sorted((self._root / "ndjson").glob("*.ndjson"))
        files = [DataFile.of(path, writer.folder) for path in (synthetic, *emitted)]
        write_report(report, provenance, writer.folder, schema=schema, files=files)
        writer.outcome = {"valid": report.valid, "verdicts": dict(report.verdicts)}


def _simulate(
    spec: GenerateSpec, tables: Path, progress: Progress, *, bundles: Path | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Simulate into ``tables`` (and Bundles into ``bundles``); what a manifest should say of both.

    Raises
    ------
    ShortfallError
        When fewer patients were found than asked for.
    """
    from synthea_bridge.errors import ShortfallError
    from synthea_bridge.flatten import tables_in
    from synthea_bridge.generate import write_bundles
    from synthea_bridge.prevalence import weigh

    with tables_in(tables, SkipLog(strict=True)) as filled:
        result = write_bundles(spec, bundles, progress, also=filled.take)
    if result.shortfall:
        raise ShortfallError(result.shortfall)
    outcome = result.outcome
    weigh(tables, outcome["parts"])
    return outcome, filled.result("a simulation" if bundles is None else str(bundles)).outcome


def _enough(spec: RunSpec) -> None:
    """Refuse a cohort that could not be split later, before it is simulated."""
    from fhirsynth.cohort import MINIMUM_CASES
    from fhirsynth.errors import CohortError

    if spec.generate.cases < MINIMUM_CASES:
        raise CohortError(
            f"{spec.generate.cases} cases are asked for, at least {MINIMUM_CASES} are needed to learn from some and "
            "judge by others; ask for more with --cases"
        )


def _condition(name: str | None, modules: Path | None = None) -> Any:
    from fhirsynth.errors import UsageError
    from fhirsynth.schema import ConditionFeature
    from synthea_bridge.conditions import find

    if name is None:
        raise UsageError("a run needs a condition; list them with: fhirsynth conditions")
    return ConditionFeature.of(find(name, modules))
