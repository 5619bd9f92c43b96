"""The trials of one search, in a storage that several workers share and that outlives them.

Optuna keeps them (a SQLite file, or PostgreSQL by URL; in memory for tests and studies). A trial is born whole, in one
transaction: its parameters, who has it, and its number. So there are only these kinds, whoever is killed when:

- RUNNING: a candidate that somebody has drawn and not judged. When its worker is dead, another one takes it up.
- COMPLETE: a candidate with its figures, and with all that the trial ledger asks for.
- PRUNED: a draw that is no candidate: the strategy refuses it, or it was drawn before.
- FAIL: a candidate that several workers died of. It is not tried again.

Draws are made in a study in memory that holds the finished trials alone: what is drawn depends on them, the seed and
the number, and on nothing that a process remembers.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final
from urllib.parse import urlsplit

import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from trading.errors import InvalidInput, TradingError
from trading.strategies.parameters import Value

from .course import SearchSpec
from .fitness import DIRECTIONS, Objectives
from .genome import Genome, key_of

LEASE_S: Final = 60.0
"""A worker that gave no sign of life for so long is dead. Clocks of several machines must agree to well within it."""
TAKEN_MAX: Final = 3
"""A candidate that so many workers died of is given up."""
DRAWS_PER_CANDIDATE_MAX: Final = 50
"""When so many draws in a row are no new candidate, there are no more."""
BUSY_TIMEOUT_S: Final = 60.0
_CRASHED, _ENDED = 0, -1
"""In the place of the time of a worker's last sign of life."""
_OPENING: Final = 7_209_433_150_228_917_271
"""The advisory lock of PostgreSQL under which the storage is opened; any number that nobody else uses."""
_WORKER: Final = "worker:"
_OWNER, _TAKEN, _CANDIDATE, _OUTCOME, _WHY = "owner", "taken", "candidate", "outcome", "why"


