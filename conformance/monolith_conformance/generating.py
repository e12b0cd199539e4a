"""Examples by the hundred: the suite's way of trying a rule on generated inputs.

Examples are the same in every run, unless the session searches for others. The last example that is played is the
smallest that fails, so that the session's transcript holds just that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, configuration, given, seed, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.errors import Flaky
from numpy.typing import NDArray

from monolith_conformance.backend import BackendFault
from monolith_conformance.session import CaseFailed, Session
from monolith_conformance.transcript import Mismatch

__all__ = ["NICE", "explore", "exploring", "float_lists", "numbers", "rates", "words"]

Example = TypeVar("Example")

NICE = (0.0, 1.0, -1.0, 0.5, -0.25, 0.1, 3.0, 1e-3, -7.5, 100.0)
SPECIAL = (
    0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x00000001, 0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0x4B800000,
    0x3F7FFFFF, 0x3F800001, 0x33800000,
)  # fmt: skip
"""-0, infinities, NaN, the smallest and largest numbers of each kind, 2^24, neighbours of one, half an ulp of one."""


def explore(
    session: Session,
    examples: st.SearchStrategy[Example],
    play: Callable[[Session, Example], None],
    *,
    quick: int,
    full: int,
    fresh: bool = False,
) -> None:
    """Play examples until one fails, then smaller ones; raises what the smallest raised.

    Parameters
    ----------
    play : callable
        Plays one example in a session that has just begun.
    quick, full : int
        Number of examples in either budget.
    fresh : bool
        Whether the backend is started anew for each (random streams at their beginning).
    """
    broken = False
    search = session.search
    budget = full if session.full else quick

    @given(examples)
    def play_one(example: Example) -> None:
        nonlocal broken
        if broken or fresh:
            session.open()
            broken = False
        session.begin()
        try:
            play(session, example)
        except BackendFault:
            broken = True
            raise

    # A seed takes the folder of examples away, so it comes before the settings that name one.
    tried = settings(
        max_examples=budget if search is None else search.examples,
        derandomize=search is None,
        database=None if search is None else DirectoryBasedExampleDatabase(search.folder),
        deadline=None,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        phases=(Phase.reuse, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )(play_one if search is None else seed(search.seed)(play_one))
    try:
        with _no_folder_here(session):
            tried()
    except Flaky:
        step = max(len(session.transcript) - 1, 0)
        raise CaseFailed(
            Mismatch(step, "answers", "others the second time", "the same whenever the same is asked")
        ) from None


def exploring(
    examples: st.SearchStrategy[Example],
    play: Callable[[Session, Example], None],
    *,
    quick: int,
    full: int,
    fresh: bool = False,
) -> Callable[[Session], None]:
    """The judge of a case that is :func:`explore` of these."""
    return lambda session: explore(session, examples, play, quick=quick, full=full, fresh=fresh)


@contextmanager
def _no_folder_here(session: Session) -> Iterator[None]:
    """Let what is noted for later runs go where the session's files go, and not into the working directory."""
    before = getattr(configuration, "__hypothesis_home_directory", None)
    configuration.set_hypothesis_home_dir(session.folder())
    try:
        yield
    finally:
        configuration.set_hypothesis_home_dir(before)


def words() -> st.SearchStrategy[int]:
    """Bit patterns of float32: ordinary numbers for the most part, special ones among them."""
    ordinary = st.sampled_from(np.array(NICE, np.float32).view(np.uint32).tolist())
    near = st.integers(0x3A000000, 0x42000000)  # 2^-11 to 32
    return st.one_of(ordinary, near, near.map(lambda word: word | 0x80000000), st.sampled_from(SPECIAL), _any())


def numbers() -> st.SearchStrategy[int]:
    """Bit patterns of ordinary numbers alone."""
    near = st.integers(0x3A000000, 0x42000000)
    return st.one_of(near, near.map(lambda word: word | 0x80000000))


def _any() -> st.SearchStrategy[int]:
    return st.integers(0, (1 << 32) - 1)


def rates() -> st.SearchStrategy[int]:
    """Learning rates: ordinary ones for the most part, zero, negative and special ones among them."""
    ordinary = st.sampled_from(np.array((0.01, 0.1, 1.0, 0.05, 0.5), np.float32).view(np.uint32).tolist())
    return st.one_of(ordinary, ordinary, ordinary, words())


def float_lists(count: int, of: st.SearchStrategy[int] | None = None) -> st.SearchStrategy[NDArray[np.float32]]:
    """Arrays of that many floats."""
    return st.lists(words() if of is None else of, min_size=count, max_size=count).map(as_floats)


def as_floats(bits: Sequence[int]) -> NDArray[np.float32]:
    """Bit patterns as float32."""
    out: Any = np.array(bits, np.uint32).view(np.float32)
    return out  # type: ignore[no-any-return]
