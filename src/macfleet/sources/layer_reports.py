"""What was found in layers of images, kept by their digests: a layer is looked into once, ever."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydantic import TypeAdapter, ValidationError

from macfleet.facts.image_contents import LayerContents
from macfleet.model.image import ResolvedImage

_CONTENTS = TypeAdapter(LayerContents)


class LayerReports:
    """Reports by the digest of the layer.

    Args:
        folder: made when the first report is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, digest: str) -> LayerContents | None:
        """Return a layer's report; None where there is none, or one that looked for other things."""
        with suppress(FileNotFoundError, ValidationError):
            return _CONTENTS.validate_json(self._path(digest).read_bytes())
        return None

    def of_image(self, image: ResolvedImage) -> tuple[LayerContents, ...] | None:
        """Return the reports of all layers of an image; None where one is missing."""
        found = [self.of(layer.digest) for layer in image.layers]
        known = tuple(each for each in found if each is not None)
        return known if len(known) == len(found) else None

    def keep(self, report: LayerContents) -> None:
        """Keep a report."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=self._folder, prefix=".part-", delete=False) as file:
            file.write(_CONTENTS.dump_json(report))
        Path(file.name).replace(self._path(report.digest))

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest.replace(':', '-')}.json"