class TrialStoreUnavailable(TradingError):
    """The storage of a search cannot be opened, read or written."""

    code = "trial_store_unavailable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a candidate. ``sharpe`` is per day, None where nothing varied; ``observations`` are days."""

    scope: str
    objectives: Objectives
    trades: int
    sharpe: float | None
    observations: int
    return_bps: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A candidate that waits for its figures."""

    number: int
    candidate: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Told:
    """A candidate with its figures."""

    number: int
    candidate: Mapping[str, Value]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Progress:
    """How many candidates are judged, wait, were no candidates (``left_out``) or were given up."""

    told: int
    waiting: int
    left_out: int
    given_up: int


class TrialStore:
    """One search's trials for one worker. Made by ``opened``. Raises everywhere: TrialStoreUnavailable."""

    def __init__(self, study: optuna.Study, storage: BaseStorage, spec: SearchSpec, worker: str) -> None:
        self._study = study
        self._storage = storage
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._spec = spec
        self._genome = Genome(spec.strategy)
        self.worker: Final = worker

    def beat(self) -> None:
        """Give a sign of life."""
        with translating():
            self._study.set_user_attr(_WORKER + self.worker, int(time.time()))

    def bury(self, prefix: str, *, is_crash: bool) -> None:
        """Declare dead the workers whose name begins so: what they had is free at once. What one of them had that
        crashed may have been the reason; those that somebody ended are not held against it."""
        with translating():
            for name, beat in self._study.user_attrs.items():
                if name.startswith(_WORKER + prefix) and beat > 0 and name != _WORKER + self.worker:
                    self._study.set_user_attr(name, _CRASHED if is_crash else _ENDED)

    def progress(self) -> Progress:
        trials = self._trials()
        # Two workers who draw at the same moment may draw one candidate: it is judged twice and is one.
        told = {key_of(each.user_attrs[_CANDIDATE]) for each in trials if each.state is TrialState.COMPLETE}
        states = [each.state for each in trials]
        return Progress(len(told), *map(states.count, (TrialState.RUNNING, TrialState.PRUNED, TrialState.FAIL)))

    def told(self) -> list[Told]:
        """Return the candidates with figures, each once, by number."""
        found: dict[str, Told] = {}
        for trial in self._trials():
            if trial.state is TrialState.COMPLETE:
                candidate = trial.user_attrs[_CANDIDATE]
                found.setdefault(key_of(candidate), Told(trial.number, candidate, _outcome(trial)))
        return list(found.values())

    def taken_up(self, most: int) -> list[Drawn]:
        """Return at most so many candidates that are this worker's, or whose worker is dead: those are its own now.
        Such as a worker died of before come alone, so that the guilty one shows, and are given up in the end."""
        now = time.time()
        found: list[Drawn] = []
        with translating():
            beats = self._study.user_attrs
            for trial in self._trials():
                if trial.state is not TrialState.RUNNING or len(found) >= most:
                    continue
                owner, taken = trial.user_attrs[_OWNER], int(trial.user_attrs.get(_TAKEN, 0))
                if owner != self.worker:
                    beat = int(beats.get(_WORKER + owner, _CRASHED))
                    if now - beat < LEASE_S or (taken and found):
                        continue
                    if not self._taken(trial.number, taken + (beat != _ENDED)):
                        continue
                found.append(Drawn(trial.number, trial.user_attrs[_CANDIDATE]))
                if taken and owner != self.worker:
                    break
        return found

    def _taken(self, number: int, times: int) -> bool:
        """Make a dead worker's candidate this worker's; give it up where it was taken too often."""
        if times >= TAKEN_MAX:
            self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
            return False
        mine = Trial(self._study, self._id_of(number))
        mine.set_user_attr(_TAKEN, times)
        mine.set_user_attr(_OWNER, self.worker)
        return True

    def draw(self, most: int) -> None:
        """Draw at most so many new candidates, none where there are no more: they are this worker's and wait for their
        figures. What is no candidate is told at once."""
        trials = self._trials()
        finished = [each for each in trials if each.state in {TrialState.COMPLETE, TrialState.RUNNING}]
        known = {key_of(each.user_attrs[_CANDIDATE]) for each in finished}
        mirror = _mirror(finished)
        number, drawn, barren = len(trials), 0, _barren(trials)
        while drawn < most and barren < DRAWS_PER_CANDIDATE_MAX:
            trial = self._drawn_in(mirror, number)
            candidate = self._genome.candidate(trial.params)
            why = "known" if key_of(candidate) in known else "" if self._genome.accepts(candidate) else "refused"
            self._bear(trial, candidate, why)
            number += 1  # another worker's trial may come in between: it draws by another seed
            known.add(key_of(candidate))
            if why:
                barren += 1
                mirror.tell(trial.number, state=TrialState.PRUNED)
            else:
                drawn, barren = drawn + 1, 0

    def tell(self, drawn: Drawn, outcome: Outcome) -> None:
        """Write a candidate's figures down; one that has some keeps them."""
        with translating(), suppress(optuna.exceptions.UpdateFinishedTrialError):
            trial_id = self._id_of(drawn.number)
            self._storage.set_trial_user_attr(trial_id, _OUTCOME, _body(outcome))
            self._storage.set_trial_state_values(trial_id, TrialState.COMPLETE, outcome.objectives.values)

    def close(self) -> None:
        self._storage.remove_session()
        if isinstance(self._storage, RDBStorage):
            self._storage.engine.dispose()

    def _drawn_in(self, mirror: optuna.Study, number: int) -> FrozenTrial:
        """Draw the trial of that number. The first one is the strategy's own defaults."""
        if number == 0:
            mirror.enqueue_trial(self._genome.defaults)
        seed = f"{self._spec.seed}/{number}/{self.worker.partition('#')[2]}"
        mirror.sampler = _sampler(
            self._spec, self._genome, int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big")
        )
        trial = mirror.ask(dict(self._genome.distributions))
        return mirror.get_trials(deepcopy=False)[trial.number]

    def _bear(self, trial: FrozenTrial, candidate: Mapping[str, Value], why: str) -> None:
        """Write a drawn trial down, whole."""
        attributes: dict[str, Any] = {_CANDIDATE: dict(candidate), _OWNER: self.worker}
        template = create_trial(
            state=TrialState.PRUNED if why else TrialState.RUNNING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=attributes | ({_WHY: why} if why else {}),
            system_attrs=trial.system_attrs,
        )
        with translating():
            self._storage.create_new_trial(self._study_id, template_trial=template)

    def _trials(self) -> list[FrozenTrial]:
        with translating():
            return self._study.get_trials(deepcopy=False)

    def _id_of(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)


