"""Put points into a folder of the Qdrant client's local mode, run by the interpreter of mcp-server-qdrant's own
environment: ``python fill_qdrant.py FOLDER COLLECTION FIRST TEXTS.jsonl VECTORS.npy``.

The rows are those that ``CollectionPersistence.persist`` writes (its own key, its own model, its own pickle), in one
transaction instead of one each; the collection is made by the client, with the parameters of mcp-server-qdrant 0.8.1.
"""

import json
import pickle
import sqlite3
import sys
import uuid
from pathlib import Path

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client._pydantic_compat import construct
from qdrant_client.local.persistence import CollectionPersistence

VECTOR = "fast-all-minilm-l6-v2"


def main(folder: Path, collection: str, first: int, texts: Path, vectors: Path) -> None:
    client = QdrantClient(path=str(folder))
    if not client.collection_exists(collection):
        size = models.VectorParams(size=384, distance=models.Distance.COSINE)
        client.create_collection(collection, vectors_config={VECTOR: size})
    client.close()
    database = sqlite3.connect(folder / "collection" / collection / "storage.sqlite")
    rows = np.load(vectors, mmap_mode="r")
    with database, texts.open(encoding="utf-8") as lines:
        for number, (line, vector) in enumerate(zip(lines, rows, strict=True), first):
            point_id = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
            payload = {"document": json.loads(line), "metadata": {"number": number}}
            point = construct(models.PointStruct, id=point_id, vector={VECTOR: vector.tolist()}, payload=payload)
            key = CollectionPersistence.encode_key(point_id)
            database.execute("INSERT INTO points VALUES (?, ?)", (key, sqlite3.Binary(pickle.dumps(point))))
    database.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
