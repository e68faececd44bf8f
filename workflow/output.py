"""How a command shows what it found."""

from enum import StrEnum


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


class Records(StrEnum):
    TEXT = "text"
    JSON = "json"
    CSV = "csv"
