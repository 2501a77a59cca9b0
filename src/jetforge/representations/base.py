"""What every representation of jets and every batch of one must offer."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

import torch

from jetforge.errors import JetforgeError
from jetforge.representations.view import JetView

if TYPE_CHECKING:
    import awkward as ak

    from jetforge.jets import Jets


class Batch(Protocol):
    """Some jets as tensors, in the order of the jets they were made from."""

    def __len__(self) -> int:
        """Return the number of jets."""
        ...

    def __getitem__(self, index: slice) -> Self:
        """Return a contiguous range of jets."""
        ...

    @classmethod
    def concatenate(cls, batches: "Sequence[Any]") -> Self:
        """Return the jets of all batches, one batch after the other."""
        ...

    def take(self, indices: torch.Tensor) -> Self:
        """Return the jets at ``indices``, in that order."""
        ...

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return the same jets on another device."""
        ...

    def pin_memory(self) -> Self:
        """Return the same jets in page-locked memory."""
        ...


class Representation(ABC):
    """Turns jets into the tensors that one kind of network reads; carries its fitted normalisation.

    The settings of a representation are the arguments it is made with.

    Attributes
    ----------
    view : JetView or None
        What of a jet there is to be represented, where it is not all that is known of it.
    """

    name: ClassVar[str]
    view: JetView | None = None

    def __repr__(self) -> str:
        shown = [f"{name} {_as_text(value)}" for name, value in self.to_dict().items() if _is_shown(name, value)]
        return f"{type(self).__name__}({'; '.join([*shown, 'fitted' if self.fitted else 'not fitted'])})"

    @property
    @abstractmethod
    def fitted(self) -> bool:
        """Whether jets can be represented: the normalisation was given, or found by `fit`."""

    def fit(self, blocks: "Iterable[Jets | ak.Array]") -> Self:
        """Learn the normalisation from blocks of training jets, seen as the `view` has it; return this representation.

        Raises
        ------
        DataError
            What `fit_normalisation` raises.
        """
        self.fit_normalisation(blocks if self.view is None else map(self.view, blocks))
        return self

    def __call__(self, jets: "Jets | ak.Array") -> Any:
        """Represent jets, seen as the `view` has it.

        Raises
        ------
        DataError
            What `represent` raises.
        """
        return self.represent(jets if self.view is None else self.view(jets))

    @abstractmethod
    def fit_normalisation(self, blocks: "Iterable[Jets | ak.Array]") -> None:
        """Learn the normalisation from blocks of training jets, as they are; see `fit`."""

    @abstractmethod
    def represent(self, jets: "Jets | ak.Array") -> Batch:
        """Represent jets as they are; see ``__call__``.

        Raises
        ------
        DataError
            If the representation needs a normalisation and has none yet.
        """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the representation's settings and normalisation as plain JSON values, without its name."""

    @property
    @abstractmethod
    def num_features(self) -> int:
        """Number of features of each element (constituent, node, pixel, jet): what the first layer reads."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the constituents that are read beside the momenta, where they are there."""
        return ()

    @classmethod
    def settings(cls) -> tuple[str, ...]:
        """Return the names of the settings."""
        return tuple(inspect.signature(cls).parameters)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the representation that `to_dict` described.

        Raises
        ------
        JetforgeError
            If a value is missing, unknown or makes no sense.
        """
        known = cls.settings()
        if set(values) != set(known):
            given = ", ".join(sorted(map(str, values))) or "none"
            raise JetforgeError(f"{cls.name} representation: needs {', '.join(known)} alone, got {given}")
        return cls._made(values)

    @classmethod
    def _made(cls, values: Mapping[str, Any]) -> Self:
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise JetforgeError(f"{cls.name} representation: {error}") from error


def _is_shown(name: str, value: Any) -> bool:
    """Return whether a setting is part of the one line that says what a representation is."""
    if isinstance(value, list):
        return bool(value) and name not in ("mean", "std") and not any(isinstance(entry, list) for entry in value)
    return value is not None


def _as_text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


_REPRESENTATIONS: dict[str, type[Representation]] = {}

RepresentationType = TypeVar("RepresentationType", bound=type[Representation])


def register_representation(name: str) -> Callable[[RepresentationType], RepresentationType]:
    """Return a class decorator that makes a representation known under ``name``.

    The same class defined again, as by a notebook's cell that is run again, takes the place of the earlier one. Any
    other under a name that is taken is a `JetforgeError`.
    """

    def register(cls: RepresentationType) -> RepresentationType:
        other = _REPRESENTATIONS.get(name)
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise JetforgeError(
                f"the representation {name} is registered already, by {other.__module__}.{other.__qualname__}; "
                "give yours another name"
            )
        cls.name = name
        _REPRESENTATIONS[name] = cls
        return cls

    return register


def list_representations() -> list[str]:
    """Return the names of all representations, sorted."""
    return sorted(_REPRESENTATIONS)


def representation_to_dict(representation: Representation) -> dict[str, Any]:
    """Return a representation, its name included, as plain JSON values."""
    view = {} if representation.view is None else {"view": representation.view.to_dict()}
    return {"name": representation.name, **representation.to_dict(), **view}


def representation_from_dict(values: dict[str, Any]) -> Representation:
    """Return the representation that `representation_to_dict` described.

    Raises
    ------
    JetforgeError
        If the name is unknown, or a value is missing or makes no sense.
    """
    settings = dict(values)
    view = settings.pop("view", None)
    representation = _kind(settings.pop("name", None)).from_dict(settings)
    representation.view = None if view is None else JetView.from_dict(view)
    return representation


def _kind(name: Any) -> type[Representation]:
    if not isinstance(name, str) or name not in _REPRESENTATIONS:
        raise JetforgeError(f"unknown representation {name!r}; known: {', '.join(list_representations())}")
    return _REPRESENTATIONS[name]


def make_representation(values: Mapping[str, Any], default: Representation) -> Representation:
    """Return a representation from the settings that are given, the others being those of a default.

    Parameters
    ----------
    values : mapping
        ``name`` and settings; without a name, or with that of the default, its settings are kept where they are not
        given, but not a normalisation by ``mean`` and ``std``; ``view``: the settings of a `JetView`.
    default : Representation
        What a tagger reads if nothing else is asked for.

    Raises
    ------
    JetforgeError
        If the name or a setting is unknown, or a value makes no sense.
    """
    settings = dict(values)
    view = settings.pop("view", None)
    name = settings.pop("name", default.name)
    kind = _kind(name)
    for setting in settings:
        if setting not in kind.settings():
            near = get_close_matches(str(setting), kind.settings(), n=1)
            hint = f"did you mean {near[0]}?" if near else f"its settings are {', '.join([*kind.settings(), 'view'])}"
            raise JetforgeError(f"representation {name} has no setting {setting!r}; {hint}")
    if name == default.name:
        settings = (
            {**default.to_dict(), "mean": None, "std": None, **settings}
            if "mean" in kind.settings()
            else {**default.to_dict(), **settings}
        )
    made = kind._made(settings)
    made.view = default.view if view is None else JetView.from_dict(view)
    return made
