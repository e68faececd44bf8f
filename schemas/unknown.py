"""The value that stands for a missing or invalid one while rules run over the rest of a configuration.

Owns three-valued logic in its smallest form: no question about an unknown value finds anything wrong.
"""

from collections.abc import Collection, Iterator
from typing import Any


class Unknown:
    """Stands for a value that is missing or invalid: no question about it finds anything wrong.

    Comparisons with it answer no, everything is in it, it has no items, and its attributes are unknown too.
    """

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return id(self)

    def __contains__(self, item: object) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __bool__(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return self


UNKNOWN: Any = Unknown()


def known(value: object) -> bool:
    """Whether a value is there and valid."""
    return not isinstance(value, Unknown)


def lacks(container: Collection[Any], item: Any) -> bool:
    """Whether it is certain that `item` is not in `container`."""
    if isinstance(container, Unknown) or isinstance(item, Unknown):
        return False
    return not any(isinstance(i, Unknown) or i == item for i in container)
