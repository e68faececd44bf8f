"""The extract `types.json`, made from a folder of Azure's definitions.

`python -m emulators.azure.definitions.extract FOLDER` writes it. The folder is `generated/` of Azure/bicep-types-az, or
a part of it with the same relative paths (`<service>/<namespace>/<API version>/types.json`). Kept is what a body of an
emitted type can hold: descriptions and what is only answered are left out.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from emulators.azure.definitions.reading import READ_ONLY, TYPES_FILE, Definitions, NoDefinition, key_of

SOURCE = "Azure/bicep-types-az (MIT, see LICENSE), generated/<file>/types.json"


def extract(folder: Path, types: Iterable[tuple[str, str]]) -> Definitions:
    """The definitions of these (ARM type, API version). Raises NoDefinition for one that the folder lacks."""
    bodies: dict[str, dict[str, str]] = {}
    files: dict[str, dict[str, Any]] = {}
    for arm_type, api_version in sorted(types):
        file, entries, body = _find(folder, arm_type, api_version)
        bodies[key_of(arm_type, api_version)] = {"file": file, "body": body["$ref"]}
        kept = files.setdefault(file, {})
        waiting = [body]
        while waiting:
            index = waiting.pop()["$ref"].removeprefix("#/")
            if index not in kept:
                kept[index] = _writable(entries[int(index)])
                waiting += _references(kept[index])
    return Definitions({"source": SOURCE, "bodies": bodies, "files": files})


def text_of(definitions: Definitions) -> str:
    """As it is committed: one entry a line, so that a change is read as one."""
    document = definitions.document

    def block(values: Mapping[str, Any], key: Any = None) -> str:
        lines = [f"  {json.dumps(k)}: {json.dumps(values[k], sort_keys=True)}" for k in sorted(values, key=key)]
        return "{\n" + ",\n".join(lines) + "\n }"

    files = [f" {json.dumps(name)}: {block(entries, int)}" for name, entries in sorted(document["files"].items())]
    return (
        f'{{\n"source": {json.dumps(document["source"])},\n"bodies": {block(document["bodies"])},\n"files": {{\n'
        + ",\n".join(files)
        + "\n}\n}\n"
    )


def _find(folder: Path, arm_type: str, api_version: str) -> tuple[str, list[Any], dict[str, str]]:
    """The file (without `/types.json`), its entries, and the reference to the type's body."""
    name = key_of(arm_type, api_version)
    for path in sorted(folder.glob(f"*/{arm_type.split('/')[0].lower()}/{api_version}/types.json")):
        entries = cast(list[dict[str, Any]], json.loads(path.read_text("utf-8")))
        for entry in entries:
            if entry["$type"] == "ResourceType" and entry["name"].lower() == name.lower():
                return path.parent.relative_to(folder).as_posix(), entries, entry["body"]
    raise NoDefinition(f"{folder} has no definition of {arm_type} in its version {api_version}")


def _writable(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry without descriptions; of a read-only property the flags alone."""

    def of_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: {"flags": p["flags"]} | ({} if p["flags"] & READ_ONLY else {"type": p["type"]})
            for name, p in properties.items()
        }

    kept = {key: value for key, value in entry.items() if key != "description"}
    return kept | {k: of_properties(kept[k]) for k in ("properties", "baseProperties") if k in kept}


def _references(value: Any) -> Iterator[dict[str, str]]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield cast(dict[str, str], value)
        for part in cast(dict[str, Any], value).values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in cast(list[Any], value):
            yield from _references(part)


def main() -> None:
    from emulators.azure.arm import TYPES

    if len(sys.argv) != 2:
        raise SystemExit("expected the folder of Azure's definitions: generated/ of Azure/bicep-types-az")
    definitions = extract(Path(sys.argv[1]), {(row.arm_type, row.api_version) for row in TYPES.values()})
    TYPES_FILE.write_text(text_of(definitions))


if __name__ == "__main__":
    main()