@contextmanager
def opened(search_id: str, spec: SearchSpec, worker: str, url: str | None = None) -> Iterator[TrialStore]:
    """Open the trials of a search, or begin them; ``url`` None keeps them in memory.

    ``worker`` is a name that no other one has; what stands after its ``#`` tells the workers of one command apart, and
    is part of what they draw. Raises: InvalidInput for an URL of another kind, TrialStoreUnavailable.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with translating():
        storage: BaseStorage = InMemoryStorage() if url is None else _database(url)
        study = optuna.create_study(
            storage=storage,
            study_name=search_id,
            directions=list(DIRECTIONS),
            sampler=RandomSampler(seed=0),  # never asked: draws are made in a mirror
            load_if_exists=True,
        )
    store = TrialStore(study, storage, spec, worker)
    try:
        store.beat()
        yield store
    finally:
        store.close()


def _database(url: str) -> RDBStorage:
    scheme, _, rest = url.partition("://")
    if scheme in {"postgresql", "postgres"}:
        return _postgresql(f"postgresql+psycopg://{rest}")
    if scheme == "sqlite":
        storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": BUSY_TIMEOUT_S}})
        sa.event.listen(storage.engine, "connect", _prepare)
        storage.engine.dispose()  # the connections of before the pragmas
        return storage
    msg = f"storage: an URL that begins with sqlite:/// or postgresql://, not {urlsplit(url).scheme or 'none'}"
    raise InvalidInput(msg, field="storage")


def _postgresql(url: str) -> RDBStorage:
    """Open the storage, one at a time: two who make its tables at once are in each other's way."""
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_OPENING)))
            return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    finally:
        engine.dispose()


def _prepare(connection: Any, _record: Any) -> None:
    # A trial that a power cut takes is drawn again; the ledger, which must not forget, syncs by itself.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def translating() -> Iterator[None]:
    """Turn what Optuna and its database raise into this module's error."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sa.exc.SQLAlchemyError, ImportError) as error:
        cause = error.__cause__ or error
        msg = f"the storage of the search: {str(cause).splitlines()[0][:300]}"
        raise TrialStoreUnavailable(msg, hint="see that the database answers and can be written") from error


def _barren(trials: Sequence[FrozenTrial]) -> int:
    """Return how many draws in a row were no candidate, up to the newest trial."""
    return sum(1 for _ in takewhile(lambda each: each.state is TrialState.PRUNED, reversed(trials)))


def _mirror(finished: Sequence[FrozenTrial]) -> optuna.Study:
    """Return a study in memory that holds these trials, in their order."""
    mirror = optuna.create_study(directions=list(DIRECTIONS))
    mirror.add_trials(finished)
    return mirror


class _Genetic(NSGAIISampler):
    """Knows what is drawn, where Optuna's own looks through all trials for it at each draw."""

    def __init__(self, space: Mapping[str, BaseDistribution], population: int, seed: int) -> None:
        super().__init__(population_size=population, seed=seed)
        self._space = dict(space)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._space

    def select_parent(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """Return the parents by number, as Optuna does itself when it asks a second time: what is drawn must not depend
        on whether it is the first draw of a process."""
        return sorted(super().select_parent(study, generation), key=lambda each: each.number)


def _sampler(spec: SearchSpec, genome: Genome, seed: int) -> BaseSampler:
    if spec.sampler == "tpe":
        return TPESampler(seed=seed, n_startup_trials=spec.population)
    return _Genetic(genome.distributions, spec.population, seed)


def _body(outcome: Outcome) -> dict[str, Any]:
    return {
        "scope": outcome.scope,
        "trades": outcome.trades,
        "sharpe": None if outcome.sharpe is None else repr(outcome.sharpe),
        "observations": outcome.observations,
        "return_bps": outcome.return_bps,
    }


def _outcome(trial: FrozenTrial) -> Outcome:
    body = trial.user_attrs[_OUTCOME]
    sharpe = body["sharpe"]
    return Outcome(
        scope=body["scope"],
        objectives=Objectives(*trial.values),
        trades=body["trades"],
        sharpe=None if sharpe is None else float(sharpe),
        observations=body["observations"],
        return_bps=body["return_bps"],
    )
