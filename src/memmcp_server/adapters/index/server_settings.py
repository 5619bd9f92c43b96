"""How a collection of a Qdrant server is made, and what is changed in one that is there, from the settings.

Nothing here speaks to a server. What is unset is left to the server's own defaults.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from qdrant_client import models

from memmcp_server.config import QdrantSection

from .conditions import INTEGER_FIELDS, KEYWORD_FIELDS, TENANT_FIELDS
from .store import DENSE, WORDS

OVERSAMPLING = 2.0
"""How many times as many as asked for are taken by their int8 vectors, to be judged anew by the exact ones."""
QUANTILE = 0.99
"""Share of all values that int8 tells apart; the rest are cut off."""

Changes = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """Provides arguments for the client's calls about one collection."""

    section: QdrantSection

    def creation(self, dimension: int | None) -> Changes:
        """Return what makes the collection of a generation; ``dimension`` None: no dense vectors."""
        section = self.section
        dense = {}
        if dimension is not None:
            dense[DENSE] = models.VectorParams(
                size=dimension, distance=models.Distance.COSINE, on_disk=self._on_disk("vectors")
            )
        graph = self._graph()
        return {
            "vectors_config": dense,
            "sparse_vectors_config": {WORDS: self._words()},
            "on_disk_payload": self._on_disk("payload"),
            "hnsw_config": graph if graph.model_dump(exclude_none=True) else None,
            **self.spread(),
            "shard_number": section.shards,
        }

    def spread(self) -> Changes:
        """Return over how many peers a collection lies, for the one that holds the pointer too: it has no points, but
        without it nobody knows what to search."""
        return {
            "replication_factor": self.section.replicas,
            "write_consistency_factor": self.section.write_consistency,
        }

    def indexes(self) -> dict[str, models.KeywordIndexParams | models.IntegerIndexParams]:
        """Return the payload indexes, by field."""
        on_disk = self._on_disk("payload_indexes")
        keyword, integer = models.KeywordIndexType.KEYWORD, models.IntegerIndexType.INTEGER
        return {
            **{
                field: models.KeywordIndexParams(
                    type=keyword, is_tenant=True if field in TENANT_FIELDS else None, on_disk=on_disk
                )
                for field in KEYWORD_FIELDS
            },
            **{field: models.IntegerIndexParams(type=integer, on_disk=on_disk) for field in INTEGER_FIELDS},
        }

    def changes(self, found: models.CollectionConfig) -> Changes:
        """Return what of the settings the collection does not have yet; empty for nothing."""
        wanted, there = self.section, found.params
        params = models.CollectionParamsDiff(
            replication_factor=_other(wanted.replicas, there.replication_factor),
            write_consistency_factor=_other(wanted.write_consistency, there.write_consistency_factor),
            on_disk_payload=_other(self._on_disk("payload"), there.on_disk_payload),
        )
        graph, has = self._graph(), found.hnsw_config
        graph = models.HnswConfigDiff(
            m=_other(graph.m, has.m),
            payload_m=_other(graph.payload_m, has.payload_m),
            ef_construct=_other(graph.ef_construct, has.ef_construct),
            on_disk=_other(graph.on_disk, has.on_disk),
        )
        changed: Changes = {}
        if params.model_dump(exclude_none=True):
            changed["collection_params"] = params
        if graph.model_dump(exclude_none=True):
            changed["hnsw_config"] = graph
        dense = _dense_of(there)
        if dense is not None and _other(self._on_disk("vectors"), dense.on_disk):
            changed["vectors_config"] = {DENSE: models.VectorParamsDiff(on_disk=True)}
        words = (there.sparse_vectors or {}).get(WORDS)
        index = words.index if words is not None and words.index is not None else models.SparseIndexParams()
        if words is not None and _other(self._on_disk("words"), index.on_disk):
            changed["sparse_vectors_config"] = {WORDS: self._words()}
        return changed

    def quantization(self, points: int, found: models.CollectionConfig) -> models.ScalarQuantization | None:
        """Return how dense vectors are to be kept small, None where they need not or already are."""
        least = self.section.quantize_from
        is_small = not least or points < least
        if is_small or found.quantization_config is not None or _dense_of(found.params) is None:
            return None
        return models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=QUANTILE, always_ram=True)
        )

    def lacks_shards(self, found: models.CollectionConfig) -> str:
        """Return in words that the number of shards is another one, empty where it is not."""
        there, wanted = found.params.shard_number, self.section.shards
        if wanted is None or there == wanted:
            return ""
        return f"it has {there or 1} shards, qdrant.shards is {wanted}: `memmcp index rebuild` makes it anew beside it"

    def dense_search(self) -> models.SearchParams | None:
        """Return how the nearest vectors are looked for, None for the server's own way."""
        exactly = None
        if self.section.quantize_from:
            # Whoever made it small may be another daemon; to a collection that is not, this says nothing.
            exactly = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
        if exactly is None and self.section.hnsw_ef is None:
            return None
        return models.SearchParams(hnsw_ef=self.section.hnsw_ef, quantization=exactly)

    @property
    def ordering(self) -> models.WriteOrdering:
        return models.WriteOrdering(self.section.write_ordering)

    @property
    def consistency(self) -> models.ReadConsistencyType | None:
        """None: the first replica that answers."""
        asked = self.section.read_consistency
        return None if asked == "one" else models.ReadConsistencyType(asked)

    def _on_disk(self, what: str) -> bool | None:
        return True if what in self.section.on_disk else None

    def _graph(self) -> models.HnswConfigDiff:
        section = self.section
        return models.HnswConfigDiff(
            m=section.hnsw_m,
            payload_m=section.hnsw_payload_m,
            ef_construct=section.hnsw_ef_construct,
            on_disk=self._on_disk("graph"),
        )

    def _words(self) -> models.SparseVectorParams:
        on_disk = self._on_disk("words")
        index = None if on_disk is None else models.SparseIndexParams(on_disk=on_disk)
        return models.SparseVectorParams(modifier=models.Modifier.IDF, index=index)


def missing(wanted: Sequence[str], schema: dict[str, Any] | None) -> list[str]:
    """Return the fields that have no payload index: whoever made the collection may have died before the last."""
    return [field for field in wanted if field not in (schema or {})]


def _dense_of(params: models.CollectionParams) -> models.VectorParams | None:
    return params.vectors.get(DENSE) if isinstance(params.vectors, dict) else None


def _other(wanted: T | None, there: T | None) -> T | None:
    """Return what is wanted where it is not there already."""
    return wanted if wanted is not None and wanted != there else None
