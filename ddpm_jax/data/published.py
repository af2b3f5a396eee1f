"""A set of images as other programs read it: PNGs by class, or Parquet with Hugging Face's image feature.

Each PNG says in its XMP metadata that a model made it (IPTC DigitalSourceType).
"""

import hashlib
import io
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image, PngImagePlugin

from ddpm_jax.types import Pixels

SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    f"<Iptc4xmpExt:DigitalSourceType>{SYNTHETIC}</Iptc4xmpExt:DigitalSourceType>"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
CROISSANT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The JSON-LD context of Croissant 1.0: what each of its words stands for."""
METADATA, TABLE = "metadata.jsonl", "data.parquet"


def png(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """The image as a PNG that is marked as synthetic."""
    marks = PngImagePlugin.PngInfo()
    marks.add_itxt("XML:com.adobe.xmp", XMP)
    file = io.BytesIO()
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.save(file, "PNG", pnginfo=marks)
    return file.getvalue()


def folder_names(class_names: Sequence[str]) -> list[str]:
    """A name of letters, digits, - and _ for each class; different classes have different names.

    A name that is changed, or that a file system without case could confuse, ends in the class's index.
    """
    safe = [re.sub(r"[^A-Za-z0-9_-]", "_", name) for name in class_names]
    kept = {name.lower() for name, clean in zip(class_names, safe, strict=True) if name == clean}
    found: list[str] = []
    taken: set[str] = set()
    for i, (name, clean) in enumerate(zip(class_names, safe, strict=True)):
        unique = clean
        if name != clean or clean.lower() in taken or not clean:
            unique = f"{clean}_{i}"
            while unique.lower() in kept | taken:
                unique += "_"
        taken.add(unique.lower())
        found.append(unique)
    return found


def write_images(
    root: pathlib.Path,
    images: Pixels,
    labels: Int32[np.ndarray, " N"] | None,
    class_names: Sequence[str],
) -> None:
    """`CLASS/INDEX.png`, or `INDEX.png` without labels, and `metadata.jsonl`, whose labels are class names.

    Of a folder with such a file, Hugging Face's `imagefolder` takes all columns from the file, and none of
    them as a ClassLabel.
    """
    folders = folder_names(class_names)
    lines = []
    for i, pixels in enumerate(images):
        row: dict[str, Any] = {"file_name": f"{i:06d}.png"}
        if labels is not None:
            label = int(labels[i])
            row = {"file_name": f"{folders[label]}/{i:06d}.png", "label": class_names[label]}
        file = root / row["file_name"]
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(png(pixels))
        lines.append(json.dumps(row) + "\n")
    (root / METADATA).write_text("".join(lines))


def write_parquet(
    root: pathlib.Path,
    images: Pixels,
    labels: Int32[np.ndarray, " N"] | None,
    class_names: Sequence[str],
) -> None:
    """`data.parquet`, whose schema names Hugging Face's features. Raises ImportError naming the extra."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(
            "publish.format=parquet needs pyarrow: pip install 'ddpm_jax[hf]'"
        ) from error
    encoded = [{"bytes": png(pixels), "path": f"{i:06d}.png"} for i, pixels in enumerate(images)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(encoded, kind)}
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    if labels is not None:
        columns["label"] = pa.array(labels.astype(np.int64))
        features["label"] = {"names": list(class_names), "_type": "ClassLabel"}
    noted = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(
        pa.table(columns).replace_schema_metadata(noted), root / TABLE, row_group_size=1000
    )


def croissant(root: pathlib.Path, name: str, description: str, labelled: bool) -> dict[str, Any]:
    """Croissant 1.0 metadata of a folder that one of the functions above wrote."""
    table = (root / TABLE).exists()
    file = TABLE if table else METADATA
    first = {"column": "image"} if table else {"column": "file_name"}
    fields = [_field("image" if table else "file_name", "ImageObject" if table else "Text", file,
                     extract=first, **({"transform": {"jsonPath": "bytes"}} if table else {}))]  # fmt: skip
    if labelled:
        kind = "Integer" if table else "Text"
        fields.append(_field("label", kind, file, extract={"column": "label"}))
    return {
        "@context": CROISSANT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": description,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": file,
                "name": file,
                "contentUrl": file,
                "encodingFormat": "application/x-parquet" if table else "application/jsonlines",
                "sha256": hashlib.sha256((root / file).read_bytes()).hexdigest(),
            }
        ],
        "recordSet": [
            {"@type": "cr:RecordSet", "@id": "images", "name": "images", "field": fields}
        ],
    }


def _field(name: str, kind: str, file: str, **source: Any) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"images/{name}",
        "name": name,
        "dataType": f"sc:{kind}",
        "source": {"fileObject": {"@id": file}, **source},
    }
