"""The base of every model that people write or processes exchange: frozen, closed, camelCase in YAML and JSON."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class ConfigModel(BaseModel):
    """Frozen, closed (unknown keys refused), camelCase in YAML and JSON."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_alias=True, validate_by_name=True
    )
